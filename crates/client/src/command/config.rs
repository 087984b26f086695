//! `bellwether config`: is it right, what is used and where it comes from, and what could be written.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use bellwether_common::config::{Format, Origin, Origins, Output, Settings, json_schema};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::arguments::{ConfigArgs, ConfigCommand, Global, Template};
use super::context::Versioned;
use super::failure::{CONFIG, Failure};
use super::printer::Printer;

#[derive(Serialize, JsonSchema)]
pub(super) struct Checked<'a> {
    valid: bool,
    files: &'a [PathBuf],
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Traced {
    settings: Vec<Shown>,
}

/// One key as `show --origin` prints it.
#[derive(Debug, Serialize, JsonSchema, PartialEq, Eq)]
pub(super) struct Shown {
    key: String,
    value: Value,
    origin: String,
}

/// Needs no ZooKeeper.
pub(crate) fn run(config: &ConfigArgs, global: &Global) -> Result<u8, Failure> {
    match &config.command {
        ConfigCommand::Check { files } => check(files, global)?,
        ConfigCommand::Show { origin, files } => show(*origin, files, global)?,
        ConfigCommand::Schema => printer(global).bytes(pretty(&json_schema()).as_bytes()),
        ConfigCommand::Init { template, file: None, .. } => printer(global).bytes(text_of(*template).as_bytes()),
        ConfigCommand::Init { template, file: Some(file), force } => {
            write(file, text_of(*template), *force)?;
            printer(global).line(&format!("wrote {}; read it, then: bellwether config check {0}", file.display()));
        }
    }
    Ok(0)
}

fn printer(global: &Global) -> Printer {
    Printer::new(global, Format::Table)
}

fn load(files: &[PathBuf], global: &Global) -> Result<(Vec<PathBuf>, Settings, Origins), Failure> {
    let mut sources = global.sources();
    sources.files.extend(files.iter().cloned());
    let (settings, origins) = Settings::load_with_origins(&sources)?;
    Ok((sources.files, settings, origins))
}

fn check(files: &[PathBuf], global: &Global) -> Result<(), Failure> {
    let (files, settings, _) = load(files, global)?;
    let printer = Printer::new(global, settings.client.output);
    match printer.output {
        Output::Json => printer.json(&Versioned::new(Checked { valid: true, files: &files })),
        Output::Table => printer.line(&verdict(&files)),
        Output::Name => {}
    }
    Ok(())
}

fn show(with_origin: bool, files: &[PathBuf], global: &Global) -> Result<(), Failure> {
    let (_, settings, origins) = load(files, global)?;
    let printer = Printer::new(global, settings.client.output);
    match (printer.output, with_origin) {
        (Output::Json, true) => printer.json(&Versioned::new(Traced { settings: shown(&settings, &origins)? })),
        (Output::Json, false) => printer.json(&Versioned::new(&settings)),
        (Output::Table | Output::Name, true) => printer.bytes(lines_of(&shown(&settings, &origins)?).as_bytes()),
        (Output::Table | Output::Name, false) => printer.bytes(toml_of(&settings)?.as_bytes()),
    }
    Ok(())
}

fn verdict(files: &[PathBuf]) -> String {
    match files {
        [] => "the configuration is right (no file; defaults, environment and flags)".to_owned(),
        files => {
            let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            format!("the configuration is right: {}", names.join(", "))
        }
    }
}

fn toml_of(settings: &Settings) -> Result<String, Failure> {
    toml::to_string(settings).map_err(|error| Failure::error("error", format!("the settings cannot be printed: {error}")))
}

/// Every key with its value and its origin, in the order of their names.
fn shown(settings: &Settings, origins: &Origins) -> Result<Vec<Shown>, Failure> {
    let whole = serde_json::to_value(settings);
    let whole = whole.map_err(|error| Failure::error("error", format!("the settings cannot be printed: {error}")))?;
    let mut shown = Vec::new();
    flatten(String::new(), &whole, origins, &mut shown);
    Ok(shown)
}

fn flatten(key: String, value: &Value, origins: &Origins, shown: &mut Vec<Shown>) {
    match value {
        Value::Object(table) if !table.is_empty() => {
            for (name, inner) in table {
                let inner_key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(inner_key, inner, origins, shown);
            }
        }
        value => {
            let origin = origins.get(&key).unwrap_or(&Origin::Default).to_string();
            shown.push(Shown { key, value: value.clone(), origin });
        }
    }
}

/// Values as TOML spells them, which for numbers, texts and lists is JSON; where each comes from stands behind it as a comment.
fn lines_of(shown: &[Shown]) -> String {
    let assignments: Vec<String> = shown.iter().map(|Shown { key, value, .. }| format!("{key} = {value}")).collect();
    let width = assignments.iter().map(|text| text.chars().count()).max().unwrap_or_default();
    let lines = assignments.iter().zip(shown).map(|(text, Shown { origin, .. })| format!("{text:width$}  # {origin}\n"));
    lines.collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

const fn text_of(template: Template) -> &'static str {
    match template {
        Template::Coordinator => include_str!("../../../../config/coordinator.toml"),
        Template::Worker => include_str!("../../../../config/worker.toml"),
        Template::Client => include_str!("../../../../config/client.toml"),
        Template::Reference => include_str!("../../../../config/reference.toml"),
    }
}

fn write(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(file).and_then(|mut open| open.write_all(text.as_bytes()));
    written.map_err(|error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let hint = exists.then(|| "--force overwrites it".to_owned());
        Failure { code: CONFIG, hint, ..Failure::error("not-written", format!("cannot write {}: {error}", file.display())) }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_shown_can_be_read_again() {
        let text = toml_of(&Settings::default()).expect("TOML");
        assert!(text.contains("[zookeeper]\nconnect = \"127.0.0.1:2181\"\n"), "{text}");
        let lines = lines_of(&shown(&Settings::default(), &BTreeMap::new()).expect("values"));
        let again: Settings = toml::from_str(&lines).expect("TOML");
        assert_eq!(again, Settings::default());
    }

    #[test]
    fn origins_stand_behind_the_values() {
        let origins = BTreeMap::from([("worker.slots".to_owned(), Origin::Line("w.toml".into(), 3))]);
        let lines = lines_of(&shown(&Settings::default(), &origins).expect("values"));
        let of = |key: &str| lines.lines().find(|line| line.starts_with(key)).map(|line| line.split("  # ").last().unwrap_or_default());
        assert_eq!((of("worker.slots"), of("worker.shell")), (Some("w.toml:3"), Some("the default")));
    }
}
