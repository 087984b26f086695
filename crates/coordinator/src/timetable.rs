//! The timetable's shell, one for each term: feeds [`Timetable`] with what ZooKeeper says of schedules, and carries out what it orders.

mod asking;

use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, SpawnHandle};
use bellwether_common::clock;
use bellwether_common::metrics as names;
use bellwether_common::pen::{Pen, Resolution, count_resolution};
use bellwether_common::watch::{ChangesSeen, Watch};
use bellwether_core::election;
use bellwether_core::protocol::{Change, Outcome, Refusal, Why};
use bellwether_core::timetable::{Effect, Event, Fact, LeftOut, Timetable};
use metrics::{counter, gauge, histogram};
use tracing::{debug, error, info, warn};

use crate::master::Order;
use crate::office::{Office, Told};

/// Answers to what core asked, in the order of the questions.
pub(crate) struct Answers(Vec<Event>);

impl Message for Answers {
    type Result = ();
}

/// The watch of this round is armed.
struct WatchArmed {
    round: u64,
    watch: Watch,
}

impl Message for WatchArmed {
    type Result = ();
}

/// How often everything is compared. As a message: it was read again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReconcileEvery(pub(crate) Duration);

impl Message for ReconcileEvery {
    type Result = ();
}

/// The actor around a timetable. Its parent is the actor of the master, whose orders it gets.
pub(crate) struct TimetableActor {
    timetable: Timetable,
    pen: Pen,
    office: Addr<Office>,
    reconcile_interval: Duration,
    reconciling: Option<SpawnHandle>,
    watch: Option<Watch>,
    alarm: Option<SpawnHandle>,
    /// Counts how often the watch was armed: an answer of an earlier round is dropped.
    round: u64,
}

impl TimetableActor {
    pub(crate) fn new(pen: Pen, office: Addr<Office>, reconcile_interval: Duration) -> Self {
        let timetable = Timetable::new();
        Self { timetable, pen, office, reconcile_interval, reconciling: None, watch: None, alarm: None, round: 0 }
    }

    fn serial(&self) -> u64 {
        self.pen.store().serial()
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        match self.watch {
            None => self.arm_watch(context),
            Some(_) => self.feed(Event::Began, context),
        }
    }

    fn feed(&mut self, event: Event, context: &mut Context<Self>) {
        let effects = self.timetable.on(event, clock::now());
        gauge!(names::SCHEDULES).set(self.timetable.waiting() as f64);
        let mut questions = Vec::new();
        for effect in effects {
            match effect {
                Effect::Write(id, multi) => self.write(id, multi, context),
                Effect::MendLayout => self.mend_layout(context),
                Effect::Arm(at) => self.ring(at, context),
                Effect::Tell(fact) => tell(&fact),
                Effect::ReadClock(_) | Effect::List(_) | Effect::Read(..) | Effect::LookFor(..) => questions.push(effect),
            }
        }
        self.ask(questions, context);
    }

    fn ring(&mut self, at: Duration, context: &mut Context<Self>) {
        let alarm = context.run_later(clock::until(at), |actor, context| {
            actor.alarm = None;
            actor.feed(Event::Rang, context);
        });
        if let Some(earlier) = self.alarm.replace(alarm) {
            context.cancel_future(earlier);
        }
    }

    fn reconcile_regularly(&mut self, context: &mut Context<Self>) {
        let due = |actor: &mut Self, context: &mut Context<Self>| actor.feed(Event::ReconcileDue, context);
        if let Some(earlier) = self.reconciling.replace(context.run_interval(self.reconcile_interval, due)) {
            context.cancel_future(earlier);
        }
    }

    fn tell_office(&self, event: election::Event) {
        // One per transaction or read that ended badly, and those in flight are bounded.
        self.office.do_send(Told { serial: self.serial(), event });
    }
}

impl Actor for TimetableActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.begin(context);
        self.reconcile_regularly(context);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        gauge!(names::SCHEDULES).set(0.0);
    }
}

impl Handler<Order> for TimetableActor {
    type Result = ();

    fn handle(&mut self, order: Order, context: &mut Context<Self>) {
        match order {
            Order::Suspended => {
                self.watch = None;
                self.round += 1;
            }
            Order::Pause => {
                self.feed(Event::Paused, context);
                gauge!(names::SCHEDULES).set(0.0);
            }
            Order::Resume => self.begin(context),
            Order::End => context.stop(),
        }
    }
}

impl Handler<ReconcileEvery> for TimetableActor {
    type Result = ();

    fn handle(&mut self, ReconcileEvery(interval): ReconcileEvery, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.reconcile_interval, interval) != interval {
            self.reconcile_regularly(context);
        }
    }
}

impl Handler<WatchArmed> for TimetableActor {
    type Result = ();

    fn handle(&mut self, armed: WatchArmed, context: &mut Context<Self>) {
        if armed.round == self.round {
            self.watch = Some(armed.watch);
            self.feed(Event::Began, context);
        }
    }
}

impl Handler<ChangesSeen> for TimetableActor {
    type Result = ();

    fn handle(&mut self, seen: ChangesSeen, context: &mut Context<Self>) {
        if seen.serial != self.serial() {
            return;
        }
        for change in seen.changes {
            match change {
                Change::ScheduleMoved(name) => self.feed(Event::Moved(name), context),
                Change::LayoutGone(_) => self.mend_layout(context),
                _ => {}
            }
        }
    }
}

impl Handler<Answers> for TimetableActor {
    type Result = ();

    fn handle(&mut self, Answers(events): Answers, context: &mut Context<Self>) {
        for event in events {
            if let Event::WriteEnded(_, outcome) = &event {
                if *outcome == Outcome::Unknown {
                    // What became of it is read with everything else, and told by nothing in particular.
                    count_resolution("schedule", Resolution::Abandoned);
                }
                match outcome {
                    Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => self.tell_office(election::Event::WriteUnknown),
                    Outcome::Refused(Refusal::Fence(_)) => self.tell_office(election::Event::WriteFenced),
                    Outcome::Applied(_) | Outcome::Refused(_) => {}
                }
            }
            self.feed(event, context);
        }
    }
}

fn tell(fact: &Fact) {
    match fact {
        Fact::Fired { schedule, task, late } => {
            debug!(%schedule, %task, late_seconds = late.as_secs_f64(), "fired");
            counter!(names::SCHEDULE_TICKS_TOTAL, "result" => "fired").increment(1);
            histogram!(names::SCHEDULE_LATENESS_SECONDS).record(*late);
        }
        Fact::LeftOut { schedule, tick, why } => {
            let result = match why {
                LeftOut::Missed => "missed",
                LeftOut::Overlap => "overlap",
                LeftOut::Taken => "taken",
            };
            info!(%schedule, tick, why = result, "a tick of a schedule, or several, got no task");
            counter!(names::SCHEDULE_TICKS_TOTAL, "result" => result).increment(1);
        }
        Fact::Broken { schedule, why } => warn!(%schedule, why, "a schedule never fires"),
        Fact::Surprised { path, why } => warn!(path, %why, "zookeeper refused a write that should have been possible"),
        Fact::Timeless => error!("schedules do not fire: /bellwether/epoch may not be read, so that zookeeper's time is not known"),
    }
}
