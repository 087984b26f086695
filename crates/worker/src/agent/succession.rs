//! Who was given what an earlier incarnation lost, and when, by ZooKeeper's own clock. Only reads; what follows from it is core's.

use std::collections::HashMap;

use actix::Context;
use bellwether_common::store::{ReadError, Store};
use bellwether_core::agent::Event;
use bellwether_core::lifecycle::RunId;
use bellwether_core::protocol::result::{TaskResult, decode_result};
use bellwether_core::protocol::{TaskName, WorkerId, path};
use futures::future::try_join_all;

use super::AgentActor;
use super::asking::one;

impl AgentActor {
    pub(super) fn find_successors(&self, lost: Vec<(RunId, WorkerId)>, context: &Context<Self>) {
        let (Some(live), Some(me)) = (&self.live, self.agent.me()) else { return };
        let store = live.store.clone();
        let own = path::worker(me);
        self.post(context, async move { one(find(&store, &own, lost).await) });
    }
}

async fn find(store: &Store, own: &str, lost: Vec<(RunId, WorkerId)>) -> Result<Event, ReadError> {
    // Not older than the question: who is given a task later has missed us.
    store.sync().await?;
    let registered_ms = match store.stat(own).await? {
        Some(stat) => stat.ctime_ms,
        // Deleted by hand: we shall hear of it, and come back as somebody else, who asks again.
        None => return Err(ReadError::Interrupted),
    };
    let assigned = assigned(store, &lost).await?;
    let mut found = Vec::new();
    for (id, worker) in lost {
        let at = match assigned.get(&id.task) {
            Some(at) => Some(*at),
            None => recorded(store, &id.task, &worker).await?,
        };
        found.push((id, at));
    }
    Ok(Event::SuccessorsFound { registered_ms, found })
}

/// Which of these tasks are assigned now, by another transaction than the one that was lost, and since when. As many lists as there
/// are workers: a price that only a worker that lost its session in mid-task pays.
async fn assigned(store: &Store, lost: &[(RunId, WorkerId)]) -> Result<HashMap<TaskName, i64>, ReadError> {
    let workers: Vec<WorkerId> =
        store.children(path::ASSIGN).await?.unwrap_or_default().iter().map(|name| WorkerId::listed(name)).collect();
    let boxes = try_join_all(workers.iter().map(|worker| store.children(&path::assign_box(worker)))).await?;
    let mut found = HashMap::new();
    for (worker, names) in workers.iter().zip(boxes) {
        let names = names.unwrap_or_default();
        for (id, _) in lost.iter().filter(|(id, _)| names.iter().any(|name| TaskName::listed(name) == id.task)) {
            let stat = store.stat(&path::assignment(worker, &id.task)).await?;
            found.extend(stat.filter(|stat| stat.czxid != id.czxid).map(|stat| (id.task.clone(), stat.ctime_ms)));
        }
    }
    Ok(found)
}

/// When the attempt was assigned that ended the task, if it was not the lost one itself.
async fn recorded(store: &Store, task: &TaskName, lost_by: &WorkerId) -> Result<Option<i64>, ReadError> {
    let (details, status) = (store.get(&path::plain_result(task)), store.get(&path::status(task)));
    let (details, status) = (details.await?, status.await?);
    let results = [details, status].into_iter().flatten().filter_map(|node| decode_result(&node.data));
    let others = results.filter(|result: &TaskResult| result.worker.as_ref() != Some(lost_by));
    Ok(others.filter_map(|result| result.assigned).map(|at| at.as_millisecond()).next())
}
