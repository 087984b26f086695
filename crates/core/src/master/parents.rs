//! What held tasks wait for besides their time: other tasks that must succeed, and the rest of their group.
//!
//! Nobody watches `/status`. A parent that ends leaves the place where it was believed, and that is told; then, and only because a held
//! task names it, its status is read. Each parent is read a few times in all, however many name it. What is known is read again by
//! every resync, so that nothing is lost with a master.
//!
//! A parent that is nowhere (never submitted, or its result is gone) counts as one that did not succeed: a task must not wait for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::items::{Item, Place};
use super::{Effect, Master, Reading};
use crate::Time;
use crate::lifecycle;
use crate::numbering::{Numbered, Rename};
use crate::protocol::TaskName;
use crate::protocol::payload::{AfterFailure, Envelope};
use crate::protocol::result::{Status, TaskOutcome, decode_status};
use crate::view::{Entry, Question, UNTIL_TOLD, Waiting};

/// A question which tasks are named by held ones; before the answer, everything is read that was held when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    unread: BTreeSet<TaskName>,
}

/// How far that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Lists are being read: nobody knows what is held.
    Unknown,
    /// Something that was held is being read.
    NotYet,
    /// All of them.
    All(BTreeSet<TaskName>),
}

/// Held tasks that name others, and those that they name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Parents {
    parents: BTreeMap<TaskName, Parent>,
    children: BTreeMap<TaskName, Child>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Parent {
    children: BTreeSet<TaskName>,
    stand: Stand,
}

/// How a parent stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
enum Stand {
    /// Nobody has looked.
    #[default]
    Unasked,
    /// Its status is being read. `missed`: it was found nowhere before.
    Asked { question: Question, missed: bool },
    /// It had not ended when its status was read. `missed`: and it was nowhere else; only the second time counts.
    Lives { missed: bool },
    /// It ended, and if it did not succeed: why, for people.
    Ended(Option<String>),
}

/// A held task that waits for others, or has waited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Child {
    after: BTreeSet<TaskName>,
    /// Those of them that have not ended.
    open: BTreeSet<TaskName>,
    /// Why it is not to run.
    failed: Option<String>,
    policy: AfterFailure,
    group: Option<TaskName>,
    /// When its delay is over.
    due: Option<Duration>,
}

/// What becomes of a held task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It waits for nobody.
    Free,
    /// It waits until it is told.
    Waits,
    /// It never runs.
    Ends(AfterFailure, String),
}

impl Parents {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        for parent in self.parents.values_mut() {
            match &mut parent.stand {
                Stand::Asked { question, .. } => rename(Numbered::Question, question),
                Stand::Unasked | Stand::Lives { .. } | Stand::Ended(_) => {}
            }
        }
    }

    /// Questions of before may never be answered.
    pub(super) fn look_again(&mut self) {
        for parent in self.parents.values_mut() {
            match parent.stand {
                Stand::Asked { .. } | Stand::Lives { .. } => parent.stand = Stand::Unasked,
                // A status is final.
                Stand::Unasked | Stand::Ended(_) => {}
            }
        }
    }

    /// Forgets a task that is held no more, and those that nobody else names; hands back its group.
    fn forget(&mut self, child: &TaskName) -> Option<TaskName> {
        let known = self.children.remove(child)?;
        for name in known.after {
            let Some(parent) = self.parents.get_mut(&name) else { continue };
            parent.children.remove(child);
            if parent.children.is_empty() {
                self.parents.remove(&name);
            }
        }
        known.group
    }

    /// One task of each cycle.
    fn in_cycles(&self) -> Vec<(TaskName, TaskName)> {
        let mut left: BTreeMap<&TaskName, BTreeSet<&TaskName>> = BTreeMap::new();
        for (name, child) in self.children.iter().filter(|(_, child)| child.failed.is_none()) {
            left.insert(name, child.open.iter().filter(|parent| self.children.contains_key(*parent)).collect());
        }
        // Whoever waits for nobody that is left is in no cycle.
        let mut free: Vec<&TaskName> = left.iter().filter(|(_, waits)| waits.is_empty()).map(|(name, _)| *name).collect();
        while let Some(name) = free.pop() {
            left.remove(name);
            for child in self.parents.get(name).iter().flat_map(|parent| &parent.children) {
                if let Some(waits) = left.get_mut(child)
                    && waits.remove(name)
                    && waits.is_empty()
                {
                    free.push(child);
                }
            }
        }
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for start in left.keys().copied() {
            let (mut at, mut path) = (start, BTreeSet::new());
            // Everybody who is left waits for somebody who is left: whoever goes on comes back.
            while seen.insert(at) {
                path.insert(at);
                let Some(next) = left.get(at).and_then(|waits| waits.first()) else { break };
                if path.contains(next) {
                    found.push((at.clone(), (*next).clone()));
                }
                at = next;
            }
        }
        found
    }
}

impl Master {
    /// Whether a held task names this one, so that its result must stay.
    #[must_use]
    pub fn is_named_as_parent(&self, task: &TaskName) -> bool {
        self.parents.parents.contains_key(task)
    }

