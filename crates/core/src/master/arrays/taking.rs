//! What became of pieces: records are read, and taken in by the array's next transaction.
//!
//! A worker deletes an assignment in the transaction that records it. So an assignment that is gone, and not by our hand, has a record below
//! its array; nobody watches these. If there is none, somebody deleted the assignment: its worker stops, and can record nothing more.

use super::{Effect, Fact, Left, Master, Out, Reading};
use crate::protocol::array::{ElementEnd, PieceName, PieceRecord, Waiting, is_newer, piece_of};
use crate::protocol::{TaskName, path};
use crate::view::Question;

/// Most records that one transaction takes in.
const TAKEN_MAX: usize = 64;
/// Most bytes of them.
const TAKEN_BYTES_MAX: usize = 256 * 1024;
/// Most entries of `todo`: while there are more, only what was tried before is taken in.
const WAITING_MAX: usize = 10_000;

impl Master {
    /// An assignment is gone, and not by our hand.
    pub(in crate::master) fn piece_left(&mut self, task: &TaskName) {
        let Some((name, piece)) = piece_of(task) else { return };
        let Some(array) = self.arrays.known.get_mut(&name) else { return };
        // That it was there may not be known here yet: the answer that says so is then too old to be believed, and so may be the list of
        // its array's records.
        let out = array.out.remove(&piece);
        array.lost.remove(&piece);
        match (array.left.get_mut(&piece), out) {
            // Its record was found before.
            (Some(Left::Asked(_, had)), Some(out)) => *had = Some(out),
            (Some(Left::Asked(..) | Left::Recorded(..) | Left::Vanished(_) | Left::Garbled(_)), _) => {}
            (None, out) => self.read_record(&name, piece, out),
        }
    }

    /// `out`: who had it, if we know that it was there.
    pub(super) fn read_record(&mut self, name: &TaskName, piece: PieceName, out: Option<Out>) {
        let question = self.ask();
        let Some(array) = self.arrays.known.get_mut(name) else { return };
        array.left.insert(piece, Left::Asked(question, out));
        self.effects.push(Effect::ReadPiece(question, name.clone(), piece));
    }

    pub(in crate::master) fn on_piece_read(&mut self, question: Question, name: &TaskName, piece: PieceName, reading: &Reading) {
        let Some(array) = self.arrays.known.get_mut(name) else { return };
        let Some(Left::Asked(asked, out)) = array.left.get(&piece) else { return };
        if *asked != question {
            return;
        }
        let out = out.as_ref().map(|out| out.waiting);
        let left = match (reading, out) {
            (Reading::Found(node), _) => match PieceRecord::decode(&node.data) {
                Some(record) => {
                    let (failures, losses) = (record.failures, record.losses);
                    let waiting = Waiting { failures, losses, ..Waiting::new(piece.span) };
                    Some(Left::Recorded(Box::new(record), waiting))
                }
                None if is_newer(&node.data) => {
                    array.left.remove(&piece);
                    return self.array_is_garbled(name, path::array_record(name, &piece));
                }
                None => {
                    self.effects.push(Effect::Tell(Fact::ArrayMended { array: name.clone(), elements: piece.span.len() }));
                    Some(Left::Garbled(out.unwrap_or(Waiting::new(piece.span))))
                }
            },
            (Reading::Absent | Reading::Denied, Some(waiting)) => Some(Left::Vanished(waiting)),
            (Reading::Absent | Reading::Denied, None) => None,
        };
        match left {
            Some(left) => array.left.insert(piece, left),
            None => array.left.remove(&piece),
        };
        self.arrays.touched.insert(name.clone());
    }
}

/// What one transaction takes in.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Which records are deleted.
    pub(super) records: Vec<PieceName>,
    /// What was nowhere.
    pub(super) vanished: Vec<(PieceName, Waiting)>,
    /// What is added to the results.
    pub(super) results: Vec<PieceRecord>,
}

impl super::Array {
    /// Takes in what has left its workers, as much as one transaction may.
    pub(super) fn take_in(&mut self, now_ms: i64) -> Taken {
        let mut taken = Taken::default();
        let super::Stand::Known(known) = &mut self.stand else { return taken };
        let crowded = known.todo.waiting.len() > WAITING_MAX;
        let mut bytes = 0;
        let ready = self.left.iter().filter(|(_, left)| !matches!(left, Left::Asked(..)));
        for piece in ready.map(|(piece, _)| *piece).collect::<Vec<_>>() {
            let first = matches!(self.left.get(&piece), Some(Left::Recorded(record, _)) if record.attempt == 1 && !record.again.is_empty());
            if taken.records.len() >= TAKEN_MAX || bytes > TAKEN_BYTES_MAX || (crowded && first) {
                continue;
            }
            match self.left.remove(&piece) {
                Some(Left::Recorded(record, waiting)) => {
                    // If its end was not told yet: it says nothing more.
                    self.out.remove(&piece);
                    bytes += record.encode().len();
                    known.learn(record.took_us, record.done());
                    known.take_in(&record, &waiting, now_ms);
                    taken.records.push(piece);
                    if record.done() > 0 {
                        taken.results.push(*record);
                    }
                }
                Some(Left::Vanished(waiting)) => {
                    known.put_back(Waiting { due_ms: 0, ..waiting });
                    taken.vanished.push((piece, waiting));
                }
                Some(Left::Garbled(waiting)) => {
                    self.out.remove(&piece);
                    known.put_back(Waiting { due_ms: 0, ..waiting });
                    taken.records.push(piece);
                }
                Some(asked @ Left::Asked(..)) => {
                    self.left.insert(piece, asked);
                }
                None => {}
            }
        }
        taken
    }
}

impl super::Known {
    fn take_in(&mut self, record: &PieceRecord, waiting: &Waiting, now_ms: i64) {
        self.todo.summary.take_in(record);
        let delay_ms = i64::try_from(record.delay_ms).unwrap_or(i64::MAX);
        for span in &record.again {
            let due_ms = if delay_ms > 0 { now_ms.saturating_add(delay_ms) } else { 0 };
            self.put_back(Waiting { span: *span, failures: waiting.failures.saturating_add(1), losses: waiting.losses, due_ms });
        }
        if let Some(rest) = record.rest {
            self.put_back(Waiting { span: rest, due_ms: 0, ..*waiting });
        }
    }

    /// Once nothing more is given out, what comes back has ended, too.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        match &self.todo.stopped {
            Some(_) => self.todo.summary.note(waiting.span, ElementEnd::Cancelled),
            None => self.todo.put_back(waiting),
        }
    }
}
