//! The decoders, good inputs of each, and what each promises of whatever it is given.

use std::path::{Path, PathBuf};

use bellwether_common::config::{ByteSize, Settings, Sources};
use bellwether_common::txnlog::{Logs, Snapshot};
use bellwether_core::invariant::Place;
use bellwether_core::protocol::change::{Kind, of_event};
use bellwether_core::protocol::payload::{self, Command, PAYLOAD_BYTES_MAX};
use bellwether_core::protocol::record::{CoordinatorRecord, Farewell, History, TERMS_KEPT, Term, WorkerData, decode_worker, encode};
use bellwether_core::protocol::result::{self, Status};
use bellwether_core::protocol::{TaskName, WorkerId};
use jiff::Timestamp;

use crate::synthetic::{LogWriter, adler32, honest};

/// Whether an input was read; what else the decoder promises is asserted.
type Check = Box<dyn FnMut(&[u8]) -> bool>;

/// One decoder.
pub(super) struct Target {
    pub(super) name: &'static str,
    /// How large its part of all inputs is.
    pub(super) share: u64,
    /// Good inputs.
    pub(super) seeds: Vec<Vec<u8>>,
    /// Words that mean something to it.
    pub(super) words: &'static [&'static str],
    pub(super) check: Check,
}

impl Target {
    pub(super) fn new(
        name: &'static str,
        share: u64,
        seeds: Vec<Vec<u8>>,
        words: &'static [&'static str],
        check: impl FnMut(&[u8]) -> bool + 'static,
    ) -> Self {
        Self { name, share, seeds, words, check: Box::new(check) }
    }
}

