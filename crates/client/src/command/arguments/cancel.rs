//! The options of `cancel`.

use std::time::Duration;

use bellwether_client::CancelOptions;
use clap::Args;

use super::values::{grace, said};
use crate::command::selector::SelectorArgs;

/// What to cancel.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) select: SelectorArgs,
    /// Why, for whoever looks at the result
    #[arg(long, value_parser = said)]
    pub(crate) reason: Option<String>,
    /// Send what runs a SIGTERM, and kill it after this time; without it, it is killed at once
    #[arg(long, value_name = "DURATION", value_parser = grace, allow_hyphen_values = true)]
    pub(crate) grace: Option<Duration>,
}

impl CancelArgs {
    /// How.
    pub(crate) fn options(&self) -> CancelOptions {
        let options = self.reason.iter().fold(CancelOptions::new(), |options, reason| options.reason(reason));
        self.grace.into_iter().fold(options, CancelOptions::grace)
    }
}
