//! Every step that the world may take, for the checker: which are possible in a state, and what they lead to.

use std::sync::Arc;

use bellwether_core::election::{Event, Timer};
use bellwether_core::protocol::{Multi, path};

use super::coordinator::{Coordinator, Link, News, Request};
use super::world::{BOOK, Rules, SOMEBODY, World};
use super::zookeeper::{ASSIGNMENT, TASK, WORKER};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A session is opened, perhaps with two places in the queue.
    Open { who: usize, doubled: bool },
    /// The next request of a connection is executed.
    Execute(usize),
    /// The next answer is handed over.
    Answer(usize),
    /// News of a watch is handed over.
    Tell(usize, News),
    /// A timer rings.
    Ring(usize, Timer),
    /// A master assigns the task.
    Assign(usize),
    /// A master takes the task back.
    TakeBack(usize),
    /// The process is asked to stop.
    Stop(usize),
    /// Somebody wants the master in office to step down.
    Wish,
    /// The connection is lost; whether requests on their way were `sent`.
    Suspend { who: usize, sent: bool },
    /// The connection is back.
    Resume(usize),
    /// The process waits no longer for its next request.
    GiveUp(usize),
    /// The next answer is lost.
    LoseAnswer(usize),
    /// The process learns that its session is over.
    LearnLost(usize),
    /// The process believes that its session is over before the server does.
    ExpireLocally(usize),
    /// The server ends a session.
    Expire(i64),
    /// A write lands that nobody waits for.
    Land(usize),
    /// `/master` is deleted by hand.
    DeleteMaster,
    /// The epoch is deleted by hand.
    DeleteEpoch,
    /// A master out of the book takes the office.
    BookTakes,
    /// It assigns: the first of its two writes.
    BookAssigns,
    /// It assigns: the second of its two writes.
    BookDeletes,
}

impl World {
    /// The steps that are possible now. After a broken promise there is nothing more to see.
    pub(crate) fn steps(&self, rules: Rules, steps: &mut Vec<Step>) {
        if self.broken.is_some() {
            return;
        }
        for (who, coordinator) in self.coordinators.iter().enumerate().filter(|(_, one)| !one.left) {
            self.steps_of_connection(who, coordinator, steps);
            self.steps_of_process(who, coordinator, rules, steps);
            self.steps_of_faults(who, coordinator, steps);
        }
        steps.extend((0..self.ghosts.len()).map(Step::Land));
        let may_expire = |session: &i64| *session == BOOK || self.budget.expiries > 0 || self.is_orphan(*session);
        steps.extend(self.zookeeper.living().filter(may_expire).map(Step::Expire));
        self.steps_of_strangers(steps);
        let ours = self.zookeeper.office().is_some_and(|office| office != BOOK);
        steps.extend((self.budget.wishes > 0 && ours).then_some(Step::Wish));
    }

    fn steps_of_connection(&self, who: usize, coordinator: &Coordinator, steps: &mut Vec<Step>) {
        if coordinator.link == Link::None {
            if self.budget.sessions > 0 {
                steps.push(Step::Open { who, doubled: false });
                steps.extend((self.budget.doubles > 0).then_some(Step::Open { who, doubled: true }));
            }
            return;
        }
        let lives = self.zookeeper.lives(coordinator.session);
        if !lives {
            steps.push(Step::LearnLost(who));
        }
        if coordinator.link == Link::Up && lives && !coordinator.requests.is_empty() {
            steps.push(Step::Execute(who));
        }
        if coordinator.link == Link::Down && lives {
            steps.push(Step::Resume(who));
            steps.extend((self.budget.local_expiries > 0).then_some(Step::ExpireLocally(who)));
        }
    }

    fn steps_of_process(&self, who: usize, coordinator: &Coordinator, rules: Rules, steps: &mut Vec<Step>) {
        if !coordinator.answers.is_empty() {
            steps.push(Step::Answer(who));
        }
        steps.extend(coordinator.news.iter().map(|news| Step::Tell(who, *news)));
        for timer in &coordinator.timers {
            let allowed = match timer {
                Timer::ProofDue | Timer::ProofStale => self.budget.proofs > 0,
                Timer::SecondInLine => !rules.patient || self.is_still(),
                Timer::Retry => true,
            };
            steps.extend(allowed.then_some(Step::Ring(who, *timer)));
        }
        let busy = coordinator.requests.iter().any(|request| matches!(request, Request::Write { .. }));
        if coordinator.writable().is_some() && !busy && self.budget.writes > 0 {
            steps.extend([Step::Assign(who), Step::TakeBack(who)]);
        }
    }

    /// Whether nothing is on its way to or from a coordinator.
    fn is_still(&self) -> bool {
        self.coordinators.iter().all(|one| one.requests.is_empty() && one.answers.is_empty() && one.news.is_empty())
    }

    fn steps_of_faults(&self, who: usize, coordinator: &Coordinator, steps: &mut Vec<Step>) {
        if coordinator.link == Link::Up && self.budget.suspensions > 0 {
            steps.push(Step::Suspend { who, sent: false });
            let waiting = !coordinator.requests.is_empty() || !coordinator.answers.is_empty();
            steps.extend(waiting.then_some(Step::Suspend { who, sent: true }));
        }
        if self.budget.unknown > 0 {
            steps.extend((!coordinator.requests.is_empty()).then_some(Step::GiveUp(who)));
            steps.extend((!coordinator.answers.is_empty()).then_some(Step::LoseAnswer(who)));
        }
        if self.budget.stops > 0 {
            steps.push(Step::Stop(who));
        }
    }

