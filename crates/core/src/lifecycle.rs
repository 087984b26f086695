//! What becomes of a task when an attempt is over: pure functions from a payload and what happened to what is written next.
//!
//! Who calls them: the worker for attempts that it ran ([`after_run`]), the master for attempts that were lost with their
//! worker ([`after_loss`]) and for tasks that never run ([`cancelled`], [`crate::protocol::result::rejected`]).

use jiff::Timestamp;
use serde_json::Value;

use crate::protocol::payload::{self, ATTEMPTS_KEPT, AfterFailure, Envelope, Rejection, Task};
use crate::protocol::request::CancelRequest;
use crate::protocol::result::{AttemptRecord, OutputPlace, Recorded, Stream, TaskOutcome, TaskResult, record, rejected};
use crate::protocol::{TaskName, WorkerId};

mod retry;

pub use retry::{Retry, RetryDefaults, RetryReason};

/// One attempt on one worker: two assignments of one task are told apart by the transaction that created them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId {
    /// The task.
    pub task: TaskName,
    /// The transaction that created the assignment.
    pub czxid: i64,
}

/// What a program that panics exits with, and so what is said of a handler that does.
pub const PANICKED: i32 = 101;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ending {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It ran longer than it may, and was killed for it.
    TimedOut,
    /// It could not be started.
    NotStarted {
        /// What a shell would exit with: 127 for no such program, 126 for one that cannot be executed; otherwise 125.
        exit: i32,
        /// Why, for people.
        why: String,
    },
    /// It was not started, because this worker does not run such a task: it ends, without another attempt.
    Rejected(Rejection),
    /// Its handler returned this.
    Returned(Value),
    /// Its handler failed.
    Errored {
        /// What a command would exit with: [`PANICKED`] for a panic, otherwise 1.
        exit: i32,
        /// What the handler said.
        why: String,
        /// Whether another attempt would fail in the same way.
        fatal: bool,
    },
    /// Its handler ran longer than it may, and goes on: it does not let go of its thread, and a thread cannot be killed. The task ends
    /// here, for good, so that nobody runs it beside this one; the slot is free when the same run is over a second time.
    Stuck,
    /// It was killed because this worker was ordered to stop it, or because this worker was frozen and could not be proven alive:
    /// there is no result.
    Killed,
}

/// What is known of a command that ran.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ran {
    /// How it ended.
    pub ending: Ending,
    /// When it was started, by the worker's wall clock.
    pub started: Timestamp,
    /// When it ended: `started` and the monotonic time that it took, so that it never lies before.
    pub ended: Timestamp,
    /// From when on all its processes were dead, on the monotonic clock, where that is known better than from when it is told.
    pub dead: Option<std::time::Duration>,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
    /// Where the whole output lies.
    pub output: Option<OutputPlace>,
}

/// Who ran an attempt, and under which term it was assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// The worker.
    pub worker: WorkerId,
    /// The term, if known.
    pub epoch: Option<i32>,
}

/// What becomes of a task whose attempt was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterRun {
    /// It ends here.
    Ended {
        /// How.
        result: Box<TaskResult>,
        /// What is written.
        recorded: Recorded,
        /// The payload to keep as a dead letter: it failed, and all its retries are spent.
        letter: Option<Vec<u8>>,
    },
    /// Another attempt is made.
    Again(Retry),
}

/// Decides what becomes of a task whose command ran to its end, or could not be started. `assigned`: when it came to its worker, by
/// ZooKeeper's clock. `defaults` hold for what it does not say.
#[must_use]
pub fn after_run(
    name: &TaskName,
    task: &Task,
    runner: &Runner,
    ran: &Ran,
    assigned: Option<Timestamp>,
    defaults: &RetryDefaults,
) -> AfterRun {
    let result = if let Ending::Rejected(why) = &ran.ending {
        result_of_refusal(name, task, runner, why, ran.ended)
    } else {
        TaskResult { assigned, ..result_of_run(name, task, runner, ran) }
    };
    let reason = RetryReason::of(&ran.ending).filter(|_| defaults.wants_retry(&task.envelope, &ran.ending));
    let Some(reason) = reason else {
        let recorded = record(&result, Some(task));
        return AfterRun::Ended { result: Box::new(result), recorded, letter: None };
    };
    let mut again = task.clone();
    again.envelope.failures = task.envelope.failures.saturating_add(1);
    again.envelope.attempts = result.attempts.clone();
    if again.envelope.failures > defaults.retries_of(&task.envelope) {
        again.envelope.delay_ms = 0;
        let recorded = record(&result, Some(task));
        return AfterRun::Ended { result: Box::new(result), recorded, letter: Some(again.encode()) };
    }
    let delay = defaults.delay(name, &again.envelope);
    again.envelope.delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    AfterRun::Again(Retry { payload: again.encode(), attempt: result.attempt, reason, delay })
}

