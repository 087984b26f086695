//! The clocks of this process, as the core wants them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellwether_core::Time;
use jiff::Timestamp;

/// Reads both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Time {
        Time { mono: self.start.elapsed(), wall: wall() }
    }

    /// How long it is until `mono`.
    pub(crate) fn until(&self, mono: Duration) -> Duration {
        mono.saturating_sub(self.start.elapsed())
    }
}

/// The wall clock. What it cannot say is 1970.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}
