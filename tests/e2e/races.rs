//! What meets: a cancellation or a timeout and a task that just ends, a drain and a failover, a poisonous task and its neighbours.

use std::time::Duration;

use bellwether_tests::history::Step;
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Scenario, eventually, is};

use crate::faults::{attempts, becomes, let_go, lives, metric, put_running, worker};

const STALE: &str = "bellwether_stale_results_total";

fn slots_of(cluster: &Cluster, incarnation: &str) -> Option<u64> {
    let record: serde_json::Value = serde_json::from_str(&cluster.tree().text(&format!("/workers/{incarnation}"))?).ok()?;
    record["slots"].as_u64()
}

#[test]
fn a_cancellation_before_the_result_wins_and_the_result_is_dropped() {
    let scenario = Scenario::of("F30");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let proxy = cluster.proxy();
    let worker = worker(&cluster, "w1", 1, &proxy);
    let (task, _) = put_running(&cluster);
    let late = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/status/task-").then(Fault::FreezeBefore));
    let_go(&cluster);
    late.strikes(1);
    cluster.tree().create(&format!("/bellwether/cancel/{task}"), r#"{"reason":"too late?"}"#);
    assert_eq!(cluster.status_of(&task), "failed cancelled");
    proxy.heal();
    becomes(&worker, STALE, &[], 1.0);
    assert_eq!(cluster.tree().text(&format!("/status/{task}")).as_deref(), Some("failed cancelled"));
    assert!(!cluster.tree().exists(&format!("/bellwether/cancel/{task}")));
    assert_eq!(cluster.status_of(&cluster.put("true")), "done", "its slot is free");
    scenario.saw("cancelled while the result was on its way: the result was refused and counted");
}

#[test]
fn cancellations_race_with_ends_and_each_task_has_one_result() {
    let scenario = Scenario::of("F30");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 4);
    let _ = cluster.registered("w1");
    let tasks = cluster.put_many("raced-", (0..60).map(|i| format!("sleep 0.0{}", i % 5)));
    // Wished for in the order in which they end, a little behind or before.
    for task in &tasks {
        cluster.tree().create(&format!("/bellwether/cancel/{task}"), "");
        eventually(SOON, "the mark is gone", || !cluster.tree().exists(&format!("/bellwether/cancel/{task}")));
    }
    let ended: Vec<String> = tasks.iter().map(|task| cluster.status_of(task)).collect();
    let count = |status: &str| ended.iter().filter(|ended| *ended == status).count();
    let (done, cancelled) = (count("done"), count("failed cancelled"));
    assert_eq!(done + cancelled, tasks.len(), "{ended:?}");
    assert_eq!(cluster.history().unended(), Vec::<&str>::new());
    scenario.saw(format!("60 races: {done} ended before, {cancelled} were cancelled; one result each"));
}

