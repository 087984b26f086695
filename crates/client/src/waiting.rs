//! The actor of waiting: a thin shell around [`bellwether_core::waiting`].

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use bellwether_common::clock;
use bellwether_common::store::Store;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::result::{Status, TaskResult, decode_status};
use bellwether_core::waiting::{self, Effect, Event};
use futures::Stream;
use tokio::sync::{mpsc, oneshot};

use crate::asking;
use crate::error::{ClosedBecause, Error};
use crate::link::Links;
use crate::reading;
use crate::supervisor::Turn;

mod looks;
mod sign;

use looks::Look;

/// Tasks that did not end after this long are looked for everywhere, in case somebody removed them.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What became of a task that was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// It ended.
    Ended(Box<TaskResult>),
    /// There is no such task: it was never submitted, or its result was removed.
    Nowhere,
    /// Nobody can say; the task goes on.
    Failed(Error),
}

/// Hands out results as they come, also as a stream. Dropping it ends the waiting, not the tasks.
#[derive(Debug)]
pub struct Waiter {
    answers: mpsc::UnboundedReceiver<(TaskName, Awaited)>,
    actor: Addr<Waiting>,
    tasks: Vec<TaskName>,
    /// How many answers were not taken.
    left: usize,
}

impl Waiter {
    pub(crate) fn new(tasks: Vec<TaskName>, actor: Addr<Waiting>) -> Self {
        // One answer per task and no more.
        let (answer, answers) = mpsc::unbounded_channel();
        actor.do_send(Want { tasks: tasks.clone(), answer });
        Self { answers, actor, left: tasks.len(), tasks }
    }

    /// The next one that ended; `None` after the last.
    pub async fn next(&mut self) -> Option<(TaskName, Awaited)> {
        let answer = self.answers.recv().await;
        self.left = self.left.saturating_sub(1);
        answer
    }
}

impl Stream for Waiter {
    type Item = (TaskName, Awaited);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let answer = self.answers.poll_recv(context);
        self.left = self.left.saturating_sub(usize::from(answer.is_ready()));
        answer
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.answers.close();
        if self.left > 0 {
            // Once per waiter.
            self.actor.do_send(Left(std::mem::take(&mut self.tasks)));
        }
    }
}

/// Somebody waits for these.
struct Want {
    tasks: Vec<TaskName>,
    answer: mpsc::UnboundedSender<(TaskName, Awaited)>,
}

impl Message for Want {
    type Result = ();
}

/// Somebody is going to submit what he will wait for. The answer: it is said, or cannot be.
pub(crate) struct Expect;

impl Message for Expect {
    type Result = ();
}

/// Somebody was refused who wanted to submit something.
pub(crate) struct KeptOut;

impl Message for KeptOut {
    type Result = ();
}

/// These were submitted just now.
pub(crate) struct Submitted(pub(crate) Vec<TaskName>);

impl Message for Submitted {
    type Result = ();
}

/// Somebody waits for these no more.
struct Left(Vec<TaskName>);

impl Message for Left {
    type Result = ();
}

/// What came back from ZooKeeper, in which round: what was asked before the last interruption counts no more.
struct Heard {
    round: u64,
    event: Event,
}

impl Message for Heard {
    type Result = ();
}

/// What is waited for, and by whom.
#[derive(Debug)]
pub(crate) struct Waiting {
    rules: waiting::Waiting,
    links: Links,
    request_timeout: Duration,
    store: Option<Store>,
    /// Counts connections; part of every question and answer.
    round: u64,
    waiters: HashMap<TaskName, Vec<mpsc::UnboundedSender<(TaskName, Awaited)>>>,
    /// Who we are, for whoever looks at the nodes of those who wait.
    submitter: String,
    /// The nodes that say that we wait, the last one last.
    said: VecDeque<String>,
    /// Counts those nodes.
    nodes: u64,
    /// Who is to hear that it is said.
    expecting: Vec<oneshot::Sender<()>>,
    /// Armed watches.
    looks: HashMap<TaskName, Look>,
    /// Whose watches went off, and whose statuses are not asked for yet.
    stirred: Vec<TaskName>,
    /// How many requests for statuses are on their way.
    reading: usize,
    over: Option<ClosedBecause>,
}

impl Actor for Waiting {
    type Context = Context<Self>;
}

impl Waiting {
    pub(crate) fn new(links: Links, request_timeout: Duration, submitter: String) -> Self {
        Self {
            rules: waiting::Waiting::new(LOOK_AGAIN_AFTER),
            links,
            request_timeout,
            store: None,
            round: 0,
            waiters: HashMap::new(),
            submitter,
            said: VecDeque::new(),
            nodes: 0,
            expecting: Vec::new(),
            looks: HashMap::new(),
            stirred: Vec::new(),
            reading: 0,
            over: None,
        }
    }

    fn feed(&mut self, event: Event, ctx: &mut Context<Self>) {
        for effect in self.rules.on(event, clock::now()) {
            self.run(effect, ctx);
        }
    }

