//! The options of `forget`.

use clap::Args;

use crate::command::selector::SelectorArgs;

/// What to forget.
#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    pub(crate) select: SelectorArgs,
}
