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

/// Every node with the transactions that made it what it is.
fn fingerprint(cluster: &Cluster, path: &str, seen: &mut Vec<(String, Vec<u8>, String)>) {
    let stat = format!("{:?}", cluster.tree().stat(path));
    seen.push((path.to_owned(), cluster.tree().get(path).unwrap_or_default(), stat));
    let mut children = cluster.tree().children(path);
    children.sort();
    children.iter().for_each(|child| fingerprint(cluster, &format!("{}/{child}", path.trim_end_matches('/')), seen));
}

#[test]
fn a_dry_run_looks_at_everything_and_writes_nothing() {
    let cluster = Cluster::new();
    let first = cluster.cli(&["submit", "--key", "k", "--delay", "1h", "--", "true"]).success().lines()[0].to_owned();
    let file = cluster.dir().join("tasks.jsonl");
    std::fs::write(&file, "{\"argv\":[\"a\"]}\n{\"argv\":[\"b\"],\"after\":[0],\"slots\":9}\n").expect("a file");
    let file = file.display().to_string();
    let before = {
        let mut seen = Vec::new();
        fingerprint(&cluster, "/", &mut seen);
        seen
    };
    let dry = |args: &[&str]| cluster.cli(&[&["submit", "--dry-run"], args].concat());
    let task = dry(&["--retries", "3", "--require", "zone=eu", "--at", "2126-11-22T07:00:00Z", "--", "make", "all"]);
    assert!(task.code == 2 && task.stderr.contains("more than a year ahead"), "{task:#?}");
    let task = dry(&["--retries", "3", "--require", "zone=eu", "--after", &first, "--", "make", "all"]).success();
    let says = |what: &str| task.lines().iter().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == what);
    for line in ["would submit a task", "command make all", "retries 3", "admission open", "workers none is registered", "runs not at once"]
    {
        assert!(says(line), "{line}: {task:#?}");
    }
    assert!(task.stderr.contains("nothing was submitted"), "{task:#?}");
    let json = dry(&["-o", "json", "--key", "k", "--delay", "1h", "--", "true"]).success().json();
    assert_eq!((&json["dry_run"], &json["cluster"]["first"]), (&true.into(), &first.into()));
    assert_eq!((&json["tasks"][0]["held"], &json["tasks"][0]["envelope"]["argv"]), (&true.into(), &serde_json::json!(["true"])));
    assert!(dry(&["--key", "k", "--", "false"]).code(125).stderr.contains("key-taken"));
    assert!(dry(&["--after", "task-0000000000000000", "--", "true"]).code(125).stderr.contains("there is no such task"));
    let group = dry(&["-f", &file, "-o", "json"]).success().json();
    assert_eq!((&group["group"], group["tasks"].as_array().map(Vec::len)), (&2.into(), Some(2)));
    assert_eq!(group["cluster"]["prospects"].as_array().map(Vec::len), Some(2), "{group}");
    assert!(dry(&["-f", &file]).success().stdout.contains("a group of 2 tasks"));
    assert!(dry(&["--every", "5m", "--name", "nightly", "--", "true"]).success().stdout.contains("schedule nightly"));
    assert!(dry(&["--cron", "0 0 30 2 *", "--", "true"]).code == 2, "it never fires");
    std::fs::write(&file, "{\"argv\":[\"a\"]}\nnonsense\n").expect("a file");
    assert!(dry(&["-f", &file]).code(2).stderr.contains("line 2"));
    assert!(dry(&["--wait", "--", "true"]).code == 2 && dry(&["--stdin", "/does/not/exist", "cat"]).code == 2);
    let mut after = Vec::new();
    fingerprint(&cluster, "/", &mut after);
    assert_eq!(before, after, "nothing was written");
}

#[test]
fn a_dry_run_without_a_cluster_looks_at_what_can_be_looked_at() {
    let dir = std::sync::Arc::new(bellwether_tests::place::Dir::new("dry-run"));
    let dry = |args: &[&str]| {
        let args = [&["-z", "127.0.0.1:1", "--request-timeout", "1s", "submit", "--dry-run", "-o", "json"], args].concat();
        bellwether_tests::CliRun::start(&args, &[], None, dir.clone()).finish(bellwether_tests::tasks::SOON)
    };
    let nowhere = dry(&["--", "true"]).success();
    assert!(nowhere.json()["cluster"].is_null() && nowhere.stderr.contains("was not asked"), "{nowhere:#?}");
    assert!(dry(&["--", ""]).code(2).stderr.contains("there is no command in it"));
}

#[test]
fn a_dry_run_says_which_workers_could_run_it_and_whether_it_would_be_taken_in() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator_with("c1", &[("coordinator.max_pending", "1")]);
    let _worker = cluster.worker("w1", 2);
    let worker = cluster.registered("w1");
    let dry = |args: &[&str]| cluster.cli(&[&["submit", "--dry-run"], args].concat());
    assert!(dry(&["--", "true"]).success().stdout.contains(&format!("1 of 1 could run it: {worker}")));
    assert!(dry(&["--slots", "3", "--", "true"]).success().stdout.contains("none of 1 could run it: it has 2 slots in all"));
    let _ = cluster.cli(&["submit", "--slots", "3", "--", "true"]).success();
    bellwether_tests::eventually(bellwether_tests::tasks::SOON, "the door to close", || cluster.tree().exists("/bellwether/admission"));
    let closed = dry(&["--", "true"]).code(125);
    assert!(closed.stderr.contains("not-admitted") && closed.stdout.contains("closed: 1 tasks were waiting"), "{closed:#?}");
}

/// Room that is kept for a task that goes before holds another one up, and keeps nobody from being able to run that.
#[test]
fn room_that_is_kept_for_another_task_is_named_and_excludes_nobody_for_good() {
    let cluster = Cluster::builder().setting("coordinator.lookahead", "0").start();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 2);
    let worker = cluster.registered("w1");
    let submit = |args: &[&str]| cluster.cli(&[&["submit"], args].concat()).success().lines()[0].to_owned();
    let narrow = submit(&["--", "sleep", "60"]);
    let _ = cluster.assignee(&narrow);
    let wide = submit(&["--slots", "2", "--", "true"]);
    let behind = submit(&["--", "true"]);
    bellwether_tests::eventually(bellwether_tests::tasks::SOON, "it is said", || {
        let explained = cluster.cli(&["explain", &behind]).success().stdout;
        if explained.contains(&format!("what is free of it is kept for {wide}, which goes before")) { Ok(()) } else { Err(explained) }
    });
    let dry = cluster.cli(&["submit", "--dry-run", "--", "true"]).success();
    assert!(dry.stdout.contains(&format!("1 of 1 could run it: {worker}")), "{dry:#?}");
}
