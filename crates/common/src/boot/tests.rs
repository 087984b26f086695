//! Whole processes: each test runs this test binary again, as a service.

use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::*;

/// Tells the child what to do; not set in the parent.
const SCENARIO: &str = "BOOT_TEST_SCENARIO";
/// The child's arguments, one per line.
const ARGUMENTS: &str = "BOOT_TEST_ARGUMENTS";
const DEADLINE: Duration = Duration::from_secs(20);

/// Where a child comes in. In a plain run of the tests there is nothing to do.
#[test]
fn service_process() {
    let Ok(scenario) = env::var(SCENARIO) else { return };
    let arguments = env::var(ARGUMENTS).unwrap_or_default();
    let arguments = ["service"].into_iter().chain(arguments.lines()).map(OsString::from);
    let exit = run_with(Role::Worker, arguments, |context| service(scenario, context));
    std::process::exit(i32::from(exit.code()));
}

async fn service(scenario: String, context: Context) -> Exit {
    context.health.set_probe(Arc::new(|| Box::pin(std::future::ready(true))));
    context.health.set_ready(true, "as a test");
    match scenario.as_str() {
        "obedient" => context.shutdown.asked().await,
        "stubborn" => std::future::pending().await,
        "hangs" => hang_after_three_answers(&context.health).await,
        "panics" => panic!("the sky fell"),
        "panics on a thread" => {
            std::thread::spawn(|| panic!("the sky fell elsewhere"));
            std::future::pending::<()>().await;
        }
        "user panics" => {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _mark = UserCode::enter();
                panic!("a user's mistake");
            }));
            assert!(caught.is_err());
            info!("still there");
        }
        other => panic!("unknown scenario {other}"),
    }
    Exit::Asked
}

/// As an actor system whose thread is stuck in a handler: what the watchdog is there for.
async fn hang_after_three_answers(health: &Health) {
    let (ask, mut asked) = tokio::sync::mpsc::channel::<oneshot::Sender<()>>(4);
    health.set_probe(Arc::new(move || {
        let (answer, answered) = oneshot::channel();
        let asking = ask.clone();
        Box::pin(async move { asking.send(answer).await.is_ok() && answered.await.is_ok() })
    }));
    for _ in 0..3 {
        let answer = asked.recv().await.expect("the watchdog asks");
        answer.send(()).expect("it waits");
    }
    // Never woken: the process goes on, and this thread does nothing more.
    loop {
        std::thread::park();
    }
}

/// A child with its log; killed when dropped.
struct Process {
    child: Child,
    log: PathBuf,
    _dir: TempDir,
}

impl Process {
    fn start(scenario: &str, arguments: &[&str]) -> Self {
        Self::start_with(scenario, arguments, &[])
    }

    fn start_with(scenario: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().expect("a directory");
        let log = dir.path().join("log");
        let file = File::create(&log).expect("a log");
        let arguments = [&["--set", "http.listen=127.0.0.1:0"], arguments].concat();
        let child = Command::new(env::current_exe().expect("this binary"))
            .args(["--exact", "boot::tests::service_process", "--nocapture"])
            .env(SCENARIO, scenario)
            .env(ARGUMENTS, arguments.join("\n"))
            .env_remove("RUST_LOG")
            .envs(environment.iter().copied())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("it starts");
        Self { child, log, _dir: dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log")
    }

    /// Waits until the log contains `text`.
    fn says(&self, text: &str) -> String {
        eventually(&format!("{text:?} in the log"), || Some(self.log()).filter(|log| log.contains(text)))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it lives");
    }

    fn ends(&mut self) -> (ExitStatus, String) {
        let status = eventually("the end", || self.child.try_wait().expect("our child"));
        (status, self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again until there is an answer, or the deadline is over.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "no {what} within {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn address_in(log: &str) -> SocketAddr {
    let address = log.split("listening on ").nth(1).and_then(|rest| rest.split_whitespace().next());
    address.and_then(|address| address.parse().ok()).expect("an address in the log")
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_service_serves_its_pages_and_stops_when_asked() {
    let mut process = Process::start("obedient", &["--set", "cluster=green"]);
    let address = address_in(&process.says("listening on"));
    let metrics = get(address, "/metrics");
    assert!(metrics.contains(r#"bellwether_worker_slots{cluster="green"} 0"#), "{metrics}");
    eventually("readiness", || get(address, "/health/ready").contains("ready: as a test").then_some(()));
    process.signal(Signal::SIGTERM);
    let (status, log) = process.ends();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("asked to stop signal=\"SIGTERM\""), "{log}");
}

#[test]
fn a_second_signal_ends_a_service_that_does_not_listen() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let mut process = Process::start("stubborn", &[]);
        process.says("listening on");
        process.signal(Signal::SIGINT);
        process.says("asked to stop");
        process.signal(signal);
        let (status, log) = process.ends();
        assert_eq!(status.code(), Some(code), "{log}");
    }
}

#[test]
fn a_panic_on_any_thread_ends_the_process() {
    for (scenario, message) in [("panics", "the sky fell"), ("panics on a thread", "the sky fell elsewhere")] {
        let (status, log) = Process::start(scenario, &[]).ends();
        assert_eq!(status.code(), Some(70), "{log}");
        assert!(log.contains("panic, ending the process") && log.contains(message) && log.contains("boot/tests.rs:"), "{log}");
    }
}

#[test]
fn a_panic_in_a_users_handler_does_not() {
    let (status, log) = Process::start("user panics", &[]).ends();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("handler panicked") && log.contains("a user's mistake") && log.contains("still there"), "{log}");
}

#[test]
fn bad_configuration_ends_with_78_before_anything_starts() {
    let (status, log) = Process::start("obedient", &["--set", "worker.slots=many"]).ends();
    assert_eq!(status.code(), Some(78), "{log}");
    let report =
        "bellwether-worker: bad configuration: worker.slots = \"many\" (--set worker.slots): must be a whole number between 0 and 4096";
    assert!(log.contains(report), "{log}");
}

#[test]
fn a_taken_port_ends_with_78_and_names_the_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = format!("http.listen={}", taken.local_addr().expect("an address"));
    let (status, log) = Process::start("obedient", &["--set", &listen]).ends();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("cannot listen on 127.0.0.1:") && log.contains("choose another address with http.listen"), "{log}");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let (status, log) = Process::start("obedient", &["--speed", "high"]).ends();
    assert_eq!(status.code(), Some(i32::from(Exit::Usage.code())), "{log}");
}

