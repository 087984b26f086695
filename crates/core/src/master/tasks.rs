//! Waiting tasks: read, understood or rejected, left to rest, and placed.
//!
//! A task under `/tasks` and one under `/bellwether/held` differ only in that the latter may not run before its time.

use std::num::NonZeroI64;
use std::sync::Arc;
use std::time::Duration;

use super::ground::Sweep;
use super::items::Item;
use super::parents::Verdict;
use super::{Effect, Master, PAYLOAD_BUDGET, READS_IN_FLIGHT, Reading};
use crate::Time;
use crate::lifecycle;
use crate::planner::{self, Requirement, Ticket};
use crate::protocol::payload::{self, Rejection};
use crate::protocol::result::TaskOutcome;
use crate::protocol::{Node, Stat, Why, path};
use crate::view::{Entry, Lane, Question, Ready, Registration, Slot, UNTIL_TOLD, Waiting};

/// How often one turn asks arrays for pieces.
const ROUNDS_MAX: usize = 256;

impl Master {
    pub(super) fn on_task_appeared(&mut self, entry: Entry) {
        match self.view.get_mut(&entry) {
            Some(Waiting::Moving { again, .. }) => *again = true,
            // A question that was asked before this event may be answered from before it.
            Some(Waiting::Asked(_)) | None => self.want_payload(entry),
            Some(Waiting::Unread | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Stuck) => {}
        }
    }

    pub(super) fn on_task_gone(&mut self, entry: &Entry) {
        match self.view.get_mut(entry) {
            Some(Waiting::Moving { again, gone, .. }) => (*again, *gone) = (false, true),
            Some(Waiting::Unread | Waiting::Asked(_) | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Stuck) => self.forget_task(entry),
            None => {}
        }
    }

    pub(super) fn on_task_changed(&mut self, entry: &Entry) {
        match self.view.get(entry) {
            Some(Waiting::Unread | Waiting::Asked(_) | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Stuck) => {
                self.want_payload(entry.clone())
            }
            // Its version is checked by the transaction that moves it.
            Some(Waiting::Moving { .. }) | None => {}
        }
    }

    pub(super) fn forget_task(&mut self, entry: &Entry) {
        self.view.forget(entry);
        if entry.lane == Lane::Held {
            self.unbind(&entry.task);
        }
        self.unread.remove(entry);
        self.wanted.remove(entry);
        self.rested.remove(entry);
        self.stuck.remove(&entry.task);
    }

    pub(super) fn want_payload(&mut self, entry: Entry) {
        self.view.question(&entry, None);
        self.unread.insert(entry);
    }

    pub(super) fn ask_for_payloads(&mut self) {
        while self.reads < READS_IN_FLIGHT {
            // What is held is understood only by somebody who knows the time.
            let readable = |entry: &Entry| entry.lane == Lane::Pending || self.clock.answered;
            if !self.unread.first().is_some_and(readable) {
                return;
            }
            let Some(entry) = self.unread.pop_first() else { return };
            let question = self.ask();
            self.view.question(&entry, Some(question));
            self.reads += 1;
            self.effects.push(match entry.lane {
                Lane::Pending => Effect::ReadTask(question, entry.task),
                // An array is read otherwise, and never asked for here.
                Lane::Held | Lane::Array => Effect::ReadHeld(question, entry.task),
            });
        }
    }

    pub(super) fn on_task_read(&mut self, question: Question, entry: &Entry, reading: Reading, now: Time) {
        if question <= self.floor {
            return;
        }
        self.reads = self.reads.saturating_sub(1);
        if self.view.get(entry) != Some(&Waiting::Asked(question)) {
            return;
        }
        match reading {
            Reading::Absent => {
                // A list that was asked for before may be answered after.
                self.touch_task(entry);
                self.forget_task(entry);
            }
            Reading::Denied => self.reject(entry, None, &Rejection::NoRight, now),
            Reading::Found(node) => self.understand(entry, node, now),
        }
        self.pursue_parent(&entry.task);
        self.pursue_cancel(&entry.task, now);
    }

