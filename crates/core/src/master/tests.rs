//! A master against a handful of facts. Every step names all that is said: [`World::expect`] compares whole answers.

mod repair;

use super::items::{Item, Place};
use super::*;
use crate::lifecycle::{self, Fate, Runner};
use crate::protocol::payload::{Rejection, decode};
use crate::protocol::record::{WorkerRecord, encode};
use crate::protocol::{Op, PROTOCOL_VERSION, Refusal, Stat, path};
use crate::view::{Boxed, Registration, Slot};

mod ground;
mod held;

const EPOCH: i32 = 7;
const PAYLOAD: &[u8] = b"echo hello";

/// A master, and the number of the last question that it was seen to ask.
struct World {
    master: Master,
    asked: Question,
    written: u64,
    now: Duration,
}

impl World {
    fn new() -> Self {
        Self::with(Settings { assign_batch: 8, lookahead: 0, max_worker_losses: 2, classic_workers: false })
    }

    fn with(settings: Settings) -> Self {
        Self { master: Master::new(EPOCH, settings), asked: 0, written: 0, now: Duration::ZERO }
    }

    /// A master that has read everything: nothing waits, and each of these has so many slots.
    fn ruling(workers: &[(&str, u32)]) -> Self {
        let mut world = Self::new();
        world.take_office(workers);
        world
    }

    fn take_office(&mut self, workers: &[(&str, u32)]) {
        let names: Vec<WorkerId> = workers.iter().map(|(name, _)| worker(name)).collect();
        let boxes = self.q() + 1;
        self.asked += 1;
        self.expect(Event::Began, &[Effect::ReadGround(boxes - 1), Effect::ListBoxes(boxes)]);
        self.expect(Event::GroundRead(boxes - 1, ground()), &[]);
        let list = self.q();
        self.expect(Event::BoxesListed(boxes, names.clone()), &[Effect::ListWorkers(list)]);
        let said = self.on(Event::WorkersListed(list, names.clone()));
        self.asked += 2 * names.len() as u64 + 3;
        for (effect, slots) in said.iter().filter(|e| matches!(e, Effect::ReadWorker(..))).zip(workers.iter().map(|(_, slots)| *slots)) {
            if let Effect::ReadWorker(q, id) = effect {
                self.expect(Event::WorkerRead(*q, id.clone(), offers(slots, 0)), &[]);
            }
        }
        for effect in said {
            match effect {
                Effect::ListBox(q, id) => self.expect(Event::BoxListed(q, id, Some(vec![])), &[]),
                Effect::ListTasks(q) => {
                    self.expect(Event::TasksListed(q, vec![]), &[]);
                }
                Effect::ListHeld(q) => {
                    let counts = Counts { workers: names.len(), usable: names.len(), ..Counts::default() };
                    self.expect(Event::HeldListed(q, vec![]), &[Effect::Tell(Fact::Surveyed(counts))]);
                }
                Effect::ListCancels(q) => self.expect(Event::CancelsListed(q, vec![]), &[]),
                _ => {}
            }
        }
    }

    /// The number of the next question.
    fn q(&mut self) -> Question {
        self.asked += 1;
        self.asked
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        let said = self.master.on(event, Time::at(self.now));
        assert_eq!(self.master.sanity_check(), Ok(()));
        said
    }

    /// These effects, in this order, and nothing else.
    #[track_caller]
    fn expect(&mut self, event: Event, effects: &[Effect]) {
        let shown = format!("{event:?}");
        assert_eq!(self.on(event), effects, "after {shown}");
    }

    /// The next transaction, made of these items.
    fn writes(&mut self, items: &[Item]) -> Effect {
        self.written += 1;
        let ops = items.iter().flat_map(Item::parts).map(|(_, op)| op).collect();
        Effect::Write(self.written, Multi { ops })
    }

    /// A task appears, is read, and this is said.
    #[track_caller]
    fn task_arrives(&mut self, name: &str, effects: &[Effect]) {
        let q = self.q();
        self.expect(changed(Change::TaskAppeared(task(name))), &[Effect::ReadTask(q, task(name))]);
        self.expect(Event::TaskRead(q, task(name), found(PAYLOAD, 0)), effects);
    }

    /// A task is on its way to a worker, in transaction [`World::written`].
    #[track_caller]
    fn placing(&mut self, name: &str, on: &str) {
        let write = self.writes(&[assign(name, on)]);
        self.task_arrives(name, &[write]);
    }

    /// A task is in the box of a worker.
    #[track_caller]
    fn placed(&mut self, name: &str, on: &str) {
        self.placing(name, on);
        self.expect(applied(self.written), &[assigned(name, on)]);
        self.expect(Event::Changed(vec![Change::AssignmentAppeared(worker(on), task(name)), Change::TaskGone(task(name))]), &[]);
    }

    /// A worker's session ends, and its box is listed with these tasks.
    #[track_caller]
    fn dies(&mut self, name: &str, left: &[&str], effects: &[Effect]) {
        let q = self.q();
        let lost = [Effect::Tell(Fact::WorkerLost { worker: worker(name), drained: false }), Effect::ListBox(q, worker(name))];
        self.expect(changed(Change::WorkerGone(worker(name))), &lost);
        self.asked += left.len() as u64;
        self.expect(Event::BoxListed(q, worker(name), Some(left.iter().map(|name| task(name)).collect())), effects);
    }

