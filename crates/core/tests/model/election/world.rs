//! The world that coordinators live in, as one state: ZooKeeper, connections, and everything that goes wrong.
//!
//! Requests of a connection are executed in order and answered in order; news from watches and timers come when they like, relative to
//! both. A request that nobody waits for any more may still be executed as long as its session lives: that is a [`Ghost`].

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::election::{Effect, Event, Fact, Holder, Office};
use bellwether_core::invariant::{Committed, Ledger, Promise, Transaction};
use bellwether_core::protocol::record::{CoordinatorRecord, encode};
use bellwether_core::protocol::request::StepDownRequest;
use bellwether_core::protocol::{Applied, Multi, Outcome, PROTOCOL_VERSION, Refusal, Why, path};

use super::coordinator::{Coordinator, Link, News, Request, lost};
use super::fence::Fence;
use super::zookeeper::{ASSIGNMENT, BOX, TASK, WORKER, ZooKeeper};

/// The session of a master out of the book.
pub(crate) const BOOK: i64 = 0x99;
/// The session of whoever deletes by hand, submits, and registers the worker.
pub(crate) const SOMEBODY: i64 = 0x98;

/// Somebody stood although somebody before it in line did.
const IN_VAIN: &str = "a candidacy is in vain";
/// A vacancy concerns the first two in line.
const CROWD: &str = "a vacancy wakes more than two";

/// One wish ended more than one term.
const TOO_OFTEN: &str = "one wish ends two terms";

/// How often each thing may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Sessions opened.
    pub(crate) sessions: u8,
    /// Entries into the queue that are doubled because the reply was lost and a follower lagged behind.
    pub(crate) doubles: u8,
    /// Connections lost.
    pub(crate) suspensions: u8,
    /// Answers that are given up, or lost, while the connection holds.
    pub(crate) unknown: u8,
    /// Sessions that the server ends while their owner wants to keep them.
    pub(crate) expiries: u8,
    /// Sessions that the client gives up before the server does.
    pub(crate) local_expiries: u8,
    /// Deletions of `/master` by hand.
    pub(crate) masters_deleted: u8,
    /// Deletions of the epoch by hand.
    pub(crate) epochs_deleted: u8,
    /// Masters out of the book.
    pub(crate) book_masters: u8,
    /// Writes of masters.
    pub(crate) writes: u8,
    /// Proofs of office that a timer asks for.
    pub(crate) proofs: u8,
    /// Orders to stop.
    pub(crate) stops: u8,
    /// Wishes that the master in office steps down.
    pub(crate) wishes: u8,
}

impl Budget {
    /// Nothing goes wrong.
    pub(crate) const NONE: Self = Self {
        sessions: 0,
        doubles: 0,
        suspensions: 0,
        unknown: 0,
        expiries: 0,
        local_expiries: 0,
        masters_deleted: 0,
        epochs_deleted: 0,
        book_masters: 0,
        writes: 0,
        proofs: 0,
        stops: 0,
        wishes: 0,
    };
    /// A master writes once, and nothing goes wrong.
    pub(crate) const WRITE: Self = Self { writes: 1, ..Self::NONE };
}

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// The ledger saw a broken promise.
    Promise(Promise),
    /// A write committed though its term was over.
    PastTerm,
    /// Orders of the election that do not fit together.
    Orders(&'static str),
}

/// A write that nobody waits for any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// On whose session.
    pub(crate) session: i64,
    /// Which.
    pub(crate) request: Request,
}

/// One state of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// What is committed.
    pub(crate) zookeeper: Arc<ZooKeeper>,
    /// What the promises say about it.
    pub(crate) ledger: Arc<Ledger>,
    /// The processes.
    pub(crate) coordinators: Vec<Arc<Coordinator>>,
    /// Writes that may land late.
    pub(crate) ghosts: Vec<Ghost>,
    /// Sessions opened so far.
    pub(crate) opened: i64,
    /// Whose term is wished to end: what lies in `/bellwether/step-down`.
    pub(crate) wish: Option<i32>,
    /// How many wishes were made.
    pub(crate) wished: u8,
    /// What may still go wrong.
    pub(crate) budget: Budget,
    /// What went wrong.
    pub(crate) broken: Option<Broken>,
}

