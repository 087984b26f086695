//! Whom this worker believes: signatures of tasks, and which attempts it has started before.
//!
//! What was started is remembered until its signature is too old, in memory and in a file, so that neither a second assignment nor a
//! restart of the worker starts it again. What was killed by order, and so has no result, may be started again: it is forgotten. Another
//! worker does not know of it; how often whoever writes to ZooKeeper can make a fleet repeat a signed task stands in `docs/security.md`.
//!
//! Until when a signature is good is judged by this machine's wall clock: nobody else's word is worth anything here.

mod started;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::PathBuf;

use bellwether_common::config::Settings;
use bellwether_common::signing::PublicKey;
use bellwether_core::agent::Order;
use bellwether_core::lifecycle::RunId;
use bellwether_core::piece::Progress;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::array::{Lines, PieceOrder};
use bellwether_core::protocol::payload::Rejection;
use bellwether_core::protocol::signature::Signature;
use tracing::warn;

use self::started::{Mark, Started};

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
        // That of a program that embeds a worker, and says nothing of outputs, is made by nobody else.
        fs::create_dir_all(settings.output_dir()).map_err(|error| (settings.output_dir(), error))?;
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
        let not_after = self.vouched(order, name, now)?.not_after;
        self.is_within_its_budget(order, envelope.failures, envelope.losses)?;
        let mark = Mark { task: name.clone(), attempt: envelope.attempt() };
        self.started.start(mark, order.id.czxid, not_after, now)
    }

    /// As [`admit`](Self::admit), these elements of an array. What was signed is the array: its envelope under its name.
    ///
    /// # Errors
    /// Why not: each of them ends with that.
    pub(crate) fn admit_piece(&mut self, order: &Order, piece: &PieceOrder, now: u64) -> Result<(), Rejection> {
        let not_after = self.vouched(order, &piece.array, now)?.not_after;
        let array = order.task.envelope.array.as_ref().filter(|array| array.span().covers(piece.span()));
        // Lines are covered by their digests alone.
        let covered = |lines: &Lines| !lines.chunks.is_empty() && lines.chunks.len() == lines.digests.len();
        if !array.is_some_and(|array| array.lines.as_ref().is_none_or(covered)) {
            return Err(Rejection::BadSignature);
        }
        self.is_within_its_budget(order, piece.failures, piece.losses)?;
        self.started.start_elements(mark_of(piece), piece.span(), not_after, now)
    }

    /// The signature, if a trusted key has signed this, it is not too old, and it is for a worker like this one.
    fn vouched<'a>(&self, order: &'a Order, name: &TaskName, now: u64) -> Result<&'a Signature, Rejection> {
        let envelope = &order.task.envelope;
        let signature = envelope.signature.as_ref().ok_or(Rejection::Unsigned)?;
        let key = self.keys.get(&signature.key).ok_or_else(|| Rejection::UnknownKey(shown(&signature.key)))?;
        if !signature.is_for(name) || !key.vouches(name, &order.task.command, envelope, signature) {
            return Err(Rejection::BadSignature);
        }
        if now > signature.not_after {
            return Err(Rejection::Expired(signature.not_after));
        }
        match envelope.require.iter().find(|(label, value)| self.labels.get(*label) != Some(value)) {
            Some((label, value)) => Err(Rejection::NotAllowed(format!("it is for workers with {label}={value}"))),
            None => Ok(signature),
        }
    }

    /// Counts are not signed, because masters and workers raise them; what they may come to is.
    fn is_within_its_budget(&self, order: &Order, failures: u32, losses: u32) -> Result<(), Rejection> {
        let envelope = &order.task.envelope;
        let retries = envelope.retries.unwrap_or(self.retries);
        let most = envelope.max_worker_losses.unwrap_or(LOSSES_MAX).max(1);
        if failures <= retries && losses < most { Ok(()) } else { Err(Rejection::Replayed) }
    }

    /// It was killed by order and has no result: it may be started again.
    pub(crate) fn forget(&mut self, run: &RunId) {
        self.started.forget(run);
    }

    /// A piece that was admitted is over: what of it was not run, or was killed by order, may be started again.
    pub(crate) fn forget_rest(&mut self, progress: &Progress) {
        if let Some(rest) = progress.rest() {
            self.started.forget_elements(&mark_of(progress.order()), rest);
        }
    }
}

