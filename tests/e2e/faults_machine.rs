//! Machines that misbehave: a full disk under ZooKeeper, clocks that jump, a network that loses packets.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bellwether_tests::netns::{Loss, Namespace};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Proxy, Scenario, Zookeeper, eventually};
use jiff::Timestamp;

use crate::faults::{ENDS, attempts, becomes, let_go, lives, metric, put_running};

const EVENTS: &str = "bellwether_zk_session_events_total";
const REQUESTS: &str = "bellwether_zk_requests_total";

#[test]
fn zookeepers_disk_is_full_for_a_while() {
    let scenario = Scenario::of("F19");
    let zookeeper = match Zookeeper::on_small_disk(8) {
        Ok(zookeeper) => zookeeper,
        Err(why) => return scenario.skip(format!("no small disk: {why}")),
    };
    let cluster = Cluster::builder().zookeeper(zookeeper).start();
    let services = [cluster.coordinator("c1"), cluster.worker("w1", 2)];
    let _ = cluster.registered("w1");
    let (running, attempt) = put_running(&cluster);
    let before = cluster.put("true");
    assert_eq!(cluster.status_of(&before), "done");

    let disk = cluster.zookeeper().disk().expect("a small disk");
    let ballast = disk.fill();
    let begun = Instant::now();
    // Longer than what may be left of the last page.
    let submit = cluster.cli(&["--request-timeout", "5s", "submit", "--", "true", &"x".repeat(32 * 1024)]);
    let gave_up = begun.elapsed();
    assert_eq!(submit.code, 125, "a command says that ZooKeeper cannot be written to: {submit:#?}");
    assert!(gave_up < Duration::from_secs(20), "{gave_up:?}");
    for service in &services {
        becomes(service, "bellwether_zk_session_state", &[("state", "connected")], 0.0);
        assert_eq!(service.get("/health/live").expect("an answer").0, 200, "{} waits, and lives", service.name());
    }
    eventually(SOON, "what runs to be killed in doubt", || !lives(attempt.pid));

    std::fs::remove_file(ballast).expect("removed");
    cluster.zookeeper().restart(0);
    let restarted = Instant::now();
    let_go(&cluster);
    assert_eq!(cluster.status_of(&running), "done", "it is run again");
    assert_eq!(cluster.status_of(&cluster.put(ENDS)), "done");
    let whole = restarted.elapsed();
    assert!(services.iter().all(Process::is_running));
    scenario.saw(format!(
        "a command gave up after {:.1} s with 125; whole again {:.1} s after there was room and ZooKeeper was restarted",
        gave_up.as_secs_f64(),
        whole.as_secs_f64()
    ));
}

/// Debian's package, on whatever architecture.
fn libfaketime() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    found.into_iter().find(|path| path.exists())
}

/// What a service took the time for when it wrote the last line of its log.
fn believes(service: &Process) -> Timestamp {
    let log = service.log();
    let last = log.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).next_back();
    last.expect("a line with its time")
}

/// All requests of a service so far.
fn requests(service: &Process) -> f64 {
    metric(service, REQUESTS, &[]).expect("a scrape")
}

