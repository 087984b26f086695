//! Several files, of one server or of several, as one history in ZooKeeper's order.
//!
//! Files of one directory follow one another. Servers are merged by zxid: what several of them have is one transaction. Within
//! one epoch of ZooKeeper's leader zxids follow one another without a gap, so that what is missing is noticed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::file::{Ending, LogFile, Next};
use super::{Damage, LogError, Record};

/// What was read, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// First transaction that was given out: zxid and time in milliseconds since 1970.
    pub first: Option<(i64, i64)>,
    /// Last transaction that was given out.
    pub last: Option<(i64, i64)>,
    /// Transactions given out.
    pub records: u64,
    /// Transactions that were there more than once.
    pub duplicates: u64,
    /// Places where transactions are missing.
    pub gaps: Vec<Gap>,
    /// Transactions that a server went on without, in a later epoch, though it was sent no snapshot that could hold them: a leader
    /// wrote them down, and died before they were committed. They were left out.
    pub never_committed: Vec<i64>,
    /// Transactions of which the servers have different versions.
    pub disagreements: Vec<i64>,
    /// Places that cannot be read.
    pub damages: Vec<Damage>,
    /// Unfinished last records: what a server that was killed leaves, or one that runs.
    pub torn: Vec<Damage>,
}

/// Transactions that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last one before them.
    pub after: i64,
    /// The first one after them.
    pub before: i64,
}

/// The upper half of a zxid: the epoch of ZooKeeper's own leader.
fn epoch(zxid: i64) -> i64 {
    zxid >> 32
}

/// Files that follow one another: those of one directory.
#[derive(Debug)]
struct Source {
    files: VecDeque<PathBuf>,
    file: Option<LogFile>,
    head: Option<Record>,
    last_zxid: Option<i64>,
    /// Zxids of the snapshots that lie beside them.
    snapshots: BTreeSet<i64>,
}

/// Reads transaction logs, one record after the other. Iterate, then ask for the [`Coverage`].
#[derive(Debug)]
pub struct Logs {
    sources: Vec<Source>,
    coverage: Coverage,
    snapshots: Vec<(i64, PathBuf)>,
    started: bool,
}

impl Logs {
    /// Finds the files: each path is a data directory, its `version-2`, or a single log file.
    ///
    /// # Errors
    /// [`LogError`]: a path cannot be read, or there is no log in any of them.
    pub fn open(paths: &[PathBuf]) -> Result<Self, LogError> {
        let mut logs: BTreeMap<PathBuf, BTreeSet<(u64, PathBuf)>> = BTreeMap::new();
        let mut snapshots = Vec::new();
        let mut beside: BTreeMap<PathBuf, BTreeSet<i64>> = BTreeMap::new();
        for path in paths {
            let (dir, found) = list(path)?;
            for (kind, zxid, file) in found {
                match kind {
                    Kind::Log => {
                        logs.entry(dir.clone()).or_default().insert((zxid, file));
                    }
                    Kind::Snapshot => {
                        beside.entry(dir.clone()).or_default().insert(zxid.cast_signed());
                        snapshots.push((zxid.cast_signed(), file));
                    }
                }
            }
        }
        if logs.is_empty() {
            return Err(LogError::Nothing { paths: paths.to_vec() });
        }
        snapshots.sort();
        // Snapshots may be kept elsewhere than logs: then any of them may be of this server.
        let all: BTreeSet<i64> = snapshots.iter().map(|(zxid, _)| *zxid).collect();
        let source = |(dir, files): (PathBuf, BTreeSet<(u64, PathBuf)>)| Source {
            files: files.into_iter().map(|(_, file)| file).collect(),
            file: None,
            head: None,
            last_zxid: None,
            snapshots: beside.get(&dir).unwrap_or(&all).clone(),
        };
        Ok(Self { sources: logs.into_iter().map(source).collect(), coverage: Coverage::default(), snapshots, started: false })
    }

    /// Snapshots that lie beside the logs, by the zxid of their names, oldest first.
    #[must_use]
    pub fn snapshots(&self) -> &[(i64, PathBuf)] {
        &self.snapshots
    }

