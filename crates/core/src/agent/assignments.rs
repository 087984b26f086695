//! What is assigned to this worker, and what became of it while nobody looked.
//!
//! A disappearing assignment is the order to stop. Two assignments of one name are told apart by the transaction that created
//! them; whenever an event or an outage leaves a doubt which one is there, it is read before anything is concluded.

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;

use super::{Agent, Effect, Fact, KillReason, Order, Run, Stage, Stop};
use crate::Time;
use crate::lifecycle::{AfterRun, Ending, Ran, RunId, Runner, after_run, rejection};
use crate::master::Reading;
use crate::planner::{Amount, Skills};
use crate::protocol::array::PieceOrder;
use crate::protocol::payload::{Dialect, Rejection, Task};
use crate::protocol::result::{record, rejected};
use crate::protocol::{Change, Node, Stat, TaskName, Why, path, payload};
use crate::view::Question;

/// How long a command whose assignment went may go on until it is known why.
pub(super) const EXPLAINED_WITHIN: Duration = Duration::from_millis(100);

impl Run {
    pub(super) fn of(stat: &Stat, payload: Vec<u8>, stage: Stage, seen: Question, accepted: Duration) -> Self {
        let amount = match &stage {
            Stage::Queued(task) | Stage::Running(task) => Amount::of(&task.envelope),
            Stage::Asked | Stage::Unpacked(_) | Stage::Stopping | Stage::Over | Stage::Abandoned => Amount::one(),
        };
        let (czxid, version, assigned_ms) = (stat.czxid, stat.version, stat.ctime_ms);
        Self { czxid, version, payload, stage, piece: None, amount, accepted, assigned_ms, dead: None, confirming: None, seen }
    }
}

impl Agent {
    pub(super) fn on_box_listed(&mut self, question: Question, tasks: Option<Vec<TaskName>>) {
        if self.box_question.take_if(|asked| *asked == question).is_none() {
            return;
        }
        let Some(listed) = tasks else { return self.on_unregistered() };
        // What was asked before may never be answered.
        self.settle_again();
        let touched = std::mem::take(&mut self.touched);
        let gone: Vec<TaskName> = self.runs.keys().filter(|t| !listed.contains(t) && !touched.contains(*t)).cloned().collect();
        for task in gone {
            self.withdraw(&task, Stop::Within(EXPLAINED_WITHIN));
        }
        for task in listed {
            self.look_at(task);
        }
    }

    pub(super) fn on_change(&mut self, change: Change) {
        match change {
            Change::AssignmentAppeared(worker, task) if Some(&worker) == self.me() => {
                self.touch(&task);
                self.look_at(task);
            }
            Change::AssignmentGone(worker, task) if Some(&worker) == self.me() => {
                self.touch(&task);
                // Our own transaction deletes assignments all the time; its answer says the same.
                if !self.outbox.in_flight(&task) && self.runs.contains_key(&task) {
                    self.look_at(task);
                }
            }
            Change::WorkerGone(worker) | Change::BoxGone(worker) if Some(&worker) == self.me() => self.on_unregistered(),
            Change::RequestAppeared(name) | Change::RequestChanged(name) | Change::RequestGone(name) => self.on_request_changed(&name),
            Change::EpochMoved => self.effects.push(Effect::ReadEpoch),
            Change::OfficeVacant
            | Change::StepDownAsked
            | Change::OfficeTaken
            | Change::TaskAppeared(_)
            | Change::TaskGone(_)
            | Change::TaskChanged(_)
            | Change::WorkerAppeared(_)
            | Change::WorkerGone(_)
            | Change::WorkerChanged(_)
            | Change::BoxAppeared(_)
            | Change::BoxGone(_)
            | Change::AssignmentAppeared(..)
            | Change::AssignmentGone(..)
            | Change::StatusAppeared(_)
            | Change::StatusGone(_)
            | Change::CancelAppeared(_)
            | Change::CancelGone(_)
            | Change::QueueMoved
            | Change::ScheduleMoved(_)
            | Change::HeldAppeared(_)
            | Change::HeldGone(_)
            | Change::HeldChanged(_)
            | Change::GroupChanged(_)
            | Change::GroupGone(_)
            | Change::Paused
            | Change::Resumed
            | Change::LayoutGone(_)
            | Change::Foreign(_) => {}
        }
    }

