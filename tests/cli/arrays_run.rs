//! Arrays from their submission to their end, as people type it: with a master and a worker.

use super::working;
use bellwether_tests::tasks::SOON;
use bellwether_tests::terminal::Terminal;
use bellwether_tests::{Cluster, eventually};
use serde_json::{Value, json};

fn progress(cluster: &Cluster, array: &str) -> Value {
    cluster.cli(&["status", array, "-o", "json"]).success().json()["array"].take()
}

fn done(progress: &Value) -> u64 {
    ["succeeded", "failed", "timed_out", "rejected", "cancelled", "dead"].iter().filter_map(|how| progress[how].as_u64()).sum()
}

#[test]
fn ten_thousand_lines_are_run_and_counted() {
    let (cluster, _coordinator, _worker) = working(2);
    let lines: String = (0..10_000).map(|line| format!("{line}\n")).collect();
    let submit = ["submit", "--each-line", "-", "--kind", "noop", "--wait", "-o", "json"];
    let waited = cluster.cli_with_stdin(&submit, lines.as_bytes()).success().json();
    let array = &waited["results"][0]["array"];
    assert_eq!((&array["count"], &array["succeeded"], done(array)), (&json!(10_000), &json!(10_000), 10_000));
    let id = waited["results"][0]["task"].as_str().expect("an id");
    let last = cluster.cli(&["status", &format!("{id}.9999"), "-o", "json"]).success().json();
    assert_eq!((&last["state"], &last["result"]["exit"]), (&json!("succeeded"), &json!(0)));
}

#[test]
fn elements_have_outputs_exit_codes_and_attempts_of_their_own() {
    let (cluster, _coordinator, _worker) = working(2);
    let line = r#"echo "out $BELLWETHER_LINE"; echo err >&2; test "$BELLWETHER_LINE" != bad || exit 7
        test "$BELLWETHER_LINE" != twice || test "$BELLWETHER_ATTEMPT" = 2"#;
    let options = ["submit", "--each-line", "-", "--retries", "1", "--retry-backoff", "10ms", "--shell", "--wait", "--", line];
    let output = cluster.cli_with_stdin(&options, b"a\nbad\ntwice\nb  c").code(1);
    let id = output.lines()[0].to_owned();
    assert_eq!(output.lines()[1], format!("{id}  failed  3 of 4 succeeded, 1 failed, 2 tried again"), "{output:#?}");
    assert!(output.stderr.contains(&format!("bellwether result {id} --failed")), "{output:#?}");
    let result = |index: u32| cluster.cli(&["result", &format!("{id}.{index}"), "-o", "json"]).success().json();
    assert_eq!((&result(1)["outcome"], &result(1)["exit"], &result(1)["attempt"]), (&json!("failed"), &json!(7), &json!(2)));
    assert_eq!((&result(2)["outcome"], &result(2)["attempt"]), (&json!("succeeded"), &json!(2)));
    assert_eq!((&result(0)["outcome"], &result(0)["attempt"]), (&json!("succeeded"), &json!(1)));
    let logs = |index: u32| cluster.cli(&["logs", &format!("{id}.{index}")]).success().stdout;
    assert_eq!((logs(0).as_str(), logs(3).as_str()), ("out a\n", "out b  c\n"));
    assert_eq!(cluster.cli(&["result", &id, "--failed", "-o", "name"]).success().lines(), [format!("{id}.1")]);
    assert!(cluster.cli(&["result", &id]).success().stdout.contains("3 of 4 succeeded, 1 failed"));
    let row = cluster.cli(&["list", "--limit", "0"]).success();
    assert_eq!(row.lines().iter().filter(|line| line.contains(&id)).count(), 1, "{row:#?}");
    assert_eq!(cluster.cli(&["wait", &id]).code, 1);
    let _ = cluster.cli(&["forget", &id]).success();
    assert!(cluster.cli(&["status", &id]).code(125).stderr.contains("no-such-task"));
}

