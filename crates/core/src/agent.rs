//! What a worker does: register once per session, run what is assigned, record each result in one transaction, and never run
//! what another worker may have been given.
//!
//! An incarnation lives as long as its session. While it runs anything, it keeps proving that the session lives; when it cannot, it
//! kills what it runs before ZooKeeper could have declared it dead.
//!
//! * `assignments`: what is assigned, and what became of it while nobody looked
//! * `company`: for how long a result waits for others, so that they are recorded together
//! * `overlap`: for how long two attempts of a task ran at the same time, when one was lost
//! * `pieces`: assignments that are pieces of arrays
//! * `proof`: how long the session is known to live, and what is killed when it is not
//! * `report`: results and what is given back, in one transaction at a time
//! * `requests`: what is asked of it: to drain, to give tasks back
//! * `settle`: whether a result whose answer was lost was recorded

mod assignments;
mod company;
mod numbers;
mod overlap;
mod pieces;
mod proof;
mod report;
mod requests;
mod settle;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Time;
use crate::lifecycle::RunId;
use crate::planner::Amount;
use crate::protocol::array::PieceOrder;
use crate::protocol::payload::Task;
use crate::protocol::record::{WorkerRecord, encode};
use crate::protocol::{Multi, Outcome, Refusal, TaskName, Why, WorkerId, path};
use crate::view::Question;
use report::Outbox;

pub use words::{Effect, Event, Fact, KillReason, OnDoubt, Order, PieceRan, Settings, Stop, Timer};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Session {
    timeout: Duration,
    connected: bool,
    me: WorkerId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Registration {
    Pending,
    Done,
}

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Run {
    czxid: i64,
    version: i32,
    payload: Vec<u8>,
    stage: Stage,
    /// If it is a piece of an array: which one.
    piece: Option<Box<PieceOrder>>,
    /// What it takes while it runs.
    amount: Amount,
    /// When it was first seen, on the monotonic clock.
    accepted: Duration,
    /// When it was assigned, in milliseconds by ZooKeeper's clock.
    assigned_ms: i64,
    /// From when on all its processes were dead, on the monotonic clock.
    dead: Option<Duration>,
    /// Set while it is asked whether the assignment is still the same.
    confirming: Option<Question>,
    /// The last question that found this very assignment.
    seen: Question,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    /// Its payload is asked for.
    Asked,
    /// It is a piece, and the node of its array is asked for.
    Unpacked(Question),
    /// It waits for a slot.
    Queued(Box<Task>),
    /// Its command runs.
    Running(Box<Task>),
    /// Its command was killed by us while the assignment is still ours: it is given back when the group is dead.
    Stopping,
    /// Its command is over; what is to be written lies in the outbox.
    Over,
    /// It is over, and what was to be written was refused for good: it stays where it is, and is not run a second time.
    Abandoned,
}

/// The state of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Agent {
    settings: Settings,
    session: Option<Session>,
    registration: Registration,
    asked: Question,
    box_question: Option<Question>,
    /// The question of the last resync: what was seen by none since is in doubt.
    resynced: Question,
    touched: BTreeSet<TaskName>,
    runs: BTreeMap<TaskName, Run>,
    /// Commands that were killed and whose groups are not yet known to be dead. They fill slots.
    dying: BTreeMap<RunId, Amount>,
    /// What the elements of arrays run, by the array and the transaction that created its node.
    arrays: BTreeMap<TaskName, (i64, Box<Task>)>,
    outbox: Outbox,
    requests: requests::Requests,
    /// Results whose answer was lost, and whose assignment is gone.
    unsettled: BTreeMap<TaskName, settle::Unsettled>,
    /// Tasks whose commands are being stopped because their assignments went, until it is known why.
    unexplained: BTreeMap<TaskName, settle::Unexplained>,
    proof: proof::Proof,
    overlaps: overlap::Overlaps,
    /// The last terms, oldest first, to tell under which one a task was assigned.
    terms: BTreeMap<i64, i32>,
    draining: bool,
    leaving: bool,
    /// The order to leave was given.
    left: bool,
    effects: Vec<Effect>,
}

