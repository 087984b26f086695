//! What a cluster did, replayed from ZooKeeper's transaction log, and which promises it broke.
//!
//! What lives here: the stories that can be told from a log: of each task, who ruled when, which workers lived. What does not:
//! reading the files ([`crate::txnlog`]), and the promises, which are the core's: [`bellwether_core::invariant::Ledger`] looks at
//! each whole transaction, as it committed, so that no timing hides anything from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bellwether_common::audit;
use bellwether_common::txnlog::LogError;
use bellwether_core::invariant::{Ledger, Place, is_piece};
pub use bellwether_core::invariant::{Promise, Violation};

use crate::txnlog::{Change, Record};

/// When, in ZooKeeper's order and by its leader's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The transaction.
    pub zxid: i64,
    /// Milliseconds since 1970.
    pub time_ms: i64,
}

/// One step of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It may run: it was created below `/tasks`.
    Pending,
    /// It may not run yet.
    Held,
    /// It was given to this worker.
    Assigned(String),
    /// Its status was created, with this data.
    Ended(Vec<u8>),
    /// Its status was deleted.
    Forgotten,
}

/// A term of mastership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The session that ruled; 0 if `/master` was not ephemeral.
    pub session: i64,
    /// Its epoch; `None` for a master that knows of none.
    pub epoch: Option<i32>,
    /// When `/master` was created.
    pub taken: Moment,
    /// When `/master` went, with the session or without it.
    pub vacated: Option<Moment>,
}

/// The life of a worker incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLife {
    /// Its name below `/workers`.
    pub name: String,
    /// Its session; 0 if the node was not ephemeral.
    pub session: i64,
    /// When it registered.
    pub registered: Moment,
    /// When its registration went.
    pub gone: Option<Moment>,
}

/// All that happened below one root.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Every task's steps.
    pub tasks: BTreeMap<String, Vec<(Moment, Step)>>,
    /// Every term, oldest first.
    pub terms: Vec<Term>,
    /// Every worker, in the order of registration.
    pub workers: Vec<WorkerLife>,
    /// Every broken promise.
    pub violations: Vec<Violation>,
}

impl History {
    /// Replays all transactions below `root` (`""` or `"/"`: everything). The log must begin with the creation of the root.
    #[must_use]
    pub fn replay(records: &[Record], root: &str) -> Self {
        let root = root.trim_end_matches('/');
        let mut replay = Replay { root: root.to_owned(), ..Replay::default() };
        let mut ledger = Ledger::new().with_checks();
        for record in records {
            replay.record(record);
            let broken = audit::committed(record.clone(), root).map(|transaction| ledger.examine(&transaction));
            replay.history.violations.extend(broken.unwrap_or_default());
        }
        replay.history
    }

    /// Tasks that have no status now, and were not forgotten.
    #[must_use]
    pub fn unended(&self) -> Vec<&str> {
        let ended = |steps: &[(Moment, Step)]| matches!(steps.last(), Some((_, Step::Ended(_) | Step::Forgotten)));
        self.tasks.iter().filter(|(_, steps)| !ended(steps)).map(|(task, _)| task.as_str()).collect()
    }

    /// To how many workers a task was given, one after another.
    #[must_use]
    pub fn assignments(&self, task: &str) -> usize {
        let steps = self.tasks.get(task).into_iter().flatten();
        steps.filter(|(_, step)| matches!(step, Step::Assigned(_))).count()
    }

    /// From each end of a term to the next one's begin, in milliseconds by the clock of ZooKeeper's leader.
    #[must_use]
    pub fn vacancies_ms(&self) -> Vec<i64> {
        let pairs = self.terms.iter().zip(self.terms.iter().skip(1));
        pairs.filter_map(|(old, new)| old.vacated.map(|vacated| new.taken.time_ms - vacated.time_ms)).collect()
    }
}

/// What `bellwether audit` finds below `root` in these directories: how much was read, and every broken promise that is not
/// excepted. `None`: nothing was to be looked for, or the test wrote nothing.
///
/// # Panics
/// The logs cannot be read.
#[must_use]
#[track_caller]
pub fn audit_except(data_dirs: &[PathBuf], root: &str, excepted: &[Promise]) -> Option<(u64, Vec<String>)> {
    if [Promise::P1, Promise::P2, Promise::P3, Promise::P4, Promise::P5].iter().all(|promise| excepted.contains(promise)) {
        return None;
    }
    let report = match audit::run(data_dirs, root) {
        Ok(report) => report,
        // A test that started nothing and wrote nothing; if it is the first of its ZooKeeper, there is no log yet.
        Err(audit::AuditError::NoCluster { .. } | audit::AuditError::Log(LogError::Nothing { .. })) => return None,
        Err(error) => panic!("{error}"),
    };
    assert_ne!(report.verdict, audit::Verdict::Unusable, "the logs of ZooKeeper cannot all be read: {:#?}", report.log);
    let broken = report.violations.iter().filter(|broken| !excepted.contains(&broken.kind)).map(|b| format!("{b:?}")).collect();
    Some((report.log.records, broken))
}

