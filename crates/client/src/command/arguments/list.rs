//! The options of `list`.

use bellwether_client::TaskState;
use bellwether_core::protocol::TaskName;
use clap::{Args, ValueEnum};

use super::values::{pair, submission_key};

/// What to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only tasks with this label
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Only tasks in this state; may be given several times
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Vec<TaskState>,
    /// Only tasks of this group
    #[arg(long, value_name = "ID", value_parser = TaskName::parse)]
    pub(crate) group: Option<TaskName>,
    /// Only the task that was submitted under this key
    #[arg(long, value_name = "KEY", value_parser = submission_key)]
    pub(crate) key: Option<String>,
    /// At most so many; 0 for all
    #[arg(long, value_name = "NUMBER", default_value_t = 100, allow_hyphen_values = true)]
    pub(crate) limit: usize,
    /// What comes first, of all and not only of those that are shown
    #[arg(long, value_enum, value_name = "KEY")]
    pub(crate) sort: Option<Sort>,
    /// List them again every two seconds, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

/// What a list is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// By id
    Task,
    /// The latest change first
    Since,
    /// Assigned, pending, held, then how they ended
    State,
    /// By worker; those without one last
    Worker,
    /// The highest first
    Priority,
    /// By name; those without one last
    Name,
}
