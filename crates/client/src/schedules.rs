//! Schedules: made, read, changed and deleted. The master makes tasks of their ticks.

use bellwether_common::reader;
use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_core::protocol::schedule::{Missed, Overlap, Rhythm, ScheduleRecord, Tick};
use bellwether_core::protocol::{Multi, Node, Outcome, Refusal, ScheduleName, TaskName, Why, path};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::finding::created;
use crate::task::shown_command;

/// A schedule as it is shown: its JSON is what `bellwether schedule list` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ScheduleView {
    /// Its name.
    pub schedule: ScheduleName,
    /// What is wrong with it; then it fires never, and nothing else is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// Seconds between two ticks.
    pub every_seconds: Option<u64>,
    /// The cron expression …
    pub cron: Option<String>,
    /// … and the time zone by whose clocks it goes.
    pub timezone: Option<String>,
    /// What becomes of ticks at which nobody ruled.
    pub missed: Missed,
    /// What becomes of a tick while the task of the one before has not ended.
    pub overlap: Overlap,
    /// Whether no tick counts at present.
    pub paused: bool,
    /// The next tick, by ZooKeeper's clock; it may be past if nobody rules.
    pub next: Option<Timestamp>,
    /// The last task that was made.
    pub last_task: Option<TaskName>,
    /// The tick that it was made of.
    pub last_tick: Option<Timestamp>,
    /// What each task runs, in one line.
    pub command: Option<String>,
    /// Who made it.
    pub submitter: Option<String>,
    /// Since when it is there, by ZooKeeper's clock.
    pub since: Timestamp,
}

impl ScheduleView {
    fn of(schedule: ScheduleName, node: &Node) -> Self {
        let since = created(node);
        let (record, rhythm) = match ScheduleRecord::decode(&node.data) {
            Ok(read) => read,
            Err(why) => return Self::broken(schedule, why.to_string(), since),
        };
        let anchor = node.stat.ctime_ms.div_euclid(1000);
        let moment = |tick: Tick| Timestamp::from_second(tick).ok();
        Self {
            next: next(&record, &rhythm, anchor).and_then(moment),
            last_task: record.fired.map(|tick| schedule.task(tick)),
            last_tick: record.fired.and_then(moment),
            schedule,
            broken: None,
            every_seconds: record.every_s,
            timezone: record.cron.as_ref().map(|_| record.timezone.clone().unwrap_or_else(|| "UTC".to_owned())),
            cron: record.cron,
            missed: record.missed,
            overlap: record.overlap,
            paused: record.paused,
            command: shown_command(&record.task),
            submitter: record.task.submitter,
            since,
        }
    }

    fn broken(schedule: ScheduleName, why: String, since: Timestamp) -> Self {
        Self {
            schedule,
            broken: Some(why),
            every_seconds: None,
            cron: None,
            timezone: None,
            missed: Missed::default(),
            overlap: Overlap::default(),
            paused: false,
            next: None,
            last_task: None,
            last_tick: None,
            command: None,
            submitter: None,
            since,
        }
    }
}

fn next(record: &ScheduleRecord, rhythm: &Rhythm, anchor: Tick) -> Option<Tick> {
    (!record.paused).then(|| rhythm.next(anchor, record.last.unwrap_or(anchor))).flatten()
}

/// What became of a wish for a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduled {
    /// It was made.
    Made,
    /// There is one that asks for the same; it goes on.
    WasThere,
}

/// How a schedule is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// No tick counts any more.
    Pause,
    /// Ticks count again, from this one on.
    Resume(Tick),
}

/// Makes one, unless there is one of its name. Asked again after an unknown outcome: then the one that is there is ours.
pub(crate) async fn make(store: &Store, name: &ScheduleName, record: &ScheduleRecord) -> Result<Result<Scheduled, Error>, ReadError> {
    let place = path::schedule(name);
    match store.commit(Multi::new().create(place.as_str(), record.encode())).await {
        Outcome::Applied(_) => Ok(Ok(Scheduled::Made)),
        Outcome::Refused(Refusal::At { why: Why::NodeExists, .. }) => {
            let Some(node) = store.get(&place).await? else { return Err(ReadError::Interrupted) };
            let same = ScheduleRecord::decode(&node.data).is_ok_and(|(there, _)| there.asks_for_the_same(record));
            Ok(if same { Ok(Scheduled::WasThere) } else { Err(Error::ScheduleExists(name.clone())) })
        }
        outcome => refused(store, name, outcome, "make").await.map(Err),
    }
}

