//! `bellwether master step-down`: the office goes to a standby, and who had it stands by behind the others.

use bellwether_tests::history::History;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};

/// How long nobody ruled before the last term, by ZooKeeper's log.
fn gap_ms(history: &History) -> i64 {
    let [.., old, new] = history.terms.as_slice() else { panic!("two terms: {:?}", history.terms) };
    new.taken.time_ms - old.vacated.expect("it ended").time_ms
}

/// The coordinators of the queue, the first in line first.
fn queue(cluster: &Cluster) -> Vec<String> {
    let mut places = cluster.tree().children("/bellwether/standbys");
    places.sort_by_key(|place| place.rsplit('-').next().map(str::to_owned));
    let name = |place: &String| {
        let record = cluster.tree().text(&format!("/bellwether/standbys/{place}"))?;
        serde_json::from_str::<serde_json::Value>(&record).ok()?["name"].as_str().map(str::to_owned)
    };
    places.iter().filter_map(name).collect()
}

fn stands_by(cluster: &Cluster, who: &[&str]) {
    eventually(SOON, "the queue", || queue(cluster) == who);
}

#[test]
fn a_master_that_is_asked_to_step_down_stands_by_behind_the_others() {
    let cluster = Cluster::new();
    let coordinators: Vec<Process> = ["c1", "c2", "c3"]
        .into_iter()
        .map(|name| {
            let coordinator = cluster.coordinator(name);
            eventually(SOON, "its place", || cluster.ruler_now().as_deref() == Some(name) || queue(&cluster).iter().any(|one| one == name));
            coordinator
        })
        .collect();
    let _worker = cluster.worker("w1", 2);
    let running = cluster.put("sleep 3");
    let _ = cluster.assignee(&running);

    let said = cluster.cli(&["master", "step-down", "--reason", "new disks"]).code(0).stdout;
    assert!(said.contains("c1 stepped down") && said.contains("c2 rules"), "{said}");
    assert!(gap_ms(&cluster.history()) <= 200, "{} ms", gap_ms(&cluster.history()));
    stands_by(&cluster, &["c3", "c1"]);
    let history = cluster.cli(&["master", "history"]).code(0).stdout;
    assert!(history.contains("it was asked to step down by") && history.contains("new disks"), "{history}");

    // What is left of the wish, or is asked again for that term, says nothing to the next one.
    eventually(SOON, "the wish is removed", || !cluster.tree().exists("/bellwether/step-down"));
    let first = cluster.history().terms[0].epoch.expect("one of ours");
    cluster.tree().create("/bellwether/step-down", format!(r#"{{"bellwether":1,"epoch":{first}}}"#));
    eventually(SOON, "a late wish is removed", || !cluster.tree().exists("/bellwether/step-down"));
    cluster.tree().create("/bellwether/step-down", "garbage");
    eventually(SOON, "garbage is removed", || !cluster.tree().exists("/bellwether/step-down"));
    assert_eq!((cluster.ruler(), cluster.history().terms.len()), ("c2".to_owned(), 2));

    // In the middle of it the next in line dies; who stepped down follows.
    coordinators[2].kill9();
    let _ = cluster.cli(&["master", "step-down"]).code(0);
    eventually(SOON, "it rules again", || cluster.ruler_now().as_deref() == Some("c1"));
    assert_eq!(cluster.status_of(&running), "done");
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    assert_eq!(cluster.history().assignments(&running), 1, "nobody was disturbed");
}

#[test]
fn without_a_standby_nobody_steps_down_unless_it_is_forced() {
    let cluster = Cluster::new();
    let refused = cluster.cli(&["master", "step-down"]).code(125).stderr;
    assert!(refused.contains("nobody rules"), "{refused}");
    let _coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let refused = cluster.cli(&["master", "step-down"]).code(125).stderr;
    assert!(refused.contains("no-standby") && refused.contains("--force"), "{refused}");
    assert!(!cluster.tree().exists("/bellwether/step-down"));
    let said = cluster.cli(&["-o", "json", "master", "step-down", "--force"]).code(0).stdout;
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["before"]["name"], &said["after"]["name"]), (&"c1".into(), &"c1".into()));
    assert_eq!(said["before"]["epoch"].as_i64().map(|epoch| epoch + 1), said["after"]["epoch"].as_i64());
    assert!(queue(&cluster).is_empty());
}
