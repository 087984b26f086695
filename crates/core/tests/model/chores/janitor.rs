//! A limit of one result, three tasks that end, a client that begins to wait at any moment, and a janitor that reads and writes in the
//! order of its calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bellwether_core::Time;
use bellwether_core::janitor::{Effect, Event, Janitor, Measure, Needs, Place, Settings};
use bellwether_core::protocol::{Multi, Op, Outcome, TaskName, Why};
use stateright::{Model, Property};

use super::{KEPT, run};
use crate::report::{Kind, Run};

const REMOVES: &str = "something is removed";
const KEEPS: &str = "something is kept although it is too much";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rule {
    Whole,
    /// Who waits was seen before results were listed.
    WaitersFirst,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Request {
    Ask(Effect),
    Write(u64, Multi),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    zxid: i64,
    /// Each result, and the transaction that created it.
    results: BTreeMap<TaskName, i64>,
    /// Since when the client waits.
    waiter: Option<i64>,
    /// What the janitor saw of it when it counted.
    seen: Option<i64>,
    janitor: Janitor,
    requests: VecDeque<Request>,
    answers: VecDeque<Event>,
    ends: u32,
    comes: u32,
    looks: u32,
    removed: bool,
    broken: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    /// The first request is executed.
    Execute,
    /// The first answer is heard.
    Hear,
    /// It is time to look.
    Due,
    /// A task ends.
    End,
    /// The client begins to wait.
    Come,
    /// The client has gone.
    Go,
}

struct Results {
    rule: Rule,
}

fn task(number: u32) -> TaskName {
    TaskName::listed(&format!("t{number}"))
}

impl World {
    fn feed(&mut self, event: Event) {
        for effect in self.janitor.on(event, Time::at(Duration::ZERO)) {
            match effect {
                Effect::Write(id, multi) => self.requests.push_back(Request::Write(id, multi)),
                Effect::Tell(_) => {}
                question => self.requests.push_back(Request::Ask(question)),
            }
        }
    }

    fn answer(&mut self, question: Effect, rule: Rule) -> Option<Event> {
        let names = |place| if place == Place::Results { self.results.keys().cloned().collect() } else { Vec::new() };
        Some(match question {
            Effect::ReadClock(q) => Event::ClockRead(q, Some(0)),
            Effect::Count(q) => {
                self.seen = self.waiter;
                Event::Counted(q, self.results.len())
            }
            Effect::List(q, place) => Event::Listed(q, names(place), Vec::new()),
            Effect::Measure(q, _, names) => {
                let measure = |task: &TaskName| Measure { czxid: self.results[task], created_ms: 0, bytes: 1, details: false };
                let there = |task: &TaskName| self.results.contains_key(task).then(|| measure(task));
                Event::Measured(q, names.into_iter().map(|task| (task.clone(), there(&task))).collect())
            }
            Effect::AskNeeds(q) => {
                let since = if rule == Rule::WaitersFirst { self.seen } else { self.waiter };
                Event::Asked(q, Some(Needs { since, named: BTreeSet::new() }))
            }
            Effect::Verify(q, _, names) => {
                let there = |task: &TaskName| self.results.get(task).copied();
                Event::Verified(q, names.into_iter().map(|task| (task.clone(), there(&task))).collect())
            }
            Effect::Write(..) | Effect::Tell(_) => return None,
        })
    }

    fn commit(&mut self, multi: &Multi) -> Outcome {
        let name = |op: &Op| TaskName::listed(op.path().trim_start_matches("/status/"));
        if let Some(index) = multi.ops.iter().position(|op| !self.results.contains_key(&name(op))) {
            return Outcome::refused(index, Why::NoNode);
        }
        for op in &multi.ops {
            let ended = self.results.remove(&name(op)).unwrap_or(0);
            self.broken |= self.waiter.is_some_and(|since| since < ended);
            self.removed = true;
        }
        Outcome::applied()
    }

    fn end(&mut self, task: TaskName) {
        self.zxid += 1;
        self.results.insert(task, self.zxid);
    }
}

impl Model for Results {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let settings =
            Settings { retention: Duration::from_secs(60), count_max: 1, bytes_max: 100, guard_retention: Duration::from_secs(60) };
        let mut world = World {
            zxid: 0,
            results: BTreeMap::new(),
            waiter: None,
            seen: None,
            janitor: Janitor::new(settings),
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            ends: 3,
            comes: 1,
            looks: 2,
            removed: false,
            broken: false,
        };
        world.feed(Event::Began);
        vec![world]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let possible = [
            (!world.requests.is_empty(), Step::Execute),
            (!world.answers.is_empty(), Step::Hear),
            (world.looks > 0, Step::Due),
            (world.ends > 0, Step::End),
            (world.comes > 0, Step::Come),
            (world.waiter.is_some(), Step::Go),
        ];
        steps.extend(possible.into_iter().filter(|(possible, _)| *possible).map(|(_, step)| step));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Execute => match next.requests.pop_front()? {
                Request::Ask(question) => {
                    let answer = next.answer(question, self.rule);
                    next.answers.extend(answer);
                }
                Request::Write(id, multi) => {
                    let outcome = next.commit(&multi);
                    next.answers.push_back(Event::WriteEnded(id, outcome));
                }
            },
            Step::Hear => {
                let event = next.answers.pop_front()?;
                next.feed(event);
            }
            Step::Due => {
                next.looks -= 1;
                next.feed(Event::Due);
            }
            Step::End => {
                next.ends -= 1;
                next.end(task(next.ends));
            }
            Step::Come => {
                next.comes -= 1;
                next.zxid += 1;
                next.waiter = Some(next.zxid);
            }
            Step::Go => next.waiter = None,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(KEPT, |_, world: &World| !world.broken),
            Property::sometimes(REMOVES, |_, world: &World| world.removed),
            Property::sometimes(KEEPS, |_, world: &World| world.janitor.is_overfull()),
        ]
    }
}

pub(super) fn runs() -> Vec<Run> {
    let hole = |without| Kind::Hole { rule: "retention, P11", without };
    vec![
        run("janitor: three results, one waits", Kind::Holds, || Results { rule: Rule::Whole }),
        run("janitor: three results, one waits", hole("waiters are seen before results are listed"), || Results {
            rule: Rule::WaitersFirst,
        }),
    ]
}
