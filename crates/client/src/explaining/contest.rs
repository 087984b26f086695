//! What a waiting task competes with: all that waits and all that is assigned, as the core's planner sees it.

use std::collections::BTreeMap;

use bellwether_core::admission::{self, Turn};
use bellwether_core::planner::{Allowances, Amount, Offer, Queue, Requirement, Skills, Ticket, prospects};
use bellwether_core::protocol::admission::{Label, PaceRecord};
use bellwether_core::view::Entry;
use jiff::Timestamp;

use super::{Verdict, Why};
use crate::overview::{Overview, WorkerView};
use crate::task::{TaskState, TaskView};

/// What was read about the task, beyond the task itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// What keeps its znode from being moved.
    pub(crate) obstacle: Option<String>,
    /// What is assigned: it takes the slots and resources of its workers.
    pub(crate) assigned: Vec<TaskView>,
    /// What waits, the task among it: the oldest of it, if there is much.
    pub(crate) waiting: Vec<TaskView>,
    /// What time it is by ZooKeeper's clock; not asked for if nothing depends on it.
    pub(crate) now: Option<Timestamp>,
}

/// One worker, as a task finds it.
#[derive(Debug)]
pub(super) struct Chance {
    pub(super) verdict: Verdict,
    /// Whether it can ever run it as both are now.
    pub(super) fit: bool,
}

/// One task among the others.
pub(super) struct Contest<'a> {
    view: &'a TaskView,
    overview: &'a Overview,
    around: &'a Surroundings,
    rates: BTreeMap<Label, &'a PaceRecord>,
    queue: Queue,
}

impl<'a> Contest<'a> {
    pub(super) fn of(view: &'a TaskView, overview: &'a Overview, around: &'a Surroundings) -> Self {
        let rates = overview.rates.iter().filter_map(|(label, pace)| Some((Label::parse(label)?, pace))).collect();
        let mut contest = Self { view, overview, around, rates, queue: Queue::default() };
        let mut queue = Queue::default();
        for waiting in around.waiting.iter().filter(|waiting| waiting.task == view.task || contest.may_run(waiting)) {
            queue.insert(contest.requirement(waiting), ticket(waiting));
        }
        contest.queue = queue;
        contest
    }

    /// Whether it waits for nothing but a worker. What rests until later competes with nobody.
    fn may_run(&self, waiting: &TaskView) -> bool {
        let now = self.around.now.unwrap_or_else(bellwether_common::clock::wall);
        waiting.state == TaskState::Pending || (waiting.after.is_empty() && waiting.not_before.is_none_or(|at| at <= now))
    }

    fn requirement(&self, view: &TaskView) -> Requirement {
        let limited: Vec<Label> = self.rates.keys().filter(|label| label.is_of(&view.labels)).cloned().collect();
        let limited = (!limited.is_empty()).then(|| limited.into());
        let (kind, labels) = (view.kind.clone(), view.require.clone());
        Requirement { kind, labels, amount: amount(view), limited, ..Requirement::default() }
    }

    /// How many may be given out now of those with a limit; any number if it is not known what time it is.
    fn allowances(&self) -> Allowances {
        let mut allowances = Allowances::default();
        if let Some(now) = self.around.now {
            let allowed = |pace: &PaceRecord| admission::allowed(pace, micros(now));
            self.rates.iter().for_each(|(label, pace)| allowances.allow(label.clone(), allowed(pace)));
        }
        allowances
    }

    /// For which turns it waits among those with a label of its own.
    pub(super) fn turns(&self) -> Vec<(&Label, Turn)> {
        let (ticket, now) = (ticket(self.view), self.around.now.map(micros));
        let mine = self.rates.iter().filter(|(label, _)| label.is_of(&self.view.labels));
        mine.filter_map(|(label, pace)| Some((label, admission::turn(pace, self.queue.ahead(label, &ticket), now)?))).collect()
    }

    /// Each registered worker.
    pub(super) fn chances(&self) -> Vec<Chance> {
        let ours: Vec<&WorkerView> = self.overview.workers.iter().filter(|worker| !worker.foreign).collect();
        let skills: Vec<Skills> = ours.iter().map(|worker| Skills { commands: worker.commands, kinds: worker.kinds.clone() }).collect();
        let offers: Vec<Offer<'_>> = ours.iter().zip(&skills).map(|(worker, skills)| self.offer(worker, skills)).collect();
        let told = prospects(&self.queue, &offers, &self.allowances(), &self.requirement(self.view), Some(&ticket(self.view)));
        let mut told = told.into_iter();
        let chance = |worker: &WorkerView| {
            let (excluded, fit) = match worker.foreign {
                true => (vec![Why { code: "foreign", text: "it is a foreign worker".to_owned() }], false),
                false => {
                    let why = told.next().unwrap_or_default();
                    let texts = why.iter().map(|why| Why { code: why.word(), text: why.to_string() }).collect();
                    (texts, why.iter().all(bellwether_core::planner::Exclusion::passes))
                }
            };
            Chance { verdict: Verdict { worker: worker.worker.clone(), excluded }, fit }
        };
        self.overview.workers.iter().map(chance).collect()
    }

    fn offer<'b>(&self, worker: &'b WorkerView, skills: &'b Skills) -> Offer<'b> {
        let mut taken = Amount::default();
        let others = self.around.assigned.iter().filter(|other| other.worker.as_ref() == Some(&worker.worker));
        others.for_each(|other| taken.add(&amount(other)));
        Offer {
            worker: &worker.worker,
            skills,
            labels: &worker.labels,
            has: Amount { slots: worker.slots, resources: worker.resources.clone() },
            taken,
            tasks: worker.assigned,
            lookahead: 0,
            brisk: false,
            reserved: false,
            draining: worker.drain.is_some(),
        }
    }
}

fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// Its place in the queue. Who came first within a millisecond is told by names, which sort by age.
fn ticket(view: &TaskView) -> Ticket {
    Ticket::new(view.priority.unwrap_or(0), view.since.as_millisecond(), 0, Entry::pending(view.task.clone()))
}

fn amount(view: &TaskView) -> Amount {
    Amount { slots: view.slots.unwrap_or(1), resources: view.resources.clone() }
}
