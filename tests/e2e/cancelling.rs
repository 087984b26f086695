//! A wish to cancel, made of a task wherever it is, while somebody rules or nobody does, once or twice: one result, and nothing runs on.

use std::time::Duration;

use bellwether_tests::cancelling;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

use crate::faults::lives;

fn submit(cluster: &Cluster, options: &[&str]) -> String {
    let line = format!("echo $$ >> {}; sleep 60", cluster.dir().join("begun").display());
    let args = [&["submit"], options, &["--shell", "--", &line]].concat();
    cluster.cli(&args).code(0).stdout.trim().to_owned()
}

fn cancels(cluster: &Cluster, task: &str) -> String {
    cluster.cli(&["cancel", task, "--reason", "no longer needed"]).code(0).stderr
}

fn every_place(somebody_rules: bool) {
    let cluster = Cluster::builder().setting("coordinator.lookahead", "1").start();
    let master = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let worker = cluster.registered("w1");
    let running = submit(&cluster, &[]);
    eventually(SOON, "it runs", || cluster.lines("begun").len() == 1);
    let behind = submit(&cluster, &[]);
    eventually(SOON, "the second waits at the worker", || cluster.assigned_to(&worker).contains(&behind));
    let pending = submit(&cluster, &[]);
    let held = submit(&cluster, &["--delay", "1h"]);
    let tasks = [&running, &behind, &pending, &held];
    if !somebody_rules {
        master.kill9();
        eventually(SOON, "nobody rules", || !cluster.tree().exists("/master"));
    }
    // The last one first: what is cancelled behind it must not move up meanwhile.
    for task in tasks.iter().rev() {
        let _ = cancels(&cluster, task);
        let _ = cancels(&cluster, task);
    }
    let _next = (!somebody_rules).then(|| cluster.coordinator("c2"));
    for task in tasks {
        let status = cluster.status_of(task);
        assert!(status.contains("\"cancelled\"") && status.contains("no longer needed"), "{status}");
        assert!(cancels(&cluster, task).contains("had ended already: cancelled"), "{task}");
        let _ = cluster.cli(&["wait", task]).code(126);
    }
    eventually(SOON, "no mark is left", || cluster.tree().children("/bellwether/cancel").is_empty());
    let pids = cluster.lines("begun");
    assert_eq!(pids.len(), 1, "the others never ran");
    eventually(SOON, "its process is gone", || !lives(pids[0].parse().expect("a number")));
    assert_eq!(cluster.assigned_to(&worker), Vec::<String>::new());
}

#[test]
fn a_task_is_cancelled_wherever_it_is() {
    every_place(true);
}

#[test]
fn a_task_is_cancelled_wherever_it_was_when_nobody_ruled() {
    every_place(false);
}

/// Notes that it was told to end, and a second later that it has put things in order.
fn tidies(what: &str) -> String {
    format!(
        "trap 'echo told {what} >> begun; sleep 1; echo tidy {what} >> begun; exit 0' TERM; echo $$ >> begun; while :; do sleep 0.1; done"
    )
}

#[test]
fn what_is_cancelled_is_given_the_time_that_was_asked_for_it_and_no_more() {
    let cluster = Cluster::new();
    let _master = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 5);
    let _ = cluster.registered("w1");
    let file = cluster.dir().join("tasks.jsonl");
    std::fs::write(&file, serde_json::json!({"shell": tidies("group")}).to_string()).expect("a file");
    let group = cluster.cli(&["submit", "-f", &file.display().to_string()]).success().stdout.trim().to_owned();
    let envelope = cluster.cli(&["submit", "--shell", "--", &tidies("envelope")]).success().stdout.trim().to_owned();
    let plain = cluster.put(&tidies("plain"));
    let hurried = cluster.put(&tidies("hurried"));
    eventually(SOON, "they run", || cluster.lines("begun").len() == 4);
    let deaf = cluster.put("trap '' TERM; echo $$ >> deaf; while :; do sleep 0.1; done");
    let pid = eventually(SOON, "it runs", || cluster.lines("deaf").first().and_then(|pid| pid.parse().ok()));
    let begun = || cluster.lines("begun");

    let _ = cluster.cli(&["cancel", &deaf, "--grace", "4s"]).success();
    assert_eq!(cluster.status_of(&deaf), "failed cancelled");
    assert!(lives(pid), "its result is there before its end");
    for task in [&group, &envelope, &plain] {
        let _ = cluster.cli(&["cancel", task, "--grace", "30s"]).success();
    }
    let _ = cluster.cli(&["cancel", &hurried]).success();
    for what in ["group", "envelope", "plain"] {
        eventually(SOON, &format!("{what} is tidy"), || begun().contains(&format!("tidy {what}")));
        assert_eq!(begun().iter().filter(|line| **line == format!("told {what}")).count(), 1, "it is told once");
    }
    eventually(SOON, "the deaf one is killed", || !lives(pid));
    eventually(SOON, "nothing runs any more", || cluster.lines("begun").iter().filter_map(|pid| pid.parse().ok()).all(|pid| !lives(pid)));
    assert!(!begun().contains(&"tidy hurried".to_owned()), "who was given no time is killed at once");
    let result = cluster.cli(&["result", &envelope, "-o", "json"]).success().json();
    assert_eq!(result["grace_ms"], 30_000, "{result:#}");
}

#[test]
fn an_array_is_given_no_time_and_who_asks_for_it_is_told() {
    let cluster = Cluster::new();
    let array = cluster.cli(&["submit", "--count", "3", "--", "true"]).success().stdout.trim().to_owned();
    let refused = cluster.cli(&["cancel", &array, "--grace", "1s"]).code(125);
    assert!(refused.stderr.contains("cancel it without --grace"), "{refused:#?}");
    assert!(cluster.tree().children("/bellwether/cancel").is_empty());
}

#[test]
fn a_cancellation_reaches_a_running_process_at_once() {
    let mut took = cancelling::measure(9);
    took.sort_unstable();
    assert!(took[took.len() / 2] < Duration::from_millis(200), "{took:?}");
}
