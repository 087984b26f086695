//! Which tasks a command is about: `last`, ranges, labels, `all`. And what is made of ended tasks: `explain`, `history`, `retry`.

use std::time::Duration;

use bellwether_tests::{Cluster, eventually};

use super::working;

const SOON: Duration = Duration::from_secs(20);

fn submit(cluster: &Cluster, args: &[&str]) -> String {
    cluster.cli(&[&["submit"][..], args].concat()).success().lines()[0].to_owned()
}

#[test]
fn ended_tasks_are_found_by_label_range_and_last() {
    let (cluster, _coordinator, _worker) = working(2);
    let first = submit(&cluster, &["-l", "job=a", "--name", "one", "--", "true"]);
    let second = submit(&cluster, &["-l", "job=a", "--", "sh", "-c", "exit 3"]);
    let third = submit(&cluster, &["-l", "job=b", "--", "true"]);
    assert_eq!(cluster.cli(&["wait", "-l", "job=a"]).code, 1, "one of them failed");
    let last = cluster.cli(&["wait", "last", "-o", "name"]).success();
    assert_eq!(last.lines(), [&third]);
    let labelled = cluster.cli(&["list", "-l", "job=a", "--sort", "task", "-o", "json"]).success().json();
    assert_eq!((&labelled["tasks"][0]["task"], &labelled["tasks"][0]["name"]), (&first.clone().into(), &"one".into()));
    let lines = cluster.cli(&["list", "-l", "job=a", "-o", "jsonl"]).success().json_lines();
    assert_eq!((lines.len(), &lines[0]["bellwether"]), (2, &1.into()));
    let range = cluster.cli(&["wait", &format!("{first}..{second}"), "-o", "jsonl"]).code(1).json_lines();
    assert_eq!(range.len(), 2);
    let wide = cluster.cli(&["list", "-o", "wide", "--time", "iso"]).success();
    assert!(wide.lines()[0].contains("SUBMITTER") && wide.lines()[1].contains(&format!("{third}  succeeded")), "{wide:#?}");
    assert!(wide.lines()[1].contains("job=b") && wide.lines()[1].contains("T"), "{wide:#?}");
    assert_eq!(cluster.cli(&["submit", "-o", "quiet", "--", "true"]).success().lines().len(), 1, "an id cannot be asked for again");
    assert_eq!(cluster.cli(&["list", "-o", "quiet"]).success().stdout, "");
}

#[test]
fn what_failed_is_run_again_as_it_was() {
    let (cluster, _coordinator, _worker) = working(1);
    let failed = submit(&cluster, &["-l", "job=a", "--env", "A=7", "--retries", "0", "--", "sh", "-c", "exit $A"]);
    let fine = submit(&cluster, &["-l", "job=a", "--", "true"]);
    assert_eq!(cluster.cli(&["wait", &failed, &fine]).code, 1);
    let retried = cluster.cli(&["retry", "-l", "job=a", "-o", "json"]).success().json();
    assert_eq!((retried["retries"][0]["dead"].as_str(), retried["retries"].as_array().map(Vec::len)), (Some(failed.as_str()), Some(1)));
    let again = retried["retries"][0]["task"].as_str().expect("an id").to_owned();
    assert_eq!(cluster.cli(&["wait", "last"]).code, 7, "the same command in the same environment");
    let status = cluster.cli(&["list", "-l", "job=a", "-o", "json"]).success().json();
    assert_eq!(status["tasks"].as_array().map(Vec::len), Some(3), "it keeps its labels: {status}");
    let steps = cluster.cli(&["history", &again, "-o", "json"]).success().json();
    let what: Vec<&str> = steps["steps"].as_array().into_iter().flatten().filter_map(|step| step["what"].as_str()).collect();
    assert_eq!(
        (what.first(), what.iter().filter(|what| **what == "attempt").count(), what.last()),
        (Some(&"submitted"), 1, Some(&"ended"))
    );
    let ended = cluster.cli(&["explain", &fine]).success();
    assert!(ended.stdout.contains("it has ended: exit=0") && ended.stderr.contains(&format!("bellwether retry {fine}")), "{ended:#?}");
    let waiting = submit(&cluster, &["--require", "zone=eu", "--", "true"]);
    let not_ended = cluster.cli(&["retry", &waiting]).code(125);
    assert!(not_ended.stderr.contains("has not ended; cancel it first"), "{not_ended:#?}");
    let why = cluster.cli(&["explain", "last", "-o", "json"]).success().json();
    assert_eq!((&why["reasons"][0]["code"], &why["workers"][0]["excluded"][0]["code"]), (&"no-worker-fits".into(), &"label".into()));
    let _ = cluster.cli(&["cancel", "all", "--reason", "enough"]).success();
    assert_eq!(cluster.cli(&["wait", &waiting]).code, 126);
}

#[test]
fn the_history_of_the_office_knows_why_each_term_ended() {
    let cluster = Cluster::new();
    let first = cluster.coordinator("c1");
    eventually(SOON, "a master", || cluster.cli(&["master", "status", "-o", "name"]).success().stdout == "c1\n");
    let _second = cluster.coordinator("c2");
    eventually(SOON, "a standby", || cluster.cli(&["master", "status", "-o", "json"]).success().json()["standbys"][0]["name"] == "c2");
    assert_eq!(first.terminate(SOON), 0);
    let terms = eventually(SOON, "the next term", || {
        let history = cluster.cli(&["master", "history", "-o", "json"]).success().json();
        (history["terms"][1]["rules"] == true).then_some(history)
    });
    assert_eq!((&terms["terms"][0]["name"], &terms["terms"][0]["rules"]), (&"c1".into(), &false.into()));
    assert!(terms["terms"][0]["ended"].as_str().is_some_and(|why| !why.contains("session")), "it said why: {terms}");
    assert!(terms["terms"][1]["vacant_ms"].is_u64(), "its successor saw the vacancy begin: {terms}");
    let table = cluster.cli(&["master", "history"]).success();
    assert!(table.stdout.contains("NOBODY BEFORE") && table.stdout.contains("rules"), "{table:#?}");
}

#[test]
fn logs_and_results_to_forget_are_selected_too() {
    let (cluster, _coordinator, _worker) = working(1);
    let run = |label: &str, word: &str| {
        let run = cluster.cli(&["run", "-o", "json", "-l", label, "--", "echo", word]).success().json();
        run["task"].as_str().expect("an id").to_owned()
    };
    let (first, second, third) = (run("job=a", "one"), run("job=b", "two"), run("job=a", "three"));
    let logs = cluster.cli(&["logs", "-l", "job=a"]).success();
    assert!(logs.stdout == "three\none\n" && logs.stderr.contains(&format!("==> {first} <==")), "{logs:#?}");
    assert_eq!(cluster.cli(&["logs", "-f", "last"]).success().stdout, "three\n");
    let living = cluster.cli(&["submit", "-l", "job=a", "--delay", "1h", "--", "true"]).success().lines()[0].to_owned();
    let mut forgotten = cluster.cli(&["forget", "-l", "job=a", "-o", "json"]).success().json()["forgotten"].clone();
    forgotten.as_array_mut().expect("ids").sort_by_key(ToString::to_string);
    assert_eq!(forgotten, serde_json::json!([first, third]), "and not what lives");
    assert_eq!(cluster.cli(&["forget", &format!("{second}..{second}")]).success().lines(), [&second]);
    assert!(cluster.cli(&["forget", "all"]).code(125).stderr.contains("there is no task that has ended that matches all"));
    assert_eq!(cluster.cli(&["list", "-o", "name"]).success().lines(), [&living]);
}
