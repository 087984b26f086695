//! Workers that are frozen in the middle of a task: their commands must be dead before anybody else is given the task, although they
//! themselves cannot do a thing. Each attempt writes down the time again and again; ZooKeeper's log says when the next was assigned.

use std::time::Duration;

use bellwether_tests::faults::Scenario;
use bellwether_tests::history::Step;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};

use crate::faults::{Attempt, attempts, becomes, let_go, lives, metric};

/// Session timeout of workers here.
const TIMEOUT: Duration = Duration::from_secs(6);
/// Tells itself as others do, and then writes down the time until it is let go, or killed.
const BEATS: &str = "echo $$ $BELLWETHER_WORKER $BELLWETHER_ATTEMPT $BELLWETHER_TASK >> runs; \
                     until [ -e go ]; do date +%s%3N >> beats-$BELLWETHER_ATTEMPT; sleep 0.01; done";
const KILLS: &str = "bellwether_task_kills_total";

/// A worker that runs one task, and another that waits for it.
struct House {
    cluster: Cluster,
    _coordinator: Process,
    worker: Process,
    other: Process,
    incarnation: String,
    task: String,
    first: Attempt,
}

impl House {
    fn new() -> Self {
        let cluster = Cluster::builder().worker_session(TIMEOUT).start();
        let coordinator = cluster.coordinator("c1");
        let worker = cluster.worker("w1", 1);
        let incarnation = cluster.registered("w1");
        let task = cluster.put(BEATS);
        let first = eventually(SOON, "the task to run", || attempts(&cluster).into_iter().next());
        let other = cluster.worker("w2", 1);
        let _ = cluster.registered("w2");
        Self { cluster, _coordinator: coordinator, worker, other, incarnation, task, first }
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

#[test]
fn what_a_frozen_worker_runs_is_dead_before_the_task_is_given_to_another() {
    let scenario = Scenario::of("F11");
    let house = House::new();
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
}

#[test]
fn a_worker_that_wakes_up_in_time_gives_back_what_was_killed_meanwhile() {
    let scenario = Scenario::of("F11");
    let house = House::new();
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
