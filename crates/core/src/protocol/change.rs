//! What a watch told, in the words of the domain.

use super::name::{TaskName, WorkerId};
use super::path;
use super::schedule::ScheduleName;

/// How a watched znode changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was set.
    Set,
}

/// One change of the tree. Names of subtrees follow `/`, `/bellwether` and their children one to one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// `/master` is gone: nobody rules.
    OfficeVacant,
    /// `/master` was created: somebody rules.
    OfficeTaken,
    /// `/bellwether/epoch` was set or created.
    EpochMoved,
    /// A task may run.
    TaskAppeared(TaskName),
    /// A task was assigned, or is gone otherwise.
    TaskGone(TaskName),
    /// A task's payload changed.
    TaskChanged(TaskName),
    /// A worker registered.
    WorkerAppeared(WorkerId),
    /// A worker's session ended, or it left.
    WorkerGone(WorkerId),
    /// A worker's data changed (only the book's workers do that).
    WorkerChanged(WorkerId),
    /// A worker's box was created.
    BoxAppeared(WorkerId),
    /// A worker's box was deleted.
    BoxGone(WorkerId),
    /// A task was assigned.
    AssignmentAppeared(WorkerId, TaskName),
    /// An assignment ended: with a result, given back, taken back or cancelled.
    AssignmentGone(WorkerId, TaskName),
    /// A result was recorded.
    StatusAppeared(TaskName),
    /// A result was removed.
    StatusGone(TaskName),
    /// Somebody wants a task cancelled.
    CancelAppeared(TaskName),
    /// The wish was fulfilled, or withdrawn.
    CancelGone(TaskName),
    /// A standby joined or left the queue.
    QueueMoved,
    /// A task may not run yet.
    HeldAppeared(TaskName),
    /// A held task may run now, or is gone.
    HeldGone(TaskName),
    /// A held task's payload changed.
    HeldChanged(TaskName),
    /// A group was created, or its record changed.
    GroupChanged(TaskName),
    /// A group's record was removed.
    GroupGone(TaskName),
    /// A schedule was made, changed or deleted.
    ScheduleMoved(ScheduleName),
    /// Nothing is to be assigned.
    Paused,
    /// Tasks may be assigned again.
    Resumed,
    /// Somebody wants a master to step down, or wants it otherwise.
    StepDownAsked,
    /// Something is asked of a worker, by the operator's name for it or of an incarnation.
    RequestAppeared(String),
    /// It is asked no more.
    RequestGone(String),
    /// Something else is asked.
    RequestChanged(String),
    /// A node of the layout itself was deleted by hand.
    LayoutGone(&'static str),
    /// Something below a task, an assignment, a status, or elsewhere where nothing of ours is.
    Foreign(String),
}

/// Says what an event of a watch means. `None`: nothing that anybody acts on (a layout node was created or set, a status was set).
#[must_use]
pub fn of_event(kind: Kind, path: &str) -> Option<Change> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let change = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        ("master", None, ..) => match kind {
            Kind::Created => Change::OfficeTaken,
            Kind::Deleted => Change::OfficeVacant,
            Kind::Set => return None,
        },
        ("tasks", Some(task), None, _) => pick(kind, TaskName::listed(task), Change::TaskAppeared, Change::TaskGone, Change::TaskChanged)?,
        ("workers", Some(worker), None, _) => {
            pick(kind, WorkerId::listed(worker), Change::WorkerAppeared, Change::WorkerGone, Change::WorkerChanged)?
        }
        ("assign", Some(worker), None, _) => appeared_or_gone(kind, WorkerId::listed(worker), Change::BoxAppeared, Change::BoxGone)?,
        ("assign", Some(worker), Some(task), None) => {
            let (worker, task) = (WorkerId::listed(worker), TaskName::listed(task));
            match kind {
                Kind::Created => Change::AssignmentAppeared(worker, task),
                Kind::Deleted => Change::AssignmentGone(worker, task),
                Kind::Set => return None,
            }
        }
        ("status", Some(task), None, _) => appeared_or_gone(kind, TaskName::listed(task), Change::StatusAppeared, Change::StatusGone)?,
        ("bellwether", Some("epoch"), None, _) => match kind {
            Kind::Created | Kind::Set => Change::EpochMoved,
            Kind::Deleted => Change::LayoutGone(path::EPOCH),
        },
        ("bellwether", Some("standbys"), Some(_), None) => Change::QueueMoved,
        ("bellwether", Some("schedules"), Some(name), None) => Change::ScheduleMoved(ScheduleName::listed(name)),
        ("bellwether", Some("held"), Some(task), None) => {
            pick(kind, TaskName::listed(task), Change::HeldAppeared, Change::HeldGone, Change::HeldChanged)?
        }
        ("bellwether", Some("paused"), None, _) => match kind {
            Kind::Created => Change::Paused,
            Kind::Deleted => Change::Resumed,
            Kind::Set => return None,
        },
        ("bellwether", Some("step-down"), None, _) => match kind {
            Kind::Created | Kind::Set => Change::StepDownAsked,
            Kind::Deleted => return None,
        },
        ("bellwether", Some("workers"), Some(name), None) => {
            pick(kind, name.to_owned(), Change::RequestAppeared, Change::RequestGone, Change::RequestChanged)?
        }
        ("bellwether", Some("cancel"), Some(task), None) => {
            appeared_or_gone(kind, TaskName::listed(task), Change::CancelAppeared, Change::CancelGone)?
        }
        ("bellwether", Some("groups"), Some(group), None) => match kind {
            Kind::Created | Kind::Set => Change::GroupChanged(TaskName::listed(group)),
            Kind::Deleted => Change::GroupGone(TaskName::listed(group)),
        },
        _ => match (kind, super::layout::node(path)) {
            (Kind::Deleted, Some(node)) => Change::LayoutGone(node),
            (Kind::Created | Kind::Set, Some(_)) => return None,
            (Kind::Created | Kind::Deleted | Kind::Set, None) => Change::Foreign(path.to_owned()),
        },
    };
    Some(change)
}