    /// Somebody wants a task cancelled; the mark is read, and this is said.
    #[track_caller]
    fn cancel_arrives(&mut self, name: &str) -> Event {
        let q = self.q();
        self.expect(changed(Change::CancelAppeared(task(name))), &[Effect::ReadCancel(q, task(name))]);
        Event::CancelRead(q, task(name), found(br#"{"reason":"because"}"#, 0))
    }

    fn load(&self, name: &str) -> usize {
        self.master.view().workers.get(&worker(name)).map_or(0, |known| known.load.len())
    }
}

fn task(name: &str) -> TaskName {
    TaskName::listed(name)
}

/// A name of our form, unless it says that it is foreign.
fn worker(name: &str) -> WorkerId {
    if name.starts_with("foreign") { WorkerId::listed(name) } else { WorkerId::incarnation(name, 1) }
}

/// The epoch was set at second 1,000 by ZooKeeper's clock, and nothing is to be swept.
/// When the election was, and every task was created, by ZooKeeper's clock.
const ELECTED_MS: i64 = 1_000_000;

fn ground() -> Ground {
    Ground { elected_ms: Some(ELECTED_MS), tasks_czxid: Some(1), status_czxid: Some(2), swept: None }
}

fn changed(change: Change) -> Event {
    Event::Changed(vec![change])
}

fn found(data: &[u8], version: i32) -> Reading {
    Reading::Found(Node { data: data.to_vec(), stat: Stat { czxid: 5, version, ctime_ms: ELECTED_MS, ..Stat::default() } })
}

fn registered(data: &[u8], version: i32) -> Reading {
    Reading::Found(Node { data: data.to_vec(), stat: Stat { czxid: 5, version, ephemeral_owner: 1, ..Stat::default() } })
}

fn offers(slots: u32, version: i32) -> Reading {
    let record = WorkerRecord {
        bellwether: PROTOCOL_VERSION,
        name: "w".into(),
        host: String::new(),
        pid: 1,
        slots,
        labels: BTreeMap::new(),
        http: String::new(),
        version: String::new(),
        replaces: None,
        since: None,
    };
    registered(&encode(&record), version)
}

fn assign_at(name: &str, on: &str, worker_version: i32) -> Item {
    Item::Assign {
        entry: Entry::pending(task(name)),
        version: 0,
        payload: PAYLOAD.to_vec(),
        worker: worker(on),
        worker_version: Some(worker_version),
    }
}

fn assign(name: &str, on: &str) -> Item {
    assign_at(name, on, 0)
}

fn assigned(name: &str, on: &str) -> Effect {
    Effect::Tell(Fact::Assigned { task: task(name), worker: worker(on), waited: Duration::ZERO })
}

fn take_back(name: &str, from: &str, data: &[u8]) -> Item {
    match after_loss(name, from, data) {
        Fate::Pending(payload) => Item::TakeBack { task: task(name), version: 0, payload, worker: worker(from) },
        Fate::Ended { .. } => panic!("its budget is spent"),
    }
}

fn after_loss(name: &str, from: &str, data: &[u8]) -> Fate {
    let runner = Runner { worker: worker(from), epoch: Some(EPOCH) };
    lifecycle::after_loss(&task(name), data, &runner, 2, jiff::Timestamp::UNIX_EPOCH)
}

fn rejected(name: &str, why: &Rejection, version: Option<i32>) -> Item {
    let recorded = lifecycle::rejection(&task(name), why, jiff::Timestamp::UNIX_EPOCH);
    let outcome = TaskOutcome::Rejected;
    Item::End { task: task(name), from: Place::Pending, version, outcome, recorded, letter: None, marked: false }
}

fn cancelled(name: &str, from: Place) -> Item {
    let runner = match &from {
        Place::Pending | Place::Held => None,
        Place::Assigned(worker) => Some(Runner { worker: worker.clone(), epoch: Some(EPOCH) }),
    };
    let recorded = lifecycle::cancelled(&task(name), PAYLOAD, Some("because".into()), runner.as_ref(), jiff::Timestamp::UNIX_EPOCH);
    Item::End { task: task(name), from, version: Some(0), outcome: TaskOutcome::Cancelled, recorded, letter: None, marked: true }
}

fn dropped(name: &str, from: Place, because: String) -> Item {
    Item::Drop { task: task(name), from, version: Some(0), because, otherwise: None }
}

fn ended(name: &str, outcome: TaskOutcome) -> Effect {
    Effect::Tell(Fact::Ended { task: task(name), outcome })
}

fn applied(id: u64) -> Event {
    Event::WriteEnded(id, Outcome::applied())
}

fn refused(id: u64, index: usize, why: Why) -> Event {
    Event::WriteEnded(id, Outcome::refused(index, why))
}

fn whole(id: u64, why: Why) -> Event {
    Event::WriteEnded(id, Outcome::Refused(Refusal::Whole(why)))
}

#[test]
fn a_new_master_reads_boxes_then_workers_then_what_is_in_them_and_then_tasks() {
    let mut world = World::new();
    world.expect(Event::Began, &[Effect::ReadGround(1), Effect::ListBoxes(2)]);
    world.expect(Event::GroundRead(1, ground()), &[]);
    world.expect(Event::BoxesListed(2, vec![worker("a"), worker("dead")]), &[Effect::ListWorkers(3)]);
    let expected = [
        Effect::ReadWorker(4, worker("a")),
        Effect::ListBox(5, worker("a")),
        Effect::Tell(Fact::WorkerJoined(worker("a"))),
        Effect::ListBox(6, worker("dead")),
        Effect::ListTasks(7),
        Effect::ListHeld(8),
        Effect::ListCancels(9),
    ];
    world.expect(Event::WorkersListed(3, vec![worker("a")]), &expected);
    world.expect(Event::WorkerRead(4, worker("a"), offers(1, 0)), &[]);
    world.expect(Event::BoxListed(5, worker("a"), Some(vec![task("t1")])), &[Effect::ReadAssignment(10, worker("a"), task("t1"))]);
    // What the dead one left is asked for at once, before the tasks are known.
    let read = Effect::ReadAssignment(11, worker("dead"), task("t2"));
    world.expect(Event::BoxListed(6, worker("dead"), Some(vec![task("t2")])), &[read]);
    let write = world.writes(&[take_back("t2", "dead", PAYLOAD)]);
    world.expect(Event::AssignmentRead(11, worker("dead"), task("t2"), found(PAYLOAD, 0)), &[write]);
    world.expect(Event::TasksListed(7, vec![task("t3")]), &[Effect::ReadTask(12, task("t3"))]);
    let counts = Counts { pending: 1, held: 1, assigned: 2, workers: 1, usable: 1, draining: 0 };
    let expected = [Effect::Tell(Fact::Surveyed(counts)), Effect::ReadHeld(13, task("t4"))];
    world.expect(Event::HeldListed(8, vec![task("t4")]), &expected);
}

#[test]
fn a_task_goes_to_a_worker_with_a_free_slot_and_the_next_one_waits_for_it() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t1", "a");
    world.task_arrives("t2", &[]);
    let write = world.writes(&[assign("t2", "a")]);
    world.expect(changed(Change::AssignmentGone(worker("a"), task("t1"))), &[write]);
    world.expect(applied(2), &[assigned("t2", "a")]);
}

#[test]
fn a_task_that_somebody_has_already_is_not_given_to_another() {
    let mut world = World::ruling(&[("a", 1), ("b", 1)]);
    world.placed("t", "a");
    let because = path::assignment(&worker("a"), &task("t"));
    let write = world.writes(&[dropped("t", Place::Pending, because)]);
    world.task_arrives("t", &[write]);
    world.expect(applied(2), &[]);
}

#[test]
fn a_batch_that_is_too_large_although_it_was_measured_goes_one_by_one() {
    let (mut world, write) = three_in_one_write();
    assert!(matches!(write, Effect::Write(1, _)));
    let alone: Vec<Effect> = ["t1", "t2", "t3"].iter().map(|name| world.writes(&[assign(name, "a")])).collect();
    world.expect(whole(1, Why::TooLarge), &alone);
}

#[test]
fn a_transaction_holds_no_more_than_the_batch() {
    let mut world = World::with(Settings { assign_batch: 2, lookahead: 0, max_worker_losses: 2, classic_workers: false });
    world.take_office(&[]);
    for name in ["t1", "t2", "t3"] {
        world.task_arrives(name, &[]);
    }
    let (read, list) = (world.q(), world.q());
    let joined = [Effect::ReadWorker(read, worker("a")), Effect::ListBox(list, worker("a")), Effect::Tell(Fact::WorkerJoined(worker("a")))];
    world.expect(changed(Change::WorkerAppeared(worker("a"))), &joined);
    world.expect(Event::WorkerRead(read, worker("a"), offers(4, 0)), &[]);
    let first = world.writes(&[assign("t1", "a"), assign("t2", "a")]);
    world.expect(Event::BoxListed(list, worker("a"), Some(vec![])), &[first]);
    let second = world.writes(&[assign("t3", "a")]);
    world.expect(applied(1), &[assigned("t1", "a"), assigned("t2", "a"), second]);
}

#[test]
fn new_settings_hold_from_the_next_transaction_on() {
    let (mut world, _) = three_in_one_write();
    world.expect(Event::Configured(Settings { assign_batch: 1, lookahead: 2, max_worker_losses: 2, classic_workers: false }), &[]);
    // The worker's three slots are taken: it is given one more than it has.
    world.placing("t4", "a");
}

/// Three tasks in one transaction that is in flight.
fn three_in_one_write() -> (World, Effect) {
    let mut world = World::with(Settings { assign_batch: 3, lookahead: 0, max_worker_losses: 2, classic_workers: false });
    world.take_office(&[]);
    ["t1", "t2", "t3"].iter().for_each(|name| world.task_arrives(name, &[]));
    world.asked += 2;
    let said = world.on(changed(Change::WorkerAppeared(worker("a"))));
    let [Effect::ReadWorker(read, _), Effect::ListBox(list, _), _] = said[..] else { panic!("{said:?}") };
    world.on(Event::WorkerRead(read, worker("a"), offers(3, 0)));
    let write = world.writes(&[assign("t1", "a"), assign("t2", "a"), assign("t3", "a")]);
    world.expect(Event::BoxListed(list, worker("a"), Some(vec![])), std::slice::from_ref(&write));
    (world, write)
}

/// Three tasks in one transaction, of which the second is refused at this operation of its own.
fn one_of_three_refused(part: usize, why: Why) -> (World, Vec<Effect>) {
    let (mut world, _) = three_in_one_write();
    let said = world.on(refused(1, 3 + part, why));
    (world, said)
}

#[test]
fn one_refused_assignment_is_taken_out_and_the_others_are_sent_again() {
    // The worker raised its version: it is read again, and gets nothing before.
    let (mut world, said) = one_of_three_refused(0, Why::BadVersion);
    let (read, write) = (world.q(), world.writes(&[assign("t1", "a"), assign("t3", "a")]));
    assert_eq!(said, [Effect::ReadWorker(read, worker("a")), write]);
    world.expect(applied(2), &[assigned("t1", "a"), assigned("t3", "a")]);
    world.expect(Event::WorkerRead(read, worker("a"), offers(0, 1)), &[]);
    assert_eq!(world.load("a"), 2);

    // It is in the box already: that copy stands, and is read.
    let (mut world, said) = one_of_three_refused(1, Why::NodeExists);
    let because = path::assignment(&worker("a"), &task("t2"));
    let (read, write) = (world.q(), world.writes(&[assign("t1", "a"), assign("t3", "a"), dropped("t2", Place::Pending, because)]));
    assert_eq!(said, [Effect::ReadAssignment(read, worker("a"), task("t2")), write]);
    world.expect(applied(2), &[assigned("t1", "a"), assigned("t3", "a")]);
    assert_eq!(world.load("a"), 3);

    // The box is missing: nothing is placed there before it was listed again.
    let (mut world, said) = one_of_three_refused(1, Why::NoNode);
    assert_eq!(said, [world.writes(&[assign("t1", "a"), assign("t3", "a")])]);
    assert_eq!(world.master.view().workers[&worker("a")].boxed, Boxed::Missing);

    // The box may not be written: the worker is to blame, not the task.
    let (mut world, said) = one_of_three_refused(1, Why::NoAuth);
    let why = "its box cannot be written; check its ACL";
    let path = path::assignment(&worker("a"), &task("t2"));
    let told = [
        Effect::Tell(Fact::WorkerUnusable { worker: worker("a"), why }),
        Effect::Tell(Fact::Surprised { path, why: Why::NoAuth }),
        world.writes(&[assign("t1", "a"), assign("t3", "a")]),
    ];
    assert_eq!(said, told);

    // The task is gone: its slot is free again.
    let (mut world, said) = one_of_three_refused(2, Why::NoNode);
    assert_eq!(said, [world.writes(&[assign("t1", "a"), assign("t3", "a")])]);
    assert_eq!((world.load("a"), world.master.view().tasks.len()), (2, 2));

    // The task was changed: it is read again.
    let (mut world, said) = one_of_three_refused(2, Why::BadVersion);
    let (read, write) = (world.q(), world.writes(&[assign("t1", "a"), assign("t3", "a")]));
    assert_eq!(said, [Effect::ReadTask(read, task("t2")), write]);

    // The task has children, or may not be deleted: told once, tried no more.
    for why in [Why::NotEmpty, Why::NoAuth] {
        let (mut world, said) = one_of_three_refused(2, why);
        let told = [
            Effect::Tell(Fact::Surprised { path: path::task(&task("t2")), why }),
            Effect::Tell(Fact::Stuck { task: task("t2"), why }),
            world.writes(&[assign("t1", "a"), assign("t3", "a")]),
        ];
        assert_eq!(said, told);
        world.expect(applied(2), &[assigned("t1", "a"), assigned("t3", "a")]);
    }
}

#[test]
fn a_transaction_that_is_refused_as_a_whole_is_halved_until_the_guilty_one_is_alone() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    let path = path::worker(&worker("a"));
    let told =
        [Effect::Tell(Fact::Surprised { path, why: Why::TooLarge }), Effect::Tell(Fact::Stuck { task: task("t1"), why: Why::TooLarge })];
    world.expect(whole(1, Why::TooLarge), &told);
    assert_eq!(world.load("a"), 0);
}

