//! Handlers: what a program gives a worker to run in place of commands.
//!
//! What lives here: handlers by kind, the layers around them, and how one attempt becomes a call. What does not: threads, timeouts and
//! orders to stop, which are the executor's (`executor::typed`).

mod context;
mod error;
pub mod layers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bellwether_core::protocol::result::VALUE_BYTES_MAX;
use bellwether_core::typed::Task;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

pub use context::TaskContext;
pub(crate) use context::{Desk, Facts, Phase};
pub(crate) use error::shortened;
pub use error::{BoxError, TaskError};

/// A call of a handler, as layers see it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskRequest {
    /// The attempt.
    pub context: TaskContext,
    /// What the handler is given.
    pub input: Value,
}

/// All handlers of a worker behind their layers: what a layer wraps.
pub type TaskService = BoxCloneSyncService<TaskRequest, Value, BoxError>;

/// A handler whose types are forgotten.
type Handler = Arc<dyn Fn(TaskRequest) -> BoxFuture<'static, Result<Value, TaskError>> + Send + Sync>;

/// The handlers of a worker, each by its kind.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    by_kind: BTreeMap<&'static str, Handler>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_kind.keys()).finish()
    }
}

impl Handlers {
    /// Adds one. Says so if there is one of this kind already.
    pub(crate) fn add<T, F, Fut>(&mut self, handler: F) -> Result<(), &'static str>
    where
        T: Task,
        F: Fn(TaskContext, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Output, TaskError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let call: Handler = Arc::new(move |request| {
            let handler = Arc::clone(&handler);
            async move {
                let task: T = serde_json::from_value(request.input).map_err(|error| unreadable(T::KIND, &error))?;
                let output = (*handler)(request.context, task).await?;
                value_of(&output)
            }
            .boxed()
        });
        match self.by_kind.insert(T::KIND, call) {
            None => Ok(()),
            Some(_) => Err(T::KIND),
        }
    }

    /// The kinds that there are handlers for.
    pub(crate) fn kinds(&self) -> BTreeSet<String> {
        self.by_kind.keys().map(|kind| (*kind).to_owned()).collect()
    }

    /// All of them as one service.
    pub(crate) fn into_service(self) -> TaskService {
        BoxCloneSyncService::new(self.map_err(BoxError::from))
    }
}

/// Another attempt is given the same.
fn unreadable(kind: &str, error: &serde_json::Error) -> TaskError {
    TaskError::fatal(format!("the input is none for the kind {kind}: {error}"))
}

fn value_of(output: &impl serde::Serialize) -> Result<Value, TaskError> {
    let bytes = serde_json::to_vec(output).map_err(|error| TaskError::fatal(format!("the output cannot be written as JSON: {error}")))?;
    if bytes.len() > VALUE_BYTES_MAX {
        let length = bytes.len();
        let way_out = "put it somewhere and return where";
        return Err(TaskError::fatal(format!("the output has {length} bytes of JSON, a result keeps {VALUE_BYTES_MAX}; {way_out}")));
    }
    serde_json::from_slice(&bytes).map_err(TaskError::fatal)
}

impl Service<TaskRequest> for Handlers {
    type Response = Value;
    type Error = TaskError;
    type Future = BoxFuture<'static, Result<Value, TaskError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TaskError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TaskRequest) -> Self::Future {
        match self.by_kind.get(request.context.kind()) {
            Some(handler) => handler(request),
            // Such a task is not accepted in the first place.
            None => futures::future::ready(Err(TaskError::fatal(format!("no handler of kind {}", request.context.kind())))).boxed(),
        }
    }
}

/// Puts a layer around a service.
pub(crate) fn wrap<L>(layer: &L, inner: TaskService) -> TaskService
where
    L: Layer<TaskService>,
    L::Service: Service<TaskRequest, Response = Value> + Clone + Send + Sync + 'static,
    <L::Service as Service<TaskRequest>>::Error: Into<BoxError>,
    <L::Service as Service<TaskRequest>>::Future: Send + 'static,
{
    BoxCloneSyncService::new(layer.layer(inner).map_err(Into::into))
}

/// Calls the service once.
pub(crate) async fn call(service: TaskService, request: TaskRequest) -> Result<Value, TaskError> {
    service.oneshot(request).await.map_err(TaskError::of_layer)
}

#[cfg(test)]
pub(crate) mod tests;
