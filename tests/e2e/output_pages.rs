//! The outputs of tasks over HTTP: while they are written and after, whole and in part, by whom, and with everything that can be asked
//! wrongly.

use std::fs;
use std::net::SocketAddr;

use bellwether_common::output::{BYTES, ENDED, OFFSET};
use bellwether_core::protocol::result::{TaskResult, decode_result};
use bellwether_tests::outputs::Answer;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};
use nix::sys::signal::Signal;

const TOKEN: &str = "correct-horse-battery-staple";

struct House {
    cluster: Cluster,
    _coordinator: Process,
    worker: Process,
}

impl House {
    fn new(settings: &[(&str, &str)]) -> Self {
        let cluster = Cluster::new();
        let (coordinator, worker) = (cluster.coordinator("c1"), cluster.worker_with("w1", 4, settings));
        let _ = cluster.registered("w1");
        Self { cluster, _coordinator: coordinator, worker }
    }

    /// Where its pages are, however it listens.
    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.worker.http().port()))
    }

    fn get(&self, path: &str) -> Answer {
        Answer::get(self.address(), path, &[])
    }

    /// An output of the first attempt.
    fn output(&self, task: &str, question: &str) -> Answer {
        self.get(&format!("/v1/tasks/{task}/attempts/1/{question}"))
    }

    /// Waits until a task can be asked for.
    fn known(&self, task: &str) {
        eventually(SOON, "the attempt", || self.get(&format!("/v1/tasks/{task}/attempts/1")).status == 200);
    }

    fn result(&self, task: &str) -> TaskResult {
        let _ = self.cluster.status_of(task);
        decode_result(self.cluster.tree().text(&format!("/bellwether/results/{task}")).expect("details").as_bytes()).expect("a result")
    }
}

#[test]
fn an_output_is_read_while_it_is_written_and_after_whole_and_in_part() {
    let house = House::new(&[]);
    let gate = house.cluster.dir().join("gate");
    let task = house.cluster.put(&format!(
        "printf 'one\\ntwo\\n'; printf '\\000\\377' >&2; until [ -e {} ]; do sleep 0.02; done; echo three; exit 3",
        gate.display()
    ));
    house.known(&task);
    let mut followed = house.output(&task, "stdout?follow=true");
    assert_eq!((followed.status, followed.line(), followed.line()), (200, "one\n".into(), "two\n".into()));
    assert_eq!(followed.headers[ENDED], "false");
    let now = house.output(&task, "stdout?offset=4");
    assert_eq!((now.number(OFFSET), now.number(BYTES)), (4, 8));
    assert_eq!(now.text(), "two\n", "what is there, without waiting for more");
    let listed: serde_json::Value = serde_json::from_str(&house.get("/v1/tasks").text()).expect("JSON");
    assert_eq!((&listed["worker"], &listed["attempts"][0]["state"]), (&"w1".into(), &"running".into()), "{listed}");
    assert!(!listed.to_string().contains("printf"), "no payload: {listed}");
    fs::write(gate, "").expect("opened");
    assert_eq!(followed.text(), "three\n", "it ends with the task");
    let result = house.result(&task);
    let place = result.output.expect("where it is");
    assert_eq!(place.http.as_deref(), Some(house.worker.http().to_string().as_str()));
    assert!(place.path.is_some_and(|path| fs::metadata(path).is_ok()) && place.problem.is_none());
    let whole = house.output(&task, "stdout");
    assert_eq!(whole.headers[ENDED], "true");
    assert_eq!(whole.text(), "one\ntwo\nthree\n");
    assert_eq!(house.output(&task, "stdout?offset=4&limit=3").text(), "two");
    assert_eq!(house.output(&task, "stdout?tail=6").text(), "three\n");
    assert_eq!(house.output(&task, "stdout?offset=14").text(), "", "the end is no error");
    assert_eq!(house.output(&task, "stderr").rest(), b"\0\xff", "byte for byte");
    // Another process finds them by their files.
    assert_eq!(house.worker.terminate(SOON), 0);
    let again = house.cluster.worker("w1", 4);
    let restarted = House { worker: again, ..house };
    let _ = restarted.cluster.registered("w1");
    assert_eq!(restarted.output(&task, "stdout?offset=8&follow=true").text(), "three\n");
    assert_eq!(restarted.output(&task, "stderr").rest(), b"\0\xff");
    let attempts: serde_json::Value = serde_json::from_str(&restarted.get(&format!("/v1/tasks/{task}")).text()).expect("JSON");
    assert_eq!(attempts["attempts"][0]["stdout"]["bytes"], 14, "{attempts}");
}

