//! A coordinator in office, as its shell would run it: the master, its session, its pen.

use std::time::Duration;

use bellwether_core::Time;
use bellwether_core::master::{Aged, ArrayFound, Effect, Event, Fact, Ground, Master, Reading, Settings};
use bellwether_core::protocol::{Change, Multi, Outcome, Refusal, TaskName, Why, WorkerId, path};

use crate::link::{Fate, Link, State, fate, fence};
use crate::random::Random;
use crate::zookeeper::ZooKeeper;

/// What it asks of ZooKeeper.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// What the master ordered.
    Order(Effect),
    /// Arm the watches, then the empty fenced transaction.
    Prove,
}

/// One term.
pub(crate) struct Ruler {
    pub(crate) master: Master,
    epoch: i32,
    pub(crate) link: Link<Request, Event>,
    /// It found out that it rules no more.
    pub(crate) over: bool,
    /// Whether a proof is to be asked for once the connection is up.
    proving: bool,
    pub(crate) facts: Vec<Fact>,
    pub(crate) alarm: Option<Duration>,
}

impl Ruler {
    /// Stands for election; somebody else may rule.
    pub(crate) fn stand(zookeeper: &mut ZooKeeper, now: Duration, settings: Settings) -> Option<Self> {
        let version = zookeeper.get(path::EPOCH)?.stat.version;
        let session = zookeeper.open();
        let ballot = Multi::new().create_ephemeral(path::MASTER, "").set(path::MASTER, "", Some(0)).set(path::EPOCH, "", Some(version));
        if !matches!(zookeeper.commit(session, &ballot), Outcome::Applied(_)) {
            zookeeper.end(session);
            return None;
        }
        let epoch = version + 1;
        let master = Master::new(epoch, settings);
        let mut ruler = Self { master, epoch, link: Link::new(session, now), over: false, proving: false, facts: Vec::new(), alarm: None };
        ruler.link.requests.push_back(Request::Prove);
        Some(ruler)
    }

    pub(crate) fn on(&mut self, event: Event, zookeeper: &mut ZooKeeper, now: Duration) {
        if self.over {
            return;
        }
        let shown = zookeeper.in_detail.then(|| format!("{event:?}"));
        let effects = self.master.on(event, Time::at(now));
        if let Some(shown) = shown {
            zookeeper.story.push(format!("    master {} {now:?} {shown} -> {effects:?}", self.epoch));
        }
        for effect in effects {
            match effect {
                Effect::Tell(fact) => {
                    zookeeper.tally.master(&fact);
                    self.facts.push(fact);
                }
                Effect::Arm(at) => self.alarm = Some(at),
                Effect::Write(id, _) if !self.link.pen_open || self.link.state == State::Down => {
                    self.link.answers.push_back(Event::WriteEnded(id, Outcome::Refused(Refusal::Whole(Why::NotSent))));
                }
                order => {
                    if self.link.state != State::Down {
                        self.link.requests.push_back(Request::Order(order));
                    }
                }
            }
        }
        if let Err(wrong) = self.master.sanity_check() {
            panic!("insane master: {wrong}");
        }
    }

    /// The connection breaks: what is on the way ends either way, and nobody is told which.
    pub(crate) fn suspend(&mut self, zookeeper: &mut ZooKeeper, random: &mut Random, now: Duration) {
        self.link.state = State::Down;
        self.link.watching = false;
        self.proving = false;
        for request in std::mem::take(&mut self.link.requests) {
            if let Request::Order(Effect::Write(id, multi)) = request {
                if fate(random) == Fate::Applied {
                    let _ = self.commit(zookeeper, &multi);
                }
                self.link.answers.push_back(Event::WriteEnded(id, Outcome::Unknown));
            }
        }
        self.link.pen_open = false;
        self.on(Event::Paused, zookeeper, now);
    }

    pub(crate) fn reconnect(&mut self, zookeeper: &ZooKeeper, now: Duration) {
        self.link.heard = now;
        self.link.state = State::Up;
        if !zookeeper.is_alive(self.link.session) {
            self.over = true;
            return;
        }
        self.prove();
    }

    fn prove(&mut self) {
        if !self.proving {
            self.proving = true;
            self.link.requests.push_back(Request::Prove);
        }
    }

    fn commit(&self, zookeeper: &mut ZooKeeper, multi: &Multi) -> Outcome {
        let fenced = Multi { ops: fence(self.epoch) }.and(multi.clone());
        match zookeeper.commit(self.link.session, &fenced) {
            Outcome::Refused(Refusal::At { index, why }) if index < 2 => Outcome::Refused(Refusal::Fence(why)),
            Outcome::Refused(Refusal::At { index, why }) => Outcome::refused(index - 2, why),
            other => other,
        }
    }

