//! `make ticks`: ten thousand ticks of schedules while twenty masters are killed, counted in ZooKeeper's log.

use std::time::Instant;

use anyhow::ensure;
use bellwether_tests::{Cluster, Zookeeper, ticks};

const SCHEDULES: usize = 100;
const FAILOVERS: usize = 20;
const TICKS: usize = 10_000;

fn main() -> anyhow::Result<()> {
    let begun = Instant::now();
    let cluster = Cluster::builder().zookeeper(Zookeeper::own()).start();
    let counted = ticks::run(&cluster, SCHEDULES, FAILOVERS, TICKS);
    println!("{SCHEDULES} schedules of one second, {} masters killed, {:.0} s:", counted.terms - 1, begun.elapsed().as_secs_f64());
    println!("  {} ticks fired, {} of them twice, {} not at all", counted.ticks, counted.doubled.len(), counted.missing.len());
    ensure!(counted.doubled.is_empty() && counted.missing.is_empty(), "{counted:?}");
    ensure!(counted.ticks >= TICKS && counted.terms > FAILOVERS, "{counted:?}");
    Ok(())
}
