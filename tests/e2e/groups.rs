//! Groups: submitted from a file, all or nothing, waited for as one and cancelled as one, whoever rules meanwhile.

use std::time::Duration;

use bellwether_core::protocol::group::{GroupRecord, GroupState};
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually, is};
use nix::sys::signal::Signal;

/// A file of these lines.
fn file(cluster: &Cluster, lines: &[String]) -> String {
    let file = cluster.dir().join("tasks.jsonl");
    std::fs::write(&file, lines.join("\n")).expect("a file");
    file.display().to_string()
}

/// Submits a file of these lines, and gives the id.
fn submit(cluster: &Cluster, options: &[&str], lines: &[String]) -> String {
    let file = file(cluster, lines);
    cluster.cli(&[&["submit", "-f", &file], options].concat()).success().lines()[0].to_owned()
}

fn line(shell: &str) -> String {
    serde_json::json!({"shell": shell}).to_string()
}

fn outcome(cluster: &Cluster, task: &str) -> String {
    let status = eventually(SOON, &format!("the status of {task}"), || cluster.tree().get(&format!("/status/{task}")));
    let result: serde_json::Value = serde_json::from_slice(&status).expect("JSON");
    result["outcome"].as_str().expect("text").to_owned()
}

fn state(cluster: &Cluster, group: &str) -> Option<GroupState> {
    GroupRecord::decode(&cluster.tree().get(&format!("/bellwether/groups/{group}"))?).map(|record| record.state)
}

fn kill_the_ruler(cluster: &Cluster, coordinators: &[Process]) -> String {
    let ruler = cluster.ruler();
    coordinators.iter().find(|coordinator| coordinator.name() == ruler).expect("one of ours").kill9();
    ruler
}

#[test]
fn a_group_runs_in_its_order_and_is_waited_for_as_one() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 4);
    let here = cluster.dir().display().to_string();
    let gate = format!("while ! [ -e {here}/go ]; do sleep 0.05; done; echo a >> order");
    let lines = [
        serde_json::json!({"shell": gate, "name": "first", "cwd": here, "labels": {"job": "chain"}}).to_string(),
        serde_json::json!({"shell": "echo b >> order", "after": ["first"], "cwd": here}).to_string(),
        serde_json::json!({"shell": "echo c >> order", "after": [1], "cwd": here}).to_string(),
    ];
    let group = submit(&cluster, &["--name", "chain"], &lines);
    let wait = cluster.cli_start(&["wait", &group]);
    let _ = cluster.assignee(&format!("{group}.0"));
    let status = cluster.cli(&["status", "last", "-o", "json"]).success().json();
    assert!(status["size"] == 3 && status["name"] == "chain" && status["submitter"].is_string(), "{status}");
    assert_eq!((&status["progress"]["assigned"], &status["progress"]["held"]), (&1.into(), &2.into()), "{status}");
    // What waits for others is known to the next master, too.
    let _ = kill_the_ruler(&cluster, &coordinators);
    std::fs::write(cluster.dir().join("go"), "").expect("a file");
    assert_eq!(wait.finish(SOON).success().lines().len(), 3);
    assert_eq!(cluster.lines("order"), ["a", "b", "c"]);
    assert_eq!(cluster.cli(&["wait", &format!("{group}.2")]).code, 0, "an element is a task like others");
    let listed = cluster.cli(&["list", "--group", &group, "-o", "json"]).success().json();
    assert_eq!((listed["tasks"].as_array().map(Vec::len), &listed["tasks"][0]["group"]), (Some(3), &group.as_str().into()));
    let result = cluster.cli(&["result", &format!("{group}.0"), "-o", "json"]).success().json();
    assert_eq!((&result["group"], &result["labels"]["job"]), (&group.as_str().into(), &"chain".into()));
    assert_eq!(cluster.cli(&["forget", &group, "-o", "name"]).success().lines().len(), 3);
    assert_eq!(cluster.history().unended(), Vec::<&str>::new());
}

#[test]
fn one_that_fails_is_told_of_the_whole_and_can_be_run_again() {
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let lines = format!("\u{feff}{}\r\n\r\n{}\r\n", line("true"), line("exit 3"));
    let typed = cluster.cli_with_stdin(&["submit", "-f", "-", "--wait", "-o", "name"], lines.as_bytes()).code(1);
    let group = typed.lines()[0].to_owned();
    assert_eq!(typed.lines().len(), 3, "the group, and each of its tasks when it ends: {typed:#?}");
    assert_eq!(cluster.cli(&["wait", &group]).code, 1);
    let again = cluster.cli(&["retry", &group]).success();
    assert_eq!(again.lines().len(), 1, "only what failed: {again:#?}");
    let one = cluster.cli(&["explain", &group]).code(2);
    assert!(one.stderr.contains(&format!("{group} means 2 tasks, and this is about one")), "{one:#?}");
    assert_eq!(cluster.cli(&["cancel", &group]).code, 0, "what has ended stays as it is");
}

