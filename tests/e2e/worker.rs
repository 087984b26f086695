//! Workers that die, freeze, are drained, or lose their registration to a hand.

use std::time::{Duration, Instant};

use bellwether_tests::history::Step;
use bellwether_tests::nemesis::house::now_ms;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Scenario, eventually};

/// Session timeout of workers, as the harness gives it.
const TIMEOUT: Duration = Duration::from_secs(6);

struct House {
    cluster: Cluster,
    _coordinator: Process,
    worker: Process,
    incarnation: String,
}

impl House {
    fn new(slots: usize) -> Self {
        let cluster = Cluster::new();
        let coordinator = cluster.coordinator("c1");
        let worker = cluster.worker("w1", slots);
        let incarnation = cluster.registered("w1");
        Self { cluster, _coordinator: coordinator, worker, incarnation }
    }

    /// A task that writes its process and its worker down, and then takes `seconds`.
    fn put_long(&self, seconds: u32) -> String {
        let file = self.cluster.dir().join("runs");
        let task =
            self.cluster.put(&format!("echo $$ $BELLWETHER_WORKER $BELLWETHER_ATTEMPT >> {}; sleep {seconds}; true", file.display()));
        eventually(SOON, "the task runs", || !self.cluster.lines("runs").is_empty());
        task
    }

    fn runs(&self) -> Vec<(i32, String, String)> {
        let parse = |line: String| {
            let mut words = line.split(' ').map(str::to_owned);
            let (pid, worker, attempt) = (words.next()?, words.next()?, words.next()?);
            Some((pid.parse().ok()?, worker, attempt))
        };
        self.cluster.lines("runs").into_iter().filter_map(parse).collect()
    }
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state is the word after the command in parentheses; a zombie is dead.
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// Milliseconds from the end of the first incarnation's session to the second assignment, by ZooKeeper's clock, and from a moment of
/// the wall clock to the latter.
fn reassigned_after(house: &House, task: &str, killed_ms: i64) -> (i64, i64) {
    let history = house.cluster.history();
    let gone = history.workers.iter().find(|life| life.name == house.incarnation).and_then(|life| life.gone).expect("it is over");
    let assigned = history.tasks[task].iter().filter(|(_, step)| matches!(step, Step::Assigned(_))).map(|(at, _)| at.time_ms);
    let again = assigned.into_iter().nth(1).expect("a second assignment");
    (again - gone.time_ms, again - killed_ms)
}

#[test]
fn what_waits_for_company_is_recorded_while_a_long_task_runs() {
    let cluster = Cluster::builder().setting("coordinator.lookahead", "16").start();
    let _coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    // In one transaction, so that all of them go to the only worker: the last one waits there for as long as the one before it runs.
    let tasks = cluster.put_many("t-", ["true", "true", "true", "true", "sleep 60", "true"].into_iter().map(str::to_owned));
    let _worker = cluster.worker("w1", 1);
    let recorded = || tasks.iter().filter(|task| cluster.tree().text(&format!("/status/{task}")).is_some()).count();
    eventually(SOON, "the short ones are recorded", || if recorded() == 4 { Ok(()) } else { Err(recorded()) });
    let incarnation = cluster.registered("w1");
    assert_eq!(cluster.assigned_to(&incarnation), tasks[4..], "one runs and one waits for it");
}

#[test]
fn a_killed_workers_task_is_run_by_another() {
    let scenario = Scenario::of("F10");
    let house = House::new(1);
    let task = house.put_long(3);
    let _other = house.cluster.worker("w2", 1);
    let _ = house.cluster.registered("w2");
    let killed = now_ms();
    house.worker.kill9();
    let (pid, ..) = house.runs()[0].clone();
    eventually(Duration::from_secs(2), "its children die with it", || !lives(pid));
    assert_eq!(house.cluster.status_of(&task), "done");
    let runs = house.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!((runs[0].2.as_str(), runs[1].2.as_str()), ("1", "2"), "the attempt is counted");
    assert_ne!(runs[0].1, runs[1].1);
    eventually(SOON, "the dead worker's box is gone", || !house.cluster.tree().exists(&format!("/assign/{}", house.incarnation)));
    let (since_gone, since_killed) = reassigned_after(&house, &task, killed);
    assert!(since_gone < 1000, "{since_gone} ms from the end of its session to the next assignment");
    scenario
        .saw(format!("assigned again {since_gone} ms after the end of the session ({since_killed} ms after the kill, T = 6 s), attempt 2"));
}

#[test]
fn a_frozen_workers_result_does_not_count() {
    let _scenario = Scenario::of("F11");
    let house = House::new(1);
    let task = house.put_long(2);
    let _other = house.cluster.worker("w2", 1);
    let _ = house.cluster.registered("w2");
    house.worker.pause();
    assert_eq!(house.cluster.status_of(&task), "done");
    house.worker.resume();
    let again = eventually(SOON, "a new incarnation", || house.cluster.incarnation("w1").filter(|name| *name != house.incarnation));
    let runs = house.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    eventually(SOON, "the first run is dead", || !lives(runs[0].0));
    let details = house.cluster.tree().text(&format!("/bellwether/results/{task}")).expect("details");
    assert!(details.contains(&format!("\"worker\":\"{}\"", runs[1].1)), "one result, by the second: {details}");
    assert_eq!(house.cluster.status_of(&house.cluster.put("true")), "done");
    assert!(house.cluster.registered("w1") == again, "it stays registered");
}

#[test]
fn a_drained_worker_ends_what_it_runs_and_gives_nothing_up() {
    let house = House::new(1);
    let running = house.put_long(2);
    let waiting: Vec<String> = (0..3).map(|_| house.cluster.put("true")).collect();
    assert_eq!(house.worker.terminate(SOON), 0);
    assert_eq!(house.cluster.status_of(&running), "done");
    assert!(!house.cluster.tree().exists(&format!("/workers/{}", house.incarnation)), "its registration goes at once");
    let _next = house.cluster.worker("w2", 1);
    for task in &waiting {
        assert_eq!(house.cluster.status_of(task), "done");
    }
    assert_eq!(house.runs().len(), 1, "it was run once");
}

#[test]
fn a_drain_that_takes_too_long_gives_the_task_back() {
    let cluster = Cluster::builder().setting("worker.drain_timeout", "\"1s\"").setting("worker.kill_grace", "\"1s\"").start();
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let task = cluster.put("sleep 5");
    let _ = cluster.assignee(&task);
    eventually(SOON, "it runs", || worker.metrics().is_ok_and(|metrics| metrics.value("bellwether_worker_slots_in_use", &[]) == 1.0));
    assert_eq!(worker.terminate(SOON), 0);
    assert!(cluster.tree().exists(&format!("/tasks/{task}")), "it is pending again");
    assert_eq!(cluster.tree().text(&format!("/tasks/{task}")).as_deref(), Some("sleep 5"), "unchanged");
    let _next = cluster.worker("w2", 1);
    assert_eq!(cluster.status_of(&task), "done");
}

#[test]
fn a_worker_whose_registration_is_deleted_comes_back_as_another() {
    let _scenario = Scenario::of("F35");
    let house = House::new(2);
    let task = house.put_long(2);
    house.cluster.tree().delete(&format!("/workers/{}", house.incarnation));
    let again = eventually(SOON, "a new incarnation", || house.cluster.incarnation("w1").filter(|name| *name != house.incarnation));
    assert_eq!(house.cluster.status_of(&task), "done");
    let runs = house.runs();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[1].1, again);
    eventually(SOON, "the first run was killed", || !lives(runs[0].0));
}

