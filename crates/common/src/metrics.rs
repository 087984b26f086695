//! Every metric of every service: names, labels, the values that labels take, help texts, buckets.
//!
//! What lives here: the one table [`METRICS`], its installation into the process, and rendering. What does not: the places that
//! count; they use the name constants with the macros of the `metrics` crate.
//!
//! A counter that is first seen at 1 adds nothing to PromQL's `increase()`. So [`install`] touches every series whose label values
//! are known, and a failover that happens once is a failover that is counted.

use std::fmt;

use metrics::{Label, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::config::Role;

/// 1 for the build that runs: labels [`label::VERSION`] and [`label::ROLE`].
pub const BUILD_INFO: &str = "bellwether_build_info";
/// 1 for the session's state, 0 for the others: label [`label::STATE`], see [`SESSION_STATES`] and [`set_one`].
pub const ZK_SESSION_STATE: &str = "bellwether_zk_session_state";
/// What happened to the session: label [`label::EVENT`], see [`SESSION_EVENTS`].
pub const ZK_SESSION_EVENTS_TOTAL: &str = "bellwether_zk_session_events_total";
/// Seconds from the suspension of a session to its end: label [`label::OUTCOME`], see [`DISCONNECTED_OUTCOMES`].
pub const ZK_DISCONNECTED_DURATION_SECONDS: &str = "bellwether_zk_disconnected_duration_seconds";
/// Requests to ZooKeeper: labels [`label::OP`], see [`ZK_OPS`], and [`label::RESULT`], see [`ZK_RESULTS`].
pub const ZK_REQUESTS_TOTAL: &str = "bellwether_zk_requests_total";
/// Seconds from a request to its answer: label [`label::OP`], see [`ZK_OPS`].
pub const ZK_REQUEST_DURATION_SECONDS: &str = "bellwether_zk_request_duration_seconds";
/// Requests that wait for their answer.
pub const ZK_REQUESTS_IN_FLIGHT: &str = "bellwether_zk_requests_in_flight";
/// Writes of which nobody knew whether they happened: labels [`label::OP`], see [`WRITE_OPS`], and
/// [`label::RESOLUTION`], see [`RESOLUTIONS`].
pub const ZK_UNKNOWN_OUTCOMES_TOTAL: &str = "bellwether_zk_unknown_outcomes_total";
/// Watch events: label [`label::TREE`], see [`TREES`].
pub const ZK_WATCH_EVENTS_TOTAL: &str = "bellwether_zk_watch_events_total";
/// Full readings of the state: label [`label::CAUSE`], see [`RESYNC_CAUSES`].
pub const RESYNCS_TOTAL: &str = "bellwether_resyncs_total";
/// Differences that the periodic reading found; anything but 0 is a missed event.
pub const RESYNC_DIFFERENCES_TOTAL: &str = "bellwether_resync_differences_total";
/// The epoch as this process sees it, 0 as long as it knows none.
pub const MASTER_EPOCH: &str = "bellwether_master_epoch";

/// 1 while this coordinator is in office and its session is connected.
pub const MASTER_IS_ACTIVE: &str = "bellwether_master_is_active";
/// Unix time at which this coordinator took office, 0 while it is not in office.
pub const MASTER_ELECTED_TIMESTAMP_SECONDS: &str = "bellwether_master_elected_timestamp_seconds";
/// 1 for the coordinator's state, 0 for the others: label [`label::STATE`], see [`COORDINATOR_STATES`] and [`set_one`].
pub const COORDINATOR_STATE: &str = "bellwether_coordinator_state";
/// Candidacies: label [`label::RESULT`], see [`ELECTION_RESULTS`].
pub const ELECTIONS_TOTAL: &str = "bellwether_elections_total";
/// Terms that ended: label [`label::REASON`], see [`LEADERSHIP_LOST_REASONS`].
pub const LEADERSHIP_LOST_TOTAL: &str = "bellwether_leadership_lost_total";
/// Takeovers from an earlier master: label [`label::REASON`], why its term ended, see [`FAILOVER_REASONS`].
pub const FAILOVERS_TOTAL: &str = "bellwether_failovers_total";
/// Seconds that each phase of a takeover took: label [`label::PHASE`], see [`FAILOVER_PHASES`].
pub const FAILOVER_DURATION_SECONDS: &str = "bellwether_failover_duration_seconds";
/// Writes that the fence refused: label [`label::OP`], see [`PEN_OPS`].
pub const FENCED_WRITES_TOTAL: &str = "bellwether_fenced_writes_total";
/// Tasks found at a takeover: label [`label::FROM`], see [`RECOVERED_FROM`].
pub const RECOVERED_TASKS_TOTAL: &str = "bellwether_recovered_tasks_total";
/// Tasks that have not ended, as the master sees them: label [`label::STATE`], see [`TASK_STATES`].
pub const TASKS: &str = "bellwether_tasks";
/// Age of the oldest pending task.
pub const OLDEST_PENDING_TASK_AGE_SECONDS: &str = "bellwether_oldest_pending_task_age_seconds";
/// Assignments that were committed.
pub const TASKS_ASSIGNED_TOTAL: &str = "bellwether_tasks_assigned_total";
/// Tasks that the master ended, not a worker: label [`label::RESULT`], see [`MASTER_ENDINGS`].
pub const TASKS_ENDED_TOTAL: &str = "bellwether_tasks_ended_total";
/// Seconds from a task's submission to its assignment.
pub const TASK_QUEUE_DURATION_SECONDS: &str = "bellwether_task_queue_duration_seconds";
/// Seconds from the decision to assign to the answer.
pub const TASK_ASSIGN_DURATION_SECONDS: &str = "bellwether_task_assign_duration_seconds";
/// Workers as the master sees them: label [`label::STATE`], see [`WORKER_STATES`].
pub const WORKERS: &str = "bellwether_workers";
/// Incarnations that registered.
pub const WORKER_JOINS_TOTAL: &str = "bellwether_worker_joins_total";
/// Incarnations that went: label [`label::REASON`], see [`WORKER_LOSS_REASONS`].
pub const WORKER_LOSSES_TOTAL: &str = "bellwether_worker_losses_total";
/// Operations per transaction.
pub const ZK_MULTI_OPS: &str = "bellwether_zk_multi_ops";

/// Attempts that ran to their end and were recorded: labels [`label::KIND`], see [`TASK_KINDS`], and [`label::RESULT`], see
/// [`TASK_RESULTS`].
pub const TASKS_COMPLETED_TOTAL: &str = "bellwether_tasks_completed_total";
/// Slots of this worker.
pub const WORKER_SLOTS: &str = "bellwether_worker_slots";
/// Slots whose process group lives.
pub const WORKER_SLOTS_IN_USE: &str = "bellwether_worker_slots_in_use";
/// Seconds that an attempt ran: labels [`label::KIND`] and [`label::RESULT`].
pub const TASK_RUN_DURATION_SECONDS: &str = "bellwether_task_run_duration_seconds";
/// Attempts that this worker killed: label [`label::REASON`], see [`KILL_REASONS`].
pub const TASK_KILLS_TOTAL: &str = "bellwether_task_kills_total";
/// Results that came too late to count.
pub const STALE_RESULTS_TOTAL: &str = "bellwether_stale_results_total";

/// The names of labels. Task ids, worker incarnations and free text are never labels: their number has no bound.
pub mod label {
    /// The version of the build.
    pub const VERSION: &str = "version";
    /// The role of the process.
    pub const ROLE: &str = "role";
    /// One of a closed list of states.
    pub const STATE: &str = "state";
    /// One of a closed list of events.
    pub const EVENT: &str = "event";
    /// How an outage ended.
    pub const OUTCOME: &str = "outcome";
    /// What was asked of ZooKeeper.
    pub const OP: &str = "op";
    /// How it ended.
    pub const RESULT: &str = "result";
    /// What an unknown outcome turned out to be.
    pub const RESOLUTION: &str = "resolution";
    /// The watched part of the tree.
    pub const TREE: &str = "tree";
    /// What started it.
    pub const CAUSE: &str = "cause";
    /// Why it happened.
    pub const REASON: &str = "reason";
    /// A part of a takeover.
    pub const PHASE: &str = "phase";
    /// Where a task was found.
    pub const FROM: &str = "from";
    /// What sort of task it is.
    pub const KIND: &str = "kind";
    /// The cluster's name: on every series.
    pub const CLUSTER: &str = "cluster";
}

/// States of a session.
pub const SESSION_STATES: [&str; 4] = ["connecting", "connected", "suspended", "lost"];
/// What happens to a session.
pub const SESSION_EVENTS: [&str; 9] =
    ["opened", "suspended", "resumed", "lost", "closed", "unreachable", "gave_up", "denied", "state_went_backwards"];
/// How an outage of a session ended.
pub const DISCONNECTED_OUTCOMES: [&str; 2] = ["resumed", "lost"];
/// What is asked of ZooKeeper.
pub const ZK_OPS: [&str; 7] = ["get", "children", "stat", "sync", "create", "multi", "watch"];
/// How a request ended: answered, definitely refused, without an answer.
pub const ZK_RESULTS: [&str; 3] = ["ok", "refused", "unknown"];
/// What an unknown outcome turned out to be.
pub const RESOLUTIONS: [&str; 3] = ["applied", "not_applied", "unresolved"];
/// Watched parts of the tree.
pub const TREES: [&str; 6] = ["master", "workers", "assign", "tasks", "status", "bellwether"];
/// Why everything is read again.
pub const RESYNC_CAUSES: [&str; 5] = ["start", "takeover", "resumed", "unknown_outcome", "periodic"];
/// States of a coordinator.
pub const COORDINATOR_STATES: [&str; 6] = ["connecting", "standby", "candidate", "recovering", "leading", "suspended"];
/// How a candidacy ended.
pub const ELECTION_RESULTS: [&str; 3] = ["won", "lost", "unknown"];
/// Why a term ended.
pub const LEADERSHIP_LOST_REASONS: [&str; 4] = ["stepped_down", "session_lost", "fenced", "disorder"];
/// Why the previous term ended, as its successor found it.
pub const FAILOVER_REASONS: [&str; 3] = ["stepped_down", "session_ended", "unknown"];
/// The parts of a takeover: vacancy to election, election to the first decision, decision to the first assignment.
pub const FAILOVER_PHASES: [&str; 3] = ["election", "recovery", "first_assignment"];
/// What a master's pen writes.
pub const PEN_OPS: [&str; 6] = ["assign", "cancel", "take_back", "hold", "housekeeping", "proof"];
/// What any pen writes: a master's, a worker's, a client's.
pub const WRITE_OPS: [&str; 10] =
    ["assign", "cancel", "take_back", "hold", "housekeeping", "proof", "register", "record", "give_back", "submit"];
/// Where a takeover found tasks.
pub const RECOVERED_FROM: [&str; 4] = ["pending", "held", "assigned", "gone_worker"];
/// States of a task that has not ended.
pub const TASK_STATES: [&str; 3] = ["held", "pending", "assigned"];
/// How the master ends a task.
pub const MASTER_ENDINGS: [&str; 3] = ["cancelled", "rejected", "dead"];
/// States of a worker.
pub const WORKER_STATES: [&str; 3] = ["active", "draining", "unusable"];
/// Why an incarnation went.
pub const WORKER_LOSS_REASONS: [&str; 2] = ["stopped", "vanished"];
/// What sort of task it is.
pub const TASK_KINDS: [&str; 4] = ["argv", "shell", "noop", "unknown"];
/// How an attempt ended.
pub const TASK_RESULTS: [&str; 4] = ["succeeded", "failed", "timed-out", "rejected"];
/// Why a worker killed an attempt.
pub const KILL_REASONS: [&str; 5] = ["timeout", "cancelled", "drain", "doubt", "session_lost"];

/// Upper bounds, in seconds, for what takes milliseconds: round trips and decisions.
pub const FAST_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds, in seconds, for outages and takeovers: from one round trip to several session timeouts.
pub const OUTAGE_BUCKETS: [f64; 15] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 1800.0];
/// Upper bounds, in seconds, for what tasks take: 10 ms to 24 h.
pub const TASK_BUCKETS: [f64; 17] =
    [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0];
