//! Who rules: a coordinator's path from the queue of standbys into the office and out of it.
//!
//! One vacancy wakes two standbys at most, and one of them stands. The office is won by one transaction and proven by the fence
//! alone: its two checks, `/master` at version 1 and `/bellwether/epoch` at the epoch, are ordered with all writes, so an applied
//! empty transaction behind them says that we rule, whatever was lost or delayed before.
//!
//! What a master does with the office is decided in [`crate::master`].

mod term;
mod words;

use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::Time;
use crate::protocol::record::{CoordinatorRecord, Farewell, History, Term, encode};
use crate::protocol::{Multi, Outcome, PROTOCOL_VERSION, Refusal, Why, path};

pub use words::{Effect, End, Event, Fact, Holder, Office, Settings, Timer};

/// The state of one coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    settings: Settings,
    session: Option<Session>,
    stage: Stage,
    office: Option<Office>,
    nonce: u64,
    highest_epoch: i32,
    /// The name of our node in the queue, as last read.
    queue_node: Option<String>,
    /// Since when nobody rules, if we saw that begin: for the history alone, so that it is no part of what we may do next.
    vacant_since: Option<Duration>,
    /// Whether the office was ever read: only the first look may refuse to start.
    looked: bool,
}

/// What an election may do next; the settings never change and need not be hashed.
impl Hash for Election {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { settings: _, session, stage, office, nonce, highest_epoch, queue_node, looked, vacant_since: _ } = self;
        (session, stage, office, nonce, highest_epoch, queue_node, looked).hash(hasher);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Session {
    id: i64,
    timeout: Duration,
    chance: u64,
    connected: bool,
}

/// Where a coordinator stands; what belongs to a stage lives in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stage {
    /// No session, or its first answers are awaited.
    Outside,
    /// In the queue of standbys, with this many others in front.
    StandingBy {
        /// 0: stands at once. 1: stands after a delay. More: waits for its turn.
        position: usize,
        /// Whether the second's delay runs, or is over.
        patience: Patience,
    },
    /// Its ballot is in flight, or its outcome is unknown.
    Standing {
        /// When the ballot was sent.
        sent: Duration,
        /// Whether it ended without an office: what it came to is then read. Until then no read tells anything, because it may be
        /// older than the ballot.
        ended: bool,
    },
    /// `/master` is owned by this session, and the fence is asked whether that is an office.
    Claiming {
        /// The epoch that `/master` says.
        epoch: i32,
    },
    /// In office.
    Ruling {
        /// The term.
        epoch: i32,
        /// When the last answered proof was sent.
        proven: Duration,
        /// Whether writes are stopped until another proof.
        doubted: bool,
    },
    /// Saying farewell, to stand by behind all others.
    Resigning,
    /// Saying farewell.
    Leaving,
}

/// The second in line's waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Patience {
    /// There is no vacancy to wait out.
    Idle,
    /// A vacancy was seen; the delay runs.
    Waiting,
    /// The delay is over; the office is looked at once more.
    Over,
}

/// What names of our nodes in the queue start with: found again after a lost answer.
#[must_use]
pub fn queue_prefix(session: i64) -> String {
    format!("standby-{session:016x}-")
}

/// The ballot: one transaction that takes the office and opens a term.
#[must_use]
pub fn ballot(record: &CoordinatorRecord, history: &History, epoch_version: i32) -> Multi {
    let data = encode(record);
    Multi::new()
        .create_ephemeral(path::MASTER, data.clone())
        // The first set of a new `/master` makes its version 1, which no other way of taking the office does.
        .set(path::MASTER, data, Some(0))
        .set(path::EPOCH, history.encode(), Some(epoch_version))
}

/// The fence: in front of every write of a master of this epoch.
#[must_use]
pub fn fence(epoch: i32) -> Multi {
    Multi::new().check(path::EPOCH, epoch).check(path::MASTER, MASTER_VERSION)
}

