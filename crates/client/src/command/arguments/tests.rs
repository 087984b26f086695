//! Tests of the command line as a whole.

use std::time::Duration;

use bellwether_common::config::Sources;
use clap::CommandFactory;

use super::values::backoff;
use super::*;

fn parse(line: &[&str]) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once(&"bellwether").chain(line))
}

#[test]
fn the_definition_holds_together() {
    Arguments::command().debug_assert();
}

#[test]
fn every_example_of_the_help_can_be_typed() {
    let root = Arguments::command();
    let mut tried = 0;
    for command in root.get_subcommands() {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let Some((_, examples)) = help.split_once("Examples:\n") else { continue };
        for line in examples.lines() {
            let words = shlex(line.trim());
            assert_eq!((words[0].as_str(), words[1].as_str()), ("bellwether", command.get_name()), "{line}");
            assert!(Arguments::try_parse_from(&words).is_ok(), "{line}");
            tried += 1;
        }
    }
    assert!(tried > 25, "{tried} examples");
}

/// Words as a shell would part them, with single quotes alone.
fn shlex(line: &str) -> Vec<String> {
    let pieces = line.split('\'').enumerate().flat_map(|(i, piece)| match i % 2 {
        0 => piece.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![piece.to_owned()],
    });
    pieces.collect()
}

#[test]
fn everything_after_the_command_belongs_to_it() {
    for line in [&["run", "--", "ls", "-z", "--wait"][..], &["run", "ls", "-z", "--wait"][..]] {
        let Ok(Arguments { command: Command::Run(RunArgs { task, .. }), global }) = parse(line) else { panic!("{line:?}") };
        assert_eq!((task.command, global.zookeeper), (vec!["ls".into(), "-z".into(), "--wait".into()], None));
    }
}

#[test]
fn an_empty_address_is_not_taken_for_the_default() {
    assert!(parse(&["-z", "", "list"]).is_err());
}

#[test]
fn pairs_and_durations_are_checked() {
    let line = ["submit", "--env", "A=b=c", "--label", "x=1", "--timeout", "1m30s", "--priority", "-3", "true"];
    let Ok(Arguments { command: Command::Submit(SubmitArgs { task, .. }), .. }) = parse(&line) else { panic!("it parses") };
    assert_eq!(task.env, [("A".to_owned(), "b=c".to_owned())]);
    assert_eq!((task.timeout, task.priority), (Some(Duration::from_secs(90)), -3));
    for bad in [
        ["--env", "=x"],
        ["--label", "x"],
        ["--require", "x="],
        ["--timeout", "soon"],
        ["--timeout", "0s"],
        ["--max-worker-losses", "0"],
        ["--retries", "-1"],
        ["--retries", "1001"],
        ["--retry-backoff", "5s..1s"],
        ["--retry-backoff", "0s"],
        ["--retry-backoff", "..1s"],
        ["--retry-on", "0"],
        ["--retry-on", "1,256"],
        ["--retry-on", ""],
        ["--delay", "-1s"],
        ["--at", "tomorrow"],
        ["--at", "2026-11-22T07:00:00"],
    ] {
        let error = parse(&["submit", bad[0], bad[1], "true"]).expect_err(bad[1]);
        assert!(error.exit_code() == 2 && error.to_string().contains(bad[0]), "{bad:?}: {error}");
    }
    assert!(parse(&["submit", "--delay", "1s", "--at", "2026-11-22T07:00:00Z", "true"]).is_err(), "one or the other");
    assert!(parse(&["submit"]).is_err() && parse(&["wait"]).is_err() && parse(&["status", "a/b"]).is_err());
}

#[test]
fn times_of_retries_are_read() {
    let line = ["run", "--retries", "3", "--retry-backoff", "1s..1m", "--retry-on", "1,75", "--at", "2026-11-22T07:00:00+01:00", "true"];
    let Ok(Arguments { command: Command::Run(RunArgs { task, .. }), .. }) = parse(&line) else { panic!("it parses") };
    assert_eq!((task.retries, task.retry_backoff), (Some(3), Some((Duration::from_secs(1), Duration::from_secs(60)))));
    assert_eq!((task.retry_on, task.at.map(|at| at.to_string())), (vec![1, 75], Some("2026-11-22T06:00:00Z".to_owned())));
    assert_eq!(backoff("2s"), Ok((Duration::from_secs(2), Duration::from_secs(2))));
}

#[test]
fn a_dead_letter_is_named_or_described() {
    for good in [&["dead", "list"][..], &["dead", "retry", "t1", "t2"], &["dead", "purge", "-l", "a=b"], &["dead", "purge", "all"]] {
        assert!(parse(good).is_ok(), "{good:?}");
    }
    for bad in [&["dead"][..], &["dead", "retry"], &["dead", "retry", "a/b"]] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_empty_variable_says_none() {
    let global = parse(&["-c", "", "status"]).expect("it parses").global;
    assert_eq!(global.sources_with(Some(String::new())), Sources::default());
}

#[test]
fn a_flag_comes_before_a_setting_and_that_before_a_variable() {
    let connect = |line: &[&str]| {
        let sources = parse(line).expect("it parses").global.sources_with(Some("variable:1".into()));
        sources.overrides.into_iter().map(|(_, connect)| connect).next()
    };
    assert_eq!(connect(&["status", "-z", "flag:1", "--set", "zookeeper.connect=set:1"]).as_deref(), Some("flag:1"));
    assert_eq!(connect(&["status", "--set", "zookeeper.connect=set:1"]), None);
    assert_eq!(connect(&["status"]).as_deref(), Some("variable:1"));
}

#[test]
fn what_is_said_of_one_task_is_not_said_of_a_file() {
    let allowed =
        ["file", "max_fails", "partial", "name", "wait", "progress", "help", "timezone", "missed", "overlap", "wait_admission", "dry_run"];
    let mut command = Arguments::command();
    command.build();
    let submit = command.find_subcommand("submit").expect("submit").clone();
    let file = submit.get_arguments().find(|argument| argument.get_id() == "file").expect("--file");
    let refused: Vec<String> = submit.get_arg_conflicts_with(file).iter().map(|argument| argument.get_id().to_string()).collect();
    for argument in submit.get_arguments().filter(|argument| !argument.is_global_set()) {
        let id = argument.get_id().to_string();
        let decided = refused.contains(&id) != allowed.contains(&id.as_str());
        assert!(decided, "--{id}: a file of tasks is refused with it (ALONE), or it says something of the whole");
    }
    assert!(parse(&["submit", "-f", "x", "true"]).is_err() && parse(&["submit", "-f", "x", "--retries", "1"]).is_err());
    assert!(parse(&["submit", "-f", "x", "--name", "n", "--max-fails", "3", "--partial", "--wait", "--progress"]).is_ok());
    assert!(parse(&["submit", "--progress", "true"]).is_err(), "nobody waits");
}

#[test]
fn an_option_that_is_misspelt_is_no_command() {
    for wrong in [&["submit", "--lable", "x=1", "true"][..], &["submit", "-ojsonl"], &["run", "-x"]] {
        assert_eq!(parse(wrong).expect_err("an option").exit_code(), 2, "{wrong:?}");
    }
    let Ok(Arguments { command: Command::Submit(SubmitArgs { task, .. }), .. }) = parse(&["submit", "-ojsonl", "true", "-x"]) else {
        panic!("it parses")
    };
    assert_eq!(task.command, ["true", "-x"]);
    let Ok(Arguments { command: Command::Run(RunArgs { task, .. }), .. }) = parse(&["run", "--", "-x"]) else { panic!("it parses") };
    assert_eq!(task.command, ["-x"]);
}
