//! What is assigned is run, and what disappears is stopped.

use super::*;

#[test]
fn an_assignment_is_run_and_its_result_recorded_in_its_dialect() {
    for (data, operations) in [(PLAIN, 4), (ENVELOPE, 3)] {
        let mut world = World::registered(1);
        world.runs("t", 5, data);
        let (result, recorded) = world.result("t", data, Ending::Exited(3));
        let write = world.records("t", &recorded);
        assert!(matches!(&write, Effect::Write(_, multi) if multi.len() == operations));
        world.expect(run_ended("t", 5, Ending::Exited(3)), &[write]);
        world.expect(world.gone("t"), &[]);
        world.expect(applied(1), &[Effect::Tell(Fact::Recorded(Box::new(result)))]);
        assert_eq!(world.agent.slots_in_use(), 0);
    }
}

#[test]
fn runs_that_end_together_are_recorded_together() {
    let mut world = World::registered(2);
    world.runs("t1", 5, ENVELOPE);
    world.runs_beside("t2", 6);
    let [(_, one), (_, two)] = ["t1", "t2"].map(|name| world.result(name, ENVELOPE, Ending::Exited(0)));
    let write = world.writes([world.recording("t1", &one), world.recording("t2", &two)].concat());
    let ended = [run_ended("t1", 5, Ending::Exited(0)), run_ended("t2", 6, Ending::Exited(0))];
    assert_eq!(world.agent.on_all(ended, Time::at(world.now)), [write]);
}

#[test]
fn no_more_runs_than_there_are_slots() {
    let mut world = World::registered(1);
    world.runs("t1", 5, ENVELOPE);
    let read = world.reads("t2");
    world.expect(world.appeared("t2"), &[read]);
    world.expect(Event::AssignmentRead(world.asked, task("t2"), found(ENVELOPE, 6)), &[]);
    let (_, recorded) = world.result("t1", ENVELOPE, Ending::Exited(0));
    let mut said = world.starts("t2", 6, ENVELOPE);
    said.push(world.records("t1", &recorded));
    world.expect(run_ended("t1", 5, Ending::Exited(0)), &said);
    assert_eq!(world.agent.slots_in_use(), 1);
}

#[test]
fn what_is_no_task_is_rejected_by_the_worker_too() {
    let mut world = World::registered(1);
    let expected = [world.reads("t"), world.proves()];
    world.expect(world.appeared("t"), &expected);
    let result = rejected(task("t"), &Rejection::Empty, Timestamp::UNIX_EPOCH);
    let write = world.records("t", &record(&result, None));
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(b"", 5)), &[write]);
    world.expect(applied(1), &[Effect::Tell(Fact::Recorded(Box::new(result)))]);
}

#[test]
fn what_this_worker_cannot_run_is_rejected_in_its_dialect() {
    let data = br#"{"bellwether":1,"kind":"resize","submitter":"me@here"}"#;
    let mut world = World::registered(1);
    let expected = [world.reads("t"), world.proves()];
    world.expect(world.appeared("t"), &expected);
    let mut result = rejected(task("t"), &Rejection::UnknownKind(Some("resize".into())), Timestamp::UNIX_EPOCH);
    let understood = decode(data).unwrap();
    result.note_request(&understood);
    assert_eq!((result.why().as_str(), result.submitter.as_deref()), ("rejected: unknown-kind", Some("me@here")));
    let write = world.records("t", &record(&result, Some(&understood)));
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(data, 5)), &[write]);
}

/// As a master of the book would do, or whoever can write: its command would run without the number that tells it what to do.
#[test]
fn an_array_that_is_assigned_as_one_task_is_not_run() {
    let data = br#"{"bellwether":1,"shell":"rm -r parts/$BELLWETHER_ELEMENT","array":{"count":3}}"#;
    let mut world = World::registered(1);
    let expected = [world.reads("t"), world.proves()];
    world.expect(world.appeared("t"), &expected);
    let why = "it is an array, and was assigned as one task: only a master that knows of arrays can give it out";
    let mut result = rejected(task("t"), &Rejection::NotAllowed(why.into()), Timestamp::UNIX_EPOCH);
    let understood = decode(data).unwrap();
    result.note_request(&understood);
    let write = world.records("t", &record(&result, Some(&understood)));
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(data, 5)), &[write]);
}

