//! What happened at all: a history in which nothing goes wrong proves nothing.

use bellwether_core::agent::{self, KillReason};
use bellwether_core::master;
use bellwether_core::protocol::result::TaskOutcome;

/// How often each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) assigned: usize,
    pub(crate) taken_back: usize,
    pub(crate) cancelled: usize,
    pub(crate) rejected: usize,
    pub(crate) dead: usize,
    pub(crate) differences: usize,
    pub(crate) recorded: usize,
    pub(crate) stale: usize,
    pub(crate) given_back: usize,
    pub(crate) doubts: usize,
    pub(crate) sessions_lost: usize,
    pub(crate) withdrawn: usize,
    pub(crate) unregistered: usize,
    pub(crate) surprised: usize,
}

impl Tally {
    pub(crate) fn master(&mut self, fact: &master::Fact) {
        match fact {
            master::Fact::Assigned { .. } => self.assigned += 1,
            master::Fact::TakenBack { .. } => self.taken_back += 1,
            master::Fact::Ended { outcome: TaskOutcome::Cancelled, .. } => self.cancelled += 1,
            master::Fact::Ended { outcome: TaskOutcome::Rejected, .. } => self.rejected += 1,
            master::Fact::Ended { outcome: TaskOutcome::Dead, .. } => self.dead += 1,
            master::Fact::Differences(differences) => self.differences += *differences as usize,
            master::Fact::Surprised { .. } | master::Fact::Stuck { .. } => self.surprised += 1,
            _ => {}
        }
    }

    pub(crate) fn agent(&mut self, fact: &agent::Fact) {
        match fact {
            agent::Fact::Recorded(_) => self.recorded += 1,
            agent::Fact::Stale(_) => self.stale += 1,
            agent::Fact::GaveBack(_) => self.given_back += 1,
            agent::Fact::Killed { reason: KillReason::Doubt, .. } => self.doubts += 1,
            agent::Fact::Killed { reason: KillReason::SessionLost, .. } => self.sessions_lost += 1,
            agent::Fact::Killed { reason: KillReason::Withdrawn, .. } => self.withdrawn += 1,
            agent::Fact::Killed { reason: KillReason::Unregistered, .. } => self.unregistered += 1,
            agent::Fact::Surprised { .. } => self.surprised += 1,
            _ => {}
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.assigned += other.assigned;
        self.taken_back += other.taken_back;
        self.cancelled += other.cancelled;
        self.rejected += other.rejected;
        self.dead += other.dead;
        self.differences += other.differences;
        self.recorded += other.recorded;
        self.stale += other.stale;
        self.given_back += other.given_back;
        self.doubts += other.doubts;
        self.sessions_lost += other.sessions_lost;
        self.withdrawn += other.withdrawn;
        self.unregistered += other.unregistered;
        self.surprised += other.surprised;
    }

    /// Whether everything happened that is to be survived.
    pub(crate) fn is_eventful(&self) -> bool {
        let counted = [
            self.assigned,
            self.taken_back,
            self.cancelled,
            self.rejected,
            self.dead,
            self.recorded,
            self.stale,
            self.given_back,
            self.doubts,
            self.sessions_lost,
            self.withdrawn,
            self.unregistered,
        ];
        counted.iter().all(|count| *count > 0)
    }
}
