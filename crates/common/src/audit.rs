//! What a cluster did, proved from ZooKeeper's transaction logs: which promises it kept, and how quickly.
//!
//! [`run`] streams the logs through the core's [`Ledger`], which is the predicate, and through a follower, which measures. What
//! lives here: that, and the [`Report`]. What does not: reading files ([`crate::txnlog`]), the promises themselves
//! ([`bellwether_core::invariant`]), and printing.

use std::path::PathBuf;
use std::time::Instant;

use bellwether_core::invariant::{Committed, Ledger, Transaction};

use crate::txnlog::{Change, LogError, Logs, Record, Snapshot};

mod follow;
mod report;

use follow::Follower;
pub use report::{Begin, Broken, Found, LogFound, Missing, Moment, Quantiles, Report, TasksFound, Term, Timings, Unreadable, Verdict};

/// Most violations that are kept; all are counted.
const VIOLATIONS_KEPT: usize = 10_000;

/// Why there is nothing to say.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The logs cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The logs are of something else.
    #[error("nothing of Bellwether happens below {root} in these logs{}", elsewhere(others))]
    NoCluster {
        /// Where was looked.
        root: String,
        /// Where else a cluster was seen.
        others: Vec<String>,
    },
}

fn elsewhere(others: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if others.len() > SHOWN { " and others" } else { "" };
    let shown = &others[..others.len().min(SHOWN)];
    if shown.is_empty() { String::new() } else { format!("; there is a cluster below {}{more}", shown.join(", ")) }
}

/// Reads the logs in these directories (or files) and judges what happened below `root`.
///
/// # Errors
/// [`AuditError`]: nothing can be said. Damaged or missing parts are no error: the report tells of them.
pub fn run(paths: &[PathBuf], root: &str) -> Result<Report, AuditError> {
    run_telling(paths, root, |_| {})
}

/// Of how many records it is told at once how far the audit is.
const TOLD_AFTER: u64 = 4_096;

/// The same; now and then it tells how many records it has read.
///
/// # Errors
/// As [`run`].
pub fn run_telling(paths: &[PathBuf], root: &str, mut tell: impl FnMut(u64)) -> Result<Report, AuditError> {
    let (begun, mut records) = (Instant::now(), 0_u64);
    let root = root.trim_end_matches('/');
    let mut logs = Logs::open(paths)?;
    let (mut ledger, begin) = begin(&mut logs, root)?;
    let skip_to = if let Begin::Snapshot { zxid, .. } = &begin { *zxid } else { 0 };
    let mut follower = Follower::new(root);
    let (mut violations, mut violated, mut gaps, mut skipped) = (Vec::new(), 0, 0, 0);
    while let Some(record) = logs.next() {
        let record = record?;
        records += 1;
        if records.is_multiple_of(TOLD_AFTER) {
            tell(records);
        }
        if record.zxid <= skip_to {
            skipped += 1;
            continue;
        }
        if logs.coverage().gaps.len() > gaps {
            gaps = logs.coverage().gaps.len();
            ledger.lose_track();
            follower.lose_track();
        }
        let touched = follower.observe(&record);
        let time_ms = record.time_ms;
        let broken = committed(record, root).map(|transaction| ledger.examine(&transaction)).unwrap_or_default();
        follower.settle(&touched, &ledger);
        violated += broken.len() as u64;
        let room = VIOLATIONS_KEPT - violations.len();
        violations.extend(broken.into_iter().take(room).map(|violation| Broken::new(violation, time_ms)));
    }
    let found = follower.finish(&ledger);
    if !found.seen {
        return Err(AuditError::NoCluster { root: if root.is_empty() { "/" } else { root }.to_owned(), others: found.clusters });
    }
    let log = LogFound::new(logs.servers(), begin, skipped, logs.coverage(), begun.elapsed());
    Ok(Report::new(root, log, found, violations, violated))
}

/// Where the audit begins: with an empty tree, with a snapshot, or in the middle.
fn begin(logs: &mut Logs, root: &str) -> Result<(Ledger, Begin), LogError> {
    let first = logs.first_zxid()?.unwrap_or(1);
    let counter = |zxid: i64| zxid & 0xffff_ffff;
    // The first transaction of a lone server, or of the first leader of an ensemble.
    if counter(first) == 1 && first >> 32 <= 1 {
        return Ok((Ledger::new().with_checks(), Begin::First));
    }
    // What a snapshot holds must be what the log goes on from.
    let fits = |zxid: i64| zxid + 1 >= first || (counter(first) == 1 && zxid >> 32 < first >> 32);
    for (zxid, path) in logs.snapshots().iter().filter(|(zxid, _)| fits(*zxid)) {
        if let Some(ledger) = from_snapshot(path, *zxid, root) {
            return Ok((ledger, Begin::Snapshot { zxid: *zxid, path: path.clone() }));
        }
    }
    Ok((Ledger::midway().with_checks(), Begin::Midway { zxid: first }))
}

/// `None` if it cannot be read: then another one, or none, has to do.
fn from_snapshot(path: &std::path::Path, zxid: i64, root: &str) -> Option<Ledger> {
    let mut ledger = Ledger::midway().with_checks();
    for node in Snapshot::open(path).ok()? {
        let node = node.ok()?;
        // What came while it was written is in the log, too.
        let Some(path) = below(&node.path, root).filter(|_| node.czxid <= zxid) else { continue };
        let as_it_was = node.mzxid <= zxid;
        if as_it_was || path != bellwether_core::protocol::path::EPOCH {
            ledger.found(path, node.owner, node.version, as_it_was.then_some(node.data.as_slice()));
        }
    }
    Some(ledger)
}

fn below<'p>(path: &'p str, root: &str) -> Option<&'p str> {
    path.strip_prefix(root).filter(|path| path.starts_with('/'))
}

/// What a record did below `root`, as the promises see it. `None`: nothing.
#[must_use]
pub fn committed(record: Record, root: &str) -> Option<Transaction> {
    let root = root.trim_end_matches('/');
    let mut changes = Vec::with_capacity(record.changes.len());
    for change in record.changes {
        if let Change::CloseSession { paths } = &change {
            changes.extend(paths.iter().filter_map(|path| below(path, root)).map(|path| Committed::Delete { path: path.to_owned() }));
            changes.push(Committed::SessionEnded);
            continue;
        }
        let Some(path) = change.path().and_then(|path| below(path, root)).map(str::to_owned) else { continue };
        match change {
            Change::Create { data, ephemeral, .. } => changes.push(Committed::Create { path, ephemeral, data: Some(data) }),
            Change::Delete { .. } => changes.push(Committed::Delete { path }),
            Change::Set { version, data, .. } => changes.push(Committed::Set { path, version, data: Some(data) }),
            Change::Check { version, .. } => changes.push(Committed::Check { path, version }),
            Change::SetAcl { .. } | Change::CreateSession { .. } | Change::CloseSession { .. } | Change::Refused { .. } => {}
        }
    }
    (!changes.is_empty()).then_some(Transaction { zxid: record.zxid, session: record.session, changes })
}
