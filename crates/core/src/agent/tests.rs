//! A worker against a handful of facts. Every step names all that is said: [`World::expect`] compares whole answers.

use crate::lifecycle::Ran;
use crate::master::Reading;
use crate::protocol::Change;
use crate::protocol::result::TaskResult;
use jiff::Timestamp;

use super::*;
use crate::lifecycle::{AfterRun, Ending, Retry, RetryDefaults, Runner, after_run, result_of_run};
use crate::protocol::payload::{Rejection, decode};
use crate::protocol::result::{Recorded, Stream, record, rejected};
use crate::protocol::{Node, Op, PROTOCOL_VERSION, Stat};

const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_millis(100);
const EPOCH: i32 = 7;
const PLAIN: &[u8] = b"echo hello";
const ENVELOPE: &[u8] = br#"{"bellwether":1,"shell":"make"}"#;

/// A worker with one session, and the numbers that it was seen to give.
struct World {
    agent: Agent,
    session: i64,
    now: Duration,
    asked: Question,
    proofs: u64,
    written: u64,
}

impl World {
    fn with(slots: u32, on_doubt: OnDoubt) -> Self {
        let settings = Settings {
            record: WorkerRecord { slots, ..described() },
            on_doubt,
            drain_timeout: Duration::from_secs(60),
            kill_grace: Duration::from_secs(10),
            retry_after: RETRY_AFTER,
            retry: RetryDefaults::default(),
        };
        Self { agent: Agent::new(settings), session: 1, now: Duration::ZERO, asked: 0, proofs: 0, written: 0 }
    }

    /// A worker that is registered and has nothing to do.
    fn registered(slots: u32) -> Self {
        Self::with(slots, OnDoubt::Kill).register()
    }

    fn register(mut self) -> Self {
        self.opens();
        self.is_registered();
        self.expect(Event::BoxListed(self.asked, Some(vec![])), &[]);
        self.expect(Event::EpochRead { epoch: EPOCH, mzxid: 1 }, &[]);
        self
    }

    fn opens(&mut self) {
        let said = self.on(Event::SessionOpened { session: self.session, timeout: TIMEOUT });
        assert!(matches!(said[..], [Effect::Register(_)]), "{said:?}");
    }

    fn is_registered(&mut self) {
        let resync = self.q();
        let said = [Effect::Tell(Fact::Registered(self.me())), Effect::Resync(resync), Effect::ReadEpoch];
        self.expect(Event::RegisterEnded(Outcome::applied()), &said);
    }

    fn me(&self) -> WorkerId {
        WorkerId::incarnation("w", self.session)
    }

    fn q(&mut self) -> Question {
        self.asked += 1;
        self.asked
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        let said = self.agent.on(event, Time::at(self.now));
        assert_eq!(self.agent.sanity_check(), Ok(()));
        said
    }

    /// These effects, in this order, and nothing else.
    #[track_caller]
    fn expect(&mut self, event: Event, effects: &[Effect]) {
        let shown = format!("{event:?}");
        assert_eq!(self.on(event), effects, "after {shown}");
    }

    fn appeared(&self, name: &str) -> Event {
        Event::Changed(vec![Change::AssignmentAppeared(self.me(), task(name))])
    }

    fn gone(&self, name: &str) -> Event {
        Event::Changed(vec![Change::AssignmentGone(self.me(), task(name))])
    }

    fn reads(&mut self, name: &str) -> Effect {
        Effect::ReadAssignment(self.q(), task(name))
    }

    fn reads_record(&mut self, name: &str) -> Effect {
        Effect::ReadRecord(self.q(), task(name), path::plain_result(&task(name)))
    }

    /// The first transaction ended like this; the question of the resync that follows.
    #[track_caller]
    fn retries_after(&mut self, outcome: Outcome) -> Question {
        self.expect(Event::WriteEnded(1, outcome), &[retries(self.now)]);
        let resync = self.q();
        self.expect(Event::Rang(Timer::Retry), &[Effect::Resync(resync), Effect::ReadEpoch]);
        resync
    }

    fn proves(&mut self) -> Effect {
        self.proofs += 1;
        Effect::Prove(self.proofs)
    }

    fn proven(&self) -> Event {
        Event::ProofEnded { nonce: self.proofs, answered: true, sent: self.now }
    }

    /// What is ordered first of all when a proof is answered.
    fn guards(&self) -> Vec<Effect> {
        match self.agent.settings.on_doubt {
            OnDoubt::Kill => vec![Effect::Guard(self.now + TIMEOUT / 2)],
            OnDoubt::Keep => vec![],
        }
    }

    fn starts(&self, name: &str, czxid: i64, data: &[u8]) -> Vec<Effect> {
        let order = Order { id: id(name, czxid), task: decode(data).unwrap(), worker: self.me(), epoch: Some(EPOCH) };
        let mut said = vec![Effect::Start(Box::new(order))];
        said.extend(armed(self.now));
        said
    }

