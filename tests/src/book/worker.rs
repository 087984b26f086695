//! The book's worker: prints its tasks instead of running them, creates the status, and deletes the assignment by a second write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Next, Role, create, create_ephemeral, delete, server_id};
use crate::tree::Tree;

/// What is wrong with a worker of the book.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkerDefects {
    /// It dies between its two writes, at its first task.
    pub dies_between_its_writes: bool,
    /// The second of its two writes is lost, and it does not notice.
    pub loses_its_second_write: bool,
    /// Not knowing whether its status was created, it creates `<status>/status`, as the original does after a lost connection.
    pub creates_a_status_below_the_status: bool,
}

/// A worker of the book.
#[derive(Debug)]
pub struct BookWorker {
    role: Role,
    name: String,
    idle: Arc<AtomicBool>,
}

impl BookWorker {
    /// Registers, and serves.
    #[must_use]
    pub fn start(tree: Tree, defects: WorkerDefects) -> Self {
        Self::start_as(tree, defects, false)
    }

    /// Registers, and prints nothing until it is told to [`BookWorker::go`].
    #[must_use]
    pub fn start_idle(tree: Tree) -> Self {
        Self::start_as(tree, WorkerDefects::default(), true)
    }

    fn start_as(tree: Tree, defects: WorkerDefects, idle: bool) -> Self {
        let name = format!("worker-{}", server_id(&tree));
        let (inbox, own) = (format!("/assign/{name}"), format!("/workers/{name}"));
        for node in ["/workers", "/assign", "/tasks", "/status"] {
            tree.create_all(node);
        }
        create(&tree, &inbox, "");
        create_ephemeral(&tree, &own, "Idle");
        let idle = Arc::new(AtomicBool::new(idle));
        let waits = idle.clone();
        let role =
            Role::start(tree, move |tree| if waits.load(Ordering::Acquire) { Next::Goes } else { serve(tree, &inbox, &own, defects) });
        Self { role, name, idle }
    }

    /// Its name below `/workers` and `/assign`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Begins to print.
    pub fn go(&self) {
        self.idle.store(false, Ordering::Release);
    }

    /// Whether it died of its defect.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.role.is_dead()
    }
}

fn serve(tree: &Tree, inbox: &str, own: &str, defects: WorkerDefects) -> Next {
    for task in tree.children(inbox) {
        let (assignment, status) = (format!("{inbox}/{task}"), format!("/status/{task}"));
        // What it lost the second write of is there for ever; it remembers what it has done.
        if defects.loses_its_second_write && tree.exists(&status) {
            continue;
        }
        let Some(command) = tree.text(&assignment) else { continue };
        println!("executing your task: {command}");
        set(tree, own, "Working");
        create(tree, &status, "done");
        if defects.creates_a_status_below_the_status {
            create(tree, &format!("{status}/status"), "done");
        }
        if defects.dies_between_its_writes {
            return Next::Dies;
        }
        if !defects.loses_its_second_write {
            delete(tree, &assignment);
        }
        set(tree, own, "Idle");
    }
    Next::Goes
}

fn set(tree: &Tree, path: &str, data: &str) {
    let _ = tree.try_commit(&bellwether_core::protocol::Multi::new().set(path, data, None));
}
