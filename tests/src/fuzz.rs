//! Every decoder is given harmed and invented inputs: it reads or refuses them, keeps its promises, and never panics.
//!
//! What lives here: how inputs are made, and the count. What each decoder promises is in `targets`. The same seed makes the same
//! inputs; `make fuzz SECONDS=60` goes on as long as it is told.

mod targets;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use targets::{Target, all};

/// What was given to one decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// Which.
    pub decoder: &'static str,
    /// How many inputs.
    pub inputs: u64,
    /// How many of them it read; it refused the others.
    pub read: u64,
    /// For how long.
    pub took: Duration,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ran { decoder, inputs, read, took } = self;
        write!(f, "{decoder:<28} {inputs:>9} inputs, {read:>9} read, {:>9} refused, {:>6.2} s", inputs - read, took.as_secs_f64())
    }
}

/// How long each decoder is fuzzed.
#[derive(Debug, Clone, Copy)]
pub enum Budget {
    /// The share of each target of this many inputs in all.
    Inputs(u64),
    /// This long for all of them.
    Time(Duration),
}

/// Gives inputs to every decoder. `scratch` takes the files that some of them read; `logs` holds the transaction logs and snapshots
/// of a real server, from which harmed ones are made.
///
/// # Panics
/// A decoder panics or breaks its promise: the text has the input and how to make it again.
#[must_use]
pub fn run(seed: u64, budget: Budget, scratch: &Path, logs: &Path) -> Vec<Ran> {
    let targets = all(scratch, logs);
    let shares: u64 = targets.iter().map(|target| target.share).sum();
    targets.into_iter().map(|target| fuzz(target, seed, budget, shares)).collect()
}

fn fuzz(mut target: Target, seed: u64, budget: Budget, shares: u64) -> Ran {
    let begun = Instant::now();
    let over = |inputs: u64| match budget {
        Budget::Inputs(all) => inputs >= all * target.share / shares,
        Budget::Time(all) => begun.elapsed() >= all.mul_f64(target.share as f64 / shares as f64),
    };
    let mut random = Random(seed ^ 0x9e37_79b9_7f4a_7c15);
    let (mut inputs, mut read) = (0, 0);
    while !over(inputs) {
        let input = random.input(&target.seeds, target.words);
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(&input)));
        match outcome {
            Ok(accepted) => read += u64::from(accepted),
            Err(_) => panic!("{} breaks on input {inputs} of seed {seed}: {:?}", target.name, String::from_utf8_lossy(&input)),
        }
        inputs += 1;
    }
    Ran { decoder: target.name, inputs, read, took: begun.elapsed() }
}

/// Chance that can be repeated: splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or_default()
    }

    /// A good input, harmed in a few places; now and then nothing but chance.
    fn input(&mut self, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        if seeds.is_empty() || self.below(20) == 0 {
            return (0..self.below(300)).map(|_| self.next().to_le_bytes()[0]).collect();
        }
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(5) {
            self.harm(&mut input, seeds, words);
        }
        input
    }

    fn harm(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
        let at = self.below(input.len() + 1);
        let to = (at + self.below(16)).min(input.len());
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next().to_le_bytes()[0],
            2 => drop(input.drain(at..to)),
            3 => input.truncate(at),
            4 => {
                let again: Vec<u8> = input[at..to].to_vec();
                input.splice(at..at, again);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend(&other[from..]);
            }
            6 if at + 4 <= input.len() => {
                let extreme = [0, -1, i32::MAX, i32::MIN, 1][self.below(5)];
                input[at..at + 4].copy_from_slice(&extreme.to_be_bytes());
            }
            7 => {
                let number = [0, 1, 9, u64::from(u32::MAX), u64::MAX][self.below(5)].to_string();
                input.splice(at..to, number.into_bytes());
            }
            _ if !words.is_empty() => {
                let word = words[self.below(words.len())];
                input.splice(at..at, word.bytes());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_a_decoder_that_panics_is_told() {
        let draw = |seed| {
            let mut random = Random(seed);
            (0..50).map(|_| random.input(&[b"one".to_vec(), b"another".to_vec()], &["word"])).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let fragile = Target::new("fragile", 1, vec![b"fine".to_vec()], &[], |input: &[u8]| {
            assert!(input.is_ascii(), "a byte that it did not expect");
            true
        });
        let told = catch_unwind(AssertUnwindSafe(|| fuzz(fragile, 1, Budget::Inputs(1_000), 1))).expect_err("it is found");
        let text = told.downcast_ref::<String>().expect("a text");
        assert!(text.starts_with("fragile breaks on input "), "{text}");
    }
}
