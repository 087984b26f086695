//! The units of a master's transactions. An item is about one task or one box, depends on no other item, and is refused alone.

use super::admitting::Board;
use super::arrays::ArrayStep;
use crate::planner::Recall;
use crate::protocol::record::encode;
use crate::protocol::request::RecallRequest;
use crate::protocol::result::{Recorded, TaskOutcome};
use crate::protocol::{Multi, Op, PROTOCOL_VERSION, TaskName, WorkerId, path};
use crate::view::{Entry, Lane};

/// Where a task is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Under `/tasks`.
    Pending,
    /// Under `/bellwether/held`.
    Held,
    /// In this worker's box.
    Assigned(WorkerId),
}

impl From<Lane> for Place {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Pending => Self::Pending,
            // Arrays are not moved: what is given out of them is another item.
            Lane::Held | Lane::Array => Self::Held,
        }
    }
}

/// One unit of work of a master.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Item {
    /// Move a task that waits into a worker's box.
    Assign {
        /// The task, and where it waits.
        entry: Entry,
        /// Its version.
        version: i32,
        /// Its payload, byte for byte.
        payload: Vec<u8>,
        /// The worker …
        worker: WorkerId,
        /// … and the version of its node; `None`: whatever it is.
        worker_version: Option<i32>,
    },
    /// Move a task of a worker that is gone back under `/tasks`.
    TakeBack {
        /// The task.
        task: TaskName,
        /// The version of the assignment.
        version: i32,
        /// The payload with its counts raised.
        payload: Vec<u8>,
        /// The worker.
        worker: WorkerId,
    },
    /// Make an array of a task that is one.
    Adopt {
        /// The task, and where it waits.
        entry: Entry,
        /// Its version.
        version: i32,
        /// Its payload, byte for byte.
        payload: Vec<u8>,
        /// Whether its elements have lines: then its node is there.
        lines: bool,
        /// What is not given out: all of it.
        todo: Vec<u8>,
    },
    /// Give out pieces of an array, take in what became of others, or end it.
    Array(Box<ArrayStep>),
    /// Delete something that nobody needs, if it is there.
    Discard(String),
    /// End a task, wherever it is.
    End {
        /// The task.
        task: TaskName,
        /// Where it is.
        from: Place,
        /// The version of its node there.
        version: Option<i32>,
        /// How it ends.
        outcome: TaskOutcome,
        /// What is written.
        recorded: Recorded,
        /// The payload to keep as a dead letter.
        letter: Option<Vec<u8>>,
        /// Whether a cancellation mark goes with it.
        marked: bool,
    },
    /// Delete a task that has a status already, or that is elsewhere, too.
    Drop {
        /// The task.
        task: TaskName,
        /// Where it is.
        from: Place,
        /// The version of its node there.
        version: Option<i32>,
        /// The path of its status, or of its other place: that one must still be there, or the task would be nowhere.
        because: String,
        /// What is done if that one is not there; `None`: its own place is read again.
        otherwise: Option<Box<Item>>,
    },
    /// Delete the cancellation mark of a task that is nowhere.
    RemoveMark(TaskName),
    /// Delete the empty box of a worker that is gone.
    RemoveBox(WorkerId),
    /// Ask a worker to give back what it has not started.
    Recall(Recall),
    /// Delete what a worker was asked that is gone.
    RemoveRecall(WorkerId),
    /// Delete a result, or the details of one, that is older than `/tasks`.
    Sweep(String),
    /// Set what clients read.
    Publish {
        /// What it is about.
        what: Published,
        /// Its new data.
        data: Vec<u8>,
        /// The version that was read; `None`: whatever it is.
        version: Option<i32>,
    },
    /// Say something on a node that is there while it says something.
    Post {
        /// Which.
        board: Board,
        /// Whether it is there.
        was_there: bool,
        /// What it says; `None`: nothing any more.
        data: Option<Vec<u8>>,
    },
    /// Delete the record of a group in which nothing is left to do.
    RemoveGroup(TaskName),
    /// Note that this was done for the `/tasks` that this transaction created.
    NoteSweep(i64),
}

