//! What an audit says. As JSON it is stable: keys are added, never renamed or removed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_core::invariant::{Promise, Violation};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::txnlog::{Coverage, Damage, Gap};

/// The whole of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// All in a word.
    pub verdict: Verdict,
    /// Below which path the cluster lies.
    pub root: String,
    /// What was read.
    pub log: LogFound,
    /// Who ruled when, oldest first.
    pub terms: Vec<Term>,
    /// How many worker incarnations registered.
    pub workers: u64,
    /// What became of all tasks.
    pub tasks: TasksFound,
    /// How long things took, by the clock of ZooKeeper's leader.
    pub timings: Timings,
    /// How many promises were broken; of many, not all are listed.
    pub violated: u64,
    /// Broken promises, oldest first.
    pub violations: Vec<Broken>,
}

/// All in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No promise was broken.
    Clean,
    /// One was.
    Violated,
    /// None was broken in what could be read, but parts cannot be read, or are missing.
    Unusable,
}

/// A transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Moment {
    /// Its number, printed in hex.
    #[serde(serialize_with = "hex")]
    #[schemars(with = "String")]
    pub zxid: i64,
    /// When, by the wall clock of ZooKeeper's leader.
    pub time: Timestamp,
}

impl Moment {
    /// `time_ms` in milliseconds since 1970.
    #[must_use]
    pub fn new(zxid: i64, time_ms: i64) -> Self {
        Self { zxid, time: Timestamp::from_millisecond(time_ms).unwrap_or_default() }
    }
}

fn hex<S: Serializer>(number: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{number:#x}"))
}

fn hexes<S: Serializer>(numbers: &[i64], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(numbers.iter().map(|number| format!("{number:#x}")))
}

/// Where the audit begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "at")]
pub enum Begin {
    /// With ZooKeeper's first transaction: nothing can have been before.
    First,
    /// With a snapshot, because older logs were purged.
    Snapshot {
        /// What it holds at least.
        #[serde(serialize_with = "hex")]
        #[schemars(with = "String")]
        zxid: i64,
        /// The file.
        path: PathBuf,
    },
    /// In the middle, because older logs were purged and no snapshot fits. What was there before is not known, and is given the
    /// benefit of the doubt.
    Midway {
        /// The first transaction there is.
        #[serde(serialize_with = "hex")]
        #[schemars(with = "String")]
        zxid: i64,
    },
}

/// What was read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LogFound {
    /// How many servers' directories.
    pub servers: usize,
    /// Where the audit begins.
    pub begins: Begin,
    /// The first transaction.
    pub first: Option<Moment>,
    /// The last one.
    pub last: Option<Moment>,
    /// How many there are.
    pub records: u64,
    /// How many of them lie before the snapshot, and were not looked at.
    pub skipped: u64,
    /// How many were there more than once.
    pub duplicates: u64,
    /// How long reading them took.
    pub seconds: f64,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// Transactions of which servers have different versions.
    #[serde(serialize_with = "hexes")]
    #[schemars(with = "Vec<String>")]
    pub disagreements: Vec<i64>,
    /// Transactions that a leader wrote down and that were never committed: left out.
    #[serde(serialize_with = "hexes")]
    #[schemars(with = "Vec<String>")]
    pub never_committed: Vec<i64>,
    /// Places that cannot be read.
    pub damages: Vec<Unreadable>,
    /// Last records that were never finished, as a server leaves them that runs, or was killed.
    pub unfinished: Vec<Unreadable>,
}

/// Transactions that are in none of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Missing {
    /// The last one before them.
    #[serde(serialize_with = "hex")]
    #[schemars(with = "String")]
    pub after: i64,
    /// The first one after them.
    #[serde(serialize_with = "hex")]
    #[schemars(with = "String")]
    pub before: i64,
}

impl From<Gap> for Missing {
    fn from(gap: Gap) -> Self {
        Self { after: gap.after, before: gap.before }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// How many records of it could be read before.
    pub records: u64,
    /// All of it, for people.
    #[serde(skip)]
    pub text: String,
}

impl From<&Damage> for Unreadable {
    fn from(damage: &Damage) -> Self {
        let Damage { path, offset, what, records, .. } = damage;
        Self { path: path.clone(), offset: *offset, what: what.clone(), records: *records, text: damage.to_string() }
    }
}

impl LogFound {
    pub(super) fn new(servers: usize, begins: Begin, skipped: u64, coverage: &Coverage, took: Duration) -> Self {
        let moment = |(zxid, time_ms)| Moment::new(zxid, time_ms);
        Self {
            servers,
            begins,
            first: coverage.first.map(moment),
            last: coverage.last.map(moment),
            records: coverage.records,
            skipped,
            duplicates: coverage.duplicates,
            seconds: took.as_secs_f64(),
            missing: coverage.gaps.iter().copied().map(Missing::from).collect(),
            disagreements: coverage.disagreements.clone(),
            never_committed: coverage.never_committed.clone(),
            damages: coverage.damages.iter().map(Unreadable::from).collect(),
            unfinished: coverage.torn.iter().map(Unreadable::from).collect(),
        }
    }

