//! `master` and its options.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum MasterCommand {
    /// Show who rules and who stands by
    Status,
    /// Show who ruled when, why each term ended, and how long nobody ruled
    History,
}
