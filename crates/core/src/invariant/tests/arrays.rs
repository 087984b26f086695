//! Arrays: elements that are lost, are in two places, end twice, or are written about by somebody else.

use super::*;
use crate::protocol::TaskName;
use crate::protocol::array::{ArraySummary, ArrayTodo, ElementEnd, PieceRecord, Span, Waiting};
use crate::protocol::result::{TaskOutcome, TaskResult};

const TODO: &str = "/bellwether/arrays/a/todo";
const PIECE: &str = "/assign/w-0000000000000008/a.0-3.1";
const RECORD: &str = "/bellwether/arrays/a/0-3.1";
const RESULTS: &str = "/bellwether/arrays/a/results-0";

fn piece_record() -> PieceRecord {
    serde_json::from_str(
        r#"{"bellwether":1,"from":0,"runs":[[0,4]],"attempt":1,"worker":"w","started":"1970-01-01T00:00:00Z","ended":"1970-01-01T00:00:00Z","took_us":1}"#,
    )
    .expect("a record")
}

/// So many of ten have ended, and these wait.
fn todo(ended: u32, waiting: &[(u32, u32)]) -> Vec<u8> {
    let mut todo = ArrayTodo::new(Span { from: 0, to: 9 });
    todo.waiting = waiting.iter().map(|span| Waiting::new(Span::from(*span))).collect();
    todo.summary.tally.add(ElementEnd::Exit(0), ended);
    todo.encode()
}

fn set(path: &str, data: Vec<u8>) -> Committed {
    Committed::Set { path: path.into(), version: 1, data: Some(data) }
}

fn made(path: &str, data: Vec<u8>) -> Committed {
    Committed::Create { path: path.into(), ephemeral: false, data: Some(data) }
}

fn registered() -> Committed {
    check(&format!("/workers/{OURS}"))
}

fn given() -> Vec<Committed> {
    fenced([set(TODO, todo(0, &[(4, 9)])), registered(), create(PIECE)])
}

fn recorded() -> Vec<Committed> {
    vec![registered(), delete(PIECE), made(RECORD, piece_record().encode())]
}

fn taken_in() -> Vec<Committed> {
    let results = [b"[".to_vec(), piece_record().encode(), b"]".to_vec()].concat();
    fenced([set(TODO, todo(4, &[(4, 9)])), delete(RECORD), made(RESULTS, results)])
}

fn adopted() -> Log {
    let mut log = Log::checked();
    log.ok(CLIENT, vec![holding("/tasks/a", r#"{"bellwether":1,"argv":["x"],"array":{"count":10}}"#)]);
    log.ok(MASTER, fenced([delete("/tasks/a"), create("/bellwether/arrays/a"), made(TODO, todo(0, &[(0, 9)]))]));
    log
}

#[test]
fn an_array_that_is_given_out_recorded_and_taken_in_breaks_nothing() {
    let mut log = adopted();
    log.ok(MASTER, given());
    log.ok(WORKER, recorded());
    log.ok(MASTER, taken_in());
    assert_eq!(log.ledger.unfinished().count(), 1);
    let mut result = TaskResult::without_run(TaskName::listed("a"), TaskOutcome::Cancelled, "enough".into(), jiff::Timestamp::UNIX_EPOCH);
    let mut summary = ArraySummary::new(Span { from: 0, to: 9 });
    summary.note(Span { from: 0, to: 3 }, ElementEnd::Exit(0));
    summary.note(Span { from: 4, to: 9 }, ElementEnd::Cancelled);
    result.array = Some(summary);
    let status = serde_json::to_vec(&result).expect("JSON");
    log.ok(MASTER, fenced([delete(TODO), made("/status/a", status)]));
    assert_eq!(log.ledger.unfinished().count(), 0);
}

#[test]
fn elements_that_are_lost_or_in_two_places_are_seen_once() {
    // Given out, and left in todo.
    let mut log = adopted();
    assert_eq!(log.commit(MASTER, fenced([set(TODO, todo(0, &[(0, 9)])), registered(), create(PIECE)])), [Promise::P3]);
    // Taken out of todo, and given to nobody.
    let mut log = adopted();
    assert_eq!(log.commit(MASTER, fenced([set(TODO, todo(0, &[(4, 9)]))])), [Promise::P3]);
    assert_eq!(log.commit(MASTER, fenced([set(TODO, todo(0, &[(4, 9)]))])), [], "it was said");
    // Recorded, and the assignment stays.
    let mut log = adopted();
    log.ok(MASTER, given());
    assert_eq!(log.commit(WORKER, vec![registered(), made(RECORD, piece_record().encode())]), [Promise::P2, Promise::P3]);
    // The assignment goes, and nothing says what became of it.
    let mut log = adopted();
    log.ok(MASTER, given());
    assert_eq!(log.commit(WORKER, vec![registered(), delete(PIECE)]), [Promise::P3]);
    // The record goes, and is not taken in.
    let mut log = adopted();
    log.ok(MASTER, given());
    log.ok(WORKER, recorded());
    assert_eq!(log.commit(MASTER, fenced([delete(RECORD)])), [Promise::P3]);
}

#[test]
fn an_element_ends_once() {
    let mut log = adopted();
    log.ok(MASTER, given());
    log.ok(WORKER, recorded());
    log.ok(MASTER, taken_in());
    let again = [b"[".to_vec(), piece_record().encode(), b",".to_vec(), piece_record().encode(), b"]".to_vec()].concat();
    assert_eq!(log.commit(MASTER, fenced([set(TODO, todo(4, &[(4, 9)])), set(RESULTS, again)])), [Promise::P4]);
    // It ends before its elements have.
    let mut log = adopted();
    assert_eq!(log.commit(MASTER, fenced([delete(TODO), made("/status/a", b"done".to_vec())])), [Promise::P3]);
}

#[test]
fn only_the_master_gives_out_and_only_the_holder_records() {
    let mut log = adopted();
    assert!(log.commit(CLIENT, given()).contains(&Promise::P2), "not in office");
    let mut log = adopted();
    assert_eq!(log.commit(MASTER, vec![set(TODO, todo(0, &[(4, 9)])), registered(), create(PIECE)]), [Promise::P2], "no fence");
    let mut log = adopted();
    assert_eq!(log.commit(MASTER, fenced([set(TODO, todo(0, &[(4, 9)])), create(PIECE)])), [Promise::P5], "unchecked");
    let mut log = adopted();
    log.ok(MASTER, given());
    assert_eq!(log.commit(CLIENT, recorded()), [Promise::P2], "it had nothing");
    let mut log = adopted();
    log.ok(MASTER, given());
    assert_eq!(log.commit(WORKER, recorded()[1..].to_vec()), [Promise::P2], "without its check");
}
