//! One coordinator of the model: the real [`Election`], the least of a shell around it, and a master that writes whenever it may.
//! What ZooKeeper makes of its requests is the business of [`super::world`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::Time;
use bellwether_core::election::{Effect, Election, Event, Fact, Settings, Stage, Timer};
use bellwether_core::protocol::record::CoordinatorRecord;
use bellwether_core::protocol::{Multi, Op, Outcome, PROTOCOL_VERSION, path};

/// How a coordinator is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    /// It believes that it has no session.
    None,
    /// It believes that it is connected: requests are sent and answered.
    Up,
    /// It believes that its session is suspended: requests wait.
    Down,
}

/// A request on its way to ZooKeeper; requests of one connection are executed in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    /// Read the office behind a `sync`.
    Office,
    /// Read whether somebody wants the master to step down.
    Wish,
    /// Remove such a wish, in the name of this epoch.
    RemoveWish(i32),
    /// Create the epoch.
    Epoch(Arc<Multi>),
    /// The ballot.
    Ballot(Arc<Multi>),
    /// The empty fenced transaction.
    Proof {
        /// For this epoch.
        epoch: i32,
        /// Of this question.
        nonce: u64,
    },
    /// What a master of this epoch writes, without its fence.
    Write {
        /// Its term.
        epoch: i32,
        /// What it does.
        multi: Arc<Multi>,
        /// Whether it is a farewell.
        farewell: bool,
    },
}

impl Request {
    /// What is told when nobody knows how it ended.
    pub(crate) fn unknown(&self) -> Event {
        match *self {
            Request::Office => Event::ReadFailed,
            Request::Epoch(_) => Event::EpochCreated,
            Request::Ballot(_) => Event::BallotEnded(Outcome::Unknown),
            Request::Proof { nonce, .. } => Event::ProofEnded { nonce, outcome: Outcome::Unknown, sent: Duration::ZERO },
            Request::Write { farewell: true, .. } => Event::FarewellEnded,
            Request::Write { farewell: false, .. } | Request::Wish | Request::RemoveWish(_) => Event::WriteUnknown,
        }
    }
}

/// What is told instead of an answer that was lost on its way.
pub(crate) fn lost(answer: Event) -> Event {
    match answer {
        Event::OfficeRead(_) => Event::ReadFailed,
        Event::BallotEnded(_) => Event::BallotEnded(Outcome::Unknown),
        Event::ProofEnded { nonce, sent, .. } => Event::ProofEnded { nonce, outcome: Outcome::Unknown, sent },
        Event::WriteFenced | Event::StepDownRead(_) => Event::WriteUnknown,
        other => other,
    }
}

/// Without the data that nothing here depends on: states are hashed often. What `/master` says is read back.
fn light(mut multi: Multi) -> Arc<Multi> {
    for op in &mut multi.ops {
        match op {
            Op::Create { path, data, .. } | Op::Set { path, data, .. } if path != path::MASTER => data.clear(),
            Op::Create { .. } | Op::Set { .. } | Op::Check { .. } | Op::Delete { .. } => {}
        }
    }
    Arc::new(multi)
}

/// The master on top of the election: it holds nothing but its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Master {
    /// Its term.
    pub(crate) epoch: i32,
    /// Whether it must not write.
    pub(crate) paused: bool,
}

/// News from watches that have not been handed over yet, in no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum News {
    /// `/master` was deleted.
    Vacant,
    /// `/master` was created.
    Taken,
    /// The predecessor left the queue.
    PredecessorGone,
    /// Somebody wants a master to step down.
    StepDown,
}

/// A coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Coordinator {
    /// The rules under test.
    pub(crate) election: Election,
    /// What the election started.
    pub(crate) master: Option<Master>,
    /// Its session, as it believes.
    pub(crate) session: i64,
    /// Its connection, as it believes.
    pub(crate) link: Link,
    /// Sent or to be sent.
    pub(crate) requests: VecDeque<Request>,
    /// Answers that have not been handed over yet.
    pub(crate) answers: VecDeque<Event>,
    /// News that has not been handed over yet.
    pub(crate) news: BTreeSet<News>,
    /// Timers that are armed: each may ring at any time.
    pub(crate) timers: BTreeSet<Timer>,
    /// Whether `/master` is watched.
    pub(crate) watching: bool,
    /// The node of the queue that is watched.
    pub(crate) predecessor: Option<String>,
    /// Whether a wish to step down is watched.
    pub(crate) wishable: bool,
    /// How often it stepped down because somebody wanted it.
    pub(crate) resigned: u8,
    /// Whether it found itself in office after a lost answer.
    pub(crate) found: bool,
    /// Whether it left for good.
    pub(crate) left: bool,
}

