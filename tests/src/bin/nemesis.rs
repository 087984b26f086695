//! `make nemesis SECONDS=… SEED=…`: a whole cluster under attack, and what came of it.
//!
//! Takes the seconds and the seed as arguments. Prints the schedule first: the same seed, the same schedule. Ends with 0 only if
//! nothing was lost, doubled or broken; if not, everybody's logs are kept until the next run.

use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bellwether_tests::nemesis::{self, Schedule, verdict};

fn main() -> anyhow::Result<ExitCode> {
    let mut numbers =
        std::env::args().skip(1).map(|argument| argument.parse::<u64>().with_context(|| format!("{argument:?} is no number")));
    let seconds = numbers.next().transpose()?.unwrap_or(60);
    let seed = numbers.next().transpose()?.unwrap_or(1);
    let schedule = Schedule::draw(seed, Duration::from_secs(seconds));
    println!("{schedule}");
    let cluster = ManuallyDrop::new(nemesis::cluster());
    let report = nemesis::run(&cluster, &schedule);
    println!("What was done, and when:\n{}", verdict::timeline(&report.struck));
    println!("{}", report.verdict);
    if !report.verdict.is_sound() {
        println!("WRONG with seed {seed}; logs: {}", cluster.dir().display());
        println!("ZooKeeper: {}", cluster.zookeeper().data_dir(0).display());
        return Ok(ExitCode::FAILURE);
    }
    drop(ManuallyDrop::into_inner(cluster));
    println!("sound: every task has exactly one result, and no promise was broken");
    Ok(ExitCode::SUCCESS)
}
