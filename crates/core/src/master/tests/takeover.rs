//! What a new master reads, and what it reads again after a suspension or an unknown outcome.

use super::*;

#[test]
fn a_new_master_reads_boxes_then_workers_then_what_is_in_them_and_then_tasks() {
    let mut world = World::new();
    world.expect(Event::Began, &[Effect::ReadGround(1), Effect::ListBoxes(2)]);
    world.expect(Event::GroundRead(1, ground()), &[]);
    world.expect(Event::BoxesListed(2, vec![worker("a"), worker("dead")]), &[Effect::ListWorkers(3)]);
    let expected = [
        Effect::ReadWorker(4, worker("a")),
        Effect::ListBox(5, worker("a")),
        Effect::Tell(Fact::WorkerJoined(worker("a"))),
        Effect::ListBox(6, worker("dead")),
        Effect::ListTasks(7),
        Effect::ListHeld(8),
        Effect::ListCancels(9),
    ];
    world.expect(Event::WorkersListed(3, vec![worker("a")]), &expected);
    world.expect(Event::WorkerRead(4, worker("a"), offers(1, 0)), &[]);
    world.expect(Event::BoxListed(5, worker("a"), Some(vec![task("t1")])), &[Effect::ReadAssignment(10, worker("a"), task("t1"))]);
    // What the dead one left is asked for at once, before the tasks are known.
    let read = Effect::ReadAssignment(11, worker("dead"), task("t2"));
    world.expect(Event::BoxListed(6, worker("dead"), Some(vec![task("t2")])), &[read]);
    let write = world.writes(&[take_back("t2", "dead", PAYLOAD)]);
    world.expect(Event::AssignmentRead(11, worker("dead"), task("t2"), found(PAYLOAD, 0)), &[write]);
    world.expect(Event::TasksListed(7, vec![task("t3")]), &[Effect::ReadTask(12, task("t3"))]);
    let counts = Counts { pending: 1, held: 1, assigned: 2, workers: 1, usable: 1, draining: 0, drained: 0 };
    let expected = [Effect::Tell(Fact::Surveyed(counts)), Effect::ReadHeld(13, task("t4"))];
    world.expect(Event::HeldListed(8, vec![task("t4")]), &expected);
}

#[test]
fn a_list_says_nothing_of_what_changed_since_it_was_asked_for() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t1", "a");
    let boxes = world.q();
    world.expect(Event::ReconcileDue, &[Effect::ListBoxes(boxes)]);
    let list = world.q();
    world.expect(Event::BoxesListed(boxes, vec![worker("a")]), &[Effect::ListWorkers(list)]);
    let (in_a, tasks, held, marks) = (world.q(), world.q(), world.q(), world.q());
    let lists = [Effect::ListBox(in_a, worker("a")), Effect::ListTasks(tasks), Effect::ListHeld(held), Effect::ListCancels(marks)];
    world.expect(Event::WorkersListed(list, vec![worker("a")]), &lists);
    world.expect(changed(Change::AssignmentGone(worker("a"), task("t1"))), &[]);
    world.expect(Event::BoxListed(in_a, worker("a"), Some(vec![task("t1")])), &[]);
    assert_eq!(world.load("a"), 0);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t2"))), &[Effect::ReadTask(read, task("t2"))]);
    world.expect(changed(Change::TaskGone(task("t2"))), &[]);
    world.expect(Event::HeldListed(held, vec![]), &[]);
    world.expect(Event::TasksListed(tasks, vec![task("t2")]), &[Effect::Tell(Fact::Differences(0))]);
    world.expect(Event::TaskRead(read, task("t2"), Reading::Absent), &[]);
    assert!(world.master.view().tasks.is_empty());
}

