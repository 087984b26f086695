//! One schedule, two masters one after the other, an operator who pauses it, and a worker who takes each task away at once, so that a
//! second one of the same name would not be refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bellwether_core::Time;
use bellwether_core::master::Reading;
use bellwether_core::protocol::payload::{Command, Envelope};
use bellwether_core::protocol::schedule::{Missed, ScheduleRecord};
use bellwether_core::protocol::{Applied, Multi, Node, Op, Outcome, Refusal, ScheduleName, Stat, Why};
use bellwether_core::timetable::{Effect, Event, Timetable};
use stateright::{Model, Property};

use super::{KEPT, run};
use crate::report::{Kind, Run};

const ALL_FIRED: &str = "each tick fires";
const BOTH_FIRED: &str = "both masters fire";

/// By how many seconds a wall clock may be ahead of ZooKeeper's.
const AHEAD: u64 = 1;
/// What the monotonic clock of each master showed when ZooKeeper's showed nothing.
const STARTED: [u64; 2] = [5, 3];

/// What of the rule is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rule {
    Whole,
    /// The schedule is set whatever its version is.
    AnyVersion,
    /// The task is created by one transaction, the schedule is set by another.
    TwoWrites,
    /// A master believes its own wall clock, which is ahead of ZooKeeper's.
    OwnClock,
}

/// A request on its way, in the order of the calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Request {
    Ask(Effect),
    Write(Option<u64>, Multi),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Master {
    timetable: Timetable,
    elected: u64,
    requests: VecDeque<Request>,
    answers: VecDeque<Event>,
    /// The watch told, and nobody has heard of it yet.
    moved: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    now: u64,
    /// Who rules: the other one's writes are refused.
    ruler: usize,
    record: ScheduleRecord,
    version: i32,
    masters: [Master; 2],
    /// How often each tick was fired, and by whom last.
    fired: BTreeMap<String, (u32, usize)>,
    paused: bool,
    unknown: u32,
    broken: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    /// The first request of a master is executed; the answer of a write may be lost.
    Execute { master: usize, lost: bool },
    /// A master hears the first answer.
    Hear(usize),
    /// A master hears of a change.
    Stir(usize),
    /// A second passes, and everybody looks at the clock.
    Pass,
    /// The other one takes over.
    Follow,
    /// An operator pauses the schedule.
    Pause,
}

struct Schedules {
    rule: Rule,
    seconds: u64,
    pauses: bool,
    unknown: u32,
}

fn name() -> ScheduleName {
    ScheduleName::listed("s")
}

impl World {
    fn start(model: &Schedules) -> Self {
        let task = Envelope::new(Command::Shell("x".into()));
        let record = ScheduleRecord { every_s: Some(1), missed: Missed::All, ..ScheduleRecord::new(task) };
        let mut world = Self {
            now: 0,
            ruler: 0,
            record,
            version: 0,
            masters: Default::default(),
            fired: BTreeMap::new(),
            paused: !model.pauses,
            unknown: model.unknown,
            broken: false,
        };
        world.begin(0);
        world
    }

    fn begin(&mut self, master: usize) {
        self.masters[master].elected = self.now;
        self.masters[master].answers.clear();
        self.feed(master, Event::Began);
    }

    fn feed(&mut self, master: usize, event: Event) {
        // Their monotonic clocks have nothing in common but their pace.
        let now = Time::at(Duration::from_secs(self.now + STARTED[master]));
        let one = &mut self.masters[master];
        for effect in one.timetable.on(event, now) {
            match effect {
                Effect::Write(id, multi) => one.requests.push_back(Request::Write(Some(id), multi)),
                Effect::Arm(_) | Effect::Tell(_) | Effect::MendLayout => {}
                question => one.requests.push_back(Request::Ask(question)),
            }
        }
    }

    fn answer(&self, master: usize, question: Effect, rule: Rule) -> Option<Event> {
        let ms = |seconds: u64| i64::try_from(seconds * 1000).unwrap_or(0);
        match question {
            Effect::ReadClock(q) => {
                let ahead = if rule == Rule::OwnClock { AHEAD } else { 0 };
                Some(Event::ClockRead(q, Some(ms(self.masters[master].elected + ahead))))
            }
            Effect::List(q) => Some(Event::Listed(q, vec![name()])),
            Effect::Read(q, name) => {
                let stat = Stat { version: self.version, ..Stat::default() };
                Some(Event::Read(q, name, Reading::Found(Node { data: self.record.encode(), stat })))
            }
            Effect::LookFor(..) | Effect::Write(..) | Effect::MendLayout | Effect::Arm(_) | Effect::Tell(_) => None,
        }
    }

