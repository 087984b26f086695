//! Tasks that fail and are tried again, and tasks that are to run later: across masters, lost replies and cancellations.

use std::time::Duration;

use bellwether_tests::history::Step;
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually, is};

use crate::faults::{becomes, metric, worker};

const RETRIES: &str = "bellwether_task_retries_total";

/// Fails until its attempt has this number.
fn until_attempt(number: u32) -> String {
    format!("echo $BELLWETHER_ATTEMPT >> runs; [ $BELLWETHER_ATTEMPT -ge {number} ]")
}

fn submit(cluster: &Cluster, options: &[&str], line: &str) -> String {
    let line = format!("cd {}; {line}", cluster.dir().display());
    let arguments = [&["submit"], options, &["--", "sh", "-c", &line]].concat();
    cluster.cli(&arguments).success().lines()[0].to_owned()
}

fn result(cluster: &Cluster, task: &str) -> serde_json::Value {
    let status = eventually(SOON, &format!("the status of {task}"), || cluster.tree().get(&format!("/status/{task}")));
    serde_json::from_slice(&status).expect("JSON")
}

/// How long a task rested, each time, from ZooKeeper's log; in milliseconds.
fn rests(cluster: &Cluster, task: &str) -> Vec<i64> {
    let history = cluster.history();
    let steps = &history.tasks[task];
    let pairs = steps.windows(2).filter(|pair| pair[0].1 == Step::Held && matches!(pair[1].1, Step::Assigned(_)));
    pairs.map(|pair| pair[1].0.time_ms - pair[0].0.time_ms).collect()
}

#[test]
fn a_task_that_fails_is_tried_again_until_it_succeeds() {
    let cluster = Cluster::new();
    let (coordinator, worker) = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    let task = submit(&cluster, &["--retries", "5", "--retry-backoff", "100ms..200ms"], &until_attempt(3));
    let result = result(&cluster, &task);
    assert_eq!((&result["outcome"], &result["attempt"]), (&"succeeded".into(), &3.into()), "{result}");
    let whys: Vec<_> = result["attempts"].as_array().expect("attempts").iter().map(|attempt| attempt["why"].clone()).collect();
    assert_eq!(whys, ["exit=1", "exit=1", "exit=0"]);
    assert_eq!(cluster.lines("runs"), ["1", "2", "3"]);
    let rests = rests(&cluster, &task);
    assert!(rests.len() == 2 && rests.iter().all(|rest| *rest >= 100), "it rested for {rests:?} ms");
    becomes(&worker, RETRIES, &[("reason", "exit")], 2.0);
    becomes(&coordinator, "bellwether_tasks", &[("state", "held")], 0.0);
    assert_eq!(cluster.tree().children("/bellwether/dead"), Vec::<String>::new());
}

#[test]
fn a_retry_outlives_the_master_that_saw_the_failure() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 1);
    let task = submit(&cluster, &["--retries", "1", "--retry-backoff", "3s"], &until_attempt(2));
    let held = format!("/bellwether/held/{task}");
    eventually(SOON, "it rests", || cluster.tree().exists(&held));
    let ruler = cluster.ruler();
    let master = coordinators.iter().find(|c| c.name() == ruler).expect("one of ours");
    eventually(SOON, "the master knows", || is(metric(master, "bellwether_tasks", &[("state", "held")]), &Some(1.0)));
    master.kill9();
    let _ = cluster.ruler_after(&ruler);
    assert_eq!(result(&cluster, &task)["outcome"], "succeeded");
    let rests = rests(&cluster, &task);
    assert!(rests.len() == 1 && rests[0] >= 3_000, "it rested for {rests:?} ms, asked were 3000");
    assert!(rests[0] < 3_000 + 10_000, "the delay does not begin anew with each master for ever: {rests:?}");
}