fn pick<T>(kind: Kind, name: T, created: fn(T) -> Change, deleted: fn(T) -> Change, set: fn(T) -> Change) -> Option<Change> {
    Some(match kind {
        Kind::Created => created(name),
        Kind::Deleted => deleted(name),
        Kind::Set => set(name),
    })
}

fn appeared_or_gone<T>(kind: Kind, name: T, created: fn(T) -> Change, deleted: fn(T) -> Change) -> Option<Change> {
    match kind {
        Kind::Created => Some(created(name)),
        Kind::Deleted => Some(deleted(name)),
        Kind::Set => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subtree_has_its_words() {
        let task = TaskName::listed("t");
        let worker = WorkerId::listed("w");
        assert_eq!(of_event(Kind::Created, "/tasks/t"), Some(Change::TaskAppeared(task.clone())));
        assert_eq!(of_event(Kind::Set, "/tasks/t"), Some(Change::TaskChanged(task.clone())));
        assert_eq!(of_event(Kind::Deleted, "/assign/w"), Some(Change::BoxGone(worker.clone())));
        assert_eq!(of_event(Kind::Deleted, "/assign/w/t"), Some(Change::AssignmentGone(worker.clone(), task.clone())));
        assert_eq!(of_event(Kind::Deleted, "/workers/w"), Some(Change::WorkerGone(worker)));
        assert_eq!(of_event(Kind::Deleted, "/master"), Some(Change::OfficeVacant));
        assert_eq!(of_event(Kind::Set, "/master"), None);
        assert_eq!(of_event(Kind::Created, "/bellwether/cancel/t"), Some(Change::CancelAppeared(task)));
        assert_eq!(of_event(Kind::Created, "/bellwether/paused"), Some(Change::Paused));
        assert_eq!(of_event(Kind::Set, "/bellwether/step-down"), Some(Change::StepDownAsked));
        assert_eq!(of_event(Kind::Deleted, "/bellwether/step-down"), None);
        assert_eq!(of_event(Kind::Set, "/bellwether/workers/w"), Some(Change::RequestChanged("w".into())));
        assert_eq!(of_event(Kind::Created, "/bellwether/workers"), None);
        assert_eq!(of_event(Kind::Deleted, "/tasks"), Some(Change::LayoutGone(path::TASKS)));
        assert_eq!(of_event(Kind::Created, "/tasks"), None);
        assert_eq!(of_event(Kind::Created, "/tasks/t/child"), Some(Change::Foreign("/tasks/t/child".into())));
        let group = TaskName::listed("g");
        assert_eq!(of_event(Kind::Set, "/bellwether/groups/g"), Some(Change::GroupChanged(group.clone())));
        assert_eq!(of_event(Kind::Deleted, "/bellwether/groups/g"), Some(Change::GroupGone(group)));
        assert_eq!(of_event(Kind::Created, "/elsewhere"), Some(Change::Foreign("/elsewhere".into())));
    }
}
