//! The fence, and what it would be with one of its parts left out.

use bellwether_core::election::{MASTER_VERSION, fence};
use bellwether_core::protocol::{Multi, path};

/// What stands in front of a master's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fence {
    /// The real one.
    Both,
    /// `/master` at its version, whatever the epoch. A successor's `/master` has the same version.
    MasterVersionOnly,
    /// The epoch, whatever became of `/master`. It does not move when `/master` is deleted by hand or left.
    EpochOnly,
    /// The epoch, and any `/master`. A master out of the book has one, and does not move the epoch.
    EpochAndAnyMaster,
}

impl Fence {
    /// The checks for a term.
    pub(crate) fn of(self, epoch: i32) -> Multi {
        match self {
            Fence::Both => fence(epoch),
            Fence::MasterVersionOnly => Multi::new().check(path::MASTER, MASTER_VERSION),
            Fence::EpochOnly => Multi::new().check(path::EPOCH, epoch),
            Fence::EpochAndAnyMaster => Multi::new().check(path::EPOCH, epoch).check_exists(path::MASTER),
        }
    }
}
