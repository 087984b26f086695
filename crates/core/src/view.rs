//! What a master believes of the cluster: waiting tasks, workers, and what each worker has.
//!
//! Nothing here decides; [`crate::master`] does. Beliefs come from ZooKeeper alone and are rebuilt from it at every takeover.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

mod ages;
mod load;
mod pace;
mod roster;
mod waiting;
mod worker;

use crate::planner::{Market, Offer, Queue};
use crate::protocol::admission::Label;
use crate::protocol::{TaskName, WorkerId};
use ages::Ages;
pub use ages::Since;
pub use load::Load;
pub use pace::Pace;
pub use roster::{Room, Roster};
pub use waiting::{Entry, Lane, Ready, Resting, Waiting};
pub use worker::{Boxed, Registration, Slot, Terms, Worker};

/// Number of a question; its answer is believed only while no later question about the same name was asked.
pub type Question = u64;

/// When a task is due that waits for something else than its time.
pub const UNTIL_TOLD: Duration = Duration::MAX;

/// Everything a master believes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct View {
    /// Tasks under `/tasks`.
    pub tasks: BTreeMap<TaskName, Waiting>,
    /// Tasks under `/bellwether/held`.
    pub held: BTreeMap<TaskName, Waiting>,
    /// Arrays of which something may be given out, now or later.
    pub arrays: BTreeMap<TaskName, Waiting>,
    /// The ready ones, in the order of their turn.
    pub queue: Queue,
    /// The same by age.
    ages: Ages,
    /// The resting ones, in the order in which they are due.
    resting: BTreeSet<(Duration, Entry)>,
    /// The ready ones that may not wait for ever, in the order in which their time is over.
    expiring: BTreeSet<(Duration, Entry)>,
    /// Whether nothing is to be assigned, because somebody wants it so.
    pub halted: bool,
    /// Workers that somebody wants to take nothing more, as the operator calls them.
    pub drained: BTreeSet<String>,
    /// Incarnations that are asked to give tasks back, and how many.
    pub recalls: BTreeMap<WorkerId, u32>,
    /// How many tasks wait that have a label for which there is a limit.
    pub labelled: BTreeMap<Label, u64>,
    /// Workers that are registered, and those that are gone but have something left.
    pub workers: Roster,
    /// How many bytes of payloads are kept.
    pub payload_bytes: usize,
}

