//! Tasks and rulers of a cluster, seen through the tree, as any ZooKeeper client sees them.

use std::time::Duration;

use bellwether_core::protocol::Multi;

use crate::cluster::Cluster;
use bellwether_common::wait::eventually;

/// How long anything ordinary may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

impl Cluster {
    /// Submits a line as `create -s /tasks/task- LINE` does; the task's name.
    ///
    /// # Panics
    /// It cannot be created.
    #[must_use]
    #[track_caller]
    pub fn put(&self, line: &str) -> String {
        self.tree().create_all("/tasks");
        let path = self.tree().create_sequential("/tasks/task-", line);
        path.rsplit('/').next().unwrap_or(&path).to_owned()
    }

    /// Submits many lines, a hundred in one transaction, under the names `<prefix><number>`; the names.
    ///
    /// # Panics
    /// They cannot be created.
    #[must_use]
    #[track_caller]
    pub fn put_many(&self, prefix: &str, lines: impl Iterator<Item = String>) -> Vec<String> {
        self.tree().create_all("/tasks");
        let named: Vec<(String, String)> = lines.enumerate().map(|(i, line)| (format!("{prefix}{i:06}"), line)).collect();
        for portion in named.chunks(100) {
            let multi = portion.iter().fold(Multi::new(), |multi, (name, line)| multi.create(format!("/tasks/{name}"), line.as_str()));
            self.tree().commit(&multi);
        }
        named.into_iter().map(|(name, _)| name).collect()
    }

    /// Waits for the status of a task.
    ///
    /// # Panics
    /// It has none in time.
    #[must_use]
    #[track_caller]
    pub fn status_of(&self, task: &str) -> String {
        eventually(SOON, &format!("a status of {task}"), || self.tree().text(&format!("/status/{task}")))
    }

    /// Waits until a coordinator rules; its name.
    ///
    /// # Panics
    /// None does in time.
    #[must_use]
    #[track_caller]
    pub fn ruler(&self) -> String {
        eventually(SOON, "somebody in office", || self.ruler_now())
    }

    /// Who rules now.
    #[must_use]
    pub fn ruler_now(&self) -> Option<String> {
        let record: serde_json::Value = serde_json::from_str(&self.tree().text("/master")?).ok()?;
        record["name"].as_str().map(str::to_owned)
    }

    /// Waits until somebody else rules; the name.
    ///
    /// # Panics
    /// Nobody does in time.
    #[must_use]
    #[track_caller]
    pub fn ruler_after(&self, previous: &str) -> String {
        eventually(SOON, "another coordinator in office", || self.ruler_now().filter(|name| name != previous))
    }

    /// The incarnation of a worker that is registered now.
    #[must_use]
    pub fn incarnation(&self, worker: &str) -> Option<String> {
        let prefix = format!("{worker}-");
        self.tree().children("/workers").into_iter().find(|name| name.strip_prefix(&prefix).is_some_and(|hex| hex.len() == 16))
    }

    /// Waits until a worker is registered; its incarnation.
    ///
    /// # Panics
    /// It is not in time.
    #[must_use]
    #[track_caller]
    pub fn registered(&self, worker: &str) -> String {
        eventually(SOON, &format!("{worker} registered"), || self.incarnation(worker))
    }

    /// What this worker has been given.
    #[must_use]
    pub fn assigned_to(&self, incarnation: &str) -> Vec<String> {
        self.tree().children(&format!("/assign/{incarnation}"))
    }

    /// Waits until a task is assigned; the incarnation that has it.
    ///
    /// # Panics
    /// It is not in time.
    #[must_use]
    #[track_caller]
    pub fn assignee(&self, task: &str) -> String {
        eventually(SOON, &format!("{task} assigned"), || {
            let boxes = self.tree().children("/assign");
            boxes.into_iter().find(|worker| self.tree().exists(&format!("/assign/{worker}/{task}")))
        })
    }

    /// The lines of a file in the cluster's directory; none if there is no file.
    #[must_use]
    pub fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
