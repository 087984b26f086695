//! ZooKeeper away, slow or restarted under a command.

use std::time::Duration;

use bellwether_tests::history::Promise;
use bellwether_tests::{Cluster, Zookeeper, eventually};

const SOON: Duration = Duration::from_secs(40);

fn own() -> Cluster {
    Cluster::builder().zookeeper(Zookeeper::own()).unaudited(&[Promise::P2, Promise::P3]).start()
}

#[test]
fn a_command_says_what_it_tried_and_gives_up() {
    let cluster = Cluster::new();
    let args = ["-z", "127.0.0.1:1", "--request-timeout", "2s", "status"];
    let output = cluster.cli_start(&args[2..]);
    assert_eq!(output.finish(SOON).code, 0, "the cluster's own ZooKeeper answers");
    let dir = std::sync::Arc::new(bellwether_tests::place::Dir::new("unreachable"));
    let output = bellwether_tests::CliRun::start(&args, &[], None, dir).finish(SOON).code(125);
    assert!(output.stderr.contains("no session with zookeeper at 127.0.0.1:1 yet: 127.0.0.1:1: connection refused"), "{output:#?}");
    assert!(output.stderr.contains("trying for 2s (--request-timeout)"), "{output:#?}");
    let last = output.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("bellwether: unreachable: no session with zookeeper at 127.0.0.1:1 for 2s: "), "{output:#?}");
    assert!(last.contains("start ZooKeeper, or say where it is with -z or BELLWETHER_ZOOKEEPER"), "{output:#?}");
}

#[test]
fn an_address_that_can_be_none_is_bad_configuration() {
    let cluster = Cluster::new();
    let dir = std::sync::Arc::new(bellwether_tests::place::Dir::new("bad-address"));
    for (address, says) in
        [("a:x", "is no host:port"), ("h:1,,i:2", "is no host:port"), ("h:1/a//b", "no path of a znode"), ("h:1/zookeeper", "ZooKeeper")]
    {
        let output =
            bellwether_tests::CliRun::start(&["status"], &[("BELLWETHER_ZOOKEEPER", address)], None, dir.clone()).finish(SOON).code(78);
        assert!(output.stderr.contains(says), "{address}: {output:#?}");
    }
    drop(cluster);
}

#[test]
fn whoever_waits_survives_a_restart_of_zookeeper() {
    let cluster = own();
    let id = cluster.cli(&["submit", "true"]).success().lines()[0].to_owned();
    let wait = cluster.cli_start(&["wait", &id]);
    eventually(SOON, "a hint, by which it waits", || wait.stderr().contains("nobody rules"));
    cluster.zookeeper().kill9(0);
    eventually(SOON, "a word about the outage", || wait.stderr().contains("no connection to zookeeper at "));
    cluster.zookeeper().restart(0);
    eventually(SOON, "a word about its end", || wait.stderr().contains("zookeeper answers again"));
    assert!(cluster.tree().delete(&format!("/tasks/{id}")));
    cluster.tree().create(&format!("/status/{id}"), "done");
    assert_eq!(wait.finish(SOON).code, 0);
}

#[test]
fn a_submission_to_a_server_that_hangs_is_made_once() {
    let cluster = own();
    let _ = cluster.cli(&["submit", "true"]).success();
    cluster.zookeeper().pause(0);
    let submit = cluster.cli_start(&["submit", "true"]);
    let slow = cluster.cli_start(&["--request-timeout", "3s", "submit", "true"]);
    let slow = slow.finish(SOON).code(125);
    assert!(slow.stderr.lines().last().is_some_and(|line| line.starts_with("bellwether: un")), "{slow:#?}");
    cluster.zookeeper().resume(0);
    let id = submit.finish(SOON).success().lines()[0].to_owned();
    assert!(cluster.tree().exists(&format!("/tasks/{id}")));
    assert_eq!(cluster.tree().children("/tasks").len(), 2);
}
