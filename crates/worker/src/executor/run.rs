//! What the executor is told and what it tells: plain values.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_core::agent::PieceRan;
pub use bellwether_core::lifecycle::{Ending, RunId};
use bellwether_core::protocol::WorkerId;
use bellwether_core::protocol::trace::TraceParent;
use jiff::Timestamp;

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct Run {
    /// Which assignment this is.
    pub id: RunId,
    /// Ordinal of the attempt, by which its output is found.
    pub attempt: u32,
    /// What to run.
    pub program: Program,
    /// Set on top of the worker's own environment, from which every `BELLWETHER*` is removed. The caller passes `BELLWETHER_TASK`,
    /// `_ATTEMPT`, `_WORKER` and `_EPOCH` here: by the first three, processes that escaped from their run are recognised.
    pub env: Vec<(String, String)>,
    /// Working directory; the worker's own if `None`.
    pub cwd: Option<String>,
    /// What the program reads; nothing (`/dev/null`) if `None`.
    pub stdin: Option<Vec<u8>>,
    /// When to give up: SIGTERM, the settings' grace, SIGKILL.
    pub timeout: Option<Duration>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program and its arguments, run as they are.
    Argv(Vec<String>),
    /// A line for the shell.
    Shell(String),
    /// Nothing: it succeeds at once, without a process.
    Noop,
    /// A call of a handler, without a process.
    Typed(TypedCall),
}

/// What a handler is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedCall {
    /// Which handler.
    pub kind: String,
    /// What it is given.
    pub input: serde_json::Value,
    /// Who runs it.
    pub worker: WorkerId,
    /// Under which term it was assigned.
    pub epoch: Option<i32>,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
    /// If it is called for an element of an array: which one.
    pub element: Option<Element>,
}

/// An element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its number.
    pub number: u32,
    /// Its line, if the elements have lines.
    pub line: Option<String>,
}

/// A process was started for a run. What needs no process, and a run that cannot be started, end without this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStarted {
    /// Which assignment.
    pub id: RunId,
    /// The process, which is also the process group.
    pub pid: i32,
}

/// A run is over, and its process group is dead.
#[derive(Debug, Clone)]
pub struct RunEnded {
    /// Which assignment.
    pub id: RunId,
    /// How it ended.
    pub how: Ending,
    /// What it wrote to standard output.
    pub stdout: Tail,
    /// What it wrote to standard error.
    pub stderr: Tail,
    /// Where its output was shipped to, or why not; `None` if nothing was to be shipped.
    pub shipped: Option<Result<String, String>>,
    /// Wall clock at the start, for people.
    pub started: Timestamp,
    /// Wall clock at the end, for people.
    pub ended: Timestamp,
    /// How long it took, by the monotonic clock.
    pub took: Duration,
    /// From when on its processes were dead, on the monotonic clock, if the guardian killed them and saw it: we may have been frozen
    /// since.
    pub dead_at: Option<Duration>,
}

/// The end of an output, and where the whole of it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// The last bytes, at most as many as the settings say.
    pub kept: Vec<u8>,
    /// How many bytes were written in total.
    pub total: u64,
    /// Whether `kept` is less than all.
    pub truncated: bool,
    /// The file with the first half of what is kept of the output, beside which the others lie; `None` if there was no output or it
    /// could not be written.
    pub file: Option<PathBuf>,
    /// What of it could not be written, and why.
    pub problem: Option<String>,
}

/// What the executor reports.
#[derive(Debug, Clone)]
pub enum Report {
    /// A process was started.
    Started(RunStarted),
    /// A run is over: the last word about it.
    Ended(Box<RunEnded>),
    /// A piece of an array is over.
    PieceEnded(RunId, Box<PieceRan>),
}

impl actix::Message for Report {
    type Result = ();
}
