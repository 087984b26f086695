//! Tasks as programs make them, and as they are shown.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use bellwether_core::protocol::payload::{self, AFTER_MAX, AfterFailure, Command, Envelope};
use bellwether_core::protocol::result::{AttemptRecord, TaskOutcome, TaskResult};
use bellwether_core::protocol::trace::TraceParent;
use bellwether_core::protocol::{TaskName, WorkerId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::array_view::ArrayProgress;
use crate::error::SubmitError;
use crate::names;

/// Something to be run. What it says beyond the command is said by its methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// What is run.
    pub command: Command,
    /// How it is run; its own command fields are not looked at.
    pub envelope: Envelope,
}

impl NewTask {
    /// A program and its arguments, run as they are.
    #[must_use]
    pub fn argv<I: IntoIterator<Item = S>, S: Into<String>>(argv: I) -> Self {
        Self::new(Command::Argv(argv.into_iter().map(Into::into).collect()))
    }

    /// A line for the worker's shell.
    #[must_use]
    pub fn shell(line: impl Into<String>) -> Self {
        Self::new(Command::Shell(line.into()))
    }

    /// Something for the handler of this kind in a worker's program; [`Client::task`](crate::Client::task) does the same, typed.
    #[must_use]
    pub fn typed(kind: impl Into<String>, input: serde_json::Value) -> Self {
        Self::new(Command::Typed { kind: kind.into(), input })
    }

    fn new(command: Command) -> Self {
        Self { envelope: Envelope::new(command.clone()), command }
    }

    /// Ends it when one attempt runs longer than this.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.envelope.timeout_ms = Some(millis(timeout));
        self
    }

    /// Ends it when it waits for its turn longer than this, without running it.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.envelope.queue_timeout_ms = Some(millis(timeout));
        self
    }

    /// Makes so many attempts more after one that failed.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.envelope.retries = Some(retries);
        self
    }

    /// Waits at least `shortest` before another attempt, longer after each failure, and at most `longest`.
    #[must_use]
    pub fn backoff(mut self, shortest: Duration, longest: Duration) -> Self {
        self.envelope.backoff_ms = Some(millis(shortest));
        self.envelope.backoff_max_ms = Some(millis(longest));
        self
    }

    /// Does not run it before so much time has passed since its submission, by ZooKeeper's clock.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.envelope.delay_ms = millis(delay);
        self
    }

    /// Does not run it before these tasks have ended. All of them must succeed; otherwise `failure` says what becomes of it.
    #[must_use]
    pub fn after(mut self, tasks: impl IntoIterator<Item = TaskName>, failure: AfterFailure) -> Self {
        self.envelope.after.extend(tasks);
        self.envelope.after_failure = failure;
        self
    }

    /// Submits it at most once: whoever submits the same task under this key later gets the first one.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.envelope.key = Some(key.into());
        self
    }

    /// What people call it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.envelope.name = Some(name.into());
        self
    }

    /// The trace that it belongs to; without it, one of its own begins.
    #[must_use]
    pub fn trace(mut self, parent: TraceParent) -> Self {
        self.envelope.trace = Some(parent);
        self
    }

    /// As each tick of a schedule submits it.
    pub(crate) fn envelope(self, submitter: &str, max: usize) -> Result<Envelope, SubmitError> {
        if !self.envelope.after.is_empty() || self.envelope.key.is_some() {
            return Err(SubmitError::Contradictory(
                "a schedule makes a task at each tick: it cannot wait for others, or have a key".to_owned(),
            ));
        }
        let payload = self.payload(submitter, max)?;
        let mut envelope: Envelope = serde_json::from_slice(&payload).expect("it was made of one");
        // Each of the tasks begins a trace of its own.
        envelope.trace = None;
        Ok(envelope)
    }

    /// Whether it can be submitted, with at most `max` bytes.
    ///
    /// # Errors
    /// [`SubmitError`]: what is wrong with it.
    pub fn check(&self, max: usize) -> Result<(), SubmitError> {
        self.clone().payload("", max).map(drop)
    }

    /// Whether it may not run yet.
    pub(crate) fn is_held(&self) -> bool {
        self.envelope.delay_ms > 0 || !self.envelope.after.is_empty()
    }

    /// As it is written to ZooKeeper, if anybody can run it and it has at most `max` bytes.
    pub(crate) fn payload(mut self, submitter: &str, max: usize) -> Result<Vec<u8>, SubmitError> {
        payload::check_command(&self.command).map_err(SubmitError::Rejected)?;
        if self.envelope.after.len() > AFTER_MAX {
            let (number, most) = (self.envelope.after.len(), AFTER_MAX);
            return Err(SubmitError::Contradictory(format!("the task waits for {number} others, at most {most} are taken")));
        }
        self.envelope.set_command(&self.command);
        self.envelope.submitter.get_or_insert_with(|| submitter.to_owned());
        self.envelope.trace.get_or_insert_with(names::new_trace);
        let payload = self.envelope.encode();
        if payload.len() > max {
            return Err(SubmitError::TooLarge { bytes: payload.len(), max });
        }
        payload::decode(&payload).map(|_| payload).map_err(SubmitError::Rejected)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// A worker has it.
    Assigned,
    /// It waits for a free slot.
    Pending,
    /// It may not run yet.
    Held,
    /// It exited with 0.
    Succeeded,
    /// It exited with another code, by a signal, or could not be started.
    Failed,
    /// It ran longer than it may.
    TimedOut,
    /// Somebody cancelled it.
    Cancelled,
    /// It was no task.
    Rejected,
    /// It cost more workers than it may.
    Dead,
}

