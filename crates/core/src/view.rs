//! What a master believes of the cluster: waiting tasks, workers, and what each worker has.
//!
//! Nothing here decides; [`crate::master`] does. Beliefs come from ZooKeeper alone and are rebuilt from it at every takeover.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::planner::{Offer, Queue, Requirement, Ticket};
use crate::protocol::record::WorkerRecord;
use crate::protocol::{TaskName, WorkerId};

/// Number of a question; its answer is believed only while no later question about the same name was asked.
pub type Question = u64;

/// A task that is pending, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Its payload is not known yet.
    Unread(Option<Question>),
    /// It may be placed.
    Ready(Ready),
    /// A transaction that moves or ends it is in flight.
    Moving {
        /// What it was before, for when the transaction is refused.
        ready: Ready,
        /// Whether the task appeared anew meanwhile: given back before we heard that it had been assigned.
        again: bool,
        /// Whether its end was told meanwhile: by our transaction, or by somebody else before it.
        gone: bool,
    },
    /// It cannot be moved at all; the reason was told once. The slow comparison looks at it again.
    Stuck,
}

/// A waiting task whose payload was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ready {
    /// What it asks of a worker.
    pub requirement: Requirement,
    /// Its place in the queue.
    pub ticket: Ticket,
    /// The version that was read.
    pub version: i32,
    /// The payload, byte for byte; given up when too much is waiting, and read again when its turn comes.
    pub payload: Option<Vec<u8>>,
    /// When this master first saw it, on the monotonic clock.
    pub seen: Duration,
}

impl Ready {
    /// A ready task.
    #[must_use]
    pub fn new(
        requirement: Requirement,
        task: TaskName,
        priority: i32,
        czxid: i64,
        version: i32,
        payload: Vec<u8>,
        seen: Duration,
    ) -> Self {
        Self { requirement, ticket: Ticket { priority: Reverse(priority), czxid, task }, version, payload: Some(payload), seen }
    }
}

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    /// What it says of itself.
    pub registration: Registration,
    /// Whether its box is there and was listed.
    pub boxed: Boxed,
    /// What it has, or is about to have: each fills a slot.
    pub load: BTreeMap<TaskName, Slot>,
}

/// Whether a worker lives, and what it offers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Registration {
    /// Its node is there, its data is asked for.
    Unread(Option<Question>),
    /// It may be given work.
    Known(Terms),
    /// It is there, but may not be given work: a foreign worker, or a node that belongs to no session. It is looked at again now and
    /// then, by a question.
    Unusable(Option<Question>),
    /// Its session ended. For a name of our form this is final.
    Gone,
}

/// What a worker offers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Terms {
    /// How many tasks it runs at a time.
    pub slots: u32,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The version of its node, which it raises when it wants no more work. `None`: a foreign worker, which changes it all the time.
    pub version: Option<i32>,
}

impl Terms {
    /// What one of our workers offers.
    #[must_use]
    pub fn of(record: &WorkerRecord, version: i32) -> Self {
        Self { slots: record.slots, labels: record.labels.clone(), version: Some(version) }
    }
}

/// What is known of a worker's box.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Boxed {
    /// Not listed yet. Names of which an event was handled since the question was sent are not believed.
    Asked {
        /// The question.
        question: Question,
        /// Names that changed since.
        touched: BTreeSet<TaskName>,
    },
    /// Listed: what it has is known.
    Listed,
    /// There is none.
    Missing,
}

/// What fills a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Our assigning transaction is in flight.
    Placing,
    /// The assignment is there.
    Placed {
        /// Whether it must stay alone on its worker.
        alone: bool,
    },
    /// It is asked for, because its worker is gone or because somebody wants it cancelled.
    Asked(Question),
    /// A transaction that ends or takes back the assignment is in flight or about to be.
    Leaving,
    /// It should end or be taken back, but that was refused for good: it is looked at again by the slow comparison.
    Stuck,
}

impl Worker {
    /// A worker of which only the name is known.
    #[must_use]
    pub fn unknown(registration: Registration, boxed: Boxed) -> Self {
        Self { registration, boxed, load: BTreeMap::new() }
    }

    /// Notes that a list of its box that is awaited says nothing about this task any more.
    pub fn touch(&mut self, task: &TaskName) {
        if let Boxed::Asked { touched, .. } = &mut self.boxed {
            touched.insert(task.clone());
        }
    }

    /// How many slots it offers, if that is known.
    #[must_use]
    pub fn slots(&self) -> Option<u32> {
        match &self.registration {
            Registration::Known(terms) => Some(terms.slots),
            Registration::Unread(_) | Registration::Unusable(_) | Registration::Gone => None,
        }
    }

    /// Whether its session ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.registration, Registration::Gone)
    }
}

/// Everything a master believes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct View {
    /// Tasks under `/tasks`.
    pub tasks: BTreeMap<TaskName, Waiting>,
    /// The ready ones, in the order of their turn.
    pub queue: Queue,
    /// Workers that are registered, and those that are gone but have something left.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// How many bytes of payloads are kept.
    pub payload_bytes: usize,
}

impl View {
    /// Files a task that was read: it may be placed.
    pub fn file(&mut self, mut ready: Ready, payload_budget: usize) {
        let bytes = ready.payload.as_ref().map_or(0, Vec::len);
        if self.payload_bytes + bytes > payload_budget {
            ready.payload = None;
        } else {
            self.payload_bytes += bytes;
        }
        self.queue.insert(&ready.requirement, ready.ticket.clone());
        let task = ready.ticket.task.clone();
        if let Some(Waiting::Ready(before)) = self.tasks.insert(task, Waiting::Ready(ready)) {
            self.unfile(&before);
        }
    }

