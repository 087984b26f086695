//! Reading whole outputs from the workers that keep them, while they are written and after.
//!
//! What lives here: asking a worker's pages, and finding out where they are. What does not: what is done with what was read (the
//! command prints it), and the end of an output that a result carries.

mod http;

use bellwether_common::config::Secret;
use bellwether_common::output::StreamName;
use bellwether_core::protocol::TaskName;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use http::Answer;

/// Which output of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputId {
    /// The task.
    pub task: TaskName,
    /// Ordinal of the attempt.
    pub attempt: u32,
    /// Which of the two.
    pub stream: StreamName,
}

/// Where to begin to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// At this offset of the output. Bytes that are not kept any more are passed over.
    Offset(u64),
    /// So many bytes before the end, or less.
    End(u64),
}

/// Why an output cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The worker's pages do not answer. Another try may help; an address that others can reach is configured as `http.advertise`.
    #[error("{address} does not answer: {why}")]
    Unreachable {
        /// What was tried.
        address: String,
        /// What the system says.
        why: String,
    },
    /// They answer, and refuse.
    #[error("{message}")]
    Refused {
        /// The status code: 404 if it is not there, 401 and 403 if it may not be read.
        status: u16,
        /// What they say.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Reads outputs from workers.
///
/// ```no_run
/// use bellwether_client::{Client, OutputId, OutputReader, ReadFrom, Secret, StreamName, TaskName};
///
/// # async fn example(client: Client, task: TaskName) -> Result<(), Box<dyn std::error::Error>> {
/// let reader = OutputReader::new(Some(Secret::new(std::fs::read("/etc/bellwether/http-token")?.trim_ascii().to_vec())));
/// let view = client.status(&task).await?;
/// if let Some(worker) = view.worker
///     && let Some(address) = client.pages_of(&worker).await?
/// {
///     let output = OutputId { task, attempt: view.attempt, stream: StreamName::Stdout };
///     let mut open = reader.open(&address, &output, ReadFrom::Offset(0), true).await?;
///     while let Some(bytes) = open.next().await? {
///         print!("{}", String::from_utf8_lossy(bytes));
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct OutputReader {
    token: Option<Secret>,
}

impl OutputReader {
    /// One that shows this token.
    #[must_use]
    pub fn new(token: Option<Secret>) -> Self {
        Self { token }
    }

    /// Begins to read from the worker whose pages are at `address`. With `follow` it goes on until the attempt has ended.
    ///
    /// # Errors
    /// [`OutputError`]
    pub async fn open(&self, address: &str, output: &OutputId, from: ReadFrom, follow: bool) -> Result<OpenOutput, OutputError> {
        let from = match from {
            ReadFrom::Offset(offset) => format!("offset={offset}"),
            ReadFrom::End(bytes) => format!("tail={bytes}"),
        };
        let (task, attempt, stream) = (http::encode(output.task.as_str()), output.attempt, output.stream);
        let path = format!("/v1/tasks/{task}/attempts/{attempt}/{stream}?{from}&follow={follow}&gap=stop");
        let answer = http::get(address, &path, self.token.as_ref()).await?;
        let unreadable =
            || OutputError::Unreachable { address: address.to_owned(), why: "what answers there is no worker of ours".to_owned() };
        let (offset, total, ended) = answer.place().ok_or_else(unreadable)?;
        Ok(OpenOutput { offset, total, ended, answer })
    }
}

impl OutputReader {
    /// How far an attempt is, as its handler told the worker whose pages are at `address`; `None` if it said nothing.
    ///
    /// # Errors
    /// [`OutputError`]
    pub async fn progress(&self, address: &str, task: &TaskName, attempt: u32) -> Result<Option<TaskProgress>, OutputError> {
        let path = format!("/v1/tasks/{}/attempts/{attempt}", http::encode(task.as_str()));
        let mut answer = http::get(address, &path, self.token.as_ref()).await?;
        let mut page = Vec::new();
        loop {
            match answer.more().await? {
                [] => break,
                bytes if page.len() + bytes.len() <= PAGE_MAX => page.extend_from_slice(bytes),
                _ => return Ok(None),
            }
        }
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap_or_default();
        Ok(serde_json::from_value(page["attempt"]["progress"].clone()).ok())
    }
}

/// Most bytes of a page about an attempt.
const PAGE_MAX: usize = 64 * 1024;

/// How far a handler said that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskProgress {
    /// So much is done, …
    pub done: u64,
    /// … of so much in all, if it knows.
    pub total: Option<u64>,
    /// What it is at.
    pub note: String,
    /// When it said so, by its worker's clock.
    pub at: Timestamp,
}

/// An output that is being read.
#[derive(Debug)]
pub struct OpenOutput {
    /// Where the next bytes lie in the output. If that is more than was asked for, what lies between is not kept.
    pub offset: u64,
    /// How many bytes there were when it was opened.
    pub total: u64,
    /// Whether there were to be no more.
    pub ended: bool,
    answer: Answer,
}

impl OpenOutput {
    /// The next bytes; none when the answer ends. Then it is over if [`offset`](Self::offset) is all there is: otherwise the connection
    /// broke, or bytes are missing here, and it is to be opened again from there. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`OutputError::Unreachable`]: the connection broke.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, OutputError> {
        let bytes = self.answer.more().await?;
        self.offset += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}
