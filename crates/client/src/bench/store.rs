//! What ZooKeeper does by itself: writes in a window, writes in transactions, reads, and how long it takes until somebody else hears.

use std::time::{Duration, Instant};

use bellwether_common::store::Store;
use bellwether_core::protocol::{Multi, Outcome, Refusal, Why, path};
use futures::StreamExt as _;
use futures::stream::{self, TryStreamExt as _};

use super::{Measured, Part, per_second, percentile};
use crate::error::Error;

/// As large as the payload of a small task.
const DATA: [u8; 100] = [b'x'; 100];
/// How often a single round trip is measured.
const TRIPS: usize = 200;
/// Most nodes that a window of one is measured with: more would only take longer.
const ONE_BY_ONE_MAX: usize = 500;

/// What tasks are compared with: so many nodes in a transaction, …
const COMPARED: usize = 32;
/// … and as many as are written for the tasks that are compared.
const NODES_PER_TASK: usize = 5;

/// No bench takes that long.
const ABANDONED_AFTER_MS: i64 = 6 * 3600 * 1000;

/// The single steps of which a task's way consists.
#[derive(Debug)]
pub(super) struct Trips {
    pub(super) write: Vec<Duration>,
    pub(super) read: Vec<Duration>,
    /// From the moment of a write until another session heard of it.
    pub(super) event: Vec<Duration>,
}

/// All that is said of the store.
pub(super) async fn measure(store: &Store, other: &Store, count: usize) -> Result<Vec<Measured>, Error> {
    let place = Place::make(store).await?;
    let measured = at(store, other, &place, count).await;
    place.clear(store).await?;
    measured
}

async fn at(store: &Store, other: &Store, place: &Place, count: usize) -> Result<Vec<Measured>, Error> {
    let mut all = Vec::new();
    for window in [1, 128, 1000] {
        let count = if window == 1 { count.min(ONE_BY_ONE_MAX) } else { count };
        let took = creates(store, &place.below(&format!("w{window}")), count, 1, window).await?;
        all.push(per_second(Part::Store, format!("nodes created, {window} on their way"), count, took));
    }
    let took = reads(store, &place.below("w1000"), count).await?;
    all.push(per_second(Part::Store, "nodes read, 1000 on their way", count, took));
    for size in [8, COMPARED, 128] {
        // What is over in a fifth of a second meets no pause of Java's or of the disk's, or nothing else.
        let count = if size == COMPARED { count.saturating_mul(NODES_PER_TASK) } else { count };
        // Before the next ones come, so that the server holds no more than one sort of them.
        place.empty(store).await?;
        let took = creates(store, &place.below(&format!("m{size}")), count, size, 16).await?;
        all.push(per_second(Part::Store, format!("nodes created, {size} in a transaction"), count, took));
    }
    let trips = trips_at(store, other, place).await?;
    all.push(percentile(Part::Store, "a write, p50", &trips.write, 50));
    all.push(percentile(Part::Store, "a read, p50", &trips.read, 50));
    all.push(percentile(Part::Store, "a write until another session hears, p50", &trips.event, 50));
    Ok(all)
}

/// Only the single steps.
pub(super) async fn trips(store: &Store, other: &Store) -> Result<Trips, Error> {
    let place = Place::make(store).await?;
    let trips = trips_at(store, other, &place).await;
    place.clear(store).await?;
    trips
}

async fn creates(store: &Store, prefix: &str, count: usize, size: usize, window: usize) -> Result<Duration, Error> {
    let begun = Instant::now();
    let starts: Vec<usize> = (0..count).step_by(size).collect();
    stream::iter(starts)
        .map(|start| {
            let nodes = start..(start + size).min(count);
            let multi = nodes.fold(Multi::new(), |multi, node| multi.create(format!("{prefix}-{node:07}"), DATA));
            let committed = store.commit(multi);
            async move { applied(committed.await) }
        })
        .buffer_unordered(window)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(begun.elapsed())
}

async fn reads(store: &Store, prefix: &str, count: usize) -> Result<Duration, Error> {
    let begun = Instant::now();
    stream::iter(0..count)
        .map(|node| store.get(&format!("{prefix}-{node:07}")))
        .buffer_unordered(1000)
        .try_fold((), |(), _| async { Ok(()) })
        .await?;
    Ok(begun.elapsed())
}

async fn trips_at(store: &Store, other: &Store, place: &Place) -> Result<Trips, Error> {
    let mut trips = Trips { write: Vec::new(), read: Vec::new(), event: Vec::new() };
    for trip in 0..TRIPS {
        let (written, heard) = (place.below(&format!("t-{trip}")), place.below(&format!("h-{trip}")));
        let begun = Instant::now();
        applied(store.commit(Multi::new().create(&written, DATA)).await)?;
        trips.write.push(begun.elapsed());
        let begun = Instant::now();
        store.get(&written).await?;
        trips.read.push(begun.elapsed());
        let (_, changed) = other.exists_once(&heard).await?;
        let begun = Instant::now();
        let committed = store.commit(Multi::new().create(&heard, DATA));
        let (committed, ()) = tokio::join!(committed, changed);
        trips.event.push(begun.elapsed());
        applied(committed)?;
    }
    Ok(trips)
}

fn applied(outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Applied(_) => Ok(()),
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => Err(Error::Denied { what: format!("create below {}", path::BENCH) }),
        Outcome::Refused(refusal) => Err(Error::Refused(format!("a measured write, at {refusal}"))),
        Outcome::Unknown => Err(Error::Refused("the connection was lost while it was measured".to_owned())),
    }
}

/// Where the nodes lie.
struct Place {
    path: String,
}

impl Place {
    async fn make(store: &Store) -> Result<Self, Error> {
        // Made by whoever measures first; another one may be quicker.
        drop(store.commit(Multi::new().create(path::BENCH, Vec::new())).await);
        let place = Self { path: format!("{}/{:016x}", path::BENCH, store.session_id()) };
        applied(store.commit(Multi::new().create(&place.path, Vec::new())).await)?;
        place.clear_abandoned(store).await?;
        Ok(place)
    }

    /// What a bench that was interrupted left behind, long ago.
    async fn clear_abandoned(&self, store: &Store) -> Result<(), Error> {
        let now = store.stat(&self.path).await?.map_or(0, |stat| stat.ctime_ms);
        for name in store.children(path::BENCH).await?.unwrap_or_default() {
            let other = Self { path: format!("{}/{name}", path::BENCH) };
            let made = store.stat(&other.path).await?.map_or(now, |stat| stat.ctime_ms);
            if now - made > ABANDONED_AFTER_MS {
                other.clear(store).await?;
            }
        }
        Ok(())
    }

    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Removes it, with all that is below it.
    async fn clear(&self, store: &Store) -> Result<(), Error> {
        self.empty(store).await?;
        match store.commit(Multi::new().delete(&self.path, None)).await {
            Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => Ok(()),
            outcome => applied(outcome),
        }
    }

    /// Removes all that is below it.
    async fn empty(&self, store: &Store) -> Result<(), Error> {
        let Some(names) = store.children(&self.path).await? else { return Ok(()) };
        let portions: Vec<Vec<String>> = names.chunks(256).map(<[String]>::to_vec).collect();
        stream::iter(portions)
            .map(|names| {
                let multi = names.iter().fold(Multi::new(), |multi, name| multi.delete(self.below(name), None));
                let committed = store.commit(multi);
                async move { applied(committed.await) }
            })
            .buffer_unordered(8)
            .try_collect::<Vec<()>>()
            .await
            .map(drop)
    }
}