    /// A task is assigned to an idle worker and started.
    #[track_caller]
    fn runs(&mut self, name: &str, czxid: i64, data: &[u8]) {
        let expected = [self.reads(name), self.proves()];
        self.expect(self.appeared(name), &expected);
        self.expect(Event::AssignmentRead(self.asked, task(name), found(data, czxid)), &[]);
        let expected = [self.guards(), self.starts(name, czxid, data)].concat();
        self.expect(self.proven(), &expected);
    }

    /// Another task is assigned and started.
    fn runs_beside(&mut self, name: &str, czxid: i64) {
        self.on(self.appeared(name));
        self.asked += 1;
        let said = self.on(Event::AssignmentRead(self.asked, task(name), found(ENVELOPE, czxid)));
        assert!(matches!(said[0], Effect::Start(_)), "{said:?}");
    }

    /// The next transaction: these operations behind the check of the registration.
    fn writes(&mut self, ops: Vec<Op>) -> Effect {
        self.written += 1;
        let check = Op::Check { path: path::worker(&self.me()), version: None };
        Effect::Write(self.written, Multi { ops: [vec![check], ops].concat() })
    }

    fn result(&self, name: &str, data: &[u8], ending: Ending) -> (TaskResult, Recorded) {
        let understood = decode(data).unwrap();
        let runner = Runner { worker: self.me(), epoch: Some(EPOCH) };
        let result = result_of_run(&task(name), &understood, &runner, &ran(ending));
        let recorded = record(&result, Some(&understood));
        (result, recorded)
    }

    fn deletes(&self, name: &str) -> Op {
        Op::Delete { path: path::assignment(&self.me(), &task(name)), version: Some(0) }
    }

    fn records(&mut self, name: &str, recorded: &Recorded) -> Effect {
        let ops = self.recording(name, recorded);
        self.writes(ops)
    }

    fn recording(&self, name: &str, recorded: &Recorded) -> Vec<Op> {
        let mut ops = vec![self.deletes(name), create(path::status(&task(name)), &recorded.status)];
        ops.extend(recorded.details.as_ref().map(|details| create(path::plain_result(&task(name)), details)));
        ops
    }

    fn gives_back(&mut self, name: &str, data: &[u8]) -> Effect {
        let ops = vec![self.deletes(name), create(path::task(&task(name)), data)];
        self.writes(ops)
    }

    fn resyncs(&mut self) -> [Effect; 3] {
        [Effect::Resync(self.q()), Effect::ReadEpoch, self.proves()]
    }
}

fn described() -> WorkerRecord {
    WorkerRecord {
        bellwether: PROTOCOL_VERSION,
        name: "w".into(),
        host: "h".into(),
        pid: 1,
        slots: 0,
        labels: BTreeMap::new(),
        http: String::new(),
        version: String::new(),
        replaces: None,
        since: None,
    }
}

fn task(name: &str) -> TaskName {
    TaskName::listed(name)
}

fn id(name: &str, czxid: i64) -> RunId {
    RunId { task: task(name), czxid }
}

fn found(data: &[u8], czxid: i64) -> Reading {
    Reading::Found(Node { data: data.to_vec(), stat: Stat { czxid, mzxid: czxid, ..Stat::default() } })
}

fn create(path: String, data: &[u8]) -> Op {
    Op::Create { path, data: data.to_vec(), ephemeral: false }
}

fn ran(ending: Ending) -> Ran {
    let at = Timestamp::UNIX_EPOCH;
    Ran { ending, started: at, ended: at, dead: None, stdout: Stream::default(), stderr: Stream::default(), output: None }
}

fn run_ended(name: &str, czxid: i64, ending: Ending) -> Event {
    Event::RunEnded(id(name, czxid), Box::new(ran(ending)))
}

fn armed(sent: Duration) -> [Effect; 2] {
    [Effect::Arm(Timer::ProofDue, sent + TIMEOUT / 5), Effect::Arm(Timer::Doubt, sent + TIMEOUT / 2)]
}

fn killed(commands: usize, reason: KillReason) -> Effect {
    Effect::Tell(Fact::Killed { commands, reason })
}

fn applied(id: u64) -> Event {
    Event::WriteEnded(id, Outcome::applied())
}

fn refused(id: u64, index: usize, why: Why) -> Event {
    Event::WriteEnded(id, Outcome::refused(index, why))
}

fn retries(now: Duration) -> Effect {
    Effect::Arm(Timer::Retry, now + RETRY_AFTER)
}

#[test]
fn a_worker_registers_once_the_box_first() {
    let mut world = World::with(1, OnDoubt::Kill);
    let said = world.on(Event::SessionOpened { session: 1, timeout: TIMEOUT });
    let [Effect::Register(multi)] = &said[..] else { panic!("{said:?}") };
    let paths: Vec<_> = multi.ops.iter().map(Op::path).collect();
    assert_eq!(paths, ["/assign/w-0000000000000001", "/workers/w-0000000000000001"]);
    assert!(!world.agent.is_registered());
    world.is_registered();
    assert!(world.agent.is_registered());
}

