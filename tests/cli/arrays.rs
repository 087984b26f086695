//! Arrays on the command line: what is written when one is submitted, whatever is lost meanwhile, and how one is shown.

use std::path::PathBuf;

use bellwether_core::protocol::array::{ArrayTodo, ElementDetails, ElementEnd, Lines, PieceRecord, Span, Waiting};
use bellwether_core::protocol::result::Stream;
use bellwether_core::protocol::{TaskName, WorkerId};
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A file of these bytes.
fn file(cluster: &Cluster, bytes: &[u8]) -> String {
    let file: PathBuf = cluster.dir().join("lines");
    std::fs::write(&file, bytes).expect("a file");
    file.display().to_string()
}

fn envelope(cluster: &Cluster, array: &str) -> Value {
    serde_json::from_slice(&cluster.tree().get(&format!("/tasks/{array}")).expect("it is there")).expect("JSON")
}

/// The lines of an array as they were written, from its envelope.
fn written(cluster: &Cluster, array: &str) -> Vec<String> {
    let chunks: Vec<u32> = serde_json::from_value(envelope(cluster, array)["array"]["lines"]["chunks"].clone()).expect("numbers");
    assert_eq!(cluster.tree().children(&format!("/bellwether/arrays/{array}/lines")).len(), chunks.len());
    let mut lines = Vec::new();
    for from in chunks {
        assert_eq!(from as usize, lines.len(), "each chunk begins where the one before it ends");
        let data = cluster.tree().get(&format!("/bellwether/arrays/{array}/lines/{from}")).expect("a chunk");
        lines.extend(Lines::decode_chunk(&data).expect("it decodes"));
    }
    lines
}

#[test]
fn what_is_submitted_says_how_many_elements_there_are_and_what_their_lines_are() {
    let cluster = Cluster::new();
    let submit = |args: &[&str]| cluster.cli(&[&["submit"], args].concat()).success().lines()[0].to_owned();
    let counted = submit(&["--count", "10000000", "--max-fails", "3", "--retries", "2", "--", "true"]);
    assert_eq!(envelope(&cluster, &counted)["array"], json!({"count": 10_000_000, "max_fails": 3}));
    let numbered = submit(&["--array", "5-99", "--label", "job=x", "--shell", "--", "echo $BELLWETHER_ELEMENT"]);
    let asked = envelope(&cluster, &numbered);
    assert_eq!((&asked["array"], &asked["labels"]["job"]), (&json!({"count": 95, "first": 5}), &json!("x")));
    assert_eq!(envelope(&cluster, &submit(&["--array", "7", "--", "true"]))["array"], json!({"count": 1, "first": 7}));
    let long = "x".repeat(100_000);
    let text = format!("a\r\n\nb \"c\"\n{long}");
    let lines = submit(&["--each-line", &file(&cluster, text.as_bytes()), "--", "true"]);
    assert_eq!(written(&cluster, &lines), ["a", "", "b \"c\"", &long]);
    let piped = cluster.cli_with_stdin(&["submit", "--each-line", "-", "-o", "json", "--", "true"], b"1\n2\n").success().json();
    assert_eq!(piped["count"], 2);
    assert_eq!(written(&cluster, piped["array"].as_str().expect("an id")), ["1", "2"]);
    let many: String = (0..10_000).map(|line| format!("{line:0>200}\n")).collect();
    let many_id = submit(&["--each-line", &file(&cluster, many.as_bytes()), "--", "true"]);
    assert_eq!(written(&cluster, &many_id), many.lines().collect::<Vec<_>>());
    let held = submit(&["--count", "3", "--delay", "1h", "--", "true"]);
    assert!(cluster.tree().exists(&format!("/bellwether/held/{held}")));
    let dry = cluster.cli(&["submit", "--count", "3", "--dry-run", "--", "true"]).success();
    assert!(dry.stdout.contains("an array of 3 elements"), "{dry:#?}");
}

