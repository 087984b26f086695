//! Whom this worker believes: signatures of tasks, and which attempts it has started before.
//!
//! What was started is remembered until its signature is too old, in memory and in a file, so that neither a second assignment nor a
//! restart of the worker starts it again. What was killed by order, and so has no result, may be started again: it is forgotten. Another
//! worker does not know of it; how often whoever writes to ZooKeeper can make a fleet repeat a signed task stands in `docs/security.md`.
//!
//! Until when a signature is good is judged by this machine's wall clock: nobody else's word is worth anything here.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bellwether_common::config::Settings;
use bellwether_common::signing::PublicKey;
use bellwether_core::agent::Order;
use bellwether_core::lifecycle::RunId;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::payload::{Envelope, Rejection};
use serde_json::{Value, json};
use tracing::{error, warn};

/// How many workers a task may cost that does not say so; signed ones of our client do.
const LOSSES_MAX: u32 = 1000;

/// Signatures are asked for, and these keys are trusted.
#[derive(Debug)]
pub(crate) struct Trust {
    keys: HashMap<String, PublicKey>,
    /// What this worker may be required to have. The master has compared, if it was the master.
    labels: BTreeMap<String, String>,
    /// For what does not say how often it may fail.
    retries: u32,
    started: Started,
}

impl Trust {
    /// If this worker asks for signatures.
    ///
    /// # Errors
    /// The file in which it remembers cannot be used.
    pub(crate) fn of(settings: &Settings, now: u64) -> Result<Option<Self>, (PathBuf, io::Error)> {
        if !settings.worker.require_signature {
            return Ok(None);
        }
        let keys = trusted(&settings.worker.trusted_keys);
        let file = settings.output_dir().join(format!(".started-{}", settings.worker_name()));
        let started = Started::open(&file, now).map_err(|error| (file, error))?;
        Ok(Some(Self { keys, labels: settings.worker.labels.clone(), retries: settings.task.retries, started }))
    }

    /// From now on these keys are trusted, and no others. What was started goes on.
    pub(crate) fn trust(&mut self, lines: &[String]) {
        let keys = trusted(lines);
        let left_out = self.keys.keys().filter(|id| !keys.contains_key(*id)).cloned().collect::<Vec<_>>();
        let new = keys.keys().filter(|id| !self.keys.contains_key(*id)).cloned().collect::<Vec<_>>();
        if !left_out.is_empty() || !new.is_empty() {
            warn!(revoked = left_out.join(" "), added = new.join(" "), "other keys are trusted from now on");
        }
        self.keys = keys;
    }

    /// Whether this may be started; if so, it may not be again.
    ///
    /// # Errors
    /// Why not: it ends with that.
    pub(crate) fn admit(&mut self, order: &Order, now: u64) -> Result<(), Rejection> {
        let (name, envelope) = (&order.id.task, &order.task.envelope);
        let signature = envelope.signature.as_ref().ok_or(Rejection::Unsigned)?;
        let key = self.keys.get(&signature.key).ok_or_else(|| Rejection::UnknownKey(shown(&signature.key)))?;
        if !signature.is_for(name) || !key.vouches(name, &order.task.command, envelope, signature) {
            return Err(Rejection::BadSignature);
        }
        if now > signature.not_after {
            return Err(Rejection::Expired(signature.not_after));
        }
        if let Some((label, value)) = envelope.require.iter().find(|(label, value)| self.labels.get(*label) != Some(value)) {
            return Err(Rejection::NotAllowed(format!("it is for workers with {label}={value}")));
        }
        if !self.is_within_its_budget(envelope) {
            return Err(Rejection::Replayed);
        }
        let mark = Mark { task: name.clone(), attempt: envelope.attempt() };
        self.started.start(mark, order.id.czxid, signature.not_after, now)
    }

    /// Counts are not signed, because masters and workers raise them; what they may come to is.
    fn is_within_its_budget(&self, envelope: &Envelope) -> bool {
        let retries = envelope.retries.unwrap_or(self.retries);
        let losses = envelope.max_worker_losses.unwrap_or(LOSSES_MAX).max(1);
        envelope.failures <= retries && envelope.losses < losses
    }

