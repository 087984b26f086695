//! What is looked at where nothing is on its way: whether anything runs that nobody assigned, and whether, once everything is healed,
//! every task ends and nothing is left over (P8).

use bellwether_core::protocol::{WorkerId, path};

use super::budget::Fault;
use super::hand::{Hand, Life};
use super::steps::{Step, Who};
use super::strangers::{BOOK, BOOK_HAND};
use super::world::{Broken, Rules, World};

/// Most steps that healing may take: several times what it ever took.
const STEPS_MAX: usize = 1_500;

/// Most comparisons of a master in healing: the first finds out what is damaged.
const COMPARISONS_MAX: u32 = 3;

impl World {
    /// Whether no message is on its way.
    pub(crate) fn is_quiet(&self, rules: &Rules) -> bool {
        let mut due = Vec::new();
        self.due(rules, &mut due);
        due.iter().all(|step| matches!(step, Step::End(..)))
    }

    /// What is wrong with this quiet state, or with what becomes of it.
    pub(crate) fn judge(&self, rules: &Rules) -> Option<Broken> {
        if self.runs_unassigned() {
            return Some(Broken::RunsUnassigned);
        }
        let mut healed = self.clone();
        for _ in 0..STEPS_MAX {
            if healed.broken.is_some() {
                return healed.broken;
            }
            match healed.next_to_heal(rules) {
                Some(step) => healed.heal(&step, rules),
                None => {
                    return healed.left_over().map(Broken::NeverEnds);
                }
            }
        }
        Some(Broken::NeverEnds("it goes on for ever".to_owned()))
    }

    /// A worker that was told everything runs a command whose assignment is not there.
    fn runs_unassigned(&self) -> bool {
        self.hands.iter().filter(|hand| !hand.gone && hand.agent.is_registered()).any(|hand| {
            let Some(me) = hand.agent.me() else { return false };
            let link_up = hand.link.as_ref().is_some_and(|link| link.up && link.watching && self.zookeeper.lives(link.session));
            link_up
                && hand.groups.iter().filter(|(_, group)| group.life == Life::Running).any(|(id, group)| {
                    let node = self.zookeeper.znode(&path::assignment(me, &id.task));
                    node.is_none_or(|node| node.czxid != group.attempt.0)
                })
        })
    }

    /// In a fixed order: what is on its way arrives, commands end, connections and sessions come back, and when nothing else is left to
    /// do somebody rules, somebody works, and what failed is tried again.
    fn next_to_heal(&self, rules: &Rules) -> Option<Step> {
        let mut due = Vec::new();
        self.due(rules, &mut due);
        let healing = due.into_iter().next().or_else(|| self.reconnection()).or_else(|| self.by_the_book_at_last());
        healing.or_else(|| self.refill()).or_else(|| self.comparison())
    }

    /// What somebody changed by hand of an array is found out by a comparison, sooner or later.
    fn comparison(&self) -> Option<Step> {
        let ruler = self.rulers.first().filter(|ruler| ruler.compared < COMPARISONS_MAX && self.meddled)?;
        (self.arrays_are_left() || ruler.master.arrays() > 0).then_some(Step::Compare(0))
    }

    fn reconnection(&self) -> Option<Step> {
        if let Some(orphan) = self.orphans.first() {
            return Some(Step::Expire(orphan.session));
        }
        let of_link = |who, session: i64, up: bool| match (self.zookeeper.lives(session), up) {
            (false, _) => Some(Step::LearnLost(who)),
            (true, false) => Some(Step::Resume(who)),
            (true, true) => None,
        };
        let rulers = self.rulers.iter().enumerate().map(|(i, ruler)| of_link(Who::Ruler(i), ruler.link.session, ruler.link.up));
        let hands = self.hands.iter().enumerate().filter(|(_, hand)| !hand.gone).map(|(i, hand)| match &hand.link {
            None => Some(Step::Open(Who::Hand(i))),
            Some(link) => of_link(Who::Hand(i), link.session, link.up),
        });
        let clients = self.clients.iter().enumerate().map(|(i, client)| match &client.link {
            None => Some(Step::Open(Who::Client(i))),
            Some(link) => of_link(Who::Client(i), link.session, link.up),
        });
        rulers.chain(hands).chain(clients).flatten().next()
    }

    /// The book's master leaves, its worker does what it has.
    fn by_the_book_at_last(&self) -> Option<Step> {
        if self.zookeeper.lives(BOOK) {
            return Some(Step::Expire(BOOK));
        }
        let mut steps = Vec::new();
        self.by_the_book(&mut steps);
        steps.into_iter().find(|step| matches!(step, Step::BookRecords(_) | Step::BookCleans(_)))
    }

