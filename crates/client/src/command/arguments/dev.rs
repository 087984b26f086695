//! The options of `dev`.

use std::path::PathBuf;

use clap::Args;

/// What a local cluster is made of.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// How many coordinators; the first to come rules, the others stand by
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16), value_name = "NUMBER")]
    pub(crate) coordinators: u32,
    /// How many workers
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=64), value_name = "NUMBER")]
    pub(crate) workers: u32,
    /// How many tasks each worker runs at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256), value_name = "NUMBER")]
    pub(crate) slots: u32,
    /// How many ZooKeeper servers: 1, or 3 to see one die
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7), value_name = "NUMBER")]
    pub(crate) zookeepers: u32,
    /// Keep data and logs in this directory; one that was used before is continued
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}