/// No promise was broken below `root`, as far as the logs in these directories can tell.
///
/// # Panics
/// One was, or the logs cannot be read.
#[track_caller]
pub fn assert_promises_except(data_dirs: &[PathBuf], root: &str, excepted: &[Promise]) {
    let broken = audit_except(data_dirs, root, excepted).map(|(_, broken)| broken).unwrap_or_default();
    assert!(broken.is_empty(), "ZooKeeper's log shows broken promises:\n{}", broken.join("\n"));
}

/// No promise was broken below `root`, as far as the log of one server can tell.
///
/// # Panics
/// One was, or the log cannot be read.
#[track_caller]
pub fn assert_promises(data_dir: &std::path::Path, root: &str) {
    assert_promises_except(&[data_dir.to_owned()], root, &[]);
}

#[derive(Debug, Default)]
struct Replay {
    root: String,
    /// Owners of `/master` and of registrations; 0 for persistent ones.
    master: Option<i64>,
    workers: BTreeMap<String, i64>,
    history: History,
}

impl Replay {
    fn record(&mut self, record: &Record) {
        let at = Moment { zxid: record.zxid, time_ms: record.time_ms };
        for change in &record.changes {
            if let Change::CloseSession { .. } = change {
                self.session_ended(at, record.session);
            }
            let relative = change.path().and_then(|path| path.strip_prefix(self.root.as_str()));
            if let Some(path) = relative.filter(|path| path.starts_with('/')) {
                self.change(at, record.session, Place::of(path), change);
            }
        }
    }

    fn change(&mut self, at: Moment, session: i64, place: Place, change: &Change) {
        match (place, change) {
            (Place::Master, Change::Create { ephemeral, .. }) => {
                let owner = if *ephemeral { session } else { 0 };
                self.master = Some(owner);
                self.history.terms.push(Term { session: owner, epoch: None, taken: at, vacated: None });
            }
            (Place::Master, Change::Delete { .. }) => self.vacate(at),
            (Place::Epoch, Change::Set { version, .. }) => {
                if let Some(term) = self.history.terms.last_mut().filter(|term| term.taken.zxid == at.zxid) {
                    term.epoch = Some(*version);
                }
            }
            (Place::Worker(worker), Change::Create { ephemeral, .. }) => {
                let (name, session) = (worker.to_string(), if *ephemeral { session } else { 0 });
                self.workers.insert(name.clone(), session);
                self.history.workers.push(WorkerLife { name, session, registered: at, gone: None });
            }
            (Place::Worker(worker), Change::Delete { .. }) => self.unregister(at, worker.as_str()),
            (Place::Pending(task), Change::Create { .. }) => self.step(at, task.as_str(), Step::Pending),
            (Place::Held(task), Change::Create { .. }) => self.step(at, task.as_str(), Step::Held),
            // A piece of an array is no task.
            (Place::Assigned(_, task), Change::Create { data, .. }) if is_piece(&task, data) => {}
            (Place::Assigned(worker, task), Change::Create { .. }) => self.step(at, task.as_str(), Step::Assigned(worker.to_string())),
            (Place::Status(task), Change::Create { data, .. }) => self.step(at, task.as_str(), Step::Ended(data.clone())),
            (Place::Status(task), Change::Delete { .. }) => self.step(at, task.as_str(), Step::Forgotten),
            _ => {}
        }
    }

    fn step(&mut self, at: Moment, task: &str, step: Step) {
        self.history.tasks.entry(task.to_owned()).or_default().push((at, step));
    }

    fn vacate(&mut self, at: Moment) {
        self.master = None;
        if let Some(term) = self.history.terms.last_mut() {
            term.vacated = Some(at);
        }
    }

    fn unregister(&mut self, at: Moment, name: &str) {
        self.workers.remove(name);
        if let Some(life) = self.history.workers.iter_mut().rev().find(|life| life.name == name) {
            life.gone = Some(at);
        }
    }

    fn session_ended(&mut self, at: Moment, session: i64) {
        if self.master == Some(session) {
            self.vacate(at);
        }
        let names: Vec<String> = self.workers.iter().filter(|(_, owner)| **owner == session).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.unregister(at, &name);
        }
    }
}

#[cfg(test)]
mod tests;
