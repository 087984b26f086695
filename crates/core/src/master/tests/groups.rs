//! Groups: their elements wait until all are submitted, and are cancelled when too many fail or somebody wants it.

use super::*;
use crate::protocol::group::{GroupRecord, GroupState};

const ELEMENT: &[u8] = br#"{"bellwether":1,"argv":["x"],"group":"g"}"#;

fn record(state: GroupState, max_fails: Option<u32>) -> GroupRecord {
    GroupRecord { max_fails, ..GroupRecord::new(3, state) }
}

fn group_read(question: Question, record: &GroupRecord, version: i32) -> Event {
    Event::GroupRead(question, task("g"), found(&record.encode(), version))
}

impl World {
    /// A held element appears and is read; its group is asked for, with this number.
    #[track_caller]
    fn element_arrives(&mut self, name: &str) -> Question {
        let (q, group) = (self.q(), self.q());
        self.expect(changed(Change::HeldAppeared(task(name))), &[Effect::ReadHeld(q, task(name))]);
        self.expect(Event::HeldRead(q, task(name), found(ELEMENT, 0)), &[Effect::ReadGroup(group, task("g"))]);
        group
    }
}

#[test]
fn an_element_waits_until_all_of_its_group_are_submitted() {
    let mut world = World::ruling(&[("a", 1)]);
    let q = world.element_arrives("g.0");
    world.expect(group_read(q, &record(GroupState::Open, None), 0), &[]);
    let q = world.q();
    world.expect(changed(Change::GroupChanged(task("g"))), &[Effect::ReadGroup(q, task("g"))]);
    let entry = Entry::held(task("g.0"));
    let assign = Item::Assign { entry, version: 0, payload: ELEMENT.to_vec(), worker: worker("a"), worker_version: Some(0) };
    let write = world.writes(&[assign]);
    world.expect(group_read(q, &record(GroupState::Submitted, None), 1), &[write]);
}

#[test]
fn an_element_without_its_group_never_runs() {
    let mut world = World::ruling(&[("a", 1)]);
    let q = world.element_arrives("g.0");
    let said = world.on(Event::GroupRead(q, task("g"), Reading::Absent));
    let [Effect::Write(_, multi)] = &said[..] else { panic!("{said:?}") };
    let paths: Vec<&str> = multi.ops.iter().map(Op::path).collect();
    assert_eq!(paths, ["/bellwether/held/g.0", "/status/g.0"]);
}

#[test]
fn a_group_of_which_too_many_failed_is_cancelled_with_what_is_left_of_it() {
    let mut world = World::ruling(&[("a", 1)]);
    let q = world.q();
    world.expect(changed(Change::GroupChanged(task("g"))), &[Effect::ReadGroup(q, task("g"))]);
    world.placed("g.0", "a");
    world.task_arrives("g.1", &[]);
    // One of them ended before this master knew of the group.
    let count = world.q();
    world.expect(group_read(q, &record(GroupState::Submitted, Some(0)), 1), &[Effect::ReadStatus(count, task("g.2"))]);
    world.expect(Event::StatusRead(count, task("g.2"), found(b"done", 0)), &[]);
    let count = world.q();
    let write = world.writes(&[assign("g.1", "a")]);
    let said = world.on(changed(Change::AssignmentGone(worker("a"), task("g.0"))));
    assert_eq!(said, [Effect::ReadStatus(count, task("g.0")), write]);
    let reason = "1 of the tasks of its group failed, at most 0 may";
    let cancelled = record(GroupState::Submitted, Some(0)).in_state(GroupState::Cancelled, Some(reason.to_owned()));
    let what = super::super::items::Published::Group(task("g"));
    let note = world.writes(&[Item::Publish { what, data: cancelled.encode(), version: Some(1) }]);
    world.expect(Event::StatusRead(count, task("g.0"), found(b"failed exit=1", 0)), &[note]);
    let q = world.q();
    world.expect(applied(world.written), &[Effect::ReadGroup(q, task("g"))]);
    world.expect(group_read(q, &cancelled, 2), &[]);
    // It is on its way: as soon as it is there, it is cancelled.
    let read = world.q();
    world.expect(applied(world.written - 1), &[assigned("g.1", "a"), Effect::ReadAssignment(read, worker("a"), task("g.1"))]);
    let said = world.on(Event::AssignmentRead(read, worker("a"), task("g.1"), found(PAYLOAD, 0)));
    let [Effect::Write(_, multi)] = &said[..] else { panic!("{said:?}") };
    let paths: Vec<&str> = multi.ops.iter().map(Op::path).collect();
    assert_eq!(paths[..2], ["/assign/a-0000000000000001/g.1", "/status/g.1"], "there is no mark to be removed");
}

#[test]
fn a_group_that_is_not_wholly_submitted_after_an_hour_is_cancelled() {
    let mut world = World::ruling(&[("a", 1)]);
    let q = world.element_arrives("g.0");
    let open = record(GroupState::Open, None);
    world.expect(group_read(q, &open, 4), &[]);
    world.pass(3600);
    assert_eq!(world.compares(), []);
    assert_eq!(world.finds(&[], &["g.0"]), [], "whoever submits it has a whole hour");
    world.pass(1);
    assert_eq!(world.compares(), []);
    let reason = Some("it was never wholly submitted".to_owned());
    let what = super::super::items::Published::Group(task("g"));
    let cancelled = open.in_state(GroupState::Cancelled, reason);
    let note = world.writes(&[Item::Publish { what, data: cancelled.encode(), version: Some(4) }]);
    assert_eq!(world.finds(&[], &["g.0"]), [note]);
    let q = world.q();
    world.expect(applied(world.written), &[Effect::ReadGroup(q, task("g"))]);
    // What there is of it ends, and never ran.
    let said = world.on(group_read(q, &cancelled, 5));
    let [Effect::Write(_, multi)] = &said[..] else { panic!("{said:?}") };
    let paths: Vec<&str> = multi.ops.iter().map(Op::path).collect();
    assert_eq!(paths, ["/bellwether/held/g.0", "/status/g.0"]);
}
