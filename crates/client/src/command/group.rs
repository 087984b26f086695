//! Groups on the command line: submitted from a file, and shown.

use std::collections::BTreeSet;

use bellwether_client::{Group, NewGroup, Progress};
use bellwether_common::clock::wall as now;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::group::GroupState;
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::{GroupArgs, TaskArgs};
use super::array;
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::{Table, ago};
use super::wait::Waiting;
use super::{memory, status, submit, tasks_file, wait};

/// A group that was submitted.
#[derive(Serialize, JsonSchema)]
pub(super) struct Submitted<'a> {
    /// Its id.
    group: &'a TaskName,
    /// How many tasks it has; they are numbered from 0.
    size: usize,
}

/// A group, and how far it is.
#[derive(Serialize, JsonSchema)]
pub(super) struct Shown<'a> {
    #[serde(flatten)]
    group: &'a Group,
    /// Where its elements are.
    progress: Progress,
}

/// `bellwether submit -f`: prints the id of the group, and with `wait` goes on as `bellwether wait`.
pub(crate) async fn submit(
    ctx: &Context,
    arguments: GroupArgs,
    max_fails: Option<u32>,
    task: TaskArgs,
    wait: Option<Waiting>,
) -> Result<u8, Failure> {
    let TaskArgs { name, wait_admission, .. } = task;
    let new = NewGroup { name, ..read(ctx, arguments, max_fails).await? };
    let size = new.tasks.len();
    let client = ctx.client().await?;
    if wait.is_some() {
        client.expect().await;
    }
    if let Some(patience) = wait_admission {
        let kinds: BTreeSet<_> = new.tasks.iter().map(|element| element.task.envelope.labels.clone()).collect();
        for labels in &kinds {
            client.admitted(labels, patience).await?;
        }
    }
    let group = client.new_name();
    ctx.submitting(&group);
    client.submit_group_as(group.clone(), new).await?;
    memory::remember(&ctx.address(), std::slice::from_ref(&group));
    ctx.going_on(std::slice::from_ref(&group));
    match ctx.printer.output {
        Output::Json if wait.is_some() => {}
        Output::Json => ctx.printer.json(&Versioned::new(Submitted { group: &group, size })),
        Output::Table | Output::Name => ctx.printer.id(group.as_str()),
    }
    match wait {
        None => Ok(0),
        Some(waiting) => {
            let elements: Vec<TaskName> = (0..).take(size).map(|index| group.element(index)).collect();
            wait::run(ctx, &elements, &[group], waiting).await
        }
    }
}

/// The group that a file describes.
pub(crate) async fn read(ctx: &Context, arguments: GroupArgs, max_fails: Option<u32>) -> Result<NewGroup, Failure> {
    let GroupArgs { file, partial } = arguments;
    let Some(file) = file else { return Err(Failure::usage("there is no file")) };
    let payload_max = ctx.settings.task.payload_max.as_usize();
    // Somebody may be typing it, and must be able to interrupt that.
    let read = tokio::task::spawn_blocking(move || tasks_file::read(&file, partial, payload_max)).await;
    let (mut tasks, bad) = read.map_err(|error| Failure::error("error", error.to_string()))??;
    bad.iter().for_each(|bad| ctx.printer.note(&format!("{bad}; it is left out")));
    let trace = submit::trace_of_environment();
    tasks.iter_mut().for_each(|element| element.task.envelope.trace.clone_from(&trace));
    Ok(NewGroup { tasks, max_fails, name: None })
}

/// `bellwether status ID`: a group, an array, or a task.
pub(crate) async fn status(ctx: &Context, id: &TaskName) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let Some(group) = client.group(id).await? else {
        return match client.array_of(id).await? {
            Some(array) => {
                array::show(ctx, &array);
                Ok(0)
            }
            None => status::task(ctx, id).await,
        };
    };
    let progress = client.progress_of(&group).await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Shown { group: &group, progress })),
        Output::Name => group.elements().iter().for_each(|task| ctx.printer.line(task.as_str())),
        Output::Table => print(ctx, &group, progress),
    }
    Ok(0)
}

fn print(ctx: &Context, group: &Group, progress: Progress) {
    let mut table = Table::new(&[], &ctx.printer);
    let mut row = |key: &str, value: String| table.row([key.to_owned(), value]);
    row("group", group.group.to_string());
    row("state", word(group.state).to_owned());
    row("tasks", format!("{}, from {} on", group.size, group.group.element(0)));
    let Progress { assigned, pending, held, ended, missing } = progress;
    let nowhere = if missing > 0 { format!(", {missing} nowhere") } else { String::new() };
    row("progress", format!("{ended} ended, {assigned} assigned, {pending} pending, {held} held{nowhere}"));
    let others = [("name", &group.name), ("submitter", &group.submitter), ("reason", &group.reason)];
    others.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).for_each(|(key, value)| row(key, value));
    if let Some(max_fails) = group.max_fails {
        row("max fails", max_fails.to_string());
    }
    row("since", format!("{} ({})", ago(group.since, now()), group.since));
    table.print(&ctx.printer);
    ctx.printer.note(&match group.state {
        GroupState::Open => half_submitted(&group.group),
        GroupState::Submitted | GroupState::Cancelled | GroupState::Ended => {
            format!("see its tasks with: bellwether list --group {0}, or wait for them with: bellwether wait {0}", group.group)
        }
    });
}

/// What a group is that somebody submits, or once did.
pub(super) fn half_submitted(group: &TaskName) -> String {
    format!("its tasks are being submitted, and none runs before all are there; if nobody is at it any more: bellwether cancel {group}")
}

/// How far a group is.
pub(crate) fn word(state: GroupState) -> &'static str {
    match state {
        GroupState::Open => "open",
        GroupState::Submitted => "submitted",
        GroupState::Cancelled => "cancelled",
        GroupState::Ended => "ended",
    }
}
