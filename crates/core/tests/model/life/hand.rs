//! A worker process, with the least of a shell around the real [`Agent`]: its session, and commands that end when they like.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bellwether_core::agent::{Agent, Effect, Event, OnDoubt, Order, PieceRan, Settings, Stop, Timer};
use bellwether_core::lifecycle::{Ending, Ran, RetryDefaults, RunId};
use bellwether_core::master::Reading;
use bellwether_core::numbering::{Numbered, Rename};
use bellwether_core::piece::Progress;
use bellwether_core::protocol::array::PieceOrder;
use bellwether_core::protocol::record::WorkerRecord;
use bellwether_core::protocol::result::Stream;
use bellwether_core::protocol::{Multi, Outcome, PROTOCOL_VERSION, Refusal, TaskName, Why, WorkerId, path};
use jiff::Timestamp;
use std::time::Duration;

use super::link::{Link, compress};
use super::now;
use super::variant::Variant;
use super::zookeeper::ZooKeeper;

/// What becomes of a command's process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    /// It runs, and may end at any time.
    Running,
    /// It was killed, and is dead soon.
    Killed,
    /// It was killed, and is said to be dead already: only where that is the variant.
    Unreported,
}

/// An assignment as it was read: which creation of it, and which version.
pub(crate) type Attempt = (i64, i32);

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    pub(crate) life: Life,
    /// What this is about, whatever the worker believes.
    pub(crate) attempt: Attempt,
    /// During which session it was started: zero, if there was none.
    pub(crate) session: i64,
    /// What is run.
    pub(crate) order: Box<Order>,
}

/// What the end of a command means.
#[derive(Debug, Clone)]
pub(crate) struct Over {
    /// What the worker is told; `None`: it was an element, and the piece goes on.
    pub(crate) event: Option<Event>,
    pub(crate) group: Group,
    /// The element that ended by itself, of a piece.
    pub(crate) element: Option<u32>,
}

/// What a step asks of the world around.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Wish {
    /// A command of this task was started for this assignment.
    Started(TaskName, Attempt),
    /// A result is sent of an attempt that is not what was read last.
    SentOther,
    /// Close the session; open another.
    Reopen,
    /// Close the session; the process ends.
    Leave,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Hand {
    pub(crate) agent: Agent,
    pub(crate) link: Option<Link<Effect, Event>>,
    pub(crate) groups: BTreeMap<RunId, Group>,
    /// How far pieces of arrays are.
    pieces: BTreeMap<RunId, Progress>,
    pub(crate) timers: BTreeSet<Timer>,
    /// What was read last, by task.
    read: BTreeMap<TaskName, Attempt>,
    /// What ended last, by task.
    ended: BTreeMap<TaskName, Attempt>,
    /// Answers of the session before: handed over only where that is the variant.
    pub(crate) left_over: VecDeque<Event>,
    first_session: Option<i64>,
    pub(crate) slots: usize,
    pub(crate) gone: bool,
}

impl Hand {
    pub(crate) fn new(name: &str, slots: u32) -> Self {
        let empty = String::new;
        let record = WorkerRecord {
            bellwether: PROTOCOL_VERSION,
            name: name.to_owned(),
            host: empty(),
            pid: 1,
            slots,
            labels: BTreeMap::new(),
            resources: BTreeMap::new(),
            kinds: Default::default(),
            commands: true,
            http: empty(),
            version: empty(),
            patience_ms: None,
            replaces: None,
            since: None,
        };
        let (drain_timeout, kill_grace, retry_after) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let start_timeout = Duration::ZERO;
        let settings = Settings {
            record,
            on_doubt: OnDoubt::Kill,
            drain_timeout,
            kill_grace,
            start_timeout,
            retry_after,
            retry: RetryDefaults::default(),
        };
        Self {
            agent: Agent::new(settings),
            link: None,
            groups: BTreeMap::new(),
            pieces: BTreeMap::new(),
            timers: BTreeSet::new(),
            read: BTreeMap::new(),
            ended: BTreeMap::new(),
            left_over: VecDeque::new(),
            first_session: None,
            slots: slots as usize,
            gone: false,
        }
    }

