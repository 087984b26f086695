//! Follows terms, workers and tasks through a log, and measures. It judges nothing.

use std::collections::{BTreeSet, HashMap, HashSet};

use bellwether_core::invariant::{Ledger, Place, is_piece};
use bellwether_core::protocol::record::{CoordinatorRecord, Farewell};
use bellwether_core::protocol::result::{Status, TaskOutcome, decode_status, result_of_words};
use bellwether_core::protocol::{TaskName, WorkerId, path};
use jiff::Timestamp;
use serde::Deserialize;

use super::below;
use super::report::{Found, Moment, Quantiles, Term, Timings};
use crate::txnlog::{Change, Record};

/// Most other clusters that are remembered.
const CLUSTERS: usize = 100;

/// What a follower knows.
#[derive(Debug)]
pub(super) struct Follower {
    root: String,
    clusters: BTreeSet<String>,
    found: Found,
    master: Option<i64>,
    /// When the office was vacated.
    vacated_ms: Option<i64>,
    farewell: Option<String>,
    workers: HashMap<WorkerId, i64>,
    gone_ms: HashMap<WorkerId, i64>,
    tasks: HashMap<TaskName, Times>,
    /// Pieces of arrays that workers have.
    pieces: HashSet<TaskName>,
    writes: u64,
    samples: Samples,
}

#[derive(Debug, Default)]
struct Samples {
    vacancy: Vec<i64>,
    reassignment: Vec<i64>,
    queue: Vec<i64>,
    run: Vec<i64>,
    whole: Vec<i64>,
}

/// A task that has not ended. Times in milliseconds since 1970.
#[derive(Debug, Default)]
struct Times {
    submitted_ms: Option<i64>,
    queued_ms: Option<i64>,
    assigned_ms: Option<i64>,
    /// When the worker went that it was taken from.
    lost_ms: Option<i64>,
    places: usize,
}

impl Follower {
    pub(super) fn new(root: &str) -> Self {
        Self {
            root: root.to_owned(),
            clusters: BTreeSet::new(),
            found: Found::default(),
            master: None,
            vacated_ms: None,
            farewell: None,
            workers: HashMap::new(),
            gone_ms: HashMap::new(),
            tasks: HashMap::new(),
            pieces: HashSet::new(),
            writes: 0,
            samples: Samples::default(),
        }
    }

    /// Transactions are missing here: nothing is measured across them.
    pub(super) fn lose_track(&mut self) {
        (self.master, self.vacated_ms) = (None, None);
        self.workers.clear();
        self.gone_ms.clear();
        self.tasks.clear();
    }

    /// Takes one record in, and says which tasks it is about.
    pub(super) fn observe(&mut self, record: &Record) -> Vec<TaskName> {
        let mut touched = Vec::new();
        self.farewell = None;
        for change in &record.changes {
            if let Change::CloseSession { paths } = change {
                self.session_ended(record, paths);
                continue;
            }
            let Some(absolute) = change.path() else { continue };
            self.note_cluster(absolute);
            let Some(relative) = below(absolute, &self.root) else { continue };
            let relative = relative.to_owned();
            self.change(record, &relative, change, &mut touched);
        }
        self.writes += u64::from(!touched.is_empty());
        touched
    }

    /// Looks at what a record was about when the ledger has taken it in.
    pub(super) fn settle(&mut self, touched: &[TaskName], ledger: &Ledger) {
        for task in touched {
            if self.tasks.get(task).is_some_and(|times| times.places == 0) {
                self.tasks.remove(task);
                // Whose status stands has ended, and was only tidied away.
                self.found.tasks.lost += u64::from(!ledger.ended().contains(task));
            }
        }
    }

    fn note_cluster(&mut self, absolute: &str) {
        let Some(root) = absolute.strip_suffix(path::EPOCH) else { return };
        if self.clusters.len() < CLUSTERS && !self.clusters.contains(root) {
            self.clusters.insert(root.to_owned());
        }
    }

