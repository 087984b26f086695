//! The rules: what a transaction may do to one task. Each is looked at after the whole transaction, because only that is visible.

use super::ledger::Ledger;
use super::life::{Life, Touch};
use super::scene::{Office, Scene};
use super::{Promise, Violation};
use crate::protocol::result::{Status, TaskOutcome, decode_status};
use crate::protocol::{TaskName, WorkerId, path};

/// What was found, at most once for each promise and node.
#[derive(Debug)]
pub(super) struct Verdicts {
    zxid: i64,
    found: Vec<Violation>,
}

impl Verdicts {
    pub(super) fn new(zxid: i64) -> Self {
        Self { zxid, found: Vec::new() }
    }

    pub(super) fn add(&mut self, promise: Promise, path: impl Into<String>, what: String) {
        let path = path.into();
        if !self.found.iter().any(|known| known.promise == promise && known.path == path) {
            self.found.push(Violation { promise, zxid: self.zxid, path, what });
        }
    }

    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.found
    }
}

/// Where a violation is reported: all that one transaction does to a task is about one node.
fn about(task: &TaskName, touch: &Touch) -> String {
    match (&touch.given_to, &touch.taken_from) {
        (Some(worker), _) => path::assignment(worker, task),
        _ if touch.ended.is_some() => path::status(task),
        (None, Some(worker)) => path::assignment(worker, task),
        (None, None) => path::task(task),
    }
}

impl Ledger {
    pub(super) fn judge(&self, task: &TaskName, touch: &Touch, scene: &Scene<'_>, verdicts: &mut Verdicts) {
        let at = about(task, touch);
        let mut found = Vec::new();
        found.extend(self.author(task, touch, scene).map(|what| (Promise::OnlyTheMasterWrites, what)));
        found.extend(self.registered(task, touch, scene).map(|what| (Promise::AssignedToTheLiving, what)));
        found.extend(self.one_status(task, touch, scene).map(|what| (Promise::OneStatus, what)));
        found.extend(self.one_place(task, touch, scene).map(|what| (Promise::OnePlace, what)));
        found.extend(self.payload_kept(task, touch, scene).map(|what| (Promise::PayloadKept, what)));
        for (promise, what) in found {
            verdicts.add(promise, at.clone(), what);
        }
    }

    /// P2: who may do this, and behind which checks?
    fn author(&self, task: &TaskName, touch: &Touch, scene: &Scene<'_>) -> Option<String> {
        let by = scene.session();
        let unsure = self.midway && !touch.known;
        if let Some(worker) = touch.given_to.as_ref().filter(|_| !scene.rules) {
            return Some(format!("{task} was assigned to {worker} by session {by:#x}, which is not in office"));
        }
        let entitled = scene.rules || touch.held_by_author;
        if touch.ended.is_some() && !entitled && !unsure {
            return Some(format!("{task} was ended by session {by:#x}, which neither is in office nor held it"));
        }
        // Who only deletes an assignment, by hand or out of the book, moves nothing: the task is lost, which is another promise.
        if let Some(worker) = touch.taken_from.as_ref().filter(|_| !entitled && scene.is_move()) {
            return Some(format!("{task} was taken from {worker} by session {by:#x}, which neither is in office nor is that worker"));
        }
        let as_worker = touch.held_by_author && touch.given_to.is_none() && (touch.taken_from.is_some() || touch.ended.is_some());
        if as_worker { self.worker_unchecked(task, touch, scene) } else { master_unfenced(task, touch, scene) }
    }

    /// A worker of ours writes about its tasks only behind the check that it is registered. Others have names of other forms.
    fn worker_unchecked(&self, task: &TaskName, touch: &Touch, scene: &Scene<'_>) -> Option<String> {
        let ours = |worker: &&WorkerId| worker.session() == Some(scene.session());
        let assigned = touch.before.iter().flat_map(|life| &life.assigned);
        let worker = touch.taken_from.iter().chain(assigned).find(ours)?;
        let unchecked = scene.checks && !scene.checks_worker(worker);
        unchecked.then(|| format!("{worker} wrote about {task} without the check that it is registered"))
    }

    /// P5: is the worker registered, and was that checked in the same transaction?
    fn registered(&self, task: &TaskName, touch: &Touch, scene: &Scene<'_>) -> Option<String> {
        let worker = touch.given_to.as_ref()?;
        if scene.foreign || matches!(self.office, Office::Held { foreign: true, .. }) {
            return None;
        }
        if !self.workers.contains(worker) && !self.midway {
            return Some(format!("{task} was assigned to {worker}, which is not registered"));
        }
        let unchecked = scene.rules && scene.checks && !scene.checks_worker(worker);
        unchecked.then(|| format!("{task} was assigned to {worker} without the check that it is registered"))
    }

