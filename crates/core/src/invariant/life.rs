//! The life of a task, and what one transaction does to it.

use std::collections::BTreeSet;

use super::payload::Essence;
use crate::protocol::WorkerId;

/// Where a task that has not ended lies. Normally it is one place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Life {
    pub(super) pending: bool,
    pub(super) held: bool,
    /// It is an array of which elements have not ended.
    pub(super) array: bool,
    pub(super) assigned: BTreeSet<WorkerId>,
    /// Its payload, if it was told.
    pub(super) essence: Option<Essence>,
    /// A status of an earlier life of the name stands: it says nothing about this one.
    pub(super) after_status: bool,
    /// A master that knows of no epoch moves in two writes, and left it in two places.
    pub(super) torn: bool,
}

/// One of these places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot<'a> {
    Pending,
    Held,
    Array,
    Assigned(&'a WorkerId),
}

impl Life {
    pub(super) fn places(&self) -> usize {
        usize::from(self.pending) + usize::from(self.held) + usize::from(self.array) + self.assigned.len()
    }

    pub(super) fn enter(&mut self, spot: Spot<'_>) {
        match spot {
            Spot::Pending => self.pending = true,
            Spot::Held => self.held = true,
            Spot::Array => self.array = true,
            Spot::Assigned(worker) => {
                self.assigned.insert(worker.clone());
            }
        }
    }

    /// Says whether it was there.
    pub(super) fn leave(&mut self, spot: Spot<'_>) -> bool {
        match spot {
            Spot::Pending => std::mem::take(&mut self.pending),
            Spot::Held => std::mem::take(&mut self.held),
            Spot::Array => std::mem::take(&mut self.array),
            Spot::Assigned(worker) => self.assigned.remove(worker),
        }
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let fixed = [(self.pending, "pending"), (self.held, "held"), (self.array, "an array")].into_iter().filter(|(there, _)| *there);
        let assigned = self.assigned.iter().map(|worker| format!("assigned to {worker}"));
        let all: Vec<String> = fixed.map(|(_, word)| word.to_owned()).chain(assigned).collect();
        if all.is_empty() { "nowhere".to_owned() } else { all.join(" and ") }
    }
}

/// What one transaction does to one task.
#[derive(Debug, Default)]
pub(super) struct Touch {
    /// Its life before; `None`: it had none.
    pub(super) before: Option<Life>,
    /// Whether a status stood before.
    pub(super) had_status: bool,
    /// Whether anything was known of it before, or can be inferred.
    pub(super) known: bool,
    /// The session's worker had it.
    pub(super) held_by_author: bool,
    /// That worker is one out of the book: it creates the status first, and deletes the assignment by another write.
    pub(super) held_by_foreigner: bool,
    /// It was put somewhere.
    pub(super) entered: bool,
    /// It was put where it may run, now or later.
    pub(super) entered_queue: bool,
    /// It was put where it may run later.
    pub(super) laid_to_rest: bool,
    /// It was given to this worker.
    pub(super) given_to: Option<WorkerId>,
    /// It was taken from this worker.
    pub(super) taken_from: Option<WorkerId>,
    /// It was taken out of the queue.
    pub(super) left_queue: bool,
    /// What was put there, if it was told.
    pub(super) essence: Option<Essence>,
    /// Its status was created, with these data if they were told.
    pub(super) ended: Option<Option<Vec<u8>>>,
    /// A letter was put aside, with this payload if it was told.
    pub(super) letter: Option<Essence>,
}
