//! When harm is done, and which: the n-th request that matches, or one in so many of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::wire::{Operation, Request};
use crate::tasks::SOON;
use bellwether_common::wait::{eventually, is};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is only counted.
    Nothing,
    /// It never reaches ZooKeeper, and the connection is cut.
    LoseRequest,
    /// ZooKeeper carries it out, its reply is lost, and the connection is cut. All earlier replies get through.
    LoseReply,
    /// It is sent to ZooKeeper, and the connection is cut at once: it may be carried out after the client has come back.
    Cut,
    /// Its reply, and all behind it, take so much longer.
    Delay(Duration),
    /// From this request on nothing gets through, it included, until somebody heals.
    FreezeBefore,
    /// ZooKeeper carries it out, but not what follows it; its reply does not get through, nor anything else, until somebody heals.
    FreezeAfter,
    /// The session is ended behind its owner's back before the request could be sent.
    ExpireSession,
}

#[derive(Debug, Clone, Copy)]
enum When {
    Nth(u64),
    Each,
    /// By chance, but the same for the same seed.
    OneIn(u64, u64),
}

/// Which requests, when, and what happens to them. Without more said: to the first one that matches, nothing.
#[derive(Debug, Clone)]
pub struct Rule {
    operation: Operation,
    part: Option<(Operation, String)>,
    when: When,
    fault: Fault,
}

impl Rule {
    /// Requests of this kind.
    #[must_use]
    pub fn on(operation: Operation) -> Self {
        Self { operation, part: None, when: When::Nth(1), fault: Fault::Nothing }
    }

    /// Only those whose path begins with this; of a multi, any path.
    #[must_use]
    pub fn below(self, prefix: &str) -> Self {
        self.with(Operation::Any, prefix)
    }

    /// Only those that do this to a path that begins with `prefix`, if only in one part of a multi.
    #[must_use]
    pub fn with(mut self, part: Operation, prefix: &str) -> Self {
        self.part = Some((part, prefix.to_owned()));
        self
    }

    /// The n-th of them, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.when = When::Nth(n);
        self
    }

    /// Every one of them.
    #[must_use]
    pub fn each(mut self) -> Self {
        self.when = When::Each;
        self
    }

    /// One in `count` of them, by chance; the same ones for the same seed.
    #[must_use]
    pub fn one_in(mut self, count: u64, seed: u64) -> Self {
        // A state of zero would stay zero.
        self.when = When::OneIn(count, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        self
    }

    /// What happens then.
    #[must_use]
    pub fn then(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    fn matches(&self, request: &Request, root: &str) -> bool {
        let meant = |(operation, path): &(Operation, String)| {
            let Some((part, prefix)) = &self.part else { return true };
            part.includes(*operation) && path.strip_prefix(root).is_some_and(|below| below.starts_with(prefix.as_str()))
        };
        self.operation.includes(request.operation) && (self.part.is_none() || request.parts.iter().any(meant))
    }
}

/// How often a rule was met.
#[derive(Debug, Clone, Default)]
pub struct Hits(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    matched: AtomicU64,
    struck: AtomicU64,
}

impl Hits {
    /// How many requests matched.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.0.matched.load(Ordering::Acquire)
    }

    /// To how many of them it happened.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.0.struck.load(Ordering::Acquire)
    }

    /// Waits until it happened so often.
    ///
    /// # Panics
    /// It does not in time.
    #[track_caller]
    pub fn strikes(&self, times: u64) {
        eventually(SOON, "the fault to strike", || is(self.struck(), &times));
    }
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Armed {
    rule: Rule,
    hits: Hits,
}

impl Armed {
    pub(super) fn new(rule: Rule) -> (Self, Hits) {
        let hits = Hits::default();
        (Self { rule, hits: hits.clone() }, hits)
    }

    /// Counts a request, and says what happens to it.
    pub(super) fn judge(&mut self, request: &Request, root: &str) -> Option<Fault> {
        if !self.rule.matches(request, root) {
            return None;
        }
        let matched = self.hits.0.matched.fetch_add(1, Ordering::AcqRel) + 1;
        let strikes = match &mut self.rule.when {
            When::Nth(n) => matched == *n,
            When::Each => true,
            When::OneIn(count, state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                state.is_multiple_of(*count)
            }
        };
        if strikes {
            self.hits.0.struck.fetch_add(1, Ordering::AcqRel);
        }
        strikes.then_some(self.rule.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: Operation, parts: &[(Operation, &str)]) -> Request {
        Request { xid: 1, operation, parts: parts.iter().map(|(operation, path)| (*operation, (*path).to_owned())).collect() }
    }

    #[test]
    fn the_nth_that_matches_is_struck_and_no_other() {
        let assigning = Rule::on(Operation::Multi).with(Operation::Create, "/assign/w").nth(2).then(Fault::LoseReply);
        let (mut armed, hits) = Armed::new(assigning);
        let fenced = request(Operation::Multi, &[(Operation::Check, "/r/master"), (Operation::Create, "/r/assign/w-1/t")]);
        let others = [
            request(Operation::Multi, &[(Operation::Check, "/r/assign/w-1/t")]),
            request(Operation::Create, &[(Operation::Create, "/r/assign/w-1/t")]),
            request(Operation::Multi, &[(Operation::Create, "/elsewhere/assign/w-1/t")]),
            request(Operation::Ping, &[]),
        ];
        for other in others {
            assert_eq!(armed.judge(&other, "/r"), None, "{other:?}");
        }
        assert_eq!(hits.matched(), 0);
        assert_eq!([1, 2, 3].map(|_| armed.judge(&fenced, "/r")), [None, Some(Fault::LoseReply), None]);
        assert_eq!((hits.matched(), hits.struck()), (3, 1));
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let drawn = |seed| {
            let (mut armed, hits) = Armed::new(Rule::on(Operation::Any).one_in(10, seed).then(Fault::Cut));
            let drawn: Vec<bool> = (0..1000).map(|_| armed.judge(&request(Operation::Ping, &[]), "").is_some()).collect();
            assert!((50..200).contains(&hits.struck()), "{}", hits.struck());
            drawn
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
