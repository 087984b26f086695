//! Which keys there are, taken from the schema itself, and what to say about one that is not among them or has a value of the wrong
//! sort.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use config::{Value, ValueKind};
use serde_json::Value as Json;

use super::problem::{Origin, Problem};
use super::rules;
use super::schema::Settings;

/// What sort of value a key takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// A whole number.
    Number,
    /// Yes or no.
    Flag,
    /// A list of whole numbers.
    Numbers,
    /// A list of texts.
    Texts,
    /// Text, with the default as an example.
    Text(String),
    /// A table of texts under names that the operator chooses.
    Table,
    /// A table of whole numbers under names that the operator chooses.
    Counts,
}

/// Tables of whole numbers; other tables hold texts.
const COUNTS: [&str; 2] = ["coordinator.quota", "worker.resources"];

/// Lists of texts; other lists hold whole numbers.
const TEXTS: [&str; 1] = ["worker.trusted_keys"];

/// Every key as `section.key`.
pub(super) static KNOWN: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| {
    let mut known = BTreeMap::new();
    flatten(&json(&Settings::default()), "", &mut known);
    known
});

/// Whether `key` is a section, or a table whose names the operator chooses.
pub(super) fn is_table(key: &str) -> bool {
    let inside = |known: &String| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    matches!(KNOWN.get(key), Some(Shape::Table | Shape::Counts)) || KNOWN.keys().any(inside)
}

fn flatten(value: &Json, key: &str, known: &mut BTreeMap<String, Shape>) {
    let shape = match value {
        Json::Object(table) if table.is_empty() && COUNTS.contains(&key) => Shape::Counts,
        Json::Object(table) if table.is_empty() => Shape::Table,
        Json::Object(table) => {
            for (name, inner) in table {
                let inner_key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(inner, &inner_key, known);
            }
            return;
        }
        Json::Number(_) => Shape::Number,
        Json::Bool(_) => Shape::Flag,
        Json::Array(_) if TEXTS.contains(&key) => Shape::Texts,
        Json::Array(_) => Shape::Numbers,
        other => Shape::Text(other.as_str().unwrap_or_default().to_owned()),
    };
    known.insert(key.to_owned(), shape);
}

fn json(settings: &Settings) -> Json {
    serde_json::to_value(settings).expect("settings are plain data")
}

/// The value of `key` in `settings`, as it would be written in a file.
pub(super) fn value_of(settings: &Settings, key: &str) -> Option<Json> {
    let inside = |table: &str| key.strip_prefix(table)?.strip_prefix('.').map(|name| (table.to_owned(), Some(name)));
    let tables = KNOWN.iter().filter(|(_, shape)| matches!(shape, Shape::Table | Shape::Counts));
    let (table, label) = tables.map(|(table, _)| table).find_map(|table| inside(table)).unwrap_or((key.to_owned(), None));
    let whole = json(settings);
    let value = table.split('.').chain(label).try_fold(&whole, |value, name| value.get(name))?;
    Some(value.clone())
}

/// The problem `why` with the value of `key` in settings whose origin nobody recorded.
pub(super) fn problem(settings: &Settings, key: String, why: String) -> Problem {
    let value = value_of(settings, &key).map(|value| value.to_string());
    Problem { key, value, origin: Origin::Default, why }
}

/// Checks one key and the sort of its value, and turns the value into what the schema takes.
///
/// # Errors
/// What is wrong, with or without the value.
pub(super) fn check(path: &[String], value: &Value, origin: &Origin) -> Result<Json, (Option<String>, String)> {
    let key = path.join(".");
    let Some(shape) = shape_of(path) else {
        return Err((None, unknown(&key)));
    };
    let shown = show(value);
    let typed = typed(&key, &shape, value, origin).map_err(|why| (Some(shown.clone()), why))?;
    let alone = nest([(path.to_vec(), typed.clone())]);
    match serde_json::from_value::<Settings>(alone) {
        Ok(_) => Ok(typed),
        Err(error) => Err((Some(shown), error.to_string())),
    }
}

