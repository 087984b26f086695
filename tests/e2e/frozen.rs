//! Workers that are frozen in the middle of a task: their commands must be dead before anybody else is given the task, although they
//! themselves cannot do a thing. Each attempt writes down the time again and again; ZooKeeper's log says when the next was assigned.

use std::time::Duration;

use bellwether_tests::faults::Scenario;
use bellwether_tests::history::Step;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Proxy, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::faults::{Attempt, attempts, becomes, let_go, lives, metric, worker as behind};

/// Session timeout of workers here.
const TIMEOUT: Duration = Duration::from_secs(6);
/// Tells itself as others do, and then writes down the time until it is let go, or killed.
const BEATS: &str = "echo $$ $BELLWETHER_WORKER $BELLWETHER_ATTEMPT $BELLWETHER_TASK >> runs; \
                     until [ -e go -o -e go-$BELLWETHER_ATTEMPT ]; do date +%s%3N >> beats-$BELLWETHER_ATTEMPT; sleep 0.01; done";
const KILLS: &str = "bellwether_task_kills_total";
const STALE: &str = "bellwether_stale_results_total";
/// How far a measured overlap may be from what the attempts themselves wrote down: they look every 10 ms or so, and a busy machine
/// lets them wait.
const TOLERANCE_MS: f64 = 500.0;

/// A worker that runs one task, and another that waits for it.
struct House {
    cluster: Cluster,
    _coordinator: Process,
    proxy: Proxy,
    worker: Process,
    other: Process,
    incarnation: String,
    task: String,
    first: Attempt,
}

impl House {
    fn new(on_doubt: &str) -> Self {
        let cluster = Cluster::builder().worker_session(TIMEOUT).setting("worker.on_doubt", &format!("{on_doubt:?}")).start();
        let coordinator = cluster.coordinator("c1");
        let proxy = cluster.proxy();
        let worker = behind(&cluster, "w1", 1, &proxy);
        let incarnation = cluster.registered("w1");
        let task = cluster.put(BEATS);
        let first = eventually(SOON, "the task to run", || attempts(&cluster).into_iter().next());
        let other = cluster.worker("w2", 1);
        let _ = cluster.registered("w2");
        Self { cluster, _coordinator: coordinator, proxy, worker, other, incarnation, task, first }
    }

    /// When attempt 1 was last seen alive, by its own word, in milliseconds since 1970.
    fn last_beat(&self) -> i64 {
        let beats = self.cluster.lines("beats-1");
        // The last line may be torn by the kill.
        beats.iter().rev().find_map(|beat| beat.parse::<i64>().ok().filter(|_| beat.len() == 13)).expect("it lived")
    }

    /// When the task was assigned for the second time, by ZooKeeper's leader, whose clock is this machine's.
    fn assigned_again(&self) -> i64 {
        let history = self.cluster.history();
        let assigned = history.tasks[&self.task].iter().filter(|(_, step)| matches!(step, Step::Assigned(_)));
        assigned.map(|(moment, _)| moment.time_ms).nth(1).expect("a second assignment")
    }

    /// The overlap that the first worker measured, when it has: in milliseconds.
    #[track_caller]
    fn measured(&self) -> f64 {
        becomes(&self.worker, "bellwether_attempt_overlap_seconds_count", &[], 1.0);
        metric(&self.worker, "bellwether_attempt_overlap_seconds_sum", &[]).expect("a histogram has a sum") * 1000.0
    }

    /// Longer than any error of the measurement.
    #[track_caller]
    fn overlaps_for_a_while(&self) {
        let again = self.assigned_again();
        eventually(SOON, "both attempts to run for a while", || self.last_beat() > again + 500);
    }

    /// What it measured is what the attempts wrote down: for how long they overlapped.
    #[track_caller]
    fn measured_rightly(&self) -> f64 {
        let (measured, seen) = (self.measured(), (self.last_beat() - self.assigned_again()) as f64);
        assert!(seen > 0.0 && (measured - seen).abs() < TOLERANCE_MS, "measured {measured} ms, seen {seen} ms");
        assert!(self.worker.log().contains("two attempts ran at the same time"), "it warns of it");
        measured
    }

