//! The options of `bench`.

use bellwether_client::bench::Part;
use clap::{Args, ValueEnum};

/// What to measure, and how often.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure [default: all of it]
    #[arg(value_enum, value_name = "PART")]
    pub(crate) parts: Vec<BenchPart>,
    /// How often each part is measured, the parts by turns
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How many tasks each time, and how many nodes of ZooKeeper; in transactions of 32 five times as many
    #[arg(long, value_name = "NUMBER", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    /// How many tasks are submitted at a time, where many are
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) batch: u32,
    /// Measure although the cluster is in use
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Measure tasks for the handler of this kind, `noop` being in every worker, instead of a command
    #[arg(long, value_name = "KIND", conflicts_with = "command")]
    pub(crate) kind: Option<String>,
    /// What each task runs [default: true]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// ZooKeeper alone: writes, transactions, reads, events
    Store,
    /// One task after another, beside the sum of its round trips
    Latency,
    /// Many tasks, submitted one by one and many at a time
    Tasks,
    /// As many elements of a single array
    Array,
}

impl From<BenchPart> for Part {
    fn from(part: BenchPart) -> Self {
        match part {
            BenchPart::Store => Self::Store,
            BenchPart::Latency => Self::Latency,
            BenchPart::Tasks => Self::Tasks,
            BenchPart::Array => Self::Array,
        }
    }
}