#[test]
fn what_a_worker_that_is_gone_had_is_pending_again_and_its_box_is_removed() {
    let mut world = World::ruling(&[("a", 2)]);
    world.placed("t1", "a");
    let read = world.asked + 2;
    world.dies("a", &["t1"], &[Effect::ReadAssignment(read, worker("a"), task("t1"))]);
    let write = world.writes(&[take_back("t1", "a", PAYLOAD)]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t1"), found(PAYLOAD, 0)), &[write]);
    let write = world.writes(&[Item::RemoveBox(worker("a"))]);
    world.expect(applied(2), &[Effect::Tell(Fact::TakenBack { task: task("t1"), worker: worker("a") }), write]);
    world.expect(changed(Change::BoxGone(worker("a"))), &[]);
    world.expect(applied(3), &[]);
    assert!(world.master.view().workers.is_empty());
}

#[test]
fn a_task_that_has_cost_too_many_workers_is_dead() {
    let mut world = World::ruling(&[("a", 2)]);
    world.placed("t1", "a");
    let Fate::Pending(once_lost) = after_loss("t1", "b", PAYLOAD) else { panic!("two losses are its budget") };
    let Fate::Ended { outcome, recorded, letter } = after_loss("t1", "a", &once_lost) else { panic!("that was the second") };
    assert_eq!(decode(letter.as_ref().unwrap()).unwrap().envelope.losses, 2);
    let read = world.asked + 2;
    world.dies("a", &["t1"], &[Effect::ReadAssignment(read, worker("a"), task("t1"))]);
    let from = Place::Assigned(worker("a"));
    let write = world.writes(&[Item::End { task: task("t1"), from, version: Some(0), outcome, recorded, letter, marked: false }]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t1"), found(&once_lost, 0)), &[write]);
    let write = world.writes(&[Item::RemoveBox(worker("a"))]);
    world.expect(applied(2), &[ended("t1", TaskOutcome::Dead), write]);
}

#[test]
fn a_worker_that_dies_with_an_assignment_on_its_way_leaves_nothing_behind() {
    // Its box is listed before the refusal is heard: the box goes when the slot is free.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    world.dies("a", &[], &[]);
    let write = world.writes(&[Item::RemoveBox(worker("a"))]);
    world.expect(refused(1, 0, Why::NoNode), &[write]);

    // It was applied just before: what the answer says is in the box is taken back.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    world.dies("a", &["t1"], &[]);
    world.asked -= 1;
    let read = world.q();
    let said = world.on(applied(1));
    assert_eq!(said, [Effect::ReadAssignment(read, worker("a"), task("t1")), assigned("t1", "a")]);

    // It had nothing.
    let mut world = World::ruling(&[("a", 1)]);
    let write = world.writes(&[Item::RemoveBox(worker("a"))]);
    world.dies("a", &[], &[write]);
    let again = world.q();
    world.expect(refused(1, 0, Why::NotEmpty), &[Effect::ListBox(again, worker("a"))]);
}

#[test]
fn only_boxes_of_our_form_are_removed() {
    let mut world = World::new();
    world.expect(Event::Began, &[Effect::ReadGround(1), Effect::ListBoxes(2)]);
    world.expect(Event::BoxesListed(2, vec![worker("foreign-1")]), &[Effect::ListWorkers(3)]);
    let listed = [Effect::ListBox(4, worker("foreign-1")), Effect::ListTasks(5), Effect::ListHeld(6), Effect::ListCancels(7)];
    world.expect(Event::WorkersListed(3, vec![]), &listed);
    world.expect(Event::BoxListed(4, worker("foreign-1"), Some(vec![])), &[]);
    assert!(world.master.view().workers.is_empty());
}

#[test]
fn events_may_be_handled_before_the_answer_to_our_own_transaction() {
    // The worker was done before we heard that it had been given the task.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    let gone = vec![
        Change::AssignmentAppeared(worker("a"), task("t1")),
        Change::TaskGone(task("t1")),
        Change::AssignmentGone(worker("a"), task("t1")),
    ];
    world.expect(Event::Changed(gone.clone()), &[]);
    world.expect(applied(1), &[assigned("t1", "a")]);
    assert_eq!((world.load("a"), world.master.view().tasks.len()), (0, 0));

    // It gave the task back: it is read, and placed, again.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t1", "a");
    let back = gone.into_iter().chain([Change::TaskAppeared(task("t1"))]).collect();
    world.expect(Event::Changed(back), &[]);
    let read = world.q();
    world.expect(applied(1), &[assigned("t1", "a"), Effect::ReadTask(read, task("t1"))]);
    let write = world.writes(&[assign("t1", "a")]);
    world.expect(Event::TaskRead(read, task("t1"), found(PAYLOAD, 0)), &[write]);
}

#[test]
fn a_list_says_nothing_of_what_changed_since_it_was_asked_for() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t1", "a");
    let boxes = world.q();
    world.expect(Event::ReconcileDue, &[Effect::ListBoxes(boxes)]);
    let list = world.q();
    world.expect(Event::BoxesListed(boxes, vec![worker("a")]), &[Effect::ListWorkers(list)]);
    let (in_a, tasks, held, marks) = (world.q(), world.q(), world.q(), world.q());
    let lists = [Effect::ListBox(in_a, worker("a")), Effect::ListTasks(tasks), Effect::ListHeld(held), Effect::ListCancels(marks)];
    world.expect(Event::WorkersListed(list, vec![worker("a")]), &lists);
    world.expect(changed(Change::AssignmentGone(worker("a"), task("t1"))), &[]);
    world.expect(Event::BoxListed(in_a, worker("a"), Some(vec![task("t1")])), &[]);
    assert_eq!(world.load("a"), 0);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t2"))), &[Effect::ReadTask(read, task("t2"))]);
    world.expect(changed(Change::TaskGone(task("t2"))), &[]);
    world.expect(Event::HeldListed(held, vec![]), &[]);
    world.expect(Event::TasksListed(tasks, vec![task("t2")]), &[Effect::Tell(Fact::Differences(0))]);
    world.expect(Event::TaskRead(read, task("t2"), Reading::Absent), &[]);
    assert!(world.master.view().tasks.is_empty());
}

