//! Keys: what makes a submission idempotent. What stands in `/bellwether/keys/<hash>`.
//!
//! The node is created in the transaction that submits the task, and stays when that has ended. Whoever submits the same task under
//! the same key later is given the name of the first; another task under that key is refused.

use serde::{Deserialize, Serialize};

use super::payload::{Command, Envelope};
use super::{PROTOCOL_VERSION, TaskName};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1000;

/// The data of `/bellwether/keys/<hash>`, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// The key itself: its hash names the node.
    pub key: String,
    /// The task that was submitted under it.
    pub task: TaskName,
    /// What that task is, as [`digest`] sees it.
    pub digest: String,
}

/// A key that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadKey {
    /// Nothing at all.
    #[error("a key must not be empty")]
    Empty,
    /// Too long to be kept.
    #[error("a key must not be longer than {KEY_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character that cannot be printed.
    #[error("a key must not contain {0:?}")]
    Character(char),
}

impl KeyRecord {
    /// That this task was submitted under this key.
    #[must_use]
    pub fn new(key: &str, task: TaskName, command: &Command, envelope: &Envelope) -> Self {
        Self { bellwether: PROTOCOL_VERSION, key: key.to_owned(), task, digest: digest(command, envelope) }
    }

    /// The name of its node.
    #[must_use]
    pub fn node(&self) -> String {
        super::path::key(&hash(self.key.as_bytes()))
    }

    /// Reads it; `None` if it is none of ours, or newer.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok().filter(|record: &Self| record.bellwether <= PROTOCOL_VERSION)
    }

    /// As it is written to ZooKeeper.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        super::record::encode(self)
    }
}

/// Checks a key that somebody typed.
///
/// # Errors
/// [`BadKey`]: show it, it says what to change.
pub fn check(key: &str) -> Result<(), BadKey> {
    if key.is_empty() {
        return Err(BadKey::Empty);
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(BadKey::TooLong(key.len()));
    }
    key.chars().find(|c| c.is_control()).map_or(Ok(()), |c| Err(BadKey::Character(c)))
}

/// What a task is, whoever submits it and whenever: its command and all that was said about it, but for the trace that it belongs to, its
/// submitter, its key and its delay (a time of day is another delay each time).
#[must_use]
pub fn digest(command: &Command, envelope: &Envelope) -> String {
    let mut envelope = Envelope { trace: None, submitter: None, key: None, delay_ms: 0, ..envelope.clone() };
    envelope.set_command(command);
    hash(&envelope.encode())
}

/// 128 bits in hex, by FNV-1a: the same in every version, on every machine.
fn hash(bytes: &[u8]) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard() {
        // From the reference tables of FNV.
        assert_eq!(hash(b""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(hash(b"a"), "d228cb696f1a8caf78912b704e4a8964");
    }

    #[test]
    fn a_task_is_the_same_whoever_submits_it_and_whenever() {
        let command = Command::Argv(vec!["x".into()]);
        let envelope = Envelope::new(command.clone());
        let of = |envelope: &Envelope| digest(&command, envelope);
        let same = Envelope { submitter: Some("me@here".into()), key: Some("k".into()), delay_ms: 5, ..envelope.clone() };
        assert_eq!(of(&same), of(&envelope));
        for other in [
            Envelope { priority: 1, ..envelope.clone() },
            Envelope { env: [("A".to_owned(), "1".to_owned())].into(), ..envelope.clone() },
            Envelope { after: vec![TaskName::listed("t")], ..envelope.clone() },
        ] {
            assert_ne!(of(&other), of(&envelope));
        }
        assert_ne!(digest(&Command::Shell("x".into()), &envelope), of(&envelope));
    }

    #[test]
    fn keys_that_cannot_be_kept_are_refused() {
        assert_eq!((check(""), check("a\nb")), (Err(BadKey::Empty), Err(BadKey::Character('\n'))));
        assert_eq!(check(&"x".repeat(1001)), Err(BadKey::TooLong(1001)));
        assert_eq!(check("a.png@640/ü x"), Ok(()));
    }
}
