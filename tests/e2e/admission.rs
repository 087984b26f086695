//! Too much work is kept out, and what is limited is assigned no faster than somebody wants, whoever rules.

use std::time::{Duration, Instant};

use bellwether_tests::history::Step;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};

const CLOSED: &str = "/bellwether/admission";

fn submit(cluster: &Cluster, options: &[&str]) -> String {
    let args = [&["submit"], options, &["--", "true"]].concat();
    cluster.cli(&args).code(0).stdout.trim().to_owned()
}

fn refused(cluster: &Cluster, options: &[&str]) -> String {
    let args = [&["submit"], options, &["--", "true"]].concat();
    cluster.cli(&args).code(125).stderr
}

fn closes(cluster: &Cluster) {
    eventually(SOON, "it closes", || cluster.tree().exists(CLOSED));
}

fn opens(cluster: &Cluster) {
    eventually(SOON, "it opens", || !cluster.tree().exists(CLOSED));
}

/// Another one takes over, and the one before is gone.
fn replace_master(cluster: &Cluster, old: &Process, name: &str) -> Process {
    old.kill9();
    let next = cluster.coordinator(name);
    assert_eq!(cluster.ruler_after(old.name()), name);
    next
}

#[test]
fn too_many_waiting_tasks_keep_more_out_until_there_is_room_and_whoever_rules() {
    let cluster = Cluster::builder().setting("coordinator.max_pending", "10").start();
    let master = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let tasks: Vec<String> = (0..10).map(|_| submit(&cluster, &[])).collect();
    closes(&cluster);
    let said = refused(&cluster, &[]);
    assert!(said.contains("not-admitted") && said.contains("coordinator.max_pending is 10") && said.contains("--wait-admission"), "{said}");
    let file = cluster.dir().join("more.jsonl");
    std::fs::write(&file, "{\"argv\": [\"true\"]}\n").expect("a file");
    assert!(cluster.cli(&["submit", "-f", &file.display().to_string()]).code(125).stderr.contains("not-admitted"));
    assert!(cluster.tree().children("/bellwether/groups").is_empty());
    assert!(cluster.cli(&["status"]).code(0).stdout.contains("no more work is taken in"));
    assert!(cluster.cli(&["doctor"]).stdout.contains("max_pending"));
    eventually(SOON, "the gauge", || master.metrics().is_ok_and(|metrics| metrics.value("bellwether_admission_closed", &[]) == 1.0));
    let since = cluster.tree().stat(CLOSED).expect("closed").mzxid;

    let _next = replace_master(&cluster, &master, "c2");
    eventually(SOON, "it has read everything", || cluster.ruler_now().as_deref() == Some("c2"));
    let _ = refused(&cluster, &["--wait-admission", "300ms"]);
    assert_eq!(cluster.tree().stat(CLOSED).map(|stat| stat.mzxid), Some(since), "it stays as it was, and is written on a change alone");
    // A client of another kind is not kept out, and nothing that was accepted is dropped.
    let foreign = cluster.put("true");
    let waits = cluster.cli_start(&["submit", "--wait-admission", "60s", "--", "true"]);
    let _worker = cluster.worker("w1", 2);
    let late = waits.finish(Duration::from_secs(60)).code(0).stdout.trim().to_owned();
    tasks.iter().chain([&late]).for_each(|task| assert!(cluster.status_of(task).contains("succeeded")));
    assert_eq!(cluster.status_of(&foreign), "done");
    opens(&cluster);
}

#[test]
fn a_quota_keeps_out_what_has_its_label_and_nothing_else() {
    let cluster = Cluster::builder().setting("coordinator.quota", "{ \"team=blue\" = 3 }").start();
    let master = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let blue: Vec<String> = (0..3).map(|_| submit(&cluster, &["--label", "team=blue"])).collect();
    closes(&cluster);
    assert!(refused(&cluster, &["--label", "team=blue"]).contains("its quota is 3"));
    let _ = submit(&cluster, &["--label", "team=red"]);
    let _ = submit(&cluster, &[]);
    let _next = replace_master(&cluster, &master, "c2");
    let _ = refused(&cluster, &["--label", "team=blue", "--label", "other=x"]);
    let _ = cluster.cli(&["cancel", &blue[0]]).code(0);
    opens(&cluster);
    let _ = submit(&cluster, &["--label", "team=blue"]);
}

#[test]
fn a_rate_is_kept_across_masters_and_holds_up_nothing_else() {
    let cluster = Cluster::builder().setting("coordinator.rate", "{ \"team=blue\" = \"4/s\" }").start();
    let master = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 16);
    let _ = cluster.registered("w1");
    let blue: Vec<String> = (0..12).map(|_| submit(&cluster, &["--label", "team=blue"])).collect();
    eventually(SOON, "some are done", || blue.iter().filter(|task| cluster.tree().exists(&format!("/status/{task}"))).count() >= 3);
    let _next = replace_master(&cluster, &master, "c2");
    let red = submit(&cluster, &["--label", "team=red"]);
    assert!(cluster.status_of(&red).contains("succeeded"));
    assert!(blue.iter().any(|task| cluster.tree().exists(&format!("/tasks/{task}"))), "others overtake them");
    blue.iter().for_each(|task| drop(cluster.status_of(task)));
    let history = cluster.history();
    let first = |task: &String| {
        let steps = history.tasks.get(task).into_iter().flatten();
        steps.filter(|(_, step)| matches!(step, Step::Assigned(_))).map(|(moment, _)| moment.time_ms).min().expect("assigned")
    };
    let mut times: Vec<i64> = blue.iter().map(first).collect();
    times.sort_unstable();
    // Four in a second, and a tenth of a second may be made up for; the log's times are those of whoever wrote it, a moment later.
    let spans: Vec<i64> = times.windows(5).map(|five| five[4] - five[0]).collect();
    assert!(spans.iter().all(|span| *span >= 800), "five within {spans:?} ms");
    assert!(cluster.tree().text("/bellwether/rates").is_some_and(|rates| rates.contains("\"4/s\"")));
}

#[test]
fn a_rate_counts_the_elements_of_an_array() {
    let cluster = Cluster::builder().setting("coordinator.rate", "{ \"team=blue\" = \"20/s\" }").start();
    let (_master, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 4));
    let _ = cluster.registered("w1");
    let begun = Instant::now();
    let array = cluster.cli(&["submit", "--count", "40", "--label", "team=blue", "--kind", "noop"]).code(0).stdout.trim().to_owned();
    assert!(cluster.status_of(&array).contains(r#""succeeded":40"#));
    // 39 of them wait for their share of time, of which a tenth of a second may be made up for.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_800), "40 elements at 20/s in {took:?}");
}

#[test]
fn impossible_limits_are_refused_with_their_key() {
    let cluster = Cluster::new();
    for (key, value, says) in [
        ("coordinator.quota", "{ \"blue\" = 3 }", "as \"team=blue\""),
        ("coordinator.quota", "{ \"team=blue\" = 0 }", "between 1 and"),
        ("coordinator.rate", "{ \"team=blue\" = \"10/d\" }", "\"10/s\""),
        ("coordinator.max_pending", "0", "between 1 and"),
    ] {
        let coordinator = cluster.coordinator_with("c1", &[(key, value)]);
        assert_eq!(coordinator.exit_code(SOON), 78);
        assert!(coordinator.log().contains(key) && coordinator.log().contains(says), "{}", coordinator.log());
    }
}