fn texts(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

/// All of them. `scratch` takes files, `logs` has a real server's.
pub(super) fn all(scratch: &Path, logs: &Path) -> Vec<Target> {
    vec![
        Target::new("payloads", 30, texts(&PAYLOADS), &WORDS, payload_is_read),
        Target::new("statuses and results", 20, texts(&RESULTS), &WORDS, status_is_read),
        Target::new("records of workers", 10, texts(&RECORDS), &WORDS, worker_is_read),
        Target::new("records of coordinators", 10, texts(&RECORDS), &WORDS, coordinator_is_read),
        Target::new("the epoch's history", 5, texts(&RECORDS), &WORDS, history_is_read),
        Target::new(
            "names and paths of events",
            10,
            texts(&PATHS),
            &["/", "-", "0000000000000001", "bellwether", "zookeeper"],
            path_is_read,
        ),
        Target::new("sizes of the configuration", 5, texts(&["16KiB", "256MiB", "0B", "1GiB"]), &["KiB", "-", "."], size_is_read),
        Target::new("files of the configuration", 1, texts(&CONFIGURATION), &["\"", "=", "[worker]", "\"1s\""], configuration(scratch)),
        Target::new("transaction logs", 2, real(logs, "log."), &["ZKLG", "B"], log_file(scratch, false)),
        Target::new("records of transaction logs", 2, synthetic(), &["B"], log_file(scratch, true)),
        Target::new("snapshots", 1, real(logs, "snapshot."), &["ZKSN", "/"], snapshot(scratch)),
    ]
}

const WORDS: [&str; 24] = [
    "\"bellwether\":1",
    "\"argv\":",
    "\"shell\":\"x\"",
    "\"plain\":\"dHJ1ZQ==\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    "null",
    "\\u0000",
    "\"",
    "\\ud800",
    "\0",
    "\u{2603}",
    "1e999",
    "-1",
    "18446744073709551616",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "\"outcome\":\"succeeded\"",
    "\"timeout_ms\":0",
    "done",
    "failed exit=",
];

const PAYLOADS: [&str; 9] = [
    "echo hello",
    "[\"sh\",\"-c\",\"exit 3\"]",
    "{ echo a; echo b; }",
    "[ -f x ] && y",
    "{\"not\":\"ours\"}",
    "{\"bellwether\":1,\"argv\":[\"sleep\",\"1\"],\"env\":{\"A\":\"b\"},\"cwd\":\"/\",\"priority\":-3,\"require\":{\"zone\":\"eu\"}}",
    "{\"bellwether\":1,\"shell\":\"true\",\"timeout_ms\":1500,\"labels\":{\"job\":\"a\"},\"submitter\":\"me@here\",\"max_worker_losses\":2}",
    "{\"bellwether\":1,\"plain\":\"c2xlZXAgMQ==\",\"losses\":2,\"attempts\":[{\"attempt\":1,\"worker\":\"w-0000000000000001\",\"ended\":\"1970-01-01T00:00:00Z\",\"why\":\"worker-lost\"}]}",
    "{\"bellwether\":1,\"argv\":[\"cat\"],\"stdin\":\"x\\ny\",\"name\":\"n\"}",
];

const RESULTS: [&str; 9] = [
    "done",
    "failed exit=3",
    "failed signal=9",
    "failed rejected: empty",
    "failed worker-lost",
    "failed timeout",
    "{\"bellwether\":1,\"task\":\"t\",\"outcome\":\"failed\",\"exit\":3,\"attempt\":1,\"worker\":\"w-0000000000000001\",\"epoch\":7,\"ended\":\"1970-01-01T00:00:00Z\"}",
    "{\"bellwether\":1,\"task\":\"t\",\"outcome\":\"succeeded\",\"exit\":0,\"attempt\":2,\"ended\":\"1970-01-01T00:00:00Z\",\"stdout\":{\"tail\":\"AAE=\",\"encoding\":\"base64\",\"bytes\":2,\"truncated\":false}}",
    "{\"bellwether\":1,\"task\":\"t\",\"outcome\":\"timed-out\",\"attempt\":1,\"signal\":15,\"ended\":\"2026-01-01T00:00:00Z\",\"reason\":\"it ran longer than it may\"}",
];

const RECORDS: [&str; 6] = [
    "Idle",
    "{\"bellwether\":1,\"name\":\"w\",\"host\":\"h\",\"pid\":1,\"slots\":2,\"labels\":{\"zone\":\"eu\"},\"http\":\"127.0.0.1:1\",\"version\":\"0.1.0\"}",
    "{\"bellwether\":1,\"name\":\"w\",\"host\":\"h\",\"pid\":1,\"slots\":0,\"http\":\"\",\"version\":\"0.1.0\",\"replaces\":\"w-0000000000000001\"}",
    "{\"bellwether\":1,\"name\":\"c\",\"host\":\"h\",\"pid\":1,\"http\":\"\",\"version\":\"0.1.0\",\"epoch\":7,\"since\":\"1970-01-01T00:00:00Z\"}",
    "{\"bellwether\":1,\"terms\":[{\"epoch\":1,\"name\":\"c\",\"host\":\"h\",\"session\":\"0x1\",\"since\":\"1970-01-01T00:00:00Z\",\"previous_ended\":\"x\"}]}",
    "{\"epoch\":7,\"why\":\"it was asked to stop\"}",
];

const PATHS: [&str; 10] = [
    "/master",
    "/tasks/t",
    "/workers/w-0000000000000001",
    "/assign/w-00000000000000ff/t",
    "/status/t",
    "/bellwether/epoch",
    "/bellwether/cancel/t",
    "/bellwether/held/t",
    "/bellwether/standbys/standby-1-0000000001",
    "/bellwether/dead/t",
];

const CONFIGURATION: [&str; 3] = [
    "cluster = \"x\"\n[zookeeper]\nsession_timeout = \"10s\"\n[worker]\nslots = 2\nlabels = { zone = \"eu\" }\n",
    "[coordinator]\nassign_batch = 128\nreconcile_interval = \"60s\"\nclassic_workers = \"deny\"\n[log]\nlevel = \"info\"\n",
    "[worker]\noutput_tail = \"16KiB\"\nkill_grace = \"10s\"\non_doubt = \"kill\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
];

/// What is understood is understood the same after it was written again, and is something that can be run.
fn payload_is_read(input: &[u8]) -> bool {
    let capped = payload::decode(input);
    let task = match payload::decode_assigned(input) {
        Ok(task) => task,
        Err(rejection) => {
            let word = rejection.word();
            assert!(
                word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') && !word.contains("done"),
                "{word}"
            );
            assert!(capped.is_err() && !rejection.to_string().is_empty());
            return false;
        }
    };
    assert_eq!(capped.is_ok(), input.len() <= PAYLOAD_BYTES_MAX);
    let runs = match &task.command {
        Command::Argv(argv) => argv.first().is_some_and(|program| !program.trim().is_empty()),
        Command::Shell(line) => !line.trim().is_empty(),
        Command::Typed { kind, .. } => !kind.is_empty(),
    };
    assert!(runs && payload::check_command(&task.command).is_ok(), "an empty command is never run");
    let again = payload::decode_assigned(&task.encode()).expect("what is written by us is read by us");
    assert_eq!((&again.command, again.dialect), (&task.command, task.dialect));
    assert_eq!((again.envelope.attempt(), again.envelope.losses), (task.envelope.attempt(), task.envelope.losses));
    let _ = task.command.display(40);
    true
}

/// Everything can be read; success is told by one word alone, and a result stays what it was.
fn status_is_read(input: &[u8]) -> bool {
    match result::decode_status(input) {
        Status::Plain { succeeded, words } => {
            assert_eq!(succeeded, words == "done");
            let _ = result::result_of_words(TaskName::listed("t"), &words, Timestamp::UNIX_EPOCH).exit_code();
            false
        }
        Status::Full(full) => {
            let words = full.plain_status();
            assert_eq!(words == "done", full.outcome == result::TaskOutcome::Succeeded, "{words}");
            let json = serde_json::to_vec(&full).expect("a result");
            assert_eq!(result::decode_result(&json).as_ref(), Some(&*full));
            for stream in full.stdout.iter().chain(&full.stderr) {
                let _ = stream.tail_bytes();
            }
            let _ = full.exit_code();
            true
        }
    }
}

fn worker_is_read(input: &[u8]) -> bool {
    match decode_worker(input) {
        WorkerData::Ours(record) => {
            assert_eq!(decode_worker(&encode(&record)), WorkerData::Ours(record));
            true
        }
        WorkerData::Foreign => false,
    }
}

fn coordinator_is_read(input: &[u8]) -> bool {
    if let Ok(farewell) = serde_json::from_slice::<Farewell>(input) {
        assert_eq!(serde_json::from_slice::<Farewell>(&encode(&farewell)).ok(), Some(farewell));
        return true;
    }
    let Ok(record) = serde_json::from_slice::<CoordinatorRecord>(input) else { return false };
    assert_eq!(serde_json::from_slice::<CoordinatorRecord>(&encode(&record)).ok(), Some(record));
    true
}

/// Nobody is kept from ruling by it: it takes another term, and does not grow without bound.
fn history_is_read(input: &[u8]) -> bool {
    let read = serde_json::from_slice::<History>(input).is_ok();
    let term = Term {
        epoch: 9,
        name: "c".into(),
        host: "h".into(),
        session: "0x9".into(),
        since: Timestamp::UNIX_EPOCH,
        previous_ended: "x".into(),
        vacant_ms: None,
    };
    let history = History::decode(input).with(term);
    assert!(history.terms.len() <= TERMS_KEPT && history.terms.last().is_some_and(|term| term.epoch == 9));
    assert_eq!(History::decode(&history.encode()), history);
    read
}

fn path_is_read(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    for kind in [Kind::Created, Kind::Deleted, Kind::Set] {
        let _ = of_event(kind, &text);
    }
    let _ = Place::of(&text);
    let worker = WorkerId::listed(&text);
    if let (Some(name), Some(session)) = (worker.operator_name(), worker.session()) {
        assert_eq!(WorkerId::incarnation(name, session), worker);
    }
    match TaskName::parse(&text) {
        Ok(name) => {
            assert!(!name.as_str().contains('/') && !name.as_str().is_empty());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn size_is_read(input: &[u8]) -> bool {
    let Ok(size) = String::from_utf8_lossy(input).parse::<ByteSize>() else { return false };
    assert_eq!(size.to_string().parse::<ByteSize>().ok(), Some(size));
    true
}

/// A file is taken with sane values, or each error names the file or the key.
fn configuration(scratch: &Path) -> impl FnMut(&[u8]) -> bool + use<> {
    let path = scratch.join("fuzzed.toml");
    move |input| {
        std::fs::write(&path, input).expect("a file");
        let sources = Sources { files: vec![path.clone()], sets: Vec::new(), overrides: Vec::new() };
        match Settings::load(&sources) {
            Ok(settings) => {
                assert!(settings.coordinator.assign_batch > 0);
                true
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                false
            }
        }
    }
}

/// The files of a real server, cut where zeros begin.
fn real(logs: &Path, prefix: &str) -> Vec<Vec<u8>> {
    const LARGEST: usize = 16 * 1024;
    let dir = if logs.join("version-2").is_dir() { logs.join("version-2") } else { logs.to_owned() };
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let files = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()).filter(named);
    let read = files.filter_map(|path| std::fs::read(path).ok()).map(|mut bytes| {
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).min(LARGEST));
        bytes
    });
    let read: Vec<Vec<u8>> = read.filter(|bytes| bytes.len() > 16).collect();
    assert!(!read.is_empty(), "a real server left no {prefix}* in {}", dir.display());
    read
}

fn synthetic() -> Vec<Vec<u8>> {
    vec![honest(Vec::new(), 1, 2).and_then(LogWriter::finish).expect("written to memory")]
}

/// Whatever stands there is read or told with file and offset. `framed`: checksums are put right, so that the records themselves are
/// what is harmed.
fn log_file(scratch: &Path, framed: bool) -> impl FnMut(&[u8]) -> bool + use<> {
    let path = scratch.join(if framed { "log.2" } else { "log.1" });
    move |input| {
        let bytes = if framed { with_right_checksums(input) } else { input.to_vec() };
        std::fs::write(&path, bytes).expect("a file");
        let mut logs = Logs::open(std::slice::from_ref(&path)).expect("it is named");
        let records = logs.by_ref().take_while(Result::is_ok).count();
        let coverage = logs.coverage();
        for damage in coverage.damages.iter().chain(&coverage.torn) {
            let told = damage.to_string();
            assert!(told.contains(&path.display().to_string()) && told.contains("at offset "), "{told}");
        }
        records > 0 && coverage.damages.is_empty()
    }
}

fn with_right_checksums(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut at = 16;
    while at + 12 < bytes.len() {
        let length = i32::from_be_bytes(bytes[at + 8..at + 12].try_into().expect("four bytes"));
        let Ok(length) = usize::try_from(length) else { break };
        let end = at + 12 + length;
        if end >= bytes.len() {
            break;
        }
        let sum = u64::from(adler32(&bytes[at + 12..end]));
        bytes[at..at + 8].copy_from_slice(&sum.to_be_bytes());
        bytes[end] = b'B';
        at = end + 1;
    }
    bytes
}

fn snapshot(scratch: &Path) -> impl FnMut(&[u8]) -> bool + use<> {
    let path = scratch.join("snapshot.1");
    move |input| {
        std::fs::write(&path, input).expect("a file");
        let Ok(nodes) = Snapshot::open(&path) else { return false };
        nodes.collect::<Result<Vec<_>, _>>().is_ok()
    }
}
