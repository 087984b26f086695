//! The start and the end of a service inside somebody else's program: without command line, files, log and signals, which are the
//! program's own.

use std::io;
use std::net::SocketAddr;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::{Context, Ground, Reloads, Shutdown, panics, upkeep};
use crate::config::{ConfigError, Role, Settings};
use crate::http::{self, Health, HttpError, MorePages};
use crate::metrics;

/// Why a service cannot be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A setting is impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The pages cannot be served.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// There is no thread to be had.
    #[error("cannot start a runtime: {0}")]
    Runtime(#[from] io::Error),
}

/// What stays below an embedded service, and is taken down after it.
#[derive(Debug)]
pub struct Embedded(Ground);

impl Embedded {
    /// Takes it down. Blocks for a moment.
    pub fn stop(self) {
        self.0.stop();
    }
}

/// What a service needs to live, made from `settings` alone. Blocks for a moment; call it on the thread that the service will have.
///
/// Metrics go to the recorder that the program has installed, and are then served by that alone; otherwise one is installed, which all
/// services of the process share. A panic on the service's threads ends the process.
///
/// # Errors
/// [`EmbedError`]
pub fn embed(settings: Settings, role: Role, listen: SocketAddr, shutdown: Shutdown) -> Result<(Context, Embedded), EmbedError> {
    settings.validate()?;
    panics::end_an_embedding_process();
    panics::mark_thread();
    let metrics = metrics::install_or_share(&settings.cluster, role);
    let runtime =
        Builder::new_multi_thread().worker_threads(1).thread_name("pages").on_thread_start(panics::mark_thread).enable_all().build()?;
    let (health, pages) = (Health::new(), MorePages::default());
    let (stop_server, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let serving = http::serve(runtime.handle(), listen, metrics.clone(), health.clone(), pages.clone(), stopped);
    let server = runtime.block_on(serving)?;
    runtime.spawn(upkeep(metrics));
    let (http_address, reloads, handle) = (server.address, Reloads::never(), runtime.handle().clone());
    let context = Context { role, settings, health, shutdown, reloads, pages, http_address, runtime: handle };
    Ok((context, Embedded(Ground { runtime, server, stop_server })))
}
