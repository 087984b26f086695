//! A worker that says nothing of a task that should be over long ago.

use super::*;

const TIMED: &[u8] = br#"{"bellwether":1,"argv":["x"],"timeout_ms":60000,"retries":3}"#;

/// It says that it has a task for at most so long, beside the time that this runs.
fn says(patience_ms: Option<u64>) -> Reading {
    let Reading::Found(node) = offers(2, 0) else { unreachable!("it is registered") };
    let record: WorkerRecord = serde_json::from_slice(&node.data).unwrap();
    registered(&encode(&WorkerRecord { patience_ms, ..record }), 0)
}

impl World {
    /// One worker, which says this of itself and has the task `t`; the master has found it there.
    fn with_silent(patience_ms: Option<u64>, payload: &[u8]) -> Self {
        let mut world = Self::with(Settings { silence_timeout: Duration::from_secs(600), ..Self::new().master.settings });
        world.take_office(&[("a", 2)]);
        world.expect(changed(Change::WorkerChanged(worker("a"))), &[Effect::ReadWorker(world.asked + 1, worker("a"))]);
        let asked = world.q();
        world.expect(Event::WorkerRead(asked, worker("a"), says(patience_ms)), &[]);
        let asked = world.q();
        world.expect(changed(Change::AssignmentAppeared(worker("a"), task("t"))), &[Effect::ReadAssignment(asked, worker("a"), task("t"))]);
        world.expect(Event::AssignmentRead(asked, worker("a"), task("t"), found(payload, 0)), &[]);
        world
    }

    /// What the next comparison asks for before it lists.
    pub(super) fn compares(&mut self) -> Vec<Effect> {
        let said = self.on(Event::ReconcileDue);
        self.asked += said.len() as u64;
        said.into_iter().filter(|effect| matches!(effect, Effect::ReadAssignment(..))).collect()
    }

    /// The lists of a comparison that finds this assigned to one worker, and held; what is said after them.
    pub(super) fn finds(&mut self, tasks: &[&str], held: &[&str]) -> Vec<Effect> {
        let boxes = self.asked;
        let list = self.q();
        self.expect(Event::BoxesListed(boxes, vec![worker("a")]), &[Effect::ListWorkers(list)]);
        let said = self.on(Event::WorkersListed(list, vec![worker("a")]));
        self.asked += said.len() as u64;
        let named = |names: &[&str]| names.iter().map(|name| task(name)).collect::<Vec<_>>();
        let mut last = Vec::new();
        for effect in said {
            let answer = match effect {
                Effect::ListBox(q, id) => Event::BoxListed(q, id, Some(named(tasks))),
                Effect::ListTasks(q) => Event::TasksListed(q, vec![]),
                Effect::ListHeld(q) => Event::HeldListed(q, named(held)),
                _ => continue,
            };
            last = self.on(answer);
        }
        last.retain(|effect| !matches!(effect, Effect::Tell(_)));
        last
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn ends_silent(version: i32) -> Item {
    let runner = Runner { worker: worker("a"), epoch: Some(EPOCH) };
    let recorded = lifecycle::silent(&task("t"), TIMED, &runner, jiff::Timestamp::UNIX_EPOCH);
    let (from, outcome) = (Place::Assigned(worker("a")), TaskOutcome::TimedOut);
    Item::End { task: task("t"), from, version: Some(version), outcome, recorded, letter: None, marked: false }
}

#[test]
fn what_should_be_over_long_ago_ends_as_timed_out_and_is_given_to_nobody() {
    // A minute to run, ten seconds to be started and stopped, and ten minutes of silence.
    let mut world = World::with_silent(Some(10_000), TIMED);
    world.pass(669);
    assert_eq!(world.compares(), [], "its time is not over");
    assert_eq!(world.finds(&["t"], &[]), []);
    world.pass(1);
    let asked = world.asked + 1;
    assert_eq!(world.compares(), [Effect::ReadAssignment(asked + 1, worker("a"), task("t"))]);
    let write = world.writes(&[ends_silent(3)]);
    let told = Effect::Tell(Fact::WorkerSilent { worker: worker("a"), task: task("t") });
    world.expect(Event::AssignmentRead(asked + 1, worker("a"), task("t"), found(TIMED, 3)), &[told, write]);
}

#[test]
fn whoever_may_take_as_long_as_he_likes_is_never_silent() {
    for (patience, payload) in [(None, TIMED), (Some(10_000), PAYLOAD), (Some(10_000), br#"{"bellwether":1,"argv":["x"],"timeout_ms":0}"#)]
    {
        let mut world = World::with_silent(patience, payload);
        world.pass(365 * 24 * 3600);
        assert_eq!(world.compares(), [], "{patience:?} {payload:?}");
    }
}

#[test]
fn its_time_begins_anew_with_another_assignment_and_with_every_resync() {
    let mut world = World::with_silent(Some(10_000), TIMED);
    world.pass(600);
    world.on(Event::Paused);
    world.asked += world.on(Event::Began).len() as u64;
    world.pass(100);
    assert!(world.master.silence == crate::master::silent::Silence::default(), "nobody could say anything meanwhile");

    let mut world = World::with_silent(Some(10_000), TIMED);
    world.pass(700);
    let asked = world.asked + 2;
    assert_eq!(world.compares(), [Effect::ReadAssignment(asked, worker("a"), task("t"))]);
    let other = Node { data: TIMED.to_vec(), stat: Stat { czxid: 99, ..Stat::default() } };
    world.expect(Event::AssignmentRead(asked, worker("a"), task("t"), Reading::Found(other)), &[]);
}
