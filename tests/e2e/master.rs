//! Masters that die, leave, freeze, or lose their office to a hand.

use std::time::Duration;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Scenario, eventually};

struct House {
    cluster: Cluster,
    coordinators: Vec<Process>,
    _worker: Process,
    running: String,
}

impl House {
    /// Two coordinators, one worker, and a task that runs.
    fn new() -> Self {
        let cluster = Cluster::new();
        let coordinators = vec![cluster.coordinator("c1"), cluster.coordinator("c2")];
        let worker = cluster.worker("w1", 4);
        let running = cluster.put("sleep 8");
        let _ = cluster.assignee(&running);
        Self { cluster, coordinators, _worker: worker, running }
    }

    fn ruling(&self) -> (&Process, String) {
        let ruler = self.cluster.ruler();
        (self.coordinators.iter().find(|c| c.name() == ruler).expect("it is one of ours"), ruler)
    }

    /// New tasks are served, and what ran was left alone.
    fn goes_on(&self) {
        let task = self.cluster.put("true");
        assert_eq!(self.cluster.status_of(&task), "done");
        assert_eq!(self.cluster.status_of(&self.running), "done");
        assert_eq!(self.cluster.history().assignments(&self.running), 1, "a task of a living worker is not assigned again");
    }
}

fn is_active(coordinator: &Process) -> f64 {
    coordinator.metrics().map_or(-1.0, |metrics| metrics.value("bellwether_master_is_active", &[]))
}

#[test]
fn a_killed_master_is_followed() {
    let _scenario = Scenario::of("F1");
    let house = House::new();
    let (master, ruler) = house.ruling();
    master.kill9();
    let next = house.cluster.ruler_after(&ruler);
    house.goes_on();
    let successor = house.coordinators.iter().find(|c| c.name() == next).expect("one of ours");
    eventually(SOON, "the leader gauge", || is_active(successor) == 1.0);
    let metrics = successor.metrics().expect("a scrape");
    assert_eq!(metrics.value("bellwether_failovers_total", &[("reason", "session_ended")]), 1.0);
}

#[test]
fn a_master_that_is_asked_to_stop_hands_over() {
    let _scenario = Scenario::of("F2");
    let house = House::new();
    let (master, ruler) = house.ruling();
    assert_eq!(master.terminate(Duration::from_secs(10)), 0);
    let _ = house.cluster.ruler_after(&ruler);
    house.goes_on();
    let history = house.cluster.tree().text("/bellwether/epoch").expect("the history of terms");
    assert!(history.contains("it was asked to stop"), "the successor quotes the farewell: {history}");
}

#[test]
fn a_master_that_froze_comes_back_as_a_standby() {
    let _scenario = Scenario::of("F3");
    let house = House::new();
    let (master, ruler) = house.ruling();
    master.pause();
    let _ = house.cluster.ruler_after(&ruler);
    house.goes_on();
    master.resume();
    eventually(SOON, "the old master shows no leadership", || is_active(master) == 0.0);
    eventually(SOON, "the old master stands by", || {
        let metrics = master.metrics()?;
        let standby = metrics.value("bellwether_coordinator_state", &[("state", "standby")]);
        if standby == 1.0 { Ok(()) } else { Err(anyhow::anyhow!("standby = {standby}")) }
    });
    let (_, rules) = house.ruling();
    assert_ne!(rules, ruler);
    // Whoever follows must be able to: the old one rules again when the new one goes.
    let (second, second_name) = house.ruling();
    second.kill9();
    assert_eq!(house.cluster.ruler_after(&second_name), ruler);
}

#[test]
fn an_office_deleted_by_hand_is_taken_anew() {
    let _scenario = Scenario::of("F35");
    let house = House::new();
    let before = house.cluster.tree().stat("/bellwether/epoch").expect("an epoch").version;
    for _ in 0..3 {
        let czxid = house.cluster.tree().stat("/master").map(|stat| stat.czxid);
        house.cluster.tree().delete("/master");
        eventually(SOON, "a new office", || house.cluster.tree().stat("/master").filter(|stat| Some(stat.czxid) != czxid));
        assert_eq!(house.cluster.status_of(&house.cluster.put("true")), "done");
    }
    house.goes_on();
    let after = house.cluster.tree().stat("/bellwether/epoch").expect("an epoch").version;
    assert!(after >= before + 3, "{before} .. {after}");
}

#[test]
fn an_epoch_deleted_by_hand_is_made_anew() {
    let _scenario = Scenario::of("F35");
    let house = House::new();
    house.cluster.tree().delete("/bellwether/epoch");
    let task = house.cluster.put("true");
    assert_eq!(house.cluster.status_of(&task), "done");
    house.goes_on();
    assert!(house.cluster.tree().exists("/bellwether/epoch"));
}

#[test]
fn a_persistent_office_is_a_foreign_layout() {
    let _scenario = Scenario::of("F22");
    let cluster = Cluster::new();
    cluster.tree().create("/master", "somebody");
    let coordinator = cluster.coordinator("c1");
    assert_eq!(coordinator.exit_code(SOON), 78);
    assert!(coordinator.log().contains("/master"), "{}", coordinator.log());
}