fn shape_of(path: &[String]) -> Option<Shape> {
    let (last, table) = path.split_last()?;
    match KNOWN.get(&path.join(".")) {
        Some(shape) => Some(shape.clone()),
        None if last.is_empty() => None,
        None => match KNOWN.get(&table.join("."))? {
            Shape::Table => Some(Shape::Text(String::new())),
            Shape::Counts => Some(Shape::Number),
            Shape::Number | Shape::Flag | Shape::Numbers | Shape::Texts | Shape::Text(_) => None,
        },
    }
}

/// The value in the schema's sort. The `config` crate would take 1.7 for 2 and "3" for 3; an operator who wrote that meant something
/// else. Only the environment and the command line, which know nothing but text, may spell numbers as text.
fn typed(key: &str, shape: &Shape, value: &Value, origin: &Origin) -> Result<Json, String> {
    let text_only = matches!(origin, Origin::Environment(_) | Origin::Set(_) | Origin::CommandLine);
    match (shape, &value.kind) {
        (Shape::Number, kind) => {
            let number = match kind {
                ValueKind::I64(number) => Some(*number),
                ValueKind::String(text) if text_only => text.parse().ok(),
                _ => None,
            };
            let fits = number.and_then(|number| u32::try_from(number).ok());
            fits.map(Json::from).ok_or_else(|| rules::range(key))
        }
        (Shape::Numbers, kind) => {
            let numbers = match kind {
                ValueKind::Array(items) => items.iter().map(number_in_list).collect::<Option<Vec<_>>>(),
                ValueKind::String(text) if text_only => numbers_in(text),
                _ => None,
            };
            numbers.map(Json::from).ok_or_else(|| "must be a list of whole numbers, as [1, 75]".to_owned())
        }
        (Shape::Flag, kind) => {
            let flag = match kind {
                ValueKind::Boolean(flag) => Some(*flag),
                ValueKind::String(text) if text_only => text.parse().ok(),
                _ => None,
            };
            flag.map(Json::from).ok_or_else(|| "must be true or false".to_owned())
        }
        (Shape::Texts, kind) => {
            let texts = match kind {
                ValueKind::Array(items) => items.iter().map(text_in_list).collect::<Option<Vec<_>>>(),
                ValueKind::String(text) if text_only => Some(texts_in(text)),
                _ => None,
            };
            texts.map(Json::from).ok_or_else(|| "must be a list of texts, as [\"a\", \"b\"]".to_owned())
        }
        (Shape::Text(_), ValueKind::String(text)) => Ok(Json::from(text.clone())),
        (Shape::Text(example), _) if example.is_empty() => Err("must be text in quotes".to_owned()),
        (Shape::Text(example), _) => Err(format!("must be text in quotes, as {example:?}")),
        (Shape::Table | Shape::Counts, _) if text_only => Err(format!("is a table: set one of its names, as {key}.name")),
        (Shape::Counts, _) => Err(format!("must be a table, as [{key}] and below it name = 1")),
        (Shape::Table, _) => Err(format!("must be a table, as [{key}] and below it name = \"value\"")),
    }
}

fn number_in_list(value: &Value) -> Option<i64> {
    match value.kind {
        ValueKind::I64(number) => Some(number),
        _ => None,
    }
}

