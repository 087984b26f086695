//! The options of `submit` and `run` beyond the task's own.

use clap::Args;

use super::schedule::RhythmArgs;
use super::task::TaskArgs;

/// What to submit.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    #[command(flatten)]
    pub(crate) rhythm: RhythmArgs,
    /// Wait for its end, and exit as `wait` does
    #[arg(long)]
    pub(crate) wait: bool,
}

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
}
