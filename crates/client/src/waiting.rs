//! The actor of waiting: a thin shell around [`bellwether_core::waiting`].

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use bellwether_common::clock;
use bellwether_common::reader;
use bellwether_common::store::{Changed, ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::protocol::record::WaiterRecord;
use bellwether_core::protocol::result::{Status, TaskResult, decode_status};
use bellwether_core::protocol::{Multi, Node, Outcome, PROTOCOL_VERSION, Refusal, TaskName, Why, path, record};
use bellwether_core::waiting::{self, Effect, Event};
use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

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

/// Most statuses that are read by one request, and most such requests on their way.
const READ_TOGETHER: usize = 64;
const READS_IN_FLIGHT: usize = 4;

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

/// What was found where watches had gone off.
struct Read {
    round: u64,
    answers: Vec<(TaskName, Result<Option<Node>, ReadError>)>,
}

impl Message for Read {
    type Result = ();
}

/// What was found where many were read together.
struct Swept {
    round: u64,
    answers: Vec<(TaskName, Result<Option<Node>, ReadError>)>,
}

impl Message for Swept {
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
    /// Who we are, for whoever looks at the nodes of those who wait.
    submitter: String,
    /// The node that says that we wait.
    said: Option<String>,
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

/// Ends with its handle, and the watch with it.
#[derive(Debug)]
struct Look(#[expect(dead_code, reason = "held for its drop")] zk_runtime::Bound);

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
            said: None,
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

    /// Its name says whose it is: that it is there already means that it is ours.
    fn register(&mut self, tasks: Vec<TaskName>, anew: bool, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let own = path::waiter(&format!("{:016x}-", store.session_id()));
        let node = self.said.clone().filter(|said| !anew && said.starts_with(&own)).unwrap_or_else(|| {
            self.nodes += 1;
            format!("{own}{}", self.nodes)
        });
        let earlier = self.said.replace(node.clone()).filter(|earlier| *earlier != node);
        let said = record::encode(&WaiterRecord { bellwether: PROTOCOL_VERSION, by: self.submitter.clone(), tasks });
        let (actor, round) = (ctx.address(), self.round);
        zk_runtime::spawn(async move {
            if say(&store, &node, said).await {
                // One per connection, and one every ten minutes.
                actor.do_send(Heard { round, event: Event::Registered });
                if let Some(earlier) = earlier {
                    // If it stays, it goes with the session.
                    let _ = store.commit(Multi::new().delete(earlier, None)).await;
                }
            }
        });
    }

    fn unregister(&mut self) {
        if let (Some(node), Some(store)) = (self.said.take(), self.store.clone()) {
            zk_runtime::spawn(async move { store.commit(Multi::new().delete(node, None)).await });
        }
    }

    fn look(&mut self, task: TaskName, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let asked = store.exists_once(&path::status(&task));
        let reporter = Reporter { actor: ctx.address(), round: self.round, task: task.clone() };
        let look = zk_runtime::spawn_bound(async move {
            match asked.await {
                Ok((None, changed)) => reporter.armed(changed).await,
                Ok((Some(_), _)) => reporter.there(&store).await,
                Err(error) => reporter.failed(error).await,
            }
        });
        self.looks.insert(task, Look(look));
    }

    /// What has stirred is read, many by one request, and none waits for others: those that stir meanwhile go with the next.
    fn read_stirred(&mut self, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        while self.reading < READS_IN_FLIGHT && !self.stirred.is_empty() {
            let tasks: Vec<TaskName> = self.stirred.drain(..self.stirred.len().min(READ_TOGETHER)).collect();
            self.reading += 1;
            let answers = reader::read_together(&store, tasks.iter().map(path::status).collect());
            let (actor, round) = (ctx.address(), self.round);
            zk_runtime::spawn(async move {
                let answers = answers.await.into_iter().map(|(_, answer)| answer);
                // One for each request, and those are few.
                actor.do_send(Read { round, answers: tasks.into_iter().zip(answers).collect() });
            });
        }
    }

    fn read_all(&self, tasks: &[TaskName], ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        for tasks in tasks.chunks(READ_TOGETHER).map(<[TaskName]>::to_vec) {
            let answers = reader::read_together(&store, tasks.iter().map(path::status).collect());
            let (actor, round) = (ctx.address(), self.round);
            zk_runtime::spawn(async move {
                let answers = answers.await.into_iter().map(|(_, answer)| answer);
                // As few as core reads at a time, a handful.
                actor.do_send(Swept { round, answers: tasks.into_iter().zip(answers).collect() });
            });
        }
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

/// Creates the node. Where that is forbidden we wait all the same; without an answer, it is asked again after the reconnect.
async fn say(store: &Store, node: &str, said: Vec<u8>) -> bool {
    loop {
        match store.commit(Multi::new().create_ephemeral(node, said.clone())).await {
            Outcome::Applied(_) | Outcome::Refused(Refusal::At { why: Why::NodeExists, .. }) => return true,
            Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => return false,
            Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) if store.ensure_layout().await.is_ok() => {}
            Outcome::Refused(refusal) => {
                debug!(node, %refusal, "cannot say that somebody waits: what he waits for may be removed");
                return true;
            }
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

impl Handler<Submitted> for Waiting {
    type Result = ();

    fn handle(&mut self, Submitted(tasks): Submitted, ctx: &mut Self::Context) {
        self.feed(Event::Submitted(tasks), ctx);
    }
}

impl Handler<Read> for Waiting {
    type Result = ();

    fn handle(&mut self, Read { round, answers }: Read, ctx: &mut Self::Context) {
        if round != self.round {
            return;
        }
        self.reading -= 1;
        for (task, answer) in answers {
            match answer {
                Ok(Some(node)) => self.feed(Event::Looked { task, found: Some(node.data) }, ctx),
                // It was something else: a removal, or the end of the connection.
                Ok(None) => self.feed(Event::Stirred(task), ctx),
                Err(error) => {
                    let reporter = Reporter { actor: ctx.address(), round, task };
                    zk_runtime::spawn(reporter.failed(error));
                }
            }
        }
        self.read_stirred(ctx);
    }
}

impl Handler<Swept> for Waiting {
    type Result = ();

    fn handle(&mut self, Swept { round, answers }: Swept, ctx: &mut Self::Context) {
        if round != self.round {
            return;
        }
        let mut found = Vec::with_capacity(answers.len());
        for (task, answer) in answers {
            match answer {
                Ok(node) => found.push((task, node.map(|node| node.data))),
                // The next round asks again, or the next connection.
                Err(ReadError::Interrupted) => found.push((task, None)),
                Err(error) => {
                    found.push((task.clone(), None));
                    ctx.notify(Unreadable { task, error: error.into() });
                }
            }
        }
        self.feed(Event::Read(found), ctx);
    }
}

impl Handler<Unreadable> for Waiting {
    type Result = ();

    fn handle(&mut self, Unreadable { task, error }: Unreadable, ctx: &mut Self::Context) {
        self.feed(Event::Unwanted(vec![task.clone()]), ctx);
        self.answer(task, Awaited::Failed(error));
    }
}
