//! Where one task is: looked for everywhere, behind a `sync`.

use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::{Node, TaskName, WorkerId, path};
use jiff::Timestamp;

use crate::array_view;
use crate::reading;
use crate::task::{TaskState, TaskView};

/// Whether a task is anywhere: pending, held, given out as an array, assigned or ended. Once: it may move while it is looked for.
pub(crate) async fn exists(store: &Store, task: &TaskName) -> Result<bool, ReadError> {
    let synced = store.sync();
    // Sent before any answer is awaited; ZooKeeper answers in the order of the requests.
    let likely = [path::task(task), path::held(task), path::array_todo(task), path::status(task)].map(|place| store.stat(&place));
    synced.await?;
    for place in likely {
        if place.await?.is_some() {
            return Ok(true);
        }
    }
    let boxes = store.children(path::ASSIGN).await?.unwrap_or_default();
    let assignments: Vec<_> = boxes.iter().map(|worker| store.stat(&path::assignment(&WorkerId::listed(worker), task))).collect();
    for assignment in assignments {
        if assignment.await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The task as it is shown; `None` if it was found nowhere twice.
pub(crate) async fn find(store: &Store, task: &TaskName) -> Result<Option<TaskView>, ReadError> {
    for _ in 0..2 {
        if let Some(mut view) = look(store, task).await? {
            match view.state.is_final() {
                true => view.dead_letter = store.stat(&path::dead(task)).await?.is_some(),
                false => view.cancelling = store.stat(&path::cancel(task)).await?.is_some(),
            }
            return Ok(Some(view));
        }
        if let Some(element) = array_view::element(store, task).await? {
            return Ok(Some(element));
        }
    }
    Ok(None)
}

async fn look(store: &Store, task: &TaskName) -> Result<Option<TaskView>, ReadError> {
    let synced = store.sync();
    let places = [(TaskState::Pending, path::task(task)), (TaskState::Held, path::held(task))];
    let places = places.map(|(state, place)| (state, store.get(&place)));
    let array = (store.get(&path::array(task)), store.get(&path::array_todo(task)));
    let (status, boxes) = (store.get(&path::status(task)), store.children(path::ASSIGN));
    synced.await?;
    if let Some(node) = status.await? {
        return Ok(Some(TaskView::ended(reading::of_status(store, task, &node).await?, created(&node))));
    }
    for (state, place) in places {
        if let Some(node) = place.await? {
            return Ok(Some(TaskView::living(task.clone(), state, None, &node.data, created(&node))));
        }
    }
    if let (Some(node), Some(todo)) = (array.0.await?, array.1.await?)
        && let Some(view) = array_view::living(task, &node, &todo)
    {
        return Ok(Some(view));
    }
    let workers: Vec<WorkerId> = boxes.await?.unwrap_or_default().iter().map(|worker| WorkerId::listed(worker)).collect();
    let assignments = workers.iter().map(|worker| path::assignment(worker, task)).collect();
    for (worker, (_, answer)) in workers.into_iter().zip(reader::read_nodes(store, assignments).await) {
        if let Some(node) = answer? {
            return Ok(Some(TaskView::living(task.clone(), TaskState::Assigned, Some(worker), &node.data, created(&node))));
        }
    }
    Ok(None)
}

/// When a node was created, by ZooKeeper's clock.
pub(crate) fn created(node: &Node) -> Timestamp {
    Timestamp::from_millisecond(node.stat.ctime_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
