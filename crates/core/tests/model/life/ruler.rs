//! A coordinator in office, with the least of a shell around the real [`Master`]: the pen with its fence, the proof of office, questions
//! and answers. How it came into office is the business of the other model.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::Time;
use bellwether_core::election::fence;
use bellwether_core::master::{Aged, ArrayFound, Effect, Event, Ground, Master, Reading};
use bellwether_core::numbering::{Numbered, Rename};
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, WorkerId, path};

use super::link::{Link, compress};
use super::variant::Variant;
use super::world::Rules;
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
    /// Whether its timer is armed.
    pub(crate) ticking: bool,
    /// Whether there may be groups: where there are none, the answer to who they are changes nothing, and stands in the way of all others.
    has_groups: bool,
    /// Likewise of arrays.
    has_arrays: bool,
    /// How often it compared what it believes with everything: each time, long after the time before.
    pub(crate) compared: u32,
    /// A list that was read too early: only where that is the variant.
    early: Option<Vec<WorkerId>>,
    /// What was read of an array, between the two halves of that.
    half: Option<Box<ArrayFound>>,
}

/// Longer than anything rests or may take.
const LONG: Duration = Duration::from_secs(3600);

impl Ruler {
    pub(crate) fn new(session: i64, epoch: i32, rules: &Rules) -> Self {
        let mut link = Link::new(session);
        link.requests.push_back(Request::Prove);
        link.pen_open = false;
        Self {
            master: Master::new(epoch, rules.settings.clone()),
            epoch,
            link,
            proving: true,
            over: false,
            ticking: false,
            has_groups: rules.has_groups,
            has_arrays: rules.has_arrays,
            compared: 0,
            early: None,
            half: None,
        }
    }

    /// Feeds the master and takes its orders.
    ///
    /// # Errors
    /// What is wrong with what it believes.
    pub(crate) fn feed(&mut self, event: Event, variant: Variant) -> Result<(), String> {
        if self.over {
            return Ok(());
        }
        // Whatever rests is due when the timer rings; otherwise time stands still.
        let now = Time::at(LONG * (self.compared + u32::from(event == Event::Rang)));
        for effect in self.master.on(event, now) {
            self.obey(effect, variant);
        }
        self.master.sanity_check()
    }

