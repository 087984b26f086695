//! Tasks that do not want to end, or not to be found: whatever they do, nothing of them is left when they have ended, when their worker
//! is killed, and when it cannot be proven alive.

use std::fs;
use std::time::Duration;

use bellwether_common::output::Piece;
use bellwether_core::protocol::result::{Status, TaskOutcome, TaskResult, decode_status};
use bellwether_tests::faults::Scenario;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// What is written to a file of output at most.
const OUTPUT_MAX: u64 = 1024 * 1024;

/// A worker, and a task that goes on beside whatever else it runs.
struct House {
    cluster: Cluster,
    _coordinator: Process,
    worker: Process,
}

/// Leaves its group and its session, clears its environment, lets go of its parent and of its output. By its argument it is found.
fn escapee(mark: u32) -> String {
    format!("setsid env -i /bin/sleep {mark} </dev/null >/dev/null 2>&1 &")
}

/// An argument of `sleep` that no other process has.
fn mark() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::process::id() * 1000 + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The processes that sleep for so long.
fn sleepers(mark: u32) -> Vec<i32> {
    let argument = format!("\0{mark}\0");
    let sleeps = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.ends_with(argument.as_bytes()) && line.split(|byte| *byte == 0).next().is_some_and(|name| name.ends_with(b"sleep"))
    };
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(sleeps).collect()
}

/// Kills what a failed test leaves behind.
struct Cleaner(u32);

