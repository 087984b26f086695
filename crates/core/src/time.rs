//! What time it is, as the shell read it just before it handed over an event.

use std::time::Duration;

use jiff::Timestamp;

/// The two clocks of one moment. Decisions use [`mono`](Self::mono) alone; [`wall`](Self::wall) is only ever shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Monotonic time since an arbitrary start of this process.
    pub mono: Duration,
    /// Wall-clock time, which may jump either way.
    pub wall: Timestamp,
}

impl Time {
    /// A moment `mono` after the start, with the wall clock at the epoch: for tests and models.
    #[must_use]
    pub fn at(mono: Duration) -> Self {
        Self { mono, wall: Timestamp::UNIX_EPOCH }
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(&self, earlier: Duration) -> Duration {
        self.mono.saturating_sub(earlier)
    }
}
