//! Configuration: one TOML schema for every role, read in layers, checked before anything starts.
//!
//! What lives here: loading, and what follows from the settings (names, addresses, directories). The schema itself stands in
//! `schema`, the layers in `layers`, what values are possible in `rules`, what a report looks like in `problem`, the
//! services' command line in `args`.
//!
//! Defaults are overridden by files in their order, those by the environment (`BELLWETHER__SECTION__KEY`), that by
//! `--set section.key=value`, that by other flags. Unknown keys and impossible values are errors, and one report names all of them.

mod allow;
mod args;
mod json_schema;
mod keys;
mod layers;
mod limits;
mod lines;
mod problem;
mod reload;
mod rules;
mod schema;
mod secret;
mod values;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

pub use allow::AllowedCommand;
pub use args::CommonArgs;
pub use json_schema::json_schema;
pub use layers::{Origins, Sources};
pub use limits::{Limits, Together};
pub use problem::{ConfigError, Origin, Problem};
pub use reload::{RELOADABLE, Reload, reload};
pub use schema::{
    Acl, AclMode, ClassicWorkers, Client, Coordinator, Exec, Format, Http, Inherited, Log, LogFormat, LogLevel, OnDoubt, Output, Settings,
    Task, WorkDir, Worker, Zookeeper,
};
pub use secret::read as read_secret;
pub use values::{ByteSize, Secret};

/// What a process is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Stands for election and rules.
    Coordinator,
    /// Runs tasks.
    Worker,
    /// Submits tasks and waits for them.
    Client,
    /// Exports ZooKeeper's own figures.
    Exporter,
}

impl Role {
    /// The role in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Exporter => "zk-exporter",
        }
    }

    /// The name of the role's program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Coordinator => "bellwether-coordinator",
            Self::Worker => "bellwether-worker",
            Self::Client | Self::Exporter => "bellwether",
        }
    }

    /// Whether the role reads this section of the configuration.
    #[must_use]
    pub fn reads(self, section: &str) -> bool {
        match section {
            "coordinator" => self == Self::Coordinator,
            "worker" => self == Self::Worker,
            "task" => self != Self::Coordinator,
            "client" => self == Self::Client,
            _ => true,
        }
    }

    /// Where the role listens if nothing else is configured. A client does not listen: whatever port is free.
    const fn port(self) -> u16 {
        match self {
            Self::Coordinator => 9641,
            Self::Worker => 9642,
            Self::Client => 0,
            Self::Exporter => 9643,
        }
    }
}

impl Settings {
    /// Reads all sources and the environment of this process, and checks the outcome.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong: show it and end with exit code 78.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::load_with_origins(sources).map(|(settings, _)| settings)
    }

    /// The same, with where each value came from that is not a default.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with_origins(sources: &Sources) -> Result<(Self, Origins), ConfigError> {
        layers::load(sources, env::vars_os())
    }

    /// Checks settings that were made by hand. [`load`](Self::load) has done it.
    ///
    /// # Errors
    /// [`ConfigError`] with every value that is impossible.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let problems: Vec<Problem> = rules::broken(self).into_iter().map(|(key, why)| keys::problem(self, key, why)).collect();
        ConfigError::of(problems)
    }

    /// The coordinator's name; unless configured, the host's.
    #[must_use]
    pub fn coordinator_name(&self) -> String {
        or_host_name(&self.coordinator.name)
    }

    /// The worker's name; unless configured, the host's.
    #[must_use]
    pub fn worker_name(&self) -> String {
        or_host_name(&self.worker.name)
    }

    /// How many tasks the worker runs at once; unless configured, one for each core that this process may use.
    #[must_use]
    pub fn worker_slots(&self) -> usize {
        match self.worker.slots {
            0 => thread::available_parallelism().map_or(1, usize::from).min(rules::SLOTS_MAX),
            slots => slots as usize,
        }
    }

    /// Where `role` serves HTTP; unless configured, its port on loopback.
    #[must_use]
    pub fn http_listen(&self, role: Role) -> SocketAddr {
        self.http.listen.parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], role.port())))
    }

    /// Where others reach the HTTP pages that were bound to `bound`: `host:port`. Unless configured, the bound address, with the
    /// host's name in place of "every address".
    #[must_use]
    pub fn http_advertise(&self, bound: SocketAddr) -> String {
        if !self.http.advertise.is_empty() {
            self.http.advertise.clone()
        } else if bound.ip().is_unspecified() {
            format!("{}:{}", host_name(), bound.port())
        } else {
            bound.to_string()
        }
    }

    /// Where the worker keeps whole outputs: as configured, else `$STATE_DIRECTORY/output` (what systemd gives a service), else
    /// `$XDG_STATE_HOME/bellwether/output`, else `~/.local/state/bellwether/output`.
    #[must_use]
    pub fn output_dir(&self) -> PathBuf {
        self.output_dir_from(|variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute()))
    }

    fn output_dir_from(&self, directory: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
        if !self.worker.output_dir.is_empty() {
            return PathBuf::from(&self.worker.output_dir);
        }
        if let Some(state) = directory("STATE_DIRECTORY") {
            return first_of(&state).join("output");
        }
        let home = || directory("HOME").unwrap_or_else(|| PathBuf::from("/")).join(".local/state");
        directory("XDG_STATE_HOME").unwrap_or_else(home).join("bellwether/output")
    }
}

/// systemd separates several state directories by colons.
fn first_of(directories: &Path) -> PathBuf {
    let text = directories.to_string_lossy();
    text.split_once(':').map_or_else(|| directories.to_owned(), |(first, _)| PathBuf::from(first))
}

fn or_host_name(configured: &str) -> String {
    if configured.is_empty() { host_name() } else { configured.to_owned() }
}

/// The host's name, with what cannot stand in the name of a znode replaced.
pub fn host_name() -> String {
    let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().map(|c| if c.is_alphanumeric() || "-._".contains(c) { c } else { '-' }).collect();
    match bellwether_core::protocol::name::check(&name) {
        Ok(()) => name,
        Err(_) => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests;