#[test]
fn timeouts_race_with_ends_and_each_task_has_one_result() {
    let scenario = Scenario::of("F30");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker_with("w1", 4, &[("worker.kill_grace", "\"1s\"")]);
    let line = |i: usize| format!(r#"{{"bellwether":1,"shell":"echo $$ >> pids; sleep 0.{:02}","timeout_ms":150}}"#, 10 + i % 10);
    let tasks = cluster.put_many("timed-", (0..40).map(line));
    let outcome = |task: &String| {
        let status: serde_json::Value = serde_json::from_str(&cluster.status_of(task)).expect("a JSON result");
        status["outcome"].as_str().expect("text").to_owned()
    };
    let outcomes: Vec<String> = tasks.iter().map(outcome).collect();
    let count = |word: &str| outcomes.iter().filter(|outcome| *outcome == word).count();
    let (succeeded, late) = (count("succeeded"), count("timed-out"));
    assert_eq!(succeeded + late, tasks.len(), "{outcomes:?}");
    assert!(late > 0, "some take longer than they may");
    becomes(&worker, "bellwether_worker_slots_in_use", &[], 0.0);
    assert!(cluster.lines("pids").iter().all(|pid| !lives(pid.parse().expect("a number"))), "no process is left");
    scenario.saw(format!("40 races with a timeout: {succeeded} in time, {late} too late; one result each, no process left"));
}

#[test]
fn a_cancellation_reaches_the_whole_process_group() {
    let scenario = Scenario::of("F30");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let child = r#"sh -c 'trap "" TERM HUP INT; echo $$ >> pids; while :; do sleep 0.05; done'"#;
    let task = cluster.put(&format!("trap '' TERM; {child} & {child} & {child} >/dev/null 2>&1 </dev/null & wait; wait"));
    eventually(SOON, "all children", || is(cluster.lines("pids").len(), &3));
    assert_eq!(cluster.cli(&["cancel", &task]).code, 0);
    assert_eq!(cluster.status_of(&task), "failed cancelled");
    // Not later, when somebody else would find them: a slot is free when the whole group is dead.
    becomes(&worker, "bellwether_worker_slots_in_use", &[], 0.0);
    let left: Vec<String> = cluster.lines("pids").into_iter().filter(|pid| lives(pid.parse().expect("a number"))).collect();
    assert_eq!(left, Vec::<String>::new(), "nobody is left");
    scenario.saw("3 children that ignore TERM, HUP and INT: dead after the cancellation");
}

#[test]
fn a_drain_survives_the_master_that_knew_of_it() {
    let scenario = Scenario::of("F30");
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let worker = cluster.worker("w1", 2);
    let (running, attempt) = put_running(&cluster);
    worker.signal(nix::sys::signal::Signal::SIGTERM);
    eventually(SOON, "it takes no more", || is(slots_of(&cluster, &attempt.worker), &Some(0)));
    let ruler = cluster.ruler();
    coordinators.iter().find(|c| c.name() == ruler).expect("one of ours").kill9();
    let next = cluster.ruler_after(&ruler);
    let master = coordinators.iter().find(|c| c.name() == next).expect("one of ours");
    becomes(master, "bellwether_workers", &[("state", "draining")], 1.0);
    let waiting = cluster.put("true");
    becomes(master, "bellwether_tasks", &[("state", "pending")], 1.0);
    assert_eq!(cluster.assigned_to(&attempt.worker), [running.as_str()], "it is given nothing by the new one either");
    let_go(&cluster);
    assert_eq!(cluster.status_of(&running), "done");
    assert_eq!(worker.exit_code(SOON), 0);
    let _other = cluster.worker("w2", 1);
    assert_eq!(cluster.status_of(&waiting), "done");
    assert_eq!((attempts(&cluster).len(), cluster.history().assignments(&running)), (1, 1));
    scenario.saw("drained under a failover: the next master gave it nothing, what ran ended once, exit 0");
}

#[test]
fn a_poisonous_task_is_a_dead_letter_and_its_neighbours_are_not() {
    let scenario = Scenario::of("F29");
    let session = Duration::from_secs(2);
    let cluster = Cluster::builder().worker_session(session).setting("coordinator.max_worker_losses", "3").start();
    let coordinator = cluster.coordinator("c1");
    let poison = cluster.put("echo $BELLWETHER_WORKER >> victims; kill -9 $PPID; sleep 60");
    let neighbours = cluster.put_many("neighbour-", (0..6).map(|_| "sleep 0.5".to_owned()));
    // Whoever runs workers starts them again.
    let mut workers: Vec<Process> = (0..2).map(|i| cluster.worker(&format!("w{i}"), 2)).collect();
    eventually(Duration::from_secs(60), "the end of the poison", || {
        for worker in &mut workers {
            if !worker.is_running() {
                let name = worker.name().to_owned();
                *worker = cluster.worker(&name, 2);
            }
        }
        cluster.tree().exists(&format!("/status/{poison}"))
    });
    assert_eq!(cluster.status_of(&poison), "failed worker-lost");
    let victims = cluster.lines("victims");
    assert_eq!(victims.len(), 3, "its budget: {victims:?}");
    let details = cluster.tree().text(&format!("/bellwether/results/{poison}")).expect("details");
    assert!(details.contains("it was lost with 3 workers") && details.contains(&victims[2]), "the reason is told: {details}");
    for neighbour in &neighbours {
        assert_eq!(cluster.status_of(neighbour), "done", "{neighbour}");
    }
    assert_eq!(cluster.tree().children("/bellwether/dead"), [poison.as_str()], "nobody else is a dead letter");
    becomes(&coordinator, "bellwether_tasks_ended_total", &[("result", "dead")], 1.0);
    assert!(workers.iter().filter(|worker| worker.is_running()).count() > 0);
    scenario.saw("the poison cost 3 workers and is a dead letter with its reason; 6 neighbours done");
}

#[test]
fn who_sits_beside_a_poisonous_task_each_time_is_not_convicted_with_it() {
    let scenario = Scenario::of("F29");
    let session = Duration::from_secs(2);
    let cluster = Cluster::builder().worker_session(session).setting("coordinator.max_worker_losses", "3").start();
    let _coordinator = cluster.coordinator("c1");
    let innocent = cluster.put("echo $BELLWETHER_WORKER >> innocent; until [ -e go ]; do sleep 0.02; done");
    // For as long as it may be beside the other, it waits for it; with two losses it is alone, and kills at once.
    let poison = cluster.put(
        "echo $BELLWETHER_WORKER >> victims; [ $BELLWETHER_ATTEMPT = 3 ] || until grep -q $BELLWETHER_WORKER innocent; do sleep 0.02; done; kill -9 $PPID; sleep 60",
    );
    let mut worker = cluster.worker("w", 2);
    eventually(Duration::from_secs(60), "the end of the poison", || {
        if !worker.is_running() {
            worker = cluster.worker("w", 2);
        }
        // With two losses each of them is to be alone: the innocent one, if it is first, makes room.
        if cluster.lines("innocent").len() == 3 {
            let_go(&cluster);
        }
        cluster.tree().exists(&format!("/status/{poison}"))
    });
    let_go(&cluster);
    assert_eq!(cluster.status_of(&poison), "failed worker-lost");
    if !worker.is_running() {
        worker = cluster.worker("w", 2);
    }
    assert_eq!(cluster.status_of(&innocent), "done", "it was lost with two workers by its neighbour's doing, and then alone");
    let (ran, victims) = (cluster.lines("innocent"), cluster.lines("victims"));
    assert_eq!((ran.len(), victims.len(), &ran[..2]), (3, 3, &victims[..2]), "{ran:?}, {victims:?}");
    let history = cluster.history();
    let last = |task: &str| {
        let steps = &history.tasks[task];
        let assigned = steps.iter().rfind(|(_, step)| matches!(step, Step::Assigned(_))).expect("a last attempt").0.zxid;
        assigned..steps.last().expect("its end").0.zxid
    };
    let (first, second) = (last(&innocent), last(&poison));
    assert!(first.end < second.start || second.end < first.start, "the last time each was alone: {first:?}, {second:?}");
    assert_eq!(cluster.tree().children("/bellwether/dead"), [poison.as_str()]);
    drop(worker);
    scenario.saw("a neighbour that was lost with the poison twice was alone the third time, and is done");
}

#[test]
fn a_result_that_lands_after_its_worker_came_back_is_one_result_and_one_slot() {
    let scenario = Scenario::of("F36");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let proxy = cluster.proxy();
    let worker = worker(&cluster, "w1", 1, &proxy);
    let _ = cluster.registered("w1");
    let tasks = cluster.put_many("late-", (0..20).map(|_| "true".to_owned()));
    // Sent, and the connection cut at once: it may be carried out after the worker has come back.
    let cuts = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/status/late-").one_in(3, 7).then(Fault::Cut));
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    assert!(cuts.struck() >= 2, "{cuts:?}");
    let history = cluster.history();
    assert!(tasks.iter().all(|task| history.assignments(task) == 1), "no phantom is assigned again");
    becomes(&worker, "bellwether_tasks_completed_total", &[("result", "succeeded")], 20.0);
    assert_eq!(metric(&worker, STALE, &[]), Some(0.0), "none is taken for somebody else's");
    becomes(&worker, "bellwether_worker_slots_in_use", &[], 0.0);
    scenario.saw(format!("{} of 20 results sent just before a cut: one result each, none stale, no slot lost", cuts.struck()));
}

#[test]
fn what_a_client_submits_just_before_a_cut_is_submitted_once() {
    let scenario = Scenario::of("F36");
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 2);
    let _ = cluster.registered("w1");
    let mut cut = 0;
    for fault in [Fault::Cut, Fault::Cut, Fault::Cut, Fault::Delay(Duration::from_millis(700))] {
        let proxy = cluster.proxy();
        let submitting = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/tasks/").then(fault));
        let run = cluster.cli_start_through(&proxy, &["run", "--", "sh", "-c", "echo $BELLWETHER_TASK >> submitted"]);
        assert_eq!(run.finish(SOON).code, 0);
        cut += submitting.struck();
    }
    assert_eq!((cut, cluster.lines("submitted").len(), cluster.tree().children("/status").len()), (4, 4, 4));
    scenario.saw("4 submissions cut off or answered late: 4 tasks, 4 runs");
}

