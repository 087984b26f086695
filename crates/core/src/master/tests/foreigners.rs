//! Workers that are given nothing, and workers of another kind.

use super::*;

#[test]
fn a_draining_worker_is_given_nothing_more() {
    let mut world = World::ruling(&[("a", 2)]);
    let read = world.q();
    world.expect(changed(Change::WorkerChanged(worker("a"))), &[Effect::ReadWorker(read, worker("a"))]);
    world.expect(Event::WorkerRead(read, worker("a"), offers(0, 1)), &[]);
    world.task_arrives("t", &[]);
    assert_eq!(world.master.view().tasks.len(), 1);
}

#[test]
fn foreign_workers_and_nodes_without_a_session_are_given_nothing() {
    let why = "it is a foreign worker; set coordinator.classic_workers = \"allow\" to use it";
    let cases = [(registered(b"Idle", 0), why), (found(b"Idle", 0), "its node belongs to no session; delete it")];
    for (reading, why) in cases {
        let mut world = World::ruling(&[]);
        world.asked += 2;
        let said = world.on(changed(Change::WorkerAppeared(worker("foreign"))));
        let [Effect::ReadWorker(read, _), Effect::ListBox(list, _), _] = said[..] else { panic!("{said:?}") };
        let unusable = Effect::Tell(Fact::WorkerUnusable { worker: worker("foreign"), why });
        world.expect(Event::WorkerRead(read, worker("foreign"), reading), &[unusable]);
        world.expect(Event::BoxListed(list, worker("foreign"), Some(vec![])), &[]);
        // It says `Working`, then `Idle`, all the time: told once.
        world.expect(changed(Change::WorkerChanged(worker("foreign"))), &[]);
        world.task_arrives("t", &[]);
    }
}

#[test]
fn a_foreign_worker_that_is_back_under_its_name_keeps_what_it_has() {
    let settings = Settings {
        assign_batch: 8,
        lookahead: 0,
        queue_timeout: Duration::ZERO,
        max_worker_losses: 2,
        silence_timeout: Duration::ZERO,
        classic_workers: true,
        group_retention: Duration::from_secs(600),
        limits: Limits::default(),
    };
    let mut world = World::with(settings);
    world.take_office(&[]);
    world.asked += 2;
    let said = world.on(changed(Change::WorkerAppeared(worker("foreign"))));
    let [Effect::ReadWorker(read, _), Effect::ListBox(list, _), _] = said[..] else { panic!("{said:?}") };
    world.expect(Event::WorkerRead(read, worker("foreign"), registered(b"Idle", 0)), &[]);
    world.expect(Event::BoxListed(list, worker("foreign"), Some(vec![])), &[]);
    let mut item = assign("t", "foreign");
    if let Item::Assign { worker_version, .. } = &mut item {
        *worker_version = None;
    }
    let write = world.writes(&[item]);
    world.task_arrives("t", &[write]);
    // Refused while it was away; by now it may be back, so it is asked and not given up.
    let read = world.q();
    world.expect(refused(1, 0, Why::NoNode), &[Effect::ReadWorker(read, worker("foreign"))]);
    assert!(matches!(world.master.view().workers[&worker("foreign")].registration, Registration::Unread(Some(_))));
}