/// What does not change in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// What stands in front of a master's writes.
    pub(crate) fence: Fence,
    /// Whether every new epoch starts at the same version instead of one by chance.
    pub(crate) epochs_start_alike: bool,
    /// Whether the epoch may be deleted, so that going backwards is no false alarm.
    pub(crate) epochs_may_restart: bool,
    /// Whether a coordinator takes an office for its own that has its name on it, whoever owns it.
    pub(crate) owned_by_name: bool,
    /// Whether answers may be lost, so that somebody may find itself in office.
    pub(crate) answers_may_be_lost: bool,
    /// Whether the second in line waits for longer than anything takes that is on its way: then no candidacy may be in vain.
    pub(crate) patient: bool,
    /// Whether anybody wishes a master to step down.
    pub(crate) wishes: bool,
    /// Whether a wish counts for whoever reads it, whatever term it names.
    pub(crate) wishes_name_nobody: bool,
    /// Whether each standby takes itself for the first in line.
    pub(crate) unordered: bool,
}

impl Rules {
    /// The real ones, within this budget.
    pub(crate) fn real(budget: Budget) -> Self {
        Self {
            fence: Fence::Both,
            epochs_start_alike: false,
            owned_by_name: false,
            patient: false,
            unordered: false,
            wishes: budget.wishes > 0,
            wishes_name_nobody: false,
            epochs_may_restart: budget.epochs_deleted > 0,
            answers_may_be_lost: budget.suspensions + budget.unknown > 0,
        }
    }
}

type Execution = Result<Applied, (usize, Why)>;

impl World {
    /// A worker is registered, a task is pending, and no coordinator has ever been started.
    pub(crate) fn new(coordinators: usize, budget: Budget) -> Self {
        let names = ["a", "b", "c", "d"];
        let coordinators = names[..coordinators].iter().map(|name| Arc::new(Coordinator::new(name))).collect();
        let (zookeeper, ledger, ghosts) = (Arc::default(), Arc::default(), Vec::new());
        let mut world = Self { zookeeper, ledger, coordinators, ghosts, opened: 0, wish: None, wished: 0, budget, broken: None };
        let layout = Multi::new().create(path::FAREWELL, []).create(BOX, []).create_ephemeral(WORKER, []).create(TASK, []);
        world.commit(SOMEBODY, &layout, None).expect("an empty tree takes it");
        world
    }

    /// The coordinator with this index.
    pub(crate) fn coordinator(&mut self, who: usize) -> &mut Coordinator {
        Arc::make_mut(&mut self.coordinators[who])
    }

    fn zookeeper(&mut self) -> &mut ZooKeeper {
        Arc::make_mut(&mut self.zookeeper)
    }

    /// Whether its requests reach a server that knows its session.
    pub(crate) fn reaches(&self, who: usize) -> bool {
        let coordinator = &self.coordinators[who];
        coordinator.link == Link::Up && self.zookeeper.lives(coordinator.session)
    }

    /// Whether no process claims this session any more.
    pub(crate) fn is_orphan(&self, session: i64) -> bool {
        !self.coordinators.iter().any(|one| one.link != Link::None && one.session == session)
    }

    fn break_with(&mut self, broken: Broken) {
        self.broken = self.broken.or(Some(broken));
    }

    // What ZooKeeper does.

    /// Commits a transaction; `term` is the epoch in whose name a master writes.
    fn commit(&mut self, session: i64, multi: &Multi, term: Option<i32>) -> Execution {
        let in_term = self.zookeeper.office() == Some(session) && self.zookeeper.epoch() == term;
        let (applied, changes) = self.zookeeper().commit(session, multi)?;
        self.enter(session, changes);
        if term.is_some() && !in_term {
            self.break_with(Broken::PastTerm);
        }
        Ok(applied)
    }

