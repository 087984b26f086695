//! Grafana's dashboards as the product ships them: their panels, their questions, and the questions with the variables filled in.
//!
//! What lives here: reading `dashboards/*.json`. What does not: what a good dashboard is ([`rules`]), and asking Prometheus
//! ([`crate::prometheus`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

pub mod promql;
pub mod rules;

/// A dashboard, as Grafana loads it.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// Its file's name, without `.json`.
    pub name: String,
    /// All of it.
    pub json: Value,
}

/// One question of a panel.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The panel's title.
    pub title: &'a str,
    /// The panel's number.
    pub panel: u64,
    /// The question's name within the panel.
    pub id: &'a str,
    /// PromQL, with Grafana's variables.
    pub expr: &'a str,
    /// Asked for one moment, not for a range.
    pub instant: bool,
    /// The least distance between two points, where it asks for one.
    pub interval: Option<Duration>,
}

/// A query whose results are marked in every panel.
#[derive(Debug, Clone, Copy)]
pub struct Annotation<'a> {
    /// What it is called.
    pub name: &'a str,
    /// PromQL, with Grafana's variables.
    pub expr: &'a str,
    /// Its values are the moments, in milliseconds; else the samples are.
    pub value_is_time: bool,
}

/// What Grafana would put in the place of variables.
#[derive(Debug, Clone)]
pub struct Variables {
    /// `$cluster`.
    pub cluster: String,
    /// `$job`, as a regular expression.
    pub job: String,
    /// `$instance`, as a regular expression.
    pub instance: String,
    /// `$__range`.
    pub range: Duration,
    /// `$__interval`.
    pub interval: Duration,
    /// `$__rate_interval`.
    pub rate_interval: Duration,
}

/// The directory of the dashboards, from the sources that this was built from.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// Every dashboard, by name.
///
/// # Errors
/// There is none, or one is no JSON.
pub fn all() -> anyhow::Result<Vec<Dashboard>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory())?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")).map(str::to_owned);
    // The two others belong to the sources.
    let shipped = |name: &String| !["package", "package-lock", "tsconfig"].contains(&name.as_str());
    let named = paths.into_iter().filter_map(|path| name(&path).filter(shipped).map(|name| (name, path)));
    let read = |(name, path): (String, PathBuf)| {
        let json = serde_json::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        Ok(Dashboard { name, json })
    };
    let dashboards: Vec<Dashboard> = named.map(read).collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(!dashboards.is_empty(), "there are no dashboards in {}", directory().display());
    Ok(dashboards)
}

impl Dashboard {
    /// Its panels, without the rows that hold them.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row")
    }

    /// Every question of every panel.
    pub fn targets(&self) -> impl Iterator<Item = Target<'_>> {
        self.panels().flat_map(|panel| {
            list(&panel["targets"]).iter().map(|target| Target {
                title: text(&panel["title"]),
                panel: panel["id"].as_u64().unwrap_or_default(),
                id: text(&target["refId"]),
                expr: text(&target["expr"]),
                instant: target["instant"] == true,
                interval: target["interval"].as_str().and_then(interval),
            })
        })
    }

    /// What is marked in every panel.
    pub fn annotations(&self) -> impl Iterator<Item = Annotation<'_>> {
        list(&self.json["annotations"]["list"]).iter().map(|annotation| Annotation {
            name: text(&annotation["name"]),
            expr: text(&annotation["expr"]),
            value_is_time: annotation["useValueForTime"] == true,
        })
    }

    /// Where the values of its variables come from: a selector, and a label of what it finds.
    pub fn label_queries(&self) -> impl Iterator<Item = (&str, &str)> {
        let queries = list(&self.json["templating"]["list"]).iter().map(|variable| text(&variable["query"]["query"]));
        queries.filter_map(|query| query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", "))
    }

    /// The panel of this title.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    #[track_caller]
    pub fn panel(&self, title: &str) -> &Value {
        self.panels().find(|panel| panel["title"] == title).unwrap_or_else(|| panic!("{} has no panel {title:?}", self.name))
    }

    /// The first question of the panel of this title.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    #[track_caller]
    pub fn target(&self, title: &str) -> Target<'_> {
        self.targets().find(|target| target.title == title).unwrap_or_else(|| panic!("{} asks nothing for {title:?}", self.name))
    }
}

impl Variables {
    /// All processes of this cluster.
    #[must_use]
    pub fn all_of(cluster: &str, range: Duration, interval: Duration, rate_interval: Duration) -> Self {
        let anything = || ".+".to_owned();
        Self { cluster: cluster.to_owned(), job: anything(), instance: anything(), range, interval, rate_interval }
    }

    /// The expression as Grafana sends it.
    #[must_use]
    pub fn fill_in(&self, expr: &str) -> String {
        // Longer names first: some begin with the whole name of another.
        let ms = |duration: Duration| duration.as_millis().to_string();
        [
            ("$__rate_interval", ms(self.rate_interval) + "ms"),
            ("$__interval_ms", ms(self.interval)),
            ("$__interval", ms(self.interval) + "ms"),
            ("$__range", ms(self.range) + "ms"),
            ("$cluster", self.cluster.clone()),
            ("$job", self.job.clone()),
            ("$instance", self.instance.clone()),
        ]
        .into_iter()
        .fold(expr.to_owned(), |filled, (name, value)| filled.replace(name, &value))
    }
}

/// Grafana's spelling: `200ms`, `15s`.
fn interval(text: &str) -> Option<Duration> {
    let milliseconds = |number: &str| number.parse().ok().map(Duration::from_millis);
    let seconds = |number: &str| number.parse().ok().map(Duration::from_secs);
    text.strip_suffix("ms").map_or_else(|| text.strip_suffix('s').and_then(seconds), milliseconds)
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_grafana_spells_them() {
        assert_eq!(["200ms", "15s", "1m"].map(interval), [Some(Duration::from_millis(200)), Some(Duration::from_secs(15)), None]);
    }

    #[test]
    fn variables_are_filled_in_whichever_begins_like_another() {
        let variables = Variables::all_of("prod", Duration::from_secs(3600), Duration::from_secs(15), Duration::from_secs(60));
        let filled =
            variables.fill_in(r#"rate(x{cluster="$cluster",job=~"$job"}[$__rate_interval]) + y[$__range:$__interval] * $__interval_ms"#);
        assert_eq!(filled, r#"rate(x{cluster="prod",job=~".+"}[60000ms]) + y[3600000ms:15000ms] * 15000"#);
    }
}
