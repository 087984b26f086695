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
