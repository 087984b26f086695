//! Typed tasks: submitted as values, awaited as values.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::payload::AfterFailure;
use bellwether_core::protocol::result::{TaskOutcome, TaskResult};
use bellwether_core::protocol::trace::TraceParent;
use bellwether_core::typed::Task;
use futures::{Stream, StreamExt};
use serde_json::Value;

use crate::client::{Cancel, Client};
use crate::error::{Error, SubmitError};
use crate::output::{OutputError, OutputReader, TaskProgress};
use crate::task::{NewTask, TaskView};
use crate::waiting::Awaited;

/// A typed task that is about to be submitted. [`Client::task`] makes one.
///
/// ```no_run
/// # use std::time::Duration;
/// use bellwether_client::{Client, Task};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize {
///     path: String,
///     width: u32,
/// }
///
/// impl Task for Resize {
///     const KIND: &'static str = "resize";
///     type Output = u64;
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("zk1:2181,zk2:2181/prod").await?;
/// let task = Resize { path: "a.png".into(), width: 640 };
/// let handle = client.task(task).retries(3).timeout(Duration::from_secs(60)).key("a.png@640").submit().await?;
/// let bytes: u64 = handle.wait().await?; // however long it takes, whoever rules meanwhile
/// # Ok(())
/// # }
/// ```
#[must_use = "it is not submitted before `submit`"]
pub struct TypedTask<T> {
    client: Client,
    new: NewTask,
    /// Why its input cannot be sent.
    wrong: Option<String>,
    is: PhantomData<fn() -> T>,
}

impl Client {
    /// A typed task, to be said more about and submitted.
    pub fn task<T: Task>(&self, task: T) -> TypedTask<T> {
        let (input, wrong) = match serde_json::to_value(&task) {
            Ok(input) => (input, None),
            Err(error) => (Value::Null, Some(format!("the task cannot be written as JSON: {error}"))),
        };
        TypedTask { client: self.clone(), new: NewTask::typed(T::KIND, input), wrong, is: PhantomData }
    }

    /// One that is for the handler of `T`, whatever it is given.
    pub(crate) fn typed<T: Task>(&self, new: NewTask) -> TypedTask<T> {
        TypedTask { client: self.clone(), new, wrong: None, is: PhantomData }
    }

    /// A handle to a task that was submitted before, say by a process that is gone.
    #[must_use]
    pub fn handle<T: Task>(&self, task: TaskName) -> Handle<T> {
        Handle { client: self.clone(), task, is: PhantomData }
    }

    /// Submits tasks as they come, as many at once as [`ClientSettings::submit_window`](crate::ClientSettings::submit_window) says, and
    /// gives their handles in their order. The stream is read no faster than ZooKeeper takes what comes out of it; one that is not
    /// polled submits nothing. A task that cannot be submitted does not end it.
    ///
    /// ```no_run
    /// # use bellwether_client::{Client, SubmitError, Task};
    /// use futures::{StreamExt, TryStreamExt, stream};
    /// # async fn example<T: Task>(client: Client, tasks: Vec<T>) -> Result<(), SubmitError> {
    /// let tasks = stream::iter(tasks).map(|task| client.task(task).retries(3));
    /// let handles: Vec<_> = client.submit_many(tasks).try_collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit_many<T, S>(&self, tasks: S) -> impl Stream<Item = Result<Handle<T>, SubmitError>> + use<T, S>
    where
        T: Task,
        S: Stream<Item = TypedTask<T>>,
    {
        tasks.map(TypedTask::submit).buffered(self.settings().submit_window.max(1))
    }
}

impl<T: Task> TypedTask<T> {
    fn with(mut self, change: impl FnOnce(NewTask) -> NewTask) -> Self {
        self.new = change(self.new);
        self
    }

    /// Makes so many attempts more after one that failed, unless it failed for good.
    pub fn retries(self, retries: u32) -> Self {
        self.with(|new| new.retries(retries))
    }

    /// Waits at least `shortest` before another attempt, longer after each failure, and at most `longest`.
    pub fn backoff(self, shortest: Duration, longest: Duration) -> Self {
        self.with(|new| new.backoff(shortest, longest))
    }

