//! `bellwether status`: the cluster, or where one task is.

use bellwether_client::{OutputReader, Overview, TaskProgress, TaskState, TaskView};
use bellwether_common::clock::wall as now;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;

use super::context::{Context, Versioned};
use super::failure::Failure;
use super::master;
use super::table::{Table, ago, ahead, or_dash, pairs};
use super::worker;

/// The cluster at a glance.
pub(crate) async fn cluster(ctx: &Context) -> Result<u8, Failure> {
    let overview = ctx.client().await?.overview().await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(&overview)),
        Output::Name => overview.workers.iter().for_each(|worker| ctx.printer.line(worker.worker.as_str())),
        Output::Table => print_cluster(ctx, &overview),
    }
    Ok(0)
}

fn print_cluster(ctx: &Context, overview: &Overview) {
    let queue = &overview.queue;
    let mut table = Table::new(&[], &ctx.printer);
    table.row(["zookeeper".to_owned(), overview.zookeeper.clone()]);
    table.row(["master".to_owned(), master::in_one_line(overview)]);
    if let Some(paused) = &overview.paused {
        table.row(["paused".to_owned(), format!("nothing is assigned, {}", master::how_paused(paused))]);
    }
    for closure in &overview.closed {
        table.row(["closed".to_owned(), format!("no more work is taken in: {closure}")]);
    }
    let standbys: Vec<&str> = overview.standbys.iter().map(|standby| standby.name.as_str()).collect();
    table.row(["standbys".to_owned(), if standbys.is_empty() { "none".to_owned() } else { standbys.join(", ") }]);
    let (taken, slots) = overview.slots();
    table.row(["workers".to_owned(), format!("{}, {taken} of {slots} slots taken", overview.workers.len())]);
    let queued = format!("{} pending, {} assigned, {} held", queue.pending, queue.assigned, queue.held);
    table.row(["tasks".to_owned(), format!("{queued}, {} ended, {} dead letters", queue.ended, queue.dead)]);
    table.print(&ctx.printer);
    if !overview.workers.is_empty() {
        ctx.printer.line("");
        worker::print(ctx, &overview.workers);
    }
}

/// One task.
pub(crate) async fn task(ctx: &Context, task: &TaskName) -> Result<u8, Failure> {
    let view = ctx.client().await?.status(task).await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(&view)),
        Output::Name => ctx.printer.line(task.as_str()),
        Output::Table => print_task(ctx, &view, progress(ctx, &view).await),
    }
    Ok(0)
}

/// How far a handler is; a worker that does not answer says nothing.
async fn progress(ctx: &Context, view: &TaskView) -> Option<TaskProgress> {
    if view.state != TaskState::Assigned || view.kind.is_none() {
        return None;
    }
    let reader = OutputReader::new(ctx.settings.http.token.clone());
    ctx.client().await.ok()?.progress(&view.task, &reader).await.ok().flatten()
}

fn in_one_line(progress: &TaskProgress) -> String {
    let of = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
    let note = if progress.note.is_empty() { String::new() } else { format!(": {}", progress.note) };
    format!("{}{of}{note} ({})", progress.done, ago(progress.at, now()))
}

fn print_task(ctx: &Context, view: &TaskView, progress: Option<TaskProgress>) {
    let mut table = Table::new(&[], &ctx.printer);
    let mut row = |key: &str, value: String| table.row([key.to_owned(), value]);
    row("task", view.task.to_string());
    row("state", view.state.to_string());
    if let Some(result) = &view.result {
        row("why", result.why());
    }
    row("worker", or_dash(view.worker.as_ref()));
    if let Some(progress) = progress {
        row("progress", in_one_line(&progress));
    }
    row("attempt", format!("{}, {} failed, {} lost with their worker", view.attempt, view.failures, view.losses));
    if let Some(at) = view.not_before {
        row("next try", format!("{} ({at})", ahead(at, now())));
    }
    if !view.after.is_empty() {
        row("after", view.after.iter().map(TaskName::as_str).collect::<Vec<_>>().join(" "));
    }
    if let Some(array) = &view.array_of {
        row("array", array.to_string());
    }
    if let Some(group) = &view.group {
        row("group", group.to_string());
    }
    if let Some(key) = &view.key {
        row("key", key.clone());
    }
    if let Some(dead) = &view.retry_of {
        row("retry of", dead.to_string());
    }
    if view.dead_letter {
        row("dead letter", format!("kept; run it again with: bellwether dead retry {}", view.task));
    }
    if view.cancelling {
        row("cancelling", "yes, the master has not done it yet".to_owned());
    }
    for (key, value) in [("name", &view.name), ("command", &view.command), ("submitter", &view.submitter)] {
        if let Some(value) = value {
            row(key, value.clone());
        }
    }
    if let Some(priority) = view.priority {
        row("priority", priority.to_string());
    }
    if let Some(slots) = view.slots.filter(|slots| *slots > 1) {
        row("slots", slots.to_string());
    }
    if !view.resources.is_empty() {
        row("takes", pairs(&view.resources));
    }
    for (key, labels) in [("labels", &view.labels), ("requires", &view.require)] {
        if !labels.is_empty() {
            row(key, pairs(labels));
        }
    }
    row("since", format!("{} ({})", ago(view.since, now()), view.since));
    table.print(&ctx.printer);
    if view.result.is_some() {
        ctx.printer.note(&format!("see its output with: bellwether result {}", view.task));
    }
}
