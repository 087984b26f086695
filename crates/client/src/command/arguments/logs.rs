//! The options of `logs`.

use clap::Args;

use crate::command::selector::SelectorArgs;

/// Whose output, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) select: SelectorArgs,
    /// Wait for the start, go on until the task has ended, wherever it is run, and say how it ended; for one task
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin so many lines before the end
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u64).range(0..=1_000_000), allow_hyphen_values = true)]
    pub(crate) tail: Option<u64>,
    /// Only what it wrote to its standard error, on our standard output
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Of this attempt; the last one if not said
    #[arg(long, value_name = "NUMBER", conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..), allow_hyphen_values = true)]
    pub(crate) attempt: Option<u32>,
}
