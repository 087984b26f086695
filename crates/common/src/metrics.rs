//! Every metric of every service: names, labels, the values that labels take, help texts, buckets.
//!
//! What lives here: the one table [`METRICS`], from which `docs/reference/metrics.md` is written ([`mod@reference`]). What does not: how
//! it is installed into the process and rendered (`recorder`), labels that somebody else chooses ([`Bounded`]), and the places that
//! count; they use the name constants with the macros of the `metrics` crate.

mod bounded;
mod recorder;
pub mod reference;

use crate::config::Role;

pub use bounded::{Bounded, OTHER};
pub use recorder::{AlreadyInstalled, MetricsHandle, More, before_each_scrape, find, install, install_or_share, set_one};

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
/// 1 if the configuration that was last read was right, 0 if it was refused and the one before it stays in force.
pub const CONFIG_LAST_RELOAD_SUCCESSFUL: &str = "bellwether_config_last_reload_successful";

/// 1 while this coordinator is in office and its session is connected.
pub const MASTER_IS_ACTIVE: &str = "bellwether_master_is_active";
/// 1 while this coordinator rules and somebody wants nothing to be assigned.
pub const MASTER_PAUSED: &str = "bellwether_master_paused";
/// 0 while any work may come in.
pub const ADMISSION_CLOSED: &str = "bellwether_admission_closed";
/// Requests to workers to give back what they have not started.
pub const RECALLS_TOTAL: &str = "bellwether_recalls_total";
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
/// Elements of arrays that have not ended, as the master sees them: label [`label::STATE`], see [`ELEMENT_STATES`].
pub const ARRAY_ELEMENTS: &str = "bellwether_array_elements";
/// Elements of arrays that ended, for good: label [`label::RESULT`], see [`ELEMENT_RESULTS`].
pub const ARRAY_ELEMENTS_ENDED_TOTAL: &str = "bellwether_array_elements_ended_total";
/// Pieces of arrays that were given to workers.
pub const ARRAY_PIECES_ASSIGNED_TOTAL: &str = "bellwether_array_pieces_assigned_total";
/// Arrays that ended: label [`label::RESULT`], see [`ARRAY_RESULTS`].
pub const ARRAYS_ENDED_TOTAL: &str = "bellwether_arrays_ended_total";
/// What somebody changed by hand of what is kept of an array: label [`label::RESULT`], see [`DAMAGE_RESULTS`].
pub const ARRAY_DAMAGES_TOTAL: &str = "bellwether_array_damages_total";
/// Elements whose attempts this worker recorded.
pub const ARRAY_ELEMENTS_RECORDED_TOTAL: &str = "bellwether_array_elements_recorded_total";
/// Seconds that a task waited under `/tasks` before it was assigned: since it was submitted, or since it was given back.
pub const TASK_QUEUE_DURATION_SECONDS: &str = "bellwether_task_queue_duration_seconds";
/// Seconds from the decision to assign to the answer.
pub const TASK_ASSIGN_DURATION_SECONDS: &str = "bellwether_task_assign_duration_seconds";
/// Results of an earlier life of `/tasks` that the master deleted.
pub const SWEPT_RESULTS_TOTAL: &str = "bellwether_swept_results_total";
/// Results that are kept, as the master's janitor knows them.
pub const RESULTS: &str = "bellwether_results";
/// Bytes of them.
pub const RESULTS_BYTES: &str = "bellwether_results_bytes";
/// Results that are kept although they are too many or too large, because somebody waits; 0 if they are not.
pub const RESULTS_KEPT_IN_SPITE: &str = "bellwether_results_kept_in_spite";
/// What the master's janitor removed: label [`label::WHAT`], see [`REMOVED`].
pub const REMOVED_TOTAL: &str = "bellwether_removed_total";
/// Schedules that wait for a tick.
pub const SCHEDULES: &str = "bellwether_schedules";
/// Ticks of schedules: label [`label::RESULT`], see [`SCHEDULE_RESULTS`].
pub const SCHEDULE_TICKS_TOTAL: &str = "bellwether_schedule_ticks_total";
/// Seconds from a tick to its task, by ZooKeeper's clock.
pub const SCHEDULE_LATENESS_SECONDS: &str = "bellwether_schedule_lateness_seconds";
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
/// Seconds from a task's submission to its recorded result, all attempts and delays among them: labels [`label::KIND`] and
/// [`label::RESULT`]. Of tasks whose name says when they were submitted: see
/// [`submitted_ms`](bellwether_core::protocol::TaskName::submitted_ms).
pub const TASK_END_TO_END_DURATION_SECONDS: &str = "bellwether_task_end_to_end_duration_seconds";
/// Failed attempts that will be followed by another: label [`label::REASON`], see [`RETRY_REASONS`].
pub const TASK_RETRIES_TOTAL: &str = "bellwether_task_retries_total";
/// Tasks that this worker recorded as failed with all their retries spent, and put aside as dead letters. Those that cost too many
/// workers are the master's: [`TASKS_ENDED_TOTAL`].
pub const TASK_DEAD_LETTERS_TOTAL: &str = "bellwether_task_dead_letters_total";
/// Seconds that an attempt of this worker ran on while another worker had the task already; 0 where they did not overlap.
pub const ATTEMPT_OVERLAP_SECONDS: &str = "bellwether_attempt_overlap_seconds";
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

