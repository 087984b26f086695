//! What must hold in the end, when nothing goes wrong any more.

use std::collections::BTreeMap;

use bellwether_core::lifecycle::RunId;
use bellwether_core::master::{Event as MasterEvent, Fact};
use bellwether_core::protocol::{TaskName, path};

use super::{FOR_EVER, Faults, Hand, State, World};

impl World {
    /// A task never runs twice at a time, unless workers are told to keep what they run.
    pub(super) fn nobody_overlaps(&self) {
        if self.faults.keep {
            return;
        }
        let mut seen: BTreeMap<&TaskName, (&str, &RunId)> = BTreeMap::new();
        for hand in self.hands.iter().filter(|hand| !hand.gone) {
            for id in hand.running.keys() {
                if let Some(other) = seen.insert(&id.task, (&hand.name, id)) {
                    panic!("{id:?} runs on {} while {other:?} still runs", hand.name);
                }
            }
        }
    }

    /// Faults stop: everything is connected, somebody rules, somebody works.
    pub(super) fn heal(&mut self) {
        self.zookeeper.mend_layout();
        self.ask_no_more();
        self.spread();
        let willing = self.hands.iter().any(|hand| !hand.gone && !hand.draining && hand.agent_offers_zone());
        if !willing {
            self.hire(true);
        }
        for index in 0..self.rulers.len() {
            if self.rulers[index].link.state != State::Up {
                self.connect_ruler(index);
            }
        }
        for index in 0..self.hands.len() {
            let down = self.hands[index].link.as_ref().is_some_and(|link| link.state != State::Up);
            if !self.hands[index].gone && down {
                self.connect_hand(index);
            }
        }
        self.after_step();
    }

    /// Everything that is on the way arrives; commands end; time passes when nothing else is left to do.
    pub(super) fn settle(&mut self) {
        let mut steps = 0;
        let mut quiet = 0;
        while quiet < 40 {
            steps += 1;
            assert!(steps < 30_000, "it goes on for ever");
            if self.zookeeper.get(path::MASTER).is_none() {
                self.elect();
            }
            let idle = self.rulers.iter().all(|ruler| ruler.link.is_idle()) && self.hands.iter().all(Hand::is_idle);
            if idle {
                // What rests wakes by itself.
                quiet += usize::from(self.rulers.iter().all(|ruler| ruler.alarm.is_none()));
                self.pass_time();
                self.after_step();
            } else {
                self.peaceful_step();
            }
        }
    }

    /// One thing happens that is no fault.
    pub(super) fn peaceful_step(&mut self) {
        match self.random.below(20) {
            0..=5 => self.serve_ruler(false),
            6..=9 => self.hear_ruler(),
            10..=13 => self.serve_hand(false),
            14..=17 => self.hear_hand(),
            18 => self.end_command(true),
            _ => self.pass_time(),
        }
        self.after_step();
    }

    pub(super) fn judge(&self) {
        let unfinished: Vec<_> = self.zookeeper.ledger.unfinished().collect();
        assert!(unfinished.is_empty(), "never ended: {unfinished:?}, a master believes {:?}", self.rulers.last().map(|r| r.master.view()));
        let only_drains = self.patience == FOR_EVER && !faults_kill_workers(self.faults);
        if only_drains {
            assert_eq!(self.zookeeper.tally.dead, 0, "a drain costs nothing");
            assert_eq!(self.zookeeper.tally.taken_back, 0, "a drain leaves nothing behind");
        }
        assert_eq!(self.zookeeper.tally.differences, 0, "watches told everything, sooner or later");
        for task in &self.submitted {
            let status = path::status(task);
            assert!(self.zookeeper.get(&status).is_some() || self.zookeeper.swept.contains(&status), "{task} has no status");
        }
        assert_eq!(self.zookeeper.children(path::TASKS), Some(vec![]), "left under /tasks");
        assert_eq!(self.zookeeper.children(path::HELD), Some(vec![]), "left under held");
        assert_eq!(self.zookeeper.children(path::CANCEL), Some(vec![]), "marks left");
        self.nothing_old_is_left();
        for worker in self.zookeeper.children(path::ASSIGN).expect("layout") {
            assert!(self.zookeeper.get(&format!("/workers/{worker}")).is_some(), "the box of {worker} was left");
        }
        assert_eq!(self.rulers.len(), 1, "one master is left");
        let view = self.rulers[0].master.view();
        assert!(view.tasks.is_empty() && view.held.is_empty(), "the master believes in {:?} and {:?}", view.tasks, view.held);
        assert!(view.workers.values().all(|worker| worker.load.is_empty()), "slots are lost: {:?}", view.workers);
        for hand in self.hands.iter().filter(|hand| !hand.gone) {
            assert!(!hand.draining, "{} never left", hand.name);
            assert_eq!(hand.agent.slots_in_use(), 0, "{} lost a slot", hand.name);
            assert!(hand.agent.is_registered(), "{} is not registered", hand.name);
        }
    }

    /// No result is older than `/tasks`, if that was deleted and created again.
    pub(super) fn nothing_old_is_left(&self) {
        let czxid = |path: &str| self.zookeeper.get(path).expect("layout").stat.czxid;
        let created = czxid(path::TASKS);
        if created < czxid(path::STATUS) {
            return;
        }
        for parent in [path::STATUS, path::RESULTS] {
            for name in self.zookeeper.children(parent).expect("layout") {
                assert!(czxid(&format!("{parent}/{name}")) > created, "{parent}/{name} is older than /tasks");
            }
        }
    }

    /// The slow comparison finds nothing and writes nothing when nothing is wrong.
    pub(super) fn reconcile_when_all_is_well(&mut self) {
        // What is left of arrays whose statuses were swept goes first.
        let _ = self.reconcile_once();
        let commits = self.zookeeper.zxid();
        assert_eq!(self.reconcile_once(), [Fact::Differences(0)]);
        assert_eq!(self.zookeeper.zxid(), commits, "it wrote something");
    }

    pub(super) fn reconcile_once(&mut self) -> Vec<Fact> {
        self.rulers[0].on(MasterEvent::ReconcileDue, &mut self.zookeeper, self.now);
        let mut facts = Vec::new();
        while !self.rulers[0].link.is_idle() {
            self.serve_ruler(false);
            self.hear_ruler();
            facts.append(&mut self.rulers[0].facts);
        }
        facts
    }
}

fn faults_kill_workers(faults: Faults) -> bool {
    faults.worker_crashes || faults.suspensions || faults.by_hand || faults.lost_replies || faults.keep
}
