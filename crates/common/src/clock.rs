//! What time it is: the one place where the shell reads clocks for core.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellwether_core::Time;
use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Where our monotonic clock begins, by itself and by the kernel's.
struct Start {
    instant: Instant,
    kernel: Duration,
}

static START: LazyLock<Start> = LazyLock::new(|| {
    // The kernel's first: whatever happens between the two readings makes a moment look earlier to other processes, never later.
    let kernel = kernel();
    Start { instant: Instant::now(), kernel }
});

/// Both clocks, now. The monotonic one counts from the first call in this process.
#[must_use]
pub fn now() -> Time {
    Time { mono: START.instant.elapsed(), wall: wall() }
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
    mono.saturating_sub(START.instant.elapsed())
}

/// The kernel's own monotonic clock, which all processes of a machine read alike.
#[must_use]
pub fn kernel() -> Duration {
    // It cannot fail. If it did, every deadline would be over: the safe side.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::MAX, Duration::from)
}

/// A moment of our monotonic clock on the [kernel's](kernel): exact, or a trifle too early.
#[must_use]
pub fn to_kernel(mono: Duration) -> Duration {
    START.kernel.saturating_add(mono)
}

/// A moment of the [kernel's](kernel) clock on ours.
#[must_use]
pub fn from_kernel(kernel: Duration) -> Duration {
    kernel.saturating_sub(START.kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_never_later_on_the_clock_that_all_processes_share() {
        let mono = now().mono;
        let shared = to_kernel(mono);
        assert!(shared <= kernel() && kernel() - shared < Duration::from_secs(5), "{shared:?}");
        assert_eq!(from_kernel(shared), mono);
    }
}
