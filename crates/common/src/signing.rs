//! Keys that sign tasks, and keys that vouch for them: Ed25519. What is signed stands in `bellwether_core::protocol::signature`.
//!
//! A secret key is a file with one line, `ed25519-secret HEX COMMENT`, that its owner alone can read; the public one is a line
//! `ed25519 HEX COMMENT` for `worker.trusted_keys`. A key is called by the first 16 digits of the public one: two that are called alike
//! are told apart when a signature is verified, against the whole.

use std::fmt;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::payload::{Command, Envelope};
use bellwether_core::protocol::signature::{Signature, canonical};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// What the line of a secret key begins with.
const SECRET: &str = "ed25519-secret";
/// What the line of a public key begins with.
const PUBLIC: &str = "ed25519";
/// How many digits of the public key are its id.
const ID_DIGITS: usize = 16;

/// Text that is no key. It repeats nothing of the text, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not `ed25519-secret HEX COMMENT`.
    #[error("it is no secret key: it must be one line, ed25519-secret and 64 hexadecimal digits; make one with: bellwether key new FILE")]
    Secret,
    /// Not `ed25519 HEX COMMENT`.
    #[error("a key is ed25519 and 64 hexadecimal digits, as `bellwether key show FILE` prints it")]
    Public,
    /// The digits are no key that anybody can sign with.
    #[error("the digits are no public key; copy the line that `bellwether key show FILE` prints")]
    NoPoint,
    /// A secret one in the place of a public one.
    #[error("this is a secret key, which belongs on the machine of who submits; name the public one: bellwether key show FILE")]
    SecretForPublic,
}

/// What a signature covers of bytes that lie elsewhere: their SHA-256, in hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A key that signs.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    comment: String,
}

impl SecretKey {
    /// A new key, by the kernel's chance.
    ///
    /// # Errors
    /// The kernel has none.
    pub fn generate(comment: &str) -> io::Result<Self> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self { key: SigningKey::from_bytes(&seed), comment: one_line(comment) })
    }

    /// Reads the line of a file.
    ///
    /// # Errors
    /// [`BadKey`]
    pub fn parse(line: &[u8]) -> Result<Self, BadKey> {
        let line = std::str::from_utf8(line).map_err(|_| BadKey::Secret)?;
        let (seed, comment) = digits(line, SECRET).ok_or(BadKey::Secret)?;
        Ok(Self { key: SigningKey::from_bytes(&seed), comment })
    }

    /// Writes it into a new file that its owner alone can read.
    ///
    /// # Errors
    /// What the system says; above all that there is such a file.
    pub fn write_new(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(line(SECRET, self.key.as_bytes(), &self.comment).as_bytes())?;
        file.sync_all()
    }

    /// The key that vouches for what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey { key: self.key.verifying_key(), comment: self.comment.clone() }
    }

    /// Signs the task of this name, good until a second since 1970; or all tasks that a schedule makes, by the pattern of their names.
    #[must_use]
    pub fn sign(&self, name: &TaskName, command: &Command, envelope: &Envelope, not_after: u64, tasks: Option<String>) -> Signature {
        let mut signature = Signature { key: self.public().id(), not_after, tasks, value: String::new() };
        let signed = self.key.sign(&canonical(name, command, envelope, &signature));
        signature.value = BASE64.encode(signed.to_bytes());
        signature
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public().id())
    }
}

/// A key that vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    comment: String,
}

impl PublicKey {
    /// What the key is called.
    #[must_use]
    pub fn id(&self) -> String {
        hex(self.key.as_bytes()).chars().take(ID_DIGITS).collect()
    }

    /// Whether this signature is of this task, by the key's owner. Until when it is good, and for which names, is another question.
    #[must_use]
    pub fn vouches(&self, name: &TaskName, command: &Command, envelope: &Envelope, signature: &Signature) -> bool {
        let bytes = BASE64.decode(&signature.value).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        let Some(bytes) = bytes else { return false };
        let signed = ed25519_dalek::Signature::from_bytes(&bytes);
        self.key.verify_strict(&canonical(name, command, envelope, signature), &signed).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(line(PUBLIC, self.key.as_bytes(), &self.comment).trim_end())
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        if text.trim_start().starts_with(SECRET) {
            return Err(BadKey::SecretForPublic);
        }
        let (bytes, comment) = digits(text, PUBLIC).ok_or(BadKey::Public)?;
        let key = VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).ok_or(BadKey::NoPoint)?;
        Ok(Self { key, comment })
    }
}

