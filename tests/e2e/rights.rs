//! Rights that ZooKeeper denies: to one task, one box, one worker, one assignment, or to everything.

use std::time::{Duration, Instant};

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Builder, Cluster, Process, Scenario, eventually, is};
use zookeeper_client::{Acls, Client, CreateMode, Permission};

use crate::faults::{ENDS, becomes, metric, put_running};

/// Beliefs are compared with ZooKeeper every second, so that what is mended is soon found.
fn comparing() -> Builder {
    Cluster::builder().setting("coordinator.reconcile_interval", "\"1s\"")
}

#[test]
fn a_task_that_may_not_be_read_is_rejected_and_counted_and_the_others_go_on() {
    let scenario = Scenario::of("F24");
    let cluster = Cluster::new();
    let denied = cluster.put("true");
    cluster.tree().deny(&format!("/tasks/{denied}"), Permission::READ);
    let coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    assert_eq!(cluster.status_of(&denied), "failed rejected: no-right");
    assert!(!cluster.tree().exists(&format!("/tasks/{denied}")));
    becomes(&coordinator, "bellwether_tasks_ended_total", &[("result", "rejected")], 1.0);
    scenario.saw("one task: failed rejected: no-right, counted; the next one done");
}

#[test]
fn tasks_that_may_not_be_deleted_wait_without_a_storm_until_they_may() {
    let scenario = Scenario::of("F24");
    let cluster = comparing().start();
    let coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 4);
    let _ = (cluster.ruler(), cluster.registered("w1"));
    cluster.tree().deny("/tasks", Permission::DELETE);
    let tasks = cluster.put_many("stuck-", (0..20).map(|_| ENDS.to_owned()));
    let told = || coordinator.log().matches("task cannot be moved").count();
    eventually(SOON, "all are told", || is(told(), &20));
    let requests = || metric(&coordinator, "bellwether_zk_requests_total", &[("op", "get"), ("result", "ok")]);
    let compared = || metric(&coordinator, "bellwether_resyncs_total", &[("cause", "periodic")]).unwrap_or_default();
    let (before, begun) = (requests().expect("a scrape"), compared());
    eventually(SOON, "three comparisons", || compared() >= begun + 3.0);
    let reads = requests().expect("a scrape") - before;
    assert!(reads < 20.0 * 6.0, "{reads} reads in three comparisons of 20 stuck tasks");
    assert_eq!(told(), 20, "each is told once");
    cluster.tree().allow("/tasks");
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    scenario.saw(format!("20 tasks without the right to delete: {reads} reads in three comparisons, each told once, all run when mended"));
}

#[test]
fn a_box_and_a_worker_without_rights_are_passed_over_until_they_are_mended() {
    let scenario = Scenario::of("F24");
    let cluster = comparing().start();
    let worker = cluster.worker("w1", 1);
    let me = cluster.registered("w1");
    for (path, rights, says) in [
        (format!("/assign/{me}"), Permission::CREATE, "its box cannot be written"),
        (format!("/workers/{me}"), Permission::READ, "its data may not be read"),
    ] {
        cluster.tree().deny(&path, rights);
        let coordinator = cluster.coordinator("c1");
        let task = cluster.put("true");
        eventually(SOON, says, || coordinator.log().contains(says));
        let other = cluster.worker("w2", 1);
        assert_eq!(cluster.status_of(&task), "done", "others go on");
        assert_eq!(other.terminate(SOON), 0);
        cluster.tree().allow(&path);
        let next = cluster.put("true");
        assert_eq!(cluster.status_of(&next), "done", "it is used again when {path} is mended");
        assert_eq!(cluster.registered("w1"), me);
        assert_eq!(coordinator.terminate(SOON), 0);
    }
    assert!(worker.is_running());
    scenario.saw("a box without CREATE, a worker without READ: passed over, used again when mended");
}

#[test]
fn an_assignment_that_may_not_be_read_is_rejected_when_its_worker_dies() {
    let scenario = Scenario::of("F24");
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let (task, _) = put_running(&cluster);
    let me = cluster.registered("w1");
    cluster.tree().deny(&format!("/assign/{me}/{task}"), Permission::READ);
    worker.kill9();
    assert_eq!(cluster.status_of(&task), "failed rejected: no-right");
    eventually(SOON, "the box of the dead goes", || !cluster.tree().exists(&format!("/assign/{me}")));
    becomes(&coordinator, "bellwether_tasks_ended_total", &[("result", "rejected")], 1.0);
    scenario.saw("an assignment without READ whose worker died: failed rejected: no-right");
}

/// A root of which only who knows the password of `user` may do anything.
fn locked(cluster: &Cluster) -> String {
    cluster.tree().create_all("/here");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let connector = Client::connector().with_auth("digest", b"user:right");
        let client = connector.connect(&cluster.connect_string()).await.expect("a session");
        client.create("/here/locked", b"", &CreateMode::Persistent.with_acls(Acls::creator_all())).await.expect("a root");
    });
    format!("{:?}", format!("{}/here/locked", cluster.connect_string()))
}

#[test]
fn a_start_without_rights_or_with_a_wrong_password_fails_at_once_and_names_path_and_right() {
    let scenario = Scenario::of("F24");
    let cluster = Cluster::new();
    let connect = locked(&cluster);
    let file = |name: &str, password: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = cluster.dir().join(name);
        std::fs::write(&path, format!("user:{password}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("only its owner's");
        format!("{:?}", path.display().to_string())
    };
    let (right, wrong) = (file("right", "right"), file("wrong", "wrong"));
    let connecting = ("zookeeper.connect", connect.as_str());
    let (nothing, digest) = (("zookeeper.auth_scheme", "\"\""), ("zookeeper.auth_scheme", "\"digest\""));
    let empty = "\"\"".to_owned();
    let mut slowest = Duration::ZERO;
    for (scheme, password) in [(nothing, &empty), (digest, &wrong)] {
        let settings = [connecting, scheme, ("zookeeper.auth_file", password.as_str())];
        let start: [&dyn Fn() -> Process; 2] = [&|| cluster.coordinator_with("c1", &settings), &|| cluster.worker_with("w1", 1, &settings)];
        for start in start {
            let begun = Instant::now();
            let service = start();
            assert_eq!(service.exit_code(SOON), 77, "{}", service.log());
            slowest = slowest.max(begun.elapsed());
            let log = service.log();
            assert!(log.contains("/here/locked") && log.to_lowercase().contains("create"), "path and right: {log}");
        }
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    // With the right one it serves.
    let settings = [connecting, digest, ("zookeeper.auth_file", right.as_str())];
    let coordinator = cluster.coordinator_with("c1", &settings);
    becomes(&coordinator, "bellwether_master_is_active", &[], 1.0);
    // And now that nothing is missing, so that nothing need be created, a wrong one still does not.
    let settings = [connecting, digest, ("zookeeper.auth_file", wrong.as_str())];
    let late = cluster.worker_with("w2", 1, &settings);
    assert_eq!(late.exit_code(SOON), 77, "{}", late.log());
    let log = late.log();
    assert!(log.contains("/here/locked") && log.to_lowercase().contains("create"), "path and right: {log}");
    scenario.saw(format!("no rights and a wrong password: exit 77 within {:.1} s, path and right named", slowest.as_secs_f64()));
}