/// Upper bounds for operations per transaction.
pub const OPS_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
    /// Is observed; exported as `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// One line of [`METRICS`].
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with its unit and without `_bucket`, `_sum`, `_count`.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// The only role that has it; `None` for all.
    pub role: Option<Role>,
    /// What it says, as Prometheus shows it.
    pub help: &'static str,
    /// Its labels, each with the values that exist from the start; empty where only the producer knows them.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

type Labels = &'static [(&'static str, &'static [&'static str])];

const fn metric(kind: Kind, role: Option<Role>, name: &'static str, labels: Labels, help: &'static str) -> Metric {
    Metric { name, kind, role, help, labels }
}

const ALL: Option<Role> = None;
const COORDINATOR: Option<Role> = Some(Role::Coordinator);
const WORKER: Option<Role> = Some(Role::Worker);
use Kind::{Counter, Gauge, Histogram};

/// Every metric there is, by role.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    metric(Gauge, ALL, BUILD_INFO, &[(label::VERSION, &[]), (label::ROLE, &[])], "1 for the build that runs"),
    metric(Gauge, ALL, ZK_SESSION_STATE, &[(label::STATE, &SESSION_STATES)], "1 for the state of the ZooKeeper session, 0 for the others"),
    metric(Counter, ALL, ZK_SESSION_EVENTS_TOTAL, &[(label::EVENT, &SESSION_EVENTS)], "what happened to the ZooKeeper session"),
    metric(Histogram, ALL, ZK_DISCONNECTED_DURATION_SECONDS, &[(label::OUTCOME, &DISCONNECTED_OUTCOMES)], "how long the session was suspended before it was resumed or lost"),
    metric(Counter, ALL, ZK_REQUESTS_TOTAL, &[(label::OP, &ZK_OPS), (label::RESULT, &ZK_RESULTS)], "requests to ZooKeeper"),
    metric(Histogram, ALL, ZK_REQUEST_DURATION_SECONDS, &[(label::OP, &ZK_OPS)], "time from a request to its answer"),
    metric(Gauge, ALL, ZK_REQUESTS_IN_FLIGHT, &[], "requests that wait for their answer"),
    metric(Counter, ALL, ZK_UNKNOWN_OUTCOMES_TOTAL, &[(label::OP, &WRITE_OPS), (label::RESOLUTION, &RESOLUTIONS)], "writes of which it was not known whether they happened"),
    metric(Counter, ALL, ZK_WATCH_EVENTS_TOTAL, &[(label::TREE, &TREES)], "watch events received"),
    metric(Counter, ALL, RESYNCS_TOTAL, &[(label::CAUSE, &RESYNC_CAUSES)], "full readings of the state"),
    metric(Counter, ALL, RESYNC_DIFFERENCES_TOTAL, &[], "differences found by the periodic full reading, should stay 0"),
    metric(Gauge, ALL, MASTER_EPOCH, &[], "the epoch as this process sees it, 0 if it knows none"),

    metric(Gauge, COORDINATOR, MASTER_IS_ACTIVE, &[], "1 while this coordinator is the active master"),
    metric(Gauge, COORDINATOR, MASTER_ELECTED_TIMESTAMP_SECONDS, &[], "Unix time of this master's election, 0 while not in office"),
    metric(Gauge, COORDINATOR, COORDINATOR_STATE, &[(label::STATE, &COORDINATOR_STATES)], "1 for the state of the coordinator, 0 for the others"),
    metric(Counter, COORDINATOR, ELECTIONS_TOTAL, &[(label::RESULT, &ELECTION_RESULTS)], "candidacies"),
    metric(Counter, COORDINATOR, LEADERSHIP_LOST_TOTAL, &[(label::REASON, &LEADERSHIP_LOST_REASONS)], "terms of this coordinator that ended"),
    metric(Counter, COORDINATOR, FAILOVERS_TOTAL, &[(label::REASON, &FAILOVER_REASONS)], "takeovers from an earlier master, by why its term ended"),
    metric(Histogram, COORDINATOR, FAILOVER_DURATION_SECONDS, &[(label::PHASE, &FAILOVER_PHASES)], "time that each phase of a takeover took"),
    metric(Counter, COORDINATOR, FENCED_WRITES_TOTAL, &[(label::OP, &PEN_OPS)], "writes of a past term that the fence refused"),
    metric(Counter, COORDINATOR, RECOVERED_TASKS_TOTAL, &[(label::FROM, &RECOVERED_FROM)], "tasks found at takeovers, by where they were"),
    metric(Gauge, COORDINATOR, TASKS, &[(label::STATE, &TASK_STATES)], "tasks that have not ended, as the master sees them"),
    metric(Gauge, COORDINATOR, OLDEST_PENDING_TASK_AGE_SECONDS, &[], "age of the oldest pending task"),
    metric(Counter, COORDINATOR, TASKS_ASSIGNED_TOTAL, &[], "assignments committed"),
    metric(Counter, COORDINATOR, TASKS_ENDED_TOTAL, &[(label::RESULT, &MASTER_ENDINGS)], "tasks that the master ended itself"),
    metric(Histogram, COORDINATOR, TASK_QUEUE_DURATION_SECONDS, &[], "time from a task's submission to its assignment"),
    metric(Histogram, COORDINATOR, TASK_ASSIGN_DURATION_SECONDS, &[], "time from the decision to assign to ZooKeeper's answer"),
    metric(Gauge, COORDINATOR, WORKERS, &[(label::STATE, &WORKER_STATES)], "workers as the master sees them"),
    metric(Counter, COORDINATOR, WORKER_JOINS_TOTAL, &[], "worker incarnations that registered"),
    metric(Counter, COORDINATOR, WORKER_LOSSES_TOTAL, &[(label::REASON, &WORKER_LOSS_REASONS)], "worker incarnations that went"),
    metric(Histogram, ALL, ZK_MULTI_OPS, &[], "operations per transaction"),

    metric(Counter, WORKER, TASKS_COMPLETED_TOTAL, &[(label::KIND, &TASK_KINDS), (label::RESULT, &TASK_RESULTS)], "attempts whose result was recorded"),
    metric(Gauge, WORKER, WORKER_SLOTS, &[], "slots of this worker"),
    metric(Gauge, WORKER, WORKER_SLOTS_IN_USE, &[], "slots of this worker in which something runs"),
    metric(Histogram, WORKER, TASK_RUN_DURATION_SECONDS, &[(label::KIND, &TASK_KINDS), (label::RESULT, &TASK_RESULTS)], "time that attempts ran"),
    metric(Counter, WORKER, TASK_KILLS_TOTAL, &[(label::REASON, &KILL_REASONS)], "attempts that this worker killed"),
    metric(Counter, WORKER, STALE_RESULTS_TOTAL, &[], "results that came too late to count"),

    metric(Counter, ALL, "process_cpu_seconds_total", &[], "user and system CPU time"),
    metric(Gauge, ALL, "process_open_fds", &[], "open file descriptors"),
    metric(Gauge, ALL, "process_max_fds", &[], "limit of open file descriptors, 0 for none"),
    metric(Gauge, ALL, "process_virtual_memory_bytes", &[], "virtual memory"),
    metric(Gauge, ALL, "process_virtual_memory_max_bytes", &[], "limit of virtual memory, 0 for none"),
    metric(Gauge, ALL, "process_resident_memory_bytes", &[], "resident memory"),
    metric(Gauge, ALL, "process_start_time_seconds", &[], "Unix time of the process's start"),
    metric(Gauge, ALL, "process_threads", &[], "threads"),
];

