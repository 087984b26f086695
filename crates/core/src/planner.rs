//! Which waiting task goes to which worker.
//!
//! Wanted of a plan, in this order: a task only goes to a worker that has its labels and a free slot; higher priority first,
//! oldest first within a priority; the least loaded worker first; a task that must run alone gets an idle worker for itself, and
//! when it is the best of all that wait, a worker is kept free for it.
//! The cost of a plan grows with what it places and with the kinds of requirements, not with what waits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::WorkerId;
use crate::view::Entry;

/// What a task asks of a worker. Tasks that ask the same form one queue, so that a queue nobody can serve holds up no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Requirement {
    /// Labels that the worker must have.
    pub labels: BTreeMap<String, String>,
    /// Whether nothing else may run beside it.
    pub alone: bool,
}

/// A task's place in its queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Higher goes first.
    pub priority: Reverse<i32>,
    /// Lower, and so older, goes first.
    pub czxid: i64,
    /// The task, and where it waits.
    pub entry: Entry,
}

/// All waiting tasks that are understood.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Queue {
    queues: BTreeMap<Requirement, BTreeSet<Ticket>>,
}

impl Queue {
    /// Adds a task.
    pub fn insert(&mut self, requirement: &Requirement, ticket: Ticket) {
        match self.queues.get_mut(requirement) {
            Some(queue) => {
                queue.insert(ticket);
            }
            None => {
                self.queues.insert(requirement.clone(), BTreeSet::from([ticket]));
            }
        }
    }

    /// Removes a task; says whether it was there.
    pub fn remove(&mut self, requirement: &Requirement, ticket: &Ticket) -> bool {
        let Some(queue) = self.queues.get_mut(requirement) else { return false };
        let was_there = queue.remove(ticket);
        if queue.is_empty() {
            self.queues.remove(requirement);
        }
        was_there
    }

    /// How many tasks wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queues.values().map(BTreeSet::len).sum()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// The oldest task of all: the cost grows with the kinds of requirements and with the priorities that wait, not with the tasks.
    #[must_use]
    pub fn oldest(&self) -> Option<&Entry> {
        let heads = self.queues.values().flat_map(heads);
        heads.min_by_key(|ticket| ticket.czxid).map(|ticket| &ticket.entry)
    }
}

/// The first of each priority.
fn heads(queue: &BTreeSet<Ticket>) -> impl Iterator<Item = &Ticket> {
    let next = |ticket: &&Ticket| {
        // What follows all of this priority: the next one begins here.
        let after = Ticket { priority: Reverse(ticket.priority.0.checked_sub(1)?), czxid: i64::MIN, entry: ticket.entry.clone() };
        queue.range(after..).next()
    };
    std::iter::successors(queue.first(), next)
}

/// What a worker has to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The worker.
    pub worker: &'a WorkerId,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// How many tasks it may be given in all.
    pub capacity: u32,
    /// How many it has.
    pub load: u32,
    /// Whether what it has must stay alone.
    pub reserved: bool,
}

