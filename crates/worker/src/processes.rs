//! What the kernel says about processes: who is whose child, in which group, dead or not. Reads `/proc`, and nothing else.

use std::fs;

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    /// Dead, but not reaped.
    pub(crate) zombie: bool,
}

/// All processes of this machine that we can see.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| parse_stat(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))).collect()
}

/// The environment that a process was started with, entry by entry; empty if it is gone or not ours to read.
pub(crate) fn environment(pid: &str) -> Vec<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

// `pid (name) state parent group …`, where the name may contain anything.
fn parse_stat(stat: &str) -> Option<Process> {
    let pid = stat.split(' ').next()?.parse().ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    Some(Process { pid, parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()?, zombie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_parent() {
        let it = parse_stat("42 (a) S 1 1 (b) Z 7 9 9 0 -1\n").expect("parsed");
        assert_eq!(it, Process { pid: 42, parent: 7, group: 9, zombie: true });
    }
}