/// The version that `/master` has while one of us rules.
pub const MASTER_VERSION: i32 = 1;

impl Election {
    /// A coordinator without a session.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let (stage, highest_epoch, looked) = (Stage::Outside, 0, false);
        Self { settings, session: None, stage, office: None, nonce: 0, highest_epoch, queue_node: None, vacant_since: None, looked }
    }

    /// Who stands.
    #[must_use]
    pub fn candidate(&self) -> &CoordinatorRecord {
        &self.settings.candidate
    }

    /// Where it stands.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The epoch, if this coordinator rules and its last proof is fresh enough to write.
    #[must_use]
    pub fn confirmed_epoch(&self) -> Option<i32> {
        match self.stage {
            Stage::Ruling { epoch, doubted, .. } => (!doubted).then_some(epoch),
            Stage::Outside
            | Stage::StandingBy { .. }
            | Stage::Standing { .. }
            | Stage::Claiming { .. }
            | Stage::Resigning
            | Stage::Leaving => None,
        }
    }

    /// Until when, on the monotonic clock, the last proof of office vouches for [`confirmed_epoch`](Self::confirmed_epoch): what is
    /// shown to others must not outlive it, even if this process is frozen before it can doubt.
    #[must_use]
    pub fn confirmed_until(&self) -> Option<Duration> {
        let timeout = self.session.as_ref()?.timeout;
        match self.stage {
            Stage::Ruling { proven, doubted: false, .. } => Some(proven + timeout / 2),
            Stage::Ruling { doubted: true, .. }
            | Stage::Outside
            | Stage::StandingBy { .. }
            | Stage::Standing { .. }
            | Stage::Claiming { .. }
            | Stage::Resigning
            | Stage::Leaving => None,
        }
    }

    /// Who holds the office and which epoch it is, as last read: for metrics.
    #[must_use]
    pub fn office(&self) -> Option<&Office> {
        self.office.as_ref()
    }

    /// Takes one event in. Facts may come in any order and twice.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::SessionOpened { session, timeout, chance } => self.on_session_opened(session, timeout, chance, &mut effects),
            Event::SessionSuspended => self.on_session_suspended(&mut effects),
            Event::SessionResumed => self.on_session_resumed(&mut effects),
            Event::SessionLost => self.on_session_lost(&mut effects),
            Event::QueueRead(names) => self.on_queue_read(names, &mut effects),
            Event::QueueEntered | Event::PredecessorGone => self.ask_again(Effect::ReadQueue, &mut effects),
            Event::OfficeVacant => self.on_office_vacant(now, &mut effects),
            Event::OfficeTaken | Event::EpochCreated => self.ask_again(Effect::ReadOffice, &mut effects),
            Event::OfficeRead(office) => self.on_office_read(office, now, &mut effects),
            Event::ReadFailed => effects.push(Effect::Arm(Timer::Retry, now.mono + self.settings.retry_after)),
            Event::BallotEnded(outcome) => self.on_ballot_ended(&outcome, now, &mut effects),
            Event::ProofEnded { nonce, outcome, sent } => self.on_proof_ended(nonce, &outcome, sent, now, &mut effects),
            Event::WriteUnknown => self.doubt(&mut effects),
            Event::WriteFenced => self.on_write_fenced(&mut effects),
            Event::Rang(timer) => self.on_rang(timer, now, &mut effects),
            Event::StopRequested { why } => self.on_stop_requested(why, &mut effects),
            Event::StepDownAsked => self.look_for_wish(&mut effects),
            Event::StepDownRead(wish) => self.on_step_down_read(wish, &mut effects),
            Event::FarewellEnded => self.on_farewell_ended(&mut effects),
        }
        effects
    }

    fn connected(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.connected)
    }

    fn on_session_opened(&mut self, id: i64, timeout: Duration, chance: u64, effects: &mut Vec<Effect>) {
        // Nothing of an earlier session may outlive it, whether its loss was told or not.
        self.on_session_lost(effects);
        if self.stage == Stage::Leaving {
            return;
        }
        self.session = Some(Session { id, timeout, chance, connected: true });
        self.office = None;
        effects.push(Effect::ReadQueue);
    }

    fn on_session_suspended(&mut self, effects: &mut Vec<Effect>) {
        if let Some(session) = &mut self.session {
            session.connected = false;
        }
        self.doubt(effects);
    }

    fn on_session_resumed(&mut self, effects: &mut Vec<Effect>) {
        let Some(session) = &mut self.session else { return };
        session.connected = true;
        match &self.stage {
            Stage::Outside | Stage::StandingBy { .. } => effects.push(Effect::ReadQueue),
            Stage::Standing { .. } => effects.push(Effect::WatchOffice),
            Stage::Claiming { epoch } | Stage::Ruling { epoch, .. } => {
                let epoch = *epoch;
                self.prove(epoch, effects);
            }
            Stage::Resigning => self.stand_behind(effects),
            Stage::Leaving => effects.push(Effect::Leave),
        }
    }

    fn on_session_lost(&mut self, effects: &mut Vec<Effect>) {
        self.session = None;
        self.leave_stage(Stage::Outside, End::SessionLost, effects);
    }

    /// Moves to another stage; a term that was running ends.
    fn leave_stage(&mut self, next: Stage, why: End, effects: &mut Vec<Effect>) {
        let previous = std::mem::replace(&mut self.stage, next);
        match previous {
            Stage::Ruling { .. } => effects.push(Effect::EndRule(why)),
            Stage::Leaving => {
                self.stage = Stage::Leaving;
                effects.push(Effect::Leave);
            }
            Stage::Outside | Stage::StandingBy { .. } | Stage::Standing { .. } | Stage::Claiming { .. } | Stage::Resigning => {}
        }
    }

    fn on_queue_read(&mut self, mut names: Vec<String>, effects: &mut Vec<Effect>) {
        let Some(session) = &self.session else { return };
        match self.stage {
            Stage::Outside | Stage::StandingBy { .. } => {}
            Stage::Standing { .. } | Stage::Claiming { .. } | Stage::Ruling { .. } | Stage::Resigning | Stage::Leaving => return,
        }
        let prefix = queue_prefix(session.id);
        names.sort_by(|a, b| sequence(a).cmp(sequence(b)).then_with(|| a.cmp(b)));
        let Some(position) = names.iter().position(|name| name.starts_with(&prefix)) else {
            self.stage = Stage::Outside;
            effects.push(Effect::EnterQueue);
            return;
        };
        self.queue_node = Some(names[position].clone());
        self.stage = Stage::StandingBy { position, patience: Patience::Idle };
        if let Some(before) = position.checked_sub(1) {
            effects.push(Effect::WatchPredecessor(names[before].clone()));
        }
        // The third and later would only be woken in vain: the two in front of them see every vacancy.
        effects.push(if position <= 1 { Effect::WatchOffice } else { Effect::ReadOffice });
    }

    fn ask_again(&mut self, question: Effect, effects: &mut Vec<Effect>) {
        match self.stage {
            Stage::Outside | Stage::StandingBy { .. } | Stage::Standing { .. } if self.connected() => effects.push(question),
            Stage::Outside
            | Stage::StandingBy { .. }
            | Stage::Standing { .. }
            | Stage::Claiming { .. }
            | Stage::Ruling { .. }
            | Stage::Resigning
            | Stage::Leaving => {}
        }
    }

    fn on_office_vacant(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.vacant_since.get_or_insert(now.mono);
        match &mut self.stage {
            Stage::StandingBy { position: 1, patience, .. } if *patience == Patience::Idle => {
                *patience = Patience::Waiting;
                effects.push(Effect::Arm(Timer::SecondInLine, now.mono + self.settings.standby_delay));
            }
            Stage::StandingBy { position: 0, .. } | Stage::Standing { .. } => effects.push(Effect::ReadOffice),
            // Deleted under us, by hand or by our session's end: the fence knows.
            Stage::Ruling { epoch, .. } | Stage::Claiming { epoch } => {
                let epoch = *epoch;
                self.prove(epoch, effects);
            }
            Stage::Outside | Stage::StandingBy { .. } | Stage::Resigning | Stage::Leaving => {}
        }
    }

    fn on_office_read(&mut self, office: Office, now: Time, effects: &mut Vec<Effect>) {
        self.notice_reset(&office, effects);
        let holder = office.holder.clone();
        if holder.is_some() {
            self.vacant_since = None;
        }
        let epoch = office.epoch.clone();
        self.office = Some(office);
        let first_look = !std::mem::replace(&mut self.looked, true);
        let Some(session) = self.session.clone() else { return };
        match (&self.stage, holder) {
            (Stage::Claiming { .. } | Stage::Ruling { .. } | Stage::Resigning | Stage::Leaving | Stage::Outside, _) => {}
            (Stage::Standing { ended: false, .. }, _) => {}
            (Stage::StandingBy { .. } | Stage::Standing { .. }, Some(holder)) => {
                self.on_office_held(&holder, &session, first_look, effects)
            }
            (Stage::Standing { .. }, None) => {
                // The ballot's outcome was unknown and it is not there, at least not yet: back to the queue, which orders the rest.
                self.stage = Stage::Outside;
                effects.push(Effect::ReadQueue);
            }
            (Stage::StandingBy { position, patience }, None) => match (position, patience) {
                (0, _) | (1, Patience::Over) => self.stand(epoch, &session, now, effects),
                (1, Patience::Idle) => self.on_office_vacant(now, effects),
                (1, Patience::Waiting) | (2.., _) => {}
            },
        }
    }

    fn notice_reset(&mut self, office: &Office, effects: &mut Vec<Effect>) {
        let found = office.epoch.as_ref().map(|(version, _)| *version);
        if found.unwrap_or(0) < self.highest_epoch {
            effects.push(Effect::Tell(Fact::WentBackwards { seen: self.highest_epoch, found }));
        }
        self.highest_epoch = found.unwrap_or(0);
    }

    fn on_office_held(&mut self, holder: &Holder, session: &Session, first_look: bool, effects: &mut Vec<Effect>) {
        if holder.owner == session.id {
            // Only an answer was lost. The epoch that `/master` names is ours if the fence says so.
            let epoch = serde_json::from_slice::<CoordinatorRecord>(&holder.data).ok().and_then(|record| record.epoch);
            effects.push(Effect::Tell(Fact::FoundInOffice));
            self.stage = Stage::Claiming { epoch: epoch.unwrap_or_default() };
            self.prove(epoch.unwrap_or_default(), effects);
            return;
        }
        if holder.owner == 0 {
            effects.push(if first_look { Effect::RefuseToStart } else { Effect::Tell(Fact::OfficeObstructed) });
        }
        match &mut self.stage {
            Stage::Standing { .. } => {
                self.stage = Stage::Outside;
                effects.push(Effect::ReadQueue);
            }
            Stage::StandingBy { patience, .. } => *patience = Patience::Idle,
            Stage::Outside | Stage::Claiming { .. } | Stage::Ruling { .. } | Stage::Resigning | Stage::Leaving => {}
        }
    }

    fn stand(&mut self, epoch: Option<(i32, Vec<u8>)>, session: &Session, now: Time, effects: &mut Vec<Effect>) {
        let Some((version, data)) = epoch else {
            effects.push(Effect::CreateEpoch(first_epoch(session.chance)));
            return;
        };
        let history = History::decode(&data);
        let term = Term {
            epoch: version + 1,
            name: self.settings.candidate.name.clone(),
            host: self.settings.candidate.host.clone(),
            session: format!("{:#x}", session.id),
            since: now.wall,
            previous_ended: self.why_previous_ended(version, &history),
            vacant_ms: self.vacant_since.and_then(|since| u64::try_from(now.since(since).as_millis()).ok()),
        };
        let record = CoordinatorRecord { epoch: Some(version + 1), since: Some(now.wall), ..self.settings.candidate.clone() };
        self.stage = Stage::Standing { sent: now.mono, ended: false };
        effects.push(Effect::Stand(ballot(&record, &history.with(term), version)));
    }

    fn why_previous_ended(&self, epoch: i32, history: &History) -> String {
        let said = self.office.as_ref().and_then(|office| serde_json::from_slice::<Farewell>(&office.farewell).ok());
        match said {
            Some(farewell) if farewell.epoch == epoch => farewell.why,
            _ if history.terms.is_empty() => "there was none".to_owned(),
            _ => "its session ended".to_owned(),
        }
    }

    fn on_ballot_ended(&mut self, outcome: &Outcome, now: Time, effects: &mut Vec<Effect>) {
        let Stage::Standing { sent, ended } = &mut self.stage else { return };
        let sent = *sent;
        *ended = true;
        match outcome {
            Outcome::Applied(applied) => {
                let epoch = applied.sets.iter().find(|(index, ..)| *index == 2).map_or(0, |(_, version, _)| *version);
                self.enter_office(epoch, sent, effects);
            }
            Outcome::Refused(Refusal::At { index: 0, why: Why::NodeExists }) => {
                effects.push(Effect::Tell(Fact::NotElected));
                self.ask_again(Effect::ReadOffice, effects);
            }
            Outcome::Refused(_) => {
                // Not sent, the epoch moved, or the layout is damaged: what is there now decides.
                self.stage = Stage::Outside;
                effects.push(Effect::Arm(Timer::Retry, now.mono + self.settings.retry_after));
            }
            Outcome::Unknown => self.ask_again(Effect::ReadOffice, effects),
        }
    }

    fn on_rang(&mut self, timer: Timer, now: Time, effects: &mut Vec<Effect>) {
        match (timer, &mut self.stage) {
            // Even if somebody was seen in office meanwhile: that may have been read before the vacancy.
            (Timer::SecondInLine, Stage::StandingBy { position: 1, patience }) => {
                *patience = Patience::Over;
                self.ask_again(Effect::ReadOffice, effects);
            }
            (Timer::ProofDue, Stage::Ruling { epoch, doubted: false, .. }) => {
                let epoch = *epoch;
                self.prove(epoch, effects);
            }
            (Timer::ProofStale, Stage::Ruling { proven, .. }) => {
                let proven = *proven;
                if self.session.as_ref().is_some_and(|session| now.since(proven) >= session.timeout / 2) {
                    self.doubt(effects);
                }
            }
            (Timer::Retry, Stage::Outside | Stage::StandingBy { .. }) => self.ask_again(Effect::ReadQueue, effects),
            (Timer::Retry, Stage::Standing { .. }) => self.ask_again(Effect::ReadOffice, effects),
            (Timer::Retry, Stage::Claiming { epoch } | Stage::Ruling { epoch, .. }) => {
                let epoch = *epoch;
                self.prove(epoch, effects);
            }
            (Timer::SecondInLine | Timer::ProofDue | Timer::ProofStale | Timer::Retry, _) => {}
        }
    }
}

/// The ten digits that ZooKeeper put at the end of a sequential node's name.
fn sequence(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or(name)
}

/// Creates the epoch with a number of sets that nobody can guess, so that a re-created one repeats no epoch.
fn first_epoch(chance: u64) -> Multi {
    let sets = 1 + chance % 1000;
    let empty = History { bellwether: PROTOCOL_VERSION, terms: Vec::new() }.encode();
    let create = Multi::new().create(path::EPOCH, empty.clone());
    (0..sets).fold(create, |multi, _| multi.set(path::EPOCH, empty.clone(), None))
}

#[cfg(test)]
mod tests;
