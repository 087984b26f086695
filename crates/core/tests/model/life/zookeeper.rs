//! A toy ZooKeeper: one tree, sessions with ephemerals, and transactions that are applied as a whole or not at all. It is the leader's
//! state. A follower that lags behind is not modelled apart: since nobody talks to anybody else, what is read from it is what would
//! have been read earlier, and every read here may be executed at any time before its answer is handed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_core::invariant::Committed;
use bellwether_core::protocol::{Applied, Multi, Node, Op, Stat, Why, layout, path};

/// One node that is not of the layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Znode {
    pub(crate) version: i32,
    /// The session that owns it; 0 if persistent.
    pub(crate) owner: i64,
    /// Which creation it was.
    pub(crate) czxid: i64,
    pub(crate) data: Arc<[u8]>,
}

/// The state of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct ZooKeeper {
    nodes: BTreeMap<Arc<str>, Znode>,
    /// Nodes of the layout that somebody deleted.
    missing: BTreeSet<&'static str>,
    /// Nodes of the layout that were created again, and which creation that was.
    reborn: BTreeMap<&'static str, i64>,
    living: BTreeSet<i64>,
    opened: i64,
    /// Creations of tasks and assignments so far: only these are told apart by their czxid.
    created: i64,
}

pub(crate) type Execution = Result<(Applied, Vec<Committed>), (usize, Why)>;

impl ZooKeeper {
    pub(crate) fn open(&mut self) -> i64 {
        self.opened += 1;
        self.living.insert(self.opened);
        self.opened
    }

    /// A session that somebody else numbered.
    pub(crate) fn begin(&mut self, session: i64) {
        self.living.insert(session);
    }

    pub(crate) fn lives(&self, session: i64) -> bool {
        self.living.contains(&session)
    }

    /// Ends a session; what it owned goes in one transaction.
    pub(crate) fn end(&mut self, session: i64) -> Vec<Committed> {
        self.living.remove(&session);
        let owned: Vec<_> = self.nodes.iter().filter(|(_, node)| node.owner == session).map(|(path, _)| path.clone()).collect();
        owned.into_iter().map(|path| self.remove(&path)).collect()
    }

    fn remove(&mut self, path: &str) -> Committed {
        self.nodes.remove(path);
        Committed::Delete { path: path.to_owned() }
    }

    pub(crate) fn znode(&self, path: &str) -> Option<&Znode> {
        self.nodes.get(path)
    }

    pub(crate) fn get(&self, path: &str) -> Option<Node> {
        let node = self.nodes.get(path)?;
        let stat = Stat { czxid: node.czxid, mzxid: node.czxid, version: node.version, ephemeral_owner: node.owner, ..Stat::default() };
        Some(Node { data: node.data.to_vec(), stat })
    }

    fn is_there(&self, path: &str) -> bool {
        match layout::node(path) {
            Some(node) => !self.missing.contains(node),
            None => self.nodes.contains_key(path),
        }
    }

    /// Names of the children; `None` if the node is not there.
    pub(crate) fn children(&self, path: &str) -> Option<Vec<String>> {
        self.is_there(path).then(|| {
            let prefix = format!("{path}/");
            let below = self.nodes.range(Arc::from(prefix.as_str())..).take_while(|(path, _)| path.starts_with(&prefix));
            below.map(|(path, _)| path[prefix.len()..].to_owned()).filter(|name| !name.contains('/')).collect()
        })
    }

    /// Paths of all nodes at or below this one.
    fn below(&self, path: &str) -> Vec<Arc<str>> {
        let prefix = format!("{path}/");
        self.nodes.keys().filter(|other| &***other == path || other.starts_with(&prefix)).cloned().collect()
    }

    /// Deletes a node with all that is below it.
    pub(crate) fn delete_all(&mut self, path: &str) -> Vec<Committed> {
        let mut changes: Vec<_> = self.below(path).into_iter().rev().map(|path| self.remove(&path)).collect();
        if let Some(node) = layout::node(path) {
            self.missing.insert(node);
            changes.push(Committed::Delete { path: path.to_owned() });
        }
        changes
    }

