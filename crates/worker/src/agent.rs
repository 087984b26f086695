//! The agent's shell: feeds [`Agent`] with what ZooKeeper and the executor say, and carries out what it orders.
//!
//! Decisions are core's. What comes from ZooKeeper carries the serial of its session; what belongs to an earlier one is dropped at the
//! door. What comes from the executor names the assignment, and is always welcome: a group that is dead frees its slot. Timers are
//! the arbiter's own, so that doubt strikes even while ZooKeeper's runtime is stuck.

mod asking;
mod succession;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle};
use bellwether_common::config::{self, OnDoubt};
use bellwether_common::pen::Pen;
use bellwether_common::session::SessionEvent;
use bellwether_common::store::{ReadError, Store};
use bellwether_common::watch::{ChangesSeen, Watch};
use bellwether_common::{boot, clock};
use bellwether_core::agent::{self as core, Agent, Effect, Event, Order, Timer};
use bellwether_core::lifecycle::{Ending, RetryDefaults, RunId};
use bellwether_core::planner::Skills;
use bellwether_core::protocol::PROTOCOL_VERSION;
use bellwether_core::protocol::array::PieceOrder;
use bellwether_core::protocol::record::WorkerRecord;
use tracing::{debug, warn};

use crate::executor::{Configure, Executor, KillAll, Killer, Report, Signalling, Start, StartPiece, Stop};
use crate::guardian::GuardianMode;
use crate::observe::Observer;
use crate::order;
use crate::supervisor::{Request, executor_settings};
use crate::trust::Trust;
use asking::{Answer, Posted, read_lines};

/// How long to wait before what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The operator wants this process to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StopRequested;

impl Message for StopRequested {
    type Result = ();
}

/// The configuration was read again.
#[derive(Debug, Clone)]
pub(crate) struct Configured(pub(crate) Arc<config::Settings>);

impl Message for Configured {
    type Result = ();
}

/// The actor around an agent.
pub(crate) struct AgentActor {
    agent: Agent,
    settings: core::Settings,
    /// For tasks that name none; zero for none.
    task_timeout: Duration,
    live: Option<Live>,
    executor: Addr<Executor>,
    killer: Killer,
    guardian: GuardianMode,
    supervisor: Recipient<Request>,
    /// If signatures are asked for.
    trust: Option<Trust>,
    observer: Observer,
    timers: HashMap<Timer, SpawnHandle>,
    /// Runs that ended since core was told last: those that end at the same time are recorded together.
    ended: Vec<Event>,
}

/// All that lay in the mailbox was taken in.
struct TakenIn;

impl Message for TakenIn {
    type Result = ();
}

/// What belongs to one session.
struct Live {
    store: Store,
    pen: Pen,
    connected: bool,
    /// Counts its connections: what was armed on an earlier one is dead.
    connection: u64,
    /// Dead after each suspension: then empty.
    watches: Vec<Watch>,
    /// Whether the layout is being mended.
    mending: bool,
}

/// What an agent works with.
pub(crate) struct Hands {
    pub(crate) executor: Addr<Executor>,
    pub(crate) killer: Killer,
    pub(crate) guardian: GuardianMode,
    pub(crate) skills: Skills,
}

impl AgentActor {
    pub(crate) fn new(context: &boot::Context, hands: Hands, supervisor: Recipient<Request>, trust: Option<Trust>) -> Self {
        let Hands { executor, killer, guardian, skills } = hands;
        let settings = settings(context, skills);
        Self {
            agent: Agent::new(settings.clone()),
            task_timeout: context.settings.task.timeout,
            live: None,
            executor,
            killer,
            guardian,
            supervisor,
            trust,
            observer: Observer::new(settings.record.slots),
            timers: HashMap::new(),
            ended: Vec::new(),
            settings,
        }
    }

    fn feed(&mut self, event: Event, context: &mut Context<Self>) {
        self.feed_all(vec![event], context);
    }

