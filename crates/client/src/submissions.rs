//! The actor of submissions: a thin shell around [`bellwether_core::submission`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, ResponseFuture, WrapFuture};
use bellwether_common::clock;
use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};
use bellwether_core::submission::{self, Effect, Event, Failure, GroupStep, Guard, Submittal};
use futures::future::join_all;
use tokio::sync::oneshot;
use tracing::debug;

use crate::error::{ClosedBecause, SubmitError};
use crate::supervisor::Turn;

/// After an unknown outcome: how long to wait before the submission is repeated, unless the session tells earlier.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How long the end of a client waits until guards are cleared away.
const CLEAN_WITHIN: Duration = Duration::from_secs(2);

/// Submit these tasks together.
#[derive(Debug)]
pub(crate) struct Submit {
    /// What stands for it: a name that no other submission has, or a key.
    pub(crate) guard: Guard,
    /// What it does to the record of a group.
    pub(crate) group: Option<GroupStep>,
    /// Their payloads are checked.
    pub(crate) tasks: Vec<Submittal>,
    /// How long it may wait to be sent: what was not is withdrawn then, and certainly not submitted.
    pub(crate) unsent_for: Duration,
}

/// `Some`: the same task was submitted under this key before, as this one.
type Answer = Result<Option<TaskName>, SubmitError>;

impl Message for Submit {
    type Result = Answer;
}

/// Nothing more will be submitted: clear away the guards that are needed no more.
#[derive(Debug)]
pub(crate) struct Finish;

impl Message for Finish {
    type Result = ();
}

/// What came back from ZooKeeper. Not stamped with a session: an answer that never came would leave its submission unanswered.
#[derive(Debug)]
struct Heard(Event);

impl Message for Heard {
    type Result = ();
}

/// Who waits for a submission, the names of its tasks, and until when it may wait to be sent.
#[derive(Debug)]
struct Asker {
    tasks: Vec<TaskName>,
    answer: oneshot::Sender<Answer>,
    until: Duration,
}

/// Submissions that wait for an answer, and whoever waits for them.
#[derive(Debug)]
pub(crate) struct Submissions {
    rules: submission::Submissions,
    store: Option<Store>,
    next_ticket: u64,
    askers: HashMap<u64, Asker>,
    /// What is withdrawn when, unless it was sent: one timer for all of them.
    impatient: BTreeSet<(Duration, u64)>,
    ticking: bool,
    /// What stands in the way of all of them.
    over: Option<ClosedBecause>,
}

impl Actor for Submissions {
    type Context = Context<Self>;
}

impl Submissions {
    pub(crate) fn new(window: usize) -> Self {
        let rules = submission::Submissions::new(window, RETRY_AFTER);
        Self { rules, store: None, next_ticket: 0, askers: HashMap::new(), impatient: BTreeSet::new(), ticking: false, over: None }
    }

    fn feed(&mut self, event: Event, ctx: &mut Context<Self>) {
        for effect in self.rules.on(event, clock::now()) {
            self.run(effect, ctx);
        }
    }

