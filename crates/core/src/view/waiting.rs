//! A task that waits, as far as a master knows it.

use std::num::NonZeroI64;
use std::sync::Arc;
use std::time::Duration;

use super::Question;
use crate::planner::{Requirement, Ticket};
use crate::protocol::{TaskName, path};

/// Where a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Under `/tasks`: it may run now.
    Pending,
    /// Under `/bellwether/held`: it may not run before its time.
    Held,
    /// Under `/bellwether/arrays`: pieces of it may be given out.
    Array,
}

/// A task that waits, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// Where.
    pub lane: Lane,
    /// The task.
    pub task: TaskName,
}

impl Entry {
    /// Of a task under `/tasks`.
    #[must_use]
    pub fn pending(task: TaskName) -> Self {
        Self { lane: Lane::Pending, task }
    }

    /// Of a task under `/bellwether/held`.
    #[must_use]
    pub fn held(task: TaskName) -> Self {
        Self { lane: Lane::Held, task }
    }

    /// Its node.
    #[must_use]
    pub fn path(&self) -> String {
        match self.lane {
            Lane::Pending => path::task(&self.task),
            Lane::Held => path::held(&self.task),
            Lane::Array => path::array(&self.task),
        }
    }
}

/// A task that waits, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Its payload is not known yet.
    Unread,
    /// It is asked for.
    Asked(Question),
    /// It may not be placed before its time.
    Resting(Box<Resting>),
    /// It may be placed.
    Ready(Box<Ready>),
    /// A transaction that moves or ends it is in flight.
    Moving {
        /// What it was before, for when the transaction is refused.
        ready: Box<Ready>,
        /// Whether the task appeared anew meanwhile: given back before we heard that it had been assigned.
        again: bool,
        /// Whether its end was told meanwhile: by our transaction, or by somebody else before it.
        gone: bool,
    },
    /// It cannot be moved at all; the reason was told once. The slow comparison looks at it again.
    Stuck,
}

impl Waiting {
    /// Whether nothing was read of it yet.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self, Waiting::Unread | Waiting::Asked(_))
    }

    /// What was read of it, unless it is about to be somewhere else.
    #[must_use]
    pub fn settled(&self) -> Option<&Ready> {
        match self {
            Waiting::Ready(ready) => Some(ready),
            Waiting::Resting(resting) => Some(&resting.ready),
            Waiting::Unread | Waiting::Asked(_) | Waiting::Moving { .. } | Waiting::Stuck => None,
        }
    }
}

/// A task that rests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resting {
    /// What it will be then.
    pub ready: Ready,
    /// When, on the monotonic clock.
    pub due: Duration,
}

/// A waiting task whose payload was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ready {
    /// What it asks of a worker. There may be hundreds of thousands that ask the same: those in the queue share it.
    pub requirement: Arc<Requirement>,
    /// Its place in the queue.
    pub ticket: Ticket,
    /// The version that was read.
    pub version: i32,
    /// The payload, byte for byte; given up when too much is waiting, and read again when its turn comes.
    pub payload: Option<Box<[u8]>>,
    /// When this master first saw it, on the monotonic clock.
    pub seen: Duration,
    /// When its node was created, by ZooKeeper's clock, if it may run since then: what has rested may run since it was seen.
    pub created_ms: Option<NonZeroI64>,
    /// When it has waited longer than it may, on the monotonic clock. In a box, because hardly any does, and hundreds of thousands may wait.
    pub expires: Option<Box<Duration>>,
}

// There may be a million of them.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Waiting>() <= 16 && size_of::<Ready>() <= 104);

impl Ready {
    /// A ready task that may run since it was seen.
    #[must_use]
    pub fn new(requirement: Requirement, ticket: Ticket, version: i32, payload: Vec<u8>, seen: Duration) -> Self {
        let (requirement, payload) = (Arc::new(requirement), Some(payload.into_boxed_slice()));
        Self { requirement, ticket, version, payload, seen, created_ms: None, expires: None }
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, |payload| payload.len())
    }
}
