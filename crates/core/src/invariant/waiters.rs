//! Who waits for results, and which results came since.

use std::collections::BTreeMap;

use crate::protocol::TaskName;

/// Nodes of those who wait, and the results that ended while anybody did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Waiters {
    /// The transaction that created each node, and its session.
    nodes: BTreeMap<String, (i64, i64)>,
    /// The transaction that created each result.
    results: BTreeMap<TaskName, i64>,
}

impl Waiters {
    pub(super) fn come(&mut self, node: String, zxid: i64, session: i64) {
        self.nodes.insert(node, (zxid, session));
    }

    pub(super) fn leave(&mut self, node: &str) {
        self.nodes.remove(node);
        self.forget();
    }

    pub(super) fn end_session(&mut self, session: i64) {
        if session != 0 {
            self.nodes.retain(|_, (_, owner)| *owner != session);
            self.forget();
        }
    }

    pub(super) fn ended(&mut self, task: &TaskName, zxid: i64) {
        if !self.nodes.is_empty() {
            self.results.insert(task.clone(), zxid);
        }
    }

    /// `/tasks` counts anew: results of before are in the way.
    pub(super) fn start_over(&mut self) {
        self.results.clear();
    }

    /// A result is removed: since when does somebody wait who may wait for it?
    pub(super) fn removed(&mut self, task: &TaskName) -> Option<i64> {
        let ended = self.results.remove(task)?;
        self.nodes.values().map(|(since, _)| *since).min().filter(|since| *since < ended)
    }

    fn forget(&mut self) {
        if self.nodes.is_empty() {
            self.results.clear();
        }
    }
}