    /// One request reaches ZooKeeper.
    pub(crate) fn serve(&mut self, zookeeper: &mut ZooKeeper, random: &mut Random, lose: bool) {
        let Some(request) = self.link.requests.pop_front() else { return };
        let workers = |names: Vec<String>| names.iter().map(|name| WorkerId::listed(name)).collect();
        let tasks = |names: Vec<String>| names.iter().map(|name| TaskName::listed(name)).collect();
        let read = |zookeeper: &ZooKeeper, path: String| zookeeper.get(&path).map_or(Reading::Absent, Reading::Found);
        let answer = match request {
            Request::Prove => {
                self.proving = false;
                match self.commit(zookeeper, &Multi::new()) {
                    Outcome::Applied(_) => {
                        self.link.watching = true;
                        self.link.pen_open = true;
                        Event::Began
                    }
                    Outcome::Refused(_) | Outcome::Unknown => {
                        self.over = true;
                        return;
                    }
                }
            }
            Request::Order(Effect::ListBoxes(q)) => Event::BoxesListed(q, workers(zookeeper.children(path::ASSIGN).unwrap_or_default())),
            Request::Order(Effect::ListWorkers(q)) => {
                Event::WorkersListed(q, workers(zookeeper.children(path::WORKERS).unwrap_or_default()))
            }
            Request::Order(Effect::ListBox(q, worker)) => {
                let listed = zookeeper.children(&path::assign_box(&worker)).map(tasks);
                Event::BoxListed(q, worker, listed)
            }
            Request::Order(Effect::ListTasks(q)) => Event::TasksListed(q, tasks(zookeeper.children(path::TASKS).unwrap_or_default())),
            Request::Order(Effect::ListCancels(q)) => Event::CancelsListed(q, tasks(zookeeper.children(path::CANCEL).unwrap_or_default())),
            Request::Order(Effect::ListHeld(q)) => Event::HeldListed(q, tasks(zookeeper.children(path::HELD).unwrap_or_default())),
            Request::Order(Effect::ReadGround(q)) => Event::GroundRead(q, ground(zookeeper)),
            Request::Order(Effect::ListResults(q)) => Event::ResultsListed(q, results(zookeeper)),
            Request::Order(Effect::LookFor(q, tasks)) => {
                let places = [path::task, path::held, path::status];
                let there = |task: &TaskName| places.iter().any(|place| zookeeper.get(&place(task)).is_some());
                Event::LookedFor(q, tasks.into_iter().filter(there).collect())
            }
            Request::Order(Effect::ReadHeld(q, task)) => {
                let found = read(zookeeper, path::held(&task));
                Event::HeldRead(q, task, found)
            }
            Request::Order(Effect::ReadWorker(q, worker)) => {
                let found = read(zookeeper, path::worker(&worker));
                Event::WorkerRead(q, worker, found)
            }
            Request::Order(Effect::ReadTask(q, task)) => {
                let found = read(zookeeper, path::task(&task));
                Event::TaskRead(q, task, found)
            }
            Request::Order(Effect::ReadAssignment(q, worker, task)) => {
                let found = read(zookeeper, path::assignment(&worker, &task));
                Event::AssignmentRead(q, worker, task, found)
            }
            Request::Order(Effect::ListGroups(q)) => Event::GroupsListed(q, tasks(zookeeper.children(path::GROUPS).unwrap_or_default())),
            Request::Order(Effect::ReadGroup(q, group)) => {
                let found = read(zookeeper, path::group(&group));
                Event::GroupRead(q, group, found)
            }
            Request::Order(Effect::ListArrays(q)) => Event::ArraysListed(q, tasks(zookeeper.children(path::ARRAYS).unwrap_or_default())),
            Request::Order(Effect::ReadArray(q, array)) => {
                let found = array_found(zookeeper, &array);
                Event::ArrayRead(q, array, Box::new(found))
            }
            Request::Order(Effect::ReadWholeArray(q, array)) => {
                let found = array_found(zookeeper, &array);
                let results = found.children.iter().filter(|child| child.starts_with("results-"));
                let results =
                    results.filter_map(|child| Some((child.clone(), zookeeper.get(&format!("{}/{child}", path::array(&array)))?.data)));
                let found = ArrayFound { results: Some(results.collect()), ..found };
                Event::ArrayRead(q, array, Box::new(found))
            }
            Request::Order(Effect::ReadPiece(q, array, piece)) => {
                let found = read(zookeeper, path::array_record(&array, &piece));
                Event::PieceRead(q, array, piece, found)
            }
            Request::Order(Effect::ReadStatus(q, task)) => {
                let found = read(zookeeper, path::status(&task));
                Event::StatusRead(q, task, found)
            }
            Request::Order(Effect::ReadCancel(q, task)) => {
                let found = read(zookeeper, path::cancel(&task));
                Event::CancelRead(q, task, found)
            }
            Request::Order(Effect::Write(id, multi)) => return self.serve_write(zookeeper, random, id, &multi, lose),
            Request::Order(Effect::MendLayout) => {
                zookeeper.mend_layout();
                Event::LayoutMended
            }
            Request::Order(Effect::Tell(_) | Effect::Arm(_)) => return,
        };
        self.link.answers.push_back(answer);
    }

