//! Items become transactions, and outcomes become beliefs.
//!
//! One refused item is taken out of its transaction, and the others are sent again. An unknown outcome says nothing: the shell
//! reports it to the election, which proves the office anew, and the following resync reads what is there.

use super::items::{Batch, Item, Part, Place, Published};
use super::{Effect, Fact, Master, WRITES_IN_FLIGHT};
use crate::Time;
use crate::lifecycle;
use crate::planner::Recall;
use crate::protocol::multi::BATCH_BYTES_MAX;
use crate::protocol::payload::Rejection;
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Outcome, Refusal, TaskName, Why, WorkerId, path};
use crate::view::{Boxed, Entry, Since, Slot, Waiting};

impl Master {
    pub(super) fn write(&mut self) {
        while !self.paused && self.writes.len() < WRITES_IN_FLIGHT {
            let most = if self.one_by_one > 0 { 1 } else { self.settings.assign_batch };
            self.one_by_one = self.one_by_one.saturating_sub(1);
            let Some((batch, multi)) = Batch::take(&mut self.todo, most, BATCH_BYTES_MAX) else { return };
            self.last_write += 1;
            self.writes.insert(self.last_write, batch);
            self.effects.push(Effect::Write(self.last_write, multi));
        }
    }

    pub(super) fn on_write_ended(&mut self, id: u64, outcome: &Outcome, now: Time) {
        let Some(batch) = self.writes.remove(&id) else { return };
        match outcome {
            Outcome::Applied(_) => batch.items.into_iter().for_each(|item| self.applied(item, now)),
            Outcome::Refused(Refusal::At { index, why }) => self.refused_at(batch, *index, *why, now),
            // Too large although it was measured: one by one, so that the guilty one is alone.
            Outcome::Refused(Refusal::Whole(why)) if *why != Why::NotSent && batch.items.len() > 1 => {
                self.one_by_one = batch.items.len();
                batch.items.into_iter().rev().for_each(|item| self.todo.push_front(item));
            }
            // Alone, and refused for what it is: sending it again would change nothing.
            Outcome::Refused(Refusal::Whole(why)) if *why != Why::NotSent => {
                if let [Item::Array(step)] = batch.items.as_slice() {
                    return self.array_refused((**step).clone(), Part::ArrayTodo, *why);
                }
                let part = batch.parts.first().map_or(Part::OldTask, |(_, part)| *part);
                batch.items.iter().for_each(|item| self.give_up(item, part, *why));
            }
            // Not in office, not sent, or nobody knows: the next resync reads what is there.
            Outcome::Refused(Refusal::Fence(_) | Refusal::Whole(_)) | Outcome::Unknown => self.paused = true,
        }
    }

    fn refused_at(&mut self, batch: Batch, index: usize, why: Why, now: Time) {
        let Some((guilty, part)) = batch.parts.get(index).copied() else { return };
        let mut items = batch.items;
        let item = items.remove(guilty);
        for other in items.into_iter().rev() {
            self.todo.push_front(other);
        }
        self.refused(item, part, why, now);
    }

    fn applied(&mut self, item: Item, now: Time) {
        match item {
            Item::Assign { entry, worker, .. } => self.assigned(&entry, worker, now),
            Item::Adopt { entry, .. } => self.adopted(&entry),
            Item::Array(step) => self.array_applied(*step, now),
            Item::TakeBack { task, worker, .. } => {
                self.left(&worker, &task);
                self.tell(Fact::TakenBack { task, worker });
            }
            Item::End { task, from, outcome, marked, .. } => {
                match marked {
                    true => self.unmarked(&task),
                    false => self.cancel_done(&task),
                }
                self.left_place(&from, &task);
                self.look_again(&task, now);
                self.tell(Fact::Ended { task, outcome });
            }
            Item::Drop { task, from, .. } => {
                self.left_place(&from, &task);
                self.look_again(&task, now);
            }
            Item::RemoveMark(task) => self.unmarked(&task),
            // If its end was not told yet: there may be another one by now.
            Item::RemoveBox(worker) => self.list_box(&worker),
            Item::Publish { what, .. } => self.published(&what, None),
            Item::RemoveGroup(_) | Item::Post { .. } | Item::Discard(_) => {}
            Item::Recall(Recall { worker, most, .. }) => self.tell(Fact::Recalled { worker, most }),
            // Its end is told by an event.
            Item::RemoveRecall(_) => {}
            Item::Sweep(_) => self.swept(true),
            Item::NoteSweep(_) => self.sweep_noted(),
        }
    }

