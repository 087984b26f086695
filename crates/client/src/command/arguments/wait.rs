//! The options of `wait`.

use bellwether_core::protocol::TaskName;
use clap::Args;

/// What to wait for.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Ids of tasks
    #[arg(required = true, value_name = "ID", value_parser = TaskName::parse)]
    pub(crate) tasks: Vec<TaskName>,
    /// Only until one of them has
    #[arg(long)]
    pub(crate) any: bool,
}
