//! What every command stands on: settings, printer, signals, and the one client that it may need.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bellwether_client::{Client, ClientSettings};
use bellwether_common::config::Settings;
use bellwether_core::protocol::TaskName;
use schemars::JsonSchema;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::arguments::Global;
use super::failure::Failure;
use super::interrupts::{Interrupt, Interrupts};
use super::printer::Printer;

/// How long a session may take before anybody wonders.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the state of the connection is looked at while a command waits for it.
const LOOK: Duration = Duration::from_millis(100);

/// What a command stands on.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) printer: Printer,
    pub(crate) interrupts: Interrupts,
    /// Whether `-z` was typed: a variable that is left over from another cluster does not count.
    pub(crate) named_zookeeper: bool,
    /// How long to go on while ZooKeeper does not answer.
    pub(crate) request_timeout: Duration,
    client: OnceLock<Client>,
    at_stake: Mutex<AtStake>,
}

/// What an interruption leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum AtStake {
    #[default]
    Nothing,
    /// It is being submitted.
    Submission(TaskName),
    /// It goes on without us, and what it writes can be watched again.
    Watched(TaskName),
    /// They go on without us.
    Tasks(Vec<TaskName>),
}

/// Any result as it is printed in JSON: an object that says which version of the format it is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Versioned.{T}")]
pub(crate) struct Versioned<T> {
    bellwether: u32,
    #[serde(flatten)]
    result: T,
}

impl<T> Versioned<T> {
    pub(crate) fn new(result: T) -> Self {
        Self { bellwether: bellwether_core::protocol::PROTOCOL_VERSION, result }
    }
}

impl Context {
    /// Reads the configuration and starts the log.
    pub(crate) fn load(global: Global, interrupts: Interrupts) -> Result<Self, Failure> {
        let settings = Settings::load(&global.sources())?;
        let printer = Printer::new(&global, settings.client.output);
        start_log(&global);
        let (request_timeout, named_zookeeper) = (global.request_timeout, global.zookeeper.is_some());
        Ok(Self { settings, printer, interrupts, named_zookeeper, request_timeout, client: OnceLock::new(), at_stake: Mutex::default() })
    }

    /// Servers and root, as people type them.
    pub(crate) fn address(&self) -> String {
        ClientSettings::of(&self.settings, self.request_timeout).address()
    }

    /// A client with a session. While there is none, says so.
    pub(crate) async fn client(&self) -> Result<&Client, Failure> {
        let client = self.started_client()?;
        let connected = client.connected();
        tokio::pin!(connected);
        let (begun, mut said) = (Instant::now(), false);
        loop {
            tokio::select! {
                connected = &mut connected => return connected.map(|()| client).map_err(Failure::from),
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Some(why) = client.outage().filter(|_| !said && begun.elapsed() > PATIENCE) {
                said = true;
                let (address, patience) = (client.settings().address(), humantime::format_duration(self.request_timeout));
                self.printer.note(&format!("no session with zookeeper at {address} yet: {why}; trying for {patience} (--request-timeout)"));
            }
        }
    }

    /// The client, which may have no session yet.
    pub(crate) fn started_client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::start(ClientSettings::of(&self.settings, self.request_timeout))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The client, if there was a need for one.
    pub(crate) fn connected_client(&self) -> Option<&Client> {
        self.client.get()
    }

    /// From now on an interruption says that this task may have been submitted.
    pub(crate) fn submitting(&self, task: &TaskName) {
        self.set_at_stake(AtStake::Submission(task.clone()));
    }

    /// From now on an interruption says that these tasks go on.
    pub(crate) fn going_on(&self, tasks: &[TaskName]) {
        self.set_at_stake(AtStake::Tasks(tasks.to_vec()));
    }

    /// From now on an interruption asks what is to become of this task, and says how to watch it again.
    pub(crate) fn watching(&self, task: &TaskName) {
        self.set_at_stake(AtStake::Watched(task.clone()));
    }

    /// The task that is watched.
    pub(crate) fn watched(&self) -> Option<TaskName> {
        match &*self.at_stake.lock().unwrap_or_else(PoisonError::into_inner) {
            AtStake::Watched(task) => Some(task.clone()),
            AtStake::Nothing | AtStake::Submission(_) | AtStake::Tasks(_) => None,
        }
    }

    fn set_at_stake(&self, at_stake: AtStake) {
        *self.at_stake.lock().unwrap_or_else(PoisonError::into_inner) = at_stake;
    }

    /// What is said when a signal ends this process.
    pub(crate) fn interrupted(&self, signal: Interrupt) -> Failure {
        let at_stake = self.at_stake.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (message, hint) = match at_stake {
            AtStake::Nothing => ("stopped before there was an answer".to_owned(), None),
            AtStake::Submission(task) => {
                (format!("{task} may have been submitted or not"), Some(format!("see with: bellwether status {task}")))
            }
            AtStake::Watched(task) => {
                let again = format!("come back with: bellwether wait {task}, or watch it with: bellwether logs -f {task}");
                (format!("{task} goes on"), Some(again))
            }
            AtStake::Tasks(tasks) => {
                let names: Vec<&str> = tasks.iter().map(TaskName::as_str).collect();
                let who = if let [task] = names.as_slice() { format!("{task} goes on") } else { format!("{} tasks go on", names.len()) };
                (who, Some(come_back(&names)))
            }
        };
        Failure { word: "interrupted", code: signal.code(), message, hint }
    }
}

/// Nobody types hundreds of names.
fn come_back(names: &[&str]) -> String {
    const TYPED: usize = 20;
    match names {
        names if names.len() <= TYPED => format!("come back with: bellwether wait {}", names.join(" ")),
        _ => "come back with the same words after: bellwether wait".to_owned(),
    }
}

/// Nothing is logged unless somebody asks for it: what a person must know is printed.
fn start_log(global: &Global) {
    let level = match global.verbose {
        0 => "off",
        1 => "info,zookeeper_client=warn",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // Nobody else sets one in this program.
    let _ = lines.try_init();
}
