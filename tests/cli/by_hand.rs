//! Commands against a cluster whose master and worker are played by hand, so that every step can be looked at.

use bellwether_tests::history::Promise;
use bellwether_tests::{Cluster, eventually, is};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Statuses appear here without an assignment, which is a broken promise of whoever does it: us.
fn played() -> Cluster {
    Cluster::builder().unaudited(&[Promise::P2, Promise::P3]).start()
}

#[test]
fn a_submission_makes_the_layout_and_leaves_nothing_but_the_task() {
    let cluster = Cluster::new();
    let id = cluster.cli(&["submit", "--name", "n", "--env", "A=1", "--", "ls", "-l"]).success().lines()[0].to_owned();
    let tree = cluster.tree();
    let payload: serde_json::Value = serde_json::from_slice(&tree.get(&format!("/tasks/{id}")).expect("the task")).expect("JSON");
    assert_eq!(
        (&payload["bellwether"], &payload["argv"][1], &payload["name"], &payload["env"]["A"]),
        (&1.into(), &"-l".into(), &"n".into(), &"1".into())
    );
    assert!(payload["submitter"].as_str().is_some_and(|submitter| submitter.contains('@')), "{payload}");
    assert_eq!(tree.children("/bellwether/submitted"), Vec::<String>::new(), "the guard is cleared away");
    assert_eq!(cluster.cli(&["status", &id, "-o", "json"]).success().json()["state"], "pending");
}

#[test]
fn wait_answers_whatever_dialect_a_status_is_in() {
    let cluster = played();
    for (words, code) in [("done", 0), ("failed exit=7", 7), ("failed signal=9", 137), ("failed timeout", 124), ("failed cancelled", 126)] {
        let id = cluster.cli(&["submit", "true"]).success().lines()[0].to_owned();
        let wait = cluster.cli_start(&["wait", &id]);
        assert!(cluster.tree().delete(&format!("/tasks/{id}")));
        cluster.tree().create(&format!("/status/{id}"), words);
        let output = wait.finish(SOON).code(code);
        assert!(output.stdout.starts_with(&id), "{output:#?}");
    }
    let details = r#"{"bellwether":1,"task":"plain","outcome":"failed","exit":3,"attempt":1,"worker":"w","ended":"2026-01-01T00:00:00Z",
        "stderr":{"tail":"no such thing\n","encoding":"utf-8","bytes":14,"truncated":false}}"#;
    cluster.tree().create("/bellwether/results/plain", details);
    cluster.tree().create("/status/plain", "failed exit=3");
    let output = cluster.cli(&["wait", "plain"]).code(3);
    assert!(output.stderr.contains("  no such thing\nsee more with: bellwether result plain"), "{output:#?}");
    assert_eq!(cluster.cli(&["result", "plain", "-o", "json"]).success().json()["worker"], "w");
}

#[test]
fn a_task_is_found_wherever_it_lies() {
    let cluster = Cluster::builder().unaudited(&[Promise::P2, Promise::P3, Promise::P5]).start();
    let id = cluster.cli(&["submit", "-l", "job=a", "--", "sleep", "1"]).success().lines()[0].to_owned();
    let tree = cluster.tree();
    let payload = tree.get(&format!("/tasks/{id}")).expect("the task");
    assert!(tree.delete(&format!("/tasks/{id}")));
    tree.create("/assign/w9", "");
    tree.create(&format!("/assign/w9/{id}"), &payload);
    let status = cluster.cli(&["status", &id, "-o", "json"]).success().json();
    assert_eq!((&status["state"], &status["worker"], &status["command"]), (&"assigned".into(), &"w9".into(), &"sleep 1".into()));
    let ended = cluster.cli(&["result", &id]).code(125);
    assert!(
        ended.stderr.contains(&format!("{id} has not ended: it is assigned to w9; wait for it with: bellwether wait {id}")),
        "{ended:#?}"
    );
    assert!(tree.delete(&format!("/assign/w9/{id}")));
    tree.create(&format!("/bellwether/held/{id}"), &payload);
    assert_eq!(cluster.cli(&["list", "-l", "job=a", "-o", "json"]).success().json()["tasks"][0]["state"], "held");
    assert_eq!(cluster.cli(&["list", "-l", "job=b", "-o", "name"]).success().stdout, "");
}

#[test]
fn a_wish_to_cancel_says_who_and_why() {
    let cluster = played();
    let id = cluster.cli(&["submit", "true"]).success().lines()[0].to_owned();
    let cancelled = cluster.cli(&["cancel", &id, "--reason", "wrong input"]).success();
    assert_eq!(cancelled.lines(), [&id]);
    let mark: serde_json::Value =
        serde_json::from_str(&cluster.tree().text(&format!("/bellwether/cancel/{id}")).expect("a mark")).expect("JSON");
    assert_eq!(mark["reason"], "wrong input");
    assert!(mark["by"].as_str().is_some_and(|by| by.contains('@')), "{mark}");
    assert_eq!(cluster.cli(&["status", &id, "-o", "json"]).success().json()["cancelling"], true);
    let again = cluster.cli(&["cancel", &id, "-o", "json"]).success().json();
    assert_eq!((&again["tasks"][0]["task"], &again["tasks"][0]["cancel"]), (&id.as_str().into(), &"asked".into()));
    assert!(cluster.tree().delete(&format!("/tasks/{id}")));
    cluster.tree().create(&format!("/status/{id}"), "done");
    let late = cluster.cli(&["cancel", &id]).success();
    assert!(late.stderr.contains("had ended already: succeeded"), "{late:#?}");
}

#[test]
fn whoever_waits_is_told_why_nothing_happens() {
    let cluster = played();
    let run = cluster.cli_start(&["run", "--", "true"]);
    eventually(SOON, "a hint", || run.stderr().contains("nobody rules: task-"));
    let tasks = eventually(SOON, "the task", || is(cluster.tree().children("/tasks").len(), &1).map(|_| cluster.tree().children("/tasks")));
    assert!(cluster.tree().delete(&format!("/tasks/{}", tasks[0])));
    cluster.tree().create(&format!("/status/{}", tasks[0]), "done");
    assert_eq!(run.finish(SOON).code, 0);

    cluster.tree().create_ephemeral("/master", "somebody");
    let run = cluster.cli_start(&["run", "--", "true"]);
    eventually(SOON, "a hint", || run.stderr().contains("no worker is registered: task-"));
}
