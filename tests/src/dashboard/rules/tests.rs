//! The dashboards keep every rule, and every rule finds a dashboard that breaks it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::dashboard::{all, list, text};

fn good() -> Dashboard {
    all().expect("dashboards").into_iter().find(|dashboard| dashboard.name == "failover").expect("the failover dashboard")
}

#[test]
fn the_dashboards_keep_every_rule() {
    let dashboards = all().expect("dashboards");
    assert_eq!(dashboards.iter().map(|dashboard| dashboard.name.as_str()).collect::<Vec<_>>(), ["failover", "tasks", "zookeeper"]);
    for dashboard in dashboards {
        let findings = lint(&dashboard).expect("the excuses");
        assert!(findings.is_empty(), "{}: {findings:#?}", dashboard.name);
    }
}

#[test]
fn no_two_dashboards_have_the_same_uid() {
    let dashboards = all().expect("dashboards");
    let uids: BTreeSet<&str> = dashboards.iter().map(|dashboard| text(&dashboard.json["uid"])).collect();
    assert_eq!(uids.len(), dashboards.len());
}

#[test]
fn every_excuse_has_a_reason_and_is_needed() {
    let excuses = Excuses::read().expect("the excuses");
    for (rule, excuse) in excuses.0["exclusions"].as_object().expect("rules") {
        assert!(
            !text(&excuse["reason"]).is_empty() && !list(&excuse["entries"]).is_empty(),
            "{rule} is excused without a reason, or whole"
        );
    }
    let dashboards = all().expect("dashboards");
    let needed = |(rule, title, panel): (&str, &str, &str)| {
        let rule = RULES.iter().find(|known| known.name == rule)?;
        let dashboard = dashboards.iter().find(|dashboard| dashboard.json["title"] == title)?;
        rule.check(dashboard).iter().find(|finding| finding.panel.as_deref() == Some(panel)).map(drop)
    };
    let useless: Vec<_> = excuses.all().filter(|excuse| needed(*excuse).is_none()).collect();
    assert!(useless.is_empty(), "nothing to excuse: {useless:#?}");
}

#[test]
fn every_dashboard_has_a_picture_of_a_size_that_a_page_can_bear() {
    const MOST: usize = 400 * 1024;
    for dashboard in all().expect("dashboards") {
        let path = directory().join(format!("../docs/pictures/{}.png", dashboard.name));
        let picture = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; make pictures draws it", path.display()));
        assert!(picture.starts_with(b"\x89PNG") && picture.len() < MOST, "{} has {} bytes", path.display(), picture.len());
    }
}