/// The result of a task that its worker does not run. No attempt was made; those before are remembered.
fn result_of_refusal(name: &TaskName, task: &Task, runner: &Runner, why: &Rejection, now: Timestamp) -> TaskResult {
    let mut result = rejected(name.clone(), why, now);
    result.note_request(task);
    result.attempt = task.envelope.attempts_made();
    result.attempts = task.envelope.attempts.clone();
    result.worker = Some(runner.worker.clone());
    result.epoch = runner.epoch;
    result
}

const STUCK: &str = "it ran longer than it may, and its handler blocks its thread: it goes on, and nobody can end it but its process";

/// The result of a task whose command ran to its end, or could not be started.
#[must_use]
pub fn result_of_run(name: &TaskName, task: &Task, runner: &Runner, ran: &Ran) -> TaskResult {
    let (outcome, exit, signal, reason) = match &ran.ending {
        Ending::Exited(0) => (TaskOutcome::Succeeded, Some(0), None, None),
        Ending::Exited(code) => (TaskOutcome::Failed, Some(*code), None, None),
        Ending::Signalled(signal) => (TaskOutcome::Failed, None, Some(*signal), None),
        Ending::TimedOut => (TaskOutcome::TimedOut, None, None, Some("it ran longer than it may".to_owned())),
        Ending::NotStarted { exit, why } => (TaskOutcome::Failed, Some(*exit), None, Some(why.clone())),
        Ending::Rejected(why) => (TaskOutcome::Rejected, None, None, Some(format!("{}: {why}", why.word()))),
        Ending::Returned(_) => (TaskOutcome::Succeeded, Some(0), None, None),
        Ending::Errored { exit, why, .. } => (TaskOutcome::Failed, Some(*exit), None, Some(why.clone())),
        Ending::Stuck => (TaskOutcome::TimedOut, None, None, Some(STUCK.to_owned())),
        Ending::Killed => (TaskOutcome::Failed, None, Some(9), Some("its worker was ordered to stop it".to_owned())),
    };
    let mut result = TaskResult::without_run(name.clone(), outcome, String::new(), ran.ended);
    result.exit = exit;
    result.signal = signal;
    result.reason = reason;
    if let Ending::Returned(value) = &ran.ending {
        result.value = Some(value.clone());
    }
    result.attempt = task.envelope.attempt();
    result.worker = Some(runner.worker.clone());
    result.epoch = runner.epoch;
    result.note_request(task);
    result.started = Some(ran.started);
    result.stdout = Some(ran.stdout.clone());
    result.stderr = Some(ran.stderr.clone());
    result.output = ran.output.clone();
    let this = attempt_record(&task.envelope, runner, Some(ran.started), ran.ended, result.why());
    result.attempts = with_attempt(task.envelope.attempts.clone(), this);
    result
}

fn attempt_record(envelope: &Envelope, runner: &Runner, started: Option<Timestamp>, ended: Timestamp, why: String) -> AttemptRecord {
    AttemptRecord { attempt: envelope.attempt(), worker: runner.worker.clone(), epoch: runner.epoch, started, ended, why }
}

fn with_attempt(mut attempts: Vec<AttemptRecord>, attempt: AttemptRecord) -> Vec<AttemptRecord> {
    attempts.push(attempt);
    let excess = attempts.len().saturating_sub(ATTEMPTS_KEPT);
    attempts.drain(..excess);
    attempts
}

/// What becomes of an assignment whose worker is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It goes back to pending, with this payload.
    Pending(Vec<u8>),
    /// It ends here.
    Ended {
        /// How.
        outcome: TaskOutcome,
        /// What is written.
        recorded: Recorded,
        /// The payload to keep, if it is dead.
        letter: Option<Vec<u8>>,
    },
}

