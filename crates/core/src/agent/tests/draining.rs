//! A worker that leaves: it finishes what runs, and gives back what it has not started.

use super::*;

#[test]
fn a_drained_worker_gives_back_what_it_did_not_start_finishes_the_rest_and_leaves() {
    let mut world = draining();
    let (result, recorded) = world.result("t1", ENVELOPE, Ending::Exited(0));
    let write = world.records("t1", &recorded);
    world.expect(run_ended("t1", 5, Ending::Exited(0)), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::Recorded(Box::new(result))), Effect::Leave]);
    world.expect(Event::Rang(Timer::DrainOver), &[]);
}

#[test]
fn a_drain_that_takes_too_long_terminates_and_gives_back_and_in_the_end_leaves_anyway() {
    let mut world = draining();
    let said = [killed(1, KillReason::Drained), Effect::Stop(id("t1", 5), Stop::Terminate)];
    world.expect(Event::Rang(Timer::DrainDeadline), &said);
    let write = world.gives_back("t1", ENVELOPE);
    world.expect(run_ended("t1", 5, Ending::Signalled(15)), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::GaveBack(task("t1"))), Effect::Leave]);

    let mut world = draining();
    world.expect(Event::Rang(Timer::DrainOver), &[Effect::Leave]);
}

#[test]
fn an_idle_worker_leaves_when_the_master_knows_and_its_box_was_seen_empty() {
    let mut world = World::registered(1);
    let said = world.on(Event::DrainRequested);
    assert!(matches!(said[..], [Effect::Arm(..), Effect::Arm(..), Effect::Write(1, _)]), "{said:?}");
    let resync = world.q();
    world.expect(applied(1), &[Effect::Resync(resync), Effect::ReadEpoch]);
    // One more had been assigned: it goes back, and costs nobody an attempt.
    let read = [world.reads("t"), world.proves()];
    world.expect(Event::BoxListed(resync, Some(vec![task("t")])), &read);
    world.written = 1;
    let write = world.gives_back("t", PLAIN);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(PLAIN, 5)), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::GaveBack(task("t"))), Effect::Leave]);
}

#[test]
fn a_drain_has_the_time_that_was_configured_last() {
    let mut world = World::with(1, OnDoubt::Kill);
    let (drain_timeout, kill_grace) = (Duration::from_secs(7), Duration::from_secs(2));
    world.expect(Event::Configured { drain_timeout, kill_grace, start_timeout: Duration::ZERO }, &[]);
    let deadlines = [Effect::Arm(Timer::DrainDeadline, Duration::from_secs(7)), Effect::Arm(Timer::DrainOver, Duration::from_secs(14))];
    world.expect(Event::DrainRequested, &[deadlines[0].clone(), deadlines[1].clone(), Effect::Leave]);
    // It has begun: what is configured now is for the next.
    world.expect(Event::Configured { drain_timeout: Duration::ZERO, kill_grace, start_timeout: Duration::ZERO }, &[]);
}

#[test]
fn a_worker_without_a_registration_leaves_at_once() {
    let mut world = World::with(1, OnDoubt::Kill);
    let said = world.on(Event::DrainRequested);
    assert!(matches!(said[..], [Effect::Arm(..), Effect::Arm(..), Effect::Leave]), "{said:?}");
}
