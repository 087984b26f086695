//! `top` and the progress bar in a real pseudo-terminal; `events`, `doctor`, `completion` and `man`.

use std::time::Duration;

use bellwether_tests::dummy::crowd;
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::terminal::Terminal;
use bellwether_tests::{Cluster, eventually};

use super::working;

const SOON: Duration = Duration::from_secs(20);
/// Leaves the second screen, and shows the cursor again.
const LEFT: &str = "\x1b[?1049l";

#[test]
fn top_shows_the_cluster_live_and_gives_the_terminal_back() {
    let (cluster, _coordinator, _worker) = working(2);
    let proxy = cluster.proxy();
    // It takes long until it can listen: what happens after the first picture is heard nevertheless.
    let slow = proxy.rule(Rule::on(Operation::AddWatch).each().then(Fault::Delay(Duration::from_millis(200))));
    let connect = format!("{}{}", proxy.address(), cluster.root());
    let mut top = Terminal::start(&["-z", &connect, "top"], 80, 24);
    eventually(SOON, "the worker", || top.raw().contains("w1-") && top.raw().contains("c1"));
    let id = cluster.cli(&["submit", "--", "true"]).success().lines()[0].to_owned();
    eventually(SOON, "the end of the task among the events", || top.words().contains("exit=0") && top.raw().contains(&id));
    assert!(slow.struck() > 0);
    top.press("s");
    eventually(SOON, "another order", || top.raw().contains("load"));
    top.forget();
    top.resize(120, 40);
    eventually(SOON, "all of it in the new size", || top.raw().contains("w1-") && top.raw().contains("\x1b[40;"));
    top.press("?");
    eventually(SOON, "the help", || top.raw().contains("keys"));
    top.press("q");
    assert_eq!(top.finish(SOON), 0);
    assert!(top.raw().contains(LEFT) && top.is_restored(), "{}", top.raw());
}

#[test]
fn top_pages_through_two_hundred_workers_by_few_requests() {
    let cluster = Cluster::new();
    let _crowd = crowd(&cluster, 200, 4);
    let proxy = cluster.proxy();
    let connect = format!("{}{}", proxy.address(), cluster.root());
    let mut top = Terminal::start(&["-z", &connect, "top"], 80, 24);
    let shows = |top: &Terminal, what: &[&str]| {
        let words = top.words();
        if what.iter().all(|what| words.contains(what)) { Ok(()) } else { Err(words) }
    };
    eventually(SOON, "the first page", || shows(&top, &["workers: 1-8 of 200, by name", "0 of 800 taken"]));
    top.press("\x1b[F");
    top.forget();
    top.resize(200, 60);
    eventually(SOON, "the last page", || shows(&top, &["-200 of 200, by name"]));
    // Every look begins with a sync.
    let asked = || (proxy.seen(Operation::Sync), proxy.seen(Operation::Any) - proxy.seen(Operation::Ping));
    let before = asked();
    let after = eventually(SOON, "some looks", || Some(asked()).filter(|(looks, _)| *looks >= before.0 + 4));
    let each = (after.1 - before.1) / (after.0 - before.0);
    assert!(each <= 25, "{each} requests each time");
    top.press("q");
    assert_eq!(top.finish(SOON), 0);
}

#[test]
fn top_ends_by_ctrl_c_and_needs_a_terminal_and_a_cluster() {
    let cluster = Cluster::new();
    let mut top = Terminal::start(&["-z", &cluster.connect_string(), "top"], 80, 24);
    eventually(SOON, "nobody rules", || top.raw().contains("nobody"));
    top.press("\x03");
    assert_eq!(top.finish(SOON), 0);
    assert!(top.raw().contains(LEFT) && top.is_restored());

    let mut alone = Terminal::start(&["-z", "127.0.0.1:1", "--request-timeout", "1s", "top"], 80, 24);
    assert_eq!(alone.finish(SOON), 125);
    assert!(alone.raw().contains("bellwether: unreachable: ") && !alone.raw().contains("\x1b[?1049h"), "{}", alone.raw());
    let piped = cluster.cli(&["top"]).code(2);
    assert!(piped.stderr.contains("top needs a terminal"), "{piped:#?}");
}

