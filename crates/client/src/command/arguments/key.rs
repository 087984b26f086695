//! The options of `key`.

use std::path::PathBuf;

use clap::Subcommand;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key in a new file that only its owner can read; prints the public line for worker.trusted_keys
    New {
        /// Where the secret key goes
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What stands behind the public key, for people; user@host if not said
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
    /// Print the public line of a key
    Show {
        /// Where the secret key is
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
