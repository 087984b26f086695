//! Watches: where ZooKeeper's raw events become messages of actors, in the words of the domain.
//!
//! A watch lives as long as the connection. ZooKeeper's client does not register it again after a reconnect, and ZooKeeper does
//! not replay what was missed, so a watch dies with the first event of the session; the session actor reports the suspension, and
//! whoever needs the watch sets it again after `Resumed`, and lists again after that.

use std::future::Future;
use std::sync::Arc;

use actix::{Message, Recipient};
use bellwether_core::protocol::Change;
use bellwether_core::protocol::change::{self, Kind};
use futures::FutureExt;
use metrics::counter;
use zookeeper_client::{AddWatchMode, EventType, PersistentWatcher, WatchedEvent};

use crate::metrics as names;
use crate::store::{ReadError, Store};
use crate::zk_runtime;

/// What a watch saw since the last such message, in ZooKeeper's order. The next one is sent when this one was handled, so there is
/// at most one per watch in the mailbox, however much happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesSeen {
    /// Of which session: drop it at the door if that is not the current one.
    pub serial: u64,
    /// Never empty.
    pub changes: Vec<Change>,
}

impl Message for ChangesSeen {
    type Result = ();
}

/// A registered watch. It ends when this is dropped, and by itself when the session is suspended or ends.
#[must_use = "a watch ends when its handle is dropped"]
#[derive(Debug)]
pub struct Watch {
    _task: zk_runtime::Bound,
}

impl Store {
    /// Watches a node and everything below it. Resolves when ZooKeeper has registered the watch: a list made afterwards misses
    /// nothing. Set no other kind of watch on the same path (ZOOKEEPER-4466).
    ///
    /// # Errors
    /// [`ReadError`]; then there is no watch.
    pub fn watch_tree(&self, path: &str, sink: Recipient<ChangesSeen>) -> impl Future<Output = Result<Watch, ReadError>> + Send + use<> {
        self.watch(path, AddWatchMode::PersistentRecursive, sink)
    }

    /// Watches one node, whether or not it exists: its creation, deletion and sets. Otherwise as [`Store::watch_tree`].
    ///
    /// # Errors
    /// [`ReadError`]; then there is no watch.
    pub fn watch_node(&self, path: &str, sink: Recipient<ChangesSeen>) -> impl Future<Output = Result<Watch, ReadError>> + Send + use<> {
        self.watch(path, AddWatchMode::Persistent, sink)
    }

    fn watch(
        &self,
        path: &str,
        mode: AddWatchMode,
        sink: Recipient<ChangesSeen>,
    ) -> impl Future<Output = Result<Watch, ReadError>> + Send + use<> {
        let path: Arc<str> = path.into();
        let asked = Arc::clone(&path);
        let serial = self.serial();
        let reply = self.request("watch", move |client| async move { client.watch(&path, mode).await });
        async move {
            let watcher = reply.await.read(&asked)?;
            let tree = tree_of(&asked);
            Ok(Watch { _task: zk_runtime::spawn_bound(follow(watcher, tree, serial, sink)) })
        }
    }
}

/// The subtree as a label: its first component, which is one of few.
fn tree_of(path: &str) -> &'static str {
    match path.split('/').nth(1) {
        Some("master") => "master",
        Some("tasks") => "tasks",
        Some("assign") => "assign",
        Some("workers") => "workers",
        Some("status") => "status",
        Some("bellwether") => "bellwether",
        _ => "other",
    }
}

async fn follow(mut watcher: PersistentWatcher, tree: &'static str, serial: u64, sink: Recipient<ChangesSeen>) {
    let mut seen = Vec::new();
    loop {
        // Never polled again after an event of the session: it would panic.
        if seen.is_empty() && note(watcher.changed().await, tree, &mut seen).is_break() {
            return;
        }
        while let Some(event) = watcher.changed().now_or_never() {
            if note(event, tree, &mut seen).is_break() {
                return;
            }
        }
        if seen.is_empty() {
            continue;
        }
        let mut delivery = std::pin::pin!(sink.send(ChangesSeen { serial, changes: std::mem::take(&mut seen) }));
        loop {
            tokio::select! {
                handled = &mut delivery => match handled {
                    Ok(()) => break,
                    Err(_) => return,
                },
                // Listened to all the while, so that nothing that still waits for room in the mailbox is delivered after a
                // suspension, when it would contradict what was read since.
                event = watcher.changed() => if note(event, tree, &mut seen).is_break() {
                    return;
                },
            }
        }
    }
}

fn note(event: WatchedEvent, tree: &'static str, seen: &mut Vec<Change>) -> std::ops::ControlFlow<()> {
    let kind = match event.event_type {
        EventType::NodeCreated => Kind::Created,
        EventType::NodeDeleted => Kind::Deleted,
        EventType::NodeDataChanged => Kind::Set,
        EventType::NodeChildrenChanged => return std::ops::ControlFlow::Continue(()),
        EventType::Session => return std::ops::ControlFlow::Break(()),
    };
    counter!(names::ZK_WATCH_EVENTS_TOTAL, "tree" => tree).increment(1);
    seen.extend(change::of_event(kind, &event.path));
    std::ops::ControlFlow::Continue(())
}
