//! What a worker has started of what was signed: in memory, and in a file that outlives it.
//!
//! A task is remembered by its name and attempt; of an array, which elements of which attempt, as spans: pieces of one attempt never
//! overlap, unless somebody repeats them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bellwether_core::lifecycle::RunId;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::array::Span;
use bellwether_core::protocol::payload::Rejection;
use serde_json::{Value, json};
use tracing::error;

/// How many are remembered at least before those are looked for that need not be any more.
pub(super) const PRUNE_FROM: usize = 4096;

/// One attempt of one task, or of elements of one array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    pub(super) task: TaskName,
    pub(super) attempt: u32,
}

/// Elements of one attempt, by the first of each span: the last one, and until when that must be remembered.
type Spans = BTreeMap<u32, (u32, u64)>;

/// All that is remembered.
#[derive(Debug, Default)]
struct Marks {
    /// Under which assignment, and until when.
    tasks: HashMap<Mark, (i64, u64)>,
    elements: HashMap<Mark, Spans>,
}

impl Marks {
    fn len(&self) -> usize {
        self.tasks.len() + self.elements.values().map(BTreeMap::len).sum::<usize>()
    }

    fn overlaps(&self, mark: &Mark, span: Span) -> bool {
        let before = self.elements.get(mark).and_then(|spans| spans.range(..=span.to).next_back());
        before.is_some_and(|(_, (to, _))| *to >= span.from)
    }

    /// Forgets the end of a span: what was not run.
    fn cut(&mut self, mark: &Mark, rest: Span) {
        let Some(spans) = self.elements.get_mut(mark) else { return };
        let Some((from, whole)) = spans.range(..=rest.from).next_back().map(|(from, whole)| (*from, *whole)) else { return };
        if whole.0 != rest.to {
            return;
        }
        spans.remove(&from);
        if from < rest.from {
            spans.insert(from, (rest.from - 1, whole.1));
        }
    }

    fn forget_old(&mut self, now: u64) {
        self.tasks.retain(|_, (_, not_after)| *not_after >= now);
        self.elements.values_mut().for_each(|spans| spans.retain(|_, (_, not_after)| *not_after >= now));
        self.elements.retain(|_, spans| !spans.is_empty());
    }

    fn lines(&self) -> Vec<u8> {
        let tasks = self.tasks.iter().flat_map(|(mark, (czxid, not_after))| line(mark, *czxid, *not_after));
        let spans = self.elements.iter().flat_map(|(mark, spans)| spans.iter().map(move |(from, whole)| (mark, *from, *whole)));
        let elements = spans.flat_map(|(mark, from, (to, not_after))| elements_line(mark, Span { from, to }, not_after));
        tasks.chain(elements).collect()
    }

    /// What was cut off by a crash says nothing.
    fn read(&mut self, line: &str) {
        let Ok(Value::Array(parts)) = serde_json::from_str(line) else { return };
        let small = |index: usize| parts.get(index).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        let (not_after, czxid) = (parts.first().and_then(Value::as_u64), parts.get(2).and_then(Value::as_i64));
        let (Some(not_after), Some(attempt), Some(czxid)) = (not_after, small(1), czxid) else { return };
        let Some(task) = parts.get(3).and_then(Value::as_str).map(TaskName::listed) else { return };
        let mark = Mark { task, attempt };
        match (parts.len(), small(4), small(5), not_after) {
            (4, _, _, 0) => drop(self.tasks.remove(&mark)),
            (4, ..) => drop(self.tasks.insert(mark, (czxid, not_after))),
            (6, Some(from), Some(to), 0) => self.cut(&mark, Span { from, to }),
            (6, Some(from), Some(to), _) => drop(self.elements.entry(mark).or_default().insert(from, (to, not_after))),
            _ => {}
        }
    }
}

/// What was started, under which assignment, and until when that must be remembered.
#[derive(Debug)]
pub(super) struct Started {
    marks: Marks,
    path: PathBuf,
    file: File,
    /// How many lead to another look: twice as many as were left at the last one, so that looking costs little.
    prune_at: usize,
}

