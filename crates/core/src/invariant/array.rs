//! Arrays: each element is in exactly one place after each transaction, and ends once.
//!
//! An element waits in `todo`, is in one piece with a worker, in one record, or has ended, which is in the results. Followed from the
//! transaction on that made the array; of one that was there before anybody looked, nothing is said.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::Verdicts;
use super::scene::{Registrations, Scene};
use super::{Committed, Promise};
use crate::protocol::array::{
    ArraySummary, ArrayTodo, PieceName, PieceOrder, PieceRecord, Span, Spans, decode_results, is_newer, piece_of,
};
use crate::protocol::result::{Status, decode_status};
use crate::protocol::{TaskName, WorkerId, path};

/// What all transactions so far add up to, of arrays that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Arrays {
    known: BTreeMap<TaskName, ArrayLife>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ArrayLife {
    todo: ArrayTodo,
    /// Pieces that workers have.
    out: BTreeMap<PieceName, WorkerId>,
    /// What became of pieces, and is not taken in yet.
    recorded: BTreeMap<PieceName, PieceRecord>,
    ended: Spans,
    /// How many records of each node of the results were taken in.
    seen: BTreeMap<u32, usize>,
    /// Whether it was said that some element is in no place, or in two.
    torn: bool,
}

/// What one transaction does to one array.
#[derive(Debug, Default)]
struct Touch {
    /// It is the master's affair alone.
    rules: bool,
    /// Pieces that are given out.
    given: Vec<WorkerId>,
    /// Pieces that leave these workers.
    left: BTreeMap<PieceName, WorkerId>,
    /// Records that come.
    recorded: Vec<PieceName>,
    /// `todo` is deleted.
    over: bool,
    /// What its status says.
    summary: Option<ArraySummary>,
    /// Elements that have ended twice.
    twice: Vec<Span>,
}

impl ArrayLife {
    /// Whether each element is in one place. `None`: it is.
    fn partition(&self) -> Option<String> {
        let mut all = self.ended.clone();
        let waiting = self.todo.waiting.iter().map(|waiting| (waiting.span, "waits".to_owned()));
        let out = self.out.iter().map(|(piece, worker)| (piece.span, format!("is given to {worker}")));
        let recorded = self.recorded.keys().map(|piece| (piece.span, "is recorded".to_owned()));
        for (span, place) in waiting.chain(out).chain(recorded) {
            if !span.is_empty() && !all.insert(span) {
                return Some(format!("one of the elements {}-{} {place}, and is elsewhere, too", span.from, span.to));
            }
        }
        let summary = &self.todo.summary;
        let there = all.len() + u64::from(summary.tally.cancelled);
        if there != u64::from(summary.count) {
            return Some(format!("it has {} elements, and {there} of them are somewhere", summary.count));
        }
        let ended = u64::from(summary.tally.ended().saturating_sub(summary.tally.cancelled));
        (ended != self.ended.len()).then(|| format!("{} elements are in its results, and {ended} are counted", self.ended.len()))
    }
}

/// `/bellwether/arrays/<array>/<child>`
fn below_array(path: &str) -> Option<(TaskName, &str)> {
    let (array, child) = path.strip_prefix(path::ARRAYS)?.strip_prefix('/')?.split_once('/')?;
    Some((TaskName::listed(array), child))
}

/// `/assign/<worker>/<array>.<piece>`
fn assigned(path: &str) -> Option<(WorkerId, TaskName, PieceName)> {
    let (worker, task) = path.strip_prefix(path::ASSIGN)?.strip_prefix('/')?.split_once('/')?;
    let (array, piece) = piece_of(&TaskName::listed(task))?;
    Some((WorkerId::listed(worker), array, piece))
}

impl Arrays {
    /// Whether this assignment is a piece of an array that is followed.
    pub(super) fn has(&self, task: &TaskName) -> bool {
        piece_of(task).is_some_and(|(array, _)| self.known.contains_key(&array))
    }

