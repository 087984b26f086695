//! ZooKeeper's time, by which delays are counted.
//!
//! No process asks its own wall clock how old a znode is. The znode says when it was created, by the clock of ZooKeeper's leader, and
//! so does the epoch, which was set by our election; since then the monotonic clock counts. Where the leader's clock was set meanwhile,
//! or another leader has another one, an age may come out too large or negative: then a delay is over at once, or begins anew with
//! each master, and no task rests for longer than that.

use std::time::Duration;

use crate::Time;

/// What is known of ZooKeeper's time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Clock {
    /// When this master began, on the monotonic clock: a moment after its election.
    began: Option<Duration>,
    /// Whether ZooKeeper was asked, and answered.
    pub(super) answered: bool,
    /// When its election was, by ZooKeeper's clock.
    elected_ms: Option<i64>,
}

impl Clock {
    pub(crate) fn begin(&mut self, now: Time) {
        self.began.get_or_insert(now.mono);
    }

    /// `None`: nobody can say, and every delay is counted from the moment at which its task is seen.
    pub(crate) fn set(&mut self, elected_ms: Option<i64>) {
        self.answered = true;
        self.elected_ms = self.elected_ms.or(elected_ms);
    }

    /// What time it is, in milliseconds since 1970, or a moment later; `None` as long as nobody can say.
    pub(crate) fn now_ms(&self, now: Time) -> Option<i64> {
        let since_ms = i64::try_from(now.since(self.began?).as_millis()).ok()?;
        self.elected_ms?.checked_add(since_ms)
    }

    /// The same in microseconds.
    pub(crate) fn now_us(&self, now: Time) -> Option<i64> {
        let since_us = i64::try_from(now.since(self.began?).as_micros()).ok()?;
        self.elected_ms?.checked_mul(1000)?.checked_add(since_us)
    }

    /// ZooKeeper wrote at this time, not after this moment: from then on the monotonic clock counts.
    pub(crate) fn heard(&mut self, written_ms: i64, not_after: Duration) {
        (self.began, self.elected_ms) = (Some(not_after), Some(written_ms));
    }

    /// When a delay that began with the creation of a znode is over, on the monotonic clock. `None`: there is none.
    pub(super) fn due(&self, created_ms: i64, delay: Duration, now: Time) -> Option<Duration> {
        (!delay.is_zero()).then(|| now.mono.saturating_add(delay.saturating_sub(self.age(created_ms, now))))
    }

    /// How old a znode is; nothing, as long as nobody can say.
    pub(crate) fn age(&self, created_ms: i64, now: Time) -> Duration {
        let (Some(began), Some(elected_ms)) = (self.began, self.elected_ms) else { return Duration::ZERO };
        let since_ms = i64::try_from(now.since(began).as_millis()).unwrap_or(i64::MAX);
        let age_ms = elected_ms.saturating_add(since_ms).saturating_sub(created_ms);
        Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Time {
        Time::at(SECOND * seconds)
    }

    fn clock() -> Clock {
        let mut clock = Clock::default();
        clock.begin(at(100));
        clock.set(Some(50_000));
        clock
    }

    #[test]
    fn a_delay_counts_from_the_znodes_creation_by_zookeepers_clock() {
        // Ten seconds before the election; the master is twenty seconds old.
        assert_eq!(clock().due(40_000, SECOND * 35, at(120)), Some(SECOND * 125));
        assert_eq!(clock().due(40_000, SECOND * 25, at(120)), Some(SECOND * 120), "it is over");
        assert_eq!(clock().due(40_000, Duration::ZERO, at(120)), None);
    }

    #[test]
    fn clocks_that_were_set_make_a_delay_neither_negative_nor_longer_than_it_is() {
        assert_eq!(clock().due(3_600_000, SECOND * 5, at(120)), Some(SECOND * 125), "created in the future");
        assert_eq!(clock().due(i64::MIN, SECOND * 5, at(120)), Some(SECOND * 120));
        assert_eq!(clock().due(i64::MAX, SECOND * 5, at(120)), Some(SECOND * 125));
        assert_eq!(clock().due(i64::MAX, Duration::MAX, at(120)), Some(Duration::MAX), "for ever");
    }

    #[test]
    fn without_zookeepers_time_a_delay_counts_from_when_it_is_seen() {
        let mut clock = Clock::default();
        clock.begin(at(1));
        clock.set(None);
        assert_eq!(clock.due(0, SECOND, at(9)), Some(SECOND * 10));
    }
}
