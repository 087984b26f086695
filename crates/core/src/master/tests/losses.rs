//! Workers that are gone: what they had, and their boxes.

use super::*;

#[test]
fn what_a_worker_that_is_gone_had_is_pending_again_and_its_box_is_removed() {
    let mut world = World::ruling(&[("a", 2)]);
    world.placed("t1", "a");
    let read = world.asked + 2;
    world.dies("a", &["t1"], &[Effect::ReadAssignment(read, worker("a"), task("t1"))]);
    let write = world.writes(&[take_back("t1", "a", PAYLOAD)]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t1"), found(PAYLOAD, 0)), &[write]);
    let write = world.writes(&[Item::RemoveBox(worker("a"))]);
    world.expect(applied(2), &[Effect::Tell(Fact::TakenBack { task: task("t1"), worker: worker("a") }), write]);
    world.expect(changed(Change::BoxGone(worker("a"))), &[]);
    world.expect(applied(3), &[]);
    assert!(world.master.view().workers.is_empty());
}

#[test]
fn a_task_that_has_cost_too_many_workers_is_dead() {
    let mut world = World::ruling(&[("a", 2)]);
    world.placed("t1", "a");
    let Fate::Pending(once_lost) = after_loss("t1", "b", PAYLOAD) else { panic!("two losses are its budget") };
    let Fate::Ended { outcome, recorded, letter } = after_loss("t1", "a", &once_lost) else { panic!("that was the second") };
    assert_eq!(decode(letter.as_ref().unwrap()).unwrap().envelope.losses, 2);
    let read = world.asked + 2;
    world.dies("a", &["t1"], &[Effect::ReadAssignment(read, worker("a"), task("t1"))]);
    let from = Place::Assigned(worker("a"));
    let write = world.writes(&[Item::End { task: task("t1"), from, version: Some(0), outcome, recorded, letter, marked: false }]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t1"), found(&once_lost, 0)), &[write]);
    let write = world.writes(&[Item::RemoveBox(worker("a"))]);
    world.expect(applied(2), &[ended("t1", TaskOutcome::Dead), write]);
}

#[test]
fn a_worker_that_dies_with_an_assignment_on_its_way_leaves_nothing_behind() {
    // Its box is listed before the refusal is heard: the box goes when the slot is free.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    world.dies("a", &[], &[]);
    let write = world.writes(&[Item::RemoveBox(worker("a"))]);
    world.expect(refused(1, 0, Why::NoNode), &[write]);

    // It was applied just before: what the answer says is in the box is taken back.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    world.dies("a", &["t1"], &[]);
    world.asked -= 1;
    let read = world.q();
    let said = world.on(applied(1));
    assert_eq!(said, [Effect::ReadAssignment(read, worker("a"), task("t1")), assigned("t1", "a")]);

    // It had nothing.
    let mut world = World::ruling(&[("a", 1)]);
    let write = world.writes(&[Item::RemoveBox(worker("a"))]);
    world.dies("a", &[], &[write]);
    let again = world.q();
    world.expect(refused(1, 0, Why::NotEmpty), &[Effect::ListBox(again, worker("a"))]);
}

#[test]
fn only_boxes_of_our_form_are_removed() {
    let mut world = World::new();
    world.expect(Event::Began, &[Effect::ReadGround(1), Effect::ListBoxes(2)]);
    world.expect(Event::BoxesListed(2, vec![worker("foreign-1")]), &[Effect::ListWorkers(3)]);
    let listed = [Effect::ListBox(4, worker("foreign-1")), Effect::ListTasks(5), Effect::ListHeld(6), Effect::ListCancels(7)];
    world.expect(Event::WorkersListed(3, vec![]), &listed);
    world.expect(Event::BoxListed(4, worker("foreign-1"), Some(vec![])), &[]);
    assert!(world.master.view().workers.is_empty());
}
