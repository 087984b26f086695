//! Names of tasks as names of directories. A task may be called anything that names a znode.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::RunId;

/// Longest directory name that we make: file systems allow 255 bytes.
const LENGTH_MAX: usize = 120;

/// Which of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// `<root>/<escaped task>/<czxid in hex>.stdout`
pub(super) fn output_file(root: &Path, id: &RunId, stream: Stream) -> PathBuf {
    let suffix = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    root.join(escape(id.task.as_str())).join(format!("{:x}.{suffix}", id.czxid))
}

/// Makes any name one harmless path component: letters, digits, `.`, `_` and `-` stay, other bytes become `%XX`, and so does a
/// leading dot. A long name is cut and ends in a hash of the whole.
#[must_use]
pub fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if index == 0 => out.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    if out.is_empty() {
        out.push_str("%00");
    }
    if out.len() > LENGTH_MAX {
        out.truncate(LENGTH_MAX - 17);
        write!(out, "-{:016x}", fnv1a(name.as_bytes())).expect("a string takes everything");
    }
    out
}

// Not the standard library's hasher: names of directories must be the same after an upgrade.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        assert_eq!(escape("task-01"), "task-01");
        assert_eq!(escape("a/b c"), "a%2Fb%20c");
        assert_eq!(escape(".."), "%2E.");
        assert_eq!(escape(".hidden"), "%2Ehidden");
        assert_eq!(escape(""), "%00");
        assert_eq!(escape("ü"), "%C3%BC");
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let (one, other) = (escape(&format!("{}1", "x/".repeat(500))), escape(&format!("{}2", "x/".repeat(500))));
        assert_eq!(one.len(), LENGTH_MAX);
        assert_ne!(one, other);
    }
}
