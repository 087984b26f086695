//! The configuration as a JSON Schema, for editors and for whoever writes files by a program. It is derived from the structs that
//! read the files; defaults and ranges come from where the rules take them.

use serde_json::{Value, json};

use super::rules;
use super::schema::Settings;

/// The schema of a configuration file, draft 2020-12.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Settings).to_value();
    schema["title"] = json!("Bellwether");
    schema["description"] = json!("A configuration file of Bellwether's services and command, read as TOML");
    for (key, min, max) in rules::NUMBERS {
        if let Some(place) = property(&mut schema, key).and_then(Value::as_object_mut) {
            place.remove("format");
            place.insert("minimum".to_owned(), json!(min));
            place.insert("maximum".to_owned(), json!(max));
        }
    }
    schema
}

/// The schema of one key. Sections stand under `$defs`.
fn property<'a>(schema: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let (section, name) = key.split_once('.')?;
    let reference = schema.pointer(&format!("/properties/{section}/$ref"))?.as_str()?.trim_start_matches('#').to_owned();
    schema.pointer_mut(&format!("{reference}/properties/{name}"))
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    #[test]
    fn every_key_is_in_the_schema_with_its_default_and_an_explanation() {
        let mut schema = json_schema();
        for key in keys::KNOWN.keys() {
            let place = match key.split_once('.') {
                Some(_) => property(&mut schema, key).cloned(),
                None => schema["properties"].get(key).cloned(),
            };
            let place = place.unwrap_or_else(|| panic!("{key} is not in the schema"));
            assert_eq!(Some(&place["default"]), keys::value_of(&Settings::default(), key).as_ref(), "{key}");
            assert!(place["description"].as_str().is_some_and(|text| !text.is_empty()), "{key}: {place}");
        }
    }

    #[test]
    fn what_the_rules_refuse_the_schema_refuses() {
        let mut schema = json_schema();
        assert_eq!(schema["additionalProperties"], json!(false));
        for (key, min, max) in rules::NUMBERS {
            let place = property(&mut schema, key).expect(key);
            assert_eq!((&place["minimum"], &place["maximum"]), (&json!(min), &json!(max)), "{key}");
        }
        assert!(!schema.to_string().contains("\"secret\""), "what no file may hold is not offered");
    }
}