type Mutation = (&'static str, fn(&mut Value));

/// Ways to break each rule.
#[rustfmt::skip]
const MUTATIONS: &[Mutation] = &[
    ("template-datasource-rule", |dashboard| variable(dashboard, "datasource")["name"] = json!("source")),
    ("template-datasource-rule", |dashboard| variable(dashboard, "datasource")["query"] = json!("loki")),
    ("template-job-rule", |dashboard| variable(dashboard, "job")["allValue"] = json!(".*")),
    ("template-job-rule", |dashboard| variable(dashboard, "job")["type"] = json!("custom")),
    ("template-instance-rule", |dashboard| variable(dashboard, "instance")["multi"] = json!(false)),
    ("template-label-promql-rule", |dashboard| variable(dashboard, "instance")["query"]["query"] = json!("label_values(up{, instance)")),
    ("template-on-time-change-reload-rule", |dashboard| variable(dashboard, "cluster")["refresh"] = json!(1)),
    ("template-required-variables-rule", |dashboard| { dashboard["templating"]["list"].as_array_mut().expect("a list").remove(1); }),
    ("template-uneditable-rule", |dashboard| dashboard["editable"] = json!(true)),
    ("panel-datasource-rule", |dashboard| stat(dashboard)["datasource"]["uid"] = json!("prometheus-1")),
    ("panel-datasource-rule", |dashboard| asked(dashboard)["datasource"]["uid"] = json!("prometheus-1")),
    ("panel-title-description-rule", |dashboard| stat(dashboard)["title"] = json!("")),
    ("panel-title-description-rule", |dashboard| stat(dashboard)["description"] = Value::Null),
    ("panel-units-rule", |dashboard| stat(dashboard)["fieldConfig"]["defaults"]["unit"] = json!("pieces")),
    ("panel-no-targets-rule", |dashboard| stat(dashboard)["targets"] = json!([])),
    ("target-promql-rule", |dashboard| ask(dashboard, "sum(bellwether_master_is_active{)")),
    ("target-logql-rule", |dashboard| asked(dashboard)["datasource"]["type"] = json!("loki")),
    ("target-logql-auto-rule", |dashboard| ask(dashboard, r#"sum(count_over_time({job="x"}[$__auto]))"#)),
    ("target-rate-interval-rule", |dashboard| ask(dashboard, "rate(bellwether_failovers_total[5m])")),
    ("target-job-rule", |dashboard| ask(dashboard, r#"sum(bellwether_master_is_active{job="$job"})"#)),
    ("target-instance-rule", |dashboard| ask(dashboard, "sum(bellwether_zk_requests_in_flight)")),
    ("target-required-matchers-rule", |dashboard| ask(dashboard, "sum(bellwether_zk_requests_in_flight)")),
    ("target-counter-agg-rule", |dashboard| ask(dashboard, "sum(bellwether_failovers_total)")),
    ("target-counter-agg-rule", |dashboard| ask(dashboard, "bellwether_zk_request_duration_seconds_sum > 1")),
    ("target-histogram-rule", |dashboard| ask(dashboard, "sum(rate(bellwether_zk_request_duration_seconds_bucket[$__rate_interval]))")),
    ("target-histogram-rule", |dashboard| ask(dashboard, "histogram_quantile(0.5, sum by (op) (rate(bellwether_zk_request_duration_seconds_bucket[$__rate_interval])))")),
    ("target-histogram-rule", |dashboard| ask(dashboard, "histogram_quantile(0.5, sum by (le) (rate(bellwether_zk_request_duration_seconds_sum[$__rate_interval])))")),
    ("series-known-rule", |dashboard| ask(dashboard, "sum(bellwether_masters)")),
    ("series-known-rule", |dashboard| ask(dashboard, r#"sum(bellwether_tasks{color="pending"})"#)),
    ("series-known-rule", |dashboard| ask(dashboard, r#"sum(bellwether_tasks{state=~"pending|waiting"})"#)),
    ("series-known-rule", |dashboard| ask(dashboard, "sum by (reason) (bellwether_tasks)")),
    ("series-known-rule", |dashboard| dashboard["annotations"]["list"][1]["expr"] = json!("bellwether_sessions_lost")),
    ("series-type-rule", |dashboard| ask(dashboard, "rate(bellwether_tasks[$__rate_interval])")),
    ("panel-id-rule", |dashboard| stat(dashboard)["id"] = json!(1)),
    ("panel-id-rule", |dashboard| { let asked = asked(dashboard).clone(); stat(dashboard)["targets"] = json!([asked, asked]); }),
    ("panel-grid-rule", |dashboard| stat(dashboard)["gridPos"]["w"] = json!(4)),
    ("panel-grid-rule", |dashboard| stat(dashboard)["gridPos"]["x"] = json!(22)),
    ("panel-legend-rule", |dashboard| asked(dashboard)["legendFormat"] = json!("__auto")),
    ("panel-states-rule", |dashboard| timeline(dashboard)["fieldConfig"]["defaults"]["mappings"] = json!([])),
    ("panel-states-rule", |dashboard| timeline(dashboard)["fieldConfig"]["defaults"]["mappings"][0]["options"]["2"]["text"] = json!("leading")),
    ("dashboard-uid-rule", |dashboard| dashboard["uid"] = json!("failover")),
    ("dashboard-schema-rule", |dashboard| dashboard["schemaVersion"] = json!(41)),
    ("dashboard-schema-rule", |dashboard| dashboard["id"] = json!(7)),
    ("dashboard-links-rule", |dashboard| dashboard["links"][0]["includeVars"] = json!(false)),
    ("dashboard-links-rule", |dashboard| dashboard["links"] = json!([])),
    ("dashboard-annotations-rule", |dashboard| dashboard["annotations"]["list"][0]["enable"] = json!(false)),
    ("dashboard-annotations-rule", |dashboard| dashboard["annotations"]["list"][0]["expr"] = json!("changes(bellwether_master_epoch[$__interval])")),
    ("dashboard-annotations-rule", |dashboard| dashboard["annotations"]["list"] = json!([])),
];

fn variable<'a>(dashboard: &'a mut Value, name: &str) -> &'a mut Value {
    let variables = dashboard["templating"]["list"].as_array_mut().expect("variables");
    variables.iter_mut().find(|variable| variable["name"] == name).expect("the variable")
}

fn first<'a>(dashboard: &'a mut Value, kind: &str) -> &'a mut Value {
    let panels = dashboard["panels"].as_array_mut().expect("panels");
    panels.iter_mut().rfind(|panel| panel["type"] == kind).expect("a panel")
}

/// The last panel of the first line.
fn stat(dashboard: &mut Value) -> &mut Value {
    first(dashboard, "stat")
}

/// A timeline whose states are numbered by its question.
fn timeline(dashboard: &mut Value) -> &mut Value {
    first(dashboard, "state-timeline")
}

fn asked(dashboard: &mut Value) -> &mut Value {
    &mut stat(dashboard)["targets"][0]
}

fn ask(dashboard: &mut Value, expr: &str) {
    asked(dashboard)["expr"] = json!(expr);
}

#[test]
fn every_rule_finds_a_dashboard_that_breaks_it() {
    for (number, (name, mutate)) in MUTATIONS.iter().enumerate() {
        let rule = RULES.iter().find(|rule| rule.name == *name).unwrap_or_else(|| panic!("no rule {name}"));
        let mut dashboard = good();
        let before = rule.check(&dashboard);
        mutate(&mut dashboard.json);
        assert_ne!(dashboard.json, good().json, "a mutation of {name} changes nothing");
        let found = rule.check(&dashboard).iter().any(|finding| !before.contains(finding));
        assert!(found, "{name} finds nothing, mutation {number}");
    }
    let mutated: BTreeSet<&str> = MUTATIONS.iter().map(|(name, _)| *name).collect();
    let rules: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(mutated, rules, "every rule is broken once");
}
