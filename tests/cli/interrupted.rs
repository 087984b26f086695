//! Ctrl-C ends the command, not the task, and says how to come back.

use std::time::Duration;

use bellwether_tests::{Cluster, eventually};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn the_task_goes_on_and_its_name_is_said() {
    let cluster = Cluster::new();
    let watch = ", or watch it with: bellwether logs -f ";
    for (args, signal, code, watched) in [
        (&["run", "-o", "name", "--", "true"][..], Signal::SIGINT, 130, true),
        (&["submit", "--wait", "--", "true"][..], Signal::SIGTERM, 143, false),
    ] {
        let run = cluster.cli_start(args);
        let id = eventually(SOON, "its id", || run.stdout().strip_suffix('\n').map(str::to_owned));
        run.signal(signal);
        let output = run.finish(SOON).code(code);
        let watch = if watched { format!("{watch}{id}") } else { String::new() };
        let last = format!("bellwether: interrupted: {id} goes on; come back with: bellwether wait {id}{watch}");
        assert_eq!(output.stderr.lines().last(), Some(last.as_str()), "{output:#?}");
        assert!(cluster.tree().exists(&format!("/tasks/{id}")));
    }
}

#[test]
fn before_anything_is_submitted_there_is_nothing_to_come_back_to() {
    let dir = std::sync::Arc::new(bellwether_tests::place::Dir::new("interrupted"));
    let run = bellwether_tests::CliRun::start(&["-z", "127.0.0.1:1", "run", "true"], &[], None, dir);
    eventually(SOON, "a word about the outage", || run.stderr().contains("no session with zookeeper at 127.0.0.1:1 yet"));
    run.signal(Signal::SIGINT);
    let output = run.finish(SOON).code(130);
    assert_eq!(output.stderr.lines().last(), Some("bellwether: interrupted: stopped before there was an answer"), "{output:#?}");
}

#[test]
fn a_wait_can_be_left_and_taken_up_again() {
    let cluster = Cluster::new();
    let ids: Vec<String> = (0..2).map(|_| cluster.cli(&["submit", "true"]).success().lines()[0].to_owned()).collect();
    let wait = cluster.cli_start(&["wait", &ids[0], &ids[1]]);
    eventually(SOON, "a hint, by which it waits", || wait.stderr().contains("nobody rules"));
    wait.signal(Signal::SIGINT);
    let output = wait.finish(SOON).code(130);
    assert!(output.stderr.contains(&format!("2 tasks go on; come back with: bellwether wait {} {}", ids[0], ids[1])), "{output:#?}");
}
