//! Tasks that may not run yet: they rest, are placed from where they lie, and are cancelled there.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// ZooKeeper's time when the master of these tests was elected, which is their time 0.
const ELECTED_MS: i64 = 1_000_000;

fn resting(delay: Duration) -> Vec<u8> {
    format!(r#"{{"bellwether":1,"argv":["x"],"delay_ms":{}}}"#, delay.as_millis()).into_bytes()
}

fn held(data: &[u8], ctime_ms: i64) -> Reading {
    Reading::Found(Node { data: data.to_vec(), stat: Stat { czxid: 5, ctime_ms, ..Stat::default() } })
}

fn assign_held(name: &str, on: &str, payload: &[u8]) -> Item {
    let (entry, payload) = (Entry::held(task(name)), payload.to_vec());
    Item::Assign { entry, version: 0, payload, worker: worker(on), worker_version: Some(0) }
}

impl World {
    /// A held task appears that was created so many seconds after the election, is read, and this is said.
    #[track_caller]
    fn rests(&mut self, name: &str, data: &[u8], created: i64, effects: &[Effect]) {
        let q = self.q();
        self.expect(changed(Change::HeldAppeared(task(name))), &[Effect::ReadHeld(q, task(name))]);
        self.expect(Event::HeldRead(q, task(name), held(data, ELECTED_MS + created * 1_000)), effects);
    }
}

#[test]
fn a_held_task_is_assigned_from_where_it_rests_when_it_is_due() {
    let mut world = World::ruling(&[("a", 1)]);
    let data = resting(SECOND * 10);
    world.now = SECOND * 4;
    world.rests("t", &data, 4, &[Effect::Arm(SECOND * 14)]);
    world.now = SECOND * 13;
    world.expect(Event::Rang, &[Effect::Arm(SECOND * 14)]);
    world.now = SECOND * 14;
    let write = world.writes(&[assign_held("t", "a", &data)]);
    world.expect(Event::Rang, std::slice::from_ref(&write));
    let Effect::Write(_, multi) = &write else { panic!("it is one") };
    let paths: Vec<&str> = multi.ops.iter().map(Op::path).collect();
    assert_eq!(paths, ["/workers/a-0000000000000001", "/assign/a-0000000000000001/t", "/bellwether/held/t"]);
    world.expect(applied(1), &[assigned("t", "a")]);
    assert_eq!((world.master.view().counts().held, world.load("a")), (0, 1));
}

#[test]
fn a_successor_counts_the_delay_from_the_znodes_creation() {
    // Created 7 s before the election, with 10 s to rest.
    let mut world = World::ruling(&[("a", 1)]);
    world.now = SECOND;
    world.rests("t", &resting(SECOND * 10), -7, &[Effect::Arm(SECOND * 3)]);
    // It has rested long enough: at once.
    let mut world = World::ruling(&[("a", 1)]);
    let data = resting(SECOND * 10);
    let write = world.writes(&[assign_held("t", "a", &data)]);
    world.rests("t", &data, -20, &[write]);
    // Created in the future, by a clock that was set: it rests for its delay and no longer.
    let mut world = World::ruling(&[("a", 1)]);
    world.rests("t", &data, 3_600, &[Effect::Arm(SECOND * 10)]);
}

#[test]
fn nobody_understands_what_is_held_before_the_time_is_known() {
    let mut world = World::new();
    world.asked = 2;
    world.expect(Event::Began, &[Effect::ReadGround(1), Effect::ListBoxes(2)]);
    world.expect(changed(Change::HeldAppeared(task("t"))), &[]);
    world.expect(Event::GroundRead(1, ground()), &[Effect::ReadHeld(3, task("t"))]);
}

#[test]
fn the_earliest_of_several_rings_first_and_what_is_gone_rings_no_more() {
    let mut world = World::ruling(&[]);
    world.rests("late", &resting(SECOND * 20), 0, &[Effect::Arm(SECOND * 20)]);
    world.rests("early", &resting(SECOND * 5), 0, &[Effect::Arm(SECOND * 5)]);
    world.expect(changed(Change::HeldGone(task("early"))), &[Effect::Arm(SECOND * 20)]);
    world.expect(changed(Change::HeldGone(task("late"))), &[]);
    assert_eq!(world.master.view().next_due(), None);
}

#[test]
fn a_task_is_cancelled_where_it_rests() {
    let mut world = World::ruling(&[("a", 1)]);
    let data = resting(SECOND);
    world.rests("t", &data, 0, &[Effect::Arm(SECOND)]);
    let mark = world.cancel_arrives("t");
    let recorded = lifecycle::cancelled(&task("t"), &data, &because(), None, jiff::Timestamp::UNIX_EPOCH);
    let (version, outcome) = (Some(0), TaskOutcome::Cancelled);
    let write = world.writes(&[Item::End { task: task("t"), from: Place::Held, version, outcome, recorded, letter: None, marked: true }]);
    world.expect(mark, &[write]);
    world.expect(Event::Changed(vec![Change::HeldGone(task("t")), Change::CancelGone(task("t"))]), &[]);
    world.expect(applied(1), &[ended("t", TaskOutcome::Cancelled)]);
    assert_eq!(world.master.view().counts(), Counts { workers: 1, usable: 1, ..Counts::default() });
}

fn world_write(id: u64, item: &Item) -> Effect {
    Effect::Write(id, Multi { ops: item.parts().into_iter().map(|(_, op)| op).collect() })
}

#[test]
fn a_refused_move_leaves_a_task_where_it_rested() {
    let mut world = World::ruling(&[("a", 1)]);
    world.rests("t", PAYLOAD, 0, &[world_write(1, &assign_held("t", "a", PAYLOAD))]);
    // It was changed: it is read again.
    let q = world.q();
    world.expect(refused(1, 2, Why::BadVersion), &[Effect::ReadHeld(q, task("t"))]);
    world.expect(Event::HeldRead(q, task("t"), held(PAYLOAD, ELECTED_MS)), &[world_write(2, &assign_held("t", "a", PAYLOAD))]);
    // It is gone.
    world.expect(refused(2, 2, Why::NoNode), &[]);
    assert_eq!((world.load("a"), world.master.view().counts().held), (0, 0));
}

#[test]
fn of_a_task_that_waits_twice_the_one_that_rests_stands() {
    let mut world = World::ruling(&[("a", 1)]);
    world.rests("t", &resting(SECOND), 0, &[Effect::Arm(SECOND)]);
    let write = world.writes(&[dropped("t", Place::Pending, "/bellwether/held/t".into())]);
    world.task_arrives("t", &[write]);
}

#[test]
fn what_is_held_and_no_task_is_rejected() {
    let mut world = World::ruling(&[]);
    let recorded = lifecycle::rejection(&task("t"), &Rejection::Empty, jiff::Timestamp::UNIX_EPOCH);
    let (from, version, outcome) = (Place::Held, Some(0), TaskOutcome::Rejected);
    let write = world.writes(&[Item::End { task: task("t"), from, version, outcome, recorded, letter: None, marked: false }]);
    world.rests("t", b"", 0, &[write]);
}

#[test]
fn after_a_takeover_nothing_is_put_beside_a_task_that_must_be_alone() {
    let Fate::Pending(once_lost) = after_loss("poison", "b", PAYLOAD) else { panic!("two losses are its budget") };
    let mut world = World::ruling(&[("a", 4)]);
    // Somebody before us assigned it.
    let q = world.q();
    let read = Effect::ReadAssignment(q, worker("a"), task("poison"));
    world.expect(changed(Change::AssignmentAppeared(worker("a"), task("poison"))), &[read]);
    world.task_arrives("t", &[]);
    world.expect(Event::AssignmentRead(q, worker("a"), task("poison"), found(&once_lost, 0)), &[]);
    assert_eq!(world.master.view().workers[&worker("a")].load[&task("poison")], Slot::Placed { alone: true });
    let write = world.writes(&[assign("t", "a")]);
    world.expect(changed(Change::AssignmentGone(worker("a"), task("poison"))), &[write]);
}

/// What somebody deletes with the box of a worker that lives, one node after the other.
fn deleted_with_its_box(world: &mut World, tasks: &[&str]) -> Question {
    let gone = tasks.iter().map(|name| Change::AssignmentGone(worker("a"), task(name)));
    let changes = gone.chain([Change::BoxGone(worker("a"))]).collect();
    let looks = world.q();
    let names = tasks.iter().map(|name| task(name)).collect();
    world.expect(Event::Changed(changes), &[Effect::LookFor(looks, names)]);
    looks
}

#[test]
fn tasks_that_were_deleted_with_the_box_of_a_worker_are_told_of() {
    let mut world = World::ruling(&[("a", 4)]);
    ["ended", "lost", "resting"].iter().for_each(|name| world.placed(name, "a"));
    let looks = deleted_with_its_box(&mut world, &["ended", "lost", "resting"]);
    let lost = Fact::TasksLost { worker: worker("a"), tasks: vec![task("lost")] };
    world.expect(Event::LookedFor(looks, vec![task("ended"), task("resting")]), &[Effect::Tell(lost)]);
    world.expect(Event::LookedFor(looks, vec![]), &[]);
}

#[test]
fn what_ended_long_before_its_box_went_is_not_looked_for() {
    let mut world = World::ruling(&[("a", 4)]);
    world.placed("ended", "a");
    world.expect(changed(Change::AssignmentGone(worker("a"), task("ended"))), &[]);
    world.now = SECOND * 11;
    world.expect(changed(Change::BoxGone(worker("a"))), &[]);
}
