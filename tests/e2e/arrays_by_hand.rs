//! What is kept of an array, changed by hand while it lives: said as an error, counted, and mended; each element is executed at least once.

use bellwether_core::protocol::array::PieceName;
use bellwether_tests::history::Promise;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};
use serde_json::{Value, json};

use crate::faults::metric;

const COUNT: u32 = 60;

/// The elements are nowhere, or `todo` is written by nobody in office: by our own hand.
fn cluster() -> Cluster {
    Cluster::builder().setting("coordinator.reconcile_interval", "\"1s\"").unaudited(&[Promise::P2, Promise::P3]).start()
}

fn below(child: &str) -> String {
    format!("/bellwether/arrays/a/{child}")
}

fn elements(cluster: &Cluster) -> Vec<u32> {
    let mut elements: Vec<u32> = cluster.lines("elements").iter().map(|line| line.parse().expect("a number")).collect();
    elements.sort_unstable();
    elements
}

/// An array that has run for a moment.
fn begun(cluster: &Cluster) {
    let _ = cluster.ruler();
    let shell = "sleep 0.05; echo $BELLWETHER_ELEMENT >> elements";
    cluster.tree().create("/tasks/a", json!({"bellwether": 1, "shell": shell, "array": {"count": COUNT}}).to_string());
    eventually(SOON, "some have run", || elements(cluster).len() >= 5);
}

/// It ends as if nothing had happened, and this master has said what did.
#[track_caller]
fn is_mended(cluster: &Cluster, master: &Process) {
    let status: Value = serde_json::from_str(&cluster.status_of("a")).expect("a JSON result");
    assert_eq!((&status["outcome"], &status["array"]["succeeded"]), (&"succeeded".into(), &COUNT.into()), "{status}");
    let mut ran = elements(cluster);
    ran.dedup();
    assert_eq!(ran, (0..COUNT).collect::<Vec<_>>());
    assert!(metric(master, "bellwether_array_damages_total", &[("result", "mended")]) >= Some(1.0));
    assert!(master.log().lines().any(|line| line.contains("ERROR") && line.contains("changed by hand")), "it is said");
    // What we did, and nothing that followed of it.
    let broken = cluster.history().violations;
    assert_eq!(broken.iter().map(|violation| violation.zxid).collect::<std::collections::BTreeSet<_>>().len(), 1, "{broken:?}");
}

/// A piece that was recorded when nobody ruled.
fn recorded(cluster: &Cluster) -> String {
    let piece = eventually(SOON, "a record", || {
        let children = cluster.tree().children("/bellwether/arrays/a");
        children.into_iter().find(|child| PieceName::parse(child).is_some())
    });
    below(&piece)
}

