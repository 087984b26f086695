//! Results and attempts over a suspended, a resumed and a lost session; proof of life and doubt.

use super::*;

#[test]
fn a_result_is_held_over_a_suspension_until_its_assignment_was_read_again() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.expect(Event::SessionSuspended, &[]);
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    let read = world.reads("t");
    world.expect(Event::BoxListed(listed, Some(vec![task("t")])), &[read]);
    let (_, recorded) = world.result("t", ENVELOPE, Ending::Exited(0));
    let write = world.records("t", &recorded);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[write]);
}

#[test]
fn a_result_that_comes_between_resuming_and_reading_again_is_held_too() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[]);
    let read = world.reads("t");
    world.expect(Event::BoxListed(listed, Some(vec![task("t")])), &[read]);
    // Another assignment of the same name: the old result is dropped, and nothing was sent.
    let mut said = vec![Effect::Tell(Fact::Stale(task("t")))];
    said.extend(world.starts("t", 9, ENVELOPE));
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 9)), &said);
}

#[test]
fn a_lost_session_kills_everything_and_discards_its_results() {
    let mut world = World::registered(2);
    world.runs("t1", 5, ENVELOPE);
    world.expect(Event::SessionSuspended, &[]);
    world.expect(Event::SessionLost, &[Effect::KillAll, killed(1, KillReason::SessionLost)]);
    assert_eq!((world.agent.me(), world.agent.slots_in_use()), (None, 1));
    world.session = 2;
    let said = world.on(Event::SessionOpened { session: 2, timeout: TIMEOUT });
    let [Effect::Register(multi)] = &said[..] else { panic!("{said:?}") };
    assert!(matches!(&multi.ops[1], Op::Create { path, data, .. }
        if path == "/workers/w-0000000000000002" && String::from_utf8_lossy(data).contains(r#""replaces":"w-0000000000000001""#)));
    world.expect(run_ended("t1", 5, Ending::Killed), &[]);
    assert_eq!(world.agent.slots_in_use(), 0);
}

#[test]
fn a_worker_in_doubt_kills_what_it_runs_and_gives_it_back_when_its_session_turns_out_to_live() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.now = Duration::from_secs(1);
    world.expect(Event::SessionSuspended, &[]);
    world.now = TIMEOUT / 2;
    let said = [Effect::KillAll, killed(1, KillReason::Doubt), Effect::Stop(id("t", 5), Stop::Kill)];
    world.expect(Event::Rang(Timer::Doubt), &said);
    world.expect(run_ended("t", 5, Ending::Killed), &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    let read = world.reads("t");
    world.expect(Event::BoxListed(listed, Some(vec![task("t")])), &[read]);
    let write = world.gives_back("t", ENVELOPE);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[write]);
    world.expect(applied(1), &[Effect::Tell(Fact::GaveBack(task("t")))]);
}

#[test]
fn what_was_killed_while_the_worker_was_frozen_is_given_back_and_is_no_failure() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.now = TIMEOUT * 8 / 10;
    // It wakes, and hears of the dead command before anything else.
    let write = world.gives_back("t", ENVELOPE);
    world.expect(run_ended("t", 5, Ending::Killed), &[killed(1, KillReason::Doubt), write]);
    world.expect(Event::Rang(Timer::Doubt), &[]);
    // Had another been given the task meanwhile, we would not be registered any more.
    world.expect(refused(1, 0, Why::NoNode), &[Effect::ReopenSession]);
}

#[test]
fn doubt_kills_what_is_being_terminated_too() {
    let mut world = draining();
    let said = [killed(1, KillReason::Drained), Effect::Stop(id("t1", 5), Stop::Terminate)];
    world.expect(Event::Rang(Timer::DrainDeadline), &said);
    world.now += TIMEOUT;
    world.expect(Event::Rang(Timer::Doubt), &[Effect::KillAll, killed(1, KillReason::Doubt)]);
}

#[test]
fn doubt_is_no_reason_before_its_time_nor_where_it_is_told_to_keep() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.now = TIMEOUT / 2 - Duration::from_millis(1);
    world.expect(Event::Rang(Timer::Doubt), &[]);
    let mut world = World::with(1, OnDoubt::Keep).register();
    world.runs("t", 5, ENVELOPE);
    world.now = TIMEOUT;
    world.expect(Event::Rang(Timer::Doubt), &[]);
    assert_eq!(world.agent.slots_in_use(), 1);
}

#[test]
fn life_is_proven_while_something_runs_and_not_otherwise() {
    let mut world = World::registered(1);
    world.expect(Event::Rang(Timer::ProofDue), &[]);
    world.runs("t", 5, ENVELOPE);
    world.now = TIMEOUT / 5;
    let proof = world.proves();
    world.expect(Event::Rang(Timer::ProofDue), &[proof]);
    let said = [world.guards(), armed(world.now).to_vec()].concat();
    world.expect(world.proven(), &said);
}

/// One task after another: a proof that would not be renewed yet, if something ran, need not be asked for.
#[test]
fn a_young_proof_is_enough_for_what_comes_next() {
    let mut world = World::registered(1);
    world.runs("t1", 5, ENVELOPE);
    let proven = world.now;
    let (result, recorded) = world.result("t1", ENVELOPE, Ending::Exited(0));
    let write = world.records("t1", &recorded);
    world.expect(run_ended("t1", 5, Ending::Exited(0)), &[write]);
    world.expect(applied(1), &[Effect::Tell(Fact::Recorded(Box::new(result)))]);

    world.now = TIMEOUT / 5 - Duration::from_millis(1);
    let read = world.reads("t2");
    world.expect(world.appeared("t2"), &[read]);
    // Doubt counts from the proof, whenever the command was started.
    let mut said = world.starts("t2", 6, ENVELOPE);
    said.truncate(1);
    said.extend(armed(proven));
    world.expect(Event::AssignmentRead(world.asked, task("t2"), found(ENVELOPE, 6)), &said);
    let (result, recorded) = world.result("t2", ENVELOPE, Ending::Exited(0));
    let write = world.records("t2", &recorded);
    world.expect(run_ended("t2", 6, Ending::Exited(0)), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::Recorded(Box::new(result)))]);

    world.now = TIMEOUT / 5;
    let said = [world.reads("t3"), world.proves()];
    world.expect(world.appeared("t3"), &said);
}

#[test]
fn a_proof_that_fails_is_tried_again_after_a_while_and_not_at_once() {
    let mut world = World::registered(1);
    let expected = [world.reads("t"), world.proves()];
    world.expect(world.appeared("t"), &expected);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[]);
    let failed = Event::ProofEnded { nonce: world.proofs, answered: false, sent: world.now };
    world.expect(failed, &[Effect::Arm(Timer::ProofDue, RETRY_AFTER)]);
    let proof = world.proves();
    world.expect(Event::Rang(Timer::ProofDue), &[proof]);
    let said = [world.guards(), world.starts("t", 5, ENVELOPE)].concat();
    world.expect(world.proven(), &said);
}