    /// A list that is awaited says nothing about this one any more.
    fn touch(&mut self, task: &TaskName) {
        if self.box_question.is_some() {
            self.touched.insert(task.clone());
        }
    }

    /// Asks what is there; an earlier question about the same name is forgotten.
    pub(super) fn look_at(&mut self, task: TaskName) {
        let question = self.ask();
        let unknown = || Run::of(&Stat::default(), Vec::new(), Stage::Asked, 0, Duration::ZERO);
        self.runs.entry(task.clone()).or_insert_with(unknown).confirming = Some(question);
        self.effects.push(Effect::ReadAssignment(question, task));
        // The proof that the command may be started travels with the question.
        self.proof.wanted = true;
    }

    pub(super) fn on_assignment_read(&mut self, question: Question, task: &TaskName, reading: Reading, now: Time) {
        let Some(run) = self.runs.get_mut(task) else { return };
        let same = |reading: &Reading| matches!(reading, Reading::Found(node) if node.stat.czxid == run.czxid);
        // What our own transaction left behind is looked at when it has ended: then it is known whether it was ours.
        if self.outbox.in_flight(task) && !same(&reading) {
            return;
        }
        if run.confirming.take_if(|asked| *asked == question).is_none() {
            return;
        }
        match reading {
            Reading::Absent => self.withdraw(task, Stop::Within(EXPLAINED_WITHIN)),
            Reading::Denied => {
                let unread = run.stage == Stage::Asked;
                let path = self.session.as_ref().map(|session| path::assignment(&session.me, task)).unwrap_or_default();
                self.tell(Fact::Surprised { path, why: Why::NoAuth });
                if unread {
                    self.reject_unread(task, now);
                }
            }
            Reading::Found(node) if run.stage == Stage::Asked => self.accept(question, task, node, now),
            Reading::Found(node) if run.czxid == node.stat.czxid => {
                run.seen = question;
                self.outbox.confirm(task);
                self.unpack_again(task);
            }
            Reading::Found(node) => {
                self.withdraw(task, Stop::Kill);
                self.accept(question, task, node, now);
            }
        }
    }

    fn accept(&mut self, question: Question, task: &TaskName, node: Node, now: Time) {
        if let Some(order) = PieceOrder::decode(task, &node.data) {
            return self.accept_piece(question, task, order, &node.stat, now);
        }
        let Node { data, stat } = node;
        let stage = match payload::decode_assigned(&data) {
            Ok(understood) => match self.why_not(&understood) {
                None => Stage::Queued(Box::new(understood)),
                Some(why) => {
                    let mut result = rejected(task.clone(), &why, now.wall);
                    result.note_request(&understood);
                    let recorded = record(&result, Some(&understood));
                    self.outbox.record(task, stat.version, Box::new(result), recorded, None);
                    Stage::Over
                }
            },
            Err(why) => {
                let result = rejected(task.clone(), &why, now.wall);
                self.outbox.record(task, stat.version, Box::new(result), rejection(task, &why, now.wall), None);
                Stage::Over
            }
        };
        let run = Run::of(&stat, data, stage, question, now.mono);
        let queued = matches!(run.stage, Stage::Queued(_));
        self.runs.insert(task.clone(), run);
        if (self.draining || self.drain().is_some()) && queued {
            self.give_back(task);
        }
    }

