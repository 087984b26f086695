//! What may not come in, and what is assigned no faster than somebody wants.

use super::*;
use crate::admission::Rate;
use crate::protocol::admission::{AdmissionRecord, Excess, PaceRecord, RatesRecord};

const BLUE: &[u8] = br#"{"bellwether":1,"shell":"make","labels":{"team":"blue"}}"#;

fn label() -> Label {
    Label::parse("team=blue").expect("a label")
}

fn limited(limits: Limits, workers: &[(&str, u32)]) -> World {
    let queue_timeout = Duration::ZERO;
    let mut world = World::with(Settings {
        assign_batch: 8,
        lookahead: 0,
        queue_timeout,
        max_worker_losses: 2,
        silence_timeout: Duration::ZERO,
        classic_workers: false,
        group_retention: Duration::from_secs(600),
        limits,
    });
    world.take_office(workers);
    world
}

fn closure(excess: Excess, count: u64, limit: u64) -> Closure {
    let label = (excess == Excess::Quota).then(|| label().to_string());
    Closure { excess, label, count, limit, since_ms: Some(ELECTED_MS) }
}

fn says(closed: &[Closure]) -> Vec<u8> {
    encode(&AdmissionRecord { bellwether: PROTOCOL_VERSION, epoch: EPOCH, closed: closed.to_vec() })
}

fn post(board: Board, was_there: bool, data: Option<Vec<u8>>) -> Item {
    Item::Post { board, was_there, data }
}

#[test]
fn it_is_said_once_that_no_more_comes_in_and_no_more_when_there_is_room() {
    let mut world = limited(Limits { max_pending: 2, ..Limits::default() }, &[]);
    world.task_arrives("t", &[]);
    let (read, full) = (world.q(), closure(Excess::Waiting, 2, 2));
    let write = world.writes(&[post(Board::Admission, false, Some(says(std::slice::from_ref(&full))))]);
    let told = Effect::Tell(Fact::Closed(full));
    world.expect(changed(Change::TaskAppeared(task("u"))), &[Effect::ReadTask(read, task("u")), told, write]);
    world.expect(Event::TaskRead(read, task("u"), found(PAYLOAD, 0)), &[]);
    world.expect(applied(1), &[]);
    let write = world.writes(&[post(Board::Admission, true, None)]);
    world.expect(changed(Change::TaskGone(task("t"))), &[Effect::Tell(Fact::Opened), write]);
    // Somebody was quicker, by hand.
    world.expect(refused(2, 0, Why::NoNode), &[]);
}

#[test]
fn a_quota_counts_what_has_its_label_wherever_it_waits() {
    let mut world = limited(Limits { quota: BTreeMap::from([(label(), 1)]), ..Limits::default() }, &[]);
    world.task_arrives("t", &[]);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("u"))), &[Effect::ReadTask(read, task("u"))]);
    let full = closure(Excess::Quota, 1, 1);
    let write = world.writes(&[post(Board::Admission, false, Some(says(std::slice::from_ref(&full))))]);
    world.expect(Event::TaskRead(read, task("u"), found(BLUE, 0)), &[Effect::Tell(Fact::Closed(full)), write]);
    assert_eq!(world.master.view().labelled.get(&label()), Some(&1));
    // Results that pile up are another reason.
    let piled = Closure { excess: Excess::Results, label: None, count: 9, limit: 8, since_ms: Some(ELECTED_MS) };
    let both = [closure(Excess::Quota, 1, 1), piled.clone()];
    let write = world.writes(&[post(Board::Admission, true, Some(says(&both)))]);
    world.expect(Event::Overfull(Overfull { count: 9, limit: 8 }), &[Effect::Tell(Fact::Closed(piled)), write]);
}

#[test]
fn what_is_limited_is_assigned_in_its_time_and_its_share_is_noted_first() {
    let rate = Rate::parse("1/s").expect("a rate");
    let mut world = limited(Limits { rate: BTreeMap::from([(label(), rate)]), ..Limits::default() }, &[("a", 4)]);
    let noted = |spent_us| {
        let labels = BTreeMap::from([(label().to_string(), PaceRecord { rate: "1/s".into(), spent_us })]);
        Some(encode(&RatesRecord { bellwether: PROTOCOL_VERSION, labels }))
    };
    let to_a = |name: &str| {
        let entry = Entry::pending(task(name));
        Item::Assign { entry, version: 0, payload: BLUE.to_vec(), worker: worker("a"), worker_version: Some(0) }
    };
    let write = world.writes(&[post(Board::Rates, false, noted(1_001_000_000)), to_a("t")]);
    for (name, said) in [("t", write), ("u", Effect::Arm(Duration::from_millis(900)))] {
        let read = world.q();
        world.expect(changed(Change::TaskAppeared(task(name))), &[Effect::ReadTask(read, task(name))]);
        world.expect(Event::TaskRead(read, task(name), found(BLUE, 0)), &[said]);
    }
    // What has no such label overtakes it.
    world.now = Duration::from_millis(10);
    let write = world.writes(&[assign("red", "a")]);
    world.task_arrives("red", &[write]);
    world.now = Duration::from_millis(900);
    let write = world.writes(&[post(Board::Rates, true, noted(1_002_000_000)), to_a("u")]);
    world.expect(Event::Rang, &[write]);
}
