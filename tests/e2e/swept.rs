//! `/tasks` that was deleted by hand and counts anew: results of an earlier life of the same names are out of the way.

use bellwether_tests::history::Promise;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

use crate::faults::becomes;

/// As any program outside submits: ZooKeeper gives the number.
fn create(cluster: &Cluster, line: &str) -> String {
    let line = format!("cd {}; {line}", cluster.dir().display());
    let path = cluster.tree().create_sequential("/tasks/job-", line);
    path.rsplit('/').next().expect("a name").to_owned()
}

fn recreate_tasks(cluster: &Cluster) {
    assert!(cluster.tree().delete("/tasks"));
    eventually(SOON, "/tasks", || {
        // A master that is there is as quick.
        let _ = cluster.tree().try_commit(&bellwether_core::protocol::Multi::new().create("/tasks", Vec::new()));
        cluster.tree().exists("/tasks")
    });
}

#[test]
fn a_new_master_sweeps_results_that_are_older_than_the_tasks() {
    // The name ends a second time: that is the point.
    let cluster = Cluster::builder().unaudited(&[Promise::P4]).start();
    let coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let _ = cluster.ruler();
    let first = create(&cluster, "echo first >> runs");
    assert_eq!(cluster.status_of(&first), "done");
    coordinator.kill9();
    recreate_tasks(&cluster);
    let again = create(&cluster, "echo second >> runs; exit 3");
    assert_eq!(again, first, "the counter started over");
    let coordinator = cluster.coordinator("c2");
    eventually(SOON, "its own result", || cluster.tree().text(&format!("/status/{again}")).filter(|status| status == "failed exit=3"));
    assert_eq!(cluster.lines("runs"), ["first", "second"]);
    // The status and its details.
    becomes(&coordinator, "bellwether_swept_results_total", &[], 2.0);
}

#[test]
fn a_master_that_is_there_sweeps_them_too_and_once() {
    let cluster = Cluster::builder().unaudited(&[Promise::P4]).start();
    let coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let _ = cluster.ruler();
    let first = create(&cluster, "echo first >> runs");
    assert_eq!(cluster.status_of(&first), "done");
    recreate_tasks(&cluster);
    becomes(&coordinator, "bellwether_swept_results_total", &[], 2.0);
    let again = create(&cluster, "echo second >> runs");
    assert_eq!((again.as_str(), cluster.status_of(&again).as_str()), (first.as_str(), "done"));
    coordinator.kill9();
    let coordinator = cluster.coordinator("c2");
    let last = create(&cluster, "true");
    assert_eq!(cluster.status_of(&last), "done");
    assert_eq!(cluster.status_of(&again), "done", "what is younger stays");
    becomes(&coordinator, "bellwether_swept_results_total", &[], 0.0);
}