    /// Why it is not run here. None of it is given to us by a master of ours.
    fn why_not(&self, task: &Task) -> Option<Rejection> {
        if task.envelope.array.is_some() {
            // Its command would be run as no element of it.
            let why = "it is an array, and was assigned as one task: only a master that knows of arrays can give it out";
            return Some(Rejection::NotAllowed(why.to_owned()));
        }
        let covered = self.skills().cover(task.envelope.kind.as_deref());
        (!covered).then(|| Rejection::UnknownKind(task.envelope.kind.clone()))
    }

    pub(super) fn skills(&self) -> Skills {
        Skills::of(&self.settings.record)
    }

    /// Nobody can run what may not be read. To delete it is a right on the box.
    fn reject_unread(&mut self, task: &TaskName, now: Time) {
        let why = Rejection::NoRight;
        self.outbox.reject_unread(task, rejected(task.clone(), &why, now.wall), rejection(task, &why, now.wall));
        if let Some(run) = self.runs.get_mut(task) {
            run.stage = Stage::Over;
        }
    }

    /// The assignment is not ours any more: what runs for it is stopped, and its result is dropped. How long its command may take to end,
    /// whoever cancelled it has said, if anybody did; until that is known, a moment.
    fn withdraw(&mut self, task: &TaskName, how: Stop) {
        let Some(run) = self.runs.remove(task) else { return };
        let dropped = self.outbox.drop_task(task);
        match run.stage {
            Stage::Running(_) | Stage::Stopping => {
                let id = RunId { task: task.clone(), czxid: run.czxid };
                let plain = matches!(&run.stage, Stage::Running(task) if task.dialect == Dialect::Plain);
                self.dying.insert(id.clone(), run.amount);
                // Elements of an array are stopped at once, and what is being stopped already gets no time more.
                let how = if run.piece.is_some() || run.stage == Stage::Stopping { Stop::Kill } else { how };
                self.effects.push(Effect::Stop(id.clone(), how));
                self.ask_why_gone(id, if plain { path::plain_result(task) } else { path::status(task) });
            }
            Stage::Over => dropped.into_iter().for_each(|dropped| self.settle(task, dropped)),
            Stage::Asked | Stage::Unpacked(_) | Stage::Queued(_) | Stage::Abandoned => {}
        }
    }

    pub(super) fn start_what_fits(&mut self, now: Time) {
        if !self.is_registered() || self.draining || !self.requests.known || self.drain().is_some() {
            return;
        }
        let (mut in_use, has) = (self.in_use(), self.has());
        if in_use.slots >= has.slots || !self.runs.values().any(|run| matches!(run.stage, Stage::Queued(_))) {
            return;
        }
        if !self.is_proven(now) {
            return self.prove_unless_asked();
        }
        let before = in_use.clone();
        for (task, amount) in self.queued() {
            // What never fits waits for nobody; what fits later is not overtaken, or it would wait for ever.
            if !amount.fits(&Amount::default(), &has) {
                continue;
            }
            if !amount.fits(&in_use, &has) {
                break;
            }
            in_use.add(&amount);
            self.start(&task);
        }
        if in_use != before {
            self.arm_proofs();
        }
    }

    /// What waits to be started, in the order of its turn: higher priority first, oldest first within a priority.
    pub(super) fn queued(&self) -> Vec<(TaskName, Amount)> {
        let mut queued: Vec<_> = self
            .runs
            .iter()
            .filter_map(|(name, run)| match &run.stage {
                Stage::Queued(task) => Some((Reverse(task.envelope.priority), run.czxid, name.clone(), run.amount.clone())),
                Stage::Asked | Stage::Unpacked(_) | Stage::Running(_) | Stage::Stopping | Stage::Over | Stage::Abandoned => None,
            })
            .collect();
        queued.sort();
        queued.into_iter().map(|(_, _, name, amount)| (name, amount)).collect()
    }

