//! Cron expressions: when something is due by the calendar of a time zone.
//!
//! Five fields: minute, hour, day of month, month, day of week. Each is `*`, a number, a range, a list of these, with `/step`; months and
//! days of the week have English names, too, and 7 is Sunday as 0 is. When both kinds of day are restricted, either suffices, as
//! everywhere. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are short for the obvious.
//!
//! Where clocks are put forward, what falls into the missing hour is due when that is over. Where they are put back, what names its hour
//! is due once, and what is due every hour is due in both.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// A cron expression that fires.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Which of the two kinds of day are restricted.
    by_day: bool,
    by_weekday: bool,
    /// Whether it names hours, so that an hour that comes twice counts once.
    by_hour: bool,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCron {
    /// Not five of them.
    #[error("a cron expression has five fields (minute, hour, day, month, day of week), this one has {0}")]
    Fields(usize),
    /// A field that says nothing.
    #[error("{field}: {text:?} is neither *, a number from {least} to {most}, a range, nor a list of these")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says.
        text: String,
        /// The least number there.
        least: u8,
        /// The greatest.
        most: u8,
    },
    /// A word with @ that nobody knows.
    #[error("{0:?} is none of @hourly, @daily, @weekly, @monthly and @yearly")]
    Word(String),
    /// There is no such day.
    #[error("it never fires: no month that it names has a day that it names")]
    Never,
}

struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Field = Field { name: "day", least: 1, most: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field = Field { name: "day of week", least: 0, most: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// The next 29 February may be eight years ahead.
const DAYS_AHEAD: u32 = 9 * 366;
/// More than clocks are put forward or back.
const SHIFT_HOURS: i64 = 3;

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`BadCron`]: show it, it says what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadCron> {
        let text = text.trim();
        let spelled = match text.strip_prefix('@') {
            None => text,
            Some("hourly") => "0 * * * *",
            Some("daily" | "midnight") => "0 0 * * *",
            Some("weekly") => "0 0 * * 0",
            Some("monthly") => "0 0 1 * *",
            Some("yearly" | "annually") => "0 0 1 1 *",
            Some(_) => return Err(BadCron::Word(text.to_owned())),
        };
        let fields: Vec<&str> = spelled.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else { return Err(BadCron::Fields(fields.len())) };
        let sundays = WEEKDAY.read(weekdays)?;
        let cron = Self {
            text: text.to_owned(),
            minutes: MINUTE.read(minutes)?,
            hours: HOUR.read(hours)?,
            days: DAY.read(days)?,
            months: MONTH.read(months)?,
            weekdays: (sundays | sundays >> 7) & 0x7f,
            by_day: !days.starts_with('*'),
            by_weekday: !weekdays.starts_with('*'),
            by_hour: !hours.starts_with('*'),
        };
        let january = Date::new(2024, 1, 1).expect("a date");
        let fires = cron.days_from(january).next().is_some();
        if fires { Ok(cron) } else { Err(BadCron::Never) }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first moment after `after` at which it is due in this zone. `None`: not before the end of time.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let from = zone.to_datetime(after).checked_sub(SHIFT_HOURS.hours()).ok()?;
        let mut best: Option<(Timestamp, DateTime)> = None;
        for date in self.days_from(from.date()) {
            for at in self.times_of(date).filter(|at| *at >= from) {
                // Of two that are as far apart as clocks are ever put, the later one is not due first.
                if best.is_some_and(|(_, found)| at > found.saturating_add(SHIFT_HOURS.hours())) {
                    return best.map(|(moment, _)| moment);
                }
                let first = self.moments(at, zone).into_iter().flatten().filter(|moment| *moment > after).min();
                if let Some(moment) = first.filter(|moment| best.is_none_or(|(found, _)| *moment < found)) {
                    best = Some((moment, best.map_or(at, |(_, found)| found)));
                }
            }
        }
        best.map(|(moment, _)| moment)
    }

    fn days_from(&self, first: Date) -> impl Iterator<Item = Date> {
        let days = first.series(1.day()).take(DAYS_AHEAD as usize);
        days.filter(|date| has(self.months, date.month()) && self.is_day(*date))
    }

    fn is_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        match (self.by_day, self.by_weekday) {
            (true, true) => day || weekday,
            (true, false) | (false, true) | (false, false) => day && weekday,
        }
    }

    fn times_of(&self, date: Date) -> impl Iterator<Item = DateTime> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(move |hour| (0..60).filter(|minute| has(self.minutes, *minute)).map(move |minute| date.at(hour, minute, 0, 0)))
    }

    /// When the clocks show this: once, or twice, or as soon as they do again.
    fn moments(&self, at: DateTime, zone: &TimeZone) -> [Option<Timestamp>; 2] {
        match zone.to_ambiguous_timestamp(at).offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(at).ok(), None],
            AmbiguousOffset::Gap { before, .. } => [before.to_timestamp(at).ok(), None],
            AmbiguousOffset::Fold { before, after } => {
                let again = (!self.by_hour).then(|| after.to_timestamp(at).ok()).flatten();
                [before.to_timestamp(at).ok(), again]
            }
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn has(set: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| set >> number & 1 == 1)
}

impl Field {
    fn read(&self, text: &str) -> Result<u64, BadCron> {
        let bad = || BadCron::Field { field: self.name, text: text.to_owned(), least: self.least, most: self.most };
        let parts = text.split(',').map(|part| self.part(part));
        parts.collect::<Option<Vec<u64>>>().map(|sets| sets.into_iter().fold(0, |all, set| all | set)).ok_or_else(bad)
    }

    /// `*`, `a`, `a-b`, each with `/step`; `a/step` goes on to the end.
    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (text, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None => (self.number(range)?, if step.is_some() { self.most } else { self.number(range)? }),
        };
        (from <= to).then(|| (from..=to).step_by(step.unwrap_or(1)).fold(0, |set, number| set | 1 << number))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|place| u8::try_from(place).ok()).map(|place| place + self.least);
        let number = || text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        named.or_else(number).filter(|number| (self.least..=self.most).contains(number))
    }
}

#[cfg(test)]
mod tests;