    fn change(&mut self, record: &Record, relative: &str, change: &Change, touched: &mut Vec<TaskName>) {
        let now = record.time_ms;
        match (Place::of(relative), change) {
            (Place::Elsewhere, Change::Set { data, .. }) if relative == path::FAREWELL => {
                self.farewell = serde_json::from_slice::<Farewell>(data).ok().map(|farewell| farewell.why);
            }
            (Place::Elsewhere | Place::Letter(_) | Place::Waiter(_), _) => return,
            (Place::Master, Change::Create { data, ephemeral, .. }) => self.taken(record, data, *ephemeral),
            (Place::Master, Change::Delete { .. }) => self.vacated(record),
            (Place::Epoch, Change::Set { version, .. }) => {
                if let Some(term) = self.found.terms.last_mut().filter(|term| term.since.zxid == record.zxid) {
                    term.epoch = Some(*version);
                }
            }
            (Place::Worker(worker), Change::Create { ephemeral, .. }) => {
                self.found.workers += 1;
                self.gone_ms.remove(&worker);
                self.workers.insert(worker, if *ephemeral { record.session } else { 0 });
            }
            (Place::Worker(worker), Change::Delete { .. }) => self.worker_gone(worker, now),
            // The array is the task; how its elements fare is the ledger's affair.
            (Place::Assigned(_, task), Change::Create { data, .. }) if is_piece(&task, data) => drop(self.pieces.insert(task)),
            (Place::Assigned(_, task), Change::Delete { .. }) if self.pieces.remove(&task) => {}
            (Place::Array(task), Change::Create { .. }) => self.tasks.entry(touch(touched, task)).or_default().places += 1,
            (Place::Array(task), Change::Delete { .. }) => self.left(touch(touched, task), None),
            (Place::Pending(task) | Place::Held(task), Change::Create { .. }) => self.queued(touch(touched, task), now),
            (Place::Assigned(_, task), Change::Create { .. }) => self.assigned(touch(touched, task), now),
            (Place::Pending(task) | Place::Held(task), Change::Delete { .. }) => self.left(touch(touched, task), None),
            (Place::Assigned(worker, task), Change::Delete { .. }) => self.left(touch(touched, task), Some(&worker)),
            (Place::Status(task), Change::Create { data, .. }) => self.ended(touch(touched, task), data, record),
            _ => {}
        }
        self.found.seen = true;
    }

    fn taken(&mut self, record: &Record, data: &[u8], ephemeral: bool) {
        let session = if ephemeral { record.session } else { 0 };
        let vacant_ms = self.vacated_ms.take().map(|vacated| record.time_ms - vacated);
        self.samples.vacancy.extend(vacant_ms);
        self.master = Some(session);
        let name = serde_json::from_slice::<CoordinatorRecord>(data).ok().map(|coordinator| coordinator.name);
        let since = Moment::new(record.zxid, record.time_ms);
        self.found.terms.push(Term { epoch: None, name, session, since, until: None, ended: None, vacant_ms });
    }

    fn vacated(&mut self, record: &Record) {
        let closes = record.changes.iter().any(|change| matches!(change, Change::CloseSession { .. }));
        let ended = match (self.farewell.take(), self.master.take()) {
            (Some(why), _) => why,
            _ if closes => "its session ended".to_owned(),
            (None, Some(master)) if master == record.session => "it left".to_owned(),
            (None, _) => format!("/master was deleted by session {:#x}", record.session),
        };
        self.vacated_ms = Some(record.time_ms);
        if let Some(term) = self.found.terms.last_mut().filter(|term| term.until.is_none()) {
            term.until = Some(Moment::new(record.zxid, record.time_ms));
            term.ended = Some(ended);
        }
    }

