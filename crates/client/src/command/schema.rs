//! `bellwether schema`: the JSON Schema of what each command prints with `-o json`, made of the structs that are printed, and that of a
//! line of a file of tasks.

use bellwether_client::{
    AclApplied, AclReport, ArrayView, Element, Explanation, Handover, Happening, Letter, Listing, OfficeHistory, Overview, ScheduleView,
    Step, TaskHistory, TaskView, TermView, WorkerView,
};
use bellwether_common::audit::Report;
use bellwether_common::config::{Format, Settings};
use bellwether_core::protocol::ScheduleName;
use bellwether_core::protocol::result::TaskResult;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::arguments::{Described, Global};
use super::context::Versioned;
use super::failure::Problem;
use super::printer::Printer;
use super::{
    Failure, acl, array, bench, cancel, config, dead, dev, doctor, dry_run, forget, group, key, master, schedule, submit, tasks_file, wait,
    worker,
};

/// One form of what a command prints.
type Form = fn(&mut SchemaGenerator) -> Schema;

/// An object that says its version, as almost all are.
fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Versioned<T>>()
}

/// An object whose format has a version of its own.
fn bare<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Each command with what it may print: the whole, and with `-o jsonl` the elements of lists.
const FORMS: &[(&str, &[Form])] = &[
    ("error", &[bare::<Problem>]),
    (
        "submit",
        &[
            of::<submit::Submitted>,
            of::<group::Submitted>,
            of::<array::Submitted>,
            of::<schedule::Schedules<ScheduleName>>,
            of::<wait::Waited>,
            bare::<TaskResult>,
            of::<dry_run::DryRun>,
        ],
    ),
    ("run", &[bare::<TaskResult>]),
    ("wait", &[of::<wait::Waited>, bare::<TaskResult>]),
    ("status", &[of::<Overview>, of::<TaskView>, of::<group::Shown>, of::<ArrayView>]),
    ("list", &[of::<Listing>, of::<TaskView>]),
    ("result", &[bare::<TaskResult>, of::<array::Elements>, of::<Element>]),
    ("worker list", &[of::<worker::Workers>, of::<WorkerView>]),
    ("worker info", &[of::<worker::Info>]),
    ("worker drain", &[of::<worker::Wanted>]),
    ("worker undrain", &[of::<worker::Wanted>]),
    ("bench", &[of::<bench::Benched>]),
    ("master status", &[of::<master::Office>]),
    ("master pause", &[of::<master::Wanted>]),
    ("master resume", &[of::<master::Wanted>]),
    ("master step-down", &[of::<Handover>]),
    ("cancel", &[of::<cancel::Wishes>]),
    ("retry", &[of::<dead::Retries>]),
    ("explain", &[of::<Explanation>]),
    ("events", &[of::<Happening>]),
    ("doctor", &[of::<doctor::Diagnosis>]),
    ("history", &[of::<TaskHistory>, of::<Step>]),
    ("master history", &[of::<OfficeHistory>, of::<TermView>]),
    ("schedule", &[of::<schedule::Schedules<ScheduleName>>, of::<schedule::Schedules<ScheduleView>>, of::<ScheduleView>]),
    ("key", &[of::<key::Key>]),
    ("forget", &[of::<forget::Forgotten>]),
    ("dead list", &[of::<dead::Letters>, of::<Letter>]),
    ("dead retry", &[of::<dead::Retries>]),
    ("dead purge", &[of::<dead::Purged>]),
    ("acl apply", &[of::<AclApplied>, of::<AclReport>]),
    ("acl check", &[of::<AclReport>]),
    ("acl id", &[of::<acl::Identified>]),
    ("acl show", &[of::<acl::Rights>]),
    ("audit", &[of::<Report>]),
    ("config check", &[of::<config::Checked>]),
    ("config show", &[of::<Settings>, of::<config::Traced>]),
    ("dev", &[of::<dev::show::Shown>]),
];

/// The whole of it: under `$defs` one schema per command, by its words with dots between them, beside those that they share.
pub(super) fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let commands: Map<String, Value> = FORMS.iter().map(|(command, forms)| (key(command), any_of(&mut generator, forms))).collect();
    let mut defs = generator.take_definitions(true);
    defs.extend(commands);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What bellwether prints with -o json",
        "description": "One schema per command under $defs, as \"command.worker.list\"; error is what stands on stderr. \
            With -o jsonl a list is printed as one object per line, each an element of the list. Keys are added, never renamed or removed.",
        "$defs": defs,
    })
}

fn key(command: &str) -> String {
    format!("command.{}", command.replace(' ', "."))
}

fn any_of(generator: &mut SchemaGenerator, forms: &[Form]) -> Value {
    let forms: Vec<Value> = forms.iter().map(|form| form(generator).to_value()).collect();
    json!({ "anyOf": forms })
}

/// What a line of a file of tasks may say.
fn task_line() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<tasks_file::Line>();
    schema.to_value()
}

/// Prints one of them.
pub(super) fn run(what: Described, global: &Global) -> Result<u8, Failure> {
    let document = match what {
        Described::Output => document(),
        Described::TaskFile => task_line(),
    };
    let text = serde_json::to_string_pretty(&document);
    let text = text.map_err(|error| Failure::error("error", format!("the schema cannot be printed: {error}")))?;
    Printer::new(global, Format::Table).line(&text);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

    use super::*;

    #[test]
    fn the_schema_in_the_reference_is_made_of_what_is_printed() {
        for (name, document) in [("output.schema.json", document()), ("task-file.schema.json", task_line())] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
            let schema = format!("{}\n", serde_json::to_string_pretty(&document).expect("JSON"));
            if env::var_os("UPDATE_REFERENCE").is_some() {
                fs::write(&path, &schema).expect("the schema can be written");
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == schema, "docs/reference/{name} is not what it is made of: run `make fix`");
        }
    }

    #[test]
    fn every_property_is_explained() {
        for (key, property) in task_line()["properties"].as_object().expect("keys") {
            assert!(property["description"].is_string(), "{key} of a file of tasks says nothing");
        }
        let document = document();
        for name in ["TaskView", "TaskResult", "AttemptRecord", "Master", "Queue", "WorkerView", "Step", "TermView", "Progress"] {
            for (key, property) in document["$defs"][name]["properties"].as_object().expect(name) {
                let explained = property["description"].is_string();
                assert!(explained, "{name}.{key} says nothing");
            }
        }
    }
}
