//! Which waiting task goes to which worker.
//!
//! Wanted of a plan, in this order:
//! * a task only goes to a worker that can run it, that has its labels, enough free slots and enough of each resource, or, if it takes a single slot, to one
//!   that may be given tasks ahead of its slots;
//! * the oldest first, where each step of priority counts as a minute of age: so a task is overtaken by tasks of higher priority only as
//!   long as those were created at most that many minutes after it, and nothing waits for ever behind what is more important;
//! * to a worker that starts it at once rather than to one where it waits; the least loaded first; but if as many wait as there is room
//!   for, or tasks end quickly there, one worker after the other is filled, because what is given to a worker together costs less;
//! * a task that must run alone gets an idle worker for itself;
//! * when the best of all tasks that somebody could ever run finds no room, room is kept for it where the least is missing: otherwise each
//!   slot that becomes free would be filled, and what needs many slots, or a worker for itself, would wait for ever.
//!
//! The cost of a plan grows with what it places and with the kinds of requirements, not with what waits, nor with the number of workers as
//! long as the best of all tasks finds room.

mod amount;
mod market;
mod offer;
mod prospect;
mod recall;
mod skills;

use std::collections::{BTreeMap, BTreeSet, btree_set};
use std::sync::Arc;

use crate::protocol::WorkerId;
use crate::protocol::admission::Label;
use crate::protocol::payload::Envelope;
use crate::view::Entry;

pub use amount::Amount;
pub use market::Market;
use market::Takers;
pub use offer::{Exclusion, Offer};
pub use prospect::prospects;
pub use recall::{Holder, Recall, recalls};
pub use skills::Skills;

/// What a task asks of a worker. Tasks that ask the same form one queue, so that a queue nobody can serve holds up no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    /// The kind that the worker must have a handler for; without it, it must run commands.
    pub kind: Option<String>,
    /// Labels that the worker must have.
    pub labels: BTreeMap<String, String>,
    /// Whether nothing else may run beside it.
    pub alone: bool,
    /// What it takes while it runs.
    pub amount: Amount,
    /// Those of its own labels for which there is a limit; they ask nothing of a worker.
    pub limited: Option<Arc<[Label]>>,
}

impl Default for Requirement {
    fn default() -> Self {
        Self { kind: None, labels: BTreeMap::new(), alone: false, amount: Amount::one(), limited: None }
    }
}

impl Requirement {
    /// What this task asks for; `alone`: see [`crate::lifecycle::runs_alone`].
    #[must_use]
    pub fn of(envelope: &Envelope, alone: bool) -> Self {
        Self { kind: envelope.kind.clone(), labels: envelope.require.clone(), alone, amount: Amount::of(envelope), limited: None }
    }

    /// Whether it asks for a slot of any worker that runs commands, and for nothing else.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Self { kind, labels, alone, amount, limited: _ } = self;
        kind.is_none() && labels.is_empty() && !alone && amount.is_one()
    }
}

/// How much older a task counts for each step of its priority.
pub const PRIORITY_STEP_MS: i64 = 60_000;
/// A higher priority counts as this one, a lower one as its opposite: so there is a bound for how long anything is overtaken.
pub const PRIORITY_MAX: i32 = 1000;

/// A task's place in its queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// When its znode was created, by ZooKeeper's clock, minus what its priority is worth: lower goes first.
    rank: i64,
    /// Lower, and so older, goes first among equals.
    pub czxid: i64,
    /// The task, and where it waits.
    pub entry: Entry,
}

impl Ticket {
    /// The place of a task that may run since `since_ms` by ZooKeeper's clock.
    #[must_use]
    pub fn new(priority: i32, since_ms: i64, czxid: i64, entry: Entry) -> Self {
        let worth = i64::from(priority.clamp(-PRIORITY_MAX, PRIORITY_MAX)) * PRIORITY_STEP_MS;
        Self { rank: since_ms.saturating_sub(worth), czxid, entry }
    }
}

/// All waiting tasks that are understood.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Queue {
    queues: BTreeMap<Arc<Requirement>, BTreeSet<Ticket>>,
    len: usize,
}

impl Queue {
    /// Adds a task. What it asks for is handed back as all others in its queue have it.
    pub fn insert(&mut self, requirement: impl Into<Arc<Requirement>>, ticket: Ticket) -> Arc<Requirement> {
        let requirement = requirement.into();
        let shared = self.queues.get_key_value(&requirement).map_or(requirement, |(shared, _)| Arc::clone(shared));
        self.len += usize::from(self.queues.entry(Arc::clone(&shared)).or_default().insert(ticket));
        shared
    }

    /// Removes a task; says whether it was there.
    pub fn remove(&mut self, requirement: &Requirement, ticket: &Ticket) -> bool {
        let Some(queue) = self.queues.get_mut(requirement) else { return false };
        let was_there = queue.remove(ticket);
        if queue.is_empty() {
            self.queues.remove(requirement);
        }
        self.len -= usize::from(was_there);
        was_there
    }

    /// How many tasks wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a task with this label waits.
    #[must_use]
    pub fn has(&self, label: &Label) -> bool {
        self.queues.keys().any(|requirement| Allowances::labels(requirement).any(|other| other == label))
    }
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Placement {
    /// This task …
    pub entry: Entry,
    /// … goes to this worker.
    pub worker: WorkerId,
}

/// How many tasks with a label may be placed now; any number of those that are not named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowances {
    left: BTreeMap<Label, u32>,
}

