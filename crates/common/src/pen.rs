//! Pens: writes of one term of office (fenced) or of one session (plain), sent in the order of the calls, several in flight.
//!
//! A pen closes itself at the first write whose outcome is unknown: what was decided on the assumption that it was applied, or
//! was not, must not follow it. Its owner reads what is there (Resync) and opens it again. What is written is not decided here.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bellwether_core::election;
use bellwether_core::protocol::{Applied, Multi, Outcome, Refusal, Why};
use futures::FutureExt;
use futures::future::{BoxFuture, Either, ready};
use metrics::{counter, histogram};

use crate::metrics as names;
use crate::store::Store;
use crate::zk_runtime;

/// How an unknown outcome was resolved, once the owner of the pen has read what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It had been applied.
    Applied,
    /// It had not.
    NotApplied,
    /// The session or the term ended first; whoever comes next finds out.
    Abandoned,
}

/// Counts an unknown outcome that was resolved. `op` as given to [`Pen::write_as`].
pub fn count_resolution(op: &'static str, resolution: Resolution) {
    let resolution = match resolution {
        Resolution::Applied => "applied",
        Resolution::NotApplied => "not_applied",
        Resolution::Abandoned => "unresolved",
    };
    counter!(names::ZK_UNKNOWN_OUTCOMES_TOTAL, "op" => op, "resolution" => resolution).increment(1);
}

/// Writes transactions. Clones are the same pen.
#[derive(Debug, Clone)]
pub struct Pen {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    store: Store,
    /// Comes first in every transaction.
    fence: Multi,
    closed: AtomicBool,
    in_flight: AtomicUsize,
}

impl Pen {
    /// The pen of a master: every write commits only while the epoch has this version and `/master` is the one that won it.
    #[must_use]
    pub fn fenced(store: Store, epoch_version: i32) -> Self {
        Self::new(store, election::fence(epoch_version))
    }

    /// The pen of a worker or a client, whose transactions carry their own guards.
    #[must_use]
    pub fn plain(store: Store) -> Self {
        Self::new(store, Multi::new())
    }

    fn new(store: Store, fence: Multi) -> Self {
        Self { state: Arc::new(State { store, fence, closed: AtomicBool::new(false), in_flight: AtomicUsize::new(0) }) }
    }

    /// The session that this pen writes in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// How many writes are sent and not answered. Their number is the caller's to bound.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::Acquire)
    }

    /// Whether writes are refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Acquire)
    }

    /// Refuses writes from now on; those in flight are answered still.
    pub fn close(&self) {
        self.state.closed.store(true, Ordering::Release);
    }

    /// Accepts writes again. Call it after a Resync, and only when [`Pen::in_flight`] is 0 or what is in flight does not matter.
    pub fn reopen(&self) {
        self.state.closed.store(false, Ordering::Release);
    }

    /// [`Pen::write_as`] for writes that no metric tells apart.
    pub fn write(&self, multi: Multi) -> impl Future<Output = Outcome> + Send + use<> {
        self.write_as("housekeeping", multi)
    }

    /// Sends a transaction now, after all that this thread sent before it. Indices in the outcome are those of `multi`; the fence
    /// refuses as [`Refusal::Fence`]. The first [`Outcome::Unknown`] closes the pen, whether or not the future is awaited; while
    /// it is closed the answer is `Refused(Whole(NotSent))`. `op` is the label that metrics know this write by.
    pub fn write_as(&self, op: &'static str, multi: Multi) -> impl Future<Output = Outcome> + Send + use<> {
        if self.is_closed() {
            return Either::Left(ready(Outcome::Refused(Refusal::Whole(Why::NotSent))));
        }
        histogram!(names::ZK_MULTI_OPS).record(multi.len() as f64);
        Either::Right(self.send(op, multi))
    }

    /// Asks ZooKeeper whether this pen may still write, ordered with all writes, also while it is closed: the empty fenced
    /// transaction, which is a master's proof of office and of life. A plain pen has nothing to check but the session, and sends
    /// a `sync`.
    pub fn prove(&self) -> impl Future<Output = Outcome> + Send + use<> {
        if self.state.fence.is_empty() {
            let sync = self.state.store.sync();
            return Either::Left(sync.map(|answer| answer.map_or(Outcome::Unknown, |()| Outcome::applied())));
        }
        Either::Right(self.send("proof", Multi::new()))
    }

    fn send(&self, op: &'static str, multi: Multi) -> BoxFuture<'static, Outcome> {
        let state = Arc::clone(&self.state);
        let fence = state.fence.len();
        state.in_flight.fetch_add(1, Ordering::AcqRel);
        let reply = state.store.commit(state.fence.clone().and(multi));
        let task = zk_runtime::spawn(async move {
            let outcome = without_fence(reply.await, fence);
            match outcome {
                // Before anybody can hear of it, so that nothing is written in between.
                Outcome::Unknown => state.closed.store(true, Ordering::Release),
                Outcome::Refused(Refusal::Fence(_)) => counter!(names::FENCED_WRITES_TOTAL, "op" => op).increment(1),
                Outcome::Refused(_) | Outcome::Applied(_) => {}
            }
            state.in_flight.fetch_sub(1, Ordering::AcqRel);
            outcome
        });
        async move { task.await.unwrap_or(Outcome::Unknown) }.boxed()
    }
}

/// The outcome as seen by who knows nothing of the first `fence` operations.
fn without_fence(outcome: Outcome, fence: usize) -> Outcome {
    match outcome {
        Outcome::Refused(Refusal::At { index, why }) if index < fence => Outcome::Refused(Refusal::Fence(why)),
        Outcome::Refused(Refusal::At { index, why }) => Outcome::refused(index - fence, why),
        Outcome::Applied(Applied { sets }) => {
            let sets = sets.into_iter().map(|(index, version, mzxid)| (index - fence, version, mzxid)).collect();
            Outcome::Applied(Applied { sets })
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;
