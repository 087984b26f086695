//! What became of a result whose answer was lost, and whose assignment is gone: it was recorded by us, or the assignment was taken
//! away. What is recorded tells, because it says who ran the task, and when.

use super::report::Dropped;
use super::{Agent, Effect, Fact};
use crate::master::Reading;
use crate::numbering::{Numbered, Rename};
use crate::protocol::result::{Recorded, TaskResult};
use crate::protocol::{TaskName, path};
use crate::view::Question;

/// A result of which nobody knows whether it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Unsettled {
    asked: Question,
    result: Box<TaskResult>,
    recorded: Recorded,
}

impl Unsettled {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Question, &mut self.asked);
    }
}

impl Agent {
    /// The assignment is gone, and with it the chance to record this result.
    pub(super) fn settle(&mut self, task: &TaskName, dropped: Dropped) {
        let Dropped { result, recorded, sent } = dropped;
        if !sent {
            return self.tell(Fact::Stale(task.clone()));
        }
        self.unsettled.insert(task.clone(), Unsettled { asked: 0, result, recorded });
        self.ask_for_record(task);
    }

    /// Asks again for all of them.
    pub(super) fn settle_again(&mut self) {
        let tasks: Vec<TaskName> = self.unsettled.keys().cloned().collect();
        tasks.iter().for_each(|task| self.ask_for_record(task));
    }

    fn ask_for_record(&mut self, task: &TaskName) {
        let question = self.ask();
        let Some(unsettled) = self.unsettled.get_mut(task) else { return };
        unsettled.asked = question;
        // A plain status is one of a few words, and may be somebody else's; its details are not.
        let path = if unsettled.recorded.details.is_some() { path::plain_result(task) } else { path::status(task) };
        self.effects.push(Effect::ReadRecord(question, task.clone(), path));
    }

    pub(super) fn on_record_read(&mut self, question: Question, task: TaskName, reading: &Reading) {
        let asked = |unsettled: &Unsettled| unsettled.asked == question;
        if !self.unsettled.get(&task).is_some_and(asked) {
            return;
        }
        let Some(Unsettled { result, recorded, .. }) = self.unsettled.remove(&task) else { return };
        let ours = recorded.details.as_ref().unwrap_or(&recorded.status);
        match reading {
            Reading::Found(node) if node.data == *ours => self.tell(Fact::Recorded(result)),
            Reading::Found(_) | Reading::Absent | Reading::Denied => self.tell(Fact::Stale(task)),
        }
    }
}