#[test]
fn what_is_no_task_ends_as_rejected() {
    let cases: [(&[u8], Rejection); 5] = [
        (b"", Rejection::Empty),
        (b"\xff", Rejection::NotUtf8),
        (b"[1]", Rejection::NotArgv),
        (br#"{"bellwether":9}"#, Rejection::Newer(9)),
        (b"a\0b", Rejection::NulByte),
    ];
    for (payload, why) in cases {
        let mut world = World::ruling(&[("a", 1)]);
        let read = world.q();
        world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
        let write = world.writes(&[rejected("t", &why, Some(0))]);
        world.expect(Event::TaskRead(read, task("t"), found(payload, 0)), &[write]);
        world.expect(applied(1), &[ended("t", TaskOutcome::Rejected)]);
        assert!(world.master.view().tasks.is_empty());
    }
    let mut world = World::ruling(&[]);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
    let write = world.writes(&[rejected("t", &Rejection::NoRight, None)]);
    world.expect(Event::TaskRead(read, task("t"), Reading::Denied), &[write]);
    // The status was there before: it stands.
    let drop = Item::Drop { task: task("t"), from: Place::Pending, version: None, because: "/status/t".into(), otherwise: None };
    let write = world.writes(&[drop]);
    world.expect(refused(1, 1, Why::NodeExists), &[write]);
    world.expect(applied(2), &[]);
}

#[test]
fn a_task_with_children_is_left_and_told_once() {
    let mut world = World::ruling(&[("a", 1)]);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
    let node = Node { data: PAYLOAD.to_vec(), stat: Stat { children: 1, ..Stat::default() } };
    let stuck = Effect::Tell(Fact::Stuck { task: task("t"), why: Why::NotEmpty });
    world.expect(Event::TaskRead(read, task("t"), Reading::Found(node)), &[stuck]);
}

#[test]
fn a_pending_task_is_cancelled_and_its_mark_goes_with_it() {
    let mut world = World::ruling(&[]);
    world.task_arrives("t", &[]);
    let mark = world.cancel_arrives("t");
    let write = world.writes(&[cancelled("t", Place::Pending)]);
    world.expect(mark, &[write]);
    world.expect(Event::Changed(vec![Change::TaskGone(task("t")), Change::CancelGone(task("t"))]), &[]);
    world.expect(applied(1), &[ended("t", TaskOutcome::Cancelled)]);
    assert!(world.master.view().tasks.is_empty());
}

#[test]
fn a_mark_that_was_withdrawn_meanwhile_is_left_out() {
    let mut world = World::ruling(&[]);
    world.task_arrives("t", &[]);
    let mark = world.cancel_arrives("t");
    let write = world.writes(&[cancelled("t", Place::Pending)]);
    world.expect(mark, &[write]);
    let said = world.on(refused(1, 3, Why::NoNode));
    let [Effect::Write(2, multi)] = &said[..] else { panic!("{said:?}") };
    assert!(!multi.ops.iter().any(|op| op.path() == "/bellwether/cancel/t"));
}

#[test]
fn an_assigned_task_is_read_and_cancelled() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t", "a");
    let mark = world.cancel_arrives("t");
    let read = world.q();
    world.expect(mark, &[Effect::ReadAssignment(read, worker("a"), task("t"))]);
    let write = world.writes(&[cancelled("t", Place::Assigned(worker("a")))]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t"), found(PAYLOAD, 0)), &[write]);
    // That its mark is gone was not told yet: by now there may be another one.
    let again = world.q();
    world.expect(applied(2), &[Effect::ReadCancel(again, task("t")), ended("t", TaskOutcome::Cancelled)]);
    world.expect(Event::CancelRead(again, task("t"), Reading::Absent), &[]);
    assert_eq!(world.load("a"), 0);
}

#[test]
fn a_task_is_cancelled_after_its_assignment_that_was_on_its_way() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t", "a");
    let mark = world.cancel_arrives("t");
    world.expect(mark.clone(), &[]);
    let read = world.q();
    world.expect(applied(1), &[assigned("t", "a"), Effect::ReadAssignment(read, worker("a"), task("t"))]);

    // The assignment is refused: then it is cancelled where it is.
    let mut world = World::ruling(&[("a", 1)]);
    world.placing("t", "a");
    world.cancel_arrives("t");
    world.expect(mark, &[]);
    let (write, read) = (world.writes(&[cancelled("t", Place::Pending)]), world.q());
    world.expect(refused(1, 0, Why::BadVersion), &[Effect::ReadWorker(read, worker("a")), write]);
}

