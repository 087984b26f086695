//! The transactions about what ended: what their refusals mean, and what is read when an answer was lost.

use super::*;

#[test]
fn what_could_not_be_reported_is_not_run_again() {
    let (mut world, _) = reporting();
    let surprised = Effect::Tell(Fact::Surprised { path: path::status(&task("t")), why: Why::NoAuth });
    world.expect(refused(1, 2, Why::NoAuth), &[surprised, looks_again(&world)]);
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    let read = world.reads("t");
    world.on(Event::BoxListed(listed, Some(vec![task("t")])));
    assert!(matches!(read, Effect::ReadAssignment(..)));
    let said = world.on(Event::AssignmentRead(world.asked, task("t"), found(PLAIN, 5)));
    assert!(!said.iter().any(|effect| matches!(effect, Effect::Start(_))), "{said:?}");
}

fn looks_again(world: &World) -> Effect {
    Effect::Arm(Timer::LookAgain, world.now + Duration::from_secs(10))
}

#[test]
fn what_could_not_be_reported_is_reported_slowly_told_once_and_holds_up_no_drain() {
    let (mut world, recorded) = reporting();
    let surprised = Effect::Tell(Fact::Surprised { path: path::assignment(world.agent.me().unwrap(), &task("t")), why: Why::NotEmpty });
    world.expect(refused(1, 1, Why::NotEmpty), &[surprised, looks_again(&world)]);
    for id in 2..4 {
        let write = world.records("t", &recorded);
        world.expect(Event::Rang(Timer::LookAgain), &[write]);
        world.expect(refused(id, 1, Why::NotEmpty), &[looks_again(&world)]);
    }
    let mut drained = world.on(Event::DrainRequested);
    drained.retain(|effect| matches!(effect, Effect::Write(..) | Effect::Leave));
    assert!(matches!(&drained[..], [Effect::Write(4, _)]), "its retirement, and nothing about what is stuck: {drained:?}");
    let mut said = world.on(applied(4));
    let listed = world.agent.asked;
    said.extend(world.on(Event::BoxListed(listed, Some(vec![task("t")]))));
    let question = world.agent.asked;
    said.extend(world.on(Event::AssignmentRead(question, task("t"), found(PLAIN, 5))));
    said.extend(world.on(refused(5, 1, Why::NotEmpty)));
    assert!(said.contains(&Effect::Leave), "{said:?}");
}

/// A worker whose result of the plain task `t` is on its way, as transaction 1.
fn reporting() -> (World, Recorded) {
    let mut world = World::registered(1);
    world.runs("t", 5, PLAIN);
    let (_, recorded) = world.result("t", PLAIN, Ending::Exited(0));
    let write = world.records("t", &recorded);
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[write]);
    (world, recorded)
}

#[test]
fn the_index_of_a_refusal_decides() {
    // 0: I am dead.
    let (mut world, _) = reporting();
    world.expect(refused(1, 0, Why::NoNode), &[Effect::Tell(Fact::Stale(task("t"))), Effect::ReopenSession]);

    // 1: it was taken away.
    let (mut world, _) = reporting();
    world.expect(refused(1, 1, Why::NoNode), &[Effect::Tell(Fact::Stale(task("t")))]);

    // 1: it was changed; what is assigned now is read.
    let (mut world, _) = reporting();
    let read = [Effect::Tell(Fact::Stale(task("t"))), world.reads("t")];
    world.expect(refused(1, 1, Why::BadVersion), &read);

    // 2: it has a status: that one stands, as long as it is there.
    let (mut world, recorded) = reporting();
    let other = Op::Check { path: path::status(&task("t")), version: None };
    let write = world.writes(vec![other, world.deletes("t")]);
    world.expect(refused(1, 2, Why::NodeExists), &[write]);
    let write = world.records("t", &recorded);
    world.expect(refused(2, 1, Why::NoNode), &[write]);

    // 2 and 3: the layout is missing.
    for index in [2, 3] {
        let (mut world, recorded) = reporting();
        world.expect(refused(1, index, Why::NoNode), &[Effect::MendLayout]);
        let write = world.records("t", &recorded);
        world.expect(Event::LayoutMended, &[write]);
    }

    // 3: the details are there already.
    let (mut world, recorded) = reporting();
    let write = world.records("t", &Recorded { details: None, ..recorded });
    world.expect(refused(1, 3, Why::NodeExists), &[write]);

    // Anything else should not occur: told once, tried slowly.
    let (mut world, _) = reporting();
    let surprised = Effect::Tell(Fact::Surprised { path: path::status(&task("t")), why: Why::NoAuth });
    world.expect(refused(1, 2, Why::NoAuth), &[surprised, looks_again(&world)]);
}

