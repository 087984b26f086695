//! What the ledger cannot see, because it keeps no payloads and knows nothing of commands: whether what is moved is what was there,
//! whether what is recorded is of what was run, and whether a submission creates its task once.

use std::hash::{DefaultHasher, Hash, Hasher};

use bellwether_core::protocol::array::piece_of;
use bellwether_core::protocol::group::{GroupRecord, GroupState};
use bellwether_core::protocol::result::{Status, TaskOutcome, decode_status};
use bellwether_core::protocol::{Multi, Op, TaskName, WorkerId, path, payload};

use super::world::{Broken, World};
use super::zookeeper::ZooKeeper;

impl World {
    /// What the ledger cannot see: whether what is moved is what was there, and what is recorded is of what was run.
    pub(crate) fn inspect(&mut self, session: i64, multi: &Multi, before: &ZooKeeper) {
        let created = |path: &str| {
            multi.ops.iter().find_map(|op| match op {
                Op::Create { path: created, data, .. } if created == path => Some(data),
                Op::Create { .. } | Op::Check { .. } | Op::Set { .. } | Op::Delete { .. } => None,
            })
        };
        let mut wrong = None;
        for op in &multi.ops {
            match op {
                Op::Delete { path, .. } => {
                    let (Some((worker, task)), Some(node)) = (assignment(path), before.znode(path)) else { continue };
                    if worker.session() != Some(session) {
                        continue;
                    }
                    if created(&path::task(&task)).is_some_and(|data| **data != *node.data) {
                        wrong = Some(Broken::MovedOther);
                    }
                    let reported = created(&path::status(&task)).is_some() || created(&path::held(&task)).is_some();
                    if reported && !self.finished.contains(&(task, meaning(&node.data))) {
                        wrong = Some(Broken::RecordedOther);
                    }
                }
                Op::Create { path, data, .. } => {
                    if !self.was_executed(path, data) {
                        wrong = Some(Broken::RecordedOther);
                    }
                    if let Some((_, task)) = assignment(path)
                        && self.exclusive
                        && self.hands.iter().any(|hand| hand.groups.keys().any(|run| run.task == task))
                    {
                        wrong = Some(Broken::RunsStill);
                    }
                    if let Some((_, task)) = assignment(path)
                        && before.znode(&path::task(&task)).is_some_and(|node| *node.data != **data)
                    {
                        wrong = Some(Broken::MovedOther);
                    }
                    if assignment(path).is_some_and(|(_, task)| piece_of(&task).is_none()) && is_too_soon(data, before) {
                        wrong = Some(Broken::RanTooSoon);
                    }
                    if self.clients.iter().any(|client| client.sessions.contains(&session))
                        && let Some(task) = path.strip_prefix("/tasks/").or_else(|| path.strip_prefix("/bellwether/held/"))
                    {
                        let count = self.submitted.entry(TaskName::listed(task)).or_default();
                        *count += 1;
                        if *count > 1 {
                            wrong = Some(Broken::Submission("one submission creates its task twice"));
                        }
                        if self.one_key && self.submitted.len() > 1 {
                            wrong = Some(Broken::Submission("one key makes two tasks"));
                        }
                    }
                }
                Op::Check { .. } | Op::Set { .. } => {}
            }
        }
        wrong.into_iter().for_each(|broken| self.break_with(broken));
    }
}

/// Whether a task that waits for others has not waited long enough, or its group is not wholly submitted.
fn is_too_soon(payload: &[u8], before: &ZooKeeper) -> bool {
    let envelope = payload::decode_assigned(payload).expect("every payload here is a task").envelope;
    let succeeded = |parent: &TaskName| {
        before.znode(&path::status(parent)).is_some_and(|node| match decode_status(&node.data) {
            Status::Full(result) => result.outcome == TaskOutcome::Succeeded,
            Status::Plain { succeeded, .. } => succeeded,
        })
    };
    let submitted = |group: &TaskName| {
        let record = before.znode(&path::group(group)).and_then(|node| GroupRecord::decode(&node.data));
        record.is_some_and(|record| record.state == GroupState::Submitted)
    };
    !envelope.after.iter().all(succeeded) || !envelope.group.iter().all(submitted)
}

/// What a payload asks for: what is compared with what was run.
fn meaning(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload::decode_assigned(data).expect("every payload here is a task").hash(&mut hasher);
    hasher.finish()
}

/// The worker and the task of an assignment's path.
pub(crate) fn assignment(path: &str) -> Option<(WorkerId, TaskName)> {
    let (worker, task) = path.strip_prefix("/assign/")?.split_once('/')?;
    Some((WorkerId::listed(worker), TaskName::listed(task)))
}
