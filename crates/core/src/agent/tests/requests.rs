//! What is asked of a worker: to drain, to give back what it has not started; and what goes back because it waited too long.

use super::*;
use crate::protocol::request::DrainMode;

const SECOND: Duration = Duration::from_secs(1);

fn asked(data: &str) -> Reading {
    found(data.as_bytes(), 3)
}

/// A worker of one slot that runs `t1` and has `t2` and `t3` waiting.
fn busy() -> World {
    let mut world = World::registered(1);
    world.runs("t1", 5, ENVELOPE);
    for (name, czxid) in [("t2", 6), ("t3", 7)] {
        let read = world.reads(name);
        world.expect(world.appeared(name), &[read]);
        world.expect(Event::AssignmentRead(world.asked, task(name), found(ENVELOPE, czxid)), &[]);
    }
    world
}

/// Something is asked, as a watch tells, and is read.
#[track_caller]
fn hears(world: &mut World, name: &str, drain: Reading, recall: Reading, effects: &[Effect]) {
    let question = world.q();
    world.expect(Event::Changed(vec![Change::RequestAppeared(name.to_owned())]), &[Effect::ReadRequests(question)]);
    world.is_asked(drain, recall, effects);
}

fn answer(world: &World) -> Op {
    Op::Delete { path: path::worker_request(world.me().as_str()), version: None }
}

fn back(world: &World, name: &str) -> [Op; 2] {
    [world.deletes(name), create(path::task(&task(name)), ENVELOPE)]
}

