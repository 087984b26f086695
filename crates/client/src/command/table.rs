//! Columns for people: no borders, no escapes from foreign names, the same on a terminal and in a pipe but for colours.

use std::sync::OnceLock;
use std::time::Duration;

use comfy_table::{Cell, Color, ContentArrangement, Table as Grid, presets};
use jiff::Timestamp;

use super::arguments::Times;
use super::printer::Printer;

/// How this process shows times; relative unless told otherwise.
static TIMES: OnceLock<Times> = OnceLock::new();

/// From now on times are shown so.
pub(super) fn show_times(times: Times) {
    // Said twice at most, with the same arguments.
    let _ = TIMES.set(times);
}

/// Rows below a header.
#[derive(Debug)]
pub(crate) struct Table {
    grid: Grid,
    colored: bool,
}

impl Table {
    /// A table with this header; an empty one for pairs of key and value.
    pub(crate) fn new(header: &[&str], printer: &Printer) -> Self {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if printer.colored {
            grid.enforce_styling();
        } else {
            grid.force_no_tty();
        }
        if !header.is_empty() {
            grid.set_header(header.iter().map(Cell::new));
        }
        Self { grid, colored: printer.colored }
    }

    /// Adds a row. Words of states are coloured; control characters are not let through.
    pub(crate) fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        let cells = cells.into_iter().map(|text| {
            let color = if self.colored { color_of(&text) } else { None };
            let cell = Cell::new(printable(&text));
            color.map_or_else(|| cell.clone(), |color| cell.clone().fg(color))
        });
        let cells: Vec<Cell> = cells.collect();
        self.grid.add_row(cells);
    }

    /// All of it, without blanks at the ends of lines.
    pub(crate) fn print(mut self, printer: &Printer) {
        for column in self.grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        printer.line(&self.grid.trim_fmt());
    }
}

fn color_of(word: &str) -> Option<Color> {
    match word {
        "succeeded" => Some(Color::Green),
        "failed" | "dead" | "rejected" | "timed-out" => Some(Color::Red),
        "cancelled" | "held" | "draining" | "nobody" => Some(Color::Yellow),
        _ => None,
    }
}

/// Text that moves no cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A value, or what stands for none.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A time in the form that was asked for; `None`: relative to now.
fn absolute(then: Timestamp, times: Times) -> Option<String> {
    match times {
        Times::Relative => None,
        Times::Iso => Some(then.to_string()),
        Times::Unix => Some(format!("{}.{:03}", then.as_millisecond().div_euclid(1000), then.as_millisecond().rem_euclid(1000))),
    }
}

fn times() -> Times {
    TIMES.get().copied().unwrap_or(Times::Relative)
}

/// How long ago, in one unit, unless times are asked for in another form.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    absolute(then, times()).unwrap_or_else(|| relative(then, now))
}

fn relative(then: Timestamp, now: Timestamp) -> String {
    match u64::try_from(now.as_second() - then.as_second()) {
        Ok(0) | Err(_) => "just now".to_owned(),
        Ok(seconds) => format!("{} ago", short(Duration::from_secs(seconds))),
    }
}

/// How far ahead, in one unit, unless times are asked for in another form.
pub(crate) fn ahead(then: Timestamp, now: Timestamp) -> String {
    absolute(then, times()).map_or_else(|| remaining(then, now), |at| format!("at {at}"))
}

fn remaining(then: Timestamp, now: Timestamp) -> String {
    match u64::try_from(then.as_millisecond().saturating_sub(now.as_millisecond())) {
        Ok(0) | Err(_) => "now".to_owned(),
        Ok(millis) => format!("in {}", short(Duration::from_millis(millis))),
    }
}

/// A duration in one unit, as people say it.
pub(crate) fn short(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        seconds if seconds < 10 && duration.subsec_nanos() != 0 => format!("{:.1}s", duration.as_secs_f64()),
        seconds if seconds < 2 * MINUTE => format!("{seconds}s"),
        seconds if seconds < 2 * HOUR => format!("{}m", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        seconds => format!("{}d", seconds / DAY),
    }
}

/// Labels in one line.
pub(crate) fn pairs<V: std::fmt::Display>(pairs: &std::collections::BTreeMap<String, V>) -> String {
    if pairs.is_empty() {
        return "-".to_owned();
    }
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        for (ms, text) in
            [(0, "0ms"), (999, "999ms"), (1_500, "1.5s"), (65_000, "65s"), (150_000, "2m"), (8_000_000, "2h"), (200_000_000, "2d")]
        {
            assert_eq!(short(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_clock_that_is_behind_is_no_reason_to_panic() {
        assert_eq!(ago(Timestamp::from_second(10).expect("a time"), Timestamp::UNIX_EPOCH), "just now");
        assert_eq!(ahead(Timestamp::UNIX_EPOCH, Timestamp::from_second(10).expect("a time")), "now");
        assert_eq!(ahead(Timestamp::from_second(10).expect("a time"), Timestamp::UNIX_EPOCH), "in 10s");
    }

    #[test]
    fn times_have_the_form_that_was_asked_for() {
        let then = Timestamp::from_millisecond(-1_500).expect("a time");
        assert_eq!(absolute(then, Times::Relative), None);
        assert_eq!(absolute(then, Times::Iso).as_deref(), Some("1969-12-31T23:59:58.5Z"));
        assert_eq!(absolute(then, Times::Unix).as_deref(), Some("-2.500"));
    }

    #[test]
    fn foreign_names_move_no_cursor() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
