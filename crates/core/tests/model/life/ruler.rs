//! A coordinator in office, with the least of a shell around the real [`Master`]: the pen with its fence, the proof of office, questions
//! and answers. How it came into office is the business of the other model.

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_core::election::fence;
use bellwether_core::master::{Effect, Event, Ground, Master, Reading, Settings};
use bellwether_core::numbering::{Numbered, Rename};
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, WorkerId, path};

use super::link::{Link, compress};
use super::now;
use super::variant::Variant;
use super::zookeeper::{Execution, ZooKeeper};

/// What it asks of ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    /// What the master ordered.
    Order(Effect),
    /// The empty fenced transaction, behind the watches.
    Prove,
}

/// One term.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ruler {
    pub(crate) master: Master,
    pub(crate) epoch: i32,
    pub(crate) link: Link<Request, Event>,
    /// A proof is asked for and not answered.
    proving: bool,
    /// It found out that it rules no more.
    pub(crate) over: bool,
    /// A list that was read too early: only where that is the variant.
    early: Option<Vec<WorkerId>>,
}

impl Ruler {
    pub(crate) fn new(session: i64, epoch: i32, settings: Settings) -> Self {
        let mut link = Link::new(session);
        link.requests.push_back(Request::Prove);
        link.pen_open = false;
        let master = Master::new(epoch, settings);
        Self { master, epoch, link, proving: true, over: false, early: None }
    }

    /// Feeds the master and takes its orders.
    ///
    /// # Errors
    /// What is wrong with what it believes.
    pub(crate) fn feed(&mut self, event: Event, variant: Variant) -> Result<(), String> {
        if self.over {
            return Ok(());
        }
        let mut effects = VecDeque::from(self.master.on(event, now()));
        while let Some(effect) = effects.pop_front() {
            match of_what_never_happens(&effect) {
                Some(answer) => effects.extend(self.master.on(answer, now())),
                None => self.obey(effect, variant),
            }
        }
        self.master.sanity_check()
    }

    fn obey(&mut self, effect: Effect, variant: Variant) {
        match effect {
            Effect::Tell(_) => {}
            Effect::MendLayout if variant == Variant::LayoutLeft => {}
            Effect::Write(id, _) if !self.link.up || !self.link.pen_open => {
                self.link.answers.push_back(Event::WriteEnded(id, Outcome::Refused(Refusal::Whole(Why::NotSent))));
            }
            Effect::Write(id, multi) => {
                let multi = variant.of_master(multi);
                // Out of nothing but what the variant left: as good as done.
                match multi.is_empty() {
                    true => self.link.answers.push_back(Event::WriteEnded(id, Outcome::applied())),
                    false => self.link.requests.push_back(Request::Order(Effect::Write(id, multi))),
                }
            }
            order => {
                if self.link.up {
                    self.link.requests.push_back(Request::Order(order));
                }
            }
        }
    }

    /// Its transaction with the fence in front.
    pub(crate) fn fenced(&self, multi: &Multi) -> Multi {
        fence(self.epoch).and(multi.clone())
    }

    /// What comes back of a fenced transaction.
    pub(crate) fn outcome(&self, executed: &Execution) -> Outcome {
        let fenced = fence(self.epoch).len();
        match executed {
            Ok((applied, _)) => {
                let sets = applied.sets.iter().map(|(index, version, mzxid)| (index - fenced, *version, *mzxid)).collect();
                Outcome::Applied(bellwether_core::protocol::Applied { sets })
            }
            Err((index, why)) if *index < fenced => Outcome::Refused(Refusal::Fence(*why)),
            Err((index, why)) => Outcome::refused(index - fenced, *why),
        }
    }

    /// A write ended: what its shell does about it, before the master hears of it.
    pub(crate) fn on_outcome(&mut self, id: u64, outcome: Outcome) {
        if outcome == Outcome::Unknown {
            self.link.pen_open = false;
            self.prove();
        }
        self.over |= matches!(outcome, Outcome::Refused(Refusal::Fence(_)));
        self.link.answers.push_back(Event::WriteEnded(id, outcome));
    }

    /// Asks the fence whether it is in office still.
    pub(crate) fn prove(&mut self) {
        if self.link.up && !std::mem::replace(&mut self.proving, true) {
            self.link.requests.push_back(Request::Prove);
        }
    }

    pub(crate) fn on_proof(&mut self, outcome: &Outcome) {
        self.proving = false;
        match outcome {
            Outcome::Applied(_) => {
                self.link.watching = true;
                self.link.pen_open = true;
                self.link.answers.push_back(Event::Began);
            }
            Outcome::Refused(_) | Outcome::Unknown => self.over = true,
        }
    }

    /// The connection is lost: of what was on its way nobody knows how it ends.
    pub(crate) fn suspend(&mut self, variant: Variant) -> Result<(), String> {
        for request in self.link.cut() {
            if let Request::Order(Effect::Write(id, multi)) = request {
                let fenced = self.fenced(&multi);
                self.link.ghosts.push_back(Arc::new(fenced));
                self.link.answers.push_back(Event::WriteEnded(id, Outcome::Unknown));
            }
        }
        self.proving = false;
        self.feed(Event::Paused, variant)
    }

    pub(crate) fn resume(&mut self) {
        self.link.up = true;
        self.prove();
    }

