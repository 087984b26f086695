//! What a local cluster is made of: directory, ZooKeeper, and a configuration file for each service.

use std::path::{Path, PathBuf};

use bellwether_common::local_zookeeper;
use tempfile::TempDir;

use crate::command::arguments::DevArgs;
use crate::command::context::Context;
use crate::command::failure::Failure;

/// What is going to be started.
#[derive(Debug)]
pub(super) struct Plan {
    dir: Directory,
    /// None to use what was named with `-z`.
    pub(super) zookeeper: Option<local_zookeeper::Options>,
    /// Servers of ZooKeeper; known once it runs.
    pub(super) connect: String,
    pub(super) root: String,
    auth: Vec<(&'static str, String)>,
    pub(super) coordinators: Vec<Spec>,
    pub(super) workers: Vec<Spec>,
}

#[derive(Debug)]
enum Directory {
    /// Goes with the cluster.
    Temporary(TempDir),
    /// Stays.
    Kept(PathBuf),
}

/// One service.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    /// What it is called.
    pub(super) name: String,
    /// `coordinator` or `worker`.
    pub(super) role: &'static str,
    pub(super) binary: PathBuf,
    /// Section, key and value beyond what all services have.
    settings: Vec<(&'static str, &'static str, String)>,
}

/// Short, so that a killed master is missed soon, and long enough for a busy laptop.
const COORDINATOR_SESSION: &str = "4s";
const WORKER_SESSION: &str = "6s";

impl Plan {
    pub(super) fn new(ctx: &Context, options: &DevArgs) -> Result<Self, Failure> {
        let dir = match &options.keep {
            Some(dir) => Directory::Kept(absolute(dir)?),
            None => Directory::Temporary(
                tempfile::Builder::new()
                    .prefix("bellwether-dev-")
                    .tempdir()
                    .map_err(|error| no_directory("a temporary directory", &error))?,
            ),
        };
        let zookeeper = &ctx.settings.zookeeper;
        let ours = local_zookeeper::Options::new(dir.path()).ensemble(options.zookeepers as usize);
        let auth = [("auth_scheme", &zookeeper.auth_scheme), ("auth_file", &zookeeper.auth_file)];
        let auth = auth.into_iter().filter(|(_, value)| ctx.named_zookeeper && !value.is_empty());
        Ok(Self {
            coordinators: specs("coordinator", "c", options.coordinators, |_| Vec::new())?,
            workers: specs("worker", "w", options.workers, |name| worker_settings(dir.path(), name, options.slots))?,
            zookeeper: (!ctx.named_zookeeper).then_some(ours),
            connect: zookeeper.connect.clone(),
            root: if ctx.named_zookeeper { zookeeper.root.clone() } else { "/".to_owned() },
            auth: auth.map(|(key, value)| (key, value.clone())).collect(),
            dir,
        })
    }

    /// Where everything lies.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where everything stays, if it does.
    pub(super) fn kept(&self) -> Option<&Path> {
        match &self.dir {
            Directory::Kept(dir) => Some(dir),
            Directory::Temporary(_) => None,
        }
    }

    /// What clients connect to.
    pub(super) fn address(&self) -> String {
        format!("{}{}", self.connect, self.root.trim_end_matches('/'))
    }

    /// Writes a service's configuration file.
    pub(super) fn write_config(&self, spec: &Spec) -> Result<PathBuf, Failure> {
        let path = self.dir().join(format!("{}.toml", spec.name));
        std::fs::write(&path, self.config(spec)).map_err(|error| no_directory(&path.display().to_string(), &error))?;
        Ok(path)
    }

    fn config(&self, spec: &Spec) -> String {
        let session = if spec.role == "worker" { WORKER_SESSION } else { COORDINATOR_SESSION };
        let mut zookeeper =
            format!("connect = {}\nroot = {}\nsession_timeout = \"{session}\"\n", quoted(&self.connect), quoted(&self.root));
        for (key, value) in &self.auth {
            zookeeper.push_str(&format!("{key} = {}\n", quoted(value)));
        }
        let own = |section: &str| -> String {
            let lines = spec.settings.iter().filter(|(of, ..)| *of == section);
            lines.map(|(_, key, value)| format!("{key} = {value}\n")).collect()
        };
        let (role, name) = (spec.role, quoted(&spec.name));
        format!(
            "# Written by `bellwether dev` at every start: changes are lost.\ncluster = \"dev\"\n\n[zookeeper]\n{zookeeper}\n\
             [{role}]\nname = {name}\n{}\n[http]\nlisten = \"127.0.0.1:0\"\n",
            own(role)
        )
    }
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }
}

fn specs(
    role: &'static str,
    prefix: &str,
    count: u32,
    settings: impl Fn(&str) -> Vec<(&'static str, &'static str, String)>,
) -> Result<Vec<Spec>, Failure> {
    let binary = beside_us(&format!("bellwether-{role}"))?;
    let spec = |number| {
        let name = format!("{prefix}{number}");
        Spec { settings: settings(&name), role, binary: binary.clone(), name }
    };
    Ok((1..=count).map(spec).collect())
}

/// A laptop's owner does not want to wait a minute after Ctrl-C.
fn worker_settings(dir: &Path, name: &str, slots: u32) -> Vec<(&'static str, &'static str, String)> {
    let output = dir.join(format!("{name}-output")).display().to_string();
    vec![
        ("worker", "slots", slots.to_string()),
        ("worker", "output_dir", quoted(&output)),
        ("worker", "drain_timeout", "\"5s\"".to_owned()),
        ("worker", "kill_grace", "\"2s\"".to_owned()),
    ]
}

fn beside_us(name: &str) -> Result<PathBuf, Failure> {
    let us = std::env::current_exe().map_err(|error| Failure::error("error", format!("cannot find this program's own path: {error}")))?;
    let path = us.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    let failure = Failure::error("no-service", format!("{} is missing: dev starts the services that lie beside it", path.display()));
    Err(failure.hint("build them with `make build`, or install all three binaries into one directory"))
}

fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    let made = std::fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    made.map_err(|error| no_directory(&dir.display().to_string(), &error))
}

fn no_directory(what: &str, error: &std::io::Error) -> Failure {
    Failure::error("error", format!("cannot write {what}: {error}"))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use bellwether_common::config::{Settings, Sources};

    use super::*;

    #[test]
    fn the_services_accept_what_is_written_for_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_owned();
        let plan = Plan {
            dir: Directory::Temporary(dir),
            zookeeper: None,
            connect: "127.0.0.1:2181".into(),
            root: "/x \"y\"".replace(' ', "-").replace('"', ""),
            auth: Vec::new(),
            coordinators: Vec::new(),
            workers: Vec::new(),
        };
        for (role, settings) in [("coordinator", Vec::new()), ("worker", worker_settings(&path, "w1", 3))] {
            let spec = Spec { name: "w1".into(), role, binary: PathBuf::new(), settings };
            let file = plan.write_config(&spec).expect("written");
            let read = Settings::load(&Sources { files: vec![file], ..Sources::default() }).expect("valid");
            assert_eq!((read.cluster.as_str(), read.zookeeper.root.as_str(), read.http.listen.as_str()), ("dev", "/x-y", "127.0.0.1:0"));
            match role {
                "worker" => assert_eq!((read.worker.name.as_str(), read.worker.slots), ("w1", 3)),
                _ => assert_eq!(read.coordinator.name, "w1"),
            }
        }
    }
}