impl View {
    /// All tasks that wait there.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &BTreeMap<TaskName, Waiting> {
        match lane {
            Lane::Pending => &self.tasks,
            Lane::Held => &self.held,
            Lane::Array => &self.arrays,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut BTreeMap<TaskName, Waiting> {
        match lane {
            Lane::Pending => &mut self.tasks,
            Lane::Held => &mut self.held,
            Lane::Array => &mut self.arrays,
        }
    }

    /// What is known of a task that waits there.
    #[must_use]
    pub fn get(&self, entry: &Entry) -> Option<&Waiting> {
        self.lane(entry.lane).get(&entry.task)
    }

    /// What is known of a task that waits there.
    pub fn get_mut(&mut self, entry: &Entry) -> Option<&mut Waiting> {
        self.lane_mut(entry.lane).get_mut(&entry.task)
    }

    /// Those that wait anywhere of which this is true.
    pub fn waiting(&self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Entry> {
        let of =
            |lane| self.lane(lane).iter().filter(|(_, waiting)| wanted(waiting)).map(move |(task, _)| Entry { lane, task: task.clone() });
        of(Lane::Pending).chain(of(Lane::Held)).collect()
    }

    /// Files a task that was read: it may be placed.
    pub fn file(&mut self, ready: Ready, payload_budget: usize) {
        let ready = self.within(ready, payload_budget);
        let entry = ready.ticket.entry.clone();
        self.forget(&entry);
        self.payload_bytes += ready.payload_bytes();
        let requirement = self.queue.insert(Arc::clone(&ready.requirement), ready.ticket.clone());
        self.ages.insert(&ready);
        self.expiring.extend(ready.expires.as_deref().map(|at| (*at, entry.clone())));
        self.put(entry, Waiting::Ready(Box::new(Ready { requirement, ..ready })));
    }

    /// Files a task that was read, and may not be placed before `due`.
    pub fn rest(&mut self, ready: Ready, due: Duration, payload_budget: usize) {
        let ready = self.within(ready, payload_budget);
        let entry = ready.ticket.entry.clone();
        self.forget(&entry);
        self.payload_bytes += ready.payload_bytes();
        self.resting.insert((due, entry.clone()));
        self.put(entry, Waiting::Resting(Box::new(Resting { ready, due })));
    }

    fn within(&self, mut ready: Ready, payload_budget: usize) -> Ready {
        ready.payload = ready.payload.filter(|payload| self.payload_bytes + payload.len() <= payload_budget);
        ready
    }

    /// When the next resting task is due, or the next ready one has waited longer than it may.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let first = |set: &BTreeSet<(Duration, Entry)>| set.first().map(|(due, _)| *due);
        let resting = first(&self.resting).filter(|due| *due < UNTIL_TOLD);
        resting.into_iter().chain(first(&self.expiring)).min()
    }

    /// Lets a task go that rested until it is told: it may be placed, but not before its time.
    pub fn release(&mut self, entry: &Entry, due: Option<Duration>, now: Duration) {
        let Some(Waiting::Resting(resting)) = self.forget(entry) else { return };
        match due.filter(|due| *due > now) {
            Some(due) => self.rest(resting.ready, due, usize::MAX),
            None => self.file(Ready { seen: now, created_ms: None, ..resting.ready }, usize::MAX),
        }
    }

    /// Elements of a group that wait or are assigned.
    #[must_use]
    pub fn elements(&mut self, group: &TaskName) -> BTreeSet<TaskName> {
        // In the order of names, all of them stand together.
        let first = TaskName::listed(&format!("{group}."));
        let prefix = first.as_str();
        let of_lane = |lane: &BTreeMap<TaskName, Waiting>| {
            let names = lane.range(first.clone()..).take_while(|(task, _)| task.as_str().starts_with(prefix));
            names.map(|(task, _)| task.clone()).collect::<Vec<_>>()
        };
        let mut found: BTreeSet<TaskName> = of_lane(&self.tasks).into_iter().chain(of_lane(&self.held)).collect();
        found.extend(self.workers.tasks_from(&first).take_while(|task| task.as_str().starts_with(prefix)).cloned());
        found.retain(|task| task.group().is_some_and(|(of, _)| of == *group));
        found
    }

    /// Those that have waited longer than they may.
    #[must_use]
    pub fn expired(&self, now: Duration) -> Vec<Entry> {
        self.expiring.iter().take_while(|(at, _)| *at <= now).map(|(_, entry)| entry.clone()).collect()
    }

    /// Whether somebody wants this worker to take nothing more.
    #[must_use]
    pub fn drains(&self, worker: &WorkerId) -> bool {
        worker.operator_name().is_some_and(|name| self.drained.contains(name))
    }

    /// Files those that are due.
    pub fn wake(&mut self, now: Duration) {
        while let Some((_, entry)) = self.resting.first().filter(|(due, _)| *due <= now).cloned() {
            if let Some(Waiting::Resting(resting)) = self.forget(&entry) {
                // From now on it waits for its turn.
                self.file(Ready { seen: now, created_ms: None, ..resting.ready }, usize::MAX);
            }
        }
    }

    fn put(&mut self, entry: Entry, waiting: Waiting) {
        for label in limited(&waiting) {
            *self.labelled.entry(label.clone()).or_default() += 1;
        }
        self.lane_mut(entry.lane).insert(entry.task, waiting);
    }

    /// Forgets a task; hands back what was known of it.
    pub fn forget(&mut self, entry: &Entry) -> Option<Waiting> {
        let waiting = self.lane_mut(entry.lane).remove(&entry.task);
        for label in waiting.iter().flat_map(limited) {
            if let Some(count) = self.labelled.get_mut(label) {
                *count -= 1;
            }
        }
        match &waiting {
            Some(Waiting::Ready(ready)) => {
                self.payload_bytes -= ready.payload_bytes();
                self.queue.remove(&ready.requirement, &ready.ticket);
                self.ages.remove(ready);
                if let Some(at) = ready.expires.as_deref() {
                    self.expiring.remove(&(*at, entry.clone()));
                }
            }
            Some(Waiting::Resting(resting)) => {
                self.payload_bytes -= resting.ready.payload_bytes();
                self.resting.remove(&(resting.due, entry.clone()));
            }
            Some(Waiting::Unread | Waiting::Asked(_) | Waiting::Moving { .. } | Waiting::Stuck) | None => {}
        }
        waiting
    }

    /// Replaces what is known of a task by a question.
    pub fn question(&mut self, entry: &Entry, question: Option<Question>) {
        self.forget(entry);
        self.put(entry.clone(), question.map_or(Waiting::Unread, Waiting::Asked));
    }

    /// Leaves a task alone for ever.
    pub fn stick(&mut self, entry: &Entry) {
        self.forget(entry);
        self.put(entry.clone(), Waiting::Stuck);
    }

    /// Takes a task out of the queue, or from its rest, because it is about to be moved.
    pub fn start_moving(&mut self, entry: &Entry) -> Option<&Ready> {
        self.get(entry)?.settled()?;
        let ready = match self.forget(entry)? {
            Waiting::Ready(ready) => ready,
            Waiting::Resting(resting) => Box::new(resting.ready),
            Waiting::Unread | Waiting::Asked(_) | Waiting::Moving { .. } | Waiting::Stuck => return None,
        };
        self.put(entry.clone(), Waiting::Moving { ready, again: false, gone: false });
        match self.get(entry) {
            Some(Waiting::Moving { ready, .. }) => Some(ready),
            Some(Waiting::Unread | Waiting::Asked(_) | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Stuck) | None => None,
        }
    }

    /// The living worker that has this task already.
    pub fn holder(&mut self, task: &TaskName) -> Option<&WorkerId> {
        let holds = |(_, known): &(&WorkerId, &Worker)| !known.is_gone() && known.load.get(task).is_some_and(|slot| !slot.is_placing());
        self.workers.homes(task).find(holds).map(|(worker, _)| worker)
    }

    /// Whoever has this task, or is about to, also if it is gone; and what it is to him.
    pub fn keeper(&mut self, task: &TaskName) -> Option<(WorkerId, Slot)> {
        self.workers.homes(task).find_map(|(worker, known)| Some((worker.clone(), *known.load.get(task)?)))
    }

    /// What living workers offer. `lookahead`: for how many slots more than it has a worker may be given tasks at least; one that ends them
    /// quickly is given more.
    #[must_use]
    pub fn offers(&self, lookahead: u32, now: Duration) -> Vec<Offer<'_>> {
        self.workers.iter().filter_map(|(worker, known)| self.offer(worker, known, lookahead, now)).collect()
    }

