//! How much work may come in, and how fast work of a kind is given out: limits, and pure functions that judge by them.
//!
//! Admission is soft: it keeps new work out while there is too much, and never drops what was accepted. It closes at a limit and opens at nine
//! tenths of it, so that it does not open and close with each task. A pace is strict, but for a tenth of a second that may be made up for.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::protocol::admission::{Closure, Excess, Label, PaceRecord};

/// How much may come in, and how fast what is given out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limits {
    /// How many tasks may wait.
    pub max_pending: u64,
    /// How many may wait that have a label.
    pub quota: BTreeMap<Label, u64>,
    /// How fast those are assigned that have a label.
    pub rate: BTreeMap<Label, Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pending: u64::MAX, quota: BTreeMap::new(), rate: BTreeMap::new() }
    }
}

impl Limits {
    /// Those of these labels for which there is a limit.
    #[must_use]
    pub fn concerned(&self, labels: &BTreeMap<String, String>) -> Vec<Label> {
        if labels.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<Label> = self.quota.keys().chain(self.rate.keys()).filter(|label| label.is_of(labels)).cloned().collect();
        found.sort();
        found.dedup();
        found
    }
}

/// What there is, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loads<'a> {
    /// How many tasks wait.
    pub waiting: u64,
    /// Of how many of them it is not known yet which labels they have.
    pub unread: u64,
    /// How many wait that have a label.
    pub labelled: Option<&'a BTreeMap<Label, u64>>,
    /// Whether more results are kept than may be; `None`: that is not known yet.
    pub results: Option<Overfull>,
}

/// More results are kept than may be, because somebody needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Overfull {
    /// How many there are; none: there are not too many.
    pub count: u64,
    /// How many there may be.
    pub limit: u64,
}

/// What may not come in now, given what may not by what stands in ZooKeeper.
#[must_use]
pub fn judge(before: &[Closure], limits: &Limits, loads: &Loads<'_>, now_ms: Option<i64>) -> Vec<Closure> {
    let was = |excess, label: Option<&str>| before.iter().find(|closure| closure.excess == excess && closure.label.as_deref() == label);
    let closure = |excess, label: Option<String>, count, limit| {
        let since_ms = was(excess, label.as_deref()).map_or(now_ms, |closure| closure.since_ms);
        let count = was(excess, label.as_deref()).map_or(count, |closure| closure.count);
        Closure { excess, label, count, limit, since_ms }
    };
    let mut closed = Vec::new();
    let waiting = was(Excess::Waiting, None).is_some();
    if is_closed(waiting, loads.waiting, loads.waiting, limits.max_pending) {
        closed.push(closure(Excess::Waiting, None, loads.waiting, limits.max_pending));
    }
    for (label, limit) in &limits.quota {
        let text = label.to_string();
        let count = loads.labelled.and_then(|labelled| labelled.get(label)).copied().unwrap_or(0);
        if is_closed(was(Excess::Quota, Some(&text)).is_some(), count, count.saturating_add(loads.unread), *limit) {
            closed.push(closure(Excess::Quota, Some(text), count, *limit));
        }
    }
    match (loads.results, was(Excess::Results, None)) {
        (Some(Overfull { count, limit }), _) if count > 0 => closed.push(closure(Excess::Results, None, count, limit)),
        (None, Some(unknown)) => closed.push(unknown.clone()),
        (Some(_) | None, _) => {}
    }
    closed
}

/// `least` are known, there may be `most`: it closes for certain, and opens for certain.
fn is_closed(was: bool, least: u64, most: u64, limit: u64) -> bool {
    let opens_at = u64::try_from(u128::from(limit) * 9 / 10).unwrap_or(limit);
    if was { most > opens_at } else { least >= limit }
}

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    unit: char,
}

/// How much may be made up for that was not given out in time, in microseconds: a master that plans now and then, and not for each task,
/// keeps up with a high rate.
const SLACK_US: i64 = 100_000;

