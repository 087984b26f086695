//! How a task ended: what stands in `/status/<task>`, and for plain tasks in `/bellwether/results/<task>`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::array::ArraySummary;
use super::payload::{Dialect, Envelope, Rejection, Task};
use super::{PROTOCOL_VERSION, TaskName, WorkerId};

mod output;

pub use output::{Encoding, OutputPlace, Stream};

/// How a task ended. Each is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskOutcome {
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
    /// It cost more workers than it may; its payload is kept as a dead letter.
    Dead,
}

impl fmt::Display for TaskOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskOutcome::Succeeded => "succeeded",
            TaskOutcome::Failed => "failed",
            TaskOutcome::TimedOut => "timed-out",
            TaskOutcome::Cancelled => "cancelled",
            TaskOutcome::Rejected => "rejected",
            TaskOutcome::Dead => "dead",
        })
    }
}

/// One attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptRecord {
    /// Its ordinal, from 1.
    pub attempt: u32,
    /// Who ran it, or should have.
    pub worker: WorkerId,
    /// Under which term it was assigned or taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    /// When it was started, if anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it was over.
    pub ended: Timestamp,
    /// Why, in a word or three: `exit=1`, `signal=9`, `timeout`, `worker-lost`.
    pub why: String,
}

/// A result, version 1. Times are by the clock of the machine that wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TaskResult {
    /// Version of this format.
    pub bellwether: u32,
    /// The task.
    pub task: TaskName,
    /// How it ended.
    pub outcome: TaskOutcome,
    /// Exit code, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// Signal, if one ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Ordinal of the attempt that ended it; 0 if none was made.
    pub attempt: u32,
    /// Who ran that attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The term under which it was assigned, or ended by a master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    /// Who submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<String>,
    /// When that attempt was assigned, by ZooKeeper's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<Timestamp>,
    /// When its command was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// Its standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Stream>,
    /// Its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Stream>,
    /// Where the whole output lies, if there was any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputPlace>,
    /// What its handler returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Why it ended as it did, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// If it was cancelled while it ran: how long its command could take to end after SIGTERM, in milliseconds, if any time was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// All attempts, the last one last, at most [`super::payload::ATTEMPTS_KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
    /// What people called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The labels that it is found by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The group that it was an element of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<TaskName>,
    /// How its elements ended, if it was an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<ArraySummary>,
    /// The key under which it was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What was asked, if it is short: an envelope without what stands elsewhere in the result. It can be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
}

/// The longest value that a handler may return, in bytes of JSON: results are kept in ZooKeeper.
pub const VALUE_BYTES_MAX: usize = 128 * 1024;

/// The longest request that a result carries along, in bytes: results outlive payloads, and there are many.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024;

impl TaskResult {
    /// A result of a task on which no command was run to its end.
    #[must_use]
    pub fn without_run(task: TaskName, outcome: TaskOutcome, reason: String, ended: Timestamp) -> Self {
        Self {
            bellwether: PROTOCOL_VERSION,
            task,
            outcome,
            exit: None,
            signal: None,
            attempt: 0,
            worker: None,
            epoch: None,
            submitter: None,
            assigned: None,
            started: None,
            ended,
            stdout: None,
            stderr: None,
            output: None,
            value: None,
            reason: Some(reason),
            grace_ms: None,
            attempts: Vec::new(),
            name: None,
            labels: BTreeMap::new(),
            group: None,
            array: None,
            key: None,
            request: None,
        }
    }

    /// Notes what was asked, and by whom.
    pub fn note_request(&mut self, task: &Task) {
        let mut asked = task.envelope.clone();
        self.submitter = asked.submitter.take();
        self.name = asked.name.take();
        self.labels = std::mem::take(&mut asked.labels);
        (self.group, self.key) = (asked.group.take(), asked.key.take());
        asked.start_over();
        (asked.trace, asked.retry_of) = (None, None);
        asked.set_command(&task.command);
        // The lines of an array go with it.
        let whole = asked.array.as_ref().is_none_or(|array| array.lines.is_none());
        let short = whole && asked.encode().len() <= REQUEST_BYTES_MAX;
        self.request = if short { serde_json::to_value(asked).ok() } else { None };
    }

    /// The payload of a new task that does what this one did, from the beginning; `None` if the result does not say what that was.
    #[must_use]
    pub fn request_again(&self) -> Option<Vec<u8>> {
        let mut asked: Envelope = serde_json::from_value(self.request.clone()?).ok()?;
        (asked.name, asked.labels) = (self.name.clone(), self.labels.clone());
        asked.retry_of = Some(self.task.clone());
        Some(asked.encode())
    }