    /// What those offer that may have room, the least loaded first, looked at one by one. Settle the workers before.
    #[must_use]
    pub fn market(&self, lookahead: u32, now: Duration) -> Market<'_> {
        let open = self.workers.open().filter_map(move |(worker, known)| self.offer(worker, known, lookahead, now));
        Market::new(open, self.workers.room())
    }

    fn offer<'a>(&'a self, worker: &'a WorkerId, known: &'a Worker, lookahead: u32, now: Duration) -> Option<Offer<'a>> {
        let (Registration::Known(terms), Boxed::Listed) = (&known.registration, &known.boxed) else { return None };
        let taken = known.load.taken();
        let excess = taken.slots.saturating_sub(terms.has.slots);
        Some(Offer {
            worker,
            skills: &terms.skills,
            labels: &terms.labels,
            has: terms.has.clone(),
            taken,
            tasks: u32::try_from(known.load.len()).unwrap_or(u32::MAX),
            // One of the book does not say how many it takes: what it is given is a limit of ours already.
            lookahead: terms.version.map_or(0, |_| known.pace.room(lookahead, excess, now)),
            brisk: known.pace.is_brisk(terms.has.slots, now),
            reserved: known.load.values().any(|slot| slot.is_alone()),
            draining: self.drains(worker),
        })
    }

    /// How many tasks are in which state, and how many workers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let offers = |worker: &Worker| worker.slots().is_some_and(|slots| slots > 0);
        let drains = |empty| self.workers.iter().filter(|(id, w)| offers(w) && self.drains(id) && w.load.is_empty() == empty).count();
        let placed = self.workers.values().map(|worker| worker.load.values().filter(|slot| !slot.is_placing()).count()).sum();
        Counts {
            pending: self.tasks.len(),
            held: self.held.len(),
            assigned: placed,
            workers: self.workers.values().filter(|worker| !worker.is_gone()).count(),
            usable: self.workers.iter().filter(|(id, worker)| offers(worker) && !self.drains(id)).count(),
            draining: self.workers.values().filter(|worker| worker.slots() == Some(0)).count() + drains(false),
            drained: drains(true),
        }
    }

    /// Since when the one waits for its turn whose node is the oldest.
    #[must_use]
    pub fn oldest(&self) -> Option<Since> {
        self.ages.oldest()
    }

    /// Whether the view is consistent with itself.
    ///
    /// # Errors
    /// What is wrong, for a panic in debug builds and for tests.
    pub fn sanity_check(&self) -> Result<(), String> {
        let waiting = || self.tasks.values().chain(self.held.values()).chain(self.arrays.values());
        let ready = waiting().filter(|waiting| matches!(waiting, Waiting::Ready(_))).count();
        let resting = waiting().filter(|waiting| matches!(waiting, Waiting::Resting(_))).count();
        if (ready, resting) != (self.queue.len(), self.resting.len()) {
            let (queued, due) = (self.queue.len(), self.resting.len());
            return Err(format!("{ready} tasks are ready but {queued} are queued; {resting} rest but {due} are due"));
        }
        let mut labelled: BTreeMap<&Label, u64> = BTreeMap::new();
        waiting().flat_map(limited).for_each(|label| *labelled.entry(label).or_default() += 1);
        if self.labelled.iter().any(|(label, count)| labelled.get(label).unwrap_or(&0) != count) {
            return Err(format!("{:?} tasks are counted by label, but there are {labelled:?}", self.labelled));
        }
        self.workers.sanity_check()?;
        let mut seen = BTreeSet::new();
        for (worker, known) in &self.workers {
            for (task, slot) in &known.load {
                let moves = |waiting: Option<&Waiting>| matches!(waiting, Some(Waiting::Moving { .. }));
                let piece = crate::protocol::array::piece_of(task).is_some();
                if slot.is_placing() && !piece && !moves(self.tasks.get(task)) && !moves(self.held.get(task)) {
                    return Err(format!("{task} is being placed on {worker} but not being moved"));
                }
                if slot.is_placing() && !seen.insert(task) {
                    return Err(format!("{task} is being placed twice"));
                }
            }
        }
        Ok(())
    }
}

/// The labels under which it is counted.
fn limited(waiting: &Waiting) -> impl Iterator<Item = &Label> {
    let ready = match waiting {
        Waiting::Moving { ready, .. } => Some(ready.as_ref()),
        Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Unread | Waiting::Asked(_) | Waiting::Stuck => waiting.settled(),
    };
    ready.and_then(|ready| ready.requirement.limited.as_deref()).unwrap_or_default().iter()
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// Tasks under `/tasks`.
    pub pending: usize,
    /// Tasks under `/bellwether/held`.
    pub held: usize,
    /// Assignments.
    pub assigned: usize,
    /// Workers that are registered.
    pub workers: usize,
    /// Workers that may be given work.
    pub usable: usize,
    /// Workers that take no more, and have something left or are about to leave.
    pub draining: usize,
    /// Workers that somebody wants to take nothing, and that have nothing left.
    pub drained: usize,
}
