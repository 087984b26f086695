//! Arrays: one task of many elements, which are given out, run and recorded in pieces. What its submission says, and where it lies.
//!
//! An array is submitted as a task whose envelope says so ([`ArrayRequest`]). The master moves it to `/bellwether/arrays/<array>` and keeps
//! beside it what is not given out ([`mod@todo`]); a piece is an assignment like others, with a payload of its own ([`piece`]); a worker
//! records what became of one ([`record`]), and the master takes that into the array's results; what clients are told in the end is a
//! [`summary`]. Nothing here decides; [`crate::master`] and [`crate::agent`] do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TaskName;
use super::payload::Rejection;

pub mod piece;
pub mod record;
mod spans;
pub mod summary;
pub mod todo;

pub use piece::{PieceName, PieceOrder};
pub use record::{ElementDetails, ElementEnd, PieceRecord, Verdict, are_results_newer, decode_results};
pub(crate) use spans::Spans;
pub use summary::{ArraySummary, Tally};
pub use todo::{ArrayTodo, Waiting};

/// Most elements of one array.
pub const ARRAY_COUNT_MAX: u32 = 10_000_000;

/// Longest line of an element, in bytes: it reaches its command as a variable of its environment.
pub const LINE_BYTES_MAX: usize = 120 * 1024;

/// How many bytes one chunk of lines has at most, unless it is a single line.
pub const LINES_CHUNK_BYTES_MAX: usize = 256 * 1024;

/// What an envelope says of its elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrayRequest {
    /// How many there are.
    pub count: u32,
    /// The number of the first one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: u32,
    /// How many may fail before the others are cancelled; without it, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fails: Option<u32>,
    /// With which element each chunk of lines begins, if each element has a line of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Lines>,
}

/// Where the lines are: below `/bellwether/arrays/<array>/lines`, each chunk under the number of the element that it begins with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    /// Those numbers, rising; the first of them is that of the first element.
    pub chunks: Vec<u32>,
    /// The SHA-256 of each chunk as it was written, in hexadecimal digits: what a signature covers of the lines. None, or one for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What everything of ours says, in whatever version.
#[derive(Deserialize)]
struct Versioned {
    bellwether: u32,
}

impl Versioned {
    fn is_newer(&self) -> bool {
        self.bellwether > super::PROTOCOL_VERSION
    }
}

/// Whether this was written by a newer Bellwether: then it means something, and nobody of us changes it.
#[must_use]
pub fn is_newer(data: &[u8]) -> bool {
    serde_json::from_slice::<Versioned>(data).is_ok_and(|found| found.is_newer())
}

impl ArrayRequest {
    /// So many elements, from 0, about which nothing else is said.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self { count, first: 0, max_fails: None, lines: None }
    }

    /// All of its elements.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { from: self.first, to: self.first.saturating_add(self.count.saturating_sub(1)) }
    }

    /// Whether it can be an array: the client asks this before it submits, and the master before it takes it.
    ///
    /// # Errors
    /// [`Rejection::BadEnvelope`], whose text says how to mend it.
    pub fn check(&self) -> Result<(), Rejection> {
        let bad = |why: String| Err(Rejection::BadEnvelope(format!("array: {why}")));
        if self.count == 0 {
            return bad("an array of no elements does nothing; count is at least 1".to_owned());
        }
        if self.count > ARRAY_COUNT_MAX {
            return bad(format!("{} elements are too many, at most {ARRAY_COUNT_MAX} are taken; submit several arrays", self.count));
        }
        if self.first.checked_add(self.count).is_none() {
            return bad(format!("the numbers of elements end at {}", u32::MAX));
        }
        let Some(Lines { chunks, digests }) = &self.lines else { return Ok(()) };
        if !digests.is_empty() && digests.len() != chunks.len() {
            return bad(format!("{} digests of {} chunks of lines; there is one for each, or none", digests.len(), chunks.len()));
        }
        let rising = chunks.windows(2).all(|pair| pair[0] < pair[1]);
        let within = chunks.first() == Some(&self.first) && chunks.last().is_some_and(|last| *last <= self.span().to);
        if rising && within { Ok(()) } else { bad("chunks of lines begin with the first element and rise".to_owned()) }
    }
}

impl Lines {
    /// The digest of the chunk that begins with this element, if there are digests.
    #[must_use]
    pub fn digest_of(&self, from: u32) -> Option<&str> {
        let index = self.chunks.binary_search(&from).ok()?;
        self.digests.get(index).map(String::as_str)
    }

    /// The number of the chunk in which the line of this element is.
    #[must_use]
    pub fn chunk_of(&self, element: u32) -> Option<u32> {
        let after = self.chunks.partition_point(|from| *from <= element);
        after.checked_sub(1).and_then(|index| self.chunks.get(index)).copied()
    }

    /// A chunk as it is written to ZooKeeper: a JSON array of strings.
    #[must_use]
    pub fn encode_chunk(lines: &[String]) -> Vec<u8> {
        super::record::encode(&lines)
    }

    /// Reads a chunk; `None` if it is none.
    #[must_use]
    pub fn decode_chunk(data: &[u8]) -> Option<Vec<String>> {
        serde_json::from_slice(data).ok()
    }
}

/// Elements that follow one another, both ends included. As JSON `[from,to]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct Span {
    /// The first.
    pub from: u32,
    /// The last.
    pub to: u32,
}

