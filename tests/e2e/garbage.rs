//! Garbage, foreign names and what lies where nothing should: rejected, served or passed over, and no storm.

use std::path::Path;

use bellwether_core::protocol::Multi;
use bellwether_tests::history::Promise;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Builder, Cluster, Scenario, eventually, is};

use crate::faults::{becomes, let_go, metric, put_running};

/// Beliefs are compared with ZooKeeper every second.
fn comparing() -> Builder {
    Cluster::builder().setting("coordinator.reconcile_interval", "\"1s\"")
}

#[test]
fn the_largest_payload_that_zookeeper_takes_is_rejected_and_disturbs_nobody() {
    let scenario = Scenario::of("F21");
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let (running, _) = put_running(&cluster);
    let line = format!("true {}", "x".repeat(1_040_000));
    let deep = |depth: usize| format!("{{\"bellwether\":1,\"argv\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let tasks = [
        (cluster.put(&line), "too-large"),
        (cluster.put(&deep(200_000)), "bad-envelope"),
        (cluster.put(&deep(200)), "bad-envelope"),
        (cluster.put(""), "empty"),
    ];
    for (task, word) in &tasks {
        assert_eq!(cluster.status_of(task), format!("failed rejected: {word}"));
        assert!(!cluster.tree().exists(&format!("/tasks/{task}")));
    }
    becomes(&coordinator, "bellwether_tasks_ended_total", &[("result", "rejected")], 4.0);
    let lost = ("event", "suspended");
    for service in [&coordinator, &worker] {
        assert_eq!(metric(service, "bellwether_zk_session_events_total", &[lost]), Some(0.0), "{} kept its connection", service.name());
    }
    let_go(&cluster);
    assert_eq!(cluster.status_of(&running), "done");
    scenario.saw("1 line of 1.04 MB, JSON 200,000 deep, 0 bytes: rejected by name; no connection was lost");
}

#[test]
fn garbage_in_the_box_of_a_worker_is_rejected_by_it() {
    let scenario = Scenario::of("F22");
    let cluster = Cluster::builder().unaudited(&[Promise::P2, Promise::P3, Promise::P5]).start();
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let me = cluster.registered("w1");
    let large = vec![b'x'; 600 * 1024];
    let cases: [(&str, &[u8], &str); 4] = [
        ("bytes", b"\xff\xfe", "failed rejected: not-utf8"),
        ("nothing", b"", "failed rejected: empty"),
        ("nul", b"echo \0", "failed rejected: nul-byte"),
        ("large", &large, "failed rejected: argument-too-long"),
    ];
    for (name, data, _) in cases {
        cluster.tree().create(&format!("/assign/{me}/{name}"), data);
    }
    for (name, _, status) in cases {
        assert_eq!(cluster.status_of(name), status);
    }
    eventually(SOON, "its box is empty", || is(cluster.assigned_to(&me).len(), &0));
    becomes(&worker, "bellwether_tasks_completed_total", &[("result", "rejected")], 4.0);
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    scenario.saw("4 assignments of garbage: rejected by their worker, counted, its box is empty");
}

#[test]
fn workers_that_belong_to_no_session_are_told_once_and_given_nothing() {
    let scenario = Scenario::of("F22");
    let cluster = comparing().start();
    let coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    cluster.tree().create("/workers/parent", "Idle");
    cluster.tree().create("/workers/parent/child", "");
    cluster.tree().create("/workers/impostor", r#"{"bellwether":1,"name":"i","host":"h","pid":1,"slots":9,"http":"","version":"1"}"#);
    cluster.tree().create_all("/assign/impostor");
    let task = cluster.put("true");
    let told = || coordinator.log().matches("worker is given no work").count();
    eventually(SOON, "both are told", || is(told(), &2));
    let compared = || metric(&coordinator, "bellwether_resyncs_total", &[("cause", "periodic")]).unwrap_or_default();
    let begun = compared();
    eventually(SOON, "three comparisons", || compared() >= begun + 3.0);
    assert_eq!(told(), 2, "each is told once");
    assert!(cluster.assigned_to("impostor").is_empty() && cluster.tree().exists(&format!("/tasks/{task}")));
    let _worker = cluster.worker("w1", 1);
    assert_eq!(cluster.status_of(&task), "done");
    scenario.saw("2 registrations without a session, one with a child: told once each, given nothing");
}

#[test]
fn an_office_that_belongs_to_no_session_is_reported_and_taken_when_it_is_gone() {
    let scenario = Scenario::of("F22");
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 1);
    let _ = cluster.ruler();
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    for coordinator in &coordinators {
        // Who finds such an office when it starts refuses to: both have looked by now.
        eventually(SOON, "it knows its role", || coordinator.get("/health/ready").is_ok_and(|(code, _)| code == 200));
    }
    cluster.tree().commit(&Multi::new().delete("/master", None).create("/master", "somebody"));
    for coordinator in &coordinators {
        eventually(SOON, "it says so", || coordinator.log().contains("the office belongs to no session"));
        eventually(SOON, "it is not ready", || coordinator.get("/health/ready").is_ok_and(|(code, _)| code == 503));
        assert!(coordinator.is_running(), "it stands by");
        assert_eq!(metric(coordinator, "bellwether_master_is_active", &[]), Some(0.0));
    }
    let task = cluster.put("true");
    let late = cluster.coordinator("c3");
    assert_eq!(late.exit_code(SOON), 78, "whoever starts now refuses to");
    assert!(cluster.tree().exists(&format!("/tasks/{task}")));
    assert!(cluster.tree().delete("/master"));
    assert_eq!(cluster.status_of(&task), "done");
    scenario.saw("a persistent /master under live services: nobody rules, all say so and are not ready; taken when it was deleted");
}

