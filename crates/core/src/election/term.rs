//! The term of a master: how it begins, how it is proven, how it ends.

use std::time::Duration;

use super::{Effect, Election, End, Fact, MASTER_VERSION, Stage, Timer};
use crate::Time;
use crate::protocol::record::{Farewell, encode};
use crate::protocol::request::StepDownRequest;
use crate::protocol::{Multi, Outcome, Refusal, path};

impl Election {
    pub(super) fn enter_office(&mut self, epoch: i32, proven: Duration, effects: &mut Vec<Effect>) {
        self.highest_epoch = self.highest_epoch.max(epoch);
        self.stage = Stage::Ruling { epoch, proven, doubted: false };
        effects.push(Effect::Tell(Fact::Elected { epoch }));
        effects.push(Effect::Rule { epoch });
        effects.extend(self.queue_node.take().map(Effect::LeaveQueue));
        self.arm_proofs(proven, effects);
        if self.connected() {
            effects.push(Effect::WatchStepDown);
        } else {
            // The answer comes after the news of the lost connection: it proves nothing any more.
            self.doubt(effects);
        }
    }

    pub(super) fn arm_proofs(&self, proven: Duration, effects: &mut Vec<Effect>) {
        let Some(session) = &self.session else { return };
        effects.push(Effect::Arm(Timer::ProofDue, proven + session.timeout / 5));
        effects.push(Effect::Arm(Timer::ProofStale, proven + session.timeout / 2));
    }

    pub(super) fn prove(&mut self, epoch: i32, effects: &mut Vec<Effect>) {
        // A new nonce: an answer to a question that was asked before the doubt arose does not settle it.
        self.nonce += 1;
        if self.connected() {
            effects.push(Effect::Prove { epoch, nonce: self.nonce });
        }
    }

    pub(super) fn doubt(&mut self, effects: &mut Vec<Effect>) {
        let Stage::Ruling { epoch, doubted, .. } = &mut self.stage else { return };
        let epoch = *epoch;
        if !std::mem::replace(doubted, true) {
            effects.push(Effect::Pause);
        }
        self.prove(epoch, effects);
    }

    pub(super) fn on_proof_ended(&mut self, nonce: u64, outcome: &Outcome, sent: Duration, now: Time, effects: &mut Vec<Effect>) {
        if nonce != self.nonce {
            return;
        }
        match (outcome, &mut self.stage) {
            (Outcome::Applied(_), Stage::Claiming { epoch }) => {
                let epoch = *epoch;
                self.enter_office(epoch, sent, effects);
            }
            (Outcome::Applied(_), Stage::Ruling { proven, doubted, .. }) => {
                *proven = sent;
                if std::mem::replace(doubted, false) {
                    // What was watched on an earlier connection is watched no more.
                    effects.extend([Effect::Resume, Effect::WatchStepDown]);
                }
                self.arm_proofs(sent, effects);
            }
            (Outcome::Refused(Refusal::Fence(_) | Refusal::At { .. }), Stage::Claiming { .. } | Stage::Ruling { .. }) => {
                self.on_write_fenced(effects);
            }
            (Outcome::Unknown | Outcome::Refused(Refusal::Whole(_)), Stage::Ruling { doubted, .. }) => {
                // Whatever closed the question may have closed the pen.
                if !std::mem::replace(doubted, true) {
                    effects.push(Effect::Pause);
                }
                effects.push(Effect::Arm(Timer::Retry, now.mono + self.settings.retry_after));
            }
            (Outcome::Unknown | Outcome::Refused(Refusal::Whole(_)), Stage::Claiming { .. }) => {
                effects.push(Effect::Arm(Timer::Retry, now.mono + self.settings.retry_after));
            }
            (_, Stage::Outside | Stage::StandingBy { .. } | Stage::Standing { .. } | Stage::Resigning | Stage::Leaving) => {}
        }
    }

    /// The fence refused while the session lives: the office is in disorder, and a new session is the only clean start.
    pub(super) fn on_write_fenced(&mut self, effects: &mut Vec<Effect>) {
        match self.stage {
            Stage::Ruling { .. } | Stage::Claiming { .. } => {
                self.leave_stage(Stage::Outside, End::Fenced, effects);
                self.session = None;
                effects.push(Effect::ReopenSession);
            }
            Stage::Outside | Stage::StandingBy { .. } | Stage::Standing { .. } | Stage::Resigning | Stage::Leaving => {}
        }
    }

    pub(super) fn on_stop_requested(&mut self, why: String, effects: &mut Vec<Effect>) {
        let connected = self.connected();
        match std::mem::replace(&mut self.stage, Stage::Leaving) {
            Stage::Ruling { epoch, .. } => {
                effects.push(Effect::EndRule(End::SteppedDown));
                effects.push(if connected { farewell(epoch, why) } else { Effect::Leave });
            }
            Stage::Outside
            | Stage::StandingBy { .. }
            | Stage::Standing { .. }
            | Stage::Claiming { .. }
            | Stage::Resigning
            | Stage::Leaving => {
                effects.push(Effect::Leave);
            }
        }
    }

    /// Who doubts its office looks when that is proven.
    pub(super) fn look_for_wish(&self, effects: &mut Vec<Effect>) {
        effects.extend(self.confirmed_epoch().map(|_| Effect::WatchStepDown));
    }

    /// A wish names the term that is to end: read late, repeated or left over, it ends no other.
    pub(super) fn on_step_down_read(&mut self, wish: Option<(i32, Vec<u8>)>, effects: &mut Vec<Effect>) {
        let Some((epoch, (version, data))) = self.confirmed_epoch().zip(wish) else { return };
        match StepDownRequest::decode(&data).filter(|request| request.epoch == epoch) {
            Some(request) => {
                self.stage = Stage::Resigning;
                effects.extend([Effect::EndRule(End::SteppedDown), farewell(epoch, request.why())]);
            }
            None => effects.push(Effect::RemoveStepDown { epoch, multi: Multi::new().delete(path::STEP_DOWN, Some(version)) }),
        }
    }

    pub(super) fn on_farewell_ended(&mut self, effects: &mut Vec<Effect>) {
        match self.stage {
            Stage::Resigning => self.stand_behind(effects),
            Stage::Leaving => effects.push(Effect::Leave),
            Stage::Outside | Stage::StandingBy { .. } | Stage::Standing { .. } | Stage::Claiming { .. } | Stage::Ruling { .. } => {}
        }
    }

    /// In a new session, which is behind all others in the queue: whatever became of the farewell, and of our old place there, it goes with
    /// the old one.
    pub(super) fn stand_behind(&mut self, effects: &mut Vec<Effect>) {
        (self.stage, self.session) = (Stage::Outside, None);
        effects.push(Effect::ReopenSession);
    }
}

/// Leaves the office, and says why.
pub(super) fn farewell(epoch: i32, why: String) -> Effect {
    let said = encode(&Farewell { epoch, why });
    Effect::Farewell { epoch, multi: Multi::new().set(path::FAREWELL, said, None).delete(path::MASTER, Some(MASTER_VERSION)) }
}
