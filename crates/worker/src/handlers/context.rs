//! What a handler is told about its attempt, and what it tells while it runs.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_core::protocol::trace::TraceParent;
use bellwether_core::protocol::{TaskName, WorkerId};
use tokio::sync::watch;

use crate::executor::Element;

/// How far the stopping of an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It runs.
    Running,
    /// It is asked to end.
    Cancelled,
    /// It ends at its next `.await`.
    Dropped,
}

/// Where an attempt writes to and reports.
pub(crate) trait Desk: Send + Sync {
    /// Adds to its standard output.
    fn write(&self, bytes: &[u8]);
    /// How far it is.
    fn progress(&self, done: u64, total: Option<u64>, note: &str);
}

/// What an attempt is: plain facts.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) task: TaskName,
    pub(crate) kind: String,
    pub(crate) attempt: u32,
    pub(crate) worker: WorkerId,
    pub(crate) epoch: Option<i32>,
    pub(crate) trace: Option<TraceParent>,
    pub(crate) element: Option<Element>,
    pub(crate) deadline: Option<Instant>,
}

/// An attempt as its handler sees it. Cheap to clone; all clones are one.
///
/// ```
/// use std::time::Duration;
/// use bellwether_worker::{TaskContext, TaskError};
///
/// async fn work_through(ctx: &TaskContext, parts: &[&str]) -> Result<(), TaskError> {
///     for (number, part) in parts.iter().enumerate() {
///         ctx.progress(number as u64, parts.len() as u64, part);
///         tokio::select! {
///             () = tokio::time::sleep(Duration::from_secs(1)) => ctx.print(part),
///             // The task was cancelled, its time is over, or this worker may not run it any more.
///             () = ctx.cancelled() => return Err(TaskError::retry("stopped")),
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct TaskContext {
    facts: Arc<Facts>,
    phase: watch::Receiver<Phase>,
    desk: Arc<dyn Desk>,
}

impl TaskContext {
    pub(crate) fn new(facts: Facts, phase: watch::Receiver<Phase>, desk: Arc<dyn Desk>) -> Self {
        Self { facts: Arc::new(facts), phase, desk }
    }

    /// The task's id.
    #[must_use]
    pub fn task(&self) -> &TaskName {
        &self.facts.task
    }

    /// The kind that was asked for.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.facts.kind
    }

    /// Which attempt this is, from 1. A task may be run again after its worker was lost: an attempt above 1 may find what an earlier
    /// one has left behind.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.facts.attempt
    }

    /// If the task is an element of an array: its number. Then [`task`](Self::task) is `<array>.<element>`.
    #[must_use]
    pub fn element(&self) -> Option<u32> {
        self.facts.element.as_ref().map(|element| element.number)
    }

    /// If the task is an element of an array whose elements have lines: its line.
    #[must_use]
    pub fn line(&self) -> Option<&str> {
        self.facts.element.as_ref()?.line.as_deref()
    }

    /// The worker that runs it.
    #[must_use]
    pub fn worker(&self) -> &WorkerId {
        &self.facts.worker
    }

    /// The term under which it was assigned: it grows from one master to the next, and so tells a later attempt from an earlier one to
    /// any system that remembers the highest it has seen.
    #[must_use]
    pub fn epoch(&self) -> Option<i32> {
        self.facts.epoch
    }

    /// The W3C trace context of whoever submitted it, to be made the parent of one's own spans.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceParent> {
        self.facts.trace.as_ref()
    }

    /// When its time is over, if it has a timeout.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.facts.deadline
    }

    /// How long it may still take, if it has a timeout.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.facts.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether it should stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.phase.borrow() > Phase::Running
    }

    /// Resolves when it should stop: the task was cancelled, its time is over, the worker drains, or the session with ZooKeeper was lost
    /// or cannot be proven alive, so that somebody else may be given the task. What is returned afterwards counts no more.
    ///
    /// After a timeout, and when the worker drains, the handler has the kill grace to return; after a cancellation the time that whoever
    /// cancels it gave it (`bellwether cancel --grace`), otherwise no more than a moment; after a lost session no time at all. Then it is
    /// polled once more and dropped. What it has started with `tokio::spawn` or on threads of its own is its own to stop: take a clone
    /// of the context there.
    pub async fn cancelled(&self) {
        let mut phase = self.phase.clone();
        if phase.wait_for(|phase| *phase > Phase::Running).await.is_err() {
            // The attempt is over; whoever still asks is to stop, too.
        }
    }

    /// Says how far it is, for `/v1/tasks/<task>` on the worker's pages and for `bellwether status`. Costs no write to ZooKeeper: say it as often as you like.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>, note: &str) {
        self.desk.progress(done, total.into(), note);
    }

    /// Adds a line to the task's output, which is kept and shown as that of a command.
    pub fn print(&self, line: impl fmt::Display) {
        self.desk.write(format!("{line}\n").as_bytes());
    }

    /// The task's output, as something to write bytes to.
    #[must_use]
    pub fn output(&self) -> impl io::Write + Send + use<> {
        Output(Arc::clone(&self.desk))
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext").field("facts", &self.facts).field("phase", &*self.phase.borrow()).finish_non_exhaustive()
    }
}

struct Output(Arc<dyn Desk>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
