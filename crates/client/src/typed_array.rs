//! Arrays of typed tasks: inputs that are submitted as one task, and outputs that come back with their numbers.

use std::fmt;
use std::marker::PhantomData;

use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::array::{ArrayRequest, ArraySummary, Span};
use bellwether_core::protocol::result::TaskOutcome;
use bellwether_core::typed::Task;
use futures::{Stream, StreamExt};

use crate::array_view::{ArrayProgress, Element};
use crate::arrays::NewArray;
use crate::client::{Cancel, Client};
use crate::error::{Error, SubmitError};
use crate::task::NewTask;
use crate::typed::{TypedTask, WaitError};

/// Typed tasks that are about to be submitted as one array. [`Client::array`] makes one.
///
/// ```no_run
/// # use std::time::Duration;
/// # use bellwether_client::{Client, Task};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Resize { path: String }
/// # impl Task for Resize { const KIND: &'static str = "resize"; type Output = u64; }
/// use futures::TryStreamExt;
/// # async fn example(client: Client, paths: Vec<String>) -> Result<(), Box<dyn std::error::Error>> {
/// let images = paths.into_iter().map(|path| Resize { path });
/// let array = client.array(images).each(|task| task.retries(3).timeout(Duration::from_secs(60))).submit().await?;
/// println!("{} of {} are done", array.progress().await?.done(), array.count());
/// let summary = array.wait().await?;
/// let mut outputs = Box::pin(array.outputs());
/// while let Some((index, output)) = outputs.try_next().await? {
///     match output {
///         Ok(bytes) => println!("{index}: {bytes} bytes"),
///         Err(element) => println!("{index}: {}", element.end),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "it is not submitted before `submit`"]
pub struct TypedArray<T> {
    client: Client,
    task: TypedTask<T>,
    lines: Vec<String>,
    max_fails: Option<u32>,
    /// Why an input cannot be sent.
    wrong: Option<String>,
}

impl Client {
    /// An array with an element for each of these tasks, in their order. Their outputs are numbered from 0.
    pub fn array<T: Task>(&self, inputs: impl IntoIterator<Item = T>) -> TypedArray<T> {
        let (mut lines, mut wrong) = (Vec::new(), None);
        for (index, input) in inputs.into_iter().enumerate() {
            match serde_json::to_string(&input) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    wrong = Some(format!("element {index} cannot be written as JSON: {error}"));
                    break;
                }
            }
        }
        let task = self.typed(NewTask::typed(T::KIND, serde_json::Value::Null));
        TypedArray { client: self.clone(), task, lines, max_fails: None, wrong }
    }

    /// A handle to an array that was submitted before, say by a process that is gone.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], or why there is no answer.
    pub async fn array_handle<T: Task>(&self, array: TaskName) -> Result<ArrayHandle<T>, Error> {
        let view = self.status(&array).await?;
        let Some(progress) = view.array else { return Err(Error::NoSuchTask(array)) };
        Ok(ArrayHandle { client: self.clone(), array, count: progress.summary.count, is: PhantomData })
    }
}

impl<T: Task> TypedArray<T> {
    /// Says something about each of them, as about a task by itself.
    pub fn each(mut self, say: impl FnOnce(TypedTask<T>) -> TypedTask<T>) -> Self {
        self.task = say(self.task);
        self
    }

    /// Cancels what is left when more of them than this have failed.
    pub fn max_fails(mut self, fails: u32) -> Self {
        self.max_fails = Some(fails);
        self
    }

    /// Submits all of them, once, whatever becomes of connections and sessions meanwhile.
    ///
    /// # Errors
    /// [`SubmitError`]. After all but [`SubmitError::Unconfirmed`] nothing was submitted.
    pub async fn submit(self) -> Result<ArrayHandle<T>, SubmitError> {
        let Self { client, task, lines, max_fails, wrong } = self;
        if let Some(wrong) = wrong {
            return Err(SubmitError::Contradictory(wrong));
        }
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let array = NewArray::lines(task.into_new()?, lines);
        let array = max_fails.into_iter().fold(array, NewArray::max_fails);
        let array = client.submit_array(array).await?;
        Ok(ArrayHandle { client, array, count, is: PhantomData })
    }
}

impl<T> fmt::Debug for TypedArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedArray").field("task", &self.task).field("elements", &self.lines.len()).finish_non_exhaustive()
    }
}

/// An array that was submitted. Dropping it changes nothing: the array goes on.
pub struct ArrayHandle<T> {
    client: Client,
    array: TaskName,
    count: u32,
    is: PhantomData<fn() -> T>,
}

impl<T: Task> ArrayHandle<T> {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &TaskName {
        &self.array
    }

    /// How many elements it has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How far it is.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], or why there is no answer.
    pub async fn progress(&self) -> Result<ArrayProgress, Error> {
        let view = self.client.status(&self.array).await?;
        let span = ArrayRequest::new(self.count).span();
        Ok(view.array.map_or_else(|| ArrayProgress::new(span), |progress| *progress))
    }

    /// Waits until all of them have ended, however they did; survives whatever happens meanwhile.
    ///
    /// # Errors
    /// [`WaitError::Nowhere`] and [`WaitError::Client`].
    pub async fn wait(&self) -> Result<ArraySummary, WaitError> {
        let result = self.client.handle::<T>(self.array.clone()).result().await?;
        Ok(result.array.unwrap_or_else(|| ArraySummary::new(Span { from: 0, to: self.count.saturating_sub(1) })))
    }

    /// What came out of those that have ended, with their numbers, in the order in which that was recorded: outputs, or how else they ended.
    /// Those that were cancelled before they ran are not among them.
    pub fn outputs(&self) -> impl Stream<Item = Result<(u32, Result<T::Output, Element>), Error>> + use<T> {
        self.client.elements_of(&self.array).map(|element| {
            let element = element?;
            let output = match (element.outcome, serde_json::from_value(element.value.clone().unwrap_or_default())) {
                (TaskOutcome::Succeeded, Ok(output)) => Ok(output),
                (_, _) => Err(element.clone()),
            };
            Ok((element.element, output))
        })
    }

    /// Wants what is left of it cancelled.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::Denied`], or why there is no answer.
    pub async fn cancel(&self, reason: Option<&str>) -> Result<Cancel, Error> {
        self.client.cancel(&self.array, reason).await
    }
}

impl<T> fmt::Debug for ArrayHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArrayHandle").field(&self.array).finish()
    }
}