/// Reads the process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct MetricsHandle {
    prometheus: PrometheusHandle,
}

/// The process has a recorder of metrics already.
#[derive(Debug, thiserror::Error)]
#[error("metrics are installed already")]
pub struct AlreadyInstalled;

/// Installs the recorder of this process and brings every known series of `role` into being. Call it once, before anything counts.
///
/// # Errors
/// [`AlreadyInstalled`]: a library user has a recorder of its own; go on without ours.
pub fn install(cluster: &str, role: Role) -> Result<MetricsHandle, AlreadyInstalled> {
    let prometheus = builder(cluster).install_recorder().map_err(|_| AlreadyInstalled)?;
    describe(role);
    Ok(MetricsHandle { prometheus })
}

/// Sets the series of `gauge` whose `label` is `current` to 1 and those of the other `values` to 0.
pub fn set_one(gauge: &'static str, label: &'static str, values: &[&'static str], current: &'static str) {
    debug_assert!(values.contains(&current), "{current:?} is no known {label} of {gauge}");
    for value in values {
        gauge!(gauge, label => *value).set(f64::from(u8::from(*value == current)));
    }
}

/// The metric that a series in PromQL belongs to: its own name, or a histogram's with `_bucket`, `_sum` or `_count`.
#[must_use]
pub fn find(series: &str) -> Option<&'static Metric> {
    let whole = METRICS.iter().find(|metric| metric.name == series && metric.kind != Kind::Histogram);
    whole.or_else(|| {
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| series.strip_suffix(suffix))?;
        METRICS.iter().find(|metric| metric.name == name && metric.kind == Kind::Histogram)
    })
}

