//! The transactions of an array, one at a time, and how they end. Each sets `todo` at its version, or deletes it.

use std::collections::BTreeSet;

use super::taking::Taken;
use super::{Chunk, Fact, Item, Master, Stand};
use crate::Time;
use crate::master::items::Part;
use crate::protocol::array::{ElementEnd, PieceName, PieceOrder, PieceRecord, Tally, Waiting};
use crate::protocol::result::{Recorded, TaskOutcome};
use crate::protocol::{Op, PROTOCOL_VERSION, TaskName, Why, WorkerId, path};
use crate::view::{Boxed, Slot};

/// Where results are not added to any more.
const CHUNK_BYTES_MAX: usize = 16 * 1024;
/// Most assignments that one transaction takes away.
const BACK_MAX: usize = 256;

/// A piece for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Given {
    /// Which.
    pub order: PieceOrder,
    /// To whom …
    pub worker: WorkerId,
    /// … and the version of its node; `None`: whatever it is.
    pub worker_version: Option<i32>,
}

/// What is added to the results.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Results {
    number: u32,
    /// `None`: it is created.
    version: Option<i32>,
    data: Vec<u8>,
}

/// How an array ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArrayEnd {
    pub(super) outcome: TaskOutcome,
    pub(super) recorded: Recorded,
    /// Whether a cancellation mark goes with it.
    pub(super) marked: bool,
    /// Whether a status stands already.
    pub(super) stands: bool,
}

/// One transaction of an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArrayStep {
    /// Which.
    pub array: TaskName,
    /// The version of its `todo`; `None`: somebody deleted it.
    pub version: Option<i32>,
    /// Its new `todo`.
    pub todo: Vec<u8>,
    /// Pieces that are given out.
    pub given: Vec<Given>,
    /// Records that are taken in.
    pub taken: Vec<PieceName>,
    /// Pieces that were found nowhere, whose elements wait again.
    pub vanished: Vec<(PieceName, Waiting)>,
    /// Where they go.
    pub results: Option<Results>,
    /// Assignments that are taken away.
    pub back: Vec<(WorkerId, PieceName)>,
    /// How many elements have ended by it.
    pub ended: Tally,
    /// The end of the array.
    pub end: Option<ArrayEnd>,
    /// Somebody changed it by hand, which this mends: so many elements were in no place.
    pub mended: Option<u32>,
}

impl ArrayStep {
    /// Its operations, in order.
    #[must_use]
    pub fn parts(&self) -> Vec<(Part, Op)> {
        let (array, mut parts) = (&self.array, Vec::new());
        let create = |path: String, data: &[u8]| Op::Create { path, data: data.to_vec(), ephemeral: false };
        let todo = path::array_todo(array);
        parts.push(match (&self.end, self.version) {
            (None, None) => (Part::ArrayTodo, create(todo, &self.todo)),
            (None, version) => (Part::ArrayTodo, Op::Set { path: todo, data: self.todo.clone(), version }),
            (Some(_), version) => (Part::ArrayTodo, Op::Delete { path: todo, version }),
        });
        let mut checked = BTreeSet::new();
        for Given { order, worker, worker_version } in &self.given {
            if checked.insert(worker) {
                parts.push((Part::Worker, Op::Check { path: path::worker(worker), version: *worker_version }));
            }
            let path = path::assignment(worker, &order.name().assignment(array));
            parts.push((Part::NewAssignment, create(path, &order.encode())));
        }
        for (worker, piece) in &self.back {
            let path = path::assignment(worker, &piece.assignment(array));
            parts.push((Part::OldAssignment, Op::Delete { path, version: Some(0) }));
        }
        for piece in &self.taken {
            parts.push((Part::ArrayRecord, Op::Delete { path: path::array_record(array, piece), version: None }));
        }
        if let Some(Results { number, version, data }) = &self.results {
            let path = path::array_results(array, *number);
            let op = match version {
                None => create(path, data),
                Some(version) => Op::Set { path, data: data.clone(), version: Some(*version) },
            };
            parts.push((Part::ArrayResults, op));
        }
        if let Some(end) = &self.end {
            if !end.stands {
                parts.push((Part::Status, create(path::status(array), &end.recorded.status)));
            }
            if end.marked {
                parts.push((Part::Mark, Op::Delete { path: path::cancel(array), version: None }));
            }
        }
        parts
    }
}

impl Master {
    /// What has changed of arrays is placed with the others.
    pub(in crate::master) fn file_arrays(&mut self, now: Time) {
        for name in self.arrays.touched.clone() {
            self.file_array(&name, now);
        }
    }

    /// Decides on what has changed of arrays. Each has one transaction under way at most.
    pub(in crate::master) fn step_arrays(&mut self, now: Time) {
        if self.paused {
            return;
        }
        while let Some(name) = self.arrays.touched.pop_first() {
            if let Some(step) = self.step_array(&name, now) {
                self.view.forget(&crate::view::Entry::array(name));
                self.todo.push_back(Item::Array(Box::new(step)));
            } else {
                self.file_array(&name, now);
            }
        }
    }