    /// Enters committed changes into the ledger and tells who watches.
    fn enter(&mut self, session: i64, changes: Vec<Committed>) {
        for change in &changes {
            match change {
                Committed::Create { path, .. } if path == path::MASTER => self.announce(News::Taken),
                Committed::Delete { path } if path == path::MASTER => self.announce(News::Vacant),
                Committed::Create { .. }
                | Committed::Set { .. }
                | Committed::Delete { .. }
                | Committed::Check { .. }
                | Committed::SessionEnded => {}
            }
        }
        if changes.is_empty() {
            return;
        }
        let transaction = Transaction { zxid: 0, session, changes };
        if let Err(violation) = Arc::make_mut(&mut self.ledger).commit(&transaction) {
            self.break_with(Broken::Promise(violation.promise));
        }
    }

    fn announce(&mut self, news: News) {
        let wakes = |who: &usize| self.reaches(*who) && self.coordinators[*who].watching && self.coordinators[*who].master.is_none();
        if news == News::Vacant && (0..self.coordinators.len()).filter(wakes).count() > 2 {
            self.break_with(Broken::Orders(CROWD));
        }
        for who in 0..self.coordinators.len() {
            if self.reaches(who) && self.coordinators[who].watching {
                self.coordinator(who).news.insert(news);
            }
        }
    }

    fn announce_departures(&mut self) {
        for who in 0..self.coordinators.len() {
            let Some(watched) = &self.coordinators[who].predecessor else { continue };
            if !self.zookeeper.queue().any(|(_, name)| name == *watched) {
                self.coordinator(who).predecessor = None;
                self.coordinator(who).news.insert(News::PredecessorGone);
            }
        }
    }

    /// The server ends a session.
    pub(crate) fn expire(&mut self, session: i64) {
        let changes = self.zookeeper().end(session);
        self.ghosts.retain(|ghost| ghost.session != session);
        self.enter(session, changes);
        self.announce_departures();
    }

    /// A write without a fence, by hand or out of the book. It is only tried where it succeeds.
    pub(crate) fn write_unfenced(&mut self, session: i64, multi: &Multi) {
        if session == BOOK {
            self.zookeeper().begin(BOOK);
        }
        self.commit(session, multi, None).expect("tried only where it succeeds");
    }

    /// Executes a request of a session that lives.
    fn execute(&mut self, session: i64, request: &Request, rules: Rules) -> Option<Event> {
        match request {
            Request::Office => {
                let mut office = self.office();
                let reader = self.coordinators.iter().find(|one| one.session == session).map(|one| &one.election.candidate().name);
                if let Some(holder) = office.holder.as_mut().filter(|_| rules.owned_by_name)
                    && named(&holder.data).as_ref() == reader
                {
                    holder.owner = session;
                }
                Some(Event::OfficeRead(office))
            }
            Request::Wish => Some(Event::StepDownRead(self.read_wish(session, rules))),
            Request::RemoveWish(epoch) => match self.commit(session, &rules.fence.of(*epoch), None) {
                Ok(_) => {
                    self.wish = None;
                    None
                }
                Err(_) => Some(Event::WriteFenced),
            },
            Request::Epoch(multi) => {
                // Refused: somebody else created it.
                let _ = self.commit(session, multi, None);
                Some(Event::EpochCreated)
            }
            Request::Ballot(multi) => {
                let outcome = match self.commit(session, multi, None) {
                    Ok(applied) => Outcome::Applied(applied),
                    Err((index, why)) => Outcome::refused(index, why),
                };
                if rules.patient && matches!(outcome, Outcome::Refused(_)) {
                    self.break_with(Broken::Orders(IN_VAIN));
                }
                Some(Event::BallotEnded(outcome))
            }
            Request::Proof { epoch, nonce } => {
                let outcome = match self.commit(session, &rules.fence.of(*epoch), None) {
                    Ok(applied) => Outcome::Applied(applied),
                    Err((_, why)) => Outcome::Refused(Refusal::Fence(why)),
                };
                Some(Event::ProofEnded { nonce: *nonce, outcome, sent: Duration::ZERO })
            }
            Request::Write { epoch, multi, farewell } => {
                let fence = rules.fence.of(*epoch);
                let fenced = fence.len();
                let outcome = self.commit(session, &fence.and(Multi::clone(multi)), Some(*epoch));
                match outcome {
                    _ if *farewell => Some(Event::FarewellEnded),
                    Err((index, _)) if index < fenced => Some(Event::WriteFenced),
                    // A master that believes nothing learns nothing.
                    Ok(_) | Err(_) => None,
                }
            }
        }
    }

