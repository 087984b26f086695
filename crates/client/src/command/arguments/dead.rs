//! `dead` and its options.

use clap::{Args, Subcommand};

use super::values::pair;
use crate::command::selector::SelectorArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List them
    List(DeadListArgs),
    /// Submit each as a new task, from the beginning; prints the new ids. Its letter goes
    Retry(SelectorArgs),
    /// Remove them for good
    Purge(SelectorArgs),
}

/// Which dead letters to list.
#[derive(Debug, Args)]
pub(crate) struct DeadListArgs {
    /// Only of tasks with this label
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
}
