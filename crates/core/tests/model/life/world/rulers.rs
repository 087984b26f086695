//! What a coordinator in office does.

use std::sync::Arc;

use bellwether_core::master;
use bellwether_core::protocol::{Change, Multi, Outcome, Refusal, Why, path};

use super::super::part::Part;
use super::super::ruler::{self, Ruler};
use super::{Rules, World};

impl World {
    /// Somebody is elected, in one transaction, as the other model proves.
    pub(crate) fn stand(&mut self, rules: &Rules) {
        let zookeeper = self.zookeeper.edit();
        zookeeper.mend();
        let session = zookeeper.open();
        let created = if zookeeper.znode(path::EPOCH).is_none() { zookeeper.create_epoch() } else { Vec::new() };
        self.enter(session, created, true);
        let version = self.zookeeper.znode(path::EPOCH).map_or(0, |node| node.version);
        let ballot = Multi::new().create_ephemeral(path::MASTER, "").set(path::MASTER, "", Some(0)).set(path::EPOCH, "", Some(version));
        if self.commit(session, &ballot).is_ok() {
            self.rulers.push(Part::new(Ruler::new(session, version + 1, rules)));
        }
    }

    pub(crate) fn feed_ruler(&mut self, index: usize, event: master::Event, rules: &Rules) {
        let sane = self.rulers[index].edit().feed(event, rules.variant);
        self.check(sane);
        self.retire(index);
    }

    /// Who rules no more closes its session; what it had sent may still come before that.
    fn retire(&mut self, index: usize) {
        if self.rulers[index].over {
            self.bury_ruler(index);
        }
    }

    /// The process is gone, or begins anew as somebody else.
    pub(crate) fn bury_ruler(&mut self, index: usize) {
        let mut ruler = self.rulers.remove(index);
        let ruler = ruler.edit();
        let mut ghosts = std::mem::take(&mut ruler.link.ghosts);
        for request in &ruler.link.requests {
            if let ruler::Request::Order(master::Effect::Write(_, multi)) = request {
                ghosts.push_back(Arc::new(ruler.fenced(multi)));
            }
        }
        self.leave_behind(ruler.link.session, ghosts);
    }

    /// The next request of a coordinator is executed. `lost`: it does not learn how it ended, and whether it was applied at once.
    pub(crate) fn execute_ruler(&mut self, index: usize, lost: Option<bool>, rules: &Rules) {
        let ruler = self.rulers[index].edit();
        if !rules.variant.repeats_unknown() {
            ruler.link.ghosts.clear();
        }
        let session = ruler.link.session;
        let Some(request) = ruler.link.requests.pop_front() else { return };
        match request {
            ruler::Request::Prove => {
                let executed = self.commit(session, &self.rulers[index].fenced(&Multi::new()));
                let ruler = self.rulers[index].edit();
                let outcome = ruler.outcome(&executed);
                ruler.on_proof(&outcome);
            }
            ruler::Request::Order(master::Effect::Write(id, multi)) => {
                let multi = rules.variant.at_execution(multi, &self.zookeeper);
                let fenced = ruler.fenced(&multi);
                if lost.is_some() && rules.variant.repeats(&multi) {
                    ruler.link.requests.push_back(ruler::Request::Order(master::Effect::Write(id, multi)));
                    match lost {
                        Some(true) => drop(self.commit(session, &fenced)),
                        Some(false) | None => ruler.link.ghosts.push_back(Arc::new(fenced)),
                    }
                    return self.retire(index);
                }
                let outcome = match lost {
                    _ if !ruler.link.pen_open => Outcome::Refused(Refusal::Whole(Why::NotSent)),
                    Some(false) => {
                        ruler.link.ghosts.push_back(Arc::new(fenced));
                        rules.variant.of_unknown()
                    }
                    None | Some(true) => {
                        let executed = self.commit(session, &fenced);
                        if lost.is_some() { rules.variant.of_unknown() } else { self.rulers[index].outcome(&executed) }
                    }
                };
                self.rulers[index].edit().on_outcome(id, outcome);
            }
            ruler::Request::Order(question) => {
                let mut zookeeper = self.zookeeper.clone();
                self.rulers[index].edit().read(question, zookeeper.edit(), rules.variant);
                self.zookeeper = zookeeper;
            }
        }
        self.retire(index);
    }
}

pub(super) fn ruler_watches(change: &Change) -> bool {
    match change {
        Change::TaskAppeared(_)
        | Change::TaskGone(_)
        | Change::TaskChanged(_)
        | Change::WorkerAppeared(_)
        | Change::WorkerGone(_)
        | Change::WorkerChanged(_)
        | Change::BoxAppeared(_)
        | Change::BoxGone(_)
        | Change::AssignmentAppeared(..)
        | Change::AssignmentGone(..)
        | Change::CancelAppeared(_)
        | Change::CancelGone(_)
        | Change::HeldAppeared(_)
        | Change::HeldGone(_)
        | Change::HeldChanged(_)
        | Change::GroupChanged(_)
        | Change::GroupGone(_)
        | Change::Paused
        | Change::Resumed
        | Change::RequestAppeared(_)
        | Change::RequestGone(_)
        | Change::RequestChanged(_)
        | Change::LayoutGone(_)
        | Change::OfficeVacant => true,
        Change::OfficeTaken
        | Change::StepDownAsked
        | Change::EpochMoved
        | Change::StatusAppeared(_)
        | Change::StatusGone(_)
        | Change::QueueMoved
        | Change::ScheduleMoved(_)
        | Change::Foreign(_) => false,
    }
}
