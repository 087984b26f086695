//! What `deploy/` says about the programs is true of them: options exist, files are where they are looked for, ports and times agree
//! with the configuration. What only other programs can judge (schemas, linters) is `make deploy-check`.

mod containers;
mod kubernetes;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use bellwether_common::config::{Settings, json_schema};
use bellwether_tests::{Cluster, place};
use serde_json::Value;

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// A file of the repository, and its text.
#[track_caller]
fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The settings of a configuration file of the repository.
#[track_caller]
fn settings(path: &str) -> Settings {
    let sources = bellwether_common::config::Sources { files: vec![repository().join(path)], ..Default::default() };
    Settings::load(&sources).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All documents of a YAML file.
#[track_caller]
fn yaml(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The port that a service listens on for others with this configuration.
#[track_caller]
fn port(settings: &Settings) -> u64 {
    let (_, port) = settings.http.listen.rsplit_once(':').expect("an address is configured");
    port.parse().expect("a port")
}

/// The words of a command line are understood by the program: options are in its help, and what else is a word of its own is a
/// command of it. Gives the files that `--config` names.
#[track_caller]
fn understood(program: &str, arguments: &[String]) -> Vec<String> {
    let help = Command::new(place::binary(program)).arg("--help").output().expect("its help");
    let help = String::from_utf8(help.stdout).expect("text");
    let (mut files, mut words) = (Vec::new(), arguments.iter());
    while let Some(word) = words.next() {
        if word.starts_with("--") {
            let known = help.lines().any(|line| line.split([' ', ',']).any(|part| part == word));
            assert!(known, "{program} has no option {word}:\n{help}");
            let value = words.next().unwrap_or_else(|| panic!("{program}: {word} without a value"));
            if word == "--config" {
                files.push(value.clone());
            }
        } else {
            let command = help.lines().any(|line| line.trim_start().split(' ').next() == Some(word));
            assert!(command, "{program} has no command {word}:\n{help}");
        }
    }
    files
}

/// The configuration key that a variable sets exists.
#[track_caller]
fn variable_is_known(name: &str) {
    static SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);
    let Some(key) = name.strip_prefix("BELLWETHER__").map(str::to_lowercase) else { return };
    let found = match key.split_once("__") {
        Some((section, name)) => {
            let place = SCHEMA["properties"][section]["$ref"].as_str().map(|place| place.trim_start_matches('#'));
            place.and_then(|place| SCHEMA.pointer(place)).map(|section| section["properties"][name].is_object())
        }
        None => Some(SCHEMA["properties"][&key].is_object()),
    };
    assert_eq!(found, Some(true), "{name} sets no key");
}

/// What runs may take its time before the service manager loses patience.
#[track_caller]
fn patience_is_enough(settings: &Settings, patience: Duration) {
    let needed = settings.worker.drain_timeout + settings.worker.kill_grace;
    assert!(patience > needed, "a worker needs up to {needed:?} to stop, and is given {patience:?}");
}

#[test]
fn every_configuration_file_that_is_shipped_is_right() {
    let cluster = Cluster::new();
    let mut checked = 0;
    for directory in ["config", "deploy/etc", "deploy/compose", "deploy/kubernetes/base/config"] {
        for entry in std::fs::read_dir(repository().join(directory)).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let _ = cluster.cli(&["config", "check", path.to_str().expect("a path")]).success();
                checked += 1;
            }
        }
    }
    assert!(checked >= 11, "only {checked} files were found");
}