impl Rate {
    /// Reads `10/s`, `600/m` or `5/h`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let unit = match unit {
            "s" => 's',
            "m" => 'm',
            "h" => 'h',
            _ => return None,
        };
        let count = count.parse().ok().filter(|count| (1..=100_000).contains(count))?;
        Some(Self { count, unit })
    }

    /// The share of time of one task, in microseconds.
    #[must_use]
    pub fn interval_us(self) -> i64 {
        let seconds = match self.unit {
            'h' => 3600,
            'm' => 60,
            _ => 1,
        };
        seconds * 1_000_000 / i64::from(self.count)
    }

    /// How many may be given out now, if the last one's share of time ends at `spent`.
    #[must_use]
    pub fn allowed(self, spent_us: i64, now_us: i64) -> u32 {
        let ahead = spent_us.max(now_us).saturating_sub(now_us);
        if ahead > SLACK_US {
            return 0;
        }
        u32::try_from((SLACK_US - ahead) / self.interval_us() + 1).unwrap_or(u32::MAX)
    }

    /// When the share of the last one ends, after so many were given out now. What lies further ahead than this rate can have led to is
    /// the work of a clock that was set, or of a rate that was lower.
    #[must_use]
    pub fn spend(self, spent_us: i64, now_us: i64, given: u32) -> i64 {
        spent_us.max(now_us).saturating_add(self.interval_us().saturating_mul(i64::from(given)))
    }

    /// The latest end of a share that this rate can have led to.
    #[must_use]
    pub fn sane(self, spent_us: i64, now_us: i64) -> i64 {
        spent_us.min(now_us.saturating_add(SLACK_US + self.interval_us()))
    }

    /// For how long nothing may be given out.
    #[must_use]
    pub fn wait(self, spent_us: i64, now_us: i64) -> Duration {
        let wait_us = spent_us.saturating_sub(now_us).saturating_sub(SLACK_US);
        Duration::from_micros(u64::try_from(wait_us).unwrap_or(0))
    }
}

/// That a task waits for its turn among those with a label that are assigned no faster than somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// How fast.
    pub rate: Rate,
    /// How many of them go before it.
    pub ahead: u32,
    /// When its turn comes at the earliest; unknown to whoever does not know the time.
    pub wait: Option<Duration>,
}

/// How many of those with a label may be assigned at a time by ZooKeeper's clock, by what was noted of it. What does not say limits nothing.
#[must_use]
pub fn allowed(noted: &PaceRecord, now_us: i64) -> u32 {
    Rate::parse(&noted.rate).map_or(u32::MAX, |rate| rate.allowed(rate.sane(noted.spent_us, now_us), now_us))
}

