//! Rules for the series that are asked for: they exist, and they are asked for in a way that makes sense for their type.
//!
//! What lives here: the rules, and which of ZooKeeper's own metrics are asked for. What does not: the list of Bellwether's, which is
//! the product's ([`bellwether_common::metrics`]). That the exporter does tell ZooKeeper's is seen end to end: every panel answers.

use bellwether_common::metrics::{self, Kind};

use super::{Findings, each_use, within};
use crate::dashboard::promql::{self, Match, Use};
use crate::dashboard::{Dashboard, Target};

/// Labels that Prometheus or the recorder adds to every series; `le` belongs to buckets.
const COMMON_LABELS: [&str; 4] = ["cluster", "job", "instance", "le"];
const RATES: [&str; 3] = ["rate", "irate", "increase"];

/// Of ZooKeeper's official names those that the dashboards ask for, and whether they only grow.
const ZOOKEEPER: [(&str, bool); 13] = [
    ("approximate_data_size", false),
    ("ephemerals_count", false),
    ("fsynctime_count", true),
    ("fsynctime_sum", true),
    ("num_alive_connections", false),
    ("outstanding_requests", false),
    ("readlatency", false),
    ("readlatency_count", true),
    ("stale_sessions_expired", true),
    ("updatelatency", false),
    ("updatelatency_count", true),
    ("watch_count", false),
    ("znode_count", false),
];
/// Their labels, beside the common ones.
const ZOOKEEPER_LABELS: [(&str, &[&str]); 2] = [("server", &[]), ("quantile", &["0.5", "0.95", "0.99", "0.999"])];

/// What is known of a series.
struct Known {
    /// It is a counter, or a part of a histogram.
    grows: bool,
    labels: &'static [(&'static str, &'static [&'static str])],
}

fn find(name: &str) -> Option<Known> {
    let own = metrics::find(name).map(|metric| Known { grows: metric.kind != Kind::Gauge, labels: metric.labels });
    let official = || ZOOKEEPER.iter().find(|(known, _)| *known == name);
    own.or_else(|| official().map(|(_, grows)| Known { grows: *grows, labels: &ZOOKEEPER_LABELS }))
}

/// Whether a series only grows. `None`: there is no such series.
fn grows(name: &str) -> Option<bool> {
    find(name).map(|known| known.grows)
}

pub(super) fn counters_through_rate(dashboard: &Dashboard, findings: &mut Findings) {
    each_use(dashboard, |target, series| {
        let sound = grows(series.name) != Some(true) || series.functions.first().is_some_and(|function| RATES.contains(function));
        within(findings, target.title, sound, || format!("{} only grows, and is not looked at through a rate", series.name));
    });
}

pub(super) fn rates_of_counters(dashboard: &Dashboard, findings: &mut Findings) {
    each_use(dashboard, |target, series| {
        let rated = series.range.is_some() && series.functions.first().is_some_and(|function| RATES.contains(function));
        within(findings, target.title, !rated || grows(series.name) != Some(false), || {
            format!("a rate of {}, which is a gauge", series.name)
        });
    });
}

pub(super) fn buckets_through_quantile(dashboard: &Dashboard, findings: &mut Findings) {
    each_use(dashboard, |target, series| {
        let bucket = series.name.ends_with("_bucket");
        let quantile = series.functions.contains(&"histogram_quantile");
        within(findings, target.title, bucket == quantile, || format!("{} and histogram_quantile belong together", series.name));
        let keeps_le = series.kept.as_ref().is_none_or(|kept| kept.iter().any(|label| label == "le"));
        within(findings, target.title, !bucket || keeps_le, || format!("{} is added up without le", series.name));
    });
}

pub(super) fn known(dashboard: &Dashboard, findings: &mut Findings) {
    each_use(dashboard, |target, series| look_up(target, series, findings));
    for annotation in dashboard.annotations() {
        let Ok(expr) = promql::parse(annotation.expr) else { continue };
        let target = Target { title: annotation.name, panel: 0, id: "", expr: annotation.expr, instant: false, interval: None };
        promql::uses(&expr).iter().for_each(|series| look_up(target, series, findings));
    }
}

fn look_up(target: Target<'_>, series: &Use<'_>, findings: &mut Findings) {
    let Some(metric) = find(series.name) else {
        return within(findings, target.title, false, || format!("there is no metric {}", series.name));
    };
    let values = |label: &str| metric.labels.iter().find(|(known, _)| *known == label).map(|(_, values)| *values);
    for Match { label, value, .. } in &series.matchers {
        let known = COMMON_LABELS.contains(label) || values(label).is_some();
        within(findings, target.title, known, || format!("{} has no label {label}", series.name));
        let possible = values(label).filter(|values| !values.is_empty());
        let sound = possible.is_none_or(|possible| value.split('|').all(|alternative| possible.contains(&alternative)));
        within(findings, target.title, sound, || format!("{} never has {label}={value:?}", series.name));
    }
    for label in series.kept.iter().flatten() {
        let known = COMMON_LABELS.contains(&label.as_str()) || values(label).is_some();
        within(findings, target.title, known, || format!("{} is added up by {label}, which it does not have", series.name));
    }
}
