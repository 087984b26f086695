//! Schedules: what `/bellwether/schedules/<name>` says, and at which ticks it is due.
//!
//! A tick is a whole second of ZooKeeper's time since 1970. What is made of it, and when, is decided in [`crate::timetable`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{self, BadName, NAME_BYTES_MAX};
use super::payload::{Command, Envelope};
use super::{PROTOCOL_VERSION, TaskName};
use crate::cron::{BadCron, Cron};

/// The name of a schedule: the name of its znode, and the beginning of its tasks' names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ScheduleName(Arc<str>);

/// A moment at which a schedule is due, in seconds since 1970.
pub type Tick = i64;

/// How many bytes a tick adds to the name of a schedule.
const TICK_BYTES: usize = 17;

/// Most bytes of the record of a schedule: all of it is written again with each tick.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The longest time between two ticks.
const EVERY_MAX_S: u64 = 366 * 24 * 3600;

impl ScheduleName {
    /// A name that ZooKeeper listed.
    #[must_use]
    pub fn listed(name: &str) -> Self {
        Self(name.into())
    }

    /// A name that somebody typed.
    ///
    /// # Errors
    /// [`BadName`]: show it, it says what to change.
    pub fn parse(name: &str) -> Result<Self, BadName> {
        name::check(name)?;
        if name.len() > NAME_BYTES_MAX - TICK_BYTES {
            return Err(BadName::TooLong(name.len() + TICK_BYTES));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the task that is made of a tick, as `backup-20261121T030000Z`.
    #[must_use]
    pub fn task(&self, tick: Tick) -> TaskName {
        let shown = Timestamp::from_second(tick).map(|at| at.to_string()).unwrap_or_else(|_| tick.to_string());
        let shown: String = shown.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        TaskName::listed(&format!("{self}-{shown}"))
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What becomes of ticks at which nobody ruled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// Nothing: only a tick of the last minute is made up for.
    Skip,
    /// The last of them is made up for, however late.
    #[default]
    Once,
    /// Each of them is made up for.
    All,
}

/// What becomes of a tick while the task of the one before has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It gets a task of its own.
    #[default]
    Allow,
    /// It gets none.
    Skip,
}

/// A schedule, as it stands in ZooKeeper. Exactly one of `every_s` and `cron` is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// Seconds between two ticks, counted from the creation of the znode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_s: Option<u64>,
    /// A cron expression …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// … and the time zone by whose clocks it goes; UTC without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What becomes of ticks at which nobody ruled.
    #[serde(default)]
    pub missed: Missed,
    /// What becomes of a tick while the task of the one before has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// Whether no tick counts at present.
    #[serde(default)]
    pub paused: bool,
    /// No tick up to this one is due any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Tick>,
    /// The last tick of which a task was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired: Option<Tick>,
    /// What each task is.
    pub task: Envelope,
}

/// Why a record is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// It does not decode.
    #[error("it does not decode: {0}")]
    Garbage(String),
    /// A later version.
    #[error("it has version {0}, this Bellwether understands up to {PROTOCOL_VERSION}")]
    Newer(u32),
    /// Both or neither of two.
    #[error("it needs either a period or a cron expression")]
    Rhythm,
    /// A period that makes no sense.
    #[error("a period must be whole seconds, at least 1s and at most 366d")]
    Every,
    /// A cron expression that makes no sense.
    #[error("cron {text:?}: {why}")]
    Cron {
        /// What it says.
        text: String,
        /// What is wrong with it.
        why: BadCron,
    },
    /// A zone that nobody knows.
    #[error("there is no time zone {0:?}; as Europe/Berlin, or UTC")]
    Zone(String),
    /// A period goes by no clock on a wall.
    #[error("a time zone says something of cron expressions alone")]
    ZoneOfPeriod,
    /// Two wishes that cannot both be fulfilled.
    #[error("missed ticks cannot each be made up for while overlapping ones are skipped")]
    Contradiction,
    /// A task that says itself when it may run, or that it is to run once.
    #[error("the task of a schedule runs at each tick: it has no delay, no key, no group and waits for no other task")]
    Task,
    /// Too large to be written with each tick.
    #[error("it has {0} bytes, at most {RECORD_BYTES_MAX} are taken; put the data into a file and pass its path")]
    TooLarge(usize),
}

impl ScheduleRecord {
    /// A schedule of this task that has not fired and says nothing of its ticks yet.
    #[must_use]
    pub fn new(task: Envelope) -> Self {
        Self {
            bellwether: PROTOCOL_VERSION,
            every_s: None,
            cron: None,
            timezone: None,
            missed: Missed::default(),
            overlap: Overlap::default(),
            paused: false,
            last: None,
            fired: None,
            task,
        }
    }

