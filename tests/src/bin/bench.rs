//! `make bench`: rates and latencies beside those of ZooKeeper alone and of other systems.
//!
//! `bench [GROUP…]`; `ROUNDS`, `LONG=1`, `DIVISOR` and `LENGTH` (of the group `retention`, in seconds) come from the environment.

use std::time::Duration;

use bellwether_tests::{bench, place};

fn main() -> anyhow::Result<()> {
    let number = |name: &str, otherwise: usize| match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse::<usize>().ok().filter(|number| *number > 0).ok_or(format!("{name}={text} is no number"))
        }
        Ok(_) | Err(_) => Ok(otherwise),
    };
    let length = number("LENGTH", 0).map_err(anyhow::Error::msg)?;
    let plan = bench::Plan {
        rounds: number("ROUNDS", 5).map_err(anyhow::Error::msg)?,
        divisor: number("DIVISOR", 1).map_err(anyhow::Error::msg)?,
        groups: std::env::args().skip(1).collect(),
        long: std::env::var("LONG").is_ok_and(|long| long == "1"),
        length: (length > 0).then(|| Duration::from_secs(length as u64)),
        dir: place::target_dir().join("bench"),
    };
    bench::run(&plan)
}
