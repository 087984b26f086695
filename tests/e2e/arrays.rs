//! Arrays: tasks of many elements, given out in pieces. Whoever dies between, each element ends once; the audit looks at every transaction.

use bellwether_core::protocol::array::{PieceRecord, decode_results};
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::faults::{coordinator, worker};

fn submit(cluster: &Cluster, name: &str, envelope: &Value) -> String {
    let _ = cluster.ruler();
    cluster.tree().create(&format!("/tasks/{name}"), envelope.to_string());
    name.to_owned()
}

/// Appends its number to a file.
fn numbered(count: u32) -> Value {
    json!({"bellwether": 1, "shell": "echo $BELLWETHER_ELEMENT >> elements", "array": {"count": count}})
}

fn result(cluster: &Cluster, array: &str) -> Value {
    serde_json::from_str(&cluster.status_of(array)).expect("a JSON result")
}

/// It succeeded, each element is counted once, and nothing of it is out any more.
#[track_caller]
fn succeeded(cluster: &Cluster, array: &str, count: u32) -> Value {
    let result = result(cluster, array);
    assert_eq!((&result["outcome"], &result["array"]["succeeded"]), (&"succeeded".into(), &count.into()), "{result}");
    let children = cluster.tree().children(&format!("/bellwether/arrays/{array}"));
    assert!(children.iter().all(|child| child.starts_with("results-")), "{children:?}");
    assert_eq!(cluster.history().violations, []);
    result
}

