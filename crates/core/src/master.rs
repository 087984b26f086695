//! What a master does while it rules: place waiting tasks, take back what its dead workers had, fulfil cancellations.
//!
//! Everything it knows it reads from ZooKeeper: at takeover, after a suspension and slowly now and then, always by the same path
//! (`resync`). Its transactions carry the fence, put in front by the pen; whether the office is held is decided in
//! [`crate::election`].
//!
//! * [`items`]: the units of its transactions, and what they turn into
//! * `survey`: lists, answers and changes become beliefs
//! * `ground`, `clock`: what must be known before anything is assigned
//! * `arrays`: tasks of many elements, which are given out in pieces
//! * `admitting`: how much may come in, and how fast it is given out
//! * `parents`, `groups`: what held tasks wait for besides their time, and tasks that belong together
//! * `tasks`, `expiring`, `workers`, `cancels`: what follows from them
//! * `requests`: what people ask of the master and of workers, and what it asks of workers itself
//! * `silent`: what should be over long ago
//! * `vanished`: what somebody deleted by hand
//! * `writing`: items become transactions, and outcomes become beliefs

mod admitting;
mod arrays;
mod cancels;
pub(crate) mod clock;
mod expiring;
mod ground;
mod groups;
pub mod items;
mod numbers;
mod parents;
mod requests;
mod silent;
mod survey;
mod tasks;
mod vanished;
mod words;
mod workers;
mod writing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::Time;
use crate::protocol::TaskName;
use crate::protocol::admission::Label;
use crate::view::{Entry, Lane, Question, Since, View};
pub use admitting::Board;
pub use arrays::{ArrayFound, ArrayStep, ElementCounts, Given};
pub use ground::{Aged, Ground};
use items::{Batch, Item};
pub use parents::{Named, Naming};
pub use words::{Effect, Event, Fact, Reading, Settings};

/// Most transactions in flight.
const WRITES_IN_FLIGHT: usize = 4;
/// Most payload reads in flight.
const READS_IN_FLIGHT: usize = 512;
/// Most bytes of payloads kept for tasks that wait.
const PAYLOAD_BUDGET: usize = 16 * 1024 * 1024;

/// A master in office, or about to begin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Master {
    epoch: i32,
    settings: Settings,
    view: View,
    paused: bool,
    /// The last question's number.
    asked: Question,
    /// Answers to this question and earlier ones are of another time.
    floor: Question,
    survey: survey::Survey,
    clock: clock::Clock,
    sweep: ground::Sweep,
    /// When the shell was asked to ring.
    alarm: Option<Duration>,
    /// Tasks whose payload is still to be asked for.
    unread: BTreeSet<Entry>,
    /// Tasks whose turn has come although their payload was given up.
    wanted: BTreeSet<Entry>,
    /// Those of them whose turn has come to be placed.
    rested: BTreeSet<Entry>,
    reads: usize,
    /// Tasks of which it was told that they are stuck.
    stuck: BTreeSet<TaskName>,
    /// The last stuck task of each lane that was looked at again.
    looked_at: BTreeMap<Lane, TaskName>,
    vanished: vanished::Vanished,
    silence: silent::Silence,
    cancels: BTreeMap<TaskName, cancels::Cancel>,
    arrays: arrays::Arrays,
    parents: parents::Parents,
    groups: groups::Groups,
    admitting: admitting::Admitting,
    /// Labels for which there are limits, as tasks have them: each list is kept once.
    labels: BTreeSet<Arc<[Label]>>,
    todo: VecDeque<Item>,
    /// Items that wait for the layout.
    blocked: Vec<Item>,
    writes: BTreeMap<u64, Batch>,
    last_write: u64,
    /// How many items at the front of `todo` go alone, because together they were refused.
    one_by_one: usize,
    effects: Vec<Effect>,
}

impl Master {
    /// A master of this epoch that has read nothing yet.
    #[must_use]
    pub fn new(epoch: i32, settings: Settings) -> Self {
        Self {
            epoch,
            settings,
            view: View::default(),
            paused: true,
            asked: 0,
            floor: 0,
            survey: survey::Survey::default(),
            clock: clock::Clock::default(),
            sweep: ground::Sweep::default(),
            alarm: None,
            unread: BTreeSet::new(),
            wanted: BTreeSet::new(),
            rested: BTreeSet::new(),
            reads: 0,
            stuck: BTreeSet::new(),
            looked_at: BTreeMap::new(),
            vanished: vanished::Vanished::default(),
            silence: silent::Silence::default(),
            cancels: BTreeMap::new(),
            arrays: arrays::Arrays::default(),
            parents: parents::Parents::default(),
            groups: groups::Groups::default(),
            admitting: admitting::Admitting::default(),
            labels: BTreeSet::new(),
            todo: VecDeque::new(),
            blocked: Vec::new(),
            writes: BTreeMap::new(),
            last_write: 0,
            one_by_one: 0,
            effects: Vec::new(),
        }
    }

