//! The master's shell, one for each term: feeds [`Master`] with what ZooKeeper says, and carries out what it orders.
//!
//! Bulk reads run as tasks on ZooKeeper's runtime and post their answers in portions; the actor only feeds core.

mod asking;

use std::collections::BTreeSet;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle};
use bellwether_common::clock;
use bellwether_common::config::{ClassicWorkers, Coordinator, Task};
use bellwether_common::pen::Pen;
use bellwether_common::watch::{ChangesSeen, Watch};
use bellwether_core::admission::{Limits, Overfull, Rate};
use bellwether_core::election;
use bellwether_core::master::{Effect, Event, Master, Named, Naming, Settings};
use bellwether_core::protocol::admission::Label;
use bellwether_core::protocol::{Outcome, Refusal, TaskName, Why};
use futures::channel::oneshot;

use crate::janitor::{self, JanitorActor};
use crate::observe::{MasterObserver, TermClock};
use crate::office::{Office, Told};
use crate::timetable::{ReconcileEvery, TimetableActor};

pub(crate) use asking::{known, names, reading};

/// With at most so many tasks that wait, a debug build checks after each event whether what is believed is consistent.
const CHECKED_MAX: usize = 500;

/// What held tasks wait for. The answer comes when all that are held were read; `None` as long as nobody knows which are.
pub(crate) struct NamedByHeld;

impl Message for NamedByHeld {
    type Result = Option<BTreeSet<TaskName>>;
}

/// Whether results pile up, because somebody needs them.
pub(crate) struct ResultsPile(pub(crate) Overfull);

impl Message for ResultsPile {
    type Result = ();
}

/// How often the gauges are set.
const GAUGES_INTERVAL: Duration = Duration::from_millis(500);

/// What the office orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The session is suspended: all watches are gone.
    Suspended,
    /// Stop writing.
    Pause,
    /// The office is proven again: watch and read again, then write.
    Resume,
    /// The term is over.
    End,
}

impl Message for Order {
    type Result = ();
}

/// Answers to what core asked, in the order of the questions.
pub(crate) struct Answers(Vec<Event>);

impl Message for Answers {
    type Result = ();
}

/// All watches of this round are armed.
struct WatchesArmed {
    round: u64,
    watches: Vec<Watch>,
}

impl Message for WatchesArmed {
    type Result = ();
}

/// What of the configuration is the master's affair. As a message: it was read again.
#[derive(Debug, Clone)]
pub(crate) struct Configured {
    settings: Settings,
    reconcile_interval: Duration,
    janitor: janitor::Configured,
}

impl Configured {
    pub(crate) fn of(coordinator: &Coordinator, task: &Task) -> Self {
        let settings = Settings {
            assign_batch: coordinator.assign_batch as usize,
            lookahead: coordinator.lookahead,
            queue_timeout: task.queue_timeout,
            max_worker_losses: coordinator.max_worker_losses,
            silence_timeout: coordinator.silence_timeout,
            limits: limits(coordinator),
            classic_workers: coordinator.classic_workers == ClassicWorkers::Allow,
            group_retention: coordinator.status_retention,
        };
        Self { settings, reconcile_interval: coordinator.reconcile_interval, janitor: janitor::Configured::of(coordinator) }
    }
}

/// Labels and rates were checked when the configuration was read.
fn limits(coordinator: &Coordinator) -> Limits {
    let quota = coordinator.quota.iter().filter_map(|(label, most)| Some((Label::parse(label)?, u64::from(*most))));
    let rate = coordinator.rate.iter().filter_map(|(label, rate)| Some((Label::parse(label)?, Rate::parse(rate)?)));
    Limits { max_pending: u64::from(coordinator.max_pending), quota: quota.collect(), rate: rate.collect() }
}

impl Message for Configured {
    type Result = ();
}

/// The actor around a master.
pub(crate) struct MasterActor {
    master: Master,
    pen: Pen,
    office: Addr<Office>,
    /// Makes tasks of schedules, for as long as this one rules.
    timetable: Option<Addr<TimetableActor>>,
    /// Removes what nobody needs, likewise.
    janitor: Option<Addr<JanitorActor>>,
    janitor_settings: janitor::Configured,
    observer: MasterObserver,
    reconcile_interval: Duration,
    reconciling: Option<SpawnHandle>,
    watches: Vec<Watch>,
    /// What the janitor waits for.
    naming: Option<(Naming, oneshot::Sender<BTreeSet<TaskName>>)>,
    /// Rings when the next resting task is due.
    alarm: Option<SpawnHandle>,
    /// Counts how often the watches were armed: an answer of an earlier round is dropped.
    round: u64,
}

