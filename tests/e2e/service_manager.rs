//! What a service manager hears: the real services under a socket that takes notes in systemd's place.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Builder, Cluster};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// How often the watchdog must be fed, as `WATCHDOG_USEC`.
const WATCHDOG: Duration = Duration::from_secs(3);

struct Manager {
    socket: UnixDatagram,
    dir: TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        Self { socket, dir }
    }

    /// A cluster whose services are run by this manager.
    fn cluster(&self) -> Builder {
        let socket = self.dir.path().join("notify").display().to_string();
        Cluster::builder().variable("NOTIFY_SOCKET", &socket).variable("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string())
    }

    /// Listens until a message has a line that begins so; the line.
    #[track_caller]
    fn hears(&self, begin: &str) -> String {
        let (deadline, mut heard) = (Instant::now() + SOON, Vec::new());
        let mut buffer = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{begin:?} was not heard, but {heard:?}");
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            let Ok(count) = self.socket.recv(&mut buffer) else { continue };
            let message = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if let Some(line) = message.lines().find(|line| line.starts_with(begin)) {
                return line.to_owned();
            }
            heard.push(message);
        }
    }
}

#[test]
fn a_coordinator_says_when_it_rules_lives_reloads_and_stops() {
    let manager = Manager::new();
    let cluster = manager.cluster().start();
    let coordinator = cluster.coordinator("c1");
    assert_eq!(manager.hears("STATUS="), "STATUS=not ready: starting");
    manager.hears("READY=1");
    manager.hears("STATUS=ready: leading, epoch ");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    coordinator.signal(Signal::SIGHUP);
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    coordinator.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1");
    assert_eq!(coordinator.exit_code(SOON), 0);
}

#[test]
fn a_standby_is_ready_and_a_service_without_zookeeper_is_not() {
    let manager = Manager::new();
    let cluster = manager.cluster().start();
    let _first = cluster.coordinator("c1");
    manager.hears("STATUS=ready: leading");
    let _second = cluster.coordinator("c2");
    manager.hears("STATUS=not ready: starting");
    assert!(
        manager.hears("STATUS=ready: standing by at position 0; ").starts_with("STATUS=ready: standing by at position 0; c1 rules, epoch ")
    );

    let nowhere = Manager::new();
    let cluster = nowhere.cluster().setting("zookeeper.connect", "\"127.0.0.1:1\"").start();
    let lost = cluster.worker("w1", 1);
    nowhere.hears("STATUS=not ready: zookeeper cannot be reached");
    lost.signal(Signal::SIGHUP);
    lost.signal(Signal::SIGTERM);
    let mut heard = Vec::new();
    while heard.last().is_none_or(|line: &String| line != "STOPPING=1") {
        heard.push(nowhere.hears(""));
    }
    assert!(!heard.contains(&"READY=1".to_owned()), "{heard:?}");
    lost.exit_code(SOON);
}

#[test]
fn a_worker_says_how_many_slots_it_uses_and_keeps_the_manager_to_itself() {
    let manager = Manager::new();
    let cluster = manager.cluster().start();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    manager.hears("STATUS=ready: worker w1-");
    let seen = cluster.cli(&["run", "--", "sh", "-c", "env | grep -E '^(NOTIFY|WATCHDOG|BELLWETHER_TASK=)'"]).success();
    assert!(seen.stdout.starts_with("BELLWETHER_TASK=") && seen.lines().len() == 1, "{}", seen.stdout);
    while !manager.hears("STATUS=ready: worker w1-").ends_with("registered, 0/2 slots") {}
}

#[test]
fn an_exporter_says_what_it_exports_lives_and_stops() {
    let manager = Manager::new();
    let cluster = manager.cluster().start();
    let exporter = cluster.exporter(&[]);
    manager.hears("STATUS=ready: exporting ");
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    exporter.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1");
    assert_eq!(exporter.exit_code(SOON), 0);
}
