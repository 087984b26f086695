//! Since when the oldest of all ready tasks waits. What was submitted together is counted together, so that this costs little for each.

use std::collections::BTreeMap;
use std::num::NonZeroI64;
use std::time::Duration;

use super::Ready;

/// Since when a task waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Since {
    /// When this master first saw it, on the monotonic clock.
    pub seen: Duration,
    /// When its node was created, by ZooKeeper's clock, if it may run since then.
    pub created_ms: Option<i64>,
}

impl Since {
    /// Since when this one does.
    #[must_use]
    pub fn of(ready: &Ready) -> Self {
        Self { seen: ready.seen, created_ms: ready.created_ms.map(NonZeroI64::get) }
    }
}

/// All ready tasks by the transaction that created them: how many, and since when the first of them waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Ages(BTreeMap<i64, (usize, Since)>);

impl Ages {
    pub(super) fn insert(&mut self, ready: &Ready) {
        self.0.entry(ready.ticket.czxid).or_insert((0, Since::of(ready))).0 += 1;
    }

    pub(super) fn remove(&mut self, ready: &Ready) {
        let czxid = ready.ticket.czxid;
        if let Some((count, _)) = self.0.get_mut(&czxid) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&czxid);
            }
        }
    }

    pub(super) fn oldest(&self) -> Option<Since> {
        self.0.first_key_value().map(|(_, (_, since))| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::{Requirement, Ticket};
    use crate::protocol::TaskName;
    use crate::view::Entry;

    #[test]
    fn the_oldest_is_found_behind_younger_ones_of_higher_priority_until_the_last_of_its_transaction_is_gone() {
        let ready = |name: &str, priority, czxid: i64| {
            let ticket = Ticket::new(priority, czxid, czxid, Entry::pending(TaskName::listed(name)));
            Ready::new(Requirement::default(), ticket, 0, Vec::new(), Duration::from_secs(czxid.unsigned_abs()))
        };
        let mut ages = Ages::default();
        assert_eq!(ages.oldest(), None);
        let all = [ready("a", 9, 50), ready("b", i32::MIN, 7), ready("c", 0, 7), ready("d", 3, 20)];
        all.iter().for_each(|ready| ages.insert(ready));
        let oldest = |ages: &Ages| ages.oldest().map(|since| since.seen.as_secs());
        assert_eq!(oldest(&ages), Some(7));
        ages.remove(&all[1]);
        assert_eq!(oldest(&ages), Some(7));
        ages.remove(&all[2]);
        assert_eq!(oldest(&ages), Some(20));
        ages.remove(&all[3]);
        ages.remove(&all[0]);
        assert_eq!(ages, Ages::default());
    }
}
