//! What somebody changed by hand is found out, and mended.
//!
//! Our own transactions leave each element in one place. Whoever deletes a record or `todo`, or writes into them, leaves elements that are
//! nowhere, and an array that never ends. Counts tell that without a look at what has ended, which is much; only then everything of the
//! array is read, and what neither has ended nor is with a worker waits again: it is executed at least once. A piece that leaves its worker
//! meanwhile is known as one that was out, and a write of ours would have changed the version.

use std::collections::BTreeSet;

use super::steps::ArrayStep;
use super::{ArrayFound, Effect, Fact, Item, Left, Master, Reading, Stand};
use crate::protocol::array::{ArrayRequest, ArrayTodo, PieceName, PieceRecord, Span, Spans, Tally, Waiting};
use crate::protocol::array::{ElementEnd, decode_results, is_newer, piece_of};
use crate::protocol::{TaskName, payload};
use crate::view::Entry;

impl Master {
    /// Whether some of its elements are in no place or in two, as far as counts tell.
    pub(super) fn is_torn(&self, name: &TaskName) -> bool {
        let Some(array) = self.arrays.known.get(name) else { return false };
        let Some(known) = array.known().filter(|known| !known.flight && known.fresh.is_empty()) else { return false };
        if array.left.values().any(|left| matches!(left, Left::Asked(..))) {
            return false;
        }
        let torn = |pieces: &BTreeSet<PieceName>| {
            let out: u64 = pieces.iter().map(|piece| u64::from(piece.span.len())).sum();
            u64::from(known.todo.left()) + out != u64::from(known.todo.summary.left())
        };
        torn(&array.pieces()) && torn(&self.pieces_of(name))
    }

    /// All that may be with a worker, or be recorded and not taken in.
    fn pieces_of(&self, name: &TaskName) -> BTreeSet<PieceName> {
        let mut pieces = self.arrays.known.get(name).map(super::Array::pieces).unwrap_or_default();
        let assigned = self.view.workers.values().flat_map(|worker| worker.load.iter().map(|(task, _)| task));
        pieces.extend(assigned.filter_map(piece_of).filter(|(array, _)| array == name).map(|(_, piece)| piece));
        pieces
    }

    /// Reads all that there is of it.
    pub(super) fn read_whole_array(&mut self, name: &TaskName) {
        let question = self.ask();
        self.view.forget(&Entry::array(name.clone()));
        let array = self.arrays.known.entry(name.clone()).or_default();
        array.stand = Stand::Asked(question);
        self.effects.push(Effect::ReadWholeArray(question, name.clone()));
    }

    /// Says whether it was damaged, and is being mended.
    pub(super) fn mend_array(&mut self, name: &TaskName, found: &ArrayFound, results: &[Vec<u8>]) -> bool {
        let (Reading::Found(node), Some(before)) = (&found.node, old_todo(&found.todo)) else { return false };
        let request = payload::decode_assigned(&node.data).ok().and_then(|task| task.envelope.array);
        let Some(request) = request.filter(|request| request.check().is_ok()) else { return false };
        if !self.surveyed() {
            // Who has what is being found out; the next comparison looks again.
            if let Some(array) = self.arrays.known.get_mut(name) {
                array.stand = Stand::Unread;
            }
            return true;
        }
        let mut pieces = self.pieces_of(name);
        pieces.extend(found.children.iter().filter_map(|child| PieceName::parse(child)));
        let chunks = found.children.iter().filter_map(|child| child.strip_prefix("results-")?.parse::<u32>().ok()).max();
        let records: Vec<PieceRecord> = results.iter().flat_map(|results| decode_results(results)).collect();
        let whole = Whole { request: &request, records: &records, pieces: &pieces, chunks: chunks.map_or(0, |last| last + 1) };
        let (version, before) = before;
        if before.as_ref().is_some_and(|before| !whole.is_torn(before)) {
            return false;
        }
        let (todo, nowhere) = whole.todo(before.as_ref());
        if let Some(array) = self.arrays.known.get_mut(name) {
            (array.stand, array.lived) = (Stand::Mending, true);
        }
        self.todo.push_back(Item::Array(Box::new(ArrayStep {
            array: name.clone(),
            version,
            todo: todo.encode(),
            given: Vec::new(),
            taken: Vec::new(),
            vanished: Vec::new(),
            results: None,
            back: Vec::new(),
            ended: Tally::default(),
            end: None,
            mended: Some(nowhere),
        })));
        true
    }