fn line(word: &str, bytes: &[u8; 32], comment: &str) -> String {
    format!("{word} {} {comment}", hex(bytes)).trim_end().to_owned() + "\n"
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What follows `word`: 32 bytes in hex, and a comment.
fn digits(line: &str, word: &str) -> Option<([u8; 32], String)> {
    let rest = line.trim().strip_prefix(word)?.strip_prefix(char::is_whitespace)?.trim_start();
    let (digits, comment) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some((bytes, comment.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bellwether_core::protocol::payload;
    use serde::Deserialize;

    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey { key: SigningKey::from_bytes(&[seed; 32]), comment: "me@here".into() }
    }

    fn task(json: &str) -> payload::Task {
        payload::decode(json.as_bytes()).expect("a task")
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_shown_to_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("key");
        let made = SecretKey::generate("two\nlines").expect("chance");
        made.write_new(&file).expect("written");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(made.write_new(&file).is_err(), "no key is overwritten");
        let read = SecretKey::parse(&std::fs::read(&file).expect("read")).expect("a key");
        assert_eq!(read.public(), made.public());
        assert_eq!(read.public().to_string().parse(), Ok(made.public()));
        assert!(!format!("{read:?}").contains(&hex(read.key.as_bytes())), "{read:?}");
        assert_ne!(SecretKey::generate("").expect("chance").public().id(), made.public().id());
    }

    #[test]
    fn what_is_no_key_is_told_without_being_repeated() {
        let secret = line(SECRET, &[7; 32], "");
        assert_eq!(secret.parse::<PublicKey>(), Err(BadKey::SecretForPublic));
        for text in ["", "ed25519", "ed25519 12", "ed25519-secret", "rsa 00", &format!("ed25519 {}", "g".repeat(64))] {
            assert!(text.parse::<PublicKey>().is_err() && SecretKey::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(format!("ed25519 {}", "0".repeat(64)).parse::<PublicKey>(), Err(BadKey::NoPoint), "a point of small order");
    }

    #[test]
    fn a_signature_is_of_one_task_by_one_key() {
        let name = TaskName::listed("t");
        let asked = task(r#"{"bellwether":1,"argv":["rm","x"],"submitter":"me@here"}"#);
        let signature = key(1).sign(&name, &asked.command, &asked.envelope, 7, None);
        let good = |key: &SecretKey, name: &str, task: &payload::Task, signature: &Signature| {
            key.public().vouches(&TaskName::listed(name), &task.command, &task.envelope, signature)
        };
        assert!(good(&key(1), "t", &asked, &signature));
        assert!(!good(&key(2), "t", &asked, &signature), "another key");
        assert!(!good(&key(1), "u", &asked, &signature), "another name");
        assert!(!good(&key(1), "t", &task(r#"{"bellwether":1,"argv":["rm","y"],"submitter":"me@here"}"#), &signature), "another command");
        assert!(!good(&key(1), "t", &asked, &Signature { not_after: 8, ..signature.clone() }), "longer");
        assert!(!good(&key(1), "t", &asked, &Signature { tasks: Some("t-*".into()), ..signature.clone() }), "for more");
        assert!(!good(&key(1), "t", &asked, &Signature { value: "AAAA".into(), ..signature }), "no signature at all");
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Vector {
        name: String,
        task: String,
        payload: String,
        public_key: String,
        canonical: String,
        genuine: bool,
    }

    #[test]
    fn signatures_are_what_the_vectors_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/signatures.json");
        let vectors: Vec<Vector> = serde_json::from_slice(&std::fs::read(path).expect("the vectors")).expect("vectors");
        assert!(vectors.len() >= 6, "the file was cut");
        for vector in vectors {
            let task = task(&vector.payload);
            let (name, signature) = (TaskName::listed(&vector.task), task.envelope.signature.clone().expect("signed"));
            let bytes = canonical(&name, &task.command, &task.envelope, &signature);
            assert_eq!(String::from_utf8(bytes).expect("text"), vector.canonical, "{}", vector.name);
            let key: PublicKey = vector.public_key.parse().expect("a key");
            assert_eq!(key.vouches(&name, &task.command, &task.envelope, &signature), vector.genuine, "{}", vector.name);
        }
    }
}