impl MetricsHandle {
    /// All series in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        collect_process();
        self.prometheus.render()
    }

    /// A reader of a recorder that is not this process's, with everything at zero: for tests of what serves it.
    #[cfg(test)]
    pub(crate) fn detached(cluster: &str) -> Self {
        let recorder = builder(cluster).build_recorder();
        metrics::with_local_recorder(&recorder, || describe(Role::Coordinator));
        Self { prometheus: recorder.handle() }
    }

    /// Empties the histograms' buffers. Call it every few seconds: without scrapes they would grow without bound.
    pub fn run_upkeep(&self) {
        self.prometheus.run_upkeep();
    }
}

impl fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Buckets for everything, by suffix and by default: a histogram without buckets would be exported as a summary, which cannot be
/// added up over processes.
fn builder(cluster: &str) -> PrometheusBuilder {
    let suffixes: [(&str, &[f64]); 5] = [
        ("_disconnected_duration_seconds", &OUTAGE_BUCKETS),
        ("_failover_duration_seconds", &OUTAGE_BUCKETS),
        ("_queue_duration_seconds", &TASK_BUCKETS),
        ("_run_duration_seconds", &TASK_BUCKETS),
        ("_ops", &OPS_BUCKETS),
    ];
    let plain = PrometheusBuilder::new().add_global_label(label::CLUSTER, cluster);
    let everything = plain.set_buckets(&FAST_BUCKETS).expect("there are buckets");
    suffixes.into_iter().fold(everything, |builder, (suffix, buckets)| {
        builder.set_buckets_for_metric(Matcher::Suffix(suffix.into()), buckets).expect("there are buckets")
    })
}

