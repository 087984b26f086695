//! What to run, and how: the options of `submit` and `run`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_client::AfterFailure;
use bellwether_core::protocol::TaskName;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::values::{backoff, duration, kind, pair, resource, said, slots, submission_key, time, variable};

/// What becomes of a task when one that it waits for does not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum OnFailure {
    /// It ends as cancelled
    #[default]
    Skip,
    /// It ends as dead, and its payload is kept as a dead letter
    Dead,
    /// It runs nevertheless
    Run,
}

impl From<OnFailure> for AfterFailure {
    fn from(what: OnFailure) -> Self {
        match what {
            OnFailure::Skip => Self::Skip,
            OnFailure::Dead => Self::Dead,
            OnFailure::Run => Self::Run,
        }
    }
}

/// What to run, and how. Options with numbers and times take what begins with `-`, too, so that they are named when that is wrong.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// What people call it
    #[arg(long, value_parser = said)]
    pub(crate) name: Option<String>,
    /// Additional environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Working directory on the worker
    #[arg(long, value_name = "DIR", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cwd: Option<String>,
    /// A file that it reads as its standard input; - is our own
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<PathBuf>,
    /// Wait so long until more work is taken in, if it is not now
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) wait_admission: Option<Duration>,
    /// End an attempt that runs longer than this
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// End it when it has waited for its turn longer than this; the coordinator's task.queue_timeout if not said
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) queue_timeout: Option<Duration>,
    /// Make so many attempts more after one that failed; the workers' task.retries if not said
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(..=1000), allow_hyphen_values = true)]
    pub(crate) retries: Option<u32>,
    /// The shortest and the longest time before another attempt, as 1s..60s; it doubles with each failure
    #[arg(long, value_name = "DURATION..DURATION", value_parser = backoff, allow_hyphen_values = true)]
    pub(crate) retry_backoff: Option<(Duration, Duration)>,
    /// Make another attempt only after these exit codes, as 1,75; otherwise after any failure
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(1..=255), allow_hyphen_values = true)]
    pub(crate) retry_on: Vec<i32>,
    /// Do not run it before so much time has passed
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "at", allow_hyphen_values = true)]
    pub(crate) delay: Option<Duration>,
    /// Do not run it before this time, as 2026-11-22T07:00:00+01:00; by ZooKeeper's clock
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) at: Option<Timestamp>,
    /// Do not run it before this task has succeeded; may be given several times
    #[arg(long, value_name = "ID", value_parser = TaskName::parse)]
    pub(crate) after: Vec<TaskName>,
    /// What becomes of it when one of those does not succeed: it is cancelled, dead-lettered, or run nevertheless [default: skip]
    #[arg(long, value_enum, value_name = "WHAT", requires = "after")]
    pub(crate) after_failure: Option<OnFailure>,
    /// Submit it at most once: the same task under the same key is the first one, another one is refused
    #[arg(long, value_name = "KEY", value_parser = submission_key)]
    pub(crate) key: Option<String>,
    /// Higher goes first
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// A label that the worker must have
    #[arg(long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) require: Vec<(String, String)>,
    /// How many slots of its worker it takes while it runs; one if not said
    #[arg(long, value_name = "NUMBER", value_parser = slots, allow_hyphen_values = true)]
    pub(crate) slots: Option<NonZeroU32>,
    /// How much it takes while it runs of what its worker has, as gpu=2
    #[arg(long, value_name = "NAME=NUMBER", value_parser = resource)]
    pub(crate) resource: Vec<(String, NonZeroU32)>,
    /// A label to find the task by
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// How many workers it may cost before it is dead
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), allow_hyphen_values = true)]
    pub(crate) max_worker_losses: Option<u32>,
    /// Ask a handler of this kind in a worker's program, instead of running a command: what it is given is JSON
    #[arg(long, value_name = "KIND", value_parser = kind, conflicts_with_all = ["shell", "env", "cwd", "stdin"])]
    pub(crate) kind: Option<String>,
    /// Give the command, joined by spaces, to the worker's shell
    #[arg(long)]
    pub(crate) shell: bool,
    /// The command and its arguments; with --kind the handler's input, or nothing
    #[arg(required_unless_present = "kind", trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}