impl TaskState {
    /// All of them, in the order of lists.
    pub const ALL: [Self; 9] = [
        Self::Assigned,
        Self::Pending,
        Self::Held,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Rejected,
        Self::Dead,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Dead => "dead",
        }
    }

    /// Whether it is final.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Assigned | Self::Pending | Self::Held)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TaskState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| format!("the states are {}", known()))
    }
}

impl From<TaskOutcome> for TaskState {
    fn from(outcome: TaskOutcome) -> Self {
        match outcome {
            TaskOutcome::Succeeded => Self::Succeeded,
            TaskOutcome::Failed => Self::Failed,
            TaskOutcome::TimedOut => Self::TimedOut,
            TaskOutcome::Cancelled => Self::Cancelled,
            TaskOutcome::Rejected => Self::Rejected,
            TaskOutcome::Dead => Self::Dead,
        }
    }
}

/// A task as it is shown: its JSON is what `bellwether status ID` and `bellwether list` print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskView {
    /// Its id.
    pub task: TaskName,
    /// Where it is in its life.
    pub state: TaskState,
    /// Who has it, or had it last.
    pub worker: Option<WorkerId>,
    /// Ordinal of the attempt that runs, comes next or was the last; 0 if none was made.
    pub attempt: u32,
    /// How many attempts failed.
    pub failures: u32,
    /// How many attempts were lost with their worker.
    pub losses: u32,
    /// Of a held task: when it may run, by ZooKeeper's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<jiff::Timestamp>,
    /// Of a held task: the tasks that must end before it may run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<TaskName>,
    /// The task whose dead letter it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<TaskName>,
    /// The group that it is an element of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<TaskName>,
    /// Of an array: how far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array: Option<Box<ArrayProgress>>,
    /// Of an element: the array that it is one of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array_of: Option<TaskName>,
    /// The key under which it was submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether its payload is kept as a dead letter.
    pub dead_letter: bool,
    /// Whether somebody wants it cancelled and that is not done yet.
    pub cancelling: bool,
    /// What people call it.
    pub name: Option<String>,
    /// What it runs, in one line; of an ended one, if its result says.
    pub command: Option<String>,
    /// The kind of handler that it is for; none for a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Who submitted it.
    pub submitter: Option<String>,
    /// Higher goes first; unknown once it ended.
    pub priority: Option<i32>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What its worker must have; unknown once it ended.
    pub require: BTreeMap<String, String>,
    /// How many slots it takes; unknown once it ended.
    pub slots: Option<u32>,
    /// How much it takes of what its worker has; unknown once it ended.
    pub resources: BTreeMap<String, u32>,
    /// When its znode was created, by ZooKeeper's clock: when it was submitted, came to its worker, or ended.
    pub since: jiff::Timestamp,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<TaskResult>>,
}

/// How much of a command is shown.
const COMMAND_WIDTH: usize = 200;

/// What an envelope runs, in one line; nothing if it is no task.
pub(crate) fn shown_command(envelope: &Envelope) -> Option<String> {
    payload::decode_assigned(&envelope.encode()).ok().map(|task| task.command.display(COMMAND_WIDTH))
}

impl TaskView {
    /// A task that has not ended, from its payload. What is no task is shown with what is known.
    pub(crate) fn living(task: TaskName, state: TaskState, worker: Option<WorkerId>, data: &[u8], since: jiff::Timestamp) -> Self {
        let decoded = payload::decode_assigned(data).ok();
        let command = decoded.as_ref().map(|task| task.command.display(COMMAND_WIDTH));
        let known = decoded.is_some();
        let envelope = decoded.map_or_else(|| Envelope::new(Command::Shell(String::new())), |task| task.envelope);
        Self {
            task,
            state,
            worker,
            attempt: envelope.attempt(),
            failures: envelope.failures,
            losses: envelope.losses,
            not_before: (state == TaskState::Held && envelope.delay_ms > 0).then(|| later(since, envelope.delay_ms)),
            after: if state == TaskState::Held && envelope.waits_for_others() { envelope.after } else { Vec::new() },
            retry_of: envelope.retry_of,
            group: envelope.group,
            array: envelope.array.as_ref().map(|array| Box::new(ArrayProgress::new(array.span()))),
            array_of: None,
            key: envelope.key,
            dead_letter: false,
            cancelling: false,
            name: envelope.name,
            command,
            kind: envelope.kind,
            submitter: envelope.submitter,
            priority: known.then_some(envelope.priority),
            slots: known.then(|| envelope.slots.map_or(1, NonZeroU32::get)),
            resources: envelope.resources.into_iter().map(|(name, count)| (name, count.get())).collect(),
            labels: envelope.labels,
            require: envelope.require,
            since,
            result: None,
        }
    }

