//! What operators see of a worker: metrics, logs and the line of its health page. Decides nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bellwether_common::clock;
use bellwether_common::metrics::{self as names, Bounded};
use bellwether_common::pen::{Resolution, count_resolution};
use bellwether_core::agent::{Agent, Event, Fact, KillReason, Order, Timer};
use bellwether_core::lifecycle::Ending;
use bellwether_core::protocol::payload::Command;
use bellwether_core::protocol::result::{TaskOutcome, TaskResult};
use bellwether_core::protocol::{Multi, Op, Outcome, TaskName, path};
use metrics::{counter, gauge, histogram};
use tracing::{debug, error, info, warn};

use crate::executor::RunEnded;

/// How many kinds beyond our own are told apart.
const KINDS_MAX: usize = 32;

/// What is remembered to tell one series from another.
pub(crate) struct Observer {
    slots: u32,
    /// Tasks that run, or whose results are not recorded yet.
    kinds: HashMap<TaskName, Started>,
    /// Kinds are chosen by whoever writes handlers.
    bound: Bounded,
    /// Transactions that are not answered: their purpose, and a task whose assignment they delete.
    writing: HashMap<u64, Written>,
    /// Tasks whose results come with a dead letter, until they are recorded.
    letters: HashSet<TaskName>,
    /// Transactions of which nobody knows yet whether they were applied.
    unknown: Vec<Written>,
    /// Why everything would be read again now.
    cause: &'static str,
    said: Option<(bool, String)>,
}

