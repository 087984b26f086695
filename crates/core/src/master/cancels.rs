//! Cancellation: a durable mark that a client made, fulfilled by the transaction that ends the task and removes the mark.

use super::items::{Item, Place};
use super::{Effect, Master, Reading};
use crate::Time;
use crate::lifecycle::{self, Runner};
use crate::protocol::request::CancelRequest;
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Node, TaskName, WorkerId};
use crate::view::{Entry, Question, Slot, Waiting};

/// How far a cancellation is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::master) enum Cancel {
    /// The mark is being read.
    Asked(Question),
    /// The task is being looked for, or its transaction is under way.
    Wanted {
        /// What the client said.
        wish: CancelRequest,
        /// Whether the task was found nowhere once; only the second time counts.
        missed: bool,
        /// Whether there is a mark, or its group is to be cancelled.
        marked: bool,
    },
    /// The task is nowhere: the mark is being removed.
    Removing,
}

impl Master {
    pub(super) fn on_cancels_listed(&mut self, question: Question, tasks: Vec<TaskName>) {
        if question > self.floor {
            // First, so that no mark of an array is believed to be of nothing.
            self.list_arrays();
            let unknown: Vec<TaskName> = tasks.into_iter().filter(|task| !self.cancels.contains_key(task)).collect();
            unknown.into_iter().for_each(|task| self.read_mark(task));
            self.list_groups();
        }
    }

    pub(super) fn on_cancel_appeared(&mut self, task: TaskName) {
        match self.cancels.get(&task) {
            // A question that was asked before this event may be answered from before it.
            Some(Cancel::Asked(_) | Cancel::Wanted { marked: false, .. }) | None => self.read_mark(task),
            Some(Cancel::Wanted { marked: true, .. } | Cancel::Removing) => {}
        }
    }

    fn read_mark(&mut self, task: TaskName) {
        let question = self.ask();
        self.cancels.insert(task.clone(), Cancel::Asked(question));
        self.effects.push(Effect::ReadCancel(question, task));
    }

    pub(super) fn on_cancel_read(&mut self, question: Question, task: &TaskName, reading: Reading, now: Time) {
        if self.cancels.get(task) != Some(&Cancel::Asked(question)) {
            return;
        }
        let wish = match reading {
            Reading::Absent => {
                self.cancels.remove(task);
                return;
            }
            Reading::Denied => CancelRequest::new(),
            Reading::Found(node) => CancelRequest::decode(&node.data),
        };
        self.cancels.insert(task.clone(), Cancel::Wanted { wish, missed: false, marked: true });
        self.pursue_cancel(task, now);
    }

    /// Goes on with a cancellation, if there is one, as far as is possible now. Called whenever the task's place became known.
    pub(super) fn pursue_cancel(&mut self, task: &TaskName, now: Time) {
        let Some(Cancel::Wanted { wish, .. }) = self.cancels.get(task) else { return };
        let wish = wish.clone();
        if self.is_array(task) {
            return self.cancel_array(task);
        }
        let entries = [Entry::pending(task.clone()), Entry::held(task.clone())];
        let Some(entry) = entries.into_iter().find(|entry| self.view.get(entry).is_some()) else { return self.cancel_elsewhere(task) };
        // Otherwise the answer, or the end of its transaction, comes back here.
        let Some(ready) = self.view.get(&entry).and_then(Waiting::settled) else { return };
        match ready.payload.clone() {
            Some(payload) => self.cancel_waiting(&entry, &payload, &wish, now),
            None => {
                self.wanted.insert(entry.clone());
                self.want_payload(entry);
            }
        }
    }

    /// Whether it is to end now. While its mark is being read that waits: the reason stands in it.
    pub(super) fn is_cancelled(&self, task: &TaskName) -> bool {
        match self.cancels.get(task) {
            Some(Cancel::Wanted { .. } | Cancel::Removing) => true,
            Some(Cancel::Asked(_)) | None => false,
        }
    }

    /// Goes on with all of them: something was listed.
    pub(super) fn pursue_cancels(&mut self, now: Time) {
        for task in self.cancels.keys().cloned().collect::<Vec<_>>() {
            self.pursue_cancel(&task, now);
        }
    }