#[test]
fn a_mark_for_a_task_that_is_nowhere_is_removed_after_a_second_look() {
    let mut world = World::ruling(&[]);
    let mark = world.cancel_arrives("t");
    let look = world.q();
    world.expect(mark, &[Effect::ReadTask(look, task("t")), Effect::ReadHeld(look + 1, task("t"))]);
    world.asked += 1;
    world.expect(Event::TaskRead(look, task("t"), Reading::Absent), &[]);
    let write = world.writes(&[Item::RemoveMark(task("t"))]);
    world.expect(Event::HeldRead(look + 1, task("t"), Reading::Absent), &[write]);
    world.expect(applied(1), &[]);
}

#[test]
fn a_cancellation_that_races_with_a_failure_finds_the_task_where_it_rests() {
    let mut world = World::ruling(&[("a", 1)]);
    world.placed("t", "a");
    let mark = world.cancel_arrives("t");
    let read = world.q();
    world.expect(mark, &[Effect::ReadAssignment(read, worker("a"), task("t"))]);
    // The result came first: the assignment is gone, and so the mark is looked after.
    let look = world.q();
    let looks = [Effect::ReadTask(look, task("t")), Effect::ReadHeld(look + 1, task("t"))];
    world.expect(Event::AssignmentRead(read, worker("a"), task("t"), Reading::Absent), &looks);
    // Meanwhile it rests after its attempt: there it is cancelled.
    world.expect(Event::TaskRead(look, task("t"), Reading::Absent), &[]);
    let write = world.writes(&[cancelled("t", Place::Held)]);
    world.expect(Event::HeldRead(look + 1, task("t"), found(PAYLOAD, 0)), &[write]);
}

