//! How many elements of an array ended how: kept while it runs, and what its status says in the end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ElementEnd, PieceRecord, Span};

/// Most spans of elements that failed in a summary: the others are found in the array's results.
pub const FAILED_SPANS_MAX: usize = 1000;

/// How many elements ended how, for good.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// With exit code 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub succeeded: u32,
    /// With another exit code, or by a signal.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// They ran longer than they may.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timed_out: u32,
    /// Their workers do not run such a thing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected: u32,
    /// The array was cancelled before they ran to their end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cancelled: u32,
    /// They cost more workers than they may.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dead: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Tally {
    /// All of them.
    #[must_use]
    pub fn ended(&self) -> u32 {
        self.succeeded.saturating_add(self.cancelled).saturating_add(self.failures())
    }

    /// Those that neither succeeded nor were cancelled.
    #[must_use]
    pub fn failures(&self) -> u32 {
        [self.failed, self.timed_out, self.rejected, self.dead].into_iter().fold(0, u32::saturating_add)
    }

    /// What was counted since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_sub(before.succeeded),
            failed: self.failed.saturating_sub(before.failed),
            timed_out: self.timed_out.saturating_sub(before.timed_out),
            rejected: self.rejected.saturating_sub(before.rejected),
            cancelled: self.cancelled.saturating_sub(before.cancelled),
            dead: self.dead.saturating_sub(before.dead),
        }
    }

    /// Counts elements that ended in this way.
    pub fn add(&mut self, end: ElementEnd, count: u32) {
        let place = match end {
            ElementEnd::Exit(0) => &mut self.succeeded,
            ElementEnd::Exit(_) | ElementEnd::Signal(_) => &mut self.failed,
            ElementEnd::TimedOut => &mut self.timed_out,
            ElementEnd::Rejected => &mut self.rejected,
            ElementEnd::Cancelled => &mut self.cancelled,
            ElementEnd::WorkerLost => &mut self.dead,
        };
        *place = place.saturating_add(count);
    }
}

/// How an array ended, or how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub struct ArraySummary {
    /// How many elements it has.
    pub count: u32,
    /// The number of the first one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: u32,
    /// How they ended.
    #[serde(flatten)]
    pub tally: Tally,
    /// How many attempts failed and were made again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retried: u32,
    /// Which failed, at most 1,000 spans, in the order in which that was recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Span>,
    /// Whether `failures` leaves some out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_failures: bool,
    /// How long all elements took together, in microseconds.
    #[serde(default)]
    pub took_us: u64,
    /// How many nodes `results-<n>` of the array there are: all that was recorded of its elements.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub results: u32,
}

impl ArraySummary {
    /// Of an array of which nothing is done.
    #[must_use]
    pub fn new(span: Span) -> Self {
        Self { count: span.len(), first: span.from, ..Self::default() }
    }

    /// How many have not ended.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.count.saturating_sub(self.tally.ended())
    }

    /// Takes in what became of a piece.
    pub fn take_in(&mut self, record: &PieceRecord) {
        for (span, end) in record.finals() {
            self.note(span, end);
        }
        self.note_work(record);
    }

    /// Of these, only how often elements were tried again, and for how long they ran.
    pub fn note_work(&mut self, record: &PieceRecord) {
        let again = record.again.iter().map(Span::len).fold(0, u32::saturating_add);
        self.retried = self.retried.saturating_add(again);
        self.took_us = self.took_us.saturating_add(record.took_us);
    }

    /// Notes that these ended in this way.
    pub fn note(&mut self, span: Span, end: ElementEnd) {
        self.tally.add(end, span.len());
        if end.is_success() || end == ElementEnd::Cancelled {
            return;
        }
        let follows = self.failures.last().is_some_and(|last| last.to.checked_add(1) == Some(span.from));
        if follows || self.failures.len() < FAILED_SPANS_MAX {
            span.append(&mut self.failures);
        } else {
            self.more_failures = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_counted_and_listed_up_to_a_limit() {
        let mut summary = ArraySummary::new(Span { from: 5, to: 10_004 });
        summary.note(Span { from: 5, to: 104 }, ElementEnd::Exit(0));
        summary.note(Span::one(105), ElementEnd::Exit(3));
        summary.note(Span::one(106), ElementEnd::TimedOut);
        assert_eq!((summary.failures.clone(), summary.left()), (vec![Span { from: 105, to: 106 }], 9898));
        for element in (200..10_000).step_by(2) {
            summary.note(Span::one(element), ElementEnd::Signal(9));
        }
        assert_eq!((summary.failures.len(), summary.more_failures), (FAILED_SPANS_MAX, true));
        assert_eq!((summary.tally.failures(), summary.tally.timed_out), (4902, 1));
        let text = serde_json::to_string(&summary).expect("numbers");
        assert!(
            text.starts_with(r#"{"count":10000,"first":5,"succeeded":100,"failed":4901,"timed_out":1,"failures":[[105,106],"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<ArraySummary>(&text).expect("it reads back"), summary);
    }
}
