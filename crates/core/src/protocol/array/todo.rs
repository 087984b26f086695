//! What of an array is not given out, and what became of the rest so far: `/bellwether/arrays/<array>/todo`. Only a master writes it, at its
//! version; it is there as long as the array has not ended.

use serde::{Deserialize, Serialize};

use super::{ArraySummary, Span};
use crate::protocol::PROTOCOL_VERSION;

/// Elements that wait to be given out. As JSON `[from,to]`, behind it what is not 0 of: failures, losses, and the moment before which
/// they may not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Waiting {
    /// Which.
    pub span: Span,
    /// How many attempts of them failed.
    pub failures: u32,
    /// How many were lost with their worker.
    pub losses: u32,
    /// From when on they may run, in milliseconds by ZooKeeper's clock; 0: at once.
    pub due_ms: i64,
}

impl Waiting {
    /// Elements of which no attempt was made.
    #[must_use]
    pub fn new(span: Span) -> Self {
        Self { span, failures: 0, losses: 0, due_ms: 0 }
    }
}

impl Serialize for Waiting {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = [i64::from(self.span.from), i64::from(self.span.to), i64::from(self.failures), i64::from(self.losses), self.due_ms];
        let wanted = numbers.iter().rposition(|number| *number != 0).map_or(2, |last| (last + 1).max(2));
        numbers[..wanted].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Waiting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = Vec::<i64>::deserialize(deserializer)?;
        let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
        let small = |index: usize| u32::try_from(at(index)).map_err(serde::de::Error::custom);
        if numbers.len() < 2 {
            return Err(serde::de::Error::custom("a span has two ends"));
        }
        let span = Span { from: small(0)?, to: small(1)? };
        Ok(Self { span, failures: small(2)?, losses: small(3)?, due_ms: at(4) })
    }
}

/// The data of `/bellwether/arrays/<array>/todo`, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArrayTodo {
    /// Version of this format.
    pub bellwether: u32,
    /// What is not given out, in the order of its turn.
    pub waiting: Vec<Waiting>,
    /// How many pieces were given out.
    #[serde(default)]
    pub given: u32,
    /// What has ended.
    pub summary: ArraySummary,
    /// Why nothing more is given out, once that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// Why nothing more of an array is given out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stopped {
    /// For people.
    pub reason: String,
    /// Whether it waited for its turn longer than it may; otherwise it was cancelled, or too many elements failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

impl ArrayTodo {
    /// Of an array of which nothing was given out.
    #[must_use]
    pub fn new(span: Span) -> Self {
        Self { bellwether: PROTOCOL_VERSION, waiting: vec![Waiting::new(span)], given: 0, summary: ArraySummary::new(span), stopped: None }
    }

    /// Reads it; `None` if it is none of ours, or newer.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok().filter(|todo: &Self| todo.bellwether <= PROTOCOL_VERSION)
    }

    /// As it is written to ZooKeeper.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        crate::protocol::record::encode(self)
    }

    /// How many elements wait to be given out.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.waiting.iter().map(|waiting| waiting.span.len()).fold(0, u32::saturating_add)
    }

    /// How many elements are with workers, or recorded and not taken in yet.
    #[must_use]
    pub fn out(&self) -> u32 {
        self.summary.left().saturating_sub(self.left())
    }

    /// Lets elements wait behind those that do already.
    pub fn put_back(&mut self, more: Waiting) {
        if more.span.is_empty() {
            return;
        }
        match self.waiting.last_mut() {
            Some(last) if Waiting { span: more.span, ..*last } == more && last.span.to.checked_add(1) == Some(more.span.from) => {
                last.span.to = more.span.to;
            }
            _ => self.waiting.push(more),
        }
    }

    /// Takes at most `most` elements that may run now, the first ones whose counts are the same. `size` says how many of elements with
    /// such counts are one piece.
    pub fn take(&mut self, now_ms: i64, size: impl Fn(&Waiting) -> u32) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| waiting.due_ms <= now_ms)?;
        let waiting = &mut self.waiting[index];
        let most = size(waiting).clamp(1, waiting.span.len().max(1));
        let taken = Waiting { span: Span { from: waiting.span.from, to: waiting.span.from + (most - 1) }, ..*waiting };
        if taken.span.to >= waiting.span.to {
            self.waiting.remove(index);
        } else {
            waiting.span.from = taken.span.to + 1;
        }
        Some(taken)
    }

    /// When the first of those may run that may not run yet, by ZooKeeper's clock; `None` if some may run now, or none waits.
    #[must_use]
    pub fn next_due_ms(&self, now_ms: i64) -> Option<i64> {
        let first = self.waiting.iter().map(|waiting| waiting.due_ms).min()?;
        (first > now_ms).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_and_reads_back() {
        let mut todo = ArrayTodo::new(Span { from: 0, to: 99 });
        todo.put_back(Waiting { failures: 1, due_ms: 5_000, ..Waiting::new(Span::one(7)) });
        let text = String::from_utf8(todo.encode()).expect("text");
        assert!(text.starts_with(r#"{"bellwether":1,"waiting":[[0,99],[7,7,1,0,5000]],"given":0,"summary":{"count":100,"#), "{text}");
        assert_eq!(ArrayTodo::decode(text.as_bytes()), Some(todo));
        assert_eq!(ArrayTodo::decode(b"Idle"), None);
    }

    #[test]
    fn elements_are_taken_in_their_order_and_none_before_its_time() {
        let mut todo = ArrayTodo::new(Span { from: 5, to: 9 });
        todo.put_back(Waiting { due_ms: 10, failures: 1, ..Waiting::new(Span::one(3)) });
        todo.put_back(Waiting { due_ms: 10, failures: 1, ..Waiting::new(Span::one(4)) });
        assert_eq!((todo.waiting.len(), todo.left()), (2, 7), "what follows and has the same counts is one");
        let mut take = |now_ms| todo.take(now_ms, |_| 3).map(|taken| (taken.span.from, taken.span.to, taken.failures));
        assert_eq!([take(0), take(0), take(0), take(10), take(10)], [Some((5, 7, 0)), Some((8, 9, 0)), None, Some((3, 4, 1)), None]);
    }

    #[test]
    fn who_waits_for_a_time_says_for_which() {
        let mut todo = ArrayTodo::new(Span::one(0));
        assert_eq!(todo.next_due_ms(0), None, "it may run now");
        assert!(todo.take(0, |_| 0).is_some(), "a piece has at least one element");
        assert_eq!((todo.next_due_ms(0), todo.out()), (None, 1));
        todo.put_back(Waiting { due_ms: 7, ..Waiting::new(Span::one(0)) });
        assert_eq!((todo.next_due_ms(6), todo.next_due_ms(7)), (Some(7), None));
    }
}
