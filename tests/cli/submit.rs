//! `bellwether submit`: ids on stdout, and with `--wait` the end of the task.

use super::working;
use bellwether_tests::Cluster;

#[test]
fn the_id_is_printed_in_every_form() {
    let cluster = Cluster::new();
    let table = cluster.cli(&["submit", "true"]).success();
    assert!(table.lines().len() == 1 && table.lines()[0].starts_with("task-"), "{table:#?}");
    assert_eq!(table.stderr, "");
    let json = cluster.cli(&["submit", "-o", "json", "true"]).success().json();
    assert_eq!((&json["bellwether"], json["tasks"].as_array().map(Vec::len)), (&1.into(), Some(1)));
    let name = cluster.cli(&["submit", "-o", "name", "true"]).success();
    let tasks = cluster.tree().children("/tasks");
    assert_eq!(tasks.len(), 3);
    assert!(tasks.iter().any(|task| task == name.lines()[0]) && tasks.iter().any(|task| json["tasks"][0] == *task), "{tasks:?}");
}

#[test]
fn submit_and_wait_ends_as_the_task_does() {
    let (cluster, _coordinator, _worker) = working(2);
    let output = cluster.cli(&["submit", "--wait", "--", "sh", "-c", "echo oh no >&2; exit 4"]).code(4);
    let id = output.lines()[0].to_owned();
    assert!(output.lines()[1].starts_with(&format!("{id}  failed  exit=4  w1-")), "{output:#?}");
    assert!(output.stderr.contains("the end of its stderr:\n  oh no\n"), "{output:#?}");
    let json = cluster.cli(&["submit", "--wait", "-o", "json", "true"]).success().json();
    assert_eq!((&json["results"][0]["outcome"], &json["missing"]), (&"succeeded".into(), &serde_json::json!([])));
}