fn text_in_list(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Texts between commas.
fn texts_in(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// Numbers and commas, in brackets or not; nothing at all is an empty list.
fn numbers_in(text: &str) -> Option<Vec<i64>> {
    let inside = text.trim().strip_prefix('[').map_or(Some(text.trim()), |rest| rest.strip_suffix(']'))?;
    if inside.trim().is_empty() {
        return Some(Vec::new());
    }
    inside.split(',').map(|number| number.trim().parse().ok()).collect()
}

fn show(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => Json::from(text.clone()).to_string(),
        ValueKind::Nil | ValueKind::Table(_) => "{}".to_owned(),
        ValueKind::Array(_) => "[…]".to_owned(),
        other => other.to_string(),
    }
}

/// Nested objects from paths and values; of two values with one path the later one stays.
pub(super) fn nest(entries: impl IntoIterator<Item = (Vec<String>, Json)>) -> Json {
    let mut whole = Json::Object(serde_json::Map::new());
    for (path, value) in entries {
        let place = path.iter().fold(&mut whole, |table, name| &mut table[name.as_str()]);
        *place = value;
    }
    whole
}

fn unknown(key: &str) -> String {
    let mut sections: Vec<&str> = KNOWN.keys().filter_map(|known| known.split_once('.')).map(|(section, _)| section).collect();
    sections.dedup();
    let section = key.split('.').next().unwrap_or_default();
    let inside: Vec<&str> = KNOWN.keys().filter_map(|known| known.strip_prefix(section)?.strip_prefix('.')).collect();
    if key == section && !inside.is_empty() {
        format!("is a section; its keys are {}", inside.join(", "))
    } else if let Some((above, shape)) =
        KNOWN.iter().find(|(above, _)| key.strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('.')))
    {
        match shape {
            Shape::Table | Shape::Counts => format!("unknown key; a name in {above} has no dot in it"),
            Shape::Number | Shape::Flag | Shape::Numbers | Shape::Texts | Shape::Text(_) => {
                format!("unknown key; {above} is a value, there is nothing below it")
            }
        }
    } else if let Some(near) = nearest(key) {
        format!("unknown key; did you mean {near}?")
    } else if inside.is_empty() {
        format!("unknown key; the sections are {}", sections.join(", "))
    } else {
        format!("unknown key; the keys of [{section}] are {}", inside.join(", "))
    }
}

/// The known key that was probably meant: the same name in another section, or one that is a few typing errors away.
fn nearest(key: &str) -> Option<&'static str> {
    let name = |key: &str| key.rsplit('.').next().map(str::to_owned);
    let distance = |known: &str| {
        let typing = edit_distance(&key.to_lowercase(), known);
        let apart = if name(known) == name(key) { typing.min(1) } else { typing };
        (apart, typing)
    };
    let ((apart, _), known) = KNOWN.keys().map(|known| (distance(known), known)).min()?;
    let allowed = 1 + key.len() / 6;
    (apart <= allowed).then_some(known.as_str())
}

/// How many characters must be inserted, deleted or replaced to turn one text into the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        assert_eq!(nearest("zookeeper.sesion_timeout"), Some("zookeeper.session_timeout"));
        assert_eq!(nearest("Worker.Slots"), Some("worker.slots"));
        assert_eq!(nearest("workers.slots"), Some("worker.slots"));
        assert_eq!(nearest("slots"), Some("worker.slots"));
        assert_eq!(nearest("zookeeper.kerberos_realm"), None);
    }

    #[test]
    fn a_list_is_spelled_with_or_without_brackets() {
        for (text, numbers) in
            [("", Some(vec![])), ("[]", Some(vec![])), ("75", Some(vec![75])), ("[1, 75]", Some(vec![1, 75])), ("1,x", None)]
        {
            assert_eq!(numbers_in(text), numbers, "{text:?}");
        }
        assert_eq!(numbers_in("[1"), None);
    }

    #[test]
    fn edit_distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn the_table_of_keys_is_the_schema() {
        assert_eq!(KNOWN.get("worker.slots"), Some(&Shape::Number));
        assert_eq!(KNOWN.get("worker.labels"), Some(&Shape::Table));
        assert_eq!(KNOWN.get("worker.resources"), Some(&Shape::Counts));
        assert_eq!(KNOWN.get("zookeeper.session_timeout"), Some(&Shape::Text("10s".into())));
        assert_eq!(KNOWN.get("worker.require_signature"), Some(&Shape::Flag));
        assert_eq!(KNOWN.get("worker.trusted_keys"), Some(&Shape::Texts));
        assert_eq!(KNOWN.get("worker.allow"), Some(&Shape::Table));
        assert_eq!(KNOWN.get("zookeeper.secret"), None);
        for (key, shape) in &*KNOWN {
            assert_eq!(*shape == Shape::Number, rules::NUMBERS.iter().any(|(ranged, _, _)| ranged == key), "{key} has no range");
        }
    }
}