/// Whether a ZooKeeper server answered the exporter: 1 or 0; label [`label::SERVER`].
pub const ZOOKEEPER_UP: &str = "bellwether_zookeeper_up";
/// Seconds that the server took to answer, or to be given up: label [`label::SERVER`].
pub const ZOOKEEPER_SCRAPE_DURATION_SECONDS: &str = "bellwether_zookeeper_scrape_duration_seconds";
/// 1 for the state that the server says of itself, 0 for the others: labels [`label::SERVER`] and [`label::STATE`], see
/// [`ZOOKEEPER_STATES`].
pub const ZOOKEEPER_SERVER_STATE: &str = "bellwether_zookeeper_server_state";
/// 1 for the version that the server says of itself: labels [`label::SERVER`] and [`label::VERSION`].
pub const ZOOKEEPER_VERSION_INFO: &str = "bellwether_zookeeper_version_info";

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
    /// A ZooKeeper server, `host:port` as configured.
    pub const SERVER: &str = "server";
    /// What was removed.
    pub const WHAT: &str = "what";
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
pub const ZK_OPS: [&str; 8] = ["get", "children", "stat", "sync", "create", "multi", "watch", "acl"];
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
pub const PEN_OPS: [&str; 7] = ["assign", "cancel", "take_back", "hold", "schedule", "housekeeping", "proof"];
/// What any pen writes: a master's, a worker's, a client's.
pub const WRITE_OPS: [&str; 11] =
    ["assign", "cancel", "take_back", "hold", "schedule", "housekeeping", "proof", "register", "record", "give_back", "submit"];
/// Where a takeover found tasks.
pub const RECOVERED_FROM: [&str; 4] = ["pending", "held", "assigned", "gone_worker"];
/// States of a task that has not ended.
pub const TASK_STATES: [&str; 3] = ["held", "pending", "assigned"];
/// Where elements are that have not ended: in an array's `todo`, or with workers and recorded but not taken in.
pub const ELEMENT_STATES: [&str; 2] = ["waiting", "assigned"];
/// How elements of arrays end.
pub const ELEMENT_RESULTS: [&str; 6] = ["succeeded", "failed", "timed-out", "rejected", "cancelled", "dead"];
/// Values of [`label::RESULT`] for what was damaged: `left` waits for somebody who mends it.
pub const DAMAGE_RESULTS: [&str; 2] = ["mended", "left"];
/// How arrays end.
pub const ARRAY_RESULTS: [&str; 4] = ["succeeded", "failed", "timed-out", "cancelled"];
/// How the master ends a task.
pub const MASTER_ENDINGS: [&str; 4] = ["cancelled", "rejected", "dead", "timed-out"];
/// What the janitor removes: results, details whose status was gone, guards of submissions, guards of keys.
pub const REMOVED: [&str; 4] = ["results", "details", "submissions", "keys"];
/// What became of a tick: a task, or none, because it was not made up for, the task before had not ended, or the name was taken.
/// Ticks that are left out together count once.
pub const SCHEDULE_RESULTS: [&str; 4] = ["fired", "missed", "overlap", "taken"];
/// States of a worker.
pub const WORKER_STATES: [&str; 4] = ["active", "draining", "drained", "unusable"];
/// Why an incarnation went.
pub const WORKER_LOSS_REASONS: [&str; 2] = ["stopped", "vanished"];
/// What sort of task it is. Handlers of a program that embeds a worker add their own, up to a bound: see [`Bounded`].
pub const TASK_KINDS: [&str; 5] = ["argv", "shell", "noop", "unknown", OTHER];
/// Why an attempt failed that will be followed by another.
pub const RETRY_REASONS: [&str; 6] = ["exit", "signal", "timeout", "not_started", "error", "panic"];
/// What a ZooKeeper server says of itself.
pub const ZOOKEEPER_STATES: [&str; 5] = ["leader", "follower", "observer", "standalone", "read-only"];
/// How an attempt ended.
pub const TASK_RESULTS: [&str; 4] = ["succeeded", "failed", "timed-out", "rejected"];
/// Why a worker killed an attempt.
pub const KILL_REASONS: [&str; 6] = ["timeout", "cancelled", "withdrawn", "drain", "doubt", "session_lost"];

