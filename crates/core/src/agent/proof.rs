//! How long the session is known to live, and what is killed when it is not.
//!
//! Answered pings prove only that some server lives. A `sync` is answered by ZooKeeper's leader: the proof of life is the moment at
//! which the last answered one was *sent*. Half a session timeout after it, ZooKeeper cannot have declared us dead yet.
//!
//! A process that is frozen cannot kill: so each proof is handed on, as the moment at which somebody else must do it.

use std::time::Duration;

use super::{Agent, Effect, Fact, KillReason, OnDoubt, Stage, Stop, Timer};
use crate::Time;
use crate::numbering::{Numbered, Rename};
use crate::protocol::TaskName;

/// What is known of the session's life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Proof {
    sent: Option<Duration>,
    nonce: u64,
    /// The question that is not answered yet.
    pending: Option<u64>,
    /// Whether the last one was not answered: the next waits for its timer.
    failed: bool,
    /// Whether something is being looked at that may have to be started.
    pub(super) wanted: bool,
}

impl Proof {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Proof, &mut self.nonce);
        self.pending.iter_mut().for_each(|nonce| rename(Numbered::Proof, nonce));
    }
}

impl Agent {
    fn timeout(&self) -> Option<Duration> {
        self.session.as_ref().map(|session| session.timeout)
    }

    /// Whether a command may be started now: there is time left to kill it.
    pub(super) fn is_proven(&self, now: Time) -> bool {
        match (self.proof.sent, self.timeout()) {
            (Some(sent), Some(timeout)) => now.since(sent) < timeout / 2,
            (Some(_) | None, _) => false,
        }
    }

    pub(super) fn prove(&mut self) {
        if !self.connected() {
            return;
        }
        self.proof.nonce += 1;
        self.proof.pending = Some(self.proof.nonce);
        self.proof.failed = false;
        self.effects.push(Effect::Prove(self.proof.nonce));
    }

    /// Asks for a proof if what is being looked at may have to be started on the strength of one, unless one is asked for, is young enough,
    /// or is regularly renewed because something runs.
    pub(super) fn prove_what_looks_want(&mut self, now: Time) {
        let wanted = std::mem::take(&mut self.proof.wanted);
        if wanted && self.slots_in_use() == 0 && !self.is_young(now) {
            self.prove_unless_asked();
        }
    }

    /// Whether the next proof would not be due yet, if anything ran.
    fn is_young(&self, now: Time) -> bool {
        let (Some(sent), Some(timeout)) = (self.proof.sent, self.timeout()) else { return false };
        now.since(sent) < timeout / 5
    }

    /// Asks for a proof unless one is asked for already, or failed just now.
    pub(super) fn prove_unless_asked(&mut self) {
        if self.proof.pending.is_none() && !self.proof.failed {
            self.prove();
        }
    }

    pub(super) fn on_proof_ended(&mut self, nonce: u64, answered: bool, sent: Duration, now: Time) {
        if self.proof.pending == Some(nonce) {
            self.proof.pending = None;
        }
        if answered && self.session.is_some() {
            self.proof.sent = self.proof.sent.max(Some(sent));
            self.guard();
            self.arm_proofs();
        } else if self.connected() && self.proof.pending.is_none() {
            self.proof.failed = true;
            self.effects.push(Effect::Arm(Timer::ProofDue, now.mono + self.settings.retry_after));
        }
    }

    /// Names the moment at which a worker that cannot kill by itself, because it is frozen, must have been helped. Before anything is
    /// started on the strength of this proof.
    fn guard(&mut self) {
        if let (OnDoubt::Kill, Some(sent), Some(timeout)) = (self.settings.on_doubt, self.proof.sent, self.timeout()) {
            self.effects.push(Effect::Guard(sent + timeout / 2));
        }
    }

    /// While anything runs: the next proof, and the moment from which its absence is a doubt.
    pub(super) fn arm_proofs(&mut self) {
        let (Some(sent), Some(timeout)) = (self.proof.sent, self.timeout()) else { return };
        if self.slots_in_use() > 0 {
            self.effects.push(Effect::Arm(Timer::ProofDue, sent + timeout / 5));
            self.effects.push(Effect::Arm(Timer::Doubt, sent + timeout / 2));
        }
    }

    pub(super) fn on_proof_due(&mut self) {
        self.proof.failed = false;
        let waiting = self.runs.values().any(|run| matches!(run.stage, Stage::Queued(_)));
        if self.slots_in_use() > 0 || waiting {
            self.prove();
        }
    }

    pub(super) fn on_doubt(&mut self, now: Time) {
        if self.is_proven(now) {
            return;
        }
        let living = self.runs.values().filter(|run| matches!(run.stage, Stage::Running(_) | Stage::Stopping)).count();
        if living == 0 || self.settings.on_doubt == OnDoubt::Keep {
            return;
        }
        let running: Vec<TaskName> =
            self.runs.iter().filter(|(_, run)| matches!(run.stage, Stage::Running(_))).map(|(t, _)| t.clone()).collect();
        // First the order, which must not wait for anything, nor for the grace of what is being terminated; then what follows from it
        // if the session turns out to live.
        self.effects.push(Effect::KillAll);
        self.tell(Fact::Killed { commands: living, reason: KillReason::Doubt });
        for task in running {
            self.stop_and_give_back(&task, Stop::Kill);
        }
    }
}
