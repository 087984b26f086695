//! The options of `cancel`.

use bellwether_core::protocol::TaskName;
use clap::Args;

/// What to cancel.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Ids of tasks
    #[arg(required = true, value_name = "ID", value_parser = TaskName::parse)]
    pub(crate) tasks: Vec<TaskName>,
    /// Why, for whoever looks at the result
    #[arg(long)]
    pub(crate) reason: Option<String>,
}
