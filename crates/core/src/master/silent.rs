//! Tasks that should be over long ago, and of which their worker says nothing although its session lives: it hangs, or cannot kill what it
//! runs. Everything else that ends a running task is the worker's; this is the backstop.
//!
//! Such a task ends as timed out, for good: it is given to nobody again, because what it started may still run. How long it may take is
//! counted by this master's own clock, from when it first saw the assignment, and anew after every resync: neither a clock that was set
//! nor an outage makes anything late. Only the slow comparison looks, so that a short task costs no request more.

use std::collections::BTreeMap;
use std::time::Duration;

use super::items::{Item, Place};
use super::{Fact, Master};
use crate::Time;
use crate::lifecycle::{self, Runner};
use crate::protocol::payload::Envelope;
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Node, TaskName, WorkerId};
use crate::view::{Registration, Slot};

/// Assignments whose time is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Silence {
    watched: BTreeMap<(WorkerId, TaskName), Watched>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Watched {
    /// Which creation of it.
    czxid: i64,
    /// When it should be over long ago, on the monotonic clock; `None`: it may take as long as it likes.
    due: Option<Duration>,
}

impl Silence {
    /// Nobody could say anything meanwhile.
    pub(super) fn begin_anew(&mut self) {
        self.watched.clear();
    }
}

impl Master {
    /// Looks at those again that should be over, and forgets those that are.
    pub(super) fn look_at_silent(&mut self, now: Time) {
        let mut watched = std::mem::take(&mut self.silence.watched);
        watched.retain(|(worker, task), _| self.view.workers.get(worker).is_some_and(|known| known.load.contains_key(task)));
        self.silence.watched = watched;
        let late = self.silence.watched.iter().filter(|(_, watched)| watched.due.is_some_and(|due| due <= now.mono));
        for (worker, task) in late.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let slot = self.view.workers.get(&worker).and_then(|known| known.load.get(&task));
            if matches!(slot, Some(Slot::Placed { .. })) {
                self.ask_for_assignment(&worker, task);
            }
        }
    }

    /// What it has had since an earlier look is read once, for its time.
    pub(super) fn look_for_silent(&mut self, worker: &WorkerId) {
        if self.patience(worker).is_none() {
            return;
        }
        let Some(known) = self.view.workers.get(worker) else { return };
        let placed = known.load.iter().filter(|(_, slot)| matches!(slot, Slot::Placed { .. })).map(|(task, _)| task.clone());
        let unwatched = placed.filter(|task| !self.silence.watched.contains_key(&(worker.clone(), task.clone())));
        for task in unwatched.collect::<Vec<_>>() {
            self.ask_for_assignment(worker, task);
        }
    }

    /// For how long a worker may have a task, beside the time that this may run, until its silence says something.
    fn patience(&self, worker: &WorkerId) -> Option<Duration> {
        let Registration::Known(terms) = &self.view.workers.get(worker)?.registration else { return None };
        (!self.settings.silence_timeout.is_zero()).then(|| terms.patience?.checked_add(self.settings.silence_timeout))?
    }

    /// An assignment of a worker that lives was read. Whether it should be over long ago.
    pub(super) fn is_silent(&mut self, worker: &WorkerId, task: &TaskName, node: &Node, envelope: Option<&Envelope>, now: Time) -> bool {
        let Some(patience) = self.patience(worker) else { return false };
        let key = (worker.clone(), task.clone());
        let czxid = node.stat.czxid;
        if let Some(watched) = self.silence.watched.get(&key).filter(|watched| watched.czxid == czxid) {
            return watched.due.is_some_and(|due| due <= now.mono);
        }
        let runs = envelope.and_then(|envelope| envelope.timeout_ms).filter(|most| *most > 0).map(Duration::from_millis);
        let due = runs.and_then(|runs| now.mono.checked_add(patience)?.checked_add(runs));
        self.silence.watched.insert(key, Watched { czxid, due });
        false
    }

    /// Ends a task of which its worker says nothing.
    pub(super) fn end_silent(&mut self, worker: &WorkerId, task: &TaskName, node: &Node, now: Time) {
        self.tell(Fact::WorkerSilent { worker: worker.clone(), task: task.clone() });
        let runner = Runner { worker: worker.clone(), epoch: Some(self.epoch) };
        let item = Item::End {
            task: task.clone(),
            from: Place::Assigned(worker.clone()),
            version: Some(node.stat.version),
            outcome: TaskOutcome::TimedOut,
            recorded: lifecycle::silent(task, &node.data, &runner, now.wall),
            letter: None,
            marked: false,
        };
        self.leave(worker, task, item);
    }
}
