//! For how long two attempts of one task ran at the same time.

use super::*;

/// A worker that lost two attempts with its session at 10 s; one command died at 9 s, as somebody who watched it knows, the other
/// lives on. It registers anew between 12 s and 12.1 s.
fn bereft() -> World {
    let mut world = World::registered(2);
    world.runs("t1", 5, ENVELOPE);
    world.runs_beside("t2", 6);
    world.now = Duration::from_secs(10);
    world.on(Event::SessionLost);
    let died = Ran { dead: Some(Duration::from_secs(9)), ..ran(Ending::Killed) };
    world.expect(Event::RunEnded(id("t1", 5), Box::new(died)), &[]);
    world.session = 2;
    world.now = Duration::from_secs(12);
    world.opens();
    world.now = Duration::from_millis(12_100);
    world
}

#[test]
fn whoever_lost_an_attempt_asks_for_the_next_one_and_says_for_how_long_both_ran() {
    let mut world = bereft();
    let first = WorkerId::incarnation("w", 1);
    let asks = |name: &str, czxid| Effect::FindSuccessors(vec![(id(name, czxid), first.clone())]);
    let resync = world.q();
    let said = [Effect::Tell(Fact::Registered(world.me())), Effect::Resync(resync), Effect::ReadEpoch, asks("t1", 5)];
    world.expect(Event::RegisterEnded(Outcome::applied()), &said);
    let overlapped = |name: &str, millis| {
        let (overlap, error) = (Duration::from_millis(millis), Duration::from_millis(100));
        [Effect::Tell(Fact::Overlapped { task: task(name), overlap, error })]
    };
    // Registered at 1,000,000 by ZooKeeper's clock, so that 9 s here is 996,900 to 997,000 there.
    let found = |name: &str, czxid, at| Event::SuccessorsFound { registered_ms: 1_000_000, found: vec![(id(name, czxid), at)] };
    world.expect(found("t1", 5, Some(996_899)), &overlapped("t1", 101));
    world.expect(found("t1", 5, Some(1)), &[]);
    // What is still alive is asked for when it is dead.
    world.now = Duration::from_secs(15);
    world.expect(run_ended("t2", 6, Ending::Killed), &[asks("t2", 6)]);
    world.expect(found("t2", 6, Some(1_001_000)), &overlapped("t2", 2_000));
}

#[test]
fn within_the_error_of_the_clocks_or_without_a_next_attempt_there_was_no_overlap() {
    for assigned in [Some(996_900), Some(998_000), None] {
        let mut world = bereft();
        world.on(Event::RegisterEnded(Outcome::applied()));
        let found = vec![(id("t1", 5), assigned)];
        let none = Fact::Overlapped { task: task("t1"), overlap: Duration::ZERO, error: Duration::from_millis(100) };
        world.expect(Event::SuccessorsFound { registered_ms: 1_000_000, found }, &[Effect::Tell(none)]);
    }
}

#[test]
fn a_result_that_nobody_was_told_of_in_time_is_counted_as_stale() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.expect(Event::SessionSuspended, &[]);
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[]);
    world.expect(Event::SessionLost, &[Effect::Tell(Fact::Stale(task("t")))]);
}
