//! A worker that is registered and does nothing.

use bellwether_core::protocol::record::{WorkerRecord, encode};
use bellwether_core::protocol::{Multi, PROTOCOL_VERSION};

use crate::{Cluster, Tree};

/// A worker that only stands there, with so many slots, in a session of its own; it says that it has a task for at most so long.
///
/// # Panics
/// It cannot be registered.
#[must_use]
pub fn dummy(cluster: &Cluster, name: &str, slots: u32, patience_ms: Option<u64>) -> Tree {
    let tree = cluster.zookeeper().tree(cluster.root());
    let record = WorkerRecord {
        bellwether: PROTOCOL_VERSION,
        name: name.to_owned(),
        host: "nowhere".to_owned(),
        pid: 1,
        slots,
        labels: Default::default(),
        resources: Default::default(),
        kinds: Default::default(),
        commands: true,
        http: String::new(),
        version: String::new(),
        patience_ms,
        replaces: None,
        since: None,
    };
    let me = format!("{name}-{:016x}", tree.session());
    tree.commit(&Multi::new().create(format!("/assign/{me}"), "").create_ephemeral(format!("/workers/{me}"), encode(&record)));
    tree
}