#[test]
fn a_registration_whose_answer_was_lost_is_looked_for() {
    let mut world = World::with(1, OnDoubt::Kill);
    world.opens();
    world.expect(Event::RegisterEnded(Outcome::Unknown), &[Effect::ReadRegistration]);
    let said = world.on(Event::RegistrationRead(false));
    assert!(matches!(said[..], [Effect::Register(_)]), "{said:?}");
    // It had been applied after all, behind the look.
    world.expect(Event::RegisterEnded(Outcome::refused(0, Why::NodeExists)), &[Effect::ReadRegistration]);
    let resync = world.q();
    let said = [Effect::Tell(Fact::Registered(world.me())), Effect::Resync(resync), Effect::ReadEpoch];
    world.expect(Event::RegistrationRead(true), &said);
    world.expect(Event::RegistrationRead(true), &[]);
}

#[test]
fn a_registration_without_a_layout_is_tried_again_when_it_is_mended() {
    let mut world = World::with(1, OnDoubt::Kill);
    world.opens();
    let said = [Effect::MendLayout, retries(Duration::ZERO)];
    world.expect(Event::RegisterEnded(Outcome::refused(0, Why::NoNode)), &said);
    let said = world.on(Event::Rang(Timer::Retry));
    assert!(matches!(said[..], [Effect::Register(_)]), "{said:?}");
}

#[test]
fn an_assignment_is_run_and_its_result_recorded_in_its_dialect() {
    for (data, operations) in [(PLAIN, 4), (ENVELOPE, 3)] {
        let mut world = World::registered(1);
        world.runs("t", 5, data);
        let (result, recorded) = world.result("t", data, Ending::Exited(3));
        let write = world.records("t", &recorded);
        assert!(matches!(&write, Effect::Write(_, multi) if multi.len() == operations));
        world.expect(run_ended("t", 5, Ending::Exited(3)), &[write]);
        world.expect(world.gone("t"), &[]);
        world.expect(applied(1), &[Effect::Tell(Fact::Recorded(Box::new(result)))]);
        assert_eq!(world.agent.slots_in_use(), 0);
    }
}

#[test]
fn no_more_runs_than_there_are_slots() {
    let mut world = World::registered(1);
    world.runs("t1", 5, ENVELOPE);
    let read = world.reads("t2");
    world.expect(world.appeared("t2"), &[read]);
    world.expect(Event::AssignmentRead(world.asked, task("t2"), found(ENVELOPE, 6)), &[]);
    let (_, recorded) = world.result("t1", ENVELOPE, Ending::Exited(0));
    let mut said = world.starts("t2", 6, ENVELOPE);
    said.push(world.records("t1", &recorded));
    world.expect(run_ended("t1", 5, Ending::Exited(0)), &said);
    assert_eq!(world.agent.slots_in_use(), 1);
}

#[test]
fn what_is_no_task_is_rejected_by_the_worker_too() {
    let mut world = World::registered(1);
    let expected = [world.reads("t"), world.proves()];
    world.expect(world.appeared("t"), &expected);
    let result = rejected(task("t"), &Rejection::Empty, Timestamp::UNIX_EPOCH);
    let write = world.records("t", &record(&result, None));
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(b"", 5)), &[write]);
    world.expect(applied(1), &[Effect::Tell(Fact::Recorded(Box::new(result)))]);
}

#[test]
fn an_assignment_that_disappears_is_stopped() {
    // While it runs: its slot is free when its group is dead.
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let read = world.reads("t");
    world.expect(world.gone("t"), &[read]);
    let why = world.asked + 1;
    let said = [Effect::Stop(id("t", 5), Stop::Kill), Effect::ReadRecord(why, task("t"), path::status(&task("t")))];
    world.expect(Event::AssignmentRead(world.asked, task("t"), Reading::Absent), &said);
    world.expect(Event::RecordRead(why, task("t"), Reading::Absent), &[killed(1, KillReason::Withdrawn)]);
    assert_eq!(world.agent.slots_in_use(), 1);
    world.expect(run_ended("t", 5, Ending::Killed), &[]);
    assert_eq!(world.agent.slots_in_use(), 0);

    // While it waits for a slot.
    let mut world = World::registered(0);
    let expected = [world.reads("t"), world.proves()];
    world.expect(world.appeared("t"), &expected);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[]);
    let read = world.reads("t");
    world.expect(world.gone("t"), &[read]);
    world.expect(Event::AssignmentRead(world.asked, task("t"), Reading::Absent), &[]);

    // When it is over, but its result was refused for it.
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let (_, recorded) = world.result("t", ENVELOPE, Ending::Exited(0));
    let write = world.records("t", &recorded);
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[write]);
    world.expect(world.gone("t"), &[]);
    world.expect(refused(1, 1, Why::NoNode), &[Effect::Tell(Fact::Stale(task("t")))]);
}

