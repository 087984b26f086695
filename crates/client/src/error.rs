//! Why a client has no answer. Every text says what happened to what; what a person may type next is the command's affair.

use std::time::Duration;

use bellwether_common::store::{LayoutError, ReadError};
use bellwether_core::protocol::admission::Closure;
use bellwether_core::protocol::key::BadKey;
use bellwether_core::protocol::payload::Rejection;
use bellwether_core::protocol::schedule::BadSchedule;
use bellwether_core::protocol::{ScheduleName, TaskName};
use bellwether_core::submission::Failure;

/// Why a client works no more. It never recovers: make a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClosedBecause {
    /// No session within the time that was granted.
    #[error("no session with zookeeper at {connect} for {}: {why}", humantime::format_duration(whole(*after)))]
    Unreachable {
        /// Servers and root that were tried.
        connect: String,
        /// How long.
        after: Duration,
        /// What each server said last.
        why: String,
    },
    /// The credentials or their rights do not suffice.
    #[error("zookeeper denies {right} on {path}: {why}")]
    Denied {
        /// Absolute path of the node.
        path: String,
        /// What is missing there, in ZooKeeper's word.
        right: &'static str,
        /// What to look at.
        why: String,
    },
    /// The settings can lead to no session.
    #[error("{0}")]
    BadSettings(String),
    /// [`Client::close`](crate::Client::close) was called.
    #[error("the client was closed")]
    Asked,
    /// The client's thread could not be started, or is gone.
    #[error("the client's thread is gone: {0}")]
    Thread(String),
}

fn whole(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs_f64().round() as u64)
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The client works no more.
    #[error(transparent)]
    Closed(#[from] ClosedBecause),
    /// ZooKeeper gave no answer within the request timeout.
    #[error("zookeeper gave no answer within {}: {why}", humantime::format_duration(whole(*after)))]
    Late {
        /// The request timeout.
        after: Duration,
        /// What is known about the reason.
        why: String,
    },
    /// This session lacks a right.
    #[error("no right to {what}; check the ACLs and the credentials in [zookeeper]")]
    Denied {
        /// To do what, on what.
        what: String,
    },
    /// The cluster is secured, and a node of its layout is missing: only coordinators and the admin may create it.
    #[error("no coordinator has laid out this cluster yet: {path} is not there")]
    NotLaidOut {
        /// Path from the root, of the first node that is missing.
        path: String,
    },
    /// Everybody may do everything: there is no table to compare with.
    #[error("zookeeper.acl is \"open\": there is no table to compare with")]
    NotSecured,
    /// There is no such task: it was never submitted, or its result was removed.
    #[error("there is no task {0}: it was never submitted, or its result was removed")]
    NoSuchTask(TaskName),
    /// Only what has ended can be forgotten, or run again.
    #[error("task {0} has not ended")]
    NotEnded(TaskName),
    /// Only the whole array can be cancelled, forgotten, or run again.
    #[error("{0} is an element of an array: that is done to the array as a whole")]
    ElementAlone(TaskName),
    /// There is no such schedule.
    #[error("there is no schedule {0}")]
    NoSuchSchedule(ScheduleName),
    /// There is one of this name, which asks for something else.
    #[error("there is a schedule {0} already, and it asks for something else")]
    ScheduleExists(ScheduleName),
    /// Its result does not say what it did.
    #[error("the result of {0} does not say what it did: it was no task, too long to be kept, or recorded by an older version")]
    NotKept(TaskName),
    /// There is no such dead letter.
    #[error("there is no dead letter of {0}: it never was dead, or the letter was retried or purged")]
    NoSuchLetter(TaskName),
    /// ZooKeeper refused for a reason that should not occur.
    #[error("zookeeper refused: {0}")]
    Refused(String),
}

impl Error {
    /// `what` was to be done, and this node of the layout is missing.
    pub(crate) fn of_layout(error: LayoutError, what: &str) -> Self {
        match error {
            LayoutError::NotLaidOut { path } => Self::NotLaidOut { path },
            LayoutError::Denied { .. } | LayoutError::Refused { .. } | LayoutError::Read(_) => {
                Self::Denied { what: format!("{what}: {error}") }
            }
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoAuth { path } => Self::Denied { what: format!("read {path}") },
            ReadError::Interrupted | ReadError::BadPath { .. } => Self::Refused(error.to_string()),
        }
    }
}

/// Why tasks were not submitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// One of them can never run. Nothing was sent.
    #[error("the task cannot be submitted: {0}")]
    Rejected(Rejection),
    /// It is no schedule. Nothing was sent.
    #[error("the schedule cannot be made: {0}")]
    BadSchedule(BadSchedule),
    /// It has more bytes than this client was told to submit. Nothing was sent.
    #[error("the task cannot be submitted: it has {bytes} bytes, task.payload_max is {max}; put the data into a file and pass its path")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// ZooKeeper refused them; nothing was submitted.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// Nobody answered in time: they may have been submitted, or not; their names tell.
    #[error("zookeeper did not confirm the submission of {}: {why}", list(tasks))]
    Unconfirmed {
        /// Their names.
        tasks: Vec<TaskName>,
        /// What is known about the reason.
        why: String,
    },
    /// Its key cannot be one. Nothing was sent.
    #[error(transparent)]
    BadKey(#[from] BadKey),
    /// Too much waits already, of all tasks or of those with a label of it, or too many results are kept. Nothing was sent. Try again later:
    /// [`Client::admitted`](crate::Client::admitted).
    #[error("no more work is taken in: {0}")]
    NotAdmitted(Closure),
    /// It is to be submitted in a way that makes no sense. Nothing was sent.
    #[error("{0}")]
    Contradictory(String),
    /// An element of a group is no task. Nothing was sent.
    #[error("task {index} of the group: {why}")]
    Element {
        /// Its number in the group, from 0.
        index: u32,
        /// Why it cannot be submitted.
        why: Box<SubmitError>,
    },
    /// It waits for a task that is nowhere. Nothing was sent.
    #[error("--after {0}: there is no such task: it was never submitted, or its result was removed")]
    NoSuchParent(TaskName),
    /// What it is made from could not be read. Nothing was sent.
    #[error(transparent)]
    Unread(#[from] Error),
    /// The client worked no more before anything was sent.
    #[error(transparent)]
    Closed(#[from] ClosedBecause),
}

fn list(tasks: &[TaskName]) -> String {
    match tasks {
        [] => "nothing".to_owned(),
        [task] => task.to_string(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_what_was_tried_and_for_how_long() {
        let error = ClosedBecause::Unreachable {
            connect: "a:1".into(),
            after: Duration::from_millis(2_003),
            why: "a:1: connection refused".into(),
        };
        assert_eq!(error.to_string(), "no session with zookeeper at a:1 for 2s: a:1: connection refused");
        let error = SubmitError::Unconfirmed { tasks: vec![TaskName::listed("t"), TaskName::listed("u")], why: "late".into() };
        assert_eq!(error.to_string(), "zookeeper did not confirm the submission of t and 1 more: late");
    }
}
