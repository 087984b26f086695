//! `make fuzz SECONDS=60 SEED=1`: harmed and invented inputs for every decoder, and how many there were.

use std::time::Duration;

use anyhow::Context;
use bellwether_tests::Zookeeper;
use bellwether_tests::fuzz::{Budget, run};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(60), |text| text.parse()).context("SECONDS is no number")?;
    let seed = arguments.next().map_or(Ok(1), |text| text.parse()).context("SEED is no number")?;
    let scratch = tempfile::tempdir()?;
    let zookeeper = Zookeeper::own();
    let tree = zookeeper.tree("/fuzz");
    for name in ["a", "b", "c"] {
        tree.create(&format!("/{name}"), "a payload");
        tree.set(&format!("/{name}"), "another");
    }
    let ran = run(seed, Budget::Time(Duration::from_secs(seconds)), scratch.path(), &zookeeper.data_dir(0));
    ran.iter().for_each(|ran| println!("{ran}"));
    println!("{} inputs in all, seed {seed}: none broke a decoder", ran.iter().map(|ran| ran.inputs).sum::<u64>());
    Ok(())
}
