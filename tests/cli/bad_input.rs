//! What is typed wrong, or asks for what is not there: the exit code, what it says, and that nothing was submitted.

use bellwether_tests::Cluster;
use bellwether_tests::place::binary;

#[track_caller]
fn refused(cluster: &Cluster, args: &[&str], code: i32, says: &str) {
    let output = cluster.cli(args).code(code);
    let last = output.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("bellwether: ") && output.stderr.contains(says), "{args:?}: {output:#?}");
    assert_eq!(output.stdout, "", "nothing on stdout");
}

#[test]
fn a_wrong_command_line_is_usage() {
    let cluster = Cluster::new();
    refused(&cluster, &["submit"], 2, "<COMMAND>");
    refused(&cluster, &["submit", "--", ""], 2, "there is no command in it");
    refused(&cluster, &["submit", "--shell", "--", "  "], 2, "there is no command in it");
    refused(&cluster, &["submit", "--timeout", "soon", "true"], 2, "a duration is a number and one of");
    refused(&cluster, &["submit", "--timeout", "1us", "true"], 2, "must be a millisecond or more");
    refused(&cluster, &["submit", "--timeout", "99999y", "true"], 2, "must be a year at most");
    refused(&cluster, &["submit", "--label", "x", "true"], 2, "must look as label=value");
    refused(&cluster, &["wait", "a/b"], 2, "must not contain '/'");
    refused(&cluster, &["cancel", "a.."], 2, "a range has two ends");
    refused(&cluster, &["cancel", "b..a"], 2, "b does not come before a");
    refused(&cluster, &["wait", "-l", "x=1", "task-1"], 2, "task-1 is named already");
    refused(&cluster, &["wait", "-l", "x=1"], 125, "nothing-matches: there is no task that matches -l x=1; see what there is with");
    refused(&cluster, &["cancel", "all"], 125, "there is no task that has not ended that matches all");
    refused(&cluster, &["wait", "last"], 125, "no last submission to ");
    refused(&cluster, &["status", "a..b"], 125, "there is no task that matches a..b");
    refused(&cluster, &["list", "--state", "running"], 2, "the states are assigned, pending");
    refused(&cluster, &["frobnicate"], 2, "frobnicate");
    refused(&cluster, &["run", "--stdin", "/does/not/exist", "cat"], 2, "/does/not/exist: cannot be read");
    assert_eq!(cluster.tree().children("/tasks"), Vec::<String>::new());
}

#[test]
fn arguments_that_are_no_text_are_usage() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let cluster = Cluster::new();
    let output = cluster.cli(&[OsStr::new("wait"), OsStr::from_bytes(b"\xff")]).code(2);
    assert!(output.stderr.contains("bellwether: usage: "), "{output:#?}");
}

#[test]
fn an_id_that_cannot_be_printed_is_not_lost() {
    let cluster = Cluster::new();
    let command = format!("exec {} -z {} submit -- true >/dev/full", binary("bellwether").display(), cluster.connect_string());
    cluster.tree().create_all("/tasks");
    let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    let task = cluster.tree().children("/tasks").pop().expect("it was submitted");
    assert!(said.contains("output-lost") && said.contains(&task), "{said}");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let cluster = Cluster::new();
    let long = "x".repeat(128 * 1024 - 1);
    // The longest argument that reaches us at all fits.
    let fits = cluster.cli(&["submit", "--", "echo", &long]).success();
    assert_eq!(cluster.tree().children("/tasks"), [fits.lines()[0]]);
    let longer = ["submit", "--shell", "--", &long, &long];
    refused(&cluster, &longer, 2, "one argument has 262143 bytes, the kernel takes 131071; put the data into a file");
    let many = [&["submit", "--", "echo"][..], &[long.as_str(); 5]].concat();
    refused(&cluster, &many, 2, "put the data into a file and pass its path");
    let input = cluster.dir().join("input");
    std::fs::write(&input, vec![b'x'; 600 * 1024]).expect("a file");
    let stdin = ["submit", "--stdin", input.to_str().expect("a path"), "--", "cat"];
    refused(&cluster, &stdin, 2, "it has more than 524288 bytes");
    std::fs::write(&input, b"\xff\xfe").expect("a file");
    refused(&cluster, &stdin, 2, "it is not UTF-8 text");
    assert_eq!(cluster.tree().children("/tasks").len(), 1);
}

#[test]
fn a_task_that_is_nowhere_is_named() {
    let cluster = Cluster::new();
    for command in ["wait", "status", "result", "cancel"] {
        refused(&cluster, &[command, "task-nope"], 125, "bellwether: no-such-task: there is no task task-nope");
    }
}