    /// Begins to find out all tasks that held ones name. `None`: not everything was listed.
    #[must_use]
    pub fn begin_naming(&self) -> Option<Naming> {
        let unread = self.view.held.iter().filter(|(_, waiting)| waiting.is_unread()).map(|(task, _)| task.clone());
        self.knows_all().then(|| Naming { unread: unread.collect() })
    }

    /// All tasks that held ones name, as soon as each of those was read that was held when it was asked. What comes later is not waited
    /// for: somebody submits always.
    #[must_use]
    pub fn name(&self, naming: &mut Naming) -> Named {
        if !self.knows_all() {
            return Named::Unknown;
        }
        while let Some(first) = naming.unread.first() {
            if self.view.held.get(first).is_some_and(Waiting::is_unread) {
                return Named::NotYet;
            }
            naming.unread.pop_first();
        }
        Named::All(self.parents.parents.keys().cloned().collect())
    }

    /// A held task was read: what becomes of it.
    pub(super) fn bind(&mut self, task: &TaskName, envelope: &Envelope, due: Option<Duration>) -> Verdict {
        self.unbind(task);
        if !envelope.waits_for_others() {
            return Verdict::Free;
        }
        let after: BTreeSet<TaskName> = envelope.after.iter().cloned().collect();
        let failed = after.contains(task).then(|| "it waits for itself".to_owned());
        let (policy, group) = (envelope.after_failure, envelope.group.clone());
        let child = Child { open: after.clone(), after: after.clone(), failed, policy, group: group.clone(), due };
        self.parents.children.insert(task.clone(), child);
        for name in after {
            self.parents.parents.entry(name.clone()).or_default().children.insert(task.clone());
            self.inform(task, &name);
        }
        if let Some(group) = &group {
            self.wait_for_group(group, task);
        }
        let verdict = self.verdict(task);
        if verdict == Verdict::Waits {
            self.ask_for_parents(task);
        }
        verdict
    }

    /// It is held no more.
    pub(super) fn unbind(&mut self, task: &TaskName) {
        if let Some(group) = self.parents.forget(task) {
            self.leave_group(&group, task);
        }
    }

    fn verdict(&self, task: &TaskName) -> Verdict {
        let Some(child) = self.parents.children.get(task) else { return Verdict::Free };
        match child.group.as_ref().map(|group| self.gate(group)) {
            Some(super::groups::Gate::Closed) => return Verdict::Waits,
            Some(super::groups::Gate::Gone) => {
                return Verdict::Ends(AfterFailure::Skip, "its group is gone, and was never wholly submitted".to_owned());
            }
            Some(super::groups::Gate::Open) | None => {}
        }
        match (&child.failed, child.policy) {
            (Some(why), AfterFailure::Skip | AfterFailure::Dead) => Verdict::Ends(child.policy, why.clone()),
            (_, _) if !child.open.is_empty() => Verdict::Waits,
            (_, _) => Verdict::Free,
        }
    }

    /// What is known of a parent's end reaches a child.
    fn inform(&mut self, task: &TaskName, parent: &TaskName) {
        let Some(Stand::Ended(end)) = self.parents.parents.get(parent).map(|parent| &parent.stand) else { return };
        if let Some(child) = self.parents.children.get_mut(task) {
            child.open.remove(parent);
            if let Some(why) = end {
                child.failed.get_or_insert_with(|| format!("{parent}, which it waits for, {why}"));
            }
        }
    }

    /// Of an element whose group is being submitted, nobody's end is asked for: they may not be there yet.
    fn ask_for_parents(&mut self, task: &TaskName) {
        let Some(child) = self.parents.children.get(task) else { return };
        if child.group.as_ref().is_some_and(|group| self.gate(group) != super::groups::Gate::Open) {
            return;
        }
        for name in child.open.clone() {
            if self.parents.parents.get(&name).is_some_and(|parent| parent.stand == Stand::Unasked) {
                self.ask_for_status_of_parent(&name, false);
            }
        }
    }

    fn ask_for_status_of_parent(&mut self, name: &TaskName, missed: bool) {
        let question = self.ask();
        if let Some(parent) = self.parents.parents.get_mut(name) {
            parent.stand = Stand::Asked { question, missed };
            self.effects.push(Effect::ReadStatus(question, name.clone()));
        }
    }

    pub(super) fn on_parent_read(&mut self, question: Question, name: &TaskName, reading: &Reading, now: Time) {
        let stand = self.parents.parents.get(name).map(|parent| &parent.stand);
        let Some(Stand::Asked { question: asked, missed }) = stand.cloned() else { return };
        if asked != question {
            return;
        }
        match reading {
            Reading::Found(node) => self.parent_ended(name, failure_in(&node.data), now),
            Reading::Denied => self.parent_ended(name, Some("ended, and its status may not be read".to_owned()), now),
            Reading::Absent if self.is_believed_somewhere(name) || !self.surveyed() => self.parent_lives(name, false),
            Reading::Absent if missed => {
                self.parent_ended(name, Some("is nowhere: it was never submitted, or its result was removed".to_owned()), now);
            }
            // It may have moved while we looked: whatever became of it, it is where tasks wait, or has ended.
            Reading::Absent => {
                self.parent_lives(name, true);
                self.want_payload(Entry::pending(name.clone()));
                self.want_payload(Entry::held(name.clone()));
            }
        }
    }

