//! What became of a result, or of another attempt, whose answer was lost, and whose assignment is gone: it was written by us, or the
//! assignment was taken away. What is written tells, because it says who ran the task, and when. Another attempt that was begun since
//! leaves nothing to compare: it counts as taken away, which at worst counts one stale result too many.

use std::time::Duration;

use super::report::{Dropped, Settled};
use super::{Agent, Effect, Fact, KillReason, Stop};
use crate::lifecycle::{Retry, RunId};
use crate::master::Reading;
use crate::numbering::{Numbered, Rename};
use crate::protocol::result::{Status, TaskOutcome, decode_status};
use crate::protocol::{TaskName, path, request};
use crate::view::Question;

/// An attempt of which nobody knows whether its settlement was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Unsettled {
    asked: Question,
    what: Settled,
}

impl Settled {
    /// Where it is written, and what. A plain status is one of a few words, and may be somebody else's; its details are not.
    fn written(&self, task: &TaskName) -> (String, &[u8]) {
        match self {
            Settled::Result { recorded, .. } => match &recorded.details {
                Some(details) => (path::plain_result(task), details),
                None => (path::status(task), &recorded.status),
            },
            Settled::Retry(retry) => (path::held(task), &retry.payload),
        }
    }
}

/// A command that is being stopped because its assignment went.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Unexplained {
    asked: Question,
    id: RunId,
    /// Where it says why.
    path: String,
}

impl Unexplained {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Question, &mut self.asked);
    }
}

impl Unsettled {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Question, &mut self.asked);
    }
}

impl Agent {
    /// The assignment is gone, and with it the chance to record this result.
    pub(super) fn settle(&mut self, task: &TaskName, dropped: Dropped) {
        let Dropped { what, sent } = dropped;
        if !sent {
            return self.tell(Fact::Stale(task.clone()));
        }
        self.unsettled.insert(task.clone(), Unsettled { asked: 0, what });
        self.ask_for_record(task);
    }

    /// Asks again for all of them.
    pub(super) fn settle_again(&mut self) {
        let tasks: Vec<TaskName> = self.unsettled.keys().cloned().collect();
        tasks.iter().for_each(|task| self.ask_for_record(task));
        let unexplained: Vec<Unexplained> = self.unexplained.values().cloned().collect();
        unexplained.into_iter().for_each(|Unexplained { id, path, .. }| self.ask_why_gone(id, path));
    }

    /// A command is being stopped because its assignment went. Whoever cancels a task leaves a result that says so: here.
    pub(super) fn ask_why_gone(&mut self, id: RunId, path: String) {
        let (asked, task) = (self.ask(), id.task.clone());
        self.unexplained.insert(task.clone(), Unexplained { asked, id, path: path.clone() });
        self.effects.push(Effect::ReadRecord(asked, task, path));
    }

    /// Nobody will answer any more.
    pub(super) fn leave_unexplained(&mut self) {
        let commands = std::mem::take(&mut self.unexplained).len();
        if commands > 0 {
            self.tell(Fact::Killed { commands, reason: KillReason::Withdrawn });
        }
    }

    /// Whoever cancelled it may have given it time to end; otherwise it has none.
    fn on_reason_read(&mut self, id: RunId, reading: &Reading) {
        let asked = self.unexplained.remove(&id.task).map(|unexplained| unexplained.path);
        // Whoever knows nothing of details writes a status alone.
        let details = asked == Some(path::plain_result(&id.task));
        if details && matches!(reading, Reading::Absent | Reading::Denied) {
            let status = path::status(&id.task);
            return self.ask_why_gone(id, status);
        }
        let (reason, grace) = match reading {
            Reading::Found(node) => why_ended(&node.data),
            Reading::Absent | Reading::Denied => (KillReason::Withdrawn, None),
        };
        if self.dying.contains_key(&id) {
            self.effects.push(Effect::Stop(id, grace.map_or(Stop::Kill, Stop::Within)));
        }
        self.tell(Fact::Killed { commands: 1, reason });
    }

    fn ask_for_record(&mut self, task: &TaskName) {
        let question = self.ask();
        let Some(unsettled) = self.unsettled.get_mut(task) else { return };
        unsettled.asked = question;
        let (path, _) = unsettled.what.written(task);
        self.effects.push(Effect::ReadRecord(question, task.clone(), path));
    }

    pub(super) fn on_record_read(&mut self, question: Question, task: TaskName, reading: &Reading) {
        if let Some(unexplained) = self.unexplained.get(&task).filter(|unexplained| unexplained.asked == question) {
            let id = unexplained.id.clone();
            return self.on_reason_read(id, reading);
        }
        let asked = |unsettled: &Unsettled| unsettled.asked == question;
        if !self.unsettled.get(&task).is_some_and(asked) {
            return;
        }
        let Some(Unsettled { what, .. }) = self.unsettled.remove(&task) else { return };
        let (_, ours) = what.written(&task);
        let written = match reading {
            Reading::Found(node) => node.data == ours,
            Reading::Absent | Reading::Denied => false,
        };
        match what {
            _ if !written => self.tell(Fact::Stale(task)),
            Settled::Result { result, .. } => self.tell(Fact::Recorded(result)),
            Settled::Retry(retry) => self.tell_retry(task, retry),
        }
    }

    pub(super) fn tell_retry(&mut self, task: TaskName, retry: Retry) {
        let Retry { attempt, reason, delay, .. } = retry;
        self.tell(Fact::TriedAgain { task, attempt, reason, delay });
    }
}

/// What a result says of why its task's command is to end, and of the time that it has for that.
fn why_ended(status: &[u8]) -> (KillReason, Option<Duration>) {
    match decode_status(status) {
        Status::Full(result) if result.outcome == TaskOutcome::Cancelled => (KillReason::Cancelled, request::grace(result.grace_ms)),
        Status::Plain { words, .. } if words == "failed cancelled" => (KillReason::Cancelled, None),
        Status::Full(_) | Status::Plain { .. } => (KillReason::Withdrawn, None),
    }
}
