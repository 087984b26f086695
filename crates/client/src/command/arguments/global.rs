//! What every command understands.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_common::config::{Format, Sources};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::values::request_timeout;

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// ZooKeeper's servers and the cluster's root, host:port,host:port/root [env: BELLWETHER_ZOOKEEPER]
    // Not read by clap: `dev` must know whether it was typed, and a variable comes before --set, not after.
    #[arg(short, long, global = true, value_name = "CONNECT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) zookeeper: Option<String>,

    /// A configuration file; may be given several times, later files override earlier ones
    // Not clap's parser of paths, which refuses the empty one: an empty variable says "none".
    #[arg(short, long, global = true, value_name = "FILE", env = "BELLWETHER_CONFIG",
          value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) config: Vec<PathBuf>,

    /// Override one key, as --set client.output=json; may be given several times
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// The file with the key that signs what is submitted; see `bellwether key`
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) sign_key: Option<String>,

    /// What is printed
    #[arg(short, long, global = true, value_enum, env = "BELLWETHER_OUTPUT")]
    pub(crate) output: Option<Format>,

    /// How times are shown in text; in JSON they are RFC 3339
    #[arg(long, global = true, value_enum, default_value_t = Times::Relative, value_name = "HOW")]
    pub(crate) time: Times,

    /// When to use colours; NO_COLOR is honoured, too
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,

    /// How long to go on while ZooKeeper does not answer
    #[arg(long, global = true, default_value = "30s", value_name = "DURATION", value_parser = request_timeout, allow_hyphen_values = true)]
    pub(crate) request_timeout: Duration,

    /// Say more; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// Where the settings come from: files, then environment, then --set, then -z and --sign-key.
    pub(crate) fn sources(&self) -> Sources {
        // What is not text is no address either, and is refused as such instead of being left out.
        self.sources_with(std::env::var_os("BELLWETHER_ZOOKEEPER").map(|connect| connect.to_string_lossy().into_owned()))
    }

    pub(super) fn sources_with(&self, variable: Option<String>) -> Sources {
        let set = self.set.iter().any(|set| set.starts_with("zookeeper.connect="));
        let zookeeper = self.zookeeper.clone().or(variable.filter(|_| !set)).filter(|connect| !connect.is_empty());
        let overrides = [("zookeeper.connect", zookeeper), ("client.sign_key", self.sign_key.clone())];
        Sources {
            files: self.config.iter().filter(|file| !file.as_os_str().is_empty()).cloned().collect(),
            sets: self.set.clone(),
            overrides: overrides.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect(),
        }
    }
}

/// How times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Times {
    /// How long ago, or how far ahead
    Relative,
    /// As RFC 3339, in UTC
    Iso,
    /// Seconds since 1970
    Unix,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
