//! Rules for single panels.

use super::{Findings, within};
use crate::dashboard::{Dashboard, list, text};

/// Those of Grafana's units that are of use here.
const UNITS: [&str; 16] = [
    "none",
    "short",
    "percent",
    "percentunit",
    "s",
    "ms",
    "bytes",
    "decbytes",
    "Bps",
    "ops",
    "reqps",
    "cps",
    "cpm",
    "iops",
    "bool",
    "dateTimeAsIso",
];

pub(super) fn datasource(dashboard: &Dashboard, findings: &mut Findings) {
    for panel in dashboard.panels() {
        for asking in std::iter::once(panel).chain(list(&panel["targets"])) {
            let source = &asking["datasource"];
            let sound = source["type"] == "prometheus" && source["uid"] == "${datasource}";
            within(findings, text(&panel["title"]), sound, || format!("its data source is {source}"));
        }
    }
}

pub(super) fn title_and_description(dashboard: &Dashboard, findings: &mut Findings) {
    for panel in dashboard.panels() {
        let (title, description) = (text(&panel["title"]), text(&panel["description"]));
        within(findings, title, !title.is_empty(), || format!("panel {} has no title", panel["id"]));
        within(findings, title, description.ends_with('.'), || format!("its description is no sentence: {description:?}"));
    }
}

pub(super) fn unit(dashboard: &Dashboard, findings: &mut Findings) {
    for panel in dashboard.panels() {
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        within(findings, text(&panel["title"]), UNITS.contains(&text(unit)), || format!("its unit is {unit}"));
    }
}

pub(super) fn has_targets(dashboard: &Dashboard, findings: &mut Findings) {
    for panel in dashboard.panels() {
        let targets = list(&panel["targets"]);
        let sound = !targets.is_empty() && targets.iter().all(|target| !text(&target["expr"]).is_empty());
        within(findings, text(&panel["title"]), sound, || "it asks for nothing".to_owned());
    }
}
