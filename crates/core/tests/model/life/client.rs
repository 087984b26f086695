//! A client process, with the least of a shell around the real [`Submissions`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::protocol::{Multi, Outcome, TaskName, path};
pub(crate) use bellwether_core::submission::Event;
use bellwether_core::submission::{Effect, Guard, Submissions, Submittal};

use super::link::Link;
use super::now;
use super::variant::Variant;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    submissions: Submissions,
    pub(crate) link: Option<Link<(u64, Multi), Event>>,
    /// Every session that it ever had.
    pub(crate) sessions: BTreeSet<i64>,
    /// Whether its timer is armed.
    pub(crate) ticking: bool,
    wanted: Vec<TaskName>,
    pub(crate) accepted: BTreeSet<TaskName>,
    /// What it was told that was never submitted.
    pub(crate) refused: BTreeSet<TaskName>,
}

impl Client {
    /// A client that wants these tasks submitted, one by one, and has no session yet.
    pub(crate) fn new(tasks: &[&str], payload: &str) -> Self {
        let mut submissions = Submissions::new(2, Duration::ZERO);
        let wanted: Vec<TaskName> = tasks.iter().map(|task| TaskName::listed(task)).collect();
        for (ticket, task) in wanted.iter().enumerate() {
            let tasks = vec![Submittal::pending(task.clone(), payload.as_bytes().to_vec())];
            let effects = submissions
                .on(Event::Submitted { ticket: ticket as u64, guard: Guard::Once(format!("g{ticket}")), group: None, tasks }, now());
            assert!(effects.is_empty(), "there is no connection yet");
        }
        let (accepted, refused) = (BTreeSet::new(), BTreeSet::new());
        Self { submissions, link: None, sessions: BTreeSet::new(), ticking: false, wanted, accepted, refused }
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
                    self.link.iter_mut().filter(|link| link.up).for_each(|link| link.requests.push_back((ticket, multi.clone())));
                }
                // There are no keys here.
                Effect::MendLayout | Effect::ReadGuard(..) | Effect::AcceptedBefore(..) => {}
                Effect::RemoveGuards(guards) => {
                    let multi = guards.iter().fold(Multi::new(), |multi, guard| multi.delete(path::submitted(guard), None));
                    self.link.iter_mut().for_each(|link| link.requests.push_back((u64::MAX, multi.clone())));
                }
                Effect::Arm(_) => self.ticking = true,
                Effect::Accepted(ticket) => drop(self.accepted.insert(self.wanted[ticket as usize].clone())),
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
            for (ticket, multi) in link.cut() {
                link.ghosts.push_back(Arc::new(multi));
                told.push(Event::WriteEnded { ticket, outcome: Outcome::Unknown });
            }
        }
        told.push(Event::Disconnected);
        told
    }
}
