//! What people do by hand, and what programs out of the book do: masters and workers that write in two transactions.

use bellwether_core::protocol::{Multi, TaskName, path};

use super::array::{is_record, is_todo};
use super::budget::Fault;
use super::steps::Step;
use super::world::{SOMEBODY, World};

/// The session of a master out of the book.
pub(crate) const BOOK: i64 = 0x99;
/// The session of a worker out of the book, and its name.
pub(crate) const BOOK_HAND: i64 = 0x9a;
pub(crate) const BOOK_WORKER: &str = "book";

/// What is asked for.
pub(crate) const TASK: &str = r#"{"bellwether":1,"shell":"true"}"#;
/// The same, tried again once, after a second's rest.
pub(crate) const RETRIED: &str = r#"{"bellwether":1,"shell":"true","retries":1,"backoff_ms":1000}"#;
/// The same, which may run for a second.
pub(crate) const TIMED: &str = r#"{"bellwether":1,"shell":"true","timeout_ms":1000}"#;
/// The same, after `t` has succeeded.
pub(crate) const CHILD: &str = r#"{"bellwether":1,"shell":"true","after":["t"]}"#;
/// What somebody makes of it.
const OTHER: &str = r#"{"bellwether":1,"shell":"other"}"#;

impl World {
    pub(crate) fn by_hand(&self, steps: &mut Vec<Step>) {
        let mut at = |fault: Fault, paths: Vec<String>| {
            if self.budget.allows(fault) {
                steps.extend(paths.into_iter().map(|path| Step::ByHand(fault, path)));
            }
        };
        let there = |path: &str| if self.zookeeper.znode(path).is_some() { vec![path.to_owned()] } else { Vec::new() };
        let children = |parent: &str| -> Vec<String> {
            self.zookeeper.children(parent).unwrap_or_default().into_iter().map(|name| format!("{parent}/{name}")).collect()
        };
        let assignments = || children(path::ASSIGN).iter().flat_map(|parent| children(parent)).collect::<Vec<_>>();
        at(Fault::DeleteMaster, there(path::MASTER));
        at(Fault::DeleteEpoch, there(path::EPOCH));
        at(Fault::DeleteWorker, children(path::WORKERS));
        at(Fault::DeleteBox, children(path::ASSIGN));
        at(Fault::DeleteAssignment, assignments());
        at(Fault::MoveBack, assignments());
        at(Fault::ChangeAssignment, assignments());
        at(Fault::ChangeTask, children(path::TASKS));
        let of_arrays = |wanted: fn(&str) -> bool| -> Vec<String> {
            children(path::ARRAYS).iter().flat_map(|array| children(array)).filter(|path| wanted(path)).collect()
        };
        at(Fault::DeleteRecord, of_arrays(is_record));
        at(Fault::GarbleRecord, of_arrays(is_record));
        at(Fault::DeleteTodo, of_arrays(is_todo));
        at(Fault::GarbleTodo, of_arrays(is_todo));
        at(Fault::DeleteStatuses, vec![path::STATUS.to_owned()]);
        at(Fault::DeleteTasks, vec![path::TASKS.to_owned()]);
        at(Fault::Reset, vec![String::new()]);
        // Not before everything is gone, if it is to go.
        let free = |task: &str| !self.budget.allows(Fault::Reset) && self.is_nowhere(task);
        at(Fault::Submit, if free("u") { vec!["/tasks/u".to_owned()] } else { Vec::new() });
        at(Fault::Resubmit, if free("t") { vec!["/tasks/t".to_owned()] } else { Vec::new() });
        let used = self.zookeeper.age(path::TASKS) > Some(0) && there("/status/t").len() == 1 && there("/tasks/t").is_empty();
        at(Fault::Reuse, if used { vec!["/tasks/t".to_owned()] } else { Vec::new() });
        at(Fault::Withdraw, there("/tasks/t"));
        let asked = children(path::WORKER_REQUESTS);
        let drained: Vec<String> = asked.into_iter().filter(|path| path.len() == path::worker_request("w1").len()).collect();
        let undrained = if drained.is_empty() { vec![path::worker_request("w1")] } else { Vec::new() };
        at(Fault::AskDrain, undrained.clone());
        at(Fault::AskDrainFast, undrained);
        at(Fault::Undrain, drained);
        at(Fault::Pause, if there(path::PAUSED).is_empty() { vec![path::PAUSED.to_owned()] } else { Vec::new() });
        at(Fault::Resume, there(path::PAUSED));
        let marked = children(path::CANCEL);
        at(Fault::Cancel, if marked.is_empty() { vec![path::cancel(&TaskName::listed("t"))] } else { Vec::new() });
    }

