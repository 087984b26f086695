//! The ground holds: ZooKeeper can be killed and brought back, and its log convicts a liar.

use std::time::Duration;

use bellwether_core::protocol::Multi;
use bellwether_tests::history::{self, Promise};
use bellwether_tests::{Cluster, Zookeeper, eventually, is};

#[test]
fn data_and_sessions_survive_the_servers_death() {
    let zookeeper = Zookeeper::own();
    let root = zookeeper.new_root();
    let tree = zookeeper.tree(&root);
    tree.create("/kept", "here");
    tree.create_ephemeral("/mine", "");
    zookeeper.kill9(0);
    zookeeper.restart(0);
    assert_eq!(tree.text("/kept").as_deref(), Some("here"));
    assert_eq!(tree.children("/"), ["kept", "mine"]);
    history::assert_promises(&zookeeper.data_dir(0), &root);
}

#[test]
fn three_servers_go_on_without_their_leader() {
    let zookeeper = Zookeeper::ensemble(3);
    let tree = zookeeper.tree("/");
    tree.create("/before", "");
    let leader = zookeeper.leader().expect("a leader");
    zookeeper.kill9(leader);
    let next = eventually(Duration::from_secs(20), "a new leader", || zookeeper.leader());
    assert_ne!(next, leader);
    eventually(Duration::from_secs(20), "a write without the old leader", || {
        // Followers that lose their leader drop their clients: a reply may be lost once more.
        let written = tree.try_commit(&Multi::new().create("/after", ""));
        if tree.exists("/after") { Ok(()) } else { written }
    });
    zookeeper.start_all();
    assert_eq!(zookeeper.pids().len(), 3);
    assert!(tree.exists("/before") && tree.exists("/after"));
}

#[test]
fn ephemerals_go_with_the_hand_that_made_them() {
    let cluster = Cluster::new();
    let other = cluster.zookeeper().tree(cluster.root());
    other.create_ephemeral("/master", "");
    assert!(cluster.tree().exists("/master"));
    drop(other);
    assert!(!cluster.tree().exists("/master"));
    assert_eq!(cluster.history().terms.len(), 1);
}

#[test]
fn a_number_follows_the_prefix() {
    let cluster = Cluster::new();
    let tree = cluster.tree();
    assert_eq!(tree.create_sequential("/job-", "x"), "/job-0000000000");
    assert_eq!(tree.create_sequential("/job-", "y"), "/job-0000000001");
    assert_eq!(tree.text("/job-0000000001").as_deref(), Some("y"));
    assert!(tree.delete("/job-0000000000"));
    assert!(!tree.delete("/job-0000000000"));
    eventually(Duration::from_secs(5), "one of two", || is(tree.children("/"), &vec!["job-0000000001".to_owned()]));
}

fn fence() -> Multi {
    Multi::new().check("/bellwether/epoch", 1).check("/master", 0)
}

/// A master and a worker in one session, which do what the rules say.
fn honest_life(cluster: &Cluster) {
    let tree = cluster.tree();
    for path in ["/tasks", "/assign/w", "/status", "/workers", "/bellwether/epoch"] {
        tree.create_all(path);
    }
    tree.commit(&Multi::new().create_ephemeral("/master", "").set("/bellwether/epoch", "", Some(0)));
    tree.create_ephemeral("/workers/w", "");
    tree.create("/tasks/t", "true");
    tree.commit(&fence().check_exists("/workers/w").delete("/tasks/t", Some(0)).create("/assign/w/t", "true"));
    tree.commit(&Multi::new().delete("/assign/w/t", Some(0)).create("/status/t", "done"));
}

#[test]
fn an_honest_life_is_believed() {
    let cluster = Cluster::new();
    honest_life(&cluster);
    cluster.assert_promises();
    assert_eq!(cluster.history().unended(), Vec::<&str>::new());
}

#[test]
fn a_doubled_status_is_convicted() {
    let cluster = Cluster::builder().unaudited(&[Promise::P4]).start();
    honest_life(&cluster);
    assert!(cluster.tree().delete("/status/t"));
    cluster.tree().commit(&fence().create("/status/t", "done"));
    let broken: Vec<Promise> = cluster.history().violations.iter().map(|violation| violation.promise).collect();
    assert_eq!(broken, [Promise::P4]);
}
