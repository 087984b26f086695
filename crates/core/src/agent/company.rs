//! How results come to be recorded together: a transaction costs ZooKeeper, the master and the worker as much for one result as for
//! several, so that a worker whose tasks end one shortly after the other does not send one for each.
//!
//! Whoever has nothing else to do never waits: what ends first is sent at once, and so is what ends when nothing is left that waits for
//! its slot. Only as long as more is queued, what ends within a hundredth of a second after a transaction goes with the next one, and
//! that one is sent as soon as there is enough for it.
//! A worker that dies in that time has its last results to make once more, as ever when it dies before they are recorded.

use std::time::Duration;

use super::report::Outbox;
use super::{Agent, Effect, Stage, Timer};
use crate::Time;

/// How far apart transactions are while more is to come.
const APART: Duration = Duration::from_millis(10);

/// So many results are enough for one: more share it, and cost hardly less.
const ENOUGH: usize = 16;

/// Until when what is ready waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Company {
    /// `None`: not at all.
    until: Option<Duration>,
    /// Whether the timer is armed for that.
    armed: bool,
}

impl Outbox {
    /// Whoever has not come by now comes too late.
    pub(super) fn on_company_due(&mut self) {
        self.company = Company::default();
    }
}

impl Agent {
    /// Whether what is ready is better sent a little later.
    pub(super) fn waits_for_company(&mut self, now: Time) -> bool {
        let Some(until) = self.outbox.company.until.filter(|until| now.mono < *until) else { return false };
        if !self.expects_company() || !self.outbox.has_few_results_alone(ENOUGH) {
            return false;
        }
        if !std::mem::replace(&mut self.outbox.company.armed, true) {
            self.effects.push(Effect::Arm(Timer::ReportDue, until));
        }
        true
    }

    /// A transaction was sent.
    pub(super) fn expect_company(&mut self, now: Time) {
        // What is armed rings for nothing.
        self.outbox.company = Company { until: self.expects_company().then(|| now.mono + APART), armed: false };
    }

    /// Whether slots are taken, and will be again. Whoever stops has given back what was queued.
    fn expects_company(&self) -> bool {
        self.runs.values().any(|run| matches!(run.stage, Stage::Queued(_)))
    }
}
