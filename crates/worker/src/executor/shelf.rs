//! Which outputs are being written, and how far: what the pages know of a run that its files do not say.
//!
//! A run is on the shelf from its start, and for a while after its end, so that one without any output is known, too. What has left
//! the shelf is found by its files.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_common::output::StreamName;
use bellwether_core::protocol::TaskName;
use jiff::Timestamp;
use tokio::sync::watch;

use super::RunId;

/// How many runs that have ended are remembered.
const ENDED_MAX: usize = 1000;

/// How far an output has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Bytes that were written by the run.
    pub(crate) total: u64,
    /// Up to where they went into files (those that were dropped since count, too).
    pub(crate) stored: u64,
    /// Whether that is all.
    pub(crate) ended: bool,
}

/// How far a handler said that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskProgress {
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    pub(crate) note: String,
    /// When it said so, by the wall clock.
    pub(crate) at: Timestamp,
}

/// A run whose output is, or was, written here.
#[derive(Debug, Clone)]
pub(crate) struct Shelved {
    /// Which assignment.
    pub(crate) id: RunId,
    /// Ordinal of the attempt.
    pub(crate) attempt: u32,
    /// When it was started, by the wall clock.
    pub(crate) started: Timestamp,
    outputs: [watch::Receiver<Progress>; 2],
    /// What a handler said last of how far it is.
    pub(crate) told: Option<TaskProgress>,
}

impl Shelved {
    /// How far an output has come; hears of it when it comes further.
    pub(crate) fn output(&self, stream: StreamName) -> watch::Receiver<Progress> {
        match stream {
            StreamName::Stdout => self.outputs[0].clone(),
            StreamName::Stderr => self.outputs[1].clone(),
        }
    }

    /// Whether nothing more is written.
    pub(crate) fn has_ended(&self) -> bool {
        // One whose writer is gone has ended, whatever was said last.
        self.outputs.iter().all(|output| output.borrow().ended || output.has_changed().is_err())
    }
}

/// All of them. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    root: Option<PathBuf>,
    runs: Mutex<Runs>,
}

/// A task, the ordinal of an attempt, and the assignment: the last one of an attempt comes last.
type Key = (TaskName, u32, i64);

#[derive(Debug, Default)]
struct Runs {
    known: BTreeMap<Key, Shelved>,
    ended: VecDeque<Key>,
}

impl Shelf {
    /// One for outputs below this directory.
    pub(crate) fn new(root: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner { root, runs: Mutex::default() }))
    }

    /// Where the files are.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.0.root.as_deref()
    }

    /// A run begins. Its outputs are written with these.
    pub(super) fn begin(&self, id: &RunId, attempt: u32, started: Timestamp) -> [watch::Sender<Progress>; 2] {
        let senders = [watch::Sender::new(Progress::default()), watch::Sender::new(Progress::default())];
        let outputs = [senders[0].subscribe(), senders[1].subscribe()];
        let shelved = Shelved { id: id.clone(), attempt, started, outputs, told: None };
        self.runs().known.insert((id.task.clone(), attempt, id.czxid), shelved);
        senders
    }

    /// A handler says how far it is.
    pub(super) fn note(&self, id: &RunId, attempt: u32, progress: TaskProgress) {
        if let Some(shelved) = self.runs().known.get_mut(&(id.task.clone(), attempt, id.czxid)) {
            shelved.told = Some(progress);
        }
    }

    /// A run has ended.
    pub(super) fn end(&self, id: &RunId, attempt: u32) {
        let mut runs = self.runs();
        runs.ended.push_back((id.task.clone(), attempt, id.czxid));
        if runs.ended.len() > ENDED_MAX
            && let Some(oldest) = runs.ended.pop_front()
        {
            runs.known.remove(&oldest);
        }
    }

    /// The last run of this attempt.
    pub(crate) fn find(&self, task: &TaskName, attempt: u32) -> Option<Shelved> {
        let runs = self.runs();
        let all = (task.clone(), attempt, i64::MIN)..=(task.clone(), attempt, i64::MAX);
        runs.known.range(all).next_back().map(|(_, shelved)| shelved.clone())
    }

    /// All runs that are known, by task and attempt.
    pub(crate) fn all(&self) -> Vec<Shelved> {
        self.runs().known.values().cloned().collect()
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.0.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(task: &str, czxid: i64) -> RunId {
        RunId { task: TaskName::listed(task), czxid }
    }

    #[test]
    fn the_last_run_of_an_attempt_is_found_and_old_ones_are_forgotten() {
        let shelf = Shelf::default();
        let (first, second) = (id("t", 7), id("t", 9));
        let writers = shelf.begin(&first, 1, Timestamp::UNIX_EPOCH);
        let _second = shelf.begin(&second, 1, Timestamp::UNIX_EPOCH);
        assert_eq!(shelf.find(&first.task, 1).map(|found| found.id), Some(second));
        assert!(shelf.find(&first.task, 2).is_none() && shelf.find(&TaskName::listed("other"), 1).is_none());
        let found = shelf.all().swap_remove(0);
        assert!(!found.has_ended());
        drop(writers);
        assert!(found.has_ended(), "nobody writes it any more");
        shelf.end(&first, 1);
        for n in 0..ENDED_MAX {
            let run = id(&format!("other-{n}"), 1);
            drop(shelf.begin(&run, 1, Timestamp::UNIX_EPOCH));
            shelf.end(&run, 1);
        }
        assert_eq!(shelf.all().len(), ENDED_MAX + 1, "the one that goes on, and those that ended last");
        assert!(shelf.all().iter().all(|shelved| shelved.id != first));
    }
}
