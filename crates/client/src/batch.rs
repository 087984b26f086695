//! Groups as programs make them: what belongs together becomes one transaction, or several of which none has an effect before the last.

use std::collections::BTreeSet;

use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::acl::identity::ACL_BYTES_MAX;
use bellwether_core::protocol::group::{GROUP_SIZE_MAX, GroupRecord, GroupState};
use bellwether_core::submission::{GroupStep, GroupWrite, Submittal};

use crate::error::SubmitError;
use crate::task::NewTask;

/// Tasks that are submitted together, waited for as one, and cancelled as one.
///
/// ```no_run
/// use bellwether_client::{Client, NewElement, NewGroup, NewTask, SubmitError};
///
/// # async fn example(client: Client) -> Result<(), SubmitError> {
/// let build = NewTask::argv(["make", "build"]).into();
/// let test = NewElement { task: NewTask::argv(["make", "test"]).retries(2), after: vec![0] };
/// let group = client.submit_group(NewGroup { tasks: vec![build, test], max_fails: Some(0), name: None }).await?;
/// client.cancel_group(&group, Some("not needed")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewGroup {
    /// Its elements, in order.
    pub tasks: Vec<NewElement>,
    /// How many of them may fail before the others are cancelled; without it, any number.
    pub max_fails: Option<u32>,
    /// What people call it.
    pub name: Option<String>,
}

/// An element of a group that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewElement {
    /// What is run.
    pub task: NewTask,
    /// The elements of the same group that it waits for, by their numbers from 0.
    pub after: Vec<u32>,
}

impl From<NewTask> for NewElement {
    fn from(task: NewTask) -> Self {
        Self { task, after: Vec::new() }
    }
}

/// Most tasks, and about how many bytes of them, in one transaction of several.
const CHUNK: (usize, usize) = (2000, 800 * 1024);

impl NewGroup {
    /// Its elements under their names, if it makes sense.
    pub(crate) fn named(self, group: &TaskName) -> Result<Vec<NewTask>, SubmitError> {
        let size = self.tasks.len();
        if size == 0 || size > GROUP_SIZE_MAX {
            return Err(SubmitError::Contradictory(format!("a group has between 1 and {GROUP_SIZE_MAX} tasks, not {size}")));
        }
        if self.tasks.iter().any(|element| element.task.envelope.key.is_some()) {
            return Err(SubmitError::Contradictory("an element of a group cannot have a key".to_owned()));
        }
        for (index, element) in self.tasks.iter().enumerate() {
            if let Some(after) = element.after.iter().find(|after| **after as usize >= size) {
                return Err(SubmitError::Contradictory(format!("task {index} waits for task {after}, and there are {size}, from 0")));
            }
        }
        if let Some(index) = in_a_circle(&self.tasks) {
            return Err(SubmitError::Contradictory(format!("task {index} waits for itself, directly or by way of others")));
        }
        let named = self.tasks.into_iter().map(|NewElement { mut task, after }| {
            task.envelope.group = Some(group.clone());
            task.envelope.after.extend(after.into_iter().map(|index| group.element(index)));
            task
        });
        Ok(named.collect())
    }
}

/// A task that waits for itself, if there is one.
fn in_a_circle(tasks: &[NewElement]) -> Option<usize> {
    let mut open: Vec<BTreeSet<u32>> = tasks.iter().map(|element| element.after.iter().copied().collect()).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    for (index, after) in open.iter().enumerate() {
        after.iter().for_each(|parent| children[*parent as usize].push(index));
    }
    let mut free: Vec<usize> = (0..tasks.len()).filter(|index| open[*index].is_empty()).collect();
    let mut left = tasks.len();
    while let Some(parent) = free.pop() {
        left -= 1;
        for child in std::mem::take(&mut children[parent]) {
            open[child].remove(&u32::try_from(parent).unwrap_or(u32::MAX));
            if open[child].is_empty() {
                free.push(child);
            }
        }
    }
    // Of those that are left each waits for another one of them: whoever goes on comes back to one in a circle.
    let mut at = (left > 0).then(|| open.iter().position(|after| !after.is_empty()))??;
    for _ in 0..tasks.len() {
        at = *open[at].first()? as usize;
    }
    Some(at)
}

/// What is written in one transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) step: GroupStep,
    pub(crate) tasks: Vec<Submittal>,
}

