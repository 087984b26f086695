//! The start and the end of a service's process: what every `main.rs` shares.
//!
//! What lives here: the order of things, from arguments to exit code, and what becomes of signals and panics. What does not: what
//! the service does in between; that is a future that gets a [`Context`] and ends with an [`Exit`].
//!
//! What lives in modules of its own: the log, panics, signals that stop (`shutdown`) and that reload (`reload`), and what a service
//! manager is told (`systemd`).
//!
//! The service runs in an actix system on the main thread. Metrics, health pages and signals are served by a small runtime of their
//! own, so that they answer even if every actor is busy or stuck.

mod embed;
mod logging;
mod panics;
mod reload;
mod shutdown;
mod systemd;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::{interval, timeout};
use tracing::{error, info};

pub use embed::{EmbedError, Embedded, embed};
pub use panics::{UserCode, mark_thread};
pub use reload::Reloads;
pub use shutdown::{Asker, Shutdown};
pub use systemd::Systemd;

use crate::config::{CommonArgs, ConfigError, Log, Role, Settings};
use crate::exit::Exit;
use crate::http::{self, Health, HttpError, MorePages, Server};
use crate::metrics::{self, MetricsHandle};
use reload::Reloader;

/// How often the histograms' buffers are emptied, which without scrapes would grow.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long open requests may delay the end of the process.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// What a service is given to live with.
#[derive(Debug)]
pub struct Context {
    /// What it is.
    pub role: Role,
    /// Read and checked.
    pub settings: Settings,
    /// Tell it whether the service is ready, and how to find out whether it lives.
    pub health: Health,
    /// Resolves when somebody asks the process to stop. A second signal ends it at once.
    pub shutdown: Shutdown,
    /// Tells of settings that changed since.
    pub reloads: Reloads,
    /// For pages of its own, beside metrics and health.
    pub pages: MorePages,
    /// Where the HTTP pages are, for the service to advertise.
    pub http_address: SocketAddr,
    /// The runtime of pages and signals, for what must not wait for actors.
    pub runtime: Handle,
}

/// Why a service could not start; each ends with exit code 78.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("environment variable RUST_LOG: {0}")]
    Logging(String),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("cannot start a runtime: {0}")]
    Runtime(#[from] io::Error),
    #[error(transparent)]
    Metrics(#[from] metrics::AlreadyInstalled),
}

#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArgs,
}

/// Starts the log of a process that is no service of its own, and whose level does not change.
///
/// # Errors
/// What is wrong with `RUST_LOG`.
pub fn start_log(log: &Log) -> Result<(), String> {
    logging::start(log).map(drop)
}

/// Runs a service from its command line to its exit code.
///
/// A wrong command line and a wrong configuration end here, with a message on stderr. A panic on any thread ends the process with
/// [`Exit::Panic`], unless it happens in [`UserCode`].
pub fn run<Service, Running>(role: Role, service: Service) -> ExitCode
where
    Service: FnOnce(Context) -> Running,
    Running: Future<Output = Exit>,
{
    run_with(role, std::env::args_os(), service).into()
}

fn run_with<Service, Running>(role: Role, arguments: impl IntoIterator<Item = OsString>, service: Service) -> Exit
where
    Service: FnOnce(Context) -> Running,
    Running: Future<Output = Exit>,
{
    let (context, ground) = match start(role, arguments) {
        Ok(started) => started,
        Err(error) => {
            // There may be no log yet, and a person who just typed the command reads this.
            eprintln!("{}: {error}", role.program());
            return Exit::Config;
        }
    };
    let exit = actix::System::new().block_on(service(context));
    ground.stop();
    if exit == Exit::Asked {
        info!(code = exit.code(), "ended");
    } else {
        error!(code = exit.code(), reason = ?exit, "ended");
    }
    exit
}

/// What stays below the service and is taken down after it.
#[derive(Debug)]
struct Ground {
    runtime: Runtime,
    server: Server,
    stop_server: oneshot::Sender<()>,
}

fn start(role: Role, arguments: impl IntoIterator<Item = OsString>) -> Result<(Context, Ground), StartError> {
    let sources = parse(role, arguments).common.sources();
    let settings = Settings::load(&sources)?;
    let level = logging::start(&settings.log).map_err(StartError::Logging)?;
    panics::end_the_process();
    let metrics = metrics::install(&settings.cluster, role)?;

    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("pages").enable_all().build()?;
    let shutdown = shutdown::on_signals(runtime.handle())?;
    let health = Health::new();
    let systemd = Systemd::start(runtime.handle(), &health, &shutdown);
    let reloads = Reloader { role, sources, level, systemd }.start(runtime.handle(), settings.clone())?;
    let (stop_server, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let listen = settings.http_listen(role);
    let pages = MorePages::default();
    let serving = http::serve(runtime.handle(), listen, metrics.clone(), health.clone(), pages.clone(), stopped);
    let server = runtime.block_on(serving)?;
    runtime.spawn(upkeep(metrics));

    info!(http = %server.address, role = role.as_str(), cluster = settings.cluster, version = env!("CARGO_PKG_VERSION"), "listening on {}", server.address);
    let http_address = server.address;
    let context = Context { role, settings, health, shutdown, reloads, pages, http_address, runtime: runtime.handle().clone() };
    Ok((context, Ground { runtime, server, stop_server }))
}

/// Ends the process itself if the command line is wrong, or only asked for help.
fn parse(role: Role, arguments: impl IntoIterator<Item = OsString>) -> Arguments {
    let about = match role {
        Role::Coordinator => "Stands for election, and as the master assigns tasks to workers",
        Role::Worker => "Runs the tasks that the master assigns to it",
        Role::Client => "Submits tasks and waits for them",
        Role::Exporter => "Exports ZooKeeper's own figures",
    };
    let matches = Arguments::command().name(role.program()).about(about).get_matches_from(arguments);
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

async fn upkeep(metrics: MetricsHandle) {
    let mut ticks = interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

impl Ground {
    fn stop(self) {
        // Nobody receives it if the server has failed, which it has logged.
        let _ = self.stop_server.send(());
        let _ = self.runtime.block_on(async { timeout(LAST_REQUESTS, self.server.ended()).await });
        self.runtime.shutdown_timeout(LAST_REQUESTS);
    }
}

#[cfg(test)]
mod tests;
