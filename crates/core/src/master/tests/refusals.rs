//! Transactions that are refused, in part or as a whole.

use super::*;

#[test]
fn a_batch_that_is_too_large_although_it_was_measured_goes_one_by_one() {
    let (mut world, write) = three_in_one_write();
    assert!(matches!(write, Effect::Write(1, _)));
    let alone: Vec<Effect> = ["t1", "t2", "t3"].iter().map(|name| world.writes(&[assign(name, "a")])).collect();
    world.expect(whole(1, Why::TooLarge), &alone);
}

/// Three tasks in one transaction, of which the second is refused at this operation of its own.
fn one_of_three_refused(part: usize, why: Why) -> (World, Vec<Effect>) {
    let (mut world, _) = three_in_one_write();
    let said = world.on(refused(1, 3 + part, why));
    (world, said)
}

#[test]
fn one_refused_assignment_is_taken_out_and_the_others_are_sent_again() {
    // The worker raised its version: it is read again, and gets nothing before.
    let (mut world, said) = one_of_three_refused(0, Why::BadVersion);
    let (read, write) = (world.q(), world.writes(&[assign("t1", "a"), assign("t3", "a")]));
    assert_eq!(said, [Effect::ReadWorker(read, worker("a")), write]);
    world.expect(applied(2), &[assigned("t1", "a"), assigned("t3", "a")]);
    world.expect(Event::WorkerRead(read, worker("a"), offers(0, 1)), &[]);
    assert_eq!(world.load("a"), 2);

    // It is in the box already: that copy stands, and is read.
    let (mut world, said) = one_of_three_refused(1, Why::NodeExists);
    let because = path::assignment(&worker("a"), &task("t2"));
    let (read, write) = (world.q(), world.writes(&[assign("t1", "a"), assign("t3", "a"), dropped("t2", Place::Pending, because)]));
    assert_eq!(said, [Effect::ReadAssignment(read, worker("a"), task("t2")), write]);
    world.expect(applied(2), &[assigned("t1", "a"), assigned("t3", "a")]);
    assert_eq!(world.load("a"), 3);

    // The box is missing: nothing is placed there before it was listed again.
    let (mut world, said) = one_of_three_refused(1, Why::NoNode);
    assert_eq!(said, [world.writes(&[assign("t1", "a"), assign("t3", "a")])]);
    assert_eq!(world.master.view().workers[&worker("a")].boxed, Boxed::Missing);

    // The box may not be written: the worker is to blame, not the task.
    let (mut world, said) = one_of_three_refused(1, Why::NoAuth);
    let why = "its box cannot be written; check its ACL";
    let path = path::assignment(&worker("a"), &task("t2"));
    let told = [
        Effect::Tell(Fact::WorkerUnusable { worker: worker("a"), why }),
        Effect::Tell(Fact::Surprised { path, why: Why::NoAuth }),
        world.writes(&[assign("t1", "a"), assign("t3", "a")]),
    ];
    assert_eq!(said, told);

    // The task is gone: its slot is free again.
    let (mut world, said) = one_of_three_refused(2, Why::NoNode);
    assert_eq!(said, [world.writes(&[assign("t1", "a"), assign("t3", "a")])]);
    assert_eq!((world.load("a"), world.master.view().tasks.len()), (2, 2));

    // The task was changed: it is read again.
    let (mut world, said) = one_of_three_refused(2, Why::BadVersion);
    let (read, write) = (world.q(), world.writes(&[assign("t1", "a"), assign("t3", "a")]));
    assert_eq!(said, [Effect::ReadTask(read, task("t2")), write]);

    // The task has children, or may not be deleted: told once, tried no more.
    for why in [Why::NotEmpty, Why::NoAuth] {
        let (mut world, said) = one_of_three_refused(2, why);
        let told = [
            Effect::Tell(Fact::Surprised { path: path::task(&task("t2")), why }),
            Effect::Tell(Fact::Stuck { task: task("t2"), why }),
            world.writes(&[assign("t1", "a"), assign("t3", "a")]),
        ];
        assert_eq!(said, told);
        world.expect(applied(2), &[assigned("t1", "a"), assigned("t3", "a")]);
    }
}

#[test]
fn a_transaction_that_is_refused_as_a_whole_is_halved_until_the_guilty_one_is_alone() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    let path = path::worker(&worker("a"));
    let told =
        [Effect::Tell(Fact::Surprised { path, why: Why::TooLarge }), Effect::Tell(Fact::Stuck { task: task("t1"), why: Why::TooLarge })];
    world.expect(whole(1, Why::TooLarge), &told);
    assert_eq!(world.load("a"), 0);
}

#[test]
fn what_is_no_task_ends_as_rejected() {
    let cases: [(&[u8], Rejection); 5] = [
        (b"", Rejection::Empty),
        (b"\xff", Rejection::NotUtf8),
        (b"[1]", Rejection::NotArgv),
        (br#"{"bellwether":9}"#, Rejection::Newer(9)),
        (b"a\0b", Rejection::NulByte),
    ];
    for (payload, why) in cases {
        let mut world = World::ruling(&[("a", 1)]);
        let read = world.q();
        world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
        let write = world.writes(&[rejected("t", &why, Some(0))]);
        world.expect(Event::TaskRead(read, task("t"), found(payload, 0)), &[write]);
        world.expect(applied(1), &[ended("t", TaskOutcome::Rejected)]);
        assert!(world.master.view().tasks.is_empty());
    }
    let mut world = World::ruling(&[]);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
    let write = world.writes(&[rejected("t", &Rejection::NoRight, None)]);
    world.expect(Event::TaskRead(read, task("t"), Reading::Denied), &[write]);
    // The status was there before: it stands.
    let drop = Item::Drop { task: task("t"), from: Place::Pending, version: None, because: "/status/t".into(), otherwise: None };
    let write = world.writes(&[drop]);
    world.expect(refused(1, 1, Why::NodeExists), &[write]);
    world.expect(applied(2), &[]);
}

#[test]
fn a_task_with_children_is_left_and_told_once() {
    let mut world = World::ruling(&[("a", 1)]);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
    let node = Node { data: PAYLOAD.to_vec(), stat: Stat { children: 1, ..Stat::default() } };
    let stuck = Effect::Tell(Fact::Stuck { task: task("t"), why: Why::NotEmpty });
    world.expect(Event::TaskRead(read, task("t"), Reading::Found(node)), &[stuck]);
}
