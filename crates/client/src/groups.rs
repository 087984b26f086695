//! Groups as programs and people see them: how many elements, and what they are called.

use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::group::{GroupRecord, GroupState};
use bellwether_core::protocol::{TaskName, path};
use jiff::Timestamp;
use serde::Serialize;

use crate::error::Error;
use crate::finding::created;

/// A group: tasks that were submitted together. Its elements are tasks like others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its id.
    pub group: TaskName,
    /// How many elements it has; they are numbered from 0.
    pub size: u32,
    /// How far it is.
    pub state: GroupState,
    /// How many elements may fail before the others are cancelled.
    pub max_fails: Option<u32>,
    /// What people call it.
    pub name: Option<String>,
    /// Who submitted it.
    pub submitter: Option<String>,
    /// Why it is cancelled.
    pub reason: Option<String>,
    /// When it was submitted, by ZooKeeper's clock.
    pub since: Timestamp,
}

impl Group {
    fn of(group: TaskName, record: GroupRecord, since: Timestamp) -> Self {
        let GroupRecord { size, state, max_fails, name, submitter, reason, .. } = record;
        Self { group, size, state, max_fails, name, submitter, reason, since }
    }

    /// The names of all its elements, in order.
    #[must_use]
    pub fn elements(&self) -> Vec<TaskName> {
        (0..self.size).map(|index| self.group.element(index)).collect()
    }

    /// The names of the elements from `first` to `last`, both of them included.
    ///
    /// # Errors
    /// What is wrong with the range, for people.
    pub fn elements_between(&self, first: u32, last: u32) -> Result<Vec<TaskName>, String> {
        if first > last {
            return Err(format!("{first}..{last}: the first number is greater than the last"));
        }
        if last >= self.size {
            return Err(format!("{} has {} elements, the last is {}", self.group, self.size, self.size.saturating_sub(1)));
        }
        Ok((first..=last).map(|index| self.group.element(index)).collect())
    }
}

/// The group of this name; `None` if there is none.
pub(crate) async fn find(store: &Store, group: &TaskName) -> Result<Option<Result<Group, Error>>, ReadError> {
    let (synced, read) = (store.sync(), store.get(&path::group(group)));
    synced.await?;
    let Some(node) = read.await? else { return Ok(None) };
    let record = GroupRecord::decode(&node.data);
    let unreadable = || Error::Refused(format!("{} does not decode, or is newer than this program", path::group(group)));
    Ok(Some(record.map(|record| Group::of(group.clone(), record, created(&node))).ok_or_else(unreadable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_named_and_ranges_are_checked() {
        let record = GroupRecord::new(4, GroupState::Submitted);
        let group = Group::of(TaskName::listed("g"), record, Timestamp::UNIX_EPOCH);
        let names = |tasks: Vec<TaskName>| tasks.iter().map(|task| task.to_string()).collect::<Vec<_>>();
        assert_eq!(names(group.elements()), ["g.0", "g.1", "g.2", "g.3"]);
        assert_eq!(names(group.elements_between(1, 2).expect("a range")), ["g.1", "g.2"]);
        assert!(group.elements_between(2, 1).expect_err("turned round").contains("greater"));
        assert!(group.elements_between(0, 4).expect_err("too far").contains("4 elements"));
    }
}