    /// The task moved: that it was found nowhere says nothing any more.
    pub(super) fn look_again(&mut self, task: &TaskName, now: Time) {
        self.parent_moved(task);
        self.element_moved(task);
        if let Some(Cancel::Wanted { missed, .. }) = self.cancels.get_mut(task) {
            *missed = false;
            self.pursue_cancel(task, now);
        }
    }

    /// The mark went with a transaction of ours. One that was made since is another one; if its end was not told yet, it is asked
    /// which one is meant.
    pub(super) fn unmarked(&mut self, task: &TaskName) {
        match self.cancels.get(task) {
            Some(Cancel::Removing) => {
                self.cancels.remove(task);
            }
            Some(Cancel::Wanted { .. }) => self.read_mark(task.clone()),
            Some(Cancel::Asked(_)) | None => {}
        }
    }

    /// Whether a mark goes with the end of this task.
    fn is_marked(&self, task: &TaskName) -> bool {
        !matches!(self.cancels.get(task), Some(Cancel::Wanted { marked: false, .. }))
    }

    /// It ended by our hand, without a mark of its own.
    pub(super) fn cancel_done(&mut self, task: &TaskName) {
        if matches!(self.cancels.get(task), Some(Cancel::Wanted { marked: false, .. })) {
            self.cancels.remove(task);
        }
    }

    fn cancel_waiting(&mut self, entry: &Entry, payload: &[u8], wish: &CancelRequest, now: Time) {
        let marked = self.is_marked(&entry.task);
        let recorded = lifecycle::cancelled(&entry.task, payload, wish, None, now.wall);
        let Some(ready) = self.view.start_moving(entry) else { return };
        let version = Some(ready.version);
        let (from, outcome) = (entry.lane.into(), TaskOutcome::Cancelled);
        self.todo.push_back(Item::End { task: entry.task.clone(), from, version, outcome, recorded, letter: None, marked });
    }

    fn cancel_elsewhere(&mut self, task: &TaskName) {
        match self.view.keeper(task) {
            Some((worker, Slot::Placed { .. })) => self.ask_for_assignment(&worker, task.clone()),
            Some((_, Slot::Placing { .. } | Slot::Asked(_) | Slot::Leaving | Slot::Stuck)) => {}
            None if self.surveyed() => self.cancel_nowhere(task),
            None => {}
        }
    }

    /// The task neither waits nor is assigned. It may have moved while we looked, so it is looked for once more: whatever its worker
    /// made of it, it is where tasks wait, or has ended.
    fn cancel_nowhere(&mut self, task: &TaskName) {
        let Some(Cancel::Wanted { missed, marked, .. }) = self.cancels.get_mut(task) else { return };
        let marked = *marked;
        if std::mem::replace(missed, true) {
            if !marked {
                self.cancels.remove(task);
                return;
            }
            self.cancels.insert(task.clone(), Cancel::Removing);
            self.todo.push_back(Item::RemoveMark(task.clone()));
        } else {
            self.want_payload(Entry::pending(task.clone()));
            self.want_payload(Entry::held(task.clone()));
        }
    }

    /// Ends an assignment at this version, `None` if it may not be read: to delete it is a right on its parent.
    pub(super) fn cancel_assigned(&mut self, worker: &WorkerId, task: &TaskName, node: Option<&Node>, now: Time) {
        let wish = match self.cancels.get(task) {
            Some(Cancel::Wanted { wish, .. }) => wish.clone(),
            Some(Cancel::Asked(_) | Cancel::Removing) | None => CancelRequest::new(),
        };
        let runner = Runner { worker: worker.clone(), epoch: Some(self.epoch) };
        let item = Item::End {
            task: task.clone(),
            from: Place::Assigned(worker.clone()),
            version: node.map(|node| node.stat.version),
            outcome: TaskOutcome::Cancelled,
            recorded: lifecycle::cancelled(task, node.map_or(&[], |node| &node.data), &wish, Some(&runner), now.wall),
            letter: None,
            marked: self.is_marked(task),
        };
        self.leave(worker, task, item);
    }
}
