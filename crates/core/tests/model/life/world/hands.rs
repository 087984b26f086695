//! What a worker does.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bellwether_core::agent;
use bellwether_core::lifecycle::RunId;
use bellwether_core::protocol::{Change, Outcome, Refusal, TaskName, Why, WorkerId};

use super::super::array;
use super::super::hand::{Life, Over, Wish, multi_of};
use super::{Broken, Rules, World, of_execution};

impl World {
    pub(crate) fn feed_hand(&mut self, index: usize, event: agent::Event, rules: &Rules) {
        match self.hands[index].edit().feed(event, rules.variant) {
            Err(what) => self.break_with(Broken::Insane(what)),
            Ok(wishes) => wishes.into_iter().for_each(|wish| self.grant(index, &wish)),
        }
        let hand = &self.hands[index];
        let groups = hand.groups.len();
        if groups > hand.slots {
            self.break_with(Broken::TooManyGroups);
        }
    }

    fn grant(&mut self, index: usize, wish: &Wish) {
        match wish {
            Wish::Started(task, attempt) => {
                if !self.started.insert(*attempt) {
                    self.break_with(Broken::RanTwice);
                }
                if !self.meddled && self.runs_elsewhere(index, task) {
                    self.break_with(Broken::TwoAtOnce);
                }
            }
            Wish::SentOther => self.break_with(Broken::RecordedOther),
            Wish::Reopen => self.forget_session(index),
            Wish::Leave => {
                self.forget_session(index);
                self.hands[index].edit().vanish();
            }
        }
    }

    /// Whether another worker's command of this task is not dead yet, although its session lives. That it kills before its session ends
    /// is a matter of time, and time stands still here.
    fn runs_elsewhere(&self, index: usize, task: &TaskName) -> bool {
        let others = self.hands.iter().enumerate().filter(|(other, hand)| *other != index && !hand.gone);
        others.flat_map(|(_, hand)| &hand.groups).any(|(id, group)| array::meet(&id.task, task) && self.zookeeper.lives(group.session))
    }

    /// The worker's session is over, as far as it knows.
    pub(crate) fn forget_session(&mut self, index: usize) {
        let hand = self.hands[index].edit();
        hand.timers.clear();
        let Some(mut link) = hand.link.take() else { return };
        let mut ghosts = std::mem::take(&mut link.ghosts);
        ghosts.extend(link.requests.iter().filter_map(multi_of).cloned().map(Arc::new));
        hand.left_over = link.answers;
        self.leave_behind(link.session, ghosts);
    }

    pub(crate) fn open_hand(&mut self, index: usize, rules: &Rules) {
        let zookeeper = self.zookeeper.edit();
        zookeeper.mend();
        let session = zookeeper.open();
        let hand = self.hands[index].edit();
        hand.open(session, rules.variant);
        let session = hand.incarnation(session, rules.variant);
        self.feed_hand(index, agent::Event::SessionOpened { session, timeout: std::time::Duration::from_secs(1) }, rules);
    }

    /// The next request of a worker is executed. `lost`: it does not learn how it ended, and whether it was applied at once.
    pub(crate) fn execute_hand(&mut self, index: usize, lost: Option<bool>, rules: &Rules) {
        let hand = self.hands[index].edit();
        let Some(link) = &mut hand.link else { return };
        if !rules.variant.lets_ghosts_overtake() {
            link.ghosts.clear();
        }
        let Some(request) = link.requests.pop_front() else { return };
        let (session, open) = (link.session, link.pen_open);
        let Some(multi) = multi_of(&request).cloned() else {
            let mut zookeeper = self.zookeeper.clone();
            self.hands[index].edit().read(request, zookeeper.edit(), rules.variant);
            self.zookeeper = zookeeper;
            return;
        };
        let outcome = match lost {
            _ if !open => Outcome::Refused(Refusal::Whole(Why::NotSent)),
            Some(false) => {
                link.ghosts.push_back(Arc::new(multi));
                Outcome::Unknown
            }
            None | Some(true) => {
                let outcome = of_execution(&self.commit(session, &multi));
                if lost.is_some() { Outcome::Unknown } else { rules.variant.as_told(outcome) }
            }
        };
        let Some(link) = &mut self.hands[index].edit().link else { return };
        link.pen_open &= outcome != Outcome::Unknown;
        link.answers.push_back(match request {
            agent::Effect::Write(id, _) => agent::Event::WriteEnded(id, outcome),
            _ => agent::Event::RegisterEnded(outcome),
        });
    }

    pub(crate) fn end_group(&mut self, index: usize, id: &RunId, exit: i32, rules: &Rules) {
        let Some(Over { event, group, element }) = self.hands[index].edit().group_ends(id, exit) else { return };
        if group.life == Life::Unreported {
            return;
        }
        match (&group.order.piece, element) {
            (Some(piece), Some(element)) => drop(self.executed.insert((piece.array.clone(), element, exit))),
            (None, _) if group.life == Life::Running => {
                let mut hasher = DefaultHasher::new();
                group.order.task.hash(&mut hasher);
                self.finished.insert((id.task.clone(), hasher.finish()));
            }
            (Some(_) | None, _) => {}
        }
        event.into_iter().for_each(|event| self.feed_hand(index, event, rules));
    }
}

pub(super) fn hand_watches(me: &WorkerId, change: &Change) -> bool {
    match change {
        Change::AssignmentAppeared(worker, _)
        | Change::AssignmentGone(worker, _)
        | Change::WorkerGone(worker)
        | Change::BoxGone(worker) => worker == me,
        Change::RequestAppeared(name) | Change::RequestGone(name) | Change::RequestChanged(name) => {
            name == me.as_str() || Some(name.as_str()) == me.operator_name()
        }
        _ => false,
    }
}