#[test]
fn what_is_no_array_is_refused_before_anything_is_written() {
    let cluster = Cluster::new();
    let lines = |bytes: &[u8]| file(&cluster, bytes);
    let refused = |args: &[&str], says: &str| {
        let output = cluster.cli(&[&["submit"], args].concat()).code(2);
        assert!(output.stderr.contains(says) && output.stdout.is_empty(), "{args:?}: {output:#?}");
    };
    refused(&["--count", "0", "--", "true"], "between 1 and 10000000");
    refused(&["--count", "-1", "--", "true"], "--count");
    refused(&["--count", "10000001", "--", "true"], "between 1 and 10000000");
    refused(&["--array", "9-1", "--", "true"], "9 does not come before 1");
    refused(&["--array", "0-99:2", "--", "true"], "without steps");
    refused(&["--count", "3"], "<COMMAND>");
    refused(&["--each-line", &lines(b""), "--", "true"], "it has no elements");
    refused(&["--each-line", &lines(b"a\nb\0c\n"), "--", "true"], "line 2 has a NUL byte");
    refused(&["--each-line", &lines(b"a\n\xff\n"), "--", "true"], "line 2 is not UTF-8");
    refused(&["--each-line", &lines(&[b'x'; 130_000]), "--", "true"], "line 1 has 130000 bytes");
    refused(&["--each-line", "/does/not/exist", "--", "true"], "cannot be read");
    refused(&["--each-line", &lines(&[b'\n'; 2000]), "--set", "client.lines_max=1KiB", "--", "true"], "client.lines_max allows");
    let tasks = lines(b"{\"argv\":[\"true\"]}");
    for (one, other) in [
        (["--count", "3"], ["--array", "0-2"]),
        (["--count", "3"], ["--each-line", "-"]),
        (["--count", "3"], ["--file", tasks.as_str()]),
        (["--array", "3"], ["--every", "5m"]),
        (["--each-line", "-"], ["--key", "k"]),
        (["--each-line", "-"], ["--stdin", "-"]),
        (["--each-line", "-"], ["--cron", "@daily"]),
    ] {
        refused(&[&one[..], &other[..], &["--", "true"]].concat(), one[0]);
    }
    assert!(cluster.cli(&["run", "--max-fails", "1", "--", "true"]).code(2).stderr.contains("--max-fails"));
    assert_eq!(cluster.tree().children("/bellwether/arrays"), Vec::<String>::new());
    assert_eq!(cluster.tree().children("/tasks"), Vec::<String>::new());
}

#[test]
fn what_is_lost_while_lines_and_task_are_written_doubles_nothing() {
    let text: String = (0..8_000).map(|line| format!("{line:0>150}\n")).collect();
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Cut] {
        for place in ["/bellwether/arrays/", "/tasks/"] {
            let cluster = Cluster::new();
            let _ = cluster.cli(&["submit", "--delay", "1h", "--", "true"]).success();
            let file = file(&cluster, text.as_bytes());
            let proxy = cluster.proxy();
            let struck = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, place).then(fault));
            let output = cluster.cli_start_through(&proxy, &["submit", "--each-line", &file, "--", "true"]).finish(SOON).success();
            assert!(struck.struck() == 1 && struck.matched() > 1, "{fault:?} at {place}: it was repeated");
            let array = output.lines()[0].to_owned();
            assert_eq!(cluster.tree().children("/tasks"), [array.as_str()], "{fault:?} at {place}");
            assert_eq!(cluster.tree().children("/bellwether/arrays"), [array.as_str()], "{fault:?} at {place}");
            assert!(written(&cluster, &array).iter().map(String::as_str).eq(text.lines()), "{fault:?} at {place}");
        }
    }
}

