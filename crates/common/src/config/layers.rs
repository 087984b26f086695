//! The layers of configuration: which sources there are, reading them, and laying one over the other.
//!
//! The `config` crate reads each source. Checking and merging happen here, key by key, because a report must name everything that is
//! wrong and where each value came from. Where the secret comes from stands in `secret`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat, Map, Source, Value, ValueKind};
use serde_json::Value as Json;

use super::keys;
use super::lines;
use super::problem::{ConfigError, Origin, Problem};
use super::rules;
use super::schema::Settings;
use super::secret;
use super::values::Secret;
use crate::tls::TlsFiles;

const PREFIX: &str = "BELLWETHER";
const SEPARATOR: &str = "__";

/// Where settings come from, besides the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// TOML files, later ones over earlier ones.
    pub files: Vec<PathBuf>,
    /// `section.key=value`, over files and environment.
    pub sets: Vec<String>,
    /// Keys and values of other flags, over everything.
    pub overrides: Vec<(String, String)>,
}

/// One value of one layer.
struct Entry {
    path: Vec<String>,
    value: Value,
    origin: Origin,
}

/// Values that passed, by path, each with where the topmost came from.
type Merged = BTreeMap<Vec<String>, (Json, Origin)>;

/// Where each value that is not a default came from, by `section.key`.
pub type Origins = BTreeMap<String, Origin>;

/// Reads `sources` and `environment`, checks everything, and reports everything.
pub(super) fn load(sources: &Sources, environment: impl Iterator<Item = (OsString, OsString)>) -> Result<(Settings, Origins), ConfigError> {
    let environment: Vec<(OsString, OsString)> = environment.collect();
    let credentials = environment.iter().find(|(name, _)| name == secret::DIRECTORY).map(|(_, path)| PathBuf::from(path));
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    sources.files.iter().for_each(|file| read_file(file, &mut entries, &mut problems));
    environment.into_iter().for_each(|variable| read_variable(variable, &mut entries, &mut problems));
    sources.sets.iter().for_each(|set| read_set(set, &mut entries, &mut problems));
    for (key, value) in &sources.overrides {
        entries.push(Entry { path: split(key), value: Value::new(None, value.as_str()), origin: Origin::CommandLine });
    }

    let merged = merge(entries, &mut problems);
    let plain = keys::nest(merged.iter().map(|(path, (value, _))| (path.clone(), value.clone())));
    let mut settings: Settings = serde_json::from_value(plain).expect("every value was tried alone");
    let secret = secret::of_zookeeper(&settings.zookeeper, credentials.as_deref());
    let bad_secret = secret.as_ref().err().map(|why| ("zookeeper.auth_file".to_owned(), why.clone()));
    // One that cannot be used is there all the same, so that the rules do not miss it.
    settings.zookeeper.secret = secret.unwrap_or_else(|_| Some(Secret::new(Vec::new())));
    let token = secret::read_token(&settings.http, credentials.as_deref());
    let bad_token = token.as_ref().err().map(|why| ("http.token_file".to_owned(), why.clone()));
    settings.http.token = token.unwrap_or_default();
    let key = secret::read_key(&settings.client);
    let bad_key = key.as_ref().err().map(|why| ("client.sign_key".to_owned(), why.clone()));
    settings.client.key = key.unwrap_or_default();
    let bad_tls = bad_tls(&settings);
    let broken = rules::broken(&settings).into_iter().chain(bad_secret).chain(bad_token).chain(bad_key).chain(bad_tls);
    problems.extend(broken.map(|(key, why)| with_origin(keys::problem(&settings, key, why), &merged)));
    let origins = merged.into_iter().map(|(path, (_, origin))| (path.join("."), origin)).collect();
    ConfigError::of(problems).map(|()| (settings, origins))
}