#[test]
fn progress_only_grows_and_a_cancelled_array_counts_all_of_its_elements() {
    let (cluster, _coordinator, _worker) = working(2);
    let id = cluster.cli(&["submit", "--count", "2000", "--", "sleep", "0.05"]).success().lines()[0].to_owned();
    let mut seen = 0;
    eventually(SOON, "the twentieth element", || {
        let now = done(&progress(&cluster, &id));
        assert!(now >= seen, "{now} after {seen}");
        seen = now;
        now >= 20
    });
    let _ = cluster.cli(&["cancel", &id, "--reason", "enough"]).success();
    let wait = cluster.cli(&["wait", &id]).code(1);
    assert!(wait.stdout.contains("cancelled") && wait.stderr.contains("bellwether: cancelled"), "{wait:#?}");
    let ended = progress(&cluster, &id);
    assert!(done(&ended) == 2000 && ended["succeeded"].as_u64() >= Some(20) && ended["cancelled"].as_u64() > Some(0), "{ended}");
    let last = cluster.cli(&["result", &format!("{id}.1999"), "-o", "json"]).success().json();
    assert_eq!(last["outcome"], "cancelled");
}

#[test]
fn run_waits_for_all_elements_and_gives_up_after_too_many_failures() {
    let (cluster, _coordinator, _worker) = working(2);
    assert_eq!(cluster.cli(&["run", "--count", "3", "--", "true"]).success().stdout.lines().count(), 1);
    let given_up = cluster.cli(&["run", "--array", "10-500", "--max-fails", "2", "--", "false"]).code(1);
    assert!(given_up.stdout.contains("failed"), "{given_up:#?}");
}

#[test]
fn the_history_of_an_array_says_who_ran_which_elements_and_when() {
    let (cluster, _coordinator, _worker) = working(2);
    let id = cluster.cli(&["submit", "--count", "30", "--wait", "--", "sh", "-c", "test $BELLWETHER_ELEMENT != 9"]).code(1);
    let id = id.lines()[0].to_owned();
    let history = cluster.cli(&["history", &id, "-o", "json"]).success().json();
    let steps = history["steps"].as_array().expect("steps");
    let what: Vec<&str> = steps.iter().filter_map(|step| step["what"].as_str()).collect();
    assert_eq!((&what[..2], what.last()), (&["submitted", "given-out"][..], Some(&"ended")), "{what:?}");
    let pieces: Vec<&Value> = steps.iter().filter(|step| step["what"] == "piece").collect();
    let mut ran: Vec<u64> = pieces
        .iter()
        .flat_map(|piece| piece["elements"][0].as_u64().expect("a number")..=piece["elements"][1].as_u64().expect("a number"))
        .collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..30).collect::<Vec<_>>(), "{pieces:?}");
    let whole = |piece: &&Value| piece["at"].as_str() <= piece["until"].as_str() && piece["worker"].as_str().is_some();
    assert!(pieces.iter().all(whole), "{pieces:?}");
    let guilty = pieces.iter().find(|piece| piece["why"].as_str().is_some_and(|why| why.contains("1 failed")));
    assert!(guilty.is_some_and(|piece| piece["elements"][0].as_u64() <= Some(9) && piece["elements"][1].as_u64() >= Some(9)), "{pieces:?}");
    let table = cluster.cli(&["history", &id]).success();
    assert!(table.stdout.contains("piece ") && table.stdout.contains(" succeeded, in "), "{table:#?}");
}

#[test]
fn what_runs_of_an_array_is_in_its_history_and_top_shows_one_row() {
    let (cluster, _coordinator, _worker) = working(2);
    let id = cluster.cli(&["submit", "--count", "50", "--name", "sweep", "--", "sleep", "1000"]).success().lines()[0].to_owned();
    let running = || {
        let history = cluster.cli(&["history", &id, "-o", "json"]).success().json();
        let out = history["steps"].as_array()?.iter().filter(|step| step["what"] == "assigned").count();
        (out >= 2).then_some(history)
    };
    let _ = eventually(SOON, "pieces are out", running);
    let mut top = Terminal::start(&["-z", &cluster.connect_string(), "top"], 100, 24);
    // What is blank is not drawn: word by word.
    eventually(SOON, "its row", || ["arrays:", "sweep", "50", "░░░"].iter().all(|word| top.raw().contains(word)));
    let _ = cluster.cli(&["cancel", &id]).success();
    top.forget();
    eventually(SOON, "its end", || top.raw().contains("ended") && top.raw().contains("cancelled"));
    top.press("q");
    assert_eq!(top.finish(SOON), 0);
}
