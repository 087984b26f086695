//! Transaction logs made by hand, as ZooKeeper's serialiser (jute) writes them: large ones to measure with, and harmed ones to fuzz
//! with. What the product reads is its own code; this is written from ZooKeeper's sources, so that neither can hide a mistake of the
//! other.

use std::io::{self, Write};

use bellwether_core::protocol::result::{TaskOutcome, TaskResult, record};
use bellwether_core::protocol::{Op, TaskName, WorkerId, path, payload};
use jiff::Timestamp;

const HEADER: &[u8; 16] = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\x01";
/// ZooKeeper's numbers for operations.
const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET_DATA: i32 = 5;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CREATE_SESSION: i32 = -10;
/// Milliseconds since 1970 at which logs begin.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Adler-32, as in RFC 1950.
#[must_use]
pub fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    // As many as fit before the sums could overflow.
    for chunk in bytes.chunks(5552) {
        for byte in chunk {
            low += u32::from(*byte);
            high += low;
        }
        low %= 65_521;
        high %= 65_521;
    }
    high << 16 | low
}

/// Writes a log, transaction by transaction.
#[derive(Debug)]
pub struct LogWriter<W> {
    output: W,
    zxid: i64,
    body: Vec<u8>,
}

fn bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
    body.extend(bytes);
}

/// The operation's fields; a set and a check carry the version that follows the one that was expected.
fn operation(body: &mut Vec<u8>, op: &Op) -> i32 {
    bytes(body, op.path().as_bytes());
    match op {
        Op::Create { data, ephemeral, .. } => {
            bytes(body, data);
            body.extend([0, 0, 0, 1, 0, 0, 0, 31]);
            bytes(body, b"world");
            bytes(body, b"anyone");
            body.push(u8::from(*ephemeral));
            body.extend([0, 0, 0, 1]);
            CREATE
        }
        Op::Delete { .. } => DELETE,
        Op::Set { data, version, .. } => {
            bytes(body, data);
            body.extend((version.unwrap_or_default() + 1).to_be_bytes());
            SET_DATA
        }
        Op::Check { version, .. } => {
            body.extend((version.unwrap_or_default() + 1).to_be_bytes());
            CHECK
        }
    }
}

impl<W: Write> LogWriter<W> {
    /// Begins a log with ZooKeeper's first transaction.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(mut output: W) -> io::Result<Self> {
        output.write_all(HEADER)?;
        Ok(Self { output, zxid: 0, body: Vec::new() })
    }

    /// How many transactions it has.
    #[must_use]
    pub fn records(&self) -> i64 {
        self.zxid
    }

    /// Opens a session.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn session(&mut self, session: i64) -> io::Result<()> {
        self.head(session, CREATE_SESSION);
        self.body.extend(6_000_i32.to_be_bytes());
        self.end()
    }

    /// Commits these operations: one alone, several as a multi.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn commit(&mut self, session: i64, ops: &[Op]) -> io::Result<()> {
        if let [op] = ops {
            let mut fields = Vec::new();
            let kind = operation(&mut fields, op);
            self.head(session, kind);
            self.body.extend(fields);
            return self.end();
        }
        self.head(session, MULTI);
        self.body.extend(i32::try_from(ops.len()).unwrap_or(i32::MAX).to_be_bytes());
        let mut fields = Vec::new();
        for op in ops {
            fields.clear();
            let kind = operation(&mut fields, op);
            self.body.extend(kind.to_be_bytes());
            bytes(&mut self.body, &fields);
        }
        self.end()
    }

    fn head(&mut self, session: i64, kind: i32) {
        self.zxid += 1;
        self.body.clear();
        self.body.extend(session.to_be_bytes());
        self.body.extend(1_i32.to_be_bytes());
        self.body.extend(self.zxid.to_be_bytes());
        self.body.extend((BEGIN_MS + self.zxid).to_be_bytes());
        self.body.extend(kind.to_be_bytes());
    }

    /// Behind each body stand the version and the value of a digest.
    fn end(&mut self) -> io::Result<()> {
        self.body.extend(2_i32.to_be_bytes());
        self.body.extend(self.zxid.to_be_bytes());
        self.output.write_all(&i64::from(adler32(&self.body)).to_be_bytes())?;
        self.output.write_all(&i32::try_from(self.body.len()).unwrap_or(i32::MAX).to_be_bytes())?;
        self.output.write_all(&self.body)?;
        self.output.write_all(b"B")
    }

    /// Hands back what was written to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

