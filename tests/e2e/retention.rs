//! Results go when they are too old or too many, and never while somebody may wait for them.

use bellwether_tests::cluster::Builder;
use bellwether_tests::history::{Moment, Promise, Step};
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually, faults, is};

use crate::faults::{becomes, metric};

fn keeping(results: usize) -> Builder {
    Cluster::builder().setting("coordinator.status_max", &results.to_string())
}

fn results(cluster: &Cluster) -> Vec<String> {
    cluster.tree().children("/status")
}

/// The results that ended last, by ZooKeeper's log, in the order of their names.
fn youngest(cluster: &Cluster, count: usize) -> Vec<String> {
    let ended =
        |steps: &[(_, Step)]| steps.iter().find(|(_, step)| matches!(step, Step::Ended(_))).map(|(moment, _): &(Moment, _)| *moment);
    let mut all: Vec<_> = cluster.history().tasks.into_iter().filter_map(|(task, steps)| Some((ended(&steps)?, task))).collect();
    all.sort();
    let mut names: Vec<String> = all.into_iter().rev().take(count).map(|(_, task)| task).collect();
    names.sort();
    names
}

#[test]
fn the_oldest_of_too_many_results_go_with_their_details() {
    let cluster = keeping(5).start();
    let (coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let tasks = cluster.put_many("t-", (0..20).map(|_| "true".to_owned()));
    becomes(&coordinator, "bellwether_removed_total", &[("what", "results")], 15.0);
    let left = results(&cluster);
    assert_eq!(left, youngest(&cluster, 5));
    assert_eq!(cluster.tree().children("/bellwether/results"), left, "the details are theirs");
    becomes(&coordinator, "bellwether_results", &[], 5.0);
    assert_eq!(tasks.len(), 20);
    // The book's client removes a status and knows of no details.
    assert!(cluster.tree().delete(&format!("/status/{}", left[0])));
    becomes(&coordinator, "bellwether_removed_total", &[("what", "details")], 1.0);
    assert_eq!(cluster.tree().children("/bellwether/results"), left[1..]);
}

#[test]
fn what_somebody_may_wait_for_stays_until_he_has_gone() {
    let cluster = keeping(3).start();
    let (coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let go = cluster.dir().join("go");
    let first = cluster.put_many("a-", (0..3).map(|_| "true".to_owned()));
    eventually(SOON, "three results", || is(results(&cluster), &first));
    let line = format!("until [ -e {} ]; do sleep 0.1; done", go.display());
    let waited = cluster.cli_start(&["run", "--", "sh", "-c", &line]);
    eventually(SOON, "the sign of who waits", || cluster.tree().children("/bellwether/waiters").len() == 1);
    let then = cluster.put_many("b-", (0..9).map(|_| "true".to_owned()));
    becomes(&coordinator, "bellwether_results_kept_in_spite", &[], 9.0);
    assert_eq!(results(&cluster), then, "what had ended before he came has gone");
    std::fs::write(go, "").expect("written");
    assert_eq!(waited.finish(SOON).code, 0);
    eventually(SOON, "three results", || results(&cluster).len() == 3);
    becomes(&coordinator, "bellwether_results_kept_in_spite", &[], 0.0);
    eventually(SOON, "no sign", || cluster.tree().children("/bellwether/waiters").is_empty());
}

#[test]
fn a_waiter_who_was_killed_keeps_nothing_once_his_session_has_ended() {
    let cluster = keeping(2).start();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let slow = cluster.cli(&["submit", "--", "sleep", "3600"]).success().lines()[0].to_owned();
    let waiting = cluster.cli_start(&["wait", &slow]);
    let sign = eventually(SOON, "the sign of who waits", || cluster.tree().children("/bellwether/waiters").first().cloned());
    let says = cluster.tree().text(&format!("/bellwether/waiters/{sign}")).expect("its data");
    assert!(says.contains(&slow) && says.contains("by"), "{says}");
    waiting.signal(nix::sys::signal::Signal::SIGKILL);
    let _ = cluster.put_many("t-", (0..6).map(|_| "true".to_owned()));
    eventually(SOON, "two results", || results(&cluster).len() == 2);
    let _ = cluster.cli(&["cancel", &slow]).success();
}

#[test]
fn who_makes_his_sign_anew_while_the_master_looks_keeps_what_he_names() {
    let cluster = keeping(2).start();
    let proxy = cluster.proxy();
    let coordinator = cluster.coordinator_with("c1", &[("zookeeper.connect", &cluster.through(&proxy))]);
    let _ = cluster.ruler();
    let sign = |number: u32| format!("/bellwether/waiters/somebody-{number}");
    cluster.tree().create_ephemeral(&sign(1), r#"{"bellwether":1,"by":"somebody"}"#);
    let _worker = cluster.worker("w1", 1);
    let tasks = cluster.put_many("t-", (0..6).map(|_| "true".to_owned()));
    becomes(&coordinator, "bellwether_results_kept_in_spite", &[], 6.0);
    // He is listed, and is gone when he is looked at.
    let delay = Fault::Delay(std::time::Duration::from_secs(2));
    let listed = proxy.rule(Rule::on(Operation::GetChildren).below("/bellwether/waiters").then(delay));
    listed.strikes(1);
    cluster.tree().create_ephemeral(&sign(2), format!(r#"{{"bellwether":1,"by":"somebody","tasks":["{}"]}}"#, tasks[0]));
    assert!(cluster.tree().delete(&sign(1)));
    eventually(SOON, "two results", || results(&cluster).len() == 2);
    assert_eq!(results(&cluster), [tasks[0].clone(), tasks[5].clone()], "what he names, and the youngest");
}

#[test]
fn a_master_that_dies_in_the_middle_and_a_lost_reply_leave_no_more_than_may_be() {
    for fault in [Fault::LoseReply, Fault::LoseRequest] {
        let cluster = keeping(4).start();
        let proxy = cluster.proxy();
        let first = cluster.coordinator_with("c1", &[("zookeeper.connect", &cluster.through(&proxy))]);
        let removing = proxy.rule(Rule::on(Operation::Multi).with(Operation::Delete, "/status/").then(fault));
        let _worker = cluster.worker("w1", 4);
        let _ = cluster.put_many("t-", (0..12).map(|_| "true".to_owned()));
        removing.strikes(1);
        eventually(SOON, "four results", || results(&cluster).len() == 4);
        let _ = cluster.put_many("u-", (0..40).map(|_| "true".to_owned()));
        first.kill9();
        let _second = cluster.coordinator("c2");
        eventually(SOON, "the results of all", || cluster.history().unended().is_empty());
        eventually(SOON, "four results", || results(&cluster).len() == 4);
        assert_eq!(results(&cluster), youngest(&cluster, 4), "{fault:?}");
    }
}

#[test]
fn results_and_keys_go_when_they_are_old() {
    // With so few, one result more is reason enough for the janitor to list them anew.
    let cluster = Cluster::builder()
        .setting("coordinator.status_retention", "\"2s\"")
        .setting("coordinator.key_retention", "\"1s\"")
        .setting("coordinator.status_max", "10")
        .start();
    let (coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let _ = cluster.ruler();
    for guard in ["/bellwether/keys/old", "/bellwether/submitted/not-so-old"] {
        cluster.tree().create(guard, "");
    }
    let tasks = cluster.put_many("t-", (0..3).map(|_| "true".to_owned()));
    becomes(&coordinator, "bellwether_removed_total", &[("what", "results")], tasks.len() as f64);
    becomes(&coordinator, "bellwether_removed_total", &[("what", "keys")], 1.0);
    assert_eq!(cluster.tree().children("/bellwether/submitted"), ["not-so-old"], "its client may repeat it still");
}

#[test]
fn the_command_stays_quick_beside_many_results() {
    // Results out of nowhere: they are written by hand.
    let cluster = Cluster::builder().unaudited(&[Promise::P2, Promise::P4]).start();
    let coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let many = faults::sized("RESULTS", 20_000, 200_000);
    let status = |i: usize| if i.is_multiple_of(1000) { "failed exit=1" } else { "done" };
    for portion in (0..many).collect::<Vec<_>>().chunks(1000) {
        let multi =
            portion.iter().fold(bellwether_core::protocol::Multi::new(), |multi, i| multi.create(format!("/status/r-{i:06}"), status(*i)));
        cluster.tree().commit(&multi);
    }
    let mut slowest = std::time::Duration::ZERO;
    for arguments in [&["status"][..], &["list"], &["list", "--limit", "1000"], &["status", "r-000007"], &["result", "r-000007"]] {
        let took = cluster.cli(arguments).success().elapsed;
        println!("{many} results: bellwether {}: {} ms", arguments.join(" "), took.as_millis());
        slowest = slowest.max(took);
    }
    let failed = cluster.cli(&["list", "--state", "failed", "-o", "name", "--limit", "0"]).success();
    println!("{many} results: bellwether list --state failed --limit 0: {} ms", failed.elapsed.as_millis());
    assert_eq!(failed.lines().len(), many.div_ceil(1000));
    assert!(slowest < std::time::Duration::from_secs(if faults::is_long() { 2 } else { 10 }), "{slowest:?}");
    let known = || metric(&coordinator, "bellwether_results", &[]);
    eventually(SOON * 4, "the janitor knows them", || is(known(), &Some(many as f64)));
}
