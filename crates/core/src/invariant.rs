//! The promises, as predicates over what ZooKeeper committed.
//!
//! [`Ledger`] reads one committed transaction after the other, in ZooKeeper's order, and says which promises it breaks. It is the
//! same code whoever asks: the model, the simulation, the end-to-end tests and `bellwether audit`. It keeps names and what
//! identifies a payload, not the payloads, so that it can read the log of a production cluster. What lives here: the words.
//! What does not: the rules (`ledger` and what is below it) and reading a log (that is I/O).

use std::fmt;

mod array;
mod ledger;
mod life;
mod payload;
mod place;
mod rules;
mod scene;
#[cfg(test)]
mod tests;
mod waiters;

pub use array::is_piece;
pub use ledger::Ledger;
pub use place::Place;

/// The promises of Bellwether that can be read from transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// At most one epoch is current, and epochs only grow.
    EpochsGrow,
    /// No write of a past epoch or of a dead worker commits: whoever moves a task is in office or holds it, behind its checks.
    OnlyTheMasterWrites,
    /// A task is in exactly one place.
    OnePlace,
    /// At most one status for one life of a task name, and none is rewritten.
    OneStatus,
    /// An assignment is created only while its worker is registered.
    AssignedToTheLiving,
    /// On its way a task loses neither its payload nor its counts.
    PayloadKept,
    /// A master removes no result that ended after somebody began to wait who waits still.
    ResultKept,
}

impl Promise {
    /// The promises by the numbers under which the documents know them.
    pub const P1: Self = Promise::EpochsGrow;
    /// [`Promise::OnlyTheMasterWrites`]
    pub const P2: Self = Promise::OnlyTheMasterWrites;
    /// [`Promise::OnePlace`]
    pub const P3: Self = Promise::OnePlace;
    /// [`Promise::OneStatus`]
    pub const P4: Self = Promise::OneStatus;
    /// [`Promise::AssignedToTheLiving`]
    pub const P5: Self = Promise::AssignedToTheLiving;
    /// [`Promise::PayloadKept`]
    pub const P7: Self = Promise::PayloadKept;
    /// [`Promise::ResultKept`]
    pub const P11: Self = Promise::ResultKept;
    /// All of them, in order.
    pub const ALL: [Self; 7] = [Self::P1, Self::P2, Self::P3, Self::P4, Self::P5, Self::P7, Self::P11];

    /// The number under which the documents know it.
    #[must_use]
    pub fn number(self) -> &'static str {
        match self {
            Promise::EpochsGrow => "P1",
            Promise::OnlyTheMasterWrites => "P2",
            Promise::OnePlace => "P3",
            Promise::OneStatus => "P4",
            Promise::AssignedToTheLiving => "P5",
            Promise::PayloadKept => "P7",
            Promise::ResultKept => "P11",
        }
    }

    /// What is promised, in a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Promise::EpochsGrow => "epochs only grow",
            Promise::OnlyTheMasterWrites => "no write of a past epoch or of a dead worker commits",
            Promise::OnePlace => "a task is in exactly one place",
            Promise::OneStatus => "a task has at most one status",
            Promise::AssignedToTheLiving => "a task is assigned only to a registered worker",
            Promise::PayloadKept => "a task keeps its payload and its counts",
            Promise::ResultKept => "no master removes a result that somebody waits for",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.number(), self.words())
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// By which transaction.
    pub zxid: i64,
    /// The node that it was about, from the root.
    pub path: String,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (transaction {:#x}, {}): {}", self.promise, self.zxid, self.path, self.what)
    }
}

/// One committed operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Committed {
    /// Created.
    Create {
        /// Path from the root.
        path: String,
        /// Whether it goes with the session.
        ephemeral: bool,
        /// Its data, if whoever tells of it knows; without it, payloads are not followed.
        data: Option<Vec<u8>>,
    },
    /// Data set.
    Set {
        /// Path from the root.
        path: String,
        /// The version that the set led to.
        version: i32,
        /// Its data, if whoever tells of it knows.
        data: Option<Vec<u8>>,
    },
    /// Deleted, by a request or with its session.
    Delete {
        /// Path from the root.
        path: String,
    },
    /// It was there, with this version. Not everybody tells of checks: see [`Ledger::with_checks`].
    Check {
        /// Path from the root.
        path: String,
        /// Its version.
        version: i32,
    },
    /// The session ended, and everything ephemeral of its went, whether or not there is a `Delete` of each.
    SessionEnded,
}

impl Committed {
    /// The node that it is about.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Committed::Create { path, .. } | Committed::Set { path, .. } | Committed::Delete { path } | Committed::Check { path, .. } => {
                Some(path)
            }
            Committed::SessionEnded => None,
        }
    }
}

/// One committed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// Its place in ZooKeeper's order.
    pub zxid: i64,
    /// The session that asked for it.
    pub session: i64,
    /// Its operations, in order. The end of a session is a transaction that deletes what the session owned.
    pub changes: Vec<Committed>,
}