/// Decides what becomes of an assignment whose worker is gone: back to pending with one more loss counted, or dead when it has
/// cost `budget` workers.
#[must_use]
pub fn after_loss(name: &TaskName, data: &[u8], runner: &Runner, budget: u32, now: Timestamp) -> Fate {
    let mut task = match payload::decode_assigned(data) {
        Ok(task) => task,
        Err(rejection) => {
            let recorded = record(&rejected(name.clone(), &rejection, now), None);
            return Fate::Ended { outcome: TaskOutcome::Rejected, recorded, letter: None };
        }
    };
    let lost = attempt_record(&task.envelope, runner, None, now, "worker-lost".to_owned());
    let attempt = task.envelope.attempt();
    task.envelope.delay_ms = 0;
    task.envelope.attempts = with_attempt(std::mem::take(&mut task.envelope.attempts), lost);
    task.envelope.losses = task.envelope.losses.saturating_add(1);
    if task.envelope.losses < loss_budget(&task.envelope, budget) {
        return Fate::Pending(task.encode());
    }
    let reason = format!("it was lost with {} workers, the last one {}", task.envelope.losses, runner.worker);
    let mut result = TaskResult::without_run(name.clone(), TaskOutcome::Dead, reason, now);
    result.attempt = attempt;
    result.worker = Some(runner.worker.clone());
    result.epoch = runner.epoch;
    result.note_request(&task);
    result.attempts = task.envelope.attempts.clone();
    Fate::Ended { outcome: TaskOutcome::Dead, recorded: record(&result, Some(&task)), letter: Some(task.encode()) }
}

/// How many workers a task may cost.
#[must_use]
pub fn loss_budget(envelope: &Envelope, default: u32) -> u32 {
    envelope.max_worker_losses.unwrap_or(default).max(1)
}

/// Whether a task should run alone on its worker: one more loss ends it, and only the guilty may be convicted.
#[must_use]
pub fn runs_alone(envelope: &Envelope, default_budget: u32) -> bool {
    envelope.losses > 0 && envelope.losses + 1 >= loss_budget(envelope, default_budget)
}

/// What is written for a task that somebody cancelled.
#[must_use]
pub fn cancelled(name: &TaskName, data: &[u8], wish: &CancelRequest, runner: Option<&Runner>, now: Timestamp) -> Recorded {
    let reason = wish.reason.clone().unwrap_or_else(|| "somebody cancelled it".to_owned());
    let (mut result, task) = end_by_master(name, data, TaskOutcome::Cancelled, reason, runner, now);
    // Its worker reads it there.
    result.grace_ms = wish.grace_ms.filter(|_| runner.is_some());
    record(&result, task.as_ref())
}

/// What is written for a task of which its worker says nothing, long after its time was over. It is not tried again: it may still run.
#[must_use]
pub fn silent(name: &TaskName, data: &[u8], runner: &Runner, now: Timestamp) -> Recorded {
    let reason = "its time was over long ago, and its worker, whose session lives, said nothing about it: what it started may still run";
    let (result, task) = end_by_master(name, data, TaskOutcome::TimedOut, reason.to_owned(), Some(runner), now);
    record(&result, task.as_ref())
}

fn end_by_master(
    name: &TaskName,
    data: &[u8],
    outcome: TaskOutcome,
    reason: String,
    runner: Option<&Runner>,
    now: Timestamp,
) -> (TaskResult, Option<Task>) {
    let task = payload::decode_assigned(data).ok();
    let mut result = TaskResult::without_run(name.clone(), outcome, reason, now);
    if let Some(task) = &task {
        result.note_request(task);
        result.attempts = task.envelope.attempts.clone();
        result.attempt = if runner.is_some() { task.envelope.attempt() } else { task.envelope.attempts_made() };
    }
    result.worker = runner.map(|runner| runner.worker.clone());
    result.epoch = runner.and_then(|runner| runner.epoch);
    (result, task)
}

/// What is written for a held task that never runs, because what it waited for did not come about: how it ends, its records, and the
/// payload to keep as a dead letter.
#[must_use]
pub fn orphaned(name: &TaskName, data: &[u8], policy: AfterFailure, why: &str, now: Timestamp) -> (TaskOutcome, Recorded, Option<Vec<u8>>) {
    match policy {
        AfterFailure::Skip | AfterFailure::Run => {
            let wish = CancelRequest { reason: Some(format!("skipped: {why}")), ..CancelRequest::new() };
            (TaskOutcome::Cancelled, cancelled(name, data, &wish, None, now), None)
        }
        AfterFailure::Dead => {
            let task = payload::decode_assigned(data).ok();
            let mut result = TaskResult::without_run(name.clone(), TaskOutcome::Dead, why.to_owned(), now);
            result.submitter = task.as_ref().and_then(|task| task.envelope.submitter.clone());
            (TaskOutcome::Dead, record(&result, task.as_ref()), Some(data.to_vec()))
        }
    }
}

