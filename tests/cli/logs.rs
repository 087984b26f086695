//! `bellwether logs`: what a task wrote, while it runs and after, wherever that is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{CliRun, Cluster, eventually};

use super::working;

fn submit(cluster: &Cluster, options: &[&str], line: &str) -> String {
    let args = [&["submit"], options, &["--", "sh", "-c", line]].concat();
    cluster.cli(&args).success().stdout.trim().to_owned()
}

fn finish(run: CliRun) -> bellwether_tests::CliOutput {
    run.finish(SOON)
}

#[test]
fn a_task_is_followed_from_before_its_start_to_its_end_on_another_worker() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let gate = cluster.dir().join("gate");
    let line = format!("echo on attempt $BELLWETHER_ATTEMPT; until [ -e {} ]; do sleep 0.02; done; echo out; exit 4", gate.display());
    let task = submit(&cluster, &[], &line);
    let unborn = cluster.cli(&["logs", &task]).code(125);
    assert!(unborn.stderr.contains("is pending: attempt 1 has not begun; wait for it with: bellwether logs -f task-"), "{unborn:#?}");
    let follower = cluster.cli_start(&["logs", "-f", &task]);
    let first = cluster.worker("w1", 1);
    eventually(SOON, "the first attempt", || follower.stdout() == "on attempt 1\n");
    let now = cluster.cli(&["logs", &task]).success();
    assert_eq!(now.stdout, "on attempt 1\n", "what there is, without waiting");
    first.kill9();
    let _second = cluster.worker("w2", 1);
    eventually(SOON, "the second attempt", || follower.stdout().ends_with("on attempt 2\n"));
    fs::write(gate, "").expect("opened");
    let output = finish(follower).success();
    assert_eq!(output.stdout, "on attempt 1\non attempt 2\nout\n");
    assert!(output.stderr.contains(&format!("{task} goes on as attempt 2 on w2-")), "{output:#?}");
    let last = output.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("{task} failed: exit=4, attempt 2 on w2-")), "{output:#?}");
    let none = cluster.cli(&["logs", "--attempt", "3", &task]).code(125);
    assert!(none.stderr.contains("not-started") && none.stderr.contains("attempt 3 has not begun"), "{none:#?}");
    let lost = cluster.cli(&["logs", "--attempt", "1", &task]).code(125);
    assert!(lost.stderr.contains("bellwether: no-such-output: no worker is registered that could have"), "{lost:#?}");
}

#[test]
fn an_element_is_followed_and_of_an_array_one_is_to_be_named() {
    let cluster = Cluster::new();
    let gate = cluster.dir().join("gate");
    let line = format!("echo begins $BELLWETHER_ELEMENT; until [ -e {} ]; do sleep 0.02; done; echo ends; exit 3", gate.display());
    let array = submit(&cluster, &["--count", "2"], &line);
    let whole = cluster.cli(&["logs", "-f", &array]).code(2);
    assert!(whole.stderr.contains(&format!("bellwether logs {array}.0")), "{whole:#?}");
    // Before anybody has taken the array in.
    let waits = cluster.cli(&["status", &format!("{array}.1")]).success();
    assert!(waits.stdout.contains("pending"), "{waits:#?}");
    let beyond = cluster.cli(&["status", &format!("{array}.2")]).code(125);
    assert!(beyond.stderr.contains("bellwether: no-such-task: "), "{beyond:#?}");
    let follower = cluster.cli_start(&["logs", "-f", &format!("{array}.1")]);
    let first = cluster.cli_start(&["logs", "-f", &format!("{array}.0")]);
    let _house = (cluster.coordinator("c1"), cluster.worker("w1", 1));
    let begun = || if first.stdout() == "begins 0\n" { Ok(()) } else { Err(format!("{:?}", (first.stdout(), first.stderr()))) };
    eventually(SOON, "it begins", begun);
    fs::write(gate, "").expect("opened");
    for (follower, shown) in [(first, "begins 0\nends\n"), (follower, "begins 1\nends\n")] {
        let output = finish(follower).success();
        assert_eq!(output.stdout, shown, "{output:#?}");
        assert!(output.stderr.lines().last().is_some_and(|last| last.contains("failed: exit=3, attempt 1 on w1-")), "{output:#?}");
    }
}

