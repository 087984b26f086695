//! One service of a local cluster: its process and its log.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bellwether_common::leash::{Leash, Streams};
use nix::sys::signal::Signal;

use super::plan::{Plan, Spec};
use crate::command::failure::Failure;

/// How much of a log is shown when its service failed.
const TAIL_LINES: usize = 20;

/// A service that was started. It is killed with this handle, and with this process.
#[derive(Debug)]
pub(super) struct Service {
    spec: Spec,
    log: PathBuf,
    leash: Leash,
    /// Where it listens, once its log says so.
    http: Option<String>,
    /// How much of the log is from before it was started.
    skip: usize,
    reported: bool,
}

impl Service {
    pub(super) fn start(plan: &Plan, spec: &Spec) -> Result<Self, Failure> {
        let config = plan.write_config(spec)?;
        let log = plan.dir().join(format!("{}.log", spec.name));
        let skip = std::fs::metadata(&log).map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(0));
        let mut command = Command::new(&spec.binary);
        command.arg("--config").arg(config).current_dir(plan.dir());
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| variable.as_encoded_bytes().starts_with(b"BELLWETHER")) {
            // What is meant for the command must not reach the services.
            command.env_remove(variable);
        }
        let started = Leash::spawn(&command, &Streams::log(&log));
        let leash = started.map_err(|error| Failure::error("error", format!("cannot start {}: {error}", spec.binary.display())))?;
        Ok(Self { spec: spec.clone(), log, leash, http: None, skip, reported: false })
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(super) fn role(&self) -> &'static str {
        self.spec.role
    }

    pub(super) fn pid(&self) -> u32 {
        self.leash.pid().unsigned_abs()
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn http(&self) -> Option<&str> {
        self.http.as_deref()
    }

    /// Reads the log for where it listens.
    pub(super) fn look(&mut self) {
        if self.http.is_none() {
            self.http = http_in(&self.new_log());
        }
    }

    /// Its exit code, if it has ended.
    pub(super) fn ended(&self) -> Option<i32> {
        self.leash.exit_code()
    }

    /// The same, once.
    pub(super) fn ended_just_now(&mut self) -> Option<i32> {
        let code = self.ended().filter(|_| !self.reported)?;
        self.reported = true;
        Some(code)
    }

    /// What is said when it ended without being asked to.
    pub(super) fn ended_text(&self, code: i32) -> String {
        let how = if code > 128 { format!("was killed by signal {}", code - 128) } else { format!("ended with code {code}") };
        format!("{} {} (pid {}) {how}; it is not restarted, its log is {}", self.role(), self.name(), self.pid(), self.log.display())
    }

    /// What is said when it ended before it was ready.
    pub(super) fn failed_to_start(&self, code: i32) -> Failure {
        let log = self.new_log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        let separator = if tail.is_empty() { "" } else { "\n" };
        Failure::error("not-ready", format!("{tail}{separator}{} {} ended with code {code} instead of serving", self.role(), self.name()))
    }

    fn new_log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.skip..).unwrap_or_default()).into_owned()
    }
}

/// SIGTERM to all of them, then waits for each; SIGKILL when the time is over. Gives the names of those that were killed.
pub(super) fn end_all(services: &[Service], within: Duration) -> Vec<String> {
    services.iter().for_each(|service| service.leash.signal(Signal::SIGTERM));
    let deadline = Instant::now() + within;
    let mut killed = Vec::new();
    for service in services {
        if service.leash.wait(deadline.saturating_duration_since(Instant::now())).is_none() {
            service.leash.kill();
            killed.push(service.name().to_owned());
        }
    }
    killed
}

/// The address in the line that every service logs once it listens.
fn http_in(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("listening on "))?;
    let (_, rest) = line.split_once("http=")?;
    rest.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_out_of_the_log() {
        let log = "2026 INFO x: hello\n2026  INFO boot: listening on 127.0.0.1:41 http=127.0.0.1:41 role=\"worker\" cluster=\"dev\"\n";
        assert_eq!(http_in(log).as_deref(), Some("127.0.0.1:41"));
        assert_eq!(http_in("2026 INFO x: http=1"), None);
    }
}
