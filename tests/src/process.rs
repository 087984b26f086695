//! A service of Bellwether as a process, and what a fault test does to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bellwether_common::leash::{Leash, Streams};
use nix::sys::signal::Signal;

use crate::metrics::Metrics;
use crate::place::Dir;
use bellwether_common::wait::eventually;

/// How many lines of its log a process prints when its test fails.
const TAIL_LINES: usize = 40;
/// How long a service may take until it listens.
const LISTENING_WITHIN: Duration = Duration::from_secs(20);
/// How long an answer over HTTP may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running service. It is killed with this handle, and with the test process. All methods block.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    leash: Leash,
    /// Its files stay until it is gone.
    _dir: Arc<Dir>,
}

impl Process {
    /// Starts `command`; what it prints goes to `log`. No variable of Bellwether's in our environment reaches it.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command, log: PathBuf, dir: Arc<Dir>) -> Self {
        scrub(&mut command);
        Self::spawn(name, &command, log, dir)
    }

    /// The same, with the variable that says where the cluster is.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start_at(name: &str, mut command: Command, connect: &str, log: PathBuf, dir: Arc<Dir>) -> Self {
        scrub(&mut command);
        command.env("BELLWETHER_ZOOKEEPER", connect);
        Self::spawn(name, &command, log, dir)
    }

    fn spawn(name: &str, command: &Command, log: PathBuf, dir: Arc<Dir>) -> Self {
        let leash = Leash::spawn(command, &Streams::log(&log)).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), log, leash, _dir: dir }
    }

    /// What the test calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.leash.pid()
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.leash.is_running()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&self) {
        self.leash.kill();
    }

    /// Any signal.
    pub fn signal(&self, signal: Signal) {
        self.leash.signal(signal);
    }

    /// SIGSTOP; it stands still then.
    pub fn pause(&self) {
        self.leash.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGTERM, then its exit code.
    ///
    /// # Panics
    /// It does not end within `limit`.
    #[track_caller]
    pub fn terminate(&self, limit: Duration) -> i32 {
        self.signal(Signal::SIGTERM);
        self.exit_code(limit)
    }

    /// Waits for its exit code; 128 + N if signal N ended it.
    ///
    /// # Panics
    /// It does not end within `limit`.
    #[track_caller]
    pub fn exit_code(&self, limit: Duration) -> i32 {
        let code = self.leash.wait(limit);
        code.unwrap_or_else(|| panic!("{} did not end within {limit:?}", self.name))
    }

    /// The file that holds all it printed.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where it serves HTTP. It chose the port itself and wrote `listening on ADDRESS` into its log.
    ///
    /// # Panics
    /// It does not say so in time.
    #[must_use]
    #[track_caller]
    pub fn http(&self) -> SocketAddr {
        let what = format!("{} to log where it listens", self.name);
        eventually(LISTENING_WITHIN, &what, || match listening_on(&self.log()) {
            None if !self.is_running() => panic!("{} has ended: {}", self.name, self.tail()),
            found => found,
        })
    }

    /// GET of a path from its HTTP server: the status code and the body.
    ///
    /// # Errors
    /// It does not answer in time, or not in HTTP.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let address = listening_on(&self.log()).with_context(|| format!("{} does not listen yet", self.name))?;
        http_get(address, path).with_context(|| format!("GET {path} from {} at {address}", self.name))
    }

    /// A scrape of its `/metrics`.
    ///
    /// # Errors
    /// It does not answer in time, or not with metrics.
    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        let (status, body) = self.get("/metrics")?;
        ensure!(status == 200, "{} answered {status} to a scrape: {body}", self.name);
        Metrics::parse(&body)
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let state = self.leash.exit_code().map_or("running".to_owned(), |code| format!("ended with {code}"));
            eprintln!("--- {} ({state}), the end of {}\n{}\n---", self.name, self.log.display(), self.tail());
        }
    }
}

/// Takes Bellwether's own variables, and the log filter, out of what a child inherits.
pub(crate) fn scrub(command: &mut Command) {
    let ours = |key: &str| key.starts_with("BELLWETHER") || key == "RUST_LOG";
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_str().is_some_and(ours)) {
        command.env_remove(key);
    }
}

pub(crate) fn listening_on(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.rsplit_once("listening on ")?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']')))?;
    rest[..end].parse().ok()
}

pub(crate) fn http_get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    // In one piece: a server may answer and close before it has read a second one.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no whole answer within {ANSWER_WITHIN:?}");
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => break,
            count => answer.extend_from_slice(&chunk[..count]),
        }
    }
    let answer = String::from_utf8(answer).context("not text")?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("not HTTP: {answer:?}") };
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok());
    Ok((status.with_context(|| format!("no status in {head:?}"))?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn shell(script: &str) -> Process {
        let dir = Arc::new(Dir::new("process"));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Process::start("shell", command, dir.path().join("log"), dir.clone())
    }

    #[test]
    fn a_process_is_asked_to_end_or_killed() {
        let process = shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done");
        eventually(LISTENING_WITHIN, "the trap", || process.log().contains("ready"));
        assert_eq!(process.terminate(LISTENING_WITHIN), 5);
        assert!(!process.is_running());

        let process = shell("exec sleep 60");
        process.pause();
        process.kill9();
        assert_eq!(process.exit_code(LISTENING_WITHIN), 128 + 9);
    }

    #[test]
    #[should_panic(expected = "shell has ended: no such thing")]
    fn a_service_that_ends_before_it_listens_fails_the_test_at_once() {
        let _ = shell("echo no such thing; exit 78").http();
    }

    #[test]
    fn the_address_is_found_in_text_and_in_json() {
        let expected = Some("127.0.0.1:40123".parse().expect("an address"));
        assert_eq!(listening_on("INFO listening on 127.0.0.1:40123 http=127.0.0.1:40123\n"), expected);
        assert_eq!(listening_on("{\"message\":\"listening on 127.0.0.1:40123\",\"http\":\"x\"}\n"), expected);
        assert_eq!(listening_on("INFO listening on 127.0.0.1:401"), None, "the line is not complete");
    }

    #[test]
    fn http_gives_status_and_body() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a request");
            let mut request = [0; 512];
            let count = stream.read(&mut request).expect("a request");
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nnot ready").expect("answered");
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        assert_eq!(http_get(address, "/health/ready").expect("an answer"), (503, "not ready".to_owned()));
        assert!(server.join().expect("served").starts_with("GET /health/ready HTTP/1.0\r\n"));
    }
}