impl Offer<'_> {
    fn takes(&self, requirement: &Requirement) -> bool {
        self.may_take(requirement) && self.load < self.capacity && (!requirement.alone || self.load == 0)
    }

    /// Whether it would, were it idle.
    fn may_take(&self, requirement: &Requirement) -> bool {
        !self.reserved && self.capacity > 0 && self.has(&requirement.labels)
    }

    fn has(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
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

/// Places at most `limit` waiting tasks.
#[must_use]
pub fn solve(queue: &Queue, mut offers: Vec<Offer<'_>>, limit: usize) -> Vec<Placement> {
    // 1. One cursor per kind of requirement, each at its best task.
    let mut cursors: Vec<_> = queue.queues.iter().map(|(requirement, tickets)| (requirement, tickets.iter().peekable())).collect();
    let mut plan = Vec::new();
    keep_one_free(&mut cursors, &mut offers);
    while plan.len() < limit {
        // 2. The best task among those that some worker would take now. A kind that nobody takes now is dropped: offers only shrink.
        cursors.retain_mut(|(requirement, tickets)| tickets.peek().is_some() && offers.iter().any(|offer| offer.takes(requirement)));
        let Some((requirement, tickets)) = cursors.iter_mut().min_by(|(_, a), (_, b)| a.clone().peek().cmp(&b.clone().peek())) else {
            break;
        };
        let Some(ticket) = tickets.next() else { break };
        // 3. The least loaded of its workers, by the share of its capacity; the first by name among equals.
        let takers = offers.iter_mut().filter(|offer| offer.takes(requirement));
        let Some(best) = takers.min_by(|a, b| share(a).cmp(&share(b)).then_with(|| a.worker.cmp(b.worker))) else { break };
        best.load += 1;
        best.reserved = requirement.alone;
        plan.push(Placement { entry: ticket.entry.clone(), worker: best.worker.clone() });
    }
    plan
}

type Cursor<'a> = (&'a Requirement, std::iter::Peekable<std::collections::btree_set::Iter<'a, Ticket>>);

/// If the best task of all must run alone and nobody is idle, the least loaded of its workers gets nothing more until it is: otherwise
/// each slot that becomes free is filled, and the task waits for ever.
fn keep_one_free(cursors: &mut [Cursor<'_>], offers: &mut [Offer<'_>]) {
    let heads = cursors.iter_mut().filter_map(|(requirement, tickets)| tickets.peek().map(|ticket| (*ticket, *requirement)));
    let Some((_, requirement)) = heads.min_by_key(|(ticket, _)| *ticket).filter(|(_, requirement)| requirement.alone) else { return };
    if offers.iter().any(|offer| offer.takes(requirement)) {
        return;
    }
    if let Some(kept) = offers.iter_mut().filter(|offer| offer.may_take(requirement)).min_by_key(|offer| share(offer)) {
        kept.reserved = true;
    }
}

fn share(offer: &Offer<'_>) -> u64 {
    u64::from(offer.load) * 1_000_000 / u64::from(offer.capacity.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::TaskName;

    fn ticket(priority: i32, czxid: i64) -> Ticket {
        Ticket { priority: Reverse(priority), czxid, entry: Entry::pending(TaskName::listed(&format!("t{czxid}"))) }
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn placed(plan: &[Placement]) -> Vec<(String, String)> {
        plan.iter().map(|p| (p.entry.task.to_string(), p.worker.to_string())).collect()
    }

    fn offer<'a>(worker: &'a WorkerId, labels: &'a BTreeMap<String, String>, capacity: u32, load: u32) -> Offer<'a> {
        Offer { worker, labels, capacity, load, reserved: false }
    }

    #[test]
    fn higher_priority_first_then_age_and_the_least_loaded_worker() {
        let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
        let mut queue = Queue::default();
        for ticket in [ticket(0, 1), ticket(5, 2), ticket(0, 3)] {
            queue.insert(&Requirement::default(), ticket);
        }
        let plan = solve(&queue, vec![offer(&a, &none, 4, 2), offer(&b, &none, 4, 1)], 10);
        assert_eq!(placed(&plan), [("t2", "b"), ("t1", "a"), ("t3", "b")].map(|(t, w)| (t.to_owned(), w.to_owned())));
    }

    #[test]
    fn what_nobody_can_take_holds_up_nothing_else() {
        let (a, gpu) = (WorkerId::listed("a"), labels(&[("gpu", "yes")]));
        let none = BTreeMap::new();
        let mut queue = Queue::default();
        queue.insert(&Requirement { labels: gpu, alone: false }, ticket(9, 1));
        queue.insert(&Requirement::default(), ticket(0, 2));
        let plan = solve(&queue, vec![offer(&a, &none, 1, 0)], 10);
        assert_eq!(placed(&plan), [("t2".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn a_task_that_must_be_alone_gets_an_idle_worker_for_itself() {
        let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
        let mut queue = Queue::default();
        queue.insert(&Requirement { labels: BTreeMap::new(), alone: true }, ticket(0, 1));
        queue.insert(&Requirement::default(), ticket(0, 2));
        let plan = solve(&queue, vec![offer(&a, &none, 8, 1), offer(&b, &none, 8, 0)], 10);
        assert_eq!(placed(&plan), [("t1", "b"), ("t2", "a")].map(|(t, w)| (t.to_owned(), w.to_owned())));
    }

    #[test]
    fn a_worker_is_kept_free_for_the_oldest_task_if_that_must_be_alone() {
        let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
        let mut queue = Queue::default();
        queue.insert(&Requirement { labels: BTreeMap::new(), alone: true }, ticket(0, 1));
        for czxid in 2..9 {
            queue.insert(&Requirement::default(), ticket(0, czxid));
        }
        let plan = solve(&queue, vec![offer(&a, &none, 4, 1), offer(&b, &none, 4, 2)], 10);
        assert_eq!(placed(&plan), [("t2", "b"), ("t3", "b")].map(|(t, w)| (t.to_owned(), w.to_owned())), "a is left to become idle");
        let plan = solve(&queue, vec![offer(&a, &none, 4, 0), offer(&b, &none, 4, 4)], 10);
        assert_eq!(placed(&plan), [("t1".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn the_oldest_is_found_behind_younger_ones_of_higher_priority() {
        let mut queue = Queue::default();
        assert_eq!(queue.oldest(), None);
        for ticket in [ticket(9, 50), ticket(9, 60), ticket(3, 20), ticket(3, 30), ticket(i32::MIN, 7), ticket(i32::MIN, 8)] {
            queue.insert(&Requirement::default(), ticket);
        }
        queue.insert(&Requirement { labels: labels(&[("gpu", "yes")]), alone: false }, ticket(0, 10));
        assert_eq!(queue.oldest(), Some(&ticket(0, 7).entry));
        queue.remove(&Requirement::default(), &ticket(i32::MIN, 7));
        queue.remove(&Requirement::default(), &ticket(i32::MIN, 8));
        assert_eq!(queue.oldest(), Some(&ticket(0, 10).entry));
    }

    proptest! {
        #[test]
        fn nobody_is_overloaded_nothing_is_placed_twice_and_no_slot_stays_free_while_its_task_waits(
            waiting in proptest::collection::vec((-3..3i32, 0..3u8), 0..40),
            workers in proptest::collection::vec((0..5u32, 0..5u32, 0..3u8), 0..6),
        ) {
            let zone = |n: u8| if n == 0 { BTreeMap::new() } else { labels(&[("zone", &n.to_string())]) };
            let mut queue = Queue::default();
            for (czxid, (priority, wants)) in waiting.iter().enumerate() {
                queue.insert(&Requirement { labels: zone(*wants), alone: false }, ticket(*priority, czxid as i64));
            }
            let named: Vec<_> = workers.iter().enumerate().map(|(i, (c, l, z))| (WorkerId::listed(&format!("w{i}")), zone(*z), *c, *l)).collect();
            let offers = named.iter().map(|(w, z, c, l)| offer(w, z, *c, *l)).collect();
            let plan = solve(&queue, offers, usize::MAX);
            let tasks: BTreeSet<_> = plan.iter().map(|p| p.entry.task.clone()).collect();
            prop_assert_eq!(tasks.len(), plan.len());
            for (worker, has, capacity, load) in &named {
                let given = plan.iter().filter(|p| p.worker == *worker).count() as u32;
                prop_assert!(given == 0 || load + given <= *capacity);
                let left = waiting.iter().enumerate().any(|(i, (_, wants))| {
                    let fits = zone(*wants).iter().all(|(k, v)| has.get(k) == Some(v));
                    fits && !tasks.contains(&TaskName::listed(&format!("t{i}")))
                });
                prop_assert!(!left || load + given >= *capacity, "{} has room and a task for it waits", worker);
            }
        }
    }
}
