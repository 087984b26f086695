//! Every step that the world may take: which are possible in a state, and what they lead to.

use bellwether_core::agent::{self, Timer};
use bellwether_core::lifecycle::RunId;
use bellwether_core::master;
use bellwether_core::protocol::{Change, Multi, TaskName, path};

use super::budget::Fault;
use super::client;
use super::hand::{Hand, Life};
use super::ruler::Request;
use super::strangers::{BOOK, BOOK_HAND, BOOK_WORKER};
use super::variant::Variant;
use super::world::{Rules, World};

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Ruler(usize),
    Hand(usize),
    Client(usize),
}

impl Who {
    /// That its connection is lost.
    fn suspend(self) -> Fault {
        match self {
            Who::Ruler(_) => Fault::SuspendMaster,
            Who::Hand(_) => Fault::SuspendWorker,
            Who::Client(_) => Fault::SuspendClient,
        }
    }

    /// That an answer to it is lost.
    fn unknown(self) -> Fault {
        match self {
            Who::Ruler(_) => Fault::UnknownMaster,
            Who::Hand(_) => Fault::UnknownWorker,
            Who::Client(_) => Fault::UnknownClient,
        }
    }

    /// That the server ends its session.
    fn expire(self) -> Fault {
        match self {
            Who::Ruler(_) => Fault::ExpireMaster,
            Who::Hand(_) => Fault::ExpireWorker,
            Who::Client(_) => Fault::ExpireClient,
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The next request of a connection is executed.
    Execute(Who),
    /// The same, but its answer is lost; whether it was applied already, or may be later.
    ExecuteUnheard(Who, bool),
    /// The next answer is handed over.
    Answer(Who),
    /// The next event is told.
    Tell(Who),
    /// A command ends with this code, or one that was killed is dead.
    End(usize, RunId, i32),
    /// A session is opened.
    Open(Who),
    /// The connection is lost.
    Suspend(Who),
    /// It is back.
    Resume(Who),
    /// The process learns that its session is over.
    LearnLost(Who),
    /// A worker or a client believes so before the server does.
    ExpireLocally(Who),
    /// The process is killed.
    Crash(Who),
    /// A timer of a worker rings.
    Ring(usize, Timer),
    /// A master's timer rings: whatever rests is due.
    Wake(usize),
    /// A master compares what it believes with everything, long after the last time.
    Compare(usize),
    /// A client's timer rings.
    RingClient(usize),
    /// A write lands that its process waits for no more.
    Land(Who),
    /// The server ends a session.
    Expire(i64),
    /// An answer of an earlier session is handed over: only where that is the variant.
    AnswerLate(usize),
    /// A write of a process that is gone lands.
    LandOrphan(usize),
    /// Another coordinator takes the vacant office.
    Stand,
    /// A worker starts.
    Hire,
    /// A worker is asked to leave.
    Drain(usize),
    /// Somebody does something by hand.
    ByHand(Fault, String),
    /// The book's master assigns: first of two writes.
    BookAssigns(TaskName, String),
    /// Second.
    BookDeletes(TaskName),
    /// The book's worker records: first of two writes.
    BookRecords(TaskName),
    /// Second.
    BookCleans(TaskName),
}

impl World {
    /// The steps that are possible now. After something broke there is nothing more to see.
    pub(crate) fn steps(&self, rules: &Rules, steps: &mut Vec<Step>) {
        if self.broken.is_some() {
            return;
        }
        self.due(rules, steps);
        for (index, ruler) in self.rulers.iter().enumerate() {
            self.of_connection(Who::Ruler(index), ruler.link.session, ruler.link.up, !ruler.link.ghosts.is_empty(), steps);
            let writes = matches!(ruler.link.requests.front(), Some(Request::Order(master::Effect::Write(..))));
            if ruler.link.up && writes {
                self.unheard(Who::Ruler(index), steps);
            }
            steps.extend(ruler.ticking.then_some(Step::Wake(index)));
            self.may(Fault::Compare, Step::Compare(index), steps);
            self.may(Fault::CrashMaster, Step::Crash(Who::Ruler(index)), steps);
        }
        for (index, hand) in self.hands.iter().enumerate().filter(|(_, hand)| !hand.gone) {
            self.of_hand(index, hand, steps);
        }
        for (index, client) in self.clients.iter().enumerate() {
            self.of_client(index, client, steps);
        }
        for (index, orphan) in self.orphans.iter().enumerate() {
            steps.push(Step::Expire(orphan.session));
            steps.extend((!orphan.ghosts.is_empty()).then_some(Step::LandOrphan(index)));
        }
        if self.zookeeper.znode(path::MASTER).is_none() {
            self.may(Fault::Stand, Step::Stand, steps);
        }
        self.may(Fault::Hire, Step::Hire, steps);
        self.by_hand(steps);
        self.by_the_book(steps);
    }

    /// What is on its way, and arrives sooner or later.
    pub(crate) fn due(&self, rules: &Rules, steps: &mut Vec<Step>) {
        let mut moving = |who, up: bool, requests: bool, answers: bool, events: bool, session| {
            steps.extend((up && requests && self.zookeeper.lives(session)).then_some(Step::Execute(who)));
            steps.extend(answers.then_some(Step::Answer(who)));
            steps.extend(events.then_some(Step::Tell(who)));
        };
        for (index, ruler) in self.rulers.iter().enumerate() {
            let link = &ruler.link;
            let (requests, answers, events) = (!link.requests.is_empty(), !link.answers.is_empty(), !link.events.is_empty());
            moving(Who::Ruler(index), link.up, requests, answers, events, link.session);
        }
        for (index, hand) in self.hands.iter().enumerate().filter(|(_, hand)| !hand.gone) {
            let Some(link) = &hand.link else { continue };
            let (requests, answers, events) = (!link.requests.is_empty(), !link.answers.is_empty(), !link.events.is_empty());
            moving(Who::Hand(index), link.up, requests, answers, events, link.session);
        }
        for (index, client) in self.clients.iter().enumerate() {
            let Some(link) = &client.link else { continue };
            moving(Who::Client(index), link.up, !link.requests.is_empty(), !link.answers.is_empty(), false, link.session);
        }
        for (index, hand) in self.hands.iter().enumerate() {
            for (id, group) in &hand.groups {
                let exits = if group.life == Life::Running { rules.exits } else { &[0] };
                steps.extend(exits.iter().map(|exit| Step::End(index, id.clone(), *exit)));
            }
        }
    }

    fn of_hand(&self, index: usize, hand: &Hand, steps: &mut Vec<Step>) {
        let who = Who::Hand(index);
        match &hand.link {
            None => steps.push(Step::Open(who)),
            Some(link) => {
                self.of_connection(who, link.session, link.up, !link.ghosts.is_empty(), steps);
                let writes = matches!(link.requests.front(), Some(agent::Effect::Write(..) | agent::Effect::Register(_)));
                if link.up && writes {
                    self.unheard(who, steps);
                }
                if !link.up && self.zookeeper.lives(link.session) {
                    self.may(Fault::ExpireLocally, Step::ExpireLocally(who), steps);
                }
            }
        }
        steps.extend((hand.link.is_some() && !hand.left_over.is_empty()).then_some(Step::AnswerLate(index)));
        self.may(Fault::CrashWorker, Step::Crash(who), steps);
        hand.timers.iter().for_each(|timer| self.may(Fault::Ring, Step::Ring(index, *timer), steps));
        if !hand.agent.is_draining() {
            self.may(Fault::Drain, Step::Drain(index), steps);
        }
    }

    fn of_client(&self, index: usize, client: &client::Client, steps: &mut Vec<Step>) {
        let who = Who::Client(index);
        steps.extend(client.ticking.then_some(Step::RingClient(index)));
        let Some(link) = &client.link else { return steps.push(Step::Open(who)) };
        self.of_connection(who, link.session, link.up, !link.ghosts.is_empty(), steps);
        if link.up && !link.requests.is_empty() {
            self.unheard(who, steps);
        }
        if !link.up && self.zookeeper.lives(link.session) {
            self.may(Fault::ExpireLocally, Step::ExpireLocally(who), steps);
        }
    }

    fn of_connection(&self, who: Who, session: i64, up: bool, haunted: bool, steps: &mut Vec<Step>) {
        let lives = self.zookeeper.lives(session);
        if !lives {
            steps.push(Step::LearnLost(who));
        } else if up {
            self.may(who.suspend(), Step::Suspend(who), steps);
        } else {
            steps.push(Step::Resume(who));
        }
        if lives {
            self.may(who.expire(), Step::Expire(session), steps);
            steps.extend(haunted.then_some(Step::Land(who)));
        }
    }

    fn unheard(&self, who: Who, steps: &mut Vec<Step>) {
        self.may(who.unknown(), Step::ExecuteUnheard(who, true), steps);
        self.may(who.unknown(), Step::ExecuteUnheard(who, false), steps);
    }

    pub(crate) fn may(&self, fault: Fault, step: Step, steps: &mut Vec<Step>) {
        steps.extend(self.budget.allows(fault).then_some(step));
    }

    /// What a step leads to.
    pub(crate) fn step(&mut self, step: &Step, rules: &Rules) {
        match step {
            Step::Execute(who) => self.execute(*who, None, rules),
            Step::ExecuteUnheard(who, applied) => {
                self.pay(who.unknown());
                self.execute(*who, Some(*applied), rules);
            }
            Step::Answer(who) => self.answer(*who, rules),
            Step::Tell(who) => self.tell(*who, rules),
            Step::End(index, id, exit) => self.end_group(*index, id, *exit, rules),
            Step::Open(Who::Hand(index)) => self.open_hand(*index, rules),
            Step::Open(Who::Client(index)) => self.open_client(*index, rules),
            Step::Open(Who::Ruler(_)) => {}
            Step::Suspend(who) => self.suspend(*who, rules),
            Step::Resume(who) => self.resume(*who, rules),
            Step::LearnLost(who) => self.learn_lost(*who, rules),
            Step::ExpireLocally(who) => {
                self.pay(Fault::ExpireLocally);
                self.learn_lost(*who, rules);
            }
            Step::Crash(who) => self.crash(*who),
            Step::Ring(index, timer) => {
                self.pay(Fault::Ring);
                self.ring(*index, *timer, rules);
            }
            Step::Compare(index) => {
                self.pay(Fault::Compare);
                self.rulers[*index].edit().compared += 1;
                self.feed_ruler(*index, master::Event::ReconcileDue, rules);
            }
            Step::Wake(index) => {
                self.rulers[*index].edit().ticking = false;
                self.feed_ruler(*index, master::Event::Rang, rules);
            }
            Step::RingClient(index) => {
                self.clients[*index].edit().ticking = false;
                let connected = self.clients[*index].link.as_ref().is_some_and(|link| link.up);
                self.feed_client(*index, client::Event::Rang { connected }, rules);
            }
            Step::Land(who) => self.land(*who),
            Step::Expire(session) => {
                if !self.orphans.iter().any(|orphan| orphan.session == *session) {
                    self.fault_of_expiry(*session).into_iter().for_each(|fault| self.pay(fault));
                }
                self.end_session(*session);
            }
            Step::AnswerLate(index) => {
                if let Some(answer) = self.hands[*index].edit().left_over.pop_front() {
                    self.feed_hand(*index, answer, rules);
                }
            }
            Step::LandOrphan(index) => {
                let session = self.orphans[*index].session;
                if let Some(multi) = self.orphans[*index].ghosts.pop_front() {
                    let _ = self.commit(session, &multi);
                }
            }
            Step::Stand => {
                self.pay(Fault::Stand);
                self.stand(rules);
            }
            Step::Hire => {
                self.pay(Fault::Hire);
                self.hire(1);
            }
            Step::Drain(index) => {
                self.pay(Fault::Drain);
                self.feed_hand(*index, agent::Event::DrainRequested, rules);
            }
            Step::ByHand(fault, path) => {
                self.pay(*fault);
                self.act_by_hand(*fault, path);
            }
            Step::BookAssigns(task, worker) => {
                self.pay(Fault::BookAssign);
                let data = self.zookeeper.get(&path::task(task)).map(|node| node.data).unwrap_or_default();
                self.commit_by_hand(BOOK, &Multi::new().create(format!("/assign/{worker}/{task}"), data));
            }
            Step::BookDeletes(task) => self.commit_by_hand(BOOK, &Multi::new().delete(path::task(task), None)),
            Step::BookRecords(task) => self.commit_by_hand(BOOK_HAND, &Multi::new().create(path::status(task), "done")),
            Step::BookCleans(task) => {
                self.commit_by_hand(BOOK_HAND, &Multi::new().delete(format!("/assign/{BOOK_WORKER}/{task}"), None));
            }
        }
    }

    /// What the end of this session is: nobody's fault, if it is the book's master that leaves.
    fn fault_of_expiry(&self, session: i64) -> Option<Fault> {
        match session {
            BOOK => None,
            BOOK_HAND => Some(Fault::CrashBookWorker),
            _ if self.rulers.iter().any(|ruler| ruler.link.session == session) => Some(Fault::ExpireMaster),
            _ if self.clients.iter().any(|client| client.sessions.contains(&session)) => Some(Fault::ExpireClient),
            _ => Some(Fault::ExpireWorker),
        }
    }

    /// A worker process starts, with as many slots.
    pub(crate) fn hire(&mut self, slots: u32) {
        let name = format!("w{}", self.hands.len() + 1);
        self.hands.push(super::part::Part::new(Hand::new(&name, slots)));
    }

    fn execute(&mut self, who: Who, lost: Option<bool>, rules: &Rules) {
        match who {
            Who::Ruler(index) => self.execute_ruler(index, lost, rules),
            Who::Hand(index) => self.execute_hand(index, lost, rules),
            Who::Client(index) => self.execute_client(index, lost, rules),
        }
    }

    fn answer(&mut self, who: Who, rules: &Rules) {
        match who {
            Who::Ruler(index) => {
                let link = &mut self.rulers[index].edit().link;
                let Some(mut answer) = link.answers.pop_front() else { return };
                let later: Vec<_> = link.requests.iter().filter_map(order_of).collect();
                rules.variant.relabel_for_master(&mut answer, &later);
                self.feed_ruler(index, answer, rules);
            }
            Who::Hand(index) => {
                let Some(link) = &mut self.hands[index].edit().link else { return };
                let Some(mut answer) = link.answers.pop_front() else { return };
                let later: Vec<_> = link.requests.iter().cloned().collect();
                rules.variant.relabel_for_worker(&mut answer, &later);
                self.feed_hand(index, answer, rules);
            }
            Who::Client(index) => {
                let Some(link) = &mut self.clients[index].edit().link else { return };
                let Some(answer) = link.answers.pop_front() else { return };
                self.feed_client(index, answer, rules);
            }
        }
    }

    fn tell(&mut self, who: Who, rules: &Rules) {
        match who {
            Who::Ruler(index) => {
                let ruler = self.rulers[index].edit();
                match ruler.link.events.pop_front() {
                    // That is the election's affair, which asks the fence.
                    Some(Change::OfficeVacant) => ruler.prove(),
                    Some(change) => self.feed_ruler(index, master::Event::Changed(vec![change]), rules),
                    None => {}
                }
            }
            Who::Hand(index) => {
                let event = self.hands[index].edit().link.as_mut().and_then(|link| link.events.pop_front());
                if let Some(change) = event.filter(|change| rules.variant.hears(change)) {
                    self.feed_hand(index, agent::Event::Changed(vec![change]), rules);
                }
            }
            Who::Client(_) => {}
        }
    }

    fn suspend(&mut self, who: Who, rules: &Rules) {
        self.pay(who.suspend());
        match who {
            Who::Ruler(index) => {
                if let Err(what) = self.rulers[index].edit().suspend(rules.variant) {
                    self.break_with(super::world::Broken::Insane(what));
                }
            }
            Who::Hand(index) => {
                let event = self.hands[index].edit().suspend();
                self.feed_hand(index, event, rules);
                if rules.variant == Variant::SilentTakenBack
                    && let Some(me) = self.hands[index].agent.me().cloned()
                {
                    let silent = Change::WorkerGone(me);
                    self.rulers.iter_mut().for_each(|ruler| ruler.edit().link.events.push_back(silent.clone()));
                }
            }
            Who::Client(index) => {
                let events = self.clients[index].edit().suspend();
                events.into_iter().for_each(|event| self.feed_client(index, event, rules));
            }
        }
    }

    fn resume(&mut self, who: Who, rules: &Rules) {
        match who {
            Who::Ruler(index) => self.rulers[index].edit().resume(),
            Who::Hand(index) => {
                self.hands[index].edit().link.iter_mut().for_each(|link| link.up = true);
                self.feed_hand(index, agent::Event::SessionResumed, rules);
            }
            Who::Client(index) => {
                self.clients[index].edit().link.iter_mut().for_each(|link| link.up = true);
                self.feed_client(index, client::Event::Connected, rules);
            }
        }
    }

    fn learn_lost(&mut self, who: Who, rules: &Rules) {
        match who {
            Who::Ruler(index) => self.bury_ruler(index),
            Who::Hand(index) => {
                self.forget_session(index);
                self.feed_hand(index, agent::Event::SessionLost, rules);
            }
            Who::Client(index) => {
                // Answers to a client are no session's: each of its writes is answered, sooner or later.
                let answered = self.clients[index].edit().link.as_mut().map(|link| std::mem::take(&mut link.answers));
                let lost = self.clients[index].edit().suspend();
                self.forget_client_session(index);
                let events = answered.into_iter().flatten().chain(lost).collect::<Vec<_>>();
                events.into_iter().for_each(|event| self.feed_client(index, event, rules));
            }
        }
    }

    fn crash(&mut self, who: Who) {
        match who {
            Who::Ruler(index) => {
                self.pay(Fault::CrashMaster);
                self.bury_ruler(index);
            }
            Who::Hand(index) => {
                self.pay(Fault::CrashWorker);
                self.forget_session(index);
                self.hands[index].edit().vanish();
            }
            Who::Client(_) => {}
        }
    }

    pub(crate) fn ring(&mut self, index: usize, timer: Timer, rules: &Rules) {
        self.hands[index].edit().timers.remove(&timer);
        self.feed_hand(index, agent::Event::Rang(timer), rules);
    }

    fn land(&mut self, who: Who) {
        let (session, ghost) = match who {
            Who::Ruler(index) => {
                let link = &mut self.rulers[index].edit().link;
                (link.session, link.ghosts.pop_front())
            }
            Who::Hand(index) => match &mut self.hands[index].edit().link {
                Some(link) => (link.session, link.ghosts.pop_front()),
                None => return,
            },
            Who::Client(index) => match &mut self.clients[index].edit().link {
                Some(link) => (link.session, link.ghosts.pop_front()),
                None => return,
            },
        };
        if let Some(multi) = ghost {
            let _ = self.commit(session, &multi);
        }
    }
}

fn order_of(request: &Request) -> Option<master::Effect> {
    match request {
        Request::Order(effect) => Some(effect.clone()),
        Request::Prove => None,
    }
}