#[test]
fn what_is_asked_wrongly_is_told_and_leads_nowhere_else() {
    let house = House::new(&[]);
    let task = house.cluster.put("echo hello");
    let _ = house.result(&task);
    fs::write(house.cluster.dir().join("1-1.stdout"), "not for you").expect("written");
    let long = format!("/v1/tasks/{}/attempts/1/stdout", "x".repeat(5000));
    for (path, status, word) in [
        (format!("/v1/tasks/{task}/attempts/1/stdout?offset=7"), 416, "beyond-the-end"),
        (format!("/v1/tasks/{task}/attempts/1/stdout?offset=-1"), 400, "bad-parameter"),
        (format!("/v1/tasks/{task}/attempts/1/stdout?ofset=1"), 400, "bad-parameter"),
        (format!("/v1/tasks/{task}/attempts/2/stdout"), 404, "no-such-output"),
        (format!("/v1/tasks/{task}/attempts/-1/stdout"), 400, "bad-attempt"),
        (format!("/v1/tasks/{task}/attempts/1/stdin"), 404, "no-such-page"),
        (format!("/v1/tasks/{task}/attempts/1"), 200, "attempt"),
        ("/v1/tasks/task-that-never-was/attempts/1/stdout".to_owned(), 404, "no-such-output"),
        ("/v1/tasks/../attempts/1/stdout".to_owned(), 400, "bad-name"),
        ("/v1/tasks/%2e%2e/attempts/1/stdout".to_owned(), 400, "bad-name"),
        ("/v1/tasks/..%2f../attempts/1/stdout".to_owned(), 400, "bad-name"),
        ("/v1/tasks/a%00b/attempts/1/stdout".to_owned(), 400, "bad-name"),
        ("/v1/tasks/%ff/attempts/1/stdout".to_owned(), 400, ""),
        (long, 404, "no-such-output"),
        ("/v1/../../etc/passwd".to_owned(), 404, "no-such-page"),
    ] {
        let answer = house.get(&path);
        let (told, text) = (answer.status, answer.text());
        assert!(told == status && text.contains(word), "{path:.100}: {told} {text}");
        assert!(!text.contains("not for you"), "{path}");
    }
    let (status, _) = house.worker.get("/health/ready").expect("it lives");
    assert_eq!(status, 200);
}