    fn step_array(&mut self, name: &TaskName, now: Time) -> Option<ArrayStep> {
        let now_ms = self.clock.now_ms(now).unwrap_or_default();
        self.stop_array_if_wanted(name);
        let (budget, epoch) = (self.settings.max_worker_losses, self.epoch);
        let array = self.arrays.known.get_mut(name)?;
        let known = array.known_mut().filter(|known| !known.flight)?;
        let version = known.version;
        let fresh = std::mem::take(&mut known.fresh);
        let mut taken = array.take_in(now_ms);
        let mut back = Vec::new();
        let all_back = array.known().is_some_and(|known| known.todo.stopped.is_some());
        let takes_back = |piece: &PieceName, lost: bool| lost || (all_back && !fresh.iter().any(|given| given.order.name() == *piece));
        for (piece, out) in &array.out {
            let lost = array.lost.contains(piece);
            if back.len() < BACK_MAX && takes_back(piece, lost) {
                back.push((out.worker.clone(), *piece));
            }
        }
        for (worker, piece) in &back {
            let lost = array.lost.contains(piece);
            let waiting = array.out.get(piece).map(|out| out.waiting);
            if let (Some(waiting), Stand::Known(known)) = (waiting, &mut array.stand) {
                match lost && known.lose(waiting, budget) {
                    true => taken.results.push(known.convict(worker, &waiting, epoch, now)),
                    false if !lost => known.put_back(waiting),
                    false => {}
                }
            }
        }
        let over = array.out.len() == back.len() && array.left.is_empty();
        let known = array.known_mut()?;
        let failures = known.todo.summary.tally.failures();
        if known.todo.stopped.is_none() && known.request.max_fails.is_some_and(|most| failures > most) {
            known.stop(format!("{failures} of its elements failed, at most {} may", known.request.max_fails.unwrap_or_default()), false);
        }
        let over = over && fresh.is_empty() && known.todo.summary.left() == 0;
        let results = known.add_results(&taken);
        let unchanged = known.todo == known.written && results.is_none() && fresh.is_empty() && back.is_empty() && taken.records.is_empty();
        if unchanged && !over {
            return None;
        }
        known.flight = true;
        let ended = known.todo.summary.tally.since(&known.written.summary.tally);
        known.written = known.todo.clone();
        let todo = known.todo.encode();
        for (worker, piece) in &back {
            let task = piece.assignment(name);
            if let Some(worker) = self.view.workers.get_mut(worker) {
                worker.load.insert(task, Slot::Leaving);
            }
        }
        let end = over.then(|| self.array_end(name, now)).flatten();
        Some(ArrayStep {
            array: name.clone(),
            version: Some(version),
            todo,
            given: fresh,
            taken: taken.records,
            vanished: taken.vanished,
            results,
            back,
            ended,
            end,
            mended: None,
        })
    }

    pub(in crate::master) fn array_applied(&mut self, step: ArrayStep, now: Time) {
        let ArrayStep { array: name, given, back, ended, end, results, version, mended, .. } = step;
        if let Some(nowhere) = mended {
            return self.array_mended(&name, nowhere);
        }
        self.tell(Fact::ElementsEnded(ended));
        for Given { order, worker, .. } in given {
            let elements = order.span().len();
            let task = order.name().assignment(&name);
            if let Some(known) = self.view.workers.get_mut(&worker) {
                known.touch(&task);
                if let Some(slot) = known.load.get_mut(&task)
                    && let Slot::Placing { alone } = *slot
                {
                    *slot = Slot::Placed { alone };
                }
                if known.is_gone() {
                    self.settle_worker(&worker);
                }
            }
            self.tell(Fact::PieceGiven { piece: task, worker, elements });
        }
        if let Some(known) = self.arrays.known.get_mut(&name).and_then(super::Array::known_mut) {
            known.flight = false;
            known.version = version.map_or(0, |version| version + 1);
            if let Some((chunk, results)) = known.chunk.as_mut().zip(results.as_ref()) {
                chunk.version = results.version.map_or(0, |before| before + 1);
            }
        }
        for (worker, piece) in back {
            if let Some(array) = self.arrays.known.get_mut(&name) {
                array.out.remove(&piece);
                array.lost.remove(&piece);
            }
            self.left(&worker, &piece.assignment(&name));
        }
        match end {
            Some(end) => self.array_ended(&name, &end, now),
            None => {
                self.arrays.touched.insert(name);
            }
        }
    }