#[test]
fn a_name_that_is_assigned_anew_is_another_run() {
    let mut world = World::registered(2);
    world.runs("t", 5, ENVELOPE);
    let (first, second) = (world.reads("t"), world.reads("t"));
    let again = vec![Change::AssignmentGone(world.me(), task("t")), Change::AssignmentAppeared(world.me(), task("t"))];
    world.expect(Event::Changed(again), &[first, second]);
    let question = world.asked;
    let why = world.q();
    let mut said = vec![Effect::Stop(id("t", 5), Stop::Kill), Effect::ReadRecord(why, task("t"), path::status(&task("t")))];
    said.extend(world.starts("t", 9, ENVELOPE));
    world.expect(Event::AssignmentRead(question, task("t"), found(ENVELOPE, 9)), &said);
    world.expect(run_ended("t", 5, Ending::Killed), &[]);
    assert_eq!(world.agent.slots_in_use(), 1);
}

#[test]
fn a_name_that_is_assigned_anew_before_our_own_answer_is_not_forgotten() {
    for answered_first in [false, true] {
        let mut world = World::registered(1);
        world.runs("t", 5, ENVELOPE);
        let (result, recorded) = world.result("t", ENVELOPE, Ending::Exited(0));
        let write = world.records("t", &recorded);
        world.expect(run_ended("t", 5, Ending::Exited(0)), &[write]);
        let expected = [world.reads("t"), world.proves()];
        let again = vec![Change::AssignmentGone(world.me(), task("t")), Change::AssignmentAppeared(world.me(), task("t"))];
        world.expect(Event::Changed(again), &expected);
        let question = world.asked;
        if answered_first {
            world.expect(Event::AssignmentRead(question, task("t"), found(ENVELOPE, 9)), &[]);
        }
        let read = world.reads("t");
        world.expect(applied(1), &[read, Effect::Tell(Fact::Recorded(Box::new(result)))]);
        world.expect(Event::AssignmentRead(question, task("t"), found(ENVELOPE, 9)), &[]);
        let said = world.starts("t", 9, ENVELOPE);
        world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 9)), &said);
    }
}

#[test]
fn a_result_is_held_over_a_suspension_until_its_assignment_was_read_again() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.expect(Event::SessionSuspended, &[]);
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    let read = world.reads("t");
    world.expect(Event::BoxListed(listed, Some(vec![task("t")])), &[read]);
    let (_, recorded) = world.result("t", ENVELOPE, Ending::Exited(0));
    let write = world.records("t", &recorded);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[write]);
}

#[test]
fn a_result_that_comes_between_resuming_and_reading_again_is_held_too() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[]);
    let read = world.reads("t");
    world.expect(Event::BoxListed(listed, Some(vec![task("t")])), &[read]);
    // Another assignment of the same name: the old result is dropped, and nothing was sent.
    let mut said = vec![Effect::Tell(Fact::Stale(task("t")))];
    said.extend(world.starts("t", 9, ENVELOPE));
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 9)), &said);
}

