//! Workers that are registered and do nothing.

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
    tree.commit(&registration(&tree, &WorkerRecord { patience_ms, ..record(name, slots) }));
    tree
}

/// So many of them in one session, each with so many slots.
///
/// # Panics
/// They cannot be registered.
#[must_use]
pub fn crowd(cluster: &Cluster, count: usize, slots: u32) -> Tree {
    let tree = cluster.zookeeper().tree(cluster.root());
    tree.create_all("/workers");
    tree.create_all("/assign");
    (0..count).for_each(|number| tree.commit(&registration(&tree, &record(&format!("bystander{number}"), slots))));
    tree
}

fn registration(tree: &Tree, record: &WorkerRecord) -> Multi {
    let me = format!("{}-{:016x}", record.name, tree.session());
    Multi::new().create(format!("/assign/{me}"), "").create_ephemeral(format!("/workers/{me}"), encode(record))
}

fn record(name: &str, slots: u32) -> WorkerRecord {
    WorkerRecord {
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
        patience_ms: None,
        replaces: None,
        since: None,
    }
}
