//! What became of transactions whose outcome nobody knew, once everything was read again: for metrics. Decides nothing.

use std::collections::HashMap;

use bellwether_common::pen::{Resolution, count_resolution};
use bellwether_core::protocol::{Multi, Op, Outcome, TaskName, WorkerId, path};
use bellwether_core::view::{Entry, View};

/// Of a transaction only so many marks are remembered: all of it was applied, or nothing.
const MARKS_MAX: usize = 8;

/// What of a transaction shows in what a master reads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// It makes a task wait.
    Waits(Entry),
    /// A task waits no longer: only a master moves it from there.
    WaitsNoLonger(Entry),
    /// It assigns a task.
    Assigns(WorkerId, TaskName),
    /// It ends an assignment, as the worker may, too.
    Frees(WorkerId, TaskName),
}

/// Transactions in flight, and those that ended without an answer.
#[derive(Debug, Default)]
pub(crate) struct Unknowns {
    /// Counts how often everything was read anew.
    round: u64,
    writing: HashMap<u64, Written>,
    unknown: Vec<(u64, Written)>,
}

type Written = (&'static str, Vec<Mark>);

impl Unknowns {
    pub(crate) fn writing(&mut self, id: u64, op: &'static str, multi: &Multi) {
        let marks: Vec<Mark> = multi.ops.iter().filter_map(mark).take(MARKS_MAX).collect();
        self.resolve_repeated(&marks);
        self.writing.insert(id, (op, marks));
    }

    /// What is moved from the same place again was read there since, so that it had not been moved: told now, for when everything was
    /// read it is gone, by this one.
    fn resolve_repeated(&mut self, marks: &[Mark]) {
        let round = self.round;
        let moves = |mark: &Mark| matches!(mark, Mark::WaitsNoLonger(_)) && marks.contains(mark);
        self.unknown.retain(|(ended, (op, before))| {
            let repeated = *ended < round && before.iter().any(moves);
            if repeated {
                count_resolution(op, Resolution::NotApplied);
            }
            !repeated
        });
    }

    pub(crate) fn ended(&mut self, id: u64, outcome: &Outcome) {
        let written = self.writing.remove(&id).filter(|_| *outcome == Outcome::Unknown);
        self.unknown.extend(written.map(|written| (self.round, written)));
    }

    /// From now on everything is read anew.
    pub(crate) fn resync(&mut self) {
        self.round += 1;
    }

    /// Everything that was asked for was read: what became of them shows, if they ended before it was asked for.
    pub(crate) fn surveyed(&mut self, view: &View) {
        let round = self.round;
        self.unknown.retain(|(ended, (op, marks))| {
            let resolved = *ended < round;
            if resolved {
                count_resolution(op, resolution(marks, view));
            }
            !resolved
        });
    }

    /// The term is over: whoever comes next finds out.
    pub(crate) fn end(&mut self) {
        let left = self.writing.drain().map(|(_, (op, _))| op).chain(self.unknown.drain(..).map(|(_, (op, _))| op));
        left.for_each(|op| count_resolution(op, Resolution::Abandoned));
    }
}

fn mark(op: &Op) -> Option<Mark> {
    let below = |parent: &str| op.path().strip_prefix(parent)?.strip_prefix('/');
    let waiting = || {
        let pending = below(path::TASKS).map(|task| Entry::pending(TaskName::listed(task)));
        pending.or_else(|| below(path::HELD).map(|task| Entry::held(TaskName::listed(task))))
    };
    let assigned = || below(path::ASSIGN)?.split_once('/').map(|(worker, task)| (WorkerId::listed(worker), TaskName::listed(task)));
    match op {
        Op::Create { .. } => waiting().map(Mark::Waits).or_else(|| assigned().map(|(worker, task)| Mark::Assigns(worker, task))),
        Op::Delete { .. } => waiting().map(Mark::WaitsNoLonger).or_else(|| assigned().map(|(worker, task)| Mark::Frees(worker, task))),
        Op::Set { .. } | Op::Check { .. } => None,
    }
}

/// The first mark that tells decides.
fn resolution(marks: &[Mark], view: &View) -> Resolution {
    let has = |worker: &WorkerId, task: &TaskName| {
        let slot = view.workers.get(worker).and_then(|worker| worker.load.get(task));
        slot.is_some_and(|slot| !slot.is_placing())
    };
    let told = marks.iter().find_map(|mark| match mark {
        Mark::WaitsNoLonger(entry) => Some(view.get(entry).is_none()),
        Mark::Waits(entry) => view.get(entry).map(|_| true),
        Mark::Assigns(worker, task) => has(worker, task).then_some(true),
        Mark::Frees(worker, task) => has(worker, task).then_some(false),
    });
    match told {
        Some(true) => Resolution::Applied,
        Some(false) => Resolution::NotApplied,
        None => Resolution::Abandoned,
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::view::{Boxed, Registration, Slot, Worker};

    use super::*;

    fn task(name: &str) -> TaskName {
        TaskName::listed(name)
    }

    fn marks(multi: &Multi) -> Vec<Mark> {
        multi.ops.iter().filter_map(mark).collect()
    }

    /// `waiting` is pending, and `given` is assigned to `w`.
    fn view() -> View {
        let mut view = View::default();
        view.question(&Entry::pending(task("waiting")), None);
        let mut worker = Worker::unknown(Registration::Gone, Boxed::Listed);
        worker.load.insert(task("given"), Slot::Placed { alone: false });
        view.workers.insert(WorkerId::listed("w"), worker);
        view
    }

    fn assign(name: &str) -> Multi {
        Multi::new().check_exists("/workers/w").create(format!("/assign/w/{name}"), "").delete(format!("/tasks/{name}"), Some(0))
    }

    fn take_back(name: &str) -> Multi {
        Multi::new().delete(format!("/assign/w/{name}"), Some(0)).create(format!("/tasks/{name}"), "")
    }

    #[test]
    fn what_was_read_tells_what_became_of_a_write() {
        let became = |multi: &Multi| resolution(&marks(multi), &view());
        assert_eq!(became(&assign("given")), Resolution::Applied);
        assert_eq!(became(&assign("waiting")), Resolution::NotApplied);
        assert_eq!(became(&assign("ended-since")), Resolution::Applied, "only we take it from there");
        assert_eq!(became(&take_back("waiting")), Resolution::Applied);
        assert_eq!(became(&take_back("given")), Resolution::NotApplied);
        let cancel = |path: &str| Multi::new().delete(path, Some(0)).create("/status/t", "");
        assert_eq!(became(&cancel("/tasks/waiting")), Resolution::NotApplied);
        assert_eq!(became(&cancel("/bellwether/held/t")), Resolution::Applied);
        assert_eq!(became(&cancel("/assign/w/t")), Resolution::Abandoned, "its worker may have ended it");
        assert_eq!(became(&Multi::new().delete("/assign/w", None)), Resolution::Abandoned, "a box is no task");
    }

    #[test]
    fn only_what_was_asked_for_after_the_end_of_a_write_tells() {
        let mut unknowns = Unknowns::default();
        for id in [1, 2] {
            unknowns.writing(id, "assign", &assign("given"));
        }
        unknowns.ended(1, &Outcome::applied());
        unknowns.ended(2, &Outcome::Unknown);
        unknowns.surveyed(&view());
        assert_eq!(unknowns.unknown.len(), 1, "read before it ended");
        unknowns.resync();
        unknowns.surveyed(&view());
        assert!(unknowns.unknown.is_empty() && unknowns.writing.is_empty());
    }
    #[test]
    fn what_is_moved_again_before_everything_was_read_had_not_been_moved() {
        let mut unknowns = Unknowns::default();
        unknowns.writing(1, "assign", &assign("waiting"));
        unknowns.ended(1, &Outcome::Unknown);
        unknowns.resync();
        unknowns.writing(2, "assign", &assign("other"));
        assert_eq!(unknowns.unknown.len(), 1, "that says nothing");
        unknowns.writing(3, "assign", &assign("waiting"));
        assert!(unknowns.unknown.is_empty());
    }
}
