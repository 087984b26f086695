//! `bellwether cancel` on a cluster that works.

use std::time::Duration;

use bellwether_tests::{Cluster, eventually};

use super::working;

#[test]
fn a_task_that_runs_is_ended_with_the_reason() {
    let (cluster, _coordinator, _worker) = working(1);
    let run = cluster.cli_start(&["run", "--", "sleep", "60"]);
    let id = eventually(Duration::from_secs(20), "the assignment", || {
        let list = cluster.cli(&["list", "--state", "assigned", "-o", "name"]).success();
        list.lines().first().map(|id| (*id).to_owned())
    });
    let _ = cluster.cli(&["cancel", &id, "--reason", "enough"]).success();
    let ended = run.finish(Duration::from_secs(20)).code(126);
    assert!(ended.stderr.ends_with(&format!("bellwether: cancelled: {id}: enough; see: bellwether result {id}\n")), "{ended:#?}");
}

#[test]
fn a_task_that_waits_never_runs() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let id = cluster.cli(&["submit", "--", "true"]).success().lines()[0].to_owned();
    let both = cluster.cli(&["cancel", &id, "task-nope"]).code(125);
    assert!(both.lines() == [&id] && both.stderr.contains("there is no task task-nope"), "{both:#?}");
    assert_eq!(cluster.cli(&["wait", &id]).code, 126);
}

#[test]
fn a_task_that_somebody_put_something_below_is_not_promised_to_end() {
    let cluster = Cluster::builder().setting("coordinator.reconcile_interval", "\"1s\"").start();
    let coordinator = cluster.coordinator("c1");
    let tree = cluster.tree();
    let id = cluster.cli(&["submit", "--", "true"]).success().lines()[0].to_owned();
    tree.create(&format!("/tasks/{id}/input"), "of somebody else");
    let _worker = cluster.worker("w1", 1);
    eventually(Duration::from_secs(20), "the master says so", || coordinator.log().contains("task cannot be moved"));
    let wish = cluster.cli(&["cancel", &id]).success();
    assert!(wish.stderr.contains(&format!("/tasks/{id} has 1 children, and can neither run nor end before they are deleted")), "{wish:#?}");
    assert!(!wish.stderr.contains("the master cancels it"), "{wish:#?}");
    let again = cluster.cli(&["cancel", &id, "-o", "json"]).success().json();
    assert_eq!(again["tasks"][0]["cancel"], "obstructed");
    assert!(tree.delete(&format!("/tasks/{id}/input")));
    assert_eq!(cluster.cli(&["wait", &id]).code, 126);
    assert_eq!(coordinator.log().matches("task cannot be moved").count(), 1, "it is told once");
}
