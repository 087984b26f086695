//! The options of `forget`.

use bellwether_core::protocol::TaskName;
use clap::Args;

/// What to forget.
#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Ids of tasks
    #[arg(required = true, value_name = "ID", value_parser = TaskName::parse)]
    pub(crate) tasks: Vec<TaskName>,
}
