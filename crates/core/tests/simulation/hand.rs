//! A worker process, as its shell would run it: the agent, its session, its timers, and commands that end when chance says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bellwether_core::Time;
use bellwether_core::agent::{Agent, Effect, Event, Order, PieceRan, Settings, Stop, Timer};
use bellwether_core::lifecycle::{Ending, Ran, RunId};
use bellwether_core::master::Reading;
use bellwether_core::piece::Progress;
use bellwether_core::protocol::array::PieceOrder;
use bellwether_core::protocol::payload::Rejection;
use bellwether_core::protocol::result::Stream;
use bellwether_core::protocol::{Change, Multi, Outcome, Refusal, TaskName, Why, WorkerId, path};
use jiff::Timestamp;

use crate::link::{Fate, Link, State, fate};
use crate::random::Random;
use crate::zookeeper::ZooKeeper;

/// The session timeout of workers.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(4);

/// What it asks of ZooKeeper.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// What the agent ordered.
    Order(Effect),
    /// A `sync`, sent at this time.
    Prove(u64, Duration),
}

/// One process.
pub(crate) struct Hand {
    pub(crate) name: String,
    settings: Settings,
    pub(crate) agent: Agent,
    pub(crate) link: Option<Link<Request, Event>>,
    /// What the session tells, by a channel of its own.
    pub(crate) session_events: VecDeque<Event>,
    pub(crate) timers: BTreeMap<Timer, Duration>,
    pub(crate) running: BTreeMap<RunId, Order>,
    /// How far pieces of arrays are.
    pieces: BTreeMap<RunId, Progress>,
    /// Commands that were told to end.
    pub(crate) terminating: BTreeSet<RunId>,
    pub(crate) ended: VecDeque<Event>,
    started: BTreeSet<(String, RunId)>,
    pub(crate) gone: bool,
    pub(crate) draining: bool,
}

