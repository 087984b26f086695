//! What lies in one directory, by age, and how large it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::protocol::{TaskName, path};

/// A directory from which something is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// `/status`, and with each status its details.
    Results,
    /// `/bellwether/submitted`: guards of submissions of clients that are gone.
    Submitted,
    /// `/bellwether/keys`: guards of submissions with a key.
    Keys,
}

impl Place {
    /// All of them, in the order in which they are cleaned.
    pub const ALL: [Self; 3] = [Self::Results, Self::Submitted, Self::Keys];

    /// The directory.
    #[must_use]
    pub fn parent(self) -> &'static str {
        match self {
            Self::Results => path::STATUS,
            Self::Submitted => path::SUBMITTED,
            Self::Keys => path::KEYS,
        }
    }

    /// A node in it.
    #[must_use]
    pub fn path(self, name: &TaskName) -> String {
        format!("{}/{name}", self.parent())
    }
}

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Measure {
    /// The transaction that created it.
    pub czxid: i64,
    /// When, by ZooKeeper's clock.
    pub created_ms: i64,
    /// How many bytes its data and its details have.
    pub bytes: u64,
    /// Whether it has details, in `/bellwether/results`.
    pub details: bool,
}

/// What is known of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Shelf {
    known: BTreeMap<TaskName, Measure>,
    by_age: BTreeSet<(i64, TaskName)>,
    bytes: u64,
    /// Listed, and not looked at yet.
    new: BTreeSet<TaskName>,
    /// When it was listed last.
    pub(super) listed: Option<Duration>,
}

impl Shelf {
    pub(super) fn len(&self) -> usize {
        self.known.len() + self.new.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, task: &TaskName) -> Option<&Measure> {
        self.known.get(task)
    }

    /// This is what lies there now.
    pub(super) fn listed(&mut self, names: Vec<TaskName>, now: Duration) {
        self.listed = Some(now);
        let names: BTreeSet<TaskName> = names.into_iter().collect();
        let gone: Vec<TaskName> = self.known.keys().filter(|task| !names.contains(*task)).cloned().collect();
        gone.iter().for_each(|task| self.forget(task, false));
        self.new = names.into_iter().filter(|task| !self.known.contains_key(task)).collect();
    }

    /// Some of those that were not looked at.
    pub(super) fn unmeasured(&self, most: usize) -> Vec<TaskName> {
        self.new.iter().take(most).cloned().collect()
    }

    pub(super) fn put(&mut self, task: TaskName, measure: Option<Measure>) {
        self.forget(&task, false);
        if let Some(measure) = measure {
            self.bytes += measure.bytes;
            self.by_age.insert((measure.czxid, task.clone()));
            self.known.insert(task, measure);
        }
    }

    /// `again`: there is another one of this name, to be looked at.
    pub(super) fn forget(&mut self, task: &TaskName, again: bool) {
        self.new.remove(task);
        if let Some(measure) = self.known.remove(task) {
            self.bytes -= measure.bytes;
            self.by_age.remove(&(measure.czxid, task.clone()));
        }
        if again {
            self.new.insert(task.clone());
        }
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = (&TaskName, &Measure)> {
        self.by_age.iter().filter_map(|(_, task)| self.known.get_key_value(task))
    }
}