    /// Why the attempt ended, in the words of [`AttemptRecord::why`] and of plain statuses.
    #[must_use]
    pub fn why(&self) -> String {
        match (self.outcome, self.exit, self.signal) {
            (TaskOutcome::TimedOut, ..) => "timeout".to_owned(),
            (TaskOutcome::Cancelled, ..) => "cancelled".to_owned(),
            (TaskOutcome::Rejected, ..) => format!("rejected: {}", self.rejection_word()),
            (TaskOutcome::Dead, ..) => "worker-lost".to_owned(),
            (_, Some(code), _) => format!("exit={code}"),
            (_, None, Some(signal)) => format!("signal={signal}"),
            (_, None, None) => "exit=125".to_owned(),
        }
    }

    fn rejection_word(&self) -> &str {
        self.reason.as_deref().and_then(|reason| reason.split(':').next()).unwrap_or("bad-envelope")
    }

    /// The exit code that stands for this result on a command line: the task's own, 128+N for a signal, or ours.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            TaskOutcome::Succeeded => 0,
            TaskOutcome::TimedOut => 124,
            TaskOutcome::Cancelled | TaskOutcome::Dead => 126,
            TaskOutcome::Rejected => 125,
            TaskOutcome::Failed => match (self.exit, self.signal) {
                (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(125),
                (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(255),
                (None, None) => 125,
            },
        }
    }

    /// The plain status: `done` or `failed …`. No failure contains `done`, because the book's client looks for it.
    #[must_use]
    pub fn plain_status(&self) -> String {
        match self.outcome {
            TaskOutcome::Succeeded => "done".to_owned(),
            TaskOutcome::Failed | TaskOutcome::TimedOut | TaskOutcome::Cancelled | TaskOutcome::Rejected | TaskOutcome::Dead => {
                format!("failed {}", self.why())
            }
        }
    }

    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a result has only string keys and finite numbers")
    }
}

/// The result of a payload that is no task.
#[must_use]
pub fn rejected(task: TaskName, rejection: &Rejection, ended: Timestamp) -> TaskResult {
    TaskResult::without_run(task, TaskOutcome::Rejected, format!("{}: {rejection}", rejection.word()), ended)
}

/// What is written when a task ends: its status, and for a plain one the details beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recorded {
    /// Data of `/status/<task>`.
    pub status: Vec<u8>,
    /// Data of `/bellwether/results/<task>`.
    pub details: Option<Vec<u8>>,
}

/// Answers in the dialect of the question; an unreadable question was a plain one.
#[must_use]
pub fn record(result: &TaskResult, task: Option<&Task>) -> Recorded {
    match task.map_or(Dialect::Plain, |task| task.dialect) {
        Dialect::Envelope => Recorded { status: result.json(), details: None },
        Dialect::Plain => Recorded { status: result.plain_status().into_bytes(), details: Some(result.json()) },
    }
}

/// What a status says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Our JSON result.
    Full(Box<TaskResult>),
    /// A plain status, ours or the book's: whether it succeeded, and its words.
    Plain {
        /// `done`.
        succeeded: bool,
        /// All of it.
        words: String,
    },
}

/// Reads the data of `/status/<task>`. Everything can be read: what is not ours is somebody's words.
#[must_use]
pub fn decode_status(data: &[u8]) -> Status {
    match decode_result(data) {
        Some(result) => Status::Full(Box::new(result)),
        None => {
            let words = String::from_utf8_lossy(data).trim().to_owned();
            Status::Plain { succeeded: words == "done", words }
        }
    }
}

/// Reads a JSON result, of a status or of the details of a plain one.
#[must_use]
pub fn decode_result(data: &[u8]) -> Option<TaskResult> {
    data.starts_with(b"{").then(|| serde_json::from_slice(data).ok()).flatten()
}