impl Hand {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            name: settings.record.name.clone(),
            agent: Agent::new(settings.clone()),
            settings,
            link: None,
            session_events: VecDeque::new(),
            timers: BTreeMap::new(),
            running: BTreeMap::new(),
            terminating: BTreeSet::new(),
            ended: VecDeque::new(),
            started: BTreeSet::new(),
            pieces: BTreeMap::new(),
            gone: false,
            draining: false,
        }
    }

    /// Whether tasks that ask for a zone can run here.
    pub(crate) fn agent_offers_zone(&self) -> bool {
        self.settings.record.labels.contains_key("zone")
    }

    pub(crate) fn open(&mut self, zookeeper: &mut ZooKeeper, now: Duration) {
        let session = zookeeper.open();
        self.link = Some(Link::new(session, now));
        self.session_events.push_back(Event::SessionOpened { session, timeout: TIMEOUT });
    }

    /// The process is killed, and its commands with it.
    pub(crate) fn crash(&mut self) {
        self.gone = true;
        self.running.clear();
        self.pieces.clear();
        self.session_events.clear();
        self.ended.clear();
    }

    pub(crate) fn on(&mut self, event: Event, zookeeper: &mut ZooKeeper, now: Duration) {
        if self.gone {
            return;
        }
        let shown = zookeeper.in_detail.then(|| format!("{event:?}"));
        let effects = self.agent.on(event, Time::at(now));
        if let Some(shown) = shown {
            zookeeper.story.push(format!("    {} {now:?} {shown} -> {effects:?}", self.name));
        }
        if let Err(wrong) = self.agent.sanity_check() {
            panic!("insane agent: {wrong}");
        }
        for effect in effects {
            self.run(effect, zookeeper, now);
        }
    }

    fn run(&mut self, effect: Effect, zookeeper: &mut ZooKeeper, now: Duration) {
        match effect {
            Effect::Tell(fact) => zookeeper.tally.agent(&fact),
            Effect::Arm(timer, at) => {
                self.timers.insert(timer, at);
            }
            Effect::Start(order) => self.start(*order),
            Effect::Stop(id, Stop::Kill) => self.kill(&id),
            Effect::Stop(id, Stop::Terminate | Stop::Within(_)) => {
                self.terminating.insert(id);
            }
            Effect::KillAll => self.running.keys().cloned().collect::<Vec<_>>().iter().for_each(|id| self.kill(id)),
            // Nobody here is ever frozen.
            Effect::Guard(_) => {}
            Effect::Prove(nonce) => self.request(Request::Prove(nonce, now)),
            Effect::Leave => {
                if let Some(link) = self.link.take() {
                    zookeeper.end(link.session);
                }
                self.crash();
            }
            Effect::ReopenSession => {
                if let Some(link) = self.link.take() {
                    zookeeper.end(link.session);
                }
                self.open(zookeeper, now);
            }
            order @ (Effect::Register(_)
            | Effect::ReadRegistration
            | Effect::Resync(_)
            | Effect::ReadAssignment(..)
            | Effect::ReadArray(..)
            | Effect::ReadRecord(..)
            | Effect::ReadRequests(_)
            | Effect::ReadEpoch
            | Effect::Write(..)
            | Effect::FindSuccessors(_)
            | Effect::MendLayout) => self.request(Request::Order(order)),
        }
    }

    fn start(&mut self, order: Order) {
        let incarnation = (order.worker.to_string(), order.id.clone());
        assert!(self.started.insert(incarnation), "{} started {:?} twice", order.worker, order.id);
        let taken = self.running.insert(order.id.clone(), order);
        assert!(taken.is_none(), "one slot for two");
    }

    fn kill(&mut self, id: &RunId) {
        if let Some(order) = self.running.remove(id) {
            self.terminating.remove(id);
            if let Some(piece) = order.piece {
                return self.piece_ends(id, piece, true);
            }
            self.ended.push_back(Event::RunEnded(id.clone(), Box::new(ran(Ending::Killed))));
        }
    }

    /// One command ends by itself.
    pub(crate) fn end_one(&mut self, random: &mut Random) {
        let ids: Vec<RunId> = self.running.keys().cloned().collect();
        let Some(id) = random.pick(&ids) else { return };
        let Some(order) = self.running.remove(id) else { return };
        if let Some(piece) = order.piece.clone() {
            return self.element_ends(id, order, piece, random);
        }
        let terminated = self.terminating.remove(id);
        let endings = [
            Ending::Exited(0),
            Ending::Exited(3),
            Ending::Signalled(15),
            Ending::TimedOut,
            Ending::NotStarted { exit: 127, why: "no".into() },
        ];
        let ending = if terminated { Ending::Killed } else { random.pick(&endings).expect("five").clone() };
        self.ended.push_back(Event::RunEnded(id.clone(), Box::new(ran(ending))));
    }

    /// One element of a piece ends, and the next one begins, or the piece is over.
    fn element_ends(&mut self, id: &RunId, order: Order, piece: PieceOrder, random: &mut Random) {
        let progress = self.pieces.entry(id.clone()).or_insert_with(|| Progress::new(piece.clone()));
        let terminated = self.terminating.remove(id);
        let good = random.percent(70);
        let endings = [Ending::Exited(3), Ending::Signalled(15), Ending::TimedOut, Ending::Rejected(Rejection::Empty)];
        let ending = if good { Ending::Exited(0) } else { random.pick(&endings).expect("four").clone() };
        let ending = if terminated { Ending::Killed } else { ending };
        progress.take(&ran(ending), &order.task, &self.settings.retry);
        if progress.next().is_none() || random.percent(10) {
            return self.piece_ends(id, piece, terminated);
        }
        self.running.insert(id.clone(), order);
    }

    fn piece_ends(&mut self, id: &RunId, piece: PieceOrder, killed: bool) {
        let progress = self.pieces.remove(id).unwrap_or_else(|| Progress::new(piece));
        self.ended.push_back(Event::PieceEnded(id.clone(), Box::new(PieceRan { progress, dead: None, killed })));
    }

    fn request(&mut self, request: Request) {
        let Some(link) = &mut self.link else { return };
        // A request of an earlier session goes nowhere.
        if self.agent.me() != Some(&WorkerId::incarnation(&self.name, link.session)) {
            return;
        }
        let refused = Outcome::Refused(Refusal::Whole(Why::NotSent));
        match (&request, link.state) {
            (Request::Order(Effect::Write(id, _)), State::Down) => link.answers.push_back(Event::WriteEnded(*id, refused)),
            (Request::Order(Effect::Register(_)), State::Down) => link.answers.push_back(Event::RegisterEnded(refused)),
            (Request::Prove(nonce, sent), State::Down) => {
                link.answers.push_back(Event::ProofEnded { nonce: *nonce, answered: false, sent: *sent });
            }
            (Request::Order(_), State::Down) => {}
            (Request::Order(_) | Request::Prove(..), State::Up | State::Frozen) => link.requests.push_back(request),
        }
    }

    pub(crate) fn suspend(&mut self, zookeeper: &mut ZooKeeper, random: &mut Random) {
        let Some(link) = &mut self.link else { return };
        link.state = State::Down;
        link.watching = false;
        link.pen_open = false;
        for request in std::mem::take(&mut link.requests) {
            let applied = fate(random) == Fate::Applied;
            match request {
                Request::Order(Effect::Write(id, multi)) => {
                    if applied {
                        let _ = zookeeper.commit(link.session, &multi);
                    }
                    link.answers.push_back(Event::WriteEnded(id, Outcome::Unknown));
                }
                Request::Order(Effect::Register(multi)) => {
                    if applied {
                        let _ = zookeeper.commit(link.session, &multi);
                    }
                    link.answers.push_back(Event::RegisterEnded(Outcome::Unknown));
                }
                Request::Prove(nonce, sent) => link.answers.push_back(Event::ProofEnded { nonce, answered: false, sent }),
                Request::Order(_) => {}
            }
        }
        self.session_events.push_back(Event::SessionSuspended);
    }

    pub(crate) fn reconnect(&mut self, zookeeper: &mut ZooKeeper, now: Duration) {
        let Some(link) = &mut self.link else { return };
        link.heard = now;
        if zookeeper.is_alive(link.session) {
            link.state = State::Up;
            self.session_events.push_back(Event::SessionResumed);
            return;
        }
        // Whatever the old session still had to say is dropped at the door.
        self.link = None;
        self.session_events.push_back(Event::SessionLost);
        self.open(zookeeper, now);
    }

    /// One request reaches ZooKeeper.
    pub(crate) fn serve(&mut self, zookeeper: &mut ZooKeeper, random: &mut Random, lose: bool) {
        let Some(link) = &mut self.link else { return };
        let Some(request) = link.requests.pop_front() else { return };
        let me = WorkerId::incarnation(&self.name, link.session);
        let answer = match request {
            Request::Prove(nonce, sent) => Event::ProofEnded { nonce, answered: !lose, sent },
            Request::Order(Effect::Register(multi)) => Event::RegisterEnded(write(link, zookeeper, random, &multi, lose)),
            Request::Order(Effect::Write(id, multi)) => Event::WriteEnded(id, write(link, zookeeper, random, &multi, lose)),
            Request::Order(Effect::ReadRegistration) => {
                link.pen_open = true;
                Event::RegistrationRead(zookeeper.get(&path::worker(&me)).is_some())
            }
            Request::Order(Effect::Resync(q)) => {
                link.pen_open = true;
                link.watching = true;
                link.answers.push_back(requests_of(q, &me, zookeeper));
                let listed = zookeeper.get(&path::worker(&me)).and_then(|_| zookeeper.children(&path::assign_box(&me)));
                Event::BoxListed(q, listed.map(|names| names.iter().map(|name| TaskName::listed(name)).collect()))
            }
            Request::Order(Effect::ReadRequests(q)) => requests_of(q, &me, zookeeper),
            Request::Order(Effect::ReadAssignment(q, task)) => {
                let found = zookeeper.get(&path::assignment(&me, &task)).map_or(Reading::Absent, Reading::Found);
                Event::AssignmentRead(q, task, found)
            }
            Request::Order(Effect::ReadArray(q, task, array)) => {
                let found = zookeeper.get(&path::array(&array)).map_or(Reading::Absent, Reading::Found);
                Event::ArrayRead(q, task, found)
            }
            Request::Order(Effect::ReadRecord(q, task, path)) => {
                let found = zookeeper.get(&path).map_or(Reading::Absent, Reading::Found);
                Event::RecordRead(q, task, found)
            }
            Request::Order(Effect::ReadEpoch) => match zookeeper.get(path::EPOCH) {
                Some(node) => Event::EpochRead { epoch: node.stat.version, mzxid: node.stat.mzxid },
                None => return,
            },
            Request::Order(Effect::MendLayout) => {
                zookeeper.mend_layout();
                Event::LayoutMended
            }
            // No time passes between the two here that could be measured.
            Request::Order(Effect::FindSuccessors(asked)) => {
                Event::SuccessorsFound { registered_ms: 0, found: asked.into_iter().map(|(id, _)| (id, None)).collect() }
            }
            Request::Order(_) => return,
        };
        link.answers.push_back(answer);
    }

    pub(crate) fn deliver_answer(&mut self, zookeeper: &mut ZooKeeper, now: Duration) {
        if let Some(answer) = self.link.as_mut().and_then(|link| link.answers.pop_front()) {
            self.on(answer, zookeeper, now);
        }
    }

    pub(crate) fn deliver_events(&mut self, zookeeper: &mut ZooKeeper, random: &mut Random, now: Duration) {
        if let Some(events) = self.link.as_mut().map(|link| link.some_events(random)) {
            self.on(Event::Changed(events), zookeeper, now);
        }
    }

    /// Rings the timers that are due: never late, because killing in doubt depends on it.
    pub(crate) fn ring(&mut self, zookeeper: &mut ZooKeeper, now: Duration) {
        let due: Vec<Timer> = self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            self.timers.remove(&timer);
            self.on(Event::Rang(timer), zookeeper, now);
        }
    }

    /// Whether its watches are told of this.
    pub(crate) fn watches(&self, change: &Change) -> bool {
        let Some(me) = self.agent.me() else { return false };
        match change {
            Change::AssignmentAppeared(worker, _)
            | Change::AssignmentGone(worker, _)
            | Change::WorkerGone(worker)
            | Change::BoxGone(worker) => worker == me,
            Change::RequestAppeared(name) | Change::RequestGone(name) | Change::RequestChanged(name) => {
                name == me.as_str() || Some(name.as_str()) == me.operator_name()
            }
            Change::EpochMoved => true,
            _ => false,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        let quiet = self.link.as_ref().is_none_or(Link::is_idle) && self.session_events.is_empty() && self.ended.is_empty();
        self.gone || (quiet && self.running.is_empty())
    }
}

fn requests_of(question: u64, me: &WorkerId, zookeeper: &ZooKeeper) -> Event {
    let read = |name: &str| zookeeper.get(&path::worker_request(name)).map_or(Reading::Absent, Reading::Found);
    Event::RequestsRead { question, drain: read(me.operator_name().unwrap_or_default()), recall: read(me.as_str()) }
}

fn write(link: &mut Link<Request, Event>, zookeeper: &mut ZooKeeper, random: &mut Random, multi: &Multi, lose: bool) -> Outcome {
    if !link.pen_open {
        return Outcome::Refused(Refusal::Whole(Why::NotSent));
    }
    if lose {
        if fate(random) == Fate::Applied {
            let _ = zookeeper.commit(link.session, multi);
        }
        link.pen_open = false;
        return Outcome::Unknown;
    }
    zookeeper.commit(link.session, multi)
}

fn ran(ending: Ending) -> Ran {
    let at = Timestamp::UNIX_EPOCH;
    Ran { ending, started: at, ended: at, dead: None, stdout: Stream::default(), stderr: Stream::default(), output: None }
}