    /// What it believes.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Whether everything was read since it last had to be read anew, so that what is not in the view is nowhere. The slow comparison
    /// changes nothing of that while it runs.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        !self.paused && (self.surveyed() || self.is_comparing())
    }

    /// How old the oldest of all tasks is that wait for their turn, in ZooKeeper's time: for metrics.
    #[must_use]
    pub fn oldest_age(&self, now: Time) -> Duration {
        self.view.oldest().map_or(Duration::ZERO, |since| self.waited(since, now))
    }

    /// For how long a task could have run and was not assigned.
    fn waited(&self, since: Since, now: Time) -> Duration {
        let seen = now.since(since.seen);
        since.created_ms.map_or(seen, |created| self.clock.age(created, now).max(seen))
    }

    /// Takes one event in. Facts may come in any order and twice.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Effect> {
        self.on_all([event], now)
    }

    /// Takes several events in, in this order, and decides once: what arrives together is planned and written together.
    pub fn on_all(&mut self, events: impl IntoIterator<Item = Event>, now: Time) -> Vec<Effect> {
        for event in events {
            self.take_in(event, now);
        }
        self.end_survey(now);
        self.wake(now);
        self.ask_for_payloads();
        self.ask_for_elements();
        self.file_arrays(now);
        self.place(now);
        self.step_arrays(now);
        self.arm(now);
        self.recall(now);
        self.admit(now);
        self.write();
        self.view.workers.settle();
        std::mem::take(&mut self.effects)
    }

    fn take_in(&mut self, event: Event, now: Time) {
        match event {
            Event::Began => self.resync(now),
            Event::Paused => self.paused = true,
            Event::ReconcileDue => self.reconcile(now),
            Event::Changed(changes) => changes.into_iter().for_each(|change| self.on_change(change, now)),
            Event::BoxesListed(question, boxes) => self.on_boxes_listed(question, boxes),
            Event::WorkersListed(question, workers) => self.on_workers_listed(question, workers),
            Event::BoxListed(question, worker, tasks) => self.on_box_listed(question, &worker, tasks),
            Event::TasksListed(question, tasks) => self.on_tasks_listed(Lane::Pending, question, tasks),
            Event::HeldListed(question, tasks) => self.on_tasks_listed(Lane::Held, question, tasks),
            Event::GroundRead(question, ground) => self.on_ground_read(question, ground, now),
            Event::LookedFor(question, found) => self.on_looked_for(question, &found),
            Event::ResultsListed(question, results) => self.on_results_listed(question, results),
            Event::CancelsListed(question, tasks) => self.on_cancels_listed(question, tasks),
            Event::GroupsListed(question, groups) => self.on_groups_listed(question, groups),
            Event::WorkerRead(question, worker, reading) => self.on_worker_read(question, &worker, reading),
            Event::TaskRead(question, task, reading) => self.on_task_read(question, &Entry::pending(task), reading, now),
            Event::HeldRead(question, task, reading) => self.on_task_read(question, &Entry::held(task), reading, now),
            Event::AssignmentRead(question, worker, task, reading) => self.on_assignment_read(question, &worker, &task, reading, now),
            Event::CancelRead(question, task, reading) => self.on_cancel_read(question, &task, reading, now),
            Event::StatusRead(question, task, reading) => self.on_status_read(question, &task, &reading, now),
            Event::GroupRead(question, group, reading) => self.on_group_read(question, &group, reading, now),
            Event::ArraysListed(question, arrays) => self.on_arrays_listed(question, arrays),
            Event::ArrayRead(question, array, found) => self.on_array_read(question, &array, *found, now),
            Event::PieceRead(question, array, piece, reading) => self.on_piece_read(question, &array, piece, &reading),
            Event::WriteEnded(id, outcome) => self.on_write_ended(id, &outcome, now),
            Event::LayoutMended => self.on_layout_mended(),
            Event::Overfull(overfull) => self.on_overfull(overfull),
            Event::Configured(settings) => self.on_configured(settings),
            // What is due is looked at after every event.
            Event::Rang => self.alarm = None,
        }
    }

    fn on_status_read(&mut self, question: Question, task: &TaskName, reading: &Reading, now: Time) {
        if question > self.floor && !self.on_element_read(question, reading) {
            self.on_parent_read(question, task, reading, now);
        }
    }

    /// A new question: its answer is believed only until a later one about the same name is asked.
    fn ask(&mut self) -> Question {
        self.asked += 1;
        self.asked
    }

    fn tell(&mut self, fact: Fact) {
        self.effects.push(Effect::Tell(fact));
    }

    /// Whether what is believed is consistent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn sanity_check(&self) -> Result<(), String> {
        self.view.sanity_check()?;
        let in_flight = self.writes.values().flat_map(|batch| batch.items.iter()).chain(&self.todo).chain(&self.blocked);
        let mut moved = BTreeSet::new();
        for task in in_flight.filter_map(Item::moved_task) {
            if let Some((task, place)) = moved.replace(task) {
                return Err(format!("{task} ({place:?}) is in two transactions at once"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
