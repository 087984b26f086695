//! What happens in a cluster, as it happens: watches, told in the words of people.
//!
//! ZooKeeper keeps no list of events, and a watch tells nothing of the time when there was no connection. So a break of the connection
//! is told as an event of its own, and nobody takes silence for peace.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, Recipient, ResponseFuture};
use bellwether_common::store::{ReadError, Store};
use bellwether_common::watch::{ChangesSeen, Watch};
use bellwether_common::{clock, reader, zk_runtime};
use bellwether_core::protocol::record::CoordinatorRecord;
use bellwether_core::protocol::{Change, Node, TaskName, WorkerId, path};
use futures::Stream;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::link::{self, Link, Links};
use crate::reading;
use crate::supervisor::Supervisor;

/// Before watches that could not be set are set again.
const PAUSE: Duration = Duration::from_millis(100);
/// How many events may wait to be read before the watch waits, too.
const ROOM: usize = 1_000;

/// Something that happened. Its JSON is what `bellwether events` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Happening {
    /// When: by ZooKeeper's clock if it is known from a node, otherwise when it was heard of, by the clock of this machine.
    pub at: Timestamp,
    /// `pending`, `held`, `assigned`, `ended`, `cancel-asked`, `worker-joined`, `worker-left`, `master-elected`, `master-left`,
    /// `interrupted`, `resumed`. The list grows.
    pub what: &'static str,
    /// The task.
    pub task: Option<TaskName>,
    /// The worker.
    pub worker: Option<WorkerId>,
    /// The term.
    pub epoch: Option<i32>,
    /// More: how a task ended, who was elected.
    pub detail: Option<String>,
}

impl Happening {
    pub(crate) fn new(what: &'static str, at: Timestamp) -> Self {
        Self { at, what, task: None, worker: None, epoch: None, detail: None }
    }

    fn now(what: &'static str) -> Self {
        Self::new(what, clock::wall())
    }

    fn of_task(what: &'static str, task: TaskName) -> Self {
        Self { task: Some(task), ..Self::now(what) }
    }

    fn of_worker(what: &'static str, worker: WorkerId) -> Self {
        Self { worker: Some(worker), ..Self::now(what) }
    }
}

/// What happens from now on, as a stream. When this is dropped, nobody listens any more.
#[derive(Debug)]
pub struct Follow {
    heard: mpsc::Receiver<Happening>,
}

impl Follow {
    /// The next one; `None` when the client works no more.
    pub async fn next(&mut self) -> Option<Happening> {
        self.heard.recv().await
    }

    /// The next one if it is there already.
    pub fn try_next(&mut self) -> Option<Happening> {
        self.heard.try_recv().ok()
    }
}

impl Stream for Follow {
    type Item = Happening;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Happening>> {
        self.heard.poll_recv(context)
    }
}

/// Hears the watches of one connection and passes on what they tell. Each watch waits until that is taken.
#[derive(Debug)]
struct Ear {
    heard: mpsc::Sender<ChangesSeen>,
}

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<ChangesSeen> for Ear {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, seen: ChangesSeen, _: &mut Self::Context) -> Self::Result {
        let heard = self.heard.clone();
        // Nobody to take it: the watches are being dropped.
        Box::pin(async move { drop(heard.send(seen).await) })
    }
}

/// Start an ear in the client's own system.
#[derive(Debug)]
pub(crate) struct Listen(mpsc::Sender<ChangesSeen>);

impl Message for Listen {
    type Result = Option<Recipient<ChangesSeen>>;
}

impl Handler<Listen> for Supervisor {
    type Result = Option<Recipient<ChangesSeen>>;

    fn handle(&mut self, Listen(heard): Listen, _: &mut Self::Context) -> Self::Result {
        Some(Ear { heard }.start().recipient())
    }
}

/// Begins to follow. The first thing told is that it does.
pub(crate) fn start(links: Links, supervisor: actix::Addr<Supervisor>) -> Follow {
    let (tell, heard) = mpsc::channel(ROOM);
    // Ends when nobody listens, or the client works no more.
    drop(zk_runtime::spawn(async move { follow(links, supervisor, tell).await }));
    Follow { heard }
}