#[test]
fn a_lost_session_kills_everything_and_discards_its_results() {
    let mut world = World::registered(2);
    world.runs("t1", 5, ENVELOPE);
    world.expect(Event::SessionSuspended, &[]);
    world.expect(Event::SessionLost, &[Effect::KillAll, killed(1, KillReason::SessionLost)]);
    assert_eq!((world.agent.me(), world.agent.slots_in_use()), (None, 1));
    world.session = 2;
    let said = world.on(Event::SessionOpened { session: 2, timeout: TIMEOUT });
    let [Effect::Register(multi)] = &said[..] else { panic!("{said:?}") };
    assert!(matches!(&multi.ops[1], Op::Create { path, data, .. }
        if path == "/workers/w-0000000000000002" && String::from_utf8_lossy(data).contains(r#""replaces":"w-0000000000000001""#)));
    world.expect(run_ended("t1", 5, Ending::Killed), &[]);
    assert_eq!(world.agent.slots_in_use(), 0);
}

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

#[test]
fn a_worker_in_doubt_kills_what_it_runs_and_gives_it_back_when_its_session_turns_out_to_live() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.now = Duration::from_secs(1);
    world.expect(Event::SessionSuspended, &[]);
    world.now = TIMEOUT / 2;
    let said = [Effect::KillAll, killed(1, KillReason::Doubt), Effect::Stop(id("t", 5), Stop::Kill)];
    world.expect(Event::Rang(Timer::Doubt), &said);
    world.expect(run_ended("t", 5, Ending::Killed), &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    let read = world.reads("t");
    world.expect(Event::BoxListed(listed, Some(vec![task("t")])), &[read]);
    let write = world.gives_back("t", ENVELOPE);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[write]);
    world.expect(applied(1), &[Effect::Tell(Fact::GaveBack(task("t")))]);
}

#[test]
fn what_was_killed_while_the_worker_was_frozen_is_given_back_and_is_no_failure() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.now = TIMEOUT * 8 / 10;
    // It wakes, and hears of the dead command before anything else.
    let write = world.gives_back("t", ENVELOPE);
    world.expect(run_ended("t", 5, Ending::Killed), &[killed(1, KillReason::Doubt), write]);
    world.expect(Event::Rang(Timer::Doubt), &[]);
    // Had another been given the task meanwhile, we would not be registered any more.
    world.expect(refused(1, 0, Why::NoNode), &[Effect::ReopenSession]);
}

#[test]
fn doubt_kills_what_is_being_terminated_too() {
    let mut world = draining();
    let said = [killed(1, KillReason::Drained), Effect::Stop(id("t1", 5), Stop::Terminate)];
    world.expect(Event::Rang(Timer::DrainDeadline), &said);
    world.now += TIMEOUT;
    world.expect(Event::Rang(Timer::Doubt), &[Effect::KillAll, killed(1, KillReason::Doubt)]);
}

#[test]
fn what_could_not_be_reported_is_not_run_again() {
    let (mut world, _) = reporting();
    let surprised = Effect::Tell(Fact::Surprised { path: path::status(&task("t")), why: Why::NoAuth });
    world.expect(refused(1, 2, Why::NoAuth), &[surprised, looks_again(&world)]);
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    let read = world.reads("t");
    world.on(Event::BoxListed(listed, Some(vec![task("t")])));
    assert!(matches!(read, Effect::ReadAssignment(..)));
    let said = world.on(Event::AssignmentRead(world.asked, task("t"), found(PLAIN, 5)));
    assert!(!said.iter().any(|effect| matches!(effect, Effect::Start(_))), "{said:?}");
}

fn looks_again(world: &World) -> Effect {
    Effect::Arm(Timer::LookAgain, world.now + Duration::from_secs(10))
}

#[test]
fn what_could_not_be_reported_is_reported_slowly_told_once_and_holds_up_no_drain() {
    let (mut world, recorded) = reporting();
    let surprised = Effect::Tell(Fact::Surprised { path: path::assignment(world.agent.me().unwrap(), &task("t")), why: Why::NotEmpty });
    world.expect(refused(1, 1, Why::NotEmpty), &[surprised, looks_again(&world)]);
    for id in 2..4 {
        let write = world.records("t", &recorded);
        world.expect(Event::Rang(Timer::LookAgain), &[write]);
        world.expect(refused(id, 1, Why::NotEmpty), &[looks_again(&world)]);
    }
    let mut drained = world.on(Event::DrainRequested);
    drained.retain(|effect| matches!(effect, Effect::Write(..) | Effect::Leave));
    assert!(matches!(&drained[..], [Effect::Write(4, _)]), "its retirement, and nothing about what is stuck: {drained:?}");
    let mut said = world.on(applied(4));
    let listed = world.agent.asked;
    said.extend(world.on(Event::BoxListed(listed, Some(vec![task("t")]))));
    let question = world.agent.asked;
    said.extend(world.on(Event::AssignmentRead(question, task("t"), found(PLAIN, 5))));
    said.extend(world.on(refused(5, 1, Why::NotEmpty)));
    assert!(said.contains(&Effect::Leave), "{said:?}");
}

#[test]
fn what_may_not_be_read_is_rejected_and_not_run() {
    let mut world = World::registered(1);
    let me = world.agent.me().unwrap().clone();
    let _ = world.on(Event::Changed(vec![Change::AssignmentAppeared(me.clone(), task("t"))]));
    let question = world.agent.asked;
    let said = world.on(Event::AssignmentRead(question, task("t"), Reading::Denied));
    let [Effect::Tell(Fact::Surprised { why: Why::NoAuth, .. }), Effect::Write(_, multi)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(multi.ops[1], Op::Delete { path: path::assignment(&me, &task("t")), version: None });
    assert!(matches!(&multi.ops[2], Op::Create { data, .. } if data == b"failed rejected: no-right"), "{multi:?}");
}

#[test]
fn doubt_is_no_reason_before_its_time_nor_where_it_is_told_to_keep() {
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    world.now = TIMEOUT / 2 - Duration::from_millis(1);
    world.expect(Event::Rang(Timer::Doubt), &[]);
    let mut world = World::with(1, OnDoubt::Keep).register();
    world.runs("t", 5, ENVELOPE);
    world.now = TIMEOUT;
    world.expect(Event::Rang(Timer::Doubt), &[]);
    assert_eq!(world.agent.slots_in_use(), 1);
}

#[test]
fn life_is_proven_while_something_runs_and_not_otherwise() {
    let mut world = World::registered(1);
    world.expect(Event::Rang(Timer::ProofDue), &[]);
    world.runs("t", 5, ENVELOPE);
    world.now = TIMEOUT / 5;
    let proof = world.proves();
    world.expect(Event::Rang(Timer::ProofDue), &[proof]);
    let said = [world.guards(), armed(world.now).to_vec()].concat();
    world.expect(world.proven(), &said);
}

#[test]
fn a_proof_that_fails_is_tried_again_after_a_while_and_not_at_once() {
    let mut world = World::registered(1);
    let expected = [world.reads("t"), world.proves()];
    world.expect(world.appeared("t"), &expected);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[]);
    let failed = Event::ProofEnded { nonce: world.proofs, answered: false, sent: world.now };
    world.expect(failed, &[Effect::Arm(Timer::ProofDue, RETRY_AFTER)]);
    let proof = world.proves();
    world.expect(Event::Rang(Timer::ProofDue), &[proof]);
    let said = [world.guards(), world.starts("t", 5, ENVELOPE)].concat();
    world.expect(world.proven(), &said);
}

/// A worker of one slot that runs `t1`, has `t2` waiting, and was asked to drain.
fn draining() -> World {
    let mut world = World::registered(1);
    world.runs("t1", 5, ENVELOPE);
    let read = world.reads("t2");
    world.expect(world.appeared("t2"), &[read]);
    world.expect(Event::AssignmentRead(world.asked, task("t2"), found(PLAIN, 6)), &[]);
    let retired = WorkerRecord { slots: 0, replaces: Some(world.me()), ..described() };
    let retire = Op::Set { path: path::worker(&world.me()), data: encode(&retired), version: None };
    let write = world.writes(vec![retire, world.deletes("t2"), create(path::task(&task("t2")), PLAIN)]);
    let deadlines = [Effect::Arm(Timer::DrainDeadline, Duration::from_secs(60)), Effect::Arm(Timer::DrainOver, Duration::from_secs(75))];
    world.expect(Event::DrainRequested, &[deadlines[0].clone(), deadlines[1].clone(), write]);
    world.expect(Event::DrainRequested, &[]);
    // What was assigned just before the master heard of it is looked for.
    let resync = world.q();
    world.expect(applied(1), &[Effect::Tell(Fact::GaveBack(task("t2"))), Effect::Resync(resync), Effect::ReadEpoch]);
    let read = world.reads("t1");
    world.expect(Event::BoxListed(resync, Some(vec![task("t1")])), &[read]);
    world.expect(Event::AssignmentRead(world.asked, task("t1"), found(ENVELOPE, 5)), &[]);
    world
}

#[test]
fn a_drained_worker_gives_back_what_it_did_not_start_finishes_the_rest_and_leaves() {
    let mut world = draining();
    let (result, recorded) = world.result("t1", ENVELOPE, Ending::Exited(0));
    let write = world.records("t1", &recorded);
    world.expect(run_ended("t1", 5, Ending::Exited(0)), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::Recorded(Box::new(result))), Effect::Leave]);
    world.expect(Event::Rang(Timer::DrainOver), &[]);
}

