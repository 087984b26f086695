//! Values of which there are a few: each with its word, and the one that holds if nobody chooses.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may do what with the nodes of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AclMode {
    /// Everybody may do everything, as in the book's example.
    #[default]
    Open,
    /// Each role may do what it must.
    Secured,
}

/// Whether workers of the book's example get work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClassicWorkers {
    /// They are left idle.
    #[default]
    Deny,
    /// They are given tasks.
    Allow,
}

/// What happens to running tasks when the session may have ended unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDoubt {
    /// They are killed: no task runs twice at the same time.
    #[default]
    Kill,
    /// They run on: long work survives an outage, at the price of a possible overlap.
    Keep,
}

/// What a task may ask a worker for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Exec {
    /// Any program, and any line for the shell.
    #[default]
    Shell,
    /// Any program with its arguments; no shell takes part that the task does not name itself.
    Argv,
    /// What the worker's configuration names, and nothing else.
    Allowlist,
}

/// Which of the worker's variables its commands see, beside their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Inherited {
    /// All but Bellwether's own and the service manager's.
    #[default]
    Inherit,
    /// Where programs and the home are, the language and the time zone.
    Clean,
}

/// Where commands run that do not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkDir {
    /// Where the worker does.
    #[default]
    Shared,
    /// In a directory of their own, which goes when they end.
    Private,
}

/// The least important lines that are still written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What is wrong.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level as filters spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// What the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Columns, for people.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// JSON, for programs.
    Json,
    /// JSON, one object per line; of a list, one per element.
    Jsonl,
    /// Names alone, one per line, for pipes.
    Name,
    /// Errors, and the ids of what was submitted: nothing that could be asked for again.
    Quiet,
}

/// What a [`Format`] is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Text for people.
    Table,
    /// JSON for programs.
    Json,
    /// Names for pipes.
    Name,
}

impl Format {
    /// What it is made of. What is quiet would be text.
    #[must_use]
    pub const fn output(self) -> Output {
        match self {
            Self::Table | Self::Wide | Self::Quiet => Output::Table,
            Self::Json | Self::Jsonl => Output::Json,
            Self::Name => Output::Name,
        }
    }
}
