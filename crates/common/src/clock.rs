//! What time it is: the one place where the shell reads clocks for core.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellwether_core::Time;
use jiff::Timestamp;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Both clocks, now. The monotonic one counts from the first call in this process.
#[must_use]
pub fn now() -> Time {
    Time { mono: START.elapsed(), wall: wall() }
}

/// The wall clock, for people.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_microsecond(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX)
}

/// How long it is until a moment of the monotonic clock; zero if it is over.
#[must_use]
pub fn until(mono: Duration) -> Duration {
    mono.saturating_sub(START.elapsed())
}
