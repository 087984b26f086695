//! Assignments that are pieces of arrays. What their elements run stands in the array's node, which is read once for all pieces that come
//! together; what becomes of a piece is one record. What was not run is handed back with it: only the master lets elements wait.

use jiff::Timestamp;

use super::{Agent, Effect, Fact, KillReason, PieceRan, Run, Stage};
use crate::Time;
use crate::lifecycle::RunId;
use crate::master::Reading;
use crate::piece::Progress;
use crate::planner::Amount;
use crate::protocol::array::{PieceOrder, PieceRecord};
use crate::protocol::payload::{self, Task};
use crate::protocol::{Stat, TaskName, WorkerId, path};
use crate::view::Question;

/// Of how many arrays it is remembered what they run.
const ARRAYS_KEPT: usize = 16;

impl Agent {
    pub(super) fn accept_piece(&mut self, question: Question, task: &TaskName, order: PieceOrder, stat: &Stat, now: Time) {
        let array = order.array.clone();
        let known = self.arrays.get(&array).filter(|(czxid, _)| *czxid == order.czxid).map(|(_, task)| task.clone());
        let stage = known.map_or(Stage::Unpacked(0), Stage::Queued);
        let unpacked = matches!(stage, Stage::Unpacked(_));
        let mut run = Run::of(stat, Vec::new(), stage, question, now.mono);
        run.piece = Some(Box::new(order));
        self.runs.insert(task.clone(), run);
        if self.draining || self.drain().is_some() {
            return self.give_back(task);
        }
        if unpacked {
            self.read_array_of(task, array);
        }
    }

    fn read_array_of(&mut self, task: &TaskName, array: TaskName) {
        let question = self.ask();
        if let Some(run) = self.runs.get_mut(task) {
            run.stage = Stage::Unpacked(question);
            self.effects.push(Effect::ReadArray(question, task.clone(), array));
        }
    }

    /// A question of before may never be answered.
    pub(super) fn unpack_again(&mut self, task: &TaskName) {
        let Some(run) = self.runs.get(task) else { return };
        if let (Stage::Unpacked(_), Some(order)) = (&run.stage, &run.piece) {
            let array = order.array.clone();
            self.read_array_of(task, array);
        }
    }

    pub(super) fn on_array_read(&mut self, question: Question, task: &TaskName, reading: &Reading) {
        let Some(run) = self.runs.get(task).filter(|run| run.stage == Stage::Unpacked(question)) else { return };
        let Some(order) = run.piece.clone() else { return };
        let version = run.version;
        let skills = self.skills();
        let understood = match reading {
            Reading::Found(node) if node.stat.czxid == order.czxid => payload::decode_assigned(&node.data).ok(),
            Reading::Found(_) | Reading::Absent | Reading::Denied => None,
        };
        match understood {
            Some(understood) if skills.cover(understood.envelope.kind.as_deref()) => self.unpacked(&order, &understood),
            // Somebody else can run it, or nobody: the master that gave it to us knows no better.
            Some(_) => self.give_back(task),
            // There is no such array any more.
            None => {
                self.outbox.discard(task, version);
                self.over(task);
            }
        }
    }

    fn unpacked(&mut self, order: &PieceOrder, understood: &Task) {
        if self.arrays.len() >= ARRAYS_KEPT {
            let runs: Vec<TaskName> = self.runs.values().filter_map(|run| Some(run.piece.as_ref()?.array.clone())).collect();
            self.arrays.retain(|array, _| runs.contains(array));
        }
        self.arrays.insert(order.array.clone(), (order.czxid, Box::new(understood.clone())));
        let amount = Amount::of(&understood.envelope);
        for run in self.runs.values_mut().filter(|run| matches!(run.stage, Stage::Unpacked(_))) {
            if run.piece.as_ref().is_some_and(|piece| piece.array == order.array && piece.czxid == order.czxid) {
                run.stage = Stage::Queued(Box::new(understood.clone()));
                run.amount = amount.clone();
            }
        }
    }

    pub(super) fn on_piece_ended(&mut self, id: &RunId, ran: PieceRan, now: Time) {
        let dead = ran.dead.unwrap_or(now.mono);
        self.overlaps.on_dead(id, dead);
        if self.dying.remove(id).is_some() {
            return self.look_for_successors();
        }
        let worker = self.me().cloned();
        let epoch = self.epoch_of(id.czxid);
        let Some(run) = self.runs.get_mut(&id.task).filter(|run| run.czxid == id.czxid) else { return };
        run.dead = Some(dead);
        let task = match &run.stage {
            Stage::Running(task) => Some(task.clone()),
            Stage::Stopping => None,
            Stage::Asked | Stage::Unpacked(_) | Stage::Queued(_) | Stage::Over | Stage::Abandoned => return,
        };
        if task.is_some() && ran.killed {
            // Not by our order: see `on_run_ended`.
            self.tell(Fact::Killed { commands: 1, reason: KillReason::Doubt });
        }
        let known = |array: &TaskName| self.arrays.get(array).map(|(_, task)| task.clone());
        let Some(order) = self.runs.get(&id.task).and_then(|run| run.piece.clone()) else { return };
        let task = task.or_else(|| known(&order.array));
        let worker = worker.unwrap_or_else(|| WorkerId::listed(&self.settings.record.name));
        let record = ran.progress.record(task.as_deref(), &worker, epoch, &self.settings.retry, now.wall);
        self.record_piece(&id.task, &order, record);
    }

    /// Nothing of it was run.
    pub(super) fn give_piece_back(&mut self, task: &TaskName) {
        let Some(run) = self.runs.get(task) else { return };
        let Some(order) = run.piece.clone() else { return };
        let assigned = Timestamp::from_millisecond(run.assigned_ms).unwrap_or_default();
        let worker = self.me().cloned().unwrap_or_else(|| WorkerId::listed(&self.settings.record.name));
        let record = Progress::new(*order.clone()).record(None, &worker, self.epoch_of(run.czxid), &self.settings.retry, assigned);
        self.record_piece(task, &order, record);
    }

    fn record_piece(&mut self, task: &TaskName, order: &PieceOrder, record: PieceRecord) {
        let Some(version) = self.runs.get(task).map(|run| run.version) else { return };
        self.outbox.record_piece(task, version, path::array_record(&order.array, &order.name()), record);
        self.over(task);
    }
}
