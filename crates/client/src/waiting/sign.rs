//! The nodes that say that we wait, as the core orders them to be made and deleted.

use actix::{AsyncContext, Context, Handler, Message};
use bellwether_common::store::Store;
use bellwether_common::zk_runtime;
use bellwether_core::protocol::record::{self, WaiterRecord};
use bellwether_core::protocol::{Multi, Outcome, PROTOCOL_VERSION, Refusal, TaskName, Why, path};
use bellwether_core::waiting::Event;
use tracing::debug;

use super::{Heard, Waiting};

/// How many nodes say that we wait, when one was made anew: see [`Renew`](bellwether_core::waiting::Effect::Renew).
const NODES_KEPT: usize = 2;

/// These nodes, that said that we wait, are gone.
struct Retired(Vec<String>);

impl Message for Retired {
    type Result = ();
}

impl Waiting {
    /// Its name says whose it is: that it is there already means that it is ours.
    pub(super) fn register(&mut self, tasks: Vec<TaskName>, anew: bool, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let own = path::waiter(&format!("{:016x}-", store.session_id()));
        // Those of an earlier session have gone with it.
        self.said.retain(|said| said.starts_with(&own));
        if anew || self.said.is_empty() {
            self.nodes += 1;
            self.said.push_back(format!("{own}{}", self.nodes));
        }
        let Some(node) = self.said.back().cloned() else { return };
        let kept = if anew { NODES_KEPT } else { usize::MAX };
        let retired: Vec<String> = self.said.iter().take(self.said.len().saturating_sub(kept)).cloned().collect();
        let said = record::encode(&WaiterRecord { bellwether: PROTOCOL_VERSION, by: self.submitter.clone(), tasks });
        let (actor, round) = (ctx.address(), self.round);
        zk_runtime::spawn(async move {
            if say(&store, &node, said).await {
                // One per connection, and one for a thousand results.
                actor.do_send(Heard { round, event: Event::Registered });
                let gone = retire(&store, retired).await;
                if !gone.is_empty() {
                    actor.do_send(Retired(gone));
                }
            }
        });
    }

    pub(super) fn unregister(&mut self) {
        let nodes = std::mem::take(&mut self.said).into();
        if let Some(store) = self.store.clone() {
            zk_runtime::spawn(async move { retire(&store, nodes).await });
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

/// Deletes nodes that are needed no more; those that are gone. What becomes of the others nobody knows: they are deleted again.
async fn retire(store: &Store, nodes: Vec<String>) -> Vec<String> {
    let mut gone = Vec::with_capacity(nodes.len());
    for node in nodes {
        match store.commit(Multi::new().delete(node.as_str(), None)).await {
            Outcome::Applied(_) | Outcome::Refused(Refusal::At { .. }) => gone.push(node),
            Outcome::Unknown | Outcome::Refused(Refusal::Whole(_) | Refusal::Fence(_)) => {}
        }
    }
    gone
}

impl Handler<Retired> for Waiting {
    type Result = ();

    fn handle(&mut self, Retired(gone): Retired, _: &mut Self::Context) {
        self.said.retain(|said| !gone.contains(said));
    }
}
