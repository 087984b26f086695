//! `dead` and its options.

use bellwether_core::protocol::TaskName;
use clap::{Args, Subcommand};

use super::values::pair;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List them
    List(DeadListArgs),
    /// Submit each as a new task, from the beginning; prints the new ids. Its letter goes
    Retry(DeadArgs),
    /// Remove them for good
    Purge(DeadArgs),
}

/// Which dead letters to list.
#[derive(Debug, Args)]
pub(crate) struct DeadListArgs {
    /// Only of tasks with this label
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
}

/// Which dead letters it is about.
#[derive(Debug, Args)]
pub(crate) struct DeadArgs {
    /// Ids of dead tasks, or `all`
    #[arg(required_unless_present = "label", value_name = "ID", value_parser = TaskName::parse)]
    pub(crate) tasks: Vec<TaskName>,
    /// All of tasks with this label
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair, conflicts_with = "tasks")]
    pub(crate) label: Vec<(String, String)>,
}
