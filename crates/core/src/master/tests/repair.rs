//! What the slow comparison looks at again, and what is repaired behind masters and workers of another kind.

use super::*;

/// One slow comparison in which each worker is found with these tasks in its box, and these tasks are found waiting. What is said
/// besides its own questions and its count.
fn compare(world: &mut World, workers: &[(&str, &[&str])], waiting: &[&str]) -> Vec<Effect> {
    let names: Vec<WorkerId> = workers.iter().map(|(name, _)| worker(name)).collect();
    let mut said = world.on(Event::ReconcileDue);
    let mut rest = Vec::new();
    while !said.is_empty() {
        assert!(world.master.knows_all(), "what is only compared stays known");
        let mut answers = Vec::new();
        for effect in std::mem::take(&mut said) {
            match effect {
                Effect::ListBoxes(q) => answers.push(Event::BoxesListed(q, names.clone())),
                Effect::ListWorkers(q) => answers.push(Event::WorkersListed(q, names.clone())),
                Effect::ListBox(q, id) => {
                    let (_, tasks) = workers.iter().find(|(name, _)| worker(name) == id).expect("one of those that were listed");
                    answers.push(Event::BoxListed(q, id, Some(tasks.iter().map(|name| task(name)).collect())));
                }
                Effect::ListTasks(q) => answers.push(Event::TasksListed(q, waiting.iter().map(|name| task(name)).collect())),
                Effect::ListHeld(q) => answers.push(Event::HeldListed(q, vec![])),
                Effect::ListCancels(q) => answers.push(Event::CancelsListed(q, vec![])),
                Effect::Tell(Fact::Differences(0)) => {}
                other => rest.push(other),
            }
        }
        said.extend(answers.into_iter().flat_map(|answer| world.on(answer)));
    }
    world.asked = world.master.asked;
    rest
}

fn with_children(children: i32) -> Reading {
    Reading::Found(Node { data: PAYLOAD.to_vec(), stat: Stat { czxid: 5, children, ..Stat::default() } })
}

/// The question of the only read of a task among these.
#[track_caller]
fn task_read(said: &[Effect]) -> Question {
    let [Effect::ReadTask(question, _)] = said else { panic!("{said:?}") };
    *question
}

#[test]
fn a_stuck_task_is_looked_at_again_slowly_told_once_and_served_when_it_is_mended() {
    let mut world = World::ruling(&[("a", 1)]);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
    let stuck = Effect::Tell(Fact::Stuck { task: task("t"), why: Why::NotEmpty });
    world.expect(Event::TaskRead(read, task("t"), with_children(1)), &[stuck]);
    let read = task_read(&compare(&mut world, &[("a", &[])], &["t"]));
    world.expect(Event::TaskRead(read, task("t"), with_children(1)), &[]);
    let read = task_read(&compare(&mut world, &[("a", &[])], &["t"]));
    let write = world.writes(&[assign("t", "a")]);
    world.expect(Event::TaskRead(read, task("t"), with_children(0)), &[write]);
}

#[test]
fn many_stuck_tasks_are_looked_at_in_turns() {
    let mut world = World::ruling(&[]);
    let names: Vec<String> = (0..600).map(|i| format!("t{i:03}")).collect();
    for name in &names {
        let read = world.q();
        world.expect(changed(Change::TaskAppeared(task(name))), &[Effect::ReadTask(read, task(name))]);
        let _ = world.on(Event::TaskRead(read, task(name), with_children(1)));
    }
    let waiting: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut seen = BTreeSet::new();
    for turn in [256, 512, 600] {
        for effect in compare(&mut world, &[], &waiting) {
            let Effect::ReadTask(question, name) = effect else { panic!("{effect:?}") };
            world.expect(Event::TaskRead(question, name.clone(), with_children(1)), &[]);
            seen.insert(name);
        }
        assert_eq!(seen.len(), turn);
    }
}

#[test]
fn a_task_that_may_not_be_deleted_is_tried_again_only_by_the_slow_comparison() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t", "a");
    let told = [
        Effect::Tell(Fact::Surprised { path: "/tasks/t".into(), why: Why::NoAuth }),
        Effect::Tell(Fact::Stuck { task: task("t"), why: Why::NoAuth }),
    ];
    world.expect(refused(1, 2, Why::NoAuth), &told);
    let read = task_read(&compare(&mut world, &[("a", &[])], &["t"]));
    let write = world.writes(&[assign("t", "a")]);
    world.expect(Event::TaskRead(read, task("t"), found(PAYLOAD, 0)), &[write]);
    world.expect(refused(2, 2, Why::NoAuth), &[]);
}

#[test]
fn a_worker_that_could_not_be_used_is_used_when_it_is_mended() {
    let mut world = World::ruling(&[]);
    world.asked += 2;
    let said = world.on(changed(Change::WorkerAppeared(worker("a"))));
    let [Effect::ReadWorker(read, _), Effect::ListBox(list, _), _] = said[..] else { panic!("{said:?}") };
    world.expect(Event::BoxListed(list, worker("a"), Some(vec![])), &[]);
    let unusable = Fact::WorkerUnusable { worker: worker("a"), why: "its data may not be read; check its ACL" };
    world.expect(Event::WorkerRead(read, worker("a"), Reading::Denied), &[Effect::Tell(unusable)]);
    world.task_arrives("t", &[]);
    for (reading, writes) in [(Reading::Denied, false), (offers(1, 0), true)] {
        let said = compare(&mut world, &[("a", &[])], &["t"]);
        let [Effect::ReadWorker(read, _)] = said[..] else { panic!("{said:?}") };
        let expected = if writes { vec![world.writes(&[assign("t", "a")])] } else { vec![] };
        world.expect(Event::WorkerRead(read, worker("a"), reading), &expected);
    }
}

