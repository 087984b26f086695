//! `worker` and its options.

use std::time::Duration;

use bellwether_core::protocol::request::DrainMode;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use clap::{Args, Subcommand};

use super::values::{duration, said};

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List the registered workers
    List,
    /// Show all about a worker, with what it was given
    Info {
        /// Its name, or an incarnation of it
        #[arg(value_name = "WORKER")]
        worker: String,
    },
    /// Have a worker take nothing more and give back what it has not started, until it is undrained, also when it is started again
    Drain(DrainArgs),
    /// Let a worker take work again
    Undrain {
        /// Its name, or an incarnation of it
        #[arg(value_name = "WORKER")]
        worker: String,
    },
    /// Wait until a worker has nothing left, or until so many workers may be given work
    Wait {
        /// The name of a worker, or a number of workers
        #[arg(value_name = "WORKER|NUMBER")]
        what: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Its name, or an incarnation of it
    #[arg(value_name = "WORKER")]
    pub(crate) worker: String,
    /// What becomes of tasks that run: graceful, they may end; quick, they are terminated, killed after worker.kill_grace, and given
    /// back; fast, they are killed and given back. What is given back costs no attempt
    #[arg(long, value_name = "MODE", default_value = "graceful", value_parser = mode())]
    pub(crate) mode: DrainMode,
    /// Of the graceful way: then what still runs is drained the quick way
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) deadline: Option<Duration>,
    /// Why, for whoever asks
    #[arg(long, value_name = "TEXT", value_parser = said)]
    pub(crate) reason: Option<String>,
    /// Stay until it has nothing left, and say how far it is
    #[arg(long)]
    pub(crate) monitor: bool,
}

fn mode() -> impl TypedValueParser<Value = DrainMode> {
    const MODES: [DrainMode; 3] = [DrainMode::Graceful, DrainMode::Quick, DrainMode::Fast];
    let known = PossibleValuesParser::new(MODES.map(DrainMode::as_str));
    known.map(|word| MODES.into_iter().find(|mode| mode.as_str() == word).unwrap_or_default())
}
