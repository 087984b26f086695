//! ZooKeeper's transaction log: what really happened, in ZooKeeper's order, written down by ZooKeeper.
//!
//! Reads the files `log.*` of servers' data directories as ZooKeeper 3.5 to 3.9 writes them, and never writes anything. The server
//! may be running: what it has acknowledged is there. What lives here: the words, and [`Logs`], which reads several servers' files
//! as one history. Below: one record ([`decode`]), one file, several files, and snapshots. What does not: what a history means
//! for Bellwether ([`crate::audit`]).

use std::fmt;
use std::path::PathBuf;

mod checksum;
pub mod decode;
mod file;
mod logs;
mod snapshot;

pub use logs::{Coverage, Gap, Logs};
pub use snapshot::{Node, Snapshot};

/// One transaction, or its refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// ZooKeeper's number of the transaction: the order of everything.
    pub zxid: i64,
    /// Wall clock of ZooKeeper's leader when it took the request, in milliseconds since 1970.
    pub time_ms: i64,
    /// The session that asked for it.
    pub session: i64,
    /// What was done: one operation, or all those of a multi. Of a refused multi only the refusal is left.
    pub changes: Vec<Change>,
}

/// What one operation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node was created.
    Create {
        /// Its absolute path.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Whether it goes with the session.
        ephemeral: bool,
    },
    /// A node was deleted.
    Delete {
        /// Its absolute path.
        path: String,
    },
    /// A node's data was set.
    Set {
        /// Its absolute path.
        path: String,
        /// Its new data.
        data: Vec<u8>,
        /// Its new version.
        version: i32,
    },
    /// A node's rights were set.
    SetAcl {
        /// Its absolute path.
        path: String,
    },
    /// A multi's check held.
    Check {
        /// The absolute path that was checked.
        path: String,
        /// The version that it had.
        version: i32,
    },
    /// A session was opened.
    CreateSession {
        /// Its timeout.
        timeout_ms: i32,
    },
    /// A session was closed, or expired; all its ephemeral nodes were deleted with it.
    CloseSession {
        /// The ephemeral nodes that it had; servers before 3.6, and some configurations, do not write them.
        paths: Vec<String>,
    },
    /// A write was refused: it changed nothing.
    Refused {
        /// ZooKeeper's error code, such as −110 for "node exists".
        code: i32,
    },
}

impl Change {
    /// The path of the one node that it is about.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Change::Create { path, .. } | Change::Delete { path } | Change::Set { path, .. } => Some(path),
            Change::SetAcl { path } | Change::Check { path, .. } => Some(path),
            Change::CreateSession { .. } | Change::CloseSession { .. } | Change::Refused { .. } => None,
        }
    }
}

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system says so.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It was written by something else.
    #[error("{} is no transaction log of ZooKeeper: at offset 0 there is {found}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What was found instead of a header.
        found: String,
    },
    /// No log anywhere.
    #[error("there are no transaction logs (log.<hex>, or version-2/log.<hex>) in {}", all(paths))]
    Nothing {
        /// Where was looked.
        paths: Vec<PathBuf>,
    },
}

fn all(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A place in a file that does not read as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// How many records of the file could be read before.
    pub records: u64,
    /// The last transaction of them.
    pub last_zxid: Option<i64>,
    /// Where the next readable record begins.
    pub resumes_at: Option<u64>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { path, offset, what, records, .. } = self;
        write!(f, "{} at offset {offset}: {what}; {records} records before it are readable", path.display())?;
        if let Some(zxid) = self.last_zxid {
            write!(f, ", up to zxid {zxid:#x}")?;
        }
        match self.resumes_at {
            Some(offset) => write!(f, ", and others again from offset {offset}"),
            None => write!(f, ", and nothing after it"),
        }
    }
}
