//! Slots and resources, tasks that wait ahead of a slot, workers that drain, a paused master, and tasks that wait too long.

use std::time::Duration;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};

/// How often each task was begun, and where: every task of these tests writes that down.
fn begun(cluster: &Cluster) -> Vec<(String, String)> {
    let parse = |line: String| line.split_once(' ').map(|(task, worker)| (task.to_owned(), worker.to_owned()));
    cluster.lines("begun").into_iter().filter_map(parse).collect()
}

/// A shell line that writes its task and its worker down, and then takes so long.
fn line(cluster: &Cluster, seconds: f32) -> String {
    format!("echo $BELLWETHER_TASK $BELLWETHER_WORKER >> {}; sleep {seconds}", cluster.dir().join("begun").display())
}

fn submit(cluster: &Cluster, options: &[&str], seconds: f32) -> String {
    let line = line(cluster, seconds);
    let args = [&["submit"], options, &["--shell", "--", &line]].concat();
    cluster.cli(&args).code(0).stdout.trim().to_owned()
}

fn succeeded(cluster: &Cluster, task: &str) {
    assert!(cluster.status_of(task).contains("\"succeeded\""), "{task}: {}", cluster.status_of(task));
}

fn assigned(cluster: &Cluster, worker: &str) -> usize {
    cluster.tree().children(&format!("/assign/{worker}")).len()
}

/// Another one takes over, and the one before is gone.
fn replace_master(cluster: &Cluster, old: &Process, name: &str) -> Process {
    let next = cluster.coordinator(name);
    old.kill9();
    next
}

#[test]
fn a_wide_task_gets_its_slots_and_its_resources_although_narrow_ones_keep_coming() {
    let cluster = Cluster::new();
    let master = cluster.coordinator("c1");
    let _worker = cluster.worker_with("w1", 4, &[("worker.resources.gpu", "2")]);
    let _ = cluster.registered("w1");
    let narrow: Vec<String> = (0..6).map(|_| submit(&cluster, &[], 1.0)).collect();
    let wide = submit(&cluster, &["--slots", "4", "--resource", "gpu=2"], 0.1);
    let _next = replace_master(&cluster, &master, "c2");
    let later: Vec<String> = (0..12).map(|_| submit(&cluster, &[], 0.5)).collect();
    narrow.iter().chain([&wide]).chain(&later).for_each(|task| succeeded(&cluster, task));
    let order: Vec<String> = begun(&cluster).into_iter().map(|(task, _)| task).collect();
    let place = order.iter().position(|task| *task == wide).expect("it ran");
    assert!(order[place..].iter().filter(|task| later.contains(task)).count() >= 8, "it waited behind what came later: {order:?}");
    // What nobody can ever run waits, holds up nobody, and is no error.
    let never = submit(&cluster, &["--resource", "gpu=3"], 0.0);
    succeeded(&cluster, &submit(&cluster, &["--resource", "gpu=1"], 0.0));
    assert!(cluster.tree().exists(&format!("/tasks/{never}")));
    for (option, value) in [
        ("--slots", "0"),
        ("--slots", "-1"),
        ("--slots", "4097"),
        ("--resource", "gpu=0"),
        ("--resource", "gpu"),
        ("--queue-timeout", "0s"),
    ] {
        let refused = cluster.cli(&["submit", &format!("{option}={value}"), "true"]).code(2);
        assert!(refused.stderr.contains(option), "{}", refused.stderr);
    }
}

#[test]
fn work_that_waits_at_a_worker_moves_to_one_that_joins_and_nothing_runs_twice() {
    let cluster = Cluster::builder().setting("coordinator.lookahead", "2").start();
    let master = cluster.coordinator("c1");
    let _first = cluster.worker("w1", 1);
    let first = cluster.registered("w1");
    let tasks: Vec<String> = [9.0, 0.5, 0.5].into_iter().map(|seconds| submit(&cluster, &[], seconds)).collect();
    eventually(SOON, "all of them wait there", || assigned(&cluster, &first) == 3);
    let _next = replace_master(&cluster, &master, "c2");
    let _second = cluster.worker("w2", 2);
    let second = cluster.registered("w2");
    eventually(SOON, "two have moved", || (assigned(&cluster, &first), assigned(&cluster, &second)) == (1, 2));
    tasks.iter().for_each(|task| succeeded(&cluster, task));
    assert_eq!(begun(&cluster).len(), 3, "{:?}", begun(&cluster));
    eventually(SOON, "nothing is asked any more", || cluster.tree().children("/bellwether/workers").is_empty());
}

