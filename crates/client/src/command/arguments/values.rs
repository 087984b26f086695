//! How values on the command line are read: durations, times, pairs.

use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_core::protocol::array::{ARRAY_COUNT_MAX, Span};
use bellwether_core::protocol::record::{RESOURCE_MAX, SLOTS_MAX};
use bellwether_core::protocol::request::CANCEL_GRACE_MAX;
use jiff::Timestamp;

pub(crate) fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("must begin with /".to_owned()) }
}

/// The longest duration that is taken: what is longer is a slip of the pen.
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let spelled = || "a duration is a number and one of ms, s, m, h, d, as 90s or 1h30m".to_owned();
    let duration = humantime::parse_duration(text).map_err(|_| spelled())?;
    match duration {
        // What is shorter would be rounded to no limit at all.
        _ if duration < Duration::from_millis(1) => Err("must be a millisecond or more".to_owned()),
        _ if duration > YEAR => Err("must be a year at most".to_owned()),
        _ => Ok(duration),
    }
}

/// How long what is cancelled may take to end.
pub(crate) fn grace(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration > CANCEL_GRACE_MAX { Err("must be an hour at most".to_owned()) } else { Ok(duration) }
}

/// Most bytes of what is said to people: it stands in results, tables and logs.
const SAID_MAX: usize = 1_000;

/// Something for people: a name, a reason.
pub(crate) fn said(text: &str) -> Result<String, String> {
    match text.trim().len() {
        0 => Err("must not be empty".to_owned()),
        _ if text.len() > SAID_MAX => Err(format!("must be {SAID_MAX} bytes at most")),
        _ => Ok(text.to_owned()),
    }
}

/// `SHORTEST..LONGEST`, or one duration for both.
pub(crate) fn backoff(text: &str) -> Result<(Duration, Duration), String> {
    let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
    let (shortest, longest) = (duration(shortest)?, duration(longest)?);
    if shortest > longest { Err("the shortest time must not be longer than the longest".to_owned()) } else { Ok((shortest, longest)) }
}

pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "a time is a date, a time and an offset, as 2026-11-22T07:00:00+01:00 or 2026-11-22T06:00:00Z".to_owned())
}

pub(crate) fn request_timeout(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < Duration::from_secs(1) { Err("must be a second or more".to_owned()) } else { Ok(duration) }
}

pub(super) fn kind(text: &str) -> Result<String, String> {
    bellwether_core::protocol::payload::check_kind(text).map(|()| text.to_owned()).map_err(|why| why.to_string())
}

pub(super) fn submission_key(text: &str) -> Result<String, String> {
    bellwether_core::protocol::key::check(text).map(|()| text.to_owned()).map_err(|bad| bad.to_string())
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((label, value)) if !label.is_empty() && !value.is_empty() => Ok((label.to_owned(), value.to_owned())),
        _ => Err("must look as label=value".to_owned()),
    }
}

/// How many slots: at least one, and no more than any worker has.
pub(crate) fn slots(text: &str) -> Result<NonZeroU32, String> {
    number(text, SLOTS_MAX)
}

/// `name=number`.
pub(crate) fn resource(text: &str) -> Result<(String, NonZeroU32), String> {
    let (name, count) = pair(text).map_err(|_| "must look as name=number, for example gpu=2".to_owned())?;
    Ok((name, number(&count, RESOURCE_MAX)?))
}

/// How many elements an array has.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    number(text, ARRAY_COUNT_MAX).map(NonZeroU32::get)
}

/// `from-to`, or one number.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    let spelled = || format!("{text:?} is no range of elements, as 0-9999, or 5");
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    if text.contains([':', ',']) {
        return Err("one range is taken, without steps: 0-9999; let the command pass over what it does not want".to_owned());
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let span = Span { from: plain(from).ok_or_else(spelled)?, to: plain(to).ok_or_else(spelled)? };
    match span.len() {
        0 => Err(format!("{} does not come before {}", span.from, span.to)),
        count if count > ARRAY_COUNT_MAX => Err(format!("{count} elements are too many, at most {ARRAY_COUNT_MAX} are taken")),
        _ => Ok(span),
    }
}

fn number(text: &str, most: u32) -> Result<NonZeroU32, String> {
    let number = text.parse().ok().filter(|number: &NonZeroU32| number.get() <= most);
    number.ok_or_else(|| format!("{text:?} is not a whole number between 1 and {most}"))
}

pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must look as NAME=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_range_says_why() {
        for (text, says) in [
            ("", "is no range"),
            ("-1", "is no range"),
            ("1-", "is no range"),
            ("a-b", "is no range"),
            ("+1-2", "is no range"),
            ("1-2-3", "is no range"),
            ("4294967296", "is no range"),
            ("9-1", "does not come before"),
            ("0-99:2", "without steps"),
            ("1,3", "without steps"),
            ("0-10000000", "too many"),
            ("0-4294967295", "too many"),
        ] {
            let why = span(text).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
        assert!(count("0").is_err() && count("-1").is_err() && count("10000001").is_err() && count("10000000").is_ok());
    }

    proptest! {
        #[test]
        fn a_range_reads_as_it_is_written(from in 0_u32..4_000_000_000, more in 0..ARRAY_COUNT_MAX) {
            let to = from + more;
            prop_assert_eq!(span(&format!("{from}-{to}")), Ok(Span { from, to }));
            prop_assert_eq!(span(&from.to_string()), Ok(Span::one(from)));
            prop_assert_eq!(span(&format!("{from}-{to}")).map(|span| span.len()), Ok(more + 1));
        }
    }
}
