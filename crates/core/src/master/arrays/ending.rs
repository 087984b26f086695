//! Cancelling an array, its end, and what is left behind: records and lines of arrays whose status is gone, or that never came.

use std::collections::BTreeSet;
use std::time::Duration;

use super::steps::ArrayEnd;
use super::{ArrayFound, Fact, Item, Master, Reading};
use crate::Time;
use crate::master::cancels::Cancel;
use crate::protocol::result::{TaskOutcome, TaskResult, record};
use crate::protocol::{TaskName, path};
use crate::view::Entry;

/// For how long lines may wait for the submission of their array.
const LINES_WAIT_FOR: Duration = Duration::from_secs(3600);
/// How many that have ended are looked at again by one comparison.
const ENDED_PER_COMPARISON: usize = 64;

impl Master {
    /// Somebody wants it cancelled, and it is there.
    pub(in crate::master) fn cancel_array(&mut self, name: &TaskName) {
        self.view.forget(&Entry::array(name.clone()));
        self.arrays.touched.insert(name.clone());
    }

    /// It waited for its turn longer than it may, and nothing of it was given out.
    pub(in crate::master) fn array_is_late(&mut self, name: &TaskName) {
        self.view.forget(&Entry::array(name.clone()));
        if let Some(known) = self.arrays.known.get_mut(name).and_then(super::Array::known_mut).filter(|known| !known.flight) {
            known.stop("it waited for its turn longer than it may, and never ran".to_owned(), true);
        }
        self.arrays.touched.insert(name.clone());
    }

    pub(super) fn stop_array_if_wanted(&mut self, name: &TaskName) {
        let Some(Cancel::Wanted { wish, .. }) = self.cancels.get(name) else { return };
        let reason = wish.reason.clone().unwrap_or_else(|| "somebody cancelled it".to_owned());
        let Some(known) = self.arrays.known.get_mut(name).and_then(super::Array::known_mut) else { return };
        if !known.flight && known.fresh.is_empty() && known.todo.stopped.is_none() {
            known.stop(reason, false);
        }
    }

    /// What its status says.
    pub(super) fn array_end(&self, name: &TaskName, now: Time) -> Option<ArrayEnd> {
        let known = self.arrays.known.get(name)?.known()?;
        let summary = known.todo.summary.clone();
        let failures = summary.tally.failures();
        let too_many = known.request.max_fails.is_some_and(|most| failures > most);
        let (outcome, reason) = match &known.todo.stopped {
            Some(stopped) if stopped.late => (TaskOutcome::TimedOut, stopped.reason.clone()),
            Some(stopped) if too_many => (TaskOutcome::Failed, stopped.reason.clone()),
            Some(stopped) => (TaskOutcome::Cancelled, stopped.reason.clone()),
            None if failures > 0 => (TaskOutcome::Failed, format!("{failures} of {} elements failed", summary.count)),
            None => (TaskOutcome::Succeeded, String::new()),
        };
        let mut result = TaskResult::without_run(name.clone(), outcome, reason, now.wall);
        result.note_request(&known.task);
        result.reason = result.reason.filter(|reason| !reason.is_empty());
        result.exit = match outcome {
            TaskOutcome::Succeeded => Some(0),
            TaskOutcome::Failed => Some(1),
            TaskOutcome::TimedOut | TaskOutcome::Cancelled | TaskOutcome::Rejected | TaskOutcome::Dead => None,
        };
        result.attempt = u32::from(summary.tally.cancelled < summary.count);
        result.epoch = Some(self.epoch);
        result.array = Some(summary);
        let marked = matches!(self.cancels.get(name), Some(Cancel::Wanted { marked: true, .. }));
        Some(ArrayEnd { outcome, recorded: record(&result, Some(&known.task)), marked, stands: false })
    }

    pub(super) fn array_ended(&mut self, name: &TaskName, end: &ArrayEnd, now: Time) {
        self.drop_array(name);
        self.arrays.over.insert(name.clone());
        match end.marked {
            true => self.unmarked(name),
            false => self.cancel_done(name),
        }
        self.look_again(name, now);
        self.tell(Fact::ArrayEnded { array: name.clone(), outcome: end.outcome });
    }

    /// It has no `todo`: it has ended, or was not submitted. What nobody needs any more is removed.
    pub(super) fn array_is_over(&mut self, name: &TaskName, found: &ArrayFound, now: Time) {
        self.drop_array(name);
        let Reading::Found(node) = &found.node else {
            self.arrays.over.remove(name);
            return;
        };
        self.arrays.over.insert(name.clone());
        self.look_again(name, now);
        let waits = node.data.is_empty() && self.clock.age(node.stat.ctime_ms, now) < LINES_WAIT_FOR;
        if found.needed || waits {
            return;
        }
        let lines = path::array_lines(name);
        self.todo.extend(found.lines.iter().map(|line| Item::Discard(format!("{lines}/{line}"))));
        self.todo.extend(found.children.iter().map(|child| Item::Discard(format!("{}/{child}", path::array(name)))));
        self.todo.push_back(Item::Discard(path::array(name)));
        self.arrays.over.remove(name);
    }

    /// A few each time: whether their statuses are still there.
    pub(super) fn look_again_at_ended(&mut self, listed: BTreeSet<TaskName>) {
        let over: Vec<TaskName> = listed.into_iter().filter(|name| self.arrays.over.contains(name)).collect();
        let from = if over.is_empty() { 0 } else { self.arrays.swept % over.len() };
        let some = over.iter().cycle().skip(from).take(ENDED_PER_COMPARISON.min(over.len()));
        for name in some {
            self.read_array(name);
        }
        self.arrays.swept = from + ENDED_PER_COMPARISON;
    }
}
