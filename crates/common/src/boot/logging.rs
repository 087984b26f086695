//! What is logged, and how: lines on stderr, where service managers expect them.

use std::env;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging as configured; `RUST_LOG` refines it.
///
/// # Errors
/// What is wrong with `RUST_LOG`.
pub(super) fn start(log: &Log) -> Result<(), String> {
    let refinement = env::var("RUST_LOG").unwrap_or_default();
    let filter = filter(log.level, &refinement)?;
    let colored = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colored);
    let started = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // A program that has a log of its own keeps it.
    drop(started);
    Ok(())
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
