//! A worker whose session lives and which says nothing: what should be over long ago is ended by the master, whoever rules, and what may
//! take as long as it likes is left alone.

use bellwether_tests::dummy::dummy;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

#[test]
fn what_a_silent_worker_should_have_ended_ends_as_timed_out() {
    let cluster =
        Cluster::builder().setting("coordinator.silence_timeout", "\"1s\"").setting("coordinator.reconcile_interval", "\"1s\"").start();
    let first = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let silent = dummy(&cluster, "silent", 3, Some(1000));
    let me = format!("silent-{:016x}", silent.session());
    let submit = |options: &[&str]| {
        let task = cluster.cli(&[&["submit"], options, &["--", "true"]].concat()).code(0).stdout.trim().to_owned();
        eventually(SOON, "it is given to the silent worker", || cluster.assigned_to(&me).contains(&task));
        task
    };
    let timed = submit(&["--timeout", "1s", "--retries", "3"]);
    let unlimited = submit(&[]);
    // Its time is counted by whoever rules.
    first.kill9();
    let _second = cluster.coordinator("c2");
    let waited = cluster.cli(&["wait", &timed]).code(124);
    assert!(waited.stderr.contains("said nothing about it"), "{}", waited.stderr);
    let result = cluster.cli(&["-o", "json", "result", &timed]).json();
    assert_eq!((result["outcome"].as_str(), result["worker"].as_str()), (Some("timed-out"), Some(me.as_str())), "{result}");
    assert_eq!(cluster.assigned_to(&me), [unlimited.as_str()], "it is given to nobody again");
    // Whoever cannot hold out any longer is gone; then the other one is taken back.
    drop(silent);
    let _worker = cluster.worker("w1", 1);
    let _ = cluster.cli(&["wait", &unlimited]).code(0);
    cluster.assert_promises();
}