    /// Whether there is nothing of this name.
    fn is_nowhere(&self, task: &str) -> bool {
        let name = TaskName::listed(task);
        let elsewhere = self.ledger.unfinished().any(|living| *living == name);
        !elsewhere && self.zookeeper.znode(&path::status(&name)).is_none()
    }

    pub(crate) fn by_the_book(&self, steps: &mut Vec<Step>) {
        let office = self.zookeeper.znode(path::MASTER).map(|node| node.owner);
        if office.is_none() {
            self.may(Fault::BookMaster, Step::ByHand(Fault::BookMaster, String::new()), steps);
        }
        let name = |task: &String| TaskName::listed(task);
        if office == Some(BOOK) {
            let workers = self.zookeeper.children(path::WORKERS).unwrap_or_default();
            for task in self.zookeeper.children(path::TASKS).unwrap_or_default().iter().map(name) {
                let assigned = |worker: &String| self.zookeeper.znode(&format!("/assign/{worker}/{task}")).is_some();
                match workers.iter().any(assigned) {
                    true => steps.push(Step::BookDeletes(task)),
                    false => workers
                        .iter()
                        .for_each(|worker| self.may(Fault::BookAssign, Step::BookAssigns(task.clone(), worker.clone()), steps)),
                }
            }
            steps.push(Step::Expire(BOOK));
        }
        if self.zookeeper.lives(BOOK_HAND) {
            for task in self.zookeeper.children(&format!("/assign/{BOOK_WORKER}")).unwrap_or_default().iter().map(name) {
                match self.zookeeper.znode(&path::status(&task)) {
                    Some(_) => steps.push(Step::BookCleans(task)),
                    None => steps.push(Step::BookRecords(task)),
                }
            }
            self.may(Fault::CrashBookWorker, Step::Expire(BOOK_HAND), steps);
        }
    }

    pub(crate) fn act_by_hand(&mut self, fault: Fault, path: &str) {
        self.meddled |= !matches!(
            fault,
            Fault::Cancel
                | Fault::AskDrain
                | Fault::AskDrainFast
                | Fault::Undrain
                | Fault::Pause
                | Fault::Resume
                | Fault::Submit
                | Fault::DeleteMaster
                | Fault::DeleteEpoch
                | Fault::DeleteStatuses
        );
        let data = self.zookeeper.get(path).map(|node| node.data).unwrap_or_default();
        let name = path.rsplit('/').next().map(TaskName::listed);
        let multi = match (fault, name) {
            (Fault::Reset, _) => return self.reset(),
            (Fault::BookMaster, _) => {
                self.zookeeper.edit().begin(BOOK);
                Multi::new().create_ephemeral(path::MASTER, "")
            }
            (Fault::MoveBack, Some(task)) => Multi::new().delete(path, None).create(path::task(&task), data),
            (Fault::GarbleRecord | Fault::GarbleTodo, _) => Multi::new().set(path, "Idle", None),
            (Fault::ChangeTask | Fault::ChangeAssignment, _) => Multi::new().set(path, OTHER, None),
            (Fault::Submit | Fault::Resubmit | Fault::Reuse, _) => Multi::new().create(path, TASK),
            (Fault::Cancel | Fault::AskDrain | Fault::Pause, _) => Multi::new().create(path, "{}"),
            (Fault::AskDrainFast, _) => Multi::new().create(path, r#"{"bellwether":1,"mode":"fast"}"#),
            _ => return self.delete_by_hand(path),
        };
        self.commit_by_hand(if fault == Fault::BookMaster { BOOK } else { SOMEBODY }, &multi);
    }
}