#[test]
fn answers_that_come_long_after_their_events_cost_no_slot() {
    let scenario = Scenario::of("F36");
    let cluster = Cluster::new();
    let proxy = cluster.proxy();
    let late = proxy.rule(Rule::on(Operation::Multi).below("/master").one_in(4, 3).then(Fault::Delay(Duration::from_millis(150))));
    let _coordinator = crate::faults::coordinator(&cluster, "c1", &proxy);
    let worker = cluster.worker("w1", 2);
    let tasks = cluster.put_many("slow-", (0..30).map(|_| "true".to_owned()));
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    assert!(late.struck() > 0);
    becomes(&worker, "bellwether_worker_slots_in_use", &[], 0.0);
    let again = cluster.put_many("again-", (0..2).map(|_| "sleep 0.2".to_owned()));
    for task in &again {
        assert_eq!(cluster.status_of(task), "done");
    }
    let history = cluster.history();
    assert!(tasks.iter().chain(&again).all(|task| history.assignments(task) == 1));
    scenario.saw(format!("{} answers to the master 150 ms late: each task assigned once, both slots in use", late.struck()));
}

/// The n-th transaction of a worker meets this.
fn dies_at(cluster: &Cluster, n: u64, fault: Fault) -> (Process, bellwether_tests::Proxy, bellwether_tests::proxy::Hits) {
    let proxy = cluster.proxy();
    let multis = proxy.rule(Rule::on(Operation::Multi).below("/workers/").nth(n).then(fault));
    let process = worker(cluster, &format!("w{n}-{}", if fault == Fault::FreezeBefore { "before" } else { "after" }), 1, &proxy);
    (process, proxy, multis)
}

