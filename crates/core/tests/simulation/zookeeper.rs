//! A toy ZooKeeper: one tree, sessions with ephemerals, transactions that are applied as a whole or not at all. Every commit is
//! shown to the ledger. Connections, delays and lost answers are in `link`.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::invariant::{Committed, Ledger, Promise, Transaction};
use bellwether_core::protocol::change::Kind;
use bellwether_core::protocol::{Applied, Multi, Node, Op, Outcome, Stat, Why, layout, path};

use crate::tally::Tally;

/// The state of the ensemble, and what it committed.
pub(crate) struct ZooKeeper {
    nodes: BTreeMap<String, Node>,
    living: BTreeSet<i64>,
    last_session: i64,
    zxid: i64,
    /// What its leader's clock says, which may be set.
    pub(crate) clock_ms: i64,
    pub(crate) ledger: Ledger,
    /// What watches are to be told, since somebody looked last.
    pub(crate) news: Vec<(Kind, String)>,
    /// Everything that was committed, for the story of a failure.
    pub(crate) story: Vec<String>,
    /// Whether the story is wanted.
    pub(crate) in_detail: bool,
    pub(crate) tally: Tally,
    /// Statuses that were there and were deleted.
    pub(crate) swept: BTreeSet<String>,
}

impl ZooKeeper {
    pub(crate) fn new(in_detail: bool) -> Self {
        let mut new = Self {
            nodes: BTreeMap::new(),
            living: BTreeSet::new(),
            last_session: 0x100,
            zxid: 0,
            clock_ms: 1_000_000,
            ledger: Ledger::new().with_checks(),
            news: Vec::new(),
            story: Vec::new(),
            in_detail,
            tally: Tally::default(),
            swept: BTreeSet::new(),
        };
        new.mend_layout();
        assert_eq!(new.commit(0, &Multi::new().create(path::EPOCH, "")), Outcome::applied());
        new
    }

    pub(crate) fn mend_layout(&mut self) {
        for node in layout::NODES {
            let _ = self.commit(0, &Multi::new().create(node, ""));
        }
    }

    pub(crate) fn open(&mut self) -> i64 {
        self.last_session += 1;
        self.living.insert(self.last_session);
        self.last_session
    }

    pub(crate) fn is_alive(&self, session: i64) -> bool {
        self.living.contains(&session)
    }

