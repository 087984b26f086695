//! A worker against a handful of facts. Every step names all that is said: [`World::expect`] compares whole answers.

mod company;
mod draining;
mod overlap;
mod registering;
mod reporting;
mod requests;
mod retrying;
mod running;
mod sessions;

use crate::lifecycle::Ran;
use crate::master::Reading;
use crate::protocol::Change;
use crate::protocol::result::{TaskOutcome, TaskResult};
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
            start_timeout: Duration::ZERO,
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
        self.is_asked(Reading::Absent, Reading::Absent, &[]);
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

    /// What is asked of it is read with the last question.
    #[track_caller]
    fn is_asked(&mut self, drain: Reading, recall: Reading, effects: &[Effect]) {
        self.expect(Event::RequestsRead { question: self.asked, drain, recall }, effects);
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
        let order = Order { id: id(name, czxid), task: decode(data).unwrap(), worker: self.me(), epoch: Some(EPOCH), piece: None };
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
        resources: BTreeMap::new(),
        kinds: Default::default(),
        commands: true,
        http: String::new(),
        version: String::new(),
        patience_ms: None,
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