/// What a task with so many ahead of it waits for, if it does: without the time, it may.
#[must_use]
pub fn turn(noted: &PaceRecord, ahead: u32, now_us: Option<i64>) -> Option<Turn> {
    let rate = Rate::parse(&noted.rate)?;
    let Some(now_us) = now_us else { return Some(Turn { rate, ahead, wait: None }) };
    if ahead < allowed(noted, now_us) {
        return None;
    }
    let spent = rate.spend(rate.sane(noted.spent_us, now_us), now_us, ahead);
    Some(Turn { rate, ahead, wait: Some(rate.wait(spent, now_us)) })
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blue() -> Label {
        Label::parse("team=blue").expect("a label")
    }

    fn limits() -> Limits {
        Limits { max_pending: 1000, quota: BTreeMap::from([(blue(), 10)]), ..Limits::default() }
    }

    #[test]
    fn it_closes_at_the_limit_and_opens_at_nine_tenths() {
        let at = |before: &[Closure], waiting| judge(before, &limits(), &Loads { waiting, ..Loads::default() }, Some(7));
        assert_eq!(at(&[], 999), []);
        let closed = at(&[], 1000);
        assert_eq!((closed[0].excess, closed[0].count, closed[0].since_ms), (Excess::Waiting, 1000, Some(7)));
        assert_eq!(at(&closed, 901), closed, "what it said stays as it is");
        assert_eq!(at(&closed, 900), []);
    }

    #[test]
    fn a_quota_opens_only_when_it_is_known_that_few_are_left() {
        let labelled = |count| BTreeMap::from([(blue(), count)]);
        let at = |before: &[Closure], count, unread| {
            let labelled = labelled(count);
            judge(before, &limits(), &Loads { waiting: 20, unread, labelled: Some(&labelled), results: None }, None)
        };
        assert_eq!(at(&[], 9, 100), [], "what is not read yet closes nothing");
        let closed = at(&[], 10, 0);
        assert_eq!(closed[0].label.as_deref(), Some("team=blue"));
        assert_eq!(at(&closed, 3, 7), closed);
        assert_eq!(at(&closed, 3, 6), []);
    }

    #[test]
    fn results_close_as_long_as_nobody_says_otherwise() {
        let with = |before: &[Closure], results| judge(before, &limits(), &Loads { results, ..Loads::default() }, None);
        let closed = with(&[], Some(Overfull { count: 5, limit: 4 }));
        assert_eq!((closed.len(), closed[0].excess), (1, Excess::Results));
        assert_eq!(with(&closed, None), closed, "the next master does not know yet");
        assert_eq!(with(&closed, Some(Overfull { count: 0, limit: 4 })), []);
    }

    #[test]
    fn rates_are_spelled_as_people_say_them() {
        let us = |text: &str| Rate::parse(text).map(Rate::interval_us);
        assert_eq!([us("10/s"), us("600/m"), us("2/h")], [Some(100_000), Some(100_000), Some(1_800_000_000)]);
        assert!(["", "10", "10/d", "0/s", "-1/s", "1.5/s", "10/ s", "1000000/s"].iter().all(|text| us(text).is_none()));
        assert_eq!(Rate::parse("7/m").map(|rate| rate.to_string()), Some("7/m".to_owned()));
    }

    #[test]
    fn whoever_may_go_at_once_does_not_wait_for_a_turn() {
        let noted = |spent_us| PaceRecord { rate: "1/m".to_owned(), spent_us };
        const MINUTE: i64 = 60_000_000;
        let wait = |spent, ahead| turn(&noted(spent), ahead, Some(10 * MINUTE)).map(|turn| turn.wait.expect("the time is known").as_secs());
        assert_eq!((wait(0, 0), wait(10 * MINUTE, 0)), (None, None));
        assert_eq!((wait(11 * MINUTE, 0), wait(0, 1), wait(11 * MINUTE, 2)), (Some(59), Some(59), Some(179)));
        let unknown = turn(&noted(0), 3, None).expect("it may");
        assert_eq!((unknown.ahead, unknown.wait), (3, None));
        assert_eq!(turn(&PaceRecord { rate: "soon".to_owned(), spent_us: 0 }, 9, Some(0)), None);
        assert_eq!((allowed(&noted(0), 0), allowed(&noted(MINUTE), 0)), (1, 0));
    }

    proptest! {
        #[test]
        fn in_no_span_of_time_more_is_given_out_than_the_rate_allows(
            count in 1_u32..2000,
            steps in proptest::collection::vec((0_i64..400_000, 0_u32..50), 1..60),
        ) {
            let rate = Rate { count, unit: 's' };
            let (mut now, mut spent) = (0_i64, 0_i64);
            let mut given: Vec<(i64, u32)> = Vec::new();
            for (passes, wanted) in steps {
                now += passes;
                let now_given = wanted.min(rate.allowed(spent, now));
                spent = rate.spend(spent, now, now_given);
                given.push((now, now_given));
            }
            for (first, (from, _)) in given.iter().enumerate() {
                let mut sum = 0_i64;
                for (until, more) in &given[first..] {
                    sum += i64::from(*more);
                    let most = (until - from + SLACK_US) / rate.interval_us() + 1;
                    prop_assert!(sum <= most, "{sum} in {} us, at most {most}", until - from);
                }
            }
        }

        #[test]
        fn what_may_not_be_given_out_now_may_after_the_wait(count in 1_u32..2000, spent in 0_i64..10_000_000, now in 0_i64..10_000_000) {
            let rate = Rate { count, unit: 's' };
            let wait = i64::try_from(rate.wait(spent, now).as_micros()).expect("not long");
            prop_assert!(rate.allowed(spent, now + wait) > 0);
            prop_assert!(wait == 0 || rate.allowed(spent, now + wait - 1) == 0);
            prop_assert!(rate.wait(rate.sane(i64::MAX, now), now) <= Duration::from_micros(rate.interval_us() as u64));
        }
    }
}
