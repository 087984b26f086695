//! The vocabulary of a worker: what happens to it, what it orders, what it tells.

use std::time::Duration;

use crate::lifecycle::{Ran, RetryDefaults, RetryReason, RunId};
use crate::master::Reading;
use crate::piece::Progress;
use crate::protocol::array::{PieceOrder, PieceRecord};
use crate::protocol::payload::Task;
use crate::protocol::record::WorkerRecord;
use crate::protocol::request::DrainMode;
use crate::protocol::result::TaskResult;
use crate::protocol::{Change, Multi, Outcome, TaskName, Why, WorkerId};
use crate::view::Question;

/// What happened, as a worker's shell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A session was opened; the layout exists.
    SessionOpened {
        /// Its id: part of the incarnation's name.
        session: i64,
        /// Its negotiated timeout.
        timeout: Duration,
    },
    /// The connection is lost; the session may still live.
    SessionSuspended,
    /// The session goes on.
    SessionResumed,
    /// The session is over.
    SessionLost,
    /// The registration ended.
    RegisterEnded(Outcome),
    /// Whether `/workers/<me>` is there, read behind a `sync`.
    RegistrationRead(bool),
    /// The names in our box, listed behind watches and a `sync`; `None` if there is no box.
    BoxListed(Question, Option<Vec<TaskName>>),
    /// What is asked of this worker: the request to drain, by the operator's name for it, and the one to give tasks back. Answers
    /// [`Effect::Resync`], before [`Event::BoxListed`], and [`Effect::ReadRequests`].
    RequestsRead {
        /// The question.
        question: Question,
        /// `/bellwether/workers/<name>`
        drain: Reading,
        /// `/bellwether/workers/<me>`
        recall: Reading,
    },
    /// Watches told this, in this order.
    Changed(Vec<Change>),
    /// An assignment's payload.
    AssignmentRead(Question, TaskName, Reading),
    /// The node of the array that this piece is of.
    ArrayRead(Question, TaskName, Reading),
    /// What is recorded of a task, or the reason for which its assignment went.
    RecordRead(Question, TaskName, Reading),
    /// Which term began with which transaction.
    EpochRead {
        /// The epoch.
        epoch: i32,
        /// The transaction that opened it.
        mzxid: i64,
    },
    /// A command ended, and its whole process group is dead.
    RunEnded(RunId, Box<Ran>),
    /// A piece is over: its elements are done, or it was stopped, and what it ran is dead.
    PieceEnded(RunId, Box<PieceRan>),
    /// A transaction ended.
    WriteEnded(u64, Outcome),
    /// A `sync` was answered, or was not.
    ProofEnded {
        /// Which one.
        nonce: u64,
        /// Whether it was answered.
        answered: bool,
        /// When it was sent, on the monotonic clock.
        sent: Duration,
    },
    /// What was missing of the layout is there again.
    LayoutMended,
    /// Who was given what we lost.
    SuccessorsFound {
        /// When `/workers/<me>` was created, in milliseconds by ZooKeeper's clock.
        registered_ms: i64,
        /// When the next attempt was assigned, by the same clock; `None` if there is none.
        found: Vec<(RunId, Option<i64>)>,
    },
    /// A timer that was armed went off.
    Rang(Timer),
    /// The operator wants this process to stop when what runs has ended.
    DrainRequested,
    /// The operator changed the configuration of the service that runs. A drain that has begun keeps its deadlines.
    Configured {
        /// As in [`Settings`].
        drain_timeout: Duration,
        /// As in [`Settings`].
        kill_grace: Duration,
        /// As in [`Settings`].
        start_timeout: Duration,
    },
}

/// What this worker orders its shell to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Commit the registration; then [`Event::RegisterEnded`].
    Register(Multi),
    /// Look for `/workers/<me>` behind a `sync`; then [`Event::RegistrationRead`].
    ReadRegistration,
    /// Reopen the pen, arm the watches on the box, the registration, the requests and the epoch, `sync`, read the requests, list the box;
    /// then [`Event::RequestsRead`] and [`Event::BoxListed`].
    Resync(Question),
    /// Read an assignment; then [`Event::AssignmentRead`].
    ReadAssignment(Question, TaskName),
    /// Read the node of the array that this piece is of; then [`Event::ArrayRead`].
    ReadArray(Question, TaskName, TaskName),
    /// Read what is recorded of a task, at this path; then [`Event::RecordRead`].
    ReadRecord(Question, TaskName, String),
    /// Read what is asked of this worker; then [`Event::RequestsRead`].
    ReadRequests(Question),
    /// Read the epoch; then [`Event::EpochRead`].
    ReadEpoch,
    /// Start a command; then, when its group is dead, [`Event::RunEnded`]. Of a piece, start its elements one after another; then, when
    /// the last one is dead, [`Event::PieceEnded`].
    Start(Box<Order>),
    /// Stop a command.
    Stop(RunId, Stop),
    /// SIGKILL everything, at once.
    KillAll,
    /// Commit; then [`Event::WriteEnded`].
    Write(u64, Multi),
    /// Send a `sync`; then [`Event::ProofEnded`].
    Prove(u64),
    /// Look when this incarnation was registered and when, after each of these assignments to an earlier incarnation, the same task
    /// was assigned again; then [`Event::SuccessorsFound`].
    FindSuccessors(Vec<(RunId, WorkerId)>),
    /// Whatever runs must be dead at this monotonic time, even if nobody can order it then: whoever keeps watch over this process
    /// kills it, unless a later moment is named before.
    Guard(Duration),
    /// Create what is missing of the layout; then [`Event::LayoutMended`].
    MendLayout,
    /// Ring once, at this monotonic time; a later order for the same timer replaces the earlier one.
    Arm(Timer, Duration),
    /// Close this session and open another: this incarnation ends.
    ReopenSession,
    /// Close the session and end the process.
    Leave,
    /// Tell operators and metrics.
    Tell(Fact),
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    /// Which attempt.
    pub id: RunId,
    /// What to run.
    pub task: Task,
    /// The incarnation that runs it.
    pub worker: WorkerId,
    /// The term under which it was assigned, if known.
    pub epoch: Option<i32>,
    /// If it is a piece of an array: which elements.
    pub piece: Option<PieceOrder>,
}