#[test]
fn a_drain_that_takes_too_long_terminates_and_gives_back_and_in_the_end_leaves_anyway() {
    let mut world = draining();
    let said = [killed(1, KillReason::Drained), Effect::Stop(id("t1", 5), Stop::Terminate)];
    world.expect(Event::Rang(Timer::DrainDeadline), &said);
    let write = world.gives_back("t1", ENVELOPE);
    world.expect(run_ended("t1", 5, Ending::Signalled(15)), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::GaveBack(task("t1"))), Effect::Leave]);

    let mut world = draining();
    world.expect(Event::Rang(Timer::DrainOver), &[Effect::Leave]);
}

#[test]
fn an_idle_worker_leaves_when_the_master_knows_and_its_box_was_seen_empty() {
    let mut world = World::registered(1);
    let said = world.on(Event::DrainRequested);
    assert!(matches!(said[..], [Effect::Arm(..), Effect::Arm(..), Effect::Write(1, _)]), "{said:?}");
    let resync = world.q();
    world.expect(applied(1), &[Effect::Resync(resync), Effect::ReadEpoch]);
    // One more had been assigned: it goes back, and costs nobody an attempt.
    let read = [world.reads("t"), world.proves()];
    world.expect(Event::BoxListed(resync, Some(vec![task("t")])), &read);
    world.written = 1;
    let write = world.gives_back("t", PLAIN);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(PLAIN, 5)), &[write]);
    world.expect(applied(2), &[Effect::Tell(Fact::GaveBack(task("t"))), Effect::Leave]);
}

#[test]
fn a_drain_has_the_time_that_was_configured_last() {
    let mut world = World::with(1, OnDoubt::Kill);
    let (drain_timeout, kill_grace) = (Duration::from_secs(7), Duration::from_secs(2));
    world.expect(Event::Configured { drain_timeout, kill_grace }, &[]);
    let deadlines = [Effect::Arm(Timer::DrainDeadline, Duration::from_secs(7)), Effect::Arm(Timer::DrainOver, Duration::from_secs(14))];
    world.expect(Event::DrainRequested, &[deadlines[0].clone(), deadlines[1].clone(), Effect::Leave]);
    // It has begun: what is configured now is for the next.
    world.expect(Event::Configured { drain_timeout: Duration::ZERO, kill_grace }, &[]);
}

