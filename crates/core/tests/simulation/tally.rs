//! What happened at all: a history in which nothing goes wrong proves nothing.

use bellwether_core::agent::{self, KillReason};
use bellwether_core::master;
use bellwether_core::protocol::result::TaskOutcome;
use bellwether_core::protocol::{Multi, Op};

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
    pub(crate) tried_again: usize,
    pub(crate) recalled: usize,
    pub(crate) drained: usize,
    pub(crate) halted: usize,
    pub(crate) spent: usize,
    pub(crate) assigned_from_rest: usize,
    pub(crate) cancelled_at_rest: usize,
    pub(crate) swept: usize,
    pub(crate) doubts: usize,
    pub(crate) sessions_lost: usize,
    pub(crate) withdrawn: usize,
    pub(crate) unregistered: usize,
    pub(crate) surprised: usize,
    pub(crate) pieces: usize,
    pub(crate) elements: usize,
    pub(crate) convicted: usize,
    pub(crate) arrays: usize,
}

impl Tally {
    pub(crate) fn master(&mut self, fact: &master::Fact) {
        match fact {
            master::Fact::Assigned { .. } => self.assigned += 1,
            master::Fact::TakenBack { .. } => self.taken_back += 1,
            master::Fact::Ended { outcome: TaskOutcome::Cancelled, .. } => self.cancelled += 1,
            master::Fact::Ended { outcome: TaskOutcome::Rejected, .. } => self.rejected += 1,
            master::Fact::Ended { outcome: TaskOutcome::Dead, .. } => self.dead += 1,
            master::Fact::PieceGiven { .. } => self.pieces += 1,
            master::Fact::ElementsEnded(ended) => {
                self.elements += ended.ended() as usize;
                self.convicted += ended.dead as usize;
            }
            master::Fact::ArrayEnded { .. } => self.arrays += 1,
            master::Fact::Swept(results) => self.swept += *results as usize,
            master::Fact::Recalled { .. } => self.recalled += 1,
            master::Fact::Halted(true) => self.halted += 1,
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
            agent::Fact::DrainAsked { .. } => self.drained += 1,
            agent::Fact::TriedAgain { .. } => self.tried_again += 1,
            agent::Fact::Killed { reason: KillReason::Doubt, .. } => self.doubts += 1,
            agent::Fact::Killed { reason: KillReason::SessionLost, .. } => self.sessions_lost += 1,
            agent::Fact::Killed { reason: KillReason::Withdrawn | KillReason::Cancelled, .. } => self.withdrawn += 1,
            agent::Fact::Killed { reason: KillReason::Unregistered, .. } => self.unregistered += 1,
            agent::Fact::Surprised { .. } => self.surprised += 1,
            _ => {}
        }
    }

    /// What a transaction shows that nobody tells of.
    pub(crate) fn committed(&mut self, multi: &Multi) {
        let creates = |parent: &str| multi.ops.iter().any(|op| matches!(op, Op::Create { path, .. } if path.starts_with(parent)));
        let deletes = |parent: &str| multi.ops.iter().any(|op| matches!(op, Op::Delete { path, .. } if path.starts_with(parent)));
        let from_rest = deletes("/bellwether/held/");
        self.assigned_from_rest += usize::from(from_rest && creates("/assign/"));
        self.cancelled_at_rest += usize::from(from_rest && creates("/status/"));
        self.spent += usize::from(deletes("/assign/") && creates("/bellwether/dead/") && multi.ops.first().is_some_and(checks_worker));
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
        self.tried_again += other.tried_again;
        self.recalled += other.recalled;
        self.drained += other.drained;
        self.halted += other.halted;
        self.spent += other.spent;
        self.assigned_from_rest += other.assigned_from_rest;
        self.cancelled_at_rest += other.cancelled_at_rest;
        self.swept += other.swept;
        self.doubts += other.doubts;
        self.sessions_lost += other.sessions_lost;
        self.withdrawn += other.withdrawn;
        self.unregistered += other.unregistered;
        self.surprised += other.surprised;
        self.pieces += other.pieces;
        self.elements += other.elements;
        self.convicted += other.convicted;
        self.arrays += other.arrays;
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
            self.tried_again,
            self.recalled,
            self.drained,
            self.halted,
            self.spent,
            self.assigned_from_rest,
            self.cancelled_at_rest,
            self.swept,
            self.doubts,
            self.sessions_lost,
            self.withdrawn,
            self.unregistered,
            self.pieces,
            self.elements,
            self.convicted,
            self.arrays,
        ];
        counted.iter().all(|count| *count > 0)
    }
}

/// What a worker writes begins with this.
fn checks_worker(op: &Op) -> bool {
    matches!(op, Op::Check { path, .. } if path.starts_with("/workers/"))
}
