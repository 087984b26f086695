//! A toy ZooKeeper: one tree of the few nodes that election and fence touch, sessions with ephemerals, and transactions that are
//! applied as a whole or not at all. It is the leader's state: what followers, connections and clients make of it is not here.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_core::election::queue_prefix;
use bellwether_core::invariant::Committed;
use bellwether_core::protocol::{Applied, Multi, Op, Why, path};

/// The worker's registration.
pub(crate) const WORKER: &str = "/workers/w";
/// The worker's box.
pub(crate) const BOX: &str = "/assign/w";
/// The only task, while it is pending.
pub(crate) const TASK: &str = "/tasks/t";
/// The only task, while it is assigned.
pub(crate) const ASSIGNMENT: &str = "/assign/w/t";

/// Every path there is, but for the queue. Parents are layout that nobody deletes here.
const PATHS: [&str; 7] = [path::MASTER, path::EPOCH, path::FAREWELL, WORKER, BOX, TASK, ASSIGNMENT];

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Znode {
    /// Sets since its creation.
    pub(crate) version: i32,
    /// The session that owns it; 0 if persistent.
    pub(crate) owner: i64,
    /// Its data.
    pub(crate) data: Arc<[u8]>,
}

/// The state of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct ZooKeeper {
    nodes: [Option<Znode>; PATHS.len()],
    living: BTreeSet<i64>,
    /// The queue of standbys: sequence and session.
    queue: Vec<(u32, i64)>,
    entered: u32,
}

impl ZooKeeper {
    /// The node at `path`.
    pub(crate) fn node(&self, path: &str) -> Option<&Znode> {
        self.nodes[index(path)].as_ref()
    }

    /// The session that owns `/master`.
    pub(crate) fn office(&self) -> Option<i64> {
        self.node(path::MASTER).map(|node| node.owner)
    }

    /// The version of the epoch.
    pub(crate) fn epoch(&self) -> Option<i32> {
        self.node(path::EPOCH).map(|node| node.version)
    }

    /// Whether the session has not ended.
    pub(crate) fn lives(&self, session: i64) -> bool {
        self.living.contains(&session)
    }

    /// Sessions that have not ended.
    pub(crate) fn living(&self) -> impl Iterator<Item = i64> {
        self.living.iter().copied()
    }

    /// A session begins.
    pub(crate) fn begin(&mut self, session: i64) {
        self.living.insert(session);
    }

    /// A session ends, and everything ephemeral with it.
    pub(crate) fn end(&mut self, session: i64) -> Vec<Committed> {
        self.living.remove(&session);
        self.queue.retain(|(_, owner)| *owner != session);
        let mut changes = Vec::new();
        for (node, path) in self.nodes.iter_mut().zip(PATHS) {
            if node.take_if(|node| node.owner == session).is_some() {
                changes.push(Committed::Delete { path: path.to_owned() });
            }
        }
        changes
    }

    /// Names of the queue's nodes.
    pub(crate) fn queue(&self) -> impl Iterator<Item = (i64, String)> {
        self.queue.iter().map(|(sequence, session)| (*session, format!("{}{sequence:010}", queue_prefix(*session))))
    }

    /// A session enters the queue.
    pub(crate) fn enter_queue(&mut self, session: i64) {
        self.queue.push((self.entered, session));
        self.entered += 1;
    }

    /// A node of the queue is deleted, if it is there.
    pub(crate) fn leave_queue(&mut self, name: &str) {
        self.queue.retain(|(sequence, session)| name != format!("{}{sequence:010}", queue_prefix(*session)));
    }

    /// Applies a transaction, or says which of its operations was refused and why.
    pub(crate) fn commit(&mut self, session: i64, multi: &Multi) -> Result<(Applied, Vec<Committed>), (usize, Why)> {
        let before = self.nodes.clone();
        let mut applied = Applied::default();
        let mut changes = Vec::new();
        for (at, op) in multi.ops.iter().enumerate() {
            if let Err(why) = self.apply(session, op, at, &mut applied, &mut changes) {
                self.nodes = before;
                return Err((at, why));
            }
        }
        Ok((applied, changes))
    }

    fn apply(&mut self, session: i64, op: &Op, at: usize, applied: &mut Applied, changes: &mut Vec<Committed>) -> Result<(), Why> {
        let node = &mut self.nodes[index(op.path())];
        let path = op.path().to_owned();
        match op {
            Op::Check { version, .. } => expect(node, *version).map(drop),
            Op::Create { data, ephemeral, .. } => {
                if node.is_some() {
                    return Err(Why::NodeExists);
                }
                let owner = if *ephemeral { session } else { 0 };
                *node = Some(Znode { version: 0, owner, data: data.as_slice().into() });
                changes.push(Committed::Create { path, ephemeral: *ephemeral, data: None });
                Ok(())
            }
            Op::Set { data, version, .. } => {
                let found = expect(node, *version)?;
                found.version += 1;
                found.data = data.as_slice().into();
                applied.sets.push((at, found.version, 0));
                changes.push(Committed::Set { path, version: found.version, data: None });
                Ok(())
            }
            Op::Delete { version, .. } => {
                expect(node, *version)?;
                *node = None;
                changes.push(Committed::Delete { path });
                Ok(())
            }
        }
    }
}

fn expect(node: &mut Option<Znode>, version: Option<i32>) -> Result<&mut Znode, Why> {
    let found = node.as_mut().ok_or(Why::NoNode)?;
    match version {
        Some(version) if version != found.version => Err(Why::BadVersion),
        Some(_) | None => Ok(found),
    }
}

fn index(path: &str) -> usize {
    PATHS.iter().position(|known| *known == path).unwrap_or_else(|| panic!("the toy has no {path}"))
}