    fn read_wish(&self, session: i64, rules: Rules) -> Option<(i32, Vec<u8>)> {
        let reader = self.coordinators.iter().find(|one| one.session == session);
        let own = reader.and_then(|one| one.writable()).filter(|_| rules.wishes_name_nobody);
        let epoch = own.or(self.wish).filter(|_| self.wish.is_some())?;
        Some((0, encode(&StepDownRequest { bellwether: PROTOCOL_VERSION, epoch, reason: None, by: None })))
    }

    /// Somebody wishes the master in office to step down.
    pub(crate) fn make_wish(&mut self) {
        (self.wish, self.wished) = (self.zookeeper.epoch(), self.wished + 1);
        for who in 0..self.coordinators.len() {
            if self.reaches(who) && self.coordinators[who].wishable {
                self.coordinator(who).news.insert(News::StepDown);
            }
        }
    }

    fn office(&self) -> Office {
        let holder =
            self.zookeeper.node(path::MASTER).map(|node| Holder { owner: node.owner, version: node.version, data: node.data.to_vec() });
        Office { holder, epoch: self.zookeeper.epoch().map(|version| (version, Vec::new())), farewell: Vec::new() }
    }

    /// The next request of a connection is executed.
    pub(crate) fn execute_next(&mut self, who: usize, rules: Rules) {
        let coordinator = self.coordinator(who);
        let session = coordinator.session;
        let Some(request) = coordinator.requests.pop_front() else { return };
        let answer = self.execute(session, &request, rules);
        self.coordinator(who).answers.extend(answer);
    }

    /// A write that nobody waits for any more lands.
    pub(crate) fn land(&mut self, which: usize, rules: Rules) {
        let ghost = self.ghosts.remove(which);
        self.execute(ghost.session, &ghost.request, rules);
    }

    fn haunt(&mut self, session: i64, request: Request) {
        match request {
            // A read or a proof without anybody who listens changes nothing.
            Request::Office | Request::Proof { .. } | Request::Wish | Request::RemoveWish(_) => {}
            Request::Epoch(_) | Request::Ballot(_) | Request::Write { .. } => self.ghosts.push(Ghost { session, request }),
        }
    }

    // What a process sees.

