//! What tasks cost in ZooKeeper's memory: znodes and bytes, as its own server counts them.

use std::time::Duration;

use crate::wait::eventually;
use crate::{Cluster, Zookeeper};

/// How many tasks are averaged over.
const TASKS: usize = 200;

/// What a server keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    znodes: f64,
    bytes: f64,
}

/// Prints znodes and bytes of paths and data per task: waiting, assigned, ended. One ZooKeeper of its own.
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