    /// Everything is gone, as if the servers had been given empty disks. Numbers of sessions and transactions do not repeat.
    pub(crate) fn reset(&mut self) {
        let Self { opened, created, .. } = *self;
        *self = Self { opened, created, ..Self::default() };
        self.missing.extend(layout::NODES);
    }

    /// Creates what is missing of the layout.
    pub(crate) fn mend(&mut self) {
        for node in std::mem::take(&mut self.missing) {
            self.created += 1;
            self.reborn.insert(node, self.created);
        }
    }

    /// Which creation a node of the layout is.
    pub(crate) fn age(&self, node: &'static str) -> Option<i64> {
        (!self.missing.contains(node)).then(|| self.reborn.get(node).copied().unwrap_or_default())
    }

    /// Creates the epoch, at a version that no earlier one had.
    pub(crate) fn create_epoch(&mut self) -> Vec<Committed> {
        let version = 10 * i32::try_from(self.opened).expect("few sessions");
        self.nodes.insert(path::EPOCH.into(), Znode { version, owner: 0, czxid: 0, data: [].into() });
        vec![
            Committed::Create { path: path::EPOCH.to_owned(), ephemeral: false, data: None },
            Committed::Set { path: path::EPOCH.to_owned(), version, data: None },
        ]
    }

    /// Applies a transaction, or says which of its operations was refused and why.
    pub(crate) fn commit(&mut self, session: i64, multi: &Multi) -> Execution {
        let before = (self.nodes.clone(), self.created);
        let (mut applied, mut changes) = (Applied::default(), Vec::new());
        for (at, op) in multi.ops.iter().enumerate() {
            if let Err(why) = self.apply(session, op, at, &mut applied, &mut changes) {
                (self.nodes, self.created) = before;
                return Err((at, why));
            }
        }
        Ok((applied, changes))
    }

    fn apply(&mut self, session: i64, op: &Op, at: usize, applied: &mut Applied, changes: &mut Vec<Committed>) -> Result<(), Why> {
        let path = op.path();
        let owned = path.to_owned();
        changes.push(match op {
            Op::Check { version, .. } => Committed::Check { path: owned, version: self.expect(path, *version)?.version },
            Op::Create { data, ephemeral, .. } => {
                self.create(path, data, if *ephemeral { session } else { 0 })?;
                Committed::Create { path: owned, ephemeral: *ephemeral, data: Some(data.clone()) }
            }
            Op::Set { data, version, .. } => {
                if self.is_there(path) && layout::node(path).is_some() {
                    // What a node of the layout says is kept from its first set on.
                    self.nodes.entry(path.into()).or_insert(Znode { version: 0, owner: 0, czxid: 0, data: [].into() });
                }
                let node = self.expect(path, *version)?;
                node.version += 1;
                node.data = data.as_slice().into();
                applied.sets.push((at, node.version, 0));
                Committed::Set { path: owned, version: node.version, data: Some(data.clone()) }
            }
            Op::Delete { version, .. } => {
                self.expect(path, *version)?;
                if self.below(path).len() > 1 {
                    return Err(Why::NotEmpty);
                }
                self.remove(path)
            }
        });
        Ok(())
    }

    fn create(&mut self, path: &str, data: &[u8], owner: i64) -> Result<(), Why> {
        let parent = &path[..path.rfind('/').expect("absolute")];
        if !parent.is_empty() && !self.is_there(parent) {
            return Err(Why::NoNode);
        }
        if self.nodes.contains_key(path) {
            return Err(Why::NodeExists);
        }
        let depth = path.matches('/').count();
        if (path.starts_with(path::ASSIGN) && depth == 3) || path.starts_with(path::TASKS) || path.starts_with(path::HELD) {
            self.created += 1;
        }
        self.nodes.insert(path.into(), Znode { version: 0, owner, czxid: self.created, data: data.into() });
        Ok(())
    }

    fn expect(&mut self, path: &str, version: Option<i32>) -> Result<&mut Znode, Why> {
        let found = self.nodes.get_mut(path).ok_or(Why::NoNode)?;
        match version {
            Some(version) if version != found.version => Err(Why::BadVersion),
            Some(_) | None => Ok(found),
        }
    }
}
