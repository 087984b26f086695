//! A master against a handful of facts. Every step names all that is said: [`World::expect`] compares whole answers.

mod admitting;
mod assigning;
mod cancelling;
mod foreigners;
mod ground;
mod groups;
mod held;
mod losses;
mod parents;
mod refusals;
mod repair;
mod requests;
mod silent;
mod takeover;

use super::items::{Item, Place};
use super::*;
use crate::admission::{Limits, Overfull};
use crate::lifecycle::{self, Fate, Runner};
use crate::protocol::admission::Closure;
use crate::protocol::payload::{Rejection, decode};
use crate::protocol::record::{WorkerRecord, encode};
use crate::protocol::request::CancelRequest;
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Change, Multi, Node, Op, Outcome, PROTOCOL_VERSION, Refusal, Stat, Why, WorkerId, path};
use crate::view::{Boxed, Counts, Registration, Slot};

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
        Self::with(Settings {
            assign_batch: 8,
            lookahead: 0,
            queue_timeout: Duration::ZERO,
            max_worker_losses: 2,
            silence_timeout: Duration::ZERO,
            classic_workers: false,
            group_retention: Duration::from_secs(600),
            limits: Limits::default(),
        })
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
                Effect::ListCancels(q) => {
                    let (arrays, groups) = (self.q(), self.q());
                    self.expect(Event::CancelsListed(q, vec![]), &[Effect::ListArrays(arrays), Effect::ListGroups(groups)]);
                    self.expect(Event::ArraysListed(arrays, vec![]), &[]);
                    self.expect(Event::GroupsListed(groups, vec![]), &[]);
                }
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

/// When the election was, and every task was created, by ZooKeeper's clock.
const ELECTED_MS: i64 = 1_000_000;

/// The epoch was set at second 1,000 by ZooKeeper's clock, and nothing is to be swept.
fn ground() -> Ground {
    Ground { elected_ms: Some(ELECTED_MS), tasks_czxid: Some(1), status_czxid: Some(2), swept: None, paused: false, ..Ground::default() }
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
        resources: BTreeMap::new(),
        kinds: Default::default(),
        commands: true,
        http: String::new(),
        version: String::new(),
        patience_ms: None,
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

fn because() -> CancelRequest {
    CancelRequest { reason: Some("because".into()), ..CancelRequest::new() }
}

fn cancelled(name: &str, from: Place) -> Item {
    let runner = match &from {
        Place::Pending | Place::Held => None,
        Place::Assigned(worker) => Some(Runner { worker: worker.clone(), epoch: Some(EPOCH) }),
    };
    let recorded = lifecycle::cancelled(&task(name), PAYLOAD, &because(), runner.as_ref(), jiff::Timestamp::UNIX_EPOCH);
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

/// Three tasks in one transaction that is in flight.
fn three_in_one_write() -> (World, Effect) {
    let mut world = World::with(Settings {
        assign_batch: 3,
        lookahead: 0,
        queue_timeout: Duration::ZERO,
        max_worker_losses: 2,
        silence_timeout: Duration::ZERO,
        classic_workers: false,
        group_retention: Duration::from_secs(600),
        limits: Limits::default(),
    });
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
