//! The workers that a master knows, and what follows from it: where a task is, who has room, who was given too much.
//!
//! What follows is kept beside the workers, so that no decision looks at all of them: whoever is lent out to be changed is remembered, and
//! looked at again before the next question is answered. It is no belief of its own: two rosters of the same workers are equal.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::{Boxed, Offer, Registration, Worker};
use crate::protocol::{TaskName, WorkerId};

/// The workers. Read it like a map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Roster {
    all: BTreeMap<WorkerId, Worker>,
    follows: Follows,
}

/// What follows from the workers.
#[derive(Debug, Clone, Default)]
struct Follows {
    /// For how many slots more than it has each worker may be given tasks at least.
    lookahead: u32,
    /// Those that may have changed since they were looked at.
    touched: BTreeSet<WorkerId>,
    /// What was seen of each that was looked at.
    seen: BTreeMap<WorkerId, Seen>,
    /// Who has a task: hardly ever more than one.
    homes: BTreeMap<TaskName, Vec<WorkerId>>,
    /// Those that may be given something, the least loaded first.
    open: BTreeSet<(u64, WorkerId)>,
    /// Those that were given more than they have slots for.
    crowded: BTreeSet<WorkerId>,
    /// Those whose box is being listed.
    asked: BTreeSet<WorkerId>,
    slots: u64,
    room: Room,
}

impl PartialEq for Follows {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Follows {}

impl std::hash::Hash for Follows {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// How much can be given to workers at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Slots that are free.
    pub free: u64,
    /// Tasks that may wait at workers whose slots are taken.
    pub ahead: u64,
}

/// What one worker contributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Seen {
    /// Its load as a share of its slots, if it may be given something.
    open: Option<u64>,
    crowded: bool,
    asked: bool,
    slots: u32,
    room: Room,
}

impl Seen {
    fn of(worker: &Worker, lookahead: u32) -> Self {
        let asked = matches!(worker.boxed, Boxed::Asked { .. });
        let crowded = worker.excess() > 0;
        let seen = Self { asked, crowded, slots: worker.slots().unwrap_or(0), ..Self::default() };
        let (Registration::Known(terms), Boxed::Listed) = (&worker.registration, &worker.boxed) else { return seen };
        let (has, taken) = (terms.has.slots, worker.load.taken().slots);
        let excess = taken.saturating_sub(has);
        let ahead = terms.version.map_or(0, |_| worker.pace.most_room(lookahead, excess)).saturating_sub(excess);
        let room = Room { free: has.saturating_sub(taken).into(), ahead: ahead.into() };
        let open = has > 0 && room != Room::default();
        if open { Self { open: Some(Offer::share_of(taken, has)), room, ..seen } } else { seen }
    }
}

impl Deref for Roster {
    type Target = BTreeMap<WorkerId, Worker>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl<'a> IntoIterator for &'a Roster {
    type Item = (&'a WorkerId, &'a Worker);
    type IntoIter = std::collections::btree_map::Iter<'a, WorkerId, Worker>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl Roster {
    /// Lends a worker out to be changed.
    pub fn get_mut(&mut self, worker: &WorkerId) -> Option<&mut Worker> {
        let known = self.all.get_mut(worker)?;
        if !self.follows.touched.contains(worker) {
            self.follows.touched.insert(worker.clone());
        }
        Some(known)
    }

    /// The same of one that is made if there is none.
    pub fn get_or_insert_with(&mut self, worker: &WorkerId, make: impl FnOnce() -> Worker) -> &mut Worker {
        self.follows.touched.insert(worker.clone());
        self.all.entry(worker.clone()).or_insert_with(make)
    }

    /// Lends all of them out to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.follows.touched.extend(self.all.keys().cloned());
        self.all.values_mut()
    }

    /// Adds a worker, instead of one of the same name.
    pub fn insert(&mut self, worker: WorkerId, known: Worker) {
        self.remove(&worker);
        *self.get_or_insert_with(&worker, || Worker::unknown(Registration::Gone, Boxed::Missing)) = known;
    }

    /// Forgets a worker.
    pub fn remove(&mut self, worker: &WorkerId) -> Option<Worker> {
        let known = self.get_mut(worker)?;
        known.load.retain(|_, _| false);
        self.look_at(worker);
        self.follows.replace(worker, Seen::default());
        self.follows.touched.remove(worker);
        self.all.remove(worker)
    }

    /// For how many slots more than it has each worker may be given tasks at least.
    pub fn set_lookahead(&mut self, lookahead: u32) {
        if std::mem::replace(&mut self.follows.lookahead, lookahead) != lookahead {
            self.follows.touched.extend(self.all.keys().cloned());
        }
    }

    /// Looks at those that may have changed.
    pub fn settle(&mut self) {
        while let Some(worker) = self.follows.touched.pop_first() {
            self.look_at(&worker);
        }
    }

