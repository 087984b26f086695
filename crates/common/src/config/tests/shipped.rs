//! The files in `config/`: the reference shows every key, and what services start with is good.

use std::fs;
use std::path::{Path, PathBuf};

use super::World;
use crate::config::{RELOADABLE, Settings, keys};

fn config_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name)
}

#[test]
fn the_reference_shows_every_key_at_its_default() {
    let path = config_file("reference.toml");
    let mut world = World::new();
    world.sources.files.push(path.clone());
    assert_eq!(world.settings(), Settings::default());

    let table: toml::Table = fs::read_to_string(path).expect("the file").parse().expect("TOML");
    for key in keys::KNOWN.keys() {
        let mut parts = key.split('.');
        let first = parts.next().and_then(|part| table.get(part));
        let found = parts.try_fold(first, |value, part| value.map(|value| value.get(part)));
        assert!(found.flatten().is_some(), "{key} is missing in config/reference.toml");
    }
}

#[test]
fn every_key_of_the_reference_is_explained() {
    let text = fs::read_to_string(config_file("reference.toml")).expect("the file");
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#')) {
        assert!(pair[0].starts_with('#'), "{} has no explanation above it", pair[1]);
    }
}

#[test]
fn the_reference_marks_what_a_reload_takes_over() {
    let text = fs::read_to_string(config_file("reference.toml")).expect("the file");
    let (mut section, mut marked) = (String::new(), Vec::new());
    for pair in text.lines().collect::<Vec<_>>().windows(2) {
        if let Some(name) = pair[1].strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        }
        if let Some((key, _)) = pair[1].split_once(" = ").filter(|_| pair[0].ends_with("(reload)")) {
            marked.push(format!("{section}{key}"));
        }
    }
    marked.sort();
    assert_eq!(marked, RELOADABLE);
}

#[test]
fn the_ready_made_files_are_good() {
    for name in ["coordinator.toml", "worker.toml", "client.toml"] {
        let mut world = World::new();
        world.sources.files.push(config_file(name));
        assert_eq!(world.settings().zookeeper.root, "/", "{name}: the three must meet under one root");
    }
}
