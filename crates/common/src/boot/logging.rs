//! What is logged, and how: lines on stderr, where service managers expect them.

use std::env;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::reload;

use crate::config::{Log, LogFormat, LogLevel};

/// Changes the level of the log while it is written.
pub(super) struct Level(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl Level {
    /// From now on lines of `level` and above are written; `RUST_LOG` refines it as before.
    ///
    /// # Errors
    /// What is wrong with `RUST_LOG`, or that a program has a log of its own.
    pub(super) fn set(&self, level: LogLevel) -> Result<(), String> {
        let filter = filter(level, &env::var("RUST_LOG").unwrap_or_default())?;
        self.0(filter).map_err(|error| error.to_string())
    }
}

/// Starts logging as configured; `RUST_LOG` refines it.
///
/// # Errors
/// What is wrong with `RUST_LOG`.
pub(super) fn start(log: &Log) -> Result<Level, String> {
    let refinement = env::var("RUST_LOG").unwrap_or_default();
    let filter = filter(log.level, &refinement)?;
    let colored = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colored);
    // A program that has a log of its own keeps it: then nothing is started here.
    Ok(match log.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            drop(lines.try_init());
            Level(Box::new(move |filter| handle.reload(filter)))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            drop(lines.try_init());
            Level(Box::new(move |filter| handle.reload(filter)))
        }
    })
}

fn filter(level: LogLevel, refinement: &str) -> Result<EnvFilter, String> {
    let filter = EnvFilter::try_new(format!("{},{refinement}", directives(level)));
    filter.map_err(|error| format!("{refinement:?} is no list of log levels: {error}"))
}

/// The ZooKeeper client reports every reconnect at its own levels; the session actor says what matters of it.
fn directives(level: LogLevel) -> String {
    match level {
        LogLevel::Error => "error".to_owned(),
        level => format!("{level},zookeeper_client=warn"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_refines_the_configured_level() {
        let shown = |level, refinement| filter(level, refinement).expect("a filter").to_string();
        assert_eq!(shown(LogLevel::Info, ""), "zookeeper_client=warn,info");
        assert_eq!(shown(LogLevel::Error, ""), "error");
        assert_eq!(shown(LogLevel::Info, "debug"), "zookeeper_client=warn,debug");
        assert_eq!(shown(LogLevel::Info, "zookeeper_client=trace"), "zookeeper_client=trace,info");
    }

    #[test]
    fn nonsense_in_the_environment_is_named() {
        let error = filter(LogLevel::Info, "bellwether=loud").expect_err("no level");
        assert!(error.starts_with("\"bellwether=loud\" is no list of log levels: "), "{error}");
    }
}
