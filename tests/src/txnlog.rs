//! Whole transaction logs in memory, for tests that look at single records. Reading them is the product's
//! ([`bellwether_common::txnlog`]); that it reads what a real server writes is tested here.

use std::path::{Path, PathBuf};

use anyhow::ensure;
pub use bellwether_common::txnlog::{Change, Record};
use bellwether_common::txnlog::{Coverage, Logs};

/// Reads all transaction logs of a data directory, oldest first. The server may be running: what it has acknowledged is there.
///
/// # Errors
/// There is no log, or one is damaged elsewhere than at its end.
pub fn read_dir(data_dir: &Path) -> anyhow::Result<Vec<Record>> {
    read_dirs(&[data_dir.to_owned()])
}

/// The same for several servers, as one history.
///
/// # Errors
/// There is no log, or parts are missing.
pub fn read_dirs(data_dirs: &[PathBuf]) -> anyhow::Result<Vec<Record>> {
    let mut logs = Logs::open(data_dirs)?;
    let records = logs.by_ref().collect::<Result<Vec<Record>, _>>()?;
    let Coverage { gaps, damages, disagreements, .. } = logs.coverage();
    ensure!(gaps.is_empty() && damages.is_empty() && disagreements.is_empty(), "parts cannot be read: {:#?}", logs.coverage());
    Ok(records)
}

#[cfg(test)]
mod tests {
    use bellwether_common::txnlog::Snapshot;
    use bellwether_core::protocol::Multi;

    use super::*;
    use crate::zookeeper::Zookeeper;

    fn changes_below(zookeeper: &Zookeeper, root: &str) -> Vec<Change> {
        let records = read_dir(&zookeeper.data_dir(0)).expect("a log");
        assert!(records.is_sorted_by_key(|record| record.zxid));
        let below = |change: &Change| match change {
            Change::CloseSession { paths } => paths.iter().any(|path| path.starts_with(root)),
            other => other.path().is_some_and(|path| path.starts_with(root)),
        };
        records.into_iter().flat_map(|record| record.changes).filter(below).collect()
    }

    #[test]
    fn every_kind_of_write_is_seen_as_it_was_made() {
        let zookeeper = Zookeeper::shared();
        let root = zookeeper.new_root();
        let tree = zookeeper.tree(&root);
        tree.create("/plain", "one");
        tree.set("/plain", "two");
        tree.create_ephemeral("/mine", "");
        let multi = Multi::new().check("/plain", 1).create("/in-multi", "three").set("/plain", "four", Some(1)).delete("/mine", None);
        tree.commit(&multi);
        tree.create_ephemeral("/mine", "again");
        tree.delete("/plain");
        drop(tree);

        let at = |name: &str| format!("{root}/{name}");
        let create = |name, data: &str, ephemeral| Change::Create { path: at(name), data: data.into(), ephemeral };
        let expected = vec![
            Change::Create { path: root.clone(), data: Vec::new(), ephemeral: false },
            create("plain", "one", false),
            Change::Set { path: at("plain"), data: b"two".into(), version: 1 },
            create("mine", "", true),
            Change::Check { path: at("plain"), version: 1 },
            create("in-multi", "three", false),
            Change::Set { path: at("plain"), data: b"four".into(), version: 2 },
            Change::Delete { path: at("mine") },
            create("mine", "again", true),
            Change::Delete { path: at("plain") },
            Change::CloseSession { paths: vec![at("mine")] },
        ];
        assert_eq!(changes_below(&zookeeper, &root), expected);
    }

    #[test]
    fn a_refused_multi_is_one_refusal_with_its_reason() {
        const NODE_EXISTS: i32 = -110;
        let zookeeper = Zookeeper::shared();
        let root = zookeeper.new_root();
        let tree = zookeeper.tree(&root);
        let (session, before) = (tree.session(), read_dir(&zookeeper.data_dir(0)).expect("a log").len());
        tree.create("/there", "");
        let multi = Multi::new().create("/new", "").create("/there", "").create("/newer", "");
        tree.try_commit(&multi).expect_err("/there exists");
        let records = read_dir(&zookeeper.data_dir(0)).expect("a log");
        let ours: Vec<&[Change]> =
            records[before..].iter().filter(|record| record.session == session).map(|record| record.changes.as_slice()).collect();
        assert_eq!(ours.last().expect("the refusal"), &[Change::Refused { code: NODE_EXISTS }]);
    }

    #[test]
    fn a_snapshot_holds_what_was_there() {
        let zookeeper = Zookeeper::own();
        let tree = zookeeper.tree("/snapped");
        tree.create("/kept", "one");
        tree.set("/kept", "two");
        tree.create_ephemeral("/mine", "");
        // A server writes a snapshot when it starts.
        zookeeper.kill9(0);
        zookeeper.restart(0);
        let logs = Logs::open(&[zookeeper.data_dir(0)]).expect("a log");
        let (zxid, latest) = logs.snapshots().last().expect("a snapshot").clone();
        let nodes: Vec<_> = Snapshot::open(&latest).expect("it opens").map(|node| node.expect("a node")).collect();
        let find = |path: &str| nodes.iter().find(|node| node.path == path).expect("it was there");
        let kept = find("/snapped/kept");
        assert_eq!((kept.data.as_slice(), kept.version, kept.owner), (&b"two"[..], 1, 0));
        assert!(kept.czxid < kept.mzxid && kept.mzxid <= zxid);
        assert_eq!(find("/snapped/mine").owner, tree.session());
    }
}
