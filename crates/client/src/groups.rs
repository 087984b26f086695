//! Groups as programs and people see them: how many elements, and what they are called.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::group::{GroupRecord, GroupState};
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, WorkerId, path};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::client::CancelOptions;
use crate::error::Error;
use crate::finding::created;

/// A group: tasks that were submitted together. Its elements are tasks like others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
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
}

/// Where the elements of a group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Progress {
    /// Workers have them.
    pub assigned: u32,
    /// They wait for a free slot.
    pub pending: u32,
    /// They may not run yet.
    pub held: u32,
    /// Their results are kept.
    pub ended: u32,
    /// They are nowhere: not submitted yet, or their results were removed.
    pub missing: u32,
}

/// Those of these names that are groups. A name that has the form of an element's is none.
pub(crate) async fn among(store: &Store, mut names: Vec<TaskName>) -> Result<Result<BTreeMap<TaskName, Group>, Error>, ReadError> {
    names.retain(|name| name.group().is_none());
    store.sync().await?;
    let mut groups = BTreeMap::new();
    let nodes = reader::read_nodes(store, names.iter().map(path::group).collect()).await;
    for (name, (path, answer)) in names.into_iter().zip(nodes) {
        let Some(node) = answer? else { continue };
        let Some(record) = GroupRecord::decode(&node.data) else { return Ok(Err(unreadable(&path))) };
        groups.insert(name.clone(), Group::of(name, record, created(&node)));
    }
    Ok(Ok(groups))
}

fn unreadable(path: &str) -> Error {
    Error::Refused(format!("{path} does not decode, or is newer than this program"))
}

/// By names alone: what ended how is not looked at. Where tasks come from is listed before where they go, so that one that moves
/// meanwhile is seen, and counted where it was.
pub(crate) async fn progress(store: &Store, group: &Group) -> Result<Progress, ReadError> {
    store.sync().await?;
    let element = |name: &String| TaskName::listed(name).group().filter(|(of, index)| *of == group.group && *index < group.size);
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    let mut count = |names: Option<Vec<String>>| {
        let new = names.unwrap_or_default().iter().filter_map(element).filter(|(_, index)| seen.insert(*index)).count();
        u32::try_from(new).unwrap_or(u32::MAX)
    };
    let held = count(store.children(path::HELD).await?);
    let pending = count(store.children(path::TASKS).await?);
    let mut assigned = 0;
    let boxes = store.children(path::ASSIGN).await?.unwrap_or_default();
    let boxes = boxes.iter().map(|worker| path::assign_box(&WorkerId::listed(worker))).collect();
    for (_, tasks) in reader::list_many(store, boxes).await {
        assigned += count(tasks?);
    }
    let ended = count(store.children(path::STATUS).await?);
    Ok(Progress { assigned, pending, held, ended, missing: group.size.saturating_sub(held + pending + assigned + ended) })
}

/// Sets its record, at the version that was read; asked again after an unknown outcome.
pub(crate) async fn cancel(store: &Store, group: &TaskName, options: &CancelOptions) -> Result<Result<Group, Error>, ReadError> {
    let path = path::group(group);
    let (synced, read) = (store.sync(), store.get(&path));
    synced.await?;
    let Some(node) = read.await? else { return Ok(Err(Error::NoSuchTask(group.clone()))) };
    let Some(record) = GroupRecord::decode(&node.data) else { return Ok(Err(unreadable(&path))) };
    if matches!(record.state, GroupState::Cancelled | GroupState::Ended) {
        return Ok(Ok(Group::of(group.clone(), record, created(&node))));
    }
    let cancelled = GroupRecord { grace_ms: options.grace_ms(), ..record.in_state(GroupState::Cancelled, options.reason.clone()) };
    match store.commit(Multi::new().set(&path, cancelled.encode(), Some(node.stat.version))).await {
        Outcome::Applied(_) => Ok(Ok(Group::of(group.clone(), cancelled, created(&node)))),
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => Ok(Err(Error::Denied { what: format!("set {path}") })),
        // Somebody else was quicker, or nobody knows: what is there now counts.
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent) | Refusal::At { why: Why::BadVersion | Why::NoNode, .. }) => {
            Err(ReadError::Interrupted)
        }
        Outcome::Refused(refusal) => Ok(Err(Error::Refused(format!("{path}, at {refusal}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_named() {
        let record = GroupRecord::new(4, GroupState::Submitted);
        let group = Group::of(TaskName::listed("g"), record, Timestamp::UNIX_EPOCH);
        let names = |tasks: Vec<TaskName>| tasks.iter().map(|task| task.to_string()).collect::<Vec<_>>();
        assert_eq!(names(group.elements()), ["g.0", "g.1", "g.2", "g.3"]);
    }
}