#[test]
fn a_client_that_dies_before_the_task_is_there_leaves_nothing_that_runs() {
    let cluster = Cluster::new();
    let _ = cluster.cli(&["submit", "--delay", "1h", "--", "true"]).success();
    let file = file(&cluster, b"a\nb\n");
    let proxy = cluster.proxy();
    let frozen = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/tasks/").then(Fault::FreezeBefore));
    let run = cluster.cli_start_through(&proxy, &["submit", "--each-line", &file, "--", "true"]);
    frozen.strikes(1);
    run.signal(Signal::SIGKILL);
    assert_eq!(run.finish(SOON).stdout, "");
    assert_eq!(cluster.tree().children("/tasks"), Vec::<String>::new());
    let array = cluster.tree().children("/bellwether/arrays").remove(0);
    assert_eq!(cluster.tree().children(&format!("/bellwether/arrays/{array}")), ["lines"]);
    assert!(cluster.cli(&["status", &array]).code(125).stderr.contains("no-such-task"), "it was never submitted");
    assert!(!cluster.cli(&["list"]).success().stdout.contains(&array));
}

/// An array of which something is in each place where an element can be: 0-3 in records that were taken in, 4 in one that was not, 5-6 with
/// a worker, 7 at rest, 8-9 waiting.
fn in_every_place(cluster: &Cluster) -> String {
    let (array, worker) = (TaskName::listed("task-0000000000000000"), WorkerId::listed("w1-0000000000000001"));
    let tree = cluster.tree();
    let path = format!("/bellwether/arrays/{array}");
    let record = |from: u32, ends: &[ElementEnd]| {
        let (worker, then) = (worker.as_str(), "1970-01-01T00:00:00Z");
        let said =
            json!({"bellwether": 1, "from": from, "attempt": 1, "worker": worker, "started": then, "ended": then, "took_us": 1_500_000});
        let mut record: PieceRecord = serde_json::from_value(said).expect("a record");
        ends.iter().for_each(|end| record.push(*end));
        record
    };
    let mut first = record(0, &[ElementEnd::Exit(0), ElementEnd::Exit(3), ElementEnd::Signal(9), ElementEnd::Exit(1)]);
    first.again = vec![Span::one(3)];
    let stderr = Some(Stream::of_tail(b"oh no\n", 6));
    first.details = vec![ElementDetails { element: 1, stderr, stdout: Some(Stream::of_tail(b"hi\n", 3)), ..ElementDetails::default() }];
    let second = PieceRecord { attempt: 2, ..record(3, &[ElementEnd::Exit(0)]) };
    let mut todo = ArrayTodo::new(Span { from: 0, to: 9 });
    [&first, &second].into_iter().for_each(|record| todo.summary.take_in(record));
    todo.waiting = vec![Waiting::new(Span { from: 8, to: 9 })];
    todo.put_back(Waiting { failures: 1, due_ms: 4_000_000_000_000, ..Waiting::new(Span::one(7)) });
    todo.summary.results = 1;
    tree.create_all("/bellwether/arrays");
    tree.create(&path, br#"{"bellwether":1,"argv":["work"],"array":{"count":10},"name":"sums","labels":{"job":"x"}}"#);
    tree.create(&format!("{path}/todo"), todo.encode());
    let results = [b"[".to_vec(), first.encode(), b",".to_vec(), second.encode(), b"]".to_vec()].concat();
    tree.create(&format!("{path}/results-0"), results);
    tree.create(&format!("{path}/4-4.1"), record(4, &[ElementEnd::TimedOut]).encode());
    let order = json!({"bellwether": 1, "piece": {"array": array.as_str(), "czxid": 1, "from": 5, "to": 6, "number": 1}});
    tree.create_all(&format!("/assign/{worker}"));
    tree.create(&format!("/assign/{worker}/{array}.5-6.1"), order.to_string());
    array.to_string()
}

#[test]
fn an_element_is_found_wherever_it_is() {
    let cluster = Cluster::builder().unaudited(&bellwether_tests::history::Promise::ALL).start();
    let array = in_every_place(&cluster);
    let shown = |id: &str| cluster.cli(&["status", id, "-o", "json"]).success().json();
    let whole = shown(&array);
    assert_eq!((&whole["state"], &whole["array"]["succeeded"], &whole["array"]["failed"]), (&json!("assigned"), &json!(2), &json!(2)));
    assert_eq!((&whole["array"]["waiting"], &whole["array"]["running"], &whole["array"]["retried"]), (&json!(3), &json!(3), &json!(1)));
    let since = whole["pieces"][0]["since"].clone();
    assert!(since.is_string());
    assert_eq!(whole["pieces"], json!([{"worker": "w1-0000000000000001", "from": 5, "to": 6, "attempt": 1, "since": since}]));
    let states: Vec<Value> = (0..10).map(|index| shown(&format!("{array}.{index}"))["state"].take()).collect();
    let expected = ["succeeded", "failed", "failed", "succeeded", "timed-out", "assigned", "assigned", "held", "pending", "pending"];
    assert_eq!(states, expected);
    let retried = shown(&format!("{array}.7"));
    assert_eq!((&retried["attempt"], &retried["failures"], &retried["array_of"]), (&json!(2), &json!(1), &json!(array)));
    for none in [format!("{array}.10"), format!("{array}.00"), "task-0000000000000001.1".to_owned()] {
        assert!(cluster.cli(&["status", &none]).code(125).stderr.contains("no-such-task"), "{none}");
    }
    let result = cluster.cli(&["result", &format!("{array}.1"), "-o", "json"]).success().json();
    assert_eq!((&result["exit"], &result["attempt"], &result["stderr"]["tail"]), (&json!(3), &json!(1), &json!("oh no\n")));
    assert_eq!(cluster.cli(&["logs", &format!("{array}.1")]).success().stdout, "hi\n");
    assert_eq!(cluster.cli(&["result", &format!("{array}.2"), "-o", "json"]).success().json()["signal"], 9);
    let both = cluster.cli(&["result", &format!("{array}.0..1"), "-o", "jsonl"]).success();
    assert_eq!(both.lines().len(), 2);
    assert!(cluster.cli(&["result", &format!("{array}.8")]).code(125).stderr.contains("not-ended"));
}

#[test]
fn an_array_is_one_row_and_says_what_is_done_to_it_as_a_whole() {
    let cluster = Cluster::builder().unaudited(&bellwether_tests::history::Promise::ALL).start();
    let array = in_every_place(&cluster);
    let table = cluster.cli(&["status", &array]).success();
    for line in ["2 of 10 succeeded, 2 failed, 1 tried again, 3 running, 3 waiting", "1-2", "5-6"] {
        assert!(table.stdout.contains(line), "{line}: {table:#?}");
    }
    let list = cluster.cli(&["list", "-l", "job=x"]).success();
    assert!(list.lines().len() == 2 && list.stdout.contains("4 of 10 ended, 2 failed, 3 running: sums"), "{list:#?}");
    let failed = cluster.cli(&["result", &array, "--failed", "-o", "name"]).success();
    assert_eq!(failed.lines(), [format!("{array}.1"), format!("{array}.2")]);
    assert!(cluster.cli(&["result", &array, "--failed"]).success().stdout.contains("signal=9"));
    assert!(cluster.cli(&["explain", &array]).success().stdout.contains("of its 10 elements 3 are with workers, 3 wait, 4 have ended"));
    for (command, code) in [("cancel", 125), ("wait", 2)] {
        let refused = cluster.cli(&[command, &format!("{array}.8")]);
        assert!(refused.code != 0 && refused.stderr.contains("element of an array") && code > 0, "{refused:#?}");
    }
    assert!(cluster.cli(&["forget", &format!("{array}.1")]).stderr.contains("element of an array"));
    assert!(cluster.cli(&["retry", &format!("{array}.1")]).stderr.contains("element of an array"));
    assert!(cluster.cli(&["logs", &array]).code(2).stderr.contains(&format!("bellwether logs {array}.0")));
    let _ = cluster.cli(&["cancel", &array]).success();
    eventually(SOON, "the mark", || cluster.tree().exists(&format!("/bellwether/cancel/{array}")));
    let after = cluster.cli(&["submit", "--after", &array, "--", "true"]).success();
    assert!(cluster.tree().exists(&format!("/bellwether/held/{}", after.lines()[0])), "it waits for the array");
}
