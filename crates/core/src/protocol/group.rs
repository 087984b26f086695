//! Groups: tasks that were submitted together, are waited for as one, and cancelled as one. What stands in
//! `/bellwether/groups/<group>`.
//!
//! The elements are tasks like others, named `<group>.<index>`, from 0. The record says how many there are; it is not touched when
//! one of them ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PROTOCOL_VERSION, TaskName};

/// How far a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupState {
    /// Its elements are being submitted. They are held, and none may run.
    Open,
    /// All of them are submitted.
    Submitted,
    /// Those that have not ended are to be cancelled, by whoever rules.
    Cancelled,
    /// No element is left that has not ended.
    Ended,
}

/// The data of `/bellwether/groups/<group>`, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// How many elements there are.
    pub size: u32,
    /// How far it is.
    pub state: GroupState,
    /// How many elements may fail before the others are cancelled; without it, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fails: Option<u32>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who submitted it, `user@host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<String>,
    /// Why it is cancelled, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// If it is cancelled: how long what runs may take to end after SIGTERM, in milliseconds; without it, it is killed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// Most elements of one group.
pub const GROUP_SIZE_MAX: usize = 1_000_000;

impl GroupRecord {
    /// A group of so many elements, about which nothing else is said.
    #[must_use]
    pub fn new(size: u32, state: GroupState) -> Self {
        Self { bellwether: PROTOCOL_VERSION, size, state, max_fails: None, name: None, submitter: None, reason: None, grace_ms: None }
    }

    /// Reads it; `None` if it is none of ours, or newer.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok().filter(|record: &Self| record.bellwether <= PROTOCOL_VERSION)
    }

    /// As it is written to ZooKeeper.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        super::record::encode(self)
    }

    /// The same in another state.
    #[must_use]
    pub fn in_state(mut self, state: GroupState, reason: Option<String>) -> Self {
        self.state = state;
        self.reason = reason.or(self.reason);
        self
    }

    /// The names of its elements, in order.
    pub fn elements(&self, group: &TaskName) -> impl Iterator<Item = TaskName> + use<> {
        let group = group.clone();
        (0..self.size).map(move |index| group.element(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_garbage_is_none() {
        let record = GroupRecord { max_fails: Some(2), ..GroupRecord::new(3, GroupState::Open) };
        assert_eq!(GroupRecord::decode(&record.encode()), Some(record.clone()));
        let cancelled = record.in_state(GroupState::Cancelled, Some("enough".into()));
        assert_eq!(cancelled.clone().in_state(GroupState::Ended, None).reason, Some("enough".into()));
        let names: Vec<String> = cancelled.elements(&TaskName::listed("g")).map(|task| task.to_string()).collect();
        assert_eq!(names, ["g.0", "g.1", "g.2"]);
        for garbage in [&b""[..], b"{}", br#"{"bellwether":2,"size":1,"state":"open"}"#] {
            assert_eq!(GroupRecord::decode(garbage), None);
        }
    }
}
