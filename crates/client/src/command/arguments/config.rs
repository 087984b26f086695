//! `config` and its options.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read everything and say whether it is right
    Check {
        /// More files, read after those of --config
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print every key with the value that is used
    Show {
        /// Print behind each value where it comes from: a line of a file, a variable, a flag, or the default
        #[arg(long)]
        origin: bool,
        /// More files, read after those of --config
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of a configuration file, for editors and programs
    Schema,
    /// Write a commented configuration file to start from
    Init {
        /// Whose keys it holds
        #[arg(value_enum, default_value_t = Template::Reference)]
        template: Template,
        /// Where it is written; to stdout if there is none
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Overwrite a file that exists
        #[arg(long, requires = "file")]
        force: bool,
    },
}

/// Which configuration file to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// The few keys that a coordinator needs
    Coordinator,
    /// The few keys that a worker needs
    Worker,
    /// The few keys that this command needs
    Client,
    /// Every key there is, at its default, with an explanation
    Reference,
}
