//! The vocabulary of an election: what happens to a coordinator, what it orders, what it knows of the office.

use std::time::Duration;

use crate::protocol::record::CoordinatorRecord;
use crate::protocol::{Multi, Outcome};

/// What happened, as a coordinator's shell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A session was opened; the layout exists.
    SessionOpened {
        /// Its id: the owner of what it creates.
        session: i64,
        /// Its negotiated timeout.
        timeout: Duration,
        /// A number nobody can guess, for the first version of a new epoch.
        chance: u64,
    },
    /// The connection is lost; the session may still live.
    SessionSuspended,
    /// The session goes on.
    SessionResumed,
    /// The session is over, and everything ephemeral with it.
    SessionLost,
    /// The queue was read, behind the watch on it that the position asks for.
    QueueRead(Vec<String>),
    /// An attempt to enter the queue ended, either way: the queue tells how.
    QueueEntered,
    /// The node before us in the queue is gone.
    PredecessorGone,
    /// `/master` was deleted.
    OfficeVacant,
    /// `/master` was created.
    OfficeTaken,
    /// The office was read, behind a `sync`.
    OfficeRead(Office),
    /// A read failed, or was cut off; it is asked again after a while.
    ReadFailed,
    /// An epoch was created, or somebody else did.
    EpochCreated,
    /// Our candidacy ended.
    BallotEnded(Outcome),
    /// A proof of office ended.
    ProofEnded {
        /// Which one.
        nonce: u64,
        /// How.
        outcome: Outcome,
        /// When it was sent, on the monotonic clock.
        sent: Duration,
    },
    /// A write of the master ended without anybody knowing how.
    WriteUnknown,
    /// A write of the master was refused by the fence.
    WriteFenced,
    /// A timer that was armed went off.
    Rang(Timer),
    /// The operator wants this process to stop.
    StopRequested {
        /// Why, for the history.
        why: String,
    },
    /// Somebody wants a master to step down, or wants it otherwise.
    StepDownAsked,
    /// What is asked, and the version of its node; `None`: nothing.
    StepDownRead(Option<(i32, Vec<u8>)>),
    /// The farewell ended, either way.
    FarewellEnded,
}

/// What this coordinator orders its shell to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Create an ephemeral, sequential node in the queue whose name starts with [`queue_prefix`](super::queue_prefix); then [`Event::QueueEntered`].
    EnterQueue,
    /// Read the queue; then [`Event::QueueRead`].
    ReadQueue,
    /// Watch `/master`, then read the office: [`Event::OfficeVacant`], [`Event::OfficeTaken`].
    WatchOffice,
    /// Watch this node of the queue: [`Event::PredecessorGone`].
    WatchPredecessor(String),
    /// Read the office behind a `sync`; then [`Event::OfficeRead`].
    ReadOffice,
    /// Create the epoch; then [`Event::EpochCreated`].
    CreateEpoch(Multi),
    /// Stand for office; then [`Event::BallotEnded`].
    Stand(Multi),
    /// Leave the queue: we rule. Nothing depends on how it ends.
    LeaveQueue(String),
    /// Commit the empty fenced transaction; then [`Event::ProofEnded`].
    Prove {
        /// The epoch to prove.
        epoch: i32,
        /// To be handed back.
        nonce: u64,
    },
    /// The office is ours: start a master.
    Rule {
        /// Its epoch.
        epoch: i32,
    },
    /// Watch `/bellwether/step-down`, then read it: [`Event::StepDownAsked`], [`Event::StepDownRead`].
    WatchStepDown,
    /// Remove a wish that concerns no master any more. Nothing depends on how it ends.
    RemoveStepDown {
        /// The epoch in office.
        epoch: i32,
        /// What to write, without the fence.
        multi: Multi,
    },
    /// Stop writing, show no leadership, keep the view.
    Pause,
    /// The office is proven again: resync, then write.
    Resume,
    /// The office is lost: drop the master and all it believes.
    EndRule(End),
    /// Ring once, at this monotonic time; a later order for the same timer replaces the earlier one.
    Arm(Timer, Duration),
    /// Close this session and open another: what it owns must go.
    ReopenSession,
    /// Leave the office with a reason; then [`Event::FarewellEnded`].
    Farewell {
        /// The epoch that ends.
        epoch: i32,
        /// What to write, without the fence.
        multi: Multi,
    },
    /// Close the session and end the process.
    Leave,
    /// `/master` belongs to nobody's session: a foreign layout, or a leftover. The process cannot start.
    RefuseToStart,
    /// Tell the operator.
    Tell(Fact),
}

/// Why a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The session was lost.
    SessionLost,
    /// The fence refused a write: somebody else rules, or the office was deleted by hand.
    Fenced,
    /// We were asked to stop, or to leave the office to another one.
    SteppedDown,
}

/// What an operator should hear about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    /// A candidacy was won.
    Elected {
        /// The new epoch.
        epoch: i32,
    },
    /// A candidacy was lost to somebody else.
    NotElected,
    /// The office was found to be ours after a lost answer.
    FoundInOffice,
    /// `/master` is persistent: nobody can rule until it is deleted.
    OfficeObstructed,
    /// The epoch is lower than one that this process has seen: ZooKeeper's state was reset.
    WentBackwards {
        /// The highest epoch seen before.
        seen: i32,
        /// What is there now.
        found: Option<i32>,
    },
}

/// Timers of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// The second in the queue has waited for the first.
    SecondInLine,
    /// It is time for another proof of office.
    ProofDue,
    /// The last proof is too old to go on writing.
    ProofStale,
    /// What failed may be tried again.
    Retry,
}

/// The office and its history, as read behind one `sync`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Office {
    /// Who holds it.
    pub holder: Option<Holder>,
    /// The version of the epoch, and its data.
    pub epoch: Option<(i32, Vec<u8>)>,
    /// What the last master said when it left.
    pub farewell: Vec<u8>,
}

/// Who holds the office.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The session that owns `/master`; 0 if it is persistent.
    pub owner: i64,
    /// The version of `/master`: 1 if it was won by our kind of transaction.
    pub version: i32,
    /// Its data.
    pub data: Vec<u8>,
}

/// What an election needs to know of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who stands.
    pub candidate: CoordinatorRecord,
    /// How long the second in the queue waits for the first.
    pub standby_delay: Duration,
    /// How long to wait before something that failed is tried again.
    pub retry_after: Duration,
}