    fn refill(&self) -> Option<Step> {
        if self.rulers.is_empty() || self.zookeeper.znode(path::MASTER).is_none() {
            return Some(Step::Stand);
        }
        if self.zookeeper.znode(path::PAUSED).is_some() {
            return Some(Step::ByHand(Fault::Resume, path::PAUSED.to_owned()));
        }
        let takes_nothing = |hand: &Hand| hand.gone || hand.agent.is_draining() || hand.agent.drain().is_some();
        if !self.zookeeper.lives(BOOK_HAND) && self.hands.iter().all(|hand| takes_nothing(hand)) {
            return Some(Step::Hire);
        }
        if let Some(index) = self.rulers.iter().position(|ruler| ruler.ticking) {
            return Some(Step::Wake(index));
        }
        let client = self.clients.iter().position(|client| client.ticking).map(Step::RingClient);
        client.or_else(|| {
            let waiting = self.hands.iter().enumerate().filter(|(_, hand)| !hand.gone);
            waiting.flat_map(|(index, hand)| hand.timers.iter().map(move |timer| Step::Ring(index, *timer))).next()
        })
    }

    fn heal(&mut self, step: &Step, rules: &Rules) {
        // Without tidying: that only matters to whoever compares states.
        self.step(step, rules);
    }

    /// What is left over when everything has come to rest.
    fn left_over(&self) -> Option<String> {
        let zookeeper = &self.zookeeper;
        if let Some(task) = self.ledger.unfinished().next() {
            return Some(format!("{task} never ends"));
        }
        for parent in [path::TASKS, path::CANCEL, path::HELD, path::WORKER_REQUESTS] {
            let left = zookeeper.children(parent).unwrap_or_default();
            // What people ask of a worker stays asked.
            if left.iter().any(|child| parent != path::WORKER_REQUESTS || WorkerId::listed(child).operator_name().is_some()) {
                return Some(format!("something is left under {parent}"));
            }
        }
        let older =
            |task: &String| zookeeper.znode(&format!("{}/{task}", path::STATUS)).map(|node| node.czxid) < zookeeper.age(path::TASKS);
        if zookeeper.children(path::STATUS).unwrap_or_default().iter().any(older) {
            return Some("the result of an earlier life is left".to_owned());
        }
        if self.arrays_are_left() {
            return Some("an array never ends, or leaves something besides its results".to_owned());
        }
        for worker in zookeeper.children(path::ASSIGN).unwrap_or_default() {
            let ours = WorkerId::listed(&worker).operator_name().is_some();
            if ours && zookeeper.znode(&format!("/workers/{worker}")).is_none() {
                return Some("the box of a worker that is gone is left".to_owned());
            }
            if zookeeper.children(&format!("/assign/{worker}")).is_some_and(|tasks| !tasks.is_empty()) {
                return Some("an assignment is left".to_owned());
            }
        }
        self.wrong_belief()
    }

    fn wrong_belief(&self) -> Option<String> {
        if self.rulers.len() != 1 {
            return Some("not exactly one master rules".to_owned());
        }
        let view = self.rulers[0].master.view();
        if self.rulers[0].master.arrays() > 0 {
            return Some("the master believes in an array that has ended".to_owned());
        }
        if !view.tasks.is_empty() || !view.held.is_empty() || view.workers.values().any(|worker| !worker.load.is_empty()) {
            return Some("the master believes in tasks that are not there".to_owned());
        }
        let usable = view.workers.values().filter(|worker| worker.slots().is_some_and(|slots| slots > 0)).count();
        let working = self.hands.iter().filter(|hand| !hand.gone && !hand.agent.is_draining()).count();
        let book = usize::from(zookeeper_has_book(self));
        if usable != working + book {
            return Some("the master does not know who works".to_owned());
        }
        for hand in self.hands.iter().filter(|hand| !hand.gone) {
            if hand.agent.is_draining() {
                return Some("a worker that drains never leaves".to_owned());
            }
            if !hand.agent.is_registered() || hand.agent.slots_in_use() > 0 {
                return Some("a worker is not registered, or lost a slot".to_owned());
            }
        }
        let told = self.clients.iter().all(|client| client.is_answered());
        (!told).then(|| "a client never learns what became of its submission".to_owned())
    }
}

fn zookeeper_has_book(world: &World) -> bool {
    world.zookeeper.lives(BOOK_HAND)
}
