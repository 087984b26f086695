//! For how long two attempts of a task ran at the same time: measured by the worker that lost the first one, when it is back.
//!
//! It knows when its own processes were dead, by its monotonic clock, and between which two moments of that clock its new registration
//! was made. ZooKeeper says when, by its own clock, it made that registration and the assignment of the next attempt. So the death is
//! known in ZooKeeper's time, but for the time that the registration took: within that error there was no overlap, and what exceeds it
//! is told at its longest. If ZooKeeper has another leader meanwhile, the difference of the two leaders' clocks is in it, too.
//!
//! The next attempt is the one that is assigned, or has ended, when this worker looks. If there is none yet, there will be no overlap:
//! our processes are dead.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Agent, Effect, Fact, Stage};
use crate::Time;
use crate::lifecycle::RunId;
use crate::protocol::WorkerId;

/// An attempt that was cut off, or ended while nobody could be told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Cut {
    /// The incarnation that had it.
    worker: WorkerId,
    /// From when on all its processes were dead, on the monotonic clock.
    dead: Option<Duration>,
}

/// What is measured, and the clock that it is measured by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Overlaps {
    cut: BTreeMap<RunId, Cut>,
    /// When this session's first registration was sent, and when it was known to be made.
    sent: Option<Duration>,
    heard: Option<Duration>,
}

impl Overlaps {
    pub(super) fn on_session_opened(&mut self) {
        (self.sent, self.heard) = (None, None);
    }

    pub(super) fn on_register_sent(&mut self, now: Time) {
        self.sent = self.sent.or(Some(now.mono));
    }

    pub(super) fn on_registered(&mut self, now: Time) {
        self.heard = self.heard.or(Some(now.mono));
    }

    /// All processes of an attempt are dead; of whichever incarnation it was.
    pub(super) fn on_dead(&mut self, id: &RunId, at: Duration) {
        if let Some(cut) = self.cut.get_mut(id) {
            cut.dead = cut.dead.or(Some(at));
        }
    }
}

impl Agent {
    /// What this incarnation runs, or could not report, may be given to others from now on.
    pub(super) fn cut_off(&mut self, worker: &WorkerId) {
        for (task, run) in &self.runs {
            let dead = match run.stage {
                Stage::Running(_) | Stage::Stopping => None,
                Stage::Over if run.dead.is_some() => run.dead,
                Stage::Asked | Stage::Unpacked(_) | Stage::Queued(_) | Stage::Over | Stage::Abandoned => continue,
            };
            let id = RunId { task: task.clone(), czxid: run.czxid };
            self.overlaps.cut.insert(id, Cut { worker: worker.clone(), dead });
        }
    }

    /// Asks who was given what we lost, for all of which we know when it was dead.
    pub(super) fn look_for_successors(&mut self) {
        if !self.is_registered() {
            return;
        }
        let dead = self.overlaps.cut.iter().filter(|(_, cut)| cut.dead.is_some());
        let asked: Vec<(RunId, WorkerId)> = dead.map(|(id, cut)| (id.clone(), cut.worker.clone())).collect();
        if !asked.is_empty() {
            self.effects.push(Effect::FindSuccessors(asked));
        }
    }

    /// `registered_ms`, and when each next attempt was assigned: by ZooKeeper's clock, in milliseconds.
    pub(super) fn on_successors_found(&mut self, registered_ms: i64, found: Vec<(RunId, Option<i64>)>) {
        let (Some(sent), Some(heard)) = (self.overlaps.sent, self.overlaps.heard) else { return };
        for (id, assigned_ms) in found {
            let Some(dead) = self.overlaps.cut.remove(&id).and_then(|cut| cut.dead) else { continue };
            let error = heard.saturating_sub(sent);
            let longest = assigned_ms.map_or(0, |assigned| registered_ms + millis(dead) - millis(sent) - assigned);
            let certain = longest > millis(error);
            let overlap = Duration::from_millis(if certain { longest.unsigned_abs() } else { 0 });
            self.tell(Fact::Overlapped { task: id.task, overlap, error });
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