impl Agent {
    /// A worker without a session.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            session: None,
            registration: Registration::Pending,
            asked: 0,
            box_question: None,
            resynced: 0,
            touched: BTreeSet::new(),
            runs: BTreeMap::new(),
            dying: BTreeMap::new(),
            arrays: BTreeMap::new(),
            outbox: Outbox::default(),
            requests: requests::Requests::default(),
            unsettled: BTreeMap::new(),
            unexplained: BTreeMap::new(),
            proof: proof::Proof::default(),
            overlaps: overlap::Overlaps::default(),
            terms: BTreeMap::new(),
            draining: false,
            leaving: false,
            left: false,
            effects: Vec::new(),
        }
    }

    /// This incarnation, while there is a session.
    #[must_use]
    pub fn me(&self) -> Option<&WorkerId> {
        self.session.as_ref().map(|session| &session.me)
    }

    /// Whether it may be given work.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registration == Registration::Done && self.session.as_ref().is_some_and(|session| session.connected)
    }

    /// Whether it takes nothing more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// How many slots are in use: by commands that run, and by groups that are not dead yet.
    #[must_use]
    pub fn slots_in_use(&self) -> usize {
        self.in_use().slots as usize
    }

    /// What is in use of what this worker has.
    #[must_use]
    pub fn in_use(&self) -> Amount {
        let running = self.runs.values().filter(|run| matches!(run.stage, Stage::Running(_) | Stage::Stopping));
        let mut in_use = Amount::default();
        running.map(|run| &run.amount).chain(self.dying.values()).for_each(|amount| in_use.add(amount));
        in_use
    }

    /// What this worker has.
    fn has(&self) -> Amount {
        let WorkerRecord { slots, resources, .. } = &self.settings.record;
        Amount { slots: *slots, resources: resources.clone() }
    }

    /// Takes one event in. Facts may come in any order and twice.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Effect> {
        self.on_all([event], now)
    }

    /// Takes several events in, in this order, and decides once: what arrives together is started and recorded together.
    pub fn on_all(&mut self, events: impl IntoIterator<Item = Event>, now: Time) -> Vec<Effect> {
        for event in events {
            self.take_in(event, now);
        }
        self.prove_what_looks_want(now);
        self.start_what_fits(now);
        self.watch_queued();
        self.report(now);
        self.leave_when_done();
        std::mem::take(&mut self.effects)
    }

    fn take_in(&mut self, event: Event, now: Time) {
        match event {
            Event::SessionOpened { session, timeout } => self.on_session_opened(session, timeout, now),
            Event::SessionSuspended => self.on_session_suspended(),
            Event::SessionResumed => self.on_session_resumed(),
            Event::SessionLost => self.on_session_lost(),
            Event::RegisterEnded(outcome) => self.on_register_ended(&outcome, now),
            Event::RegistrationRead(there) => self.on_registration_read(there, now),
            Event::BoxListed(question, tasks) => self.on_box_listed(question, tasks),
            Event::RequestsRead { question, drain, recall } => self.on_requests_read(question, drain, recall, now),
            Event::Changed(changes) => changes.into_iter().for_each(|change| self.on_change(change)),
            Event::AssignmentRead(question, task, reading) => self.on_assignment_read(question, &task, reading, now),
            Event::ArrayRead(question, task, reading) => self.on_array_read(question, &task, &reading),
            Event::PieceEnded(id, ran) => self.on_piece_ended(&id, *ran, now),
            Event::RecordRead(question, task, reading) => self.on_record_read(question, task, &reading),
            Event::EpochRead { epoch, mzxid } => self.on_epoch_read(epoch, mzxid),
            Event::RunEnded(id, ran) => self.on_run_ended(&id, &ran, now),
            Event::WriteEnded(id, outcome) => self.on_write_ended(id, &outcome, now),
            Event::ProofEnded { nonce, answered, sent } => self.on_proof_ended(nonce, answered, sent, now),
            Event::SuccessorsFound { registered_ms, found } => self.on_successors_found(registered_ms, found),
            Event::LayoutMended => self.outbox.unblock(),
            Event::Rang(timer) => self.on_rang(timer, now),
            Event::DrainRequested => self.on_drain_requested(now),
            Event::Configured { drain_timeout, kill_grace, start_timeout } => {
                let before = self.patience_ms();
                self.settings = Settings { drain_timeout, kill_grace, start_timeout, ..self.settings.clone() };
                if self.patience_ms() != before {
                    self.describe_anew(now);
                }
            }
        }
    }

    fn ask(&mut self) -> Question {
        self.asked += 1;
        self.asked
    }

    /// Whether what is believed is consistent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn sanity_check(&self) -> Result<(), String> {
        for (task, run) in &self.runs {
            match run.stage {
                Stage::Asked if run.confirming.is_none() => return Err(format!("{task} waits for an answer that nobody was asked for")),
                Stage::Over if !self.outbox.holds(task) => return Err(format!("{task} is over, but nothing is to be written about it")),
                Stage::Asked
                | Stage::Unpacked(_)
                | Stage::Queued(_)
                | Stage::Running(_)
                | Stage::Stopping
                | Stage::Over
                | Stage::Abandoned => {}
            }
        }
        if let Some(task) = self.outbox.tasks().find(|task| self.runs.get(*task).is_none_or(|run| run.stage != Stage::Over)) {
            return Err(format!("something is to be written about {task}, which is not over"));
        }
        match Amount::default().fits(&self.in_use(), &self.has()) {
            true => Ok(()),
            false => Err(format!("what runs takes {:?} of {:?}", self.in_use(), self.has())),
        }
    }

    fn tell(&mut self, fact: Fact) {
        self.effects.push(Effect::Tell(fact));
    }

    fn connected(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.connected)
    }

    fn on_session_opened(&mut self, session: i64, timeout: Duration, now: Time) {
        let me = WorkerId::incarnation(&self.settings.record.name, session);
        self.session = Some(Session { timeout, connected: true, me });
        self.registration = Registration::Pending;
        self.proof = proof::Proof::default();
        self.overlaps.on_session_opened();
        self.requests.on_session_opened();
        if self.draining {
            return;
        }
        self.register(now);
    }

    /// One transaction, the box first: whoever sees the registration finds the box.
    fn register(&mut self, now: Time) {
        let Some(me) = self.me().cloned() else { return };
        self.overlaps.on_register_sent(now);
        let record = encode(&self.described(now));
        let multi = Multi::new().create(path::assign_box(&me), Vec::new()).create_ephemeral(path::worker(&me), record);
        self.effects.push(Effect::Register(multi));
    }

    /// What it says of itself.
    fn described(&self, now: Time) -> WorkerRecord {
        WorkerRecord { since: Some(now.wall), patience_ms: self.patience_ms(), ..self.settings.record.clone() }
    }

    /// How long at most it has a task that does not run: until it gives it back, or has killed it.
    fn patience_ms(&self) -> Option<u64> {
        let Settings { start_timeout, kill_grace, .. } = &self.settings;
        let most = (!start_timeout.is_zero()).then(|| start_timeout.checked_add(*kill_grace))?;
        most.and_then(|most| u64::try_from(most.as_millis()).ok())
    }

    /// The master counts on what it said before.
    fn describe_anew(&mut self, now: Time) {
        if let (Some(me), Registration::Done, false) = (self.me().cloned(), self.registration, self.draining) {
            self.outbox.describe(path::worker(&me), encode(&self.described(now)));
        }
    }

    fn on_register_ended(&mut self, outcome: &Outcome, now: Time) {
        match outcome {
            Outcome::Applied(_) => self.registered(now),
            Outcome::Refused(Refusal::At { why: Why::NodeExists, .. }) | Outcome::Unknown if self.connected() => {
                self.effects.push(Effect::ReadRegistration);
            }
            Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => {
                self.effects.push(Effect::MendLayout);
                self.effects.push(Effect::Arm(Timer::Retry, now.mono + self.settings.retry_after));
            }
            Outcome::Refused(_) | Outcome::Unknown => self.effects.push(Effect::Arm(Timer::Retry, now.mono + self.settings.retry_after)),
        }
    }

    fn on_registration_read(&mut self, there: bool, now: Time) {
        match there {
            true if self.registration == Registration::Pending => self.registered(now),
            true => {}
            // The box without the registration cannot be ours: both are made by one transaction.
            false => self.register(now),
        }
    }

    fn registered(&mut self, now: Time) {
        let Some(me) = self.me().cloned() else { return };
        self.overlaps.on_registered(now);
        self.registration = Registration::Done;
        self.settings.record.replaces = Some(me.clone());
        self.tell(Fact::Registered(me));
        self.resync();
    }

    fn resync(&mut self) {
        let question = self.ask();
        self.box_question = Some(question);
        self.resynced = question;
        self.requests.ask(question);
        self.touched.clear();
        self.outbox.hold();
        self.effects.push(Effect::Resync(question));
        self.effects.push(Effect::ReadEpoch);
        self.look_for_successors();
    }

    fn on_session_suspended(&mut self) {
        if let Some(session) = &mut self.session {
            session.connected = false;
        }
        self.box_question = None;
        self.outbox.hold();
    }

    fn on_session_resumed(&mut self) {
        let Some(session) = &mut self.session else { return };
        session.connected = true;
        match self.registration {
            Registration::Done => self.resync(),
            Registration::Pending => self.effects.push(Effect::ReadRegistration),
        }
        self.prove();
    }

    fn on_session_lost(&mut self) {
        self.abandon(KillReason::SessionLost);
        if self.draining {
            self.leaving = true;
        }
    }

    /// This incarnation is over: everything is killed at once, and nothing of it is ever recorded.
    fn abandon(&mut self, reason: KillReason) {
        if let Some(session) = self.session.take() {
            self.cut_off(&session.me);
        }
        let killed = self.runs.iter().filter(|(_, run)| matches!(run.stage, Stage::Running(_) | Stage::Stopping));
        let killed: Vec<(RunId, Amount)> =
            killed.map(|(task, run)| (RunId { task: task.clone(), czxid: run.czxid }, run.amount.clone())).collect();
        self.runs.clear();
        let unreported: Vec<TaskName> = self.outbox.unwritten().cloned().collect();
        self.outbox = Outbox::default();
        self.unsettled.clear();
        self.leave_unexplained();
        self.box_question = None;
        self.registration = Registration::Pending;
        if !killed.is_empty() {
            self.effects.push(Effect::KillAll);
            self.tell(Fact::Killed { commands: killed.len(), reason });
        }
        self.dying.extend(killed);
        unreported.into_iter().for_each(|task| self.tell(Fact::Stale(task)));
    }

    /// Our registration or our box is gone while the session lives.
    fn on_unregistered(&mut self) {
        if self.registration != Registration::Done {
            return;
        }
        self.abandon(KillReason::Unregistered);
        match self.draining {
            true => self.leaving = true,
            false => self.effects.push(Effect::ReopenSession),
        }
    }

    fn on_epoch_read(&mut self, epoch: i32, mzxid: i64) {
        self.terms.insert(mzxid, epoch);
        while self.terms.len() > 64 {
            self.terms.pop_first();
        }
    }

    fn epoch_of(&self, czxid: i64) -> Option<i32> {
        self.terms.range(..=czxid).next_back().map(|(_, epoch)| *epoch)
    }

    fn on_rang(&mut self, timer: Timer, now: Time) {
        match timer {
            Timer::ProofDue => self.on_proof_due(),
            Timer::Doubt => self.on_doubt(now),
            Timer::Retry => self.on_retry(now),
            Timer::LookAgain => self.outbox.unblock(),
            Timer::ReportDue => self.outbox.on_company_due(),
            Timer::DrainDeadline => self.stop_for_drain(Stop::Terminate),
            Timer::DrainRequestDue => self.on_drain_request_due(now),
            Timer::StartDue => self.on_start_due(now),
            Timer::DrainOver => self.leaving = true,
        }
    }

    fn on_retry(&mut self, now: Time) {
        if !self.connected() {
            return;
        }
        match self.registration {
            Registration::Pending if !self.draining => self.register(now),
            Registration::Pending => {}
            Registration::Done => self.resync(),
        }
    }

    fn on_drain_requested(&mut self, now: Time) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        if let (Some(me), Registration::Done) = (self.me().cloned(), self.registration) {
            // No slots, at a new version: the master's next assignment is refused, and it reads why.
            let record = WorkerRecord { slots: 0, ..self.settings.record.clone() };
            self.outbox.describe(path::worker(&me), encode(&record));
        }
        self.give_back_queued();
        self.effects.push(Effect::Arm(Timer::DrainDeadline, now.mono + self.settings.drain_timeout));
        let over = self.settings.drain_timeout + self.settings.kill_grace + DRAIN_MARGIN;
        self.effects.push(Effect::Arm(Timer::DrainOver, now.mono + over));
    }

    /// Whether nothing waits or runs. What is over and could not be reported stays where it is.
    fn all_over(&self) -> bool {
        self.runs.values().all(|run| matches!(run.stage, Stage::Over | Stage::Abandoned) && run.confirming.is_none())
    }

    fn leave_when_done(&mut self) {
        let idle = self.all_over() && self.outbox.is_empty() && self.unsettled.is_empty() && self.dying.is_empty();
        // While registered: the master knows that we take nothing more, and what it gave us just before was seen.
        let parted = self.registration == Registration::Pending || (self.connected() && self.box_question.is_none());
        if (self.leaving || (self.draining && idle && parted)) && !std::mem::replace(&mut self.left, true) {
            self.effects.push(Effect::Leave);
        }
    }
}

/// How long after the last KILL of a drain results may still take to be recorded.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
