//! The test vectors of the protocol, `tests/vectors/`: what they say is what our own decoders say. Other implementations can be
//! held against the same files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_core::protocol::key::KeyRecord;
use bellwether_core::protocol::payload::{self, Command, Dialect};
use bellwether_core::protocol::result::{Status, decode_status, result_of_words};
use bellwether_core::protocol::{TaskName, WorkerId};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(file: &str) -> T {
    let path = format!("{}/../../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Bytes, as text where they are text.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Bytes {
    Text(String),
    Base64(String),
}

impl Bytes {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Bytes::Text(text) => text.clone().into_bytes(),
            Bytes::Base64(text) => BASE64.decode(text).expect("base64 in a vector"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayloadVector {
    name: String,
    payload: Bytes,
    task: Option<TaskVector>,
    rejected: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskVector {
    dialect: String,
    argv: Option<Vec<String>>,
    shell: Option<String>,
    kind: Option<String>,
    input: Option<serde_json::Value>,
    attempt: u32,
}

#[test]
fn payloads_decode_as_the_vectors_say() {
    let vectors: Vec<PayloadVector> = read("payloads.json");
    assert!(vectors.len() >= 30, "the file was cut");
    for vector in vectors {
        match (payload::decode(&vector.payload.bytes()), vector.task, vector.rejected) {
            (Ok(task), Some(expected), None) => {
                let dialect = match task.dialect {
                    Dialect::Plain => "plain",
                    Dialect::Envelope => "envelope",
                };
                let (argv, shell, kind, input) = match task.command {
                    Command::Argv(argv) => (Some(argv), None, None, None),
                    Command::Shell(line) => (None, Some(line), None, None),
                    Command::Typed { kind, input } => (None, None, Some(kind), Some(input).filter(|input| !input.is_null())),
                };
                assert_eq!((dialect, task.envelope.attempt()), (expected.dialect.as_str(), expected.attempt), "{}", vector.name);
                let expected = (expected.argv, expected.shell, expected.kind, expected.input);
                assert_eq!((argv, shell, kind, input), expected, "{}", vector.name);
            }
            (Err(rejection), None, Some(word)) => assert_eq!(rejection.word(), word, "{}", vector.name),
            (decoded, ..) => panic!("{}: {decoded:?}", vector.name),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusVector {
    status: String,
    outcome: String,
    exit_code: u8,
    stdout: Option<Bytes>,
    value: Option<serde_json::Value>,
}

#[test]
fn statuses_mean_what_the_vectors_say() {
    let vectors: Vec<StatusVector> = read("statuses.json");
    assert!(vectors.len() >= 12, "the file was cut");
    for vector in vectors {
        let result = match decode_status(vector.status.as_bytes()) {
            Status::Full(result) => *result,
            Status::Plain { words, .. } => result_of_words(TaskName::listed("t"), &words, Timestamp::UNIX_EPOCH),
        };
        assert_eq!((result.outcome.to_string(), result.exit_code()), (vector.outcome, vector.exit_code), "{}", vector.status);
        assert_eq!(result.value, vector.value, "{}", vector.status);
        assert_eq!(result.stdout.map(|stream| stream.tail_bytes()), vector.stdout.map(|stdout| stdout.bytes()), "{}", vector.status);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyVector {
    name: String,
    key: String,
    payload: String,
    node: String,
    digest: String,
}

#[test]
fn keys_are_hashed_and_tasks_digested_as_the_vectors_say() {
    let vectors: Vec<KeyVector> = read("keys.json");
    assert!(vectors.len() >= 6, "the file was cut");
    for vector in vectors {
        let task = payload::decode(vector.payload.as_bytes()).unwrap_or_else(|why| panic!("{}: {why}", vector.name));
        let record = KeyRecord::new(&vector.key, TaskName::listed("t"), &task.command, &task.envelope);
        assert_eq!((record.node(), record.digest), (vector.node, vector.digest), "{}", vector.name);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameVectors {
    tasks: Vec<TaskNameVector>,
    incarnations: Vec<IncarnationVector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskNameVector {
    unix_ms: u64,
    chance: u64,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IncarnationVector {
    worker: String,
    session: i64,
    incarnation: String,
}

#[test]
fn names_are_made_as_the_vectors_say() {
    let vectors: NameVectors = read("names.json");
    for vector in &vectors.tasks {
        assert_eq!(TaskName::generate(vector.unix_ms, vector.chance).as_str(), vector.name);
    }
    for vector in &vectors.incarnations {
        let id = WorkerId::incarnation(&vector.worker, vector.session);
        assert_eq!(
            (id.as_str(), id.operator_name(), id.session()),
            (vector.incarnation.as_str(), Some(vector.worker.as_str()), Some(vector.session))
        );
    }
    assert!(!vectors.tasks.is_empty() && !vectors.incarnations.is_empty(), "the file was cut");
}