/// Upper bounds, in seconds, for what takes milliseconds: round trips and decisions.
pub const FAST_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds, in seconds, for outages and takeovers: from one round trip to several session timeouts.
pub const OUTAGE_BUCKETS: [f64; 15] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 1800.0];
/// Upper bounds, in seconds, for what tasks take: 10 ms to 24 h.
pub const TASK_BUCKETS: [f64; 17] =
    [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0];
/// Upper bounds, in seconds, for what should be 0 and must be told from it.
pub const OVERLAP_BUCKETS: [f64; 12] = [0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
/// Upper bounds for operations per transaction.
pub const OPS_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// The bounds of a histogram, by how its name ends; the first that fits. For all others, [`FAST_BUCKETS`].
pub const BUCKETS: [(&str, &[f64]); 8] = [
    ("_schedule_lateness_seconds", &OUTAGE_BUCKETS),
    ("_disconnected_duration_seconds", &OUTAGE_BUCKETS),
    ("_failover_duration_seconds", &OUTAGE_BUCKETS),
    ("_queue_duration_seconds", &TASK_BUCKETS),
    ("_run_duration_seconds", &TASK_BUCKETS),
    ("_end_to_end_duration_seconds", &TASK_BUCKETS),
    ("_overlap_seconds", &OVERLAP_BUCKETS),
    ("_ops", &OPS_BUCKETS),
];

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
    /// The only role that has it; `None` for coordinator and worker.
    pub role: Option<Role>,
    /// What it says, as Prometheus shows it.
    pub help: &'static str,
    /// Its labels, each with the values that exist from the start; empty where only the producer knows them.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

impl Metric {
    /// Whether processes of this role export it. The exporter has no session: of what is common it has only what any process has.
    #[must_use]
    pub fn is_of(&self, role: Role) -> bool {
        match (self.role, role) {
            (Some(only), role) => only == role,
            (None, Role::Exporter) => self.name == BUILD_INFO || self.name.starts_with("process_"),
            (None, Role::Coordinator | Role::Worker | Role::Client) => true,
        }
    }

    /// The upper bounds of a histogram; none for the others.
    #[must_use]
    pub fn buckets(&self) -> &'static [f64] {
        match self.kind {
            Kind::Counter | Kind::Gauge => &[],
            Kind::Histogram => BUCKETS.iter().find(|(suffix, _)| self.name.ends_with(suffix)).map_or(&FAST_BUCKETS, |(_, bounds)| bounds),
        }
    }
}

type Labels = &'static [(&'static str, &'static [&'static str])];

const fn metric(kind: Kind, role: Option<Role>, name: &'static str, labels: Labels, help: &'static str) -> Metric {
    Metric { name, kind, role, help, labels }
}

