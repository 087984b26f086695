//! A client process, with the least of a shell around the real [`Submissions`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::protocol::group::{GroupRecord, GroupState};
use bellwether_core::protocol::key::KeyRecord;
use bellwether_core::protocol::{Multi, Outcome, TaskName, path, payload};
pub(crate) use bellwether_core::submission::Event;
use bellwether_core::submission::{Effect, GroupStep, GroupWrite, Guard, Submissions, Submittal};

use super::link::Link;
use super::now;
use super::variant::Variant;

/// What it asks of ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    /// A transaction of this submission.
    Write(u64, Multi),
    /// What stands in the guard of this submission.
    ReadGuard(u64, String),
}

/// The key under which tasks are submitted, if they are.
const KEY: &str = "k";
/// An element of the group `g`.
const ELEMENT: &str = r#"{"bellwether":1,"shell":"true","group":"g"}"#;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    submissions: Submissions,
    pub(crate) link: Option<Link<Request, Event>>,
    /// Every session that it ever had.
    pub(crate) sessions: BTreeSet<i64>,
    /// Whether its timer is armed.
    pub(crate) ticking: bool,
    wanted: Vec<TaskName>,
    /// What is submitted when what came before is accepted.
    later: VecDeque<Event>,
    pub(crate) accepted: BTreeSet<TaskName>,
    /// What it was told that was never submitted.
    pub(crate) refused: BTreeSet<TaskName>,
}

impl Client {
    /// A client that wants these tasks submitted, one by one, and has no session yet.
    pub(crate) fn new(tasks: &[&str], payload: &str) -> Self {
        let wanted: Vec<TaskName> = tasks.iter().map(|task| TaskName::listed(task)).collect();
        let submitted = wanted.iter().zip(0..).map(|(task, ticket)| {
            let tasks = vec![Submittal::pending(task.clone(), payload.as_bytes().to_vec())];
            Event::Submitted { ticket, guard: Guard::Once(format!("g{ticket}")), group: None, tasks }
        });
        let submitted = submitted.collect();
        Self::about(wanted, submitted, VecDeque::new())
    }

    /// A client that wants this task submitted under a key that others use, too.
    pub(crate) fn with_key(task: &str, payload: &str) -> Self {
        let task = TaskName::listed(task);
        let asked = payload::decode(payload.as_bytes()).expect("a task");
        let guard = Guard::Key(KeyRecord::new(KEY, task.clone(), &asked.command, &asked.envelope));
        let tasks = vec![Submittal::pending(task.clone(), payload.as_bytes().to_vec())];
        Self::about(vec![task], vec![Event::Submitted { ticket: 0, guard, group: None, tasks }], VecDeque::new())
    }

    /// A client that wants a group of two submitted, in two transactions.
    pub(crate) fn with_group() -> Self {
        let group = TaskName::listed("g");
        let record = |state| GroupRecord::new(2, state).encode();
        let writes = [GroupWrite::Create(record(GroupState::Open)), GroupWrite::Complete(record(GroupState::Submitted))];
        let mut parts: VecDeque<Event> = writes
            .into_iter()
            .zip(0u32..)
            .map(|(write, index)| {
                let element = Submittal { held: true, ..Submittal::pending(group.element(index), ELEMENT.as_bytes().to_vec()) };
                let step = Some(GroupStep { group: group.clone(), write });
                Event::Submitted { ticket: u64::from(index), guard: Guard::Once(format!("g{index}")), group: step, tasks: vec![element] }
            })
            .collect();
        let first = parts.pop_front().into_iter().collect();
        Self::about(vec![group.element(0), group.element(1)], first, parts)
    }

    fn about(wanted: Vec<TaskName>, submitted: Vec<Event>, later: VecDeque<Event>) -> Self {
        let mut submissions = Submissions::new(2, Duration::ZERO);
        for event in submitted {
            assert!(submissions.on(event, now()).is_empty(), "there is no connection yet");
        }
        let (accepted, refused) = (BTreeSet::new(), BTreeSet::new());
        Self { submissions, link: None, sessions: BTreeSet::new(), ticking: false, wanted, later, accepted, refused }
    }

    pub(crate) fn open(&mut self, session: i64) {
        self.link = Some(Link::new(session));
        self.sessions.insert(session);
    }

    /// Whether it knows what became of everything.
    pub(crate) fn is_answered(&self) -> bool {
        self.accepted.len() + self.refused.len() == self.wanted.len()
    }

    /// Feeds the rules; says what is wrong with their orders.
    pub(crate) fn feed(&mut self, event: Event, variant: Variant) -> Option<&'static str> {
        let mut wrong = None;
        for effect in self.submissions.on(event, now()) {
            match effect {
                Effect::Write(ticket, multi) => {
                    let multi = variant.of_client(multi);
                    let up = self.link.iter_mut().filter(|link| link.up);
                    up.for_each(|link| link.requests.push_back(Request::Write(ticket, multi.clone())));
                }
                Effect::MendLayout => {}
                Effect::ReadGuard(ticket, path) => match self.link.as_mut().filter(|link| link.up) {
                    Some(link) => link.requests.push_back(Request::ReadGuard(ticket, path)),
                    None => wrong = wrong.or(self.feed(Event::WriteEnded { ticket, outcome: Outcome::Unknown }, variant)),
                },
                // Somebody else's is as good.
                Effect::AcceptedBefore(ticket, _) => drop(self.accepted.insert(self.wanted[ticket as usize].clone())),
                Effect::RemoveGuards(guards) => {
                    let multi = guards.iter().fold(Multi::new(), |multi, guard| multi.delete(path::submitted(guard), None));
                    self.link.iter_mut().for_each(|link| link.requests.push_back(Request::Write(u64::MAX, multi.clone())));
                }
                Effect::Arm(_) => self.ticking = true,
                Effect::Accepted(ticket) => {
                    self.accepted.insert(self.wanted[ticket as usize].clone());
                    if let Some(next) = self.later.pop_front() {
                        wrong = wrong.or(self.feed(next, variant));
                    }
                }
                // Nothing keeps the layout from being mended here.
                Effect::Unconfirmed(..) => {}
                Effect::Failed(ticket, _) => drop(self.refused.insert(self.wanted[ticket as usize].clone())),
            }
        }
        if !self.accepted.is_disjoint(&self.refused) {
            wrong = Some("a submission is accepted and refused");
        }
        wrong
    }

    /// The connection is lost: of what was on its way nobody knows how it ends.
    pub(crate) fn suspend(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        if let Some(link) = &mut self.link {
            for request in link.cut() {
                let ticket = match request {
                    Request::Write(ticket, multi) => {
                        link.ghosts.push_back(Arc::new(multi));
                        ticket
                    }
                    Request::ReadGuard(ticket, _) => ticket,
                };
                told.push(Event::WriteEnded { ticket, outcome: Outcome::Unknown });
            }
        }
        told.push(Event::Disconnected);
        told
    }
}