/// Puts the elements into as few transactions as they fit in. If there are several, all elements are held until the last is there.
pub(crate) fn chunks(group: &TaskName, record: &GroupRecord, tasks: Vec<Submittal>, (most, bytes): (usize, usize)) -> Vec<Chunk> {
    let mut parts: Vec<Vec<Submittal>> = Vec::new();
    let mut room = 0;
    for task in tasks {
        // Its path, what frames it, and the rights that it is created with.
        let size = task.payload.len() + task.task.as_str().len() + 80 + ACL_BYTES_MAX;
        match parts.last_mut().filter(|part| part.len() < most && size <= room) {
            Some(part) => part.push(task),
            None => {
                parts.push(vec![task]);
                room = bytes;
            }
        }
        room = room.saturating_sub(size);
    }
    let (last, alone) = (parts.len().saturating_sub(1), parts.len() == 1);
    let step = |index: usize| match index {
        0 if alone => GroupWrite::Create(record.clone().in_state(GroupState::Submitted, None).encode()),
        0 => GroupWrite::Create(record.clone().in_state(GroupState::Open, None).encode()),
        index if index == last => GroupWrite::Complete(record.clone().in_state(GroupState::Submitted, None).encode()),
        _ => GroupWrite::Check,
    };
    let chunk = |(index, mut tasks): (usize, Vec<Submittal>)| {
        tasks.iter_mut().for_each(|task| task.held |= !alone);
        Chunk { step: GroupStep { group: group.clone(), write: step(index) }, tasks }
    };
    parts.into_iter().enumerate().map(chunk).collect()
}

/// The same, as large as ZooKeeper takes them well.
pub(crate) fn fitting(group: &TaskName, record: &GroupRecord, tasks: Vec<Submittal>) -> Vec<Chunk> {
    chunks(group, record, tasks, CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(after: &[u32]) -> NewElement {
        NewElement { task: NewTask::argv(["x"]), after: after.to_vec() }
    }

    fn refused(tasks: Vec<NewElement>) -> String {
        let group = NewGroup { tasks, ..NewGroup::default() };
        group.named(&TaskName::listed("g")).expect_err("it makes no sense").to_string()
    }

    #[test]
    fn elements_wait_for_one_another_by_their_numbers() {
        let tasks = vec![element(&[]), element(&[0, 2]), element(&[])];
        let named = NewGroup { tasks, ..NewGroup::default() }.named(&TaskName::listed("g")).expect("it makes sense");
        assert_eq!(named[1].envelope.after, [TaskName::listed("g.0"), TaskName::listed("g.2")]);
        assert!(named.iter().all(|task| task.envelope.group == Some(TaskName::listed("g"))));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(refused(vec![]).contains("between 1 and"));
        assert!(refused(vec![element(&[1])]).contains("task 0 waits for task 1"));
        assert!(refused(vec![element(&[0])]).contains("task 0 waits for itself"));
        let circle = refused(vec![element(&[]), element(&[2, 0]), element(&[3]), element(&[1]), element(&[1])]);
        assert!(
            ["task 1 ", "task 2 ", "task 3 "].iter().any(|task| circle.contains(task)) && circle.contains("waits for itself"),
            "{circle}"
        );
        let keyed = NewElement::from(NewTask::argv(["x"]).key("k"));
        assert!(refused(vec![keyed]).contains("key"));
    }

    #[test]
    fn what_does_not_fit_is_held_until_the_last_part_is_there() {
        let group = TaskName::listed("g");
        let tasks = |number: u32| (0..number).map(|i| Submittal::pending(group.element(i), b"x".to_vec())).collect::<Vec<_>>();
        let record = GroupRecord::new(5, GroupState::Open);
        let all = chunks(&group, &record, tasks(5), (5, 10_000));
        assert_eq!((all.len(), all[0].tasks.iter().any(|task| task.held)), (1, false));
        let submitted = record.clone().in_state(GroupState::Submitted, None).encode();
        assert_eq!(all[0].step.write, GroupWrite::Create(submitted.clone()));
        let parts = chunks(&group, &record, tasks(5), (2, 10_000));
        let writes: Vec<_> = parts.iter().map(|chunk| chunk.step.write.clone()).collect();
        assert_eq!(writes, [GroupWrite::Create(record.encode()), GroupWrite::Check, GroupWrite::Complete(submitted)]);
        assert!(parts.iter().flat_map(|chunk| &chunk.tasks).all(|task| task.held));
        assert_eq!(chunks(&group, &record, tasks(5), (5, 100)).len(), 5, "bytes count, too");
    }
}
