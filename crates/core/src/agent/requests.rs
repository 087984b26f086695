//! What is asked of this worker: to drain, by people, under the name that the operator gave it; to give tasks back, by the master.
//!
//! Only a worker knows what it has started, so only it gives work back. Nothing is started before it is known what is asked, because a
//! worker that was drained stays drained when it comes back under its name.

use std::time::Duration;

use super::{Agent, Fact, KillReason, Stage, Stop, Timer};
use crate::Time;
use crate::master::Reading;
use crate::numbering::{Numbered, Rename};
use crate::protocol::request::{DrainMode, DrainRequest, RecallRequest};
use crate::protocol::{TaskName, path};
use crate::view::Question;

/// What is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Requests {
    /// The last question.
    asked: Question,
    /// Whether it was answered in this session.
    pub(super) known: bool,
    /// How it drains, if it does.
    drain: Option<DrainRequest>,
    /// When what runs has had its time, on the monotonic clock.
    due: Option<Duration>,
    /// When the task that waits longest has waited for a slot longer than it may.
    start_due: Option<Duration>,
}

impl Requests {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Question, &mut self.asked);
    }

    pub(super) fn on_session_opened(&mut self) {
        self.known = false;
    }

    /// What is asked is read with this question.
    pub(super) fn ask(&mut self, question: Question) {
        self.asked = question;
    }
}

impl Agent {
    /// Whether somebody wants it to take nothing more, and how. It lives on, other than one that was asked to stop.
    #[must_use]
    pub fn drain(&self) -> Option<&DrainRequest> {
        self.requests.drain.as_ref()
    }

    /// Something is asked of somebody.
    pub(super) fn on_request_changed(&mut self, name: &str) {
        let mine = name == self.settings.record.name || self.me().is_some_and(|me| me.as_str() == name);
        if mine {
            let question = self.ask();
            self.requests.ask(question);
            self.effects.push(super::Effect::ReadRequests(question));
        }
    }

    pub(super) fn on_requests_read(&mut self, question: Question, drain: Reading, recall: Reading, now: Time) {
        if self.requests.asked != question {
            return;
        }
        self.requests.known = true;
        match drain {
            Reading::Found(node) => self.drain_as(DrainRequest::decode(&node.data), now),
            Reading::Absent | Reading::Denied => self.drain_no_more(),
        }
        match recall {
            Reading::Found(node) => self.answer_recall(&RecallRequest::decode(&node.data)),
            Reading::Absent | Reading::Denied => self.outbox.answered(),
        }
    }

    fn drain_as(&mut self, request: DrainRequest, now: Time) {
        if self.requests.drain.as_ref() == Some(&request) {
            return;
        }
        self.tell(Fact::DrainAsked { mode: request.mode, reason: request.reason.clone() });
        self.give_back_queued();
        match request.mode {
            DrainMode::Graceful => self.requests.due = request.deadline().map(|deadline| now.mono.saturating_add(deadline)),
            DrainMode::Quick => self.stop_for_drain(Stop::Terminate),
            DrainMode::Fast => self.stop_for_drain(Stop::Kill),
        }
        if let Some(due) = self.requests.due.filter(|_| request.mode == DrainMode::Graceful) {
            self.effects.push(super::Effect::Arm(Timer::DrainRequestDue, due));
        }
        self.requests.drain = Some(request);
    }

    fn drain_no_more(&mut self) {
        self.requests.due = None;
        if self.requests.drain.take().is_some() {
            self.tell(Fact::DrainWithdrawn);
        }
    }

    /// What still runs at the deadline of a graceful drain is terminated.
    pub(super) fn on_drain_request_due(&mut self, now: Time) {
        if self.requests.due.take_if(|due| *due <= now.mono).is_some() {
            self.stop_for_drain(Stop::Terminate);
        }
    }

    /// Pieces of arrays with them of which it is not known yet what they run.
    pub(super) fn give_back_queued(&mut self) {
        let waits = |run: &super::Run| matches!(run.stage, Stage::Queued(_) | Stage::Unpacked(_));
        let waiting: Vec<TaskName> = self.runs.iter().filter(|(_, run)| waits(run)).map(|(task, _)| task.clone()).collect();
        for task in waiting {
            self.give_back(&task);
        }
    }

    /// What was terminated before, and is killed now, is no second command.
    pub(super) fn stop_for_drain(&mut self, how: Stop) {
        let running = |stage: &Stage| matches!(stage, Stage::Running(_)) || (how == Stop::Kill && matches!(stage, Stage::Stopping));
        let stopped: Vec<TaskName> = self.runs.iter().filter(|(_, run)| running(&run.stage)).map(|(task, _)| task.clone()).collect();
        let commands = self.runs.values().filter(|run| matches!(run.stage, Stage::Running(_))).count();
        if commands > 0 {
            self.tell(Fact::Killed { commands, reason: KillReason::Drained });
        }
        for task in stopped {
            self.stop_and_give_back(&task, how);
        }
    }

    /// The last of those that are named and have not been started; those that go back already count, too.
    fn answer_recall(&mut self, request: &RecallRequest) {
        let Some(me) = self.me() else { return };
        let path = path::worker_request(me.as_str());
        let named = |task: &TaskName| request.tasks.contains(task);
        let back = self.outbox.given_back().filter(|task| named(task)).count();
        let most = (request.most as usize).saturating_sub(back);
        let queued: Vec<TaskName> = self.queued().into_iter().map(|(task, _)| task).filter(named).collect();
        for task in queued.iter().rev().take(most) {
            self.give_back(task);
        }
        self.outbox.answer(path);
    }

    /// Rings when the task that waits longest for a slot has waited longer than it may.
    pub(super) fn watch_queued(&mut self) {
        let most = self.settings.start_timeout;
        let first = self.runs.values().filter(|run| matches!(run.stage, Stage::Queued(_))).map(|run| run.accepted).min();
        let due = first.filter(|_| !most.is_zero()).map(|accepted| accepted.saturating_add(most));
        if self.requests.start_due != due {
            self.requests.start_due = due;
            self.effects.extend(due.map(|due| super::Effect::Arm(Timer::StartDue, due)));
        }
    }

    /// Somebody else may start them sooner.
    pub(super) fn on_start_due(&mut self, now: Time) {
        self.requests.start_due = None;
        let most = self.settings.start_timeout;
        let late = |run: &super::Run| matches!(run.stage, Stage::Queued(_)) && run.accepted.saturating_add(most) <= now.mono;
        let late: Vec<TaskName> = self.runs.iter().filter(|(_, run)| late(run)).map(|(task, _)| task.clone()).collect();
        for task in late {
            self.tell(Fact::NotStarted(task.clone()));
            self.give_back(&task);
        }
    }
}
