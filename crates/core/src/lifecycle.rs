//! What becomes of a task when an attempt is over: pure functions from a payload and what happened to what is written next.
//!
//! Who calls them: the worker for attempts that it ran ([`result_of_run`]), the master for attempts that were lost with their
//! worker ([`after_loss`]) and for tasks that never run ([`cancelled`], [`crate::protocol::result::rejected`]).

use jiff::Timestamp;

use crate::protocol::payload::{self, ATTEMPTS_KEPT, Envelope, Rejection, Task};
use crate::protocol::result::{AttemptRecord, Recorded, Stream, TaskOutcome, TaskResult, record, rejected};
use crate::protocol::{TaskName, WorkerId};

/// One attempt on one worker: two assignments of one task are told apart by the transaction that created them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId {
    /// The task.
    pub task: TaskName,
    /// The transaction that created the assignment.
    pub czxid: i64,
}

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
    pub output: Option<String>,
}

/// Who ran an attempt, and under which term it was assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// The worker.
    pub worker: WorkerId,
    /// The term, if known.
    pub epoch: Option<i32>,
}

/// The result of a task whose command ran to its end, or could not be started.
#[must_use]
pub fn result_of_run(name: &TaskName, task: &Task, runner: &Runner, ran: &Ran) -> TaskResult {
    let (outcome, exit, signal, reason) = match &ran.ending {
        Ending::Exited(0) => (TaskOutcome::Succeeded, Some(0), None, None),
        Ending::Exited(code) => (TaskOutcome::Failed, Some(*code), None, None),
        Ending::Signalled(signal) => (TaskOutcome::Failed, None, Some(*signal), None),
        Ending::TimedOut => (TaskOutcome::TimedOut, None, None, Some("it ran longer than it may".to_owned())),
        Ending::NotStarted { exit, why } => (TaskOutcome::Failed, Some(*exit), None, Some(why.clone())),
        Ending::Killed => (TaskOutcome::Failed, None, Some(9), Some("its worker was ordered to stop it".to_owned())),
    };
    let mut result = TaskResult::without_run(name.clone(), outcome, String::new(), ran.ended);
    result.exit = exit;
    result.signal = signal;
    result.reason = reason;
    result.attempt = task.envelope.attempt();
    result.worker = Some(runner.worker.clone());
    result.epoch = runner.epoch;
    result.submitter = task.envelope.submitter.clone();
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
    result.submitter = task.envelope.submitter.clone();
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
pub fn cancelled(name: &TaskName, data: &[u8], reason: Option<String>, runner: Option<&Runner>, now: Timestamp) -> Recorded {
    let task = payload::decode_assigned(data).ok();
    let reason = reason.unwrap_or_else(|| "somebody cancelled it".to_owned());
    let mut result = TaskResult::without_run(name.clone(), TaskOutcome::Cancelled, reason, now);
    if let Some(task) = &task {
        result.submitter = task.envelope.submitter.clone();
        result.attempts = task.envelope.attempts.clone();
        result.attempt = if runner.is_some() { task.envelope.attempt() } else { task.envelope.losses };
    }
    result.worker = runner.map(|runner| runner.worker.clone());
    result.epoch = runner.and_then(|runner| runner.epoch);
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

    #[test]
    fn garbage_that_was_assigned_ends_as_rejected() {
        let Fate::Ended { outcome, recorded, .. } = lose(b"\xff", 3) else { panic!("garbage does not go back") };
        assert_eq!((outcome, recorded.status.as_slice()), (TaskOutcome::Rejected, b"failed rejected: not-utf8".as_slice()));
    }

    #[test]
    fn a_result_says_who_ran_what_and_how_it_ended() {
        let task = payload::decode(br#"{"bellwether":1,"argv":["x"],"submitter":"me@here"}"#).unwrap();
        let at = Timestamp::UNIX_EPOCH;
        let ran =
            |ending| Ran { ending, started: at, ended: at, dead: None, stdout: Stream::default(), stderr: Stream::default(), output: None };
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
