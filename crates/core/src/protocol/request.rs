//! What people and the master ask of workers and of the master, below `/bellwether`: to cancel, to drain, to give tasks back, to pause,
//! to step down.
//!
//! A request holds as long as its znode is there: no coordinator's memory, no session and no process carries it. A request to drain goes
//! by the operator's name for a worker, so that it outlives the incarnation; a request to give tasks back goes to one incarnation.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PROTOCOL_VERSION, TaskName};

/// The data of `/bellwether/cancel/<task>`: the task is to end, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Version of this format; who makes a mark by hand need not say it.
    #[serde(default)]
    pub bellwether: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked, `user@host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// If it runs: how long its command may take to end after SIGTERM, in milliseconds; without it, it is killed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// The longest grace of a cancellation.
pub const CANCEL_GRACE_MAX: Duration = Duration::from_secs(60 * 60);

impl CancelRequest {
    /// A wish that says nothing more.
    #[must_use]
    pub fn new() -> Self {
        Self { bellwether: PROTOCOL_VERSION, reason: None, by: None, grace_ms: None }
    }

    /// Reads it. That it is there counts, whatever it says.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        serde_json::from_slice(data).unwrap_or_default()
    }

    /// How long its command may take to end; `None` for no time at all.
    #[must_use]
    pub fn grace(&self) -> Option<Duration> {
        grace(self.grace_ms)
    }
}

impl Default for CancelRequest {
    fn default() -> Self {
        Self::new()
    }
}

/// A grace as it is written, within its bounds; no time at all is none.
#[must_use]
pub fn grace(ms: Option<u64>) -> Option<Duration> {
    ms.filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms).min(CANCEL_GRACE_MAX))
}

/// How a worker drains: each way includes that it starts nothing more, and gives back what it has not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DrainMode {
    /// What runs may end.
    #[default]
    Graceful,
    /// What runs is terminated, killed after the grace, and given back.
    Quick,
    /// What runs is killed and given back.
    Fast,
}

impl DrainMode {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Graceful => "graceful",
            Self::Quick => "quick",
            Self::Fast => "fast",
        }
    }
}

/// The data of `/bellwether/workers/<name>`: the worker that the operator calls so takes nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct DrainRequest {
    /// Version of this format.
    pub bellwether: u32,
    /// How.
    #[serde(default)]
    pub mode: DrainMode,
    /// How long what runs may go on in the graceful way, in milliseconds from when the worker hears of it; without it, as long as it
    /// likes. Then it drains the quick way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked, `user@host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl DrainRequest {
    /// A request that says nothing but how.
    #[must_use]
    pub fn new(mode: DrainMode) -> Self {
        Self { bellwether: PROTOCOL_VERSION, mode, deadline_ms: None, reason: None, by: None }
    }

    /// Reads it. That it is there counts, whatever it says: what does not decode is a graceful drain without a deadline.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        serde_json::from_slice(data).unwrap_or_else(|_| Self::new(DrainMode::Graceful))
    }

    /// How long what runs may go on, if that is limited.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline_ms.map(Duration::from_millis)
    }
}

/// The data of `/bellwether/workers/<worker>`: this incarnation is asked to give back what it has not started. It deletes the node with
/// its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecallRequest {
    /// Version of this format.
    pub bellwether: u32,
    /// Of these tasks …
    pub tasks: Vec<TaskName>,
    /// … at most so many, the last ones in the order of their turn.
    pub most: u32,
}

impl RecallRequest {
    /// Reads it; what does not decode asks for nothing.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        serde_json::from_slice(data).unwrap_or(Self { bellwether: PROTOCOL_VERSION, tasks: Vec::new(), most: 0 })
    }
}

/// The data of `/bellwether/paused`: while it is there, nothing is assigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked, `user@host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The data of `/bellwether/step-down`: the master of this epoch leaves the office to another one, and stands by. To every other master it
/// says nothing, and is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDownRequest {
    /// Version of this format.
    pub bellwether: u32,
    /// Whose term is to end.
    pub epoch: i32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked, `user@host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl StepDownRequest {
    /// Reads it; what does not decode asks nobody for anything.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok()
    }

    /// For the history of terms.
    #[must_use]
    pub fn why(&self) -> String {
        let by = self.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("it was asked to step down{by}{reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_steps_down_says_why() {
        let request = StepDownRequest::decode(br#"{"bellwether":1,"epoch":7,"reason":"new disks","by":"eve@host"}"#).expect("a request");
        assert_eq!((request.epoch, request.why()), (7, "it was asked to step down by eve@host: new disks".to_owned()));
        let bare = StepDownRequest { reason: None, by: None, ..request };
        assert_eq!(bare.why(), "it was asked to step down");
    }

    #[test]
    fn a_mark_counts_whatever_it_says_and_its_grace_is_bounded() {
        assert_eq!(CancelRequest::decode(b"\xff"), CancelRequest::new());
        let said = CancelRequest::decode(br#"{"reason":"enough","grace_ms":1500}"#);
        assert_eq!((said.reason.as_deref(), said.grace()), (Some("enough"), Some(Duration::from_millis(1500))));
        assert_eq!((grace(Some(0)), grace(Some(u64::MAX)), grace(None)), (None, Some(CANCEL_GRACE_MAX), None));
    }

    #[test]
    fn garbage_drains_gracefully_and_recalls_nothing() {
        assert_eq!(DrainRequest::decode(b"\xff"), DrainRequest::new(DrainMode::Graceful));
        assert_eq!(DrainRequest::decode(br#"{"bellwether":1,"mode":"fast","deadline_ms":5}"#).mode, DrainMode::Fast);
        let recall = RecallRequest::decode(br#"{"bellwether":1,"tasks":["a"],"most":1}"#);
        assert_eq!((recall.tasks.len(), recall.most), (1, 1));
        assert_eq!(RecallRequest::decode(b"Idle").most, 0);
        assert_eq!(StepDownRequest::decode(b"7"), None);
    }
}
