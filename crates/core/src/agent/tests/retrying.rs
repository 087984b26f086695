//! Failures with attempts left, and the last of them.

use super::*;

/// Another attempt of a task that failed.
fn again(world: &World, name: &str, data: &[u8], ending: Ending) -> Retry {
    let runner = Runner { worker: world.me(), epoch: Some(EPOCH) };
    match after_run(&task(name), &decode(data).unwrap(), &runner, &ran(ending), None, &RetryDefaults::default()) {
        AfterRun::Again(retry) => retry,
        AfterRun::Ended { result, .. } => panic!("it ended: {result:?}"),
    }
}

fn tried_again(name: &str, retry: &Retry) -> Effect {
    let (attempt, reason, delay) = (retry.attempt, retry.reason, retry.delay);
    Effect::Tell(Fact::TriedAgain { task: task(name), attempt, reason, delay })
}

const RETRIED: &[u8] = br#"{"bellwether":1,"shell":"make","retries":1}"#;

#[test]
fn a_failure_with_retries_left_is_laid_to_rest_by_the_worker() {
    let mut world = World::registered(1);
    world.runs("t", 5, RETRIED);
    let retry = again(&world, "t", RETRIED, Ending::Exited(3));
    let write = world.writes(vec![world.deletes("t"), create(path::held(&task("t")), &retry.payload)]);
    world.expect(run_ended("t", 5, Ending::Exited(3)), &[write]);
    world.expect(applied(1), &[tried_again("t", &retry)]);
    assert_eq!(world.agent.slots_in_use(), 0);
    // The second failure is the last: the result is the failure, and the payload is kept.
    let mut world = World::registered(1);
    world.runs("t", 9, &retry.payload);
    let runner = Runner { worker: world.me(), epoch: Some(EPOCH) };
    let ended = after_run(&task("t"), &decode(&retry.payload).unwrap(), &runner, &ran(Ending::Exited(3)), None, &RetryDefaults::default());
    let AfterRun::Ended { result, recorded, letter: Some(letter) } = ended else { panic!("spent: {ended:?}") };
    let mut ops = world.recording("t", &recorded);
    ops.push(create(path::dead(&task("t")), &letter));
    let write = world.writes(ops);
    world.expect(run_ended("t", 9, Ending::Exited(3)), &[write]);
    // The letter of an earlier life stands in the way: the result counts.
    let write = world.records("t", &recorded);
    world.expect(refused(1, 3, Why::NodeExists), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::Recorded(result))]);
}

#[test]
fn another_attempt_whose_answer_was_lost_is_looked_for_where_it_rests() {
    for written in [true, false] {
        let mut world = World::registered(1);
        world.runs("t", 5, RETRIED);
        let retry = again(&world, "t", RETRIED, Ending::TimedOut);
        let write = world.writes(vec![world.deletes("t"), create(path::held(&task("t")), &retry.payload)]);
        world.expect(run_ended("t", 5, Ending::TimedOut), &[write]);
        let resync = world.retries_after(Outcome::Unknown);
        let looks = Effect::ReadRecord(world.q(), task("t"), path::held(&task("t")));
        world.expect(Event::BoxListed(resync, Some(vec![])), &[looks]);
        let (reading, said) = match written {
            true => (found(&retry.payload, 9), tried_again("t", &retry)),
            false => (Reading::Absent, Effect::Tell(Fact::Stale(task("t")))),
        };
        world.expect(Event::RecordRead(world.asked, task("t"), reading), &[said]);
    }
}