/// What a plain status says, as a result: what is left when the details are gone.
#[must_use]
pub fn result_of_words(task: TaskName, words: &str, ended: Timestamp) -> TaskResult {
    let number = |key: &str| words.strip_prefix(key).and_then(|rest| rest.parse().ok());
    let (exit, signal) = (number("failed exit="), number("failed signal="));
    let outcome = match words {
        "done" => TaskOutcome::Succeeded,
        "failed timeout" => TaskOutcome::TimedOut,
        "failed cancelled" => TaskOutcome::Cancelled,
        "failed worker-lost" => TaskOutcome::Dead,
        _ if words.starts_with("failed rejected") => TaskOutcome::Rejected,
        _ => TaskOutcome::Failed,
    };
    let mut result = TaskResult::without_run(task, outcome, words.to_owned(), ended);
    result.exit = exit.or((outcome == TaskOutcome::Succeeded).then_some(0));
    result.signal = signal;
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::payload;

    fn result(outcome: TaskOutcome) -> TaskResult {
        TaskResult::without_run(TaskName::listed("t"), outcome, "because".into(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_short_request_can_be_asked_again() {
        let payload =
            br#"{"bellwether":1,"argv":["a","b"],"name":"n","labels":{"job":"x"},"submitter":"me@here","failures":2,"cwd":"/tmp"}"#;
        let mut noted = result(TaskOutcome::Failed);
        noted.note_request(&payload::decode(payload).unwrap());
        assert_eq!((noted.submitter.as_deref(), noted.name.as_deref(), noted.labels["job"].as_str()), (Some("me@here"), Some("n"), "x"));
        let noted: TaskResult = serde_json::from_slice(&serde_json::to_vec(&noted).unwrap()).unwrap();
        let again = payload::decode(&noted.request_again().unwrap()).unwrap();
        assert_eq!(again.command, payload::Command::Argv(vec!["a".into(), "b".into()]));
        assert_eq!((again.envelope.failures, again.envelope.cwd.as_deref()), (0, Some("/tmp")));
        assert_eq!((again.envelope.name, again.envelope.labels, again.envelope.retry_of), (noted.name, noted.labels, Some(noted.task)));
    }

    #[test]
    fn a_plain_request_becomes_an_envelope_and_a_long_one_is_not_kept() {
        let mut noted = result(TaskOutcome::Failed);
        noted.note_request(&payload::decode(b"echo a | wc").unwrap());
        let again = payload::decode(&noted.request_again().unwrap()).unwrap();
        assert_eq!((again.dialect, again.command), (Dialect::Envelope, payload::Command::Shell("echo a | wc".into())));
        noted.note_request(&payload::decode("x".repeat(REQUEST_BYTES_MAX).as_bytes()).unwrap());
        assert_eq!((noted.request.clone(), noted.request_again()), (None, None));
        let newer: TaskResult = serde_json::from_str(
            r#"{"bellwether":1,"task":"t","outcome":"failed","attempt":1,"ended":"1970-01-01T00:00:00Z","request":{"unknown":1}}"#,
        )
        .unwrap();
        assert_eq!(newer.request_again(), None, "what is not understood is not asked again");
    }

    #[test]
    fn plain_statuses_are_the_closed_list() {
        let mut failed = result(TaskOutcome::Failed);
        failed.exit = Some(3);
        assert_eq!(failed.plain_status(), "failed exit=3");
        failed.exit = None;
        failed.signal = Some(9);
        assert_eq!(failed.plain_status(), "failed signal=9");
        assert_eq!(result(TaskOutcome::Succeeded).plain_status(), "done");
        assert_eq!(result(TaskOutcome::TimedOut).plain_status(), "failed timeout");
        assert_eq!(result(TaskOutcome::Cancelled).plain_status(), "failed cancelled");
        assert_eq!(result(TaskOutcome::Dead).plain_status(), "failed worker-lost");
        let rejected = rejected(TaskName::listed("t"), &Rejection::NotUtf8, Timestamp::UNIX_EPOCH);
        assert_eq!(rejected.plain_status(), "failed rejected: not-utf8");
    }

    #[test]
    fn words_read_back_as_the_result_they_came_from() {
        for (words, outcome, code) in [
            ("done", TaskOutcome::Succeeded, 0),
            ("failed exit=7", TaskOutcome::Failed, 7),
            ("failed signal=9", TaskOutcome::Failed, 137),
            ("failed timeout", TaskOutcome::TimedOut, 124),
            ("failed cancelled", TaskOutcome::Cancelled, 126),
            ("failed rejected: empty", TaskOutcome::Rejected, 125),
        ] {
            let read = result_of_words(TaskName::listed("t"), words, Timestamp::UNIX_EPOCH);
            assert_eq!((read.outcome, read.exit_code()), (outcome, code), "{words}");
        }
    }

    #[test]
    fn an_answer_is_in_the_dialect_of_the_question() {
        let envelope = payload::decode(br#"{"bellwether":1,"argv":["true"]}"#).unwrap();
        let recorded = record(&result(TaskOutcome::Succeeded), Some(&envelope));
        assert!(recorded.details.is_none());
        assert!(matches!(decode_status(&recorded.status), Status::Full(full) if full.outcome == TaskOutcome::Succeeded));
        let plain = payload::decode(b"true").unwrap();
        let recorded = record(&result(TaskOutcome::Succeeded), Some(&plain));
        assert_eq!(decode_status(&recorded.status), Status::Plain { succeeded: true, words: "done".into() });
        assert!(decode_result(&recorded.details.unwrap()).is_some());
    }
}
