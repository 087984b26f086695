//! Tasks that wait for others: they run when all have succeeded, and otherwise end as was asked, whoever rules meanwhile.

use bellwether_tests::history::{Promise, Step};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

fn submit(cluster: &Cluster, options: &[&str], line: &str) -> String {
    let line = format!("cd {}; {line}", cluster.dir().display());
    let arguments = [&["submit"], options, &["--", "sh", "-c", &line]].concat();
    cluster.cli(&arguments).success().lines()[0].to_owned()
}

fn result(cluster: &Cluster, task: &str) -> serde_json::Value {
    let status = eventually(SOON, &format!("the status of {task}"), || cluster.tree().get(&format!("/status/{task}")));
    serde_json::from_slice(&status).expect("JSON")
}

/// When, in ZooKeeper's order, something happened to a task first.
fn zxid_of(cluster: &Cluster, task: &str, is: impl Fn(&Step) -> bool) -> i64 {
    let history = cluster.history();
    history.tasks[task].iter().find(|(_, step)| is(step)).expect("it happened").0.zxid
}

#[test]
fn a_child_runs_after_all_that_it_waits_for_have_succeeded() {
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 4));
    let parents = [submit(&cluster, &[], "sleep 1; echo a >> order"), submit(&cluster, &[], "sleep 0.2; echo b >> order")];
    let child = submit(&cluster, &["--after", &parents[0], "--after", &parents[1]], "echo c >> order");
    let status = cluster.cli(&["status", &child, "-o", "json"]).success().json();
    assert_eq!((&status["state"], &status["after"][0]), (&"held".into(), &parents[0].as_str().into()), "{status}");
    assert_eq!(result(&cluster, &child)["outcome"], "succeeded");
    assert_eq!(cluster.lines("order"), ["b", "a", "c"]);
    let assigned = zxid_of(&cluster, &child, |step| matches!(step, Step::Assigned(_)));
    for parent in &parents {
        assert!(zxid_of(&cluster, parent, |step| matches!(step, Step::Ended(_))) < assigned, "{parent} ended before");
    }
    let late = submit(&cluster, &["--after", &parents[0]], "true");
    assert_eq!(result(&cluster, &late)["outcome"], "succeeded", "one that ended long before is waited for no longer");
}

#[test]
fn what_waits_for_a_task_that_fails_ends_as_was_asked_and_so_does_what_waits_for_that() {
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let parent = submit(&cluster, &[], "sleep 1; exit 3");
    let child = |what: &str| submit(&cluster, &["--after", &parent, "--after-failure", what], "echo run >> order");
    let [skipped, dead, run] = ["skip", "dead", "run"].map(child);
    let grandchild = submit(&cluster, &["--after", &skipped], "true");
    let result_of = |task: &str| {
        let result = result(&cluster, task);
        (result["outcome"].as_str().unwrap_or_default().to_owned(), result["reason"].as_str().unwrap_or_default().to_owned())
    };
    let (outcome, reason) = result_of(&skipped);
    assert_eq!(
        (outcome.as_str(), reason),
        ("cancelled", format!("skipped: {parent}, which it waits for, did not succeed: failed (exit=3)"))
    );
    assert_eq!(result_of(&run).0, "succeeded");
    assert_eq!(result_of(&dead).0, "dead");
    let (outcome, reason) = result_of(&grandchild);
    assert!(outcome == "cancelled" && reason.contains(&skipped), "{outcome}: {reason}");
    assert_eq!(cluster.lines("order"), ["run"]);
    let again = cluster.cli(&["dead", "retry", &dead]).success().lines()[0].to_owned();
    assert_eq!(result(&cluster, &again)["outcome"], "succeeded", "who retries it wants it run");
    let waited = cluster.cli(&["wait", &skipped]);
    assert!(waited.code == 126 && waited.stderr.contains(&parent), "{}", waited.stderr);
}

#[test]
fn what_waits_outlives_the_master_that_knew_for_what() {
    let cluster = Cluster::new();
    let mut coordinators = vec![cluster.coordinator("c1"), cluster.coordinator("c2"), cluster.coordinator("c3")];
    let _worker = cluster.worker("w1", 2);
    let line = |name: &str| format!("while ! [ -e {name} ]; do sleep 0.1; done");
    let parents = [submit(&cluster, &[], &line("first")), submit(&cluster, &[], &line("second"))];
    let child = submit(&cluster, &["--after", &parents[0], "--after", &parents[1]], "true");
    let mut kill_master = || {
        let ruler = cluster.ruler();
        let index = coordinators.iter().position(|c| c.name() == ruler).expect("one of ours");
        coordinators.remove(index).kill9();
        ruler
    };
    // One master sees the first end, the next one the second; the second ends while nobody rules.
    std::fs::write(cluster.dir().join("first"), "").expect("a file");
    let _ = result(&cluster, &parents[0]);
    let killed = kill_master();
    let _ = cluster.ruler_after(&killed);
    let _ = kill_master();
    std::fs::write(cluster.dir().join("second"), "").expect("a file");
    let _ = result(&cluster, &parents[1]);
    assert_eq!(result(&cluster, &child)["outcome"], "succeeded");
    assert_eq!(cluster.tree().children("/bellwether/held"), Vec::<String>::new());
}

#[test]
fn a_task_that_waits_is_cancelled_there_and_its_parent_may_vanish() {
    let cluster = Cluster::builder().unaudited(&[Promise::OnePlace]).start();
    let _coordinator = cluster.coordinator("c1");
    let parent = submit(&cluster, &["--delay", "1h"], "true");
    let child = submit(&cluster, &["--after", &parent], "true");
    let _ = cluster.cli(&["cancel", &child]).success();
    assert_eq!(result(&cluster, &child)["reason"], "somebody cancelled it");
    let other = submit(&cluster, &["--after", &parent], "true");
    cluster.tree().delete(&format!("/bellwether/held/{parent}"));
    let reason = result(&cluster, &other)["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("is nowhere"), "{reason}");
}

#[test]
fn bad_parents_are_refused_before_anything_is_submitted() {
    let cluster = Cluster::new();
    let refused = cluster.cli(&["submit", "--after", "task-nothing", "--", "true"]);
    assert!(refused.code == 125 && refused.stderr.contains("--after task-nothing: there is no such task"), "{}", refused.stderr);
    for bad in [&["--after", "a/b"][..], &["--after-failure", "skip"], &["--after", "t", "--after-failure", "retry"], &["--after", ""]] {
        assert_eq!(cluster.cli(&[&["submit"], bad, &["--", "true"]].concat()).code, 2, "{bad:?}");
    }
    for parent in ["/tasks", "/bellwether/held"] {
        assert_eq!(cluster.tree().children(parent), Vec::<String>::new());
    }
}