    fn understand(&mut self, entry: &Entry, node: Node, now: Time) {
        if node.stat.children > 0 {
            return self.stick(entry, Why::NotEmpty);
        }
        let understood = match payload::decode_waiting(&node.data) {
            Err(rejection) => return self.reject(entry, Some(node.stat), &rejection, now),
            Ok(understood) => understood,
        };
        let alone = lifecycle::runs_alone(&understood.envelope, self.settings.max_worker_losses);
        let delay = Duration::from_millis(understood.envelope.delay_ms);
        let requirement =
            Requirement { limited: self.limited(&understood.envelope.labels), ..Requirement::of(&understood.envelope, alone) };
        let is_array = understood.envelope.array.is_some();
        let Node { data, stat } = node;
        // What rests waits for its turn from the moment on when it may run.
        let rests_ms = if entry.lane == Lane::Held { i64::try_from(understood.envelope.delay_ms).unwrap_or(i64::MAX) } else { 0 };
        let since_ms = stat.ctime_ms.saturating_add(rests_ms);
        let ticket = Ticket::new(understood.envelope.priority, since_ms, stat.czxid, entry.clone());
        let ready = Ready::new(requirement, ticket, stat.version, data, now.mono);
        let ready = Ready { created_ms: NonZeroI64::new(stat.ctime_ms).filter(|_| entry.lane == Lane::Pending), ..ready };
        let budget = if self.wanted.remove(entry) { usize::MAX } else { PAYLOAD_BUDGET };
        let due = self.clock.due(stat.ctime_ms, delay, now).filter(|due| *due > now.mono);
        // Whose turn had come has rested enough, whatever the clocks say by now.
        let rests = entry.lane == Lane::Held && !self.rested.remove(entry);
        let ready = Ready { expires: self.expiry(&understood.envelope, since_ms, due.filter(|_| rests), now).map(Box::new), ..ready };
        let verdict = match entry.lane {
            Lane::Held => self.bind(&entry.task, &understood.envelope, due),
            Lane::Pending | Lane::Array => Verdict::Free,
        };
        match (verdict, due.filter(|_| rests)) {
            (Verdict::Free, Some(due)) => self.view.rest(ready, due, budget),
            (Verdict::Free, None) => self.view.file(ready, budget),
            // Its turn comes when it is told: until then no time runs.
            (Verdict::Waits, _) => self.view.rest(Ready { expires: None, ..ready }, UNTIL_TOLD, budget),
            (Verdict::Ends(policy, why), _) => {
                self.view.file(ready, usize::MAX);
                self.end_child(entry, policy, &why, now);
            }
        }
        // What rests may have come from its worker just now, before we heard that it left: that is looked at when it is due.
        let copy = if entry.lane == Lane::Pending { self.drop_copy(entry) } else { None };
        self.todo.extend(copy);
        if is_array && entry.lane == Lane::Pending {
            self.adopt(entry);
        }
    }

    fn reject(&mut self, entry: &Entry, stat: Option<Stat>, rejection: &Rejection, now: Time) {
        let version = stat.map(|stat| stat.version);
        let Stat { czxid, version: read, .. } = stat.unwrap_or_default();
        let ticket = Ticket::new(0, 0, czxid, entry.clone());
        let ready = Ready::new(Requirement::default(), ticket, read, Vec::new(), now.mono);
        self.view.file(ready, PAYLOAD_BUDGET);
        self.view.start_moving(entry);
        self.todo.push_back(Item::End {
            task: entry.task.clone(),
            from: entry.lane.into(),
            version,
            outcome: TaskOutcome::Rejected,
            recorded: lifecycle::rejection(&entry.task, rejection, now.wall),
            letter: None,
            marked: false,
        });
    }

    /// Leaves a task where it is, and says so once: trying again at once would change nothing. The slow comparison looks again.
    pub(super) fn stick(&mut self, entry: &Entry, why: Why) {
        self.view.stick(entry);
        if self.stuck.insert(entry.task.clone()) {
            self.tell(super::Fact::Stuck { task: entry.task.clone(), why });
        }
    }

    /// What has rested long enough may be placed, and what has waited too long ends; when the next one has, the shell rings.
    pub(super) fn wake(&mut self, now: Time) {
        self.view.wake(now.mono);
        self.expire(now);
        self.arm(now);
    }

    /// Lets the shell ring when the next one is due.
    pub(super) fn arm(&mut self, now: Time) {
        let pace = self.admitting.due.filter(|due| *due > now.mono);
        let due = self.view.next_due().into_iter().chain(pace).min();
        if self.alarm != due {
            self.alarm = due;
            self.effects.extend(due.map(Effect::Arm));
        }
    }

    /// Makes an array of a task that is one: at first sight, or when its turn has come.
    fn adopt(&mut self, entry: &Entry) -> bool {
        let Some(Waiting::Ready(ready)) = self.view.get(entry) else { return false };
        let Some(data) = ready.payload.clone() else { return false };
        let version = ready.version;
        let Some(item) = self.adoption(entry, &data, version) else { return false };
        self.view.start_moving(entry);
        self.todo.push_back(item);
        true
    }