impl Started {
    /// Reads what an earlier process remembered, and leaves out what is too old.
    pub(super) fn open(path: &Path, now: u64) -> io::Result<Self> {
        let mut marks = Marks::default();
        match fs::read_to_string(path) {
            Ok(text) => text.lines().for_each(|line| marks.read(line)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = rewritten(path, &mut marks, now)?;
        let prune_at = (marks.len() * 2).max(PRUNE_FROM);
        Ok(Self { marks, path: path.to_owned(), file, prune_at })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn start(&mut self, mark: Mark, czxid: i64, not_after: u64, now: u64) -> Result<(), Rejection> {
        if self.marks.tasks.contains_key(&mark) {
            return Err(Rejection::Replayed);
        }
        self.note(&line(&mark, czxid, not_after), &mark, now)?;
        self.marks.tasks.insert(mark, (czxid, not_after));
        Ok(())
    }

    /// As [`start`](Self::start), these elements of an array.
    pub(super) fn start_elements(&mut self, mark: Mark, span: Span, not_after: u64, now: u64) -> Result<(), Rejection> {
        if self.marks.overlaps(&mark, span) {
            return Err(Rejection::Replayed);
        }
        self.note(&elements_line(&mark, span, not_after), &mark, now)?;
        self.marks.elements.entry(mark).or_default().insert(span.from, (span.to, not_after));
        Ok(())
    }

    /// Writes it down, before it is started.
    fn note(&mut self, line: &[u8], mark: &Mark, now: u64) -> Result<(), Rejection> {
        self.prune(now).and_then(|()| self.file.write_all(line)).map_err(|error| {
            // Better not run than run twice: it says why, and another worker may do better.
            error!(%error, task = %mark.task, "what is started cannot be remembered on disk, and is not started");
            Rejection::NotAllowed("it cannot remember what it has started; see its log".to_owned())
        })
    }

    /// Forgets what is too old by now, if that may be much.
    fn prune(&mut self, now: u64) -> io::Result<()> {
        // A look at the spans of all arrays costs something, too.
        if self.marks.len() >= self.prune_at {
            self.file = rewritten(&self.path, &mut self.marks, now)?;
            self.prune_at = (self.marks.len() * 2).max(PRUNE_FROM);
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, run: &RunId) {
        let found = self.marks.tasks.iter().find(|(mark, (czxid, _))| mark.task == run.task && *czxid == run.czxid);
        let Some(mark) = found.map(|(mark, _)| mark.clone()) else { return };
        self.marks.tasks.remove(&mark);
        self.write(&line(&mark, run.czxid, 0), &mark);
    }

    /// Those at the end of what was started together that were not run, or have no result.
    pub(super) fn forget_elements(&mut self, mark: &Mark, rest: Span) {
        self.marks.cut(mark, rest);
        self.write(&elements_line(mark, rest, 0), mark);
    }

    fn write(&mut self, line: &[u8], mark: &Mark) {
        if let Err(error) = self.file.write_all(line) {
            error!(%error, task = %mark.task, "what was killed stays remembered on disk");
        }
    }
}

/// The file with what must be remembered still, and nothing else; and the marks likewise. One that cannot be written is left as it was.
fn rewritten(path: &Path, marks: &mut Marks, now: u64) -> io::Result<File> {
    marks.forget_old(now);
    // Not another extension: the name of a worker may have a dot in it.
    let fresh = PathBuf::from(format!("{}.new", path.display()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&marks.lines())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    OpenOptions::new().append(true).open(path)
}

/// A line of the file: a time of 0 takes back what was said before.
fn line(mark: &Mark, czxid: i64, not_after: u64) -> Vec<u8> {
    format!("{}\n", json!([not_after, mark.attempt, czxid, mark.task.as_str()])).into_bytes()
}

/// The same of elements.
fn elements_line(mark: &Mark, span: Span, not_after: u64) -> Vec<u8> {
    format!("{}\n", json!([not_after, mark.attempt, 0, mark.task.as_str(), span.from, span.to])).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(task: &str, attempt: u32) -> Mark {
        Mark { task: TaskName::listed(task), attempt }
    }

    #[test]
    fn what_is_too_old_is_forgotten_while_the_worker_goes_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".started-w.eu");
        let mut started = Started::open(&path, 0).expect("a file");
        let (old, good) = (Span { from: 0, to: 9 }, Span { from: 10, to: 19 });
        assert_eq!(started.start_elements(mark("a", 1), old, 50, 40), Ok(()));
        assert_eq!(started.start_elements(mark("a", 1), good, 100, 40), Ok(()));
        for index in 0..PRUNE_FROM - 2 {
            assert_eq!(started.start(mark(&format!("t{index}"), 1), 1, if index < 10 { 100 } else { 50 }, 40), Ok(()));
        }
        assert_eq!(started.start(mark("last", 1), 1, 100, 60), Ok(()));
        assert_eq!(started.len(), 12, "those that are good still");
        assert_eq!(fs::read_to_string(&path).expect("there").lines().count(), 12);
        assert_eq!(started.start(mark("t3", 1), 2, 100, 60), Err(Rejection::Replayed));
        assert_eq!(started.start_elements(mark("a", 1), good, 100, 60), Err(Rejection::Replayed));
        assert_eq!(Started::open(&path, 60).expect("read again").len(), 12);
    }

    #[test]
    fn an_element_is_started_once_in_an_attempt_whatever_the_pieces() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".started-w");
        let mut started = Started::open(&path, 0).expect("a file");
        let start = |started: &mut Started, attempt: u32, from: u32, to: u32| {
            started.start_elements(mark("a", attempt), Span { from, to }, 100, 50).is_ok()
        };
        assert!(start(&mut started, 1, 10, 19) && start(&mut started, 1, 30, 39) && start(&mut started, 2, 10, 19));
        for (from, to) in [(10, 19), (19, 25), (5, 10), (0, 99), (12, 13), (25, 30), (39, 39)] {
            assert!(!start(&mut started, 1, from, to), "{from}-{to}");
        }
        assert!(start(&mut started, 1, 20, 29) && start(&mut started, 1, 0, 9));
        // What was not run may be; nothing else.
        started.forget_elements(&mark("a", 1), Span { from: 15, to: 19 });
        started.forget_elements(&mark("a", 1), Span { from: 35, to: 36 });
        started.forget_elements(&mark("a", 2), Span { from: 10, to: 19 });
        let mut started = Started::open(&path, 50).expect("read again");
        assert!(!start(&mut started, 1, 14, 14) && !start(&mut started, 1, 35, 36) && !start(&mut started, 1, 20, 20));
        assert!(start(&mut started, 1, 15, 19) && start(&mut started, 2, 10, 19));
    }
}
