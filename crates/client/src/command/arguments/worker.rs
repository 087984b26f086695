//! `worker` and its options.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List the registered workers
    List,
}