    fn look_at(&mut self, worker: &WorkerId) {
        let Some(known) = self.all.get_mut(worker) else { return };
        for (task, is_there) in known.load.take_changes() {
            self.follows.moved(task, worker, is_there);
        }
        self.follows.replace(worker, Seen::of(known, self.follows.lookahead));
    }

    /// Those that have this task, or are about to, in the order of their names.
    pub fn homes(&mut self, task: &TaskName) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        self.settle();
        let homes = self.follows.homes.get(task).map(Vec::as_slice).unwrap_or_default();
        homes.iter().filter_map(|worker| Some((worker, self.all.get(worker)?)))
    }

    /// All tasks of workers whose names begin with this one, in the order of their names.
    pub fn tasks_from(&mut self, first: &TaskName) -> impl Iterator<Item = &TaskName> {
        self.settle();
        self.follows.homes.range(first.clone()..).map(|(task, _)| task)
    }

    /// Whether the box of any of them is being listed.
    #[must_use]
    pub fn is_any_listed(&self) -> bool {
        let Follows { asked, touched, .. } = &self.follows;
        let asks = |worker: &WorkerId| self.all.get(worker).is_some_and(|known| matches!(known.boxed, Boxed::Asked { .. }));
        asked.iter().any(|worker| !touched.contains(worker)) || touched.iter().any(asks)
    }

    /// All slots that somebody could use.
    pub fn slots(&mut self) -> u32 {
        self.settle();
        u32::try_from(self.follows.slots).unwrap_or(u32::MAX)
    }

    /// Those that may be given something, the least loaded first. Settle before.
    pub fn open(&self) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        self.follows.open.iter().filter_map(|(_, worker)| Some((worker, self.all.get(worker)?)))
    }

    /// How much can be given to them at most. Settle before.
    #[must_use]
    pub fn room(&self) -> Room {
        self.follows.room
    }

    /// Those that were given more than they have slots for. Settle before.
    pub fn crowded(&self) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        self.follows.crowded.iter().filter_map(|worker| Some((worker, self.all.get(worker)?)))
    }

    /// Whether what follows is what would follow if all were looked at.
    pub(super) fn sanity_check(&self) -> Result<(), String> {
        let mut own = self.clone();
        own.settle();
        let mut anew = Follows { lookahead: self.follows.lookahead, ..Follows::default() };
        for (worker, known) in &self.all {
            known.load.iter().for_each(|(task, _)| anew.moved(task.clone(), worker, true));
            anew.replace(worker, Seen::of(known, anew.lookahead));
        }
        let all = |follows: &Follows| {
            let Follows { homes, open, crowded, asked, slots, room, .. } = follows.clone();
            (homes, open, crowded, asked, slots, room)
        };
        let (believed, true_now) = (all(&own.follows), all(&anew));
        if believed == true_now { Ok(()) } else { Err(format!("of workers {believed:?} is believed to follow, not {true_now:?}")) }
    }
}

impl Follows {
    fn moved(&mut self, task: TaskName, worker: &WorkerId, is_there: bool) {
        match is_there {
            true => {
                let homes = self.homes.entry(task).or_default();
                if let Err(place) = homes.binary_search(worker) {
                    homes.insert(place, worker.clone());
                }
            }
            false => {
                if let Some(homes) = self.homes.get_mut(&task) {
                    homes.retain(|home| home != worker);
                    if homes.is_empty() {
                        self.homes.remove(&task);
                    }
                }
            }
        }
    }

    fn replace(&mut self, worker: &WorkerId, seen: Seen) {
        let before = if seen == Seen::default() { self.seen.remove(worker) } else { self.seen.insert(worker.clone(), seen) };
        let before = before.unwrap_or_default();
        if before == seen {
            return;
        }
        if before.open != seen.open {
            before.open.map(|share| self.open.remove(&(share, worker.clone())));
            seen.open.map(|share| self.open.insert((share, worker.clone())));
        }
        mark(&mut self.crowded, worker, seen.crowded);
        mark(&mut self.asked, worker, seen.asked);
        self.slots = self.slots + u64::from(seen.slots) - u64::from(before.slots);
        self.room.free = self.room.free + seen.room.free - before.room.free;
        self.room.ahead = self.room.ahead + seen.room.ahead - before.room.ahead;
    }
}