    fn run(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Write(ticket, multi) => self.write(ticket, multi, ctx),
            Effect::MendLayout => self.mend_layout(ctx),
            Effect::RemoveGuards(guards) => drop(zk_runtime::spawn(self.remove(guards))),
            Effect::Arm(at) => {
                ctx.run_later(clock::until(at), |actor, ctx| {
                    let connected = actor.store.is_some();
                    actor.feed(Event::Rang { connected }, ctx);
                });
            }
            Effect::ReadGuard(ticket, path) => self.read_guard(ticket, path, ctx),
            Effect::Accepted(ticket) => self.answer(ticket, Ok(None)),
            Effect::AcceptedBefore(ticket, first) => self.answer(ticket, Ok(Some(first))),
            Effect::Failed(ticket, failure) => self.answer(ticket, Err(failure.into())),
            Effect::Unconfirmed(ticket, failure) => {
                let tasks = self.askers.get(&ticket).map(|asker| asker.tasks.clone()).unwrap_or_default();
                self.answer(ticket, Err(SubmitError::Unconfirmed { tasks, why: failure.to_string() }));
            }
        }
    }

    fn write(&self, ticket: u64, multi: Multi, ctx: &Context<Self>) {
        let Some(store) = &self.store else {
            let outcome = Outcome::Refused(Refusal::Whole(Why::NotSent));
            return ctx.address().do_send(Heard(Event::WriteEnded { ticket, outcome }));
        };
        let written = store.commit(multi);
        let actor = ctx.address();
        // The window bounds how many such messages there can be at a time.
        zk_runtime::spawn(async move { actor.do_send(Heard(Event::WriteEnded { ticket, outcome: written.await })) });
    }

    fn read_guard(&self, ticket: u64, path: String, ctx: &Context<Self>) {
        let actor = ctx.address();
        let read = self.store.as_ref().map(|store| (store.sync(), store.get(&path)));
        // One for each submission that is in the window.
        zk_runtime::spawn(async move {
            let unknown = Event::WriteEnded { ticket, outcome: Outcome::Unknown };
            let Some((synced, read)) = read else { return actor.do_send(Heard(unknown)) };
            let event = match (synced.await, read.await) {
                (Ok(()), Ok(node)) => Event::GuardRead { ticket, found: node.map(|node| node.data) },
                // It is there, and says nothing to us.
                (Ok(()), Err(ReadError::NoAuth { .. })) => Event::GuardRead { ticket, found: Some(Vec::new()) },
                (Err(_), _) | (_, Err(_)) => unknown,
            };
            actor.do_send(Heard(event));
        });
    }

    fn mend_layout(&self, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let actor = ctx.address();
        zk_runtime::spawn(async move {
            match store.ensure_layout().await {
                Ok(()) => actor.do_send(Heard(Event::LayoutMended)),
                Err(error) => {
                    debug!(%error, "the layout is not mended");
                    failure_of(error).into_iter().for_each(|failure| actor.do_send(Heard(Event::LayoutNotMended(failure))));
                }
            }
        });
    }

    /// One by one: a guard that somebody else removed must not keep the others.
    fn remove(&self, guards: Vec<String>) -> impl Future<Output = ()> + Send + use<> {
        let removals = guards.iter().filter_map(|guard| {
            let store = self.store.as_ref()?;
            Some(store.commit(Multi::new().delete(path::submitted(guard), None)))
        });
        let removals: Vec<_> = removals.collect();
        async move { drop(join_all(removals).await) }
    }

    fn answer(&mut self, ticket: u64, answer: Answer) {
        if let Some(asker) = self.askers.remove(&ticket) {
            self.impatient.remove(&(asker.until, ticket));
            // Whoever asked may have gone away.
            let _ = asker.answer.send(answer);
        }
    }

    fn fail_all(&mut self, why: &str) {
        self.impatient.clear();
        for (_, Asker { tasks, answer, .. }) in self.askers.drain() {
            let _ = answer.send(Err(SubmitError::Unconfirmed { tasks, why: why.to_owned() }));
        }
    }

    /// Rings when the first of them has waited long enough.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        let Some((until, _)) = self.impatient.first().filter(|_| !self.ticking) else { return };
        self.ticking = true;
        ctx.run_later(clock::until(*until), |actor, ctx| {
            actor.ticking = false;
            actor.withdraw_due(ctx);
            actor.tick(ctx);
        });
    }

    fn withdraw_due(&mut self, ctx: &mut Context<Self>) {
        let now = clock::now().mono;
        while let Some((_, ticket)) = self.impatient.first().copied().filter(|(until, _)| *until <= now) {
            self.impatient.pop_first();
            self.feed(Event::Withdrawn { ticket }, ctx);
        }
    }
}

impl Handler<Submit> for Submissions {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, Submit { guard, group, tasks, unsent_for }: Submit, ctx: &mut Self::Context) -> Self::Result {
        if let Some(because) = self.over.clone() {
            return Box::pin(async move { Err(because.into()) });
        }
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let (asker, answer) = oneshot::channel();
        let names: Vec<TaskName> = tasks.iter().map(|submittal| submittal.task.clone()).collect();
        let until = clock::now().mono + unsent_for;
        self.askers.insert(ticket, Asker { tasks: names.clone(), answer: asker, until });
        self.impatient.insert((until, ticket));
        self.feed(Event::Submitted { ticket, guard, group, tasks }, ctx);
        self.tick(ctx);
        Box::pin(async move {
            let ended = || SubmitError::Unconfirmed { tasks: names, why: "the client ended".to_owned() };
            answer.await.unwrap_or_else(|_| Err(ended()))
        })
    }
}

impl Handler<Turn> for Submissions {
    type Result = ();

    fn handle(&mut self, turn: Turn, ctx: &mut Self::Context) {
        match turn {
            Turn::Connected(store) => {
                self.store = Some(store);
                self.feed(Event::Connected, ctx);
            }
            Turn::Disconnected => {
                self.store = None;
                self.feed(Event::Disconnected, ctx);
            }
            Turn::Over(because) => {
                self.store = None;
                self.feed(Event::Disconnected, ctx);
                self.fail_all(&because.to_string());
                self.over = Some(because);
            }
        }
    }
}

impl Handler<Heard> for Submissions {
    type Result = ();

    fn handle(&mut self, Heard(event): Heard, ctx: &mut Self::Context) {
        self.feed(event, ctx);
    }
}

/// The layout is missing and cannot be mended: whoever waits must hear of it, for it does not mend itself. `None`: nobody knows yet.
fn failure_of(error: LayoutError) -> Option<Failure> {
    match error {
        LayoutError::NotLaidOut { path } => Some(Failure::NotLaidOut(path)),
        LayoutError::Denied { path, .. } => Some(Failure::Denied(path)),
        LayoutError::Refused { path, why } => Some(Failure::Refused { path, why }),
        LayoutError::Read(_) => None,
    }
}

impl Handler<Finish> for Submissions {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Finish, ctx: &mut Self::Context) -> Self::Result {
        let mut removals = Vec::new();
        for effect in self.rules.on(Event::Closing, clock::now()) {
            match effect {
                Effect::RemoveGuards(guards) => removals.push(zk_runtime::spawn(self.remove(guards))),
                effect => self.run(effect, ctx),
            }
        }
        let cleared = async move { tokio::time::timeout(CLEAN_WITHIN, join_all(removals)).await };
        Box::pin(cleared.into_actor(self).map(|cleared, _, _| {
            if cleared.is_err() {
                debug!("guards are left behind");
            }
        }))
    }
}
