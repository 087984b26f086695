//! Results of an earlier life of `/tasks`: they are swept before anything is assigned.

use super::*;

fn recreated(swept: Option<i64>) -> Ground {
    Ground { tasks_czxid: Some(100), status_czxid: Some(2), swept, ..ground() }
}

fn aged(path: &str, czxid: i64) -> Aged {
    Aged { path: path.to_owned(), czxid }
}

/// A master whose `/tasks` is younger than `/status`, with a worker and a task that waits.
fn world_with_old_results() -> (World, Question) {
    let mut world = World::ruling(&[("a", 1)]);
    let known = world.asked + 1;
    world.asked += 2;
    world.expect(Event::Began, &[Effect::ReadGround(known), Effect::ListBoxes(known + 1)]);
    let list = world.q();
    world.expect(Event::BoxesListed(known + 1, vec![worker("a")]), &[Effect::ListWorkers(list)]);
    let (in_a, tasks, held, marks) = (world.q(), world.q(), world.q(), world.q());
    let lists = [Effect::ListBox(in_a, worker("a")), Effect::ListTasks(tasks), Effect::ListHeld(held), Effect::ListCancels(marks)];
    world.expect(Event::WorkersListed(list, vec![worker("a")]), &lists);
    world.expect(Event::BoxListed(in_a, worker("a"), Some(vec![])), &[]);
    world.task_arrives("t", &[]);
    (world, known)
}

#[test]
fn results_older_than_the_tasks_are_swept_before_anything_is_assigned() {
    let (mut world, known) = world_with_old_results();
    let list = world.q();
    world.expect(Event::GroundRead(known, recreated(None)), &[Effect::ListResults(list)]);
    let results = vec![aged("/status/old", 50), aged("/status/new", 150), aged("/bellwether/results/old", 50)];
    let sweep = world.writes(&[Item::Sweep("/status/old".into()), Item::Sweep("/bellwether/results/old".into())]);
    world.expect(Event::ResultsListed(list, results), &[sweep]);
    // Noted when all are gone: another transaction of the sweep may have come to nothing.
    let note = world.writes(&[Item::NoteSweep(100)]);
    world.expect(applied(1), &[note]);
    let assigning = world.writes(&[assign("t", "a")]);
    world.expect(applied(2), &[Effect::Tell(Fact::Swept(2)), assigning]);
}

#[test]
fn what_somebody_else_deleted_meanwhile_counts_as_swept() {
    let (mut world, known) = world_with_old_results();
    let list = world.q();
    world.expect(Event::GroundRead(known, recreated(Some(99))), &[Effect::ListResults(list)]);
    let sweep = world.writes(&[Item::Sweep("/status/old".into())]);
    world.expect(Event::ResultsListed(list, vec![aged("/status/old", 50)]), &[sweep]);
    let note = world.writes(&[Item::NoteSweep(100)]);
    world.expect(refused(1, 0, Why::NoNode), &[note]);
    let assigning = world.writes(&[assign("t", "a")]);
    world.expect(applied(2), &[assigning]);
}

#[test]
fn nothing_is_listed_when_it_was_done_before_or_need_not_be() {
    for known_ground in [ground(), recreated(Some(100))] {
        let (mut world, known) = world_with_old_results();
        let assigning = world.writes(&[assign("t", "a")]);
        world.expect(Event::GroundRead(known, known_ground), &[assigning]);
    }
}

#[test]
fn when_the_tasks_are_deleted_under_a_master_it_looks_again() {
    let mut world = World::ruling(&[("a", 1)]);
    let told = [Effect::Tell(Fact::LayoutDamaged(path::TASKS)), Effect::MendLayout];
    world.expect(changed(Change::LayoutGone(path::TASKS)), &told);
    world.task_arrives("t", &[]);
    let known = world.q();
    world.expect(Event::LayoutMended, &[Effect::ReadGround(known)]);
    // Deleted again: it is looked at when it is there.
    world.expect(Event::GroundRead(known, Ground { tasks_czxid: None, ..ground() }), &[Effect::MendLayout]);
    let known = world.q();
    world.expect(Event::LayoutMended, &[Effect::ReadGround(known)]);
    let assigning = world.writes(&[assign("t", "a")]);
    world.expect(Event::GroundRead(known, ground()), &[assigning]);
}