    /// What a read finds now.
    pub(crate) fn read(&mut self, question: Effect, zookeeper: &mut ZooKeeper, variant: Variant) {
        let listed = |parent: &str| zookeeper.children(parent).unwrap_or_default();
        let reading = |path: &str| zookeeper.get(path).map_or(Reading::Absent, Reading::Found);
        let answer = match question {
            Effect::ListBoxes(_) if variant == Variant::WorkersFirst && self.early.is_none() => {
                self.early = Some(workers(&listed(path::WORKERS)));
                self.link.requests.push_front(Request::Order(question));
                return;
            }
            Effect::ListBoxes(q) => Event::BoxesListed(q, workers(&listed(path::ASSIGN))),
            Effect::ListWorkers(q) => {
                let found = self.early.take().unwrap_or_else(|| workers(&listed(path::WORKERS)));
                Event::WorkersListed(q, found)
            }
            Effect::ListBox(q, worker) => {
                let found = zookeeper.children(&path::assign_box(&worker));
                Event::BoxListed(q, worker, found.as_deref().map(tasks))
            }
            Effect::ListTasks(q) => Event::TasksListed(q, tasks(&listed(path::TASKS))),
            Effect::ListCancels(q) => Event::CancelsListed(q, tasks(&listed(path::CANCEL))),
            Effect::ReadWorker(q, worker) => {
                let found = reading(&path::worker(&worker));
                Event::WorkerRead(q, worker, found)
            }
            Effect::ReadTask(q, task) => {
                let found = reading(&path::task(&task));
                Event::TaskRead(q, task, found)
            }
            Effect::ReadAssignment(q, worker, task) => {
                let found = reading(&path::assignment(&worker, &task));
                Event::AssignmentRead(q, worker, task, found)
            }
            Effect::ReadCancel(q, task) => {
                let found = reading(&path::cancel(&task));
                Event::CancelRead(q, task, found)
            }
            Effect::MendLayout => {
                zookeeper.mend();
                Event::LayoutMended
            }
            Effect::ListHeld(_)
            | Effect::ReadHeld(..)
            | Effect::ReadGround(_)
            | Effect::ListResults(_)
            | Effect::Arm(_)
            | Effect::Write(..)
            | Effect::Tell(_) => return,
        };
        self.link.answers.push_back(answer);
    }

    /// Numbers as small as their order allows.
    pub(crate) fn tidy(&mut self) {
        compress(self, |ruler, rename| {
            ruler.master.renumber(rename);
            for request in &mut ruler.link.requests {
                if let Request::Order(effect) = request {
                    number_of_effect(effect, rename);
                }
            }
            ruler.link.answers.iter_mut().for_each(|answer| number_of_event(answer, rename));
        });
    }
}

/// Answers to what is asked about things that no history here has: nothing is held, and `/tasks` is as old as `/status`. At once, so
/// that they cost no states.
fn of_what_never_happens(question: &Effect) -> Option<Event> {
    match question {
        Effect::ReadGround(q) => {
            let ground = Ground { elected_ms: Some(0), tasks_czxid: Some(1), status_czxid: Some(2), swept: None };
            Some(Event::GroundRead(*q, ground))
        }
        Effect::ListHeld(q) => Some(Event::HeldListed(*q, Vec::new())),
        Effect::ReadHeld(q, task) => Some(Event::HeldRead(*q, task.clone(), Reading::Absent)),
        _ => None,
    }
}

fn workers(names: &[String]) -> Vec<WorkerId> {
    names.iter().map(|name| WorkerId::listed(name)).collect()
}

fn tasks(names: &[String]) -> Vec<TaskName> {
    names.iter().map(|name| TaskName::listed(name)).collect()
}

fn number_of_effect(effect: &mut Effect, rename: Rename<'_>) {
    match effect {
        Effect::ListBoxes(q)
        | Effect::ListWorkers(q)
        | Effect::ListBox(q, _)
        | Effect::ListTasks(q)
        | Effect::ListHeld(q)
        | Effect::ListCancels(q)
        | Effect::ListResults(q)
        | Effect::ReadGround(q)
        | Effect::ReadHeld(q, _)
        | Effect::ReadWorker(q, _)
        | Effect::ReadTask(q, _)
        | Effect::ReadAssignment(q, ..)
        | Effect::ReadCancel(q, _) => rename(Numbered::Question, q),
        Effect::Write(id, _) => rename(Numbered::Write, id),
        Effect::MendLayout | Effect::Arm(_) | Effect::Tell(_) => {}
    }
}

fn number_of_event(event: &mut Event, rename: Rename<'_>) {
    match event {
        Event::BoxesListed(q, _)
        | Event::WorkersListed(q, _)
        | Event::BoxListed(q, ..)
        | Event::TasksListed(q, _)
        | Event::HeldListed(q, _)
        | Event::CancelsListed(q, _)
        | Event::GroundRead(q, _)
        | Event::ResultsListed(q, _)
        | Event::HeldRead(q, ..)
        | Event::WorkerRead(q, ..)
        | Event::TaskRead(q, ..)
        | Event::AssignmentRead(q, ..)
        | Event::CancelRead(q, ..) => rename(Numbered::Question, q),
        Event::WriteEnded(id, _) => rename(Numbered::Write, id),
        Event::Began
        | Event::Paused
        | Event::ReconcileDue
        | Event::Changed(_)
        | Event::LayoutMended
        | Event::Configured(_)
        | Event::Rang => {}
    }
}