impl Coordinator {
    /// A process that was just started.
    pub(crate) fn new(name: &str) -> Self {
        let empty = String::new;
        let bellwether = PROTOCOL_VERSION;
        let (name, host, http, version) = (name.to_owned(), empty(), empty(), empty());
        let candidate = CoordinatorRecord { bellwether, name, host, pid: 0, http, version, epoch: None, since: None };
        let settings = Settings { candidate, standby_delay: Duration::ZERO, retry_after: Duration::ZERO };
        Self {
            election: Election::new(settings),
            master: None,
            session: 0,
            link: Link::None,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            news: BTreeSet::new(),
            timers: BTreeSet::new(),
            watching: false,
            predecessor: None,
            wishable: false,
            resigned: 0,
            found: false,
            left: false,
        }
    }

    /// Feeds the election and carries out what concerns this process alone. What is left concerns ZooKeeper, except a complaint
    /// about orders that do not fit together.
    pub(crate) fn feed(&mut self, event: Event) -> Result<Vec<Effect>, &'static str> {
        let effects = self.election.on(event, Time::at(Duration::ZERO));
        let mut left_over = Vec::new();
        for effect in effects {
            left_over.extend(self.obey(effect)?);
        }
        match self.election.confirmed_epoch() {
            Some(_) if self.link != Link::Up => Err("an office is shown as confirmed while the session is not connected"),
            confirmed if confirmed != self.writable() => Err("the election and its master disagree on who may write"),
            Some(_) | None => Ok(left_over),
        }
    }

    /// The term, if its master may write.
    pub(crate) fn writable(&self) -> Option<i32> {
        self.master.filter(|master| !master.paused).map(|master| master.epoch)
    }

    fn obey(&mut self, effect: Effect) -> Result<Option<Effect>, &'static str> {
        match effect {
            Effect::ReadOffice => self.requests.push_back(Request::Office),
            Effect::WatchOffice => {
                self.watching = self.link == Link::Up;
                self.requests.push_back(Request::Office);
            }
            Effect::WatchPredecessor(name) => self.predecessor = Some(name),
            Effect::CreateEpoch(multi) => self.requests.push_back(Request::Epoch(light(multi))),
            Effect::Stand(multi) => self.requests.push_back(Request::Ballot(light(multi))),
            Effect::Prove { epoch, nonce } => self.requests.push_back(Request::Proof { epoch, nonce }),
            Effect::Farewell { epoch, multi } => {
                self.resigned += u8::from(*self.election.stage() == Stage::Resigning);
                self.requests.push_back(Request::Write { epoch, multi: light(multi), farewell: true });
            }
            Effect::Rule { epoch } if self.master.is_none() => self.master = Some(Master { epoch, paused: false }),
            Effect::Rule { .. } => return Err("a master is started beside another"),
            Effect::Pause => self.set_paused(true)?,
            Effect::Resume => self.set_paused(false)?,
            Effect::EndRule(_) => drop(self.master.take().ok_or("a rule ends that never began")?),
            Effect::Arm(timer, _) => drop(self.timers.insert(timer)),
            Effect::Tell(Fact::FoundInOffice) => self.found = true,
            Effect::Tell(Fact::Elected { .. } | Fact::NotElected | Fact::OfficeObstructed) => {}
            Effect::RefuseToStart => return Err("a foreign layout is seen where there is none"),
            Effect::EnterQueue
            | Effect::ReadQueue
            | Effect::LeaveQueue(_)
            | Effect::WatchStepDown
            | Effect::RemoveStepDown { .. }
            | Effect::ReopenSession
            | Effect::Leave
            | Effect::Tell(Fact::WentBackwards { .. }) => return Ok(Some(effect)),
        }
        Ok(None)
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), &'static str> {
        let master = self.master.as_mut().ok_or("nobody rules, and is paused or resumed")?;
        match std::mem::replace(&mut master.paused, paused) != paused {
            true => Ok(()),
            false => Err("a master is paused or resumed twice"),
        }
    }

    /// The session is over, as far as this process knows: all that belonged to it goes.
    pub(crate) fn forget_session(&mut self) {
        self.link = Link::None;
        self.requests.clear();
        self.answers.clear();
        self.news.clear();
        self.watching = false;
        self.predecessor = None;
        self.wishable = false;
        self.found = false;
    }
}
