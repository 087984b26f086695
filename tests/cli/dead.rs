//! `bellwether dead`: letters are listed, retried and purged. And the options that lead there.

use std::time::Duration;

use bellwether_tests::{Cluster, eventually};

use super::working;

const SOON: Duration = Duration::from_secs(20);

/// A task that fails twice, unless the file `mended` is there. Its id.
fn fail(cluster: &Cluster) -> String {
    let line = format!("[ -e {}/mended ] || exit 9", cluster.dir().display());
    let args = ["submit", "--name", "nightly", "-l", "job=a", "--retries", "1", "--retry-backoff", "50ms", "--", "sh", "-c", &line];
    let id = cluster.cli(&args).success().lines()[0].to_owned();
    assert_eq!(cluster.cli(&["wait", &id]).code, 9, "the result is the failure");
    id
}

#[test]
fn a_letter_is_shown_everywhere_and_retried_once() {
    let (cluster, _coordinator, worker) = working(1);
    let id = fail(&cluster);
    let table = cluster.cli(&["dead", "list"]).success();
    assert!(table.stdout.contains(&id) && table.stdout.contains("exit=9") && table.stdout.contains("nightly"), "{table:#?}");
    let json = cluster.cli(&["dead", "list", "-o", "json", "-l", "job=a"]).success().json();
    assert_eq!((&json["letters"][0]["task"], &json["letters"][0]["failures"]), (&id.clone().into(), &2.into()));
    assert_eq!(cluster.cli(&["dead", "list", "-o", "name", "-l", "job=b"]).success().stdout, "");
    let dead = cluster.cli(&["list", "--state", "dead"]).success();
    assert!(dead.stdout.contains("exit=9, dead letter"), "{dead:#?}");
    assert!(cluster.cli(&["status"]).success().stdout.contains("1 dead letters"));
    assert!(cluster.cli(&["master", "status"]).success().stderr.contains("1 dead letters wait"));
    assert!(cluster.cli(&["status", &id]).success().stdout.contains(&format!("bellwether dead retry {id}")));

    assert_eq!(worker.terminate(SOON), 0);
    let again = cluster.cli(&["dead", "retry", &id]).success().lines()[0].to_owned();
    let status = cluster.cli(&["status", &again, "-o", "json"]).success().json();
    assert_eq!((&status["retry_of"], &status["attempt"], &status["failures"]), (&id.clone().into(), &1.into(), &0.into()));
    let twice = cluster.cli(&["dead", "retry", &id]).code(125);
    assert!(
        twice.stderr.contains(&format!("there is no dead letter of {id}")) && twice.stderr.contains("bellwether dead list"),
        "{twice:#?}"
    );
    std::fs::write(cluster.dir().join("mended"), "").expect("written");
    let _next = cluster.worker("w2", 1);
    assert_eq!(cluster.cli(&["wait", &again]).code, 0);
}

#[test]
fn letters_are_purged_by_name_by_label_and_all() {
    let (cluster, _coordinator, _worker) = working(1);
    let (first, second) = (fail(&cluster), fail(&cluster));
    let purged = cluster.cli(&["dead", "purge", &first, "task-nope"]).code(125);
    assert!(purged.lines() == [&first] && purged.stderr.contains("there is no dead letter of task-nope"), "{purged:#?}");
    assert!(cluster.cli(&["dead", "purge", "-l", "job=b"]).code(125).stderr.contains("there is no dead letter that matches -l job=b"));
    let json = cluster.cli(&["dead", "purge", "-o", "json", "-l", "job=a"]).success().json();
    assert_eq!(json["purged"], serde_json::json!([second]));
    assert!(cluster.cli(&["dead", "list"]).success().stderr.contains("no dead letters"));
    assert!(cluster.cli(&["dead", "purge", "all"]).code(125).stderr.contains("there is no dead letter that matches all"));
    assert_eq!(cluster.cli(&["result", &second]).success().code, 0, "the result stays");
}

#[test]
fn a_range_of_letters_has_both_its_ends() {
    let (cluster, _coordinator, _worker) = working(1);
    let letters: Vec<String> = (0..4).map(|_| fail(&cluster)).collect();
    let range = format!("{}..{}", letters[1], letters[2]);
    let purged = cluster.cli(&["dead", "purge", &range]).success();
    assert_eq!(purged.lines(), [&letters[1], &letters[2]]);
    let alone = cluster.cli(&["dead", "retry", &format!("{0}..{0}", letters[3])]).success();
    assert_eq!(alone.lines().len(), 1, "{alone:#?}");
    assert_eq!(cluster.cli(&["dead", "list", "-o", "name"]).success().lines(), [&letters[0]]);
}

#[test]
fn a_task_that_rests_is_shown_with_its_next_try() {
    let (cluster, _coordinator, _worker) = working(1);
    let args = ["submit", "--retries", "1", "--retry-backoff", "1h", "--", "false"];
    let id = cluster.cli(&args).success().lines()[0].to_owned();
    let status =
        eventually(SOON, "it rests", || Some(cluster.cli(&["status", &id]).success().stdout).filter(|status| status.contains("held")));
    assert!(status.contains("next try") && status.contains("2, 1 failed, 0 lost with their worker"), "{status}");
    let result = cluster.cli(&["result", &id]).code(125);
    assert!(result.stderr.contains("it is held, attempt 2 comes in "), "{result:#?}");
}

#[test]
fn a_time_that_has_passed_is_refused() {
    let cluster = Cluster::new();
    let passed = cluster.cli(&["submit", "--at", "2020-01-01T00:00:00Z", "true"]).code(2);
    assert!(passed.stderr.contains("it has passed, zookeeper's clock says "), "{passed:#?}");
    assert_eq!(cluster.tree().children("/tasks"), Vec::<String>::new());
}
