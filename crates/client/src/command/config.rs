//! `bellwether config`: is it right, and what is used.

use std::path::PathBuf;

use bellwether_common::config::{Output, Settings};
use serde::Serialize;

use super::arguments::{ConfigArgs, ConfigCommand, Global};
use super::context::Versioned;
use super::failure::Failure;
use super::printer::Printer;

#[derive(Serialize)]
struct Checked<'a> {
    valid: bool,
    files: &'a [PathBuf],
}

/// Needs no ZooKeeper.
pub(crate) fn run(config: &ConfigArgs, global: &Global) -> Result<u8, Failure> {
    let (ConfigCommand::Check { files } | ConfigCommand::Show { files }) = &config.command;
    let mut sources = global.sources();
    sources.files.extend(files.iter().cloned());
    let settings = Settings::load(&sources)?;
    let printer = Printer::new(global, settings.client.output);
    match (&config.command, printer.output) {
        (ConfigCommand::Check { .. }, Output::Json) => printer.json(&Versioned::new(Checked { valid: true, files: &sources.files })),
        (ConfigCommand::Check { .. }, Output::Table) => printer.line(&verdict(&sources.files)),
        (ConfigCommand::Check { .. }, Output::Name) => {}
        (ConfigCommand::Show { .. }, Output::Json) => printer.json(&Versioned::new(&settings)),
        (ConfigCommand::Show { .. }, Output::Table | Output::Name) => printer.bytes(toml_of(&settings)?.as_bytes()),
    }
    Ok(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read_again() {
        let text = toml_of(&Settings::default()).expect("TOML");
        assert!(text.contains("[zookeeper]\nconnect = \"127.0.0.1:2181\"\n"), "{text}");
    }
}
