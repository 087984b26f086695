//! A scrape, as a map from series to values.

use std::collections::BTreeMap;

use anyhow::Context;

/// One series: its name and its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Name of the metric, with `_bucket`, `_sum` or `_count` for histograms.
    pub name: String,
    /// Its labels, unescaped.
    pub labels: BTreeMap<String, String>,
}

/// All series of one scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(BTreeMap<Series, f64>);

impl Metrics {
    /// Reads Prometheus' text format.
    ///
    /// # Errors
    /// A line is neither a comment nor `name{labels} value`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        lines.map(|line| parse_line(line).with_context(|| format!("not a sample: {line:?}"))).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Sum of all series of this name that have at least these labels; `None` if there is none.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |series: &Series| {
            series.name == name && labels.iter().all(|(key, value)| series.labels.get(*key).is_some_and(|found| found == value))
        };
        let values: Vec<f64> = self.0.iter().filter(|(series, _)| wanted(series)).map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// As [`get`](Self::get), for a metric that must be there.
    ///
    /// # Panics
    /// It is not; the text lists all of the same name.
    #[must_use]
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(name, labels).unwrap_or_else(|| {
            let same: Vec<&Series> = self.0.keys().filter(|series| series.name == name).collect();
            panic!("no {name} with {labels:?} in the scrape; of this name there are {same:?}")
        })
    }

    /// All series.
    pub fn iter(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.0.iter().map(|(series, value)| (series, *value))
    }
}

fn parse_line(line: &str) -> Option<(Series, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = (line[..end].to_owned(), &line[end..]);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(key.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((Series { name, labels }, value))
}

/// The text up to the closing quote, unescaped, and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"
# HELP requests_total how many
# TYPE requests_total counter
requests_total{op="get",result="ok"} 3
requests_total{op="get",result="a \"quoted\", {odd} one\n"} 2
requests_total{op="set",result="ok"} 1
up 1
latency_bucket{le="+Inf"} 1e3
"#;

    #[test]
    fn values_are_looked_up_by_some_of_their_labels() {
        let metrics = Metrics::parse(SCRAPE).expect("a scrape");
        assert_eq!(metrics.get("requests_total", &[("op", "get")]), Some(5.0));
        assert_eq!(metrics.get("requests_total", &[("result", "a \"quoted\", {odd} one\n")]), Some(2.0));
        assert_eq!(metrics.get("requests_total", &[("op", "delete")]), None);
        assert_eq!(metrics.value("up", &[]), 1.0);
        assert_eq!(metrics.value("latency_bucket", &[("le", "+Inf")]), 1000.0);
    }

    #[test]
    fn what_is_no_scrape_is_an_error() {
        for bad in ["<html>", "a{b=\"c} 1", "name value"] {
            assert!(Metrics::parse(bad).is_err(), "{bad}");
        }
    }
}