#[test]
fn a_mark_that_is_made_anew_is_not_forgotten_with_the_old_one() {
    let mut world = World::ruling(&[]);
    let mark = world.cancel_arrives("t");
    let look = world.q();
    world.expect(mark, &[Effect::ReadTask(look, task("t")), Effect::ReadHeld(look + 1, task("t"))]);
    world.asked += 1;
    world.expect(Event::TaskRead(look, task("t"), Reading::Absent), &[]);
    let write = world.writes(&[Item::RemoveMark(task("t"))]);
    world.expect(Event::HeldRead(look + 1, task("t"), Reading::Absent), &[write]);
    let again = world.q();
    let events = vec![Change::CancelGone(task("t")), Change::CancelAppeared(task("t"))];
    world.expect(Event::Changed(events), &[Effect::ReadCancel(again, task("t"))]);
    world.expect(applied(1), &[]);
    let look = world.q();
    let looks = [Effect::ReadTask(look, task("t")), Effect::ReadHeld(look + 1, task("t"))];
    world.expect(Event::CancelRead(again, task("t"), found(b"", 0)), &looks);
}

#[test]
fn a_draining_worker_is_given_nothing_more() {
    let mut world = World::ruling(&[("a", 2)]);
    let read = world.q();
    world.expect(changed(Change::WorkerChanged(worker("a"))), &[Effect::ReadWorker(read, worker("a"))]);
    world.expect(Event::WorkerRead(read, worker("a"), offers(0, 1)), &[]);
    world.task_arrives("t", &[]);
    assert_eq!(world.master.view().tasks.len(), 1);
}

