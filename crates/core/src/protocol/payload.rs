//! What a task asks for: the dialects of `/tasks/<task>` and of assignments.
//!
//! Three are accepted: a JSON array of strings (argv), our envelope (a JSON object with the key `bellwether`) and any other
//! UTF-8 text (a shell line). What is none of them is rejected with a word of a closed list, never run, never retried.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::array::ArrayRequest;
use super::result::AttemptRecord;
use super::signature::Signature;
use super::trace::TraceParent;
use super::{PROTOCOL_VERSION, TaskName};

mod limits;
mod rejection;

pub use limits::{ARGUMENT_BYTES_MAX, KIND_BYTES_MAX, check_command, check_kind};
use limits::{check_environment, check_slots, check_typed};
pub use rejection::Rejection;

/// Largest payload that is accepted. It leaves room in a request for wrapping it in base64.
pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// A program and its arguments, run as they are.
    Argv(Vec<String>),
    /// A line for the worker's shell.
    Shell(String),
    /// Something for a handler in a worker's program.
    Typed {
        /// Which handler.
        kind: String,
        /// What it is given.
        input: Value,
    },
}

impl Command {
    /// For people: one line, shortened to `width` characters.
    #[must_use]
    pub fn display(&self, width: usize) -> String {
        let line = match self {
            Command::Argv(argv) => argv.join(" "),
            Command::Shell(line) => line.clone(),
            Command::Typed { kind, input: Value::Null } => kind.clone(),
            Command::Typed { kind, input } => format!("{kind} {input}"),
        };
        let mut short: String = line.chars().take(width).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if line.chars().nth(width).is_some() {
            short.pop();
            short.push('…');
        }
        short
    }
}

/// In which dialect a task was asked, and therefore is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// An argv array or a shell line: the status is a word or three.
    Plain,
    /// Our envelope: the status is our JSON result.
    Envelope,
}

/// The envelope, as it stands in ZooKeeper. Exactly one of `argv`, `shell`, `plain` and `kind` is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Version of this format.
    pub bellwether: u32,
    /// A program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// A shell line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// A plain payload that had to be wrapped because it must carry counts: its bytes in base64. It keeps its dialect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<String>,
    /// The handler that it is for, in a worker's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What the handler is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Additional environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working directory on the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// What the command reads; without it, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it may run, in milliseconds; without it, the worker's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long it may wait for its turn, in milliseconds since it may run; without it, the coordinator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_timeout_ms: Option<u64>,
    /// Higher goes first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// Labels that the worker must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: BTreeMap<String, String>,
    /// How many slots of its worker it takes; without it, one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<NonZeroU32>,
    /// How much it takes of what its worker has, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, NonZeroU32>,
    /// Labels of the task itself, for finding it again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who submitted it, `user@host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<String>,
    /// The trace that it belongs to, as the command finds it in `TRACEPARENT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// How many workers it may cost before it is dead; without it, the coordinator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_worker_losses: Option<u32>,
    /// How many attempts more are made after one that failed; without it, the worker's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The shortest time before another attempt, in milliseconds; without it, the worker's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
    /// The longest time before another attempt, in milliseconds; without it, the worker's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_max_ms: Option<u64>,
    /// Exit codes after which another attempt is made; after any failure if the list is empty. Without it, the worker's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_on: Option<Vec<i32>>,
    /// Under `/bellwether/held`: how long it may not run, in milliseconds since its znode was created. Elsewhere it says nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delay_ms: u64,
    /// Under `/bellwether/held`, before its first attempt: the tasks that must have ended before it may run. Elsewhere it says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<TaskName>,
    /// What becomes of it when one of [`after`](Self::after) does not succeed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub after_failure: AfterFailure,
    /// The group that it is an element of. Under `/bellwether/held`, before its first attempt, it may not run before that is wholly submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<TaskName>,
    /// Its elements, if it is an array: then the command is run once for each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<ArrayRequest>,
    /// The key under which it was submitted, at most once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The task whose dead letter this one was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<TaskName>,
    /// Who vouches for it, with a key that workers may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// How many attempts failed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failures: u32,
    /// How many attempts were lost with their worker.
    #[serde(default, skip_serializing_if = "is_default")]
    pub losses: u32,
    /// What became of earlier attempts, at most [`ATTEMPTS_KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
}

/// What becomes of a task when one that it waits for does not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AfterFailure {
    /// It ends as cancelled, without an attempt.
    #[default]
    Skip,
    /// It ends as dead, and its payload is kept as a dead letter.
    Dead,
    /// It runs nevertheless.
    Run,
}

/// Most tasks that one task may wait for.
pub const AFTER_MAX: usize = 1000;