    fn published(&mut self, what: &Published, refused: Option<Why>) {
        match what {
            Published::Group(group) => self.group_noted(group, refused),
        }
    }

    fn assigned(&mut self, entry: &Entry, worker: WorkerId, now: Time) {
        let waited = match self.view.get(entry) {
            Some(Waiting::Moving { ready, .. }) => self.waited(Since::of(ready), now),
            Some(Waiting::Unread | Waiting::Asked(_) | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Stuck) | None => {
                Default::default()
            }
        };
        self.moved_away(entry);
        let task = &entry.task;
        if let Some(known) = self.view.workers.get_mut(&worker) {
            known.touch(task);
            // If the slot is gone, so is the assignment: its end was told before this answer.
            if let Some(slot) = known.load.get_mut(task)
                && let Slot::Placing { alone } = *slot
            {
                *slot = Slot::Placed { alone };
            }
            if known.is_gone() {
                self.settle_worker(&worker);
            }
        }
        self.tell(Fact::Assigned { task: task.clone(), worker, waited });
        // It may have ended since: that was told when it was believed to wait still.
        self.pursue_parent(task);
        self.pursue_cancel(task, now);
    }

    /// A task waits no longer, by our own hand.
    pub(super) fn moved_away_by_us(&mut self, entry: &Entry) {
        self.moved_away(entry);
    }

    fn moved_away(&mut self, entry: &Entry) {
        self.touch_task(entry);
        match self.view.get(entry) {
            Some(Waiting::Moving { again: true, .. }) => self.want_payload(entry.clone()),
            Some(Waiting::Moving { again: false, .. }) => self.forget_task(entry),
            Some(Waiting::Unread | Waiting::Asked(_) | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Stuck) | None => {}
        }
    }

