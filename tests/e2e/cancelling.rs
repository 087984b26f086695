//! A wish to cancel, made of a task wherever it is, while somebody rules or nobody does, once or twice: one result, and nothing runs on.

use std::time::Duration;

use bellwether_tests::cancelling;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

use crate::faults::lives;

fn submit(cluster: &Cluster, options: &[&str]) -> String {
    let line = format!("echo $$ >> {}; sleep 60", cluster.dir().join("begun").display());
    let args = [&["submit"], options, &["--shell", "--", &line]].concat();
    cluster.cli(&args).code(0).stdout.trim().to_owned()
}

fn cancels(cluster: &Cluster, task: &str) -> String {
    cluster.cli(&["cancel", task, "--reason", "no longer needed"]).code(0).stderr
}

fn every_place(somebody_rules: bool) {
    let cluster = Cluster::builder().setting("coordinator.lookahead", "1").start();
    let master = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let worker = cluster.registered("w1");
    let running = submit(&cluster, &[]);
    eventually(SOON, "it runs", || cluster.lines("begun").len() == 1);
    let behind = submit(&cluster, &[]);
    eventually(SOON, "the second waits at the worker", || cluster.assigned_to(&worker).contains(&behind));
    let pending = submit(&cluster, &[]);
    let held = submit(&cluster, &["--delay", "1h"]);
    let tasks = [&running, &behind, &pending, &held];
    if !somebody_rules {
        master.kill9();
        eventually(SOON, "nobody rules", || !cluster.tree().exists("/master"));
    }
    // The last one first: what is cancelled behind it must not move up meanwhile.
    for task in tasks.iter().rev() {
        let _ = cancels(&cluster, task);
        let _ = cancels(&cluster, task);
    }
    let _next = (!somebody_rules).then(|| cluster.coordinator("c2"));
    for task in tasks {
        let status = cluster.status_of(task);
        assert!(status.contains("\"cancelled\"") && status.contains("no longer needed"), "{status}");
        assert!(cancels(&cluster, task).contains("had ended already: cancelled"), "{task}");
        let _ = cluster.cli(&["wait", task]).code(126);
    }
    eventually(SOON, "no mark is left", || cluster.tree().children("/bellwether/cancel").is_empty());
    let pids = cluster.lines("begun");
    assert_eq!(pids.len(), 1, "the others never ran");
    eventually(SOON, "its process is gone", || !lives(pids[0].parse().expect("a number")));
    assert_eq!(cluster.assigned_to(&worker), Vec::<String>::new());
}

#[test]
fn a_task_is_cancelled_wherever_it_is() {
    every_place(true);
}

#[test]
fn a_task_is_cancelled_wherever_it_was_when_nobody_ruled() {
    every_place(false);
}

#[test]
fn a_cancellation_reaches_a_running_process_at_once() {
    let mut took = cancelling::measure(9);
    took.sort_unstable();
    assert!(took[took.len() / 2] < Duration::from_millis(200), "{took:?}");
}