#[test]
fn a_worker_without_a_registration_leaves_at_once() {
    let mut world = World::with(1, OnDoubt::Kill);
    let said = world.on(Event::DrainRequested);
    assert!(matches!(said[..], [Effect::Arm(..), Effect::Arm(..), Effect::Leave]), "{said:?}");
}

#[test]
fn a_registration_or_a_box_that_was_deleted_by_hand_ends_the_incarnation() {
    for change in [Change::WorkerGone, Change::BoxGone] {
        let mut world = World::registered(1);
        world.runs("t", 5, ENVELOPE);
        let said = [Effect::KillAll, killed(1, KillReason::Unregistered), Effect::ReopenSession];
        world.expect(Event::Changed(vec![change(world.me())]), &said);
        world.expect(Event::Changed(vec![change(world.me())]), &[]);
    }
    let mut world = World::registered(1);
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    world.expect(Event::BoxListed(world.asked, None), &[Effect::ReopenSession]);
}

/// A worker whose result of the plain task `t` is on its way, as transaction 1.
fn reporting() -> (World, Recorded) {
    let mut world = World::registered(1);
    world.runs("t", 5, PLAIN);
    let (_, recorded) = world.result("t", PLAIN, Ending::Exited(0));
    let write = world.records("t", &recorded);
    world.expect(run_ended("t", 5, Ending::Exited(0)), &[write]);
    (world, recorded)
}

#[test]
fn the_index_of_a_refusal_decides() {
    // 0: I am dead.
    let (mut world, _) = reporting();
    world.expect(refused(1, 0, Why::NoNode), &[Effect::Tell(Fact::Stale(task("t"))), Effect::ReopenSession]);

    // 1: it was taken away.
    let (mut world, _) = reporting();
    world.expect(refused(1, 1, Why::NoNode), &[Effect::Tell(Fact::Stale(task("t")))]);

    // 1: it was changed; what is assigned now is read.
    let (mut world, _) = reporting();
    let read = [Effect::Tell(Fact::Stale(task("t"))), world.reads("t"), world.proves()];
    world.expect(refused(1, 1, Why::BadVersion), &read);

    // 2: it has a status: that one stands, as long as it is there.
    let (mut world, recorded) = reporting();
    let other = Op::Check { path: path::status(&task("t")), version: None };
    let write = world.writes(vec![other, world.deletes("t")]);
    world.expect(refused(1, 2, Why::NodeExists), &[write]);
    let write = world.records("t", &recorded);
    world.expect(refused(2, 1, Why::NoNode), &[write]);

    // 2 and 3: the layout is missing.
    for index in [2, 3] {
        let (mut world, recorded) = reporting();
        world.expect(refused(1, index, Why::NoNode), &[Effect::MendLayout]);
        let write = world.records("t", &recorded);
        world.expect(Event::LayoutMended, &[write]);
    }

    // 3: the details are there already.
    let (mut world, recorded) = reporting();
    let write = world.records("t", &Recorded { details: None, ..recorded });
    world.expect(refused(1, 3, Why::NodeExists), &[write]);

    // Anything else should not occur: told once, tried slowly.
    let (mut world, _) = reporting();
    let surprised = Effect::Tell(Fact::Surprised { path: path::status(&task("t")), why: Why::NoAuth });
    world.expect(refused(1, 2, Why::NoAuth), &[surprised, looks_again(&world)]);
}

#[test]
fn what_is_refused_as_a_whole_is_not_sent_for_ever() {
    let (mut world, _) = reporting();
    let surprised = Effect::Tell(Fact::Surprised { path: path::status(&task("t")), why: Why::TooLarge });
    world.expect(Event::WriteEnded(1, Outcome::Refused(Refusal::Whole(Why::TooLarge))), &[surprised]);
}

#[test]
fn a_report_of_unknown_outcome_is_answered_by_reading() {
    for outcome in [Outcome::Unknown, Outcome::Refused(Refusal::Whole(Why::NotSent))] {
        let (mut world, recorded) = reporting();
        let resync = world.retries_after(outcome);
        let read = [world.reads("t"), world.proves()];
        world.expect(Event::BoxListed(resync, Some(vec![task("t")])), &read);
        let write = world.records("t", &recorded);
        world.expect(Event::AssignmentRead(world.asked, task("t"), found(PLAIN, 5)), &[write]);
    }
}