    /// What it owned is listed, or was seen before, or both.
    fn session_ended(&mut self, record: &Record, paths: &[String]) {
        let listed = |path: &String| below(path, &self.root).map(Place::of);
        let places: Vec<Place> = paths.iter().filter_map(listed).collect();
        if self.master == Some(record.session) || places.contains(&Place::Master) {
            self.vacated(record);
        }
        for place in places {
            if let Place::Worker(worker) = place {
                self.worker_gone(worker, record.time_ms);
            }
        }
        let session = record.session;
        let gone: Vec<WorkerId> = self.workers.iter().filter(|(_, owner)| **owner == session).map(|(worker, _)| worker.clone()).collect();
        for worker in gone {
            self.worker_gone(worker, record.time_ms);
        }
    }

    fn worker_gone(&mut self, worker: WorkerId, now: i64) {
        self.workers.remove(&worker);
        self.gone_ms.insert(worker, now);
    }

    fn queued(&mut self, task: TaskName, now: i64) {
        let tasks = &mut self.found.tasks;
        let times = self.tasks.entry(task).or_insert_with(|| {
            tasks.submitted += 1;
            Times { submitted_ms: Some(now), ..Times::default() }
        });
        times.queued_ms = Some(now);
        times.places += 1;
    }

    fn assigned(&mut self, task: TaskName, now: i64) {
        let times = self.tasks.entry(task).or_default();
        times.places += 1;
        times.assigned_ms = Some(now);
        self.samples.queue.extend(times.queued_ms.take().map(|queued| now - queued));
        self.samples.reassignment.extend(times.lost_ms.take().map(|lost| now - lost));
    }

    fn left(&mut self, task: TaskName, worker: Option<&WorkerId>) {
        let times = self.tasks.entry(task).or_insert_with(|| Times { places: 1, ..Times::default() });
        times.places = times.places.saturating_sub(1);
        if let Some(gone) = worker.and_then(|worker| self.gone_ms.get(worker)) {
            times.lost_ms = Some(*gone);
            self.found.tasks.attempts_lost += 1;
        }
    }

    fn ended(&mut self, task: TaskName, data: &[u8], record: &Record) {
        let outcome = outcome_of(&task, data);
        *self.found.tasks.ended.entry(outcome.to_string()).or_default() += 1;
        let Some(times) = self.tasks.remove(&task) else { return };
        let now = record.time_ms;
        self.samples.whole.extend(times.submitted_ms.map(|submitted| now - submitted));
        // What a master ends did not run to its end.
        if self.master != Some(record.session) {
            self.samples.run.extend(times.assigned_ms.map(|assigned| now - assigned));
        }
    }

    pub(super) fn finish(self, ledger: &Ledger) -> Found {
        let mut found = self.found;
        let (waiting, assigned, stranded) = ledger.unfinished_counts();
        (found.tasks.waiting, found.tasks.assigned, found.tasks.stranded) = (waiting as u64, assigned as u64, stranded as u64);
        let ended: u64 = found.tasks.ended.values().sum();
        let Samples { vacancy, reassignment, queue, run, whole } = self.samples;
        found.timings = Timings {
            vacancy: Quantiles::of(vacancy),
            reassignment: Quantiles::of(reassignment),
            queue: Quantiles::of(queue),
            run: Quantiles::of(run),
            whole: Quantiles::of(whole),
            writes_per_task: if ended == 0 { 0.0 } else { self.writes as f64 / ended as f64 },
        };
        found.clusters = self.clusters.into_iter().filter(|root| *root != self.root).collect();
        found
    }
}

fn touch(touched: &mut Vec<TaskName>, task: TaskName) -> TaskName {
    touched.push(task.clone());
    task
}

/// Of a result, the one word that counts.
#[derive(Deserialize)]
struct Outcome {
    outcome: TaskOutcome,
}

fn outcome_of(task: &TaskName, data: &[u8]) -> TaskOutcome {
    let ours = data.starts_with(b"{").then(|| serde_json::from_slice::<Outcome>(data).ok()).flatten();
    match ours.map(|ours| ours.outcome) {
        Some(outcome) => outcome,
        None => match decode_status(data) {
            Status::Full(result) => result.outcome,
            Status::Plain { words, .. } => result_of_words(task.clone(), &words, Timestamp::UNIX_EPOCH).outcome,
        },
    }
}
