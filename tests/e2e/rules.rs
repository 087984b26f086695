//! The rules for Prometheus: Prometheus' own tool tests them, and what they refer to exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_common::metrics;
use bellwether_tests::dashboard::promql;

/// What operators are promised to be told of.
const ALERTS: [&str; 18] = [
    "NoMaster",
    "MultipleMasters",
    "NoStandby",
    "MasterFlapping",
    "FailoverSlow",
    "FencedWrites",
    "ZkSessionExpiring",
    "ZkSuspended",
    "ZkRequestSlow",
    "QueueStuck",
    "BacklogGrowing",
    "NoWorkers",
    "WorkerLost",
    "TaskFailureRatioHigh",
    "DeadLetters",
    "ResyncDifferences",
    "TargetDown",
    "ConfigReloadFailed",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rules(file: &str) -> String {
    fs::read_to_string(repository().join("deploy/prometheus").join(file)).expect("the rules")
}

/// What follows `key` on the lines that begin with it, apart from indentation.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim_start().strip_prefix(key)).map(str::trim)
}

#[test]
fn every_alert_fires_and_stays_quiet_as_its_tests_say() {
    let mut promtool = Command::new("promtool");
    promtool.args(["test", "rules", "bellwether-rules-test.yml"]).current_dir(repository().join("deploy/prometheus"));
    let output = promtool.output().expect("promtool, which `make deps` installs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[test]
fn every_alert_is_tested_both_ways() {
    let text = rules("bellwether-rules.yml");
    let alerts: BTreeSet<&str> = values(&text, "- alert:").collect();
    assert_eq!(alerts, BTreeSet::from(ALERTS));
    let tests = rules("bellwether-rules-test.yml");
    let names: Vec<&str> = values(&tests, "- name:").collect();
    for alert in ALERTS {
        assert!(names.contains(&format!("{alert} fires").as_str()), "no test in which {alert} fires");
        let quiet = format!("{alert} stays quiet: ");
        assert!(names.iter().any(|name| name.trim_start_matches('\'').starts_with(&quiet)), "no test in which {alert} stays quiet");
    }
}

#[test]
fn every_alert_says_what_it_means_and_where_to_look() {
    let text = rules("bellwether-rules.yml");
    for rule in text.split("- alert:").skip(1) {
        let alert = rule.lines().next().expect("a name").trim();
        for key in ["severity:", "summary:", "description:"] {
            assert!(values(rule, key).any(|value| !value.is_empty()), "{alert} has no {key}");
        }
        let runbook = values(rule, "runbook_url:").next().unwrap_or_else(|| panic!("{alert} has no runbook"));
        assert!(runbook.ends_with(&format!("/runbooks/{alert}.html")), "{runbook} is not the runbook of {alert}");
        let dashboard = values(rule, "dashboard_url:").next().unwrap_or_else(|| panic!("{alert} has no dashboard"));
        let uid = dashboard.split("/d/bellwether-").nth(1).and_then(|rest| rest.split('?').next()).expect("a dashboard of ours");
        assert!(
            repository().join(format!("dashboards/{uid}.json")).is_file(),
            "{alert} refers to a dashboard {uid:?}, which does not exist"
        );
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let runbooks = fs::read_dir(repository().join("docs/runbooks")).expect("the runbooks").map(|entry| entry.expect("a file").path());
    let runbooks: Vec<PathBuf> = runbooks.filter(|path| path.file_name().is_some_and(|name| name != "README.md")).collect();
    let names: BTreeSet<&str> = runbooks.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    assert_eq!(names, BTreeSet::from(ALERTS));
    for path in runbooks {
        let text = fs::read_to_string(&path).expect("a runbook");
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {}", path.file_stem().and_then(|stem| stem.to_str()).expect("a name"));
        assert_eq!(headings, [title.as_str(), "## Impact", "## Diagnosis", "## Mend"], "{}", path.display());
        assert!(text.contains('`'), "{} names no command to type", path.display());
    }
}

#[derive(serde::Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(serde::Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(serde::Deserialize)]
struct Rule {
    record: Option<String>,
    expr: String,
}

#[test]
fn every_series_that_a_rule_asks_for_exists() {
    let file: Rules = serde_saphyr::from_str(&rules("bellwether-rules.yml")).expect("rules");
    let all: Vec<Rule> = file.groups.into_iter().flat_map(|group| group.rules).collect();
    let recorded: BTreeSet<&str> = all.iter().filter_map(|rule| rule.record.as_deref()).collect();
    for rule in &all {
        let expr = promql::parse(&rule.expr).unwrap_or_else(|why| panic!("{}: {why}", rule.expr));
        for series in promql::uses(&expr) {
            if series.name == "up" || recorded.contains(series.name) {
                continue;
            }
            let metric =
                metrics::find(series.name).unwrap_or_else(|| panic!("{} asks for {}, which does not exist", rule.expr, series.name));
            for matcher in series.matchers.iter().filter(|matcher| matcher.label != "le") {
                let values = metric.labels.iter().find(|(label, _)| *label == matcher.label).map(|(_, values)| *values);
                assert!(values.is_some_and(|values| values.contains(&matcher.value)), "{} never has {matcher:?}", series.name);
            }
        }
    }
}