    /// A task that has ended.
    pub(crate) fn ended(result: TaskResult, since: jiff::Timestamp) -> Self {
        let lost = |attempt: &&AttemptRecord| attempt.why == "worker-lost";
        let losses = count(result.attempts.iter().filter(lost));
        let succeeded = u32::from(result.outcome == TaskOutcome::Succeeded);
        let asked = result.request_again().and_then(|payload| payload::decode(&payload).ok());
        Self {
            task: result.task.clone(),
            state: result.outcome.into(),
            worker: result.worker.clone(),
            attempt: result.attempt,
            failures: count(result.attempts.iter()).saturating_sub(losses + succeeded),
            losses,
            not_before: None,
            after: Vec::new(),
            retry_of: None,
            group: result.group.clone(),
            array: result.array.clone().map(|summary| Box::new(ArrayProgress::ended(summary))),
            array_of: None,
            key: result.key.clone(),
            dead_letter: false,
            cancelling: false,
            name: result.name.clone(),
            command: asked.as_ref().map(|task| task.command.display(COMMAND_WIDTH)),
            kind: asked.and_then(|task| task.envelope.kind),
            submitter: result.submitter.clone(),
            priority: None,
            slots: None,
            resources: BTreeMap::new(),
            labels: result.labels.clone(),
            require: BTreeMap::new(),
            since,
            result: Some(Box::new(result)),
        }
    }
}

fn count<'a>(attempts: impl Iterator<Item = &'a AttemptRecord>) -> u32 {
    u32::try_from(attempts.count()).unwrap_or(u32::MAX)
}

/// Without end if there is no such time.
fn later(since: jiff::Timestamp, delay_ms: u64) -> jiff::Timestamp {
    since.checked_add(Duration::from_millis(delay_ms)).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::payload::Rejection;

    use super::*;

    #[test]
    fn a_payload_says_what_was_asked_and_by_whom() {
        let new = NewTask::argv(["sleep", "1"]).timeout(Duration::from_secs(5)).retries(2).backoff(Duration::ZERO, Duration::from_secs(1));
        let payload = new.payload("me@here", 1024).expect("a task");
        let task = payload::decode(&payload).expect("it decodes");
        assert_eq!(task.command, Command::Argv(vec!["sleep".into(), "1".into()]));
        assert_eq!((task.envelope.timeout_ms, task.envelope.submitter.as_deref()), (Some(5000), Some("me@here")));
        assert_eq!((task.envelope.retries, task.envelope.backoff_ms, task.envelope.backoff_max_ms), (Some(2), Some(0), Some(1000)));
    }

    #[test]
    fn what_can_never_run_is_not_submitted() {
        assert_eq!(NewTask::argv([""; 0]).payload("", 1024), Err(SubmitError::Rejected(Rejection::Empty)));
        assert_eq!(NewTask::shell("  ").payload("", 1024), Err(SubmitError::Rejected(Rejection::Empty)));
        let long = NewTask::argv(["x".repeat(200 * 1024)]).payload("", 512 * 1024);
        assert!(matches!(long, Err(SubmitError::Rejected(Rejection::ArgumentTooLong(_)))), "{long:?}");
        let large = NewTask::argv(["x"; 400]).payload("", 1024);
        assert!(matches!(large, Err(SubmitError::TooLarge { max: 1024, .. })), "{large:?}");
    }

    #[test]
    fn states_read_back_and_garbage_names_the_list() {
        for state in TaskState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).expect("JSON"), state.as_str());
        }
        assert!("running".parse::<TaskState>().expect_err("no state").contains("assigned, pending"));
    }

    #[test]
    fn a_held_task_says_when_it_may_run() {
        let at = jiff::Timestamp::from_second(100).expect("a time");
        let view = |payload: &[u8]| TaskView::living(TaskName::listed("t"), TaskState::Held, None, payload, at);
        let resting = view(br#"{"bellwether":1,"shell":"x","delay_ms":2000,"failures":2,"losses":1}"#);
        assert_eq!(resting.not_before, jiff::Timestamp::from_second(102).ok());
        assert_eq!((resting.attempt, resting.failures, resting.losses), (4, 2, 1));
        let for_ever = view(br#"{"bellwether":1,"shell":"x","delay_ms":18446744073709551615}"#);
        assert_eq!(for_ever.not_before, Some(jiff::Timestamp::MAX));
    }

    #[test]
    fn garbage_is_shown_with_what_is_known() {
        let view = TaskView::living(TaskName::listed("t"), TaskState::Pending, None, b"\xff", jiff::Timestamp::UNIX_EPOCH);
        assert_eq!((view.command, view.attempt, view.state), (None, 1, TaskState::Pending));
    }
}