#[test]
fn a_group_of_which_too_many_fail_is_cancelled_also_by_the_next_master() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 1);
    let gate = format!("while ! [ -e {}/go ]; do sleep 0.1; done; exit 1", cluster.dir().display());
    let mut lines = vec![line("exit 1"), line(&gate)];
    // They rest, so that none of them can be quicker than the master.
    lines.extend((0..3).map(|_| serde_json::json!({"shell": "true", "delay": "1h"}).to_string()));
    let group = submit(&cluster, &["--max-fails", "1"], &lines);
    assert_eq!(outcome(&cluster, &format!("{group}.0")), "failed");
    // The next master must know of the first failure, too.
    let ruler = kill_the_ruler(&cluster, &coordinators);
    let _ = cluster.ruler_after(&ruler);
    std::fs::write(cluster.dir().join("go"), "").expect("a file");
    assert_eq!(outcome(&cluster, &format!("{group}.1")), "failed");
    eventually(SOON, "it is given up", || is(state(&cluster, &group), &Some(GroupState::Cancelled)));
    let outcomes: Vec<String> = (2..5).map(|index| outcome(&cluster, &format!("{group}.{index}"))).collect();
    assert_eq!(outcomes, ["cancelled"; 3]);
    let status = cluster.cli(&["status", &group]).success();
    assert!(status.stdout.contains("2 of the tasks of its group failed, at most 1 may"), "{status:#?}");
    assert_eq!(cluster.cli(&["wait", &group]).code, 1);
    assert_eq!(cluster.history().unended(), Vec::<&str>::new());
}

#[test]
fn a_group_is_cancelled_as_one_wherever_its_tasks_are() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 1);
    let mut lines = vec![line("sleep 60"), serde_json::json!({"shell": "true", "delay": "1h"}).to_string()];
    lines.push(serde_json::json!({"shell": "true", "after": [0]}).to_string());
    lines.extend((0..20).map(|_| line("true")));
    let group = submit(&cluster, &[], &lines);
    let _ = cluster.assignee(&format!("{group}.0"));
    let _ = kill_the_ruler(&cluster, &coordinators);
    let cancelled = cluster.cli(&["cancel", &group, "--reason", "enough", "-o", "json"]).success().json();
    assert_eq!(cancelled["tasks"][0]["cancel"], "asked");
    for index in 0..lines.len() {
        assert_eq!(outcome(&cluster, &format!("{group}.{index}")), "cancelled", "{index}");
    }
    assert_eq!(cluster.tree().children("/bellwether/held"), Vec::<String>::new());
    assert!(cluster.cli(&["status", &group]).success().stdout.contains("enough"));
}

/// Two transactions are needed for so many.
fn many() -> Vec<String> {
    (0..2_100).map(|_| line("true")).collect()
}

#[test]
fn what_is_lost_while_a_large_group_is_submitted_is_sent_again_and_nothing_twice() {
    let cluster = Cluster::new();
    let _ = cluster.cli(&["submit", "--delay", "1h", "--", "true"]).success();
    let lines = file(&cluster, &many());
    let first = Rule::on(Operation::Multi).with(Operation::Create, "/bellwether/groups/");
    let last = Rule::on(Operation::Multi).with(Operation::SetData, "/bellwether/groups/");
    for (rule, fault) in [(&first, Fault::LoseReply), (&last, Fault::LoseReply), (&last, Fault::LoseRequest), (&last, Fault::Cut)] {
        let before = cluster.tree().children("/bellwether/held").len();
        let proxy = cluster.proxy();
        let written = proxy.rule(rule.clone().then(fault));
        let output = cluster.cli_start_through(&proxy, &["submit", "-f", &lines]).finish(SOON).success();
        assert!(written.struck() == 1 && written.matched() > 1, "{fault:?}: it was repeated");
        assert_eq!(state(&cluster, output.lines()[0]), Some(GroupState::Submitted), "{fault:?}");
        assert_eq!(cluster.tree().children("/bellwether/held").len() - before, 2_100, "{fault:?}");
    }
    // All are let go when somebody rules, the oldest first.
    let group = cluster.tree().children("/bellwether/groups").into_iter().min().expect("a group");
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    assert_eq!(outcome(&cluster, &format!("{group}.0")), "succeeded", "they run");
    for group in cluster.tree().children("/bellwether/groups") {
        let _ = cluster.cli(&["cancel", &group]).success();
    }
    eventually(SOON, "all have ended", || is(cluster.tree().children("/status").len(), &(4 * 2_100)));
}

