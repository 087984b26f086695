//! What the programs are made of, held to `deny.toml` without cargo-deny: licences, sources, and what comes in several versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::documents::repository;

/// The quoted words of a list in `deny.toml`, which has one per line.
fn list(section: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("deny.toml")).expect("deny.toml");
    let section = text.split(&format!("\n[{section}]\n")).nth(1).expect("the section");
    let list = section.split(&format!("\n{key} = [")).nth(1).expect("the list").split("\n]").next().expect("its end").to_owned();
    list.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

/// All crates of `Cargo.lock`, with versions and sources.
fn locked() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(repository().join("Cargo.lock")).expect("Cargo.lock");
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let packages = text.split("[[package]]").skip(1);
    packages.map(|package| (value(package, "name"), value(package, "version"), value(package, "source"))).collect()
}

/// `1.2.3` is `1`, `0.2.3` is `0.2`: what may not change within it.
fn major(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (first, _) => first.unwrap_or_default().to_owned(),
    }
}

#[test]
fn nothing_comes_in_two_major_versions_without_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version, source) in locked() {
        assert!(source.is_empty() || source == "registry+https://github.com/rust-lang/crates.io-index", "{name} comes from {source}");
        versions.entry(name).or_default().insert(major(&version));
    }
    assert!(versions.len() > 200, "the lock was not understood");
    let excused: BTreeSet<String> = list("bans", "skip").into_iter().collect();
    for (name, majors) in versions.iter().filter(|(_, majors)| majors.len() > 1) {
        let bare = majors.iter().filter(|major| !excused.contains(&format!("{name}@{major}"))).count();
        assert!(bare <= 1, "{name} comes in versions {majors:?}: give deny.toml a reason for all but one, or do without");
    }
    for excuse in excused {
        let (name, major) = excuse.split_once('@').expect("name@version");
        let still = versions.get(name).is_some_and(|majors| majors.len() > 1 && majors.contains(major));
        assert!(still, "{excuse} does not come twice any more: remove it from deny.toml");
    }
}

/// Whether one of the alternatives is allowed as a whole. Parentheses are alternatives of their own.
fn allowed(expression: &str, allow: &[String]) -> bool {
    let expression = expression.replace('/', " OR ");
    let every = |part: &str| {
        part.split(" AND ").all(|licence| {
            let licence = licence.trim_matches([' ', '(', ')']);
            allow.iter().any(|allowed| allowed == licence)
        })
    };
    match expression.contains('(') {
        // All groups must have an allowed alternative.
        true => expression
            .split(['(', ')'])
            .map(|part| part.trim().trim_start_matches("AND ").trim_end_matches(" AND").trim())
            .all(|part| part.is_empty() || part == "AND" || part.split(" OR ").any(every)),
        false => expression.split(" OR ").any(every),
    }
}

#[test]
fn every_licence_is_one_that_we_may_use() {
    let allow = list("licenses", "allow");
    assert!(allowed("(MIT OR GPL-3.0) AND Zlib", &allow) && !allowed("GPL-3.0", &allow) && !allowed("MIT AND GPL-3.0", &allow));
    assert!(!allowed("(GPL-3.0 OR AGPL-3.0) AND MIT", &allow) && allowed("Unlicense/MIT", &allow));
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let asked = Command::new(cargo)
        .args(["metadata", "--offline", "--format-version", "1", "--filter-platform", &host])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let metadata: Value = serde_json::from_slice(&asked.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 200, "the answer was not understood");
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(allowed(licence, &allow), "{} is under {licence:?}, which is not in deny.toml", package["name"]);
    }
}