impl From<(u32, u32)> for Span {
    fn from((from, to): (u32, u32)) -> Self {
        Self { from, to }
    }
}

impl From<Span> for (u32, u32) {
    fn from(span: Span) -> Self {
        (span.from, span.to)
    }
}

impl Span {
    /// One element.
    #[must_use]
    pub fn one(element: u32) -> Self {
        Self { from: element, to: element }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        if self.to < self.from { 0 } else { (self.to - self.from).saturating_add(1) }
    }

    /// Whether there is none: no span that was made here is empty, one that was read may be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to < self.from
    }

    /// Whether all of those are among these.
    #[must_use]
    pub fn covers(&self, other: Span) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    /// Whether this element is one of them.
    #[must_use]
    pub fn has(&self, element: u32) -> bool {
        (self.from..=self.to).contains(&element)
    }

    /// All of them, in order.
    pub fn elements(self) -> impl Iterator<Item = u32> {
        self.from..=self.to
    }

    /// Adds it behind others, to the last of them if it follows.
    pub fn append(self, others: &mut Vec<Span>) {
        match others.last_mut() {
            Some(last) if last.to.checked_add(1) == Some(self.from) => last.to = self.to,
            _ => others.push(self),
        }
    }
}

/// Whether this name below `/assign/<worker>` has the form of a piece's, and of which array.
#[must_use]
pub fn piece_of(task: &TaskName) -> Option<(TaskName, PieceName)> {
    let (rest, number) = task.as_str().rsplit_once('.')?;
    let (array, span) = rest.rsplit_once('.')?;
    let piece = PieceName::parse(&format!("{span}.{number}"))?;
    (!array.is_empty()).then(|| (TaskName::listed(array), piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_array_is_said_and_how_to_mend_it() {
        let words = |request: ArrayRequest| request.check().err().map(|why| why.to_string()).unwrap_or_default();
        assert_eq!(words(ArrayRequest { first: 5, ..ArrayRequest::new(ARRAY_COUNT_MAX) }), "");
        assert!(words(ArrayRequest::new(0)).contains("count is at least 1"));
        assert!(words(ArrayRequest::new(ARRAY_COUNT_MAX + 1)).contains("submit several arrays"));
        assert!(words(ArrayRequest { first: u32::MAX, ..ArrayRequest::new(1) }).contains("end at"));
        let place = |chunks: &[u32], digests: &[&str]| {
            let digests = digests.iter().map(|digest| (*digest).to_owned()).collect();
            words(ArrayRequest { first: 2, lines: Some(Lines { chunks: chunks.into(), digests }), ..ArrayRequest::new(3) })
        };
        let lines = |chunks: &[u32]| place(chunks, &[]);
        assert_eq!(place(&[2, 4], &["a", "b"]), "");
        assert!(place(&[2, 4], &["a"]).contains("1 digests of 2 chunks"));
        assert_eq!((lines(&[2]).as_str(), lines(&[2, 3, 4]).as_str()), ("", ""));
        for bad in [&[][..], &[0], &[2, 2], &[2, 5], &[3]] {
            assert!(lines(bad).contains("chunks"), "{bad:?}");
        }
    }

    #[test]
    fn the_chunk_of_an_element_is_the_last_that_does_not_begin_behind_it() {
        let lines = Lines { chunks: vec![5, 9, 20], digests: ["a", "b", "c"].map(str::to_owned).into() };
        assert_eq!((lines.digest_of(9), lines.digest_of(10)), (Some("b"), None));
        assert_eq!([5, 8, 9, 19, 20, 99].map(|element| lines.chunk_of(element).unwrap_or(0)), [5, 5, 9, 9, 20, 20]);
        assert_eq!(lines.chunk_of(4), None);
        let chunk = vec!["a \"b\"\n".to_owned(), String::new()];
        assert_eq!(Lines::decode_chunk(&Lines::encode_chunk(&chunk)), Some(chunk));
        assert_eq!(Lines::decode_chunk(b"\xff"), None);
    }

    #[test]
    fn names_of_pieces_are_read_from_the_right() {
        let (array, piece) = piece_of(&TaskName::listed("a.b.5-17.2")).expect("a piece");
        assert_eq!((array.as_str(), piece.span, piece.number), ("a.b", Span { from: 5, to: 17 }, 2));
        assert_eq!(piece.assignment(&array), TaskName::listed("a.b.5-17.2"));
        for none in ["a.5", "5-17.1", ".5-17.1", "a.5-17", "a.17-5.1", "a.5-17.0", "a.05-17.1", "a.5-17.x", "a.5-+17.1"] {
            assert_eq!(piece_of(&TaskName::listed(none)), None, "{none}");
        }
    }

    #[test]
    fn spans_that_follow_one_another_become_one() {
        let mut spans = Vec::new();
        for element in [1, 2, 3, 5, 6, 9] {
            Span::one(element).append(&mut spans);
        }
        assert_eq!(serde_json::to_string(&spans).expect("numbers"), "[[1,3],[5,6],[9,9]]");
        assert_eq!(spans.iter().map(Span::len).sum::<u32>(), 6);
        assert_eq!((Span { from: 2, to: 1 }.is_empty(), u64::from(Span { from: 2, to: 1 }.len())), (true, 0));
    }
}
