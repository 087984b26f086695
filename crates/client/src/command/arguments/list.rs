//! The options of `list`.

use bellwether_client::TaskState;
use clap::Args;

use super::values::pair;

/// What to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only tasks with this label; results carry none, so that ended tasks are left out
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Only tasks in this state; may be given several times
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Vec<TaskState>,
    /// At most so many; 0 for all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) limit: usize,
}
