//! The options of `submit` and `run` beyond the task's own.

use std::path::PathBuf;

use clap::Args;

use bellwether_core::protocol::array::Span;

use super::schedule::RhythmArgs;
use super::task::TaskArgs;
use super::values::{count, span};
use crate::command::failure::Failure;
use crate::command::wait::Waiting;

/// Many tasks at once.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    /// Submit a group: each line of this file is a task, as {"argv": ["make", "all"]} or {"shell": "a | b"}; - is our own
    /// standard input. What a line may say: `bellwether schema task-file`
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ALONE)]
    pub(crate) file: Option<PathBuf>,
    /// Submit the good lines of the file, although others are bad
    #[arg(long)]
    pub(crate) partial: bool,
}

/// The elements of an array.
#[derive(Debug, Args)]
pub(crate) struct ElementArgs {
    /// Submit an array: run the command so many times, with BELLWETHER_ELEMENT from 0 on; one id, elements are ID.0, ID.1, …
    #[arg(long, value_name = "NUMBER", value_parser = count, conflicts_with_all = ["array", "each_line"], allow_hyphen_values = true)]
    pub(crate) count: Option<u32>,
    /// Submit an array with these numbers, as 0-9999, or 5; both ends are included
    #[arg(long, value_name = "FROM-TO", value_parser = span, conflicts_with = "each_line", allow_hyphen_values = true)]
    pub(crate) array: Option<Span>,
    /// Submit an array: run the command once for each line of this file, which it finds in BELLWETHER_LINE; - is our own standard input
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub(crate) each_line: Option<PathBuf>,
    /// Cancel what is left of the group, or of the array, when more of its tasks than this have failed
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) max_fails: Option<u32>,
}

/// What is said about one task: each line of a file says its own.
const ALONE: &[&str] = &[
    "count",
    "array",
    "each_line",
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
    pub(crate) elements: ElementArgs,
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
    #[command(flatten)]
    pub(crate) elements: ElementArgs,
}

impl ElementArgs {
    /// Whether an array is wanted.
    pub(crate) fn is_given(&self) -> bool {
        self.count.is_some() || self.array.is_some() || self.each_line.is_some()
    }

    /// What says something of several tasks needs them. (`requires` of clap is satisfied where they would be in conflict with something
    /// else.)
    pub(crate) fn check(&self, several: bool) -> Result<(), Failure> {
        if self.max_fails.is_some() && !several && !self.is_given() {
            let failure = Failure::usage("--max-fails says something of several tasks");
            return Err(failure.hint("name a file of them with --file, or the elements of an array with --count, --array or --each-line"));
        }
        Ok(())
    }
}

impl SubmitArgs {
    /// What says something of several tasks needs them.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.rhythm.check()?;
        if self.group.partial && self.group.file.is_none() {
            return Err(Failure::usage("--partial says something of a file of tasks").hint("name it with --file"));
        }
        self.elements.check(self.group.file.is_some())
    }

    /// How it is waited, if it is.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.wait.then_some(Waiting { any: false, progress: self.progress })
    }
}
