//! What the command says, whole: exit code, stdout and stderr of typical sessions, beside the texts under `snapshots/`. What differs from
//! run to run is replaced by a word. `UPDATE_REFERENCE=1 cargo test -p bellwether-tests --test cli snapshots` writes them anew.

mod session;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

use super::working;
use session::Session;

#[test]
fn success() {
    let (cluster, _coordinator, _worker) = working(1);
    let mut session = Session::of(&cluster);
    session.types(&["run", "--name", "greeting", "-l", "job=hello", "--", "echo", "hello"]);
    session.types(&["submit", "--wait", "--", "true"]);
    session.types(&["wait", "last"]);
    session.types(&["result", "last"]);
    session.types(&["status", "last"]);
    session.types(&["list"]);
    session.types(&["-q", "wait", "last"]);
    session.types(&["wait", "last", "-o", "json"]);
    session.matches("success");
}

#[test]
fn failure() {
    let (cluster, _coordinator, _worker) = working(1);
    let mut session = Session::of(&cluster);
    session.types(&["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    session.types(&["wait", "last"]);
    session.types(&["result", "last"]);
    session.types(&["explain", "last"]);
    session.types(&["logs", "--stderr", "last"]);
    session.types(&["list", "--state", "failed", "-o", "name"]);
    session.types(&["run", "--", "/does/not/exist"]);
    session.types(&["retry", "last"]);
    session.types(&["wait", "last"]);
    session.matches("failure");
}

#[test]
fn timeout() {
    let (cluster, _coordinator, _worker) = working(1);
    let mut session = Session::of(&cluster);
    session.types(&["run", "--timeout", "300ms", "--", "sleep", "60"]);
    session.types(&["wait", "last"]);
    session.types(&["result", "last"]);
    session.matches("timeout");
}

#[test]
fn cancel() {
    let (cluster, _coordinator, _worker) = working(1);
    let mut session = Session::of(&cluster);
    let task = session.types(&["submit", "--", "sleep", "60"]).lines()[0].to_owned();
    let _ = cluster.assignee(&task);
    session.types(&["cancel", &task, "--reason", "enough"]);
    session.types(&["wait", &task]);
    session.types(&["cancel", &task]);
    session.types(&["cancel", "task-nope", "-o", "json"]);
    session.types(&["cancel", "all"]);
    session.matches("cancel");
}

#[test]
fn no_cluster() {
    let mut session = Session::alone();
    session.types(&["-z", "127.0.0.1:1", "--request-timeout", "2s", "status"]);
    session.types(&["-z", "127.0.0.1:1", "--request-timeout", "2s", "-o", "json", "submit", "--", "true"]);
    session.types(&["-z", "127.0.0.1:1/a//b", "status"]);
    session.matches("no-cluster");
}

#[test]
fn no_master_and_no_worker() {
    let cluster = Cluster::new();
    let mut session = Session::of(&cluster);
    let task = session.types(&["submit", "--", "true"]).lines()[0].to_owned();
    session.types(&["status"]);
    session.types(&["explain", &task]);
    session.types(&["master", "status"]);
    session.interrupts(&["wait", &task], "nobody rules");
    session.matches("no-master");

    let mut session = Session::of(&cluster);
    let _coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    session.types(&["explain", &task]);
    session.types(&["worker", "list"]);
    session.interrupts(&["wait", &task], "no worker is registered");
    session.matches("no-worker");
}

#[test]
fn bad_usage() {
    let mut session = Session::alone();
    for line in [
        &["frobnicate"][..],
        &["submit"],
        &["submit", "-ojsonl"],
        &["submit", "--lable", "a=b", "--", "true"],
        &["submit", "--timeout", "soon", "--", "true"],
        &["submit", "--delay", "1s", "--at", "2026-11-22T07:00:00Z", "--", "true"],
        &["submit", "--max-fails", "1", "--", "true"],
        &["submit", "-f", "/does/not/exist"],
        &["wait", "a/b"],
        &["wait", "b..a"],
        &["list", "--state", "running"],
        &["-o", "json", "wait"],
    ] {
        session.types(line);
    }
    session.matches("bad-usage");
}

#[test]
fn bad_configuration() {
    let mut session = Session::alone();
    let file = session.file("bad.toml", "[client]\noutput = \"loud\"\n[zookeeper]\nsession_timeout = \"soon\"\n");
    for line in [
        &["--set", "client.colour=x", "status"][..],
        &["--set", "zookeeper.session_timeout=-1s", "status"],
        &["-c", "/does/not/exist.toml", "status"],
        &["-c", &file, "status"],
        &["-o", "json", "-c", &file, "status"],
    ] {
        session.types(line);
    }
    session.matches("bad-configuration");
}

#[test]
fn a_group() {
    let cluster = Cluster::new();
    let mut session = Session::of(&cluster);
    let good = session.file("tasks.jsonl", "{\"shell\": \"true\", \"name\": \"first\"}\n{\"argv\": [\"false\"], \"after\": [\"first\"]}\n");
    let bad = session.file("bad.jsonl", "{\"shell\": \"true\"}\n{\"shel\": \"true\"}\n{\"shell\": \"true\", \"after\": [1]}\n");
    session.types(&["submit", "-f", &bad]);
    let group = session.types(&["submit", "-f", &good, "--name", "nightly", "--max-fails", "3"]).lines()[0].to_owned();
    session.types(&["status", &group]);
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    session.types(&["wait", &group]);
    session.types(&["list", "--group", &group]);
    session.types(&["retry", &group]);
    eventually(SOON, "its end", || cluster.cli(&["wait", "last"]).code == 1);
    session.types(&["cancel", "task-nope", &format!("{group}.0")]);
    session.matches("group");
}
