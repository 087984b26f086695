//! The election's shell: feeds [`Election`] with what ZooKeeper says, and carries out what it orders.
//!
//! Decisions are core's. Every message about ZooKeeper carries the serial of its session; one of an earlier session is dropped at
//! the door.

mod asking;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle};
use bellwether_common::pen::Pen;
use bellwether_common::session::SessionEvent;
use bellwether_common::store::Store;
use bellwether_common::watch::{ChangesSeen, Watch};
use bellwether_common::{boot, clock, config};
use bellwether_core::election::{Effect, Election, End, Event, Fact, Settings, Timer};
use bellwether_core::protocol::record::CoordinatorRecord;
use bellwether_core::protocol::{Change, PROTOCOL_VERSION, path};
use tracing::{error, info};

use crate::master::{self, MasterActor};
use crate::observe::OfficeObserver;
use crate::supervisor::Request;

/// How long to wait before a read or a proof that was cut off is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

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

/// A fact for the election, from the session with this serial.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) serial: u64,
    pub(crate) event: Event,
}

impl Message for Told {
    type Result = ();
}

/// A watch was armed; holding it keeps it alive.
enum Armed {
    Office(Watch),
    Predecessor(String, Watch),
    StepDown(Watch),
}

struct Keep {
    serial: u64,
    /// On which connection: a watch of an earlier one is dead.
    connection: u64,
    armed: Armed,
}

impl Message for Keep {
    type Result = ();
}

/// The actor around the election.
pub(crate) struct Office {
    election: Election,
    master_settings: master::Configured,
    supervisor: Recipient<Request>,
    observer: OfficeObserver,
    store: Option<Store>,
    pen: Option<(i32, Pen)>,
    master: Option<Addr<MasterActor>>,
    office_watch: Option<Watch>,
    predecessor_watch: Option<(String, Watch)>,
    step_down_watch: Option<Watch>,
    /// Counts connections: every suspension ends one, and all watches with it.
    connection: u64,
    timers: HashMap<Timer, SpawnHandle>,
}

impl Office {
    pub(crate) fn new(context: &boot::Context, supervisor: Recipient<Request>) -> Self {
        let settings = &context.settings;
        let candidate = CoordinatorRecord {
            bellwether: PROTOCOL_VERSION,
            name: settings.coordinator_name(),
            host: bellwether_common::config::host_name(),
            pid: std::process::id(),
            http: settings.http_advertise(context.http_address),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: None,
            since: None,
        };
        let election = Settings { candidate, standby_delay: settings.coordinator.standby_delay, retry_after: RETRY_AFTER };
        Self {
            election: Election::new(election),
            master_settings: master::Configured::of(&settings.coordinator, &settings.task),
            supervisor,
            observer: OfficeObserver::new(),
            store: None,
            pen: None,
            master: None,
            office_watch: None,
            predecessor_watch: None,
            step_down_watch: None,
            connection: 0,
            timers: HashMap::new(),
        }
    }

    fn serial(&self) -> u64 {
        self.store.as_ref().map_or(0, Store::serial)
    }

    fn feed(&mut self, event: Event, context: &mut Context<Self>) {
        self.observer.hear(&event);
        let effects = self.election.on(event, clock::now());
        for effect in effects {
            self.run(effect, context);
        }
        let (ready, text) = self.observer.look_at(&self.election);
        self.request(Request::Ready(ready, text));
    }

    fn request(&self, request: Request) {
        // Bounded: one per event that the election takes in.
        self.supervisor.do_send(request);
    }

    fn run(&mut self, effect: Effect, context: &mut Context<Self>) {
        match effect {
            Effect::EnterQueue => self.enter_queue(context),
            Effect::ReadQueue => self.read_queue(context),
            Effect::WatchOffice => self.watch_office(context),
            Effect::WatchPredecessor(name) => self.watch_predecessor(name, context),
            Effect::ReadOffice => self.read_office(context),
            Effect::CreateEpoch(multi) => self.create_epoch(multi, context),
            Effect::Stand(multi) => {
                self.observer.standing();
                self.commit("housekeeping", multi, context, Event::BallotEnded);
            }
            Effect::LeaveQueue(node) => self.leave_queue(&node),
            Effect::Prove { epoch, nonce } => self.prove(epoch, nonce, context),
            Effect::Rule { epoch } => self.rule(epoch, context),
            Effect::WatchStepDown => self.watch_step_down(context),
            Effect::RemoveStepDown { epoch, multi } => self.remove_step_down(epoch, multi, context),
            Effect::Pause => self.tell_master(master::Order::Pause),
            Effect::Resume => self.tell_master(master::Order::Resume),
            Effect::EndRule(end) => self.end_rule(end),
            Effect::Arm(timer, at) => self.arm(timer, at, context),
            Effect::ReopenSession => self.request(Request::Reopen),
            Effect::Farewell { epoch, multi } => self.say_farewell(epoch, multi, context),
            Effect::Leave => self.request(Request::Leave),
            Effect::RefuseToStart => self.refuse(),
            Effect::Tell(fact) => self.tell(fact),
        }
    }

    fn pen_of(&mut self, epoch: i32) -> Option<Pen> {
        let store = self.store.clone()?;
        match &self.pen {
            Some((of, pen)) if *of == epoch => Some(pen.clone()),
            Some(_) | None => {
                let pen = Pen::fenced(store, epoch);
                self.pen = Some((epoch, pen.clone()));
                Some(pen)
            }
        }
    }