#[test]
fn the_whole_the_end_and_each_stream_of_a_task_that_has_ended() {
    let (cluster, _coordinator, worker) = working(1);
    let task =
        submit(&cluster, &["--retries", "1", "--retry-backoff", "1ms..1ms"], "seq $((BELLWETHER_ATTEMPT * 10000)); echo oops >&2; exit 1");
    let _ = cluster.cli(&["wait", &task]).code(1);
    let whole = cluster.cli(&["logs", &task]).success();
    let expected = |n: u32| (1..=n).map(|n| format!("{n}\n")).collect::<String>();
    assert!(whole.stdout == expected(20_000), "{} bytes", whole.stdout.len());
    assert_eq!(whole.stderr, "oops\n");
    assert_eq!(cluster.cli(&["logs", "--stderr", &task]).success().stdout, "oops\n");
    assert!(cluster.cli(&["logs", "--attempt", "1", &task]).success().stdout == expected(10_000), "an earlier attempt");
    for (lines, from) in [("2", 19_999), ("10000", 10_001), ("1000000", 1)] {
        let end = cluster.cli(&["logs", "--tail", lines, &task]).success();
        let lines: String = (from..=20_000).map(|n| format!("{n}\n")).collect();
        assert!(end.stdout == lines, "--tail: {} bytes", end.stdout.len());
    }
    // Another process of the worker, on another port, has the files still.
    assert_eq!(worker.terminate(SOON), 0);
    let gone = cluster.cli(&["logs", &task]).success();
    assert!(gone.stdout.ends_with("\n20000\n") && gone.stdout.len() < 17_000, "the end, from the result");
    assert!(gone.stderr.contains("stdout: 92510 bytes before the last 16384 cannot be read"), "{}", gone.stderr);
    let _again = cluster.worker("w1", 1);
    let _ = cluster.registered("w1");
    assert!(cluster.cli(&["logs", &task]).success().stdout == expected(20_000), "from the restarted worker");
    let several = cluster.cli(&["logs", "-f", &task, "task-other"]).code(2);
    assert!(several.stderr.contains("--follow is for one task"), "{several:#?}");
    let never = cluster.cli(&["logs", "task-that-never-was"]).code(125);
    assert!(never.stderr.contains("bellwether: no-such-task: "), "{never:#?}");
}