#[test]
fn version_and_help_end_with_0() {
    for (argument, text) in
        [("--version", concat!("bellwether-worker ", env!("CARGO_PKG_VERSION"))), ("--help", "--set <SECTION.KEY=VALUE>")]
    {
        let (status, log) = Process::start("obedient", &[argument]).ends();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains(text), "{log}");
    }
}

#[test]
fn json_logs_are_one_object_per_line() {
    let mut process = Process::start("obedient", &["--set", "log.format=json"]);
    process.says("listening on");
    process.signal(Signal::SIGINT);
    let (status, log) = process.ends();
    assert_eq!(status.code(), Some(0), "{log}");
    let line = log.lines().find(|line| line.contains("listening on")).expect("the line");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["level"], &line["role"]), (&"INFO".into(), &"worker".into()));
    assert!(line["http"].as_str().is_some_and(|http| http.starts_with("127.0.0.1:")), "{line}");
}

#[test]
fn the_watchdog_is_fed_while_the_supervisor_answers_and_starves_when_it_hangs() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let environment = [("NOTIFY_SOCKET", path.to_str().expect("a path")), ("WATCHDOG_USEC", "300000")];
    let process = Process::start_with("hangs", &[], &environment);
    let fed = |within: Duration| {
        socket.set_read_timeout(Some(within)).expect("a timeout");
        let (mut feeds, mut buffer) = (0, [0; 1024]);
        while let Ok(count) = socket.recv(&mut buffer) {
            feeds += usize::from(buffer[..count].starts_with(b"WATCHDOG=1"));
            if feeds == 3 {
                break;
            }
        }
        feeds
    };
    assert_eq!(fed(DEADLINE), 3, "{}", process.log());
    process.says("the watchdog of the service manager is not fed");
    assert_eq!(fed(Duration::from_millis(900)), 0, "three limits long nobody fed it");
    let live = get(address_in(&process.log()), "/health/live");
    assert!(live.contains("503") && live.contains("not live"), "{live}");
}

#[test]
fn the_level_of_the_log_follows_the_configuration() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("a.toml");
    std::fs::write(&file, "[log]\nlevel = \"warn\"\n").expect("written");
    let mut process = Process::start("obedient", &["--config", file.to_str().expect("a path")]);
    // Nothing is said at this level: the process is asked until it hears.
    let reloaded = || process.log().contains("configuration reloaded changed=\"log.level\"");
    eventually("a process that hears", || {
        std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).ok().filter(|status| {
            let caught =
                status.lines().find_map(|line| line.strip_prefix("SigCgt:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            caught.is_some_and(|mask| mask & 1 == 1)
        })
    });
    std::fs::write(&file, "[log]\nlevel = \"debug\"\n").expect("written");
    process.signal(Signal::SIGHUP);
    eventually("the reload in the log", || reloaded().then_some(()));
    std::fs::write(&file, "[log]\nlevel = \"loud\"\n").expect("written");
    process.signal(Signal::SIGHUP);
    let told = process.says("configuration not reloaded, the old one stays");
    assert!(told.contains(&format!("log.level = \"loud\" ({}:2)", file.display())), "{told}");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ends().0.code(), Some(0));
}
