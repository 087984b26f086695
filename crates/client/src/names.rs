//! Names that nobody else gives: of tasks, of the guards of submissions, and of traces.

use std::sync::Mutex;
use std::sync::PoisonError;

use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::trace::TraceParent;
use uuid::Uuid;

use bellwether_common::clock;

/// Gives names. Within one client they never repeat; two clients would have to draw neighbouring numbers of 35 bits in the same
/// millisecond, and then the second submission is refused.
#[derive(Debug)]
pub(crate) struct Names {
    guards: String,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    unix_ms: u64,
    chance: u64,
    guard: u64,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { guards: Uuid::now_v7().simple().to_string(), last: Mutex::default() }
    }

    pub(crate) fn task(&self) -> TaskName {
        let now = u64::try_from(clock::wall().as_millisecond()).unwrap_or(0);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now > last.unix_ms {
            // The last bits of a UUID are chance alone; its first ones are the time, which the name has already.
            *last = Last { unix_ms: now, chance: Uuid::now_v7().as_u64_pair().1, guard: last.guard };
        } else {
            last.chance = last.chance.wrapping_add(1);
        }
        TaskName::generate(last.unix_ms, last.chance)
    }

    pub(crate) fn guard(&self) -> String {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.guard += 1;
        format!("{}-{}", self.guards, last.guard)
    }
}

/// A trace that nobody else has begun.
pub(crate) fn new_trace() -> TraceParent {
    TraceParent::begin(Uuid::now_v7().as_u128(), Uuid::now_v7().as_u64_pair().1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_never_repeat_however_quickly_they_are_given() {
        let (mine, other) = (Names::new(), Names::new());
        let tasks: BTreeSet<TaskName> = (0..5_000).map(|_| mine.task()).collect();
        assert_eq!(tasks.len(), 5_000);
        assert_ne!(mine.guard(), mine.guard());
        assert_ne!(mine.guard(), other.guard());
    }
}