#[test]
fn a_token_is_shown_to_the_worker_and_its_lack_explained() {
    let cluster = Cluster::new();
    let file = |name: &str, token: &str| {
        let path = cluster.dir().join(name);
        fs::write(&path, token).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed");
        path.display().to_string()
    };
    let (right, wrong) = (file("right", "0123456789abcdef"), file("wrong", "fedcba9876543210"));
    let _house = (cluster.coordinator("c1"), cluster.worker_with("w1", 1, &[("http.token_file", &format!("{right:?}"))]));
    let task = submit(&cluster, &[], "seq 20000");
    let _ = cluster.cli(&["wait", &task]).success();
    let with = |file: &str| cluster.cli(&["--set", &format!("http.token_file={file}"), "logs", &task]).success();
    assert_eq!(with(&right).stdout.len(), 108_894);
    for (output, told) in
        [(with(&wrong), "that is not the token of this worker"), (cluster.cli(&["logs", &task]).success(), "outputs are read with a token")]
    {
        assert!(
            output.stdout.len() < 17_000 && output.stderr.contains(told) && output.stderr.contains("http.token_file"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn a_hundred_megabytes_are_followed_and_a_reader_that_stalls_holds_nobody_up() {
    let (cluster, _coordinator, _worker) = working(2);
    // 64 MiB are kept of 100 MB: what is left out is told.
    let task = submit(&cluster, &[], "seq -w 1 12500000");
    let bellwether = bellwether_tests::place::binary("bellwether");
    let logs = |behind: &str| {
        let line = format!(
            "{} -z {} logs -f {task} 2>{}/said | {behind}",
            bellwether.display(),
            cluster.connect_string(),
            cluster.dir().display()
        );
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", &line]).current_dir(cluster.dir()).spawn().expect("a shell")
    };
    // It reads one line, and then nothing until it is let go.
    let mut stalled = logs("(head -n 1 >first; until [ -e gate ]; do sleep 0.05; done; tail -n 1 >last)");
    assert_eq!(cluster.cli(&["wait", &task]).code, 0, "the task ends, although somebody does not read on");
    assert_eq!(cluster.cli(&["run", "--", "echo", "others"]).success().stdout, "others\n", "others are served");
    fs::write(cluster.dir().join("gate"), "").expect("opened");
    assert!(eventually(SOON, "its end", || stalled.try_wait().expect("a child")).success());
    assert_eq!((cluster.lines("first"), cluster.lines("last")), (vec!["00000001".to_owned()], vec!["12500000".to_owned()]));
    let whole = cluster.cli(&["logs", &task]).success();
    let lines = whole.stdout.lines().filter(|line| line.len() == 8 && line.bytes().all(|byte| byte.is_ascii_digit())).count();
    assert!(whole.stdout.ends_with("\n12500000\n") && lines > 6_000_000, "{lines} lines");
    let told = whole.stderr.contains("bytes") || whole.stdout.contains("bytes are missing here");
    assert!(told && lines < 12_500_000, "what is left out is told: {:?}", whole.stderr);
}

#[test]
fn what_follows_ends_when_nobody_reads_on() {
    let (cluster, _coordinator, _worker) = working(2);
    let task = submit(&cluster, &[], "while :; do echo again; sleep 0.05; done");
    let bellwether = bellwether_tests::place::binary("bellwether");
    for follower in [format!("logs -f {task}"), "events -f".to_owned(), "list --watch -o name".to_owned()] {
        let line = format!("{} -z {} {follower} | head -n 1", bellwether.display(), cluster.connect_string());
        let mut shell = std::process::Command::new("/bin/sh");
        let mut shell = shell.args(["-c", &line]).stdout(std::process::Stdio::null()).spawn().expect("a shell");
        let ended = eventually(SOON * 2, "its end", || {
            // Whatever happens is told to who follows events.
            let _ = follower.starts_with("events").then(|| cluster.put("true"));
            shell.try_wait().expect("a child")
        });
        assert!(ended.success(), "{follower}: {ended}");
    }
    let _ = cluster.cli(&["cancel", &task]).code(0);
    // What a task exits with is told all the same, and nothing is said of what nobody wanted to read.
    let line = format!("{} -z {} run -- sh -c 'seq 100000; sleep 1; seq 100000; exit 3'", bellwether.display(), cluster.connect_string());
    let piped = std::process::Command::new("bash").args(["-c", &format!("{line} | head -n 1; exit ${{PIPESTATUS[0]}}")]).output();
    let piped = piped.expect("a shell");
    assert_eq!((piped.status.code(), String::from_utf8_lossy(&piped.stdout).as_ref()), (Some(3), "1\n"));
    assert!(!String::from_utf8_lossy(&piped.stderr).contains("bytes"), "{}", String::from_utf8_lossy(&piped.stderr));
}

#[test]
fn whoever_follows_goes_on_when_the_worker_is_started_again() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let gate = cluster.dir().join("gate");
    let line = format!("echo attempt $BELLWETHER_ATTEMPT; until [ -e {} ]; do sleep 0.02; done; echo done", gate.display());
    let task = submit(&cluster, &[], &line);
    let follower = cluster.cli_start(&["logs", "-f", &task]);
    eventually(SOON, "the first attempt", || follower.stdout() == "attempt 1\n");
    worker.kill9();
    let _again = cluster.worker("w1", 1);
    eventually(SOON, "the second attempt", || follower.stdout().ends_with("attempt 2\n"));
    fs::write(gate, "").expect("opened");
    let output = finish(follower).success();
    assert_eq!(output.stdout, "attempt 1\nattempt 2\ndone\n");
    assert!(output.stderr.contains(&format!("{task} goes on as attempt 2 on w1-")), "{output:#?}");
}