    fn steps_of_strangers(&self, steps: &mut Vec<Step>) {
        let office = self.zookeeper.office();
        if office.is_some() && self.budget.masters_deleted > 0 {
            steps.push(Step::DeleteMaster);
        }
        if self.zookeeper.epoch().is_some() && self.budget.epochs_deleted > 0 {
            steps.push(Step::DeleteEpoch);
        }
        if office.is_none() && self.budget.book_masters > 0 {
            steps.push(Step::BookTakes);
        }
        if office == Some(BOOK) && self.zookeeper.node(TASK).is_some() {
            let assigned = self.zookeeper.node(ASSIGNMENT).is_some();
            steps.push(if assigned { Step::BookDeletes } else { Step::BookAssigns });
        }
    }

    /// What a step leads to.
    pub(crate) fn step(&mut self, step: &Step, rules: Rules) {
        self.pay(step);
        match *step {
            Step::Open { who, doubled } => self.open(who, doubled, rules),
            Step::Execute(who) => self.execute_next(who, rules),
            Step::Answer(who) => {
                if let Some(answer) = self.coordinator(who).answers.pop_front() {
                    self.feed(who, answer, rules);
                }
            }
            Step::Tell(who, news) => {
                self.coordinator(who).news.remove(&news);
                self.feed(who, event_of(news), rules);
            }
            Step::Ring(who, timer) => {
                self.coordinator(who).timers.remove(&timer);
                self.feed(who, Event::Rang(timer), rules);
            }
            Step::Assign(who) => {
                self.write(who, |epoch| Multi::new().check_exists(WORKER).create(ASSIGNMENT, epoch.to_string()).delete(TASK, None))
            }
            Step::TakeBack(who) => self.write(who, |_| Multi::new().delete(ASSIGNMENT, None).create(TASK, [])),
            Step::Stop(who) => self.feed(who, Event::StopRequested { why: String::new() }, rules),
            Step::Wish => self.make_wish(),
            Step::Suspend { who, sent } => self.suspend(who, sent, rules),
            Step::Resume(who) => {
                self.coordinator(who).link = Link::Up;
                self.feed(who, Event::SessionResumed, rules);
            }
            Step::GiveUp(who) => self.give_up(who),
            Step::LoseAnswer(who) => self.lose_answer(who),
            Step::LearnLost(who) | Step::ExpireLocally(who) => self.lose_session(who, rules),
            Step::Expire(session) => self.expire(session),
            Step::Land(which) => self.land(which, rules),
            Step::DeleteMaster => self.write_unfenced(SOMEBODY, &Multi::new().delete(path::MASTER, None)),
            Step::DeleteEpoch => self.write_unfenced(SOMEBODY, &Multi::new().delete(path::EPOCH, None)),
            Step::BookTakes => self.write_unfenced(BOOK, &Multi::new().create_ephemeral(path::MASTER, [])),
            Step::BookAssigns => self.write_unfenced(BOOK, &Multi::new().create(ASSIGNMENT, [])),
            Step::BookDeletes => self.write_unfenced(BOOK, &Multi::new().delete(TASK, None)),
        }
    }

    fn pay(&mut self, step: &Step) {
        let wanted = matches!(step, Step::Expire(session) if *session != BOOK && !self.is_orphan(*session));
        let left = &mut self.budget;
        match step {
            Step::Open { doubled, .. } => {
                left.sessions -= 1;
                left.doubles -= u8::from(*doubled);
            }
            Step::Ring(_, Timer::ProofDue | Timer::ProofStale) => left.proofs -= 1,
            Step::Assign(_) | Step::TakeBack(_) => left.writes -= 1,
            Step::Stop(_) => left.stops -= 1,
            Step::Wish => left.wishes -= 1,
            Step::Suspend { .. } => left.suspensions -= 1,
            Step::GiveUp(_) | Step::LoseAnswer(_) => left.unknown -= 1,
            Step::ExpireLocally(_) => left.local_expiries -= 1,
            Step::Expire(_) => left.expiries -= u8::from(wanted),
            Step::DeleteMaster => left.masters_deleted -= 1,
            Step::DeleteEpoch => left.epochs_deleted -= 1,
            Step::BookTakes => left.book_masters -= 1,
            Step::Execute(_) | Step::Answer(_) | Step::Tell(..) | Step::Ring(..) | Step::Resume(_) => {}
            Step::LearnLost(_) | Step::Land(_) | Step::BookAssigns | Step::BookDeletes => {}
        }
    }

    fn write(&mut self, who: usize, multi: impl FnOnce(i32) -> Multi) {
        let coordinator = self.coordinator(who);
        let Some(epoch) = coordinator.writable() else { return };
        coordinator.requests.push_back(Request::Write { epoch, multi: Arc::new(multi(epoch)), farewell: false });
    }

    /// Lets everything happen that only waits for its turn: no faults, no timers, no writes.
    pub(crate) fn settle(&mut self, rules: Rules) {
        let mut steps = Vec::new();
        loop {
            self.steps(rules, &mut steps);
            let due = steps.drain(..).find(|step| matches!(step, Step::Execute(_) | Step::Answer(_) | Step::Tell(..)));
            let Some(due) = due else { return };
            self.step(&due, rules);
        }
    }
}

fn event_of(news: News) -> Event {
    match news {
        News::Vacant => Event::OfficeVacant,
        News::Taken => Event::OfficeTaken,
        News::PredecessorGone => Event::PredecessorGone,
        News::StepDown => Event::StepDownAsked,
    }
}
