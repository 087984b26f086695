//! Many random histories of the whole system: masters, workers and clients over a toy ZooKeeper, with messages that overtake one
//! another, lost answers, lost sessions, crashes and people who delete things. No history may break a promise, and once the faults
//! stop, everything that was accepted must end.
//!
//! A history depends on its seed alone. `SIMULATION_SEED=17` runs that one and prints what was committed;
//! `SIMULATION_SEEDS=100000` runs more of them.

mod hand;
mod link;
mod random;
mod ruler;
mod tally;
mod world;
mod zookeeper;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use tally::Tally;
use world::World;

const SEEDS: u64 = 1_500;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

/// What happened; or nothing, if it ended in a panic, whose message was printed.
fn run(seed: u64, in_detail: bool) -> Option<Tally> {
    let mut world = World::new(seed, in_detail);
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    if lived.is_ok() {
        return Some(world.zookeeper.tally);
    }
    if in_detail {
        world.zookeeper.story.iter().for_each(|line| eprintln!("  {line}"));
    }
    eprintln!("again: SIMULATION_SEED={seed} cargo test -p bellwether-core --test simulation");
    None
}

#[test]
fn every_history_keeps_every_promise_and_comes_to_an_end() {
    let chosen = number("SIMULATION_SEED");
    let seeds = match chosen {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let (mut all, mut failed) = (Tally::default(), Vec::new());
    let hands = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| seeds.contains(seed));
        std::iter::from_fn(take).map(|seed| (seed, run(seed, chosen.is_some()))).collect::<Vec<_>>()
    };
    let ended = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..hands).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("panics are caught")).collect::<Vec<_>>()
    });
    for (seed, tally) in ended {
        match tally {
            Some(more) => all.add(&more),
            None => failed.push(seed),
        }
    }
    println!("{all:?}");
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
    assert!(chosen.is_some() || all.is_eventful(), "something never happened: {all:?}");
}
