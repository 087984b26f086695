//! Whether a failed attempt is followed by another, and when.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::{Ending, PANICKED};
use crate::protocol::TaskName;
use crate::protocol::payload::Envelope;

/// Another attempt after one that failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Retry {
    /// The payload with its counts raised and its delay, for `/bellwether/held`.
    pub payload: Vec<u8>,
    /// The ordinal of the attempt that failed.
    pub attempt: u32,
    /// How it failed.
    pub reason: RetryReason,
    /// How long the task rests.
    pub delay: Duration,
}

/// How an attempt failed that is followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// With an exit code.
    Exit,
    /// By a signal.
    Signal,
    /// It ran longer than it may.
    Timeout,
    /// Its command could not be started.
    NotStarted,
    /// Its handler returned an error.
    Error,
    /// Its handler panicked.
    Panic,
}

impl RetryReason {
    pub(crate) fn of(ending: &Ending) -> Option<Self> {
        match ending {
            // What was killed by order has no result: it is given back, and counts nothing. What is stuck runs on.
            Ending::Exited(0)
            | Ending::Returned(_)
            | Ending::Errored { fatal: true, .. }
            | Ending::Stuck
            | Ending::Killed
            | Ending::Rejected(_) => None,
            Ending::Exited(_) => Some(Self::Exit),
            Ending::Errored { exit: PANICKED, .. } => Some(Self::Panic),
            Ending::Errored { .. } => Some(Self::Error),
            Ending::Signalled(_) => Some(Self::Signal),
            Ending::TimedOut => Some(Self::Timeout),
            Ending::NotStarted { .. } => Some(Self::NotStarted),
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Timeout => "timeout",
            Self::NotStarted => "not_started",
            Self::Error => "error",
            Self::Panic => "panic",
        }
    }
}

/// What holds for tasks that do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RetryDefaults {
    /// How many attempts more are made after one that failed.
    pub retries: u32,
    /// The shortest time before another attempt.
    pub backoff: Duration,
    /// The longest time before another attempt.
    pub backoff_max: Duration,
    /// Exit codes after which another attempt is made; after any failure if there is none.
    pub retry_on: Vec<i32>,
}

impl Default for RetryDefaults {
    fn default() -> Self {
        Self { retries: 0, backoff: Duration::from_secs(1), backoff_max: Duration::from_secs(60), retry_on: Vec::new() }
    }
}

impl RetryDefaults {
    /// How many attempts more are made of it after one that failed.
    #[must_use]
    pub fn retries_of(&self, envelope: &Envelope) -> u32 {
        envelope.retries.unwrap_or(self.retries)
    }

    /// Whether retries were asked for, and this ending is one that they are for. Whether any are left is another question.
    pub(crate) fn wants_retry(&self, envelope: &Envelope, ending: &Ending) -> bool {
        let codes = envelope.retry_on.as_ref().unwrap_or(&self.retry_on);
        let chosen = match ending {
            Ending::Exited(code) | Ending::NotStarted { exit: code, .. } | Ending::Errored { exit: code, .. } => codes.contains(code),
            Ending::Signalled(_) | Ending::TimedOut | Ending::Returned(_) | Ending::Stuck | Ending::Killed | Ending::Rejected(_) => false,
        };
        self.retries_of(envelope) > 0 && (codes.is_empty() || chosen)
    }

    /// How long a task rests after its failure number `envelope.failures`: drawn between half of a span that doubles with each failure
    /// and all of it, and always within the bounds. What is drawn depends on the task's name and the failure alone, so that many tasks
    /// that failed together do not come back together, and nobody needs chance.
    pub(crate) fn delay(&self, name: &TaskName, envelope: &Envelope) -> Duration {
        let shortest = envelope.backoff_ms.map_or(self.backoff, Duration::from_millis);
        let longest = envelope.backoff_max_ms.map_or(self.backoff_max, Duration::from_millis).max(shortest);
        let doubled = 2u32.checked_pow(envelope.failures).and_then(|factor| shortest.checked_mul(factor));
        let span = doubled.unwrap_or(longest).min(longest);
        let least = (span / 2).max(shortest);
        least + (span - least).mul_f64(share(name, envelope.failures))
    }
}

/// A number between 0 and 1 that nobody can foresee and everybody can repeat.
fn share(name: &TaskName, failures: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (name, failures).hash(&mut hasher);
    f64::from((hasher.finish() >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::payload::Command;

    fn envelope(failures: u32) -> Envelope {
        Envelope { failures, ..Envelope::new(Command::Shell("x".into())) }
    }

    fn delays(failures: u32) -> Vec<Duration> {
        let defaults = RetryDefaults::default();
        (0..200).map(|n| defaults.delay(&TaskName::listed(&format!("t{n}")), &envelope(failures))).collect()
    }

    #[test]
    fn the_time_doubles_within_its_bounds_and_differs_from_task_to_task() {
        for (failures, least, most) in [(1, 1, 2), (2, 2, 4), (3, 4, 8), (5, 16, 32), (6, 30, 60), (7, 30, 60), (u32::MAX, 30, 60)] {
            let drawn = delays(failures);
            let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
            assert!(drawn.iter().all(|delay| (least..=most).contains(delay)), "{failures}: {drawn:?}");
            let spread = drawn.iter().max().copied().unwrap_or_default() - drawn.iter().min().copied().unwrap_or_default();
            assert!(spread > (most - least) / 2, "{failures}: all within {spread:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_task_asks_for_the_delay_is_within_its_bounds(failures in 1..u32::MAX, least in any::<u64>(), most in any::<u64>()) {
            let envelope = Envelope { backoff_ms: Some(least), backoff_max_ms: Some(most), ..envelope(failures) };
            let delay = RetryDefaults::default().delay(&TaskName::listed("t"), &envelope);
            // A duration of so many milliseconds is not represented exactly by the share of it.
            let rounding = Duration::from_millis(1 + most.max(least) / (1 << 40));
            prop_assert!(delay + rounding >= Duration::from_millis(least) && delay <= Duration::from_millis(most.max(least)) + rounding);
        }
    }
}
