//! Where things are. All paths are relative to the root that the session was opened with.

use super::array::PieceName;
use super::name::{TaskName, WorkerId};
use super::schedule::ScheduleName;

/// The office: an ephemeral node of the session that rules.
pub const MASTER: &str = "/master";
/// Registered workers, one ephemeral each.
pub const WORKERS: &str = "/workers";
/// One box per worker, one assignment per task in it.
pub const ASSIGN: &str = "/assign";
/// Tasks that may run now.
pub const TASKS: &str = "/tasks";
/// Final results.
pub const STATUS: &str = "/status";
/// What the book does not have.
pub const BELLWETHER: &str = "/bellwether";
/// Its version is the epoch, its data the history of terms.
pub const EPOCH: &str = "/bellwether/epoch";
/// Set by a master that steps down, with the reason: its successor writes it into the history.
pub const FAREWELL: &str = "/bellwether/farewell";
/// The queue of standbys, ephemeral and sequential.
pub const STANDBYS: &str = "/bellwether/standbys";
/// Tasks that may not run yet.
pub const HELD: &str = "/bellwether/held";
/// Details of the results of plain tasks.
pub const RESULTS: &str = "/bellwether/results";
/// Payloads of tasks that ended as dead.
pub const DEAD: &str = "/bellwether/dead";
/// Marks of tasks that somebody wants cancelled.
pub const CANCEL: &str = "/bellwether/cancel";
/// There while nothing is assigned.
pub const PAUSED: &str = "/bellwether/paused";
/// There while somebody wants the master of one epoch to step down.
pub const STEP_DOWN: &str = "/bellwether/step-down";
/// There while some work may not come in.
pub const ADMISSION: &str = "/bellwether/admission";
/// How fast work with certain labels was assigned.
pub const RATES: &str = "/bellwether/rates";
/// What people ask of a worker, by the operator's name for it, and the master of an incarnation.
pub const WORKER_REQUESTS: &str = "/bellwether/workers";
/// Guards of submissions.
pub const SUBMITTED: &str = "/bellwether/submitted";
/// Guards of submissions with a key.
pub const KEYS: &str = "/bellwether/keys";
/// One ephemeral for each process that waits.
pub const WAITERS: &str = "/bellwether/waiters";
/// Arrays: one submission of many elements.
pub const ARRAYS: &str = "/bellwether/arrays";
/// Schedules.
pub const SCHEDULES: &str = "/bellwether/schedules";
/// Groups of tasks.
pub const GROUPS: &str = "/bellwether/groups";
/// What `bellwether bench` writes, and removes again.
pub const BENCH: &str = "/bellwether/bench";
/// Names the transaction that created the `/tasks` for which older results were swept.
pub const SWEPT: &str = "/bellwether/swept";
/// Which protocol the cluster speaks.
pub const VERSION: &str = "/bellwether/version";

/// `/tasks/<task>`
#[must_use]
pub fn task(task: &TaskName) -> String {
    join(TASKS, task.as_str())
}

/// `/status/<task>`
#[must_use]
pub fn status(task: &TaskName) -> String {
    join(STATUS, task.as_str())
}

/// `/status/<task>/status`, which a worker of the book leaves when it does not know whether its status was created.
#[must_use]
pub fn status_below_status(task: &TaskName) -> String {
    join(&status(task), "status")
}

/// `/workers/<worker>`
#[must_use]
pub fn worker(worker: &WorkerId) -> String {
    join(WORKERS, worker.as_str())
}

/// `/assign/<worker>`: the worker's box
#[must_use]
pub fn assign_box(worker: &WorkerId) -> String {
    join(ASSIGN, worker.as_str())
}

/// `/assign/<worker>/<task>`
#[must_use]
pub fn assignment(worker: &WorkerId, task: &TaskName) -> String {
    format!("{ASSIGN}/{worker}/{task}")
}

/// `/bellwether/held/<task>`
#[must_use]
pub fn held(task: &TaskName) -> String {
    join(HELD, task.as_str())
}

/// `/bellwether/results/<task>`
#[must_use]
pub fn plain_result(task: &TaskName) -> String {
    join(RESULTS, task.as_str())
}

/// `/bellwether/dead/<task>`
#[must_use]
pub fn dead(task: &TaskName) -> String {
    join(DEAD, task.as_str())
}

/// `/bellwether/cancel/<task>`
#[must_use]
pub fn cancel(task: &TaskName) -> String {
    join(CANCEL, task.as_str())
}

/// `/bellwether/workers/<name>`: of a worker as the operator calls it, or of an incarnation
#[must_use]
pub fn worker_request(name: &str) -> String {
    join(WORKER_REQUESTS, name)
}

/// `/bellwether/submitted/<guard>`
#[must_use]
pub fn submitted(guard: &str) -> String {
    join(SUBMITTED, guard)
}

/// `/bellwether/groups/<group>`
#[must_use]
pub fn group(group: &TaskName) -> String {
    join(GROUPS, group.as_str())
}

/// `/bellwether/arrays/<array>`: what its elements run
#[must_use]
pub fn array(array: &TaskName) -> String {
    join(ARRAYS, array.as_str())
}

/// `/bellwether/arrays/<array>/todo`: what is not given out, as long as the array has not ended
#[must_use]
pub fn array_todo(array: &TaskName) -> String {
    format!("{ARRAYS}/{array}/todo")
}

/// `/bellwether/arrays/<array>/lines`
#[must_use]
pub fn array_lines(array: &TaskName) -> String {
    format!("{ARRAYS}/{array}/lines")
}

/// `/bellwether/arrays/<array>/lines/<from>`: the lines of the elements from this one on
#[must_use]
pub fn array_lines_chunk(array: &TaskName, from: u32) -> String {
    format!("{ARRAYS}/{array}/lines/{from}")
}

/// `/bellwether/arrays/<array>/<from>-<to>.<number>`: what became of a piece, until the master has taken it in
#[must_use]
pub fn array_record(array: &TaskName, piece: &PieceName) -> String {
    format!("{ARRAYS}/{array}/{piece}")
}

/// `/bellwether/arrays/<array>/results-<n>`: records that were taken in
#[must_use]
pub fn array_results(array: &TaskName, chunk: u32) -> String {
    format!("{ARRAYS}/{array}/results-{chunk}")
}

/// `/bellwether/keys/<hash>`
#[must_use]
pub fn key(hash: &str) -> String {
    join(KEYS, hash)
}

/// `/bellwether/waiters/<name>`
#[must_use]
pub fn waiter(name: &str) -> String {
    join(WAITERS, name)
}

/// `/bellwether/schedules/<name>`
#[must_use]
pub fn schedule(name: &ScheduleName) -> String {
    join(SCHEDULES, name.as_str())
}

/// `/bellwether/standbys/<name>`
#[must_use]
pub fn standby(name: &str) -> String {
    join(STANDBYS, name)
}

fn join(parent: &str, child: &str) -> String {
    format!("{parent}/{child}")
}