#[test]
fn what_is_refused_as_a_whole_is_not_sent_for_ever() {
    let (mut world, _) = reporting();
    let surprised = Effect::Tell(Fact::Surprised { path: path::status(&task("t")), why: Why::TooLarge });
    world.expect(Event::WriteEnded(1, Outcome::Refused(Refusal::Whole(Why::TooLarge))), &[surprised]);
}

#[test]
fn a_report_of_unknown_outcome_is_answered_by_reading() {
    for outcome in [Outcome::Unknown, Outcome::Refused(Refusal::Whole(Why::NotSent))] {
        let (mut world, recorded) = reporting();
        let resync = world.retries_after(outcome);
        let read = [world.reads("t")];
        world.expect(Event::BoxListed(resync, Some(vec![task("t")])), &read);
        let write = world.records("t", &recorded);
        world.expect(Event::AssignmentRead(world.asked, task("t"), found(PLAIN, 5)), &[write]);
    }
}

#[test]
fn a_report_whose_answer_was_lost_and_whose_assignment_is_gone_is_told_by_what_is_recorded() {
    let stale = Effect::Tell(Fact::Stale(task("t")));
    // Never sent: somebody has taken the assignment away.
    let (mut world, _) = reporting();
    let resync = world.retries_after(Outcome::Refused(Refusal::Whole(Why::NotSent)));
    world.expect(Event::BoxListed(resync, Some(vec![])), std::slice::from_ref(&stale));

    let (_, ours) = reporting();
    let ours = ours.details.expect("of a plain task");
    for (found, recorded) in
        [(found(&ours, 9), true), (found(b"somebody else's", 9), false), (Reading::Absent, false), (Reading::Denied, false)]
    {
        let (mut world, _) = reporting();
        let (result, _) = world.result("t", PLAIN, Ending::Exited(0));
        let resync = world.retries_after(Outcome::Unknown);
        let read = world.reads_record("t");
        world.expect(Event::BoxListed(resync, Some(vec![])), &[read]);
        let said = if recorded { Effect::Tell(Fact::Recorded(Box::new(result))) } else { stale.clone() };
        world.expect(Event::RecordRead(world.asked, task("t"), found.clone()), &[said]);
        world.expect(Event::RecordRead(world.asked, task("t"), found), &[]);
    }
}

#[test]
fn what_is_recorded_is_asked_for_again_after_an_outage() {
    let (mut world, recorded) = reporting();
    // Suspended before the answer: it is lost, whatever the shell says of it later.
    world.expect(Event::SessionSuspended, &[]);
    world.expect(applied(1), &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let read = world.reads_record("t");
    world.expect(Event::BoxListed(world.asked - 1, Some(vec![])), &[read]);
    let cut_off = world.asked;
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let read = world.reads_record("t");
    world.expect(Event::BoxListed(world.asked - 1, Some(vec![])), &[read]);
    let details = recorded.details.expect("of a plain task");
    world.expect(Event::RecordRead(cut_off, task("t"), Reading::Absent), &[]);
    let said = world.on(Event::RecordRead(world.asked, task("t"), found(&details, 9)));
    assert!(matches!(said[..], [Effect::Tell(Fact::Recorded(_))]), "{said:?}");
}

#[test]
fn a_late_copy_of_a_report_is_recognised() {
    let (mut world, recorded) = reporting();
    let resync = world.retries_after(Outcome::Unknown);
    let read = [world.reads("t")];
    world.expect(Event::BoxListed(resync, Some(vec![task("t")])), &read);
    let write = world.records("t", &recorded);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(PLAIN, 5)), &[write]);
    // The first one was applied between the look and the second one.
    let read = world.reads_record("t");
    world.expect(refused(2, 1, Why::NoNode), &[read]);
    let details = recorded.details.expect("of a plain task");
    let said = world.on(Event::RecordRead(world.asked, task("t"), found(&details, 9)));
    assert!(matches!(said[..], [Effect::Tell(Fact::Recorded(_))]), "{said:?}");
}