    pub(super) fn examine(&mut self, scene: &Scene<'_>, workers: &Registrations, midway: bool, verdicts: &mut Verdicts) {
        let mut touched: BTreeMap<TaskName, Touch> = BTreeMap::new();
        for change in &scene.transaction.changes {
            self.change(change, &mut touched);
        }
        for (name, touch) in touched {
            let at = path::array_todo(&name);
            let mut found = self.judge(&name, &touch, scene, workers, midway);
            if let Some(life) = self.known.get_mut(&name) {
                let torn = found.iter().any(|(promise, _)| *promise == Promise::P3);
                // Told once, by the transaction that did it.
                if std::mem::replace(&mut life.torn, torn) && !touch.over {
                    found.retain(|(promise, _)| *promise != Promise::P3);
                }
            }
            for (promise, what) in found {
                verdicts.add(promise, at.clone(), format!("{name}: {what}"));
            }
            // Where it was deleted by hand, the master may mend it.
            if touch.over && (scene.rules || touch.summary.is_some()) {
                self.known.remove(&name);
            }
        }
    }

    fn change(&mut self, change: &Committed, touched: &mut BTreeMap<TaskName, Touch>) {
        let Some(path) = change.path() else { return };
        if let Some((worker, array, piece)) = assigned(path) {
            let Some(life) = self.known.get_mut(&array) else { return };
            let touch = touched.entry(array).or_default();
            match change {
                Committed::Create { .. } => {
                    touch.given.push(worker.clone());
                    life.out.insert(piece, worker);
                }
                Committed::Delete { .. } => {
                    life.out.remove(&piece);
                    touch.left.insert(piece, worker);
                }
                Committed::Set { .. } | Committed::Check { .. } | Committed::SessionEnded => {}
            }
            return;
        }
        if let (Committed::Delete { .. }, Some(array)) = (change, path.strip_prefix(path::ARRAYS).and_then(|rest| rest.strip_prefix('/'))) {
            // With all that was below it.
            self.known.remove(&TaskName::listed(array));
        }
        if let Some((array, child)) = below_array(path) {
            return self.change_below(array, child, change, touched);
        }
        if let (Committed::Create { data: Some(data), .. }, Some(task)) = (change, path.strip_prefix("/status/"))
            && let Status::Full(result) = decode_status(data)
            && self.known.contains_key(&TaskName::listed(task))
        {
            touched.entry(TaskName::listed(task)).or_default().summary = result.array;
        }
    }

    fn change_below(&mut self, array: TaskName, child: &str, change: &Committed, touched: &mut BTreeMap<TaskName, Touch>) {
        let told = match change {
            Committed::Create { data, .. } | Committed::Set { data, .. } => data.as_deref(),
            Committed::Delete { .. } | Committed::Check { .. } | Committed::SessionEnded => None,
        };
        if child == "todo"
            && let (Committed::Create { .. }, Some(todo)) = (change, told.and_then(ArrayTodo::decode))
        {
            touched.entry(array.clone()).or_default().rules = true;
            // Somebody deleted it, and the master mends that: where everything else is, is known.
            if let Some(life) = self.known.get_mut(&array) {
                life.todo = todo;
                return;
            }
            let (out, recorded, ended, seen) = (BTreeMap::new(), BTreeMap::new(), Spans::default(), BTreeMap::new());
            self.known.insert(array, ArrayLife { todo, out, recorded, ended, seen, torn: false });
            return;
        }
        let Some(life) = self.known.get_mut(&array) else { return };
        let touch = touched.entry(array.clone()).or_default();
        match (child, change) {
            ("todo", Committed::Set { .. }) => {
                touch.rules = true;
                match (told.and_then(ArrayTodo::decode), told) {
                    (Some(todo), _) => life.todo = todo,
                    // It says nothing, and elements are where they were until somebody mends that.
                    (None, Some(data)) if !is_newer(data) => {}
                    // What it says was not told, or is not understood: nothing can be said of it any more.
                    (None, _) => drop(self.known.remove(&array)),
                }
            }
            ("todo", Committed::Delete { .. }) => (touch.rules, touch.over) = (true, true),
            (_, Committed::Create { .. } | Committed::Set { .. }) => {
                if let Some(number) = child.strip_prefix("results-").and_then(|number| number.parse().ok()) {
                    touch.rules = true;
                    let records = decode_results(told.unwrap_or_default());
                    let seen = life.seen.insert(number, records.len()).unwrap_or(0);
                    for (span, _) in records.iter().skip(seen).flat_map(PieceRecord::finals) {
                        if !life.ended.insert(span) {
                            touch.twice.push(span);
                        }
                    }
                } else if let (Some(piece), Some(record)) = (PieceName::parse(child), told.and_then(PieceRecord::decode)) {
                    life.recorded.insert(piece, record);
                    touch.recorded.push(piece);
                }
            }
            (_, Committed::Delete { .. }) => {
                if let Some(piece) = PieceName::parse(child) {
                    touch.rules = true;
                    life.recorded.remove(&piece);
                }
            }
            (_, Committed::Check { .. } | Committed::SessionEnded) => {}
        }
    }