    /// Nothing of it was applied: it is read again what is there.
    pub(in crate::master) fn array_refused(&mut self, mut step: ArrayStep, part: Part, why: Why) {
        match (part, why, &mut step.end) {
            (Part::Status, Why::NodeExists, Some(end)) => {
                end.stands = true;
                return self.todo.push_front(Item::Array(Box::new(step)));
            }
            (Part::Mark, _, Some(end)) => {
                end.marked = false;
                return self.todo.push_front(Item::Array(Box::new(step)));
            }
            (Part::Status, Why::NoNode, Some(_)) => return self.block(Item::Array(Box::new(step))),
            _ => {}
        }
        let ArrayStep { array: name, given, back, .. } = &step;
        let workers: BTreeSet<&WorkerId> = given.iter().map(|given| &given.worker).collect();
        for given in given {
            let piece = given.order.name();
            if let Some(array) = self.arrays.known.get_mut(name) {
                array.out.remove(&piece);
            }
            self.free(&given.worker, &piece.assignment(name));
        }
        for worker in workers {
            match (part, why) {
                (Part::Worker, _) => self.read_worker(worker),
                (Part::NewAssignment, Why::NoNode) => {
                    if let Some(known) = self.view.workers.get_mut(worker) {
                        known.boxed = Boxed::Missing;
                    }
                }
                (Part::NewAssignment, _) => self.list_box(worker),
                _ => {}
            }
        }
        for (worker, piece) in back {
            if let Some(array) = self.arrays.known.get_mut(name) {
                array.lost.remove(piece);
            }
            let task = piece.assignment(name);
            let slot = self.view.workers.get_mut(worker).and_then(|known| known.load.get_mut(&task));
            match slot {
                Some(slot) => *slot = Slot::Placed { alone: false },
                // Its end was told meanwhile.
                None => self.piece_left(&task),
            }
            self.list_box(worker);
        }
        if let Some(array) = self.arrays.known.get_mut(name) {
            let vanished = step.vanished.iter().map(|(piece, waiting)| (*piece, super::Left::Vanished(*waiting)));
            array.left.extend(vanished);
        }
        let expected = matches!(why, Why::NoNode | Why::NodeExists | Why::BadVersion) || part == Part::Worker;
        match expected {
            true => self.read_array(name),
            false => {
                let path = step.parts().into_iter().find(|(other, _)| *other == part).map(|(_, op)| op.path().to_owned());
                self.array_is_stuck(name, path.unwrap_or_default(), why);
            }
        }
    }
}

impl super::Known {
    /// A piece was lost with its worker: it waits again, or its only element is convicted, which is said.
    fn lose(&mut self, waiting: Waiting, budget: u32) -> bool {
        let last = waiting.losses.saturating_add(1) >= self.budget(budget);
        if last && waiting.span.len() == 1 && self.todo.stopped.is_none() {
            return true;
        }
        // Together nobody is convicted: each is given out alone.
        let losses = if last { waiting.losses.max(self.budget(budget).saturating_sub(1)).max(1) } else { waiting.losses + 1 };
        self.put_back(Waiting { losses, due_ms: 0, ..waiting });
        false
    }

    fn convict(&mut self, worker: &WorkerId, waiting: &Waiting, epoch: i32, now: Time) -> PieceRecord {
        let record = sentence(worker, waiting, ElementEnd::WorkerLost, epoch, now);
        self.todo.summary.take_in(&record);
        record
    }

    /// Nothing more is given out; what waits has ended.
    pub(super) fn stop(&mut self, reason: String, late: bool) {
        self.todo.stopped = Some(crate::protocol::array::todo::Stopped { reason, late });
        for waiting in std::mem::take(&mut self.todo.waiting) {
            self.todo.summary.note(waiting.span, ElementEnd::Cancelled);
        }
    }

    /// Adds records to the results: to the last node, unless it is full.
    fn add_results(&mut self, taken: &Taken) -> Option<Results> {
        if taken.results.is_empty() {
            return None;
        }
        let records: Vec<Vec<u8>> = taken.results.iter().map(PieceRecord::encode).collect();
        let mut chunk = self.chunk.take().filter(|chunk| chunk.data.len() < CHUNK_BYTES_MAX);
        let version = chunk.as_ref().map(|chunk| chunk.version);
        let number = chunk.as_ref().map_or(self.todo.summary.results, |chunk| chunk.number);
        let mut data = chunk.take().map_or_else(|| b"[".to_vec(), |chunk| chunk.data);
        if data.last() == Some(&b']') {
            data.pop();
            data.push(b',');
        }
        data.extend(records.join(&b','));
        data.push(b']');
        self.todo.summary.results = self.todo.summary.results.max(number + 1);
        self.chunk = Some(Chunk { number, version: version.unwrap_or(0), data: data.clone() });
        Some(Results { number, version, data })
    }
}

/// What is recorded of an element that cost more workers than it may.
fn sentence(worker: &WorkerId, waiting: &Waiting, end: ElementEnd, epoch: i32, now: Time) -> PieceRecord {
    PieceRecord {
        bellwether: PROTOCOL_VERSION,
        from: waiting.span.from,
        runs: vec![(end, waiting.span.len())],
        again: Vec::new(),
        delay_ms: 0,
        rest: None,
        attempt: waiting.failures.saturating_add(waiting.losses).saturating_add(1),
        failures: waiting.failures,
        losses: waiting.losses,
        worker: worker.clone(),
        epoch: Some(epoch),
        started: now.wall,
        ended: now.wall,
        took_us: 0,
        output: None,
        details: Vec::new(),
    }
}