#[test]
fn foreign_names_are_served_and_none_escapes_into_the_file_system() {
    let scenario = Scenario::of("F23");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 4);
    let _ = cluster.registered("w1");
    // ZooKeeper takes no characters beyond the basic plane.
    let long = "\u{2603}".repeat(66);
    let names = [".hidden", "...", "-rf *", "a%2F..%2Fb", "$(touch owned)", "~", "CON", "two\\words", "bell\u{00e9}", &long, "\"quoted\""];
    cluster.tree().create_all("/tasks");
    for name in names {
        cluster.tree().create(&format!("/tasks/{name}"), "echo \"$BELLWETHER_TASK\" >> names; echo out");
    }
    for name in names {
        assert_eq!(cluster.status_of(name), "done", "{name}");
    }
    let mut ran = cluster.lines("names");
    ran.sort_unstable();
    let mut expected = names.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(ran, expected, "each finds its own name in its environment");
    let output = cluster.dir().join("w1-output");
    assert!(!cluster.dir().join("owned").exists() && !cluster.dir().join("b").exists());
    let harmless = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.len() <= 255 && !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-%".contains(&b))
    };
    let made: Vec<_> = std::fs::read_dir(&output).expect("its output").map(|entry| entry.expect("an entry").path()).collect();
    assert!(made.len() >= names.len() && made.iter().all(|path| harmless(path)), "{made:?}");
    scenario.saw(format!("{} foreign names served, each in a harmless directory of its own", names.len()));
}

#[test]
fn what_somebody_puts_below_an_assignment_delays_its_result_and_loses_nothing() {
    let scenario = Scenario::of("F23");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 2);
    let (task, attempt) = put_running(&cluster);
    let child = format!("/assign/{}/{task}/child", attempt.worker);
    cluster.tree().create(&child, "");
    let_go(&cluster);
    eventually(SOON, "the worker says so", || worker.log().contains("not empty"));
    assert_eq!(cluster.status_of(&cluster.put("true")), "done", "its slot is free");
    assert!(!cluster.tree().exists(&format!("/status/{task}")));
    assert!(cluster.tree().delete(&child));
    assert_eq!(cluster.status_of(&task), "done");
    assert_eq!(cluster.lines("runs").len(), 1, "it ran once");
    assert_eq!(worker.log().matches("not empty").count(), 1, "told once");
    scenario.saw("a child below an assignment: told once, the result recorded when it was gone, one run");
}

#[test]
fn parents_that_are_deleted_by_hand_are_made_anew_and_nothing_is_lost() {
    let scenario = Scenario::of("F23");
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let (task, _) = put_running(&cluster);
    for parent in ["/status", "/bellwether/results", "/bellwether/cancel", "/tasks", "/bellwether/held"] {
        assert!(cluster.tree().delete_all(parent), "{parent}");
    }
    let_go(&cluster);
    assert_eq!(cluster.status_of(&task), "done");
    let id = cluster.cli(&["submit", "--", "true"]).success().lines()[0].to_owned();
    assert_eq!(cluster.cli(&["wait", &id]).code, 0);
    for parent in ["/tasks", "/bellwether/cancel", "/bellwether/held"] {
        assert!(coordinator.log().contains(&format!("node=\"{parent}\"")), "{parent} is named in the log");
    }
    assert_eq!(cluster.history().assignments(&task), 1);
    scenario.saw("5 parents deleted under a running task: made anew, its result recorded, one run");
}