fn mark_of(piece: &PieceOrder) -> Mark {
    Mark { task: piece.array.clone(), attempt: piece.attempt() }
}

/// By their names. What is no key was refused with the configuration.
fn trusted(lines: &[String]) -> HashMap<String, PublicKey> {
    lines.iter().filter_map(|line| line.parse::<PublicKey>().ok()).map(|key| (key.id(), key)).collect()
}

/// A word of somebody else's, shortened for messages.
fn shown(key: &str) -> String {
    key.chars().filter(char::is_ascii_hexdigit).take(16).collect()
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

    /// A piece of an array that our key has signed with this request, under this name.
    fn piece(world: &World, signed_as: &str, request: &str, (from, to): (u32, u32), (failures, losses): (u32, u32)) -> (Order, PieceOrder) {
        let json = format!(r#"{{"bellwether":1,"argv":["a"],"retries":1,"max_worker_losses":2,"array":{request}}}"#);
        let mut order = world.order(signed_as, 1, &json);
        let piece = PieceOrder { array: TaskName::listed("a"), czxid: 1, from, to, number: 1, failures, losses };
        (order.id.task, order.piece) = (piece.name().assignment(&piece.array), Some(piece.clone()));
        (order, piece)
    }

    #[test]
    fn elements_are_run_as_they_were_signed_and_once_in_an_attempt() {
        let mut world = World::new();
        let (own, some) = (r#"{"count":10,"first":5}"#, r#"{"count":10,"first":5,"lines":{"chunks":[5]}}"#);
        let covered = r#"{"count":10,"first":5,"lines":{"chunks":[5,9],"digests":["a","b"]}}"#;
        let admit = |world: &mut World, (order, piece): (Order, PieceOrder)| world.trust.admit_piece(&order, &piece, 50);
        let new = |world: &World, request, span| piece(world, "a", request, span, (0, 0));
        for (signed_as, request, span) in [("b", own, (5, 6)), ("a", own, (4, 6)), ("a", own, (14, 15)), ("a", some, (5, 6))] {
            let piece = piece(&world, signed_as, request, span, (0, 0));
            assert_eq!(admit(&mut world, piece), Err(Rejection::BadSignature), "{signed_as} {request} {span:?}");
        }
        let (mut larger, span) = new(&world, own, (5, 6));
        larger.task.envelope.array.as_mut().expect("an array").count = 11;
        assert_eq!(admit(&mut world, (larger, span)), Err(Rejection::BadSignature));
        let (mut plain, span) = new(&world, own, (5, 6));
        plain.task.envelope.signature = None;
        assert_eq!(admit(&mut world, (plain, span)), Err(Rejection::Unsigned));
        for counts in [(2, 0), (0, 2)] {
            let piece = piece(&world, "a", own, (5, 6), counts);
            assert_eq!(admit(&mut world, piece), Err(Rejection::Replayed), "{counts:?}");
        }
        let first = new(&world, covered, (5, 6));
        assert_eq!(admit(&mut world, first), Ok(()), "nothing of this was remembered");
        world.restart();
        let again = new(&world, covered, (6, 7));
        assert_eq!(admit(&mut world, again), Err(Rejection::Replayed));
        let retried = piece(&world, "a", covered, (5, 6), (1, 0));
        assert_eq!(admit(&mut world, retried), Ok(()));
        let (order, next) = new(&world, covered, (7, 14));
        assert_eq!(world.trust.admit_piece(&order, &next, 50), Ok(()));
        // Of this one nothing was run.
        world.trust.forget_rest(&Progress::new(next.clone()));
        assert_eq!(world.trust.admit_piece(&order, &next, 50), Ok(()));
    }
}