    /// From now on it says for how long at most it has a task.
    pub(crate) fn promise(&mut self) {
        let (zero, soon) = (Duration::ZERO, Duration::from_millis(1));
        let said = self.agent.on(Event::Configured { drain_timeout: zero, kill_grace: zero, start_timeout: soon }, now());
        assert_eq!(said, [], "it is registered nowhere");
    }

    /// By which number its worker is known.
    pub(crate) fn incarnation(&mut self, session: i64, variant: Variant) -> i64 {
        let first = *self.first_session.get_or_insert(session);
        if variant == Variant::SameName { first } else { session }
    }

    /// A session was opened. What the one before still had to say is dropped at the door.
    pub(crate) fn open(&mut self, session: i64, variant: Variant) {
        self.link = Some(Link::new(session));
        if variant != Variant::DoorOpen {
            self.left_over.clear();
        }
    }

    /// Feeds the agent and carries out what concerns this process alone.
    ///
    /// # Errors
    /// What is wrong with what it believes.
    pub(crate) fn feed(&mut self, event: Event, variant: Variant) -> Result<Vec<Wish>, String> {
        let mut wishes = Vec::new();
        if self.gone {
            return Ok(wishes);
        }
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if let Event::AssignmentRead(_, task, Reading::Found(node)) = &event {
                self.read.insert(task.clone(), (node.stat.mzxid, node.stat.version));
            }
            for effect in self.agent.on(event, now()) {
                self.obey(effect, variant, &mut events, &mut wishes);
            }
        }
        self.agent.sanity_check()?;
        Ok(wishes)
    }

    fn obey(&mut self, effect: Effect, variant: Variant, events: &mut VecDeque<Event>, wishes: &mut Vec<Wish>) {
        match effect {
            Effect::Tell(_) | Effect::ReadEpoch | Effect::Guard(_) => {}
            // Time stands still, so that nobody is ever in doubt; only what failed is tried again.
            Effect::Arm(Timer::ProofDue | Timer::Doubt | Timer::DrainOver, _) => {}
            Effect::Arm(timer, _) => drop(self.timers.insert(timer)),
            Effect::Prove(nonce) => {
                let answered = self.link.as_ref().is_some_and(|link| link.up);
                events.push_back(Event::ProofEnded { nonce, answered, sent: Duration::ZERO });
            }
            // No time passes here that could be measured.
            Effect::FindSuccessors(asked) => {
                let found = asked.into_iter().map(|(id, _)| (id, None)).collect();
                events.push_back(Event::SuccessorsFound { registered_ms: 0, found });
            }
            Effect::Start(order) => {
                let attempt = self.read.get(&order.id.task).copied().unwrap_or_default();
                wishes.push(Wish::Started(order.id.task.clone(), attempt));
                let session = self.link.as_ref().map_or(0, |link| link.session);
                self.groups.insert(order.id.clone(), Group { life: Life::Running, attempt, session, order });
            }
            Effect::Stop(id, Stop::Kill | Stop::Terminate | Stop::Within(_)) => self.kill(&id, variant, events),
            Effect::KillAll => self.groups.keys().cloned().collect::<Vec<_>>().iter().for_each(|id| self.kill(id, variant, events)),
            Effect::Leave => wishes.push(Wish::Leave),
            Effect::ReopenSession => wishes.push(Wish::Reopen),
            Effect::MendLayout if variant == Variant::LayoutLeft => {}
            Effect::Register(multi) => self.request(Effect::Register(multi), events),
            Effect::Write(id, multi) => {
                let reported =
                    multi.ops.iter().filter_map(|op| op.path().strip_prefix(path::STATUS)).map(|name| TaskName::listed(&name[1..]));
                if reported.into_iter().any(|task| self.ended.get(&task) != self.read.get(&task)) {
                    wishes.push(Wish::SentOther);
                }
                let mut parts = variant.of_worker(multi).into_iter();
                let first = parts.next().unwrap_or_default();
                self.request(Effect::Write(id, first), events);
                // A second half, if the variant made two of it; nobody hears how it ended.
                parts.for_each(|multi| self.request(Effect::Write(u64::MAX, multi), events));
            }
            question @ (Effect::ReadRegistration
            | Effect::Resync(_)
            | Effect::ReadRequests(_)
            | Effect::ReadAssignment(..)
            | Effect::ReadArray(..)
            | Effect::ReadRecord(..)
            | Effect::MendLayout) => self.request(question, events),
        }
    }

    fn kill(&mut self, id: &RunId, variant: Variant, events: &mut VecDeque<Event>) {
        let Some(group) = self.groups.get_mut(id).filter(|group| group.life == Life::Running) else { return };
        group.life = Life::Killed;
        if variant == Variant::SlotFreeAtOnce {
            group.life = Life::Unreported;
            events.push_back(Event::RunEnded(id.clone(), Box::new(ran(Ending::Killed))));
        }
    }

    fn request(&mut self, request: Effect, events: &mut VecDeque<Event>) {
        let Some(link) = &mut self.link else { return };
        let refused = Outcome::Refused(Refusal::Whole(Why::NotSent));
        match (&request, link.up) {
            (Effect::Write(id, _), false) => events.push_back(Event::WriteEnded(*id, refused)),
            (Effect::Register(_), false) => events.push_back(Event::RegisterEnded(refused)),
            (_, false) => {}
            (_, true) => link.requests.push_back(request),
        }
    }

    /// What is told when a command's process group is dead.
    pub(crate) fn group_ends(&mut self, id: &RunId, exit: i32) -> Option<Over> {
        let group = self.groups.remove(id)?;
        let ending = match group.life {
            Life::Running => Ending::Exited(exit),
            Life::Killed | Life::Unreported => Ending::Killed,
        };
        if let Some(piece) = group.order.piece.clone() {
            return Some(self.element_ends(id, group, piece, ending));
        }
        if group.life == Life::Running {
            self.ended.insert(id.task.clone(), group.attempt);
        }
        let event = Some(Event::RunEnded(id.clone(), Box::new(ran(ending))));
        Some(Over { event, group, element: None })
    }

    /// One element of a piece ends, and the next one begins, or the piece is over.
    fn element_ends(&mut self, id: &RunId, group: Group, piece: PieceOrder, ending: Ending) -> Over {
        let mut progress = self.pieces.remove(id).unwrap_or_else(|| Progress::new(piece));
        let killed = ending == Ending::Killed;
        let element = progress.next().filter(|_| !killed);
        progress.take(&ran(ending), &group.order.task, &RetryDefaults::default());
        if progress.next().is_some() {
            self.pieces.insert(id.clone(), progress);
            self.groups.insert(id.clone(), group.clone());
            return Over { event: None, group, element };
        }
        let event = Some(Event::PieceEnded(id.clone(), Box::new(PieceRan { progress, dead: None, killed })));
        Over { event, group, element }
    }

    /// The process is gone, and all that it ran.
    pub(crate) fn vanish(&mut self) {
        self.gone = true;
        self.groups.clear();
        self.pieces.clear();
    }

    /// The connection is lost: of what was on its way nobody knows how it ends.
    pub(crate) fn suspend(&mut self) -> Event {
        if let Some(link) = &mut self.link {
            for request in link.cut() {
                match request {
                    Effect::Write(id, multi) => {
                        link.ghosts.push_back(Arc::new(multi));
                        link.answers.push_back(Event::WriteEnded(id, Outcome::Unknown));
                    }
                    Effect::Register(multi) => {
                        link.ghosts.push_back(Arc::new(multi));
                        link.answers.push_back(Event::RegisterEnded(Outcome::Unknown));
                    }
                    _ => {}
                }
            }
        }
        Event::SessionSuspended
    }

    /// What a read finds now, on this connection.
    pub(crate) fn read(&mut self, question: Effect, zookeeper: &mut ZooKeeper, variant: Variant) {
        let Some(me) = self.agent.me().cloned() else { return };
        let Some(link) = &mut self.link else { return };
        let answer = match question {
            Effect::ReadRegistration => {
                link.pen_open = true;
                Event::RegistrationRead(zookeeper.get(&path::worker(&me)).is_some())
            }
            Effect::Resync(q) => {
                link.pen_open = true;
                link.watching = true;
                link.answers.push_back(requests_of(q, &me, zookeeper));
                Event::BoxListed(q, box_of(&me, zookeeper))
            }
            Effect::ReadRequests(q) => requests_of(q, &me, zookeeper),
            Effect::ReadAssignment(q, task) => {
                let mut found = zookeeper.get(&path::assignment(&me, &task));
                if let (Some(node), Variant::CzxidUnseen) = (&mut found, variant) {
                    node.stat.czxid = 1;
                }
                Event::AssignmentRead(q, task, found.map_or(Reading::Absent, Reading::Found))
            }
            Effect::ReadArray(q, task, array) => {
                let found = zookeeper.get(&path::array(&array)).map_or(Reading::Absent, Reading::Found);
                Event::ArrayRead(q, task, found)
            }
            Effect::ReadRecord(q, task, path) => {
                let found = zookeeper.get(&path).map_or(Reading::Absent, Reading::Found);
                Event::RecordRead(q, task, found)
            }
            Effect::MendLayout => {
                zookeeper.mend();
                Event::LayoutMended
            }
            _ => return,
        };
        link.answers.push_back(answer);
    }

    /// Numbers as small as their order allows.
    pub(crate) fn tidy(&mut self) {
        compress(self, |hand, rename| {
            hand.agent.renumber(rename);
            if let Some(link) = &mut hand.link {
                link.requests.iter_mut().for_each(|request| number_of_effect(request, rename));
                link.answers.iter_mut().for_each(|answer| number_of_event(answer, rename));
            }
        });
    }
}

