//! Schedules: fired once for each tick, across masters, lost replies and changes by hand.

use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually, ticks};

use crate::faults::{becomes, metric};

fn every_second(cluster: &Cluster, name: &str, options: &[&str], command: &[&str]) {
    let arguments = [&["submit", "--every", "1s", "--name", name], options, &["--"], command].concat();
    let _ = cluster.cli(&arguments).success();
}

/// The tasks of a schedule that are or were there, by ZooKeeper's log.
fn made(cluster: &Cluster, schedule: &str) -> Vec<String> {
    let prefix = format!("{schedule}-");
    cluster.history().tasks.into_keys().filter(|task| task.starts_with(&prefix)).collect()
}

#[test]
fn each_tick_makes_one_task_whoever_rules() {
    let cluster = Cluster::new();
    let counted = ticks::run(&cluster, 10, 2, 120);
    assert!(counted.doubled.is_empty() && counted.missing.is_empty(), "{counted:?}");
    assert!(counted.ticks >= 120 && counted.terms >= 3, "{counted:?}");
}

#[test]
fn a_lost_reply_of_a_firing_neither_doubles_nor_loses_a_tick() {
    for fault in [Fault::LoseReply, Fault::LoseRequest] {
        let cluster = Cluster::new();
        let proxy = cluster.proxy();
        let coordinator = cluster.coordinator_with("c1", &[("zookeeper.connect", &cluster.through(&proxy))]);
        let firing = proxy.rule(Rule::on(Operation::Multi).with(Operation::SetData, "/bellwether/schedules/").then(fault));
        every_second(&cluster, "s", &["--missed", "all"], &["true"]);
        firing.strikes(1);
        eventually(SOON, "more ticks", || cluster.tree().children("/tasks").len() >= 4);
        let counted = ticks::count(&cluster.history());
        assert!(counted.doubled.is_empty() && counted.missing.is_empty() && counted.ticks >= 4, "{fault:?}: {counted:?}");
        assert!(metric(&coordinator, "bellwether_schedule_ticks_total", &[("result", "fired")]).is_some_and(|ticks| ticks >= 3.0));
    }
}

#[test]
fn a_paused_schedule_rests_and_its_ticks_are_not_missed_and_a_deleted_one_ends() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    every_second(&cluster, "s", &["--missed", "all"], &["true"]);
    eventually(SOON, "its first task", || !made(&cluster, "s").is_empty());
    let _ = cluster.cli(&["schedule", "pause", "s"]).success();
    becomes(&coordinator, "bellwether_schedules", &[], 0.0);
    let before = made(&cluster, "s").len();
    // Time passes by the ticks of another one.
    every_second(&cluster, "other", &[], &["true"]);
    eventually(SOON, "three seconds", || made(&cluster, "other").len() >= 3);
    assert_eq!(made(&cluster, "s").len(), before, "it is paused");
    let _ = cluster.cli(&["schedule", "resume", "s"]).success();
    eventually(SOON, "the next task", || made(&cluster, "s").len() > before);
    let counted = ticks::count(&cluster.history());
    assert!(counted.missing.iter().filter(|tick| tick.starts_with("s ")).count() >= 2, "what was paused was not made up for: {counted:?}");
    let _ = cluster.cli(&["schedule", "delete", "s", "other"]).success();
    becomes(&coordinator, "bellwether_schedules", &[], 0.0);
    assert_eq!(cluster.tree().children("/bellwether/schedules"), Vec::<String>::new());
}

#[test]
fn a_tick_gets_no_task_while_the_one_before_goes_on() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 2);
    let file = cluster.dir().join("go");
    let line = format!("until [ -e {} ]; do sleep 0.1; done", file.display());
    every_second(&cluster, "s", &["--overlap", "skip"], &["sh", "-c", &line]);
    eventually(SOON, "ticks that were left out", || {
        metric(&coordinator, "bellwether_schedule_ticks_total", &[("result", "overlap")]).is_some_and(|ticks| ticks >= 2.0)
    });
    let first = made(&cluster, "s");
    assert_eq!(first.len(), 1, "one goes on");
    std::fs::write(file, "").expect("written");
    eventually(SOON, "the next one", || made(&cluster, "s").len() >= 2);
    let status = cluster.cli(&["status", &first[0], "-o", "json"]).success().json();
    assert_eq!(status["state"], "succeeded");
}

#[test]
fn garbage_among_schedules_disturbs_no_other() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    cluster.tree().create("/bellwether/schedules/garbage", "\u{0}");
    let never = r#"{"bellwether":1,"cron":"0 0 31 2 *","task":{"bellwether":1,"shell":"true"}}"#;
    cluster.tree().create("/bellwether/schedules/never", never);
    every_second(&cluster, "s", &[], &["true"]);
    eventually(SOON, "its tasks", || made(&cluster, "s").len() >= 2);
    let list = cluster.cli(&["schedule", "list"]).success();
    assert!(list.stdout.contains("does not decode") && list.stdout.contains("never fires"), "{list:#?}");
}
