//! Everything at once, as one state: ZooKeeper, coordinators in office, workers, clients, and what is still on its way.
//!
//! Requests of a connection are executed in order and answered in order; events are told in the order of their commits; answers and
//! events interleave as they like. What a process no longer waits for may still land, as long as its session lives.

mod clients;
mod hands;
mod rulers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use bellwether_core::invariant::{Committed, Ledger, Promise, Transaction};
use bellwether_core::master::Settings;
use bellwether_core::protocol::change::{Kind, of_event};
use bellwether_core::protocol::{Multi, Outcome, TaskName};

use super::budget::{Budget, Fault};
use super::client::Client;
use super::hand::{Attempt, Hand};
use super::part::Part;
use super::ruler::Ruler;
use super::steps::Step;
use super::variant::Variant;
use super::zookeeper::{Execution, ZooKeeper};
use hands::hand_watches;
use rulers::ruler_watches;

/// The session of whoever acts by hand.
pub(crate) const SOMEBODY: i64 = 0x98;

/// What must never be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// The ledger saw a broken promise.
    Promise(Promise, String),
    /// P6: one assignment was run twice.
    RanTwice,
    /// P9: a second attempt was started while the first one's worker lives and has not killed it.
    TwoAtOnce,
    /// A worker has more process groups than slots.
    TooManyGroups,
    /// A command runs whose assignment is gone, and its worker was told everything.
    RunsUnassigned,
    /// What was recorded is not of what was assigned.
    RecordedOther,
    /// What was moved is not what was there.
    MovedOther,
    /// One submission created its task twice, or a client was told what is not so.
    Submission(&'static str),
    /// A task was assigned although one that it waits for had not succeeded.
    RanTooSoon,
    /// A task is assigned while it still runs.
    RunsStill,
    /// P8: it does not end, or something is left over.
    NeverEnds(String),
    /// Beliefs that do not fit together.
    Insane(String),
}

impl Broken {
    /// In a few words, for the table.
    pub(crate) fn words(&self) -> String {
        match self {
            Broken::Promise(promise, _) => format!("{}: {}", promise.number(), promise.words()),
            Broken::RanTwice => "P6: an attempt ran twice".to_owned(),
            Broken::TwoAtOnce => "P9: two attempts of a task at once".to_owned(),
            Broken::TooManyGroups => "more commands than slots".to_owned(),
            Broken::RunsUnassigned => "a command that nobody assigned runs on".to_owned(),
            Broken::RecordedOther => "the result of another attempt is recorded".to_owned(),
            Broken::MovedOther => "what was assigned is not what was submitted".to_owned(),
            Broken::RunsStill => "P9: a task is assigned while a worker still runs it".to_owned(),
            Broken::RanTooSoon => "a task is assigned before those that it waits for succeeded".to_owned(),
            Broken::Submission(what) => (*what).to_owned(),
            Broken::NeverEnds(what) => format!("P8: {what}"),
            Broken::Insane(what) => format!("beliefs: {what}"),
        }
    }
}

/// What a process that is gone had sent on a session that may live on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Orphan {
    pub(crate) session: i64,
    pub(crate) ghosts: VecDeque<Arc<Multi>>,
}

/// What does not change in a run.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) variant: Variant,
    pub(crate) settings: Settings,
    /// Whether there may be groups.
    pub(crate) has_groups: bool,
    /// Whether there may be arrays.
    pub(crate) has_arrays: bool,
    /// What a command may exit with.
    pub(crate) exits: &'static [i32],
}

/// One state of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) zookeeper: Part<ZooKeeper>,
    pub(crate) ledger: Part<Ledger>,
    pub(crate) rulers: Vec<Part<Ruler>>,
    pub(crate) hands: Vec<Part<Hand>>,
    pub(crate) clients: Vec<Part<Client>>,
    pub(crate) orphans: Vec<Orphan>,
    /// Assignments whose command was started.
    started: BTreeSet<Attempt>,
    /// Tasks whose command ended by itself, and what it ran.
    pub(crate) finished: BTreeSet<(TaskName, u64)>,
    /// Elements of arrays that ended by themselves, and with which code.
    pub(crate) executed: BTreeSet<(TaskName, u32, i32)>,
    /// Whether all that clients submit has the same key.
    pub(crate) one_key: bool,
    /// Whether nobody does anything by which a task may run twice at once.
    pub(crate) exclusive: bool,
    /// How often a client's transaction created a task.
    pub(crate) submitted: BTreeMap<TaskName, u8>,
    pub(crate) budget: Budget,
    /// Whether somebody moved, changed or deleted by hand what is ours to move: then two attempts may meet.
    pub(crate) meddled: bool,
    pub(crate) broken: Option<Broken>,
}