#[test]
fn after_an_unknown_outcome_nothing_is_written_before_everything_was_read() {
    let mut world = World::ruling(&[("a", 2)]);
    world.placing("t1", "a");
    world.expect(Event::WriteEnded(1, Outcome::Unknown), &[]);
    world.task_arrives("t2", &[]);
    let (known, boxes, read) = (world.q(), world.q(), world.q());
    world.expect(Event::Began, &[Effect::ReadGround(known), Effect::ListBoxes(boxes), Effect::ReadTask(read, task("t1"))]);
    world.expect(Event::GroundRead(known, ground()), &[]);
    // It was applied after all.
    world.expect(Event::TaskRead(read, task("t1"), Reading::Absent), &[]);
    world.expect(applied(1), &[]);
    let list = world.q();
    world.expect(Event::BoxesListed(boxes, vec![worker("a")]), &[Effect::ListWorkers(list)]);
    let (in_a, tasks, held, marks) = (world.q(), world.q(), world.q(), world.q());
    let lists = [Effect::ListBox(in_a, worker("a")), Effect::ListTasks(tasks), Effect::ListHeld(held), Effect::ListCancels(marks)];
    world.expect(Event::WorkersListed(list, vec![worker("a")]), &lists);
    // What the worker has may have to stay alone.
    let read = world.q();
    world.expect(Event::BoxListed(in_a, worker("a"), Some(vec![task("t1")])), &[Effect::ReadAssignment(read, worker("a"), task("t1"))]);
    let write = world.writes(&[assign("t2", "a")]);
    world.expect(Event::AssignmentRead(read, worker("a"), task("t1"), found(PAYLOAD, 0)), &[write]);
    assert_eq!(world.load("a"), 2);
}

#[test]
fn questions_that_a_suspension_swallowed_are_asked_again() {
    let mut world = World::ruling(&[("a", 1)]);
    world.asked += 2;
    world.on(changed(Change::WorkerAppeared(worker("b"))));
    world.expect(Event::Paused, &[]);
    let (known, boxes) = (world.q(), world.q());
    world.expect(Event::Began, &[Effect::ReadGround(known), Effect::ListBoxes(boxes)]);
    let list = world.q();
    world.expect(Event::BoxesListed(boxes, vec![worker("a"), worker("b")]), &[Effect::ListWorkers(list)]);
    let first = world.q();
    world.asked += 5;
    let expected = [
        Effect::ReadWorker(first, worker("b")),
        Effect::ListBox(first + 1, worker("a")),
        Effect::ListBox(first + 2, worker("b")),
        Effect::ListTasks(first + 3),
        Effect::ListHeld(first + 4),
        Effect::ListCancels(first + 5),
    ];
    world.expect(Event::WorkersListed(list, vec![worker("a"), worker("b")]), &expected);
}

#[test]
fn a_damaged_layout_is_mended_and_what_waited_for_it_is_sent_again() {
    let mut world = World::ruling(&[]);
    let told = [Effect::Tell(Fact::LayoutDamaged(path::STATUS)), Effect::MendLayout];
    world.expect(changed(Change::LayoutGone(path::STATUS)), &told);
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t"))), &[Effect::ReadTask(read, task("t"))]);
    let item = rejected("t", &Rejection::Empty, Some(0));
    let write = world.writes(std::slice::from_ref(&item));
    world.expect(Event::TaskRead(read, task("t"), found(b"", 0)), &[write]);
    world.expect(refused(1, 1, Why::NoNode), &[Effect::MendLayout]);
    let write = world.writes(&[item]);
    world.expect(Event::LayoutMended, &[write]);
}