impl Drop for Cleaner {
    fn drop(&mut self) {
        for pid in sleepers(self.0) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl House {
    fn new() -> Self {
        let cluster = Cluster::builder()
            .setting("worker.kill_grace", "\"500ms\"")
            .setting("worker.output_max", &format!("\"{OUTPUT_MAX}B\""))
            .start();
        let coordinator = cluster.coordinator("c1");
        let worker = cluster.worker("w1", 4);
        let _ = cluster.registered("w1");
        Self { cluster, _coordinator: coordinator, worker }
    }

    /// Whether each task has a cgroup here. Without, what escapes is only found when nothing else runs.
    fn has_cgroups(&self) -> bool {
        let text = self.worker.log();
        text.contains("each task gets a cgroup of its own")
    }

    fn runs(&self, line: &str, timeout: Duration) -> String {
        let timeout = u64::try_from(timeout.as_millis()).expect("milliseconds");
        self.cluster.put(&json!({"bellwether": 1, "shell": line, "timeout_ms": timeout}).to_string())
    }

    #[track_caller]
    fn result(&self, task: &str) -> TaskResult {
        match decode_status(self.cluster.status_of(task).as_bytes()) {
            Status::Full(result) => *result,
            Status::Plain { words, .. } => panic!("no result: {words}"),
        }
    }

    /// A task whose escapee lives, and which goes on itself.
    #[track_caller]
    fn escaped(&self, mark: u32) -> String {
        let task = self.cluster.put(&format!("{} sleep 1000", escapee(mark)));
        eventually(SOON, "the escapee", || sleepers(mark).len() == 1);
        task
    }
}

#[test]
fn nothing_of_an_unruly_task_is_left_when_it_has_ended() {
    let scenario = Scenario::of("F32");
    let house = House::new();
    let mark = mark();
    let _cleaner = Cleaner(mark);
    // Beside all of them something goes on, whose children the others' might be taken for.
    let beside = house.cluster.put("sleep 1000");
    let _ = house.cluster.assignee(&beside);
    let second = Duration::from_secs(1);
    let unruly = [
        ("forks without end", format!("while :; do sleep {mark} & done"), TaskOutcome::TimedOut),
        ("ignores SIGTERM", format!("trap '' TERM; sleep {mark} & while :; do sleep 1; done"), TaskOutcome::TimedOut),
        ("closes its output and becomes a daemon", format!("exec >&- 2>&-; setsid sleep {mark} & sleep 0.1"), TaskOutcome::Succeeded),
    ];
    let escaping = [
        ("clears its environment", format!("{} sleep 0.1", escapee(mark)), TaskOutcome::Succeeded),
        ("forks without end what escapes", format!("while :; do {} done", escapee(mark)), TaskOutcome::TimedOut),
    ];
    let escaping = if house.has_cgroups() { escaping.to_vec() } else { Vec::new() };
    if escaping.is_empty() {
        println!("skipped: a worker here gets no cgroups; what escapes is found when nothing else runs");
    }
    for (what, line, outcome) in unruly.iter().chain(&escaping) {
        let task = house.runs(line, second);
        eventually(SOON, what, || !sleepers(mark).is_empty());
        assert_eq!(house.result(&task).outcome, *outcome, "{what}");
        // A daemon with its marks is found a moment after the end.
        let limit = if outcome == &TaskOutcome::Succeeded { second } else { Duration::from_millis(100) };
        eventually(limit, &format!("{what}: nobody left"), || match sleepers(mark).len() {
            0 => Ok(()),
            left => Err(format!("{left} processes")),
        });
        scenario.saw(format!("{what}: nobody left"));
    }
}

#[test]
fn a_gigabyte_of_output_is_capped_and_costs_no_memory() {
    let scenario = Scenario::of("F32");
    let house = House::new();
    let bytes = 1_000_000_000;
    let result = house.result(&house.runs(&format!("head -c {bytes} /dev/zero"), Duration::from_secs(60)));
    assert_eq!(result.outcome, TaskOutcome::Succeeded, "it is not made to wait for anything");
    let stdout = result.stdout.expect("its output");
    assert!((stdout.bytes, stdout.truncated) == (bytes, true), "{} {}", stdout.bytes, stdout.truncated);
    let directory = result.output.and_then(|output| output.path).expect("where it is");
    let files: Vec<_> = fs::read_dir(directory).expect("a directory").flatten().collect();
    let length: u64 = files.iter().map(|file| file.metadata().expect("a file").len()).sum();
    assert!((OUTPUT_MAX / 8 * 7..=OUTPUT_MAX).contains(&length), "{length}");
    let pieces: Vec<Piece> = files.iter().filter_map(|file| Piece::parse(file.file_name().to_str()?)).collect();
    assert!(pieces.len() == files.len() && pieces.iter().any(|piece| piece.start > bytes - OUTPUT_MAX), "its end is kept: {pieces:?}");
    let memory = house.worker.metrics().expect("a scrape").value("process_resident_memory_bytes", &[]) / 1e6;
    assert!(memory < 200.0, "{memory} MB");
    scenario.saw(format!("1 GB written: {length} bytes kept of both its ends, worker of {memory:.0} MB"));
}

#[test]
fn what_escapes_from_its_group_dies_with_a_worker_that_is_killed_and_with_one_in_doubt() {
    let scenario = Scenario::of("F32");
    let house = House::new();
    if !house.has_cgroups() {
        return scenario.skip("a worker here gets no cgroups, and what clears its environment escapes");
    }
    let (first, second) = (mark(), mark());
    let _cleaners = (Cleaner(first), Cleaner(second));
    let _ = house.escaped(first);
    house.worker.pause();
    eventually(SOON, "the guardian to find what escaped from a frozen worker", || sleepers(first).is_empty());
    house.worker.resume();
    let _ = house.escaped(second);
    let home = house.worker.log().lines().find_map(|line| Some(line.split_once("home=")?.1.to_owned())).expect("where its cgroup is");
    assert!(fs::metadata(&home).is_ok());
    house.worker.kill9();
    eventually(SOON, "the guardian to find what escaped from a dead worker", || sleepers(second).is_empty());
    eventually(SOON, "the cgroup to be removed", || fs::metadata(&home).is_err());
    scenario.saw("what left its group and cleared its environment died with its worker, killed or frozen");
}
