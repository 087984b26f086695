//! What services show: clean, complete, and answered in time whatever happens to ZooKeeper.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bellwether_tests::metrics::Metrics;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Zookeeper, eventually, is};

/// How long a scrape may take whatever happens.
const SCRAPED_WITHIN: Duration = Duration::from_secs(1);

/// What Debian's promtool finds wrong with a scrape; empty if nothing is.
pub(crate) fn promtool(scrape: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool: it comes with Debian's package prometheus, see scripts/install-deps");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(scrape.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let found = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.success(), found.is_empty(), "{found}");
    found
}

fn page(process: &Process) -> String {
    let (status, page) = process.get("/metrics").expect("a scrape");
    assert_eq!(status, 200);
    page
}

#[test]
fn promtool_finds_nothing_wrong_with_coordinators_and_workers() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 2);
    let ran = cluster.cli(&["run", "--", "true"]).success();
    drop(ran);
    assert_eq!(cluster.status_of(&cluster.put("exit 3")), "failed exit=3");
    for process in [&coordinator, &worker] {
        let page = page(process);
        assert_eq!(promtool(&page), "");
        assert!(!page.contains(" summary") && !page.contains("quantile="), "{page}");
    }
    let counted = |labels: &[(&str, &str)]| worker.metrics().map(|metrics| metrics.value("bellwether_tasks_completed_total", labels));
    eventually(SOON, "one task of each end", || is(counted(&[("kind", "argv"), ("result", "succeeded")]).ok(), &Some(1.0)));
    eventually(SOON, "one task of each end", || is(counted(&[("kind", "shell"), ("result", "failed")]).ok(), &Some(1.0)));
    let metrics = worker.metrics().expect("a scrape");
    let whole = |labels: &[(&str, &str)]| metrics.value("bellwether_task_end_to_end_duration_seconds_count", labels);
    assert_eq!(whole(&[("kind", "argv")]), 1.0);
    assert_eq!(whole(&[("kind", "shell")]), 0.0, "its name does not say when it was submitted");
    assert!(metrics.value("bellwether_task_end_to_end_duration_seconds_sum", &[]) < 60.0);
}

#[test]
fn scrapes_are_answered_at_once_while_zookeeper_is_away() {
    let cluster = Cluster::builder().zookeeper(Zookeeper::own()).start();
    let (coordinator, worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let _ = (cluster.ruler(), cluster.registered("w1"));
    let active = || coordinator.metrics().map(|metrics| metrics.value("bellwether_master_is_active", &[])).ok();
    eventually(SOON, "the leader gauge", || is(active(), &Some(1.0)));
    cluster.zookeeper().pause(0);
    eventually(SOON, "the leader gauge is taken back", || is(active(), &Some(0.0)));
    for process in [&coordinator, &worker] {
        let address = process.http();
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    let begun = Instant::now();
                    assert_eq!(process.get("/metrics").expect("a scrape").0, 200);
                    assert!(begun.elapsed() < SCRAPED_WITHIN, "{address} took {:?}", begun.elapsed());
                });
            }
        });
        assert_eq!(process.get("/metrics/of/somebody").expect("an answer").0, 404);
    }
    cluster.zookeeper().resume(0);
    eventually(SOON, "the leader gauge", || is(active(), &Some(1.0)));
}

#[test]
fn a_master_that_wakes_from_a_freeze_shows_no_office_to_the_scrapes_that_waited() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.coordinator("c1"), cluster.coordinator("c2"));
    let ruler = cluster.ruler();
    let frozen = if first.name() == ruler { &first } else { &second };
    let active = || frozen.metrics().map(|metrics| metrics.value("bellwether_master_is_active", &[])).ok();
    eventually(SOON, "the leader gauge", || is(active(), &Some(1.0)));
    let address = frozen.http();
    frozen.pause();
    let _ = cluster.ruler_after(&ruler);
    // The kernel accepts for it: these are answered before any of its actors has looked at the clock.
    let ask = |_| {
        let mut stream = TcpStream::connect(address).expect("accepted");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("sent");
        stream.set_read_timeout(Some(SOON)).expect("a deadline");
        stream
    };
    let waiting: Vec<TcpStream> = (0..16).map(ask).collect();
    frozen.resume();
    for mut stream in waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let metrics = Metrics::parse(answer.split_once("\r\n\r\n").expect("HTTP").1).expect("metrics");
        for gauge in
            ["bellwether_master_is_active", "bellwether_master_elected_timestamp_seconds", "bellwether_tasks", "bellwether_workers"]
        {
            assert_eq!(metrics.value(gauge, &[]), 0.0, "{gauge}");
        }
    }
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let cluster = Cluster::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = format!("\"{}\"", taken.local_addr().expect("an address"));
    // An address that is not this machine's.
    for listen in [listen.as_str(), "\"192.0.2.1:9641\""] {
        let settings = [("http.listen", listen)];
        for service in [cluster.coordinator_with("c1", &settings), cluster.worker_with("w1", 1, &settings), cluster.exporter(&settings)] {
            assert_eq!(service.exit_code(SOON), 78, "{}", service.name());
            let log = service.log();
            assert!(log.contains(listen.trim_matches('"')) && log.contains("choose another address with http.listen"), "{log}");
        }
    }
}
