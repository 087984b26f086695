//! The options of `events`, `top`, `doctor`, `man` and `schema`: commands that look at the whole.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What to tell.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Tell what happens from now on, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// At most so many of those that are past
    #[arg(long, value_name = "NUMBER", default_value_t = 50, conflicts_with = "follow", allow_hyphen_values = true)]
    pub(crate) limit: usize,
}

/// Whether to mend.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Mend what is safe to mend, after asking
    #[arg(long)]
    pub(crate) fix: bool,
    /// Do not ask
    #[arg(short, long, requires = "fix")]
    pub(crate) yes: bool,
}

/// Where the manual goes.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write one page for each command into this directory, instead of printing that of `bellwether`
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// What is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Described {
    /// What each command prints with -o json
    #[default]
    Output,
    /// A line of the file of `submit -f`
    TaskFile,
}

/// Which schema.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// What it describes
    #[arg(value_enum, value_name = "WHAT", default_value_t = Described::Output)]
    pub(crate) what: Described,
}
