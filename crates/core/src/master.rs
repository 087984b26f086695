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
mod workers;
mod writing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::Time;
use crate::admission::{Limits, Overfull};
use crate::protocol::admission::{Closure, Label};
use crate::protocol::array::{PieceName, Tally};
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Change, Multi, Node, Outcome, TaskName, Why, WorkerId};
use crate::view::{Counts, Entry, Lane, Question, Since, View};
pub use admitting::Board;
pub use arrays::{ArrayFound, ArrayStep, ElementCounts, Given};
pub use ground::{Aged, Ground};
use items::{Batch, Item};
pub use parents::{Named, Naming};

/// What happened, as the master's shell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// All watches are armed and the office is proven: believe nothing that was not read since.
    Began,
    /// Writing must stop until [`Event::Began`].
    Paused,
    /// It is time for the slow comparison of beliefs with ZooKeeper.
    ReconcileDue,
    /// Watches told this, in this order.
    Changed(Vec<Change>),
    /// The names under `/assign`.
    BoxesListed(Question, Vec<WorkerId>),
    /// The names under `/workers`.
    WorkersListed(Question, Vec<WorkerId>),
    /// The names in a worker's box; `None` if there is no box.
    BoxListed(Question, WorkerId, Option<Vec<TaskName>>),
    /// The names under `/tasks`.
    TasksListed(Question, Vec<TaskName>),
    /// The names under `/bellwether/held`.
    HeldListed(Question, Vec<TaskName>),
    /// The names under `/bellwether/cancel`.
    CancelsListed(Question, Vec<TaskName>),
    /// The names under `/bellwether/groups`.
    GroupsListed(Question, Vec<TaskName>),
    /// What must be known before anything is assigned.
    GroundRead(Question, Ground),
    /// Which of these tasks are pending, held or ended.
    LookedFor(Question, Vec<TaskName>),
    /// All results, and the details of plain ones.
    ResultsListed(Question, Vec<Aged>),
    /// A worker's data.
    WorkerRead(Question, WorkerId, Reading),
    /// A task's payload.
    TaskRead(Question, TaskName, Reading),
    /// A held task's payload.
    HeldRead(Question, TaskName, Reading),
    /// An assignment's payload.
    AssignmentRead(Question, WorkerId, TaskName, Reading),
    /// A cancellation mark.
    CancelRead(Question, TaskName, Reading),
    /// A status.
    StatusRead(Question, TaskName, Reading),
    /// The record of a group.
    GroupRead(Question, TaskName, Reading),
    /// The names under `/bellwether/arrays`.
    ArraysListed(Question, Vec<TaskName>),
    /// An array.
    ArrayRead(Question, TaskName, Box<ArrayFound>),
    /// What became of a piece.
    PieceRead(Question, TaskName, PieceName, Reading),
    /// A transaction ended.
    WriteEnded(u64, Outcome),
    /// What was missing of the layout is there again.
    LayoutMended,
    /// Whether more results are kept than may be.
    Overfull(Overfull),
    /// The operator changed the configuration of the service that runs.
    Configured(Settings),
    /// The time that was asked for has come.
    Rang,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reading {
    /// The node.
    Found(Node),
    /// There is none.
    Absent,
    /// We may not read it.
    Denied,
}

/// What the master orders its shell to do. Every answer carries the question's number back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// List `/assign`.
    ListBoxes(Question),
    /// List `/workers`.
    ListWorkers(Question),
    /// List one box.
    ListBox(Question, WorkerId),
    /// List `/tasks`.
    ListTasks(Question),
    /// List `/bellwether/held`.
    ListHeld(Question),
    /// List `/bellwether/cancel`.
    ListCancels(Question),
    /// List `/bellwether/groups`.
    ListGroups(Question),
    /// Read when the epoch was set, which transactions created `/tasks` and `/status`, what `/bellwether/swept` says, what is asked of
    /// workers, and whether somebody wants nothing to be assigned.
    ReadGround(Question),
    /// See which of these tasks are pending, held or ended.
    LookFor(Question, Vec<TaskName>),
    /// List `/status` and `/bellwether/results`, with the transactions that created what is there.
    ListResults(Question),
    /// Read a worker's data.
    ReadWorker(Question, WorkerId),
    /// Read a task.
    ReadTask(Question, TaskName),
    /// Read a held task.
    ReadHeld(Question, TaskName),
    /// Read an assignment.
    ReadAssignment(Question, WorkerId, TaskName),
    /// Read a cancellation mark.
    ReadCancel(Question, TaskName),
    /// Read a status.
    ReadStatus(Question, TaskName),
    /// Read the record of a group.
    ReadGroup(Question, TaskName),
    /// List `/bellwether/arrays`.
    ListArrays(Question),
    /// Read an array, its `todo` before the names of its records.
    ReadArray(Question, TaskName),
    /// The same with its results, and its `todo` before these.
    ReadWholeArray(Question, TaskName),
    /// Read what became of a piece.
    ReadPiece(Question, TaskName, PieceName),
    /// Commit this behind the fence.
    Write(u64, Multi),
    /// Create what is missing of the layout.
    MendLayout,
    /// Ring once, at this monotonic time; a later order replaces an earlier one.
    Arm(Duration),
    /// Tell operators and metrics.
    Tell(Fact),
}

