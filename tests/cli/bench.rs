//! `bellwether bench`: what it measures, what it refuses, and that it leaves nothing behind.

use bellwether_tests::tasks::SOON;
use bellwether_tests::{eventually, is};
use serde_json::Value;

use super::working;

fn figures(said: &Value) -> Vec<(String, f64)> {
    let all = said["figures"].as_array().expect("figures").iter();
    all.map(|figure| {
        (format!("{}: {}", figure["part"].as_str().unwrap(), figure["what"].as_str().unwrap()), figure["median"].as_f64().unwrap())
    })
    .collect()
}

#[test]
fn everything_is_measured_and_nothing_is_left() {
    let (cluster, _coordinator, _worker) = working(4);
    let _ = cluster.registered("w1");
    let said = cluster.cli(&["bench", "--rounds", "2", "--count", "60", "--batch", "20", "-o", "json"]).success();
    let json = said.json();
    let figures = figures(&json);
    assert!(figures.iter().all(|(_, value)| *value > 0.0), "{figures:?}");
    for part in
        ["store: nodes created, 1000 on their way", "latency: submit until result, idle, p50", "tasks: tasks submitted 20 at a time"]
    {
        assert_eq!(figures.iter().filter(|(what, _)| what.starts_with(part)).count(), 1, "{part}: {figures:?}");
    }
    assert_eq!(json["figures"][0]["rounds"].as_array().map(Vec::len), Some(2));
    assert_eq!((json["workers"].as_u64(), json["slots"].as_u64()), (Some(1), Some(4)));
    assert!(said.stderr.contains("round 2 of 2"), "{}", said.stderr);
    let tree = cluster.tree();
    for place in ["/bellwether/bench", "/tasks", "/status", "/bellwether/held"] {
        assert_eq!(tree.children(place), Vec::<String>::new(), "{place}");
    }
    let table = cluster.cli(&["bench", "store", "--rounds", "1", "--count", "20"]).success();
    assert!(table.stdout.contains("a read, p50") && !table.stdout.contains("tasks submitted"), "{}", table.stdout);
}

#[test]
fn a_cluster_in_use_is_not_measured_without_asking_and_a_command_must_succeed() {
    let (cluster, _coordinator, worker) = working(1);
    let _ = cluster.registered("w1");
    let failing = cluster.cli(&["bench", "tasks", "--rounds", "1", "--count", "4", "--", "false"]).code(125);
    assert!(
        failing.stderr.contains("did not succeed (failed)") && failing.stderr.contains("bellwether bench -- COMMAND"),
        "{}",
        failing.stderr
    );
    let held = cluster.cli(&["submit", "--delay", "1h", "--", "true"]).success();
    let refused = cluster.cli(&["bench", "store", "--rounds", "1", "--count", "4"]).code(2);
    assert!(refused.stderr.contains("nobody to ask") && refused.stderr.contains("--yes"), "{}", refused.stderr);
    let _ = cluster.cli(&["bench", "store", "--rounds", "1", "--count", "4", "--yes"]).success();
    let _ = cluster.cli(&["cancel", held.lines()[0]]).success();
    drop(worker);
    eventually(SOON, "nobody to work", || is(cluster.tree().children("/workers").len(), &0));
    let nobody = cluster.cli(&["bench", "tasks", "--rounds", "1", "--count", "4"]).code(125);
    assert!(nobody.stderr.contains("no worker is registered") && nobody.stderr.contains("bellwether bench store"), "{}", nobody.stderr);
    for bad in [&["bench", "--rounds", "0"][..], &["bench", "--count", "-1"], &["bench", "--batch", "1"], &["bench", "nonsense"]] {
        let _ = cluster.cli(bad).code(2);
    }
}