#[test]
fn a_task_waits_for_its_time_by_zookeepers_clock() {
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let delayed = submit(&cluster, &["--delay", "1500ms"], "true");
    let status = cluster.cli(&["status", &delayed, "-o", "json"]).success().json();
    assert!(status["state"] == "held" && status["not_before"].is_string(), "{status}");
    let list = cluster.cli(&["list", "--state", "held", "-o", "name"]).success();
    assert_eq!(list.lines(), [delayed.as_str()]);
    let now = bellwether_common::clock::wall();
    let at = now.checked_add(Duration::from_secs(3)).expect("a time");
    let timed = submit(&cluster, &["--at", &at.to_string()], "true");
    for task in [&delayed, &timed] {
        assert_eq!(result(&cluster, task)["attempt"], 1);
    }
    assert!(rests(&cluster, &delayed)[0] >= 1_500);
    let history = cluster.history();
    let assigned = history.tasks[&timed].iter().find(|(_, step)| matches!(step, Step::Assigned(_))).expect("it ran").0;
    assert!(assigned.time_ms >= at.as_millisecond(), "assigned at {} although it was to wait for {at}", assigned.time_ms);
}

#[test]
fn a_task_is_cancelled_where_it_rests_also_after_a_failover() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let tasks = [submit(&cluster, &["--delay", "1h"], "true"), submit(&cluster, &["--delay", "1h"], "true")];
    let _ = cluster.cli(&["cancel", &tasks[0], "--reason", "enough"]).success();
    assert_eq!(result(&cluster, &tasks[0])["outcome"], "cancelled");
    let ruler = cluster.ruler();
    coordinators.iter().find(|c| c.name() == ruler).expect("one of ours").kill9();
    let _ = cluster.cli(&["cancel", &tasks[1]]).success();
    let result = result(&cluster, &tasks[1]);
    assert_eq!((&result["outcome"], &result["attempt"]), (&"cancelled".into(), &0.into()));
    assert_eq!(cluster.tree().children("/bellwether/held"), Vec::<String>::new());
    assert_eq!(cluster.tree().children("/bellwether/cancel"), Vec::<String>::new());
}

#[test]
fn a_plain_task_is_tried_again_as_its_worker_is_told_and_answered_in_its_dialect() {
    let cluster = Cluster::builder().setting("task.retries", "1").setting("task.backoff", "\"100ms\"").start();
    let (_coordinator, worker) = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    let failing = cluster.put("exit 3");
    assert_eq!(cluster.status_of(&failing), "failed exit=3");
    let details = cluster.tree().text(&format!("/bellwether/results/{failing}")).expect("details");
    assert!(details.contains("\"attempt\":2"), "{details}");
    assert!(cluster.tree().exists(&format!("/bellwether/dead/{failing}")), "its retries are spent");
    let better = cluster.put(&format!("cd {}; {}", cluster.dir().display(), until_attempt(2)));
    assert_eq!(cluster.status_of(&better), "done");
    becomes(&worker, "bellwether_task_dead_letters_total", &[], 1.0);
}

#[test]
fn a_lost_reply_of_a_worker_that_lays_a_task_to_rest_costs_no_attempt() {
    for fault in [Fault::LoseReply, Fault::LoseRequest] {
        let cluster = Cluster::new();
        let _coordinator = cluster.coordinator("c1");
        let proxy = cluster.proxy();
        let worker = worker(&cluster, "w1", 1, &proxy);
        let resting = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/bellwether/held/").then(fault));
        let task = submit(&cluster, &["--retries", "2", "--retry-backoff", "100ms"], &until_attempt(2));
        resting.strikes(1);
        let result = result(&cluster, &task);
        assert_eq!((&result["outcome"], &result["attempt"]), (&"succeeded".into(), &2.into()), "{fault:?}: {result}");
        assert_eq!(cluster.lines("runs"), ["1", "2"], "{fault:?}");
        assert!(metric(&worker, RETRIES, &[("reason", "exit")]).is_some_and(|retries| retries <= 1.0));
    }
}

#[test]
fn a_drained_worker_leaves_a_resting_task_to_others() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let task = submit(&cluster, &["--retries", "1", "--retry-backoff", "1s"], &until_attempt(2));
    eventually(SOON, "it rests", || cluster.tree().exists(&format!("/bellwether/held/{task}")));
    assert_eq!(worker.terminate(SOON), 0);
    let _next = cluster.worker("w2", 1);
    let result = result(&cluster, &task);
    assert!(result["outcome"] == "succeeded" && result["worker"].as_str().is_some_and(|worker| worker.starts_with("w2-")), "{result}");
}