/// What operators and metrics should hear about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    /// A task was assigned.
    Assigned {
        /// Which.
        task: TaskName,
        /// To whom.
        worker: WorkerId,
        /// For how long it could have run, in ZooKeeper's time.
        waited: Duration,
    },
    /// This master ended a task.
    Ended {
        /// Which.
        task: TaskName,
        /// How.
        outcome: TaskOutcome,
    },
    /// A piece of an array was given to a worker.
    PieceGiven {
        /// What its assignment is called.
        piece: TaskName,
        /// To whom.
        worker: WorkerId,
        /// How many elements it has.
        elements: u32,
    },
    /// So many elements of an array ended, for good.
    ElementsEnded(Tally),
    /// All elements of an array have ended, and so has it.
    ArrayEnded {
        /// Which.
        array: TaskName,
        /// How.
        outcome: TaskOutcome,
    },
    /// Somebody changed by hand what is kept of an array: this is mended.
    ArrayMended {
        /// Which.
        array: TaskName,
        /// How many of its elements were in no place, or recorded by what nobody can read: they wait again.
        elements: u32,
    },
    /// Somebody changed what is kept of an array, so that nobody can mend it.
    ArrayDamaged {
        /// The node that says nothing, or something newer.
        path: String,
    },
    /// A task of a worker that is gone is pending again.
    TakenBack {
        /// Which.
        task: TaskName,
        /// From whom.
        worker: WorkerId,
    },
    /// A worker registered.
    WorkerJoined(WorkerId),
    /// A worker's session ended.
    WorkerLost {
        /// Which.
        worker: WorkerId,
        /// Whether it had said before that it wants no more work.
        drained: bool,
    },
    /// A worker said nothing of a task that should be over long ago: it is ended.
    WorkerSilent {
        /// Who has it.
        worker: WorkerId,
        /// Which.
        task: TaskName,
    },
    /// A worker may not be given work.
    WorkerUnusable {
        /// Which.
        worker: WorkerId,
        /// Why, and what to do.
        why: &'static str,
    },
    /// A task cannot be moved, and is left where it is.
    Stuck {
        /// Which.
        task: TaskName,
        /// Why.
        why: Why,
    },
    /// A transaction was refused for a reason that should not occur.
    Surprised {
        /// At this path.
        path: String,
        /// Why.
        why: Why,
    },
    /// A node of the layout was deleted by hand.
    LayoutDamaged(&'static str),
    /// The box of a worker that lives was deleted, and these tasks with it: they are nowhere.
    TasksLost {
        /// Whose box it was.
        worker: WorkerId,
        /// Which.
        tasks: Vec<TaskName>,
    },
    /// Somebody wants nothing to be assigned, or wants that no more.
    Halted(bool),
    /// Somebody wants a worker to take nothing more, or wants that no more.
    Draining {
        /// What the operator calls it.
        name: String,
        /// Whether it drains now.
        drains: bool,
    },
    /// A worker is asked to give tasks back, because somebody else could start them.
    Recalled {
        /// Which.
        worker: WorkerId,
        /// How many.
        most: u32,
    },
    /// Some work may not come in.
    Closed(Closure),
    /// Any work may come in again.
    Opened,
    /// So many results were older than `/tasks`, and are deleted.
    Swept(u64),
    /// Everything was read once: what this master started with.
    Surveyed(Counts),
    /// The slow comparison before this one found this many changes that no watch has told of, not even since.
    Differences(u64),
}

/// What a master needs to know of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Most tasks in one transaction.
    pub assign_batch: usize,
    /// For how many slots more than it has a worker may be given tasks.
    pub lookahead: u32,
    /// How long a task that does not say so may wait for its turn; zero for as long as it takes.
    pub queue_timeout: Duration,
    /// How many workers a task may cost.
    pub max_worker_losses: u32,
    /// For how long a worker may say nothing of a task that should be over; zero for as long as it likes.
    pub silence_timeout: Duration,
    /// How much may come in, and how fast it is given out.
    pub limits: Limits,
    /// Whether workers that only speak the book's protocol are given work.
    pub classic_workers: bool,
    /// For how long the record of a group is kept in which nothing is left to do.
    pub group_retention: Duration,
}

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