/// Describes every metric of `role` and touches its known series.
fn describe(role: Role) {
    let mine = METRICS.iter().filter(|metric| metric.role.is_none_or(|only| only == role));
    for metric in mine {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
        for labels in known_series(metric) {
            touch(metric, labels);
        }
    }
    gauge!(BUILD_INFO, label::VERSION => env!("CARGO_PKG_VERSION"), label::ROLE => role.as_str()).set(1.0);
}

fn touch(metric: &Metric, labels: Vec<Label>) {
    match metric.kind {
        Kind::Counter => counter!(metric.name, labels).increment(0),
        Kind::Gauge => gauge!(metric.name, labels).set(0.0),
        // To register it is enough: an empty histogram is rendered with zeros.
        Kind::Histogram => drop(histogram!(metric.name, labels)),
    }
}

/// Every combination of the metric's label values; none if it has a label whose values only the producer knows.
fn known_series(metric: &Metric) -> Vec<Vec<Label>> {
    metric.labels.iter().fold(vec![Vec::new()], |series, (name, values)| {
        let with = |labels: &Vec<Label>| -> Vec<Vec<Label>> {
            values.iter().map(|value| [labels.as_slice(), &[Label::from_static_parts(name, value)]].concat()).collect()
        };
        series.iter().flat_map(with).collect()
    })
}

/// Reads `/proc`; what cannot be read keeps its old value.
fn collect_process() {
    let process = metrics_process::collector::collect();
    if let Some(seconds) = process.cpu_seconds_total {
        // Counters are whole numbers: a second is fine enough for a rate over a minute.
        counter!("process_cpu_seconds_total").absolute(seconds as u64);
    }
    let gauges = [
        ("process_open_fds", process.open_fds),
        ("process_max_fds", process.max_fds),
        ("process_virtual_memory_bytes", process.virtual_memory_bytes),
        ("process_virtual_memory_max_bytes", process.virtual_memory_max_bytes),
        ("process_resident_memory_bytes", process.resident_memory_bytes),
        ("process_start_time_seconds", process.start_time_seconds),
        ("process_threads", process.threads),
    ];
    for (name, value) in gauges {
        if let Some(value) = value {
            gauge!(name).set(value as f64);
        }
    }
}

#[cfg(test)]
mod tests;
