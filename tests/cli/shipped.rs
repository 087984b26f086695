//! Outputs that are shipped to a store survive their worker; a store that fails costs the copy and nothing else.

use std::fs;

use bellwether_tests::Cluster;

const LINES: u32 = 20_000;

fn lines(from: u32) -> String {
    (from..=LINES).map(|n| format!("{n}\n")).collect()
}

/// What the result says about where an output lies.
fn place(cluster: &Cluster, task: &str) -> serde_json::Value {
    cluster.cli(&["result", "-o", "json", task]).success().json()["output"].clone()
}

#[test]
fn an_output_survives_its_worker_in_the_store() {
    let cluster = Cluster::new();
    let store = cluster.dir().join("store");
    let setting = format!("\"file://{}\"", store.display());
    let (_coordinator, worker) = (cluster.coordinator("c1"), cluster.worker_with("w1", 1, &[("worker.output_store", &setting)]));
    let line = format!("seq {LINES}; echo oops >&2; [ $BELLWETHER_ATTEMPT = 2 ]");
    let args = ["submit", "--wait", "-q", "-o", "json", "--retries", "1", "--retry-backoff", "1ms..1ms", "--", "sh", "-c", &line];
    let task = cluster.cli(&args).success().json()["results"][0]["task"].as_str().expect("a task").to_owned();
    let output = place(&cluster, &task);
    let expected = format!("file://{}/{task}", store.display());
    assert_eq!((output["store"].as_str(), &output["problem"]), (Some(expected.as_str()), &serde_json::Value::Null), "{output}");
    worker.kill9();
    fs::remove_dir_all(cluster.dir().join("w1-output")).expect("its disk is gone, too");
    let whole = cluster.cli(&["logs", &task]).success();
    assert!(whole.stdout == lines(1), "{} bytes", whole.stdout.len());
    assert_eq!(whole.stderr, "oops\n");
    assert!(cluster.cli(&["logs", "--tail", "15000", &task]).success().stdout == lines(LINES - 14_999));
    assert!(cluster.cli(&["logs", "--attempt", "1", &task]).success().stdout == lines(1), "an earlier attempt");
}

#[test]
fn a_store_that_fails_costs_no_result() {
    let cluster = Cluster::new();
    let store = cluster.dir().join("store");
    fs::write(&store, "no directory").expect("written");
    let setting = format!("\"file://{}\"", store.display());
    let _house = (cluster.coordinator("c1"), cluster.worker_with("w1", 1, &[("worker.output_store", &setting)]));
    let run = cluster.cli(&["run", "-o", "json", "--", "sh", "-c", &format!("seq {LINES}; exit 3")]).code(3);
    let output = &run.json()["output"];
    let problem = output["problem"].as_str().expect("a problem");
    assert!(problem.starts_with("not shipped to worker.output_store: file://"), "{problem}");
    assert!(output["store"].is_null() && output["path"].is_string());
    let task = run.json()["task"].as_str().expect("a task").to_owned();
    assert!(cluster.cli(&["logs", &task]).success().stdout == lines(1), "the worker has it");
}
