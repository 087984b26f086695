//! Tasks that wait for others: they go when all have succeeded, and end when one has not.

use super::*;
use crate::protocol::payload::AfterFailure;

fn child(after: &[&str], more: &str) -> Vec<u8> {
    let after: Vec<String> = after.iter().map(|name| format!("{name:?}")).collect();
    format!(r#"{{"bellwether":1,"argv":["x"],"after":[{}]{more}}}"#, after.join(",")).into_bytes()
}

fn status(words: &str) -> Reading {
    found(words.as_bytes(), 0)
}

fn assign_held(name: &str, on: &str, payload: &[u8]) -> Item {
    let (entry, payload) = (Entry::held(task(name)), payload.to_vec());
    Item::Assign { entry, version: 0, payload, worker: worker(on), worker_version: Some(0) }
}

fn ended_child(name: &str, payload: &[u8], policy: AfterFailure, why: &str) -> Item {
    let (outcome, recorded, letter) = lifecycle::orphaned(&task(name), payload, policy, why, jiff::Timestamp::UNIX_EPOCH);
    Item::End { task: task(name), from: Place::Held, version: Some(0), outcome, recorded, letter, marked: false }
}

impl World {
    /// A held task appears and is read, and this is said.
    #[track_caller]
    fn child_arrives(&mut self, name: &str, payload: &[u8], effects: &[Effect]) {
        let q = self.q();
        self.expect(changed(Change::HeldAppeared(task(name))), &[Effect::ReadHeld(q, task(name))]);
        self.asked += effects.iter().filter(|effect| matches!(effect, Effect::ReadStatus(..) | Effect::ReadGroup(..))).count() as u64;
        self.expect(Event::HeldRead(q, task(name), found(payload, 0)), effects);
    }

    /// The number of the question after this one.
    fn next(&self) -> Question {
        self.asked + 2
    }
}

#[test]
fn a_child_goes_when_its_parent_has_succeeded() {
    let mut world = World::ruling(&[("a", 2)]);
    world.placed("p", "a");
    let data = child(&["p"], "");
    let asked = world.next();
    world.child_arrives("c", &data, &[Effect::ReadStatus(asked, task("p"))]);
    world.expect(Event::StatusRead(asked, task("p"), Reading::Absent), &[]);
    let again = world.q();
    world.expect(changed(Change::AssignmentGone(worker("a"), task("p"))), &[Effect::ReadStatus(again, task("p"))]);
    let write = world.writes(&[assign_held("c", "a", &data)]);
    world.expect(Event::StatusRead(again, task("p"), status("done")), &[write]);
    assert!(world.master.is_named_as_parent(&task("p")), "another master would have to read it again");
    world.expect(applied(world.written), &[assigned("c", "a")]);
    world.expect(changed(Change::HeldGone(task("c"))), &[]);
    assert!(!world.master.is_named_as_parent(&task("p")));
}

#[test]
fn a_child_of_one_that_failed_ends_as_it_asked() {
    for (more, policy) in
        [("", Some(AfterFailure::Skip)), (r#","after_failure":"dead""#, Some(AfterFailure::Dead)), (r#","after_failure":"run""#, None)]
    {
        let mut world = World::ruling(&[("a", 1)]);
        let data = child(&["p"], more);
        let asked = world.next();
        world.child_arrives("c", &data, &[Effect::ReadStatus(asked, task("p"))]);
        let why = "p, which it waits for, did not succeed: failed exit=1";
        let item = match policy {
            Some(policy) => ended_child("c", &data, policy, why),
            None => assign_held("c", "a", &data),
        };
        let write = world.writes(&[item]);
        world.expect(Event::StatusRead(asked, task("p"), status("failed exit=1")), &[write]);
    }
}

#[test]
fn all_parents_must_succeed_and_the_first_that_does_not_decides() {
    let mut world = World::ruling(&[("a", 1)]);
    let data = child(&["p", "q"], "");
    let asked = world.next();
    world.child_arrives("c", &data, &[Effect::ReadStatus(asked, task("p")), Effect::ReadStatus(asked + 1, task("q"))]);
    world.expect(Event::StatusRead(asked, task("p"), status("done")), &[]);
    let write = world.writes(&[ended_child("c", &data, AfterFailure::Skip, "q, which it waits for, did not succeed: failed cancelled")]);
    world.expect(Event::StatusRead(asked + 1, task("q"), status("failed cancelled")), &[write]);
}

#[test]
fn a_parent_that_is_nowhere_twice_did_not_succeed() {
    let mut world = World::ruling(&[("a", 1)]);
    let data = child(&["p"], "");
    let asked = world.next();
    world.child_arrives("c", &data, &[Effect::ReadStatus(asked, task("p"))]);
    let looks = [Effect::ReadTask(asked + 1, task("p")), Effect::ReadHeld(asked + 2, task("p"))];
    world.expect(Event::StatusRead(asked, task("p"), Reading::Absent), &looks);
    world.expect(Event::TaskRead(asked + 1, task("p"), Reading::Absent), &[]);
    world.expect(Event::HeldRead(asked + 2, task("p"), Reading::Absent), &[Effect::ReadStatus(asked + 3, task("p"))]);
    let why = "p, which it waits for, is nowhere: it was never submitted, or its result was removed";
    let write = world.writes(&[ended_child("c", &data, AfterFailure::Skip, why)]);
    world.expect(Event::StatusRead(asked + 3, task("p"), Reading::Absent), &[write]);
}

#[test]
fn a_child_rests_for_the_whole_of_its_delay() {
    let mut world = World::ruling(&[("a", 1)]);
    let data = child(&["p"], r#","delay_ms":10000"#);
    let asked = world.next();
    world.child_arrives("c", &data, &[Effect::ReadStatus(asked, task("p"))]);
    world.now = Duration::from_secs(4);
    let rings = Duration::from_secs(10);
    world.expect(Event::StatusRead(asked, task("p"), status("done")), &[Effect::Arm(rings)]);
    world.now = rings;
    let write = world.writes(&[assign_held("c", "a", &data)]);
    world.expect(Event::Rang, &[write]);
}

#[test]
fn one_that_was_tried_already_has_waited() {
    let mut world = World::ruling(&[("a", 1)]);
    let data = child(&["p"], r#","failures":1"#);
    let write = world.writes(&[assign_held("c", "a", &data)]);
    world.child_arrives("c", &data, &[write]);
}

#[test]
fn who_waits_for_itself_ends_and_so_does_a_circle() {
    let mut world = World::ruling(&[("a", 1)]);
    let data = child(&["c"], "");
    let write = world.writes(&[ended_child("c", &data, AfterFailure::Skip, "it waits for itself")]);
    world.child_arrives("c", &data, &[write]);

    let mut world = World::ruling(&[]);
    let asked = world.next();
    world.child_arrives("x", &child(&["y"], ""), &[Effect::ReadStatus(asked, task("y"))]);
    let asked = world.next();
    world.child_arrives("y", &child(&["x"], ""), &[Effect::ReadStatus(asked, task("x"))]);
    assert_eq!(world.master.parents_in_cycles(), 1);
}

#[test]
fn what_held_tasks_name_is_known_when_those_were_read_that_were_held_when_it_was_asked() {
    let mut world = World::ruling(&[]);
    let data = child(&["p"], "");
    let early = world.q();
    world.expect(changed(Change::HeldAppeared(task("c"))), &[Effect::ReadHeld(early, task("c"))]);
    let mut naming = world.master.begin_naming().expect("everything was listed");
    assert_eq!(world.master.name(&mut naming), Named::NotYet, "c may name anything");
    // Another one comes before the first was read: that one is not waited for.
    let late = world.q();
    world.expect(changed(Change::HeldAppeared(task("d"))), &[Effect::ReadHeld(late, task("d"))]);
    let asked = world.q();
    world.expect(Event::HeldRead(early, task("c"), found(&data, 0)), &[Effect::ReadStatus(asked, task("p"))]);
    assert_eq!(world.master.name(&mut naming), Named::All([task("p")].into()));
    let mut naming = world.master.begin_naming().expect("everything was listed");
    assert_eq!(world.master.name(&mut naming), Named::NotYet);
    world.expect(Event::Paused, &[]);
    assert_eq!((world.master.name(&mut naming), world.master.begin_naming()), (Named::Unknown, None));
}
