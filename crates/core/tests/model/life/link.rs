//! The connection of one session: requests reach ZooKeeper in order, answers and events come back in order, each by a channel of its
//! own, and the two interleave as they like.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bellwether_core::numbering::{Numbered, Rename};
use bellwether_core::protocol::{Change, Multi};

/// One session's connection, as its process sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Link<Request, Answer> {
    pub(crate) session: i64,
    /// Whether it is connected, as far as the process knows.
    pub(crate) up: bool,
    /// Whether watches are armed.
    pub(crate) watching: bool,
    /// Closed at the first unknown outcome, until somebody has read what is there.
    pub(crate) pen_open: bool,
    pub(crate) requests: VecDeque<Request>,
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) events: VecDeque<Change>,
    /// Writes that nobody waits for any more. They may still land, in order, and before anything that is sent after them.
    pub(crate) ghosts: VecDeque<Arc<Multi>>,
}

impl<Request, Answer> Link<Request, Answer> {
    pub(crate) fn new(session: i64) -> Self {
        Self {
            session,
            up: true,
            watching: false,
            pen_open: true,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            ghosts: VecDeque::new(),
        }
    }

    /// The process knows that the connection is lost: watches and whatever they had not told are gone.
    pub(crate) fn cut(&mut self) -> VecDeque<Request> {
        self.up = false;
        self.watching = false;
        self.pen_open = false;
        self.events.clear();
        std::mem::take(&mut self.requests)
    }
}

/// Renames all numbers of a process so that they are as small as their order allows: `each` visits every one of them.
pub(crate) fn compress<T>(process: &mut T, each: impl Fn(&mut T, Rename<'_>)) {
    let mut used: BTreeMap<Numbered, BTreeSet<u64>> = BTreeMap::new();
    each(process, &mut |kind, number| {
        used.entry(kind).or_default().insert(*number);
    });
    each(process, &mut |kind, number| {
        if *number != 0 {
            let smaller = used[&kind].range(1..*number).count();
            *number = smaller as u64 + 1;
        }
    });
}
