//! What the signature of a task covers: its canonical bytes, and the tasks that it is for. Keys and curves are the shell's; here is
//! nothing but bytes.
//!
//! Covered is what decides what is run, as whom it was submitted, and how often it may be run. Not covered is what masters and workers
//! change on the way (counts, delays), and what decides only when and beside what a task runs.

use serde::{Deserialize, Serialize};

use super::TaskName;
use super::payload::{Command, Envelope};

/// What the canonical bytes begin with: no signature for something else is one for a task.
const DOMAIN: &str = "bellwether task 1\n";

/// The signature of a task, as it stands in its envelope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Which key: the first 16 hexadecimal digits of the public one.
    pub key: String,
    /// Until when the task may be started, in seconds since 1970.
    pub not_after: u64,
    /// Of what a schedule makes: `<schedule>-*`, for all its tasks. Without it, the signature is for the one task of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<String>,
    /// The Ed25519 signature of the [canonical bytes](canonical): 64 bytes in base64.
    pub value: String,
}

impl Signature {
    /// Whether it is for a task of this name, if it is genuine. Only what a schedule may call its tasks is for a pattern: the name of the
    /// schedule and a time.
    #[must_use]
    pub fn is_for(&self, name: &TaskName) -> bool {
        let Some(pattern) = &self.tasks else { return true };
        let tick = |c: char| c.is_ascii_digit() || matches!(c, 'T' | 'Z');
        let rest = pattern.strip_suffix('*').filter(|fixed| fixed.ends_with('-')).and_then(|fixed| name.as_str().strip_prefix(fixed));
        rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(tick))
    }
}

/// The bytes that are signed: of a task of this name, with this command and envelope (whose own command fields are not looked at), if
/// `signature` says until when and for what. Its value is not looked at.
///
/// Each part is `name=length:bytes` and a newline; those that are not there are left out; the order is fixed. So no two tasks have the
/// same bytes, whatever stands in them.
#[must_use]
pub fn canonical(name: &TaskName, command: &Command, envelope: &Envelope, signature: &Signature) -> Vec<u8> {
    // Whoever adds a field to the envelope decides here whether it is covered.
    let Envelope {
        env,
        cwd,
        stdin,
        timeout_ms,
        require,
        submitter,
        max_worker_losses,
        retries,
        bellwether: _,
        argv: _,
        shell: _,
        plain: _,
        kind: _,
        input: _,
        name: _,
        queue_timeout_ms: _,
        priority: _,
        slots: _,
        resources: _,
        labels: _,
        trace: _,
        backoff_ms: _,
        backoff_max_ms: _,
        retry_on: _,
        delay_ms: _,
        after: _,
        after_failure: _,
        group: _,
        array,
        key: _,
        retry_of: _,
        signature: _,
        failures: _,
        losses: _,
        attempts: _,
    } = envelope;
    let mut parts = Parts(DOMAIN.as_bytes().to_vec());
    match &signature.tasks {
        Some(pattern) => parts.add("tasks", pattern),
        None => parts.add("task", name.as_str()),
    }
    parts.add("key", &signature.key);
    parts.add("not_after", &signature.not_after.to_string());
    submitter.iter().for_each(|submitter| parts.add("submitter", submitter));
    match command {
        Command::Argv(words) => words.iter().for_each(|word| parts.add("argv", word)),
        Command::Shell(line) => parts.add("shell", line),
        Command::Typed { kind, input } => {
            parts.add("kind", kind);
            parts.add("input", &input.to_string());
        }
    }
    env.iter().for_each(|(name, value)| parts.add("env", &format!("{name}={value}")));
    cwd.iter().for_each(|cwd| parts.add("cwd", cwd));
    stdin.iter().for_each(|stdin| parts.add("stdin", stdin));
    timeout_ms.iter().for_each(|timeout| parts.add("timeout_ms", &timeout.to_string()));
    retries.iter().for_each(|retries| parts.add("retries", &retries.to_string()));
    max_worker_losses.iter().for_each(|losses| parts.add("max_worker_losses", &losses.to_string()));
    array.iter().for_each(|array| parts.add("array", &String::from_utf8_lossy(&super::record::encode(array))));
    require.iter().for_each(|(label, value)| parts.add("require", &format!("{label}={value}")));
    parts.0
}

struct Parts(Vec<u8>);

impl Parts {
    fn add(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(format!("{name}={}:{value}\n", value.len()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::payload;

    fn signature(tasks: Option<&str>) -> Signature {
        Signature { key: "0123456789abcdef".into(), not_after: 7, tasks: tasks.map(str::to_owned), value: String::new() }
    }

    fn bytes(name: &str, envelope: &str) -> Vec<u8> {
        let task = payload::decode(envelope.as_bytes()).unwrap();
        canonical(&TaskName::listed(name), &task.command, &task.envelope, &signature(None))
    }

    #[test]
    fn whatever_decides_what_is_run_changes_the_bytes() {
        let plain = bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here"}"#);
        let others = [
            bytes("u", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here"}"#),
            bytes("t", r#"{"bellwether":1,"argv":["ab"],"env":{"A":"1"},"submitter":"me@here"}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b\nenv=3:B=2"],"env":{"A":"1"},"submitter":"me@here"}"#),
            bytes("t", r#"{"bellwether":1,"kind":"a","submitter":"me@here"}"#),
            bytes("t", r#"{"bellwether":1,"kind":"a","input":"b","submitter":"me@here"}"#),
            bytes("t", r#"{"bellwether":1,"shell":"a","env":{"A":"1"},"submitter":"me@here"}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"2"},"submitter":"me@here"}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"you@here"}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here","cwd":"/"}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here","stdin":"x"}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here","timeout_ms":1}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here","retries":1}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here","max_worker_losses":1}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here","require":{"zone":"eu"}}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here","array":{"count":2}}"#),
            bytes("t", r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1"},"submitter":"me@here","array":{"count":3}}"#),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(plain, *other, "{index}");
        }
        let all: std::collections::BTreeSet<_> = others.iter().collect();
        assert_eq!(all.len(), others.len());
    }

    #[test]
    fn what_masters_and_workers_change_changes_nothing() {
        let submitted = bytes("t", r#"{"bellwether":1,"argv":["a"]}"#);
        let later = r#"{"bellwether":1,"argv":["a"],"failures":1,"losses":2,"delay_ms":5,"priority":3,"labels":{"a":"b"}}"#;
        assert_eq!(submitted, bytes("t", later));
    }

    #[test]
    fn a_pattern_is_for_what_its_schedule_makes() {
        let named = |pattern: &str, name: &str| signature(Some(pattern)).is_for(&TaskName::listed(name));
        assert!(named("nightly-*", "nightly-20261121T030000Z"));
        for (pattern, name) in [
            ("nightly-*", "nightly-"),
            ("nightly-*", "nightly-x"),
            ("nightly-*", "hourly-20261121T030000Z"),
            ("*", "20261121T030000Z"),
            ("nightly-20261121T030000Z", "nightly-20261121T030000Z"),
        ] {
            assert!(!named(pattern, name), "{pattern} {name}");
        }
        assert!(signature(None).is_for(&TaskName::listed("any")));
        let (name, task) = (TaskName::listed("x-*"), payload::decode(br#"{"bellwether":1,"argv":["a"]}"#).unwrap());
        let of = |signature| canonical(&name, &task.command, &task.envelope, &signature);
        assert_ne!(of(signature(None)), of(signature(Some("x-*"))), "a name is no pattern");
    }
}
