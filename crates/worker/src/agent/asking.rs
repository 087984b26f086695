//! What the agent asks of ZooKeeper: watches, lists, reads and transactions. Each is sent at once, in core's order, and awaited by a
//! task on ZooKeeper's runtime that posts the answer.

use std::time::Duration;

use actix::{AsyncContext, Context, Message};
use bellwether_common::pen::Pen;
use bellwether_common::reader;
use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_common::watch::Watch;
use bellwether_common::{clock, signing, zk_runtime};
use bellwether_core::agent::Event;
use bellwether_core::master::Reading;
use bellwether_core::protocol::array::{Lines, PieceOrder};
use bellwether_core::protocol::{Multi, Node, TaskName, WorkerId, path};
use bellwether_core::view::Question;
use tracing::{debug, warn};

use super::{AgentActor, Live, RETRY_AFTER};
use crate::executor::LinesRead;
use crate::observe;

/// An answer from a session.
pub(super) struct Posted {
    pub(super) serial: u64,
    pub(super) answer: Answer,
}

impl Message for Posted {
    type Result = ();
}

/// What a question led to.
pub(super) enum Answer {
    /// This, whatever it is.
    Told(Event),
    /// What was read; the error if something was not.
    Read(Vec<Event>, Option<ReadError>),
    /// Watches that were armed before this was read, and on which connection.
    Watching(u64, Vec<Watch>, Vec<Event>),
    /// Whether the layout is complete.
    Mended(Result<(), LayoutError>),
}

impl AgentActor {
    /// Awaits what was sent, and posts it. Bounded by what core asks: a few questions of each sort, and one transaction.
    pub(super) fn post(&self, context: &Context<Self>, answer: impl Future<Output = Answer> + Send + 'static) {
        let Some(serial) = self.live.as_ref().map(|live| live.store.serial()) else { return };
        let own = context.address();
        zk_runtime::spawn(async move {
            let answer = answer.await;
            own.do_send(Posted { serial, answer });
        });
    }

    pub(super) fn register(&mut self, multi: Multi, context: &Context<Self>) {
        let Some(live) = &mut self.live else { return };
        // An earlier attempt may have ended unknown; core has read since that nothing came of it.
        live.new_pen();
        let writing = live.pen.write_as("register", multi);
        self.post(context, async move { Answer::Told(Event::RegisterEnded(writing.await)) });
    }

    pub(super) fn read_registration(&self, context: &Context<Self>) {
        let (Some(live), Some(me)) = (&self.live, self.agent.me()) else { return };
        let (caught_up, stat) = (live.store.sync(), live.store.stat(&path::worker(me)));
        let read = async move {
            caught_up.await?;
            Ok(Event::RegistrationRead(stat.await?.is_some()))
        };
        self.post(context, async move { one(read.await) });
    }

    /// The watches are armed before the list is made, and the list is not older than this question.
    pub(super) fn resync(&mut self, question: Question, context: &Context<Self>) {
        let (Some(live), Some(me)) = (&mut self.live, self.agent.me()) else { return };
        self.observer.resync();
        live.new_pen();
        let connection = live.connection;
        let assign_box = path::assign_box(me);
        let own = || context.address().recipient();
        let mut arming: Vec<futures::future::BoxFuture<'static, Result<Watch, ReadError>>> = Vec::new();
        // Those of this connection go on.
        if live.watches.is_empty() {
            arming.push(Box::pin(live.store.watch_tree(&assign_box, own())));
            arming.push(Box::pin(live.store.watch_node(&path::worker(me), own())));
            arming.push(Box::pin(live.store.watch_node(path::EPOCH, own())));
            for request in requests_to(me) {
                arming.push(Box::pin(live.store.watch_node(&request, own())));
            }
        }
        let (caught_up, listing) = (live.store.sync(), live.store.children(&assign_box));
        let asked = requests_read(&live.store, me, question);
        let synced = async move {
            let watches = futures::future::try_join_all(arming).await?;
            caught_up.await?;
            let asked = asked.await?;
            let tasks = listing.await?.map(|names| names.iter().map(|name| TaskName::listed(name)).collect());
            Ok((watches, vec![asked, Event::BoxListed(question, tasks)]))
        };
        self.post(context, async move {
            match synced.await {
                Ok((watches, events)) => Answer::Watching(connection, watches, events),
                Err(error) => Answer::Read(Vec::new(), Some(error)),
            }
        });
    }

    /// All assignments that core asked for in one turn, many by one request.
    pub(super) fn read_assignments(&self, asked: Vec<(Question, TaskName)>, context: &Context<Self>) {
        let (Some(live), Some(me)) = (&self.live, self.agent.me()) else { return };
        if asked.is_empty() {
            return;
        }
        let paths = asked.iter().map(|(_, task)| path::assignment(me, task)).collect();
        let answers = reader::read_small_nodes(&live.store, paths);
        self.post(context, async move {
            let mut cut_off = None;
            let readings = asked.into_iter().zip(answers.await).filter_map(|((question, task), (_, answer))| {
                let reading = reading(answer).map_err(|error| cut_off = Some(error)).ok()?;
                Some(Event::AssignmentRead(question, task, reading))
            });
            let events = readings.collect();
            Answer::Read(events, cut_off)
        });
    }

    pub(super) fn read_record(&self, question: Question, task: TaskName, path: &str, context: &Context<Self>) {
        let Some(live) = &self.live else { return };
        let answer = live.store.get(path);
        self.post(context, async move { one(reading(answer.await).map(|found| Event::RecordRead(question, task, found))) });
    }

