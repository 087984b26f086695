//! Whole outputs: what the files are called that hold them, and the words in which a worker and its readers speak about them.
//!
//! What lives here: names. What does not: writing (the worker's executor), serving (the worker's pages), reading (the client).
//!
//! An output is a row of *pieces*, each of which begins at an offset of the output: the first one at 0, and behind it the last ones.
//! Where pieces do not touch, what lay between them was dropped, because the output was longer than `worker.output_max`. A piece holds
//! bytes of the output and nothing else.

pub mod store;

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Longest directory name that we make: file systems allow 255 bytes.
const LENGTH_MAX: usize = 120;

/// Header of an answer: at which offset of the output it begins.
pub const OFFSET: &str = "bellwether-offset";
/// Header of an answer: how many bytes of the output there are so far, kept or not.
pub const BYTES: &str = "bellwether-bytes";
/// Header of an answer: `true` if there will be no more.
pub const ENDED: &str = "bellwether-ended";

/// Which of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl StreamName {
    /// Both, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The name in files, addresses and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for StreamName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::BOTH.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| format!("the outputs are stdout and stderr, not {text:?}"))
    }
}

/// One piece: a file in the directory of its task, or an object below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Piece {
    /// Ordinal of the attempt.
    pub attempt: u32,
    /// The assignment that was run, which tells two attempts of one number apart.
    pub czxid: i64,
    /// Which output.
    pub stream: StreamName,
    /// Where in the output it begins.
    pub start: u64,
}

impl Piece {
    /// Reads `<attempt>-<assignment in hex>.<stream>[.<start>]`; `None` if it is not called so.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let (attempt, czxid) = parts.next()?.split_once('-')?;
        let (stream, start) = (parts.next()?.parse().ok()?, parts.next());
        let start = start.map_or(Some(0), |start| start.parse().ok().filter(|start| *start > 0))?;
        let czxid = u64::from_str_radix(czxid, 16).ok()?.cast_signed();
        let piece = Self { attempt: attempt.parse().ok()?, czxid, stream, start };
        (parts.next().is_none() && piece.to_string() == name).then_some(piece)
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}.{}", self.attempt, self.czxid, self.stream)?;
        if self.start > 0 { write!(f, ".{}", self.start) } else { Ok(()) }
    }
}

/// What is put where bytes are missing, for readers that do not ask.
#[must_use]
pub fn gap_mark(from: u64, until: u64) -> String {
    format!("\n[bellwether: {} bytes are missing here, from {from} to {until}]\n", until - from)
}

/// Makes any name one harmless component of a path: letters, digits, `.`, `_` and `-` stay, other bytes become `%XX`, and so does a
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

    #[test]
    fn a_piece_is_read_back_from_its_name_and_nothing_else_is_one() {
        for start in [0, 1, u64::MAX] {
            for czxid in [0, 7, -1, i64::MAX] {
                let piece = Piece { attempt: 3, czxid, stream: StreamName::Stderr, start };
                assert_eq!(Piece::parse(&piece.to_string()), Some(piece));
            }
        }
        assert_eq!(Piece { attempt: 1, czxid: 255, stream: StreamName::Stdout, start: 0 }.to_string(), "1-ff.stdout");
        for name in
            ["", "1.stdout", "1-ff", "1-ff.stdin", "1-ff.stdout.0", "1-ff.stdout.x", "1-ff.stdout.1.2", "01-ff.stdout", "1-FF.stdout"]
        {
            assert_eq!(Piece::parse(name), None, "{name:?}");
        }
    }
}
