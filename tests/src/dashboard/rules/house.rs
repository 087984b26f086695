//! The house's own rules: identity, places, legends, states, links, annotations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Findings, whole, within};
use crate::dashboard::{Dashboard, list, promql, text};

const GRID_WIDTH: u64 = 24;
/// Of Grafana 10.4. Newer versions migrate older schemas, never the other way round.
const SCHEMA: u64 = 39;
const DASHBOARDS: [&str; 3] = ["failover", "tasks", "zookeeper"];
const ANNOTATIONS: [&str; 4] = ["Failover", "Session expired", "Worker lost", "Restart"];

pub(super) fn ids(dashboard: &Dashboard, findings: &mut Findings) {
    let mut taken = BTreeSet::new();
    for panel in list(&dashboard.json["panels"]) {
        let title = text(&panel["title"]);
        let id = panel["id"].as_u64();
        within(findings, title, id.is_some() && taken.insert(id), || format!("its id is {}, as another's", panel["id"]));
        let targets = list(&panel["targets"]);
        let names: BTreeSet<&str> = targets.iter().map(|target| text(&target["refId"])).collect();
        within(findings, title, names.len() == targets.len(), || "two of its questions have the same name".to_owned());
    }
}

pub(super) fn grid(dashboard: &Dashboard, findings: &mut Findings) {
    let mut taken = BTreeSet::new();
    for panel in list(&dashboard.json["panels"]) {
        let title = text(&panel["title"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or_default());
        within(findings, title, w > 0 && h > 0 && x + w <= GRID_WIDTH, || format!("it does not fit: {}", panel["gridPos"]));
        let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        let free = cells.filter(|cell| !taken.insert(*cell)).count() == 0;
        within(findings, title, free, || "it lies on another panel".to_owned());
    }
}

pub(super) fn legends(dashboard: &Dashboard, findings: &mut Findings) {
    for panel in dashboard.panels() {
        for target in list(&panel["targets"]) {
            let legend = text(&target["legendFormat"]);
            let named = !legend.is_empty() && legend != "__auto";
            within(findings, text(&panel["title"]), named, || format!("question {} says nothing of its legend", target["refId"]));
        }
    }
}

pub(super) fn states(dashboard: &Dashboard, findings: &mut Findings) {
    for panel in dashboard.panels().filter(|panel| panel["type"] == "state-timeline") {
        let title = text(&panel["title"]);
        let named = |state: &Value| !text(&state["text"]).is_empty() && !text(&state["color"]).is_empty();
        let mappings = list(&panel["fieldConfig"]["defaults"]["mappings"]);
        let states: Vec<(&String, &Value)> = mappings.iter().filter_map(|mapping| mapping["options"].as_object()).flatten().collect();
        within(findings, title, states.len() > 1 && states.iter().all(|(_, state)| named(state)), || {
            "it names and colours no states".to_owned()
        });
        // A question that numbers states, from 1 on, names each of them once. 0 is none of them.
        let expr = list(&panel["targets"]).first().map_or("", |target| text(&target["expr"]));
        for (number, state) in states.iter().filter(|(number, _)| *number != "0" && expr.contains("state=")) {
            let sound = expr.contains(&format!("state={}}} * {number}", state["text"]));
            within(findings, title, sound, || format!("{number} is not {}", state["text"]));
        }
    }
}

pub(super) fn uid(dashboard: &Dashboard, findings: &mut Findings) {
    let (uid, wanted) = (&dashboard.json["uid"], format!("bellwether-{}", dashboard.name));
    whole(findings, *uid == wanted, || format!("its uid is {uid} instead of {wanted}"));
}

pub(super) fn schema(dashboard: &Dashboard, findings: &mut Findings) {
    let version = &dashboard.json["schemaVersion"];
    whole(findings, *version == SCHEMA, || format!("its schema is {version} instead of {SCHEMA}"));
    // A number that Grafana gave it belongs to one Grafana.
    whole(findings, dashboard.json["id"].is_null(), || "it has a number of somebody's Grafana".to_owned());
}

pub(super) fn links(dashboard: &Dashboard, findings: &mut Findings) {
    let links = list(&dashboard.json["links"]);
    for other in DASHBOARDS.into_iter().filter(|other| *other != dashboard.name) {
        let url = format!("/d/bellwether-{other}");
        let link = links.iter().find(|link| link["url"] == url.as_str());
        let sound = link.is_some_and(|link| link["keepTime"] == true && link["includeVars"] == true && link["type"] == "link");
        whole(findings, sound, || format!("no link to {url} that keeps time and variables"));
    }
}

pub(super) fn annotations(dashboard: &Dashboard, findings: &mut Findings) {
    let list = list(&dashboard.json["annotations"]["list"]);
    let names: Vec<&str> = list.iter().map(|annotation| text(&annotation["name"])).collect();
    whole(findings, names == ANNOTATIONS, || format!("it marks {names:?}"));
    for annotation in list {
        let sound = annotation["enable"] == true && annotation["datasource"]["uid"] == "${datasource}" && annotation["filter"].is_null();
        whole(findings, sound, || format!("{} is not shown on every panel", annotation["name"]));
        let expr = text(&annotation["expr"]);
        whole(findings, promql::parse(expr).is_ok(), || format!("{expr} is no PromQL"));
        // Some versions of Grafana compute the intervals of annotations wrongly.
        whole(findings, !expr.contains("$__"), || format!("{expr} depends on an interval"));
    }
}
