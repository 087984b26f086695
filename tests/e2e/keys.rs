//! Submissions under a key: the same task once, however many submit it and whatever is lost.

use std::collections::BTreeSet;

use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

fn everywhere(cluster: &Cluster) -> usize {
    ["/tasks", "/bellwether/held", "/status"].iter().map(|parent| cluster.tree().children(parent).len()).sum()
}

#[test]
fn the_same_task_under_a_key_is_the_first_one_and_another_is_refused() {
    let cluster = Cluster::new();
    let submit = |arguments: &[&str]| cluster.cli(&[&["submit", "--key", "nightly/2026"], arguments].concat());
    let first = submit(&["--label", "a=b", "--", "true"]).success().lines()[0].to_owned();
    assert_eq!(submit(&["--label", "a=b", "--", "true"]).success().lines(), [first.as_str()]);
    assert_eq!(submit(&["--label", "a=b", "--delay", "1h", "--", "true"]).success().lines(), [first.as_str()], "a delay is no other task");
    for other in [&["--", "true"][..], &["--label", "a=b", "--", "false"]] {
        let refused = submit(other);
        assert!(refused.code == 125 && refused.stderr.contains("key-taken") && refused.stderr.contains(&first), "{}", refused.stderr);
    }
    assert_eq!(everywhere(&cluster), 1);
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    eventually(SOON, "its end", || cluster.tree().exists(&format!("/status/{first}")));
    assert_eq!(submit(&["--label", "a=b", "--", "true"]).success().lines(), [first.as_str()], "nor does it matter that it has ended");
    for bad in ["", "a\nb", &"x".repeat(1001)] {
        assert_eq!(cluster.cli(&["submit", "--key", bad, "--", "true"]).code, 2, "{bad:?}");
    }
}

#[test]
fn clients_that_race_under_a_key_submit_one_task() {
    let cluster = Cluster::new();
    let _ = cluster.cli(&["submit", "--delay", "1h", "--", "true"]).success();
    let raced: BTreeSet<String> = std::thread::scope(|scope| {
        let race = || cluster.cli(&["submit", "--key", "k", "--", "true"]).success().lines()[0].to_owned();
        let racing: Vec<_> = (0..6).map(|_| scope.spawn(race)).collect();
        racing.into_iter().map(|thread| thread.join().expect("a submission")).collect()
    });
    assert_eq!((raced.len(), everywhere(&cluster)), (1, 2), "{raced:?}");
}

#[test]
fn a_lost_reply_or_session_makes_no_second_task_under_a_key() {
    for fault in [Fault::LoseReply, Fault::LoseRequest] {
        let cluster = Cluster::new();
        let _ = cluster.cli(&["submit", "--delay", "1h", "--", "true"]).success();
        let proxy = cluster.proxy();
        let created = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/tasks/").then(fault));
        let output = cluster.cli_start_through(&proxy, &["submit", "--key", "k", "true"]).finish(SOON).success();
        assert!(created.struck() == 1 && created.matched() > 1, "{fault:?}: it was repeated");
        assert_eq!(cluster.tree().children("/tasks"), [output.lines()[0]], "{fault:?}");
        assert_eq!(cluster.tree().children("/bellwether/keys").len(), 1);
    }
}