#[test]
fn wall_clocks_jump_an_hour_ahead_and_two_hours_back() {
    let scenario = Scenario::of("F20");
    let Some(library) = libfaketime() else { return scenario.skip("there is no libfaketime: apt-get install libfaketime") };
    let clock = tempfile::NamedTempFile::new().expect("a file");
    let set = |offset: &str| std::fs::write(clock.path(), format!("{offset}\n")).expect("written");
    set("+0");
    let (library, file) = (library.display().to_string(), clock.path().display().to_string());
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let cluster = variables.iter().fold(Cluster::builder(), |builder, (name, value)| builder.variable(name, value)).start();
    let services = [cluster.coordinator("c1"), cluster.coordinator("c2"), cluster.worker("w1", 2)];
    let _ = (cluster.ruler(), cluster.registered("w1"));
    let timed = cluster.cli(&["submit", "--timeout", "10m", "--", "sh", "-c", crate::faults::WAITS]).success();
    let timed = timed.lines()[0].to_owned();
    let attempt = eventually(SOON, "it runs", || attempts(&cluster).into_iter().find(|attempt| attempt.task == timed));
    let _waiting = cluster.put(r#"{"bellwether":1,"shell":"true","require":{"where":"nowhere"}}"#);
    for (offset, names, minutes) in [("+1h", "an hour ahead", 60), ("-2h", "two hours back", -120)] {
        let before: Vec<f64> = services.iter().map(requests).collect();
        set(offset);
        let jumped = Instant::now();
        assert_eq!(cluster.status_of(&cluster.put("true")), "done");
        let off = believes(&services[2]).duration_since(bellwether_common::clock::wall()).as_secs() / 60;
        assert!((off - minutes).abs() <= 1, "{names}: the worker's clock is {off} minutes off");
        eventually(SOON, "three quiet seconds", || jumped.elapsed() > Duration::from_secs(3));
        for (service, before) in services.iter().zip(before) {
            let asked = requests(service) - before;
            assert!(asked < 60.0, "{names}: {} made {asked} requests in {:?}", service.name(), jumped.elapsed());
            let figures = service.metrics().expect("a scrape");
            let negative: Vec<_> = figures.iter().filter(|(_, value)| *value < 0.0).collect();
            assert!(negative.is_empty(), "{names}: {} shows {negative:?}", service.name());
            let age = figures.get("bellwether_oldest_pending_task_age_seconds", &[]).unwrap_or(0.0);
            assert!(age < 60.0, "{names}: {} thinks that a task waits for {age} s", service.name());
        }
        assert!(lives(attempt.pid), "{names}: its timeout is not over");
        let run = cluster.cli_under(&variables, &["status"]).success();
        let negative = |word: &&str| word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        assert_eq!(run.stdout.split_whitespace().find(negative), None, "{names}: {run:#?}");
    }
    let_go(&cluster);
    let _ = cluster.status_of(&timed);
    let shown = cluster.cli_under(&variables, &["-o", "json", "result", &timed]).success().json();
    assert_eq!(shown["outcome"], "succeeded", "{shown}");
    for service in &services {
        assert_eq!(metric(service, EVENTS, &[("event", "lost")]), Some(0.0), "{}", service.name());
    }
    assert_eq!((cluster.history().terms.len(), attempts(&cluster).len()), (1, 1));
    scenario.saw("+1 h and -2 h under running services: no figure below 0, no session lost, no timeout early, requests as before");
}

/// A coordinator and a worker in a namespace each, behind a cable and a proxy at its near end.
struct Far {
    namespace: Namespace,
    proxy: Proxy,
    process: Process,
}

impl Far {
    fn new(cluster: &Cluster, name: &str, worker: bool) -> Result<Self, String> {
        let namespace = Namespace::new()?;
        let proxy = Proxy::at(namespace.here(), cluster.zookeeper(), cluster.root());
        let (connect, listen) = (cluster.through(&proxy), format!("\"{}:0\"", namespace.there()));
        let settings = [("zookeeper.connect", connect.as_str()), ("http.listen", listen.as_str())];
        let wrapper = namespace.wrapper();
        let process = match worker {
            true => cluster.worker_inside(&wrapper, name, 4, &settings),
            false => cluster.coordinator_inside(&wrapper, name, &settings),
        };
        Ok(Self { namespace, proxy, process })
    }

    fn lose(&self, loss: Loss) {
        self.namespace.lose(loss, self.proxy.port());
    }
}

#[test]
fn packets_get_lost() {
    const TASKS: usize = 60;
    let scenario = Scenario::of("F31");
    let session = Duration::from_secs(10);
    let cluster = Cluster::builder().coordinator_session(session).worker_session(session).start();
    let far = [Far::new(&cluster, "c1", false), Far::new(&cluster, "w1", true)];
    let far: Vec<Far> = match far.into_iter().collect() {
        Ok(far) => far,
        Err(why) => return scenario.skip(format!("no network namespaces: {why}")),
    };
    let _ = (cluster.ruler(), cluster.registered("w1"));
    let serve = |prefix: &str| {
        let begun = Instant::now();
        let tasks = cluster.put_many(prefix, (0..TASKS).map(|_| ENDS.to_owned()));
        for task in &tasks {
            let status = eventually(Duration::from_secs(120), "its end", || cluster.tree().text(&format!("/status/{task}")));
            assert_eq!(status, "done");
        }
        begun.elapsed().as_secs_f64()
    };
    let quickly = serve("a");
    far.iter().for_each(|far| far.lose(Loss::AFifth));
    let lossy = serve("b");
    let lost: u64 = far.iter().map(|far| far.namespace.lost()).sum();
    assert!(lost > 10, "only {lost} packets were lost");
    far.iter().for_each(|far| far.namespace.heal());
    for loss in [Loss::Outgoing, Loss::Incoming] {
        far.iter().for_each(|far| far.lose(loss));
        let begun = Instant::now();
        eventually(SOON, "a while", || begun.elapsed() > Duration::from_millis(1500));
        far.iter().for_each(|far| far.namespace.heal());
        let _ = serve(&format!("{loss:?}"));
    }
    for far in &far {
        assert_eq!(metric(&far.process, EVENTS, &[("event", "lost")]), Some(0.0), "{}", far.process.name());
    }
    let history = cluster.history();
    assert_eq!((history.terms.len(), history.workers.len(), attempts(&cluster).len()), (1, 1, 4 * TASKS), "nothing ran twice");
    scenario.saw(format!(
        "{TASKS} tasks in {quickly:.1} s, with {lost} packets lost in {lossy:.1} s, and after 1.5 s without each direction; no session lost, nothing ran twice"
    ));
}