    /// P4: is it the only status of this life?
    fn one_status(&self, task: &TaskName, touch: &Touch, scene: &Scene<'_>) -> Option<String> {
        let entitled = (scene.rules && !scene.foreign) || touch.held_by_author;
        if touch.ended.is_some() && touch.had_status && touch.before.as_ref().is_none_or(|life| !life.after_status) {
            return Some(format!("{task} got a second status"));
        }
        // Whoever is not entitled to end it has broken another promise.
        if touch.ended.is_some() && touch.before.is_none() && touch.known && entitled {
            return Some(format!("{task} got a status, but it was neither waiting nor assigned: a second one, or one of nothing"));
        }
        let back = touch.entered_queue && touch.before.is_none() && touch.had_status && touch.ended.is_none();
        let by_master = scene.rules && !scene.foreign && !matches!(self.office, Office::Unknown);
        (back && by_master && scene.is_move()).then(|| format!("{task} was brought back by the master after it had ended"))
    }

    /// P3: is it in one place?
    fn one_place(&self, task: &TaskName, touch: &Touch, scene: &Scene<'_>) -> Option<String> {
        let nowhere = Life::default();
        let life = self.living.get(task).unwrap_or(&nowhere);
        let has_status = self.ended.contains(task);
        let older = touch.before.as_ref().map_or(touch.had_status && touch.ended.is_none(), |before| before.after_status);
        let ended = usize::from(has_status && !older && life.places() > 0);
        let in_two_writes = scene.foreign || (touch.held_by_foreigner && touch.ended.is_some());
        if touch.entered && life.places() + ended > 1 && !life.torn && !in_two_writes {
            let too = if ended > 0 { " and ended" } else { "" };
            return Some(format!("{task} is in {} places: {}{too}", life.places() + ended, life.words()));
        }
        if touch.given_to.is_some() && touch.before.is_none() && scene.rules && !scene.foreign {
            return Some(format!("{task} was assigned, but it was nowhere before"));
        }
        let before = touch.before.as_ref()?;
        let lost = life.places() == 0 && !has_status && !scene.foreign;
        lost.then(|| format!("{task} was {}, and now it is nowhere", before.words()))
    }

    /// P7: is it the same task still, and are its counts right?
    fn payload_kept(&self, task: &TaskName, touch: &Touch, scene: &Scene<'_>) -> Option<String> {
        let before = touch.before.as_ref().filter(|_| touch.taken_from.is_some() || touch.left_queue)?;
        let changed = |now| before.essence.zip(now).is_some_and(|(before, now)| !before.means_the_same(&now));
        if changed(touch.essence) {
            return Some(format!("the payload of {task} changed on its way from {}", before.words()));
        }
        if changed(touch.letter) {
            return Some(format!("the dead letter of {task} is not what it asked for"));
        }
        let dead = !touch.held_by_author && touch.ended.as_ref().and_then(Option::as_deref).is_some_and(is_dead);
        if dead && !self.letters.contains(task) && !self.midway {
            return Some(format!("{task} ended as dead, and its payload was not put aside"));
        }
        self.counts_right(task, touch, scene)
    }

    /// A loss is counted by the master that takes a task back from a worker that is gone, a failure by the worker that lays it to rest.
    fn counts_right(&self, task: &TaskName, touch: &Touch, scene: &Scene<'_>) -> Option<String> {
        let (before, now) = touch.before.as_ref()?.essence.zip(touch.essence)?;
        let lost = touch.taken_from.as_ref().is_some_and(|worker| {
            touch.entered_queue && !touch.held_by_author && scene.rules && !scene.foreign && !self.workers.contains(worker)
        });
        let (losses, due) = (now.losses, before.losses.saturating_add(u32::from(lost)));
        if losses != due && !scene.foreign {
            return Some(format!("{task} says that it was lost with {losses} workers, and it is {due}"));
        }
        let failed = touch.laid_to_rest && touch.held_by_author && touch.taken_from.is_some();
        let (failures, due) = (now.failures, before.failures.saturating_add(u32::from(failed)));
        (failures != due && !scene.foreign).then(|| format!("{task} says that {failures} attempts failed, and it is {due}"))
    }
}

/// A master of ours writes about tasks only behind both checks of the fence.
fn master_unfenced(task: &TaskName, touch: &Touch, scene: &Scene<'_>) -> Option<String> {
    let taken = touch.taken_from.is_some() || (touch.left_queue && scene.is_move());
    let wrote = touch.given_to.is_some() || touch.ended.is_some() || taken;
    (wrote && scene.lacks_fence()).then(|| format!("session {:#x} is in office, and wrote about {task} without the fence", scene.session()))
}

fn is_dead(status: &[u8]) -> bool {
    match decode_status(status) {
        Status::Full(result) => result.outcome == TaskOutcome::Dead,
        Status::Plain { words, .. } => words == "failed worker-lost",
    }
}