#[test]
fn errors_are_json_for_whoever_asked_for_json() {
    let cluster = Cluster::new();
    for (args, code, word) in [
        (&["-o", "json", "status", "task-nope"][..], 125, "no-such-task"),
        (&["submit", "-o", "json", "--", ""][..], 2, "usage"),
        (&["submit", "-o", "json"][..], 2, "usage"),
        (&["-ojsonl", "submit"][..], 2, "usage"),
        (&["--set", "client.colour=x", "-o", "json", "status"][..], 78, "bad-configuration"),
    ] {
        let output = cluster.cli(args).code(code);
        let json = output.error();
        assert_eq!(json["error"]["code"], word, "{json}");
        assert!(json["error"]["message"].is_string() && json["error"].get("hint").is_some(), "{json}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    let cluster = Cluster::new();
    let help = cluster.cli(&["--help"]).success();
    assert!(help.stdout.contains("Exit codes:") && help.stdout.contains("submit"), "{}", help.stdout);
    assert!(cluster.cli(&["--version"]).success().stdout.starts_with("bellwether 0."));
}

/// Each option of `submit` with what cannot be right: empty, negative, huge, contradictory. It is named, and nothing is submitted.
#[test]
fn no_option_takes_what_makes_no_sense() {
    let cluster = Cluster::new();
    let huge = "9".repeat(40);
    let values: &[(&str, &[&str])] = &[
        ("--timeout", &["", "-1s", &huge, "0s", "1"]),
        ("--queue-timeout", &["", "-1s", &huge, "0s"]),
        ("--retries", &["", "-1", &huge, "1.5"]),
        ("--retry-backoff", &["", "-1s..1s", "1s..", "2s..1s", &huge]),
        ("--retry-on", &["", "-1", "0", "256", "1,,2", &huge]),
        ("--delay", &["", "-1s", &huge]),
        ("--at", &["", "-1", "noon", &huge]),
        ("--after", &["", "a/b", "."]),
        ("--key", &["", "a\nb"]),
        ("--priority", &["", "high", &huge]),
        ("--require", &["", "=", "zone", "=eu", "zone="]),
        ("--slots", &["", "0", "-1", "4097", &huge]),
        ("--resource", &["", "gpu", "gpu=0", "gpu=-1", "=1", "gpu=1.5", &huge]),
        ("--label", &["", "=", "job", "=x", "job="]),
        ("--env", &["", "=x", "X"]),
        ("--max-worker-losses", &["", "0", "-1", &huge]),
        ("--max-fails", &["", "-1", &huge]),
        ("--every", &["", "0s", "-1s", &huge]),
        ("--cron", &["", "* * * *", "99 * * * *"]),
        ("--count", &["", "0", "-1", "1.5", &huge]),
        ("--array", &["", "-1", "5-", "9-1", "a-b", &huge]),
        ("--wait-admission", &["", "-1s", "0s", &huge]),
        ("--kind", &["", "a b", "a\nb"]),
        ("--name", &["", " "]),
        ("--cwd", &[""]),
        ("--stdin", &["", "/nowhere/at/all"]),
        ("--each-line", &["", "/nowhere/at/all"]),
    ];
    for (option, bad) in values {
        for value in *bad {
            let output = cluster.cli(&["submit", option, value, "--", "true"]).code(2);
            assert!(output.stderr.contains(option.trim_start_matches('-')), "{option} {value:?} is not named: {}", output.stderr);
        }
    }
    for contradictory in [
        &["--delay", "1s", "--at", "2030-01-01T00:00:00Z"][..],
        &["--every", "5m", "--key", "k"],
        &["--cron", "@daily", "--after", "task-1"],
        &["--after-failure", "run"],
        &["--progress"],
        &["--partial"],
    ] {
        let _ = cluster.cli(&[&["submit"], contradictory, &["--", "true"]].concat()).code(2);
    }
    let everywhere = ["/tasks", "/bellwether/held", "/bellwether/schedules"];
    assert!(everywhere.iter().all(|parent| cluster.tree().children(parent).is_empty()), "nothing was submitted");
}

#[test]
fn options_that_are_no_text_are_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let cluster = Cluster::new();
    let bad = OsStr::from_bytes(b"\xff");
    for option in ["--name", "--label", "--env", "--key", "--timeout", "--require"] {
        let output = cluster.cli(&[OsStr::new("submit"), OsStr::new(option), bad, OsStr::new("--"), OsStr::new("true")]).code(2);
        assert!(output.stderr.contains("bellwether: usage: ") && output.stderr.contains("UTF-8"), "{option}: {}", output.stderr);
    }
    let file = cluster.cli(&[OsStr::new("submit"), OsStr::new("-f"), bad]).code(2);
    assert!(file.stderr.contains("cannot be read"), "{}", file.stderr);
    for (args, says) in [
        (&["list", "--limit", "-1"][..], "limit"),
        (&["list", "--key", ""], "key"),
        (&["list", "--group", "a/b"], "group"),
        (&["logs", "--tail", "99999999", "task-1"], "tail"),
        (&["logs", "--attempt", "0", "task-1"], "attempt"),
        (&["wait"], "<TASK>"),
        (&["forget"], "<TASK>"),
        (&["logs", "a..", "b"], "two ends"),
        (&["events", "--limit", "x"], "limit"),
        (&["cancel", "task-1", "--grace", "-1s"], "grace"),
        (&["cancel", "task-1", "--grace", "0s"], "grace"),
        (&["cancel", "task-1", "--grace", "2h"], "an hour at most"),
        (&["cancel", "task-1", "--reason", ""], "reason"),
        (&["worker", "drain", "w1", "--deadline", "-1s"], "deadline"),
        (&["worker", "drain", "w1", "--reason", ""], "reason"),
        (&["worker", "drain", "w1", "--mode", "slowly"], "mode"),
        (&["worker", "wait", "-1"], "-1"),
        (&["master", "pause", "--reason", &"long ".repeat(1000)], "reason"),
        (&["--request-timeout", "1ms", "status"], "request-timeout"),
        (&["--request-timeout", "", "status"], "request-timeout"),
    ] {
        let output = cluster.cli(args).code(2);
        assert!(output.stderr.contains(says), "{args:?}: {}", output.stderr);
    }
}
