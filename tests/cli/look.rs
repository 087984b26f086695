//! `status`, `list`, `result`, `worker list`, `master status`: what they show, in every form.

use std::time::Duration;

use bellwether_tests::{Cluster, eventually};

use super::working;

#[test]
fn a_cluster_without_anybody_is_shown_as_such() {
    let cluster = Cluster::new();
    let status = cluster.cli(&["status", "-o", "json"]).success().json();
    assert_eq!(
        (&status["master"], &status["workers"], &status["queue"]["pending"]),
        (&serde_json::Value::Null, &serde_json::json!([]), &0.into())
    );
    assert!(cluster.cli(&["status"]).success().stdout.contains("master     nobody"));
    assert!(
        cluster.cli(&["master", "status"]).success().stderr.contains("nobody rules; start a coordinator with: bellwether-coordinator ")
    );
    assert!(cluster.cli(&["worker", "list"]).success().stderr.contains("no worker is registered; start one with: bellwether-worker "));
    let list = cluster.cli(&["list"]).success();
    assert_eq!((list.stdout.as_str(), list.stderr.as_str()), ("", "no tasks\n"));
}

#[test]
fn everybody_is_shown_with_what_they_do() {
    let (cluster, _coordinator, _worker) = working(3);
    let _standby = cluster.coordinator("c2");
    let id = cluster.cli(&["submit", "--", "sleep", "60"]).success().lines()[0].to_owned();
    let status = eventually(Duration::from_secs(20), "a standby, and the task with its worker", || {
        let status = cluster.cli(&["status", "-o", "json"]).success().json();
        (status["workers"][0]["assigned"] == 1 && status["standbys"][0]["name"].is_string()).then_some(status)
    });
    assert_eq!((&status["bellwether"], &status["workers"][0]["slots"], &status["queue"]["assigned"]), (&1.into(), &3.into(), &1.into()));
    let master = cluster.cli(&["master", "status", "-o", "json"]).success().json();
    assert_eq!(master["master"]["epoch"], status["master"]["epoch"]);
    let (ruling, waiting) = (&master["master"]["name"], &master["standbys"][0]["name"]);
    assert!(ruling != waiting && [ruling, waiting].iter().all(|name| **name == "c1" || **name == "c2"), "{master}");

    let workers = cluster.cli(&["worker", "list"]).success();
    assert!(workers.lines()[0].starts_with("WORKER ") && workers.lines()[1].starts_with("w1-"), "{workers:#?}");
    assert!(workers.lines()[1].contains("  busy   3      1  "), "{workers:#?}");
    assert_eq!(cluster.cli(&["worker", "list", "-o", "name"]).success().lines(), cluster.tree().children("/workers"));
    let task = cluster.cli(&["status", &id]).success();
    assert!(task.stdout.contains("state      assigned\nworker     w1-"), "{task:#?}");
    let _ = cluster.cli(&["cancel", &id]).success();
}

#[test]
fn results_and_lists_show_how_tasks_ended() {
    let (cluster, _coordinator, _worker) = working(2);
    let failed = cluster.cli(&["submit", "--", "sh", "-c", "echo out; exit 3"]).success().lines()[0].to_owned();
    let succeeded = cluster.cli(&["submit", "--", "true"]).success().lines()[0].to_owned();
    assert_eq!(cluster.cli(&["wait", &failed, &succeeded]).code, 1);
    let result = cluster.cli(&["result", &failed]).success();
    assert!(result.stdout.contains("outcome    failed\nwhy        exit=3\n") && result.stdout.ends_with("\nstdout\nout\n"), "{result:#?}");
    let json = cluster.cli(&["result", &failed, "-o", "json"]).success().json();
    assert_eq!((&json["bellwether"], &json["exit"], &json["stdout"]["tail"]), (&1.into(), &3.into(), &"out\n".into()));
    assert_eq!(cluster.cli(&["list", "--state", "failed", "-o", "name"]).success().lines(), [&failed]);
    assert_eq!(cluster.cli(&["list", "-o", "name"]).success().lines(), [&succeeded, &failed], "the latest first");
    let limited = cluster.cli(&["list", "--limit", "1"]).success();
    assert!(limited.lines().len() == 2 && limited.stderr.contains("there are more than these 1"), "{limited:#?}");
    let shown = cluster.cli(&["status", &failed, "-o", "json"]).success().json();
    assert_eq!((&shown["state"], &shown["result"]["exit"]), (&"failed".into(), &3.into()));
}
