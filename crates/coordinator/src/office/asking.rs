//! What the office asks of ZooKeeper. Each question is a task on ZooKeeper's runtime that posts its answer back.

use actix::{Addr, AsyncContext, Context};
use bellwether_common::store::{ReadError, Store};
use bellwether_common::{clock, zk_runtime};
use bellwether_core::election::{Event, Holder, Office as Seen, queue_prefix};
use bellwether_core::protocol::record::encode;
use bellwether_core::protocol::{Multi, Node, Outcome, Refusal, Why, path};
use tracing::{debug, warn};

use super::{Armed, Keep, Office, Told};

impl Office {
    /// Runs a question and posts its answer. Bounded: the election has a handful of questions open at any time.
    fn ask(&self, context: &Context<Self>, question: impl Future<Output = Event> + Send + 'static) {
        let (serial, own) = (self.serial(), context.address());
        zk_runtime::spawn(async move {
            let event = question.await;
            own.do_send(Told { serial, event });
        });
    }

    pub(super) fn enter_queue(&mut self, context: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let prefix = path::standby(&queue_prefix(store.session_id()));
        let entering = store.enqueue_ephemeral(&prefix, encode(self.election.candidate()));
        self.ask(context, async move {
            let (outcome, name) = entering.await;
            debug!(%outcome, name, "entered the queue of standbys");
            match outcome {
                Outcome::Applied(_) | Outcome::Unknown => Event::QueueEntered,
                Outcome::Refused(_) => mend_layout(&store).await,
            }
        });
    }

    pub(super) fn read_queue(&mut self, context: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let reading = store.children(path::STANDBYS);
        self.ask(context, async move {
            match reading.await {
                Ok(Some(names)) => Event::QueueRead(names),
                Ok(None) => mend_layout(&store).await,
                Err(error) => failed(path::STANDBYS, &error),
            }
        });
    }

    pub(super) fn watch_office(&mut self, context: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        if self.office_watch.is_some() {
            return self.read_office(context);
        }
        let (serial, connection, own) = (self.serial(), self.connection, context.address());
        let watching = store.watch_node(path::MASTER, own.clone().recipient());
        self.ask(context, async move {
            match watching.await {
                Ok(watch) => {
                    own.do_send(Keep { serial, connection, armed: Armed::Office(watch) });
                    read_office(&store).await
                }
                Err(error) => failed(path::MASTER, &error),
            }
        });
    }

    pub(super) fn watch_predecessor(&mut self, name: String, context: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        if self.predecessor_watch.as_ref().is_some_and(|(watched, _)| *watched == name) {
            return;
        }
        let (serial, connection, own) = (self.serial(), self.connection, context.address());
        let node = path::standby(&name);
        let watching = store.watch_node(&node, own.clone().recipient());
        zk_runtime::spawn(async move {
            let event = watch_predecessor(&store, &own, (serial, connection), name, watching).await;
            if let Some(event) = event {
                own.do_send(Told { serial, event });
            }
        });
    }

    pub(super) fn read_office(&mut self, context: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        self.ask(context, async move { read_office(&store).await });
    }

    pub(super) fn commit(&mut self, op: &'static str, multi: Multi, context: &Context<Self>, event: fn(Outcome) -> Event) {
        let Some(store) = self.store.clone() else { return };
        let committing = store.commit(multi);
        self.ask(context, async move {
            let outcome = committing.await;
            debug!(op, %outcome, "committed");
            event(outcome)
        });
    }

    pub(super) fn create_epoch(&mut self, multi: Multi, context: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let creating = store.commit(multi);
        self.ask(context, async move {
            match creating.await {
                Outcome::Applied(_) | Outcome::Refused(Refusal::At { why: Why::NodeExists, .. }) => Event::EpochCreated,
                // Its parent is missing, or nobody knows: mend, wait, and look at what is there.
                Outcome::Refused(_) | Outcome::Unknown => mend_layout(&store).await,
            }
        });
    }

    pub(super) fn leave_queue(&mut self, node: &str) {
        let Some(store) = self.store.clone() else { return };
        let leaving = store.commit(Multi::new().delete(path::standby(node), None));
        zk_runtime::spawn(async move {
            // Whatever happens: the node goes with the session at the latest.
            let outcome = leaving.await;
            debug!(%outcome, "left the queue of standbys");
        });
    }