    /// Ends it when one attempt runs longer than this.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|new| new.timeout(timeout))
    }

    /// Ends it when it waits for its turn longer than this, without running it.
    pub fn queue_timeout(self, timeout: Duration) -> Self {
        self.with(|new| new.queue_timeout(timeout))
    }

    /// Does not run it before so much time has passed since its submission, by ZooKeeper's clock.
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|new| new.delay(delay))
    }

    /// Does not run it before these tasks have ended. All of them must succeed; otherwise `failure` says what becomes of it.
    pub fn after(self, tasks: impl IntoIterator<Item = TaskName>, failure: AfterFailure) -> Self {
        self.with(|new| new.after(tasks, failure))
    }

    /// Submits it at most once: whoever submits the same task under this key later gets a handle to the first one.
    pub fn key(self, key: impl Into<String>) -> Self {
        self.with(|new| new.key(key))
    }

    /// What people call it.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|new| new.name(name))
    }

    /// The trace that it belongs to; without it, one of its own begins.
    pub fn trace(self, parent: TraceParent) -> Self {
        self.with(|new| new.trace(parent))
    }

    /// Higher goes first: each step counts as a minute of waiting.
    pub fn priority(self, priority: i32) -> Self {
        self.with(|mut new| {
            new.envelope.priority = priority;
            new
        })
    }

    /// A label that its worker must have.
    pub fn require(self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|mut new| {
            new.envelope.require.insert(label.into(), value.into());
            new
        })
    }

    /// How many slots of its worker it takes; one unless told otherwise.
    pub fn slots(self, slots: NonZeroU32) -> Self {
        self.with(|mut new| {
            new.envelope.slots = Some(slots);
            new
        })
    }

    /// How much it takes of something that its worker has.
    pub fn resource(self, name: impl Into<String>, amount: NonZeroU32) -> Self {
        self.with(|mut new| {
            new.envelope.resources.insert(name.into(), amount);
            new
        })
    }

    /// A label of its own, by which it is found.
    pub fn label(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|mut new| {
            new.envelope.labels.insert(name.into(), value.into());
            new
        })
    }

    /// How many workers it may cost before it is dead.
    pub fn max_worker_losses(self, losses: u32) -> Self {
        self.with(|mut new| {
            new.envelope.max_worker_losses = Some(losses);
            new
        })
    }

    /// As a task without a type: for schedules, and for submitting it together with others.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn into_new(self) -> Result<NewTask, SubmitError> {
        match self.wrong {
            None => Ok(self.new),
            Some(wrong) => Err(SubmitError::Contradictory(wrong)),
        }
    }

    /// Submits it, once, whatever becomes of connections and sessions meanwhile.
    ///
    /// # Errors
    /// [`SubmitError`]. After all but [`SubmitError::Unconfirmed`] nothing was submitted.
    pub async fn submit(self) -> Result<Handle<T>, SubmitError> {
        let client = self.client.clone();
        let new = self.into_new()?;
        let names = client.submit(vec![new]).await?;
        let task = names.into_iter().next().ok_or_else(|| SubmitError::Contradictory("nothing was submitted".to_owned()))?;
        Ok(client.handle(task))
    }
}

impl<T> fmt::Debug for TypedTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedTask").field("new", &self.new).field("wrong", &self.wrong).finish_non_exhaustive()
    }
}

/// A task that was submitted. Dropping it changes nothing: the task goes on.
pub struct Handle<T> {
    client: Client,
    task: TaskName,
    is: PhantomData<fn() -> T>,
}

impl<T: Task> Handle<T> {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> &TaskName {
        &self.task
    }

    /// Waits until it has ended, and gives what its handler returned. Survives lost connections and sessions, and any change of masters
    /// and workers.
    ///
    /// # Errors
    /// [`WaitError`]: how it ended otherwise, or why nobody can say.
    pub async fn wait(&self) -> Result<T::Output, WaitError> {
        let result = self.result().await?;
        if result.outcome != TaskOutcome::Succeeded {
            return Err(WaitError::of(result));
        }
        let value = result.value.clone().unwrap_or_default();
        serde_json::from_value(value).map_err(|error| WaitError::Unreadable { why: error.to_string(), result: Box::new(result) })
    }

    /// Waits until it has ended, and gives the whole of its result, whatever it is.
    ///
    /// # Errors
    /// [`WaitError::Nowhere`] and [`WaitError::Client`].
    pub async fn result(&self) -> Result<TaskResult, WaitError> {
        let mut waiter = self.client.wait(vec![self.task.clone()]).await;
        match waiter.next().await {
            Some((_, Awaited::Ended(result))) => Ok(*result),
            Some((_, Awaited::Nowhere)) => Err(WaitError::Nowhere(self.task.clone())),
            Some((_, Awaited::Failed(error))) => Err(WaitError::Client(error)),
            None => Err(WaitError::Client(crate::error::ClosedBecause::Asked.into())),
        }
    }