    /// One that is due by these five fields of cron, and does nothing yet: whoever makes it says what.
    #[must_use]
    pub fn cron(fields: impl Into<String>) -> Self {
        Self { cron: Some(fields.into()), ..Self::idle() }
    }

    /// One that is due again after each such time, in whole seconds, and does nothing yet: whoever makes it says what.
    #[must_use]
    pub fn every(time: Duration) -> Self {
        Self { every_s: Some(time.as_secs()), ..Self::idle() }
    }

    fn idle() -> Self {
        Self::new(Envelope::new(Command::Argv(Vec::new())))
    }

    /// Reads it, and when it is due.
    ///
    /// # Errors
    /// [`BadSchedule`]: it fires never.
    pub fn decode(data: &[u8]) -> Result<(Self, Rhythm), BadSchedule> {
        let record: Self = serde_json::from_slice(data).map_err(|error| BadSchedule::Garbage(error.to_string()))?;
        let rhythm = record.check()?;
        Ok((record, rhythm))
    }

    /// When it is due.
    ///
    /// # Errors
    /// [`BadSchedule`]: show it, it says what to change.
    pub fn check(&self) -> Result<Rhythm, BadSchedule> {
        if self.bellwether > PROTOCOL_VERSION {
            return Err(BadSchedule::Newer(self.bellwether));
        }
        let bytes = self.encode().len();
        if bytes > RECORD_BYTES_MAX {
            return Err(BadSchedule::TooLarge(bytes));
        }
        if self.missed == Missed::All && self.overlap == Overlap::Skip {
            return Err(BadSchedule::Contradiction);
        }
        let task = &self.task;
        if task.delay_ms > 0 || task.key.is_some() || task.group.is_some() || !task.after.is_empty() {
            return Err(BadSchedule::Task);
        }
        match (self.every_s, &self.cron) {
            (Some(_), None) if self.timezone.is_some() => Err(BadSchedule::ZoneOfPeriod),
            (Some(every), None) if (1..=EVERY_MAX_S).contains(&every) => Ok(Rhythm::Every(every.cast_signed())),
            (Some(_), None) => Err(BadSchedule::Every),
            (None, Some(text)) => {
                let cron = Cron::parse(text).map_err(|why| BadSchedule::Cron { text: text.clone(), why })?;
                Ok(Rhythm::Cron(Box::new(cron), Zone::named(self.timezone.as_deref().unwrap_or("UTC"))?))
            }
            (Some(_), Some(_)) | (None, None) => Err(BadSchedule::Rhythm),
        }
    }

    /// Whether it asks for the same as another one, whatever has become of either since.
    #[must_use]
    pub fn asks_for_the_same(&self, other: &Self) -> bool {
        let wish = |record: &Self| {
            let mut wish = Self { paused: false, last: None, fired: None, ..record.clone() };
            (wish.task.submitter, wish.task.signature) = (None, None);
            wish
        };
        wish(self) == wish(other)
    }

    /// As it is written to ZooKeeper.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only string keys and finite numbers")
    }
}

