//! The book's client: submits, waits for a status, looks for `done` in it, and deletes it.

use crate::tasks::SOON;
use crate::tree::Tree;
use bellwether_common::wait::eventually;

/// The book's client. Every call blocks.
#[derive(Debug)]
pub struct BookClient {
    tree: Tree,
}

impl BookClient {
    /// A client with this session.
    #[must_use]
    pub fn new(tree: Tree) -> Self {
        tree.create_all("/tasks");
        Self { tree }
    }

    /// Queues a command; the name that ZooKeeper gave to the task.
    #[must_use]
    pub fn submit(&self, command: &str) -> String {
        let path = self.tree.create_sequential("/tasks/task-", command);
        path.rsplit('/').next().unwrap_or(&path).to_owned()
    }

    /// Waits for the status, deletes it as the original does, and says whether the task succeeded.
    ///
    /// # Panics
    /// There is none in time, or it cannot be deleted.
    #[track_caller]
    pub fn wait(&self, task: &str) -> bool {
        let path = format!("/status/{task}");
        let status = eventually(SOON, &format!("a status of {task}"), || self.tree.text(&path));
        assert!(self.tree.delete(&path), "{path} is there until its client deletes it");
        status.contains("done")
    }
}
