//! The options of `submit` and `run` beyond the task's own.

use std::path::PathBuf;

use clap::Args;

use super::schedule::RhythmArgs;
use super::task::TaskArgs;
use crate::command::failure::Failure;
use crate::command::wait::Waiting;

/// Many tasks at once.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    /// Submit a group: each line of this file is a task, as {"argv": ["make", "all"]} or {"shell": "a | b"}; - is our own
    /// standard input. What a line may say: `bellwether schema task-file`
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ALONE)]
    pub(crate) file: Option<PathBuf>,
    /// Cancel what is left of the group when more of its tasks than this have failed
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) max_fails: Option<u32>,
    /// Submit the good lines of the file, although others are bad
    #[arg(long)]
    pub(crate) partial: bool,
}

/// What is said about one task: each line of a file says its own.
const ALONE: &[&str] = &[
    "command",
    "env",
    "cwd",
    "stdin",
    "timeout",
    "queue_timeout",
    "retries",
    "retry_backoff",
    "retry_on",
    "delay",
    "at",
    "after",
    "after_failure",
    "key",
    "priority",
    "require",
    "slots",
    "resource",
    "label",
    "max_worker_losses",
    "kind",
    "shell",
    "every",
    "cron",
];

/// What to submit.
#[derive(Debug, Args)]
#[command(mut_arg("command", |command| command.required(false).required_unless_present("file")))]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    #[command(flatten)]
    pub(crate) group: GroupArgs,
    #[command(flatten)]
    pub(crate) rhythm: RhythmArgs,
    /// Wait for its end, and exit as `wait` does
    #[arg(long)]
    pub(crate) wait: bool,
    /// While it waits, draw how many have ended, on a terminal
    #[arg(long, requires = "wait")]
    pub(crate) progress: bool,
    /// Submit nothing: look at everything that a submission looks at, and say what would become of it
    #[arg(long, conflicts_with_all = ["wait", "wait_admission"])]
    pub(crate) dry_run: bool,
}

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
}

impl GroupArgs {
    /// What says something of a file needs one. (`requires` of clap is satisfied where the file would be in conflict with something else.)
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let said = if self.max_fails.is_some() { "--max-fails" } else { "--partial" };
        match self.file.is_none() && (self.max_fails.is_some() || self.partial) {
            true => Err(Failure::usage(format!("{said} says something of a file of tasks")).hint("name it with --file")),
            false => Ok(()),
        }
    }
}

impl SubmitArgs {
    /// How it is waited, if it is.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.wait.then_some(Waiting { any: false, progress: self.progress })
    }
}