/// All of them, by name.
pub(crate) async fn list(store: &Store) -> Result<Vec<ScheduleView>, ReadError> {
    store.sync().await?;
    let mut names = store.children(path::SCHEDULES).await?.unwrap_or_default();
    names.sort();
    let names: Vec<ScheduleName> = names.iter().map(|name| ScheduleName::listed(name)).collect();
    let nodes = reader::read_nodes(store, names.iter().map(path::schedule).collect()).await;
    let mut views = Vec::with_capacity(names.len());
    for (name, (_, answer)) in names.into_iter().zip(nodes) {
        match answer {
            Ok(Some(node)) => views.push(ScheduleView::of(name, &node)),
            Ok(None) | Err(ReadError::NoAuth { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(views)
}

/// One of them, and its record.
pub(crate) async fn show(store: &Store, name: &ScheduleName) -> Result<Option<ScheduleView>, ReadError> {
    store.sync().await?;
    let node = store.get(&path::schedule(name)).await?;
    Ok(node.map(|node| ScheduleView::of(name.clone(), &node)))
}

/// Deletes one; says whether there was one. Asked again after an unknown outcome.
pub(crate) async fn delete(store: &Store, name: &ScheduleName) -> Result<Result<bool, Error>, ReadError> {
    store.sync().await?;
    if store.stat(&path::schedule(name)).await?.is_none() {
        return Ok(Ok(false));
    }
    match store.commit(Multi::new().delete(path::schedule(name), None)).await {
        // Somebody else was quicker.
        Outcome::Applied(_) | Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => Ok(Ok(true)),
        outcome => refused(store, name, outcome, "delete").await.map(Err),
    }
}

/// Changes one at the version that was read; says whether there is one. Harmless twice.
pub(crate) async fn change(store: &Store, name: &ScheduleName, wish: Wish) -> Result<Result<bool, Error>, ReadError> {
    let place = path::schedule(name);
    store.sync().await?;
    loop {
        let Some(node) = store.get(&place).await? else { return Ok(Ok(false)) };
        let mut record = match ScheduleRecord::decode(&node.data) {
            Ok((record, _)) => record,
            Err(why) => return Ok(Err(Error::Refused(format!("schedule {name} is broken: {why}")))),
        };
        match wish {
            Wish::Pause => record.paused = true,
            Wish::Resume(_) if !record.paused => return Ok(Ok(true)),
            // What would have been due meanwhile was not missed.
            Wish::Resume(now) => (record.paused, record.last) = (false, record.last.max(Some(now))),
        }
        match store.commit(Multi::new().set(place.as_str(), record.encode(), Some(node.stat.version))).await {
            Outcome::Applied(_) => return Ok(Ok(true)),
            // It fired, or somebody else changed it: from the beginning.
            Outcome::Refused(Refusal::At { why: Why::BadVersion | Why::NoNode, .. }) => {}
            outcome => return refused(store, name, outcome, "change").await.map(Err),
        }
    }
}

async fn refused(store: &Store, name: &ScheduleName, outcome: Outcome, what: &str) -> Result<Error, ReadError> {
    let denied = || Error::Denied { what: format!("{what} {}", path::schedule(name)) };
    match outcome {
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => Ok(denied()),
        Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => match store.ensure_layout().await {
            Ok(()) | Err(LayoutError::Read(_)) => Err(ReadError::Interrupted),
            Err(error) => Ok(Error::of_layout(error, &format!("{what} {}", path::schedule(name)))),
        },
        Outcome::Applied(_) | Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => Err(ReadError::Interrupted),
        Outcome::Refused(refusal) => Ok(Error::Refused(format!("to {what} schedule {name}, at {refusal}"))),
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::Stat;

    use super::*;

    fn view(data: &[u8]) -> ScheduleView {
        let stat = Stat { ctime_ms: 100_000, ..Stat::default() };
        ScheduleView::of(ScheduleName::listed("s"), &Node { data: data.to_vec(), stat })
    }

    #[test]
    fn a_schedule_says_when_it_is_due_and_what_it_made() {
        let shown = view(br#"{"bellwether":1,"every_s":60,"last":160,"fired":160,"task":{"bellwether":1,"argv":["make","all"]}}"#);
        assert_eq!(shown.next, Timestamp::from_second(220).ok());
        assert_eq!(shown.last_task, Some(TaskName::listed("s-19700101T000240Z")));
        assert_eq!((shown.command.as_deref(), shown.broken), (Some("make all"), None));
        let paused = view(br#"{"bellwether":1,"cron":"@daily","paused":true,"task":{"bellwether":1,"shell":"x"}}"#);
        assert_eq!((paused.next, paused.timezone.as_deref()), (None, Some("UTC")));
    }

    #[test]
    fn garbage_is_shown_as_what_it_is() {
        assert!(view(b"\xff").broken.is_some_and(|why| why.contains("does not decode")));
        let never = view(br#"{"bellwether":1,"cron":"0 0 30 2 *","task":{"bellwether":1,"shell":"x"}}"#);
        assert!(never.broken.is_some_and(|why| why.contains("never fires")));
    }
}
