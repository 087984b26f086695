//! The threat model, `docs/security.md`: every line of its tables names the test that checks it, and that test exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::documents::repository;

/// The names of all functions behind `#[test]`, below a directory.
fn tests_below(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() && entry.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
            tests_below(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&entry).expect("a source");
            let after = text.split("#[test]").skip(1).filter_map(|rest| rest.split_once("fn "));
            found.extend(after.filter_map(|(_, rest)| rest.split_once('(')).map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_line_of_the_threat_model_is_checked_by_a_test_that_exists() {
    let mut tests = BTreeSet::new();
    ["crates", "tests"].iter().for_each(|directory| tests_below(&repository().join(directory), &mut tests));
    assert!(tests.len() > 300, "the sources were not understood");
    let text = fs::read_to_string(repository().join("docs/security.md")).expect("the threat model");
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let mut checked = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let last = cells.last().copied().unwrap_or_default();
        if last == "checked by" {
            continue;
        }
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "nothing checks: {row}");
        for name in named {
            assert!(tests.contains(name), "there is no test {name}, which is named in: {row}");
            checked += 1;
        }
    }
    assert!(checked >= 30, "only {checked} tests are named");
}
