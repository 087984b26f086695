//! `/assign` deleted by hand with all that is in it: the tasks are gone, and that is said, by the right name.

use bellwether_tests::history::Promise;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

use crate::faults::{becomes, let_go, put_running};

#[test]
fn what_is_deleted_with_its_box_is_named_in_the_log_and_not_called_cancelled() {
    // The tasks are lost, by our own hand.
    let cluster = Cluster::builder().unaudited(&[Promise::P3]).start();
    let coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 2);
    let incarnation = cluster.registered("w1");
    let lost = [put_running(&cluster).0, put_running(&cluster).0];
    for task in &lost {
        assert!(cluster.tree().delete(&format!("/assign/{incarnation}/{task}")));
    }
    becomes(&worker, "bellwether_task_kills_total", &[("reason", "withdrawn")], 2.0);
    becomes(&worker, "bellwether_task_kills_total", &[("reason", "cancelled")], 0.0);
    let _ = cluster.tree().delete(&format!("/assign/{incarnation}"));
    let line = eventually(SOON, "the master says so", || {
        let log = coordinator.log();
        log.lines().find(|line| line.contains("deleted with tasks in it")).map(str::to_owned)
    });
    assert!(line.contains("ERROR") && line.contains("lost=2") && lost.iter().all(|task| line.contains(task)), "{line}");
    // The worker comes back as another, and serves.
    let_go(&cluster);
    let next = cluster.put("true");
    assert_eq!(cluster.status_of(&next), "done");
}