#[test]
fn a_worker_killed_before_or_after_each_of_its_first_transactions_is_replaced() {
    let scenario = Scenario::of("F27");
    const MULTIS: u64 = 20;
    let cluster = Cluster::builder().setting("coordinator.max_worker_losses", "100").start();
    let _coordinator = cluster.coordinator("c1");
    let mut tasks = Vec::new();
    let mut killed = 0;
    // Two at a time: one that dies before its n-th transaction, and one that dies after it.
    for n in 1..=MULTIS {
        tasks.extend(cluster.put_many(&format!("{n}-"), (0..2 * n).map(|_| crate::faults::ENDS.to_owned())));
        let doomed = [Fault::FreezeBefore, Fault::FreezeAfter].map(|fault| dies_at(&cluster, n, fault));
        for (process, proxy, multis) in &doomed {
            multis.strikes(1);
            eventually(SOON, "silence", || proxy.is_frozen());
            process.kill9();
            proxy.expire_session();
            killed += 1;
        }
    }
    let _last = cluster.worker("last", 4);
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done", "{task}");
    }
    let history = cluster.history();
    assert_eq!(history.unended(), Vec::<&str>::new());
    let runs = attempts(&cluster).len();
    // Each death costs at most the one task that it ran, or whose result it could not record.
    assert!(runs >= tasks.len() && runs <= tasks.len() + killed, "{runs} runs of {} tasks, {killed} workers killed", tasks.len());
    eventually(SOON, "no box of the dead is left", || is(cluster.tree().children("/assign").len(), &1));
    scenario
        .saw(format!("{killed} workers killed at their first {MULTIS} transactions: {} tasks, {runs} runs, one result each", tasks.len()));
}
