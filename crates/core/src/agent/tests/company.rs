//! Results that wait for others, so that they are recorded together.

use super::*;

const MS: Duration = Duration::from_millis(1);
const APART: Duration = Duration::from_millis(10);

/// A worker with one slot and so many tasks, of which the first runs; and how its end is recorded.
fn busy(count: i64) -> World {
    let mut world = World::registered(1);
    world.runs("t00", 100, ENVELOPE);
    for i in 1..count {
        let read = world.reads(&name(i));
        world.expect(world.appeared(&name(i)), &[read]);
        world.expect(Event::AssignmentRead(world.asked, task(&name(i)), found(ENVELOPE, 100 + i)), &[]);
    }
    world
}

fn name(i: i64) -> String {
    format!("t{i:02}")
}

fn ends(i: i64) -> Event {
    run_ended(&name(i), 100 + i, Ending::Exited(0))
}

impl World {
    /// The transaction with the results of these.
    fn records_all(&mut self, tasks: impl IntoIterator<Item = i64>) -> Effect {
        let ops: Vec<Op> = tasks
            .into_iter()
            .flat_map(|i| {
                let (_, recorded) = self.result(&name(i), ENVELOPE, Ending::Exited(0));
                self.recording(&name(i), &recorded)
            })
            .collect();
        self.writes(ops)
    }

    /// Ends a task; what is ordered besides the start of the next one, and proofs of life.
    fn after(&mut self, event: Event) -> Vec<Effect> {
        let mut said = self.on(event);
        said.retain(|effect| matches!(effect, Effect::Write(..) | Effect::Arm(Timer::ReportDue, _)));
        said
    }

    /// One that has recorded its first task, at this moment.
    fn has_recorded_one(&mut self) {
        let write = self.records_all([0]);
        assert_eq!(self.after(ends(0)), [write], "the first waits for nobody");
        self.on(applied(1));
    }
}

#[test]
fn as_long_as_more_is_queued_results_wait_for_company_and_not_for_long() {
    let mut world = busy(5);
    world.has_recorded_one();
    let due = world.now + APART;
    world.now += MS;
    assert_eq!(world.after(ends(1)), [Effect::Arm(Timer::ReportDue, due)]);
    world.now += MS;
    assert_eq!(world.after(ends(2)), [], "nor does the next one arm it again");
    let write = world.records_all([1, 2]);
    assert_eq!(world.after(Event::Rang(Timer::ReportDue)), [write]);
    // From there it is as long again.
    world.on(applied(2));
    world.now += APART;
    let write = world.records_all([3]);
    assert_eq!(world.after(ends(3)), [write], "the last one was started: nothing is queued any more");
}

#[test]
fn what_ends_later_than_that_waits_for_nobody() {
    let mut world = busy(5);
    world.has_recorded_one();
    world.now += APART;
    let write = world.records_all([1]);
    assert_eq!(world.after(ends(1)), [write]);
}

#[test]
fn when_nothing_is_queued_any_more_all_of_it_is_recorded_at_once() {
    let mut world = busy(4);
    world.has_recorded_one();
    assert_eq!(world.after(ends(1)).len(), 1, "it waits");
    let write = world.records_all([1, 2]);
    assert_eq!(world.after(ends(2)), [write], "the slot of this one is filled, and nothing is left for the next");
}

#[test]
fn enough_results_wait_no_longer() {
    let mut world = busy(40);
    world.has_recorded_one();
    for i in 1..16 {
        assert!(!world.after(ends(i)).iter().any(|effect| matches!(effect, Effect::Write(..))), "{i}");
    }
    let write = world.records_all(1..=16);
    assert_eq!(world.after(ends(16)), [write]);
}

#[test]
fn what_is_asked_or_said_waits_for_nobody_and_takes_the_results_along() {
    let mut world = busy(5);
    world.has_recorded_one();
    world.after(ends(1));
    let said = world.after(Event::DrainRequested);
    let result = path::status(&task("t01"));
    assert!(matches!(&said[..], [Effect::Write(2, multi)] if multi.ops.iter().any(|op| op.path() == result)), "{said:?}");
}
