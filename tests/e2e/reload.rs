//! SIGHUP: a running service reads its configuration again, takes over what is safe, and keeps the old one if the new one is wrong.

use std::time::Duration;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually, is};
use nix::sys::signal::Signal;

const LAST_RELOAD: &str = "bellwether_config_last_reload_successful";

/// Rewrites the service's configuration file and tells it so.
fn reconfigure(service: &Process, edit: impl FnOnce(String) -> String) {
    let file = service.log_path().with_extension("toml");
    let text = std::fs::read_to_string(&file).expect("its file");
    std::fs::write(&file, edit(text)).expect("its file");
    service.signal(Signal::SIGHUP);
}

fn last_reload(service: &Process) -> f64 {
    service.metrics().expect("a scrape").value(LAST_RELOAD, &[])
}

#[test]
fn a_worker_takes_over_what_is_safe_and_names_the_rest() {
    let cluster = Cluster::builder().setting("worker.kill_grace", "\"9s\"").setting("task.timeout", "\"0s\"").start();
    let (_coordinator, worker) = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    let long = cluster.put("sleep 300");
    let _ = cluster.registered("w1");
    eventually(SOON, "the task runs", || is(worker.metrics().expect("a scrape").value("bellwether_worker_slots_in_use", &[]), &1.0));
    assert!((last_reload(&worker) - 1.0).abs() < f64::EPSILON, "it has read its configuration once");

    let changed = [("timeout = \"0s\"", "timeout = \"1s\""), ("slots = 1", "slots = 3"), ("level = \"debug\"", "level = \"warn\"")];
    reconfigure(&worker, |text| changed.iter().fold(text, |text, (from, to)| text.replace(from, to)));
    eventually(SOON, "it names what waits", || worker.log().contains("changed keys wait for a restart"));
    let line = worker.log().lines().rfind(|line| line.contains("wait for a restart")).map(str::to_owned).expect("the line");
    assert!(line.contains("keys=\"worker.slots\""), "{line}");
    assert!(!worker.log().contains("configuration reloaded"), "the level of the log is taken over first, and this is below it");

    // What ran when the timeout came keeps its own; what starts later has the new one.
    let _ = cluster.cli(&["cancel", &long]).success();
    assert_eq!(cluster.status_of(&cluster.put("sleep 300")), "failed timeout");
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    assert!((worker.metrics().expect("a scrape").value("bellwether_worker_slots", &[]) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_bad_configuration_under_load_changes_nothing_and_is_seen() {
    let cluster = Cluster::builder().setting("coordinator.assign_batch", "8").start();
    let services = [cluster.coordinator("c1"), cluster.worker("w1", 4)];
    let tasks = cluster.put_many("load-", (0..200).map(|_| "true".to_owned()));
    for service in &services {
        // It has read its file once it listens.
        let _ = service.http();
        reconfigure(service, |text| text.replace("[zookeeper]", "[zookeeper]\nsesion_timeout = \"1s\"") + "\n[log.level]\nx = 1\n");
        eventually(SOON, "it is seen", || is(last_reload(service), &0.0));
        assert!(service.log().contains("configuration not reloaded, the old one stays"), "{}", service.log());
        reconfigure(service, |text| text.replace("\n[log.level]\nx = 1\n", ""));
        let told = format!("zookeeper.sesion_timeout ({}:", service.log_path().with_extension("toml").display());
        eventually(SOON, "it names key, file and line", || service.log().contains(&told));
        assert!(service.log().contains("did you mean zookeeper.session_timeout?"), "{}", service.log());
    }
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    for service in &services {
        assert!(last_reload(service).abs() < f64::EPSILON);
        reconfigure(service, |text| text.replace("\nsesion_timeout = \"1s\"", ""));
        eventually(SOON, "the next good one is taken", || is(last_reload(service), &1.0));
    }
}

#[test]
fn a_master_goes_on_with_its_new_settings() {
    let cluster = Cluster::builder().setting("coordinator.reconcile_interval", "\"1h\"").start();
    let coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let term = cluster.tree().stat("/master").expect("an office").czxid;
    let periodic = || coordinator.metrics().expect("a scrape").value("bellwether_resyncs_total", &[("cause", "periodic")]);
    assert!(periodic().abs() < f64::EPSILON);
    reconfigure(&coordinator, |text| text.replace("reconcile_interval = \"1h\"", "reconcile_interval = \"1s\""));
    eventually(SOON, "it compares every second", || periodic() >= 2.0);
    assert_eq!(cluster.tree().stat("/master").expect("an office").czxid, term, "it is still the same term");
    assert_eq!(coordinator.terminate(Duration::from_secs(20)), 0);
}
