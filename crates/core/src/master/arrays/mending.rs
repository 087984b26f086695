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
use crate::protocol::array::{ElementEnd, are_results_newer, decode_results, is_newer, piece_of};
use crate::protocol::{TaskName, path, payload};
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
    pub(super) fn mend_array(&mut self, name: &TaskName, found: &ArrayFound, results: &[(String, Vec<u8>)]) -> bool {
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
        let records: Vec<PieceRecord> = results.iter().flat_map(|(_, results)| decode_results(results)).collect();
        let whole = Whole { request: &request, records: &records, pieces: &pieces, chunks: chunks.map_or(0, |last| last + 1) };
        let (version, before) = before;
        if before.as_ref().is_some_and(|before| !whole.is_torn(before)) {
            return false;
        }
        if let Some((newer, _)) = results.iter().find(|(_, results)| are_results_newer(results)) {
            // What has ended in there would be run again.
            self.array_is_garbled(name, format!("{}/{newer}", path::array(name)));
            return true;
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::protocol::array::todo::Stopped;
    use crate::protocol::{Node, Stat, WorkerId};

    fn span(from: u32, to: u32) -> Span {
        Span { from, to }
    }

    fn piece(from: u32, to: u32, number: u32) -> PieceName {
        PieceName { span: span(from, to), number }
    }

    /// These elements ended so, from `from` on.
    fn record(from: u32, ends: &[(i32, u32)], again: &[Span]) -> PieceRecord {
        PieceRecord {
            bellwether: 1,
            from,
            runs: ends.iter().map(|(code, count)| (ElementEnd::Exit(*code), *count)).collect(),
            again: again.to_vec(),
            delay_ms: 0,
            rest: None,
            attempt: 1,
            failures: 0,
            losses: 0,
            worker: WorkerId::listed("w"),
            epoch: None,
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            took_us: 7,
            output: None,
            details: Vec::new(),
        }
    }

    /// Of an array of a hundred elements: what `todo` becomes, and how many were nowhere.
    fn mended(records: &[PieceRecord], pieces: &[PieceName], before: Option<&ArrayTodo>) -> (ArrayTodo, u32) {
        let pieces = pieces.iter().copied().collect();
        Whole { request: &ArrayRequest::new(100), records, pieces: &pieces, chunks: 1 }.todo(before)
    }

    fn waiting(todo: &ArrayTodo) -> Vec<(u32, u32, u32)> {
        todo.waiting.iter().map(|waiting| (waiting.span.from, waiting.span.to, waiting.failures)).collect()
    }

    #[test]
    fn what_neither_has_ended_nor_is_with_a_worker_waits_again() {
        let records = [record(0, &[(0, 10), (1, 2), (0, 8)], &[span(11, 11)]), record(40, &[(0, 10)], &[])];
        let (todo, nowhere) = mended(&records, &[piece(20, 29, 3), piece(60, 69, 5)], None);
        assert_eq!(waiting(&todo), [(11, 11, 0), (30, 39, 0), (50, 59, 0), (70, 99, 0)], "and what was to be tried again");
        assert_eq!((nowhere, todo.left()), (51, 51));
        let tally = &todo.summary.tally;
        assert_eq!((tally.succeeded, tally.failed, todo.summary.retried, todo.summary.took_us), (28, 1, 1, 14));
        assert_eq!((todo.summary.failures.clone(), todo.summary.results), (vec![span(10, 10)], 1));
        assert!(todo.given >= 100, "no piece is called as one was that nobody knows of");
        let pieces = BTreeSet::from([piece(20, 29, 3), piece(60, 69, 5)]);
        let whole = Whole { request: &ArrayRequest::new(100), records: &records, pieces: &pieces, chunks: 1 };
        assert!(!whole.is_torn(&todo), "each element is in one place");
    }

    #[test]
    fn what_was_known_of_those_that_wait_is_kept_as_far_as_it_can_be_true() {
        let mut before = ArrayTodo::new(span(0, 99));
        before.given = 7;
        let tired = |from, to| Waiting { failures: 2, losses: 1, due_ms: 9, ..Waiting::new(span(from, to)) };
        // The first ones have ended, the next are out, and there are not as many as that.
        before.waiting = vec![tired(5, 24), tired(90, 120)];
        let (todo, nowhere) = mended(&[record(0, &[(0, 10)], &[])], &[piece(10, 19, 9)], Some(&before));
        assert_eq!(waiting(&todo), [(20, 24, 2), (90, 99, 2), (25, 89, 0)]);
        assert_eq!((todo.waiting[0].losses, todo.waiting[0].due_ms), (1, 9));
        assert_eq!((nowhere, todo.given), (65, 9), "no piece is called as one that is out");
    }

    #[test]
    fn what_is_there_twice_counts_once() {
        let copied = record(0, &[(0, 50)], &[]);
        let (todo, nowhere) = mended(&[copied.clone(), copied], &[piece(40, 59, 2)], None);
        assert_eq!((todo.summary.tally.succeeded, todo.summary.left(), nowhere), (50, 50, 40));
        assert_eq!(waiting(&todo), [(60, 99, 0)]);
    }

    #[test]
    fn of_one_that_gives_out_nothing_more_what_is_nowhere_was_cancelled() {
        let mut before = ArrayTodo::new(span(0, 99));
        before.waiting.clear();
        before.stopped = Some(Stopped { reason: "enough".to_owned(), late: false });
        let (todo, nowhere) = mended(&[record(0, &[(0, 90)], &[])], &[], Some(&before));
        assert_eq!((todo.left(), todo.summary.left(), todo.summary.tally.cancelled, nowhere), (0, 0, 10, 10));
        assert_eq!(todo.stopped, before.stopped);
    }

    #[test]
    fn counts_tell_whether_elements_are_in_no_place_or_in_two() {
        let request = ArrayRequest::new(100);
        let torn = |pieces: &[PieceName], change: fn(&mut ArrayTodo)| {
            let mut todo = ArrayTodo::new(span(0, 99));
            todo.waiting = vec![Waiting::new(span(30, 99))];
            todo.summary.note(span(0, 19), ElementEnd::Exit(0));
            change(&mut todo);
            Whole { request: &request, records: &[], pieces: &pieces.iter().copied().collect(), chunks: 0 }.is_torn(&todo)
        };
        let out = piece(20, 29, 1);
        assert!(!torn(&[out], |_| {}));
        assert!(torn(&[], |_| {}), "a piece is gone");
        assert!(torn(&[out, piece(30, 39, 2)], |_| {}), "one is there that waits as well");
        assert!(torn(&[out], |todo| todo.waiting.clear()));
        assert!(torn(&[out], |todo| todo.summary.count = 50));
    }

    #[test]
    fn results_that_say_more_than_we_understand_are_told_from_ours_and_from_nonsense() {
        let ours = serde_json::to_string(&[record(0, &[(0, 10)], &[])]).expect("it can be written");
        let newer = ours.replacen(r#""bellwether":1"#, r#""bellwether":99"#, 1);
        assert_ne!(ours, newer);
        let elsewhere = r#"[{"bellwether":99,"elsewhere":true}]"#;
        for (results, are_newer) in
            [(ours.as_str(), false), (&newer, true), (elsewhere, true), (r#"{"bellwether":99}"#, true), ("Idle", false), ("[]", false)]
        {
            assert_eq!(are_results_newer(results.as_bytes()), are_newer, "{results}");
        }
    }

    #[test]
    fn what_is_newer_is_nobodys_to_change_and_nonsense_is() {
        let reading = |data: &[u8]| Reading::Found(Node { data: data.to_vec(), stat: Stat::default() });
        assert_eq!(old_todo(&Reading::Absent), Some((None, None)));
        assert_eq!(old_todo(&reading(b"Idle")), Some((Some(0), None)));
        assert_eq!(old_todo(&reading(br#"{"bellwether":99,"elsewhere":true}"#)), None);
        assert_eq!(old_todo(&Reading::Denied), None);
        let todo = ArrayTodo::new(span(0, 9));
        assert_eq!(old_todo(&reading(&todo.encode())), Some((Some(0), Some(todo))));
    }
}
