//! What people ask of the master and of workers, what it asks of workers, and tasks that waited too long.

use super::*;
use crate::planner::Recall;

/// A master that gives each worker one task more than it has slots.
fn looking_ahead(workers: &[(&str, u32)]) -> World {
    let settings = Settings {
        assign_batch: 8,
        lookahead: 1,
        queue_timeout: Duration::ZERO,
        max_worker_losses: 2,
        silence_timeout: Duration::ZERO,
        classic_workers: false,
        group_retention: Duration::from_secs(600),
        limits: Limits::default(),
    };
    let mut world = World::with(settings);
    world.take_office(workers);
    world
}

/// A worker joins that is idle, and this is said when its box was listed.
#[track_caller]
fn joins(world: &mut World, name: &str, effects: &[Effect]) {
    let (read, list) = (world.q(), world.q());
    let joined =
        [Effect::ReadWorker(read, worker(name)), Effect::ListBox(list, worker(name)), Effect::Tell(Fact::WorkerJoined(worker(name)))];
    world.expect(changed(Change::WorkerAppeared(worker(name))), &joined);
    world.expect(Event::WorkerRead(read, worker(name), offers(1, 0)), &[]);
    world.expect(Event::BoxListed(list, worker(name), Some(vec![])), effects);
}

fn asks(name: &str, tasks: &[&str]) -> Item {
    Item::Recall(Recall { worker: worker(name), most: 1, tasks: tasks.iter().map(|name| task(name)).collect() })
}

#[test]
fn who_has_more_than_it_can_run_is_asked_when_another_is_idle_and_not_before() {
    let mut world = looking_ahead(&[("a", 1)]);
    world.placed("t1", "a");
    world.placed("t2", "a");
    let write = world.writes(&[asks("a", &["t1", "t2"])]);
    joins(&mut world, "b", &[write]);
    world.expect(applied(3), &[Effect::Tell(Fact::Recalled { worker: worker("a"), most: 1 })]);
    let asked = || worker("a").to_string();
    world.expect(changed(Change::RequestAppeared(asked())), &[]);
    // It gives one back, which goes to whoever is idle.
    world.expect(changed(Change::AssignmentGone(worker("a"), task("t2"))), &[]);
    world.expect(changed(Change::RequestGone(asked())), &[]);
    let write = world.writes(&[assign("t2", "b")]);
    world.task_arrives("t2", &[write]);
    world.expect(applied(4), &[assigned("t2", "b")]);
    assert!(world.master.view().recalls.is_empty());
}

#[test]
fn who_had_nothing_to_give_back_is_not_asked_again_before_something_has_left_its_box() {
    let mut world = looking_ahead(&[("a", 1)]);
    world.placed("t1", "a");
    world.placed("t2", "a");
    let write = world.writes(&[asks("a", &["t1", "t2"])]);
    joins(&mut world, "b", &[write]);
    world.expect(applied(3), &[Effect::Tell(Fact::Recalled { worker: worker("a"), most: 1 })]);
    world.expect(changed(Change::RequestGone(worker("a").to_string())), &[]);
    world.expect(changed(Change::WorkerChanged(worker("b"))), &[Effect::ReadWorker(world.asked + 1, worker("b"))]);
    world.expect(Event::WorkerRead(world.asked + 1, worker("b"), offers(1, 1)), &[]);
}

#[test]
fn what_was_asked_of_a_worker_that_is_gone_is_removed_also_by_the_next_master() {
    let mut world = World::new();
    world.master = Master::new(
        EPOCH,
        Settings {
            assign_batch: 8,
            lookahead: 1,
            queue_timeout: Duration::ZERO,
            max_worker_losses: 2,
            silence_timeout: Duration::ZERO,
            classic_workers: false,
            group_retention: Duration::from_secs(600),
            limits: Limits::default(),
        },
    );
    world.take_office(&[]);
    let write = world.writes(&[Item::RemoveRecall(worker("dead"))]);
    world.expect(changed(Change::RequestAppeared(worker("dead").to_string())), &[write]);
    world.expect(refused(1, 0, Why::NoNode), &[]);
    assert!(world.master.view().recalls.is_empty());
}

