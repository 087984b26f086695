//! How long a scrape of each service takes, and how large it is, in a cluster of many workers: a section of `make figures`.

use std::time::{Duration, Instant};

use bellwether_core::protocol::record::{WorkerRecord, encode};
use bellwether_core::protocol::{Multi, PROTOCOL_VERSION, WorkerId, path};

use crate::tasks::SOON;
use crate::{Cluster, Process, eventually, is};

/// How many workers are registered.
const WORKERS: usize = 200;
/// How often each service is scraped.
const SCRAPES: usize = 50;

/// Prints the section. Of the workers one is a process; the others are registered by hand, as the master cannot tell.
pub fn print() {
    let cluster = Cluster::new();
    let (coordinator, worker, exporter) = (cluster.coordinator("c1"), cluster.worker("w1", 2), cluster.exporter(&[]));
    let _ = cluster.registered("w1");
    for n in 1..WORKERS {
        register(&cluster, n);
    }
    let workers = || coordinator.metrics().map(|metrics| metrics.value("bellwether_workers", &[("state", "active")])).ok();
    eventually(SOON, "all workers", || is(workers(), &Some(WORKERS as f64)));
    println!("A scrape of /metrics with {WORKERS} workers registered, {SCRAPES} times one after another, over a new connection each:");
    println!("{:<14} {:>10} {:>10} {:>10} {:>10}", "of", "p50", "max", "bytes", "series");
    for (name, process) in [("coordinator", &coordinator), ("worker", &worker), ("zk-exporter", &exporter)] {
        let _ = process.http();
        scrape(name, process);
    }
    println!();
}

fn register(cluster: &Cluster, n: usize) {
    let name = format!("hand-{n}");
    let incarnation = WorkerId::incarnation(&name, cluster.tree().session());
    let record = WorkerRecord {
        bellwether: PROTOCOL_VERSION,
        name,
        host: "figures".to_owned(),
        pid: 0,
        slots: 4,
        labels: [("zone".to_owned(), format!("z{}", n % 5))].into(),
        resources: Default::default(),
        kinds: Default::default(),
        commands: true,
        http: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        patience_ms: None,
        replaces: None,
        since: None,
    };
    let boxed = Multi::new().create(path::assign_box(&incarnation), "");
    cluster.tree().commit(&boxed.create_ephemeral(path::worker(&incarnation), encode(&record)));
}

fn scrape(name: &str, process: &Process) {
    let once = |_| {
        let begun = Instant::now();
        let (status, page) = process.get("/metrics").expect("a scrape");
        assert_eq!(status, 200);
        (begun.elapsed(), page)
    };
    let (mut times, pages): (Vec<Duration>, Vec<String>) = (0..SCRAPES).map(once).unzip();
    times.sort();
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let page = pages.last().map_or("", String::as_str);
    let series = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    println!("{name:<14} {:>10} {:>10} {:>10} {series:>10}", ms(times[times.len() / 2]), ms(times[times.len() - 1]), page.len());
}