/// What asks first whether the status is there, of a task in the box of a foreign worker.
fn unless_ended(name: &str, version: Option<i32>, otherwise: Option<Item>) -> Item {
    let because = format!("/status/{name}");
    let from = Place::Assigned(worker("foreign"));
    Item::Drop { task: task(name), from, version, because, otherwise: otherwise.map(Box::new) }
}

/// A worker of the book that has `t`.
fn book_worker() -> World {
    let mut world = World::with(Settings {
        assign_batch: 8,
        lookahead: 3,
        queue_timeout: Duration::ZERO,
        max_worker_losses: 2,
        silence_timeout: Duration::ZERO,
        classic_workers: true,
        group_retention: Duration::from_secs(600),
        limits: Limits::default(),
    });
    world.take_office(&[]);
    world.asked += 2;
    let said = world.on(changed(Change::WorkerAppeared(worker("foreign"))));
    let [Effect::ReadWorker(read, _), Effect::ListBox(list, _), _] = said[..] else { panic!("{said:?}") };
    world.expect(Event::WorkerRead(read, worker("foreign"), registered(b"Idle", 0)), &[]);
    let seen = world.q();
    world.expect(
        Event::BoxListed(list, worker("foreign"), Some(vec![task("t")])),
        &[Effect::ReadAssignment(seen, worker("foreign"), task("t"))],
    );
    world.expect(Event::AssignmentRead(seen, worker("foreign"), task("t"), found(PAYLOAD, 0)), &[]);
    world
}

#[test]
fn what_a_worker_of_the_book_had_is_taken_back_unless_its_status_is_there() {
    for ended in [true, false] {
        let mut world = book_worker();
        let read = world.asked + 2;
        world.dies("foreign", &["t"], &[Effect::ReadAssignment(read, worker("foreign"), task("t"))]);
        let item = take_back("t", "foreign", PAYLOAD);
        let write = world.writes(&[unless_ended("t", Some(0), Some(item.clone()))]);
        world.expect(Event::AssignmentRead(read, worker("foreign"), task("t"), found(PAYLOAD, 0)), &[write]);
        if ended {
            world.expect(applied(1), &[]);
        } else {
            let write = world.writes(&[item]);
            world.expect(refused(1, 0, Why::NoNode), &[write]);
        }
    }
}

#[test]
fn an_assignment_that_a_worker_of_the_book_left_beside_its_status_is_removed_slowly() {
    let mut world = book_worker();
    let write = world.writes(&[unless_ended("t", None, None)]);
    assert_eq!(compare(&mut world, &[("foreign", &["t"])], &[]), [write]);
    // It has no status: it is still at work.
    let read = world.q();
    world.expect(refused(1, 0, Why::NoNode), &[Effect::ReadAssignment(read, worker("foreign"), task("t"))]);
    world.expect(Event::AssignmentRead(read, worker("foreign"), task("t"), found(PAYLOAD, 0)), &[]);
    assert_eq!(world.load("foreign"), 1);
    let write = world.writes(&[unless_ended("t", None, None)]);
    assert_eq!(compare(&mut world, &[("foreign", &["t"])], &[]), [write]);
    world.expect(applied(2), &[]);
    assert_eq!(world.load("foreign"), 0);
}

#[test]
fn a_worker_of_the_book_is_given_a_hundred_tasks_and_no_lookahead() {
    let mut world = book_worker();
    let names: Vec<String> = (0..200).map(|i| format!("t{i:03}")).collect();
    for name in &names {
        let read = world.q();
        let _ = world.on(changed(Change::TaskAppeared(task(name))));
        let _ = world.on(Event::TaskRead(read, task(name), found(PAYLOAD, 0)));
    }
    for id in 1..100 {
        let _ = world.on(applied(id));
    }
    assert_eq!(world.load("foreign"), 100);
}

#[test]
fn a_copy_of_what_a_worker_has_goes_at_once_even_if_nobody_could_take_it() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t", "a");
    let item = Item::Drop {
        task: task("t"),
        from: Place::Pending,
        version: Some(0),
        because: path::assignment(&worker("a"), &task("t")),
        otherwise: None,
    };
    let write = world.writes(&[item]);
    world.task_arrives("t", &[write]);
    world.expect(applied(2), &[]);
}

#[test]
fn what_may_not_be_read_is_rejected_when_its_worker_is_gone_and_cancelled_when_somebody_wants_it() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t", "a");
    let read = world.asked + 2;
    world.dies("a", &["t"], &[Effect::ReadAssignment(read, worker("a"), task("t"))]);
    let mut item = rejected("t", &Rejection::NoRight, None);
    if let Item::End { from, .. } = &mut item {
        *from = Place::Assigned(worker("a"));
    }
    let write = world.writes(&[item]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t"), Reading::Denied), &[write]);

    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t", "a");
    let mark = world.cancel_arrives("t");
    let read = world.q();
    world.expect(mark, &[Effect::ReadAssignment(read, worker("a"), task("t"))]);
    let said = world.on(Event::AssignmentRead(read, worker("a"), task("t"), Reading::Denied));
    let [Effect::Write(2, multi)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(multi.ops[0], Op::Delete { path: path::assignment(&worker("a"), &task("t")), version: None });
    assert!(matches!(&multi.ops[1], Op::Create { data, .. } if data == b"failed cancelled"), "{multi:?}");
}
