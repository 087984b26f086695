//! How quickly a worker ends tasks, how far ahead of its slots it is therefore given some, and whether several together.
//!
//! A slot that becomes free waits for the master's next transaction unless there is something in the box already. Of long tasks one is
//! enough; of tasks that take less than that transaction, as many are as end meanwhile. So a worker is given as much ahead as it lately ended
//! in a twentieth of a second: what waits in its box waits about so long, however short tasks are. What waits longer after all, because
//! others are longer, is asked back as soon as somebody else could start it.
//!
//! Whether tasks are short cannot be seen of one of them: what a worker is given comes back later the more there is to do. But of a worker
//! that ended twice as many within a second as it has slots, at least as many were begun and ended within it, for no more could run when it
//! began. A wave of long tasks that end together is not that many.

use std::time::Duration;

/// So much work a worker is given ahead; and the least time over which it is measured.
const SPAN: Duration = Duration::from_millis(50);
/// Within this time what is short was begun and ended.
const SHORT: Duration = Duration::from_secs(1);
/// After so long without a measurement the last one says nothing any more.
const LAPSES_AFTER: Duration = Duration::from_millis(500);
/// Never more than this: the box of a worker is looked through now and then.
const AHEAD_MAX: u32 = 256;

/// What was measured of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pace {
    /// When this measurement began, on the monotonic clock.
    since: Duration,
    /// How many tasks have ended since.
    ended: u32,
    /// What the last measurement came to.
    ahead: u32,
    turnover: Turnover,
}

/// How many tasks ended within [`SHORT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Turnover {
    /// When this one began, on the monotonic clock.
    since: Duration,
    /// In this one so far.
    ended: u32,
    /// In the one before it.
    before: u32,
}

impl Turnover {
    fn on_ended(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.since);
        if elapsed >= SHORT {
            *self = Self { since: now, ended: 0, before: if elapsed < SHORT * 2 { self.ended } else { 0 } };
        }
        self.ended = self.ended.saturating_add(1);
    }

    /// The most of them.
    fn most(&self, now: Duration) -> u32 {
        match now.saturating_sub(self.since) {
            elapsed if elapsed < SHORT => self.ended.max(self.before),
            elapsed if elapsed < SHORT * 2 => self.ended,
            _ => 0,
        }
    }
}

impl Pace {
    /// A task left the worker's box.
    pub fn on_ended(&mut self, now: Duration) {
        // Before any time has passed nothing can be measured.
        if now.is_zero() {
            return;
        }
        let elapsed = now.saturating_sub(self.since);
        if elapsed >= SPAN {
            let in_span = u128::from(self.ended) * SPAN.as_nanos() / elapsed.as_nanos();
            *self =
                Self { since: now, ended: 0, turnover: self.turnover, ahead: u32::try_from(in_span).unwrap_or(u32::MAX).min(AHEAD_MAX) };
        }
        self.ended = self.ended.saturating_add(1);
        self.turnover.on_ended(now);
    }

    /// Whether a worker with so many slots lately began and ended as many tasks within a second. What was given back counts as ended.
    #[must_use]
    pub fn is_brisk(&self, slots: u32, now: Duration) -> bool {
        self.turnover.most(now) >= slots.max(1).saturating_mul(2)
    }

    /// For how many slots more than it has the worker may be given tasks, if `least` is what every worker may.
    #[must_use]
    pub fn ahead(&self, least: u32, now: Duration) -> u32 {
        let measured = now.saturating_sub(self.since) < LAPSES_AFTER;
        // Who wants nothing to wait at a worker means it.
        if least > 0 && measured { least.max(self.ahead) } else { least }
    }

    /// The same for a worker that has been given `excess` more than it has slots for: a store that is still more than half full is not
    /// filled up one by one, but when it is down to half, by one transaction.
    #[must_use]
    pub fn room(&self, least: u32, excess: u32, now: Duration) -> u32 {
        let ahead = self.ahead(least, now);
        if ahead > least && excess > ahead.div_ceil(2) { excess.min(ahead) } else { ahead }
    }

    /// The most that [`Pace::room`] can be as long as nothing more is measured and given.
    #[must_use]
    pub(super) fn most_room(&self, least: u32, excess: u32) -> u32 {
        self.room(least, excess, self.since).max(self.room(least, excess, self.since.saturating_add(LAPSES_AFTER)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Duration = Duration::from_secs(100);

    /// So many tasks, one each `every`; what follows, at the last of them.
    fn ahead(count: u32, every: Duration) -> (Pace, Duration) {
        let mut pace = Pace::default();
        (0..count).for_each(|i| pace.on_ended(BEGIN + every * i));
        (pace, BEGIN + every * (count - 1))
    }

    #[test]
    fn the_shorter_tasks_are_the_more_are_given_ahead_and_never_too_many() {
        for (micros, expected) in [(10_000_000, 1), (100_000, 1), (25_000, 2), (5000, 10), (1000, 50), (250, 200), (100, 256), (1, 256)] {
            let (pace, now) = ahead(200_000_u32.min(400_000_000 / micros), Duration::from_micros(u64::from(micros)));
            let given = pace.ahead(1, now);
            assert!(given.abs_diff(expected) <= 1, "{given} ahead of tasks of {micros} µs, not {expected}");
        }
    }

    #[test]
    fn a_store_is_filled_up_when_it_is_half_empty() {
        let (pace, now) = ahead(1000, Duration::from_millis(1));
        let all = pace.ahead(1, now);
        let rooms: Vec<u32> = [0, all / 2, all.div_ceil(2) + 1, all, all + 5].map(|excess| pace.room(1, excess, now)).into();
        assert_eq!(rooms, [all, all, all.div_ceil(2) + 1, all, all], "nothing is given beyond what waits there, nor beyond what may");
        assert_eq!(Pace::default().room(8, 5, now), 8, "what is configured is always filled up");
    }

    #[test]
    fn who_began_and_ended_as_many_within_a_second_as_it_has_slots_is_brisk() {
        let (pace, now) = ahead(100, Duration::from_millis(100));
        assert_eq!([1, 5, 6].map(|slots| pace.is_brisk(slots, now)), [true, true, false]);
        assert!(pace.is_brisk(1, now + SHORT) && !pace.is_brisk(1, now + SHORT * 2), "what was long ago counts no more");
        assert!(!Pace::default().is_brisk(0, now), "nobody knows");
        let (wave, now) = ahead(8, Duration::from_millis(5));
        assert!(!wave.is_brisk(8, now), "eight long tasks that were begun together");
        let (slow, now) = ahead(100, Duration::from_millis(600));
        assert!(slow.is_brisk(1, now) && !slow.is_brisk(2, now));
        let (mut burst, now) = ahead(1000, Duration::from_millis(1));
        assert!(burst.is_brisk(100, now));
        burst.on_ended(now + Duration::from_secs(5));
        assert!(!burst.is_brisk(1, now + Duration::from_secs(5)), "one long task, and the burst before it is forgotten");
    }

    #[test]
    fn what_was_measured_long_ago_counts_no_more_and_who_wants_none_is_given_none() {
        let (pace, now) = ahead(1000, Duration::from_millis(1));
        assert!(pace.ahead(1, now) > 40);
        assert_eq!(pace.ahead(0, now), 0);
        assert_eq!(pace.ahead(100, now), 100, "what is configured is the least");
        assert_eq!(pace.ahead(1, now + LAPSES_AFTER), 1);
        let mut long = pace;
        long.on_ended(now + Duration::from_secs(5));
        assert_eq!(long.ahead(1, now + Duration::from_secs(5)), 1, "one long task, and the burst before it is forgotten");
    }
}