    fn run(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Register(named) => self.register(named, false, ctx),
            Effect::Renew(named) => self.register(named, true, ctx),
            Effect::Unregister => self.unregister(),
            Effect::Look(task) => self.look(task, ctx),
            Effect::Read(tasks) => self.read_all(&tasks, ctx),
            Effect::ReadAt(at) => drop(ctx.run_later(clock::until(at), |actor, ctx| actor.feed(Event::ReadDue, ctx))),
            Effect::Locate(task) => self.locate(task, ctx),
            Effect::Arm(at) => {
                ctx.run_later(clock::until(at), |actor, ctx| actor.feed(Event::Rang, ctx));
            }
            Effect::Ended(task, status) => self.ended(task, &status, ctx),
            Effect::Nowhere(task) => self.answer(task, Awaited::Nowhere),
        }
    }

    /// Details of a plain result are read first; the task is waited for no more meanwhile.
    fn ended(&mut self, task: TaskName, status: &[u8], ctx: &mut Context<Self>) {
        self.looks.remove(&task);
        if let Status::Full(result) = decode_status(status) {
            return self.answer(task, Awaited::Ended(result));
        }
        let waiters = self.waiters.remove(&task).unwrap_or_default();
        let asked = task.clone();
        let read = asking::ask(self.links.clone(), self.request_timeout, move |store| {
            let asked = asked.clone();
            async move { reading::result(&store, &asked).await }
        });
        // One future per task that ended just now, and only while its details are read.
        let answered = async move {
            let awaited = match read.await {
                Ok(Some(result)) => Awaited::Ended(Box::new(result)),
                Ok(None) => Awaited::Nowhere,
                Err(error) => Awaited::Failed(error),
            };
            for waiter in waiters {
                // Whoever waited may have gone away.
                let _ = waiter.send((task.clone(), awaited.clone()));
            }
        };
        ctx.spawn(answered.into_actor(self));
    }

    fn answer(&mut self, task: TaskName, awaited: Awaited) {
        self.looks.remove(&task);
        for waiter in self.waiters.remove(&task).unwrap_or_default() {
            let _ = waiter.send((task.clone(), awaited.clone()));
        }
    }
}

impl Handler<Want> for Waiting {
    type Result = ();

    fn handle(&mut self, Want { tasks, answer }: Want, ctx: &mut Self::Context) {
        if let Some(because) = &self.over {
            for task in tasks {
                let _ = answer.send((task, Awaited::Failed(because.clone().into())));
            }
            return;
        }
        let mut wanted = Vec::new();
        for task in tasks {
            let waiters = self.waiters.entry(task.clone()).or_default();
            if waiters.is_empty() {
                wanted.push(task);
            }
            if !waiters.iter().any(|waiter| waiter.same_channel(&answer)) {
                waiters.push(answer.clone());
            }
        }
        if !wanted.is_empty() {
            self.feed(Event::Wanted(wanted), ctx);
        }
    }
}

impl Handler<Expect> for Waiting {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Expect, ctx: &mut Self::Context) -> Self::Result {
        let (said, hears) = oneshot::channel();
        if self.over.is_none() {
            self.expecting.push(said);
            self.feed(Event::Expected, ctx);
            if self.rules.is_registered() {
                self.expecting.clear();
            }
        }
        // Dropped or sent, it is over.
        Box::pin(async move { drop(hears.await) })
    }
}

impl Handler<Left> for Waiting {
    type Result = ();

    fn handle(&mut self, Left(tasks): Left, ctx: &mut Self::Context) {
        let mut unwanted = Vec::new();
        for task in tasks {
            let Some(waiters) = self.waiters.get_mut(&task) else { continue };
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                self.waiters.remove(&task);
                self.looks.remove(&task);
                unwanted.push(task);
            }
        }
        if !unwanted.is_empty() {
            self.feed(Event::Unwanted(unwanted), ctx);
        }
    }
}

impl Handler<Turn> for Waiting {
    type Result = ();

    fn handle(&mut self, turn: Turn, ctx: &mut Self::Context) {
        self.round += 1;
        self.looks.clear();
        self.stirred.clear();
        self.reading = 0;
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
                let tasks: Vec<TaskName> = self.waiters.keys().cloned().collect();
                for task in tasks {
                    self.answer(task, Awaited::Failed(because.clone().into()));
                }
                self.over = Some(because);
                self.expecting.clear();
            }
        }
    }
}

impl Handler<Heard> for Waiting {
    type Result = ();

    fn handle(&mut self, Heard { round, event }: Heard, ctx: &mut Self::Context) {
        if round == self.round {
            match event {
                Event::Stirred(task) if self.store.is_some() => {
                    self.looks.remove(&task);
                    self.stirred.push(task);
                    return self.read_stirred(ctx);
                }
                Event::Registered => self.expecting.clear(),
                _ => {}
            }
            self.feed(event, ctx);
        }
    }
}

impl Handler<KeptOut> for Waiting {
    type Result = ();

    fn handle(&mut self, _: KeptOut, ctx: &mut Self::Context) {
        self.feed(Event::KeptOut, ctx);
    }
}

impl Handler<Submitted> for Waiting {
    type Result = ();

    fn handle(&mut self, Submitted(tasks): Submitted, ctx: &mut Self::Context) {
        self.feed(Event::Submitted(tasks), ctx);
    }
}