    /// Whether everything from begin to end was there to be looked at. What one server lost another may have.
    fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.disagreements.is_empty() && (self.damages.is_empty() || self.servers > 1)
    }
}

/// A term of mastership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Term {
    /// Its epoch; none for a master that knows of no epochs.
    pub epoch: Option<i32>,
    /// What the operator called the coordinator, if it said so.
    pub name: Option<String>,
    /// The session that ruled.
    #[serde(serialize_with = "hex")]
    #[schemars(with = "String")]
    pub session: i64,
    /// Since when.
    pub since: Moment,
    /// Until when; none if it rules still.
    pub until: Option<Moment>,
    /// Why it ended, if the log says so.
    pub ended: Option<String>,
    /// How long nobody had ruled before, in milliseconds; none for the first.
    pub vacant_ms: Option<i64>,
}

/// What became of all tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct TasksFound {
    /// How many lives of tasks began.
    pub submitted: u64,
    /// How many ended, by outcome: `succeeded`, `failed`, `timed-out`, `cancelled`, `rejected`, `dead`.
    pub ended: BTreeMap<String, u64>,
    /// How many went without a status.
    pub lost: u64,
    /// How many were given to a worker that went before it ended them.
    pub attempts_lost: u64,
    /// How many wait at the end of the log.
    pub waiting: u64,
    /// How many are with a registered worker at the end of the log.
    pub assigned: u64,
    /// How many are with a worker that is gone at the end of the log.
    pub stranded: u64,
}

/// How long something took, in milliseconds, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Quantiles {
    /// How often it was measured.
    pub count: u64,
    /// Half took no longer.
    pub p50_ms: i64,
    /// All but a hundredth took no longer.
    pub p99_ms: i64,
    /// The longest.
    pub max_ms: i64,
}

impl Quantiles {
    /// Sorts the samples.
    pub(super) fn of(mut samples: Vec<i64>) -> Self {
        samples.sort_unstable();
        let at = |percent: usize| samples.get((samples.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
        Self { count: samples.len() as u64, p50_ms: at(50), p99_ms: at(99), max_ms: at(100) }
    }
}

/// How long things took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, JsonSchema)]
pub struct Timings {
    /// From a master's end to the next one's begin.
    pub vacancy: Quantiles,
    /// From a worker's end to the next assignment of one of its tasks.
    pub reassignment: Quantiles,
    /// From submission, or from coming back, to assignment.
    pub queue: Quantiles,
    /// From assignment to the status that the worker records.
    pub run: Quantiles,
    /// From submission to status.
    pub whole: Quantiles,
    /// Transactions about tasks for each task that ended.
    pub writes_per_task: f64,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Broken {
    /// Its number, `P1`.
    pub promise: &'static str,
    /// What is promised.
    pub promised: &'static str,
    /// By which transaction.
    #[serde(flatten)]
    pub at: Moment,
    /// The node, below the cluster's root.
    pub path: String,
    /// What was seen.
    pub what: String,
    /// The promise itself.
    #[serde(skip)]
    pub kind: Promise,
}

impl Broken {
    pub(super) fn new(violation: Violation, time_ms: i64) -> Self {
        let Violation { promise, zxid, path, what } = violation;
        Self { promise: promise.number(), promised: promise.words(), at: Moment::new(zxid, time_ms), path, what, kind: promise }
    }
}

/// What a follower found.
#[derive(Debug, Default)]
pub struct Found {
    pub(super) seen: bool,
    pub(super) clusters: Vec<String>,
    pub(super) terms: Vec<Term>,
    pub(super) workers: u64,
    pub(super) tasks: TasksFound,
    pub(super) timings: Timings,
}

impl Report {
    pub(super) fn new(root: &str, log: LogFound, found: Found, violations: Vec<Broken>, violated: u64) -> Self {
        let verdict = match (violated, log.is_whole()) {
            (0, true) => Verdict::Clean,
            (0, false) => Verdict::Unusable,
            _ => Verdict::Violated,
        };
        let Found { terms, workers, tasks, timings, .. } = found;
        let root = if root.is_empty() { "/" } else { root }.to_owned();
        Self { verdict, root, log, terms, workers, tasks, timings, violated, violations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_that_were_seen() {
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
        assert_eq!(Quantiles::of(vec![7]), Quantiles { count: 1, p50_ms: 7, p99_ms: 7, max_ms: 7 });
        let hundred = Quantiles::of((1..=200).rev().collect());
        assert_eq!(hundred, Quantiles { count: 200, p50_ms: 100, p99_ms: 198, max_ms: 200 });
    }
}
