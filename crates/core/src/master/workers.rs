//! Workers: what they offer while they live, and what they leave behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::items::{Item, Place};
use super::{Effect, Fact, Master, Reading};
use crate::Time;
use crate::lifecycle::{self, Fate, Runner};
use crate::planner::{Amount, Requirement, Skills};
use crate::protocol::array::PieceOrder;
use crate::protocol::payload::Rejection;
use crate::protocol::record::{WorkerData, decode_worker};
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Node, TaskName, WorkerId, path, payload};
use crate::view::{Boxed, Question, Registration, Slot, Terms, Worker};

/// Most tasks that a worker of the book is given: it does not say how many it takes.
const CLASSIC_SLOTS: u32 = 100;

impl Master {
    pub(super) fn on_worker_appeared(&mut self, worker: &WorkerId) {
        match self.view.workers.get(worker).map(|known| &known.registration) {
            Some(Registration::Unread(_) | Registration::Known(_) | Registration::Unusable(_)) => return,
            // A foreign worker may come back under its old name.
            Some(Registration::Gone) | None => {}
        }
        let unread = || Worker::unknown(Registration::Unread(None), Boxed::Missing);
        self.view.workers.get_or_insert_with(worker, unread).registration = Registration::Unread(None);
        self.read_worker(worker);
        self.list_box(worker);
        self.tell(Fact::WorkerJoined(worker.clone()));
    }

