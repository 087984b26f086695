//! Marks of cancellation, for tasks that wait, rest, run or are nowhere.

use super::*;

#[test]
fn a_pending_task_is_cancelled_and_its_mark_goes_with_it() {
    let mut world = World::ruling(&[]);
    world.task_arrives("t", &[]);
    let mark = world.cancel_arrives("t");
    let write = world.writes(&[cancelled("t", Place::Pending)]);
    world.expect(mark, &[write]);
    world.expect(Event::Changed(vec![Change::TaskGone(task("t")), Change::CancelGone(task("t"))]), &[]);
    world.expect(applied(1), &[ended("t", TaskOutcome::Cancelled)]);
    assert!(world.master.view().tasks.is_empty());
}

#[test]
fn a_mark_that_was_withdrawn_meanwhile_is_left_out() {
    let mut world = World::ruling(&[]);
    world.task_arrives("t", &[]);
    let mark = world.cancel_arrives("t");
    let write = world.writes(&[cancelled("t", Place::Pending)]);
    world.expect(mark, &[write]);
    let said = world.on(refused(1, 3, Why::NoNode));
    let [Effect::Write(2, multi)] = &said[..] else { panic!("{said:?}") };
    assert!(!multi.ops.iter().any(|op| op.path() == "/bellwether/cancel/t"));
}

#[test]
fn an_assigned_task_is_read_and_cancelled() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t", "a");
    let mark = world.cancel_arrives("t");
    let read = world.q();
    world.expect(mark, &[Effect::ReadAssignment(read, worker("a"), task("t"))]);
    let write = world.writes(&[cancelled("t", Place::Assigned(worker("a")))]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t"), found(PAYLOAD, 0)), &[write]);
    // That its mark is gone was not told yet: by now there may be another one.
    let again = world.q();
    world.expect(applied(2), &[Effect::ReadCancel(again, task("t")), ended("t", TaskOutcome::Cancelled)]);
    world.expect(Event::CancelRead(again, task("t"), Reading::Absent), &[]);
    assert_eq!(world.load("a"), 0);
}

#[test]
fn the_time_that_a_command_is_given_stands_in_its_result_if_it_may_run() {
    let mark = br#"{"reason":"because","grace_ms":7000}"#;
    let said = |multi: &Multi| {
        multi.ops.iter().any(|op| matches!(op, Op::Create { data, .. } if String::from_utf8_lossy(data).contains(r#""grace_ms":7000"#)))
    };

    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t", "a");
    world.cancel_arrives("t");
    let (asked, read) = (world.asked, world.q());
    world.expect(Event::CancelRead(asked, task("t"), found(mark, 0)), &[Effect::ReadAssignment(read, worker("a"), task("t"))]);
    let effects = world.on(Event::AssignmentRead(read, worker("a"), task("t"), found(PAYLOAD, 0)));
    let [Effect::Write(_, multi)] = &effects[..] else { panic!("{effects:?}") };
    assert!(said(multi), "its worker reads it: {multi:?}");

    let mut world = World::ruling(&[]);
    world.task_arrives("t", &[]);
    world.cancel_arrives("t");
    let effects = world.on(Event::CancelRead(world.asked, task("t"), found(mark, 0)));
    let [Effect::Write(_, multi)] = &effects[..] else { panic!("{effects:?}") };
    assert!(!said(multi), "nothing of it runs: {multi:?}");
}

#[test]
fn a_task_is_cancelled_after_its_assignment_that_was_on_its_way() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t", "a");
    let mark = world.cancel_arrives("t");
    world.expect(mark.clone(), &[]);
    let read = world.q();
    world.expect(applied(1), &[assigned("t", "a"), Effect::ReadAssignment(read, worker("a"), task("t"))]);

    // The assignment is refused: then it is cancelled where it is.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t", "a");
    world.cancel_arrives("t");
    world.expect(mark, &[]);
    let (write, read) = (world.writes(&[cancelled("t", Place::Pending)]), world.q());
    world.expect(refused(1, 0, Why::BadVersion), &[Effect::ReadWorker(read, worker("a")), write]);
}

#[test]
fn a_mark_for_a_task_that_is_nowhere_is_removed_after_a_second_look() {
    let mut world = World::ruling(&[]);
    let mark = world.cancel_arrives("t");
    let look = world.q();
    world.expect(mark, &[Effect::ReadTask(look, task("t")), Effect::ReadHeld(look + 1, task("t"))]);
    world.asked += 1;
    world.expect(Event::TaskRead(look, task("t"), Reading::Absent), &[]);
    let write = world.writes(&[Item::RemoveMark(task("t"))]);
    world.expect(Event::HeldRead(look + 1, task("t"), Reading::Absent), &[write]);
    world.expect(applied(1), &[]);
}

#[test]
fn a_cancellation_that_races_with_a_failure_finds_the_task_where_it_rests() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t", "a");
    let mark = world.cancel_arrives("t");
    let read = world.q();
    world.expect(mark, &[Effect::ReadAssignment(read, worker("a"), task("t"))]);
    // The result came first: the assignment is gone, and so the mark is looked after.
    let look = world.q();
    let looks = [Effect::ReadTask(look, task("t")), Effect::ReadHeld(look + 1, task("t"))];
    world.expect(Event::AssignmentRead(read, worker("a"), task("t"), Reading::Absent), &looks);
    // Meanwhile it rests after its attempt: there it is cancelled.
    world.expect(Event::TaskRead(look, task("t"), Reading::Absent), &[]);
    let write = world.writes(&[cancelled("t", Place::Held)]);
    world.expect(Event::HeldRead(look + 1, task("t"), found(PAYLOAD, 0)), &[write]);
}

#[test]
fn a_mark_that_is_made_anew_is_not_forgotten_with_the_old_one() {
    let mut world = World::ruling(&[]);
    let mark = world.cancel_arrives("t");
    let look = world.q();
    world.expect(mark, &[Effect::ReadTask(look, task("t")), Effect::ReadHeld(look + 1, task("t"))]);
    world.asked += 1;
    world.expect(Event::TaskRead(look, task("t"), Reading::Absent), &[]);
    let write = world.writes(&[Item::RemoveMark(task("t"))]);
    world.expect(Event::HeldRead(look + 1, task("t"), Reading::Absent), &[write]);
    let again = world.q();
    let events = vec![Change::CancelGone(task("t")), Change::CancelAppeared(task("t"))];
    world.expect(Event::Changed(events), &[Effect::ReadCancel(again, task("t"))]);
    world.expect(applied(1), &[]);
    let look = world.q();
    let looks = [Effect::ReadTask(look, task("t")), Effect::ReadHeld(look + 1, task("t"))];
    world.expect(Event::CancelRead(again, task("t"), found(b"", 0)), &looks);
}

#[test]
fn a_mark_that_was_made_while_nobody_ruled_is_found_by_the_list() {
    let mut world = World::ruling(&[]);
    world.task_arrives("t", &[]);
    let listed = world.asked;
    let read = world.q();
    world.expect(Event::CancelsListed(listed, vec![task("t")]), &[Effect::ReadCancel(read, task("t"))]);
    let write = world.writes(&[cancelled("t", Place::Pending)]);
    world.expect(Event::CancelRead(read, task("t"), found(br#"{"reason":"because"}"#, 0)), &[write]);
    // An answer to a question of an earlier time says nothing.
    world.expect(Event::CancelsListed(0, vec![task("u")]), &[]);
}
