//! How soon a wish to cancel reaches the process of a task that runs, and ends by nothing but a SIGKILL: from the mark in ZooKeeper to the
//! end of the process.

use std::time::{Duration, Instant};

use bellwether_common::wait::eventually;

use crate::cluster::Cluster;
use crate::proc;
use crate::tasks::SOON;

/// Cancels so many running tasks, one after the other; how long each took.
///
/// # Panics
/// Something does not happen in time.
#[must_use]
pub fn measure(tasks: usize) -> Vec<Duration> {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 2);
    let _ = cluster.registered("w1");
    (0..tasks).map(|round| once(&cluster, round)).collect()
}

fn once(cluster: &Cluster, round: usize) -> Duration {
    let task = cluster.put("trap '' TERM; echo $$ >> begun; exec sleep 60");
    let pid = eventually(SOON, "it runs", || cluster.lines("begun").get(round).and_then(|pid| pid.parse::<i32>().ok()));
    let began = Instant::now();
    cluster.tree().create(&format!("/bellwether/cancel/{task}"), "");
    // Looked at all the time: anything that waits between two looks would be part of what is measured.
    while proc::lives(pid) {
        assert!(began.elapsed() < SOON, "{task} runs on");
        std::thread::yield_now();
    }
    let took = began.elapsed();
    assert_eq!(cluster.status_of(&task), "failed cancelled");
    took
}

/// Prints the middle, the one in a hundred, and the worst.
///
/// # Panics
/// As [`measure`].
pub fn print() {
    const TASKS: usize = 100;
    let mut took = measure(TASKS);
    took.sort_unstable();
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    println!(
        "cancel: from the mark in ZooKeeper to the end of the running process: p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms of {TASKS}; at most 200 ms are promised",
        ms(took[TASKS / 2]),
        ms(took[TASKS * 99 / 100 - 1]),
        ms(took[TASKS - 1])
    );
}