    /// Where it is now.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], or why there is no answer.
    pub async fn status(&self) -> Result<TaskView, Error> {
        self.client.status(&self.task).await
    }

    /// How far its handler said that it is, asked of its worker; `None` if it does not run, or said nothing.
    ///
    /// # Errors
    /// [`ProgressError`]: the cluster or the worker does not answer.
    pub async fn progress(&self) -> Result<Option<TaskProgress>, ProgressError> {
        self.client.progress(&self.task, &OutputReader::default()).await
    }

    /// Wants it cancelled. The wish is durable: whoever rules fulfils it, and the task ends as [`WaitError::Cancelled`] unless it was
    /// quicker.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::Denied`], or why there is no answer.
    pub async fn cancel(&self, reason: Option<&str>) -> Result<Cancel, Error> {
        self.client.cancel(&self.task, reason).await
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), task: self.task.clone(), is: PhantomData }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.task).finish()
    }
}

impl Client {
    /// How far a task's handler said that it is, asked of its worker through `reader`; `None` if it does not run, or said nothing.
    ///
    /// # Errors
    /// [`ProgressError`]: the cluster or the worker does not answer.
    pub async fn progress(&self, task: &TaskName, reader: &OutputReader) -> Result<Option<TaskProgress>, ProgressError> {
        let view = self.status(task).await?;
        let Some(worker) = view.worker.filter(|_| !view.state.is_final()) else { return Ok(None) };
        let Some(address) = self.pages_of(&worker).await? else { return Ok(None) };
        Ok(reader.progress(&address, task, view.attempt).await?)
    }
}

/// Why nobody can say how far a task is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgressError {
    /// The cluster does not answer.
    #[error(transparent)]
    Client(#[from] Error),
    /// The worker does not: its pages are served on loopback alone, unless it is told otherwise.
    #[error(transparent)]
    Worker(#[from] OutputError),
}

/// Why a typed task gave no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// Its handler failed for good, or as often as it may. The reason says what it said last; [`Client::retry`] runs it again.
    #[error("task {} failed: {}", .0.task, reason(.0))]
    Failed(Box<TaskResult>),
    /// It took longer than it may, to run or to get its turn.
    #[error("task {} timed out: {}", .0.task, reason(.0))]
    TimedOut(Box<TaskResult>),
    /// Somebody cancelled it, or it waited for a task that did not succeed.
    #[error("task {} was cancelled: {}", .0.task, reason(.0))]
    Cancelled(Box<TaskResult>),
    /// It was no task. Mend what the reason says.
    #[error("task {} was rejected: {}", .0.task, reason(.0))]
    Rejected(Box<TaskResult>),
    /// It cost more workers than it may: look at what it does to them before it is [retried](Client::retry).
    #[error("task {} is dead: {}", .0.task, reason(.0))]
    Dead(Box<TaskResult>),
    /// Its handler returned something else than this program expects: the two know different versions of its kind.
    #[error("task {} succeeded, and its output is not what is expected of its kind: {why}", .result.task)]
    Unreadable {
        /// What is wrong with it.
        why: String,
        /// The result, with the output as it is.
        result: Box<TaskResult>,
    },
    /// There is no such task: it was never submitted, or its result was removed.
    #[error("there is no task {0}: it was never submitted, or its result was removed")]
    Nowhere(TaskName),
    /// This client cannot say; the task goes on. Wait again, with another client if this one is closed.
    #[error(transparent)]
    Client(Error),
}

fn reason(result: &TaskResult) -> String {
    result.reason.clone().unwrap_or_else(|| result.why())
}

impl WaitError {
    fn of(result: TaskResult) -> Self {
        let (outcome, result) = (result.outcome, Box::new(result));
        match outcome {
            TaskOutcome::Succeeded | TaskOutcome::Failed => Self::Failed(result),
            TaskOutcome::TimedOut => Self::TimedOut(result),
            TaskOutcome::Cancelled => Self::Cancelled(result),
            TaskOutcome::Rejected => Self::Rejected(result),
            TaskOutcome::Dead => Self::Dead(result),
        }
    }

    /// How the task ended, if that is known: with all its attempts, and the end of what it wrote.
    #[must_use]
    pub fn result(&self) -> Option<&TaskResult> {
        match self {
            Self::Failed(result) | Self::TimedOut(result) | Self::Cancelled(result) | Self::Rejected(result) | Self::Dead(result) => {
                Some(result)
            }
            Self::Unreadable { result, .. } => Some(result),
            Self::Nowhere(_) | Self::Client(_) => None,
        }
    }
}
