//! Why a payload is no task: the closed list of words, and what people are told.

use std::fmt;

use super::{ARGUMENT_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::protocol::PROTOCOL_VERSION;

/// Why a payload is no task, or none that its worker runs. The list is closed: other programs compare the words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// No command in it.
    Empty,
    /// Not UTF-8.
    NotUtf8,
    /// A JSON array with something other than strings in it, or nested too deeply.
    NotArgv,
    /// An object with the key `bellwether` that does not decode; the text says where.
    BadEnvelope(String),
    /// An envelope of a later version.
    Newer(u64),
    /// Larger than [`PAYLOAD_BYTES_MAX`].
    TooLarge(usize),
    /// One argument is longer than the kernel takes.
    ArgumentTooLong(usize),
    /// A NUL byte, which no argument can contain.
    NulByte,
    /// The node has children, so it cannot be moved.
    HasChildren,
    /// Bellwether has no right to read or move it.
    NoRight,
    /// It bears no signature, and its worker runs nothing without.
    Unsigned,
    /// Its signature is of a key that its worker does not trust; the text says which.
    UnknownKey(String),
    /// Its signature is not of what it says, or not for a task of its name.
    BadSignature,
    /// Its signature is too old: it was to be started within this second since 1970.
    Expired(u64),
    /// This attempt was started before, or is one more than its signature allows.
    Replayed,
    /// Its worker does not run such a thing; the text says why.
    NotAllowed(String),
    /// The worker that it was given to has no handler of this kind, or, without a kind, runs no commands.
    UnknownKind(Option<String>),
}

impl Rejection {
    /// The word of the closed list.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Rejection::Empty => "empty",
            Rejection::NotUtf8 => "not-utf8",
            Rejection::NotArgv => "not-argv",
            Rejection::BadEnvelope(_) => "bad-envelope",
            Rejection::Newer(_) => "newer-version",
            Rejection::TooLarge(_) => "too-large",
            Rejection::ArgumentTooLong(_) => "argument-too-long",
            Rejection::NulByte => "nul-byte",
            Rejection::HasChildren => "has-children",
            Rejection::NoRight => "no-right",
            Rejection::Unsigned => "unsigned",
            Rejection::UnknownKey(_) => "unknown-key",
            Rejection::BadSignature => "bad-signature",
            Rejection::Expired(_) => "expired",
            Rejection::Replayed => "replayed",
            Rejection::NotAllowed(_) => "not-allowed",
            Rejection::UnknownKind(_) => "unknown-kind",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Empty => write!(f, "there is no command in it"),
            Rejection::NotUtf8 => write!(f, "it is not UTF-8 text"),
            Rejection::NotArgv => write!(f, "a JSON array must hold only strings: the program and its arguments"),
            Rejection::BadEnvelope(at) => write!(f, "the envelope does not decode: {at}"),
            Rejection::Newer(version) => {
                write!(f, "the envelope has version {version}, this Bellwether understands up to {PROTOCOL_VERSION}")
            }
            Rejection::TooLarge(bytes) => {
                write!(f, "it has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are taken; put the data into a file and pass its path")
            }
            Rejection::ArgumentTooLong(bytes) => write!(
                f,
                "one argument has {bytes} bytes, the kernel takes {ARGUMENT_BYTES_MAX}; put the data into a file or on the standard input"
            ),
            Rejection::NulByte => write!(f, "an argument contains a NUL byte"),
            Rejection::HasChildren => write!(f, "its znode has children"),
            Rejection::NoRight => write!(f, "its ACL denies Bellwether to read or move it"),
            Rejection::Unsigned => write!(f, "its worker runs only signed tasks (worker.require_signature); submit it with --sign-key"),
            Rejection::UnknownKey(key) => write!(f, "its worker does not trust the key {key} (worker.trusted_keys)"),
            Rejection::BadSignature => write!(f, "it is not what was signed, or bears another name"),
            Rejection::Expired(second) => write!(f, "its signature was good until {}", until(*second)),
            Rejection::Replayed => write!(f, "this attempt was started before, or is one more than its signature allows"),
            Rejection::NotAllowed(why) => write!(f, "its worker does not run it: {why}"),
            Rejection::UnknownKind(Some(kind)) => write!(f, "the worker that it was given to has no handler of kind {kind}"),
            Rejection::UnknownKind(None) => write!(f, "the worker that it was given to runs no commands"),
        }
    }
}

fn until(second: u64) -> String {
    let time = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    time.map_or_else(|| format!("second {second}"), |time| time.to_string())
}
