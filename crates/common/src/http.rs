//! The HTTP pages of a service: `/metrics`, `/health/live`, `/health/ready`, and below `/v1/` what a role adds to them.
//!
//! What lives here: the server and the shared handle by which the supervisor says how it is. What does not: a runtime. The caller
//! chooses one that no actor runs on, so that a scrape is answered while actors are busy.

mod connections;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::metrics::MetricsHandle;

/// How long the supervisor may take to show that it lives.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the supervisor whether it lives: true if it answers.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// How the service is, as it says itself. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Health {
    state: Arc<RwLock<HealthState>>,
    news: Arc<watch::Sender<()>>,
}

#[derive(Default)]
struct HealthState {
    ready: bool,
    text: String,
    probe: Option<Probe>,
}

impl Health {
    /// Neither ready nor alive: says "starting" until it is told otherwise.
    #[must_use]
    pub fn new() -> Self {
        let health = Self::default();
        health.set_ready(false, "starting");
        health
    }

    /// Ready or not, with what to show behind it, as `leading epoch 7` or `no session with ZooKeeper`.
    pub fn set_ready(&self, ready: bool, text: impl Into<String>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.ready = ready;
        state.text = text.into();
        drop(state);
        self.news.send_replace(());
    }

    /// Hears of it each time that [`ready`](Self::ready) may say something else.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Whether it is ready, and the line to show.
    #[must_use]
    pub fn ready(&self) -> (bool, String) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let line = if state.ready { format!("ready: {}", state.text) } else { format!("not ready: {}", state.text) };
        (state.ready, line)
    }

    /// From now on the process lives as long as `probe` says so in time.
    pub fn set_probe(&self, probe: Probe) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).probe = Some(probe);
    }

    /// Whether the supervisor answers within [`PROBE_TIMEOUT`], and the line to show.
    pub async fn live(&self) -> (bool, String) {
        let probe = self.state.read().unwrap_or_else(PoisonError::into_inner).probe.clone();
        let Some(probe) = probe else {
            return (false, "not live: the supervisor has not started".to_owned());
        };
        match timeout(PROBE_TIMEOUT, probe()).await {
            Ok(true) => (true, "live".to_owned()),
            Ok(false) => (false, "not live: the supervisor is gone".to_owned()),
            Err(_) => (false, format!("not live: the supervisor did not answer within {PROBE_TIMEOUT:?}")),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.ready().1).finish()
    }
}

/// Pages that a role adds when it has begun, each at a path below `/v1/`. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct MorePages(Arc<OnceLock<Router>>);

impl MorePages {
    /// From now on these are served, too. Only the first ones are.
    pub fn add(&self, pages: Router) {
        // Whoever adds twice has started twice, which nobody does.
        let _ = self.0.set(pages);
    }
}

/// Why the pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is taken, foreign or forbidden. End with exit code 78.
    #[error("cannot listen on {address} for metrics and health: {source}; choose another address with http.listen")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// The running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, with the port that was found if 0 was asked for.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Waits until the server has ended, which it does once its shutdown was asked for and the open requests are answered.
    pub async fn ended(self) {
        // A panic in the server's task has ended the process already.
        let _ = self.task.await;
    }
}

#[derive(Clone)]
struct Pages {
    metrics: MetricsHandle,
    health: Health,
    more: MorePages,
}

/// Serves the pages on a task of `runtime` until `shutdown` resolves. Returns as soon as requests are accepted. May be awaited on any
/// runtime.
///
/// # Errors
/// [`HttpError::Bind`]
pub async fn serve(
    runtime: &Handle,
    address: SocketAddr,
    metrics: MetricsHandle,
    health: Health,
    more: MorePages,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Server, HttpError> {
    serve_within(connections::LIMITS, runtime, address, Pages { metrics, health, more }, shutdown).await
}

async fn serve_within(
    limits: connections::Limits,
    runtime: &Handle,
    address: SocketAddr,
    pages: Pages,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Server, HttpError> {
    let bind = runtime.spawn(TcpListener::bind(address));
    let bound = bind.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let with_address = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = with_address.map_err(|source| HttpError::Bind { address, source })?;
    let router = router(pages);
    let task = runtime.spawn(connections::accept(listener, router, limits, shutdown));
    Ok(Server { address, task })
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .fallback(elsewhere)
        .method_not_allowed_fallback(only_get)
        .with_state(pages)
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], pages.metrics.scrape().await)
}

async fn live(State(pages): State<Pages>) -> impl IntoResponse {
    page(pages.health.live().await)
}

async fn ready(State(pages): State<Pages>) -> impl IntoResponse {
    page(pages.health.ready())
}

async fn elsewhere(State(pages): State<Pages>, request: Request) -> Response {
    let more = pages.more.0.get().filter(|_| request.uri().path().starts_with("/v1/"));
    if let Some(more) = more {
        return TowerToHyperService::new(more.clone()).call(request).await.into_response();
    }
    let line = format!("nothing at {}; there are /metrics, /health/live and /health/ready\n", request.uri().path());
    (StatusCode::NOT_FOUND, line).into_response()
}

async fn only_get() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, "only GET\n")
}

fn page((good, line): (bool, String)) -> impl IntoResponse {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{line}\n"))
}

#[cfg(test)]
mod tests;