    fn unfile(&mut self, ready: &Ready) {
        self.payload_bytes -= ready.payload.as_ref().map_or(0, Vec::len);
        self.queue.remove(&ready.requirement, &ready.ticket);
    }

    /// Forgets a task; hands back what was known of it.
    pub fn forget(&mut self, task: &TaskName) -> Option<Waiting> {
        let waiting = self.tasks.remove(task);
        if let Some(Waiting::Ready(ready)) = &waiting {
            self.unfile(ready);
        }
        waiting
    }

    /// Replaces what is known of a task by a question.
    pub fn question(&mut self, task: &TaskName, question: Option<Question>) {
        self.forget(task);
        self.tasks.insert(task.clone(), Waiting::Unread(question));
    }

    /// Takes a ready task out of the queue because it is about to be moved.
    pub fn start_moving(&mut self, task: &TaskName) -> Option<&Ready> {
        match self.tasks.get(task) {
            Some(Waiting::Ready(_)) => {}
            Some(Waiting::Unread(_) | Waiting::Moving { .. } | Waiting::Stuck) | None => return None,
        }
        let Some(Waiting::Ready(ready)) = self.forget(task) else { return None };
        self.tasks.insert(task.clone(), Waiting::Moving { ready, again: false, gone: false });
        match self.tasks.get(task) {
            Some(Waiting::Moving { ready, .. }) => Some(ready),
            Some(Waiting::Unread(_) | Waiting::Ready(_) | Waiting::Stuck) | None => None,
        }
    }

    /// The living worker that has this task already.
    #[must_use]
    pub fn holder(&self, task: &TaskName) -> Option<&WorkerId> {
        let holds = |(_, known): &(&WorkerId, &Worker)| !known.is_gone() && known.load.get(task).is_some_and(|slot| *slot != Slot::Placing);
        self.workers.iter().find(holds).map(|(worker, _)| worker)
    }

    /// What living workers offer. `lookahead`: how many tasks more than it can run a worker may be given.
    #[must_use]
    pub fn offers(&self, lookahead: u32) -> Vec<Offer<'_>> {
        let mut offers = Vec::with_capacity(self.workers.len());
        for (worker, known) in &self.workers {
            let (Registration::Known(terms), Boxed::Listed) = (&known.registration, &known.boxed) else { continue };
            offers.push(Offer {
                worker,
                labels: &terms.labels,
                // A worker without slots wants no more: it drains. One of the book does not say how many it takes: what it is given is a
                // limit of ours already.
                capacity: match (terms.slots, terms.version) {
                    (0, _) => 0,
                    (slots, Some(_)) => slots.saturating_add(lookahead),
                    (slots, None) => slots,
                },
                load: u32::try_from(known.load.len()).unwrap_or(u32::MAX),
                reserved: known.load.iter().any(|(task, slot)| self.is_alone(task, *slot)),
            });
        }
        offers
    }

    fn is_alone(&self, task: &TaskName, slot: Slot) -> bool {
        match (slot, self.tasks.get(task)) {
            (Slot::Placed { alone }, _) => alone,
            (Slot::Placing, Some(Waiting::Moving { ready, .. })) => ready.requirement.alone,
            (Slot::Placing | Slot::Asked(_) | Slot::Leaving | Slot::Stuck, _) => false,
        }
    }

    /// How many tasks are in which state: pending and assigned.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let placed = self.workers.values().map(|worker| worker.load.values().filter(|slot| **slot != Slot::Placing).count()).sum();
        Counts {
            pending: self.tasks.len(),
            assigned: placed,
            workers: self.workers.values().filter(|worker| !worker.is_gone()).count(),
            usable: self.workers.values().filter(|worker| worker.slots().is_some_and(|slots| slots > 0)).count(),
            draining: self.workers.values().filter(|worker| worker.slots() == Some(0)).count(),
        }
    }

    /// When the oldest waiting task was first seen by this master.
    #[must_use]
    pub fn oldest_seen(&self) -> Option<Duration> {
        match self.tasks.get(self.queue.oldest()?) {
            Some(Waiting::Ready(ready)) => Some(ready.seen),
            Some(Waiting::Unread(_) | Waiting::Moving { .. } | Waiting::Stuck) | None => None,
        }
    }

    /// Whether the view is consistent with itself.
    ///
    /// # Errors
    /// What is wrong, for a panic in debug builds and for tests.
    pub fn sanity_check(&self) -> Result<(), String> {
        let ready = self.tasks.values().filter(|waiting| matches!(waiting, Waiting::Ready(_))).count();
        if ready != self.queue.len() {
            return Err(format!("{ready} tasks are ready but {} are queued", self.queue.len()));
        }
        let mut seen = BTreeSet::new();
        for (worker, known) in &self.workers {
            for (task, slot) in &known.load {
                if *slot == Slot::Placing && !matches!(self.tasks.get(task), Some(Waiting::Moving { .. })) {
                    return Err(format!("{task} is being placed on {worker} but not being moved"));
                }
                if *slot == Slot::Placing && !seen.insert(task) {
                    return Err(format!("{task} is being placed twice"));
                }
            }
        }
        Ok(())
    }
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// Tasks under `/tasks`.
    pub pending: usize,
    /// Assignments.
    pub assigned: usize,
    /// Workers that are registered.
    pub workers: usize,
    /// Workers that may be given work.
    pub usable: usize,
    /// Workers that want no more.
    pub draining: usize,
}