/// How many earlier attempts an envelope and a result remember.
pub const ATTEMPTS_KEPT: usize = 32;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Envelope {
    /// An envelope around a command, with nothing else said.
    #[must_use]
    pub fn new(command: Command) -> Self {
        let mut envelope = Self::empty();
        envelope.set_command(&command);
        envelope
    }

    /// Says what is run, in place of what was said before.
    pub fn set_command(&mut self, command: &Command) {
        (self.argv, self.shell, self.plain, self.kind, self.input) = (None, None, None, None, None);
        match command {
            Command::Argv(argv) => self.argv = Some(argv.clone()),
            Command::Shell(line) => self.shell = Some(line.clone()),
            Command::Typed { kind, input } => {
                self.kind = Some(kind.clone());
                self.input = (!input.is_null()).then(|| input.clone());
            }
        }
    }

    fn empty() -> Self {
        Self {
            bellwether: PROTOCOL_VERSION,
            argv: None,
            shell: None,
            plain: None,
            kind: None,
            input: None,
            env: BTreeMap::new(),
            cwd: None,
            stdin: None,
            name: None,
            timeout_ms: None,
            queue_timeout_ms: None,
            priority: 0,
            require: BTreeMap::new(),
            slots: None,
            resources: BTreeMap::new(),
            labels: BTreeMap::new(),
            submitter: None,
            trace: None,
            max_worker_losses: None,
            retries: None,
            backoff_ms: None,
            backoff_max_ms: None,
            retry_on: None,
            delay_ms: 0,
            after: Vec::new(),
            after_failure: AfterFailure::default(),
            group: None,
            array: None,
            key: None,
            retry_of: None,
            signature: None,
            failures: 0,
            losses: 0,
            attempts: Vec::new(),
        }
    }

    /// How many attempts are over.
    #[must_use]
    pub fn attempts_made(&self) -> u32 {
        self.failures.saturating_add(self.losses)
    }

    /// The ordinal of the attempt that this payload is for, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempts_made().saturating_add(1)
    }

    /// Whether it was written by Bellwether after its submission: then it may be larger than what is accepted from others.
    fn carries_counts(&self) -> bool {
        self.attempts_made() > 0 || self.retry_of.is_some()
    }

    /// Whether it waits for others, as long as it is held: once it was assigned, it has waited.
    #[must_use]
    pub fn waits_for_others(&self) -> bool {
        self.attempts_made() == 0 && (self.group.is_some() || !self.after.is_empty())
    }

    /// Forgets what earlier attempts have left, what it waited for, what it was one of, and who vouched for it under its old name.
    pub fn start_over(&mut self) {
        (self.failures, self.losses, self.delay_ms) = (0, 0, 0);
        self.attempts.clear();
        self.after.clear();
        (self.after_failure, self.group, self.key) = (AfterFailure::default(), None, None);
        self.signature = None;
    }

    /// As it is written to ZooKeeper.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an envelope has only string keys and finite numbers")
    }
}

/// A task that can be run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    /// How it is to be answered.
    pub dialect: Dialect,
    /// What it runs.
    pub command: Command,
    /// Everything else that was said about it, and its kind; for a plain task only counts.
    pub envelope: Envelope,
}

/// Reads a payload.
///
/// # Errors
/// [`Rejection`]: the task must not be run and ends as rejected.
pub fn decode(payload: &[u8]) -> Result<Task, Rejection> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Rejection::TooLarge(payload.len()));
    }
    decode_uncapped(payload)
}

/// Reads the payload of a task that waits: what was wrapped by us may be larger than what is accepted from others.
///
/// # Errors
/// As [`decode`].
pub fn decode_waiting(payload: &[u8]) -> Result<Task, Rejection> {
    match decode(payload) {
        Err(Rejection::TooLarge(bytes)) => match decode_uncapped(payload) {
            Ok(wrapped) if wrapped.envelope.carries_counts() => Ok(wrapped),
            Ok(_) | Err(_) => Err(Rejection::TooLarge(bytes)),
        },
        decoded => decoded,
    }
}

/// Reads a payload that may have grown over the cap by being wrapped.
///
/// # Errors
/// As [`decode`].
pub fn decode_assigned(payload: &[u8]) -> Result<Task, Rejection> {
    decode_uncapped(payload)
}

fn decode_uncapped(payload: &[u8]) -> Result<Task, Rejection> {
    let text = std::str::from_utf8(payload).map_err(|_| Rejection::NotUtf8)?;
    match text.trim_start().as_bytes().first() {
        None => Err(Rejection::Empty),
        Some(b'{') => decode_object(text),
        Some(b'[') => decode_array(text),
        Some(_) => plain(Command::Shell(text.to_owned())),
    }
}

