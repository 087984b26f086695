//! Whether ZooKeeper's state went backwards under us: it was wiped, or replaced by an older copy.
//!
//! ZooKeeper numbers its transactions, and the numbers only grow, across its own restarts and elections, too. So what is written
//! now has a number above everything that was seen before, or the history is another one.

use std::fmt;

/// The life of a node that is not deleted in the ordinary course of things: of `/bellwether`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The transaction that created it.
    pub czxid: i64,
    /// When, by the clock of ZooKeeper's leader, in milliseconds since 1970.
    pub ctime_ms: i64,
}

/// What is read at the begin of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begin {
    /// The number of a transaction that was committed in this session. `None`: nothing was written.
    pub written: Option<i64>,
    /// The anchor, if it is there.
    pub anchor: Option<Anchor>,
}

/// ZooKeeper's state went backwards: what was accepted before may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewound {
    /// The highest transaction that was seen before.
    pub seen: i64,
    /// What says that this is another history.
    pub now: i64,
}

impl fmt::Display for Rewound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction {:#x} is new, but {:#x} was seen before", self.now, self.seen)
    }
}

/// What one process remembers of ZooKeeper's history, across its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Landmarks {
    anchor: Option<Anchor>,
}

impl Landmarks {
    /// A session begins. `seen` is the highest transaction that any earlier session saw, 0 if there was none.
    pub fn begin(&mut self, begin: Begin, seen: i64) -> Option<Rewound> {
        let before = std::mem::replace(&mut self.anchor, begin.anchor);
        let written = begin.written.filter(|written| *written <= seen);
        // Deleted by hand and made anew, it is younger than what was seen; with another history, it may be anything.
        let anchor = begin.anchor.filter(|anchor| before.is_some_and(|before| before != *anchor) && anchor.czxid <= seen);
        written.or(anchor.map(|anchor| anchor.czxid)).map(|now| Rewound { seen, now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Anchor = Anchor { czxid: 7, ctime_ms: 1000 };

    fn known() -> Landmarks {
        let mut landmarks = Landmarks::default();
        assert_eq!(landmarks.begin(Begin { written: Some(9), anchor: Some(OLD) }, 0), None, "the first session knows nothing better");
        landmarks
    }

    #[test]
    fn what_goes_on_is_no_rewind() {
        assert_eq!(known().begin(Begin { written: Some(51), anchor: Some(OLD) }, 50), None);
        assert_eq!(known().begin(Begin { written: None, anchor: Some(OLD) }, 50), None, "who writes nothing trusts the anchor");
        let made_anew = Anchor { czxid: 51, ctime_ms: 2000 };
        assert_eq!(known().begin(Begin { written: Some(52), anchor: Some(made_anew) }, 50), None, "deleted by hand");
        assert_eq!(known().begin(Begin::default(), 50), None, "a client before the first service");
    }

    #[test]
    fn a_number_that_was_there_before_is_a_rewind_and_told_once() {
        let mut landmarks = known();
        let copy = Begin { written: Some(40), anchor: Some(OLD) };
        assert_eq!(landmarks.begin(copy, 50), Some(Rewound { seen: 50, now: 40 }), "an older copy of the same history");
        let wiped = Begin { written: Some(60), anchor: Some(Anchor { czxid: 7, ctime_ms: 5000 }) };
        assert_eq!(landmarks.begin(wiped, 50), Some(Rewound { seen: 50, now: 7 }), "the new history has come further than the old one");
        assert_eq!(landmarks.begin(Begin { written: Some(61), ..wiped }, 60), None);
    }

    #[test]
    fn a_client_that_writes_nothing_knows_it_by_the_anchor() {
        let wiped = Begin { written: None, anchor: Some(Anchor { czxid: 6, ctime_ms: 5000 }) };
        assert_eq!(known().begin(wiped, 50), Some(Rewound { seen: 50, now: 6 }));
    }
}
