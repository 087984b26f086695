//! A private ZooKeeper on this machine, for `bellwether dev` and for the tests: real servers on free loopback ports, in a
//! directory of their own, that end with this process.
//!
//! What lives here: finding ZooKeeper ([`Installation`]), starting one server or an ensemble, and what a fault test does to it.
//! What does not: any ZooKeeper client, and anything fit for production.

mod installation;
mod server;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

pub use installation::Installation;
use server::Server;

/// Why there is no ZooKeeper.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to start.
    #[error("no ZooKeeper on this machine: install it with `apt-get install zookeeper`, or set ZOOKEEPER_HOME to an unpacked release")]
    NoZookeeper,
    /// `ZOOKEEPER_HOME` points elsewhere.
    #[error("ZOOKEEPER_HOME={home} holds no ZooKeeper: expected lib/zookeeper-*.jar there", home = home.display())]
    BadHome {
        /// Its value.
        home: PathBuf,
    },
    /// ZooKeeper runs on Java.
    #[error("ZooKeeper needs Java, and there is none in JAVA_HOME or PATH: install it with `apt-get install default-jre-headless`")]
    NoJava,
    /// The file system or the kernel said no.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What it said.
        source: std::io::Error,
    },
    /// A server ended instead of serving.
    #[error("ZooKeeper ended with code {code} instead of serving; the end of {log}:\n{tail}", log = log.display())]
    Died {
        /// Its exit code.
        code: i32,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A server runs, but does not serve: for an ensemble, there may be no majority.
    #[error("ZooKeeper does not serve after {waited:?}; see {log}", log = log.display())]
    NotServing {
        /// How long we waited.
        waited: Duration,
        /// Its log.
        log: PathBuf,
    },
}

/// What to start. [`Options::new`] has what suits a laptop.
#[derive(Debug, Clone)]
pub struct Options {
    /// Data, configuration and logs go here; it is created, and left behind. A directory that was used before is continued.
    pub dir: PathBuf,
    /// ZooKeeper's unit of time, in milliseconds: sessions are 2 ticks at least, and expire on a tick.
    pub tick_ms: u32,
    /// Client port of the first server; `None` takes a free one.
    pub port: Option<u16>,
    /// Java's heap of each server, as `-Xmx` takes it.
    pub heap: String,
    /// How many servers: 1 stands alone, 3 survive the loss of one.
    pub ensemble: usize,
    /// Whether a write waits for the disk. Without it, data survive the death of every process, but not a power cut.
    pub force_sync: bool,
    /// How long a start may take.
    pub start_within: Duration,
    /// Lines more for the configuration of each server.
    pub more_config: Vec<String>,
    /// Options more for Java, as `-Dname=value`.
    pub java_options: Vec<String>,
}

impl Options {
    /// One server in `dir`, quick ticks, sessions of 0.4 to 60 seconds.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            tick_ms: 200,
            port: None,
            heap: "128m".to_owned(),
            ensemble: 1,
            force_sync: true,
            start_within: Duration::from_secs(60),
            more_config: Vec::new(),
            java_options: Vec::new(),
        }
    }

    /// The same with `count` servers.
    #[must_use]
    pub fn ensemble(mut self, count: usize) -> Self {
        self.ensemble = count.max(1);
        self
    }
}

/// Running servers. They are killed when this is dropped, and when this process ends in whatever way ([`crate::leash`]).
///
/// Servers are counted from 0; the files of server `i` are called `zookeeper-<i + 1>`, after ZooKeeper's own `myid`. All methods
/// block the calling thread for as long as they say.
#[derive(Debug)]
pub struct LocalZookeeper {
    servers: Vec<Server>,
    start_within: Duration,
}