const ALL: Option<Role> = None;
const COORDINATOR: Option<Role> = Some(Role::Coordinator);
const WORKER: Option<Role> = Some(Role::Worker);
const EXPORTER: Option<Role> = Some(Role::Exporter);
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
    metric(Gauge, ALL, CONFIG_LAST_RELOAD_SUCCESSFUL, &[], "1 if the configuration last read is in force, 0 if it was refused and the one before stays"),

    metric(Gauge, COORDINATOR, ADMISSION_CLOSED, &[], "how many limits keep work out, as the active master sees it: too many waiting tasks, a quota, too many results"),
    metric(Gauge, COORDINATOR, MASTER_PAUSED, &[], "1 while this coordinator is the active master and nothing is assigned, because somebody wants it so"),
    metric(Counter, COORDINATOR, RECALLS_TOTAL, &[], "requests to workers to give back what they have not started"),
    metric(Gauge, COORDINATOR, MASTER_IS_ACTIVE, &[], "1 while this coordinator is the active master"),
    metric(Gauge, COORDINATOR, MASTER_ELECTED_TIMESTAMP_SECONDS, &[], "Unix time of this master's election, 0 while not in office"),
    metric(Gauge, COORDINATOR, COORDINATOR_STATE, &[(label::STATE, &COORDINATOR_STATES)], "1 for the state of the coordinator, 0 for the others"),
    metric(Counter, COORDINATOR, ELECTIONS_TOTAL, &[(label::RESULT, &ELECTION_RESULTS)], "candidacies"),
    metric(Counter, COORDINATOR, LEADERSHIP_LOST_TOTAL, &[(label::REASON, &LEADERSHIP_LOST_REASONS)], "terms of this coordinator that ended"),
    metric(Counter, COORDINATOR, FAILOVERS_TOTAL, &[(label::REASON, &FAILOVER_REASONS)], "takeovers from an earlier master, by why its term ended"),
    metric(Histogram, COORDINATOR, FAILOVER_DURATION_SECONDS, &[(label::PHASE, &FAILOVER_PHASES)], "time that each phase of a takeover took; election is the time without a master"),
    metric(Counter, COORDINATOR, FENCED_WRITES_TOTAL, &[(label::OP, &PEN_OPS)], "writes of a past term that the fence refused"),
    metric(Counter, COORDINATOR, RECOVERED_TASKS_TOTAL, &[(label::FROM, &RECOVERED_FROM)], "tasks found at takeovers, by where they were"),
    metric(Gauge, COORDINATOR, TASKS, &[(label::STATE, &TASK_STATES)], "tasks that have not ended, as the master sees them"),
    metric(Gauge, COORDINATOR, OLDEST_PENDING_TASK_AGE_SECONDS, &[], "age of the oldest pending task"),
    metric(Counter, COORDINATOR, TASKS_ASSIGNED_TOTAL, &[], "assignments committed"),
    metric(Counter, COORDINATOR, TASKS_ENDED_TOTAL, &[(label::RESULT, &MASTER_ENDINGS)], "tasks that the master ended itself"),
    metric(Gauge, COORDINATOR, ARRAY_ELEMENTS, &[(label::STATE, &ELEMENT_STATES)], "elements of arrays that have not ended, as the master sees them"),
    metric(Counter, COORDINATOR, ARRAY_ELEMENTS_ENDED_TOTAL, &[(label::RESULT, &ELEMENT_RESULTS)], "elements of arrays that ended for good"),
    metric(Counter, COORDINATOR, ARRAY_PIECES_ASSIGNED_TOTAL, &[], "pieces of arrays that were given to workers"),
    metric(Counter, COORDINATOR, ARRAYS_ENDED_TOTAL, &[(label::RESULT, &ARRAY_RESULTS)], "arrays that ended"),
    metric(Counter, COORDINATOR, ARRAY_DAMAGES_TOTAL, &[(label::RESULT, &DAMAGE_RESULTS)], "nodes of arrays that somebody damaged by hand"),
    metric(Histogram, COORDINATOR, TASK_QUEUE_DURATION_SECONDS, &[], "time that tasks waited under /tasks before they were assigned, since they were submitted or given back"),
    metric(Histogram, COORDINATOR, TASK_ASSIGN_DURATION_SECONDS, &[], "time from the decision to assign to ZooKeeper's answer"),
    metric(Counter, COORDINATOR, SWEPT_RESULTS_TOTAL, &[], "results of an earlier life of /tasks that were deleted"),
    metric(Gauge, COORDINATOR, RESULTS, &[], "results that are kept, as the janitor of the master knows them"),
    metric(Gauge, COORDINATOR, RESULTS_BYTES, &[], "bytes of the results that are kept"),
    metric(Gauge, COORDINATOR, RESULTS_KEPT_IN_SPITE, &[], "results that are kept although they are too many or too large, because somebody waits, else 0"),
    metric(Counter, COORDINATOR, REMOVED_TOTAL, &[(label::WHAT, &REMOVED)], "what the janitor of the master removed"),
    metric(Gauge, COORDINATOR, SCHEDULES, &[], "schedules that wait for a tick"),
    metric(Counter, COORDINATOR, SCHEDULE_TICKS_TOTAL, &[(label::RESULT, &SCHEDULE_RESULTS)], "ticks of schedules, those that are left out together once"),
    metric(Histogram, COORDINATOR, SCHEDULE_LATENESS_SECONDS, &[], "time from a tick of a schedule to its task"),
    metric(Gauge, COORDINATOR, WORKERS, &[(label::STATE, &WORKER_STATES)], "workers as the master sees them"),
    metric(Counter, COORDINATOR, WORKER_JOINS_TOTAL, &[], "worker incarnations that registered"),
    metric(Counter, COORDINATOR, WORKER_LOSSES_TOTAL, &[(label::REASON, &WORKER_LOSS_REASONS)], "worker incarnations that went"),
    metric(Histogram, ALL, ZK_MULTI_OPS, &[], "operations per transaction"),

    metric(Counter, WORKER, TASKS_COMPLETED_TOTAL, &[(label::KIND, &TASK_KINDS), (label::RESULT, &TASK_RESULTS)], "attempts whose result was recorded"),
    metric(Counter, WORKER, ARRAY_ELEMENTS_RECORDED_TOTAL, &[], "elements of arrays of which this worker recorded an attempt"),
    metric(Gauge, WORKER, WORKER_SLOTS, &[], "slots of this worker"),
    metric(Gauge, WORKER, WORKER_SLOTS_IN_USE, &[], "slots of this worker in which something runs"),
    metric(Histogram, WORKER, TASK_RUN_DURATION_SECONDS, &[(label::KIND, &TASK_KINDS), (label::RESULT, &TASK_RESULTS)], "time that attempts ran"),
    metric(Histogram, WORKER, TASK_END_TO_END_DURATION_SECONDS, &[(label::KIND, &TASK_KINDS), (label::RESULT, &TASK_RESULTS)], "time from the submission of tasks to their recorded result, attempts and delays among them"),
    metric(Counter, WORKER, TASK_RETRIES_TOTAL, &[(label::REASON, &RETRY_REASONS)], "attempts that failed and are followed by another"),
    metric(Counter, WORKER, TASK_DEAD_LETTERS_TOTAL, &[], "tasks that failed with all their retries spent and were put aside as dead letters"),
    metric(Histogram, WORKER, ATTEMPT_OVERLAP_SECONDS, &[], "time that attempts ran on while another worker had the task, 0 where they did not"),
    metric(Counter, WORKER, TASK_KILLS_TOTAL, &[(label::REASON, &KILL_REASONS)], "attempts that this worker killed"),
    metric(Counter, WORKER, STALE_RESULTS_TOTAL, &[], "results that came too late to count"),

    metric(Gauge, EXPORTER, ZOOKEEPER_UP, &[(label::SERVER, &[])], "1 if the ZooKeeper server answered, 0 if not"),
    metric(Gauge, EXPORTER, ZOOKEEPER_SCRAPE_DURATION_SECONDS, &[(label::SERVER, &[])], "time that the server took to answer, or to be given up"),
    metric(Gauge, EXPORTER, ZOOKEEPER_SERVER_STATE, &[(label::SERVER, &[]), (label::STATE, &ZOOKEEPER_STATES)], "1 for the state that the server says of itself, 0 for the others"),
    metric(Gauge, EXPORTER, ZOOKEEPER_VERSION_INFO, &[(label::SERVER, &[]), (label::VERSION, &[])], "1 for the version that the server says of itself"),

    metric(Counter, ALL, "process_cpu_seconds_total", &[], "user and system CPU time"),
    metric(Gauge, ALL, "process_open_fds", &[], "open file descriptors"),
    metric(Gauge, ALL, "process_max_fds", &[], "limit of open file descriptors, 0 for none"),
    metric(Gauge, ALL, "process_virtual_memory_bytes", &[], "virtual memory"),
    metric(Gauge, ALL, "process_virtual_memory_max_bytes", &[], "limit of virtual memory, 0 for none"),
    metric(Gauge, ALL, "process_resident_memory_bytes", &[], "resident memory"),
    metric(Gauge, ALL, "process_start_time_seconds", &[], "Unix time of the process's start"),
    metric(Gauge, ALL, "process_threads", &[], "threads"),
];

#[cfg(test)]
mod tests;
