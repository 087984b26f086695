//! The published JSON Schema of the command: whatever a test reads of `-o json` is held to it.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// What prints JSON of a format that is published elsewhere.
const ELSEWHERE: [&str; 2] = ["schema", "config.schema"];
/// Options before a command that have a value.
const VALUED: [&str; 11] =
    ["-z", "--zookeeper", "-c", "--config", "--set", "-o", "--output", "--color", "--time", "--request-timeout", "--columns"];

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/output.schema.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("the published schema is JSON")
});

/// The command of a command line: its words with dots between them, as the schema names it.
fn command_of(args: &[String]) -> String {
    let mut words = Vec::new();
    let mut args = args.iter().map(String::as_str);
    while let (Some(arg), true) = (args.next(), words.len() < 2) {
        if VALUED.contains(&arg) {
            args.next();
        } else if !arg.starts_with('-') {
            words.push(arg);
        }
    }
    let family = words.join(".");
    let known = |command: &str| DOCUMENT["$defs"].get(format!("command.{command}")).is_some() || ELSEWHERE.contains(&command);
    if known(&family) { family } else { words.first().copied().unwrap_or_default().to_owned() }
}

/// Holds what a command printed to the schema.
///
/// # Panics
/// It is something else.
#[track_caller]
pub(crate) fn check(args: &[String], printed: &Value) {
    let command = command_of(args);
    if !ELSEWHERE.contains(&command.as_str()) {
        check_as(&command, printed);
    }
}

/// Holds this to the schema of a command, or of `error`.
///
/// # Panics
/// It is something else.
#[track_caller]
pub fn check_as(command: &str, printed: &Value) {
    let schema = &DOCUMENT["$defs"][format!("command.{command}")];
    assert!(schema.is_object(), "the published schema says nothing of `{command}`: add it to FORMS of `schema`");
    if let Err(wrong) = allows(schema, printed) {
        panic!("{command} prints what the published schema does not allow: {wrong}\n{printed:#}");
    }
}

/// Whether a value is allowed: JSON Schema as far as the document uses it. A keyword that is not known here is a failure, so that
/// nothing is taken for checked that was not.
fn allows(schema: &Value, value: &Value) -> Result<(), String> {
    let keywords = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(keywords) => keywords,
        _ => return Err(format!("nothing is allowed here: {value}")),
    };
    keywords.iter().try_for_each(|(keyword, said)| holds(keyword, said, keywords, value))
}

fn holds(keyword: &str, said: &Value, keywords: &Map<String, Value>, value: &Value) -> Result<(), String> {
    let all = |said: &Value| said.as_array().cloned().unwrap_or_default();
    let right = match keyword {
        "$ref" => {
            let name = said.as_str().and_then(|path| path.strip_prefix("#/$defs/")).ok_or("a reference to elsewhere")?;
            return allows(&DOCUMENT["$defs"][name], value).map_err(|wrong| format!("as {name}: {wrong}"));
        }
        "anyOf" | "oneOf" => {
            let wrong: Vec<String> = all(said).iter().filter_map(|schema| allows(schema, value).err()).collect();
            let right = all(said).len() - wrong.len();
            return if right > 0 { Ok(()) } else { Err(format!("none of: {}", wrong.join("; or: "))) };
        }
        "allOf" => return all(said).iter().try_for_each(|schema| allows(schema, value)),
        "type" => said.as_str().map_or_else(|| all(said), |one| vec![one.into()]).iter().any(|kind| is_of(kind, value)),
        "const" => said == value,
        "enum" => all(said).contains(value),
        "minimum" => value.as_f64().is_none_or(|number| said.as_f64().is_some_and(|least| number >= least)),
        "maximum" => value.as_f64().is_none_or(|number| said.as_f64().is_some_and(|most| number <= most)),
        "minItems" => value.as_array().is_none_or(|items| said.as_u64().is_some_and(|least| items.len() as u64 >= least)),
        "maxItems" => value.as_array().is_none_or(|items| said.as_u64().is_some_and(|most| items.len() as u64 <= most)),
        "prefixItems" => {
            let items = value.as_array().into_iter().flatten().zip(all(said));
            return items
                .enumerate()
                .try_for_each(|(index, (item, schema))| allows(&schema, item).map_err(|wrong| format!("[{index}]: {wrong}")));
        }
        "uniqueItems" => {
            let items = value.as_array().map_or(&[][..], Vec::as_slice);
            *said == Value::Bool(false) || items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))
        }
        "required" => value.as_object().is_none_or(|object| all(said).iter().all(|key| object.contains_key(key.as_str().unwrap_or("")))),
        "items" => {
            let items = value.as_array().into_iter().flatten();
            return items.enumerate().try_for_each(|(index, item)| allows(said, item).map_err(|wrong| format!("[{index}]: {wrong}")));
        }
        "properties" | "additionalProperties" => return properties(keyword, said, keywords, value),
        "title" | "description" | "format" | "default" | "$schema" | "examples" | "pattern" => true,
        unknown => return Err(format!("this test does not know the keyword {unknown}")),
    };
    if right { Ok(()) } else { Err(format!("{keyword} {said} does not hold of {value}")) }
}