fn requests_of(question: u64, me: &WorkerId, zookeeper: &ZooKeeper) -> Event {
    let read = |name: &str| zookeeper.get(&path::worker_request(name)).map_or(Reading::Absent, Reading::Found);
    Event::RequestsRead { question, drain: read(me.operator_name().unwrap_or_default()), recall: read(me.as_str()) }
}

fn box_of(me: &WorkerId, zookeeper: &ZooKeeper) -> Option<Vec<TaskName>> {
    let listed = zookeeper.get(&path::worker(me)).and_then(|_| zookeeper.children(&path::assign_box(me)));
    listed.map(|names| names.iter().map(|name| TaskName::listed(name)).collect())
}

/// A transaction as the worker sends it, or the registration.
pub(crate) fn multi_of(request: &Effect) -> Option<&Multi> {
    match request {
        Effect::Write(_, multi) | Effect::Register(multi) => Some(multi),
        _ => None,
    }
}

fn number_of_effect(effect: &mut Effect, rename: Rename<'_>) {
    match effect {
        Effect::Resync(q)
        | Effect::ReadRequests(q)
        | Effect::ReadAssignment(q, _)
        | Effect::ReadArray(q, ..)
        | Effect::ReadRecord(q, ..) => rename(Numbered::Question, q),
        Effect::Write(id, _) if *id != u64::MAX => rename(Numbered::Write, id),
        Effect::Prove(nonce) => rename(Numbered::Proof, nonce),
        _ => {}
    }
}

fn number_of_event(event: &mut Event, rename: Rename<'_>) {
    match event {
        Event::BoxListed(q, _)
        | Event::RequestsRead { question: q, .. }
        | Event::AssignmentRead(q, ..)
        | Event::ArrayRead(q, ..)
        | Event::RecordRead(q, ..) => rename(Numbered::Question, q),
        Event::WriteEnded(id, _) if *id != u64::MAX => rename(Numbered::Write, id),
        Event::ProofEnded { nonce, .. } => rename(Numbered::Proof, nonce),
        _ => {}
    }
}

fn ran(ending: Ending) -> Ran {
    let at = Timestamp::UNIX_EPOCH;
    Ran { ending, started: at, ended: at, dead: None, stdout: Stream::default(), stderr: Stream::default(), output: None }
}
