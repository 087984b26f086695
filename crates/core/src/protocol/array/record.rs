//! What became of a piece: `/bellwether/arrays/<array>/<from>-<to>.<number>`, created by its worker in the transaction that deletes the
//! assignment. The master takes it into the array's results and deletes it.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Span, Versioned};
use crate::protocol::result::{OutputPlace, Stream, TaskOutcome};
use crate::protocol::{PROTOCOL_VERSION, WorkerId};

/// How one element ended. As JSON the exit code as a number, otherwise a word: `signal=9`, `timeout`, `rejected`, `cancelled`,
/// `worker-lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written")]
pub enum ElementEnd {
    /// It exited with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It ran longer than it may.
    TimedOut,
    /// Its worker does not run such a thing.
    Rejected,
    /// Its array was cancelled before it ran, or while it ran.
    Cancelled,
    /// It cost more workers than it may.
    WorkerLost,
}

/// [`ElementEnd`] as it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    Code(i32),
    Word(String),
}

impl From<ElementEnd> for Written {
    fn from(end: ElementEnd) -> Self {
        match end {
            ElementEnd::Exit(code) => Written::Code(code),
            ElementEnd::Signal(_) | ElementEnd::TimedOut | ElementEnd::Rejected | ElementEnd::Cancelled | ElementEnd::WorkerLost => {
                Written::Word(end.to_string())
            }
        }
    }
}

impl TryFrom<Written> for ElementEnd {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let word = match written {
            Written::Code(code) => return Ok(ElementEnd::Exit(code)),
            Written::Word(word) => word,
        };
        match word.as_str() {
            "timeout" => Ok(ElementEnd::TimedOut),
            "rejected" => Ok(ElementEnd::Rejected),
            "cancelled" => Ok(ElementEnd::Cancelled),
            "worker-lost" => Ok(ElementEnd::WorkerLost),
            other => match other.strip_prefix("signal=").and_then(|number| number.parse().ok()) {
                Some(signal) => Ok(ElementEnd::Signal(signal)),
                None => Err(format!("{other:?} is no end of an element")),
            },
        }
    }
}

impl fmt::Display for ElementEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElementEnd::Exit(code) => write!(f, "exit={code}"),
            ElementEnd::Signal(signal) => write!(f, "signal={signal}"),
            ElementEnd::TimedOut => f.write_str("timeout"),
            ElementEnd::Rejected => f.write_str("rejected"),
            ElementEnd::Cancelled => f.write_str("cancelled"),
            ElementEnd::WorkerLost => f.write_str("worker-lost"),
        }
    }
}

impl ElementEnd {
    /// Whether it did what it was to do.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == ElementEnd::Exit(0)
    }

    /// How a task that ended so has ended.
    #[must_use]
    pub fn outcome(self) -> TaskOutcome {
        match self {
            ElementEnd::Exit(0) => TaskOutcome::Succeeded,
            ElementEnd::Exit(_) | ElementEnd::Signal(_) => TaskOutcome::Failed,
            ElementEnd::TimedOut => TaskOutcome::TimedOut,
            ElementEnd::Rejected => TaskOutcome::Rejected,
            ElementEnd::Cancelled => TaskOutcome::Cancelled,
            ElementEnd::WorkerLost => TaskOutcome::Dead,
        }
    }
}

/// What is kept of an element besides how it ended. Of elements that failed, and of those that returned something; not of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub struct ElementDetails {
    /// Which one.
    pub element: u32,
    /// Why it ended as it did, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The end of its standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Stream>,
    /// The end of its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Stream>,
    /// What its handler returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// What became of a piece, version 1. The elements from `from` on, as many as `runs` counts, are done; `rest` is handed back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PieceRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// The first element of the piece.
    pub from: u32,
    /// How its elements ended, in their order: `[how, how many]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<(ElementEnd, u32)>,
    /// Those of them of which another attempt is made: the others have ended for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Span>,
    /// How long these rest before, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// What was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Span>,
    /// Which attempt of its elements it was, from 1.
    pub attempt: u32,
    /// How many attempts of them failed before.
    #[serde(default, skip_serializing_if = "is_none")]
    pub failures: u32,
    /// How many were lost with their worker before.
    #[serde(default, skip_serializing_if = "is_none")]
    pub losses: u32,
    /// Who ran it.
    pub worker: WorkerId,
    /// Under which term it was assigned, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    /// When the first element was started, by the worker's clock.
    pub started: Timestamp,
    /// When the last one ended.
    pub ended: Timestamp,
    /// How long all of them took together, in microseconds.
    pub took_us: u64,
    /// Where their outputs lie: of each element as of a task called `<array>.<element>`. Without it, none of them wrote anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputPlace>,
    /// What is kept of some of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ElementDetails>,
}

fn is_none(number: &u32) -> bool {
    *number == 0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Reads the data of `/bellwether/arrays/<array>/results-<n>`: a JSON array of records, in the order in which the master took them in. Those
/// that are none of ours, or newer, are left out.
#[must_use]
pub fn decode_results(data: &[u8]) -> Vec<PieceRecord> {
    let records = serde_json::from_slice::<Vec<Value>>(data).unwrap_or_default();
    let ours = records.into_iter().filter_map(|record| serde_json::from_value::<PieceRecord>(record).ok());
    ours.filter(|record| record.bellwether <= PROTOCOL_VERSION).collect()
}

/// Whether the data of `/bellwether/arrays/<array>/results-<n>` says more than [`decode_results`] understands: then nobody of us knows which
/// elements have ended.
#[must_use]
pub fn are_results_newer(data: &[u8]) -> bool {
    let records = serde_json::from_slice::<Vec<Value>>(data).unwrap_or_default();
    super::is_newer(data) || records.into_iter().any(|record| Versioned::deserialize(record).is_ok_and(|found| found.is_newer()))
}

/// What a record says of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How the attempt ended.
    pub end: ElementEnd,
    /// Whether that is final.
    pub last: bool,
}