fn properties(keyword: &str, said: &Value, keywords: &Map<String, Value>, value: &Value) -> Result<(), String> {
    let named = |key: &str| if keyword == "properties" { said.get(key) } else { None };
    let others = |key: &str| {
        let is_named = keywords.get("properties").is_some_and(|properties| properties.get(key).is_some());
        (keyword == "additionalProperties" && !is_named).then_some(said)
    };
    value.as_object().into_iter().flatten().try_for_each(|(key, value)| match named(key).or_else(|| others(key)) {
        Some(schema) => allows(schema, value).map_err(|wrong| format!(".{key}: {wrong}")),
        None => Ok(()),
    })
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_keyword_can_fail() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": ["integer", "null"], "minimum": 0},
            "b": {"items": {"enum": ["x"]}}}, "additionalProperties": {"const": 1}});
        for good in [json!({"a": 1}), json!({"a": null, "b": ["x", "x"], "c": 1})] {
            assert_eq!(allows(&schema, &good), Ok(()));
        }
        for bad in [json!(1), json!({}), json!({"a": "1"}), json!({"a": -1}), json!({"a": 1, "b": ["y"]}), json!({"a": 1, "c": 2})] {
            assert!(allows(&schema, &bad).is_err(), "{bad}");
        }
        assert!(allows(&json!({"anyOf": [{"const": 1}, false]}), &json!(2)).is_err());
        assert_eq!(allows(&json!({"uniqueItems": true}), &json!(["a", "b"])), Ok(()));
        assert!(allows(&json!({"uniqueItems": true}), &json!(["a", "b", "a"])).is_err());
        let pair = json!({"maxItems": 2, "prefixItems": [{"type": "integer"}, {"type": "string"}]});
        assert_eq!(allows(&pair, &json!([1, "b"])), Ok(()));
        assert!([json!([1, 2]), json!([1, "b", 3])].iter().all(|wrong| allows(&pair, wrong).is_err()));
        assert!(allows(&json!({"unheardOf": 1}), &json!(2)).is_err(), "what is not known is not taken for checked");
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_command_is_found_among_its_options() {
        for (line, command) in [
            ("-z a:1 worker list -o json", "worker.list"),
            ("-o json status task-1", "status"),
            ("-z a:1 --set x.y=z submit -- echo list", "submit"),
            ("config schema", "config.schema"),
        ] {
            assert_eq!(command_of(&words(line)), command, "{line}");
        }
    }

    #[test]
    #[should_panic(expected = "prints what the published schema does not allow")]
    fn what_is_not_published_is_found() {
        check(&words("status"), &json!({"bellwether": 1, "task": 7}));
    }

    #[test]
    #[should_panic(expected = "says nothing of `frobnicate`")]
    fn a_command_that_is_not_published_is_found() {
        check(&words("frobnicate"), &json!({}));
    }
}