    /// What ended before goes before.
    fn feed_all(&mut self, mut events: Vec<Event>, context: &mut Context<Self>) {
        if !self.ended.is_empty() {
            events.splice(..0, self.ended.drain(..));
        }
        events.iter().for_each(|event| self.observer.hear(event));
        let effects = self.agent.on_all(events, clock::now());
        debug_assert_eq!(self.agent.sanity_check(), Ok(()));
        self.run(effects, context);
        debug_assert!(self.agent.slots_in_use() <= self.settings.record.slots as usize, "more runs than there are slots");
        let connected = self.live.as_ref().is_some_and(|live| live.connected);
        if let Some((ready, text)) = self.observer.look_at(&self.agent, connected) {
            // One per change of what it says.
            self.supervisor.do_send(Request::Ready(ready, text));
        }
    }

    fn run(&mut self, effects: Vec<Effect>, context: &mut Context<Self>) {
        let mut reads = Vec::new();
        for effect in effects {
            match effect {
                Effect::KillAll => self.kill_all(),
                Effect::Start(order) => self.start(&order, context),
                Effect::Stop(id, how) => self.stop(id, how),
                Effect::Arm(timer, at) => self.arm(timer, at, context),
                Effect::Register(multi) => self.register(multi, context),
                Effect::ReadRegistration => self.read_registration(context),
                Effect::Resync(question) => self.resync(question, context),
                Effect::ReadAssignment(question, task) => reads.push((question, task)),
                Effect::ReadArray(question, task, array) => self.read_array(question, task, &array, context),
                Effect::ReadRecord(question, task, path) => self.read_record(question, task, &path, context),
                Effect::ReadRequests(question) => self.read_requests(question, context),
                Effect::ReadEpoch => self.read_epoch(context),
                Effect::Write(id, multi) => self.write(id, multi, context),
                Effect::Prove(nonce) => self.prove(nonce, context),
                Effect::FindSuccessors(lost) => self.find_successors(lost, context),
                Effect::Guard(until) => self.guardian.set_deadline(clock::to_kernel(until)),
                Effect::MendLayout => self.mend_layout(context),
                Effect::ReopenSession => self.reopen_session(),
                Effect::Leave => self.supervisor.do_send(Request::Leave),
                Effect::Tell(fact) => self.observer.tell(&fact),
            }
        }
        self.read_assignments(reads, context);
    }

    /// At once, and once more behind the starts that the executor has not taken in yet.
    fn kill_all(&self) {
        self.killer.kill_all();
        self.executor.do_send(KillAll);
    }

    fn start(&mut self, order: &Order, context: &mut Context<Self>) {
        self.observer.starting(order);
        if let Some(piece) = &order.piece {
            return self.start_piece(order, piece);
        }
        let now = seconds();
        if let Some(Err(why)) = self.trust.as_mut().map(|trust| trust.admit(order, now)) {
            // Behind the effects that are being run. Bounded by the slots.
            return context.notify(order::refused(order, why));
        }
        // Bounded by the slots.
        self.executor.do_send(Start(order::run_of(order, self.task_timeout)));
    }

    fn start_piece(&mut self, order: &Order, piece: &PieceOrder) {
        let mut start = StartPiece {
            id: order.id.clone(),
            piece: piece.clone(),
            task: order.task.clone(),
            run: order::runs_of_elements(order.clone(), piece.clone(), self.task_timeout),
            lines: None,
            retry: self.settings.retry.clone(),
            http: self.settings.record.http.clone(),
            refused: None,
        };
        if let Some(lines) = order.task.envelope.array.as_ref().and_then(|array| array.lines.as_ref()) {
            let read = self.live.as_ref().map(|live| read_lines(live.store.clone(), piece.clone(), lines.clone()));
            start.lines = Some(read.unwrap_or_else(|| Box::pin(async { None })));
        }
        start.refused = self.trust.as_mut().and_then(|trust| trust.admit_piece(order, piece, seconds()).err());
        // Bounded by the slots.
        self.executor.do_send(start);
    }

    fn stop(&self, id: RunId, how: core::Stop) {
        let signal = match how {
            core::Stop::Terminate => Signalling::Terminate { grace: self.settings.kill_grace },
            core::Stop::Within(grace) => Signalling::Terminate { grace },
            core::Stop::Kill => Signalling::Kill,
        };
        // Bounded by the slots.
        self.executor.do_send(Stop { id, signal });
    }

