//! What services say of themselves: the data of `/master`, `/workers/<worker>`, the standby queue and `/bellwether/epoch`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PROTOCOL_VERSION, TaskName, WorkerId};

/// Who a coordinator is: in the queue of standbys and, with the epoch, in the office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoordinatorRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// What the operator called it.
    pub name: String,
    /// Host it runs on.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// Where it serves metrics and health, `host:port`.
    pub http: String,
    /// Version of the program.
    pub version: String,
    /// The term, while it is in office.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    /// Since when it is in office.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Most slots that a worker may have.
pub const SLOTS_MAX: u32 = 4096;

/// Most that a worker may have of a resource.
pub const RESOURCE_MAX: u32 = 1_000_000;

/// What a worker offers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// What the operator called it.
    pub name: String,
    /// Host it runs on.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// How many slots it has: most tasks take one while they run.
    pub slots: u32,
    /// What tasks may require.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How much it has of what tasks take while they run, beside slots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u32>,
    /// The kinds of tasks that it has handlers for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
    /// Whether it runs commands, too.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub commands: bool,
    /// How long at most it has a task, beside the time that this may run, in milliseconds: to be started, and to be stopped. A task of which
    /// it says nothing for much longer is ended by the master. Absent: it has tasks for as long as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience_ms: Option<u64>,
    /// Where it serves metrics and health, `host:port`.
    pub http: String,
    /// Version of the program.
    pub version: String,
    /// The incarnation that this process was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<WorkerId>,
    /// When it registered, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

fn yes() -> bool {
    true
}

fn is_yes(yes: &bool) -> bool {
    *yes
}

/// Who waits for results, the data of `/bellwether/waiters/<name>`. What ends after the creation of that node is kept, and what it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiterRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// Who, `user@host`.
    pub by: String,
    /// What it waited for when the node was created, or some of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskName>,
}

impl WaiterRecord {
    /// What the data of such a node names; what does not decode names nothing.
    #[must_use]
    pub fn named(data: &[u8]) -> Vec<TaskName> {
        serde_json::from_slice::<Self>(data).map(|record| record.tasks).unwrap_or_default()
    }
}

/// One term of mastership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Term {
    /// The epoch.
    pub epoch: i32,
    /// What the operator called the coordinator.
    pub name: String,
    /// Host it ran on.
    pub host: String,
    /// Its session, in hex.
    pub session: String,
    /// When it won, by its own clock.
    pub since: Timestamp,
    /// Why the term before this one ended, as far as this one knows.
    pub previous_ended: String,
    /// How long nobody had ruled before, in milliseconds, as far as this one saw; unknown if it did not see the vacancy begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vacant_ms: Option<u64>,
}

/// The data of `/bellwether/epoch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Version of this format.
    pub bellwether: u32,
    /// The last terms, oldest first, at most [`TERMS_KEPT`].
    pub terms: Vec<Term>,
}

/// How many terms the history keeps.
pub const TERMS_KEPT: usize = 64;

impl History {
    /// Reads it; what does not decode is an empty history, because nobody may be kept from ruling by it.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        serde_json::from_slice(data).unwrap_or(Self { bellwether: PROTOCOL_VERSION, terms: Vec::new() })
    }

    /// Adds a term, and forgets the oldest beyond the limit.
    #[must_use]
    pub fn with(mut self, term: Term) -> Self {
        self.terms.push(term);
        let excess = self.terms.len().saturating_sub(TERMS_KEPT);
        self.terms.drain(..excess);
        self
    }

    /// As it is written to ZooKeeper.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

/// What a master says when it steps down of its own accord.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farewell {
    /// The term that ends.
    pub epoch: i32,
    /// Why.
    pub why: String,
}

/// Any record, as it is written to ZooKeeper.
#[must_use]
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record has only string keys and finite numbers")
}

/// What the data of `/workers/<worker>` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerData {
    /// A worker of ours.
    Ours(Box<WorkerRecord>),
    /// Somebody else's: the book's worker writes `Idle` or `Working`.
    Foreign,
}

/// Reads the data of `/workers/<worker>`.
#[must_use]
pub fn decode_worker(data: &[u8]) -> WorkerData {
    match serde_json::from_slice::<WorkerRecord>(data) {
        Ok(record) if record.bellwether <= PROTOCOL_VERSION => WorkerData::Ours(Box::new(record)),
        Ok(_) | Err(_) => WorkerData::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_forgets_its_oldest_terms() {
        let term = |epoch| Term {
            epoch,
            name: "c".into(),
            host: "h".into(),
            session: "0x1".into(),
            since: Timestamp::UNIX_EPOCH,
            previous_ended: "session ended".into(),
            vacant_ms: None,
        };
        let history = (1..=100).fold(History::decode(b"garbage"), |history, epoch| history.with(term(epoch)));
        assert_eq!(history.terms.len(), TERMS_KEPT);
        assert_eq!(history.terms.last().map(|term| term.epoch), Some(100));
        assert_eq!(History::decode(&history.encode()), history);
    }

    #[test]
    fn a_foreign_worker_is_told_from_ours() {
        assert_eq!(decode_worker(b"Idle"), WorkerData::Foreign);
        assert_eq!(decode_worker(b"\xff"), WorkerData::Foreign);
        let ours = br#"{"bellwether":1,"name":"w","host":"h","pid":1,"slots":2,"http":"","version":"0.1.0"}"#;
        assert!(matches!(decode_worker(ours), WorkerData::Ours(record) if record.slots == 2));
    }
}