#[test]
fn a_recalled_worker_gives_back_the_last_of_what_it_has_not_started_and_answers_with_it() {
    let mut world = busy();
    let ops = [vec![answer(&world)], back(&world, "t3").to_vec()].concat();
    let write = world.writes(ops);
    let me = world.me().to_string();
    hears(&mut world, &me, Reading::Absent, asked(r#"{"bellwether":1,"tasks":["t1","t2","t3"],"most":1}"#), &[write]);
    world.expect(applied(1), &[Effect::Tell(Fact::GaveBack(task("t3")))]);
    // What it has started stays, whoever asks; the answer is given all the same.
    let write = world.writes(vec![answer(&world)]);
    hears(&mut world, &me, Reading::Absent, asked(r#"{"bellwether":1,"tasks":["t1","t9"],"most":2}"#), &[write]);
    world.expect(applied(2), &[]);
    assert_eq!(world.agent.slots_in_use(), 1);
}

#[test]
fn an_answer_that_was_lost_asks_for_no_more_than_before() {
    let mut world = busy();
    let ops = [vec![answer(&world)], back(&world, "t3").to_vec()].concat();
    let write = world.writes(ops);
    let me = world.me().to_string();
    let recall = || asked(r#"{"bellwether":1,"tasks":["t1","t2","t3"],"most":1}"#);
    hears(&mut world, &me, Reading::Absent, recall(), &[write]);
    let resync = world.retries_after(Outcome::Unknown);
    // It was not applied: the task is ours still, and it is still asked for.
    let write = world.writes(vec![answer(&world)]);
    world.is_asked(Reading::Absent, recall(), &[write]);
    let reads = ["t1", "t2", "t3"].map(|name| world.reads(name));
    world.expect(Event::BoxListed(resync, Some(["t1", "t2", "t3"].map(task).to_vec())), &reads);
    world.expect(applied(2), &[]);
    let ops = back(&world, "t3").to_vec();
    let write = world.writes(ops);
    world.expect(Event::AssignmentRead(world.asked, task("t3"), found(ENVELOPE, 7)), &[write]);
}

#[test]
fn a_worker_that_drains_gives_back_what_it_has_not_started_and_lives_on() {
    let mut world = busy();
    let ops = [back(&world, "t2"), back(&world, "t3")].concat();
    let told = Effect::Tell(Fact::DrainAsked { mode: DrainMode::Graceful, reason: Some("disk".into()) });
    let due = Effect::Arm(Timer::DrainRequestDue, SECOND * 60);
    let write = world.writes(ops);
    let drain = asked(r#"{"bellwether":1,"reason":"disk","deadline_ms":60000}"#);
    hears(&mut world, "w", drain, Reading::Absent, &[told, due, write]);
    let gave = ["t2", "t3"].map(|name| Effect::Tell(Fact::GaveBack(task(name))));
    world.expect(applied(1), &gave);
    assert!(world.agent.drain().is_some() && !world.agent.is_draining());
    // Whatever comes now goes back at once.
    let read = world.reads("t4");
    world.expect(world.appeared("t4"), &[read]);
    let ops = back(&world, "t4").to_vec();
    let write = world.writes(ops);
    world.expect(Event::AssignmentRead(world.asked, task("t4"), found(ENVELOPE, 8)), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::GaveBack(task("t4")))]);
    // Too early, and in time.
    world.expect(Event::Rang(Timer::DrainRequestDue), &[]);
    world.now = SECOND * 60;
    let stop = [killed(1, KillReason::Drained), Effect::Stop(id("t1", 5), Stop::Terminate)];
    world.expect(Event::Rang(Timer::DrainRequestDue), &stop);
    let ops = back(&world, "t1").to_vec();
    let write = world.writes(ops);
    world.expect(run_ended("t1", 5, Ending::Signalled(15)), &[write]);
    world.expect(applied(3), &[Effect::Tell(Fact::GaveBack(task("t1")))]);
    // Undrained, it works again.
    hears(&mut world, "w", Reading::Absent, Reading::Absent, &[Effect::Tell(Fact::DrainWithdrawn)]);
    let said = [world.reads("t5"), world.proves()];
    world.expect(world.appeared("t5"), &said);
    world.expect(Event::AssignmentRead(world.asked, task("t5"), found(ENVELOPE, 9)), &[]);
    let expected = [world.guards(), world.starts("t5", 9, ENVELOPE)].concat();
    world.expect(world.proven(), &expected);
}

#[test]
fn a_drain_at_once_kills_also_what_is_being_terminated() {
    let mut world = World::registered(1);
    world.runs("t1", 5, ENVELOPE);
    let told = |mode| Effect::Tell(Fact::DrainAsked { mode, reason: None });
    let said = [told(DrainMode::Quick), killed(1, KillReason::Drained), Effect::Stop(id("t1", 5), Stop::Terminate)];
    hears(&mut world, "w", asked(r#"{"bellwether":1,"mode":"quick"}"#), Reading::Absent, &said);
    let said = [told(DrainMode::Fast), Effect::Stop(id("t1", 5), Stop::Kill)];
    hears(&mut world, "w", asked(r#"{"bellwether":1,"mode":"fast"}"#), Reading::Absent, &said);
    let write = world.gives_back("t1", ENVELOPE);
    world.expect(run_ended("t1", 5, Ending::Killed), &[write]);
    // What is asked of others is nobody's business.
    world.expect(Event::Changed(vec![Change::RequestAppeared("w2".into())]), &[]);
}

#[test]
fn nothing_is_started_before_it_is_known_whether_the_worker_drains() {
    let mut world = World::with(1, OnDoubt::Kill);
    world.opens();
    world.is_registered();
    let resync = world.asked;
    let said = [world.reads("t1"), world.proves()];
    world.expect(world.appeared("t1"), &said);
    world.expect(Event::AssignmentRead(world.asked, task("t1"), found(ENVELOPE, 5)), &[]);
    world.expect(world.proven(), &world.guards());
    let told = Effect::Tell(Fact::DrainAsked { mode: DrainMode::Graceful, reason: None });
    let write = world.gives_back("t1", ENVELOPE);
    world.expect(Event::RequestsRead { question: resync, drain: asked("{}"), recall: Reading::Absent }, &[told, write]);
}

#[test]
fn what_waits_for_a_slot_longer_than_it_may_goes_back() {
    let mut world = World::registered(1);
    world.runs("t1", 5, ENVELOPE);
    world.agent.settings.start_timeout = SECOND;
    let read = world.reads("t2");
    world.expect(world.appeared("t2"), &[read]);
    let due = Effect::Arm(Timer::StartDue, SECOND);
    world.expect(Event::AssignmentRead(world.asked, task("t2"), found(ENVELOPE, 6)), &[due]);
    world.now = SECOND;
    let write = world.gives_back("t2", ENVELOPE);
    world.expect(Event::Rang(Timer::StartDue), &[Effect::Tell(Fact::NotStarted(task("t2"))), write]);
}

#[test]
fn only_what_fits_is_started_and_what_is_wide_is_not_overtaken() {
    let mut world = World::registered(3);
    world.runs("t1", 5, br#"{"bellwether":1,"shell":"make","slots":2}"#);
    assert_eq!(world.agent.slots_in_use(), 2);
    let never = br#"{"bellwether":1,"shell":"make","slots":9}"#.as_slice();
    let wide = br#"{"bellwether":1,"shell":"make","slots":3}"#.as_slice();
    let urgent = br#"{"bellwether":1,"shell":"make","priority":1}"#.as_slice();
    for (name, czxid, data) in [("t2", 6, never), ("t3", 7, wide), ("t4", 8, ENVELOPE)] {
        let read = world.reads(name);
        world.expect(world.appeared(name), &[read]);
        world.expect(Event::AssignmentRead(world.asked, task(name), found(data, czxid)), &[]);
    }
    // Of higher priority, and so before all of them.
    let read = world.reads("t5");
    world.expect(world.appeared("t5"), &[read]);
    let starts = world.starts("t5", 9, urgent);
    world.expect(Event::AssignmentRead(world.asked, task("t5"), found(urgent, 9)), &starts);
    assert_eq!(world.agent.slots_in_use(), 3);
}