    fn obey(&mut self, effect: Effect, variant: Variant) {
        match effect {
            Effect::Tell(_) => {}
            // Time stands still: whatever rests may wake at any time.
            Effect::Arm(_) => self.ticking = true,
            Effect::ListGroups(_) if !self.has_groups => {}
            Effect::ListArrays(_) if !self.has_arrays => {}
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
        self.half = None;
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
            Effect::ListHeld(q) => Event::HeldListed(q, tasks(&listed(path::HELD))),
            Effect::ReadHeld(q, task) => {
                let found = reading(&path::held(&task));
                Event::HeldRead(q, task, found)
            }
            Effect::ReadGround(q) => Event::GroundRead(q, ground(zookeeper)),
            Effect::ListResults(q) => Event::ResultsListed(q, results(zookeeper)),
            Effect::ListGroups(q) => Event::GroupsListed(q, tasks(&listed(path::GROUPS))),
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
            Effect::ReadGroup(q, group) => {
                let found = variant.group_read(reading(&path::group(&group)));
                Event::GroupRead(q, group, found)
            }
            Effect::ListArrays(q) => Event::ArraysListed(q, tasks(&listed(path::ARRAYS))),
            Effect::ReadArray(q, array) => match self.half.take() {
                None => {
                    let (node, todo) = (reading(&path::array(&array)), reading(&path::array_todo(&array)));
                    let found = ArrayFound { node, todo, children: Vec::new(), lines: Vec::new(), needed: false, results: None };
                    self.half = Some(Box::new(found));
                    self.link.requests.push_front(Request::Order(Effect::ReadArray(q, array)));
                    return;
                }
                Some(half) => {
                    let there =
                        [path::status(&array), path::task(&array), path::held(&array)].iter().any(|path| zookeeper.get(path).is_some());
                    let found = ArrayFound { children: listed(&path::array(&array)), needed: there, ..*half };
                    Event::ArrayRead(q, array, Box::new(found))
                }
            },
            Effect::ReadWholeArray(q, array) => {
                let (node, todo) = (reading(&path::array(&array)), reading(&path::array_todo(&array)));
                let there = [path::status(&array), path::task(&array), path::held(&array)].iter().any(|path| zookeeper.get(path).is_some());
                let children = listed(&path::array(&array));
                let results = children.iter().filter(|child| child.starts_with("results-"));
                let results = results
                    .filter_map(|child| Some((child.clone(), zookeeper.get(&format!("{}/{child}", path::array(&array)))?.data)))
                    .collect();
                let found = ArrayFound { node, todo, children, lines: Vec::new(), needed: there, results: Some(results) };
                Event::ArrayRead(q, array, Box::new(found))
            }
            Effect::ReadPiece(q, array, piece) => {
                let found = variant.record_read(reading(&path::array_record(&array, &piece)));
                Event::PieceRead(q, array, piece, found)
            }
            Effect::ReadStatus(q, task) => {
                let found = variant.status_read(reading(&path::status(&task)));
                Event::StatusRead(q, task, found)
            }
            Effect::ReadCancel(q, task) => {
                let found = reading(&path::cancel(&task));
                Event::CancelRead(q, task, found)
            }
            Effect::MendLayout => {
                zookeeper.mend();
                Event::LayoutMended
            }
            Effect::Write(..) | Effect::Tell(_) | Effect::LookFor(..) | Effect::Arm(_) => return,
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

fn workers(names: &[String]) -> Vec<WorkerId> {
    names.iter().map(|name| WorkerId::listed(name)).collect()
}

fn tasks(names: &[String]) -> Vec<TaskName> {
    names.iter().map(|name| TaskName::listed(name)).collect()
}

/// How old the layout is: older than what is below it, unless somebody deleted it.
fn ground(zookeeper: &ZooKeeper) -> Ground {
    let swept = zookeeper.get(path::SWEPT).and_then(|node| std::str::from_utf8(&node.data).ok()?.parse().ok());
    let (tasks_czxid, status_czxid) = (zookeeper.age(path::TASKS), zookeeper.age(path::STATUS));
    let (paused, requests) = (zookeeper.znode(path::PAUSED).is_some(), zookeeper.children(path::WORKER_REQUESTS).unwrap_or_default());
    Ground { elected_ms: Some(0), tasks_czxid, status_czxid, swept, paused, requests, ..Ground::default() }
}

fn results(zookeeper: &ZooKeeper) -> Vec<Aged> {
    let below = |parent: &str| -> Vec<String> {
        zookeeper.children(parent).unwrap_or_default().into_iter().map(|name| format!("{parent}/{name}")).collect()
    };
    let paths = [path::STATUS, path::RESULTS].into_iter().flat_map(below);
    paths.filter_map(|path| zookeeper.get(&path).map(|node| Aged { path, czxid: node.stat.czxid })).collect()
}

fn number_of_effect(effect: &mut Effect, rename: Rename<'_>) {
    match effect {
        Effect::ListBoxes(q)
        | Effect::ListWorkers(q)
        | Effect::ListBox(q, _)
        | Effect::ListTasks(q)
        | Effect::ListHeld(q)
        | Effect::ReadHeld(q, _)
        | Effect::ReadGround(q)
        | Effect::ListResults(q)
        | Effect::ListCancels(q)
        | Effect::ListGroups(q)
        | Effect::ListArrays(q)
        | Effect::ReadArray(q, _)
        | Effect::ReadWholeArray(q, _)
        | Effect::ReadPiece(q, ..)
        | Effect::ReadGroup(q, _)
        | Effect::ReadStatus(q, _)
        | Effect::ReadWorker(q, _)
        | Effect::ReadTask(q, _)
        | Effect::ReadAssignment(q, ..)
        | Effect::LookFor(q, _)
        | Effect::ReadCancel(q, _) => rename(Numbered::Question, q),
        Effect::Write(id, _) => rename(Numbered::Write, id),
        Effect::MendLayout | Effect::Tell(_) | Effect::Arm(_) => {}
    }
}

fn number_of_event(event: &mut Event, rename: Rename<'_>) {
    match event {
        Event::BoxesListed(q, _)
        | Event::WorkersListed(q, _)
        | Event::BoxListed(q, ..)
        | Event::TasksListed(q, _)
        | Event::HeldListed(q, _)
        | Event::HeldRead(q, ..)
        | Event::GroundRead(q, _)
        | Event::ResultsListed(q, _)
        | Event::CancelsListed(q, _)
        | Event::GroupsListed(q, _)
        | Event::ArraysListed(q, _)
        | Event::ArrayRead(q, ..)
        | Event::PieceRead(q, ..)
        | Event::GroupRead(q, ..)
        | Event::StatusRead(q, ..)
        | Event::WorkerRead(q, ..)
        | Event::TaskRead(q, ..)
        | Event::AssignmentRead(q, ..)
        | Event::LookedFor(q, _)
        | Event::CancelRead(q, ..) => rename(Numbered::Question, q),
        Event::WriteEnded(id, _) => rename(Numbered::Write, id),
        Event::Began
        | Event::Paused
        | Event::ReconcileDue
        | Event::Changed(_)
        | Event::LayoutMended
        | Event::Configured(_)
        | Event::Overfull(_)
        | Event::Rang => {}
    }
}
