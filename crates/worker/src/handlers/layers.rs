//! Layers around handlers: ready ones for time, for how many run at once, and for measuring. Each is an ordinary [`tower::Layer`]; leave
//! them out, or put others in their place.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt};

use super::{BoxError, TaskRequest, TaskService};

type Answer = BoxFuture<'static, Result<Value, BoxError>>;

/// What the layers of this module make: handlers, and what is done around each call of them.
#[derive(Clone)]
pub struct Layered {
    inner: TaskService,
    around: Arc<dyn Fn(TaskService, TaskRequest) -> Answer + Send + Sync>,
}

impl Layered {
    fn new<F>(inner: TaskService, around: impl Fn(TaskService, TaskRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, BoxError>> + Send + 'static,
    {
        Self { inner, around: Arc::new(move |inner, request| around(inner, request).boxed()) }
    }
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").finish_non_exhaustive()
    }
}

impl Service<TaskRequest> for Layered {
    type Response = Value;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TaskRequest) -> Answer {
        (self.around)(self.inner.clone(), request)
    }
}

/// Ends an attempt that takes longer than this, as a failure that is retried. Unlike the timeout of a task it is the worker's own, and
/// drops the handler without any grace.
///
/// ```
/// # use std::time::Duration;
/// use bellwether_worker::Worker;
/// use bellwether_worker::layers::TimeoutLayer;
///
/// let worker = Worker::builder("zk1:2181").layer(TimeoutLayer::new(Duration::from_secs(60)));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TimeoutLayer(Duration);

impl TimeoutLayer {
    /// Attempts may take so long.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self(limit)
    }
}

impl Layer<TaskService> for TimeoutLayer {
    type Service = Layered;

    fn layer(&self, inner: TaskService) -> Layered {
        let limit = self.0;
        Layered::new(inner, move |inner, request| async move {
            let answered = tokio::time::timeout(limit, inner.oneshot(request)).await;
            answered.unwrap_or_else(|_| Err(format!("it took longer than the worker's limit of {} s", limit.as_secs_f64()).into()))
        })
    }
}

/// What is counted together by a [`LimitLayer`]; `None` is not limited.
type Key = Arc<dyn Fn(&TaskRequest) -> Option<String> + Send + Sync>;

/// Lets only so many attempts run at once, of all or of each of several groups. Those that wait keep their slots; to keep them off the
/// worker altogether, give it a resource that tasks require.
///
/// ```
/// use bellwether_worker::Worker;
/// use bellwether_worker::layers::LimitLayer;
///
/// // At most two requests to any host at a time.
/// let polite = LimitLayer::keyed(2, |request| request.input["host"].as_str().map(str::to_owned));
/// let worker = Worker::builder("zk1:2181").slots(32).layer(polite);
/// ```
#[derive(Clone)]
pub struct LimitLayer {
    most: usize,
    key: Key,
    rooms: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl LimitLayer {
    /// At most so many in all.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self::keyed(most, |_| Some(String::new()))
    }

    /// At most so many of those for which `key` says the same; those for which it says nothing are not limited.
    #[must_use]
    pub fn keyed(most: usize, key: impl Fn(&TaskRequest) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { most, key: Arc::new(key), rooms: Arc::default() }
    }

    fn room(&self, request: &TaskRequest) -> Option<Arc<Semaphore>> {
        let key = (self.key)(request)?;
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever is in or waits holds a room: one that only we hold is empty.
        rooms.retain(|_, room| Arc::strong_count(room) > 1);
        Some(Arc::clone(rooms.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.most.max(1))))))
    }
}

impl fmt::Debug for LimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer").field("most", &self.most).finish_non_exhaustive()
    }
}

impl Layer<TaskService> for LimitLayer {
    type Service = Layered;

    fn layer(&self, inner: TaskService) -> Layered {
        let limit = self.clone();
        Layered::new(inner, move |inner, request| {
            let room = limit.room(&request);
            async move {
                let _place = match room {
                    Some(room) => Some(room.acquire_owned().await?),
                    None => None,
                };
                inner.oneshot(request).await
            }
        })
    }
}

/// An attempt that an [`ObserveLayer`] has seen.
#[derive(Debug)]
#[non_exhaustive]
pub struct Observed<'a> {
    /// The kind.
    pub kind: &'a str,
    /// Whether the handler returned something.
    pub succeeded: bool,
    /// How long it took.
    pub took: Duration,
}

type Told = Arc<dyn Fn(&Observed<'_>) + Send + Sync>;

/// Tells of each attempt that has ended, for metrics of one's own. The worker itself counts and measures attempts by kind and result:
/// `bellwether_tasks_completed_total` and `bellwether_task_run_duration_seconds`. One that is cancelled or panics is not told.
///
/// ```
/// use bellwether_worker::Worker;
/// use bellwether_worker::layers::ObserveLayer;
///
/// let worker = Worker::builder("zk1:2181")
///     .layer(ObserveLayer::new(|seen| println!("{} took {:?}, succeeded: {}", seen.kind, seen.took, seen.succeeded)));
/// ```
#[derive(Clone)]
pub struct ObserveLayer(Told);

impl ObserveLayer {
    /// Calls `told` after each attempt.
    #[must_use]
    pub fn new(told: impl Fn(&Observed<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }
}

impl fmt::Debug for ObserveLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObserveLayer")
    }
}

impl Layer<TaskService> for ObserveLayer {
    type Service = Layered;

    fn layer(&self, inner: TaskService) -> Layered {
        let told = self.0.clone();
        Layered::new(inner, move |inner, request| {
            let told = told.clone();
            async move {
                let (kind, begun) = (request.context.kind().to_owned(), Instant::now());
                let answer = inner.oneshot(request).await;
                told(&Observed { kind: &kind, succeeded: answer.is_ok(), took: begun.elapsed() });
                answer
            }
        })
    }
}