    /// Feeds one event to a coordinator, and carries out what it orders. The queue is read and written at once: the fence does not
    /// depend on it, and its delays are those of the office's read that follows.
    pub(crate) fn feed(&mut self, who: usize, event: Event, rules: Rules) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            match self.coordinator(who).feed(event) {
                Ok(effects) => {
                    for effect in effects {
                        events.extend(self.obey(who, effect, rules));
                    }
                }
                Err(complaint) => self.break_with(Broken::Orders(complaint)),
            }
        }
        if self.coordinators.iter().map(|one| one.resigned).sum::<u8>() > self.wished {
            self.break_with(Broken::Orders(TOO_OFTEN));
        }
        if self.coordinators[who].found && !rules.answers_may_be_lost {
            self.break_with(Broken::Orders("a ballot's answer is ignored though it was not lost"));
        }
    }

    fn obey(&mut self, who: usize, effect: Effect, rules: Rules) -> Option<Event> {
        let session = self.coordinators[who].session;
        match effect {
            Effect::EnterQueue if self.reaches(who) => {
                self.zookeeper().enter_queue(session);
                Some(Event::QueueEntered)
            }
            Effect::ReadQueue if self.reaches(who) && rules.unordered => {
                Some(Event::QueueRead(self.zookeeper.queue().filter(|(owner, _)| *owner == session).map(|(_, name)| name).collect()))
            }
            Effect::ReadQueue if self.reaches(who) => Some(Event::QueueRead(self.zookeeper.queue().map(|(_, name)| name).collect())),
            Effect::LeaveQueue(name) if self.reaches(who) => {
                self.zookeeper().leave_queue(&name);
                self.announce_departures();
                None
            }
            Effect::WatchStepDown if rules.wishes => {
                let coordinator = self.coordinator(who);
                coordinator.wishable = coordinator.link == Link::Up;
                coordinator.requests.push_back(Request::Wish);
                None
            }
            Effect::RemoveStepDown { epoch, .. } => {
                self.coordinator(who).requests.push_back(Request::RemoveWish(epoch));
                None
            }
            Effect::ReopenSession => {
                self.abandon(who);
                None
            }
            Effect::Leave => {
                self.abandon(who);
                self.coordinator(who).left = true;
                None
            }
            Effect::Tell(Fact::WentBackwards { .. }) if !rules.epochs_may_restart => {
                self.break_with(Broken::Orders("the epoch is said to go backwards, and did not"));
                None
            }
            // Without a connection nothing of the queue is answered; the resumed or the next session asks again.
            _ => None,
        }
    }

    /// The process closes its session: what was on its way may land before the server hears of it.
    fn abandon(&mut self, who: usize) {
        let session = self.coordinators[who].session;
        for request in std::mem::take(&mut self.coordinator(who).requests) {
            self.haunt(session, request);
        }
        self.coordinator(who).forget_session();
    }

    /// A session is opened; with `doubled`, the queue holds it twice.
    pub(crate) fn open(&mut self, who: usize, doubled: bool, rules: Rules) {
        self.opened += 1;
        let session = self.opened;
        self.zookeeper().begin(session);
        let coordinator = self.coordinator(who);
        coordinator.session = session;
        coordinator.link = Link::Up;
        if doubled {
            // It entered, lost the reply, did not find itself in what a follower said that lagged behind, and enters again.
            self.zookeeper().enter_queue(session);
        }
        let chance = if rules.epochs_start_alike { 0 } else { 7 * session.unsigned_abs() };
        self.feed(who, Event::SessionOpened { session, timeout: Duration::ZERO, chance }, rules);
    }

    /// The connection is lost. What was asked waits for the next one, or, if it was `sent`, has an unknown end and may land late.
    pub(crate) fn suspend(&mut self, who: usize, sent: bool, rules: Rules) {
        let coordinator = self.coordinator(who);
        coordinator.link = Link::Down;
        coordinator.watching = false;
        coordinator.predecessor = None;
        coordinator.wishable = false;
        if sent {
            let session = coordinator.session;
            let requests = std::mem::take(&mut coordinator.requests);
            coordinator.answers = std::mem::take(&mut coordinator.answers).into_iter().map(lost).collect();
            coordinator.answers.extend(requests.iter().map(Request::unknown));
            requests.into_iter().for_each(|request| self.haunt(session, request));
        }
        self.feed(who, Event::SessionSuspended, rules);
    }

    /// The process waits no longer for its next request, which may land late.
    pub(crate) fn give_up(&mut self, who: usize) {
        let coordinator = self.coordinator(who);
        let session = coordinator.session;
        if let Some(request) = coordinator.requests.pop_front() {
            coordinator.answers.push_back(request.unknown());
            self.haunt(session, request);
        }
    }

    /// The next answer is lost, though the request was executed.
    pub(crate) fn lose_answer(&mut self, who: usize) {
        let coordinator = self.coordinator(who);
        if let Some(answer) = coordinator.answers.pop_front() {
            coordinator.answers.push_front(lost(answer));
        }
    }

    /// The process learns that its session is over, or believes so.
    pub(crate) fn lose_session(&mut self, who: usize, rules: Rules) {
        self.coordinator(who).forget_session();
        self.feed(who, Event::SessionLost, rules);
    }

    /// Whether the task is assigned, and in whose term.
    pub(crate) fn assigned_in(&self) -> Option<i32> {
        let node = self.zookeeper.node(ASSIGNMENT)?;
        std::str::from_utf8(&node.data).ok()?.parse().ok()
    }
}

/// Whose name stands on an office.
fn named(data: &[u8]) -> Option<String> {
    serde_json::from_slice::<CoordinatorRecord>(data).ok().map(|record| record.name)
}