    fn rule(&mut self, epoch: i32, context: &mut Context<Self>) {
        let Some(pen) = self.pen_of(epoch) else { return };
        // A proof on the way here may have ended without an answer, and closed it.
        pen.reopen();
        let master = MasterActor::new(epoch, self.master_settings.clone(), pen, context.address(), self.observer.term());
        self.master = Some(master.start());
    }

    fn tell_master(&self, order: master::Order) {
        if let Some(master) = &self.master {
            // A handful per suspension or doubt.
            master.do_send(order);
        }
    }

    fn end_rule(&mut self, end: End) {
        self.tell_master(master::Order::End);
        self.master = None;
        if let Some((_, pen)) = self.pen.take_if(|_| end != End::SteppedDown) {
            pen.close();
        }
        self.observer.ended(end);
    }

    fn arm(&mut self, timer: Timer, at: Duration, context: &mut Context<Self>) {
        let serial = self.serial();
        let handle = context.run_later(clock::until(at), move |office, context| {
            if office.serial() == serial {
                office.feed(Event::Rang(timer), context);
            }
        });
        if let Some(earlier) = self.timers.insert(timer, handle) {
            context.cancel_future(earlier);
        }
    }

    fn refuse(&self) {
        error!(
            path = path::MASTER,
            "the office belongs to no session: a foreign layout, or a leftover; look at it, then delete it, or choose another zookeeper.root"
        );
        self.request(Request::Refuse);
    }

    fn tell(&mut self, fact: Fact) {
        if let (Fact::Elected { epoch }, Some(store)) = (&fact, &self.store) {
            info!(epoch, session = format!("{:#x}", store.session_id()), "elected");
        }
        self.observer.tell(&fact, &self.election);
    }

    fn forget_session(&mut self) {
        self.office_watch = None;
        self.predecessor_watch = None;
        self.step_down_watch = None;
        self.connection += 1;
    }
}

impl Actor for Office {
    type Context = Context<Self>;
}

impl Handler<SessionEvent> for Office {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, context: &mut Context<Self>) {
        match event {
            SessionEvent::Opened(store) => {
                let opened = Event::SessionOpened { session: store.session_id(), timeout: store.timeout(), chance: chance(&store) };
                self.forget_session();
                self.pen = None;
                self.store = Some(store);
                self.feed(opened, context);
            }
            SessionEvent::Suspended { serial } if serial == self.serial() => {
                self.forget_session();
                self.tell_master(master::Order::Suspended);
                self.feed(Event::SessionSuspended, context);
            }
            SessionEvent::Resumed { serial } if serial == self.serial() => self.feed(Event::SessionResumed, context),
            SessionEvent::Lost { serial, .. } if serial == self.serial() => {
                self.forget_session();
                self.feed(Event::SessionLost, context);
                self.store = None;
            }
            // Of a session before this one, or without a session: the supervisor sees to it.
            SessionEvent::Suspended { .. }
            | SessionEvent::Resumed { .. }
            | SessionEvent::Lost { .. }
            | SessionEvent::Closed { .. }
            | SessionEvent::Unreachable { .. }
            | SessionEvent::GaveUp { .. }
            | SessionEvent::Denied { .. }
            | SessionEvent::BadSettings(_) => {}
        }
    }
}

/// Nobody can guess it, and it needs no source of its own: the digits of a unique name.
fn chance(store: &Store) -> u64 {
    let mixed = clock::wall().as_nanosecond() as u64 ^ store.session_id() as u64 ^ u64::from(std::process::id()) << 32;
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

impl Handler<Told> for Office {
    type Result = ();

    fn handle(&mut self, told: Told, context: &mut Context<Self>) {
        if told.serial == self.serial() {
            self.feed(told.event, context);
        }
    }
}

impl Handler<Keep> for Office {
    type Result = ();

    fn handle(&mut self, keep: Keep, _: &mut Context<Self>) {
        if keep.serial != self.serial() || keep.connection != self.connection {
            return;
        }
        match keep.armed {
            Armed::Office(watch) => self.office_watch = Some(watch),
            Armed::Predecessor(name, watch) => self.predecessor_watch = Some((name, watch)),
            Armed::StepDown(watch) => self.step_down_watch = Some(watch),
        }
    }
}

impl Handler<ChangesSeen> for Office {
    type Result = ();

    fn handle(&mut self, seen: ChangesSeen, context: &mut Context<Self>) {
        if seen.serial != self.serial() {
            return;
        }
        for change in seen.changes {
            match change {
                Change::OfficeVacant => self.feed(Event::OfficeVacant, context),
                Change::OfficeTaken => self.feed(Event::OfficeTaken, context),
                Change::StepDownAsked => self.feed(Event::StepDownAsked, context),
                Change::QueueMoved => {
                    self.predecessor_watch = None;
                    self.feed(Event::PredecessorGone, context);
                }
                _ => {}
            }
        }
    }
}

impl Handler<Configured> for Office {
    type Result = ();

    fn handle(&mut self, Configured(settings): Configured, _: &mut Context<Self>) {
        self.master_settings = master::Configured::of(&settings.coordinator, &settings.task);
        if let Some(master) = &self.master {
            // One per SIGHUP.
            master.do_send(self.master_settings.clone());
        }
    }
}

impl Handler<StopRequested> for Office {
    type Result = ();

    fn handle(&mut self, _: StopRequested, context: &mut Context<Self>) {
        self.feed(Event::StopRequested { why: "it was asked to stop".to_owned() }, context);
    }
}