/// A time zone, by its name: of two that are called the same, all is the same.
#[derive(Clone)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// The zone of this name, by the rules that this program was built with: all coordinators of one version know the same.
    ///
    /// # Errors
    /// [`BadSchedule::Zone`]
    pub fn named(name: &str) -> Result<Self, BadSchedule> {
        let rules = if name == "UTC" { Ok(TimeZone::UTC) } else { TimeZoneDatabase::bundled().get(name) };
        rules.map(|rules| Self { name: name.to_owned(), rules }).map_err(|_| BadSchedule::Zone(name.to_owned()))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rhythm {
    /// Every so many seconds.
    Every(i64),
    /// By the calendar.
    Cron(Box<Cron>, Zone),
}

/// Spans in which the last tick before a moment is looked for, one after the other: few ticks lie in the first that has any.
const LOOK_BACK_S: [i64; 5] = [3600, 24 * 3600, 32 * 24 * 3600, 366 * 24 * 3600, 9 * 366 * 24 * 3600];

impl Rhythm {
    /// The first tick after this moment; `anchor` is when the schedule was created.
    #[must_use]
    pub fn next(&self, anchor: Tick, after: Tick) -> Option<Tick> {
        match self {
            Rhythm::Every(period) => {
                let periods = after.saturating_sub(anchor).div_euclid(*period).saturating_add(1).max(1);
                anchor.checked_add(periods.checked_mul(*period)?)
            }
            Rhythm::Cron(cron, zone) => {
                let after = Timestamp::from_second(after.max(anchor)).ok()?;
                cron.next(after, &zone.rules).map(Timestamp::as_second)
            }
        }
    }

    /// The last tick after `after` that is not later than `now`.
    #[must_use]
    pub fn last(&self, anchor: Tick, after: Tick, now: Tick) -> Option<Tick> {
        let starts = LOOK_BACK_S.iter().map(|span| now.saturating_sub(*span).max(after)).chain([after]);
        starts.map(|start| self.due(anchor, start, now).last()).find(Option::is_some).flatten()
    }

    /// All ticks after `after` that are not later than `now`.
    pub fn due(&self, anchor: Tick, after: Tick, now: Tick) -> impl Iterator<Item = Tick> {
        let next = move |after: Tick| self.next(anchor, after).filter(|tick| *tick <= now);
        std::iter::successors(next(after), move |tick| next(*tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(every_s: Option<u64>, cron: Option<&str>) -> ScheduleRecord {
        let task = Envelope::new(Command::Shell("true".into()));
        ScheduleRecord { every_s, cron: cron.map(str::to_owned), ..ScheduleRecord::new(task) }
    }

    #[test]
    fn a_period_counts_from_the_creation() {
        let rhythm = Rhythm::Every(60);
        assert_eq!(rhythm.next(1000, 0), Some(1060), "not at the creation itself");
        assert_eq!(rhythm.next(1000, 1059), Some(1060));
        assert_eq!(rhythm.next(1000, 1060), Some(1120));
        assert_eq!(rhythm.due(1000, 1060, 1250).collect::<Vec<_>>(), [1120, 1180, 1240]);
        assert_eq!(rhythm.last(1000, 1060, 1_000_000_007), Some(1_000_000_000));
        assert_eq!((rhythm.last(1000, 1060, 1100), rhythm.next(0, i64::MAX)), (None, None));
    }

    #[test]
    fn the_last_of_many_ticks_of_a_calendar_is_found() {
        let (_, rhythm) = ScheduleRecord::decode(&record(None, Some("*/5 * * * *")).encode()).expect("a schedule");
        assert_eq!(rhythm.last(0, 0, 100_000_000), Some(100_000_000 - 100_000_000 % 300));
        let (_, yearly) = ScheduleRecord::decode(&record(None, Some("@yearly")).encode()).expect("a schedule");
        assert_eq!(yearly.last(0, 0, 100_000_000), Some(94_694_400), "1973");
    }

    #[test]
    fn what_can_never_fire_is_no_schedule() {
        let bad = |record: ScheduleRecord| record.check().expect_err("bad").to_string();
        assert!(bad(record(None, None)).contains("either") && bad(record(Some(1), Some("@daily"))).contains("either"));
        assert!(bad(record(Some(0), None)).contains("at least 1s") && bad(record(Some(u64::MAX), None)).contains("366d"));
        assert!(bad(record(None, Some("0 0 31 2 *"))).contains("never fires"));
        let zone = |name: &str, record| ScheduleRecord { timezone: Some(name.into()), ..record };
        assert!(bad(zone("Mars/Olympus", record(None, Some("@daily")))).contains("Mars/Olympus"));
        assert!(bad(zone("UTC", record(Some(1), None))).contains("cron expressions alone"));
        assert!(zone("Europe/Berlin", record(None, Some("@daily"))).check().is_ok());
        let both = ScheduleRecord { missed: Missed::All, overlap: Overlap::Skip, ..record(Some(1), None) };
        assert_eq!(both.check(), Err(BadSchedule::Contradiction));
        let mut large = record(Some(1), None);
        large.task.shell = Some("x".repeat(RECORD_BYTES_MAX));
        assert!(matches!(large.check(), Err(BadSchedule::TooLarge(_))));
        assert!(matches!(ScheduleRecord::decode(b"\xff"), Err(BadSchedule::Garbage(_))));
        let mut keyed = record(Some(1), None);
        keyed.task.key = Some("k".into());
        assert_eq!(keyed.check(), Err(BadSchedule::Task));
        assert_eq!(ScheduleRecord { bellwether: 2, ..record(Some(1), None) }.check(), Err(BadSchedule::Newer(2)));
    }

    #[test]
    fn a_schedule_that_ran_is_still_the_same_wish() {
        let fresh = record(Some(5), None);
        let ran = ScheduleRecord { last: Some(7), fired: Some(7), paused: true, ..fresh.clone() };
        assert!(fresh.asks_for_the_same(&ran) && !fresh.asks_for_the_same(&record(Some(6), None)));
        assert_eq!(ScheduleRecord::decode(&ran.encode()).map(|(record, _)| record), Ok(ran));
    }

    #[test]
    fn a_task_is_called_by_its_tick() {
        let name = ScheduleName::parse("backup").expect("a name");
        assert_eq!(name.task(1_795_230_000).as_str(), "backup-20261121T030000Z");
        assert!(ScheduleName::parse("a/b").is_err() && ScheduleName::parse("").is_err());
        assert!(ScheduleName::parse(&"x".repeat(183)).is_ok() && ScheduleName::parse(&"x".repeat(184)).is_err());
    }
}