#[test]
fn the_slow_comparison_finds_what_no_watch_told_and_nothing_when_all_is_well() {
    let mut world = World::ruling(&[("a", 1)]);
    // An event may still be on its way: what it would explain is counted one comparison later.
    for (missed, differences) in [(vec![], 0), (vec![task("t")], 0), (vec![], 1), (vec![], 0)] {
        let boxes = world.q();
        world.expect(Event::ReconcileDue, &[Effect::ListBoxes(boxes)]);
        let list = world.q();
        world.expect(Event::BoxesListed(boxes, vec![worker("a")]), &[Effect::ListWorkers(list)]);
        let (in_a, tasks, held, marks) = (world.q(), world.q(), world.q(), world.q());
        let lists = [Effect::ListBox(in_a, worker("a")), Effect::ListTasks(tasks), Effect::ListHeld(held), Effect::ListCancels(marks)];
        world.expect(Event::WorkersListed(list, vec![worker("a")]), &lists);
        world.expect(Event::BoxListed(in_a, worker("a"), Some(vec![])), &[]);
        world.expect(Event::CancelsListed(marks, vec![]), &[]);
        world.expect(Event::HeldListed(held, vec![]), &[]);
        let mut said = vec![Effect::Tell(Fact::Differences(differences))];
        said.extend(missed.iter().map(|task| Effect::ReadTask(world.q(), task.clone())));
        world.expect(Event::TasksListed(tasks, missed.clone()), &said);
        for task in missed {
            world.expect(Event::TaskRead(world.asked, task, Reading::Absent), &[]);
        }
    }
}

#[test]
fn foreign_workers_and_nodes_without_a_session_are_given_nothing() {
    let why = "it is a foreign worker; set coordinator.classic_workers = \"allow\" to use it";
    let cases = [(registered(b"Idle", 0), why), (found(b"Idle", 0), "its node belongs to no session; delete it")];
    for (reading, why) in cases {
        let mut world = World::ruling(&[]);
        world.asked += 2;
        let said = world.on(changed(Change::WorkerAppeared(worker("foreign"))));
        let [Effect::ReadWorker(read, _), Effect::ListBox(list, _), _] = said[..] else { panic!("{said:?}") };
        let unusable = Effect::Tell(Fact::WorkerUnusable { worker: worker("foreign"), why });
        world.expect(Event::WorkerRead(read, worker("foreign"), reading), &[unusable]);
        world.expect(Event::BoxListed(list, worker("foreign"), Some(vec![])), &[]);
        // It says `Working`, then `Idle`, all the time: told once.
        world.expect(changed(Change::WorkerChanged(worker("foreign"))), &[]);
        world.task_arrives("t", &[]);
    }
}

#[test]
fn a_foreign_worker_that_is_back_under_its_name_keeps_what_it_has() {
    let settings = Settings { assign_batch: 8, lookahead: 0, max_worker_losses: 2, classic_workers: true };
    let mut world = World::with(settings);
    world.take_office(&[]);
    world.asked += 2;
    let said = world.on(changed(Change::WorkerAppeared(worker("foreign"))));
    let [Effect::ReadWorker(read, _), Effect::ListBox(list, _), _] = said[..] else { panic!("{said:?}") };
    world.expect(Event::WorkerRead(read, worker("foreign"), registered(b"Idle", 0)), &[]);
    world.expect(Event::BoxListed(list, worker("foreign"), Some(vec![])), &[]);
    let mut item = assign("t", "foreign");
    if let Item::Assign { worker_version, .. } = &mut item {
        *worker_version = None;
    }
    let write = world.writes(&[item]);
    world.task_arrives("t", &[write]);
    // Refused while it was away; by now it may be back, so it is asked and not given up.
    let read = world.q();
    world.expect(refused(1, 0, Why::NoNode), &[Effect::ReadWorker(read, worker("foreign"))]);
    assert!(matches!(world.master.view().workers[&worker("foreign")].registration, Registration::Unread(Some(_))));
}

#[test]
fn a_task_that_must_run_alone_is_alone_from_the_moment_it_is_placed() {
    let mut world = World::ruling(&[("a", 4)]);
    let Fate::Pending(once_lost) = after_loss("t1", "b", PAYLOAD) else { panic!("two losses are its budget") };
    let read = world.q();
    world.expect(changed(Change::TaskAppeared(task("t1"))), &[Effect::ReadTask(read, task("t1"))]);
    let said = world.on(Event::TaskRead(read, task("t1"), found(&once_lost, 0)));
    assert!(matches!(&said[..], [Effect::Write(1, multi)] if matches!(multi.ops[0], Op::Check { .. })), "{said:?}");
    world.task_arrives("t2", &[]);
    world.expect(applied(1), &[assigned("t1", "a")]);
    assert_eq!(world.master.view().workers[&worker("a")].load[&task("t1")], Slot::Placed { alone: true });
}

/// What a task waits for its turn, in ZooKeeper's time: also before this master, which cannot have seen it then.
#[test]
fn a_task_waits_since_its_creation_whoever_ruled_then() {
    let mut world = World::ruling(&[]);
    assert_eq!(world.master.oldest_age(Time::at(Duration::ZERO)), Duration::ZERO, "nothing waits");
    world.now = Duration::from_secs(4);
    for (name, ctime_ms, age) in [("young", ELECTED_MS + 3000, 1), ("old", ELECTED_MS - 60_000, 64), ("of-the-future", i64::MAX, 64)] {
        let q = world.q();
        world.expect(changed(Change::TaskAppeared(task(name))), &[Effect::ReadTask(q, task(name))]);
        let czxid = ctime_ms / 1000;
        let node = Node { data: PAYLOAD.to_vec(), stat: Stat { czxid, ctime_ms, ..Stat::default() } };
        world.expect(Event::TaskRead(q, task(name), Reading::Found(node)), &[]);
        assert_eq!(world.master.oldest_age(Time::at(world.now)), Duration::from_secs(age), "{name}");
    }
}