/// The first file for TLS that cannot be used, if all that are needed are named.
fn bad_tls(settings: &Settings) -> Option<(String, String)> {
    let files = TlsFiles::of(&settings.zookeeper).filter(|_| !settings.zookeeper.ca_file.is_empty())?;
    files.read().err().map(|bad| (bad.key.to_owned(), bad.why))
}

fn split(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

fn unusable(origin: Origin, why: String) -> Problem {
    Problem { key: String::new(), value: None, origin, why }
}

fn read_file(path: &Path, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let origin = Origin::File(path.to_owned());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return problems.push(unusable(origin, format!("cannot be read: {error}"))),
    };
    match File::from_str(&text, FileFormat::Toml).collect() {
        Ok(table) => flatten(Vec::new(), table, &InFile { path, lines: lines::of(&text) }, entries),
        Err(error) => problems.push(unusable(origin, error.to_string().trim_end().to_owned())),
    }
}

/// A file and where its keys stand in it.
struct InFile<'a> {
    path: &'a Path,
    lines: BTreeMap<Vec<String>, usize>,
}

impl InFile<'_> {
    fn origin(&self, key: &[String]) -> Origin {
        let path = self.path.to_owned();
        self.lines.get(key).map_or_else(|| Origin::File(path.clone()), |line| Origin::Line(path.clone(), *line))
    }
}

fn flatten(path: Vec<String>, table: Map<String, Value>, file: &InFile<'_>, entries: &mut Vec<Entry>) {
    // By name, so that several problems are always told in the same order.
    for (name, value) in table.into_iter().collect::<BTreeMap<_, _>>() {
        let inner = [path.as_slice(), &[name]].concat();
        match value.kind {
            ValueKind::Table(table) if !table.is_empty() => flatten(inner, table, file, entries),
            // A section or table without anything in it says nothing, unless nobody knows it.
            ValueKind::Table(_) if keys::is_table(&inner.join(".")) => {}
            kind => {
                let origin = file.origin(&inner);
                entries.push(Entry { path: inner, value: Value::new(None, kind), origin });
            }
        }
    }
}

/// Each variable is a source of its own, so that a report can name it as it was spelled.
fn read_variable((name, value): (OsString, OsString), entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let Ok(name) = name.into_string() else { return };
    if !name.to_uppercase().starts_with(&format!("{PREFIX}{SEPARATOR}")) {
        return;
    }
    let origin = Origin::Environment(name.clone());
    let Ok(value) = value.into_string() else {
        return problems.push(unusable(origin, "is not valid UTF-8".to_owned()));
    };
    let source = Environment::with_prefix(PREFIX).prefix_separator(SEPARATOR).separator(SEPARATOR);
    match source.source(Some(Map::from_iter([(name, value)]))).collect() {
        Ok(table) => {
            let read = table.into_iter().map(|(key, value)| Entry { path: split(&key), value, origin: origin.clone() });
            entries.extend(read);
        }
        Err(error) => problems.push(unusable(origin, error.to_string())),
    }
}

fn read_set(set: &str, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    match set.split_once('=') {
        Some((key, value)) => {
            entries.push(Entry { path: split(key), value: Value::new(None, value), origin: Origin::Set(key.to_owned()) });
        }
        None => problems.push(unusable(Origin::Set(set.to_owned()), "must look as section.key=value".to_owned())),
    }
}

fn merge(entries: Vec<Entry>, problems: &mut Vec<Problem>) -> Merged {
    let mut merged = Merged::new();
    for Entry { path, value, origin } in entries {
        match keys::check(&path, &value, &origin) {
            Ok(value) => drop(merged.insert(path, (value, origin))),
            Err((value, why)) => problems.push(Problem { key: path.join("."), value, origin, why }),
        }
    }
    merged
}

fn with_origin(problem: Problem, merged: &Merged) -> Problem {
    let found = merged.iter().find(|(path, _)| path.join(".") == problem.key);
    Problem { origin: found.map_or(Origin::Default, |(_, (_, origin))| origin.clone()), ..problem }
}
