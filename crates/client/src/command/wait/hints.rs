//! Why it takes so long: one line after a while, when there is something to say.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_client::{Client, Overview, TaskState, TaskView};
use bellwether_core::protocol::TaskName;

use bellwether_common::clock;

use crate::command::context::Context;
use crate::command::table::ahead;

/// How long it may take before anybody wonders.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether there is something to say.
const LOOK: Duration = Duration::from_secs(1);

/// Says once why the first of `tasks` waits, and whenever ZooKeeper is away or back. Never ends.
pub(super) async fn while_waiting(ctx: &Context, client: &Client, tasks: &[TaskName]) {
    tokio::time::sleep(PATIENCE).await;
    let (mut explained, mut away) = (false, false);
    loop {
        match (client.outage(), away) {
            (Some(why), false) => {
                ctx.printer.note(&format!("no connection to zookeeper at {}: {why}; the tasks go on", client.settings().address()));
                away = true;
            }
            (None, true) => {
                ctx.printer.note("zookeeper answers again");
                away = false;
            }
            (Some(_), true) | (None, false) => {}
        }
        if let (false, false, Some(task)) = (explained, away, tasks.first())
            && let Some(why) = why_it_waits(client, task).await
        {
            ctx.printer.note(&why);
            explained = true;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn why_it_waits(client: &Client, task: &TaskName) -> Option<String> {
    let view = client.status(task).await.ok()?;
    let overview = client.overview().await.ok()?;
    explain(&view, &overview)
}

fn explain(view: &TaskView, overview: &Overview) -> Option<String> {
    if view.state.is_final() {
        return None;
    }
    let task = &view.task;
    let zookeeper = &overview.zookeeper;
    if overview.master.is_none() {
        return Some(format!("nobody rules: {task} waits until a coordinator is started: bellwether-coordinator {zookeeper}"));
    }
    if let (TaskState::Held, Some(at)) = (view.state, view.not_before) {
        let why = if view.failures > 0 { "rests after an attempt that failed" } else { "is to be run later" };
        return Some(format!("{task} {why}: attempt {} comes {}", view.attempt, ahead(at, clock::wall())));
    }
    if let (TaskState::Held, [first, others @ ..]) = (view.state, view.after.as_slice()) {
        let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        return Some(format!("{task} waits until {first}{others} has ended; see: bellwether status {first}"));
    }
    if view.state != TaskState::Pending {
        return None;
    }
    if let Some(paused) = &overview.paused {
        let why = paused.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        return Some(format!("nothing is assigned{why}: {task} waits until somebody types: bellwether master resume"));
    }
    if overview.workers.is_empty() {
        return Some(format!("no worker is registered: {task} waits until one is started: bellwether-worker {zookeeper}"));
    }
    let fits = |labels: &BTreeMap<String, String>| view.require.iter().all(|(label, value)| labels.get(label) == Some(value));
    let (mut slots, mut fitting) = (0, 0);
    for worker in overview.workers.iter().filter(|worker| fits(&worker.labels)) {
        slots += worker.slots;
        fitting += 1;
    }
    if fitting == 0 {
        let required: Vec<String> = view.require.iter().map(|(label, value)| format!("{label}={value}")).collect();
        return Some(format!("no registered worker has {}: {task} waits for one; see: bellwether worker list", required.join(" and ")));
    }
    let queue = &overview.queue;
    (queue.assigned >= slots).then(|| format!("all {slots} slots are taken: {task} waits for its turn, with {} pending", queue.pending))
}

#[cfg(test)]
mod tests {
    use bellwether_client::{Master, WorkerView};
    use bellwether_core::protocol::WorkerId;
    use jiff::Timestamp;

    use super::*;

    fn pending() -> TaskView {
        TaskView {
            task: TaskName::listed("t"),
            state: TaskState::Pending,
            worker: None,
            attempt: 1,
            failures: 0,
            losses: 0,
            not_before: None,
            after: Vec::new(),
            retry_of: None,
            group: None,
            array: None,
            array_of: None,
            key: None,
            dead_letter: false,
            cancelling: false,
            name: None,
            command: None,
            kind: None,
            submitter: None,
            priority: Some(0),
            slots: Some(1),
            resources: BTreeMap::new(),
            labels: BTreeMap::new(),
            require: BTreeMap::new(),
            since: Timestamp::UNIX_EPOCH,
            result: None,
        }
    }

    fn master() -> Master {
        Master {
            name: None,
            host: None,
            pid: None,
            http: None,
            version: None,
            epoch: Some(1),
            since: Timestamp::UNIX_EPOCH,
            foreign: false,
        }
    }

    fn worker(slots: u32) -> WorkerView {
        WorkerView {
            worker: WorkerId::listed("w"),
            name: None,
            host: None,
            pid: None,
            slots,
            assigned: 0,
            labels: BTreeMap::new(),
            resources: BTreeMap::new(),
            kinds: Default::default(),
            commands: true,
            http: None,
            version: None,
            since: Timestamp::UNIX_EPOCH,
            drain: None,
            foreign: false,
        }
    }

    #[test]
    fn the_reason_is_the_first_that_holds() {
        let nobody = || Overview::empty("zk:1".to_owned());
        let mut overview = nobody();
        let says = |view: &TaskView, overview: &Overview| explain(view, overview).unwrap_or_default();
        let mut view = pending();
        assert!(says(&view, &overview).contains("bellwether-coordinator zk:1"));
        overview.master = Some(master());
        assert!(says(&view, &overview).contains("no worker is registered"));
        overview.workers = vec![worker(2)];
        assert_eq!(says(&view, &overview), "", "a slot is free: it is on its way");
        overview.queue.assigned = 2;
        assert!(says(&view, &overview).contains("all 2 slots are taken"));
        view.require.insert("zone".into(), "eu".into());
        assert!(says(&view, &overview).contains("no registered worker has zone=eu"));
        view.state = TaskState::Assigned;
        assert_eq!(says(&view, &overview), "");
        (view.state, view.failures, view.attempt, view.not_before) = (TaskState::Held, 1, 2, Some(Timestamp::MAX));
        assert!(says(&view, &overview).contains("rests after an attempt that failed: attempt 2 comes in "));
    }
}
