//! What the janitor asks of ZooKeeper, as tasks on ZooKeeper's runtime.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Addr, AsyncContext, Context};
use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::election;
use bellwether_core::janitor::{Effect, Event, Measure, Needs, Place};
use bellwether_core::protocol::record::WaiterRecord;
use bellwether_core::protocol::{Node, Stat, TaskName, path};
use futures::stream::{self, StreamExt};

use super::{Answer, JanitorActor};
use crate::master::{MasterActor, NamedByHeld, known, names};
use crate::office::Told;

/// Most requests in flight: few enough to leave room for what is urgent.
const WINDOW: usize = 32;

/// Small nodes are looked at by reading so many with one request, and so many bytes at most by what they had so far: a request costs more
/// than what is read for nothing.
const TOGETHER: u64 = 64;
const TOGETHER_BYTES_MAX: u64 = 128 * 1024;
/// How large a node is taken to be of which nothing is known.
const BYTES_GUESSED: u64 = 8 * 1024;

/// Which results had details when they were listed last, so that nobody asks for those of the others. What came in between is not seen to
/// have any: they are found as details without a status when that is gone. And how large a node was on average.
#[derive(Debug, Clone, Default)]
pub(super) struct Details(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    hasher: RandomState,
    /// Hashes of names: of two that are alike, one is asked for in vain.
    listed: Mutex<Option<HashSet<u64>>>,
    /// Zero: nothing is known.
    bytes_each: AtomicU64,
}

impl Details {
    fn note<'a>(&self, tasks: impl Iterator<Item = &'a TaskName>) {
        let hashes = tasks.map(|task| self.0.hasher.hash_one(task)).collect();
        *self.0.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(hashes);
    }

    fn may_have(&self, task: &TaskName) -> bool {
        let listed = self.0.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.as_ref().is_none_or(|listed| listed.contains(&self.0.hasher.hash_one(task)))
    }

    /// How many nodes are read by one request.
    fn together(&self) -> usize {
        let each = match self.0.bytes_each.load(Ordering::Relaxed) {
            0 => BYTES_GUESSED,
            known => known,
        };
        usize::try_from((TOGETHER_BYTES_MAX / each).clamp(1, TOGETHER)).unwrap_or(1)
    }

    /// The last ones tell more about the next than the first did.
    fn note_bytes(&self, measured: &[Measure]) {
        let Ok(count @ 1..) = u64::try_from(measured.len()) else { return };
        let mean = measured.iter().map(|measure| measure.bytes).sum::<u64>() / count;
        let before = self.0.bytes_each.load(Ordering::Relaxed);
        self.0.bytes_each.store(if before == 0 { mean.max(1) } else { u64::midpoint(before, mean).max(1) }, Ordering::Relaxed);
    }
}

impl JanitorActor {
    /// An answer that was cut off is no answer: the office proves itself anew.
    pub(super) fn ask(&self, question: Effect, context: &Context<Self>) {
        let (own, store, master) = (context.address(), self.pen.store().clone(), self.master.clone());
        let known = self.details.clone();
        let (office, serial) = (self.office.clone(), self.serial());
        zk_runtime::spawn(async move {
            match answer(&store, &master, &known, question).await {
                Some(event) => own.do_send(Answer(event)),
                None => office.do_send(Told { serial, event: election::Event::WriteUnknown }),
            }
        });
    }
}

async fn answer(store: &Store, master: &Addr<MasterActor>, known_details: &Details, question: Effect) -> Option<Event> {
    match question {
        Effect::ReadClock(q) => known(store.stat(path::EPOCH).await).map(|stat| Event::ClockRead(q, stat.map(|stat| stat.mtime_ms))),
        Effect::Count(q) => {
            let children = known(store.stat(path::STATUS).await)?.map_or(0, |stat| stat.children);
            Some(Event::Counted(q, usize::try_from(children).unwrap_or(0)))
        }
        Effect::List(q, Place::Results) => {
            // Details come with their status, in one transaction: those that were listed first and whose status is not there later have
            // lost it.
            let details = names(store, path::RESULTS, TaskName::listed).await?;
            let results = names(store, path::STATUS, TaskName::listed).await?;
            let there: HashSet<&TaskName> = results.iter().collect();
            known_details.note(details.iter());
            let orphans = details.into_iter().filter(|task| !there.contains(task)).collect();
            Some(Event::Listed(q, results, orphans))
        }
        Effect::List(q, place) => names(store, place.parent(), TaskName::listed).await.map(|names| Event::Listed(q, names, Vec::new())),
        Effect::Measure(q, place, names) => measure(store, place, names, known_details).await.map(|measured| Event::Measured(q, measured)),
        Effect::AskNeeds(q) => needs(store, master).await.map(|needs| Event::Asked(q, needs)),
        Effect::Verify(q, place, names) => verify(store, place, names, known_details).await.map(|verified| Event::Verified(q, verified)),
        Effect::Write(..) | Effect::Tell(_) => None,
    }
}

async fn measure(store: &Store, place: Place, names: Vec<TaskName>, details: &Details) -> Option<Vec<(TaskName, Option<Measure>)>> {
    let lots: Vec<Vec<TaskName>> = names.chunks(details.together()).map(<[TaskName]>::to_vec).collect();
    let looks = stream::iter(lots).map(|lot| measure_lot(store, place, lot, details));
    let measured: Vec<Option<Vec<_>>> = looks.buffered(WINDOW).collect().await;
    let measured = measured.into_iter().collect::<Option<Vec<_>>>()?.concat();
    details.note_bytes(&measured.iter().filter_map(|(_, measure)| *measure).collect::<Vec<_>>());
    Some(measured)
}

