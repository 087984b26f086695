//! What tasks cost in ZooKeeper's memory (znodes and bytes, as its own server counts them) and in a coordinator's, and what services
//! use when nothing happens: a section of `make figures`.

use std::time::Duration;

use crate::tasks::SOON;
use crate::{Cluster, Process, Zookeeper, is, proc};
use bellwether_common::wait::eventually;

/// How many tasks are averaged over.
const TASKS: usize = 200;
/// How many tasks wait while a coordinator's memory is looked at.
const WAITING: usize = 20_000;
/// How long services are left alone.
const IDLE: Duration = Duration::from_secs(20);

/// What a server keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    znodes: f64,
    bytes: f64,
}

/// Prints znodes and bytes of paths and data per task, and what services use. Each of its clusters has a ZooKeeper of its own.
///
/// # Panics
/// Something does not happen in time.
pub fn print() {
    println!("{:<44} {:>14} {:>14}", "one task in ZooKeeper (paths and data)", "znodes", "bytes");
    measure("plain, one short line", |cluster| {
        let _ = cluster.put_many("size-", (0..TASKS).map(|i| format!("sleep 0; echo task number {i}")));
    });
    measure("plain, 1 KiB of output", |cluster| {
        let _ = cluster.put_many("size-", (0..TASKS).map(|_| "head -c 1024 /dev/zero | tr '\\0' x".to_owned()));
    });
    measure("submitted by `bellwether`, no output", |cluster| {
        for _ in 0..TASKS {
            let _ = cluster.cli(&["submit", "--", "true"]).success();
        }
    });
    println!();
    services();
    println!();
}

fn services() {
    let cluster = Cluster::builder().zookeeper(Zookeeper::own()).unsampled().start();
    let (master, standby, worker) = (cluster.coordinator("c1"), cluster.coordinator("c2"), cluster.worker("w1", 2));
    let _ = (cluster.ruler(), cluster.registered("w1"));
    println!("{:<44} {:>14} {:>14}", "a service when nothing happens", "memory", "of a core");
    let services = [("the master", &master), ("a standby", &standby), ("a worker (its guardian apart)", &worker)];
    let before = services.map(|(_, service)| proc::cpu(service.pid()));
    std::thread::sleep(IDLE);
    for ((name, service), before) in services.into_iter().zip(before) {
        let share = (proc::cpu(service.pid()) - before).as_secs_f64() / IDLE.as_secs_f64();
        println!("{name:<44} {:>10.1} MiB {:>12.2} %", mib(service), share * 100.0);
    }
    drop((standby, worker));
    let pending = || master.metrics().map(|metrics| metrics.value("bellwether_tasks", &[("state", "pending")])).ok();
    eventually(SOON, "nobody to work", || is(cluster.tree().children("/workers").len(), &0));
    let before = mib(&master);
    let _ = cluster.put_many("wait-", (0..WAITING).map(|i| format!("sleep 0; echo task number {i}")));
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let waiting = WAITING as f64;
    eventually(SOON, "all of them wait", || is(pending(), &Some(waiting)));
    let grown = (mib(&master) - before) * 1024.0 * 1024.0;
    println!("{:<44} {:>8.0} bytes", format!("the master, per task of {WAITING} that wait"), grown / waiting);
}

fn mib(service: &Process) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far less than that")]
    let kib = proc::rss_kib(service.pid()) as f64;
    kib / 1024.0
}

/// Submits while there is no worker, then lets a worker bring everything to its end.
fn measure(what: &str, submit: impl FnOnce(&Cluster)) {
    let cluster = Cluster::builder().zookeeper(Zookeeper::own()).start();
    let _coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let empty = kept(&cluster);
    submit(&cluster);
    println!("{}", line(&format!("{what}: waiting"), empty, kept(&cluster)));
    let _worker = cluster.worker("w1", 8);
    eventually(Duration::from_secs(60), "all to end", || cluster.tree().children("/status").len() == TASKS);
    println!("{}", line(&format!("{what}: ended"), empty, kept(&cluster)));
}

fn kept(cluster: &Cluster) -> Kept {
    let mntr = cluster.zookeeper().four_letter(0, "mntr").expect("mntr is answered");
    let value = |key: &str| {
        let line = mntr.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {key} in {mntr}"))
    };
    Kept { znodes: value("zk_znode_count\t"), bytes: value("zk_approximate_data_size\t") }
}

fn line(what: &str, before: Kept, after: Kept) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let tasks = TASKS as f64;
    format!("{what:<44} {:>14.1} {:>14.0}", (after.znodes - before.znodes) / tasks, (after.bytes - before.bytes) / tasks)
}