    fn parent_lives(&mut self, name: &TaskName, missed: bool) {
        if let Some(parent) = self.parents.parents.get_mut(name) {
            parent.stand = Stand::Lives { missed };
        }
    }

    fn parent_ended(&mut self, name: &TaskName, failure: Option<String>, now: Time) {
        let Some(parent) = self.parents.parents.get_mut(name) else { return };
        parent.stand = Stand::Ended(failure);
        for child in parent.children.clone() {
            self.inform(&child, name);
            self.act_on(&child, now);
        }
    }

    /// Carries out what became of a held task that rests until it is told.
    pub(super) fn act_on(&mut self, task: &TaskName, now: Time) {
        let entry = Entry::held(task.clone());
        match self.view.get(&entry) {
            Some(Waiting::Resting(resting)) if resting.due == UNTIL_TOLD => {}
            // It is read, moved or ended: that comes back here, or needs nothing more.
            Some(
                Waiting::Resting(_) | Waiting::Unread | Waiting::Asked(_) | Waiting::Ready(_) | Waiting::Moving { .. } | Waiting::Stuck,
            )
            | None => {
                return;
            }
        }
        match self.verdict(task) {
            Verdict::Waits => self.ask_for_parents(task),
            Verdict::Free => {
                let due = self.parents.children.get(task).and_then(|child| child.due);
                self.view.release(&entry, due, now.mono);
            }
            Verdict::Ends(policy, why) => self.end_child(&entry, policy, &why, now),
        }
    }

    /// Ends a held task that never runs.
    pub(super) fn end_child(&mut self, entry: &Entry, policy: AfterFailure, why: &str, now: Time) {
        let Some(ready) = self.view.get(entry).and_then(Waiting::settled) else { return };
        let Some(payload) = ready.payload.clone() else {
            self.wanted.insert(entry.clone());
            return self.want_payload(entry.clone());
        };
        let Some(version) = self.view.start_moving(entry).map(|ready| ready.version) else { return };
        let (outcome, recorded, letter) = lifecycle::orphaned(&entry.task, &payload, policy, why, now.wall);
        let (task, from, version) = (entry.task.clone(), Place::from(entry.lane), Some(version));
        self.todo.push_back(Item::End { task, from, version, outcome, recorded, letter, marked: false });
    }

    /// A task is not where it was, or it became known where it is.
    pub(super) fn pursue_parent(&mut self, name: &TaskName) {
        let Some(parent) = self.parents.parents.get(name) else { return };
        let missed = match parent.stand {
            Stand::Lives { missed } => missed,
            // Its children are not asked for yet; its answer, or its end, is known.
            Stand::Unasked | Stand::Asked { .. } | Stand::Ended(_) => return,
        };
        if !self.is_believed_somewhere(name) {
            self.ask_for_status_of_parent(name, missed);
        }
    }

    /// It moved: that it was found nowhere says nothing any more.
    pub(super) fn parent_moved(&mut self, name: &TaskName) {
        let Some(parent) = self.parents.parents.get_mut(name) else { return };
        match &mut parent.stand {
            Stand::Lives { missed } | Stand::Asked { missed, .. } => *missed = false,
            Stand::Unasked | Stand::Ended(_) => {}
        }
        self.pursue_parent(name);
    }

    /// Everything was listed: goes on with all of them, and looks for those who wait for one another.
    pub(super) fn pursue_parents(&mut self, now: Time) {
        for task in self.parents.children.keys().cloned().collect::<Vec<_>>() {
            self.act_on(&task, now);
        }
        for name in self.parents.parents.keys().cloned().collect::<Vec<_>>() {
            self.pursue_parent(&name);
        }
        for (task, other) in self.parents.in_cycles() {
            if let Some(child) = self.parents.children.get_mut(&task) {
                let why = format!("it waits for {other}, which waits for it");
                (child.failed, child.open) = (Some(why), BTreeSet::new());
                self.act_on(&task, now);
            }
        }
    }
}

/// What a status says of a task that did not succeed, in the middle of a sentence.
fn failure_in(status: &[u8]) -> Option<String> {
    let (succeeded, how) = match decode_status(status) {
        Status::Full(result) => (result.outcome == TaskOutcome::Succeeded, format!("{} ({})", result.outcome, result.why())),
        Status::Plain { succeeded, words } => (succeeded, words),
    };
    (!succeeded).then(|| format!("did not succeed: {how}"))
}

#[cfg(test)]
impl Master {
    /// How many circles there are.
    pub(super) fn parents_in_cycles(&self) -> usize {
        self.parents.in_cycles().len()
    }
}
