//! What people ask of the master and of workers, as the master sees it, and what it asks of workers itself.
//!
//! Requests lie below `/bellwether/workers`: one to drain goes by the operator's name, one to give tasks back by the incarnation. The
//! first is read by the worker; that it is there is all that the master needs. The second is made by the master and deleted by the worker
//! with its answer, or by the master when the worker is gone.

use super::ground::Sweep;
use super::items::{Item, Part};
use super::{Fact, Master};
use crate::Time;
use crate::planner::{self, Holder};
use crate::protocol::{Why, WorkerId};
use crate::view::{Registration, Slot, Worker};

impl Master {
    /// All of them, as they were found with the ground: see [`super::Ground`].
    pub(super) fn on_requests_listed(&mut self, paused: bool, names: Vec<String>) {
        self.view.drained.clear();
        // Those that are being made are told by events.
        let making = |worker: &WorkerId| self.items().any(|item| matches!(item, Item::Recall(recall) if recall.worker == *worker));
        let kept = self.view.recalls.iter().filter(|(worker, _)| making(worker)).map(|(worker, most)| (worker.clone(), *most)).collect();
        self.view.recalls = kept;
        for name in names {
            self.on_request_appeared(name);
        }
        self.pause(paused);
    }

    /// An event says more than an answer that is awaited still.
    pub(super) fn ask_again_if_asked(&mut self) {
        if matches!(self.sweep, Sweep::Asked(_)) {
            self.examine_ground();
        }
    }

    pub(super) fn pause(&mut self, paused: bool) {
        if std::mem::replace(&mut self.view.halted, paused) != paused {
            self.tell(Fact::Halted(paused));
        }
    }

    pub(super) fn on_request_appeared(&mut self, name: String) {
        let worker = WorkerId::listed(&name);
        if worker.operator_name().is_none() {
            if self.view.drained.insert(name.clone()) {
                self.tell(Fact::Draining { name, drains: true });
            }
            return;
        }
        self.view.recalls.entry(worker.clone()).or_insert(1);
        if self.surveyed() {
            self.withdraw_recall(&worker);
        }
    }

    pub(super) fn on_request_gone(&mut self, name: String) {
        if self.view.recalls.remove(&WorkerId::listed(&name)).is_none() && self.view.drained.remove(&name) {
            self.tell(Fact::Draining { name, drains: false });
        }
    }

    /// Nobody is left to answer it.
    pub(super) fn withdraw_recall(&mut self, worker: &WorkerId) {
        let lives = self.view.workers.get(worker).is_some_and(|known| !known.is_gone());
        let item = Item::RemoveRecall(worker.clone());
        if !lives && self.view.recalls.contains_key(worker) && !self.items().any(|other| *other == item) {
            self.todo.push_back(item);
        }
    }

    pub(super) fn withdraw_recalls(&mut self) {
        for worker in self.view.recalls.keys().cloned().collect::<Vec<_>>() {
            self.withdraw_recall(&worker);
        }
    }

    /// Everything that is decided and not answered yet.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.todo.iter().chain(self.writes.values().flat_map(|batch| &batch.items)).chain(&self.blocked)
    }

    /// While somebody is idle and nothing waits that could be given to it, asks those who were given more than they can run.
    pub(super) fn recall(&mut self, now: Time) {
        let ready = !self.paused && !self.view.halted && self.sweep == Sweep::Done && self.surveyed();
        let reading = self.reads > 0 || !self.unread.is_empty();
        if !ready || reading || !self.todo.is_empty() {
            return;
        }
        self.view.workers.settle();
        let outstanding = self.view.recalls.values().fold(0, |sum: u32, most| sum.saturating_add(*most));
        if self.view.workers.crowded().next().is_none() || self.view.workers.room().free <= u64::from(outstanding) {
            return;
        }
        let offers = self.view.offers(self.settings.lookahead, now.mono);
        for recall in planner::recalls(&self.view.queue, offers, self.holders(), outstanding) {
            if let Some(known) = self.view.workers.get_mut(&recall.worker) {
                known.asked = true;
            }
            self.view.recalls.insert(recall.worker.clone(), recall.most);
            self.todo.push_back(Item::Recall(recall));
        }
    }

    /// Who was given more than it can run, and may be asked. One that gave nothing back is asked again when its box has changed.
    fn holders(&self) -> Vec<Holder<'_>> {
        let may = |id: &WorkerId, registration: &Registration| {
            matches!(registration, Registration::Known(terms) if terms.version.is_some()) && !self.view.recalls.contains_key(id)
        };
        // Of what is being assigned, or is not known yet, nobody can say whether somebody else could start it.
        let settled = |slot: &Slot| !matches!(slot, Slot::Asked(_) | Slot::Placing { .. });
        let able = |known: &Worker| !known.asked && known.excess() > 0 && known.load.values().all(settled);
        let asked = self.view.workers.crowded().filter(|(id, known)| able(known) && may(id, &known.registration));
        asked
            .map(|(worker, known)| {
                let placed = known
                    .load
                    .iter()
                    .filter(|(task, slot)| matches!(slot, Slot::Placed { alone: false }) && !self.cancels.contains_key(*task));
                Holder { worker, excess: known.excess(), tasks: placed.map(|(task, _)| (task, known.load.requirement(task))).collect() }
            })
            .collect()
    }

    /// A request that could not be made or deleted.
    pub(super) fn request_refused(&mut self, item: Item, why: Why) {
        match (&item, why) {
            // It was asked before, by an earlier master: the worker answers that one first.
            (Item::Recall(recall), Why::NodeExists) => {
                self.view.recalls.insert(recall.worker.clone(), 1);
            }
            (Item::Recall(_), Why::NoNode) => self.block(item),
            (Item::RemoveRecall(worker), Why::NoNode) => {
                self.view.recalls.remove(worker);
            }
            _ => self.give_up(&item, Part::Request, why),
        }
    }
}
