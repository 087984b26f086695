//! `bellwether submit --dry-run`: what would be submitted, and what the cluster would make of it. Nothing is written.

use std::time::Duration;

use bellwether_client::{Client, Explanation, Foresight, NewArray, NewGroup, NewTask, Rehearsed, ScheduleName, SubmitError};
use bellwether_common::config::Output;
use bellwether_core::protocol::schedule::ScheduleRecord;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::context::{Context, Versioned};
use super::failure::Failure;
use super::submit;
use super::table::{Table, or_dash};

/// How long a cluster is looked for.
const REACH: Duration = Duration::from_secs(5);
/// How many tasks of a group are shown to people.
const SHOWN: usize = 20;

/// What would be submitted.
#[derive(Serialize, JsonSchema)]
pub(super) struct DryRun<'a> {
    /// Always true: nothing was submitted.
    dry_run: bool,
    /// As what.
    #[serde(flatten)]
    form: &'a Form,
    /// The tasks, in order; of a schedule that of each tick.
    tasks: Vec<Written>,
    /// What the cluster would make of them now; null if it could not be asked.
    cluster: Option<&'a Foresight>,
}

/// In which form tasks would be submitted. None of these: a task by itself.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Form {
    /// A group of so many tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<usize>,
    /// An array of so many elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    array: Option<u32>,
    /// A schedule of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<ScheduleName>,
}

/// One task as it would be written.
#[derive(Serialize, JsonSchema)]
pub(super) struct Written {
    /// Its bytes.
    bytes: usize,
    /// Whether it might not run at once.
    held: bool,
    /// What it says of itself; names in it are given anew when it is submitted.
    envelope: Value,
}

/// A task by itself.
pub(crate) async fn task(ctx: &Context, mut task: NewTask, at: Option<Timestamp>) -> Result<u8, Failure> {
    let client = ctx.started_client()?;
    if let Some(at) = at {
        // ZooKeeper is asked for its time by a write, so this goes by our own clock.
        task = task.delay(submit::until(at, bellwether_common::clock::wall())?);
    }
    let tasks = client.rehearse(&[client.new_name()], vec![task])?;
    show(ctx, client, Form::default(), tasks).await
}

/// An array.
pub(crate) async fn array(ctx: &Context, mut array: NewArray, at: Option<Timestamp>) -> Result<u8, Failure> {
    let client = ctx.started_client()?;
    if let Some(at) = at {
        array.task = array.task.delay(submit::until(at, bellwether_common::clock::wall())?);
    }
    let form = Form { array: Some(array.span().len()), ..Form::default() };
    let task = client.rehearse_array(&client.new_name(), array)?;
    show(ctx, client, form, vec![task]).await
}

/// The tasks of a file.
pub(crate) async fn group(ctx: &Context, group: NewGroup) -> Result<u8, Failure> {
    let client = ctx.started_client()?;
    let form = Form { group: Some(group.tasks.len()), ..Form::default() };
    let tasks = client.rehearse_group(&client.new_name(), group)?;
    show(ctx, client, form, tasks).await
}

/// A schedule.
pub(crate) async fn schedule(ctx: &Context, name: ScheduleName, task: NewTask, record: ScheduleRecord) -> Result<u8, Failure> {
    let client = ctx.started_client()?;
    let task = client.rehearse_schedule(&name, task, record)?;
    show(ctx, client, Form { schedule: Some(name), ..Form::default() }, vec![task]).await
}

/// Ends as a submission would.
async fn show(ctx: &Context, client: &Client, form: Form, tasks: Vec<Rehearsed>) -> Result<u8, Failure> {
    let foresight = match tokio::time::timeout(REACH.min(ctx.request_timeout), client.connected()).await {
        Ok(Ok(())) => Some(client.foresee(&tasks).await?),
        Ok(Err(why)) => unreachable(ctx, &why.to_string()),
        Err(_) => unreachable(ctx, &client.outage().unwrap_or_else(|| "it gives no session".to_owned())),
    };
    match ctx.printer.output {
        Output::Json => {
            let written: Result<Vec<Written>, _> = tasks.iter().map(written).collect();
            ctx.printer.json(&Versioned::new(DryRun { dry_run: true, form: &form, tasks: written?, cluster: foresight.as_ref() }));
        }
        Output::Name => tasks.iter().for_each(|task| ctx.printer.line(&task.command())),
        Output::Table => print(ctx, &form, &tasks, foresight.as_ref()),
    }
    ctx.printer.note("nothing was submitted: leave --dry-run out to submit it");
    match foresight.and_then(|foresight| foresight.closed) {
        Some(closed) => Err(SubmitError::NotAdmitted(closed).into()),
        None => Ok(0),
    }
}

fn unreachable(ctx: &Context, why: &str) -> Option<Foresight> {
    ctx.printer.note(&format!("the cluster at {} was not asked: {why}", ctx.address()));
    None
}

