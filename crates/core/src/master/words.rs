//! The vocabulary of a master: what happens to it, what it orders, what it tells, what it is told of its configuration.

use std::time::Duration;

use super::{Aged, ArrayFound, Ground};
use crate::admission::{Limits, Overfull};
use crate::protocol::admission::Closure;
use crate::protocol::array::{PieceName, Tally};
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Change, Multi, Node, Outcome, TaskName, Why, WorkerId};
use crate::view::{Counts, Question};

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
