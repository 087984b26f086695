//! Everything at once, as one state: ZooKeeper, coordinators in office, workers, clients, and what is still on its way.
//!
//! Requests of a connection are executed in order and answered in order; events are told in the order of their commits; answers and
//! events interleave as they like. What a process no longer waits for may still land, as long as its session lives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bellwether_core::agent;
use bellwether_core::invariant::{Committed, Ledger, Promise, Transaction};
use bellwether_core::lifecycle::RunId;
use bellwether_core::master::{self, Settings};
use bellwether_core::protocol::change::{Kind, of_event};
use bellwether_core::protocol::{Change, Multi, Outcome, TaskName, WorkerId, path};

use super::array;
use super::budget::{Budget, Fault};
use super::client::{self, Client};
use super::hand::{Attempt, Hand, Life, Over, Wish, multi_of};
use super::part::Part;
use super::ruler::{self, Ruler};
use super::steps::Step;
use super::variant::Variant;
use super::zookeeper::{Execution, ZooKeeper};

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

    // What a coordinator in office does.

    /// Somebody is elected, in one transaction, as the other model proves.
    pub(crate) fn stand(&mut self, rules: &Rules) {
        let zookeeper = self.zookeeper.edit();
        zookeeper.mend();
        let session = zookeeper.open();
        let created = if zookeeper.znode(path::EPOCH).is_none() { zookeeper.create_epoch() } else { Vec::new() };
        self.enter(session, created, true);
        let version = self.zookeeper.znode(path::EPOCH).map_or(0, |node| node.version);
        let ballot = Multi::new().create_ephemeral(path::MASTER, "").set(path::MASTER, "", Some(0)).set(path::EPOCH, "", Some(version));
        if self.commit(session, &ballot).is_ok() {
            self.rulers.push(Part::new(Ruler::new(session, version + 1, rules)));
        }
    }

    pub(crate) fn feed_ruler(&mut self, index: usize, event: master::Event, rules: &Rules) {
        let sane = self.rulers[index].edit().feed(event, rules.variant);
        self.check(sane);
        self.retire(index);
    }

    /// Who rules no more closes its session; what it had sent may still come before that.
    fn retire(&mut self, index: usize) {
        if self.rulers[index].over {
            self.bury_ruler(index);
        }
    }

    /// The process is gone, or begins anew as somebody else.
    pub(crate) fn bury_ruler(&mut self, index: usize) {
        let mut ruler = self.rulers.remove(index);
        let ruler = ruler.edit();
        let mut ghosts = std::mem::take(&mut ruler.link.ghosts);
        for request in &ruler.link.requests {
            if let ruler::Request::Order(master::Effect::Write(_, multi)) = request {
                ghosts.push_back(Arc::new(ruler.fenced(multi)));
            }
        }
        self.leave_behind(ruler.link.session, ghosts);
    }

    fn leave_behind(&mut self, session: i64, ghosts: VecDeque<Arc<Multi>>) {
        if self.zookeeper.lives(session) {
            self.orphans.push(Orphan { session, ghosts });
        }
    }

    /// The next request of a coordinator is executed. `lost`: it does not learn how it ended, and whether it was applied at once.
    pub(crate) fn execute_ruler(&mut self, index: usize, lost: Option<bool>, rules: &Rules) {
        let ruler = self.rulers[index].edit();
        if !rules.variant.repeats_unknown() {
            ruler.link.ghosts.clear();
        }
        let session = ruler.link.session;
        let Some(request) = ruler.link.requests.pop_front() else { return };
        match request {
            ruler::Request::Prove => {
                let executed = self.commit(session, &self.rulers[index].fenced(&Multi::new()));
                let ruler = self.rulers[index].edit();
                let outcome = ruler.outcome(&executed);
                ruler.on_proof(&outcome);
            }
            ruler::Request::Order(master::Effect::Write(id, multi)) => {
                let multi = rules.variant.at_execution(multi, &self.zookeeper);
                let fenced = ruler.fenced(&multi);
                if lost.is_some() && rules.variant.repeats(&multi) {
                    ruler.link.requests.push_back(ruler::Request::Order(master::Effect::Write(id, multi)));
                    match lost {
                        Some(true) => drop(self.commit(session, &fenced)),
                        Some(false) | None => ruler.link.ghosts.push_back(Arc::new(fenced)),
                    }
                    return self.retire(index);
                }
                let outcome = match lost {
                    _ if !ruler.link.pen_open => {
                        Outcome::Refused(bellwether_core::protocol::Refusal::Whole(bellwether_core::protocol::Why::NotSent))
                    }
                    Some(false) => {
                        ruler.link.ghosts.push_back(Arc::new(fenced));
                        rules.variant.of_unknown()
                    }
                    None | Some(true) => {
                        let executed = self.commit(session, &fenced);
                        if lost.is_some() { rules.variant.of_unknown() } else { self.rulers[index].outcome(&executed) }
                    }
                };
                self.rulers[index].edit().on_outcome(id, outcome);
            }
            ruler::Request::Order(question) => {
                let mut zookeeper = self.zookeeper.clone();
                self.rulers[index].edit().read(question, zookeeper.edit(), rules.variant);
                self.zookeeper = zookeeper;
            }
        }
        self.retire(index);
    }

    // What a worker does.

    pub(crate) fn feed_hand(&mut self, index: usize, event: agent::Event, rules: &Rules) {
        match self.hands[index].edit().feed(event, rules.variant) {
            Err(what) => self.break_with(Broken::Insane(what)),
            Ok(wishes) => wishes.into_iter().for_each(|wish| self.grant(index, &wish)),
        }
        let hand = &self.hands[index];
        let groups = hand.groups.len();
        if groups > hand.slots {
            self.break_with(Broken::TooManyGroups);
        }
    }

    fn grant(&mut self, index: usize, wish: &Wish) {
        match wish {
            Wish::Started(task, attempt) => {
                if !self.started.insert(*attempt) {
                    self.break_with(Broken::RanTwice);
                }
                if !self.meddled && self.runs_elsewhere(index, task) {
                    self.break_with(Broken::TwoAtOnce);
                }
            }
            Wish::SentOther => self.break_with(Broken::RecordedOther),
            Wish::Reopen => self.forget_session(index),
            Wish::Leave => {
                self.forget_session(index);
                self.hands[index].edit().vanish();
            }
        }
    }

    /// Whether another worker's command of this task is not dead yet, although its session lives. That it kills before its session ends
    /// is a matter of time, and time stands still here.
    fn runs_elsewhere(&self, index: usize, task: &TaskName) -> bool {
        let others = self.hands.iter().enumerate().filter(|(other, hand)| *other != index && !hand.gone);
        others.flat_map(|(_, hand)| &hand.groups).any(|(id, group)| array::meet(&id.task, task) && self.zookeeper.lives(group.session))
    }

    /// The worker's session is over, as far as it knows.
    pub(crate) fn forget_session(&mut self, index: usize) {
        let hand = self.hands[index].edit();
        hand.timers.clear();
        let Some(mut link) = hand.link.take() else { return };
        let mut ghosts = std::mem::take(&mut link.ghosts);
        ghosts.extend(link.requests.iter().filter_map(multi_of).cloned().map(Arc::new));
        hand.left_over = link.answers;
        self.leave_behind(link.session, ghosts);
    }

    pub(crate) fn open_hand(&mut self, index: usize, rules: &Rules) {
        let zookeeper = self.zookeeper.edit();
        zookeeper.mend();
        let session = zookeeper.open();
        let hand = self.hands[index].edit();
        hand.open(session, rules.variant);
        let session = hand.incarnation(session, rules.variant);
        self.feed_hand(index, agent::Event::SessionOpened { session, timeout: std::time::Duration::from_secs(1) }, rules);
    }

    /// The next request of a worker is executed. `lost`: it does not learn how it ended, and whether it was applied at once.
    pub(crate) fn execute_hand(&mut self, index: usize, lost: Option<bool>, rules: &Rules) {
        let hand = self.hands[index].edit();
        let Some(link) = &mut hand.link else { return };
        if !rules.variant.lets_ghosts_overtake() {
            link.ghosts.clear();
        }
        let Some(request) = link.requests.pop_front() else { return };
        let (session, open) = (link.session, link.pen_open);
        let Some(multi) = multi_of(&request).cloned() else {
            let mut zookeeper = self.zookeeper.clone();
            self.hands[index].edit().read(request, zookeeper.edit(), rules.variant);
            self.zookeeper = zookeeper;
            return;
        };
        let outcome = match lost {
            _ if !open => Outcome::Refused(bellwether_core::protocol::Refusal::Whole(bellwether_core::protocol::Why::NotSent)),
            Some(false) => {
                link.ghosts.push_back(Arc::new(multi));
                Outcome::Unknown
            }
            None | Some(true) => {
                let outcome = of_execution(&self.commit(session, &multi));
                if lost.is_some() { Outcome::Unknown } else { rules.variant.as_told(outcome) }
            }
        };
        let Some(link) = &mut self.hands[index].edit().link else { return };
        link.pen_open &= outcome != Outcome::Unknown;
        link.answers.push_back(match request {
            agent::Effect::Write(id, _) => agent::Event::WriteEnded(id, outcome),
            _ => agent::Event::RegisterEnded(outcome),
        });
    }

    pub(crate) fn end_group(&mut self, index: usize, id: &RunId, exit: i32, rules: &Rules) {
        let Some(Over { event, group, element }) = self.hands[index].edit().group_ends(id, exit) else { return };
        if group.life == Life::Unreported {
            return;
        }
        match (&group.order.piece, element) {
            (Some(piece), Some(element)) => drop(self.executed.insert((piece.array.clone(), element, exit))),
            (None, _) if group.life == Life::Running => {
                let mut hasher = DefaultHasher::new();
                group.order.task.hash(&mut hasher);
                self.finished.insert((id.task.clone(), hasher.finish()));
            }
            (Some(_) | None, _) => {}
        }
        event.into_iter().for_each(|event| self.feed_hand(index, event, rules));
    }

    // What a client does.

    pub(crate) fn feed_client(&mut self, index: usize, event: client::Event, rules: &Rules) {
        let wrong = self.clients[index].edit().feed(event, rules.variant);
        wrong.into_iter().for_each(|what| self.break_with(Broken::Submission(what)));
        let client = &self.clients[index];
        let told_otherwise = client.refused.iter().any(|task| self.submitted.contains_key(task));
        if told_otherwise {
            self.break_with(Broken::Submission("a client is told that nothing was submitted, and it was"));
        }
    }

    pub(crate) fn open_client(&mut self, index: usize, rules: &Rules) {
        let zookeeper = self.zookeeper.edit();
        zookeeper.mend();
        let session = zookeeper.open();
        self.clients[index].edit().open(session);
        self.feed_client(index, client::Event::Connected, rules);
    }

    pub(crate) fn execute_client(&mut self, index: usize, lost: Option<bool>, rules: &Rules) {
        let client = self.clients[index].edit();
        let Some(link) = &mut client.link else { return };
        link.ghosts.clear();
        let session = link.session;
        let (ticket, multi) = match link.requests.pop_front() {
            None => return,
            Some(client::Request::Write(ticket, multi)) => (ticket, multi),
            Some(client::Request::ReadGuard(ticket, path)) => {
                let found = self.zookeeper.get(&path).map(|node| node.data);
                // An answer that is lost is as good as an outcome that is not known.
                let answer = match lost {
                    None => client::Event::GuardRead { ticket, found },
                    Some(_) => client::Event::WriteEnded { ticket, outcome: Outcome::Unknown },
                };
                let link = self.clients[index].edit().link.iter_mut();
                return link.for_each(|link| link.answers.push_back(answer.clone()));
            }
        };
        let outcome = match lost {
            Some(false) => {
                link.ghosts.push_back(Arc::new(multi));
                Outcome::Unknown
            }
            None | Some(true) => {
                let outcome = of_execution(&self.commit(session, &multi));
                if lost.is_some() { Outcome::Unknown } else { outcome }
            }
        };
        let _ = rules;
        if let Some(link) = &mut self.clients[index].edit().link {
            link.answers.push_back(client::Event::WriteEnded { ticket, outcome });
        }
    }

    pub(crate) fn forget_client_session(&mut self, index: usize) {
        let Some(mut link) = self.clients[index].edit().link.take() else { return };
        let mut ghosts = std::mem::take(&mut link.ghosts);
        ghosts.extend(link.requests.iter().filter_map(|request| match request {
            client::Request::Write(_, multi) => Some(Arc::new(multi.clone())),
            client::Request::ReadGuard(..) => None,
        }));
        self.leave_behind(link.session, ghosts);
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

fn ruler_watches(change: &Change) -> bool {
    match change {
        Change::TaskAppeared(_)
        | Change::TaskGone(_)
        | Change::TaskChanged(_)
        | Change::WorkerAppeared(_)
        | Change::WorkerGone(_)
        | Change::WorkerChanged(_)
        | Change::BoxAppeared(_)
        | Change::BoxGone(_)
        | Change::AssignmentAppeared(..)
        | Change::AssignmentGone(..)
        | Change::CancelAppeared(_)
        | Change::CancelGone(_)
        | Change::HeldAppeared(_)
        | Change::HeldGone(_)
        | Change::HeldChanged(_)
        | Change::GroupChanged(_)
        | Change::GroupGone(_)
        | Change::Paused
        | Change::Resumed
        | Change::RequestAppeared(_)
        | Change::RequestGone(_)
        | Change::RequestChanged(_)
        | Change::LayoutGone(_)
        | Change::OfficeVacant => true,
        Change::OfficeTaken
        | Change::StepDownAsked
        | Change::EpochMoved
        | Change::StatusAppeared(_)
        | Change::StatusGone(_)
        | Change::QueueMoved
        | Change::ScheduleMoved(_)
        | Change::Foreign(_) => false,
    }
}

fn hand_watches(me: &WorkerId, change: &Change) -> bool {
    match change {
        Change::AssignmentAppeared(worker, _)
        | Change::AssignmentGone(worker, _)
        | Change::WorkerGone(worker)
        | Change::BoxGone(worker) => worker == me,
        Change::RequestAppeared(name) | Change::RequestGone(name) | Change::RequestChanged(name) => {
            name == me.as_str() || Some(name.as_str()) == me.operator_name()
        }
        _ => false,
    }
}