    /// It was killed by order and has no result: it may be started again.
    pub(crate) fn forget(&mut self, run: &RunId) {
        self.started.forget(run);
    }
}

/// By their names. What is no key was refused with the configuration.
fn trusted(lines: &[String]) -> HashMap<String, PublicKey> {
    lines.iter().filter_map(|line| line.parse::<PublicKey>().ok()).map(|key| (key.id(), key)).collect()
}

/// A word of somebody else's, shortened for messages.
fn shown(key: &str) -> String {
    key.chars().filter(char::is_ascii_hexdigit).take(16).collect()
}

/// One attempt of one task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Mark {
    task: TaskName,
    attempt: u32,
}

/// How many are remembered at least before those are looked for that need not be any more.
const PRUNE_FROM: usize = 4096;

/// What was started, under which assignment, and until when that must be remembered.
#[derive(Debug)]
struct Started {
    marks: HashMap<Mark, (i64, u64)>,
    path: PathBuf,
    file: File,
    /// How many lead to another look: twice as many as were left at the last one, so that looking costs little.
    prune_at: usize,
}

impl Started {
    /// Reads what an earlier process remembered, and leaves out what is too old.
    fn open(path: &Path, now: u64) -> io::Result<Self> {
        let mut marks = HashMap::new();
        match fs::read_to_string(path) {
            Ok(text) => text.lines().for_each(|line| read(line, &mut marks)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = rewritten(path, &mut marks, now)?;
        let prune_at = (marks.len() * 2).max(PRUNE_FROM);
        Ok(Self { marks, path: path.to_owned(), file, prune_at })
    }

    /// Forgets what is too old by now, if that may be much.
    fn prune(&mut self, now: u64) -> io::Result<()> {
        if self.marks.len() >= self.prune_at {
            self.file = rewritten(&self.path, &mut self.marks, now)?;
            self.prune_at = (self.marks.len() * 2).max(PRUNE_FROM);
        }
        Ok(())
    }

    fn start(&mut self, mark: Mark, czxid: i64, not_after: u64, now: u64) -> Result<(), Rejection> {
        if self.marks.contains_key(&mark) {
            return Err(Rejection::Replayed);
        }
        if let Err(error) = self.prune(now).and_then(|()| self.file.write_all(&line(&mark, czxid, not_after))) {
            // Better not run than run twice: it says why, and another worker may do better.
            error!(%error, task = %mark.task, "what is started cannot be remembered on disk, and is not started");
            return Err(Rejection::NotAllowed("it cannot remember what it has started; see its log".to_owned()));
        }
        self.marks.insert(mark, (czxid, not_after));
        Ok(())
    }

    fn forget(&mut self, run: &RunId) {
        let found = self.marks.iter().find(|(mark, (czxid, _))| mark.task == run.task && *czxid == run.czxid);
        let Some(mark) = found.map(|(mark, _)| mark.clone()) else { return };
        self.marks.remove(&mark);
        if let Err(error) = self.file.write_all(&line(&mark, run.czxid, 0)) {
            error!(%error, task = %mark.task, "what was killed stays remembered on disk");
        }
    }
}

/// The file with what must be remembered still, and nothing else; and the marks likewise. One that cannot be written is left as it was.
fn rewritten(path: &Path, marks: &mut HashMap<Mark, (i64, u64)>, now: u64) -> io::Result<File> {
    marks.retain(|_, (_, not_after)| *not_after >= now);
    // Not another extension: the name of a worker may have a dot in it.
    let fresh = PathBuf::from(format!("{}.new", path.display()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let lines: Vec<u8> = marks.iter().flat_map(|(mark, (czxid, not_after))| line(mark, *czxid, *not_after)).collect();
    file.write_all(&lines)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    OpenOptions::new().append(true).open(path)
}

/// A line of the file: a time of 0 takes back what was said before.
fn line(mark: &Mark, czxid: i64, not_after: u64) -> Vec<u8> {
    format!("{}\n", json!([not_after, mark.attempt, czxid, mark.task.as_str()])).into_bytes()
}

/// What was cut off by a crash says nothing.
fn read(line: &str, marks: &mut HashMap<Mark, (i64, u64)>) {
    let Ok(Value::Array(parts)) = serde_json::from_str(line) else { return };
    let [not_after, attempt, czxid, task] = parts.as_slice() else { return };
    let number = attempt.as_u64().and_then(|attempt| u32::try_from(attempt).ok());
    let (Some(not_after), Some(attempt), Some(czxid), Some(task)) = (not_after.as_u64(), number, czxid.as_i64(), task.as_str()) else {
        return;
    };
    let mark = Mark { task: TaskName::listed(task), attempt };
    match not_after {
        0 => marks.remove(&mark),
        _ => marks.insert(mark, (czxid, not_after)),
    };
}

#[cfg(test)]
mod tests {
    use bellwether_common::signing::SecretKey;
    use bellwether_core::protocol::{WorkerId, payload};

    use super::*;

    struct World {
        key: SecretKey,
        dir: tempfile::TempDir,
        settings: Settings,
        trust: Trust,
    }

    impl World {
        fn new() -> Self {
            let (key, dir) = (SecretKey::generate("me").expect("a key"), tempfile::tempdir().expect("a directory"));
            let mut settings = Settings::default();
            settings.worker.output_dir = dir.path().display().to_string();
            settings.worker.require_signature = true;
            settings.worker.trusted_keys = vec![key.public().to_string()];
            let trust = Trust::of(&settings, 50).expect("a file").expect("asked for");
            Self { key, dir, settings, trust }
        }

        fn restart(&mut self) {
            self.trust = Trust::of(&self.settings, 50).expect("a file").expect("asked for");
        }

        /// Signed by our key, good until 100.
        fn order(&self, name: &str, czxid: i64, json: &str) -> Order {
            let mut task = payload::decode(json.as_bytes()).expect("a task");
            let id = RunId { task: TaskName::listed(name), czxid };
            task.envelope.signature = Some(self.key.sign(&id.task, &task.command, &task.envelope, 100, None));
            Order { id, task, worker: WorkerId::listed("w-1"), epoch: None, piece: None }
        }
    }

    const TASK: &str = r#"{"bellwether":1,"argv":["a"],"retries":1,"max_worker_losses":2}"#;

    #[test]
    fn what_is_unsigned_altered_renamed_or_expired_is_not_started() {
        let mut world = World::new();
        let good = world.order("t", 1, TASK);
        let mut unsigned = good.clone();
        unsigned.task.envelope.signature = None;
        assert_eq!(world.trust.admit(&unsigned, 50), Err(Rejection::Unsigned));
        let mut altered = good.clone();
        altered.task.command = payload::Command::Argv(vec!["b".into()]);
        assert_eq!(world.trust.admit(&altered, 50), Err(Rejection::BadSignature));
        let renamed = Order { id: RunId { task: TaskName::listed("u"), czxid: 1 }, ..good.clone() };
        assert_eq!(world.trust.admit(&renamed, 50), Err(Rejection::BadSignature));
        let mut foreign = good.clone();
        let other = SecretKey::generate("you").expect("a key");
        let signature = other.sign(&good.id.task, &good.task.command, &good.task.envelope, 100, None);
        let id = signature.key.clone();
        foreign.task.envelope.signature = Some(signature);
        assert_eq!(world.trust.admit(&foreign, 50), Err(Rejection::UnknownKey(id)));
        assert_eq!(world.trust.admit(&good, 101), Err(Rejection::Expired(100)));
        assert_eq!(world.trust.admit(&good, 100), Ok(()), "nothing of this was remembered");
    }

    #[test]
    fn a_key_that_is_revoked_starts_nothing_more_and_what_was_started_stays_known() {
        let mut world = World::new();
        let (first, second) = (world.order("t", 1, TASK), world.order("u", 1, TASK));
        assert_eq!(world.trust.admit(&first, 50), Ok(()));
        let other = SecretKey::generate("you").expect("a key").public().to_string();
        world.trust.trust(&[other]);
        assert!(matches!(world.trust.admit(&second, 50), Err(Rejection::UnknownKey(_))));
        world.trust.trust(&world.settings.worker.trusted_keys);
        assert_eq!(world.trust.admit(&second, 50), Ok(()));
        assert_eq!(world.trust.admit(&first, 50), Err(Rejection::Replayed));
    }

    #[test]
    fn an_attempt_is_started_once_whoever_restarts() {
        let mut world = World::new();
        assert_eq!(world.trust.admit(&world.order("t", 1, TASK), 50), Ok(()));
        assert_eq!(world.trust.admit(&world.order("t", 2, TASK), 50), Err(Rejection::Replayed));
        world.restart();
        assert_eq!(world.trust.admit(&world.order("t", 3, TASK), 50), Err(Rejection::Replayed));
        assert_eq!(world.trust.admit(&world.order("u", 3, TASK), 50), Ok(()));
        let file = world.dir.path().join(format!(".started-{}", world.settings.worker_name()));
        assert_eq!(fs::read_to_string(&file).expect("there").lines().count(), 2);
        drop(Trust::of(&world.settings, 101).expect("a file"));
        assert_eq!(fs::read_to_string(&file).expect("there"), "", "what is too old is refused for that");
    }

    #[test]
    fn what_was_killed_by_order_may_be_started_again() {
        let mut world = World::new();
        assert_eq!(world.trust.admit(&world.order("t", 1, TASK), 50), Ok(()));
        world.trust.forget(&RunId { task: TaskName::listed("t"), czxid: 9 });
        assert_eq!(world.trust.admit(&world.order("t", 2, TASK), 50), Err(Rejection::Replayed), "that was another run");
        world.trust.forget(&RunId { task: TaskName::listed("t"), czxid: 1 });
        world.restart();
        assert_eq!(world.trust.admit(&world.order("t", 2, TASK), 50), Ok(()));
    }

    #[test]
    fn what_is_too_old_is_forgotten_while_the_worker_goes_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".started-w.eu");
        let mark = |index: usize| Mark { task: TaskName::listed(&format!("t{index}")), attempt: 1 };
        let mut started = Started::open(&path, 0).expect("a file");
        for index in 0..PRUNE_FROM {
            assert_eq!(started.start(mark(index), 1, if index < 10 { 100 } else { 50 }, 40), Ok(()));
        }
        assert_eq!(started.start(mark(PRUNE_FROM), 1, 100, 60), Ok(()));
        assert_eq!(started.marks.len(), 11, "those that are good still");
        assert_eq!(fs::read_to_string(&path).expect("there").lines().count(), 11);
        assert_eq!(started.start(mark(3), 2, 100, 60), Err(Rejection::Replayed));
        assert_eq!(Started::open(&path, 60).expect("read again").marks.len(), 11);
    }

    #[test]
    fn a_signed_task_runs_only_where_its_labels_are() {
        let mut world = World::new();
        let order = world.order("t", 1, r#"{"bellwether":1,"argv":["a"],"require":{"zone":"eu"}}"#);
        assert!(matches!(world.trust.admit(&order, 50), Err(Rejection::NotAllowed(_))));
        world.settings.worker.labels = [("zone".to_owned(), "eu".to_owned())].into();
        world.restart();
        assert_eq!(world.trust.admit(&order, 50), Ok(()));
    }

    #[test]
    fn raised_counts_make_no_more_attempts_than_were_signed() {
        let mut world = World::new();
        let attempt = |world: &World, failures: u32, losses: u32| {
            let mut order = world.order("t", 1, TASK);
            (order.task.envelope.failures, order.task.envelope.losses) = (failures, losses);
            order
        };
        for (failures, losses, admitted) in [(0, 0, true), (1, 0, true), (1, 1, true), (2, 0, false), (0, 2, false), (9, 9, false)] {
            let order = attempt(&world, failures, losses);
            assert_eq!(world.trust.admit(&order, 50).is_ok(), admitted, "{failures} failures, {losses} losses");
        }
    }
}