fn decode_array(text: &str) -> Result<Task, Rejection> {
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(argv) => plain(Command::Argv(argv)),
        Err(error) if error.is_data() || too_deep(&error) => Err(Rejection::NotArgv),
        // `[ -f x ] && y` is no JSON but a fine shell line; an array whose later elements are broken JSON is one, too.
        Err(_) => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Err(Rejection::NotArgv),
            Err(error) if too_deep(&error) => Err(Rejection::NotArgv),
            Err(_) => plain(Command::Shell(text.to_owned())),
        },
    }
}

fn decode_object(text: &str) -> Result<Task, Rejection> {
    let error = match serde_json::from_str::<Envelope>(text) {
        Ok(envelope) => return unwrap(envelope),
        Err(error) => error,
    };
    if too_deep(&error) {
        return Err(Rejection::BadEnvelope("it is nested too deeply".to_owned()));
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(object)) => match object.get("bellwether").map(serde_json::Value::as_u64) {
            Some(Some(version)) if version > u64::from(PROTOCOL_VERSION) => Err(Rejection::Newer(version)),
            Some(_) => Err(Rejection::BadEnvelope(error.to_string())),
            None => plain(Command::Shell(text.to_owned())),
        },
        // What no reader of ours can look into is never run.
        Err(error) if too_deep(&error) => Err(Rejection::BadEnvelope("it is nested too deeply".to_owned())),
        // `{ echo a; echo b; }` is a shell line.
        Ok(_) | Err(_) => plain(Command::Shell(text.to_owned())),
    }
}

fn too_deep(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("recursion limit exceeded")
}

fn plain(command: Command) -> Result<Task, Rejection> {
    check_command(&command)?;
    Ok(Task { dialect: Dialect::Plain, command, envelope: Envelope::empty() })
}

fn unwrap(mut envelope: Envelope) -> Result<Task, Rejection> {
    if envelope.bellwether > PROTOCOL_VERSION {
        return Err(Rejection::Newer(envelope.bellwether.into()));
    }
    if envelope.bellwether == 0 {
        return Err(Rejection::BadEnvelope("bellwether: versions start at 1".to_owned()));
    }
    let input = envelope.input.take();
    if input.is_some() && envelope.kind.is_none() {
        return Err(Rejection::BadEnvelope("input: it is for a handler, and no kind is given".to_owned()));
    }
    // The kind stays: who places the task asks for it.
    let (dialect, command) = match (envelope.argv.take(), envelope.shell.take(), envelope.plain.take(), &envelope.kind) {
        (Some(argv), None, None, None) => (Dialect::Envelope, Command::Argv(argv)),
        (None, Some(line), None, None) => (Dialect::Envelope, Command::Shell(line)),
        (None, None, Some(wrapped), None) => (Dialect::Plain, unwrap_plain(&wrapped)?),
        (None, None, None, Some(kind)) => (Dialect::Envelope, Command::Typed { kind: kind.clone(), input: input.unwrap_or_default() }),
        (None, None, None, None) => return Err(Rejection::Empty),
        _ => return Err(Rejection::BadEnvelope("only one of argv, shell, plain and kind may be given".to_owned())),
    };
    check_command(&command)?;
    check_environment(&envelope)?;
    check_typed(&envelope)?;
    check_slots(&envelope)?;
    envelope.array.as_ref().map_or(Ok(()), ArrayRequest::check)?;
    Ok(Task { dialect, command, envelope })
}

fn unwrap_plain(wrapped: &str) -> Result<Command, Rejection> {
    let bytes = BASE64.decode(wrapped).map_err(|error| Rejection::BadEnvelope(format!("plain: {error}")))?;
    let task = decode_uncapped(&bytes)?;
    match task.dialect {
        Dialect::Plain => Ok(task.command),
        Dialect::Envelope => Err(Rejection::BadEnvelope("plain: an envelope in an envelope".to_owned())),
    }
}

impl Task {
    /// The payload again, with what the envelope says now. A plain task is wrapped, because only an envelope can carry counts.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut envelope = self.envelope.clone();
        match (self.dialect, &self.command) {
            // A handler is asked by an envelope, whoever asks.
            (Dialect::Envelope, command) | (_, command @ Command::Typed { .. }) => envelope.set_command(command),
            (Dialect::Plain, Command::Argv(argv)) => {
                envelope.plain = Some(BASE64.encode(serde_json::to_vec(argv).expect("strings")));
            }
            (Dialect::Plain, Command::Shell(line)) => envelope.plain = Some(BASE64.encode(line)),
        }
        envelope.encode()
    }
}

#[cfg(test)]
mod tests;
