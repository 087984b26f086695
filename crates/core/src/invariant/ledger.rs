//! The state that all transactions so far add up to.

use std::collections::{BTreeMap, BTreeSet};

use super::array::Arrays;
use super::life::{Life, Spot, Touch};
use super::payload::Essence;
use super::place::Place;
use super::rules::Verdicts;
use super::scene::{Office, Registrations, Scene, is_fenced, moves_epoch};
use super::waiters::Waiters;
use super::{Committed, Promise, Transaction, Violation};
use crate::protocol::{TaskName, WorkerId, path as paths};

/// What all transactions so far add up to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// What was read does not begin with the first transaction: what was not seen is possible.
    pub(super) midway: bool,
    /// Checks are told of: one that is missing was not made.
    checks: bool,
    epoch: Option<i32>,
    /// Terms whose sessions have not ended, by epoch: whoever ruled by it may write by it still.
    terms: BTreeMap<i32, i64>,
    pub(super) office: Office,
    pub(super) workers: Registrations,
    /// Tasks that have not ended.
    pub(super) living: BTreeMap<TaskName, Life>,
    /// Tasks that have a status now.
    pub(super) ended: BTreeSet<TaskName>,
    pub(super) letters: BTreeSet<TaskName>,
    waiters: Waiters,
    arrays: Arrays,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            midway: false,
            checks: false,
            epoch: None,
            terms: BTreeMap::new(),
            office: Office::Vacant,
            workers: Registrations::default(),
            living: BTreeMap::new(),
            ended: BTreeSet::new(),
            letters: BTreeSet::new(),
            waiters: Waiters::default(),
            arrays: Arrays::default(),
        }
    }
}

impl Ledger {
    /// An empty root.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A root of which nothing is known, because what will be read does not begin with its first transaction. What was not seen is
    /// given the benefit of the doubt; checks teach what is there.
    #[must_use]
    pub fn midway() -> Self {
        Self { midway: true, office: Office::Unknown, ..Self::default() }
    }

    /// The same, read by somebody who is told of every [`Committed::Check`], as ZooKeeper's log tells: then writes of a master must
    /// carry the fence, and those of a worker the check that it is registered.
    #[must_use]
    pub fn with_checks(mut self) -> Self {
        self.checks = true;
        self
    }

    /// Forgets what cannot be relied on any more, because transactions are missing from here on.
    pub fn lose_track(&mut self) {
        *self = Self { checks: self.checks, ..Self::midway() };
    }

    /// Takes in a node of a snapshot. `owner` is the session that it goes with, 0 for none.
    pub fn found(&mut self, path: &str, owner: i64, version: i32, data: Option<&[u8]>) {
        match Place::of(path) {
            // The ballot sets what it creates; whoever does not is a master that knows of no epoch.
            Place::Master => self.office = Office::Held { session: owner, foreign: version == 0 },
            Place::Epoch => self.epoch = Some(version),
            Place::Worker(worker) => self.workers.register(worker, owner),
            Place::Pending(task) => self.found_task(task, Spot::Pending, data),
            Place::Held(task) => self.found_task(task, Spot::Held, data),
            Place::Array(task) => self.found_task(task, Spot::Array, None),
            Place::Assigned(_, task) if crate::protocol::array::piece_of(&task).is_some() => {}
            Place::Assigned(worker, task) => self.found_task(task, Spot::Assigned(&worker), data),
            Place::Status(task) => {
                if let Some(life) = self.living.get_mut(&task) {
                    life.after_status = true;
                }
                self.ended.insert(task);
            }
            Place::Letter(task) => {
                self.letters.insert(task);
            }
            // Whatever it waits for, it has waited for longer than what is seen from now on.
            Place::Waiter(node) => self.waiters.come(node, 0, owner),
            Place::Elsewhere => {}
        }
    }

    fn found_task(&mut self, task: TaskName, spot: Spot<'_>, data: Option<&[u8]>) {
        let after_status = self.ended.contains(&task);
        let life = self.living.entry(task).or_default();
        life.enter(spot);
        life.after_status = after_status;
        life.essence = data.map(|data| Essence::of(data, life.essence));
    }