    pub(super) fn left(&mut self, worker: &WorkerId, task: &TaskName) {
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.touch(task);
            known.load.remove(task);
            self.stuck.remove(task);
            self.settle_worker(worker);
        }
    }

    fn left_place(&mut self, from: &Place, task: &TaskName) {
        match from {
            Place::Pending => self.moved_away(&Entry::pending(task.clone())),
            Place::Held => self.moved_away(&Entry::held(task.clone())),
            Place::Assigned(worker) => self.left(worker, task),
        }
    }

    fn refused(&mut self, item: Item, part: Part, why: Why, now: Time) {
        if let Item::Array(step) = item {
            return self.array_refused(*step, part, why);
        }
        match (part, why) {
            (Part::ArrayNode | Part::ArrayTodo, Why::NodeExists | Why::NoNode | Why::BadVersion) => self.not_adopted(item, why, now),
            (Part::Discarded, _) => {}
            (Part::Worker, _) => self.worker_refused(item, now),
            (Part::NewAssignment, Why::NodeExists) => self.drop_instead(item),
            (Part::NewAssignment, Why::NoNode) => self.box_missing(item, now),
            (Part::NewAssignment, _) => self.box_unusable(item, why, now),
            (Part::OldTask | Part::OldAssignment, Why::NoNode) => self.vanished(&item, now),
            (Part::OldTask | Part::OldAssignment, Why::BadVersion) => self.changed(&item),
            (Part::Other, Why::NoNode) => self.other_missing(item),
            (Part::Status | Part::NewTask, Why::NodeExists) => self.drop_instead(item),
            (Part::Details | Part::Letter, Why::NodeExists) | (Part::Mark, _) => self.without(item, part),
            (Part::Status | Part::NewTask | Part::Details | Part::Letter, Why::NoNode) => self.block(item),
            (Part::Box, Why::NotEmpty | Why::NoNode) => self.look_into_box(&item),
            (Part::Box, _) => self.leave_box(&item, why),
            (Part::OldResult, Why::NoNode) => self.swept(false),
            (Part::Note, Why::NoNode) => self.block(item),
            (Part::Published, _) => {
                if let Item::Publish { what, .. } = &item {
                    self.published(what, Some(why));
                }
            }
            (Part::Request, _) => self.request_refused(item, why),
            (Part::Board, Why::NodeExists | Why::NoNode) => self.board_refused(item, why),
            _ => self.give_up(&item, part, why),
        }
    }

    /// The worker is gone, or wants no more work: the task waits on.
    fn worker_refused(&mut self, item: Item, now: Time) {
        let (entry, worker) = match item {
            Item::Assign { entry, worker, .. } => (entry, worker),
            Item::Recall(Recall { worker, .. }) => {
                self.view.recalls.remove(&worker);
                return self.read_worker(&worker);
            }
            Item::Adopt { .. }
            | Item::Array(_)
            | Item::Discard(_)
            | Item::TakeBack { .. }
            | Item::End { .. }
            | Item::Drop { .. }
            | Item::RemoveMark(_)
            | Item::RemoveBox(_)
            | Item::RemoveRecall(_)
            | Item::Publish { .. }
            | Item::RemoveGroup(_)
            | Item::Post { .. }
            | Item::Sweep(_)
            | Item::NoteSweep(_) => return,
        };
        self.unplace(&entry, &worker, now);
        // A foreign worker may be back already, under the same name.
        self.read_worker(&worker);
    }

    /// There is an array of this name already, or its lines are not there: it cannot run.
    fn not_adopted(&mut self, item: Item, why: Why, now: Time) {
        let Item::Adopt { entry, version, .. } = item else { return };
        let words = if why == Why::NodeExists {
            "array: there is one of this name already, or it left something behind; submit it under another name"
        } else {
            "array: its lines are not there; create them before it is submitted"
        };
        let recorded = lifecycle::rejection(&entry.task, &Rejection::BadEnvelope(words.to_owned()), now.wall);
        let (from, outcome) = (entry.lane.into(), TaskOutcome::Rejected);
        self.todo.push_back(Item::End { task: entry.task, from, version: Some(version), outcome, recorded, letter: None, marked: false });
    }

    fn board_refused(&mut self, item: Item, why: Why) {
        match item {
            Item::Post { was_there: false, .. } if why == Why::NoNode => self.block(item),
            Item::Post { board, .. } => self.post_refused(board, why),
            Item::Assign { .. }
            | Item::Adopt { .. }
            | Item::Array(_)
            | Item::Discard(_)
            | Item::TakeBack { .. }
            | Item::End { .. }
            | Item::Drop { .. }
            | Item::RemoveMark(_)
            | Item::RemoveBox(_)
            | Item::Recall(_)
            | Item::RemoveRecall(_)
            | Item::Publish { .. }
            | Item::RemoveGroup(_)
            | Item::Sweep(_)
            | Item::NoteSweep(_) => {}
        }
    }

    fn unplace(&mut self, entry: &Entry, worker: &WorkerId, now: Time) {
        self.free(worker, &entry.task);
        match self.view.get_mut(entry) {
            Some(Waiting::Moving { ready, again: false, gone: false }) => {
                let ready = ready.clone();
                self.view.file(*ready, usize::MAX);
            }
            // It is gone, or appeared anew: what was read is of an earlier life.
            Some(Waiting::Moving { .. }) => self.want_payload(entry.clone()),
            Some(Waiting::Unread | Waiting::Asked(_) | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Stuck) | None => {}
        }
        // Somebody may have wanted it cancelled while it was on its way.
        self.look_again(&entry.task, now);
    }

    /// The slot of an assignment that did not come about. A worker that is gone may have had nothing else.
    pub(super) fn free(&mut self, worker: &WorkerId, task: &TaskName) {
        if let Some(known) = self.view.workers.get_mut(worker) {
            if known.load.get(task).is_some_and(|slot| slot.is_placing()) {
                known.load.remove(task);
            }
            self.settle_worker(worker);
        }
    }

    /// The task has a status, or is elsewhere, too: what is there stands, and this copy goes.
    fn drop_instead(&mut self, item: Item) {
        match item {
            Item::Assign { entry: Entry { lane, task }, version, worker, .. } => {
                self.ask_for_assignment(&worker, task.clone());
                let because = path::assignment(&worker, &task);
                self.todo.push_back(Item::Drop { task, from: lane.into(), version: Some(version), because, otherwise: None });
            }
            Item::TakeBack { task, version, worker, .. } => {
                let because = path::task(&task);
                self.todo.push_back(Item::Drop { task, from: Place::Assigned(worker), version: Some(version), because, otherwise: None });
            }
            Item::End { task, from, version, .. } => {
                let because = path::status(&task);
                self.todo.push_back(Item::Drop { task, from, version, because, otherwise: None });
            }
            Item::Drop { .. }
            | Item::Adopt { .. }
            | Item::Array(_)
            | Item::Discard(_)
            | Item::RemoveMark(_)
            | Item::RemoveBox(_)
            | Item::Publish { .. }
            | Item::RemoveGroup(_)
            | Item::Post { .. }
            | Item::Recall(_)
            | Item::RemoveRecall(_)
            | Item::Sweep(_)
            | Item::NoteSweep(_) => {}
        }
    }

    fn box_missing(&mut self, item: Item, now: Time) {
        let Item::Assign { entry, worker, .. } = item else { return };
        self.unplace(&entry, &worker, now);
        if let Some(known) = self.view.workers.get_mut(&worker) {
            known.boxed = Boxed::Missing;
        }
    }

    /// The box is to blame, not the task.
    fn box_unusable(&mut self, item: Item, why: Why, now: Time) {
        let Item::Assign { entry, worker, .. } = item else { return };
        self.unusable(&worker, "its box cannot be written; check its ACL");
        self.tell(Fact::Surprised { path: path::assignment(&worker, &entry.task), why });
        self.unplace(&entry, &worker, now);
    }

    /// It is not where we believed: its end or its move is told by an event.
    fn vanished(&mut self, item: &Item, now: Time) {
        match item {
            Item::Assign { entry, worker, .. } => {
                self.free(worker, &entry.task);
                self.moved_away(entry);
                self.look_again(&entry.task, now);
            }
            Item::Adopt { entry, .. } => {
                self.moved_away(entry);
                self.look_again(&entry.task, now);
            }
            Item::TakeBack { task, worker, .. } => {
                self.left(worker, task);
                self.look_again(task, now);
            }
            Item::End { task, from, .. } | Item::Drop { task, from, .. } => {
                self.left_place(from, task);
                self.look_again(task, now);
            }
            Item::RemoveMark(_)
            | Item::Array(_)
            | Item::Discard(_)
            | Item::RemoveBox(_)
            | Item::Publish { .. }
            | Item::RemoveGroup(_)
            | Item::Post { .. }
            | Item::Sweep(_)
            | Item::Recall(_)
            | Item::RemoveRecall(_)
            | Item::NoteSweep(_) => {}
        }
    }

    fn changed(&mut self, item: &Item) {
        if let Item::Assign { entry, worker, .. } = item {
            self.free(worker, &entry.task);
        }
        match item.moved_task() {
            Some((task, Place::Pending)) => self.want_payload(Entry::pending(task.clone())),
            Some((task, Place::Held)) => self.want_payload(Entry::held(task.clone())),
            Some((task, Place::Assigned(worker))) => self.ask_for_assignment(&worker, task.clone()),
            None => {}
        }
    }

    /// What a copy was to be dropped for is not there.
    fn other_missing(&mut self, item: Item) {
        if let Item::Drop { otherwise: Some(otherwise), .. } = item {
            return self.todo.push_front(*otherwise);
        }
        self.changed(&item);
    }

    /// The same again, without a part that turned out to be superfluous.
    fn without(&mut self, mut item: Item, part: Part) {
        match (&mut item, part) {
            (Item::End { recorded, .. }, Part::Details) => recorded.details = None,
            (Item::End { letter, .. }, Part::Letter) => *letter = None,
            (Item::End { marked, .. }, Part::Mark) => *marked = false,
            (Item::RemoveMark(task), _) => {
                let task = task.clone();
                return self.unmarked(&task);
            }
            (
                Item::Assign { .. }
                | Item::Adopt { .. }
                | Item::Array(_)
                | Item::Discard(_)
                | Item::TakeBack { .. }
                | Item::End { .. }
                | Item::Drop { .. }
                | Item::RemoveBox(_)
                | Item::Publish { .. }
                | Item::RemoveGroup(_)
                | Item::Post { .. }
                | Item::Recall(_)
                | Item::RemoveRecall(_)
                | Item::Sweep(_)
                | Item::NoteSweep(_),
                _,
            ) => return,
        }
        self.todo.push_front(item);
    }

    pub(super) fn block(&mut self, item: Item) {
        self.blocked.push(item);
        self.effects.push(Effect::MendLayout);
    }

    fn look_into_box(&mut self, item: &Item) {
        if let Item::RemoveBox(worker) = item {
            self.list_box(worker);
        }
    }

    /// It cannot be deleted; the slow comparison finds it again.
    fn leave_box(&mut self, item: &Item, why: Why) {
        if let Item::RemoveBox(worker) = item {
            self.view.workers.remove(worker);
            self.tell(Fact::Surprised { path: path::assign_box(worker), why });
        }
    }

    /// No rights, children, or something that should not occur: the task stays where it is, told once, until the slow comparison
    /// looks at it again.
    pub(super) fn give_up(&mut self, item: &Item, part: Part, why: Why) {
        let path = item.parts().into_iter().find(|(other, _)| *other == part).map(|(_, op)| op.path().to_owned()).unwrap_or_default();
        if item.moved_task().is_none_or(|(task, _)| !self.stuck.contains(task)) {
            self.tell(Fact::Surprised { path, why });
        }
        match item {
            Item::Assign { entry, worker, .. } => self.free(worker, &entry.task),
            Item::Sweep(_) => self.swept(false),
            Item::NoteSweep(_) => self.sweep_noted(),
            Item::Publish { what, .. } => self.published(&what.clone(), Some(why)),
            Item::Post { board, .. } => self.post_refused(*board, why),
            Item::TakeBack { .. }
            | Item::Adopt { .. }
            | Item::Array(_)
            | Item::Discard(_)
            | Item::End { .. }
            | Item::Drop { .. }
            | Item::RemoveMark(_)
            | Item::RemoveBox(_)
            | Item::RemoveGroup(_) => {}
            Item::Recall(Recall { worker, .. }) | Item::RemoveRecall(worker) => {
                self.view.recalls.remove(worker);
            }
        }
        match item.moved_task() {
            Some((task, Place::Pending)) => self.stick(&Entry::pending(task.clone()), why),
            Some((task, Place::Held)) => self.stick(&Entry::held(task.clone()), why),
            Some((task, Place::Assigned(worker))) => self.stick_assigned(&worker, task),
            None => {}
        }
    }

    fn stick_assigned(&mut self, worker: &WorkerId, task: &TaskName) {
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.load.insert(task.clone(), Slot::Stuck);
            self.stuck.insert(task.clone());
        }
    }
}