    pub(super) fn prove(&mut self, epoch: i32, nonce: u64, context: &Context<Self>) {
        let Some(pen) = self.pen_of(epoch) else { return };
        let sent = clock::now().mono;
        let proving = pen.prove();
        self.ask(context, async move { Event::ProofEnded { nonce, outcome: proving.await, sent } });
    }

    pub(super) fn watch_step_down(&mut self, context: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        if self.step_down_watch.is_some() {
            return self.ask(context, async move { read_step_down(&store).await });
        }
        let (serial, connection, own) = (self.serial(), self.connection, context.address());
        let watching = store.watch_node(path::STEP_DOWN, own.clone().recipient());
        self.ask(context, async move {
            match watching.await {
                Ok(watch) => {
                    own.do_send(Keep { serial, connection, armed: Armed::StepDown(watch) });
                    read_step_down(&store).await
                }
                Err(error) => unread(&error),
            }
        });
    }

    pub(super) fn remove_step_down(&mut self, epoch: i32, multi: Multi, context: &Context<Self>) {
        let Some(pen) = self.pen_of(epoch) else { return };
        let (serial, own) = (self.serial(), context.address());
        let removing = pen.write_as("housekeeping", multi);
        zk_runtime::spawn(async move {
            let outcome = removing.await;
            debug!(%outcome, "removed a wish for a term that is over");
            let event = match outcome {
                Outcome::Unknown => Event::WriteUnknown,
                Outcome::Refused(Refusal::Fence(_)) => Event::WriteFenced,
                Outcome::Applied(_) | Outcome::Refused(_) => return,
            };
            // One for each such wish.
            own.do_send(Told { serial, event });
        });
    }

    pub(super) fn say_farewell(&mut self, epoch: i32, multi: Multi, context: &Context<Self>) {
        let Some(pen) = self.pen_of(epoch) else { return };
        pen.reopen();
        let writing = pen.write_as("housekeeping", multi);
        self.ask(context, async move {
            let outcome = writing.await;
            debug!(%outcome, "said farewell");
            Event::FarewellEnded
        });
    }
}

async fn watch_predecessor(
    store: &Store,
    own: &Addr<Office>,
    (serial, connection): (u64, u64),
    name: String,
    watching: impl Future<Output = Result<bellwether_common::watch::Watch, ReadError>>,
) -> Option<Event> {
    let node = path::standby(&name);
    match watching.await {
        Ok(watch) => own.do_send(Keep { serial, connection, armed: Armed::Predecessor(name, watch) }),
        Err(error) => return Some(failed(&node, &error)),
    }
    // It may have gone before it was watched.
    match store.stat(&node).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(Event::PredecessorGone),
        Err(error) => Some(failed(&node, &error)),
    }
}

async fn mend_layout(store: &Store) -> Event {
    if let Err(error) = store.ensure_layout().await {
        warn!(%error, "the layout is incomplete and could not be mended");
    }
    Event::ReadFailed
}

fn failed(path: &str, error: &ReadError) -> Event {
    debug!(path, %error, "a read of the election failed");
    Event::ReadFailed
}

/// What may not be read asks for nothing. An answer that was cut off is asked for again once the office is proven anew.
async fn read_step_down(store: &Store) -> Event {
    match store.get(path::STEP_DOWN).await {
        Ok(node) => Event::StepDownRead(node.map(|Node { data, stat }| (stat.version, data))),
        Err(error) => unread(&error),
    }
}

fn unread(error: &ReadError) -> Event {
    match error {
        ReadError::Interrupted => Event::WriteUnknown,
        ReadError::NoAuth { .. } | ReadError::BadPath { .. } => {
            warn!(path = path::STEP_DOWN, %error, "nobody can ask this master to step down");
            Event::StepDownRead(None)
        }
    }
}

/// The office behind a `sync`: one round trip, because all four requests travel together.
async fn read_office(store: &Store) -> Event {
    let synced = store.sync();
    let (holder, epoch, farewell) = (store.get(path::MASTER), store.get(path::EPOCH), store.get(path::FAREWELL));
    if let Err(error) = synced.await {
        return failed(path::MASTER, &error);
    }
    match (holder.await, epoch.await, farewell.await) {
        (Ok(holder), Ok(epoch), Ok(farewell)) => Event::OfficeRead(Seen {
            holder: holder.map(|Node { data, stat }| Holder { owner: stat.ephemeral_owner, version: stat.version, data }),
            epoch: epoch.map(|Node { data, stat }| (stat.version, data)),
            farewell: farewell.map(|node| node.data).unwrap_or_default(),
        }),
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => failed(path::MASTER, &error),
    }
}