    pub(super) fn read_worker(&mut self, worker: &WorkerId) {
        match self.view.workers.get(worker).map(|known| &known.registration) {
            Some(Registration::Unread(_) | Registration::Known(_)) => {}
            // Told once: the book's workers change their data with every task.
            Some(Registration::Unusable(_) | Registration::Gone) | None => return,
        }
        let question = self.ask();
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.registration = Registration::Unread(Some(question));
            self.effects.push(Effect::ReadWorker(question, worker.clone()));
        }
    }

    /// One that could not be used may have been mended: no watch tells of its rights, and its data changes too often to be followed.
    pub(super) fn look_again_at_worker(&mut self, worker: &WorkerId) {
        let question = self.ask();
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.registration = Registration::Unusable(Some(question));
            self.effects.push(Effect::ReadWorker(question, worker.clone()));
        }
    }

    pub(super) fn on_worker_read(&mut self, question: Question, worker: &WorkerId, reading: Reading) {
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        match known.registration {
            Registration::Unread(asked) | Registration::Unusable(asked) if asked == Some(question) => {}
            Registration::Unread(_) | Registration::Unusable(_) | Registration::Known(_) | Registration::Gone => return,
        }
        let node = match reading {
            Reading::Found(node) => node,
            Reading::Absent => {
                self.touch_worker(worker);
                return self.on_worker_gone(worker);
            }
            Reading::Denied => return self.unusable(worker, "its data may not be read; check its ACL"),
        };
        if node.stat.ephemeral_owner == 0 {
            return self.unusable(worker, "its node belongs to no session; delete it");
        }
        known.registration = match decode_worker(&node.data) {
            WorkerData::Ours(record) => Registration::Known(Terms::of(&record, node.stat.version)),
            WorkerData::Foreign if self.settings.classic_workers => {
                let has = Amount { slots: CLASSIC_SLOTS, ..Amount::default() };
                Registration::Known(Terms {
                    has,
                    skills: Skills::COMMANDS.clone(),
                    labels: std::collections::BTreeMap::new(),
                    version: None,
                    patience: None,
                })
            }
            WorkerData::Foreign => {
                return self.unusable(worker, "it is a foreign worker; set coordinator.classic_workers = \"allow\" to use it");
            }
        };
    }

    pub(super) fn unusable(&mut self, worker: &WorkerId, why: &'static str) {
        if let Some(known) = self.view.workers.get_mut(worker) {
            let told = matches!(known.registration, Registration::Unusable(_));
            known.registration = Registration::Unusable(None);
            if !told {
                self.tell(Fact::WorkerUnusable { worker: worker.clone(), why });
            }
        }
    }

    pub(super) fn on_worker_gone(&mut self, worker: &WorkerId) {
        let drains = self.view.drains(worker);
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        let drained = match std::mem::replace(&mut known.registration, Registration::Gone) {
            Registration::Gone => return,
            Registration::Known(terms) => terms.has.slots == 0 || drains,
            Registration::Unread(_) | Registration::Unusable(_) => false,
        };
        self.tell(Fact::WorkerLost { worker: worker.clone(), drained });
        self.withdraw_recall(worker);
        // Nothing can be assigned to it any more; what is in its box now is all there will ever be.
        self.list_box(worker);
    }

    pub(super) fn on_box_appeared(&mut self, worker: &WorkerId) {
        if self.view.workers.contains_key(worker) {
            self.list_box(worker);
        }
    }

    pub(super) fn on_box_gone(&mut self, worker: &WorkerId, now: Time) {
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        known.boxed = Boxed::Missing;
        let had: Vec<TaskName> = known.load.iter().filter(|(_, slot)| !slot.is_placing()).map(|(task, _)| task.clone()).collect();
        let ours = |slot: &Slot| slot.is_placing() || *slot == Slot::Leaving;
        let pieces: Vec<TaskName> = known.load.iter().filter(|(_, slot)| !ours(slot)).map(|(task, _)| task.clone()).collect();
        known.load.retain(|_, slot| slot.is_placing());
        pieces.iter().for_each(|task| self.piece_left(task));
        let Some(known) = self.view.workers.get(worker) else { return };
        // Of one that is gone we delete the box ourselves, when it is empty.
        if !known.is_gone() {
            self.look_for_vanished(worker, had, now);
        }
        self.settle_worker(worker);
    }

    pub(super) fn on_assignment_appeared(&mut self, worker: &WorkerId, task: TaskName) {
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        known.touch(&task);
        if !known.load.contains_key(&task) {
            // We did not put it there, or do not know that we did.
            self.ask_for_assignment(worker, task);
        }
    }

    pub(super) fn on_assignment_gone(&mut self, worker: &WorkerId, task: TaskName, now: Time) {
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        known.touch(&task);
        known.asked = false;
        known.pace.on_ended(now.mono);
        let slot = known.load.remove(&task);
        match slot {
            Some(Slot::Placing { .. } | Slot::Leaving) | None => {}
            // Its end is told by its record.
            Some(Slot::Placed { .. } | Slot::Asked(_) | Slot::Stuck) if self.is_piece(&task) => {}
            Some(Slot::Placed { .. } | Slot::Asked(_) | Slot::Stuck) => self.note_vanished(worker, &task, now),
        }
        if slot != Some(Slot::Leaving) {
            self.piece_left(&task);
        }
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        self.stuck.remove(&task);
        if known.is_gone() {
            self.settle_worker(worker);
        }
    }

    /// What was stuck may have been mended. And a worker of the book records its results in two writes: of one that died between
    /// them, or whose second write was lost, the assignment stays although the status is there.
    pub(super) fn look_again_into_box(&mut self, worker: &WorkerId) {
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        known.load.values_mut().filter(|slot| **slot == Slot::Stuck).for_each(|slot| *slot = Slot::Placed { alone: false });
        if known.is_gone() || worker.operator_name().is_some() {
            return;
        }
        let placed = known.load.iter().filter(|(_, slot)| matches!(slot, Slot::Placed { .. }));
        for task in placed.map(|(task, _)| task.clone()).collect::<Vec<_>>() {
            let because = path::status(&task);
            let from = Place::Assigned(worker.clone());
            self.leave(worker, &task, Item::Drop { task: task.clone(), from, version: None, because, otherwise: None });
        }
    }

    /// A worker that is gone: ask for what it had, and remove its box when there is nothing left.
    pub(super) fn settle_worker(&mut self, worker: &WorkerId) {
        let Some(known) = self.view.workers.get(worker) else { return };
        if !known.is_gone() || matches!(known.boxed, Boxed::Asked { .. }) {
            return;
        }
        let left: BTreeSet<TaskName> =
            known.load.iter().filter(|(_, s)| matches!(s, Slot::Placed { .. })).map(|(t, _)| t.clone()).collect();
        let empty = known.load.is_empty();
        let missing = known.boxed == Boxed::Missing;
        for task in left {
            self.ask_for_assignment(worker, task);
        }
        match (empty, missing || worker.operator_name().is_none()) {
            (true, true) => {
                self.view.workers.remove(worker);
            }
            (true, false) => self.remove_box(worker),
            (false, _) => {}
        }
    }

    fn remove_box(&mut self, worker: &WorkerId) {
        let waiting = self.todo.iter().chain(self.writes.values().flat_map(|batch| &batch.items)).chain(&self.blocked);
        let item = Item::RemoveBox(worker.clone());
        if !waiting.into_iter().any(|other| *other == item) {
            self.todo.push_back(item);
        }
    }

    pub(super) fn ask_for_assignment(&mut self, worker: &WorkerId, task: TaskName) {
        let question = self.ask();
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        known.load.insert(task.clone(), Slot::Asked(question));
        self.effects.push(Effect::ReadAssignment(question, worker.clone(), task));
    }

    pub(super) fn on_assignment_read(&mut self, question: Question, worker: &WorkerId, task: &TaskName, reading: Reading, now: Time) {
        let cancelled = self.is_cancelled(task);
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        if known.load.get(task) != Some(&Slot::Asked(question)) {
            return;
        }
        let gone = known.is_gone();
        match reading {
            Reading::Absent => {
                known.touch(task);
                known.load.remove(task);
                self.piece_left(task);
                self.settle_worker(worker);
                self.look_again(task, now);
            }
            Reading::Found(node) if let Some(order) = PieceOrder::decode(task, &node.data) => {
                self.on_piece_found(worker, task, &order, gone);
            }
            Reading::Found(node) if cancelled => self.cancel_assigned(worker, task, Some(&node), now),
            Reading::Denied if cancelled => self.cancel_assigned(worker, task, None, now),
            Reading::Found(node) if gone => self.take_back(worker, task, &node, now),
            Reading::Denied if gone => self.reject_assigned(worker, task, now),
            Reading::Denied => {
                known.load.insert(task.clone(), Slot::Placed { alone: false });
            }
            Reading::Found(node) => self.assignment_stays(worker, task, &node, now),
        }
    }

    /// Its worker lives, and nobody wants it back.
    fn assignment_stays(&mut self, worker: &WorkerId, task: &TaskName, node: &Node, now: Time) {
        let envelope = payload::decode_assigned(&node.data).ok().map(|task| task.envelope);
        let losses = self.settings.max_worker_losses;
        let of = |envelope: &payload::Envelope| Requirement::of(envelope, lifecycle::runs_alone(envelope, losses));
        let requirement = envelope.as_ref().map(of).unwrap_or_default();
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.load.place(task, Slot::Placed { alone: requirement.alone }, Arc::new(requirement));
        }
        if self.is_silent(worker, task, node, envelope.as_ref(), now) {
            self.end_silent(worker, task, node, now);
        }
    }

    /// What may not be read cannot be taken back.
    fn reject_assigned(&mut self, worker: &WorkerId, task: &TaskName, now: Time) {
        let item = Item::End {
            task: task.clone(),
            from: Place::Assigned(worker.clone()),
            version: None,
            outcome: TaskOutcome::Rejected,
            recorded: lifecycle::rejection(task, &Rejection::NoRight, now.wall),
            letter: None,
            marked: false,
        };
        self.leave(worker, task, item);
    }

    fn take_back(&mut self, worker: &WorkerId, task: &TaskName, node: &Node, now: Time) {
        let runner = Runner { worker: worker.clone(), epoch: Some(self.epoch) };
        let version = node.stat.version;
        let item = match lifecycle::after_loss(task, &node.data, &runner, self.settings.max_worker_losses, now.wall) {
            Fate::Pending(payload) => Item::TakeBack { task: task.clone(), version, payload, worker: worker.clone() },
            Fate::Ended { outcome, recorded, letter } => Item::End {
                task: task.clone(),
                from: Place::Assigned(worker.clone()),
                version: Some(version),
                outcome,
                recorded,
                letter,
                marked: false,
            },
        };
        // A worker of the book may have died between its status and the deletion of its assignment: then the status stands.
        let item = match worker.operator_name() {
            Some(_) => item,
            None => Item::Drop {
                task: task.clone(),
                from: Place::Assigned(worker.clone()),
                version: Some(version),
                because: path::status(task),
                otherwise: Some(Box::new(item)),
            },
        };
        self.leave(worker, task, item);
    }

    /// Queues an item that ends an assignment.
    pub(super) fn leave(&mut self, worker: &WorkerId, task: &TaskName, item: Item) {
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.load.insert(task.clone(), Slot::Leaving);
        }
        self.todo.push_back(item);
    }
}