    /// Tasks that have a status.
    #[must_use]
    pub fn ended(&self) -> &BTreeSet<TaskName> {
        &self.ended
    }

    /// Tasks that are accepted and have not ended.
    pub fn unfinished(&self) -> impl Iterator<Item = &TaskName> {
        self.living.keys()
    }

    /// How many tasks wait (pending or held), how many are with a worker that is registered, and how many with one that is not.
    #[must_use]
    pub fn unfinished_counts(&self) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for life in self.living.values() {
            match life.assigned.first() {
                None => counts.0 += 1,
                Some(worker) if self.workers.contains(worker) => counts.1 += 1,
                Some(_) => counts.2 += 1,
            }
        }
        counts
    }

    /// Takes one transaction in.
    ///
    /// # Errors
    /// The first promise that it breaks. The ledger has taken all of it in nevertheless, and can go on.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<(), Violation> {
        self.examine(transaction).into_iter().next().map_or(Ok(()), Err)
    }

    /// Takes one transaction in, and says every promise that it breaks.
    pub fn examine(&mut self, transaction: &Transaction) -> Vec<Violation> {
        if self.midway {
            self.learn(transaction);
        }
        let scene = Scene::new(transaction, self.office, self.checks);
        let mut verdicts = Verdicts::new(transaction.zxid);
        let mut touched = BTreeMap::new();
        for change in &transaction.changes {
            self.change(change, &scene, &mut touched, &mut verdicts);
        }
        self.arrays.examine(&scene, &self.workers, self.midway, &mut verdicts);
        for (task, touch) in touched {
            self.judge(&task, &touch, &scene, &mut verdicts);
            self.settle(&task, &touch, &scene);
        }
        verdicts.into_violations()
    }

    /// What was checked is there, whether or not it was seen before.
    fn learn(&mut self, transaction: &Transaction) {
        if self.office == Office::Unknown && is_fenced(transaction) {
            self.office = Office::Held { session: transaction.session, foreign: false };
        }
        for change in &transaction.changes {
            let Committed::Check { path, version } = change else { continue };
            match Place::of(path) {
                Place::Epoch => self.epoch = self.epoch.or(Some(*version)),
                Place::Worker(worker) => self.workers.learn(worker),
                Place::Pending(task) => self.living.entry(task).or_default().enter(Spot::Pending),
                Place::Held(task) => self.living.entry(task).or_default().enter(Spot::Held),
                Place::Array(task) => self.living.entry(task).or_default().enter(Spot::Array),
                Place::Assigned(worker, task) => self.living.entry(task).or_default().enter(Spot::Assigned(&worker)),
                Place::Status(task) => {
                    self.ended.insert(task);
                }
                Place::Master | Place::Letter(_) | Place::Waiter(_) | Place::Elsewhere => {}
            }
        }
    }

    fn change(&mut self, change: &Committed, scene: &Scene<'_>, touched: &mut Touches, verdicts: &mut Verdicts) {
        if change.path().is_some_and(|path| self.is_about_a_piece(path)) {
            return;
        }
        match change {
            Committed::Create { path, ephemeral, data } => self.create(path, *ephemeral, data.as_deref(), scene, touched),
            Committed::Set { path, version, .. } => self.set(path, *version, scene, verdicts),
            Committed::Delete { path } => self.delete(path, scene, touched, verdicts),
            Committed::Check { .. } => {}
            Committed::SessionEnded => {
                if matches!(self.office, Office::Held { session, .. } if session == scene.session()) {
                    self.office = Office::Vacant;
                }
                self.workers.end_session(scene.session());
                self.waiters.end_session(scene.session());
                self.terms.retain(|_, session| *session != scene.session());
            }
        }
    }

    /// Pieces of arrays are looked at for themselves. Midway, nobody knows of which arrays.
    fn is_about_a_piece(&self, path: &str) -> bool {
        match Place::of(path) {
            Place::Assigned(_, task) => self.arrays.has(&task) || (self.midway && crate::protocol::array::piece_of(&task).is_some()),
            Place::Master
            | Place::Epoch
            | Place::Worker(_)
            | Place::Pending(_)
            | Place::Held(_)
            | Place::Array(_)
            | Place::Status(_)
            | Place::Letter(_)
            | Place::Waiter(_)
            | Place::Elsewhere => false,
        }
    }

    fn create(&mut self, path: &str, ephemeral: bool, data: Option<&[u8]>, scene: &Scene<'_>, touched: &mut Touches) {
        let owner = if ephemeral { scene.session() } else { 0 };
        match Place::of(path) {
            Place::Master => self.office = Office::Held { session: owner, foreign: !moves_epoch(scene.transaction) },
            Place::Worker(worker) => self.workers.register(worker, owner),
            Place::Pending(task) => self.enter(task, Spot::Pending, data, scene, touched).entered_queue = true,
            Place::Held(task) => {
                let touch = self.enter(task, Spot::Held, data, scene, touched);
                (touch.entered_queue, touch.laid_to_rest) = (true, true);
            }
            // What it says is looked at elsewhere.
            Place::Array(task) => self.enter(task, Spot::Array, None, scene, touched).entered_queue = true,
            Place::Assigned(worker, task) => {
                let touch = self.enter(task, Spot::Assigned(&worker), data, scene, touched);
                touch.given_to = Some(worker);
            }
            Place::Status(task) => {
                let touch = self.touch(&task, scene, touched);
                touch.entered = true;
                touch.ended = Some(data.map(<[u8]>::to_vec));
                self.waiters.ended(&task, scene.transaction.zxid);
                self.ended.insert(task);
            }
            Place::Letter(task) => {
                let life = self.living.get(&task).and_then(|life| life.essence);
                let touch = self.touch(&task, scene, touched);
                let like = touch.before.as_ref().map_or(life, |before| before.essence);
                touch.letter = data.map(|data| Essence::of(data, like));
                self.letters.insert(task);
            }
            Place::Waiter(node) => self.waiters.come(node, scene.transaction.zxid, owner),
            Place::Elsewhere if path == paths::TASKS => self.waiters.start_over(),
            Place::Epoch | Place::Elsewhere => {}
        }
    }

    fn enter<'t>(
        &mut self,
        task: TaskName,
        spot: Spot<'_>,
        data: Option<&[u8]>,
        scene: &Scene<'_>,
        touched: &'t mut Touches,
    ) -> &'t mut Touch {
        let touch = self.touch(&task, scene, touched);
        let life = self.living.entry(task).or_default();
        life.enter(spot);
        life.essence = data.map(|data| Essence::of(data, life.essence));
        touch.essence = life.essence;
        touch.entered = true;
        touch
    }

    fn set(&mut self, path: &str, version: i32, scene: &Scene<'_>, verdicts: &mut Verdicts) {
        match Place::of(path) {
            Place::Epoch => {
                let before = self.epoch.replace(version);
                if let Some(before) = before.filter(|before| version <= *before) {
                    verdicts.add(Promise::EpochsGrow, path, format!("epoch {version} follows epoch {before}"));
                }
                self.term_begins(path, version, scene, verdicts);
            }
            Place::Status(task) => verdicts.add(Promise::OneStatus, path, format!("the status of {task} was rewritten")),
            // Whoever submitted it may still change it; what it says now was not told.
            Place::Pending(task) | Place::Held(task) | Place::Assigned(_, task) => {
                if let Some(life) = self.living.get_mut(&task) {
                    life.essence = None;
                }
            }
            Place::Master | Place::Worker(_) | Place::Array(_) | Place::Letter(_) | Place::Waiter(_) | Place::Elsewhere => {}
        }
    }

    /// A new epoch node starts over, at a random version. That may be lower, but no two sessions may have ruled by the same one.
    fn term_begins(&mut self, path: &str, epoch: i32, scene: &Scene<'_>, verdicts: &mut Verdicts) {
        if !scene.checks || !scene.takes_office() {
            return;
        }
        let session = scene.session();
        if let Some(other) = self.terms.insert(epoch, session).filter(|other| *other != session) {
            let what = format!("session {session:#x} rules by epoch {epoch}, as session {other:#x} did, which has not ended");
            verdicts.add(Promise::EpochsGrow, path, what);
        }
    }

    fn delete(&mut self, path: &str, scene: &Scene<'_>, touched: &mut Touches, verdicts: &mut Verdicts) {
        match Place::of(path) {
            Place::Master => self.office = Office::Vacant,
            // Whoever deletes it is told by the services.
            Place::Epoch => self.epoch = None,
            Place::Worker(worker) => self.workers.remove(&worker),
            Place::Pending(task) => self.leave(task, Spot::Pending, scene, touched).left_queue = true,
            Place::Held(task) => self.leave(task, Spot::Held, scene, touched).left_queue = true,
            Place::Array(task) => self.leave(task, Spot::Array, scene, touched).left_queue = true,
            Place::Assigned(worker, task) => {
                let own = self.workers.is_of(&worker, scene.session(), self.midway);
                let touch = self.leave(task, Spot::Assigned(&worker), scene, touched);
                touch.held_by_author |= own;
                touch.taken_from = Some(worker);
            }
            Place::Status(task) => {
                self.touch(&task, scene, touched);
                self.ended.remove(&task);
                // Whoever removes it by hand knows what he does.
                if let Some(since) = self.waiters.removed(&task).filter(|_| scene.rules && !scene.foreign) {
                    let what = format!("the master removed the result of {task}, for which somebody may wait since {since:#x}");
                    verdicts.add(Promise::ResultKept, path, what);
                }
            }
            Place::Letter(task) => {
                self.letters.remove(&task);
            }
            Place::Waiter(node) => self.waiters.leave(&node),
            Place::Elsewhere => {}
        }
    }

    fn leave<'t>(&mut self, task: TaskName, spot: Spot<'_>, scene: &Scene<'_>, touched: &'t mut Touches) -> &'t mut Touch {
        let touch = self.touch(&task, scene, touched);
        let was_there = self.living.get_mut(&task).is_some_and(|life| life.leave(spot));
        if !was_there {
            // It was there, or it could not have been deleted: it was put there before anybody looked.
            touch.before.get_or_insert_default().enter(spot);
            touch.known = true;
        }
        touch
    }

    fn touch<'t>(&self, task: &TaskName, scene: &Scene<'_>, touched: &'t mut Touches) -> &'t mut Touch {
        touched.entry(task.clone()).or_insert_with(|| {
            let before = self.living.get(task).cloned();
            let had_status = self.ended.contains(task);
            let own = |worker: &&WorkerId| self.workers.is_of(worker, scene.session(), self.midway);
            let holder = before.as_ref().and_then(|life| life.assigned.iter().find(own));
            Touch {
                held_by_author: holder.is_some(),
                held_by_foreigner: holder.is_some_and(|worker| worker.operator_name().is_none()),
                known: !self.midway || before.is_some() || had_status,
                before,
                had_status,
                ..Touch::default()
            }
        })
    }

    /// Makes ready for the next transaction what this one touched.
    fn settle(&mut self, task: &TaskName, touch: &Touch, scene: &Scene<'_>) {
        let stands = touch.had_status && self.ended.contains(task) && touch.ended.is_none();
        let Some(life) = self.living.get_mut(task) else { return };
        if life.places() == 0 {
            self.living.remove(task);
            return;
        }
        if touch.before.is_none() {
            life.after_status = stands;
        }
        // What it left behind beside the status goes on as ours: it may be run again, and that status stands.
        life.torn = (life.torn && self.ended.contains(task)) || (life.places() > 1 && (life.torn || scene.foreign));
    }
}

type Touches = BTreeMap<TaskName, Touch>;
