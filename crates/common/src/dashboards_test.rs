//! Holds the dashboards to the metrics that exist: a panel with a misspelled name shows nothing, and nobody notices until it matters.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::metrics;

fn dashboards() -> Vec<(PathBuf, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards");
    let files = fs::read_dir(directory).expect("the directory").map(|file| file.expect("a file").path());
    let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    assert!(!files.is_empty(), "there are dashboards");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("the file");
        (path, serde_json::from_str(&text).expect("JSON"))
    };
    files.into_iter().map(read).collect()
}

/// Every string that stands under one of `keys`, at any depth.
fn strings_under<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                match inner {
                    Value::String(text) if keys.contains(&key.as_str()) => found.push(text),
                    inner => strings_under(inner, keys, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| strings_under(inner, keys, found)),
        _ => {}
    }
}

fn queries(dashboard: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    strings_under(dashboard, &["expr", "query"], &mut found);
    found
}

/// The series of ours that a query names, each with its label matchers as `name{…}` or bare.
fn series(query: &str) -> Vec<(String, String)> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    query
        .match_indices("bellwether_")
        .filter(|(start, _)| !query[..*start].ends_with(in_name))
        .map(|(start, _)| {
            let (name, rest) = query[start..].split_at(query[start..].find(|c| !in_name(c)).unwrap_or(query.len() - start));
            let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(matchers, _)| matchers);
            (name.to_owned(), matchers.to_owned())
        })
        .collect()
}

/// Labels that Prometheus or the recorder adds to every series.
const COMMON_LABELS: [&str; 3] = ["cluster", "job", "instance"];

#[test]
fn every_series_and_label_of_every_query_exists() {
    for (path, dashboard) in dashboards() {
        let used: BTreeSet<(String, String)> = queries(&dashboard).into_iter().flat_map(series).collect();
        assert!(!used.is_empty(), "{} asks for nothing", path.display());
        for (name, matchers) in used {
            let metric = metrics::find(&name).unwrap_or_else(|| panic!("{} uses {name}, which does not exist", path.display()));
            for matcher in matchers.split(',').filter(|matcher| !matcher.is_empty()) {
                let (label, value) = matcher.split_once(['=', '!']).expect("a matcher");
                let known = metric.labels.iter().find(|(known, _)| *known == label).map(|(_, values)| *values);
                assert!(known.is_some() || COMMON_LABELS.contains(&label), "{name} has no label {label}");
                let alternatives = value.trim_matches(['=', '~', '"']).split('|').filter(|_| !value.contains('$'));
                for alternative in alternatives {
                    assert!(known.is_none_or(|values| values.contains(&alternative)), "{name} never has {label}={alternative:?}");
                }
            }
        }
    }
}

#[test]
fn every_panel_has_a_title_a_description_and_a_unit() {
    for (path, dashboard) in dashboards() {
        let panels = dashboard["panels"].as_array().expect("panels");
        for panel in panels {
            let title = panel["title"].as_str().unwrap_or_default();
            assert!(!title.is_empty(), "a panel of {} has no title", path.display());
            if panel["type"] == "row" {
                continue;
            }
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title} has no description");
            assert!(panel["fieldConfig"]["defaults"]["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "{title} has no unit");
            let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
            assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()), "{title} asks for nothing");
        }
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    for (path, dashboard) in dashboards() {
        let panels = dashboard["panels"].as_array().expect("panels");
        let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{}", path.display());
        let mut taken = BTreeSet::new();
        for panel in panels {
            let place = |side: &str| panel["gridPos"][side].as_u64().expect("a place");
            assert!(place("x") + place("w") <= 24, "{} is too wide", panel["title"]);
            for cell in (place("x")..place("x") + place("w")).flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{} lies on another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn dashboards_can_be_provisioned() {
    for (path, dashboard) in dashboards() {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert_eq!(dashboard["uid"], format!("bellwether-{name}"));
        assert_eq!((&dashboard["editable"], &dashboard["schemaVersion"]), (&false.into(), &39.into()), "{name}");
        let variables: Vec<&str> =
            dashboard["templating"]["list"].as_array().expect("variables").iter().filter_map(|v| v["name"].as_str()).collect();
        assert_eq!(variables, ["datasource", "cluster", "job", "instance"], "{name}");
        for query in queries(&dashboard) {
            let ranged = query.contains("rate(") || query.contains("increase(");
            assert!(!ranged || query.contains("[$__rate_interval]") || query.contains("[$__range]"), "{query} has a fixed range");
        }
        let mut sources = Vec::new();
        strings_under(&dashboard["panels"], &["uid"], &mut sources);
        assert!(sources.iter().all(|source| *source == "${datasource}"), "{name} names a data source of somebody's");
    }
}

#[test]
fn series_are_found_in_queries() {
    let found = series(r#"sum(rate(bellwether_a_total{op="x"}[5m])) / my_bellwether_c + bellwether_b"#);
    assert_eq!(found, [("bellwether_a_total".into(), "op=\"x\"".into()), ("bellwether_b".into(), String::new())]);
}