fn create(path: impl Into<String>, data: impl Into<Vec<u8>>) -> Op {
    Op::Create { path: path.into(), data: data.into(), ephemeral: false }
}

fn ephemeral(path: impl Into<String>) -> Op {
    Op::Create { path: path.into(), data: b"{}".to_vec(), ephemeral: true }
}

fn delete(path: String) -> Op {
    Op::Delete { path, version: None }
}

fn check(path: impl Into<String>, version: i32) -> Op {
    Op::Check { path: path.into(), version: Some(version) }
}

/// What a cluster of ours would have written: a master, `workers` of them, and `tasks` that wait, are assigned and end, one after
/// another, each by three transactions.
///
/// # Errors
/// It cannot be written.
pub fn honest<W: Write>(output: W, workers: usize, tasks: usize) -> io::Result<LogWriter<W>> {
    const MASTER: i64 = 1;
    let mut log = LogWriter::begin(output)?;
    log.session(MASTER)?;
    for node in bellwether_core::protocol::layout::NODES {
        log.commit(MASTER, &[create(node, "")])?;
    }
    log.commit(MASTER, &[create(path::EPOCH, "")])?;
    let set = |path: &str| Op::Set { path: path.to_owned(), data: b"{}".to_vec(), version: Some(0) };
    log.commit(MASTER, &[ephemeral(path::MASTER), set(path::MASTER), set(path::EPOCH)])?;
    let workers: Vec<(i64, WorkerId)> = (0..workers.max(1)).map(|i| i as i64 + 100).map(|s| (s, WorkerId::incarnation("w", s))).collect();
    for (session, worker) in &workers {
        log.session(*session)?;
        log.commit(*session, &[create(path::assign_box(worker), ""), ephemeral(path::worker(worker))])?;
    }
    let line = "render --frame 0042 --output /srv/frames/0042.png";
    let understood = payload::decode(line.as_bytes()).ok();
    for i in 0..tasks {
        let task = TaskName::generate(i as u64, i as u64);
        let (session, worker) = &workers[i % workers.len()];
        let registered = Op::Check { path: path::worker(worker), version: None };
        log.commit(7, &[create(path::task(&task), line)])?;
        let moved = [create(path::assignment(worker, &task), line), delete(path::task(&task))];
        let fence = [check(path::EPOCH, 1), check(path::MASTER, 1), registered.clone()];
        log.commit(MASTER, &[&fence[..], &moved].concat())?;
        let result = TaskResult::without_run(task.clone(), TaskOutcome::Succeeded, String::new(), Timestamp::UNIX_EPOCH);
        let recorded = record(&result, understood.as_ref());
        let details = recorded.details.unwrap_or_default();
        let ended = [create(path::status(&task), recorded.status), create(path::plain_result(&task), details)];
        log.commit(*session, &[&[registered, delete(path::assignment(worker, &task))][..], &ended].concat())?;
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use bellwether_common::audit::{self, Verdict};

    use super::*;

    #[test]
    fn an_honest_log_is_clean_and_each_of_its_transactions_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = std::fs::File::create(dir.path().join("log.1")).expect("a file");
        let log = honest(io::BufWriter::new(file), 3, 50).expect("written");
        let records = log.records();
        log.finish().expect("written");
        let report = audit::run(&[dir.path().to_owned()], "/").expect("a log");
        assert_eq!((report.verdict, report.violated), (Verdict::Clean, 0), "{report:#?}");
        assert_eq!((report.log.records, report.tasks.submitted), (records.unsigned_abs(), 50));
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }
}
