//! Who takes the next task: workers in the order of their loads, looked at only as far as a plan needs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;

use super::{Offer, Requirement};
use crate::protocol::WorkerId;
use crate::view::Room;

/// What workers have to offer to one plan.
pub struct Market<'a> {
    /// Nobody has looked at them: the least loaded first.
    rest: Peekable<Box<dyn Iterator<Item = Offer<'a>> + 'a>>,
    seen: Vec<Offer<'a>>,
    /// No less than all of them have.
    room: Room,
}

/// Those that may take what one requirement asks, as far as somebody looked. What was noted of one that was given something since is
/// mended when its turn comes: loads only grow, and who does not take a task now takes none of its kind in this plan.
#[derive(Debug, Default)]
pub(super) struct Takers<'a> {
    by_load: BinaryHeap<Reverse<(u64, &'a WorkerId, usize)>>,
    considered: usize,
    /// Who was given the last one.
    last: Option<usize>,
}

impl<'a> Market<'a> {
    /// Of offers in the order of their shares, and then of their names; `room` is no less than all of them have.
    pub fn new(offers: impl Iterator<Item = Offer<'a>> + 'a, room: Room) -> Self {
        let rest: Box<dyn Iterator<Item = Offer<'a>> + 'a> = Box::new(offers);
        Self { rest: rest.peekable(), seen: Vec::new(), room }
    }

    /// Of all these.
    #[must_use]
    pub fn of(mut offers: Vec<Offer<'a>>) -> Self {
        let mut room = Room::default();
        for offer in &offers {
            let (has, taken) = (offer.has.slots, offer.taken.slots);
            room.free += u64::from(has.saturating_sub(taken));
            room.ahead += u64::from(has.saturating_add(offer.lookahead).saturating_sub(taken.max(has)));
        }
        offers.sort_by_key(|offer| (offer.share(), offer.worker));
        Self::new(offers.into_iter(), room)
    }

    /// Whether nobody is there.
    pub fn is_empty(&mut self) -> bool {
        self.seen.is_empty() && self.rest.peek().is_none()
    }

    /// How many of them somebody looked at.
    #[must_use]
    pub fn looked_at(&self) -> usize {
        self.seen.len()
    }

    /// The least loaded of those that start it at once, or else of those where it may wait; the first by name among equals. Who has a free
    /// slot is less loaded than who has none.
    pub(super) fn best(&mut self, takers: &mut Takers<'a>, requirement: &Requirement) -> Option<usize> {
        loop {
            while let Some(offer) = self.seen.get(takers.considered) {
                if offer.takes(requirement) {
                    takers.by_load.push(Reverse((offer.share(), offer.worker, takers.considered)));
                }
                takers.considered += 1;
            }
            let first = self.first(takers, requirement);
            match (first, self.rest.peek().map(|offer| (offer.share(), offer.worker))) {
                (Some((share, worker, index)), Some(next)) if (share, worker) < next => return Some(index),
                (Some((_, _, index)), None) => return Some(index),
                (None, None) => return None,
                (Some(_) | None, Some(_)) => self.seen.extend(self.rest.next()),
            }
        }
    }

    fn first(&self, takers: &mut Takers<'a>, requirement: &Requirement) -> Option<(u64, &'a WorkerId, usize)> {
        loop {
            let Reverse((noted, worker, index)) = *takers.by_load.peek()?;
            let offer = self.seen.get(index).filter(|offer| offer.takes(requirement));
            match offer.map(Offer::share) {
                Some(share) if share == noted => return Some((share, worker, index)),
                Some(share) => {
                    takers.by_load.pop();
                    takers.by_load.push(Reverse((share, worker, index)));
                }
                None => drop(takers.by_load.pop()),
            }
        }
    }

    /// Gives a task to somebody. What a worker is given together is read, and its results are recorded, together. So one after the other is
    /// filled where that keeps nobody waiting: if at least as many wait as there is room for, all will be filled, whatever the order; and the
    /// slots of one whose tasks are short are free again before it matters that others had fewer.
    pub(super) fn give(&mut self, takers: &mut Takers<'a>, requirement: &Requirement, waiting: usize) -> Option<&'a WorkerId> {
        let best = self.best(takers, requirement)?;
        let starts = self.seen[best].starts(requirement);
        let room = if starts { self.room.free } else { self.room.ahead };
        let goes_on = |offer: &Offer<'_>| {
            let together = waiting as u64 >= room || (starts && offer.brisk);
            together && offer.takes(requirement) && offer.starts(requirement) == starts
        };
        let last = takers.last.filter(|last| goes_on(&self.seen[*last]));
        let index = last.unwrap_or(best);
        let offer = &mut self.seen[index];
        offer.take(requirement);
        match starts {
            true => self.room.free = self.room.free.saturating_sub(requirement.amount.slots.into()),
            false => self.room.ahead = self.room.ahead.saturating_sub(1),
        }
        takers.last = Some(index);
        Some(offer.worker)
    }
}
