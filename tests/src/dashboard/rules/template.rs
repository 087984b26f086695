//! Rules for the variables, and for the dashboard as Grafana's template of a page.

use promql_parser::parser;
use serde_json::Value;

use super::{Findings, whole};
use crate::dashboard::{Dashboard, list, text};

fn variables(dashboard: &Dashboard) -> &[Value] {
    list(&dashboard.json["templating"]["list"])
}

fn queried(dashboard: &Dashboard) -> impl Iterator<Item = &Value> {
    variables(dashboard).iter().filter(|variable| variable["type"] == "query")
}

pub(super) fn datasource(dashboard: &Dashboard, findings: &mut Findings) {
    let sources: Vec<&Value> = variables(dashboard).iter().filter(|variable| variable["type"] == "datasource").collect();
    whole(findings, sources.len() == 1, || format!("{} variables for data sources", sources.len()));
    for source in sources {
        let is = (text(&source["name"]), text(&source["label"]), text(&source["query"]));
        whole(findings, is == ("datasource", "Data source", "prometheus"), || format!("the data source's variable is {is:?}"));
    }
}

/// A variable that is used as a regular expression.
pub(super) fn regex(dashboard: &Dashboard, name: &str, findings: &mut Findings) {
    let Some(variable) = queried(dashboard).find(|variable| variable["name"] == name) else {
        return whole(findings, false, || format!("no variable {name} that is queried"));
    };
    let mut label = name.to_owned();
    label[..1].make_ascii_uppercase();
    let wanted = [
        ("label", Value::from(label)),
        ("multi", true.into()),
        ("includeAll", true.into()),
        ("allValue", ".+".into()),
        ("datasource", serde_json::json!({ "type": "prometheus", "uid": "${datasource}" })),
    ];
    for (key, value) in wanted {
        whole(findings, variable[key] == value, || format!("{key} of {name} is {} instead of {value}", variable[key]));
    }
}

pub(super) fn label_promql(dashboard: &Dashboard, findings: &mut Findings) {
    let word = |label: &str| label.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    let sound = dashboard.label_queries().filter(|(selector, label)| parser::parse(selector).is_ok() && word(label)).count();
    let asked = queried(dashboard).count();
    whole(findings, sound == asked, || format!("of {asked} variables {sound} are `label_values(selector, label)`"));
}

pub(super) fn reload(dashboard: &Dashboard, findings: &mut Findings) {
    const ON_TIME_RANGE_CHANGED: u64 = 2;
    for variable in queried(dashboard) {
        let sound = variable["refresh"] == ON_TIME_RANGE_CHANGED;
        whole(findings, sound, || format!("refresh of {} is {}", variable["name"], variable["refresh"]));
    }
}

pub(super) fn required(dashboard: &Dashboard, findings: &mut Findings) {
    let names: Vec<&str> = variables(dashboard).iter().map(|variable| text(&variable["name"])).collect();
    whole(findings, names == ["datasource", "cluster", "job", "instance"], || format!("the variables are {names:?}"));
}

pub(super) fn uneditable(dashboard: &Dashboard, findings: &mut Findings) {
    whole(findings, dashboard.json["editable"] == false, || "it can be edited".to_owned());
}
