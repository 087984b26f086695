//! W3C trace context: how a task is found again among the traces of whoever submitted it.
//!
//! It is passed on as it came: Bellwether exports no spans of its own, and a parent that nobody exported would break the chain.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A `traceparent`, version 00: `00-<trace, 32 hex digits>-<parent span, 16>-<flags, 2>`, see <https://www.w3.org/TR/trace-context/>.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace: String,
    parent: String,
    flags: String,
}

/// A text is no `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no traceparent: expected 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case, the first two not all zero")]
pub struct NoTraceParent(pub String);

impl TraceParent {
    /// A new trace whose first span is `span`. Chance comes from outside; zero, which the standard forbids, becomes one.
    #[must_use]
    pub fn begin(trace: u128, span: u64) -> Self {
        Self { trace: format!("{:032x}", trace.max(1)), parent: format!("{:016x}", span.max(1)), flags: "01".to_owned() }
    }

    /// The trace, 32 hex digits: what logs are searched for.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{}", self.trace, self.parent, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let refused = || NoTraceParent(text.chars().take(80).collect());
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, parent, flags, rest @ ..] = parts.as_slice() else { return Err(refused()) };
        let is_hex = |part: &str, digits: usize| part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // A later version may append fields; what it has in common with this one is taken.
        let known = is_hex(version, 2) && *version != "ff" && (*version != "00" || rest.is_empty());
        let shaped = is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
        let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        if !known || !shaped || zero(trace) || zero(parent) {
            return Err(refused());
        }
        Ok(Self { trace: (*trace).to_owned(), parent: (*parent).to_owned(), flags: (*flags).to_owned() })
    }
}

impl TryFrom<String> for TraceParent {
    type Error = NoTraceParent;

    fn try_from(text: String) -> Result<Self, NoTraceParent> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_passed_on_is_what_came() {
        let parent: TraceParent = GOOD.parse().expect("the standard's own example");
        assert_eq!((parent.to_string().as_str(), parent.trace_id()), (GOOD, "4bf92f3577b34da6a3ce929d0e0e4736"));
        let later: TraceParent = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-else".parse().expect("a later version");
        assert_eq!(later.to_string(), GOOD);
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let zero = GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let orphan = GOOD.replace("00f067aa0ba902b7", &"0".repeat(16));
        for bad in ["", "x", &GOOD[..54], &GOOD.to_uppercase(), &format!("{GOOD}-x"), &GOOD.replacen("00", "ff", 1), &zero, &orphan] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_new_trace_is_well_formed() {
        for (trace, span) in [(0, 0), (u128::MAX, u64::MAX), (7, 9)] {
            let begun = TraceParent::begin(trace, span);
            assert_eq!(begun.to_string().parse(), Ok(begun));
        }
    }
}