/// What became of a piece.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PieceRan {
    /// How far it came.
    pub progress: Progress,
    /// From when on all its processes were dead, on the monotonic clock, where that is known better than from when it is told.
    pub dead: Option<Duration>,
    /// Whether it was stopped in the midst of an element.
    pub killed: bool,
}

/// How a command is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// TERM to the group, KILL after the grace.
    Terminate,
    /// TERM to the group, KILL after this time; the last order counts.
    Within(Duration),
    /// KILL.
    Kill,
}

/// Timers of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// It is time for another proof of life.
    ProofDue,
    /// The last proof is so old that ZooKeeper might declare us dead.
    Doubt,
    /// What failed may be tried again.
    Retry,
    /// What was refused for its rights or its children may have been mended.
    LookAgain,
    /// What has ended has waited for company long enough.
    ReportDue,
    /// What still runs is stopped.
    DrainDeadline,
    /// What still runs in a drain that people asked for is stopped.
    DrainRequestDue,
    /// A task has waited for a slot longer than it may.
    StartDue,
    /// Whatever is left is left behind.
    DrainOver,
}

/// Why commands were killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KillReason {
    /// The session could not be proven alive.
    Doubt,
    /// The session was lost.
    SessionLost,
    /// The registration or the box was deleted under us.
    Unregistered,
    /// The task was cancelled: its status says so.
    Cancelled,
    /// The assignment is gone, and nothing says why: deleted by hand, or ended by somebody else.
    Withdrawn,
    /// The drain's time was over.
    Drained,
}

/// What operators and metrics should hear about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    /// This incarnation may be given work.
    Registered(WorkerId),
    /// A result was recorded.
    Recorded(Box<TaskResult>),
    /// What became of a piece was recorded.
    PieceRecorded(TaskName, Box<PieceRecord>),
    /// An attempt failed, and its task rests until another one.
    TriedAgain {
        /// The task.
        task: TaskName,
        /// The ordinal of the attempt that failed.
        attempt: u32,
        /// How it failed.
        reason: RetryReason,
        /// How long it rests.
        delay: Duration,
    },
    /// A result was refused, because the assignment is not ours any more.
    Stale(TaskName),
    /// A task was given back without a result.
    GaveBack(TaskName),
    /// Somebody wants it to take nothing more, in this way.
    DrainAsked {
        /// How.
        mode: DrainMode,
        /// Why, for people.
        reason: Option<String>,
    },
    /// It may take work again.
    DrainWithdrawn,
    /// A task waited for a slot longer than it may, and is given back.
    NotStarted(TaskName),
    /// Commands were killed.
    Killed {
        /// How many.
        commands: usize,
        /// Why.
        reason: KillReason,
    },
    /// An attempt was lost with its session, and it was looked whether another ran before it was dead.
    Overlapped {
        /// The task.
        task: TaskName,
        /// For how long, at most; zero if for no longer than can be measured.
        overlap: Duration,
        /// How exact that is.
        error: Duration,
    },
    /// A transaction was refused for a reason that should not occur.
    Surprised {
        /// At this path.
        path: String,
        /// Why.
        why: Why,
    },
}

/// Whether commands are killed when the session cannot be proven alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDoubt {
    /// Kill them: no two attempts of a task ever run at the same time.
    Kill,
    /// Keep them: long work outlives an outage, at the price of an overlap.
    Keep,
}

/// What an agent needs to know of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// What the worker says of itself.
    pub record: WorkerRecord,
    /// What to do in doubt.
    pub on_doubt: OnDoubt,
    /// How long commands may go on after a drain was asked for.
    pub drain_timeout: Duration,
    /// How long a command has between TERM and KILL.
    pub kill_grace: Duration,
    /// How long a task may wait here for a slot before it is given back; zero for as long as it takes.
    pub start_timeout: Duration,
    /// How long to wait before something that failed is tried again.
    pub retry_after: Duration,
    /// What holds for tasks that do not say when they are tried again.
    pub retry: RetryDefaults,
}