#[test]
fn a_handler_that_is_stuck_ends_its_task_and_keeps_its_slot() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let (result, recorded) = world.result("t", ENVELOPE, Ending::Stuck);
    assert_eq!((result.why().as_str(), result.outcome), ("timeout", TaskOutcome::TimedOut));
    let write = world.records("t", &recorded);
    world.expect(run_ended("t", 5, Ending::Stuck), &[write]);
    world.expect(applied(1), &[Effect::Tell(Fact::Recorded(Box::new(result)))]);
    assert_eq!(world.agent.slots_in_use(), 1);
    world.expect(run_ended("t", 5, Ending::TimedOut), &[]);
    assert_eq!(world.agent.slots_in_use(), 0);

    // What was to be given back when it was found to be stuck is given back when it has let go, not before.
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let _ = world.on(Event::DrainRequested);
    let _ = world.on(Event::Rang(Timer::DrainDeadline));
    world.expect(run_ended("t", 5, Ending::Stuck), &[]);
    assert_eq!(world.agent.slots_in_use(), 1);
    let _ = world.on(run_ended("t", 5, Ending::Killed));
    assert_eq!((world.agent.slots_in_use(), world.agent.outbox.given_back().count()), (0, 1));
}

/// Until it is known why.
fn soon() -> Stop {
    Stop::Within(super::super::assignments::EXPLAINED_WITHIN)
}

#[test]
fn an_assignment_that_disappears_is_stopped() {
    // While it runs: its slot is free when its group is dead.
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let read = world.reads("t");
    world.expect(world.gone("t"), &[read]);
    let why = world.asked + 1;
    let said = [Effect::Stop(id("t", 5), soon()), Effect::ReadRecord(why, task("t"), path::status(&task("t")))];
    world.expect(Event::AssignmentRead(world.asked, task("t"), Reading::Absent), &said);
    let said = [Effect::Stop(id("t", 5), Stop::Kill), killed(1, KillReason::Withdrawn)];
    world.expect(Event::RecordRead(why, task("t"), Reading::Absent), &said);
    assert_eq!(world.agent.slots_in_use(), 1);
    world.expect(run_ended("t", 5, Ending::Killed), &[]);
    assert_eq!(world.agent.slots_in_use(), 0);

    // While it waits for a slot.
    let mut world = World::registered(0);
    let expected = [world.reads("t"), world.proves()];
    world.expect(world.appeared("t"), &expected);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[]);
    let read = world.reads("t");
    world.expect(world.gone("t"), &[read]);
    world.expect(Event::AssignmentRead(world.asked, task("t"), Reading::Absent), &[]);

    // When it is over, but its result was refused for it.
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let (_, recorded) = world.result("t", ENVELOPE, Ending::Exited(0));
    let write = world.records("t", &recorded);
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[write]);
    world.expect(world.gone("t"), &[]);
    world.expect(refused(1, 1, Why::NoNode), &[Effect::Tell(Fact::Stale(task("t")))]);
}

#[test]
fn a_name_that_is_assigned_anew_is_another_run() {
    let mut world = World::registered(2);
    world.runs("t", 5, ENVELOPE);
    let (first, second) = (world.reads("t"), world.reads("t"));
    let again = vec![Change::AssignmentGone(world.me(), task("t")), Change::AssignmentAppeared(world.me(), task("t"))];
    world.expect(Event::Changed(again), &[first, second]);
    let question = world.asked;
    let why = world.q();
    let mut said = vec![Effect::Stop(id("t", 5), Stop::Kill), Effect::ReadRecord(why, task("t"), path::status(&task("t")))];
    said.extend(world.starts("t", 9, ENVELOPE));
    world.expect(Event::AssignmentRead(question, task("t"), found(ENVELOPE, 9)), &said);
    world.expect(run_ended("t", 5, Ending::Killed), &[]);
    assert_eq!(world.agent.slots_in_use(), 1);
}

#[test]
fn a_name_that_is_assigned_anew_before_our_own_answer_is_not_forgotten() {
    for answered_first in [false, true] {
        let mut world = World::registered(1);
        world.runs("t", 5, ENVELOPE);
        let (result, recorded) = world.result("t", ENVELOPE, Ending::Exited(0));
        let write = world.records("t", &recorded);
        world.expect(run_ended("t", 5, Ending::Exited(0)), &[write]);
        let expected = [world.reads("t")];
        let again = vec![Change::AssignmentGone(world.me(), task("t")), Change::AssignmentAppeared(world.me(), task("t"))];
        world.expect(Event::Changed(again), &expected);
        let question = world.asked;
        if answered_first {
            world.expect(Event::AssignmentRead(question, task("t"), found(ENVELOPE, 9)), &[]);
        }
        let read = world.reads("t");
        world.expect(applied(1), &[read, Effect::Tell(Fact::Recorded(Box::new(result)))]);
        world.expect(Event::AssignmentRead(question, task("t"), found(ENVELOPE, 9)), &[]);
        let said = world.starts("t", 9, ENVELOPE);
        world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 9)), &said);
    }
}