#[test]
fn after_an_unknown_outcome_nothing_is_written_before_everything_was_read() {
    let mut world = World::ruling(&[("a", 2)]);
    world.placing("t1", "a");
    world.expect(Event::WriteEnded(1, Outcome::Unknown), &[]);
    world.task_arrives("t2", &[]);
    let (known, boxes, read) = (world.q(), world.q(), world.q());
    world.expect(Event::Began, &[Effect::ReadGround(known), Effect::ListBoxes(boxes), Effect::ReadTask(read, task("t1"))]);
    world.expect(Event::GroundRead(known, ground()), &[]);
    // It was applied after all.
    world.expect(Event::TaskRead(read, task("t1"), Reading::Absent), &[]);
    world.expect(applied(1), &[]);
    let list = world.q();
    world.expect(Event::BoxesListed(boxes, vec![worker("a")]), &[Effect::ListWorkers(list)]);
    let (in_a, tasks, held, marks) = (world.q(), world.q(), world.q(), world.q());
    let lists = [Effect::ListBox(in_a, worker("a")), Effect::ListTasks(tasks), Effect::ListHeld(held), Effect::ListCancels(marks)];
    world.expect(Event::WorkersListed(list, vec![worker("a")]), &lists);
    // What the worker has may have to stay alone.
    let read = world.q();
    world.expect(Event::BoxListed(in_a, worker("a"), Some(vec![task("t1")])), &[Effect::ReadAssignment(read, worker("a"), task("t1"))]);
    let write = world.writes(&[assign("t2", "a")]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t1"), found(PAYLOAD, 0)), &[write]);
    assert_eq!(world.load("a"), 2);
}

#[test]
fn questions_that_a_suspension_swallowed_are_asked_again() {
    let mut world = World::ruling(&[("a", 1)]);
    world.asked += 2;
    world.on(changed(Change::WorkerAppeared(worker("b"))));
    world.expect(Event::Paused, &[]);
    let (known, boxes) = (world.q(), world.q());
    world.expect(Event::Began, &[Effect::ReadGround(known), Effect::ListBoxes(boxes)]);
    let list = world.q();
    world.expect(Event::BoxesListed(boxes, vec![worker("a"), worker("b")]), &[Effect::ListWorkers(list)]);
    let first = world.q();
    world.asked += 5;
    let expected = [
        Effect::ReadWorker(first, worker("b")),
        Effect::ListBox(first + 1, worker("a")),
        Effect::ListBox(first + 2, worker("b")),
        Effect::ListTasks(first + 3),
        Effect::ListHeld(first + 4),
        Effect::ListCancels(first + 5),
    ];
    world.expect(Event::WorkersListed(list, vec![worker("a"), worker("b")]), &expected);
}

#[test]
fn a_damaged_layout_is_mended_and_what_waited_for_it_is_sent_again() {
    let mut world = World::ruling(&[]);
    let told = [Effect::Tell(Fact::LayoutDamaged(path::STATUS)), Effect::MendLayout];
    world.expect(changed(Change::LayoutGone(path::STATUS)), &told);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
    let item = rejected("t", &Rejection::Empty, Some(0));
    let write = world.writes(std::slice::from_ref(&item));
    world.expect(Event::TaskRead(read, task("t"), found(b"", 0)), &[write]);
    world.expect(refused(1, 1, Why::NoNode), &[Effect::MendLayout]);
    let write = world.writes(&[item]);
    world.expect(Event::LayoutMended, &[write]);
}

#[test]
fn the_slow_comparison_finds_what_no_watch_told_and_nothing_when_all_is_well() {
    let mut world = World::ruling(&[("a", 1)]);
    // An event may still be on its way: what it would explain is counted one comparison later.
    for (missed, differences) in [(vec![], 0), (vec![task("t")], 0), (vec![], 1), (vec![], 0)] {
        let boxes = world.q();
        world.expect(Event::ReconcileDue, &[Effect::ListBoxes(boxes)]);
        let list = world.q();
        world.expect(Event::BoxesListed(boxes, vec![worker("a")]), &[Effect::ListWorkers(list)]);
        let (in_a, tasks, held, marks) = (world.q(), world.q(), world.q(), world.q());
        let lists = [Effect::ListBox(in_a, worker("a")), Effect::ListTasks(tasks), Effect::ListHeld(held), Effect::ListCancels(marks)];
        world.expect(Event::WorkersListed(list, vec![worker("a")]), &lists);
        world.expect(Event::BoxListed(in_a, worker("a"), Some(vec![])), &[]);
        world.expect(Event::CancelsListed(marks, vec![]), &[]);
        world.expect(Event::HeldListed(held, vec![]), &[]);
        let mut said = vec![Effect::Tell(Fact::Differences(differences))];
        said.extend(missed.iter().map(|task| Effect::ReadTask(world.q(), task.clone())));
        world.expect(Event::TasksListed(tasks, missed.clone()), &said);
        for task in missed {
            world.expect(Event::TaskRead(world.asked, task, Reading::Absent), &[]);
        }
    }
}
