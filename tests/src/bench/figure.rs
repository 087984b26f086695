//! A value that was measured several times.

use std::fmt;

use serde::Serialize;

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// So many a second: the more the better.
    #[serde(rename = "/s")]
    PerSecond,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds of processor time.
    #[serde(rename = "µs")]
    Microseconds,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Mebibytes.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// Percent of one core.
    #[serde(rename = "% of a core")]
    Core,
    /// Times as much.
    #[serde(rename = "x")]
    Ratio,
    /// A plain number.
    #[serde(rename = "")]
    Count,
    /// One that can only be whole.
    #[serde(rename = "")]
    Whole,
}

impl Unit {
    /// A value with its unit.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        let digits = match self {
            Self::PerSecond | Self::Bytes | Self::Whole => 0,
            Self::Mebibytes | Self::Microseconds => 1,
            Self::Milliseconds | Self::Seconds | Self::Core | Self::Ratio | Self::Count => 2,
        };
        format!("{}{self}", grouped(value, digits))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::PerSecond => "/s",
            Self::Milliseconds => " ms",
            Self::Microseconds => " µs",
            Self::Seconds => " s",
            Self::Mebibytes => " MiB",
            Self::Bytes => " B",
            Self::Core => " % of a core",
            Self::Ratio => " x",
            Self::Count | Self::Whole => "",
        })
    }
}

/// With a comma between thousands.
fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut said = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !said.ends_with('-') {
            said.push(',');
        }
        said.push(digit);
    }
    said + &rest
}

/// One thing that was measured of one side, in every round.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Of which group.
    pub group: String,
    /// Of which side.
    pub side: String,
    /// What.
    pub what: String,
    /// Of the values.
    pub unit: Unit,
    /// The smallest.
    pub min: f64,
    /// The one in the middle.
    pub median: f64,
    /// The largest.
    pub max: f64,
    /// All of them, in the order of the rounds.
    pub rounds: Vec<f64>,
}

impl Figure {
    /// Without a value yet.
    #[must_use]
    pub fn new(group: &str, side: &str, what: &str, unit: Unit) -> Self {
        Self { group: group.into(), side: side.into(), what: what.into(), unit, min: 0.0, median: 0.0, max: 0.0, rounds: Vec::new() }
    }

    /// Measured once more.
    pub fn add(&mut self, value: f64) {
        self.rounds.push(value);
        let mut sorted = self.rounds.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        self.median = if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] };
        (self.min, self.max) = (sorted[0], sorted[sorted.len() - 1]);
    }

    /// How much of another this is, round by round: what a machine did to both in a round falls out.
    #[must_use]
    pub fn over(&self, other: &Figure) -> Figure {
        let mut ratio = Figure::new(&self.group, &self.side, &format!("{} over {} {}", self.what, other.side, other.what), Unit::Ratio);
        self.rounds.iter().zip(&other.rounds).filter(|(_, other)| **other > 0.0).for_each(|(own, other)| ratio.add(own / other));
        ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(values: &[f64]) -> Figure {
        let mut figure = Figure::new("group", "side", "what", Unit::PerSecond);
        values.iter().for_each(|value| figure.add(*value));
        figure
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        let spread = |figure: &Figure| [figure.min, figure.median, figure.max];
        assert_eq!(spread(&figure(&[3.0, 1.0, 2.0])), [1.0, 2.0, 3.0]);
        assert_eq!(spread(&figure(&[4.0, 1.0, 2.0, 3.0])), [1.0, 2.5, 4.0]);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // Of the medians it would be 1: the second round was slow for both.
        let ratio = figure(&[10.0, 4.0, 30.0]).over(&figure(&[20.0, 2.0, 10.0]));
        assert_eq!(ratio.rounds, [0.5, 2.0, 3.0]);
        assert_eq!(figure(&[1.0]).over(&figure(&[0.0])).rounds, [0.0; 0], "nothing to compare with");
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(Unit::PerSecond.show(1_234_567.8), "1,234,568/s");
        assert_eq!(Unit::Ratio.show(0.456), "0.46 x");
        assert_eq!(Unit::Count.show(-1234.0), "-1,234.00");
        assert_eq!(Unit::Milliseconds.show(999.999), "1,000.00 ms");
    }
}
