//! `bellwether run`: the output, and the task's own code.

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

use super::working;

#[test]
fn output_and_code_come_through_unchanged() {
    let (cluster, _coordinator, _worker) = working(2);
    let output = cluster.cli(&["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).code(7);
    assert_eq!(output.stdout, "out\n");
    let said = output.stderr.strip_prefix("err\n").unwrap_or_else(|| panic!("{output:#?}"));
    assert!(said.starts_with("task-") && said.contains(" failed, exit=7; see more with: bellwether result task-"), "{output:#?}");
    assert_eq!(cluster.cli(&["run", "--", "sh", "-c", "kill -9 $$"]).code, 128 + 9);
    let shell = cluster.cli(&["run", "--shell", "--", "echo $BELLWETHER_TASK | wc -l"]).success();
    assert_eq!(shell.stdout.trim(), "1");
    let own = cluster.cli(&["run", "--", "sh", "-c", "exit 124"]).code(124);
    assert!(!own.stderr.contains("bellwether: "), "the code is the task's own: {}", own.stderr);
    assert_eq!(cluster.cli(&["-q", "run", "--", "sh", "-c", "exit 3"]).code(3).stderr, "", "quiet is quiet");
}

#[test]
fn environment_directory_and_input_reach_the_command() {
    let (cluster, _coordinator, _worker) = working(1);
    let args = ["run", "--env", "GREETING=hi", "--cwd", "/", "--stdin", "-", "--", "sh", "-c", "cat; echo $GREETING; pwd"];
    let output = cluster.cli_with_stdin(&args, b"typed\n");
    assert_eq!((output.code, output.stdout.as_str()), (0, "typed\nhi\n/\n"), "{output:#?}");
}

#[test]
fn outcomes_of_ours_are_told_from_codes_of_theirs() {
    let (cluster, _coordinator, _worker) = working(1);
    let late = cluster.cli(&["run", "--timeout", "300ms", "--", "sleep", "60"]).code(124);
    assert!(late.stderr.lines().last().is_some_and(|line| line.starts_with("bellwether: timed-out: task-")), "{late:#?}");
    let json = cluster.cli(&["run", "-o", "json", "--timeout", "300ms", "--", "sleep", "60"]).code(124);
    assert_eq!(json.json()["outcome"], "timed-out");
    let missing = cluster.cli(&["run", "--", "/does/not/exist"]).code(127);
    assert!(missing.stderr.starts_with("bellwether: not-started: task-") && missing.stderr.contains("/does/not/exist"), "{missing:#?}");
}

#[test]
fn output_comes_while_the_task_runs_and_all_of_it() {
    let (cluster, _coordinator, _worker) = working(1);
    let gate = cluster.dir().join("gate");
    let line = format!("echo first; echo early >&2; until [ -e {} ]; do sleep 0.02; done; seq 200000; echo last", gate.display());
    let run = cluster.cli_start(&["run", "--", "sh", "-c", &line]);
    eventually(SOON, "what it wrote so far", || run.stdout() == "first\n" && run.stderr() == "early\n");
    std::fs::write(gate, "").expect("opened");
    let output = run.finish(SOON).success();
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(output.stdout == format!("first\n{expected}last\n"), "{} bytes", output.stdout.len());
    assert_eq!(output.stderr, "early\n");
}

#[test]
fn where_the_worker_cannot_be_reached_the_end_is_printed_and_the_key_named() {
    let cluster = Cluster::new();
    // Nobody listens there.
    let _house = (cluster.coordinator("c1"), cluster.worker_with("w1", 1, &[("http.advertise", "\"127.0.0.1:1\"")]));
    let output = cluster.cli(&["run", "--", "sh", "-c", "seq 20000; sleep 3"]).success();
    assert!(output.stdout.ends_with("\n20000\n") && output.stdout.len() < 20_000, "{} bytes", output.stdout.len());
    assert!(output.stderr.contains("cannot be followed on w1-") && output.stderr.contains("http.advertise"), "{}", output.stderr);
    assert!(
        output.stderr.contains("stdout: 92510 bytes before the last 16384 cannot be read: 127.0.0.1:1 does not answer"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let (cluster, _coordinator, _worker) = working(1);
    let bellwether = std::env::current_exe().expect("a path");
    let bellwether = bellwether.ancestors().nth(2).expect("the profile's directory").join("bellwether");
    let line = format!("{} -z {} run -- seq 20000 | head -n 0", bellwether.display(), cluster.connect_string());
    let piped = std::process::Command::new("/bin/sh").args(["-c", &line]).output().expect("a shell");
    let stderr = String::from_utf8_lossy(&piped.stderr);
    assert!(piped.status.success() && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn the_trace_of_whoever_submits_reaches_the_command_and_the_worker_s_log() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (cluster, _coordinator, worker) = working(1);
    let args = ["-z", &cluster.connect_string(), "run", "--", "sh", "-c", "echo $TRACEPARENT"];
    let dir = tempfile::tempdir().expect("a directory");
    let run = |variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(bellwether_tests::place::binary("bellwether"));
        command.args(args).env_remove("TRACEPARENT").envs(variables.iter().copied()).current_dir(dir.path());
        let output = command.output().expect("it runs");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    assert_eq!(run(&[("TRACEPARENT", TRACE)]), TRACE);
    eventually(SOON, "the trace in the log", || worker.log().contains("4bf92f3577b34da6a3ce929d0e0e4736"));
    let (own, other) = (run(&[]), run(&[("TRACEPARENT", "nonsense")]));
    assert!([&own, &other].iter().all(|trace| trace.len() == TRACE.len()) && own != other, "each begins a trace: {own}, {other}");
}
