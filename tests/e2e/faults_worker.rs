//! A proxy between a worker and ZooKeeper: outages, lost replies, a session that ends.

use std::time::{Duration, Instant};

use bellwether_tests::history::Step;
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Proxy, Scenario, eventually};

use crate::faults::{Attempt, ENDS, attempts, becomes, let_go, lives, metric, put_running, worker};

/// Session timeout of workers here.
const TIMEOUT: Duration = Duration::from_secs(6);
const KILLS: &str = "bellwether_task_kills_total";
const STALE: &str = "bellwether_stale_results_total";

/// A worker behind a proxy that runs one task.
struct House {
    cluster: Cluster,
    _coordinator: Process,
    proxy: Proxy,
    worker: Process,
    incarnation: String,
    task: String,
    attempt: Attempt,
}

impl House {
    fn new(on_doubt: &str) -> Self {
        let cluster = Cluster::builder().worker_session(TIMEOUT).setting("worker.on_doubt", &format!("{on_doubt:?}")).start();
        let coordinator = cluster.coordinator("c1");
        let proxy = cluster.proxy();
        let worker = worker(&cluster, "w1", 1, &proxy);
        let incarnation = cluster.registered("w1");
        let (task, attempt) = put_running(&cluster);
        Self { cluster, _coordinator: coordinator, proxy, worker, incarnation, task, attempt }
    }

    /// The command ends while nobody can hear of it.
    #[track_caller]
    fn ends_unheard(&self) {
        let_go(&self.cluster);
        becomes(&self.worker, "bellwether_worker_slots_in_use", &[], 0.0);
        assert!(!self.cluster.tree().exists(&format!("/status/{}", self.task)));
    }

    /// The result of the one attempt is recorded, by the incarnation that ran it.
    #[track_caller]
    fn is_recorded_once(&self) {
        assert_eq!(self.cluster.status_of(&self.task), "done");
        assert_eq!(attempts(&self.cluster).len(), 1, "no second run");
        assert_eq!(self.cluster.history().assignments(&self.task), 1);
        assert_eq!(self.cluster.incarnation("w1"), Some(self.incarnation.clone()), "the same session goes on");
        assert_eq!(metric(&self.worker, KILLS, &[]), Some(0.0));
        becomes(&self.worker, "bellwether_tasks_completed_total", &[("result", "succeeded")], 1.0);
        assert_eq!(metric(&self.worker, STALE, &[]), Some(0.0));
        assert_eq!(self.cluster.status_of(&self.cluster.put(ENDS)), "done", "it takes more");
    }
}

#[test]
fn what_ends_during_a_short_cut_is_recorded_afterwards() {
    let _scenario = Scenario::of("F12");
    let house = House::new("kill");
    house.proxy.cut_off();
    house.ends_unheard();
    house.proxy.heal();
    house.is_recorded_once();
}

/// Cut off between T/2 and T it kills, and gives the task back itself; what it writes about that meets a fault.
fn kills_and_gives_back(fault: Fault) {
    let house = House::new("kill");
    let returning = house.proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/tasks/").then(fault));
    house.proxy.black_hole();
    eventually(SOON, "the end of the command", || !lives(house.attempt.pid));
    assert_eq!(house.cluster.incarnation("w1"), Some(house.incarnation.clone()), "before anybody else could be given the task");
    house.proxy.heal();
    let again = eventually(SOON, "a second run", || attempts(&house.cluster).into_iter().nth(1));
    let_go(&house.cluster);
    assert_eq!(house.cluster.status_of(&house.task), "done");
    assert_eq!(returning.struck(), 1);
    assert_eq!((&again.worker, again.number.as_str()), (&house.incarnation, "1"), "the session survived, and nothing of the first counts");
    let history = house.cluster.history();
    let steps: Vec<&Step> = history.tasks[&house.task].iter().map(|(_, step)| step).collect();
    let assigned = Step::Assigned(house.incarnation.clone());
    assert_eq!(steps, [&Step::Pending, &assigned, &Step::Pending, &assigned, &Step::Ended(b"done".to_vec())]);
    assert_eq!(attempts(&house.cluster).len(), 2);
    assert_eq!(metric(&house.worker, KILLS, &[("reason", "doubt")]), Some(1.0));
    assert_eq!(metric(&house.worker, STALE, &[]), Some(0.0), "what was given back was no result");
}

#[test]
fn in_doubt_it_kills_and_gives_the_task_back_itself() {
    let _scenario = Scenario::of("F12");
    kills_and_gives_back(Fault::Nothing);
}

#[test]
fn what_is_given_back_is_given_back_once_though_the_reply_is_lost() {
    kills_and_gives_back(Fault::LoseReply);
}

#[test]
fn told_to_keep_in_doubt_it_records_the_result_afterwards() {
    let _scenario = Scenario::of("F12");
    let house = House::new("keep");
    let begun = Instant::now();
    house.proxy.black_hole();
    eventually(SOON, "half a session timeout", || begun.elapsed() > TIMEOUT * 6 / 10);
    assert!(lives(house.attempt.pid), "it runs on");
    house.ends_unheard();
    house.proxy.heal();
    house.is_recorded_once();
}

#[test]
fn the_session_of_a_worker_ends() {
    let house = House::new("kill");
    house.proxy.expire_session();
    let again = eventually(SOON, "a second run", || attempts(&house.cluster).into_iter().nth(1));
    assert!(!lives(house.attempt.pid), "the first one was killed before the same process could start another");
    let_go(&house.cluster);
    assert_eq!(house.cluster.status_of(&house.task), "done");
    assert_ne!(again.worker, house.incarnation);
    assert_eq!(again.number, "2", "a lost worker counts");
    assert_eq!((attempts(&house.cluster).len(), house.cluster.history().workers.len()), (2, 2));
    assert_eq!(metric(&house.worker, KILLS, &[("reason", "session_lost")]), Some(1.0));
    eventually(SOON, "the old box to go", || !house.cluster.tree().exists(&format!("/assign/{}", house.incarnation)));
}

#[test]
fn the_reply_to_a_result_is_lost() {
    let house = House::new("kill");
    let result = house.proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/status/task-").then(Fault::LoseReply));
    let_go(&house.cluster);
    result.strikes(1);
    house.is_recorded_once();
}

#[test]
fn the_request_with_a_result_is_lost() {
    let house = House::new("kill");
    let result = house.proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/status/task-").then(Fault::LoseRequest));
    let_go(&house.cluster);
    result.strikes(1);
    house.is_recorded_once();
}

#[test]
fn the_reply_to_a_registration_or_its_request_is_lost() {
    for fault in [Fault::LoseReply, Fault::LoseRequest] {
        let cluster = Cluster::new();
        let _coordinator = cluster.coordinator("c1");
        let proxy = cluster.proxy();
        let registration = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/workers/w1").then(fault));
        let worker = worker(&cluster, "w1", 1, &proxy);
        assert_eq!(cluster.status_of(&cluster.put(ENDS)), "done", "{fault:?}");
        assert_eq!(registration.struck(), 1);
        assert_eq!(cluster.history().workers.len(), 1, "{fault:?}: one incarnation");
        assert_eq!(cluster.tree().children("/assign").len(), 1);
        assert_eq!(metric(&worker, "bellwether_zk_session_events_total", &[("event", "lost")]), Some(0.0));
    }
}