impl MasterActor {
    pub(crate) fn new(epoch: i32, configured: Configured, pen: Pen, office: Addr<Office>, term: TermClock) -> Self {
        let Configured { settings, reconcile_interval, janitor: janitor_settings } = configured;
        Self {
            master: Master::new(epoch, settings),
            pen,
            office,
            timetable: None,
            janitor: None,
            janitor_settings,
            observer: MasterObserver::new(term),
            reconcile_interval,
            reconciling: None,
            watches: Vec::new(),
            naming: None,
            alarm: None,
            round: 0,
        }
    }

    fn reconcile_regularly(&mut self, context: &mut Context<Self>) {
        let due = |actor: &mut Self, context: &mut Context<Self>| actor.feed(Event::ReconcileDue, context);
        if let Some(earlier) = self.reconciling.replace(context.run_interval(self.reconcile_interval, due)) {
            context.cancel_future(earlier);
        }
    }

    fn serial(&self) -> u64 {
        self.pen.store().serial()
    }

    fn feed(&mut self, event: Event, context: &mut Context<Self>) {
        self.feed_all(vec![event], context);
    }

    /// Whoever is not answered hears that nobody knows.
    fn answer_naming(&mut self) {
        let Some((mut naming, answer)) = self.naming.take() else { return };
        match self.master.name(&mut naming) {
            Named::NotYet => self.naming = Some((naming, answer)),
            // A janitor that is gone wants no answer.
            Named::All(names) => drop(answer.send(names)),
            Named::Unknown => {}
        }
    }

    fn feed_all(&mut self, events: Vec<Event>, context: &mut Context<Self>) {
        let effects = self.master.on_all(events, clock::now());
        // It looks at everything: with a large backlog it would cost more than all the rest, in builds that check at all.
        debug_assert_eq!(if self.master.view().tasks.len() > CHECKED_MAX { Ok(()) } else { self.master.sanity_check() }, Ok(()));
        self.observer.look_at(&self.master);
        self.run(effects, context);
        self.answer_naming();
    }

    fn run(&mut self, effects: Vec<Effect>, context: &mut Context<Self>) {
        let mut questions = Vec::new();
        for effect in effects {
            match effect {
                Effect::Write(id, multi) => self.write(id, multi, context),
                Effect::MendLayout => self.mend_layout(context),
                Effect::Arm(at) => self.arm(at, context),
                Effect::Tell(fact) => self.observer.tell(&fact),
                Effect::ListBoxes(_)
                | Effect::ListWorkers(_)
                | Effect::ListBox(..)
                | Effect::ListTasks(_)
                | Effect::ListHeld(_)
                | Effect::ListCancels(_)
                | Effect::ListGroups(_)
                | Effect::ListArrays(_)
                | Effect::ReadArray(..)
                | Effect::ReadWholeArray(..)
                | Effect::ReadPiece(..)
                | Effect::ReadGroup(..)
                | Effect::ReadStatus(..)
                | Effect::ListResults(_)
                | Effect::LookFor(..)
                | Effect::ReadGround(_)
                | Effect::ReadWorker(..)
                | Effect::ReadTask(..)
                | Effect::ReadHeld(..)
                | Effect::ReadAssignment(..)
                | Effect::ReadCancel(..) => questions.push(effect),
            }
        }
        self.ask(questions, context);
    }

    /// Rings at this time; an earlier order is forgotten.
    fn arm(&mut self, at: Duration, context: &mut Context<Self>) {
        let ring = |actor: &mut Self, context: &mut Context<Self>| {
            actor.alarm = None;
            actor.feed(Event::Rang, context);
        };
        let alarm = context.run_later(clock::until(at), ring);
        if let Some(earlier) = self.alarm.replace(alarm) {
            context.cancel_future(earlier);
        }
    }