impl Allowances {
    /// So many, and no more.
    pub fn allow(&mut self, label: Label, most: u32) {
        self.left.insert(label, most);
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self, label: &Label) -> Option<u32> {
        self.left.get(label).copied()
    }

    /// So many more with this label are given out.
    pub fn take_more(&mut self, label: &Label, more: u32) {
        if let Some(left) = self.left.get_mut(label) {
            *left = left.saturating_sub(more);
        }
    }

    fn labels(requirement: &Requirement) -> impl Iterator<Item = &Label> {
        requirement.limited.iter().flat_map(|labels| labels.iter())
    }

    fn permit(&self, requirement: &Requirement) -> bool {
        Self::labels(requirement).all(|label| self.left.get(label) != Some(&0))
    }

    /// How many of so many that wait they let go.
    fn most(&self, requirement: &Requirement, waiting: usize) -> usize {
        let left = Self::labels(requirement).filter_map(|label| self.left.get(label)).min();
        left.map_or(waiting, |left| waiting.min(*left as usize))
    }

    fn take(&mut self, requirement: &Requirement) {
        for label in Self::labels(requirement) {
            if let Some(left) = self.left.get_mut(label) {
                *left = left.saturating_sub(1);
            }
        }
    }
}

/// Places at most `limit` waiting tasks.
#[must_use]
pub fn solve(queue: &Queue, offers: Vec<Offer<'_>>, limit: usize) -> Vec<Placement> {
    solve_within(queue, offers, limit, &mut Allowances::default())
}

/// The same, no more than the allowances let go: what they hold back holds up nothing else, and no room is kept for it.
#[must_use]
pub fn solve_within(queue: &Queue, mut offers: Vec<Offer<'_>>, limit: usize, allowances: &mut Allowances) -> Vec<Placement> {
    let cursors = queue.cursors(allowances);
    let _ = keep_room(&cursors, &mut offers);
    fill(cursors, &mut Market::of(offers), limit, allowances)
}

/// The same among those that have room, as long as nobody needs to know of the others: `None` if the best of all tasks finds no room
/// there, so that some may have to be kept for it.
#[must_use]
pub fn solve_open<'a>(queue: &'a Queue, market: &mut Market<'a>, limit: usize, allowances: &mut Allowances) -> Option<Vec<Placement>> {
    if market.is_empty() {
        return Some(Vec::new());
    }
    let mut cursors = queue.cursors(allowances);
    let best = cursors.iter_mut().min_by_key(|cursor| cursor.head);
    if let Some(cursor) = best {
        market.best(&mut cursor.takers, cursor.requirement)?;
    }
    Some(fill(cursors, market, limit, allowances))
}

/// Places the best task that somebody takes now, and so on.
fn fill<'a>(mut cursors: Vec<Cursor<'a>>, market: &mut Market<'a>, limit: usize, allowances: &mut Allowances) -> Vec<Placement> {
    let mut plan = Vec::new();
    while plan.len() < limit {
        // A kind that nobody takes now is dropped: what is offered only becomes less.
        cursors.retain_mut(|cursor| {
            cursor.head.is_some() && allowances.permit(cursor.requirement) && market.best(&mut cursor.takers, cursor.requirement).is_some()
        });
        let Some(cursor) = cursors.iter_mut().min_by_key(|cursor| cursor.head) else { break };
        let Some(ticket) = cursor.head else { break };
        let waiting = allowances.most(cursor.requirement, cursor.rest.len() + 1);
        let Some(worker) = market.give(&mut cursor.takers, cursor.requirement, waiting) else { break };
        allowances.take(cursor.requirement);
        plan.push(Placement { entry: ticket.entry.clone(), worker: worker.clone() });
        cursor.head = cursor.rest.next();
    }
    plan
}

/// All tasks that ask the same, at the best of them that is not placed.
struct Cursor<'a> {
    requirement: &'a Requirement,
    head: Option<&'a Ticket>,
    rest: btree_set::Iter<'a, Ticket>,
    takers: Takers<'a>,
}

impl<'a> Cursor<'a> {
    fn new(requirement: &'a Requirement, tickets: &'a BTreeSet<Ticket>) -> Self {
        let mut rest = tickets.iter();
        Self { requirement, head: rest.next(), rest, takers: Takers::default() }
    }
}

/// If the best task of all that somebody could ever run finds no room now, what it needs counts as taken where the least is missing:
/// what else is placed there may not make it wait longer. As long as it waits that can only become less, here or on another worker. The task
/// that room is kept for, if it is.
fn keep_room(cursors: &[Cursor<'_>], offers: &mut [Offer<'_>]) -> Option<Ticket> {
    let heads = cursors.iter().filter_map(|cursor| Some((cursor.head?, cursor.requirement)));
    let possible = heads.filter(|(_, requirement)| offers.iter().any(|offer| offer.may_take(requirement)));
    let (ticket, requirement) = possible.min_by_key(|(ticket, _)| *ticket)?;
    if offers.iter().any(|offer| offer.takes(requirement)) {
        return None;
    }
    let missing = |offer: &Offer<'_>| match requirement.alone {
        true => u64::from(offer.taken.slots),
        false => requirement.amount.lacks(&offer.taken, &offer.has),
    };
    let able = offers.iter_mut().filter(|offer| offer.may_take(requirement));
    able.min_by_key(|offer| (missing(offer), offer.share(), offer.worker))?.take(requirement);
    Some(ticket.clone())
}

#[cfg(test)]
mod tests;