impl World {
    /// Nobody is there, and nothing but the layout.
    pub(crate) fn new(rules: &Rules) -> Self {
        // With the rules as they are, a write without its checks is a violation even where it did no harm.
        let ledger = if rules.variant == Variant::None { Ledger::new().with_checks() } else { Ledger::new() };
        Self {
            zookeeper: Part::new(ZooKeeper::default()),
            ledger: Part::new(ledger),
            rulers: Vec::new(),
            hands: Vec::new(),
            clients: Vec::new(),
            orphans: Vec::new(),
            started: BTreeSet::new(),
            finished: BTreeSet::new(),
            executed: BTreeSet::new(),
            one_key: false,
            exclusive: false,
            submitted: BTreeMap::new(),
            budget: Budget::NONE,
            meddled: false,
            broken: None,
        }
    }

    /// Brings all parts into their canonical form.
    pub(crate) fn seal(&mut self) {
        self.zookeeper.seal(|_| {});
        self.ledger.seal(|_| {});
        self.rulers.iter_mut().for_each(|ruler| ruler.seal(Ruler::tidy));
        self.hands.iter_mut().for_each(|hand| hand.seal(Hand::tidy));
        self.clients.iter_mut().for_each(|client| client.seal(|_| {}));
    }

    /// Lets everything arrive that is on its way; commands run on.
    pub(crate) fn settle(&mut self, rules: &Rules) {
        loop {
            let mut due = Vec::new();
            self.due(rules, &mut due);
            match due.iter().find(|step| !matches!(step, Step::End(..))) {
                Some(step) => self.step(step, rules),
                None => return,
            }
        }
    }

    pub(crate) fn break_with(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    fn check(&mut self, sane: Result<(), String>) {
        if let Err(what) = sane {
            self.break_with(Broken::Insane(what));
        }
    }

    // What ZooKeeper does.

    /// Executes a transaction of a session, and tells the ledger and the watches.
    pub(crate) fn commit(&mut self, session: i64, multi: &Multi) -> Execution {
        let before = self.zookeeper.clone();
        let executed = self.zookeeper.edit().commit(session, multi);
        if let Ok((_, changes)) = &executed {
            self.inspect(session, multi, &before);
            self.enter(session, changes.clone(), false);
        }
        executed
    }

    /// The same by hand, or by a program that keeps no promise: what it breaks is not our fault.
    pub(crate) fn commit_by_hand(&mut self, session: i64, multi: &Multi) {
        if let Ok((_, changes)) = self.zookeeper.edit().commit(session, multi) {
            self.enter(session, changes, true);
        }
    }

    /// Somebody deletes a node with all that is below it.
    pub(crate) fn delete_by_hand(&mut self, path: &str) {
        let changes = self.zookeeper.edit().delete_all(path);
        self.enter(SOMEBODY, changes, true);
    }

    /// The servers lose everything; every session with it.
    pub(crate) fn reset(&mut self) {
        self.zookeeper.edit().reset();
        *self.ledger.edit() = Ledger::new();
        self.orphans.clear();
        self.submitted.clear();
        self.started.clear();
        self.finished.clear();
        self.executed.clear();
    }

    /// A session ends, and everything ephemeral with it.
    pub(crate) fn end_session(&mut self, session: i64) {
        let mut changes = self.zookeeper.edit().end(session);
        changes.push(Committed::SessionEnded);
        self.enter(session, changes, true);
        self.orphans.retain(|orphan| orphan.session != session);
    }

    fn enter(&mut self, session: i64, changes: Vec<Committed>, by_hand: bool) {
        for change in &changes {
            self.spread(change);
        }
        let violation = self.ledger.edit().examine(&Transaction { zxid: 0, session, changes }).into_iter().next();
        if let Some(violation) = violation.filter(|_| !by_hand) {
            self.break_with(Broken::Promise(violation.promise, violation.what));
        }
    }

    /// Watches are told what was committed.
    fn spread(&mut self, change: &Committed) {
        let (kind, path) = match change {
            Committed::Create { path, .. } => (Kind::Created, path),
            Committed::Set { path, .. } => (Kind::Set, path),
            Committed::Delete { path } => (Kind::Deleted, path),
            Committed::Check { .. } | Committed::SessionEnded => return,
        };
        let Some(change) = of_event(kind, path) else { return };
        for ruler in self.rulers.iter_mut().filter(|ruler| ruler.link.watching && ruler_watches(&change)) {
            ruler.edit().link.events.push_back(change.clone());
        }
        for hand in &mut self.hands {
            let watching = hand.link.as_ref().is_some_and(|link| link.watching);
            if watching && hand.agent.me().is_some_and(|me| hand_watches(me, &change)) {
                hand.edit().link.iter_mut().for_each(|link| link.events.push_back(change.clone()));
            }
        }
    }

    fn leave_behind(&mut self, session: i64, ghosts: VecDeque<Arc<Multi>>) {
        if self.zookeeper.lives(session) {
            self.orphans.push(Orphan { session, ghosts });
        }
    }

    /// Spends one of a kind of fault.
    pub(crate) fn pay(&mut self, fault: Fault) {
        self.budget.pay(fault);
    }
}

pub(crate) fn of_execution(executed: &Execution) -> Outcome {
    match executed {
        Ok((applied, _)) => Outcome::Applied(applied.clone()),
        Err((index, why)) => Outcome::refused(*index, *why),
    }
}
