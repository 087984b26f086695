//! `schedule`, and the options by which `submit` makes one.

use std::time::Duration;

use bellwether_core::protocol::ScheduleName;
use bellwether_core::protocol::schedule::{Missed, Overlap};
use clap::{Args, Subcommand, ValueEnum};

use super::values::duration;

/// When to submit it again and again.
#[derive(Debug, Args)]
pub(crate) struct RhythmArgs {
    /// Submit it again and again, so much time apart, as 5m: makes a schedule of this name (--name) and prints it
    #[arg(long, value_name = "DURATION", value_parser = period, conflicts_with_all = ["cron", "wait", "delay", "at", "after", "key", "count", "array", "each_line"], allow_hyphen_values = true)]
    pub(crate) every: Option<Duration>,
    /// Submit it by the calendar, as "0 3 * * *" (minute, hour, day, month, day of week) or @daily: makes a schedule
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["wait", "delay", "at", "after", "key", "count", "array", "each_line"])]
    pub(crate) cron: Option<String>,
    /// The time zone by whose clocks the calendar goes, as Europe/Berlin; UTC if not said
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub(crate) timezone: Option<String>,
    /// What becomes of ticks at which nobody ruled
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) missed: Option<MissedArg>,
    /// What becomes of a tick while the task of the one before has not ended
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) overlap: Option<OverlapArg>,
}

/// What becomes of ticks at which nobody ruled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MissedArg {
    /// Nothing: only a tick of the last minute is made up for
    Skip,
    /// The last of them is made up for (if not said)
    Once,
    /// Each of them is made up for
    All,
}

impl From<MissedArg> for Missed {
    fn from(missed: MissedArg) -> Self {
        match missed {
            MissedArg::Skip => Self::Skip,
            MissedArg::Once => Self::Once,
            MissedArg::All => Self::All,
        }
    }
}

/// What becomes of a tick while the task of the one before has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverlapArg {
    /// It gets a task of its own (if not said)
    Allow,
    /// It gets none
    Skip,
}

impl From<OverlapArg> for Overlap {
    fn from(overlap: OverlapArg) -> Self {
        match overlap {
            OverlapArg::Allow => Self::Allow,
            OverlapArg::Skip => Self::Skip,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List them
    List,
    /// Show one
    Show {
        /// Its name
        #[arg(value_name = "NAME", value_parser = ScheduleName::parse)]
        schedule: ScheduleName,
    },
    /// No tick counts from now on
    Pause(SchedulesArgs),
    /// Ticks count again from now on; what would have been due meanwhile was not missed
    Resume(SchedulesArgs),
    /// Delete them; tasks that they made stay
    Delete(SchedulesArgs),
}

/// Which schedules it is about.
#[derive(Debug, Args)]
pub(crate) struct SchedulesArgs {
    /// Their names
    #[arg(required = true, value_name = "NAME", value_parser = ScheduleName::parse)]
    pub(crate) schedules: Vec<ScheduleName>,
}

fn period(text: &str) -> Result<Duration, String> {
    let period = duration(text)?;
    let whole = period.subsec_nanos() == 0 && !period.is_zero();
    if whole { Ok(period) } else { Err("a period must be whole seconds, 1s or more".to_owned()) }
}
