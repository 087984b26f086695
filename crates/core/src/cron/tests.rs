//! Expressions that are due, that are wrong, and that meet a change of the clocks.

use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// The next times after this one.
fn due(cron: &str, zone: &str, after: &str, how_many: usize) -> Vec<String> {
    let zone = TimeZoneDatabase::bundled().get(zone).expect("a zone");
    let cron = Cron::parse(cron).expect("an expression");
    let times = std::iter::successors(cron.next(at(after), &zone), |last| cron.next(*last, &zone));
    times.take(how_many).map(|time| time.to_string()).collect()
}

#[test]
fn each_field_restricts() {
    let utc = |cron: &str| due(cron, "UTC", "2026-11-21T08:00:00Z", 2);
    assert_eq!(utc("* * * * *"), ["2026-11-21T08:01:00Z", "2026-11-21T08:02:00Z"]);
    assert_eq!(utc("*/20 * * * *"), ["2026-11-21T08:20:00Z", "2026-11-21T08:40:00Z"]);
    assert_eq!(utc("5/30 9-10 * * *"), ["2026-11-21T09:05:00Z", "2026-11-21T09:35:00Z"]);
    assert_eq!(utc("0 3 * * *"), ["2026-11-22T03:00:00Z", "2026-11-23T03:00:00Z"]);
    assert_eq!(utc("30 4 1,15 * *"), ["2026-12-01T04:30:00Z", "2026-12-15T04:30:00Z"]);
    assert_eq!(utc("0 0 29 feb *"), ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    assert_eq!(utc("0 12 * * MON-fri/2"), ["2026-11-23T12:00:00Z", "2026-11-25T12:00:00Z"]);
    assert_eq!(utc("0 0 * * 7"), utc("@weekly"));
    assert_eq!(utc("0 0 13 * 5"), ["2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z"], "either kind of day suffices");
    assert_eq!(utc("@yearly"), ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]);
}

#[test]
fn a_time_that_the_clocks_leave_out_is_due_when_they_go_on_and_one_that_comes_twice_is_due_once() {
    let berlin = |cron: &str, after: &str, how_many| due(cron, "Europe/Berlin", after, how_many);
    assert_eq!(berlin("30 2 * * *", "2026-03-28T02:00:00Z", 2), ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
    assert_eq!(berlin("30 2 * * *", "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let hourly = berlin("0 * * * *", "2026-10-24T23:30:00Z", 3);
    assert_eq!(hourly, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]);
    let forward = berlin("*/30 1-3 * * *", "2026-03-29T00:00:00Z", 4);
    assert_eq!(forward, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T23:00:00Z"]);
}

#[test]
fn what_is_wrong_is_named() {
    let bad = |text: &str| Cron::parse(text).expect_err(text).to_string();
    assert!(bad("").contains("this one has 0") && bad("* * * *").contains("this one has 4") && bad("0 0 0 * * * *").contains('7'));
    for field in ["60 * * * *", "-1 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *", "1, * * * *", "+1 * * * *", "**  * * * *"] {
        assert!(bad(field).starts_with("minute: "), "{field}");
    }
    assert!(
        bad("0 0 0 * *").starts_with("day: \"0\"") && bad("0 0 * * 8").starts_with("day of week: ") && bad("0 0 * mai *").contains("mai")
    );
    assert!(bad("@often").contains("@often"));
    for never in ["0 0 31 2 *", "0 0 30 feb *", "0 0 31 4,6,9,11 *"] {
        assert_eq!(Cron::parse(never), Err(BadCron::Never), "{never}");
    }
    assert!(Cron::parse("0 0 31 2 1").is_ok(), "Mondays in February suffice");
}

proptest! {
    /// Whatever is written, reading it ends, and the next time is later and shows what was asked for.
    #[test]
    fn the_next_time_is_later_and_fits(minute in 0..60i8, hour in 0..24i8, weekday in 0..7i8, second in 0..4_000_000_000i64) {
        let cron = Cron::parse(&format!("{minute} {hour} * * {weekday}")).expect("an expression");
        let zone = TimeZoneDatabase::bundled().get("America/New_York").expect("a zone");
        let after = Timestamp::from_second(second).expect("a time");
        let next = cron.next(after, &zone).expect("there is one");
        let shown = zone.to_datetime(next);
        prop_assert!(next > after && next.as_second() - second <= 8 * 24 * 3600);
        prop_assert_eq!((shown.minute(), shown.weekday().to_sunday_zero_offset()), (minute, weekday));
        prop_assert!(shown.hour() == hour || (hour == 2 && shown.hour() == 3), "{} for {}", shown, cron);
    }

    #[test]
    fn no_text_is_too_much(text in "[0-9*/,@a-z -]{0,24}") {
        let _ = Cron::parse(&text);
    }
}
