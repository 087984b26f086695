//! Two thousand short commands while a worker and the master die.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

const TASKS: usize = 2000;
const SLOTS: usize = 4;

#[test]
fn two_thousand_commands_while_a_worker_and_the_master_die() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let workers = [cluster.worker("w1", SLOTS), cluster.worker("w2", SLOTS), cluster.worker("w3", SLOTS)];
    let ruler = cluster.ruler();
    let file = cluster.dir().join("runs");
    let line = format!("echo $BELLWETHER_TASK $BELLWETHER_WORKER >> {}", file.display());
    let doomed = cluster.registered("w1");
    let tasks = cluster.put_many("n-", (0..TASKS).map(|_| line.clone()));

    let ended = || cluster.tree().children("/status").len();
    eventually(SOON, "a quarter is done", || ended() > TASKS / 4);
    workers[0].kill9();
    eventually(SOON, "half is done", || ended() > TASKS / 2);
    coordinators.iter().find(|c| c.name() == ruler).expect("one of ours").kill9();
    eventually(Duration::from_secs(120), "all is done", || match ended() {
        TASKS => Ok(()),
        some => Err(format!("{some} of {TASKS}")),
    });

    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in cluster.lines("runs") {
        let (task, worker) = line.split_once(' ').expect("a task and its worker");
        runs.entry(task.to_owned()).or_default().push(worker.to_owned());
    }
    assert_eq!(runs.len(), TASKS, "every task ran");
    let twice: Vec<_> = runs.iter().filter(|(_, workers)| workers.len() > 1).collect();
    assert!(twice.len() <= SLOTS, "{twice:?}");
    for (task, workers) in &twice {
        assert!(workers.len() == 2 && workers[0] == doomed, "only what ran on the killed worker may run again: {task} on {workers:?}");
    }
    for task in &tasks {
        assert_eq!(cluster.tree().text(&format!("/status/{task}")).as_deref(), Some("done"), "{task}");
    }
}
