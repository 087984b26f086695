//! Waiting tasks: read, understood or rejected, and placed.

use super::items::{Item, Place};
use super::{Effect, Master, PAYLOAD_BUDGET, READS_IN_FLIGHT, Reading};
use crate::Time;
use crate::lifecycle;
use crate::planner::{self, Requirement};
use crate::protocol::payload::{self, Rejection};
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Node, Stat, TaskName, Why, path};
use crate::view::{Question, Ready, Registration, Slot, Waiting};

impl Master {
    pub(super) fn on_task_appeared(&mut self, task: TaskName) {
        match self.view.tasks.get_mut(&task) {
            Some(Waiting::Moving { again, .. }) => *again = true,
            // A question that was asked before this event may be answered from before it.
            Some(Waiting::Unread(Some(_))) | None => self.want_payload(task),
            Some(Waiting::Unread(None) | Waiting::Ready(_) | Waiting::Stuck) => {}
        }
    }

    pub(super) fn on_task_gone(&mut self, task: &TaskName) {
        match self.view.tasks.get_mut(task) {
            Some(Waiting::Moving { again, gone, .. }) => (*again, *gone) = (false, true),
            Some(Waiting::Unread(_) | Waiting::Ready(_) | Waiting::Stuck) => self.forget_task(task),
            None => {}
        }
    }

    pub(super) fn on_task_changed(&mut self, task: &TaskName) {
        match self.view.tasks.get(task) {
            Some(Waiting::Unread(_) | Waiting::Ready(_) | Waiting::Stuck) => self.want_payload(task.clone()),
            // Its version is checked by the transaction that moves it.
            Some(Waiting::Moving { .. }) | None => {}
        }
    }

    pub(super) fn forget_task(&mut self, task: &TaskName) {
        self.view.forget(task);
        self.unread.remove(task);
        self.wanted.remove(task);
        self.stuck.remove(task);
    }

    pub(super) fn want_payload(&mut self, task: TaskName) {
        self.view.question(&task, None);
        self.unread.insert(task);
    }

    pub(super) fn ask_for_payloads(&mut self) {
        while self.reads < READS_IN_FLIGHT {
            let Some(task) = self.unread.pop_first() else { return };
            let question = self.ask();
            self.view.question(&task, Some(question));
            self.reads += 1;
            self.effects.push(Effect::ReadTask(question, task));
        }
    }

    pub(super) fn on_task_read(&mut self, question: Question, task: &TaskName, reading: Reading, now: Time) {
        if question <= self.floor {
            return;
        }
        self.reads = self.reads.saturating_sub(1);
        if self.view.tasks.get(task) != Some(&Waiting::Unread(Some(question))) {
            return;
        }
        match reading {
            Reading::Absent => {
                // A list that was asked for before may be answered after.
                self.touch_task(task);
                self.forget_task(task);
            }
            Reading::Denied => self.reject(task, None, &Rejection::NoRight, now),
            Reading::Found(node) => self.understand(task, node, now),
        }
        self.pursue_cancel(task, now);
    }

    fn understand(&mut self, task: &TaskName, node: Node, now: Time) {
        if node.stat.children > 0 {
            return self.stick(task, Why::NotEmpty);
        }
        let understood = match payload::decode(&node.data) {
            // A payload that was wrapped by us may be larger than what is accepted from others.
            Err(Rejection::TooLarge(bytes)) => match payload::decode_assigned(&node.data) {
                Ok(wrapped) if wrapped.envelope.losses > 0 => Ok(wrapped),
                Ok(_) | Err(_) => Err(Rejection::TooLarge(bytes)),
            },
            decoded => decoded,
        };
        match understood {
            Err(rejection) => self.reject(task, Some(node.stat), &rejection, now),
            Ok(understood) => {
                let alone = lifecycle::runs_alone(&understood.envelope, self.settings.max_worker_losses);
                let requirement = Requirement { labels: understood.envelope.require, alone };
                let priority = understood.envelope.priority;
                let Node { data, stat } = node;
                let ready = Ready::new(requirement, task.clone(), priority, stat.czxid, stat.version, data, now.mono);
                let budget = if self.wanted.remove(task) { usize::MAX } else { PAYLOAD_BUDGET };
                self.view.file(ready, budget);
                if let Some(item) = self.drop_copy(task) {
                    self.todo.push_back(item);
                }
            }
        }
    }

    fn reject(&mut self, task: &TaskName, stat: Option<Stat>, rejection: &Rejection, now: Time) {
        let version = stat.map(|stat| stat.version);
        let Stat { czxid, version: read, .. } = stat.unwrap_or_default();
        let ready = Ready::new(Requirement::default(), task.clone(), 0, czxid, read, Vec::new(), now.mono);
        self.view.file(ready, PAYLOAD_BUDGET);
        self.view.start_moving(task);
        self.todo.push_back(Item::End {
            task: task.clone(),
            from: Place::Pending,
            version,
            outcome: TaskOutcome::Rejected,
            recorded: lifecycle::rejection(task, rejection, now.wall),
            letter: None,
            marked: false,
        });
    }

    /// Leaves a task where it is, and says so once: trying again at once would change nothing. The slow comparison looks again.
    pub(super) fn stick(&mut self, task: &TaskName, why: Why) {
        self.view.forget(task);
        self.view.tasks.insert(task.clone(), Waiting::Stuck);
        if self.stuck.insert(task.clone()) {
            self.tell(super::Fact::Stuck { task: task.clone(), why });
        }
    }

    /// Turns free slots and waiting tasks into items.
    pub(super) fn place(&mut self) {
        // What is already decided goes first; beliefs about what is not yet written would only pile up.
        if self.paused || self.view.queue.is_empty() || self.todo.len() >= self.settings.assign_batch {
            return;
        }
        let plan = planner::solve(&self.view.queue, self.view.offers(self.settings.lookahead), self.settings.assign_batch);
        for placement in plan {
            if self.cancels.contains_key(&placement.task) {
                continue;
            }
            let Some(item) = self.assign(&placement) else {
                self.wanted.insert(placement.task.clone());
                self.want_payload(placement.task);
                continue;
            };
            self.todo.push_back(item);
        }
        self.ask_for_payloads();
    }

    /// The item that removes a ready task from `/tasks` because a worker has it already: a master of another kind died between its two
    /// writes, or the name was used again. What is assigned stands.
    fn drop_copy(&mut self, task: &TaskName) -> Option<Item> {
        let because = path::assignment(self.view.holder(task)?, task);
        let version = Some(self.view.start_moving(task)?.version);
        Some(Item::Drop { task: task.clone(), from: Place::Pending, version, because, otherwise: None })
    }

    /// The item for a placement; `None` if the payload must be read again first.
    fn assign(&mut self, placement: &planner::Placement) -> Option<Item> {
        let planner::Placement { task, worker } = placement;
        let Registration::Known(terms) = &self.view.workers.get(worker)?.registration else { return None };
        let worker_version = terms.version;
        match self.view.tasks.get(task) {
            Some(Waiting::Ready(ready)) if ready.payload.is_some() => {}
            Some(_) | None => return None,
        }
        if let Some(item) = self.drop_copy(task) {
            return Some(item);
        }
        self.view.workers.get_mut(worker)?.load.insert(task.clone(), Slot::Placing);
        let ready = self.view.start_moving(task)?;
        let payload = ready.payload.clone()?;
        Some(Item::Assign { task: task.clone(), version: ready.version, payload, worker: worker.clone(), worker_version })
    }
}
