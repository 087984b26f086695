//! What a worker can run: commands, and tasks of the kinds that it has handlers for.

use std::collections::BTreeSet;

use crate::protocol::record::WorkerRecord;

/// What a worker can run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Skills {
    /// Whether it runs commands.
    pub commands: bool,
    /// The kinds that it has handlers for.
    pub kinds: BTreeSet<String>,
}

impl Skills {
    /// Of one that runs commands and nothing else.
    pub const COMMANDS: &'static Self = &Self { commands: true, kinds: BTreeSet::new() };

    /// What this worker says of itself.
    #[must_use]
    pub fn of(record: &WorkerRecord) -> Self {
        Self { commands: record.commands, kinds: record.kinds.clone() }
    }

    /// Whether a task of this kind can be run; without a kind it is a command.
    #[must_use]
    pub fn cover(&self, kind: Option<&str>) -> bool {
        kind.map_or(self.commands, |kind| self.kinds.contains(kind))
    }
}
