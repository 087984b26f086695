//! The options of `wait`.

use clap::Args;

use crate::command::selector::SelectorArgs;

/// What to wait for.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) select: SelectorArgs,
    /// Only until one of them has
    #[arg(long)]
    pub(crate) any: bool,
    /// Draw how many have ended, on a terminal
    #[arg(long)]
    pub(crate) progress: bool,
}

/// Whose results.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    #[command(flatten)]
    pub(crate) select: SelectorArgs,
    /// Only of what failed: of an array each element that ended otherwise than well
    #[arg(long)]
    pub(crate) failed: bool,
}
