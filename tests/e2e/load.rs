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
    let line = format!("echo $BELLWETHER_TASK >> {}", file.display());
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

    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for task in cluster.lines("runs") {
        *runs.entry(task).or_default() += 1;
    }
    let twice: Vec<&String> = runs.iter().filter(|(_, times)| **times > 1).map(|(task, _)| task).collect();
    assert_eq!(runs.len(), TASKS, "every task ran");
    assert!(twice.len() <= SLOTS, "only what ran on the killed worker may run again: {twice:?}");
    for task in &tasks {
        assert_eq!(cluster.tree().text(&format!("/status/{task}")).as_deref(), Some("done"), "{task}");
    }
}
