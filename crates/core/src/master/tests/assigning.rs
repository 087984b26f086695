//! What waits goes to whoever has a free slot, many in one transaction.

use super::*;

#[test]
fn a_task_goes_to_a_worker_with_a_free_slot_and_the_next_one_waits_for_it() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t1", "a");
    world.task_arrives("t2", &[]);
    let write = world.writes(&[assign("t2", "a")]);
    world.expect(changed(Change::AssignmentGone(worker("a"), task("t1"))), &[write]);
    world.expect(applied(2), &[assigned("t2", "a")]);
}

#[test]
fn a_task_that_somebody_has_already_is_not_given_to_another() {
    let mut world = World::ruling(&[("a", 1), ("b", 1)]);
    world.placed("t", "a");
    let because = path::assignment(&worker("a"), &task("t"));
    let write = world.writes(&[dropped("t", Place::Pending, because)]);
    world.task_arrives("t", &[write]);
    world.expect(applied(2), &[]);
}

#[test]
fn a_transaction_holds_no_more_than_the_batch() {
    let mut world = World::with(Settings {
        assign_batch: 2,
        lookahead: 0,
        queue_timeout: Duration::ZERO,
        max_worker_losses: 2,
        silence_timeout: Duration::ZERO,
        classic_workers: false,
        group_retention: Duration::from_secs(600),
        limits: Limits::default(),
    });
    world.take_office(&[]);
    for name in ["t1", "t2", "t3"] {
        world.task_arrives(name, &[]);
    }
    let (read, list) = (world.q(), world.q());
    let joined = [Effect::ReadWorker(read, worker("a")), Effect::ListBox(list, worker("a")), Effect::Tell(Fact::WorkerJoined(worker("a")))];
    world.expect(changed(Change::WorkerAppeared(worker("a"))), &joined);
    world.expect(Event::WorkerRead(read, worker("a"), offers(4, 0)), &[]);
    let first = world.writes(&[assign("t1", "a"), assign("t2", "a")]);
    world.expect(Event::BoxListed(list, worker("a"), Some(vec![])), &[first]);
    let second = world.writes(&[assign("t3", "a")]);
    world.expect(applied(1), &[assigned("t1", "a"), assigned("t2", "a"), second]);
}

#[test]
fn new_settings_hold_from_the_next_transaction_on() {
    let (mut world, _) = three_in_one_write();
    world.expect(
        Event::Configured(Settings {
            assign_batch: 1,
            lookahead: 2,
            queue_timeout: Duration::ZERO,
            max_worker_losses: 2,
            silence_timeout: Duration::ZERO,
            classic_workers: false,
            group_retention: Duration::from_secs(600),
            limits: Limits::default(),
        }),
        &[],
    );
    // The worker's three slots are taken: it is given one more than it has.
    world.placing("t4", "a");
}

#[test]
fn events_may_be_handled_before_the_answer_to_our_own_transaction() {
    // The worker was done before we heard that it had been given the task.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    let gone = vec![
        Change::AssignmentAppeared(worker("a"), task("t1")),
        Change::TaskGone(task("t1")),
        Change::AssignmentGone(worker("a"), task("t1")),
    ];
    world.expect(Event::Changed(gone.clone()), &[]);
    world.expect(applied(1), &[assigned("t1", "a")]);
    assert_eq!((world.load("a"), world.master.view().tasks.len()), (0, 0));

    // It gave the task back: it is read, and placed, again.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    let back = gone.into_iter().chain([Change::TaskAppeared(task("t1"))]).collect();
    world.expect(Event::Changed(back), &[]);
    let read = world.q();
    world.expect(applied(1), &[assigned("t1", "a"), Effect::ReadTask(read, task("t1"))]);
    let write = world.writes(&[assign("t1", "a")]);
    world.expect(Event::TaskRead(read, task("t1"), found(PAYLOAD, 0)), &[write]);
}

#[test]
fn a_task_that_must_run_alone_is_alone_from_the_moment_it_is_placed() {
    let mut world = World::ruling(&[("a", 4)]);
    let Fate::Pending(once_lost) = after_loss("t1", "b", PAYLOAD) else { panic!("two losses are its budget") };
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t1"))), &[Effect::ReadTask(read, task("t1"))]);
    let said = world.on(Event::TaskRead(read, task("t1"), found(&once_lost, 0)));
    assert!(matches!(&said[..], [Effect::Write(1, multi)] if matches!(multi.ops[0], Op::Check { .. })), "{said:?}");
    world.task_arrives("t2", &[]);
    world.expect(applied(1), &[assigned("t1", "a")]);
    assert_eq!(world.master.view().workers[&worker("a")].load[&task("t1")], Slot::Placed { alone: true });
}

/// What a task waits for its turn, in ZooKeeper's time: also before this master, which cannot have seen it then.
#[test]
fn a_task_waits_since_its_creation_whoever_ruled_then() {
    let mut world = World::ruling(&[]);
    assert_eq!(world.master.oldest_age(Time::at(Duration::ZERO)), Duration::ZERO, "nothing waits");
    world.now = Duration::from_secs(4);
    for (name, ctime_ms, age) in [("young", ELECTED_MS + 3000, 1), ("old", ELECTED_MS - 60_000, 64), ("of-the-future", i64::MAX, 64)] {
        let q = world.q();
        world.expect(changed(Change::TaskAppeared(task(name))), &[Effect::ReadTask(q, task(name))]);
        let czxid = ctime_ms / 1000;
        let node = Node { data: PAYLOAD.to_vec(), stat: Stat { czxid, ctime_ms, ..Stat::default() } };
        world.expect(Event::TaskRead(q, task(name), Reading::Found(node)), &[]);
        assert_eq!(world.master.oldest_age(Time::at(world.now)), Duration::from_secs(age), "{name}");
    }
}