impl PieceRecord {
    /// Reads it; `None` if it is none of ours, or newer.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok().filter(|record: &Self| record.bellwether <= PROTOCOL_VERSION)
    }

    /// As it is written to ZooKeeper.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        crate::protocol::record::encode(self)
    }

    /// How many elements are done.
    #[must_use]
    pub fn done(&self) -> u32 {
        self.runs.iter().map(|(_, count)| *count).fold(0, u32::saturating_add)
    }

    /// Adds how the next element ended.
    pub fn push(&mut self, end: ElementEnd) {
        match self.runs.last_mut() {
            Some((last, count)) if *last == end => *count += 1,
            _ => self.runs.push((end, 1)),
        }
    }

    /// Spans of elements that ended in the same way, in order.
    pub fn spans(&self) -> impl Iterator<Item = (Span, ElementEnd)> {
        let mut next = self.from;
        self.runs.iter().filter(|(_, count)| *count > 0).map(move |(end, count)| {
            let span = Span { from: next, to: next.saturating_add(count - 1) };
            next = next.saturating_add(*count);
            (span, *end)
        })
    }

    /// What it says of this element; `None` if it did not run it.
    #[must_use]
    pub fn of(&self, element: u32) -> Option<Verdict> {
        let (_, end) = self.spans().find(|(span, _)| span.has(element))?;
        let last = !self.again.iter().any(|span| span.has(element));
        Some(Verdict { end, last })
    }

    /// Those whose end is final, in order: spans that ended in the same way.
    #[must_use]
    pub fn finals(&self) -> Vec<(Span, ElementEnd)> {
        let mut finals = Vec::new();
        let mut again = self.again.iter().copied().peekable();
        for (span, end) in self.spans() {
            let mut from = Some(span.from);
            while let Some(first) = from.filter(|first| *first <= span.to) {
                while again.next_if(|tried| tried.to < first).is_some() {}
                match again.peek().filter(|tried| tried.from <= span.to) {
                    Some(tried) if tried.from <= first => from = tried.to.checked_add(1),
                    Some(tried) => {
                        finals.push((Span { from: first, to: tried.from - 1 }, end));
                        from = Some(tried.from);
                    }
                    None => {
                        finals.push((Span { from: first, to: span.to }, end));
                        from = None;
                    }
                }
            }
        }
        finals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(runs: &[(ElementEnd, u32)], again: &[(u32, u32)]) -> PieceRecord {
        PieceRecord {
            bellwether: 1,
            from: 10,
            runs: runs.to_vec(),
            again: again.iter().map(|span| Span::from(*span)).collect(),
            delay_ms: 0,
            rest: None,
            attempt: 1,
            failures: 0,
            losses: 0,
            worker: WorkerId::listed("w"),
            epoch: None,
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            took_us: 3,
            output: None,
            details: Vec::new(),
        }
    }

    #[test]
    fn a_record_is_short_and_reads_back() {
        let runs = [(ElementEnd::Exit(0), 4000), (ElementEnd::Signal(9), 1), (ElementEnd::TimedOut, 2)];
        let record = record(&runs, &[(4010, 4010)]);
        let text = String::from_utf8(record.encode()).expect("text");
        assert!(text.contains(r#""runs":[[0,4000],["signal=9",1],["timeout",2]],"again":[[4010,4010]]"#), "{text}");
        assert_eq!(PieceRecord::decode(text.as_bytes()), Some(record));
        assert_eq!(PieceRecord::decode(br#"{"bellwether":1,"from":0,"runs":[["odd",1]]}"#), None);
    }

    #[test]
    fn results_are_read_as_far_as_they_are_understood() {
        let record = record(&[(ElementEnd::Exit(0), 1)], &[]);
        let (text, newer) = (record.encode(), br#"{"bellwether":2}"#.to_vec());
        let data = [b"[".to_vec(), text.clone(), b",".to_vec(), newer, b",".to_vec(), text, b"]".to_vec()].concat();
        assert_eq!(decode_results(&data), [record.clone(), record]);
        assert_eq!(decode_results(b"["), []);
    }

    #[test]
    fn each_element_has_the_end_of_its_place_and_what_is_tried_again_is_not_final() {
        let mut record = record(&[], &[(12, 13), (15, 15)]);
        for code in [0, 0, 1, 1, 1, 1, 0] {
            record.push(ElementEnd::Exit(code));
        }
        assert_eq!((record.runs.len(), record.done()), (3, 7));
        let of = |element| record.of(element).map(|verdict| (verdict.end, verdict.last));
        let (good, bad) = (ElementEnd::Exit(0), ElementEnd::Exit(1));
        assert_eq!([10, 12, 14, 16, 17].map(of), [Some((good, true)), Some((bad, false)), Some((bad, true)), Some((good, true)), None]);
        let finals: Vec<_> = record.finals().into_iter().map(|(span, end)| (span.from, span.to, end)).collect();
        assert_eq!(finals, [(10, 11, good), (14, 14, bad), (16, 16, good)]);
    }
}