    fn start(&mut self, name: &TaskName) {
        let Some(worker) = self.me().cloned() else { return };
        let epoch = self.runs.get(name).and_then(|run| self.epoch_of(run.czxid));
        let Some(run) = self.runs.get_mut(name) else { return };
        let Stage::Queued(task) = &run.stage else { return };
        let task = task.clone();
        run.stage = Stage::Running(task.clone());
        let (id, piece) = (RunId { task: name.clone(), czxid: run.czxid }, run.piece.as_deref().cloned());
        self.effects.push(Effect::Start(Box::new(Order { id, task: *task, worker, epoch, piece })));
    }

    pub(super) fn on_run_ended(&mut self, id: &RunId, ran: &Ran, now: Time) {
        // Somebody may know better than whoever could only tell us now.
        let dead = ran.dead.unwrap_or(now.mono);
        self.overlaps.on_dead(id, dead);
        if self.dying.remove(id).is_some() {
            return self.look_for_successors();
        }
        let Some(run) = self.runs.get_mut(&id.task).filter(|run| run.czxid == id.czxid) else { return };
        run.dead = Some(dead);
        if ran.ending == Ending::Stuck {
            // It takes its slot until we hear of it again. What was to be stopped meanwhile is given back then, and not before.
            match run.stage {
                Stage::Running(_) => {
                    self.dying.insert(id.clone(), run.amount.clone());
                }
                Stage::Asked | Stage::Unpacked(_) | Stage::Queued(_) | Stage::Stopping | Stage::Over | Stage::Abandoned => return,
            }
        }
        let Some(run) = self.runs.get(&id.task) else { return };
        match (&run.stage, &ran.ending) {
            (Stage::Stopping, _) => self.give_back(&id.task),
            // Not by our order: we were frozen when it was due, and were helped. It is our own doubt all the same, not a failure of
            // the task: given back if the session turns out to live, dropped if it does not.
            (Stage::Running(_), Ending::Killed) => {
                self.tell(Fact::Killed { commands: 1, reason: KillReason::Doubt });
                self.give_back(&id.task);
            }
            (Stage::Running(task), _) => {
                let worker = self.me().cloned().unwrap_or_else(|| crate::protocol::WorkerId::listed(&self.settings.record.name));
                let runner = Runner { worker, epoch: self.epoch_of(id.czxid) };
                let version = run.version;
                let assigned = Timestamp::from_millisecond(run.assigned_ms).ok().filter(|_| run.assigned_ms > 0);
                match after_run(&id.task, task, &runner, ran, assigned, &self.settings.retry) {
                    AfterRun::Ended { result, recorded, letter } => self.outbox.record(&id.task, version, result, recorded, letter),
                    AfterRun::Again(retry) => self.outbox.try_again(&id.task, version, retry),
                }
                self.over(&id.task);
            }
            (Stage::Asked | Stage::Unpacked(_) | Stage::Queued(_) | Stage::Over | Stage::Abandoned, _) => {}
        }
    }

    pub(super) fn over(&mut self, task: &TaskName) {
        if let Some(run) = self.runs.get_mut(task) {
            run.stage = Stage::Over;
            run.payload = Vec::new();
            if run.seen < self.resynced || run.confirming.is_some() {
                self.outbox.doubt(task);
            }
        }
    }

    /// Hands a task back to pending, unchanged: nothing of it counts.
    pub(super) fn give_back(&mut self, task: &TaskName) {
        if self.runs.get(task).is_some_and(|run| run.piece.is_some()) {
            return self.give_piece_back(task);
        }
        let Some(run) = self.runs.get_mut(task) else { return };
        let payload = std::mem::take(&mut run.payload);
        let version = run.version;
        self.outbox.give_back(task, version, payload);
        self.over(task);
    }

    pub(super) fn stop_and_give_back(&mut self, task: &TaskName, how: Stop) {
        let Some(run) = self.runs.get_mut(task) else { return };
        run.stage = Stage::Stopping;
        let id = RunId { task: task.clone(), czxid: run.czxid };
        self.effects.push(Effect::Stop(id, how));
    }
}