#[test]
fn a_worker_started_again_under_its_name_serves_at_once_and_stays() {
    let scenario = Scenario::of("F13");
    let house = House::new(1);
    let task = house.put_long(2);
    house.worker.kill9();
    let killed = Instant::now();
    let again = house.cluster.worker("w1", 1);
    let next = eventually(SOON, "a new incarnation", || house.cluster.incarnation("w1").filter(|name| *name != house.incarnation));
    assert_eq!(house.cluster.status_of(&task), "done");
    assert_eq!(house.runs().len(), 2);
    // Long after the old one's session: nothing of its end may hit the new one.
    eventually(SOON, "T + 5 s", || killed.elapsed() > TIMEOUT + Duration::from_secs(5));
    assert_eq!(house.cluster.incarnation("w1"), Some(next.clone()), "it is still registered");
    let history = house.cluster.history();
    let [old, new] = &history.workers[..] else { panic!("two incarnations: {:?}", history.workers) };
    let gone = old.gone.expect("its session ended");
    assert!(new.registered.zxid < gone.zxid, "it registers while the old one's session still lives");
    assert_eq!((&new.name, new.gone), (&next, None));
    assert_eq!(house.cluster.status_of(&house.cluster.put("true")), "done");
    assert!(again.is_running());
    scenario.saw(format!(
        "registered {} ms before the old session ended, its task run again, still registered at T + 5 s",
        gone.time_ms - new.registered.time_ms
    ));
}