impl LocalZookeeper {
    /// Starts the servers and waits until each of them serves: a quarter of a second or so for one, two seconds for three.
    ///
    /// # Errors
    /// [`Error`]: show it, it says what to install, or where the log is.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let installation = Installation::find()?;
        std::fs::create_dir_all(&options.dir).map_err(|source| io(format!("create {}", options.dir.display()), source))?;
        let dir = options.dir.canonicalize().map_err(|source| io(format!("open {}", options.dir.display()), source))?;
        let options = Options { dir, ..options.clone() };
        let mut attempts_left = 5;
        loop {
            let mut zookeeper = Self { servers: server::prepare(&installation, &options)?, start_within: options.start_within };
            let Err(error) = zookeeper.start_all() else { return Ok(zookeeper) };
            // Between choosing a free port and listening on it, somebody else may take it.
            attempts_left -= 1;
            let taken = matches!(&error, Error::Died { tail, .. } if tail.contains("Address already in use"));
            if !taken || options.port.is_some() || attempts_left == 0 {
                return Err(error);
            }
        }
    }

    /// What clients connect to: `127.0.0.1:PORT`, one per server, with commas between them.
    #[must_use]
    pub fn connect_string(&self) -> String {
        self.servers.iter().map(Server::address).collect::<Vec<_>>().join(",")
    }

    /// How many servers there are, running or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Never: there is at least one server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Process ids of the servers that run.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.servers.iter().filter_map(Server::pid).collect()
    }

    /// Address of server `i`, `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self, i: usize) -> String {
        self.servers[i].address()
    }

    /// SIGKILL.
    pub fn kill9(&mut self, i: usize) {
        self.servers[i].kill();
    }

    /// SIGTERM, and SIGKILL when it does not end within five seconds.
    pub fn stop(&mut self, i: usize) {
        self.servers[i].stop(Duration::from_secs(5));
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn pause(&self, i: usize) {
        self.servers[i].pause();
    }

    /// SIGCONT.
    pub fn resume(&self, i: usize) {
        self.servers[i].signal(Signal::SIGCONT);
    }

    /// Starts server `i` again on its data and its port, and waits until it serves. One that still runs is killed first.
    ///
    /// # Errors
    /// As [`start`](Self::start). [`Error::NotServing`] if no majority of an ensemble runs: see [`start_all`](Self::start_all).
    pub fn restart(&mut self, i: usize) -> Result<(), Error> {
        self.servers[i].kill();
        self.servers[i].spawn()?;
        self.servers[i].wait_until_serving(Instant::now() + self.start_within)
    }

    /// Starts every server that does not run, then waits until all of them serve.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_all(&mut self) -> Result<(), Error> {
        let all: Vec<usize> = (0..self.len()).collect();
        self.start_some(&all)
    }

    /// Starts those of these servers that do not run, then waits until these serve.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_some(&mut self, which: &[usize]) -> Result<(), Error> {
        for i in which {
            if self.servers[*i].pid().is_none() {
                self.servers[*i].spawn()?;
            }
        }
        let deadline = Instant::now() + self.start_within;
        which.iter().try_for_each(|i| self.servers[*i].wait_until_serving(deadline))
    }

    /// Kills server `i` if it runs, and deletes all its data: sessions, nodes, transaction logs. Its number stays.
    ///
    /// # Errors
    /// The file system says no.
    pub fn wipe(&mut self, i: usize) -> Result<(), Error> {
        self.servers[i].kill();
        let data = self.servers[i].data_dir().join("version-2");
        std::fs::remove_dir_all(&data).map_err(|source| io(format!("remove {}", data.display()), source))
    }

    /// Where server `i` keeps its snapshots and transaction logs: the directory that holds `version-2/`.
    #[must_use]
    pub fn data_dir(&self, i: usize) -> &Path {
        self.servers[i].data_dir()
    }

    /// What server `i` printed.
    #[must_use]
    pub fn log(&self, i: usize) -> &Path {
        self.servers[i].log()
    }

    /// The server that leads; a server alone leads. `None` while nobody does.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let leads = |mode: &str| mode.contains("Mode: leader") || mode.contains("Mode: standalone");
        (0..self.servers.len()).find(|i| self.four_letter(*i, "srvr").is_ok_and(|answer| leads(&answer)))
    }

    /// Asks server `i` one of `ruok srvr mntr stat wchp cons`, and waits for the answer for two seconds at most.
    ///
    /// # Errors
    /// It does not run, or does not answer.
    pub fn four_letter(&self, i: usize, word: &str) -> std::io::Result<String> {
        self.servers[i].four_letter(word)
    }
}

fn io(what: impl Into<String>, source: std::io::Error) -> Error {
    Error::Io { what: what.into(), source }
}

#[cfg(test)]
mod tests;