    /// How many servers' directories (or lone files) are read.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.sources.len()
    }

    /// What was read so far.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The first transaction that will be given out.
    ///
    /// # Errors
    /// A file cannot be read at all.
    pub fn first_zxid(&mut self) -> Result<Option<i64>, LogError> {
        self.start()?;
        Ok(self.lowest())
    }

    fn start(&mut self) -> Result<(), LogError> {
        if !std::mem::replace(&mut self.started, true) {
            self.sources.iter_mut().try_for_each(|source| source.advance(&mut self.coverage).map(drop))?;
        }
        Ok(())
    }

    fn lowest(&self) -> Option<i64> {
        self.sources.iter().filter_map(Source::zxid).min()
    }

    fn read(&mut self) -> Result<Option<Record>, LogError> {
        self.start()?;
        while let Some(zxid) = self.lowest() {
            let denied = self.sources.iter().any(|source| source.went_on_without(zxid));
            let mut versions = Vec::new();
            for source in self.sources.iter_mut().filter(|source| source.zxid() == Some(zxid)) {
                versions.extend(source.advance(&mut self.coverage)?);
            }
            let had = versions.len();
            self.coverage.duplicates += had.saturating_sub(1) as u64;
            let Some(record) = versions.pop() else { continue };
            if versions.iter().any(|other| *other != record) {
                self.coverage.disagreements.push(zxid);
            }
            if denied {
                self.coverage.never_committed.push(zxid);
                continue;
            }
            self.count(&record);
            return Ok(Some(record));
        }
        Ok(None)
    }

    fn count(&mut self, record: &Record) {
        let coverage = &mut self.coverage;
        if let Some((last, _)) = coverage.last.filter(|(last, _)| epoch(*last) == epoch(record.zxid) && last + 1 != record.zxid) {
            coverage.gaps.push(Gap { after: last, before: record.zxid });
        }
        coverage.records += 1;
        coverage.last = Some((record.zxid, record.time_ms));
        coverage.first = coverage.first.or(coverage.last);
    }
}

impl Iterator for Logs {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Source {
    fn zxid(&self) -> Option<i64> {
        self.head.as_ref().map(|record| record.zxid)
    }

    /// Whether it has transactions before and after this one, those after in a later epoch, and was not sent it in a snapshot.
    /// Whoever follows a new leader is first sent all that was committed and that it lacks: one by one, which it logs, or, if that
    /// is too much, as a snapshot.
    fn went_on_without(&self, zxid: i64) -> bool {
        let Some((last, next)) = self.last_zxid.zip(self.zxid()) else { return false };
        let in_between = last < zxid && epoch(next) > epoch(zxid);
        in_between && self.snapshots.range(last + 1..next).next().is_none()
    }

    /// Gives out its head and reads the next one.
    fn advance(&mut self, coverage: &mut Coverage) -> Result<Option<Record>, LogError> {
        let head = self.head.take();
        if let Some(record) = &head {
            self.last_zxid = Some(record.zxid);
        }
        loop {
            let Some(file) = &mut self.file else {
                match self.files.pop_front() {
                    Some(path) => self.file = LogFile::open(&path)?,
                    None => break,
                }
                continue;
            };
            match file.next()? {
                // A file that was copied twice, or in which an older one goes on.
                Next::Record(record) if self.last_zxid.is_some_and(|last| record.zxid <= last) => coverage.duplicates += 1,
                Next::Record(record) => {
                    self.head = Some(record);
                    break;
                }
                Next::Damaged(damage) => coverage.damages.push(damage),
                Next::End(ending) => {
                    self.file = None;
                    match ending {
                        Ending::Clean => {}
                        // Whether anything is missing shows when the next file begins.
                        Ending::Cut(damage) if self.files.is_empty() => coverage.damages.push(damage),
                        Ending::Cut(damage) | Ending::Torn(damage) => coverage.torn.push(damage),
                    }
                }
            }
        }
        Ok(head)
    }
}

enum Kind {
    Log,
    Snapshot,
}

type Found = Vec<(Kind, u64, PathBuf)>;

/// The directory in which files follow one another, and what is there.
fn list(path: &Path) -> Result<(PathBuf, Found), LogError> {
    let unreadable = |error| LogError::Unreadable { path: path.to_owned(), error };
    if std::fs::metadata(path).map_err(unreadable)?.is_file() {
        let dir = path.parent().unwrap_or(path).to_owned();
        // Whatever it is called: its header says what it is.
        let zxid = numbered(path, "log.").unwrap_or_default();
        return Ok((dir, vec![(Kind::Log, zxid, path.to_owned())]));
    }
    let inner = path.join("version-2");
    let dir = if inner.is_dir() { inner } else { path.to_owned() };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if let Some(zxid) = numbered(&file, "log.") {
            found.push((Kind::Log, zxid, file));
        } else if let Some(zxid) = numbered(&file, "snapshot.") {
            found.push((Kind::Snapshot, zxid, file));
        }
    }
    Ok((dir, found))
}

fn numbered(path: &Path, prefix: &str) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()
}

#[cfg(test)]
mod tests;
