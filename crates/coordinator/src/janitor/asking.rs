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
use bellwether_core::protocol::{Stat, TaskName, path};
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
        Effect::Verify(q, place, names) => verify(store, place, names).await.map(|verified| Event::Verified(q, verified)),
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
    let alone = lot.len() == 1;
    let found = (!alone).then(|| reader::read_together(store, lot.iter().map(|name| place.path(name)).collect()));
    let asked: Vec<_> = lot
        .iter()
        .map(|name| {
            let details = (place == Place::Results && details.may_have(name)).then(|| store.stat(&path::plain_result(name)));
            (details, alone.then(|| store.stat(&place.path(name))))
        })
        .collect();
    let found = match found {
        Some(found) => found.await,
        None => Vec::new(),
    };
    let mut found = found.into_iter().map(|(_, found)| found);
    let mut measured = Vec::with_capacity(lot.len());
    for (name, (details, stat)) in lot.into_iter().zip(asked) {
        let details = match details {
            Some(details) => known(details.await)?,
            None => None,
        };
        let stat = match (found.next(), stat) {
            (Some(Ok(node)), _) => node.map(|node| node.stat),
            (_, Some(stat)) => known(stat.await)?,
            // The state of a node may be read by everybody, also where its data may not.
            (Some(Err(ReadError::NoAuth { .. } | ReadError::BadPath { .. })), None) => known(store.stat(&place.path(&name)).await)?,
            (Some(Err(ReadError::Interrupted)) | None, None) => return None,
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

async fn verify(store: &Store, place: Place, names: Vec<TaskName>) -> Option<Vec<(TaskName, Option<i64>)>> {
    let looks = stream::iter(names).map(|name| {
        let stat = store.stat(&place.path(&name));
        async move { known(stat.await).map(|stat| (name, stat.map(|stat| stat.czxid))) }
    });
    let verified: Vec<Option<_>> = looks.buffered(WINDOW).collect().await;
    verified.into_iter().collect()
}

/// Behind a barrier: whoever had begun to wait before this was asked is seen.
async fn needs(store: &Store, master: &Addr<MasterActor>) -> Option<Option<Needs>> {
    store.sync().await.ok()?;
    // Without a master that knows all, nobody knows what held tasks wait for.
    let Some(mut named) = master.send(NamedByHeld).await.ok().flatten() else { return Some(None) };
    let waiters = names(store, path::WAITERS, path::waiter).await?;
    // The state of a node may be read by everybody, so that one counts whose data may not.
    let looks = stream::iter(waiters).map(|waiter| {
        let (stat, data) = (store.stat(&waiter), store.get(&waiter));
        async move { (stat.await, data.await) }
    });
    let mut looks = looks.buffered(WINDOW);
    let mut since: Option<i64> = None;
    while let Some((stat, data)) = looks.next().await {
        let Some(stat) = known(stat)? else { continue };
        since = Some(since.map_or(stat.czxid, |since| since.min(stat.czxid)));
        named.extend(known(data)?.iter().flat_map(|node| WaiterRecord::named(&node.data)));
    }
    Some(Some(Needs { since, named }))
}
