//! Arrays in a life: what of them the ledger cannot see, and how their transactions look with a rule taken out.
//!
//! That each element is in one place after each transaction, and ends once, is the ledger's to judge; that it was executed before anybody
//! says so is seen here, where commands end.

use bellwether_core::protocol::array::{ElementEnd, PieceName, PieceRecord, piece_of};
use bellwether_core::protocol::{Multi, Op, TaskName, path};

use super::world::World;
use super::zookeeper::ZooKeeper;

/// One element.
pub(crate) const ARRAY_OF_ONE: &str = r#"{"bellwether":1,"shell":"true","array":{"count":1}}"#;
/// Two elements.
pub(crate) const ARRAY_OF_TWO: &str = r#"{"bellwether":1,"shell":"true","array":{"count":2}}"#;
/// Four: the first piece for a worker that is alone has two of them.
pub(crate) const ARRAY_OF_FOUR: &str = r#"{"bellwether":1,"shell":"true","array":{"count":4}}"#;
/// Two, each tried again once, after a second's rest.
pub(crate) const ARRAY_RETRIED: &str = r#"{"bellwether":1,"shell":"true","array":{"count":2},"retries":1,"backoff_ms":1000}"#;

impl World {
    /// Whether everything that this node says of elements happened; what is no record says nothing.
    pub(super) fn was_executed(&self, path: &str, data: &[u8]) -> bool {
        let Some((array, _)) = record_at(path) else { return true };
        let Some(record) = PieceRecord::decode(data) else { return false };
        let ran = |element, end| match end {
            ElementEnd::Exit(code) => self.executed.contains(&(array.clone(), element, code)),
            // No command ends in another way here.
            ElementEnd::Signal(_) | ElementEnd::TimedOut | ElementEnd::Rejected | ElementEnd::Cancelled | ElementEnd::WorkerLost => false,
        };
        record.spans().all(|(span, end)| span.elements().all(|element| ran(element, end)))
    }

    /// Whether some array has no status, or has anything left but its node and its results.
    pub(super) fn arrays_are_left(&self) -> bool {
        let arrays = self.zookeeper.children(path::ARRAYS).unwrap_or_default();
        arrays.iter().map(|array| TaskName::listed(array)).any(|array| {
            let children = self.zookeeper.children(&path::array(&array)).unwrap_or_default();
            let ended = self.zookeeper.znode(&path::status(&array)).is_some();
            !ended || children.iter().any(|child| !child.starts_with("results-"))
        })
    }
}

/// Whether two assignments are about the same work, at least in part.
pub(super) fn meet(one: &TaskName, other: &TaskName) -> bool {
    match (piece_of(one), piece_of(other)) {
        (Some((array, piece)), Some((other, that))) => array == other && piece.span.from <= that.span.to && that.span.from <= piece.span.to,
        (Some(_) | None, _) => one == other,
    }
}

/// `/bellwether/arrays/<array>/<piece>`
fn record_at(path: &str) -> Option<(TaskName, PieceName)> {
    let (array, child) = path.strip_prefix(path::ARRAYS)?.strip_prefix('/')?.split_once('/')?;
    Some((TaskName::listed(array), PieceName::parse(child)?))
}

/// Whether this says what became of a piece.
pub(super) fn is_record(path: &str) -> bool {
    record_at(path).is_some()
}

/// Whether this says what of an array is not given out.
pub(super) fn is_todo(path: &str) -> bool {
    path.starts_with(path::ARRAYS) && path.ends_with("/todo")
}

pub(super) fn sets_todo(multi: &Multi) -> bool {
    multi.ops.iter().any(|op| matches!(op, Op::Set { path, .. } if is_todo(path)))
}

/// Whatever it says by now.
pub(super) fn todo_at_any_version(mut multi: Multi) -> Multi {
    for op in &mut multi.ops {
        match op {
            Op::Set { path, version, .. } | Op::Delete { path, version } if is_todo(path) => *version = None,
            Op::Set { .. } | Op::Delete { .. } | Op::Create { .. } | Op::Check { .. } => {}
        }
    }
    multi
}

/// Where pieces are given out, what is not given out stays what it is.
pub(super) fn todo_as_it_is(mut multi: Multi, zookeeper: &ZooKeeper) -> Multi {
    let gives = multi.ops.iter().any(|op| matches!(op, Op::Create { path, .. } if path.starts_with(path::ASSIGN)));
    for op in multi.ops.iter_mut().filter(|_| gives) {
        if let Op::Set { path, data, .. } = op
            && is_todo(path)
            && let Some(node) = zookeeper.get(path)
        {
            *data = node.data;
        }
    }
    multi
}

/// What a worker that is gone had is let wait, and stays where it is.
pub(super) fn without_taking_back(mut multi: Multi) -> Multi {
    if sets_todo(&multi) {
        multi.ops.retain(|op| !matches!(op, Op::Delete { path, .. } if path.starts_with(path::ASSIGN)));
    }
    multi
}

/// What is taken in stays where it is.
pub(super) fn without_deleting_records(mut multi: Multi) -> Multi {
    multi.ops.retain(|op| !matches!(op, Op::Delete { path, .. } if record_at(path).is_some()));
    multi
}

/// What is recorded stays assigned.
pub(super) fn without_leaving(mut multi: Multi) -> Multi {
    if multi.ops.iter().any(|op| matches!(op, Op::Create { path, .. } if record_at(path).is_some())) {
        multi.ops.retain(|op| !matches!(op, Op::Delete { path, .. } if path.starts_with(path::ASSIGN)));
    }
    multi
}
