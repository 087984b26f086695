//! What anybody may put into the tree: garbage is rejected or ignored, and never stops the master.

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Scenario, eventually};

#[test]
fn malformed_tasks_are_rejected_by_name_and_the_others_go_on() {
    let _scenario = Scenario::of("F21");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 2);
    let _ = cluster.registered("w1");
    let put = |data: &[u8]| {
        cluster.tree().create_all("/tasks");
        let path = cluster.tree().create_sequential("/tasks/task-", data);
        path.rsplit('/').next().map(str::to_owned).unwrap_or_default()
    };
    let cases: Vec<(String, &str)> = vec![
        (put(b""), "failed rejected: empty"),
        (put(b"   \n"), "failed rejected: empty"),
        (put(b"\xff\xfe"), "failed rejected: not-utf8"),
        (put(b"echo \0"), "failed rejected: nul-byte"),
        (put(b"[1, 2]"), "failed rejected: not-argv"),
        (put("[".repeat(5000).as_bytes()), "failed rejected: not-argv"),
        (put(br#"{"bellwether":1,"argv":["a"],"no-such-key":1}"#), "failed rejected: bad-envelope"),
        (put(br#"{"bellwether":99}"#), "failed rejected: newer-version"),
        (put(&vec![b'x'; 600 * 1024]), "failed rejected: too-large"),
        (put(&vec![b'x'; 200 * 1024]), "failed rejected: argument-too-long"),
    ];
    for (task, expected) in &cases {
        assert_eq!(cluster.status_of(task), *expected);
        let details = cluster.tree().text(&format!("/bellwether/results/{task}")).expect("details for people");
        assert!(details.contains("\"outcome\":\"rejected\""), "{details}");
    }
    assert_eq!(cluster.status_of(&put(br#"["sh", "-c", "exit 4"]"#)), "failed exit=4");
    assert_eq!(cluster.status_of(&put(b"kill -9 $$")), "failed signal=9");
    assert_eq!(cluster.tree().children("/tasks").len(), 0);
}

#[test]
fn garbage_among_workers_and_assignments_is_given_nothing() {
    let _scenario = Scenario::of("F22");
    let _also = Scenario::of("F23");
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    cluster.tree().create("/workers/impostor", "{\"bellwether\":1,\"slots\":100}");
    cluster.tree().create("/assign/impostor", "");
    cluster.tree().create("/assign/nobody", "");
    cluster.tree().create("/tasks/foo", "true");
    cluster.tree().create(&format!("/tasks/{}", "n".repeat(200)), "true");
    cluster.tree().create("/tasks/\u{2603}", "true");
    let task = cluster.put("true");
    let _worker = cluster.worker("w1", 1);
    for task in [task.as_str(), "foo", &"n".repeat(200), "\u{2603}"] {
        assert_eq!(cluster.status_of(task), "done");
    }
    assert_eq!(cluster.assigned_to("impostor"), Vec::<String>::new());
    assert!(coordinator.is_running());
}

#[test]
fn an_assignment_that_is_deleted_stops_its_task() {
    let _scenario = Scenario::of("F35");
    let cluster = Cluster::builder().unaudited(&[bellwether_tests::history::Promise::P3]).start();
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let task = cluster.put("sleep 60");
    let assignee = cluster.assignee(&task);
    eventually(SOON, "it runs", || worker.metrics().is_ok_and(|metrics| metrics.value("bellwether_worker_slots_in_use", &[]) == 1.0));
    cluster.tree().delete(&format!("/assign/{assignee}/{task}"));
    eventually(SOON, "its slot is free", || {
        worker.metrics().is_ok_and(|metrics| metrics.value("bellwether_worker_slots_in_use", &[]) == 0.0)
    });
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
}