#[test]
fn who_may_not_read_is_told_how_he_may() {
    let open = House::new(&[("http.listen", "\"0.0.0.0:0\"")]);
    let task = open.cluster.put("echo secret");
    let _ = open.result(&task);
    for path in ["/v1/tasks".to_owned(), format!("/v1/tasks/{task}"), format!("/v1/tasks/{task}/attempts/1/stdout")] {
        let answer = open.get(&path);
        let (status, text) = (answer.status, answer.text());
        assert!(status == 403 && text.contains("no-token-configured") && text.contains("http.token_file"), "{path}: {status} {text}");
        assert!(!text.contains("secret") && !text.contains(&task));
    }
    assert_eq!(open.get("/metrics").status, 200, "metrics ask nobody");

    let file = open.cluster.dir().join("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("written");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("closed");
    let token_file = format!("{:?}", file.display().to_string());
    for listen in ["\"0.0.0.0:0\"", "\"127.0.0.1:0\""] {
        let closed = House::new(&[("http.listen", listen), ("http.token_file", &token_file)]);
        let task = closed.cluster.put("echo secret");
        let _ = closed.result(&task);
        let path = format!("/v1/tasks/{task}/attempts/1/stdout");
        let with = |headers: &[&str]| Answer::get(closed.address(), &path, headers);
        assert_eq!(with(&[&format!("Authorization: Bearer {TOKEN}")]).text(), "secret\n");
        for (headers, word) in [(&[][..], "token-missing"), (&["Authorization: Bearer correct-horse-battery-stapler"][..], "token-wrong")] {
            let answer = with(headers);
            assert_eq!((answer.status, answer.headers["www-authenticate"].as_str()), (401, "Bearer"));
            let text = answer.text();
            assert!(text.contains(word) && !text.contains("secret\n"), "{text}");
        }
    }
}

#[test]
fn fifty_followers_and_a_slow_one_hold_nobody_up() {
    // 1 MiB is kept of 20 MB: whoever reads on meets a gap, and is told of it.
    let house = House::new(&[("worker.output_max", "\"1MiB\""), ("worker.output_tail", "\"16KiB\"")]);
    let gate = house.cluster.dir().join("gate");
    let task = house.cluster.put(&format!("echo begin; until [ -e {} ]; do sleep 0.02; done; seq -w 1 2500000; echo end", gate.display()));
    house.known(&task);
    let mut followers: Vec<Answer> = (0..50).map(|_| house.output(&task, "stdout?follow=true")).collect();
    for follower in &mut followers {
        assert_eq!(follower.line(), "begin\n");
    }
    let slow = followers.pop();
    let more: Vec<Answer> = (0..15).map(|_| house.output(&task, "stdout?follow=true")).collect();
    let refused = more.iter().filter(|answer| answer.status == 503).count();
    assert!(refused >= 1 && more.len() - refused >= 14, "{refused} of 15 were told to come again");
    drop(more);
    assert_eq!(house.get("/metrics").status, 200, "a scrape finds a connection");
    fs::write(gate, "").expect("opened");
    let result = house.result(&task);
    assert_eq!(result.stdout.map(|stdout| stdout.bytes), Some(6 + 2_500_000 * 8 + 4));
    for follower in followers {
        let text = follower.text();
        assert!(text.ends_with("2500000\nend\n"), "…{}", &text[text.len() - 100..]);
        let gaps = text.matches(" bytes are missing here, from ").count();
        let lines = text.lines().filter(|line| line.len() == 7 && line.bytes().all(|byte| byte.is_ascii_digit())).count();
        assert!(gaps >= 1 || lines == 2_500_000, "nothing is missing without a word: {lines} lines, {gaps} gaps");
    }
    drop(slow);
    let whole = house.output(&task, "stdout?gap=stop").rest();
    assert_eq!(whole.len(), 512 * 1024, "the first half");
    let behind = house.output(&task, &format!("stdout?gap=stop&offset={}", whole.len()));
    let (from, total) = (behind.number(OFFSET), behind.number(BYTES));
    let rest = behind.rest();
    assert!(from > 512 * 1024 && from + rest.len() as u64 == total && rest.len() >= 384 * 1024, "{from} {total} {}", rest.len());
    assert!(rest.ends_with(b"2500000\nend\n"));
}

#[test]
fn a_disk_that_is_full_costs_the_output_and_not_the_task() {
    let house = House::new(&[]);
    let outputs = house.cluster.dir().join("w1-output");
    let gate = house.cluster.dir().join("gate");
    let task = house.cluster.put(&format!("until [ -e {} ]; do sleep 0.02; done; echo hello; exit 5", gate.display()));
    house.known(&task);
    // As root nothing is unwritable: a file where the directory of the task would be is in the way of everybody.
    fs::write(outputs.join(&task), "in the way").expect("written");
    fs::write(gate, "").expect("opened");
    let result = house.result(&task);
    assert_eq!((result.exit, result.stdout.map(|stdout| stdout.tail)), (Some(5), Some("hello\n".into())));
    let place = result.output.expect("a word about it");
    let problem = place.problem.expect("a problem");
    assert!(problem.starts_with("stdout: 6 bytes from offset 0 on could not be written to ") && problem.contains(&task), "{problem}");
    assert_eq!((place.path, place.http), (None, None));
    let page = house.output(&task, "stdout");
    let (status, text) = (page.status, page.text());
    assert!(status == 200 && text.contains("6 bytes are missing here, from 0 to 6") || status == 500, "{status} {text}");
    house.worker.signal(Signal::SIGTERM);
}