type Written = (&'static str, Option<TaskName>);

/// What was started for a task.
struct Started {
    czxid: i64,
    kind: String,
    trace: Option<String>,
}

impl Observer {
    pub(crate) fn new(slots: u32) -> Self {
        gauge!(names::WORKER_SLOTS).set(slots);
        let bound = Bounded::new(&names::TASK_KINDS, KINDS_MAX);
        let (kinds, writing, letters) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { slots, kinds, bound, writing, letters, unknown: Vec::new(), cause: "start", said: None }
    }

    /// Before core hears of it.
    pub(crate) fn hear(&mut self, event: &Event) {
        match event {
            Event::SessionResumed => self.cause = "resumed",
            Event::Rang(Timer::Retry) => self.cause = "unknown_outcome",
            Event::RegisterEnded(outcome) => {
                self.cause = "start";
                if *outcome == Outcome::Unknown {
                    self.unknown.push(("register", None));
                }
            }
            Event::RegistrationRead(there) => {
                self.cause = "start";
                self.resolve(|(op, _)| (*op == "register").then_some(*there));
            }
            Event::WriteEnded(id, outcome) => {
                let written = self.writing.remove(id);
                self.unknown.extend(written.filter(|_| *outcome == Outcome::Unknown));
            }
            Event::BoxListed(_, Some(tasks)) => self.resolve(|(_, deletes)| deletes.as_ref().map(|task| !tasks.contains(task))),
            Event::SessionLost => self.lost(),
            Event::EpochRead { epoch, .. } => gauge!(names::MASTER_EPOCH).set(*epoch),
            _ => {}
        }
    }

    /// Counts what is known now: `Some(true)` for applied. What has no mark of its own that could be read was never told.
    fn resolve(&mut self, applied: impl Fn(&Written) -> Option<bool>) {
        self.unknown.retain(|written| match applied(written) {
            Some(applied) => {
                count_resolution(written.0, if applied { Resolution::Applied } else { Resolution::NotApplied });
                false
            }
            None => true,
        });
    }

    fn lost(&mut self) {
        let unanswered = self.writing.drain().map(|(_, written)| written);
        self.unknown.drain(..).chain(unanswered).for_each(|(op, _)| count_resolution(op, Resolution::Abandoned));
        self.kinds.clear();
    }

    pub(crate) fn resync(&self) {
        counter!(names::RESYNCS_TOTAL, "cause" => self.cause).increment(1);
    }

    pub(crate) fn writing(&mut self, id: u64, multi: &Multi) {
        let deleted = multi.ops.iter().find_map(|op| match op {
            Op::Delete { path, .. } if path.starts_with(path::ASSIGN) => path.rsplit('/').next().map(TaskName::listed),
            Op::Delete { .. } | Op::Check { .. } | Op::Create { .. } | Op::Set { .. } => None,
        });
        self.letters.extend(multi.ops.iter().filter_map(letter));
        self.writing.insert(id, (purpose(multi), deleted));
    }

    pub(crate) fn starting(&mut self, order: &Order) {
        let trace = order.task.envelope.trace.as_ref().map(|trace| trace.trace_id().to_owned());
        let attempt = order.task.envelope.attempt();
        debug!(task = %order.id.task, attempt, worker = %order.worker, epoch = order.epoch, trace, "starting task");
        let kind = match &order.task.command {
            Command::Argv(_) => "argv",
            Command::Shell(_) => "shell",
            Command::Typed { kind, .. } => kind,
        };
        let kind = self.bound.value(kind).to_owned();
        self.kinds.insert(order.id.task.clone(), Started { czxid: order.id.czxid, kind, trace });
    }

    pub(crate) fn run_ended(&mut self, ended: &RunEnded) {
        debug!(task = %ended.id.task, how = shown(&ended.how), took_seconds = ended.took.as_secs_f64(), "run ended");
        let kind = self.kinds.get(&ended.id.task).filter(|started| started.czxid == ended.id.czxid).map(|started| started.kind.clone());
        let result = match &ended.how {
            Ending::Exited(0) | Ending::Returned(_) => "succeeded",
            Ending::Exited(_) | Ending::Signalled(_) | Ending::NotStarted { .. } | Ending::Errored { .. } => "failed",
            Ending::TimedOut | Ending::Stuck => "timed-out",
            // It did not run, so that its time says nothing.
            Ending::Rejected(why) => {
                return warn!(task = %ended.id.task, why = why.word(), "a task was not run; its result says more");
            }
            // It has no result.
            Ending::Killed => {
                if kind.is_some() {
                    self.kinds.remove(&ended.id.task);
                }
                return;
            }
        };
        // One that was stuck, and has let go of its thread at last, was counted then.
        let Some(kind) = kind else { return };
        if ended.how == Ending::TimedOut {
            warn!(task = %ended.id.task, "task killed: it ran longer than it may");
            killed(1, "timeout");
        }
        let took = ended.took.as_secs_f64();
        histogram!(names::TASK_RUN_DURATION_SECONDS, "kind" => kind, "result" => result).record(took);
    }

    pub(crate) fn tell(&mut self, fact: &Fact) {
        match fact {
            Fact::Registered(worker) => info!(%worker, slots = self.slots, "registered"),
            Fact::Recorded(result) => self.recorded(result),
            Fact::Stale(task) => {
                info!(%task, "result dropped: the assignment is not ours any more");
                self.kinds.remove(task);
                self.letters.remove(task);
                counter!(names::STALE_RESULTS_TOTAL).increment(1);
            }
            Fact::TriedAgain { task, attempt, reason, delay } => {
                let (reason, after_seconds) = (reason.as_str(), delay.as_secs_f64());
                info!(%task, attempt, reason, after_seconds, "attempt failed, another follows");
                self.kinds.remove(task);
                counter!(names::TASK_RETRIES_TOTAL, "reason" => reason).increment(1);
            }
            Fact::PieceRecorded(piece, record) => {
                let (elements, given_back) = (record.done(), record.rest.map_or(0, |rest| rest.len()));
                debug!(%piece, elements, given_back, "piece recorded");
                self.kinds.remove(piece);
                counter!(names::ARRAY_ELEMENTS_RECORDED_TOTAL).increment(u64::from(elements));
            }
            Fact::GaveBack(task) => {
                info!(%task, "task given back");
                self.kinds.remove(task);
            }
            Fact::Killed { commands, reason } => {
                let (label, why) = words(*reason);
                warn!(commands, reason = label, "commands killed: {why}");
                killed(*commands, label);
            }
            Fact::DrainAsked { mode, reason } => {
                warn!(mode = mode.as_str(), reason, "asked to drain: nothing more is started");
            }
            Fact::DrainWithdrawn => info!("drained no more: takes work again"),
            Fact::NotStarted(task) => warn!(%task, "task waited for a slot longer than it may, and goes back"),
            Fact::Overlapped { task, overlap, error } => overlapped(task, overlap.as_secs_f64(), error.as_secs_f64()),
            Fact::Surprised { path, why } => error!(path, %why, "zookeeper refused what it should not; left as it is"),
        }
    }

    fn recorded(&mut self, result: &TaskResult) {
        let TaskResult { task, outcome, attempt, exit, signal, epoch, .. } = result;
        // What was rejected never ran.
        let (kind, trace) = self.kinds.remove(task).map_or_else(|| (unknown(), None), |started| (started.kind, started.trace));
        let worker = result.worker.as_ref().map(tracing::field::display);
        info!(%task, %outcome, attempt, exit, signal, worker, epoch, trace, "task ended");
        let result = match outcome {
            TaskOutcome::Succeeded => "succeeded",
            TaskOutcome::TimedOut => "timed-out",
            TaskOutcome::Rejected => "rejected",
            TaskOutcome::Failed | TaskOutcome::Cancelled | TaskOutcome::Dead => "failed",
        };
        if let Some(submitted) = task.submitted_ms() {
            let now = u64::try_from(clock::wall().as_millisecond()).unwrap_or(0);
            // Clocks may disagree: then it took no time at all, rather than less.
            let took = Duration::from_millis(now.saturating_sub(submitted));
            histogram!(names::TASK_END_TO_END_DURATION_SECONDS, "kind" => kind.clone(), "result" => result).record(took);
        }
        counter!(names::TASKS_COMPLETED_TOTAL, "kind" => kind, "result" => result).increment(1);
        if self.letters.remove(task) {
            warn!(%task, "all its retries are spent: its payload is kept as a dead letter");
            counter!(names::TASK_DEAD_LETTERS_TOTAL).increment(1);
        }
    }

    /// Sets the gauges; says whether the service is ready and what it does, if that is news.
    pub(crate) fn look_at(&mut self, agent: &Agent, connected: bool) -> Option<(bool, String)> {
        let used = agent.slots_in_use();
        gauge!(names::WORKER_SLOTS_IN_USE).set(used as f64);
        let slots = format!("{used}/{} slots", self.slots);
        let says = match agent.me() {
            None if agent.is_draining() => (false, "stopping".to_owned()),
            None => (false, "no session with zookeeper".to_owned()),
            Some(me) if agent.is_draining() => (false, format!("worker {me} draining, {slots}")),
            Some(me) if agent.is_registered() && agent.drain().is_some() => {
                let state = if used == 0 { "drained" } else { "draining" };
                (true, format!("worker {me} {state}, {slots}"))
            }
            Some(me) if agent.is_registered() => (true, format!("worker {me} registered, {slots}")),
            Some(me) if connected => (false, format!("worker {me} registering")),
            Some(me) => (false, format!("worker {me} suspended, {slots}")),
        };
        let news = self.said.as_ref() != Some(&says);
        news.then(|| self.said.insert(says).clone())
    }
}

/// The task whose dead letter an operation creates.
fn letter(op: &Op) -> Option<TaskName> {
    match op {
        Op::Create { path, .. } => path.strip_prefix(path::DEAD)?.strip_prefix('/').map(TaskName::listed),
        Op::Check { .. } | Op::Set { .. } | Op::Delete { .. } => None,
    }
}

/// The label under which a transaction is counted: the first of its purposes that is worth a name.
pub(crate) fn purpose(multi: &Multi) -> &'static str {
    let creates = |parent: &str| {
        let below = |path: &str| path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'));
        multi.ops.iter().any(|op| matches!(op, Op::Create { path, .. } if below(path)))
    };
    if creates(path::STATUS) {
        "record"
    } else if creates(path::HELD) {
        "hold"
    } else if creates(path::TASKS) {
        "give_back"
    } else {
        "housekeeping"
    }
}