fn elements(cluster: &Cluster) -> Vec<u32> {
    let mut numbers: Vec<u32> = cluster.lines("elements").iter().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn arrays_of_one_of_ten_and_of_a_hundred_thousand_run_each_element_once_beside_a_plain_task() {
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let many = submit(&cluster, "many", &json!({"bellwether": 1, "kind": "noop", "array": {"count": 100_000, "first": 7}}));
    let one = submit(&cluster, "one", &json!({"bellwether": 1, "argv": ["true"], "array": {"count": 1}}));
    let ten = submit(&cluster, "ten", &numbered(10));
    assert_eq!(cluster.status_of(&cluster.put("true")), "done", "it does not wait behind all of them");
    let result = succeeded(&cluster, &many, 100_000);
    assert!(result["array"]["results"].as_u64() < Some(40), "compact: {result}");
    succeeded(&cluster, &one, 1);
    succeeded(&cluster, &ten, 10);
    assert_eq!(elements(&cluster), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_fails_is_tried_again_alone_and_said_in_the_end() {
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let lines = ["exit 0", "test -e tried || { touch tried; exit 3; }", "echo why >&2; exit 4", "true"];
    cluster.tree().create_all("/bellwether/arrays/lined/lines");
    cluster.tree().create("/bellwether/arrays/lined/lines/0", json!(lines[..3]).to_string());
    cluster.tree().create("/bellwether/arrays/lined/lines/3", json!(lines[3..]).to_string());
    let array = json!({"count": 4, "lines": {"chunks": [0, 3]}});
    let shell = "eval \"$BELLWETHER_LINE\"";
    let lined = submit(&cluster, "lined", &json!({"bellwether": 1, "shell": shell, "retries": 1, "backoff_ms": 10, "array": array}));
    let said = result(&cluster, &lined);
    assert_eq!((&said["outcome"], &said["exit"]), (&"failed".into(), &1.into()), "{said}");
    let summary = &said["array"];
    assert_eq!((&summary["succeeded"], &summary["failed"], &summary["retried"]), (&3.into(), &1.into(), &2.into()), "{said}");
    assert_eq!(summary["failures"], json!([[2, 2]]));
    let records = cluster.tree().text("/bellwether/arrays/lined/results-0").expect("results");
    assert!(records.contains(r#""tail":"why\n""#), "{records}");
}

#[test]
fn an_array_is_cancelled_with_what_runs_of_it_and_gives_up_when_too_much_fails() {
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let slow = submit(&cluster, "slow", &json!({"bellwether": 1, "shell": "echo x >> begun; sleep 1000", "array": {"count": 1000}}));
    eventually(SOON, "two run", || cluster.lines("begun").len() == 2);
    cluster.tree().create(&format!("/bellwether/cancel/{slow}"), r#"{"reason":"enough"}"#);
    let said = result(&cluster, &slow);
    assert_eq!((&said["outcome"], &said["reason"], &said["array"]["cancelled"]), (&"cancelled".into(), &"enough".into(), &1000.into()));
    assert_eq!(cluster.status_of(&cluster.put("true")), "done", "its slots are free");
    let bad = submit(&cluster, "bad", &json!({"bellwether": 1, "argv": ["false"], "array": {"count": 500, "max_fails": 3}}));
    let said = result(&cluster, &bad);
    assert_eq!(said["outcome"], "failed");
    assert!(said["array"]["cancelled"].as_u64() > Some(0), "{said}");
    assert_eq!(cluster.tree().children("/bellwether/cancel"), Vec::<String>::new());
}

#[test]
fn a_worker_and_the_master_are_killed_in_the_midst_of_an_array() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let workers = [cluster.worker("w1", 2), cluster.worker("w2", 2)];
    let shell = "sleep 0.02; echo $BELLWETHER_ELEMENT >> elements";
    let array = submit(&cluster, "a", &json!({"bellwether": 1, "shell": shell, "array": {"count": 300}}));
    let begun = |least: usize| eventually(SOON, "elements ran", || cluster.lines("elements").len() >= least);
    begun(20);
    workers[0].kill9();
    begun(60);
    let ruler = cluster.ruler();
    coordinators.iter().find(|coordinator| coordinator.name() == ruler).expect("one of ours").kill9();
    succeeded(&cluster, &array, 300);
    let mut ran = elements(&cluster);
    ran.dedup();
    assert_eq!(ran, (0..300).collect::<Vec<_>>());
}

/// Something goes wrong on the way between somebody and ZooKeeper; the array ends all the same.
fn survives(between: fn(&Cluster) -> (Vec<Process>, bellwether_tests::Proxy), rule: Rule) {
    let cluster = Cluster::new();
    let (_services, proxy) = between(&cluster);
    let _ = cluster.registered("w1");
    let hits = proxy.rule(rule);
    let shell = "sleep 0.01; echo $BELLWETHER_ELEMENT >> elements";
    let array = submit(&cluster, "a", &json!({"bellwether": 1, "shell": shell, "array": {"count": 60}}));
    hits.strikes(1);
    succeeded(&cluster, &array, 60);
}

fn before_the_master(cluster: &Cluster) -> (Vec<Process>, bellwether_tests::Proxy) {
    let proxy = cluster.proxy();
    (vec![coordinator(cluster, "c1", &proxy), cluster.worker("w1", 2)], proxy)
}

fn before_the_worker(cluster: &Cluster) -> (Vec<Process>, bellwether_tests::Proxy) {
    let proxy = cluster.proxy();
    (vec![cluster.coordinator("c1"), worker(cluster, "w1", 2, &proxy)], proxy)
}

#[test]
fn the_masters_writes_about_an_array_are_lost_or_their_replies_or_its_session() {
    let todo = |fault| Rule::on(Operation::Multi).with(Operation::SetData, "/bellwether/arrays/a/todo").nth(2).then(fault);
    for fault in [Fault::LoseRequest, Fault::LoseReply, Fault::ExpireSession] {
        survives(before_the_master, todo(fault));
    }
}

#[test]
fn a_workers_record_is_lost_or_its_reply_or_its_session() {
    let record = |fault| Rule::on(Operation::Multi).with(Operation::Create, "/bellwether/arrays/a/").nth(2).then(fault);
    for fault in [Fault::LoseRequest, Fault::LoseReply, Fault::ExpireSession] {
        survives(before_the_worker, record(fault));
    }
}

#[test]
fn a_drained_worker_hands_back_what_it_has_not_run() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let first = cluster.worker("w1", 2);
    let shell = "sleep 0.05; echo $BELLWETHER_ELEMENT >> elements";
    let array = submit(&cluster, "a", &json!({"bellwether": 1, "shell": shell, "array": {"count": 120}}));
    eventually(SOON, "some ran", || cluster.lines("elements").len() >= 5);
    first.signal(Signal::SIGTERM);
    let _second = cluster.worker("w2", 4);
    succeeded(&cluster, &array, 120);
    assert_eq!(elements(&cluster), (0..120).collect::<Vec<_>>(), "and nothing ran twice");
}

#[test]
fn an_array_of_which_nothing_ran_in_time_ends_as_timed_out() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let late = submit(&cluster, "late", &json!({"bellwether": 1, "argv": ["true"], "queue_timeout_ms": 300, "array": {"count": 7}}));
    let said = result(&cluster, &late);
    assert_eq!((&said["outcome"], &said["array"]["cancelled"]), (&"timed-out".into(), &7.into()), "{said}");
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("longer than it may")), "{said}");
    let todo = format!("/bellwether/arrays/{late}/todo");
    assert!(!cluster.tree().exists(&todo));
}

#[test]
fn of_what_costs_its_workers_only_the_guilty_element_is_convicted() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let shell = "test $BELLWETHER_ELEMENT != 7 || { kill -9 $PPID; sleep 1000; }; echo $BELLWETHER_ELEMENT >> elements";
    let array = json!({"bellwether": 1, "shell": shell, "max_worker_losses": 2, "array": {"count": 20}});
    let array = submit(&cluster, "a", &array);
    let mut workers = vec![cluster.worker("w1", 1)];
    for next in ["w2", "w3"] {
        eventually(SOON, "the worker is killed", || workers.iter().all(|worker| !worker.is_running()));
        workers.push(cluster.worker(next, 1));
    }
    let said = result(&cluster, &array);
    let summary = &said["array"];
    assert_eq!((&said["outcome"], &summary["succeeded"], &summary["dead"]), (&"failed".into(), &19.into(), &1.into()), "{said}");
    assert_eq!(summary["failures"], json!([[7, 7]]));
    let mut ran = elements(&cluster);
    ran.dedup();
    assert_eq!(ran, (0..20).filter(|element| *element != 7).collect::<Vec<_>>());
    assert_eq!(cluster.history().violations, []);
}