#[test]
fn what_may_not_be_read_is_rejected_and_not_run() {
    let mut world = World::registered(1);
    let me = world.agent.me().unwrap().clone();
    let _ = world.on(Event::Changed(vec![Change::AssignmentAppeared(me.clone(), task("t"))]));
    let question = world.agent.asked;
    let said = world.on(Event::AssignmentRead(question, task("t"), Reading::Denied));
    let [Effect::Tell(Fact::Surprised { why: Why::NoAuth, .. }), Effect::Write(_, multi)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(multi.ops[1], Op::Delete { path: path::assignment(&me, &task("t")), version: None });
    assert!(matches!(&multi.ops[2], Op::Create { data, .. } if data == b"failed rejected: no-right"), "{multi:?}");
}

#[test]
fn what_a_list_does_not_show_but_an_event_told_since_stays() {
    let mut world = World::registered(1);
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    let read = world.reads("t");
    world.expect(world.appeared("t"), &[read]);
    world.expect(Event::BoxListed(listed, Some(vec![])), &[]);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[]);
    let said = [world.guards(), world.starts("t", 5, ENVELOPE)].concat();
    world.expect(world.proven(), &said);
}

#[test]
fn why_an_assignment_went_is_said_by_the_status_or_by_nothing() {
    let ended = |outcome: &str, more: &str| {
        format!(r#"{{"bellwether":1,"task":"t","outcome":"{outcome}","attempt":1,"ended":"1970-01-01T00:00:00Z"{more}}}"#)
    };
    let (grace, seconds) = (r#","grace_ms":7000"#, Stop::Within(Duration::from_secs(7)));
    let cases = [
        (found(b"failed cancelled", 9), KillReason::Cancelled, Stop::Kill),
        (found(ended("cancelled", "").as_bytes(), 9), KillReason::Cancelled, Stop::Kill),
        (found(ended("cancelled", r#","grace_ms":0"#).as_bytes(), 9), KillReason::Cancelled, Stop::Kill),
        (found(ended("cancelled", grace).as_bytes(), 9), KillReason::Cancelled, seconds),
        (found(ended("timed-out", grace).as_bytes(), 9), KillReason::Withdrawn, Stop::Kill),
        (found(b"done", 9), KillReason::Withdrawn, Stop::Kill),
        (Reading::Absent, KillReason::Withdrawn, Stop::Kill),
        (Reading::Denied, KillReason::Withdrawn, Stop::Kill),
    ];
    for (payload, place) in [(ENVELOPE, path::status(&task("t"))), (b"sleep 60", path::plain_result(&task("t")))] {
        for (reading, reason, how) in cases.clone() {
            let mut world = World::registered(1);
            world.runs("t", 5, payload);
            let read = world.reads("t");
            world.expect(world.gone("t"), &[read]);
            let why = world.q();
            let said = [Effect::Stop(id("t", 5), soon()), Effect::ReadRecord(why, task("t"), place.clone())];
            world.expect(Event::AssignmentRead(why - 1, task("t"), Reading::Absent), &said);
            let missing = matches!(reading, Reading::Absent | Reading::Denied);
            let ends = [Effect::Stop(id("t", 5), how), killed(1, reason)];
            match place == path::plain_result(&task("t")) && missing {
                false => world.expect(Event::RecordRead(why, task("t"), reading), &ends),
                true => {
                    let status = Effect::ReadRecord(why + 1, task("t"), path::status(&task("t")));
                    world.expect(Event::RecordRead(why, task("t"), reading.clone()), &[status]);
                    world.expect(Event::RecordRead(why + 1, task("t"), reading), &ends);
                }
            }
        }
    }
    // A status without details, as those write it who know nothing of them.
    let mut world = World::registered(1);
    world.runs("t", 5, b"sleep 60");
    let read = world.reads("t");
    world.expect(world.gone("t"), &[read]);
    let _ = world.on(Event::AssignmentRead(world.asked, task("t"), Reading::Absent));
    let why = world.q();
    let _ = world.on(Event::RecordRead(why, task("t"), Reading::Absent));
    let ends = [Effect::Stop(id("t", 5), Stop::Kill), killed(1, KillReason::Cancelled)];
    world.expect(Event::RecordRead(why + 1, task("t"), found(b"failed cancelled", 9)), &ends);
    // What ended by itself meanwhile is not stopped any more.
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let read = world.reads("t");
    world.expect(world.gone("t"), &[read]);
    let _ = world.on(Event::AssignmentRead(world.asked, task("t"), Reading::Absent));
    let why = world.q();
    world.expect(run_ended("t", 5, Ending::Killed), &[]);
    world.expect(Event::RecordRead(why, task("t"), Reading::Absent), &[killed(1, KillReason::Withdrawn)]);
    // Nobody will say: it is counted all the same.
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let read = world.reads("t");
    world.expect(world.gone("t"), &[read]);
    let _ = world.on(Event::AssignmentRead(world.asked, task("t"), Reading::Absent));
    let said = world.on(Event::SessionLost);
    assert!(said.contains(&killed(1, KillReason::Withdrawn)), "{said:?}");
}