    /// All of it or nothing; nothing by who does not rule.
    fn commit(&mut self, master: usize, multi: &Multi, rule: Rule) -> Outcome {
        if master != self.ruler {
            return Outcome::Refused(Refusal::Fence(Why::BadVersion));
        }
        for op in &multi.ops {
            if let Op::Set { version: Some(version), .. } = op
                && *version != self.version
                && rule != Rule::AnyVersion
            {
                return Outcome::refused(0, Why::BadVersion);
            }
        }
        for op in &multi.ops {
            match op {
                Op::Set { data, .. } => {
                    let record: ScheduleRecord = serde_json::from_slice(data).expect("a schedule");
                    self.broken |= self.record.paused && !record.paused;
                    self.record = record;
                    self.version += 1;
                    self.masters.iter_mut().for_each(|one| one.moved = true);
                }
                Op::Create { path, .. } => {
                    let fired = self.fired.entry(path.clone()).or_default();
                    *fired = (fired.0 + 1, master);
                    self.broken |= fired.0 > 1 || (self.record.paused && rule == Rule::Whole);
                }
                Op::Check { .. } | Op::Delete { .. } => {}
            }
        }
        // Nothing fires before its time, by ZooKeeper's clock.
        self.broken |= self.fired.len() as u64 > self.now;
        // What a schedule says to be over has fired, every tick of it.
        let over = self.record.last.unwrap_or(0);
        self.broken |= rule == Rule::Whole && i64::try_from(self.fired.len()) != Ok(over);
        Outcome::Applied(Applied::default())
    }

    fn execute(&mut self, master: usize, lost: bool, rule: Rule) {
        match self.masters[master].requests.pop_front() {
            Some(Request::Ask(question)) => {
                let answer = self.answer(master, question, rule);
                self.masters[master].answers.extend(answer);
            }
            Some(Request::Write(id, mut multi)) => {
                if rule == Rule::TwoWrites && multi.ops.len() > 1 && id.is_some() {
                    let set = multi.ops.remove(0);
                    self.masters[master].requests.push_front(Request::Write(id, Multi { ops: vec![set] }));
                    self.masters[master].requests.push_front(Request::Write(None, multi));
                    return;
                }
                let outcome = self.commit(master, &multi, rule);
                if let Some(id) = id {
                    self.unknown -= u32::from(lost);
                    let outcome = if lost { Outcome::Unknown } else { outcome };
                    self.masters[master].answers.push_back(Event::WriteEnded(id, outcome));
                }
            }
            None => {}
        }
    }

    fn hear(&mut self, master: usize) {
        let Some(event) = self.masters[master].answers.pop_front() else { return };
        let unknown = matches!(event, Event::WriteEnded(_, Outcome::Unknown));
        self.feed(master, event);
        // Its office is proven, and everything is read again.
        if unknown && master == self.ruler {
            self.begin(master);
        }
    }
}

impl Model for Schedules {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::start(self)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (master, one) in world.masters.iter().enumerate() {
            if let Some(request) = one.requests.front() {
                steps.push(Step::Execute { master, lost: false });
                if matches!(request, Request::Write(Some(_), _)) && world.unknown > 0 {
                    steps.push(Step::Execute { master, lost: true });
                }
            }
            if !one.answers.is_empty() {
                steps.push(Step::Hear(master));
            }
            if one.moved && (master == world.ruler || world.ruler == 1) {
                steps.push(Step::Stir(master));
            }
        }
        if world.now < self.seconds {
            steps.push(Step::Pass);
        }
        if world.ruler == 0 {
            steps.push(Step::Follow);
        }
        if !world.paused {
            steps.push(Step::Pause);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Execute { master, lost } => next.execute(master, lost, self.rule),
            Step::Hear(master) => next.hear(master),
            Step::Stir(master) => {
                next.masters[master].moved = false;
                next.feed(master, Event::Moved(name()));
            }
            Step::Pass => {
                next.now += 1;
                (0..=next.ruler).for_each(|master| next.feed(master, Event::Rang));
            }
            Step::Follow => {
                next.ruler = 1;
                next.begin(1);
            }
            Step::Pause => {
                next.paused = true;
                (next.record.paused, next.version) = (true, next.version + 1);
                next.masters.iter_mut().for_each(|one| one.moved = true);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(KEPT, |_, world: &World| !world.broken),
            Property::sometimes(ALL_FIRED, |model: &Self, world: &World| world.fired.len() as u64 == model.seconds),
            Property::sometimes(BOTH_FIRED, |_, world: &World| {
                [0, 1].iter().all(|master| world.fired.values().any(|(_, by)| by == master))
            }),
        ]
    }
}

fn schedules(rule: Rule, pauses: bool, unknown: u32) -> Schedules {
    Schedules { rule, seconds: 2, pauses, unknown }
}

pub(super) fn runs() -> Vec<Run> {
    let hole = |without| Kind::Hole { rule: "17 schedules", without };
    let clock = |without| Kind::Hole { rule: "9 clock", without };
    vec![
        run("schedule: followed and unanswered", Kind::Holds, || schedules(Rule::Whole, false, 1)),
        run("schedule: followed and paused", Kind::Holds, || schedules(Rule::Whole, true, 0)),
        run("schedule: followed and paused", hole("set at any version"), || schedules(Rule::AnyVersion, true, 0)),
        run("schedule: followed", clock("a master's own clock decides, one second ahead"), || schedules(Rule::OwnClock, false, 0)),
        run("schedule: followed", hole("the task and the tick by two writes"), || schedules(Rule::TwoWrites, false, 0)),
    ]
}