    /// It is as it should be again.
    pub(super) fn array_mended(&mut self, name: &TaskName, nowhere: u32) {
        self.tell(Fact::ArrayMended { array: name.clone(), elements: nowhere });
        self.read_array(name);
    }

    /// Nobody can say what this node means; only who wrote it can mend it.
    pub(super) fn array_is_garbled(&mut self, name: &TaskName, path: String) {
        if let Some(array) = self.arrays.known.get_mut(name) {
            array.stand = Stand::Stuck;
            self.tell(Fact::ArrayDamaged { path });
        }
    }
}

impl super::Array {
    /// What was given out and is not taken in, as far as it is known here.
    fn pieces(&self) -> BTreeSet<PieceName> {
        self.out.keys().chain(self.left.keys()).copied().collect()
    }
}

/// The version of `todo`, if it is there, and what it says, if that can be understood. `None`: it is not ours to change.
fn old_todo(reading: &Reading) -> Option<(Option<i32>, Option<ArrayTodo>)> {
    match reading {
        Reading::Absent => Some((None, None)),
        Reading::Found(node) if is_newer(&node.data) => None,
        Reading::Found(node) => Some((Some(node.stat.version), ArrayTodo::decode(&node.data))),
        Reading::Denied => None,
    }
}

/// All that is known of an array but its `todo`.
struct Whole<'a> {
    request: &'a ArrayRequest,
    /// What was taken into its results.
    records: &'a [PieceRecord],
    /// What is out, or recorded and not taken in.
    pieces: &'a BTreeSet<PieceName>,
    /// How many nodes the results have.
    chunks: u32,
}

impl Whole<'_> {
    fn out(&self) -> u64 {
        self.pieces.iter().map(|piece| u64::from(piece.span.len())).sum()
    }

    fn is_torn(&self, todo: &ArrayTodo) -> bool {
        u64::from(todo.left()) + self.out() != u64::from(todo.summary.left()) || todo.summary.count != self.request.count
    }

    /// What `todo` should say, and how many elements were in no place. What the old one says of elements that may wait is kept.
    fn todo(&self, before: Option<&ArrayTodo>) -> (ArrayTodo, u32) {
        let all = self.request.span();
        let mut todo = ArrayTodo::new(all);
        todo.waiting.clear();
        let mut taken = Spans::default();
        for record in self.records {
            // Once is enough, whatever somebody copied.
            for (span, end) in record.finals() {
                for news in taken.cover(span) {
                    todo.summary.note(news, end);
                }
            }
            todo.summary.note_work(record);
        }
        for piece in self.pieces {
            taken.cover(piece.span);
        }
        todo.summary.results = self.chunks;
        for waiting in before.iter().flat_map(|before| &before.waiting) {
            let kept = common(waiting.span, all).map(|span| taken.cover(span)).unwrap_or_default();
            todo.waiting.extend(kept.into_iter().map(|span| Waiting { span, ..*waiting }));
        }
        let free = taken.cover(all);
        let nowhere = free.iter().map(Span::len).fold(0, u32::saturating_add);
        todo.stopped = before.and_then(|before| before.stopped.clone());
        for span in free {
            match todo.stopped {
                Some(_) => todo.summary.note(span, ElementEnd::Cancelled),
                None => todo.put_back(Waiting::new(span)),
            }
        }
        // More than any piece was called, as far as anybody can say.
        let numbers = self.pieces.iter().map(|piece| piece.number).max().unwrap_or(0);
        let tries = all.len().saturating_add(todo.summary.retried);
        todo.given = before.map_or(tries, |before| before.given).max(numbers);
        (todo, nowhere)
    }
}

/// What is in both.
fn common(one: Span, other: Span) -> Option<Span> {
    let span = Span { from: one.from.max(other.from), to: one.to.min(other.to) };
    (!span.is_empty()).then_some(span)
}