    fn judge(&self, name: &TaskName, touch: &Touch, scene: &Scene<'_>, workers: &Registrations, midway: bool) -> Vec<(Promise, String)> {
        let mut found = Vec::new();
        let by = scene.session();
        if (touch.rules || !touch.given.is_empty()) && !scene.rules {
            found.push((Promise::P2, format!("it was changed by session {by:#x}, which is not in office")));
        } else if (touch.rules || !touch.given.is_empty()) && scene.lacks_fence() {
            found.push((Promise::P2, format!("session {by:#x} is in office, and wrote about it without the fence")));
        }
        for worker in touch.given.iter().collect::<BTreeSet<_>>() {
            if !workers.contains(worker) && !midway {
                found.push((Promise::P5, format!("a piece of it was given to {worker}, which is not registered")));
            } else if scene.checks && !scene.checks_worker(worker) {
                found.push((Promise::P5, format!("a piece of it was given to {worker} without the check that it is registered")));
            }
        }
        for piece in &touch.recorded {
            found.extend(self.recorded_by(piece, touch, scene, workers, midway).map(|what| (Promise::P2, what)));
        }
        found.extend(touch.twice.iter().map(|span| (Promise::P4, format!("one of its elements {}-{} ended twice", span.from, span.to))));
        let Some(life) = self.known.get(name) else { return found };
        let lost = if touch.over { over(life, touch) } else { life.partition() };
        found.extend(lost.map(|what| (Promise::P3, what)));
        found
    }

    /// A record is made by the worker that had the piece, in the transaction in which it leaves, behind its check.
    fn recorded_by(&self, piece: &PieceName, touch: &Touch, scene: &Scene<'_>, workers: &Registrations, midway: bool) -> Option<String> {
        let by = scene.session();
        let Some(worker) = touch.left.get(piece) else {
            return Some(format!("what became of {piece} was recorded by session {by:#x}, and no worker gave it away"));
        };
        if !workers.is_of(worker, by, midway) {
            return Some(format!("what became of {piece} was recorded by session {by:#x}, and {worker} had it"));
        }
        let unchecked = scene.checks && worker.session() == Some(by) && !scene.checks_worker(worker);
        unchecked.then(|| format!("{worker} recorded {piece} without the check that it is registered"))
    }
}

/// Whether all of it had ended. `None`: it had.
fn over(life: &ArrayLife, touch: &Touch) -> Option<String> {
    let Some(summary) = &touch.summary else { return Some("it is over, and no status says how".to_owned()) };
    if !life.out.is_empty() || !life.recorded.is_empty() {
        return Some(format!("it ended, and {} pieces were with workers, {} recorded", life.out.len(), life.recorded.len()));
    }
    let ended = life.ended.len() + u64::from(summary.tally.cancelled);
    let all = u64::from(summary.count);
    (ended != all || summary.left() > 0).then(|| format!("it ended, and {ended} of its {all} elements had"))
}

/// Whether somebody gave out a piece by this node.
#[must_use]
pub fn is_piece(task: &TaskName, data: &[u8]) -> bool {
    PieceOrder::decode(task, data).is_some()
}
