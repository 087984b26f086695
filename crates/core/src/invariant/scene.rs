//! Who asks for a transaction, and behind which checks.

use std::collections::BTreeMap;

use super::place::Place;
use super::{Committed, Transaction};
use crate::protocol::{WorkerId, path};

/// Who is in office.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Office {
    /// What was read does not begin early enough to say.
    Unknown,
    /// Nobody.
    Vacant,
    /// This session; 0 for a node that is not ephemeral.
    Held {
        session: i64,
        /// It took the office without moving the epoch, as the book's master does, and is held to no fence.
        foreign: bool,
    },
}

/// Who a session is, at the moment of one of its transactions.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) transaction: &'a Transaction,
    /// It is in office, or may be.
    pub(super) rules: bool,
    /// It is in office, as a master that knows of no epoch.
    pub(super) foreign: bool,
    /// The transaction begins with the two checks of a master.
    pub(super) fenced: bool,
    /// Whether checks are told of, so that one that is missing was not made.
    pub(super) checks: bool,
}

impl<'a> Scene<'a> {
    pub(super) fn new(transaction: &'a Transaction, office: Office, checks: bool) -> Self {
        let fenced = is_fenced(transaction);
        let (rules, foreign) = match office {
            Office::Unknown => (true, !fenced),
            Office::Vacant => (false, false),
            Office::Held { session, foreign } => (session == transaction.session && session != 0, foreign),
        };
        Self { transaction, rules, foreign: rules && foreign, fenced, checks }
    }

    pub(super) fn session(&self) -> i64 {
        self.transaction.session
    }

    /// Whether it writes as a master of ours but without the fence.
    pub(super) fn lacks_fence(&self) -> bool {
        self.rules && !self.foreign && self.checks && !self.fenced
    }

    /// Whether the transaction proves that this worker is registered.
    pub(super) fn checks_worker(&self, worker: &WorkerId) -> bool {
        let expected = path::worker(worker);
        self.transaction.changes.iter().any(|change| matches!(change, Committed::Check { path, .. } if *path == expected))
    }

    /// Whether it creates `/master`.
    pub(super) fn takes_office(&self) -> bool {
        let creates = |change: &Committed| matches!(change, Committed::Create { path, .. } if path == path::MASTER);
        self.transaction.changes.iter().any(creates)
    }

    /// Whether the transaction does more than one thing.
    pub(super) fn is_move(&self) -> bool {
        self.transaction.changes.len() > 1
    }
}

/// Both checks stand in front: ZooKeeper looks at them before anything else.
pub(super) fn is_fenced(transaction: &Transaction) -> bool {
    let check = |change: Option<&Committed>, expected: &str| matches!(change, Some(Committed::Check { path, .. }) if path == expected);
    let mut changes = transaction.changes.iter();
    check(changes.next(), path::EPOCH) && check(changes.next(), path::MASTER)
}

/// Registered workers, and whose session each is. `None`: it is registered, and nobody saw by whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Registrations(BTreeMap<WorkerId, Option<i64>>);

impl Registrations {
    pub(super) fn register(&mut self, worker: WorkerId, session: i64) {
        self.0.insert(worker, Some(session));
    }

    /// Somebody proved that it is registered.
    pub(super) fn learn(&mut self, worker: WorkerId) {
        let session = worker.session();
        self.0.entry(worker).or_insert(session);
    }

    pub(super) fn remove(&mut self, worker: &WorkerId) {
        self.0.remove(worker);
    }

    pub(super) fn end_session(&mut self, session: i64) {
        self.0.retain(|_, owner| *owner != Some(session));
    }

    /// Whether it is registered; a node that goes with no session is no registration.
    pub(super) fn contains(&self, worker: &WorkerId) -> bool {
        self.0.get(worker).is_some_and(|owner| *owner != Some(0))
    }

    /// Whether the session is this worker's. `midway`: registrations that were not seen are possible.
    pub(super) fn is_of(&self, worker: &WorkerId, session: i64, midway: bool) -> bool {
        match self.0.get(worker) {
            Some(Some(owner)) => *owner == session && session != 0,
            Some(None) => true,
            None => midway && worker.session().is_none_or(|owner| owner == session),
        }
    }
}

/// Whether the transaction moves the epoch: then whoever takes the office by it knows of epochs.
pub(super) fn moves_epoch(transaction: &Transaction) -> bool {
    transaction.changes.iter().any(|change| matches!(change, Committed::Set { path, .. } if Place::of(path) == Place::Epoch))
}