async fn measure_lot(store: &Store, place: Place, lot: Vec<TaskName>, details: &Details) -> Option<Vec<(TaskName, Option<Measure>)>> {
    let may_have_details = |name: &&TaskName| place == Place::Results && details.may_have(name);
    let asked: Vec<_> =
        lot.iter().map(|name| Some(name).filter(may_have_details).map(|name| store.stat(&path::plain_result(name)))).collect();
    let stats = stats(store, place, &lot).await?;
    let mut measured = Vec::with_capacity(lot.len());
    for ((name, details), stat) in lot.into_iter().zip(asked).zip(stats) {
        let details = match details {
            Some(details) => known(details.await)?,
            None => None,
        };
        let bytes = |stat: &Stat| u64::try_from(stat.bytes).unwrap_or(0);
        let measure = stat.map(|stat| Measure {
            czxid: stat.czxid,
            created_ms: stat.ctime_ms,
            bytes: bytes(&stat) + details.as_ref().map_or(0, bytes),
            details: details.is_some(),
        });
        measured.push((name, measure));
    }
    Some(measured)
}

/// The states of a few nodes, by one request if that can be.
async fn stats(store: &Store, place: Place, names: &[TaskName]) -> Option<Vec<Option<Stat>>> {
    if let [name] = names {
        return known(store.stat(&place.path(name)).await).map(|stat| vec![stat]);
    }
    let found = reader::read_together(store, names.iter().map(|name| place.path(name)).collect()).await;
    let mut stats = Vec::with_capacity(found.len());
    for (path, found) in found {
        stats.push(match found {
            Ok(node) => node.map(|node| node.stat),
            // The state of a node may be read by everybody, also where its data may not.
            Err(ReadError::NoAuth { .. } | ReadError::BadPath { .. }) => known(store.stat(&path).await)?,
            Err(ReadError::Interrupted) => return None,
        });
    }
    Some(stats)
}

async fn verify(store: &Store, place: Place, names: Vec<TaskName>, details: &Details) -> Option<Vec<(TaskName, Option<i64>)>> {
    let lots: Vec<Vec<TaskName>> = names.chunks(details.together()).map(<[TaskName]>::to_vec).collect();
    let looks = stream::iter(lots).map(|lot| async move {
        let stats = stats(store, place, &lot).await?;
        Some(lot.into_iter().zip(stats.into_iter().map(|stat| stat.map(|stat| stat.czxid))).collect::<Vec<_>>())
    });
    let verified: Vec<Option<Vec<_>>> = looks.buffered(WINDOW).collect().await;
    Some(verified.into_iter().collect::<Option<Vec<_>>>()?.concat())
}

/// Behind a barrier: whoever had begun to wait before this was asked is seen. A node that was listed and is gone may have been replaced by
/// one that names what was kept by it: that is there by then, and it is listed again until none has gone meanwhile.
async fn needs(store: &Store, master: &Addr<MasterActor>) -> Option<Option<Needs>> {
    store.sync().await.ok()?;
    // Without a master that knows all, nobody knows what held tasks wait for.
    let Some(mut named) = master.send(NamedByHeld).await.ok().flatten() else { return Some(None) };
    let (mut since, mut seen, mut complete) = (None, HashSet::new(), false);
    while !complete {
        let mut waiters = names(store, path::WAITERS, path::waiter).await?;
        waiters.retain(|waiter| seen.insert(waiter.clone()));
        let signs = signs(store, waiters).await?;
        complete = signs.iter().all(Option::is_some);
        for (czxid, names) in signs.into_iter().flatten() {
            since = Some(since.map_or(czxid, |since: i64| since.min(czxid)));
            named.extend(names);
        }
    }
    Some(Some(Needs { since, named }))
}

/// Since when each of these who wait does, and what he names; `None`: he does no more.
async fn signs(store: &Store, waiters: Vec<String>) -> Option<Vec<Option<(i64, Vec<TaskName>)>>> {
    // The state of a node may be read by everybody, so that one counts whose data may not.
    let looks = stream::iter(waiters).map(|waiter| {
        let (stat, data) = (store.stat(&waiter), store.get(&waiter));
        async move { (stat.await, data.await) }
    });
    let looks: Vec<_> = looks.buffered(WINDOW).collect().await;
    let sign = |(stat, data): (Result<Option<Stat>, ReadError>, Result<Option<Node>, ReadError>)| {
        let Some(stat) = known(stat)? else { return Some(None) };
        // One that goes between the two questions names nothing any more, and is counted as gone.
        let Some(named) = read(data)? else { return Some(None) };
        Some(Some((stat.czxid, named)))
    };
    looks.into_iter().map(sign).collect()
}

/// What such a node names; nothing, where it may not be read. `None`: it is gone.
fn read(data: Result<Option<Node>, ReadError>) -> Option<Option<Vec<TaskName>>> {
    match data {
        Ok(node) => Some(node.map(|node| WaiterRecord::named(&node.data))),
        Err(ReadError::NoAuth { .. } | ReadError::BadPath { .. }) => Some(Some(Vec::new())),
        Err(ReadError::Interrupted) => None,
    }
}
