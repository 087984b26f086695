//! `make audit-rate`: how many records `bellwether audit` reads a second, from a log that is made for it.

use std::io::BufWriter;

use anyhow::{Context, ensure};
use bellwether_common::audit::{self, Verdict};
use bellwether_tests::synthetic::honest;

/// What an audit must reach, in a release build on one core.
const GOAL: f64 = 100_000.0;

fn main() -> anyhow::Result<()> {
    let tasks = std::env::args().nth(1).map_or(Ok(500_000), |text| text.parse()).context("the number of tasks is no number")?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("log.1");
    let log = honest(BufWriter::new(std::fs::File::create(&file)?), 50, tasks)?;
    log.finish()?;
    let bytes = std::fs::metadata(&file)?.len();
    let report = audit::run(&[dir.path().to_owned()], "/")?;
    ensure!(report.verdict == Verdict::Clean, "an honest log is convicted: {:?}", report.violations.first());
    ensure!(report.tasks.submitted == tasks as u64, "{} tasks were seen", report.tasks.submitted);
    let rate = report.log.records as f64 / report.log.seconds;
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("audit of {} records, {} tasks, {:.0} MB, {build} build:", report.log.records, tasks, bytes as f64 / 1e6);
    println!("  {:.2} s, {rate:.0} records a second, {:.0} MB a second", report.log.seconds, bytes as f64 / 1e6 / report.log.seconds);
    println!("  peak memory {} MB", peak_memory_mb().map_or("?".to_owned(), |mb| mb.to_string()));
    println!("  goal: {GOAL:.0} records a second: {}", if rate >= GOAL { "reached" } else { "missed" });
    Ok(())
}

fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb / 1024)
}