    fn serve_write(&mut self, zookeeper: &mut ZooKeeper, random: &mut Random, id: u64, multi: &Multi, lose: bool) {
        let outcome = if !self.link.pen_open {
            Outcome::Refused(Refusal::Whole(Why::NotSent))
        } else if lose && fate(random) == Fate::Lost {
            Outcome::Unknown
        } else {
            let outcome = self.commit(zookeeper, multi);
            if lose { Outcome::Unknown } else { outcome }
        };
        if outcome == Outcome::Unknown {
            self.link.pen_open = false;
            self.prove();
        }
        self.over |= matches!(outcome, Outcome::Refused(Refusal::Fence(_)));
        self.link.answers.push_back(Event::WriteEnded(id, outcome));
    }

    pub(crate) fn ring(&mut self, zookeeper: &mut ZooKeeper, now: Duration) {
        if self.alarm.take_if(|at| *at <= now).is_some() {
            self.on(Event::Rang, zookeeper, now);
        }
    }

    pub(crate) fn deliver_answer(&mut self, zookeeper: &mut ZooKeeper, random: &mut Random, now: Duration) {
        // Answers are awaited one by one, so they overtake one another a little; but for the one that begins everything.
        let first = self.link.answers.iter().take(3).take_while(|answer| **answer != Event::Began).count();
        let index = if first > 1 { random.below(first) } else { 0 };
        if let Some(answer) = self.link.answers.remove(index) {
            self.on(answer, zookeeper, now);
        }
    }

    pub(crate) fn deliver_events(&mut self, zookeeper: &mut ZooKeeper, random: &mut Random, now: Duration) {
        let events = self.link.some_events(random);
        self.on(Event::Changed(events), zookeeper, now);
    }

    /// Whether its watches are told of this.
    pub(crate) fn watches(change: &Change) -> bool {
        match change {
            Change::TaskAppeared(_)
            | Change::TaskGone(_)
            | Change::TaskChanged(_)
            | Change::WorkerAppeared(_)
            | Change::WorkerGone(_)
            | Change::WorkerChanged(_)
            | Change::BoxAppeared(_)
            | Change::BoxGone(_)
            | Change::AssignmentAppeared(..)
            | Change::AssignmentGone(..)
            | Change::CancelAppeared(_)
            | Change::CancelGone(_)
            | Change::HeldAppeared(_)
            | Change::HeldGone(_)
            | Change::HeldChanged(_)
            | Change::GroupChanged(_)
            | Change::GroupGone(_)
            | Change::Paused
            | Change::Resumed
            | Change::RequestAppeared(_)
            | Change::RequestGone(_)
            | Change::RequestChanged(_)
            | Change::LayoutGone(_) => true,
            Change::OfficeVacant
            | Change::StepDownAsked
            | Change::OfficeTaken
            | Change::EpochMoved
            | Change::StatusAppeared(_)
            | Change::StatusGone(_)
            | Change::QueueMoved
            | Change::ScheduleMoved(_)
            | Change::Foreign(_) => false,
        }
    }
}

fn ground(zookeeper: &ZooKeeper) -> Ground {
    let czxid = |path: &str| zookeeper.get(path).map(|node| node.stat.czxid);
    let swept = zookeeper.get(path::SWEPT).and_then(|node| std::str::from_utf8(&node.data).ok()?.parse().ok());
    let elected_ms = zookeeper.get(path::EPOCH).map(|node| node.stat.mtime_ms);
    let requests = zookeeper.children(path::WORKER_REQUESTS).unwrap_or_default();
    let paused = zookeeper.get(path::PAUSED).is_some();
    Ground { elected_ms, tasks_czxid: czxid(path::TASKS), status_czxid: czxid(path::STATUS), swept, paused, requests, ..Ground::default() }
}

fn results(zookeeper: &ZooKeeper) -> Vec<Aged> {
    let below = |parent: &str| -> Vec<String> {
        zookeeper.children(parent).unwrap_or_default().into_iter().map(|name| format!("{parent}/{name}")).collect()
    };
    let paths = [path::STATUS, path::RESULTS].into_iter().flat_map(below);
    paths.filter_map(|path| zookeeper.get(&path).map(|node| Aged { path, czxid: node.stat.czxid })).collect()
}

fn array_found(zookeeper: &ZooKeeper, array: &TaskName) -> ArrayFound {
    let read = |path: String| zookeeper.get(&path).map_or(Reading::Absent, Reading::Found);
    ArrayFound {
        node: read(path::array(array)),
        todo: read(path::array_todo(array)),
        children: zookeeper.children(&path::array(array)).unwrap_or_default(),
        lines: Vec::new(),
        needed: [path::status(array), path::task(array), path::held(array)].iter().any(|path| zookeeper.get(path).is_some()),
        results: None,
    }
}
