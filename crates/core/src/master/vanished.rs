//! Assignments that were deleted by hand, with the box in which they lay. Nothing can bring them back; somebody must hear of it.
//!
//! An assignment that goes has ended, rests, was given back or was deleted, and its end does not say which. When the box of a worker that
//! lives goes, too, it is looked where the tasks of its last seconds are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::{Effect, Fact, Master};
use crate::Time;
use crate::numbering::{Numbered, Rename};
use crate::protocol::{TaskName, WorkerId};
use crate::view::{Entry, Question};

/// How long before its box an assignment may have gone that was deleted with it: a shell deletes one node after the other.
const WITH_ITS_BOX: Duration = Duration::from_secs(10);
/// Most assignments that are remembered.
const REMEMBERED: usize = 20_000;

/// What went lately, and what is looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Vanished {
    lately: VecDeque<(Duration, WorkerId, TaskName)>,
    searches: BTreeMap<Question, (WorkerId, BTreeSet<TaskName>)>,
}

/// What is remembered here is told to people and decides nothing: two masters that differ in it alone do the same.
impl PartialEq for Vanished {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Vanished {}

impl Hash for Vanished {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Vanished {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        let searches = std::mem::take(&mut self.searches);
        let renamed = searches.into_iter().map(|(mut question, search)| {
            rename(Numbered::Question, &mut question);
            (question, search)
        });
        self.searches = renamed.collect();
    }

    /// Everything is read anew: what went before is not told of.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn note(&mut self, worker: &WorkerId, task: &TaskName, now: Time) {
        let too_old = |(gone, ..): &(Duration, WorkerId, TaskName)| now.since(*gone) > WITH_ITS_BOX;
        while self.lately.len() >= REMEMBERED || self.lately.front().is_some_and(too_old) {
            self.lately.pop_front();
        }
        self.lately.push_back((now.mono, worker.clone(), task.clone()));
    }

    fn take(&mut self, worker: &WorkerId, now: Time) -> BTreeSet<TaskName> {
        let of = |(gone, whose, _): &&(Duration, WorkerId, TaskName)| whose == worker && now.since(*gone) <= WITH_ITS_BOX;
        let tasks = self.lately.iter().filter(of).map(|(.., task)| task.clone()).collect();
        self.lately.retain(|(_, whose, _)| whose != worker);
        tasks
    }
}

impl Master {
    /// An assignment went, and not by a transaction of ours.
    pub(super) fn note_vanished(&mut self, worker: &WorkerId, task: &TaskName, now: Time) {
        self.vanished.note(worker, task, now);
    }

    /// The box of a worker that lives was deleted, and with it what it had.
    pub(super) fn look_for_vanished(&mut self, worker: &WorkerId, had: impl IntoIterator<Item = TaskName>, now: Time) {
        let mut tasks = self.vanished.take(worker, now);
        tasks.extend(had);
        if tasks.is_empty() {
            return;
        }
        let question = self.ask();
        self.effects.push(Effect::LookFor(question, tasks.iter().cloned().collect()));
        self.vanished.searches.insert(question, (worker.clone(), tasks));
    }

    pub(super) fn on_looked_for(&mut self, question: Question, found: &[TaskName]) {
        let Some((worker, mut tasks)) = self.vanished.searches.remove(&question) else { return };
        tasks.retain(|task| !found.contains(task) && !self.is_believed_somewhere(task));
        if !tasks.is_empty() {
            self.tell(Fact::TasksLost { worker, tasks: tasks.into_iter().collect() });
        }
    }

    pub(super) fn is_believed_somewhere(&mut self, task: &TaskName) -> bool {
        let waits = [Entry::pending(task.clone()), Entry::held(task.clone())].iter().any(|entry| self.view.get(entry).is_some());
        waits || self.view.keeper(task).is_some()
    }
}
