//! What the kernel knows of a process: processor time, memory, descriptors.

use std::path::Path;
use std::time::Duration;

/// Ticks of the kernel's clock in a second: 100 on every Linux that Rust's standard library runs on, whatever its real clock does.
const TICKS: u64 = 100;

/// Processor time that it has used so far; zero if there is none.
#[must_use]
pub fn cpu(pid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name in parentheses, the third field is the first.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Memory that it occupies now, in KiB; zero if there is none.
#[must_use]
pub fn rss_kib(pid: i32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most memory that it ever occupied, in KiB; zero if there is none.
#[must_use]
pub fn peak_kib(pid: i32) -> u64 {
    status(pid, "VmHWM:")
}

/// How often its threads went to sleep so far, and so were woken up.
#[must_use]
pub fn wakeups(pid: i32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| field(&thread.path().join("status"), "voluntary_ctxt_switches:")).sum()
}

/// Whether it lives; a zombie is dead.
#[must_use]
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// Open file descriptors; zero if there is no such process.
#[must_use]
pub fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

fn status(pid: i32, key: &str) -> u64 {
    field(Path::new(&format!("/proc/{pid}/status")), key).unwrap_or(0)
}

fn field(file: &Path, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(file).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let me = i32::try_from(std::process::id()).expect("a pid");
        let begun = std::time::Instant::now();
        while cpu(me) == Duration::ZERO && begun.elapsed() < Duration::from_secs(10) {
            std::hint::black_box((0..1000_u64).sum::<u64>());
        }
        assert!(cpu(me) > Duration::ZERO && cpu(me) < Duration::from_secs(3600));
        assert!(wakeups(me) > 0 && wakeups(-5) == 0);
        assert!(rss_kib(me) > 100 && peak_kib(me) >= rss_kib(me) && descriptors(me) > 2);
        assert_eq!((rss_kib(-5), descriptors(-5), cpu(-5)), (0, 0, Duration::ZERO));
    }
}