/// What a task was given, and what its handler returns or says, is no affair of the log's.
fn shown(how: &Ending) -> String {
    match how {
        Ending::Returned(_) => "Returned".to_owned(),
        Ending::NotStarted { exit, .. } => format!("NotStarted(exit {exit})"),
        Ending::Errored { exit, fatal, .. } => format!("Errored(exit {exit}, fatal {fatal})"),
        Ending::Rejected(why) => format!("Rejected({})", why.word()),
        plain @ (Ending::Exited(_) | Ending::Signalled(_) | Ending::TimedOut | Ending::Stuck | Ending::Killed) => format!("{plain:?}"),
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn overlapped(task: &TaskName, seconds: f64, error_seconds: f64) {
    histogram!(names::ATTEMPT_OVERLAP_SECONDS).record(seconds);
    if seconds > 0.0 {
        warn!(%task, seconds, error_seconds, "two attempts ran at the same time; only the later one's result can count");
    } else {
        debug!(%task, error_seconds, "the lost attempt was dead before the next one was assigned");
    }
}

fn killed(commands: usize, reason: &'static str) {
    counter!(names::TASK_KILLS_TOTAL, "reason" => reason).increment(commands as u64);
}

/// A label, and a sentence.
fn words(reason: KillReason) -> (&'static str, &'static str) {
    match reason {
        KillReason::Doubt => ("doubt", "the session could not be proven alive"),
        KillReason::SessionLost => ("session_lost", "the session was lost"),
        // The incarnation ends in the same way.
        KillReason::Unregistered => ("session_lost", "the registration or the box was deleted under us"),
        KillReason::Cancelled => ("cancelled", "the task was cancelled"),
        KillReason::Withdrawn => ("withdrawn", "the assignment is gone, and no status says why"),
        KillReason::Drained => ("drain", "the worker drains, and they had their time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_counted_by_what_it_is_for() {
        let delete = Multi::new().check_exists("/workers/w").delete("/assign/w/t", Some(0));
        assert_eq!(purpose(&delete), "housekeeping");
        assert_eq!(purpose(&delete.clone().create("/tasks/t", "x")), "give_back");
        assert_eq!(purpose(&delete.create("/tasks/t", "x").create("/status/u", "done")), "record");
    }

    #[test]
    fn an_unknown_write_is_resolved_by_the_list_of_the_box() {
        let mut observer = Observer::new(1);
        for (id, task) in [(1, "a"), (2, "b")] {
            observer.writing(id, &Multi::new().check_exists("/workers/w").delete(format!("/assign/w/{task}"), Some(0)));
            observer.hear(&Event::WriteEnded(id, Outcome::Unknown));
        }
        observer.writing(3, &Multi::new().set("/workers/w", "", None));
        observer.hear(&Event::WriteEnded(3, Outcome::applied()));
        assert_eq!(observer.unknown.len(), 2);
        observer.hear(&Event::BoxListed(1, Some(vec![TaskName::listed("b")])));
        assert!(observer.unknown.is_empty() && observer.writing.is_empty());
    }
}