/// What is written for a task that waited for its turn longer than it may.
#[must_use]
pub fn expired(name: &TaskName, data: &[u8], now: Timestamp) -> Recorded {
    let task = payload::decode_assigned(data).ok();
    let attempts = task.as_ref().map_or(0, |task| task.envelope.attempts_made());
    let reason = match attempts {
        0 => "it waited for its turn longer than it may, and never ran".to_owned(),
        made => format!("it waited for its turn longer than it may, after {made} attempts"),
    };
    let mut result = TaskResult::without_run(name.clone(), TaskOutcome::TimedOut, reason, now);
    if let Some(task) = &task {
        result.submitter = task.envelope.submitter.clone();
        result.attempts = task.envelope.attempts.clone();
    }
    result.attempt = attempts;
    record(&result, task.as_ref())
}

/// What is written for a payload that is no task.
#[must_use]
pub fn rejection(name: &TaskName, why: &Rejection, now: Timestamp) -> Recorded {
    record(&rejected(name.clone(), why, now), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner() -> Runner {
        Runner { worker: WorkerId::incarnation("w", 1), epoch: Some(7) }
    }

    fn lose(data: &[u8], budget: u32) -> Fate {
        after_loss(&TaskName::listed("t"), data, &runner(), budget, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_lost_task_goes_back_until_its_budget_is_spent() {
        let mut data = b"sleep 1".to_vec();
        for losses in 1..3 {
            let Fate::Pending(again) = lose(&data, 3) else { panic!("loss {losses} of 3 is no end") };
            let task = payload::decode(&again).unwrap();
            assert_eq!((task.envelope.losses, task.envelope.attempts.len()), (losses, losses as usize));
            assert_eq!(runs_alone(&task.envelope, 3), losses == 2);
            data = again;
        }
        let Fate::Ended { outcome, recorded, letter } = lose(&data, 3) else { panic!("the third loss ends it") };
        assert_eq!((outcome, recorded.status.as_slice()), (TaskOutcome::Dead, b"failed worker-lost".as_slice()));
        assert_eq!(payload::decode(&letter.unwrap()).unwrap().command, payload::Command::Shell("sleep 1".into()));
    }

    fn defaults(retries: u32) -> RetryDefaults {
        RetryDefaults { retries, ..RetryDefaults::default() }
    }

    fn ran(ending: Ending) -> Ran {
        let at = Timestamp::UNIX_EPOCH;
        Ran { ending, started: at, ended: at, dead: None, stdout: Stream::default(), stderr: Stream::default(), output: None }
    }

    fn run(data: &[u8], ending: Ending, defaults: &RetryDefaults) -> AfterRun {
        after_run(&TaskName::listed("t"), &payload::decode(data).unwrap(), &runner(), &ran(ending), None, defaults)
    }

    #[test]
    fn what_its_worker_does_not_run_ends_without_an_attempt() {
        let twice = br#"{"bellwether":1,"shell":"x","retries":9,"failures":1}"#.as_slice();
        let AfterRun::Ended { result, letter: None, .. } = run(twice, Ending::Rejected(Rejection::Unsigned), &defaults(3)) else {
            panic!("another attempt would be refused, too")
        };
        assert_eq!((result.outcome, result.attempt, result.exit_code()), (TaskOutcome::Rejected, 1, 125));
        assert!(result.why().starts_with("rejected: unsigned"), "{}", result.why());
        assert_eq!(result.worker.map(|worker| worker.to_string()), Some("w-0000000000000001".into()));
        let AfterRun::Ended { recorded, .. } = run(b"x", Ending::Rejected(Rejection::NotAllowed("y".into())), &defaults(3)) else {
            panic!()
        };
        assert_eq!(recorded.status, b"failed rejected: not-allowed");
    }

    #[test]
    fn a_task_that_fails_is_tried_again_until_its_retries_are_spent() {
        let mut data = br#"{"bellwether":1,"shell":"false","retries":2}"#.to_vec();
        for failures in 1..=2 {
            let AfterRun::Again(retry) = run(&data, Ending::Exited(1), &defaults(0)) else { panic!("failure {failures} of 3 is no end") };
            let again = payload::decode(&retry.payload).unwrap().envelope;
            assert_eq!((retry.attempt, retry.reason, again.failures, again.losses), (failures, RetryReason::Exit, failures, 0));
            assert_eq!(
                (again.attempt(), again.attempts.len(), again.delay_ms),
                (failures + 1, failures as usize, retry.delay.as_millis() as u64)
            );
            data = retry.payload;
        }
        let AfterRun::Ended { result, letter, .. } = run(&data, Ending::Exited(1), &defaults(0)) else { panic!("the third is the last") };
        assert_eq!((result.outcome, result.exit, result.attempt, result.attempts.len()), (TaskOutcome::Failed, Some(1), 3, 3));
        let letter = payload::decode(&letter.expect("its retries are spent")).unwrap().envelope;
        assert_eq!((letter.failures, letter.attempts.len(), letter.delay_ms), (3, 3, 0));
    }

    #[test]
    fn what_may_not_be_tried_again_ends_at_once_and_leaves_no_letter() {
        let only = br#"{"bellwether":1,"shell":"x","retries":9,"retry_on":[75]}"#.as_slice();
        let ends = |data: &[u8], ending| matches!(run(data, ending, &defaults(0)), AfterRun::Ended { letter: None, .. });
        assert!(ends(only, Ending::Exited(1)) && ends(only, Ending::Signalled(9)) && ends(only, Ending::TimedOut));
        assert!(!ends(only, Ending::Exited(75)));
        assert!(ends(b"x", Ending::Exited(1)) && ends(only, Ending::Exited(0)));
        let none = br#"{"bellwether":1,"shell":"x","retries":0}"#.as_slice();
        assert!(matches!(run(none, Ending::Exited(1), &defaults(5)), AfterRun::Ended { letter: None, .. }), "it says so itself");
    }

    #[test]
    fn a_handlers_value_is_its_result_and_what_is_fatal_is_not_tried_again() {
        let typed = br#"{"bellwether":1,"kind":"resize","retries":1}"#.as_slice();
        let errored = |exit, fatal| Ending::Errored { exit, why: "no such image".into(), fatal };
        let AfterRun::Ended { result, .. } = run(typed, Ending::Returned(serde_json::json!({"bytes": 7})), &defaults(0)) else {
            panic!("it returned")
        };
        assert_eq!(
            (result.outcome, result.exit, result.value.clone()),
            (TaskOutcome::Succeeded, Some(0), Some(serde_json::json!({"bytes": 7})))
        );
        assert!(matches!(run(typed, errored(1, false), &defaults(0)), AfterRun::Again(_)));
        let AfterRun::Ended { result, letter: None, .. } = run(typed, errored(1, true), &defaults(0)) else { panic!("it is fatal") };
        assert_eq!((result.outcome, result.exit, result.reason.as_deref()), (TaskOutcome::Failed, Some(1), Some("no such image")));
        let panics = br#"{"bellwether":1,"kind":"resize","retries":1,"retry_on":[101]}"#.as_slice();
        assert!(matches!(run(panics, errored(101, false), &defaults(0)), AfterRun::Again(_)));
        assert!(matches!(run(panics, errored(1, false), &defaults(0)), AfterRun::Ended { .. }));
        assert!(matches!(run(typed, Ending::Stuck, &defaults(9)), AfterRun::Ended { letter: None, .. }), "it runs on, here");
    }

    #[test]
    fn a_plain_task_takes_the_workers_defaults_and_keeps_its_dialect() {
        let AfterRun::Again(retry) = run(b"false", Ending::TimedOut, &defaults(1)) else { panic!("one retry") };
        let again = payload::decode(&retry.payload).unwrap();
        assert_eq!((again.dialect, again.envelope.failures, retry.reason), (payload::Dialect::Plain, 1, RetryReason::Timeout));
        let AfterRun::Ended { recorded, letter, .. } = run(&retry.payload, Ending::Exited(2), &defaults(1)) else { panic!("spent") };
        assert_eq!((recorded.status.as_slice(), letter.is_some()), (b"failed exit=2".as_slice(), true));
    }

    #[test]
    fn garbage_that_was_assigned_ends_as_rejected() {
        let Fate::Ended { outcome, recorded, .. } = lose(b"\xff", 3) else { panic!("garbage does not go back") };
        assert_eq!((outcome, recorded.status.as_slice()), (TaskOutcome::Rejected, b"failed rejected: not-utf8".as_slice()));
    }

    #[test]
    fn a_result_says_who_ran_what_and_how_it_ended() {
        let task = payload::decode(br#"{"bellwether":1,"argv":["x"],"submitter":"me@here"}"#).unwrap();
        let of = |ending| result_of_run(&TaskName::listed("t"), &task, &runner(), &ran(ending));
        let result = of(Ending::Exited(3));
        assert_eq!((result.outcome, result.exit_code(), result.attempt), (TaskOutcome::Failed, 3, 1));
        assert_eq!((result.epoch, result.submitter.as_deref(), result.attempts.len()), (Some(7), Some("me@here"), 1));
        assert_eq!(result.attempts[0].why, "exit=3");
        assert_eq!(of(Ending::Signalled(15)).exit_code(), 143);
        assert_eq!(of(Ending::TimedOut).exit_code(), 124);
        assert_eq!(of(Ending::NotStarted { exit: 127, why: "no such program".into() }).exit_code(), 127);
    }
}
