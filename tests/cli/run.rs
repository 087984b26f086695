//! `bellwether run`: the output, and the task's own code.

use bellwether_tests::eventually;
use bellwether_tests::tasks::SOON;

use super::working;

#[test]
fn output_and_code_come_through_unchanged() {
    let (cluster, _coordinator, _worker) = working(2);
    let output = cluster.cli(&["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).code(7);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(cluster.cli(&["run", "--", "sh", "-c", "kill -9 $$"]).code, 128 + 9);
    let shell = cluster.cli(&["run", "--shell", "--", "echo $BELLWETHER_TASK | wc -l"]).success();
    assert_eq!(shell.stdout.trim(), "1");
    let own = cluster.cli(&["run", "--", "sh", "-c", "exit 124"]).code(124);
    assert_eq!(own.stderr, "", "the code is the task's own");
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
fn only_the_end_of_much_output_is_printed_and_that_is_said() {
    let (cluster, _coordinator, _worker) = working(1);
    let output = cluster.cli(&["run", "--", "sh", "-c", "seq 20000"]).success();
    assert!(output.stdout.ends_with("\n20000\n") && output.stdout.len() < 20_000, "{} bytes", output.stdout.len());
    assert!(
        output.stderr.contains("stdout: the last 16") && output.stderr.contains(" of 108894 bytes; the whole lies in "),
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
