//! The janitor's shell, one for each term: feeds [`Janitor`] with what lies in ZooKeeper, and carries out what it orders.
//!
//! It works in its own time, with few requests in flight: whatever the master waits for goes first.

mod asking;

use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use bellwether_common::clock;
use bellwether_common::config::Coordinator;
use bellwether_common::metrics as names;
use bellwether_common::pen::{Pen, Resolution, count_resolution};
use bellwether_core::admission::Overfull;
use bellwether_core::election;
use bellwether_core::janitor::{Effect, Event, Fact, Janitor, Place, Settings};
use bellwether_core::protocol::{Multi, Outcome, Refusal, Why};
use metrics::{counter, gauge};
use tracing::{info, warn};

use crate::master::{MasterActor, Order, ResultsPile};
use crate::office::{Office, Told};

/// How often it is looked whether there is something to do: one request, if there is not.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An answer to what core asked. Core asks one thing at a time.
pub(crate) struct Answer(Event);

impl Message for Answer {
    type Result = ();
}

/// What of the configuration is the janitor's affair. As a message: it was read again.
#[derive(Debug, Clone)]
pub(crate) struct Configured(Settings);

impl Configured {
    pub(crate) fn of(coordinator: &Coordinator) -> Self {
        Self(Settings {
            retention: coordinator.status_retention,
            count_max: coordinator.status_max as usize,
            bytes_max: coordinator.status_bytes.as_usize() as u64,
            guard_retention: coordinator.key_retention,
        })
    }
}

impl Message for Configured {
    type Result = ();
}

/// The actor around a janitor. Its parent is the actor of the master, whose orders it gets.
pub(crate) struct JanitorActor {
    janitor: Janitor,
    pen: Pen,
    office: Addr<Office>,
    master: Addr<MasterActor>,
    running: bool,
    /// Whether it was said that more is kept than may be.
    in_spite: bool,
    /// What the master was told of that.
    told: Option<Overfull>,
    /// Which results have details.
    details: asking::Details,
}

impl JanitorActor {
    pub(crate) fn new(pen: Pen, office: Addr<Office>, master: Addr<MasterActor>, Configured(settings): Configured) -> Self {
        let janitor = Janitor::new(settings);
        Self { janitor, pen, office, master, running: false, in_spite: false, told: None, details: asking::Details::default() }
    }

    fn serial(&self) -> u64 {
        self.pen.store().serial()
    }

    fn feed(&mut self, event: Event, context: &Context<Self>) {
        let effects = self.janitor.on(event, clock::now());
        if self.running {
            let (count, bytes) = self.janitor.results();
            gauge!(names::RESULTS).set(count as f64);
            gauge!(names::RESULTS_BYTES).set(bytes as f64);
        }
        for effect in effects {
            match effect {
                Effect::Write(id, multi) => self.write(id, multi, context),
                Effect::Tell(fact) => self.tell(&fact),
                Effect::ReadClock(_)
                | Effect::Count(_)
                | Effect::List(..)
                | Effect::Measure(..)
                | Effect::AskNeeds(_)
                | Effect::Verify(..) => self.ask(effect, context),
            }
        }
        self.push_back();
    }

    /// What piles up keeps more work out, until it is gone.
    fn push_back(&mut self) {
        let full = |overfull: Overfull| overfull.count > 0;
        let Some(overfull) = self.janitor.overfull().filter(|now| self.told.map(full) != Some(full(*now))) else { return };
        self.told = Some(overfull);
        // One for each change, a second or more apart.
        self.master.do_send(ResultsPile(overfull));
    }

    fn begin(&mut self, context: &Context<Self>) {
        self.running = true;
        self.feed(Event::Began, context);
    }

    fn write(&mut self, id: u64, multi: Multi, context: &Context<Self>) {
        let own = context.address();
        let writing = self.pen.write_as("housekeeping", multi);
        bellwether_common::zk_runtime::spawn(async move {
            let outcome = writing.await;
            // One at a time.
            own.do_send(Answer(Event::WriteEnded(id, outcome)));
        });
    }

    fn tell(&mut self, fact: &Fact) {
        match fact {
            Fact::Removed(place, count) => {
                counter!(names::REMOVED_TOTAL, "what" => what(*place)).increment(*count as u64);
            }
            Fact::Orphans(count) => counter!(names::REMOVED_TOTAL, "what" => "details").increment(*count as u64),
            Fact::KeptInSpite(results, bytes) => {
                gauge!(names::RESULTS_KEPT_IN_SPITE).set(*results as f64);
                match std::mem::replace(&mut self.in_spite, *results > 0) {
                    false if *results > 0 => {
                        warn!(results, bytes, "results are kept although they are too many or too large: somebody waits for them");
                    }
                    true if *results == 0 => info!("results are within their limits again"),
                    true | false => {}
                }
            }
            Fact::Surprised { path, why } => warn!(path, %why, "what is not needed any more cannot be removed"),
        }
    }

    fn show_nothing(&mut self) {
        self.running = false;
        for gauge in [names::RESULTS, names::RESULTS_BYTES, names::RESULTS_KEPT_IN_SPITE] {
            gauge!(gauge).set(0.0);
        }
    }
}

fn what(place: Place) -> &'static str {
    match place {
        Place::Results => "results",
        Place::Submitted => "submissions",
        Place::Keys => "keys",
    }
}

impl Actor for JanitorActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.begin(context);
        context.run_interval(LOOK_EVERY, |actor, context| actor.feed(Event::Due, context));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.show_nothing();
    }
}

impl Handler<Order> for JanitorActor {
    type Result = ();

    fn handle(&mut self, order: Order, context: &mut Context<Self>) {
        match order {
            // The pause that follows says all that counts: nothing is watched.
            Order::Suspended => {}
            Order::Pause => {
                self.feed(Event::Paused, context);
                self.show_nothing();
            }
            Order::Resume => self.begin(context),
            Order::End => context.stop(),
        }
    }
}

impl Handler<Configured> for JanitorActor {
    type Result = ();

    fn handle(&mut self, Configured(settings): Configured, context: &mut Context<Self>) {
        self.feed(Event::Configured(settings), context);
    }
}

impl Handler<Answer> for JanitorActor {
    type Result = ();

    fn handle(&mut self, Answer(event): Answer, context: &mut Context<Self>) {
        if let Event::WriteEnded(_, outcome) = &event {
            let serious = match outcome {
                Outcome::Unknown => {
                    // What is there is verified before anything is removed again.
                    count_resolution("housekeeping", Resolution::Abandoned);
                    Some(election::Event::WriteUnknown)
                }
                Outcome::Refused(Refusal::Whole(Why::NotSent)) => Some(election::Event::WriteUnknown),
                Outcome::Refused(Refusal::Fence(_)) => Some(election::Event::WriteFenced),
                Outcome::Applied(_) | Outcome::Refused(_) => None,
            };
            if let Some(event) = serious {
                self.office.do_send(Told { serial: self.serial(), event });
            }
        }
        self.feed(event, context);
    }
}
