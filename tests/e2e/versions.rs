//! Programs of neighbouring versions in one cluster, as far as one version of the programs can show it: the znode plays the others.

use bellwether_core::protocol::PROTOCOL_VERSION;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

const VERSION: &str = "/bellwether/version";

/// A cluster in which somebody has said what is spoken before any service of ours came.
fn speaking(what: &str) -> Cluster {
    let cluster = Cluster::new();
    cluster.tree().create_all("/bellwether");
    cluster.tree().create(VERSION, what);
    cluster
}

#[test]
fn the_first_service_says_what_the_cluster_speaks() {
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    let _ = cluster.cli(&["run", "--", "true"]).success();
    assert_eq!(cluster.tree().text(VERSION), Some(PROTOCOL_VERSION.to_string()));
}

#[test]
fn in_a_cluster_of_the_version_before_everything_works_and_nothing_is_raised() {
    let before = (PROTOCOL_VERSION - 1).to_string();
    let cluster = speaking(&before);
    let (coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    let _ = cluster.cli(&["run", "--", "true"]).success();
    coordinator.kill9();
    let _second = cluster.coordinator("c2");
    let _ = cluster.cli(&["run", "--", "true"]).success();
    assert_eq!(cluster.tree().text(VERSION), Some(before), "raising it is the operator's decision");
}

#[test]
fn what_speaks_otherwise_is_refused_with_both_versions_and_writes_nothing() {
    let newer = (PROTOCOL_VERSION + 1).to_string();
    let cases = [
        (newer.as_str(), format!("protocol {newer} (/bellwether/version), this program only {PROTOCOL_VERSION} and ")),
        ("what is this", "holds \"what is this\" where the number of a protocol should be".to_owned()),
    ];
    for (said, told) in cases {
        let cluster = speaking(said);
        for service in [cluster.coordinator("c1"), cluster.worker("w1", 1)] {
            assert_eq!(service.exit_code(SOON), 78, "{}", service.log());
            assert!(service.log().replace("\\\"", "\"").contains(&told), "{told:?} in: {}", service.log());
        }
        let command = cluster.cli(&["status"]).code(78);
        assert!(command.stderr.contains(&told), "{command:#?}");
        assert_eq!(cluster.tree().children("/"), ["bellwether"], "nothing was made below the root");
        assert_eq!(cluster.tree().children("/bellwether"), ["version"]);
    }
}

#[test]
fn a_raised_version_turns_the_old_ones_away_at_their_next_session() {
    let cluster = Cluster::new();
    let (coordinator, worker) = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    let _ = cluster.cli(&["run", "--", "true"]).success();
    cluster.tree().set(VERSION, (PROTOCOL_VERSION + 1).to_string());
    // Those that work are not interrupted: whoever raises it has upgraded everything before.
    assert!(coordinator.is_running() && worker.is_running());
    let _ = worker.terminate(SOON);
    let again = cluster.worker("w1", 1);
    assert_eq!(again.exit_code(SOON), 78, "{}", again.log());
}

#[test]
fn a_version_that_was_deleted_is_said_again() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    eventually(SOON, "the first says it", || cluster.tree().exists(VERSION));
    assert!(cluster.tree().delete(VERSION));
    let _worker = cluster.worker("w1", 1);
    let _ = cluster.cli(&["run", "--", "true"]).success();
    assert_eq!(cluster.tree().text(VERSION), Some(PROTOCOL_VERSION.to_string()));
}
