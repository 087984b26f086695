//! The connection between one process and the toy: requests reach it in order, answers and events come back in order, each by a
//! channel of its own, and the two interleave as they like.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_core::protocol::{Change, Op};

use crate::random::Random;

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Requests are served.
    Up,
    /// Nothing is served, and the process does not know.
    Frozen,
    /// The process knows.
    Down,
}

/// One session's connection.
pub(crate) struct Link<Request, Answer> {
    pub(crate) session: i64,
    pub(crate) state: State,
    /// When the server last heard of the session.
    pub(crate) heard: Duration,
    /// Whether watches are armed.
    pub(crate) watching: bool,
    /// Closed at the first unknown outcome, until somebody has read what is there.
    pub(crate) pen_open: bool,
    pub(crate) requests: VecDeque<Request>,
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) events: VecDeque<Change>,
}

impl<Request, Answer> Link<Request, Answer> {
    pub(crate) fn new(session: i64, now: Duration) -> Self {
        Self {
            session,
            state: State::Up,
            heard: now,
            watching: false,
            pen_open: true,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Some of the events that wait.
    pub(crate) fn some_events(&mut self, random: &mut Random) -> Vec<Change> {
        let some = 1 + random.below(self.events.len());
        self.events.drain(..some).collect()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.answers.is_empty() && self.events.is_empty()
    }
}

/// What becomes of a write whose connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It had been applied.
    Applied,
    /// It never arrived.
    Lost,
}

pub(crate) fn fate(random: &mut Random) -> Fate {
    if random.percent(50) { Fate::Applied } else { Fate::Lost }
}

/// The operations of a master's fence.
pub(crate) fn fence(epoch: i32) -> Vec<Op> {
    use bellwether_core::protocol::path;
    vec![Op::Check { path: path::EPOCH.to_owned(), version: Some(epoch) }, Op::Check { path: path::MASTER.to_owned(), version: Some(1) }]
}