    /// Turns free slots and waiting tasks into items. An array yields one piece a round, and waits behind the others for the next one.
    pub(super) fn place(&mut self, now: Time) {
        let slots = if self.view.arrays.is_empty() { 0 } else { self.slots_in_all() };
        for _ in 0..ROUNDS_MAX {
            if !self.place_once(slots, now) {
                return;
            }
        }
    }

    /// Says whether an array has yielded something, and may again.
    fn place_once(&mut self, slots: u32, now: Time) -> bool {
        // What is already decided goes first; beliefs about what is not yet written would only pile up.
        if self.paused
            || self.view.halted
            || self.sweep != Sweep::Done
            || self.view.queue.is_empty()
            || self.todo.len() >= self.settings.assign_batch
        {
            return false;
        }
        let mut again = false;
        let allowances = self.allowances(now);
        let mut left = allowances.clone();
        let plan = self.plan(&mut left, now);
        self.keep_pace(&allowances, &left, now);
        // The plan counted each piece of an array as one; each of its elements counts.
        let mut besides = left.clone();
        for placement in plan {
            if self.cancels.contains_key(&placement.entry.task) {
                continue;
            }
            if placement.entry.lane == Lane::Array {
                again |= self.give_piece(&placement.entry.task, &placement.worker, slots, &mut besides, now);
                continue;
            }
            let Some(item) = self.assign(&placement) else {
                self.wanted.insert(placement.entry.clone());
                self.rested.insert(placement.entry.clone());
                self.want_payload(placement.entry);
                continue;
            };
            self.todo.push_back(item);
        }
        self.ask_for_payloads();
        self.keep_pace(&left, &besides, now);
        self.await_pace(&besides, now);
        again
    }

    /// Which of the waiting tasks go where. All workers are looked at only if room may have to be kept for the best of them.
    fn plan(&mut self, left: &mut planner::Allowances, now: Time) -> Vec<planner::Placement> {
        let (lookahead, most) = (self.settings.lookahead, self.settings.assign_batch);
        self.view.workers.set_lookahead(lookahead);
        self.view.workers.settle();
        let mut open = self.view.market(lookahead, now.mono);
        let plan = planner::solve_open(&self.view.queue, &mut open, most, left);
        plan.unwrap_or_else(|| planner::solve_within(&self.view.queue, self.view.offers(lookahead, now.mono), most, left))
    }

    /// The item that removes a waiting task because it is elsewhere, too: a master of another kind died between its two writes, or the
    /// name was used again.
    fn drop_copy(&mut self, entry: &Entry) -> Option<Item> {
        let because = self.elsewhere(entry)?;
        let version = Some(self.view.start_moving(entry)?.version);
        Some(Item::Drop { task: entry.task.clone(), from: entry.lane.into(), version, because, otherwise: None })
    }

    /// Where else a task is, if it is. What is assigned stands, and so does what rests after an attempt.
    fn elsewhere(&mut self, entry: &Entry) -> Option<String> {
        let assigned = self.view.holder(&entry.task).map(|holder| path::assignment(holder, &entry.task));
        let held = || (entry.lane == Lane::Pending && self.view.held.contains_key(&entry.task)).then(|| path::held(&entry.task));
        assigned.or_else(held)
    }

    /// The item for a placement; `None` if the payload must be read again first.
    fn assign(&mut self, placement: &planner::Placement) -> Option<Item> {
        let planner::Placement { entry, worker } = placement;
        let Registration::Known(terms) = &self.view.workers.get(worker)?.registration else { return None };
        let worker_version = terms.version;
        match self.view.get(entry) {
            Some(Waiting::Ready(ready)) if ready.payload.is_some() => {}
            Some(_) | None => return None,
        }
        if let Some(item) = self.drop_copy(entry) {
            return Some(item);
        }
        // What was held waits in this queue, too, and becomes an array when its turn has come.
        if entry.lane == Lane::Held
            && let Some(Waiting::Ready(ready)) = self.view.get(entry)
            && let Some(item) = self.adoption_of(entry, ready)
        {
            self.view.start_moving(entry);
            return Some(item);
        }
        let ready = self.view.start_moving(entry)?;
        let (requirement, version, payload) = (Arc::clone(&ready.requirement), ready.version, ready.payload.clone()?.into_vec());
        let slot = Slot::Placing { alone: requirement.alone };
        let known = self.view.workers.get_mut(worker)?;
        known.load.place(&entry.task, slot, requirement);
        known.asked = false;
        Some(Item::Assign { entry: entry.clone(), version, payload, worker: worker.clone(), worker_version })
    }
}