#[test]
fn the_last_pieces_are_small_so_that_no_worker_is_left_with_the_tail() {
    let cluster = Cluster::new();
    let _services = (cluster.coordinator("c1"), cluster.worker("w1", 1), cluster.worker("w2", 1));
    let _ = (cluster.registered("w1"), cluster.registered("w2"));
    let array = submit(&cluster, "a", &json!({"bellwether": 1, "argv": ["sleep", "0.01"], "array": {"count": 200}}));
    succeeded(&cluster, &array, 200);
    let records = cluster.tree().text("/bellwether/arrays/a/results-0").expect("results");
    let mut records = decode_results(records.as_bytes());
    records.sort_by_key(|record| record.started);
    let sizes: Vec<u32> = records.iter().map(PieceRecord::done).collect();
    assert!(sizes.iter().max() >= Some(&8), "large ones come first: {sizes:?}");
    assert!(sizes.iter().rev().take(3).all(|size| *size <= 2), "the last ones are small: {sizes:?}");
}

#[test]
fn a_worker_with_a_list_of_commands_keeps_to_it_in_every_piece() {
    let cluster = Cluster::new();
    let settings = [("worker.exec", "\"allowlist\""), ("worker.allow.say", "\"/bin/echo {int:1..9}\"")];
    let _services = (cluster.coordinator("c1"), cluster.worker_with("w1", 2, &settings));
    let mark = cluster.dir().join("mark");
    let array = |argv: &[&str]| json!({"bellwether": 1, "argv": argv, "array": {"count": 40}});
    let listed = submit(&cluster, "listed", &array(&["say", "7"]));
    succeeded(&cluster, &listed, 40);
    for (name, argv) in [("other", &["/usr/bin/touch", mark.to_str().expect("a path")][..]), ("value", &["say", "10"])] {
        let said = result(&cluster, &submit(&cluster, name, &array(argv)));
        assert_eq!((&said["outcome"], &said["array"]["rejected"]), (&"failed".into(), &40.into()), "{said}");
    }
    let line = submit(&cluster, "line", &json!({"bellwether": 1, "shell": format!("touch {}", mark.display()), "array": {"count": 3}}));
    assert_eq!(result(&cluster, &line)["array"]["rejected"], 3);
    assert!(!mark.exists(), "nothing of it was run");
}
