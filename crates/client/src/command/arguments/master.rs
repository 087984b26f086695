//! `master` and its options.

use clap::Subcommand;

use super::values::said;

#[derive(Debug, Subcommand)]
pub(crate) enum MasterCommand {
    /// Show who rules and who stands by
    Status,
    /// Show who ruled when, why each term ended, and how long nobody ruled
    History,
    /// Assign nothing more, whoever rules, until it is resumed; what runs goes on
    Pause {
        /// Why, for whoever asks
        #[arg(long, value_name = "TEXT", value_parser = said)]
        reason: Option<String>,
    },
    /// Assign tasks again
    Resume,
    /// Ask the master to leave the office to a standby; it then stands by itself, behind the others
    StepDown {
        /// Why, for the history
        #[arg(long, value_name = "TEXT", value_parser = said)]
        reason: Option<String>,
        /// Also if nobody stands by: the same one rules again, after reading everything anew
        #[arg(long)]
        force: bool,
    },
}