/// What a master tells clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Published {
    /// How far a group is.
    Group(TaskName),
}

impl Published {
    fn path(&self) -> String {
        match self {
            Published::Group(group) => path::group(group),
        }
    }
}

/// What one operation of an item is about: decides what a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The worker is registered.
    Worker,
    /// A task that waits is deleted.
    OldTask,
    /// A task under `/tasks` is created.
    NewTask,
    /// An assignment is deleted.
    OldAssignment,
    /// An assignment is created.
    NewAssignment,
    /// The status or the other place of a task that is dropped is there.
    Other,
    /// A status is created.
    Status,
    /// The details of a plain status are created.
    Details,
    /// A dead letter is created.
    Letter,
    /// A cancellation mark is deleted.
    Mark,
    /// A box is deleted.
    Box,
    /// An old result is deleted.
    OldResult,
    /// It is noted that old results were swept.
    Note,
    /// Something is told, or told no more.
    Published,
    /// A request to a worker is made or deleted.
    Request,
    /// A node is made, set or deleted that is there while it says something.
    Board,
    /// An array's node is created or set.
    ArrayNode,
    /// What of an array is not given out is created, set or deleted.
    ArrayTodo,
    /// What became of a piece is deleted.
    ArrayRecord,
    /// Results of an array are created or set.
    ArrayResults,
    /// Something is deleted that nobody needs.
    Discarded,
}

impl Item {
    /// Its operations, in order.
    #[must_use]
    pub fn parts(&self) -> Vec<(Part, Op)> {
        match self {
            Item::Assign { entry, version, payload, worker, worker_version } => vec![
                (Part::Worker, Op::Check { path: path::worker(worker), version: *worker_version }),
                (Part::NewAssignment, create(path::assignment(worker, &entry.task), payload)),
                (Part::OldTask, delete(entry.path(), Some(*version))),
            ],
            Item::TakeBack { task, version, payload, worker } => vec![
                (Part::OldAssignment, delete(path::assignment(worker, task), Some(*version))),
                (Part::NewTask, create(path::task(task), payload)),
            ],
            Item::End { task, from, version, recorded, letter, marked, .. } => {
                let mut parts = vec![old(task, from, *version), (Part::Status, create(path::status(task), &recorded.status))];
                parts.extend(recorded.details.as_ref().map(|details| (Part::Details, create(path::plain_result(task), details))));
                parts.extend(letter.as_ref().map(|letter| (Part::Letter, create(path::dead(task), letter))));
                parts.extend(marked.then(|| (Part::Mark, delete(path::cancel(task), None))));
                parts
            }
            Item::Drop { task, from, version, because, .. } => {
                vec![(Part::Other, Op::Check { path: because.clone(), version: None }), old(task, from, *version)]
            }
            Item::Adopt { entry, version, payload, lines, todo } => {
                let array = path::array(&entry.task);
                let node = match lines {
                    // Set once, by the master that takes it.
                    true => Op::Set { path: array, data: payload.clone(), version: Some(0) },
                    false => create(array, payload),
                };
                vec![
                    (Part::OldTask, delete(entry.path(), Some(*version))),
                    (Part::ArrayNode, node),
                    (Part::ArrayTodo, create(path::array_todo(&entry.task), todo)),
                ]
            }
            Item::Array(step) => step.parts(),
            Item::Discard(path) => vec![(Part::Discarded, delete(path.clone(), None))],
            Item::RemoveMark(task) => vec![(Part::Mark, delete(path::cancel(task), None))],
            Item::RemoveBox(worker) => vec![(Part::Box, delete(path::assign_box(worker), None))],
            Item::Publish { what, data, version } => {
                vec![(Part::Published, Op::Set { path: what.path(), data: data.clone(), version: *version })]
            }
            Item::Post { board, was_there, data } => {
                let path = board.path().to_owned();
                let op = match (was_there, data) {
                    (false, Some(data)) => create(path, data),
                    (true, Some(data)) => Op::Set { path, data: data.clone(), version: None },
                    (_, None) => delete(path, None),
                };
                vec![(Part::Board, op)]
            }
            Item::RemoveGroup(group) => vec![(Part::Published, delete(path::group(group), None))],
            Item::Recall(Recall { worker, most, tasks }) => {
                let request = RecallRequest { bellwether: PROTOCOL_VERSION, tasks: tasks.clone(), most: *most };
                vec![
                    (Part::Worker, Op::Check { path: path::worker(worker), version: None }),
                    (Part::Request, create(path::worker_request(worker.as_str()), &encode(&request))),
                ]
            }
            Item::RemoveRecall(worker) => vec![(Part::Request, delete(path::worker_request(worker.as_str()), None))],
            Item::Sweep(path) => vec![(Part::OldResult, delete(path.clone(), None))],
            Item::NoteSweep(czxid) => {
                vec![(Part::Note, Op::Set { path: path::SWEPT.to_owned(), data: czxid.to_string().into_bytes(), version: None })]
            }
        }
    }