/// Until nobody listens. Nothing to hand on: what is told is told.
async fn follow(mut links: Links, supervisor: actix::Addr<Supervisor>, tell: mpsc::Sender<Happening>) {
    while let Ok(store) = link::connected(&mut links).await {
        let (heard, mut changes) = mpsc::channel(16);
        let Ok(Some(ear)) = supervisor.send(Listen(heard)).await else { return };
        let Ok(watches) = watch(&store, &ear).await else {
            // What broke the request may not be known of the connection yet.
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => continue,
                () = tell.closed() => return,
            }
        };
        if tell.send(Happening::now("resumed")).await.is_err() {
            return;
        }
        let serial = store.serial();
        loop {
            tokio::select! {
                seen = changes.recv() => {
                    let Some(seen) = seen else { break };
                    if pass_on(&store, seen, &tell).await.is_err() {
                        return;
                    }
                }
                changed = links.changed() => match changed {
                    Ok(()) if is_same(&links.borrow(), serial) => {}
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = tell.closed() => return,
            }
        }
        drop(watches);
        if tell.send(Happening::now("interrupted")).await.is_err() {
            return;
        }
    }
}

fn is_same(link: &Link, serial: u64) -> bool {
    matches!(link, Link::Connected(store) if store.serial() == serial)
}

async fn watch(store: &Store, ear: &Recipient<ChangesSeen>) -> Result<Vec<Watch>, ReadError> {
    let mut watches = vec![store.watch_node(path::MASTER, ear.clone()).await?];
    for tree in [path::TASKS, path::HELD, path::ASSIGN, path::STATUS, path::WORKERS, path::CANCEL] {
        watches.push(store.watch_tree(tree, ear.clone()).await?);
    }
    Ok(watches)
}

/// Nobody listens any more.
struct Gone;

async fn pass_on(store: &Store, seen: ChangesSeen, tell: &mpsc::Sender<Happening>) -> Result<(), Gone> {
    let mut statuses = statuses(store, &seen.changes).await;
    for change in seen.changes {
        if let Some(happening) = happening(store, change, &mut statuses).await {
            tell.send(happening).await.map_err(|_| Gone)?;
        }
    }
    Ok(())
}

/// How the tasks ended that ended together, as far as their statuses could be read: a hundred by one request, however busy the cluster.
async fn statuses(store: &Store, changes: &[Change]) -> HashMap<TaskName, Node> {
    let ended = |change: &Change| if let Change::StatusAppeared(task) = change { Some(task.clone()) } else { None };
    let tasks: Vec<TaskName> = changes.iter().filter_map(ended).collect();
    let answers = reader::read_small_nodes(store, tasks.iter().map(path::status).collect()).await;
    tasks.into_iter().zip(answers).filter_map(|(task, (_, answer))| Some((task, answer.ok().flatten()?))).collect()
}

async fn happening(store: &Store, change: Change, statuses: &mut HashMap<TaskName, Node>) -> Option<Happening> {
    Some(match change {
        Change::OfficeTaken => elected(store).await,
        Change::OfficeVacant => Happening::now("master-left"),
        Change::TaskAppeared(task) => Happening::of_task("pending", task),
        Change::HeldAppeared(task) => Happening::of_task("held", task),
        Change::CancelAppeared(task) => Happening::of_task("cancel-asked", task),
        Change::AssignmentAppeared(worker, task) => Happening { task: Some(task), ..Happening::of_worker("assigned", worker) },
        Change::StatusAppeared(task) => {
            let status = statuses.remove(&task);
            ended(store, task, status).await
        }
        Change::WorkerAppeared(worker) => Happening::of_worker("worker-joined", worker),
        Change::WorkerGone(worker) => Happening::of_worker("worker-left", worker),
        // The other side of one of these, or nothing that people follow.
        _ => return None,
    })
}

async fn elected(store: &Store) -> Happening {
    let record = store.get(path::MASTER).await.ok().flatten();
    let record = record.and_then(|node| serde_json::from_slice::<CoordinatorRecord>(&node.data).ok());
    let (epoch, detail) = record.map_or((None, None), |record| (record.epoch, Some(record.name)));
    Happening { epoch, detail, ..Happening::now("master-elected") }
}

async fn ended(store: &Store, task: TaskName, status: Option<Node>) -> Happening {
    let result = match status {
        Some(status) => reading::of_status(store, &task, &status).await.ok(),
        None => None,
    };
    let Some(result) = result else { return Happening::of_task("ended", task) };
    Happening { worker: result.worker.clone(), epoch: result.epoch, detail: Some(result.why()), ..Happening::of_task("ended", task) }
}