fn mark(set: &mut BTreeSet<WorkerId>, worker: &WorkerId, is_in: bool) {
    match is_in {
        true if !set.contains(worker) => drop(set.insert(worker.clone())),
        true => {}
        false => drop(set.remove(worker)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::planner::{Allowances, Amount, Requirement, Skills, Ticket, solve_open};
    use crate::view::{Entry, Ready, Slot, Terms, View};

    const NOW: Duration = Duration::from_secs(9);

    fn worker(number: usize) -> WorkerId {
        WorkerId::incarnation(&format!("w{number:03}"), 1)
    }

    fn known(slots: u32) -> Worker {
        let has = Amount { slots, ..Amount::default() };
        let terms = Terms { has, skills: Skills::COMMANDS.clone(), labels: BTreeMap::new(), version: Some(0), patience: None };
        Worker::unknown(Registration::Known(terms), Boxed::Listed)
    }

    fn task(name: impl std::fmt::Display) -> TaskName {
        TaskName::listed(&format!("t-{name}"))
    }

    /// So many workers of four slots each, of which so many are taken, and so many tasks that wait.
    fn cluster(workers: usize, taken: usize, waiting: i64) -> View {
        let mut view = View::default();
        for number in 0..workers {
            let mut known = known(4);
            (0..taken).for_each(|slot| known.load.insert(task(format!("{number}-{slot}")), Slot::Placed { alone: false }));
            view.workers.insert(worker(number), known);
        }
        for czxid in 0..waiting {
            let ticket = Ticket::new(0, czxid, czxid, Entry::pending(task(czxid)));
            view.file(Ready::new(Requirement::default(), ticket, 0, Vec::new(), NOW), 0);
        }
        view.workers.settle();
        assert_eq!(view.sanity_check(), Ok(()));
        view
    }

    /// How many tasks a plan places, and at how many workers it looks.
    fn planned(view: &View) -> (usize, usize) {
        let mut market = view.market(0, NOW);
        let plan = solve_open(&view.queue, &mut market, 128, &mut Allowances::default()).expect("nobody needs room kept");
        (plan.len(), market.looked_at())
    }

    #[test]
    fn a_plan_looks_at_no_more_of_two_hundred_workers_than_of_two() {
        for workers in [2, 20, 200] {
            assert_eq!(planned(&cluster(workers, 0, 1)), (1, 1), "{workers} idle workers");
            assert_eq!(planned(&cluster(workers, 4, 1000)), (0, 0), "{workers} workers that have no room");
            let mut view = cluster(workers, 4, 1000);
            view.workers.get_mut(&worker(workers - 1)).expect("it is there").load.remove(&task(format!("{}-3", workers - 1)));
            view.workers.settle();
            assert_eq!(planned(&view), (1, 1), "one of {workers} has a free slot");
        }
        assert_eq!(planned(&cluster(200, 0, 1000)), (128, 33), "as many as are filled, and the next one");
    }

    #[test]
    fn few_tasks_are_spread_unless_they_are_short() {
        let mut view = cluster(200, 2, 8);
        assert_eq!(planned(&view), (8, 8), "one each");
        let mut ended = NOW.saturating_sub(Duration::from_secs(1));
        while ended < NOW {
            view.workers.values_mut().for_each(|known| known.pace.on_ended(ended));
            ended += Duration::from_millis(100);
        }
        view.workers.settle();
        assert_eq!(planned(&view), (8, 5), "two each, which is all that fits, and the next one");
    }

    #[test]
    fn a_task_is_found_with_whoever_has_it_and_nowhere_else() {
        let mut view = cluster(200, 4, 0);
        assert_eq!(view.workers.homes(&task("150-2")).map(|(home, _)| home.clone()).collect::<Vec<_>>(), [worker(150)]);
        assert_eq!(view.holder(&task("150-2")), Some(&worker(150)));
        assert_eq!(view.holder(&task("150-4")), None);
        assert_eq!(view.workers.tasks_from(&task("99-2")).count(), 2);
        view.workers.get_mut(&worker(7)).expect("it is there").load.insert(task("150-2"), Slot::Placing { alone: false });
        assert_eq!(view.keeper(&task("150-2")), Some((worker(7), Slot::Placing { alone: false })));
        assert_eq!(view.holder(&task("150-2")), Some(&worker(150)), "what is only about to be there");
        drop(view.workers.remove(&worker(150)));
        ["150-2", "150-3"].iter().for_each(|gone| assert_eq!(view.holder(&task(gone)), None));
        assert_eq!(view.workers.sanity_check(), Ok(()));
    }

    proptest::proptest! {
        /// Whatever happens to workers, what follows is what is true.
        #[test]
        fn what_follows_is_always_what_all_workers_say(
            steps in proptest::collection::vec((0..4usize, 0..8u8, 0..4u8), 0..60), lookahead in 0..3u32,
        ) {
            let mut roster = Roster::default();
            for (number, what, name) in steps {
                let name = task(name);
                let Some(known) = roster.get_mut(&worker(number)) else {
                    roster.insert(worker(number), known(number as u32));
                    continue;
                };
                match what {
                    0 => drop(roster.remove(&worker(number))),
                    1 => known.registration = Registration::Gone,
                    2 => known.boxed = Boxed::Asked { question: 1, touched: BTreeSet::new() },
                    3 => known.load.insert(name, Slot::Placed { alone: false }),
                    4 => known.load.place(&name, Slot::Placing { alone: true }, Requirement { alone: true, ..Requirement::default() }.into()),
                    5 => drop(known.load.remove(&name)),
                    6 => known.load.retain(|task, _| *task != name),
                    _ => roster.set_lookahead(lookahead),
                }
                proptest::prop_assert_eq!(roster.sanity_check(), Ok(()));
                if what % 2 == 0 {
                    roster.settle();
                }
            }
        }
    }
}