#[test]
fn a_fleet_is_restarted_worker_by_worker_under_load_and_nothing_is_lost_or_doubled() {
    let cluster = Cluster::builder().setting("coordinator.lookahead", "1").start();
    let mut master = cluster.coordinator("c1");
    let names = ["w1", "w2", "w3"];
    let mut workers: Vec<Process> = names.iter().map(|name| cluster.worker(name, 2)).collect();
    names.iter().for_each(|name| drop(cluster.registered(name)));
    let tasks: Vec<String> = (0..40).map(|_| submit(&cluster, &[], 0.3)).collect();
    for (index, name) in names.iter().enumerate() {
        let _ = cluster.cli(&["worker", "drain", name, "--monitor", "--reason", "a new version"]).code(0);
        if index == 1 {
            master = replace_master(&cluster, &master, "c2");
        }
        assert_eq!(workers[index].terminate(SOON), 0);
        workers[index] = cluster.worker(name, 2);
        let again = cluster.registered(name);
        let list = cluster.cli(&["worker", "list"]).code(0);
        assert!(list.stdout.lines().any(|line| line.contains(&again) && line.contains("drained")), "it stays drained: {}", list.stdout);
        assert_eq!(assigned(&cluster, &again), 0);
        let _ = cluster.cli(&["worker", "undrain", name]).code(0);
    }
    tasks.iter().for_each(|task| succeeded(&cluster, task));
    let mut runs: Vec<String> = begun(&cluster).into_iter().map(|(task, _)| task).collect();
    runs.sort();
    runs.dedup();
    assert_eq!((runs.len(), begun(&cluster).len()), (40, 40), "each ran once");
    drop(master);
}

#[test]
fn a_drain_can_be_quick_or_fast_and_costs_no_attempt() {
    let cluster = Cluster::builder().setting("worker.kill_grace", "\"1s\"").start();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 2);
    let _ = cluster.registered("w1");
    for (round, options) in [&["--mode", "fast"][..], &["--mode", "quick"], &["--deadline", "500ms"]].iter().enumerate() {
        let task = submit(&cluster, &["--retries", "0"], 30.0);
        eventually(SOON, "it runs", || begun(&cluster).len() == round + 1);
        let _ = cluster.cli(&[&["worker", "drain", "w1"], *options].concat()).code(0);
        eventually(SOON, "it is pending again", || cluster.tree().exists(&format!("/tasks/{task}")));
        let payload = cluster.tree().text(&format!("/tasks/{task}")).expect("its payload");
        assert!(!payload.contains("failures") && !payload.contains("losses"), "{payload}");
        let _ = cluster.cli(&["cancel", &task]).code(0);
        let _ = cluster.cli(&["worker", "undrain", "w1"]).code(0);
        let _ = cluster.status_of(&task);
    }
    let unknown = cluster.cli(&["worker", "drain", "w9"]).code(125);
    assert!(
        unknown.stderr.contains("no worker is registered that is called \"w9\"") && unknown.stderr.contains("w1"),
        "{}",
        unknown.stderr
    );
    assert!(cluster.cli(&["worker", "undrain", "w9"]).code(125).stderr.contains("w9"));
    assert!(cluster.cli(&["worker", "undrain", "w1"]).code(0).stderr.contains("was not draining"));
    assert!(cluster.cli(&["worker", "drain", "w1"]).code(0).stderr.contains("w1 drains (graceful)"));
    assert!(cluster.cli(&["worker", "drain", "w1"]).code(0).stderr.contains("already, as you ask"));
    assert!(cluster.cli(&["worker", "drain", "w1", "--mode", "fast"]).code(0).stderr.contains("now fast"));
    assert!(cluster.cli(&["worker", "drain", "w1", "--mode", "fast", "--deadline", "1s"]).code(2).stderr.contains("--deadline"));
    assert!(cluster.cli(&["worker", "info", "w1"]).code(0).stdout.contains("drained"));
}

#[test]
fn a_pause_outlives_the_master_and_what_waits_too_long_ends_under_it() {
    let cluster = Cluster::new();
    let master = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let _ = cluster.registered("w1");
    let _ = cluster.cli(&["master", "pause", "--reason", "the disks are full"]).code(0);
    let waits = submit(&cluster, &[], 0.0);
    let next = replace_master(&cluster, &master, "c2");
    eventually(SOON, "the next one is paused, too", || {
        next.metrics().is_ok_and(|metrics| metrics.value("bellwether_master_paused", &[]) == 1.0)
    });
    let impatient = submit(&cluster, &["--queue-timeout", "1500ms"], 0.0);
    let status = cluster.status_of(&impatient);
    assert!(status.contains("timed-out") && status.contains("never ran"), "{status}");
    let _ = cluster.cli(&["wait", &impatient]).code(124);
    assert!(cluster.cli(&["status"]).code(0).stdout.contains("the disks are full"));
    assert!(cluster.tree().exists(&format!("/tasks/{waits}")) && begun(&cluster).is_empty());
    let _ = cluster.cli(&["master", "resume"]).code(0);
    succeeded(&cluster, &waits);
    assert!(cluster.cli(&["master", "resume"]).code(0).stderr.contains("nobody had paused"));
}

#[test]
fn what_its_worker_does_not_start_in_time_goes_back_and_runs_elsewhere() {
    let cluster = Cluster::builder().setting("coordinator.lookahead", "1").setting("task.start_timeout", "\"1s\"").start();
    let coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let first = cluster.registered("w1");
    // One after the other: of two that are assigned together, either may be started first.
    let long = submit(&cluster, &[], 5.0);
    eventually(SOON, "the long one is there", || assigned(&cluster, &first) == 1);
    let waits = submit(&cluster, &[], 0.0);
    eventually(SOON, "both are there", || assigned(&cluster, &first) == 2);
    // Nobody is there who could be told to ask for it.
    coordinator.kill9();
    eventually(Duration::from_secs(10), "it goes back", || cluster.tree().exists(&format!("/tasks/{waits}")));
    let _next = cluster.coordinator("c2");
    succeeded(&cluster, &waits);
    succeeded(&cluster, &long);
}