#[test]
fn of_a_group_whose_client_died_nothing_runs() {
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 4);
    let lines = file(&cluster, &many());
    let proxy = cluster.proxy();
    let last = proxy.rule(Rule::on(Operation::Multi).with(Operation::SetData, "/bellwether/groups/").then(Fault::FreezeBefore));
    let client = cluster.cli_start_through(&proxy, &["submit", "-f", &lines]);
    last.strikes(1);
    client.signal(Signal::SIGKILL);
    assert_eq!(client.finish(SOON).code, 128 + 9);
    let group = cluster.tree().children("/bellwether/groups").pop().expect("its record");
    assert_eq!(state(&cluster, &group), Some(GroupState::Open));
    // Neither this master nor the next lets any of it go; others run.
    let plain = cluster.put("true");
    assert_eq!(cluster.status_of(&plain), "done");
    let ruler = kill_the_ruler(&cluster, &coordinators);
    let _ = cluster.ruler_after(&ruler);
    let plain = cluster.put("true");
    assert_eq!(cluster.status_of(&plain), "done");
    // As many as the first transaction took.
    let held = cluster.tree().children("/bellwether/held").len();
    assert!((1_000..2_100).contains(&held), "{held}");
    assert_eq!(cluster.tree().children("/status").len(), 2);
    let wait = cluster.cli(&["wait", &group]).code(125);
    assert!(wait.stderr.contains("not-submitted") && wait.stderr.contains(&format!("bellwether cancel {group}")), "{wait:#?}");
    let status = cluster.cli(&["status", &group]).success();
    assert!(status.stdout.contains("open") && status.stdout.contains(&format!("{} nowhere", 2_100 - held)), "{status:#?}");
    let _ = cluster.cli(&["cancel", &group]).success();
    eventually(SOON, "all of it has ended", || is(cluster.tree().children("/status").len(), &(held + 2)));
    assert_eq!(outcome(&cluster, &format!("{group}.{}", held - 1)), "cancelled");
}

#[test]
fn a_record_in_which_nothing_is_left_to_do_is_kept_as_long_as_results() {
    let kept = |retention: &str| {
        let quick = Cluster::builder().setting("coordinator.reconcile_interval", "\"1s\"");
        quick.setting("coordinator.status_retention", retention).start()
    };
    let cluster = kept("\"1h\"");
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let group = submit(&cluster, &["--wait"], &[line("true"), line("true")]);
    eventually(SOON, "its end is noted", || is(state(&cluster, &group), &Some(GroupState::Ended)));
    let cancelled = cluster.cli(&["cancel", &group]).success();
    assert!(cancelled.stderr.contains("had ended already"), "{cancelled:#?}");
    let brief = kept("\"2s\"");
    let (_ruling, _working) = (brief.coordinator("c1"), brief.worker("w1", 2));
    let group = submit(&brief, &["--wait"], &[line("true")]);
    eventually(Duration::from_secs(20), "its record goes", || is(state(&brief, &group), &None));
    assert_eq!(state(&cluster, &cluster.tree().children("/bellwether/groups")[0]), Some(GroupState::Ended), "the other stays");
}

#[test]
fn a_bad_line_is_named_and_nothing_is_submitted_unless_that_is_wanted() {
    let cluster = Cluster::new();
    let path = cluster.dir().join("bad.jsonl");
    let lines = b"{\"shell\":\"true\"}\n\n{\"shell\":\"a\",\"colour\":1}\n{\"shell\":\"\xff\"}\n{\"shell\":\"true\",\"after\":[1]}\n";
    std::fs::write(&path, lines).expect("a file");
    let file = path.display().to_string();
    let refused = cluster.cli(&["submit", "-f", &file]).code(2);
    for said in [
        "line 3: unknown field `colour`",
        "line 4: it is not UTF-8",
        "line 5: it waits for line 3, which is bad",
        "3 of its lines are bad, nothing was submitted",
        "--partial",
    ] {
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    assert_eq!(refused.stdout, "");
    let tree = cluster.tree();
    assert!(tree.children("/tasks").is_empty() && tree.children("/bellwether/groups").is_empty());
    let group = cluster.cli(&["submit", "-f", &file, "--partial"]).success().lines()[0].to_owned();
    assert_eq!(tree.children("/tasks"), [format!("{group}.0")]);
    let circle = [r#"{"shell":"true","after":[1]}"#, r#"{"shell":"true","after":[0]}"#].join("\n");
    let large = serde_json::json!({"shell": "true", "stdin": "x".repeat(600 * 1024)}).to_string();
    for (content, said) in [
        ("", "there is no task in it"),
        ("\u{feff}\r\n \n", "there is no task in it"),
        (circle.as_str(), "line 1: it waits for itself, by way of line 2"),
        (r#"{"shell":"x","after":["task-no"]}"#, "there is no such task"),
        (r#"{"shell":"x","after":[1]}"#, "line 1: after: there is no task 1 in this file"),
        (large.as_str(), "task.payload_max is 524288"),
    ] {
        std::fs::write(&path, content).expect("a file");
        let refused = cluster.cli(&["submit", "-f", &file]);
        assert!(refused.code != 0 && refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    std::fs::write(&path, "garbage").expect("a file");
    let nothing = cluster.cli(&["submit", "-f", &file, "--partial"]).code(2);
    assert!(nothing.stderr.contains("none of its lines is a task"), "{nothing:#?}");
    for bad in
        [&["-f", &file, "--key", "k"][..], &["-f", &file, "--", "true"], &["--max-fails", "1", "--", "true"], &["-f", "/does/not/exist"]]
    {
        assert_eq!(cluster.cli(&[&["submit"], bad].concat()).code, 2, "{bad:?}");
    }
    assert_eq!(tree.children("/tasks").len(), 1, "nothing else was submitted");
}
