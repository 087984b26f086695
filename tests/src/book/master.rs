//! The book's master: takes `/master` without an epoch, assigns at random in two writes, and puts back what dead workers had.

use super::{Next, Role, create, create_ephemeral, delete, server_id};
use crate::tree::Tree;

/// What is wrong with a master of the book.
#[derive(Debug, Clone, Copy, Default)]
pub struct MasterDefects {
    /// It dies between the two writes of its n-th assignment, counted from 1: the task is pending and assigned.
    pub dies_between_the_writes_of: Option<usize>,
    /// What it puts back is empty.
    pub empties_payloads: bool,
    /// It deletes the assignments of dead workers, and forgets to put them back.
    pub loses_tasks: bool,
    /// It assigns to whoever has a box, registered or not.
    pub assigns_to_the_dead: bool,
}

/// A master of the book, or a candidate.
#[derive(Debug)]
pub struct BookMaster {
    role: Role,
}

#[derive(Debug, Default)]
struct State {
    rules: bool,
    assigned: usize,
}

impl BookMaster {
    /// Stands for office, and rules when it can.
    #[must_use]
    pub fn start(tree: Tree, defects: MasterDefects) -> Self {
        for node in ["/workers", "/assign", "/tasks", "/status"] {
            tree.create_all(node);
        }
        let mut state = State::default();
        Self { role: Role::start(tree, move |tree| rule(tree, defects, &mut state)) }
    }

    /// Whether it died of its defect.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.role.is_dead()
    }
}

fn rule(tree: &Tree, defects: MasterDefects, state: &mut State) -> Next {
    if !state.rules {
        state.rules = create_ephemeral(tree, "/master", server_id(tree));
        if !state.rules {
            return Next::Goes;
        }
    }
    let workers = tree.children("/workers");
    if !defects.assigns_to_the_dead {
        recover(tree, defects, &workers);
    }
    let boxes = if defects.assigns_to_the_dead { tree.children("/assign") } else { workers };
    if boxes.is_empty() {
        return Next::Goes;
    }
    for task in tree.children("/tasks") {
        let Some(data) = tree.get(&format!("/tasks/{task}")) else { continue };
        let worker = &boxes[state.assigned % boxes.len()];
        state.assigned += 1;
        create(tree, &format!("/assign/{worker}/{task}"), data);
        if defects.dies_between_the_writes_of == Some(state.assigned) {
            return Next::Dies;
        }
        delete(tree, &format!("/tasks/{task}"));
    }
    Next::Goes
}

/// What the workers had that are not registered any more is pending again.
fn recover(tree: &Tree, defects: MasterDefects, workers: &[String]) {
    for dead in tree.children("/assign").into_iter().filter(|worker| !workers.contains(worker)) {
        for task in tree.children(&format!("/assign/{dead}")) {
            let assignment = format!("/assign/{dead}/{task}");
            let Some(data) = tree.get(&assignment) else { continue };
            if !defects.loses_tasks {
                create(tree, &format!("/tasks/{task}"), if defects.empties_payloads { Vec::new() } else { data });
            }
            delete(tree, &assignment);
        }
    }
}