fn written(task: &Rehearsed) -> Result<Written, Failure> {
    Ok(Written { bytes: task.payload.len(), held: task.held, envelope: task.envelope()? })
}

fn print(ctx: &Context, form: &Form, tasks: &[Rehearsed], foresight: Option<&Foresight>) {
    let mut table = Table::new(&[], &ctx.printer);
    let mut row = |key: &str, value: String| table.row([key.to_owned(), value]);
    match (form, tasks) {
        (Form { schedule: Some(name), .. }, _) => row("would make", format!("schedule {name}")),
        (Form { group: Some(size), .. }, _) => row("would submit", format!("a group of {size} tasks")),
        (Form { array: Some(1), .. }, _) => row("would submit", "an array of 1 element".to_owned()),
        (Form { array: Some(count), .. }, _) => row("would submit", format!("an array of {count} elements")),
        (_, _) => row("would submit", "a task".to_owned()),
    }
    if let ([task], None) = (tasks, form.group) {
        envelope_rows(task, &mut row);
    }
    if let Some(foresight) = foresight {
        row("zookeeper", foresight.zookeeper.clone());
        row("admission", foresight.closed.as_ref().map_or_else(|| "open".to_owned(), |closed| format!("closed: {closed}")));
        if let Some(first) = &foresight.first {
            row("submitted before", format!("{first}, under the same key: nothing new would be submitted"));
        }
        for prospect in &foresight.prospects {
            let of = if foresight.prospects.len() > 1 { format!(" ({} of the tasks)", prospect.tasks) } else { String::new() };
            row("workers", format!("{}{of}", who_could(&prospect.explanation)));
        }
    }
    table.print(&ctx.printer);
    if form.group.is_some() {
        print_elements(ctx, tasks);
    }
}

/// What the envelope says, key by key.
fn envelope_rows(task: &Rehearsed, row: &mut impl FnMut(&str, String)) {
    row("command", task.command());
    let said = task.envelope().ok().and_then(|envelope| envelope.as_object().cloned()).unwrap_or_default();
    for (key, value) in said.iter().filter(|(key, _)| !matches!(key.as_str(), "bellwether" | "argv" | "shell" | "input" | "signature")) {
        row(&key.replace('_', " "), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    if said.contains_key("signature") {
        row("signature", "it is signed".to_owned());
    }
    row("bytes", task.payload.len().to_string());
    row("runs", if task.held { "not at once" } else { "as soon as a worker takes it" }.to_owned());
}

fn who_could(explanation: &Explanation) -> String {
    let permanent = |code: &str| matches!(code, "foreign" | "draining" | "kind" | "label" | "slots" | "resource");
    let able = explanation.workers.iter().filter(|verdict| !verdict.excluded.iter().any(|why| permanent(why.code)));
    let able: Vec<&str> = able.map(|verdict| verdict.worker.as_str()).collect();
    match (able.as_slice(), explanation.workers.len()) {
        (_, 0) => "none is registered".to_owned(),
        ([], all) => {
            let why = explanation.workers.iter().flat_map(|verdict| &verdict.excluded).map(|why| why.text.as_str()).next();
            format!("none of {all} could run it: {}", or_dash(why))
        }
        (able, all) => format!("{} of {all} could run it: {}", able.len(), able.join(" ")),
    }
}

fn print_elements(ctx: &Context, tasks: &[Rehearsed]) {
    ctx.printer.line("");
    let mut table = Table::new(&["INDEX", "BYTES", "WHAT"], &ctx.printer);
    for task in tasks.iter().take(SHOWN) {
        let index = task.task.group().map(|(_, index)| index);
        table.row([or_dash(index), task.payload.len().to_string(), task.command()]);
    }
    table.print(&ctx.printer);
    if tasks.len() > SHOWN {
        ctx.printer.note(&format!("and {} more; see all with: -o json", tasks.len() - SHOWN));
    }
}

#[cfg(test)]
mod tests {
    use bellwether_client::{TaskName, TaskState, Verdict, Why, WorkerId};

    use super::*;

    #[test]
    fn who_could_run_it_is_told_whether_or_not_there_is_room() {
        let verdict = |name: &str, code: Option<&'static str>| Verdict {
            worker: WorkerId::listed(name),
            excluded: code.map(|code| Why { code, text: format!("it is {code}") }).into_iter().collect(),
        };
        let told = |workers: Vec<Verdict>| {
            who_could(&Explanation { task: TaskName::listed("t"), state: TaskState::Pending, reasons: Vec::new(), workers })
        };
        assert_eq!(told(vec![]), "none is registered");
        assert_eq!(told(vec![verdict("a", Some("label"))]), "none of 1 could run it: it is label");
        let some = ["label", "full", "kept", "resource-used", "not-idle", "reserved"].map(|code| verdict(code, Some(code)));
        let able = "6 of 7 could run it: full kept resource-used not-idle reserved z";
        assert_eq!(told(some.into_iter().chain([verdict("z", None)]).collect()), able);
    }
}