    /// The task that it moves, and from where: no other item may be about the same one.
    #[must_use]
    pub fn moved_task(&self) -> Option<(&TaskName, Place)> {
        match self {
            Item::Assign { entry, .. } | Item::Adopt { entry, .. } => Some((&entry.task, entry.lane.into())),
            Item::TakeBack { task, worker, .. } => Some((task, Place::Assigned(worker.clone()))),
            Item::End { task, from, .. } | Item::Drop { task, from, .. } => Some((task, from.clone())),
            Item::RemoveMark(_)
            | Item::RemoveBox(_)
            | Item::Publish { .. }
            | Item::Post { .. }
            | Item::RemoveGroup(_)
            | Item::Array(_)
            | Item::Discard(_)
            | Item::Sweep(_)
            | Item::Recall(_)
            | Item::RemoveRecall(_)
            | Item::NoteSweep(_) => None,
        }
    }
}

fn create(path: String, data: &[u8]) -> Op {
    Op::Create { path, data: data.to_vec(), ephemeral: false }
}

fn delete(path: String, version: Option<i32>) -> Op {
    Op::Delete { path, version }
}

fn old(task: &TaskName, from: &Place, version: Option<i32>) -> (Part, Op) {
    match from {
        Place::Pending => (Part::OldTask, delete(path::task(task), version)),
        Place::Held => (Part::OldTask, delete(path::held(task), version)),
        Place::Assigned(worker) => (Part::OldAssignment, delete(path::assignment(worker, task), version)),
    }
}

/// Items that travel in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Batch {
    /// The items.
    pub items: Vec<Item>,
    /// For each operation: whose it is, and what it is about.
    pub parts: Vec<(usize, Part)>,
}

impl Batch {
    /// Takes items from the front of `todo`, at most `most` and as many as `bytes` allow, but at least one.
    #[must_use]
    pub fn take(todo: &mut std::collections::VecDeque<Item>, most: usize, bytes: usize) -> Option<(Self, Multi)> {
        let mut batch = Self::default();
        let mut multi = Multi::new();
        let mut size = 0;
        while let Some(item) = todo.front() {
            let parts = item.parts();
            let more: usize = parts.iter().map(|(_, op)| op.bytes()).sum();
            if !batch.items.is_empty() && (batch.items.len() >= most || size + more > bytes) {
                break;
            }
            size += more;
            for (part, op) in parts {
                batch.parts.push((batch.items.len(), part));
                multi.ops.push(op);
            }
            batch.items.extend(todo.pop_front());
        }
        (!batch.items.is_empty()).then_some((batch, multi))
    }
}
