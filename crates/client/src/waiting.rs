//! The actor of waiting: a thin shell around [`bellwether_core::waiting`].

use std::collections::HashMap;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use bellwether_common::clock;
use bellwether_common::store::{Changed, ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::protocol::result::{Status, TaskResult, decode_status};
use bellwether_core::protocol::{TaskName, path};
use bellwether_core::waiting::{self, Effect, Event};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::asking;
use crate::error::{ClosedBecause, Error};
use crate::finding;
use crate::link::Links;
use crate::reading;
use crate::supervisor::Turn;

/// Tasks that did not end after this long are looked for everywhere, in case somebody removed them.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// After an interrupted read: a break that the session actor has not heard of would answer the next one alike.
const PAUSE: Duration = Duration::from_millis(50);

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

/// Hands out results as they come. Dropping it ends the waiting, not the tasks.
#[derive(Debug)]
pub struct Waiter {
    answers: mpsc::UnboundedReceiver<(TaskName, Awaited)>,
    actor: Addr<Waiting>,
}

impl Waiter {
    pub(crate) fn new(tasks: Vec<TaskName>, actor: Addr<Waiting>) -> Self {
        // One answer per task and no more.
        let (answer, answers) = mpsc::unbounded_channel();
        actor.do_send(Want { tasks, answer });
        Self { answers, actor }
    }

    /// The next one that ended; `None` after the last.
    pub async fn next(&mut self) -> Option<(TaskName, Awaited)> {
        self.answers.recv().await
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.answers.close();
        // Once per waiter.
        self.actor.do_send(Left);
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

/// Somebody waits no more.
struct Left;

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

/// A status cannot be read, ever.
struct Unreadable {
    task: TaskName,
    error: Error,
}

impl Message for Unreadable {
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
    /// Armed watches.
    looks: HashMap<TaskName, Look>,
    over: Option<ClosedBecause>,
}

/// Ends with its handle, and the watch with it.
#[derive(Debug)]
struct Look(AbortHandle);

impl Drop for Look {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Actor for Waiting {
    type Context = Context<Self>;
}

impl Waiting {
    pub(crate) fn new(links: Links, request_timeout: Duration) -> Self {
        Self {
            rules: waiting::Waiting::new(LOOK_AGAIN_AFTER),
            links,
            request_timeout,
            store: None,
            round: 0,
            waiters: HashMap::new(),
            looks: HashMap::new(),
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
            Effect::Look(task) => self.look(task, ctx),
            Effect::Locate(task) => self.locate(task, ctx),
            Effect::Arm(at) => {
                ctx.run_later(clock::until(at), |actor, ctx| actor.feed(Event::Rang, ctx));
            }
            Effect::Ended(task, status) => self.ended(task, &status, ctx),
            Effect::Nowhere(task) => self.answer(task, Awaited::Nowhere),
        }
    }

    fn look(&mut self, task: TaskName, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let asked = store.exists_once(&path::status(&task));
        let reporter = Reporter { actor: ctx.address(), round: self.round, task: task.clone() };
        let look = zk_runtime::spawn(async move {
            match asked.await {
                Ok((None, changed)) => reporter.armed(changed).await,
                Ok((Some(_), _)) => reporter.there(&store).await,
                Err(error) => reporter.failed(error).await,
            }
        });
        self.looks.insert(task, Look(look.abort_handle()));
    }

    fn locate(&self, task: TaskName, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let reporter = Reporter { actor: ctx.address(), round: self.round, task };
        zk_runtime::spawn(async move {
            // Without an answer it is looked for again, after the reconnect or a while later.
            if let Ok(somewhere) = finding::exists(&store, &reporter.task).await {
                let task = reporter.task.clone();
                reporter.tell(Event::Located { task, somewhere });
            }
        });
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

/// Tells the actor what became of one look.
struct Reporter {
    actor: Addr<Waiting>,
    round: u64,
    task: TaskName,
}

impl Reporter {
    /// Not bounded by the mailbox: the core arms a fixed number of watches, and each look tells two things at most.
    fn tell(&self, event: Event) {
        self.actor.do_send(Heard { round: self.round, event });
    }

    async fn armed(self, changed: Changed) {
        self.tell(Event::Looked { task: self.task.clone(), found: None });
        changed.await;
        self.tell(Event::Stirred(self.task.clone()));
    }

    async fn there(self, store: &Store) {
        match store.get(&path::status(&self.task)).await {
            Ok(Some(node)) => self.tell(Event::Looked { task: self.task.clone(), found: Some(node.data) }),
            // Removed in between.
            Ok(None) => self.tell(Event::Stirred(self.task.clone())),
            Err(error) => self.failed(error).await,
        }
    }

    async fn failed(self, error: ReadError) {
        if error == ReadError::Interrupted {
            tokio::time::sleep(PAUSE).await;
            return self.tell(Event::Interrupted(self.task.clone()));
        }
        self.actor.do_send(Unreadable { task: self.task, error: error.into() });
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

impl Handler<Left> for Waiting {
    type Result = ();

    fn handle(&mut self, _: Left, ctx: &mut Self::Context) {
        let mut unwanted = Vec::new();
        self.waiters.retain(|task, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                unwanted.push(task.clone());
            }
            !waiters.is_empty()
        });
        for task in &unwanted {
            self.looks.remove(task);
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
            }
        }
    }
}

impl Handler<Heard> for Waiting {
    type Result = ();

    fn handle(&mut self, Heard { round, event }: Heard, ctx: &mut Self::Context) {
        if round == self.round {
            self.feed(event, ctx);
        }
    }
}

impl Handler<Unreadable> for Waiting {
    type Result = ();

    fn handle(&mut self, Unreadable { task, error }: Unreadable, ctx: &mut Self::Context) {
        self.feed(Event::Unwanted(vec![task.clone()]), ctx);
        self.answer(task, Awaited::Failed(error));
    }
}
