//! What the documents tell people to type exists: commands and their options, configuration keys, metrics, and targets of `make`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use bellwether_common::config::json_schema;
use bellwether_common::metrics::METRICS;
use serde_json::Value;

use super::{documents, repository};

/// What Prometheus calls the parts of a histogram.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];
/// What is called like a metric.
const CRATES: [&str; 5] = ["bellwether_core", "bellwether_client", "bellwether_common", "bellwether_tests", "bellwether_worker"];

/// Inline code, and the lines of fenced code.
fn code(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(line.to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// What is said in code, with the document that says it. The reference of the command is written from the program itself.
fn said() -> Vec<(String, String)> {
    let written = documents().into_iter().filter(|document| !document.ends_with("docs/reference/command.md"));
    let all = written.flat_map(|document| {
        let name = document.strip_prefix(repository()).unwrap_or(&document).display().to_string();
        code(&fs::read_to_string(&document).expect("a document")).into_iter().map(move |code| (name.clone(), code))
    });
    all.collect()
}

/// The help of each command, by its words: `dead list`.
fn commands() -> BTreeMap<String, String> {
    let reference = fs::read_to_string(repository().join("docs/reference/command.md")).expect("the reference");
    let sections = reference.split("\n##").skip(1).filter_map(|section| section.trim_start_matches('#').split_once('\n'));
    sections.map(|(title, help)| (title.trim().trim_start_matches("bellwether").trim().to_owned(), help.to_owned())).collect()
}

fn has(help: &str, option: &str) -> bool {
    let words = |line: &str| line.trim_start().split([' ', ',', '.', '=']).map(str::to_owned).collect::<Vec<_>>();
    help.lines().filter(|line| line.trim_start().starts_with('-')).any(|line| words(line).iter().any(|word| word == option))
}

/// The command lines of `bellwether` in a piece of code: what follows the name, up to whatever ends it.
fn typed(code: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let starts = words.iter().enumerate().filter(|(at, word)| {
        let plain = word.trim_start_matches("$(").trim_start_matches("id=$(").trim_start_matches("target/debug/");
        let before = at.checked_sub(1).map_or("", |before| words[before]);
        plain == "bellwether" && (before.ends_with(['$', '|', '#', '&']) || before == "xargs" || (*at == 0 && !code.starts_with(' ')))
    });
    let ends = |word: &&&str| !["|", "--", "&&", ">", "#", ";"].contains(word);
    starts.map(|(at, _)| words[at + 1..].iter().take_while(ends).copied().collect()).collect()
}

#[test]
fn every_command_that_is_shown_is_understood() {
    let (commands, mut checked) = (commands(), 0);
    for (document, code) in said() {
        for words in typed(&code) {
            let deepest = (0..=words.len().min(2)).rev().map(|length| words[..length].join(" ")).find(|name| commands.contains_key(name));
            let name = deepest.unwrap_or_default();
            let first = words.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
            assert!(
                !name.is_empty() || first.is_empty() || words[0].starts_with('-') || first == "help",
                "{document}: no command in `{code}`"
            );
            for option in words.iter().filter(|word| word.starts_with('-') && word.len() > 1) {
                let option = option.split('=').next().unwrap_or(option).trim_end_matches([')', ']', ',']);
                let known = has(&commands[&name], option) || has(&commands[""], option);
                assert!(known, "{document}: `{name}` has no {option}: `{code}`");
                checked += 1;
            }
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} words were found: this test does not see what it should");
}

#[test]
fn every_configuration_key_that_is_named_exists() {
    let schema = json_schema();
    let properties = |section: &Value| {
        let place = section["$ref"].as_str().and_then(|place| schema.pointer(place.trim_start_matches('#')));
        place.and_then(|place| place["properties"].as_object()).map(|keys| keys.keys().cloned().collect::<BTreeSet<_>>())
    };
    let sections: BTreeMap<&String, BTreeSet<String>> = schema["properties"]
        .as_object()
        .expect("sections")
        .iter()
        .filter_map(|(name, section)| Some((name, properties(section)?)))
        .collect();
    let mut checked = 0;
    for (document, code) in said() {
        let Some((section, rest)) = code.split_once('.') else { continue };
        let key: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let end = rest[key.len()..].chars().next();
        // A file of that name, as `worker.toml`, is no key.
        if key.is_empty() || end.is_some_and(|c| c != ' ' && c != '=') || ["toml", "ts", "json"].contains(&key.as_str()) {
            continue;
        }
        if let Some(keys) = sections.get(&section.to_owned()) {
            assert!(keys.contains(&key), "{document}: `{code}` names no key; there are {keys:?}");
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} keys were found: this test does not see what it should");
}

#[test]
fn every_metric_that_is_named_exists() {
    let mut checked = 0;
    for (document, code) in said() {
        for name in code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|name| name.starts_with("bellwether_")) {
            let base = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            let ours = METRICS.iter().any(|metric| metric.name == name || metric.name == base);
            assert!(ours || CRATES.contains(&name), "{document}: there is no metric {name}");
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} metrics were found: this test does not see what it should");
}

#[test]
fn every_target_of_make_that_is_named_exists() {
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("the Makefile");
    let targets: BTreeSet<&str> = makefile.lines().filter_map(|line| line.split_once(':')).map(|(target, _)| target).collect();
    for (document, code) in said() {
        let typed = code.trim_start_matches("$ ");
        let Some(rest) = typed.strip_prefix("make ") else { continue };
        // What is quoted is the value of a variable.
        let bare: String = rest.split('"').step_by(2).collect();
        for target in bare.split_whitespace().take_while(|word| !["#", "&&"].contains(word)).filter(|word| !word.contains('=')) {
            let target = target.trim_end_matches([',', ';']);
            assert!(targets.contains(target), "{document}: `{code}`: there is no {target}");
        }
    }
}