    /// The process that keeps the worker's time.
    fn guardian(&self) -> Pid {
        let is_guardian = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.ends_with(b"--guardian\0") && parent(*pid) == Some(self.worker.pid())
        };
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Pid::from_raw(pids.into_iter().find(is_guardian).expect("a guardian"))
    }

    #[track_caller]
    fn second_attempt(&self) -> Attempt {
        eventually(SOON, "a second attempt", || attempts(&self.cluster).into_iter().nth(1))
    }

    /// The one result is the second worker's, and the first is back as another incarnation.
    #[track_caller]
    fn ends_well(&self) {
        let again = eventually(SOON, "a new incarnation", || self.cluster.incarnation("w1").filter(|name| *name != self.incarnation));
        assert!(!lives(self.first.pid));
        let_go(&self.cluster);
        assert_eq!(self.cluster.status_of(&self.task), "done");
        assert_eq!(attempts(&self.cluster).len(), 2);
        let details = self.cluster.tree().text(&format!("/bellwether/results/{}", self.task)).expect("details");
        let second = self.cluster.incarnation("w2").expect("w2 lives");
        assert!(details.contains(&format!("\"worker\":\"{second}\"")), "one result, by the second: {details}");
        assert_eq!(metric(&self.other, "bellwether_tasks_completed_total", &[("result", "succeeded")]), Some(1.0));
        assert_eq!(self.cluster.incarnation("w1"), Some(again), "it stays registered");
    }
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn what_a_frozen_worker_runs_is_dead_before_the_task_is_given_to_another() {
    let scenario = Scenario::of("F11");
    let house = House::new("kill");
    house.worker.pause();
    let second = house.second_attempt();
    assert!(!lives(house.first.pid), "killed although its worker is frozen still");
    let (last, again) = (house.last_beat(), house.assigned_again());
    assert!(last < again, "attempt 1 lived {} ms longer than its claim", last - again);
    scenario.saw(format!("attempt 1 last alive {} ms before attempt 2 was assigned", again - last));
    assert_ne!(second.worker, house.incarnation);
    house.worker.resume();
    // It was its worker's fault, not the task's.
    becomes(&house.worker, "bellwether_tasks_completed_total", &[("result", "failed")], 0.0);
    house.ends_well();
    assert_eq!(metric(&house.worker, KILLS, &[("reason", "doubt")]), Some(1.0));
    assert_eq!(house.measured(), 0.0, "it says itself that there was no overlap");
    assert_eq!(second.number, "2");
}

#[test]
fn frozen_with_its_guardian_it_kills_when_it_wakes_and_says_for_how_long_two_attempts_ran() {
    let scenario = Scenario::of("F11");
    let house = House::new("kill");
    let guardian = house.guardian();
    kill(guardian, Signal::SIGSTOP).expect("frozen");
    house.worker.pause();
    let _ = house.second_attempt();
    assert!(lives(house.first.pid), "there is nobody who could kill it");
    house.overlaps_for_a_while();
    kill(guardian, Signal::SIGCONT).expect("woken");
    house.worker.resume();
    eventually(SOON, "the end of attempt 1", || !lives(house.first.pid));
    house.ends_well();
    let overlap = house.measured_rightly();
    scenario.saw(format!("guardian and worker frozen: overlap {overlap:.0} ms, until both woke"));
}

#[test]
fn told_to_keep_beyond_the_end_of_the_session_it_measures_the_overlap_and_its_result_is_refused() {
    let scenario = Scenario::of("F12");
    let house = House::new("keep");
    house.proxy.black_hole();
    let _ = house.second_attempt();
    assert!(lives(house.first.pid), "kept");
    house.overlaps_for_a_while();
    std::fs::write(house.cluster.dir().join("go-1"), "").expect("written");
    eventually(SOON, "attempt 1 to end by itself", || !lives(house.first.pid));
    assert!(!house.cluster.tree().exists(&format!("/status/{}", house.task)));
    house.proxy.heal();
    house.ends_well();
    becomes(&house.worker, STALE, &[], 1.0);
    assert_eq!(metric(&house.worker, KILLS, &[]), Some(0.0));
    let overlap = house.measured_rightly();
    scenario.saw(format!("kept beyond the end of the session: overlap {overlap:.0} ms, its result refused"));
}

#[test]
fn a_worker_that_wakes_up_in_time_gives_back_what_was_killed_meanwhile() {
    let scenario = Scenario::of("F11");
    let house = House::new("kill");
    house.worker.pause();
    eventually(SOON, "the end of the command", || !lives(house.first.pid));
    house.worker.resume();
    let second = house.second_attempt();
    let_go(&house.cluster);
    assert_eq!(house.cluster.status_of(&house.task), "done");
    assert_eq!(house.cluster.incarnation("w1"), Some(house.incarnation.clone()), "its session survived");
    assert_eq!(second.number, "1", "given back, nothing of it counts");
    assert_eq!(metric(&house.worker, KILLS, &[("reason", "doubt")]), Some(1.0));
    scenario.saw("woken before its session ended, it gave the task back, and no failure was counted");
}
