//! Transactions as values, and how they end.

use std::fmt;

use super::acl::identity::ACL_BYTES_MAX;

/// One operation of a [`Multi`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// The node exists and, unless `version` is `None`, has this version. `None` proves existence alone.
    Check {
        /// Path from the root.
        path: String,
        /// Expected version of the data.
        version: Option<i32>,
    },
    /// Create a node that does not exist.
    Create {
        /// Path from the root.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Whether it goes with the session.
        ephemeral: bool,
    },
    /// Set the data of a node that exists.
    Set {
        /// Path from the root.
        path: String,
        /// Its new data.
        data: Vec<u8>,
        /// Expected version; `None` sets whatever is there.
        version: Option<i32>,
    },
    /// Delete a node that exists and has no children.
    Delete {
        /// Path from the root.
        path: String,
        /// Expected version; `None` deletes whatever is there.
        version: Option<i32>,
    },
}

impl Op {
    /// The path that this operation touches.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Op::Check { path, .. } | Op::Create { path, .. } | Op::Set { path, .. } | Op::Delete { path, .. } => path,
        }
    }

    /// About how many bytes it takes in a request.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FRAME: usize = 48;
        let data = match self {
            // The rights that it is created with travel along: in a secured cluster, the identities of all roles.
            Op::Create { data, .. } => data.len() + ACL_BYTES_MAX,
            Op::Set { data, .. } => data.len(),
            Op::Check { .. } | Op::Delete { .. } => 0,
        };
        FRAME + self.path().len() + data
    }
}

/// A transaction: all of its operations, in order, or none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Multi {
    /// The operations; the index of a refused one is an index into this.
    pub ops: Vec<Op>,
}

impl Multi {
    /// A transaction that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: `path` exists.
    #[must_use]
    pub fn check_exists(mut self, path: impl Into<String>) -> Self {
        self.ops.push(Op::Check { path: path.into(), version: None });
        self
    }

    /// Adds: `path` has this version.
    #[must_use]
    pub fn check(mut self, path: impl Into<String>, version: i32) -> Self {
        self.ops.push(Op::Check { path: path.into(), version: Some(version) });
        self
    }

    /// Adds: create a persistent node.
    #[must_use]
    pub fn create(mut self, path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.ops.push(Op::Create { path: path.into(), data: data.into(), ephemeral: false });
        self
    }

    /// Adds: create a node that goes with the session.
    #[must_use]
    pub fn create_ephemeral(mut self, path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.ops.push(Op::Create { path: path.into(), data: data.into(), ephemeral: true });
        self
    }

    /// Adds: set data, at a version or at any.
    #[must_use]
    pub fn set(mut self, path: impl Into<String>, data: impl Into<Vec<u8>>, version: Option<i32>) -> Self {
        self.ops.push(Op::Set { path: path.into(), data: data.into(), version });
        self
    }

    /// Adds: delete a node, at a version or at any.
    #[must_use]
    pub fn delete(mut self, path: impl Into<String>, version: Option<i32>) -> Self {
        self.ops.push(Op::Delete { path: path.into(), version });
        self
    }

    /// Adds all of another transaction's operations.
    #[must_use]
    pub fn and(mut self, other: Multi) -> Self {
        self.ops.extend(other.ops);
        self
    }

    /// How many operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// About how many bytes the request takes. ZooKeeper drops the connection beyond 1 MiB, and all that is in flight on it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ops.iter().map(Op::bytes).sum()
    }
}

/// Most bytes of one transaction: well below ZooKeeper's 1 MiB, above one payload of the largest size with its envelope.
pub const MULTI_BYTES_MAX: usize = 900 * 1024;

/// Most bytes of the operations that a role puts together: what stands in front of them, a fence or a check, needs room, too.
pub const BATCH_BYTES_MAX: usize = MULTI_BYTES_MAX - 4096;

/// Why ZooKeeper refused an operation. Each of these is definite: nothing of the transaction was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// A node that must exist does not (for a create: its parent).
    NoNode,
    /// A node that must not exist does.
    NodeExists,
    /// The node has another version.
    BadVersion,
    /// The node has children.
    NotEmpty,
    /// This session has no right to do that.
    NoAuth,
    /// An ephemeral node cannot have children.
    NoChildrenForEphemerals,
    /// ZooKeeper or its client found the request itself wrong (path, ACL, quota).
    BadArguments,
    /// The request would exceed what ZooKeeper accepts; it was not sent.
    TooLarge,
    /// It was never sent: the session was closed, or the pen was.
    NotSent,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::NoNode => "no node",
            Why::NodeExists => "node exists",
            Why::BadVersion => "bad version",
            Why::NotEmpty => "not empty",
            Why::NoAuth => "no right",
            Why::NoChildrenForEphemerals => "no children for ephemerals",
            Why::BadArguments => "bad arguments",
            Why::TooLarge => "too large",
            Why::NotSent => "not sent",
        })
    }
}

/// Which operation was refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The fence in front of a master's transaction: this process is not in office any more.
    Fence(Why),
    /// The operation with this index into [`Multi::ops`].
    At {
        /// Which one.
        index: usize,
        /// Why.
        why: Why,
    },
    /// The whole transaction, before any operation was looked at.
    Whole(Why),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Fence(why) => write!(f, "the fence: {why}"),
            Refusal::At { index, why } => write!(f, "operation {index}: {why}"),
            Refusal::Whole(why) => write!(f, "all of it: {why}"),
        }
    }
}

/// What an applied transaction tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Applied {
    /// Versions and mzxids that its `Set` operations led to, by index into [`Multi::ops`]. Creates tell nothing: ZooKeeper 3.8
    /// returns an invalid stat for them (ZOOKEEPER-4026).
    pub sets: Vec<(usize, i32, i64)>,
}

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All of it was applied.
    Applied(Applied),
    /// None of it was applied, nor will be.
    Refused(Refusal),
    /// Nobody can say: it may have been applied, or be applied later. Answered by a barrier and then reading, never by a guess.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Applied(_) => f.write_str("applied"),
            Outcome::Refused(refusal) => write!(f, "refused at {refusal}"),
            Outcome::Unknown => f.write_str("unknown"),
        }
    }
}

impl Outcome {
    /// Applied, with nothing to tell.
    #[must_use]
    pub fn applied() -> Self {
        Outcome::Applied(Applied::default())
    }

    /// Refused at an index.
    #[must_use]
    pub fn refused(index: usize, why: Why) -> Self {
        Outcome::Refused(Refusal::At { index, why })
    }
}