    /// Ends a session; what it owned goes in one transaction.
    pub(crate) fn end(&mut self, session: i64) {
        if !self.living.remove(&session) {
            return;
        }
        let owned: Vec<String> =
            self.nodes.iter().filter(|(_, n)| n.stat.ephemeral_owner == session).map(|(path, _)| path.clone()).collect();
        self.zxid += 1;
        let mut changes = Vec::new();
        for path in owned {
            self.nodes.remove(&path);
            self.news.push((Kind::Deleted, path.clone()));
            changes.push(Committed::Delete { path });
        }
        self.show(session, changes);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Node> {
        let mut node = self.nodes.get(path).cloned()?;
        node.stat.children = self.children(path).map_or(0, |children| children.len() as i32);
        Some(node)
    }

    pub(crate) fn children(&self, path: &str) -> Option<Vec<String>> {
        self.nodes.get(path)?;
        let prefix = format!("{path}/");
        let below = self.nodes.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        Some(below.map(|(path, _)| path[prefix.len()..].to_owned()).filter(|name| !name.contains('/')).collect())
    }

    pub(crate) fn commit(&mut self, session: i64, multi: &Multi) -> Outcome {
        if session != 0 && !self.is_alive(session) {
            return Outcome::Unknown;
        }
        self.zxid += 1;
        let mut before = Vec::with_capacity(multi.ops.len());
        let (mut changes, mut applied) = (Vec::new(), Applied::default());
        for (index, op) in multi.ops.iter().enumerate() {
            let there = self.nodes.get(op.path()).cloned();
            match self.apply(session, op) {
                Err(why) => {
                    self.undo(before);
                    self.tell(|zxid| format!("{zxid:#x} {session:#x} refused at {index}: {why}, of {}", brief(multi)));
                    return Outcome::refused(index, why);
                }
                Ok(None) => {}
                Ok(Some(change)) => {
                    before.push((op.path().to_owned(), there));
                    if let Committed::Set { version, .. } = change {
                        applied.sets.push((index, version, self.zxid));
                    }
                    changes.push(change);
                }
            }
        }
        for change in &changes {
            self.news.extend(match change {
                Committed::Create { path, .. } => Some((Kind::Created, path.clone())),
                Committed::Set { path, .. } => Some((Kind::Set, path.clone())),
                Committed::Delete { path } => Some((Kind::Deleted, path.clone())),
                Committed::Check { .. } | Committed::SessionEnded => None,
            });
        }
        self.tell(|zxid| format!("{zxid:#x} {session:#x} {}", brief(multi)));
        self.tally.committed(multi);
        self.show(session, changes);
        Outcome::Applied(applied)
    }

    fn undo(&mut self, before: Vec<(String, Option<Node>)>) {
        for (path, node) in before.into_iter().rev() {
            match node {
                Some(node) => self.nodes.insert(path, node),
                None => self.nodes.remove(&path),
            };
        }
    }

    /// The last transaction that was tried.
    pub(crate) fn zxid(&self) -> i64 {
        self.zxid
    }

    fn tell(&mut self, line: impl Fn(i64) -> String) {
        if self.in_detail {
            self.story.push(line(self.zxid));
        }
    }

    fn show(&mut self, session: i64, changes: Vec<Committed>) {
        let transaction = Transaction { zxid: self.zxid, session, changes };
        let mut broken = self.ledger.examine(&transaction);
        // Clients may take back what they submitted; whoever is neither master nor worker answers for that itself.
        broken.retain(|violation| session != 0 || violation.promise != Promise::OnePlace);
        if let Some(violation) = broken.first() {
            self.tell(|_| format!("{transaction:?}"));
            panic!("{violation}");
        }
    }

    fn apply(&mut self, session: i64, op: &Op) -> Result<Option<Committed>, Why> {
        match op {
            Op::Check { path, version } => {
                self.at(path, *version)?;
                let version = self.nodes.get(path).map_or(0, |node| node.stat.version);
                Ok(Some(Committed::Check { path: path.clone(), version }))
            }
            Op::Create { path, data, ephemeral } => {
                let parent = &path[..path.rfind('/').expect("absolute")];
                match self.nodes.get(parent) {
                    None if !parent.is_empty() => return Err(Why::NoNode),
                    Some(parent) if parent.stat.ephemeral_owner != 0 => return Err(Why::NoChildrenForEphemerals),
                    _ => {}
                }
                if self.nodes.contains_key(path) {
                    return Err(Why::NodeExists);
                }
                let owner = if *ephemeral { session } else { 0 };
                let (zxid, now) = (self.zxid, self.clock_ms);
                let stat = Stat { czxid: zxid, mzxid: zxid, ctime_ms: now, mtime_ms: now, ephemeral_owner: owner, ..Stat::default() };
                self.nodes.insert(path.clone(), Node { data: data.clone(), stat });
                Ok(Some(Committed::Create { path: path.clone(), ephemeral: *ephemeral, data: Some(data.clone()) }))
            }
            Op::Set { path, data, version } => {
                self.at(path, *version)?;
                let (zxid, now) = (self.zxid, self.clock_ms);
                let node = self.nodes.get_mut(path).ok_or(Why::NoNode)?;
                node.data.clone_from(data);
                node.stat.version += 1;
                (node.stat.mzxid, node.stat.mtime_ms) = (zxid, now);
                Ok(Some(Committed::Set { path: path.clone(), version: node.stat.version, data: Some(data.clone()) }))
            }
            Op::Delete { path, version } => {
                self.at(path, *version)?;
                if self.children(path).is_some_and(|children| !children.is_empty()) {
                    return Err(Why::NotEmpty);
                }
                self.nodes.remove(path);
                if path.starts_with("/status/") {
                    self.swept.insert(path.clone());
                }
                Ok(Some(Committed::Delete { path: path.clone() }))
            }
        }
    }

    fn at(&self, path: &str, version: Option<i32>) -> Result<(), Why> {
        let node = self.nodes.get(path).ok_or(Why::NoNode)?;
        match version {
            Some(version) if version != node.stat.version => Err(Why::BadVersion),
            Some(_) | None => Ok(()),
        }
    }
}

fn brief(multi: &Multi) -> String {
    let ops = multi.ops.iter().map(|op| match op {
        Op::Check { path, .. } => format!("={path}"),
        Op::Create { path, .. } => format!("+{path}"),
        Op::Set { path, .. } => format!("~{path}"),
        Op::Delete { path, .. } => format!("-{path}"),
    });
    ops.collect::<Vec<_>>().join(" ")
}