    fn arm(&mut self, timer: Timer, at: Duration, context: &mut Context<Self>) {
        self.disarm(timer, context);
        let ring = move |actor: &mut Self, context: &mut Context<Self>| {
            actor.timers.remove(&timer);
            actor.feed(Event::Rang(timer), context);
        };
        self.timers.insert(timer, context.run_later(clock::until(at), ring));
    }

    fn disarm(&mut self, timer: Timer, context: &mut Context<Self>) {
        if let Some(earlier) = self.timers.remove(&timer) {
            context.cancel_future(earlier);
        }
    }

    /// A read without an answer. After a suspension or a loss everything is read again anyway; otherwise somebody has to ask.
    fn cut_off(&mut self, error: &ReadError, context: &mut Context<Self>) {
        match error {
            ReadError::Interrupted => debug!(%error, "a read was cut off"),
            ReadError::NoAuth { .. } | ReadError::BadPath { .. } => warn!(%error, "a read was refused, trying again"),
        }
        let connected = self.live.as_ref().is_some_and(|live| live.connected);
        if connected && !self.timers.contains_key(&Timer::Retry) {
            self.arm(Timer::Retry, clock::now().mono + RETRY_AFTER, context);
        }
    }

    fn reopen_session(&mut self) {
        // What it still says is of no interest any more.
        self.live = None;
        self.supervisor.do_send(Request::Reopen);
    }

    fn opened(&mut self, store: Store, context: &mut Context<Self>) {
        let opened = Event::SessionOpened { session: store.session_id(), timeout: store.timeout() };
        let pen = Pen::plain(store.clone());
        let me = bellwether_core::protocol::WorkerId::incarnation(&self.settings.record.name, store.session_id());
        // Before anything can be started in its name.
        self.guardian.set_worker(me.as_str());
        self.live = Some(Live { store, pen, connected: true, connection: 0, watches: Vec::new(), mending: false });
        self.feed(opened, context);
    }

    /// The live session, if it is the one with this serial.
    fn of(&mut self, serial: u64) -> Option<&mut Live> {
        self.live.as_mut().filter(|live| live.store.serial() == serial)
    }
}

/// By this machine's wall clock, since 1970.
fn seconds() -> u64 {
    u64::try_from(clock::wall().as_second()).unwrap_or(u64::MAX)
}

fn settings(context: &boot::Context, skills: Skills) -> core::Settings {
    let worker = &context.settings.worker;
    let record = WorkerRecord {
        bellwether: PROTOCOL_VERSION,
        name: context.settings.worker_name(),
        host: config::host_name(),
        pid: std::process::id(),
        slots: u32::try_from(context.settings.worker_slots()).unwrap_or(u32::MAX),
        labels: worker.labels.clone(),
        resources: worker.resources.clone(),
        kinds: skills.kinds,
        commands: skills.commands,
        http: context.settings.http_advertise(context.http_address),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        patience_ms: None,
        replaces: None,
        since: None,
    };
    let on_doubt = match worker.on_doubt {
        OnDoubt::Kill => core::OnDoubt::Kill,
        OnDoubt::Keep => core::OnDoubt::Keep,
    };
    let task = &context.settings.task;
    let retry =
        RetryDefaults { retries: task.retries, backoff: task.backoff, backoff_max: task.backoff_max, retry_on: task.retry_on.clone() };
    let (drain_timeout, kill_grace, start_timeout) = (worker.drain_timeout, worker.kill_grace, task.start_timeout);
    core::Settings { record, on_doubt, drain_timeout, kill_grace, start_timeout, retry_after: RETRY_AFTER, retry }
}

impl Actor for AgentActor {
    type Context = Context<Self>;
}