#[test]
fn a_report_whose_answer_was_lost_and_whose_assignment_is_gone_is_told_by_what_is_recorded() {
    let stale = Effect::Tell(Fact::Stale(task("t")));
    // Never sent: somebody has taken the assignment away.
    let (mut world, _) = reporting();
    let resync = world.retries_after(Outcome::Refused(Refusal::Whole(Why::NotSent)));
    world.expect(Event::BoxListed(resync, Some(vec![])), std::slice::from_ref(&stale));

    let (_, ours) = reporting();
    let ours = ours.details.expect("of a plain task");
    for (found, recorded) in
        [(found(&ours, 9), true), (found(b"somebody else's", 9), false), (Reading::Absent, false), (Reading::Denied, false)]
    {
        let (mut world, _) = reporting();
        let (result, _) = world.result("t", PLAIN, Ending::Exited(0));
        let resync = world.retries_after(Outcome::Unknown);
        let read = world.reads_record("t");
        world.expect(Event::BoxListed(resync, Some(vec![])), &[read]);
        let said = if recorded { Effect::Tell(Fact::Recorded(Box::new(result))) } else { stale.clone() };
        world.expect(Event::RecordRead(world.asked, task("t"), found.clone()), &[said]);
        world.expect(Event::RecordRead(world.asked, task("t"), found), &[]);
    }
}

#[test]
fn what_is_recorded_is_asked_for_again_after_an_outage() {
    let (mut world, recorded) = reporting();
    // Suspended before the answer: it is lost, whatever the shell says of it later.
    world.expect(Event::SessionSuspended, &[]);
    world.expect(applied(1), &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let read = world.reads_record("t");
    world.expect(Event::BoxListed(world.asked - 1, Some(vec![])), &[read]);
    let cut_off = world.asked;
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let read = world.reads_record("t");
    world.expect(Event::BoxListed(world.asked - 1, Some(vec![])), &[read]);
    let details = recorded.details.expect("of a plain task");
    world.expect(Event::RecordRead(cut_off, task("t"), Reading::Absent), &[]);
    let said = world.on(Event::RecordRead(world.asked, task("t"), found(&details, 9)));
    assert!(matches!(said[..], [Effect::Tell(Fact::Recorded(_))]), "{said:?}");
}

#[test]
fn a_late_copy_of_a_report_is_recognised() {
    let (mut world, recorded) = reporting();
    let resync = world.retries_after(Outcome::Unknown);
    let read = [world.reads("t"), world.proves()];
    world.expect(Event::BoxListed(resync, Some(vec![task("t")])), &read);
    let write = world.records("t", &recorded);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(PLAIN, 5)), &[write]);
    // The first one was applied between the look and the second one.
    let read = world.reads_record("t");
    world.expect(refused(2, 1, Why::NoNode), &[read]);
    let details = recorded.details.expect("of a plain task");
    let said = world.on(Event::RecordRead(world.asked, task("t"), found(&details, 9)));
    assert!(matches!(said[..], [Effect::Tell(Fact::Recorded(_))]), "{said:?}");
}

#[test]
fn what_a_list_does_not_show_but_an_event_told_since_stays() {
    let mut world = World::registered(1);
    world.expect(Event::SessionSuspended, &[]);
    let resync = world.resyncs();
    world.expect(Event::SessionResumed, &resync);
    let listed = world.asked;
    let read = world.reads("t");
    world.expect(world.appeared("t"), &[read]);
    world.expect(Event::BoxListed(listed, Some(vec![])), &[]);
    world.expect(Event::AssignmentRead(world.asked, task("t"), found(ENVELOPE, 5)), &[]);
    let said = [world.guards(), world.starts("t", 5, ENVELOPE)].concat();
    world.expect(world.proven(), &said);
}

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

#[test]
fn why_an_assignment_went_is_said_by_the_status_or_by_nothing() {
    let cancelled = br#"{"bellwether":1,"task":"t","outcome":"cancelled","attempt":1,"ended":"1970-01-01T00:00:00Z"}"#;
    let cases = [
        (found(b"failed cancelled", 9), KillReason::Cancelled),
        (found(cancelled, 9), KillReason::Cancelled),
        (found(b"done", 9), KillReason::Withdrawn),
        (Reading::Absent, KillReason::Withdrawn),
    ];
    for (reading, reason) in cases {
        let mut world = World::registered(1);
        world.runs("t", 5, ENVELOPE);
        let read = world.reads("t");
        world.expect(world.gone("t"), &[read]);
        let _ = world.on(Event::AssignmentRead(world.asked, task("t"), Reading::Absent));
        let why = world.q();
        world.expect(Event::RecordRead(why, task("t"), reading), &[killed(1, reason)]);
    }
    // Nobody will say: it is counted all the same.
    let mut world = World::registered(1);
    world.runs("t", 5, ENVELOPE);
    let read = world.reads("t");
    world.expect(world.gone("t"), &[read]);
    let _ = world.on(Event::AssignmentRead(world.asked, task("t"), Reading::Absent));
    let said = world.on(Event::SessionLost);
    assert!(said.contains(&killed(1, KillReason::Withdrawn)), "{said:?}");
}
