//! The options of `cancel`.

use clap::Args;

use crate::command::selector::SelectorArgs;

/// What to cancel.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) select: SelectorArgs,
    /// Why, for whoever looks at the result
    #[arg(long)]
    pub(crate) reason: Option<String>,
}
