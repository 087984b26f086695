//! The nodes that must exist before anything else can.

use super::path;

/// Every persistent node of the layout, parents first. Whoever misses one creates it, empty; `epoch` is not among them, because
/// only a coordinator may create that one and its version carries meaning.
pub const NODES: [&str; 19] = [
    path::WORKERS,
    path::ASSIGN,
    path::TASKS,
    path::STATUS,
    path::BELLWETHER,
    path::FAREWELL,
    path::STANDBYS,
    path::HELD,
    path::RESULTS,
    path::DEAD,
    path::CANCEL,
    path::WORKER_REQUESTS,
    path::SUBMITTED,
    path::KEYS,
    path::WAITERS,
    path::ARRAYS,
    path::SCHEDULES,
    path::GROUPS,
    path::SWEPT,
];

/// The layout node at `path`, if there is one.
#[must_use]
pub fn node(path: &str) -> Option<&'static str> {
    NODES.into_iter().find(|node| *node == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_their_children() {
        for (index, node) in NODES.iter().enumerate() {
            let parent = &node[..node.rfind('/').expect("absolute")];
            assert!(parent.is_empty() || NODES[..index].contains(&parent), "{node} comes before its parent");
        }
    }
}