    pub(super) fn read_array(&self, question: Question, task: TaskName, array: &TaskName, context: &Context<Self>) {
        let Some(live) = &self.live else { return };
        let answer = live.store.get(&path::array(array));
        self.post(context, async move { one(reading(answer.await).map(|found| Event::ArrayRead(question, task, found))) });
    }

    pub(super) fn read_requests(&self, question: Question, context: &Context<Self>) {
        let (Some(live), Some(me)) = (&self.live, self.agent.me()) else { return };
        let asked = requests_read(&live.store, me, question);
        self.post(context, async move { one(asked.await) });
    }

    pub(super) fn read_epoch(&self, context: &Context<Self>) {
        let Some(live) = &self.live else { return };
        let reading = live.store.get(path::EPOCH);
        self.post(context, async move {
            let epoch = |node: Node| Event::EpochRead { epoch: node.stat.version, mzxid: node.stat.mzxid };
            match reading.await {
                Ok(found) => Answer::Read(found.map(epoch).into_iter().collect(), None),
                Err(error) => Answer::Read(Vec::new(), Some(error)),
            }
        });
    }

    pub(super) fn write(&mut self, id: u64, multi: Multi, context: &Context<Self>) {
        let Some(live) = &self.live else { return };
        self.observer.writing(id, &multi);
        let writing = live.pen.write_as(observe::purpose(&multi), multi);
        self.post(context, async move { Answer::Told(Event::WriteEnded(id, writing.await)) });
    }

    /// The proof is as old as the question: what happens on the way, or while it waits to be heard, is not proven.
    pub(super) fn prove(&self, nonce: u64, context: &Context<Self>) {
        let Some(live) = &self.live else { return };
        let sent: Duration = clock::now().mono;
        let proof = live.store.sync();
        self.post(context, async move {
            let answered = proof.await.is_ok();
            Answer::Told(Event::ProofEnded { nonce, answered, sent })
        });
    }

    pub(super) fn mend_layout(&mut self, context: &Context<Self>) {
        let Some(live) = self.live.as_mut().filter(|live| !live.mending) else { return };
        live.mending = true;
        let store = live.store.clone();
        self.post(context, async move { Answer::Mended(store.ensure_layout().await) });
    }

    /// What waits for the layout waits until it is complete: nobody else would ask again.
    pub(super) fn mended(&mut self, mended: Result<(), LayoutError>, context: &mut Context<Self>) {
        let Some(live) = &mut self.live else { return };
        live.mending = false;
        let Err(error) = mended else { return self.feed(Event::LayoutMended, context) };
        match error {
            LayoutError::Read(error) => debug!(%error, "the layout could not be looked at, trying again"),
            LayoutError::NotLaidOut { .. } | LayoutError::Denied { .. } | LayoutError::Refused { .. } => {
                warn!(%error, "the layout is incomplete, trying again")
            }
        }
        context.run_later(RETRY_AFTER, |actor, context| actor.mend_layout(context));
    }
}

impl Live {
    /// One that nothing of before can close.
    fn new_pen(&mut self) {
        self.pen = Pen::plain(self.store.clone());
    }
}

/// The lines of a piece's elements, from the chunks in which they are; `None` for one that is not there.
pub(super) fn read_lines(store: Store, piece: PieceOrder, lines: Lines) -> LinesRead {
    Box::pin(async move {
        let mut read = Vec::new();
        let mut chunk: Option<(u32, Vec<String>)> = None;
        for element in piece.span().elements() {
            let from = lines.chunk_of(element)?;
            if chunk.as_ref().is_none_or(|(known, _)| *known != from) {
                let node = reading(store.get(&path::array_lines_chunk(&piece.array, from)).await).ok()?;
                let data = if let Reading::Found(node) = node { as_submitted(&lines, from, &node.data) } else { None };
                chunk = Some((from, data.unwrap_or_default()));
            }
            let index = usize::try_from(element - from).ok()?;
            read.push(chunk.as_ref().and_then(|(_, lines)| lines.get(index)).cloned());
        }
        Some(read)
    })
}

/// The lines of a chunk; `None` if they are not those whose digest was submitted.
fn as_submitted(lines: &Lines, from: u32, data: &[u8]) -> Option<Vec<String>> {
    let genuine = lines.digest_of(from).is_none_or(|digest| signing::digest(data) == digest);
    if genuine { Lines::decode_chunk(data) } else { None }
}

/// What people ask of this worker, and what the master asks of this incarnation.
fn requests_to(me: &WorkerId) -> [String; 2] {
    [path::worker_request(me.operator_name().unwrap_or_default()), path::worker_request(me.as_str())]
}

/// Sent at once, both together.
fn requests_read(store: &Store, me: &WorkerId, question: Question) -> impl Future<Output = Result<Event, ReadError>> + Send + use<> {
    let [drain, recall] = requests_to(me).map(|path| store.get(&path));
    async move { Ok(Event::RequestsRead { question, drain: reading(drain.await)?, recall: reading(recall.await)? }) }
}

pub(super) fn one(read: Result<Event, ReadError>) -> Answer {
    match read {
        Ok(event) => Answer::Told(event),
        Err(error) => Answer::Read(Vec::new(), Some(error)),
    }
}

fn reading(answer: Result<Option<Node>, ReadError>) -> Result<Reading, ReadError> {
    match answer {
        Ok(Some(node)) => Ok(Reading::Found(node)),
        Ok(None) => Ok(Reading::Absent),
        // A name that ZooKeeper listed but that its client will not send is as good as forbidden.
        Err(ReadError::NoAuth { .. } | ReadError::BadPath { .. }) => Ok(Reading::Denied),
        Err(ReadError::Interrupted) => Err(ReadError::Interrupted),
    }
}
