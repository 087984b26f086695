//! Rules for single questions: what language they are in, and whether they follow the variables.

use super::{Findings, each_use, within};
use crate::dashboard::promql::{self, CLUSTER, INSTANCE, JOB, Match, RATE_INTERVAL};
use crate::dashboard::{Dashboard, list, text};

pub(super) fn promql(dashboard: &Dashboard, findings: &mut Findings) {
    for target in dashboard.targets() {
        let parsed = promql::parse(target.expr).map(drop);
        within(findings, target.title, parsed.is_ok(), || format!("{}: {}", target.expr, parsed.unwrap_err()));
    }
}

pub(super) fn no_loki(dashboard: &Dashboard, findings: &mut Findings) {
    for panel in dashboard.panels() {
        for target in list(&panel["targets"]) {
            let kind = &target["datasource"]["type"];
            within(findings, text(&panel["title"]), kind == "prometheus", || format!("asks {kind}"));
        }
    }
}

pub(super) fn no_loki_variable(dashboard: &Dashboard, findings: &mut Findings) {
    for target in dashboard.targets() {
        within(findings, target.title, !target.expr.contains("$__auto"), || format!("{} uses $__auto", target.expr));
    }
}

pub(super) fn rate_interval(dashboard: &Dashboard, findings: &mut Findings) {
    each_use(dashboard, |target, series| {
        let rated = series.functions.first().is_some_and(|function| ["rate", "irate"].contains(function));
        let sound = !rated || series.range == Some(RATE_INTERVAL);
        within(findings, target.title, sound, || format!("the rate of {} is not over $__rate_interval", series.name));
    });
}

fn every_series_matches(dashboard: &Dashboard, wanted: Match<'_>, findings: &mut Findings) {
    each_use(dashboard, |target, series| {
        within(findings, target.title, series.matchers.contains(&wanted), || format!("{} does not follow ${}", series.name, wanted.label));
    });
}

pub(super) fn job(dashboard: &Dashboard, findings: &mut Findings) {
    every_series_matches(dashboard, Match { label: "job", op: "=~", value: JOB }, findings);
}

pub(super) fn instance(dashboard: &Dashboard, findings: &mut Findings) {
    every_series_matches(dashboard, Match { label: "instance", op: "=~", value: INSTANCE }, findings);
}

pub(super) fn cluster(dashboard: &Dashboard, findings: &mut Findings) {
    every_series_matches(dashboard, Match { label: "cluster", op: "=", value: CLUSTER }, findings);
}