impl Handler<SessionEvent> for AgentActor {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, context: &mut Context<Self>) {
        match event {
            SessionEvent::Opened(store) => self.opened(store, context),
            SessionEvent::Suspended { serial } => {
                let Some(live) = self.of(serial) else { return };
                live.connected = false;
                live.connection += 1;
                live.watches.clear();
                // Everything is read again when the session resumes.
                self.disarm(Timer::Retry, context);
                self.feed(Event::SessionSuspended, context);
            }
            SessionEvent::Resumed { serial } => {
                let Some(live) = self.of(serial) else { return };
                live.connected = true;
                self.feed(Event::SessionResumed, context);
            }
            // Also of one that we gave up ourselves: another follows.
            SessionEvent::Lost { .. } => {
                self.live = None;
                [Timer::Retry, Timer::ProofDue, Timer::Doubt].into_iter().for_each(|timer| self.disarm(timer, context));
                self.feed(Event::SessionLost, context);
            }
            SessionEvent::Closed { .. }
            | SessionEvent::Unreachable { .. }
            | SessionEvent::GaveUp { .. }
            | SessionEvent::Denied { .. }
            | SessionEvent::BadSettings(_) => {}
        }
    }
}

impl Handler<ChangesSeen> for AgentActor {
    type Result = ();

    fn handle(&mut self, seen: ChangesSeen, context: &mut Context<Self>) {
        if self.of(seen.serial).is_some() {
            self.feed(Event::Changed(seen.changes), context);
        }
    }
}

impl Handler<Posted> for AgentActor {
    type Result = ();

    fn handle(&mut self, posted: Posted, context: &mut Context<Self>) {
        let Some(live) = self.of(posted.serial) else { return };
        match posted.answer {
            Answer::Told(event) => self.feed(event, context),
            Answer::Read(events, cut_off) => {
                self.feed_all(events, context);
                cut_off.iter().for_each(|error| self.cut_off(error, context));
            }
            Answer::Watching(connection, watches, events) if connection == live.connection => {
                live.watches.extend(watches);
                self.feed_all(events, context);
            }
            // Everything is read again when the session resumes.
            Answer::Watching(..) => {}
            Answer::Mended(mended) => self.mended(mended, context),
        }
    }
}

impl Handler<Report> for AgentActor {
    type Result = ();

    fn handle(&mut self, report: Report, context: &mut Context<Self>) {
        match report {
            Report::Started(started) => debug!(task = %started.id.task, pid = started.pid, "task started"),
            Report::PieceEnded(id, ran) => {
                if let Some(trust) = &mut self.trust {
                    // Before it is given back. All elements of one that was refused have ended by that.
                    trust.forget_rest(&ran.progress);
                }
                self.feed(Event::PieceEnded(id, ran), context);
            }
            Report::Ended(ended) => {
                if let Some(trust) = self.trust.as_mut().filter(|_| ended.how == Ending::Killed) {
                    // Before it is given back.
                    trust.forget(&ended.id);
                }
                self.observer.run_ended(&ended);
                let (id, ran) = order::ran_of(*ended, &self.settings.record.http);
                if self.ended.is_empty() {
                    // Behind what lies in the mailbox by then.
                    context.notify(TakenIn);
                }
                self.ended.push(Event::RunEnded(id, Box::new(ran)));
            }
        }
    }
}

impl Handler<TakenIn> for AgentActor {
    type Result = ();

    fn handle(&mut self, _: TakenIn, context: &mut Context<Self>) {
        if !self.ended.is_empty() {
            self.feed_all(Vec::new(), context);
        }
    }
}

impl Handler<Configured> for AgentActor {
    type Result = ();

    fn handle(&mut self, Configured(settings): Configured, context: &mut Context<Self>) {
        let (drain_timeout, kill_grace) = (settings.worker.drain_timeout, settings.worker.kill_grace);
        let start_timeout = settings.task.start_timeout;
        self.task_timeout = settings.task.timeout;
        if let Some(trust) = &mut self.trust {
            trust.trust(&settings.worker.trusted_keys);
        }
        self.settings = core::Settings { drain_timeout, kill_grace, start_timeout, ..self.settings.clone() };
        // One per SIGHUP.
        self.executor.do_send(Configure(executor_settings(&settings)));
        self.feed(Event::Configured { drain_timeout, kill_grace, start_timeout }, context);
    }
}

impl Handler<StopRequested> for AgentActor {
    type Result = ();

    fn handle(&mut self, _: StopRequested, context: &mut Context<Self>) {
        self.feed(Event::DrainRequested, context);
    }
}