#[test]
fn a_worker_that_somebody_drains_is_given_nothing_under_whatever_session() {
    let mut world = World::ruling(&[("a", 1)]);
    let told = |drains| Effect::Tell(Fact::Draining { name: "a".into(), drains });
    world.expect(changed(Change::RequestAppeared("a".into())), &[told(true)]);
    world.task_arrives("t", &[]);
    assert_eq!((world.master.view().counts().usable, world.master.view().counts().drained), (0, 1));
    world.expect(changed(Change::RequestChanged("a".into())), &[]);
    let write = world.writes(&[assign("t", "a")]);
    world.expect(changed(Change::RequestGone("a".into())), &[told(false), write]);
}

#[test]
fn while_it_is_paused_nothing_is_assigned_and_the_next_master_knows() {
    let mut world = World::ruling(&[("a", 1)]);
    world.expect(changed(Change::Paused), &[Effect::Tell(Fact::Halted(true))]);
    world.task_arrives("t", &[]);
    let write = world.writes(&[assign("t", "a")]);
    world.expect(changed(Change::Resumed), &[Effect::Tell(Fact::Halted(false)), write]);

    let mut world = World::new();
    let known = world.q();
    world.asked += 1;
    world.expect(Event::Began, &[Effect::ReadGround(known), Effect::ListBoxes(known + 1)]);
    // Somebody resumed while it was asked: the answer may be of before, and the next one counts.
    let again = world.q();
    world.expect(changed(Change::Resumed), &[Effect::ReadGround(again)]);
    let paused = Ground { paused: true, requests: vec!["w".into()], ..ground() };
    world.expect(Event::GroundRead(known, paused.clone()), &[]);
    let told = [Effect::Tell(Fact::Draining { name: "w".into(), drains: true }), Effect::Tell(Fact::Halted(true))];
    world.expect(Event::GroundRead(again, paused), &told);
}

#[test]
fn a_task_that_waits_longer_than_it_may_ends_without_having_run() {
    const IMPATIENT: &[u8] = br#"{"bellwether":1,"shell":"make","queue_timeout_ms":5000}"#;
    let mut world = World::ruling(&[]);
    world.now = Duration::from_secs(2);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
    // It was created with the election, by ZooKeeper's clock.
    world.expect(Event::TaskRead(read, task("t"), found(IMPATIENT, 0)), &[Effect::Arm(Duration::from_secs(5))]);
    world.now = Duration::from_secs(5);
    let recorded = lifecycle::expired(&task("t"), IMPATIENT, jiff::Timestamp::UNIX_EPOCH);
    assert!(String::from_utf8_lossy(&recorded.status).contains("never ran"));
    let outcome = TaskOutcome::TimedOut;
    let item = Item::End { task: task("t"), from: Place::Pending, version: Some(0), outcome, recorded, letter: None, marked: false };
    let write = world.writes(&[item]);
    world.expect(Event::Rang, &[write]);
    world.expect(applied(1), &[ended("t", TaskOutcome::TimedOut)]);
    assert!(world.master.view().tasks.is_empty());
}

#[test]
fn nobody_is_asked_before_it_is_known_what_it_has() {
    let mut world = looking_ahead(&[("a", 1), ("b", 1)]);
    let read = world.q();
    // Somebody else assigned two tasks; of one it is not known what it asks for.
    let assigned = |name: &str| Change::AssignmentAppeared(worker("a"), task(name));
    world.expect(changed(assigned("t1")), &[Effect::ReadAssignment(read, worker("a"), task("t1"))]);
    let second = world.q();
    world.expect(changed(assigned("t2")), &[Effect::ReadAssignment(second, worker("a"), task("t2"))]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t1"), found(PAYLOAD, 0)), &[]);
    let write = world.writes(&[asks("a", &["t1", "t2"])]);
    world.expect(Event::AssignmentRead(second, worker("a"), task("t2"), found(PAYLOAD, 0)), &[write]);
}