    fn tell_office(&self, event: election::Event) {
        // One per transaction or read that ended badly, and those in flight are bounded.
        self.office.do_send(Told { serial: self.serial(), event });
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        if self.watches.is_empty() {
            self.arm_watches(context);
        } else {
            self.observer.resync("unknown_outcome");
            self.feed(Event::Began, context);
        }
    }
}

impl Actor for MasterActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.begin(context);
        let settings = self.janitor_settings.clone();
        self.janitor = Some(JanitorActor::new(self.pen.clone(), self.office.clone(), context.address(), settings).start());
        self.timetable = Some(TimetableActor::new(self.pen.clone(), self.office.clone(), self.reconcile_interval).start());
        context.run_interval(GAUGES_INTERVAL, |actor, _| actor.observer.gauges(&actor.master));
        self.reconcile_regularly(context);
    }
}

impl Handler<Order> for MasterActor {
    type Result = ();

    fn handle(&mut self, order: Order, context: &mut Context<Self>) {
        match order {
            Order::Suspended => {
                self.watches.clear();
                self.round += 1;
            }
            Order::Pause => {
                self.pen.close();
                self.observer.pause();
                self.feed(Event::Paused, context);
            }
            Order::Resume => {
                self.pen.reopen();
                self.observer.resume();
                self.begin(context);
            }
            Order::End => {
                self.observer.end();
                context.stop();
            }
        }
        if let Some(timetable) = &self.timetable {
            // As few as come to us; the pen is open again before.
            timetable.do_send(order);
        }
        if let Some(janitor) = &self.janitor {
            janitor.do_send(order);
        }
    }
}

impl Handler<Configured> for MasterActor {
    type Result = ();

    fn handle(&mut self, configured: Configured, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.reconcile_interval, configured.reconcile_interval) != configured.reconcile_interval {
            self.reconcile_regularly(context);
            if let Some(timetable) = &self.timetable {
                // One per SIGHUP.
                timetable.do_send(ReconcileEvery(self.reconcile_interval));
            }
        }
        if let Some(janitor) = &self.janitor {
            // One per SIGHUP.
            janitor.do_send(configured.janitor);
        }
        self.feed(Event::Configured(configured.settings), context);
    }
}

impl Handler<ResultsPile> for MasterActor {
    type Result = ();

    fn handle(&mut self, ResultsPile(overfull): ResultsPile, context: &mut Context<Self>) {
        self.feed(Event::Overfull(overfull), context);
    }
}

impl Handler<NamedByHeld> for MasterActor {
    type Result = ResponseFuture<Option<BTreeSet<TaskName>>>;

    fn handle(&mut self, _: NamedByHeld, _: &mut Context<Self>) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        // Of an earlier question the janitor waits for no answer any more.
        self.naming = self.master.begin_naming().map(|naming| (naming, answer));
        self.answer_naming();
        Box::pin(async move { answered.await.ok() })
    }
}

impl Handler<WatchesArmed> for MasterActor {
    type Result = ();

    fn handle(&mut self, armed: WatchesArmed, context: &mut Context<Self>) {
        if armed.round == self.round {
            self.watches = armed.watches;
            self.observer.resync(if self.observer.started() { "resumed" } else { "takeover" });
            self.feed(Event::Began, context);
        }
    }
}

impl Handler<ChangesSeen> for MasterActor {
    type Result = ();

    fn handle(&mut self, seen: ChangesSeen, context: &mut Context<Self>) {
        if seen.serial == self.serial() {
            self.feed(Event::Changed(seen.changes), context);
        }
    }
}

impl Handler<Answers> for MasterActor {
    type Result = ();

    fn handle(&mut self, answers: Answers, context: &mut Context<Self>) {
        for event in &answers.0 {
            let Event::WriteEnded(_, outcome) = event else { continue };
            match outcome {
                // Not sent is as good as unknown here: the pen closed itself, and only a new proof opens it.
                Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => self.tell_office(election::Event::WriteUnknown),
                Outcome::Refused(Refusal::Fence(_)) => self.tell_office(election::Event::WriteFenced),
                Outcome::Applied(_) | Outcome::Refused(_) => {}
            }
            self.observer.write_ended(event);
        }
        self.feed_all(answers.0, context);
    }
}
