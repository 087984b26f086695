//! Tasks that take their workers down with them.

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

/// Waits for a file named after its attempt, and then kills its worker.
const POISON: &str = "echo $BELLWETHER_ATTEMPT >> poison; until [ -e go$BELLWETHER_ATTEMPT ]; do sleep 0.02; done; kill -9 $PPID";

fn submit(cluster: &Cluster, options: &[&str], line: &str) -> String {
    let line = format!("cd {}; {line}", cluster.dir().display());
    let arguments = [&["submit"], options, &["--", "sh", "-c", &line]].concat();
    cluster.cli(&arguments).success().lines()[0].to_owned()
}

fn runs_for_the(cluster: &Cluster, attempts: usize) {
    eventually(SOON, "the poison runs", || cluster.lines("poison").len() == attempts);
}

#[test]
fn the_last_attempt_of_a_poison_task_stays_alone_although_the_master_dies() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _first = cluster.worker("w1", 4);
    let poison = submit(&cluster, &["--max-worker-losses", "2", "--retries", "9"], POISON);
    runs_for_the(&cluster, 1);
    std::fs::write(cluster.dir().join("go1"), "").expect("written");
    let _second = cluster.worker("w2", 4);
    runs_for_the(&cluster, 2);
    // The next master finds it assigned, and may put nothing beside it.
    let ruler = cluster.ruler();
    coordinators.iter().find(|c| c.name() == ruler).expect("one of ours").kill9();
    let _ = cluster.ruler_after(&ruler);
    let _third = cluster.worker("w3", 1);
    let others: Vec<String> = (0..6).map(|_| submit(&cluster, &[], "echo $BELLWETHER_WORKER >> innocent")).collect();
    for task in &others {
        eventually(SOON, &format!("the status of {task}"), || cluster.tree().exists(&format!("/status/{task}")));
    }
    let workers = cluster.lines("innocent");
    assert!(workers.len() == 6 && workers.iter().all(|worker| worker.starts_with("w3-")), "{workers:?}");
    std::fs::write(cluster.dir().join("go2"), "").expect("written");
    let ended = cluster.cli(&["wait", &poison]).code(126);
    assert!(ended.stderr.contains("dead"), "{ended:#?}");
    assert_eq!(cluster.lines("poison").len(), 2, "losses are counted apart from failures");
    assert_eq!(cluster.tree().children("/bellwether/dead"), [poison]);
}