#[test]
fn progress_is_drawn_on_a_terminal_only() {
    let (cluster, _coordinator, _worker) = working(2);
    let ids: Vec<String> = (0..3).map(|_| cluster.cli(&["submit", "--", "true"]).success().lines()[0].to_owned()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let connect = cluster.connect_string();
    let mut wait = Terminal::start(&[&["-z", &connect, "wait", "--progress"], ids.as_slice()].concat(), 80, 24);
    assert_eq!(wait.finish(SOON), 0);
    assert!(wait.raw().contains("3/3 ended,"), "{}", wait.raw());
    let bad = cluster.cli(&["submit", "--", "false"]).success().lines()[0].to_owned();
    let mut wait = Terminal::start(&["-z", &connect, "wait", "--progress", ids[0], &bad], 80, 24);
    assert_eq!(wait.finish(SOON), 1);
    assert!(wait.raw().contains("2/2 ended, 1 not well,"), "{}", wait.raw());
    let piped = cluster.cli(&[&["wait", "--progress"], ids.as_slice()].concat()).success();
    assert_eq!((piped.lines().len(), piped.stderr.as_str()), (3, ""), "nothing but the lines: {piped:#?}");
}

#[test]
fn events_are_told_as_they_happen_and_looked_up_afterwards() {
    let (cluster, _coordinator, _worker) = working(1);
    let follow = cluster.cli_start(&["events", "-f", "-o", "jsonl"]);
    eventually(SOON, "it follows", || follow.stdout().contains("resumed"));
    let id = cluster.cli(&["submit", "--", "sh", "-c", "exit 3"]).success().lines()[0].to_owned();
    assert_eq!(cluster.cli(&["wait", &id]).code, 3);
    eventually(SOON, "the end of the task", || follow.stdout().lines().any(|line| line.contains("\"ended\"") && line.contains(&id)));
    follow.signal(nix::sys::signal::Signal::SIGINT);
    let told = follow.finish(SOON).code(130);
    let about: Vec<_> = told.json_lines().into_iter().filter(|event| event["task"] == id.as_str()).collect();
    let what: Vec<&str> = about.iter().filter_map(|event| event["what"].as_str()).collect();
    assert!(what.first() == Some(&"pending") && what.contains(&"assigned") && what.last() == Some(&"ended"), "{what:?}");
    assert_eq!(about.last().map(|event| event["detail"].clone()), Some("exit=3".into()));
    let past = cluster.cli(&["events"]).success();
    assert!(past.stdout.contains("master-elected") && past.stdout.contains(&id), "{past:#?}");
}

#[test]
fn the_doctor_finds_what_is_wrong_and_mends_what_is_safe() {
    let (cluster, _coordinator, _worker) = working(1);
    let id = cluster.cli(&["submit", "--", "true"]).success().lines()[0].to_owned();
    assert_eq!(cluster.cli(&["wait", &id]).code, 0);
    let healthy = cluster.cli(&["doctor", "-o", "json"]).success().json();
    assert_eq!(healthy["healthy"], true, "{healthy:#}");
    let fine = |check: &str| {
        healthy["findings"].as_array().expect("findings").iter().filter(|of| of["check"] == check && of["severity"] == "fine").count()
    };
    assert_eq!(["protocol", "size", "versions", "pages"].map(fine), [1, 1, 1, 2], "{healthy:#}");

    let empty = Cluster::new();
    let _ = empty.cli(&["submit", "--", "true"]).success();
    let leftover = "/assign/gone-00000000000000aa";
    empty.tree().create(leftover, "");
    assert!(empty.tree().delete("/bellwether/groups"));
    let broken = empty.cli(&["doctor"]).code(1);
    assert!(broken.stdout.contains("BROKEN   master: nobody rules") && broken.stdout.contains("/bellwether/groups"), "{broken:#?}");
    assert!(broken.stdout.contains(leftover) && broken.stderr.contains("2 can be mended with: bellwether doctor --fix"), "{broken:#?}");
    let nobody = empty.cli(&["doctor", "--fix"]).code(2);
    assert!(nobody.stderr.contains("there is nobody to ask; say --yes"), "{nobody:#?}");
    assert!(empty.tree().exists(leftover), "nothing is mended without a word");
    let mended = empty.cli(&["doctor", "--fix", "--yes"]).code(1);
    assert!(empty.tree().exists("/bellwether/groups") && !empty.tree().exists(leftover), "{mended:#?}");
    let mut unreachable = Terminal::start(&["-z", "127.0.0.1:1", "--request-timeout", "1s", "doctor"], 200, 24);
    assert_eq!(unreachable.finish(SOON), 1);
    assert!(unreachable.raw().contains("127.0.0.1:1 cannot be reached"), "{}", unreachable.raw());
}

#[test]
fn completions_and_manuals_are_made_of_the_definitions() {
    let cluster = Cluster::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(cluster.cli(&["completion", shell]).success().stdout.contains("explain"), "{shell}");
    }
    let bash = cluster.dir().join("bellwether.bash");
    std::fs::write(&bash, cluster.cli(&["completion", "bash"]).success().stdout).expect("written");
    let loaded = std::process::Command::new("bash").arg("-c").arg(format!("source {} && complete -p bellwether", bash.display())).output();
    assert!(loaded.is_ok_and(|output| output.status.success()), "bash loads it");
    assert!(cluster.cli(&["man"]).success().stdout.contains(".TH"));
    let pages = cluster.dir().join("man");
    let written = cluster.cli(&["man", pages.to_str().expect("a path")]).success();
    assert!(written.lines().len() > 20 && pages.join("bellwether-worker-list.1").exists(), "{written:#?}");
}