#[test]
fn what_is_recorded_of_a_piece_and_deleted_is_run_again() {
    let cluster = cluster();
    let (first, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    begun(&cluster);
    first.kill9();
    assert!(cluster.tree().delete(&recorded(&cluster)));
    is_mended(&cluster, &cluster.coordinator("c2"));
}

#[test]
fn a_record_that_says_nothing_any_more_is_run_again() {
    let cluster = cluster();
    let (first, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    begun(&cluster);
    first.kill9();
    cluster.tree().set(&recorded(&cluster), "Idle");
    let second = cluster.coordinator("c2");
    let status: Value = serde_json::from_str(&cluster.status_of("a")).expect("a JSON result");
    assert_eq!(status["array"]["succeeded"], COUNT, "{status}");
    assert!(second.log().lines().any(|line| line.contains("ERROR") && line.contains("changed by hand")), "it is said");
}

#[test]
fn todo_is_made_anew_when_it_is_deleted_or_says_nothing() {
    let harms: [fn(&Cluster); 2] =
        [|cluster| assert!(cluster.tree().delete(&below("todo"))), |cluster| cluster.tree().set(&below("todo"), "Idle")];
    for harm in harms {
        let cluster = cluster();
        let (coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
        begun(&cluster);
        harm(&cluster);
        is_mended(&cluster, &coordinator);
    }
}

#[test]
fn what_is_newer_is_left_alone_and_said() {
    let cluster = cluster();
    let coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    cluster.tree().create("/tasks/a", json!({"bellwether": 1, "argv": ["true"], "array": {"count": 3}}).to_string());
    let todo = eventually(SOON, "the array", || cluster.tree().text(&below("todo")));
    let newer = r#"{"bellwether":99,"elsewhere":true}"#;
    cluster.tree().set(&below("todo"), newer);
    let _worker = cluster.worker("w1", 1);
    let left = || metric(&coordinator, "bellwether_array_damages_total", &[("result", "left")]) >= Some(1.0);
    eventually(SOON, "it is said", left);
    assert_eq!(cluster.tree().text(&below("todo")).as_deref(), Some(newer));
    // Whoever wrote it can mend it.
    cluster.tree().set(&below("todo"), todo);
    assert!(cluster.status_of("a").contains("succeeded"));
}

#[test]
fn an_array_with_newer_results_is_not_mended_and_said() {
    // Also the results are written twice, by our own hand.
    let unaudited = [Promise::P2, Promise::P3, Promise::P4];
    let cluster = Cluster::builder().setting("coordinator.reconcile_interval", "\"1s\"").unaudited(&unaudited).start();
    let (master, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    begun(&cluster);
    // Until we have changed what we want to, nobody else changes anything.
    cluster.tree().create_all("/bellwether/paused");
    eventually(SOON, "all that is out is taken in", || {
        let out =
            || cluster.tree().children("/assign").iter().any(|worker| !cluster.tree().children(&format!("/assign/{worker}")).is_empty());
        let recorded = || cluster.tree().children("/bellwether/arrays/a").iter().any(|child| PieceName::parse(child).is_some());
        !out() && !recorded()
    });
    let results = below("results-0");
    let old = cluster.tree().text(&results).expect("results");
    let newer = r#"[{"bellwether":99,"elsewhere":true}]"#;
    cluster.tree().set(&results, newer);
    assert!(cluster.tree().delete(&below("todo")));
    assert!(cluster.tree().delete("/bellwether/paused"));
    let left = || metric(&master, "bellwether_array_damages_total", &[("result", "left")]) >= Some(1.0);
    eventually(SOON, "it is said", left);
    assert!(master.log().lines().any(|line| line.contains("ERROR") && line.contains(&results)), "which they are");
    assert!(!cluster.tree().exists(&below("todo")) && cluster.tree().text(&results).as_deref() == Some(newer));
    // Whoever wrote them can mend them.
    cluster.tree().set(&results, old);
    assert!(cluster.status_of("a").contains("succeeded"));
    assert_eq!(elements(&cluster), (0..COUNT).collect::<Vec<_>>(), "each has run once");
}

#[test]
fn a_newer_record_of_a_piece_is_left_alone_and_said() {
    let cluster = cluster();
    let (first, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    begun(&cluster);
    first.kill9();
    let record = recorded(&cluster);
    let old = cluster.tree().text(&record).expect("a record");
    let newer = r#"{"bellwether":99,"elsewhere":true}"#;
    cluster.tree().set(&record, newer);
    let second = cluster.coordinator("c2");
    let left = || metric(&second, "bellwether_array_damages_total", &[("result", "left")]) >= Some(1.0);
    eventually(SOON, "it is said", left);
    assert!(second.log().lines().any(|line| line.contains("ERROR") && line.contains(&record)), "which it is");
    assert_eq!(cluster.tree().text(&record).as_deref(), Some(newer));
    assert!(!cluster.tree().exists("/status/a"), "nobody knows what became of those elements");
    // Whoever wrote it can mend it.
    cluster.tree().set(&record, old);
    assert!(cluster.status_of("a").contains("succeeded"));
    assert_eq!(elements(&cluster), (0..COUNT).collect::<Vec<_>>(), "each has run once");
}
