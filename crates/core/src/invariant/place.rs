//! What a path means to the promises.

use crate::protocol::{TaskName, WorkerId};

/// A node that the promises are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// The office.
    Master,
    /// The epoch.
    Epoch,
    /// A registration.
    Worker(WorkerId),
    /// A task that may run now.
    Pending(TaskName),
    /// A task that may not run yet.
    Held(TaskName),
    /// An array: what of it is not given out.
    Array(TaskName),
    /// A task that was given to a worker.
    Assigned(WorkerId, TaskName),
    /// The status of a task that has ended.
    Status(TaskName),
    /// The payload of a task that ended as dead.
    Letter(TaskName),
    /// Somebody waits for results since it is there.
    Waiter(String),
    /// None of these.
    Elsewhere,
}

impl Place {
    /// Reads a path from the root.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("master"), None, ..) => Place::Master,
            (Some("bellwether"), Some("epoch"), None, _) => Place::Epoch,
            (Some("workers"), Some(worker), None, _) => Place::Worker(WorkerId::listed(worker)),
            (Some("tasks"), Some(task), None, _) => Place::Pending(TaskName::listed(task)),
            (Some("bellwether"), Some("held"), Some(task), None) => Place::Held(TaskName::listed(task)),
            (Some("bellwether"), Some("arrays"), Some(array), Some("todo")) => Place::Array(TaskName::listed(array)),
            (Some("assign"), Some(worker), Some(task), None) => Place::Assigned(WorkerId::listed(worker), TaskName::listed(task)),
            (Some("status"), Some(task), None, _) => Place::Status(TaskName::listed(task)),
            (Some("bellwether"), Some("dead"), Some(task), None) => Place::Letter(TaskName::listed(task)),
            (Some("bellwether"), Some("waiters"), Some(waiter), None) => Place::Waiter(waiter.to_owned()),
            _ => Place::Elsewhere,
        }
    }
}
