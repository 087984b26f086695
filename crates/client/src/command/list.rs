//! `bellwether list`: tasks in columns, once or again and again.

use std::cmp::Reverse;
use std::io::IsTerminal;
use std::time::Duration;

use bellwether_client::{Client, Filter, Listing, TaskView};
use bellwether_common::clock::wall as now;
use bellwether_common::config::Output;

use super::arguments::{ListArgs, Sort};
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::printer::Printer;
use super::table::{Table, ago, ahead, or_dash, pairs};

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(2);
/// Empties a terminal's screen.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

pub(crate) async fn run(ctx: &Context, asked: ListArgs) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    loop {
        let listing = read(client, &asked).await?;
        if asked.watch && std::io::stdout().is_terminal() {
            ctx.printer.bytes(CLEAR);
        }
        show(ctx, &listing);
        if !asked.watch || Printer::is_unread() {
            return Ok(0);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn read(client: &Client, asked: &ListArgs) -> Result<Listing, Failure> {
    let limit = (asked.limit > 0).then_some(asked.limit);
    // What comes first is known when all were read.
    let read = limit.filter(|_| asked.sort.is_none());
    let filter = Filter {
        states: asked.state.clone(),
        labels: asked.label.iter().cloned().collect(),
        group: asked.group.clone(),
        key: asked.key.clone(),
        limit: read,
        ..Filter::default()
    };
    let mut listing = client.list(filter).await?;
    if let Some(sort) = asked.sort {
        order(&mut listing.tasks, sort);
        if let Some(limit) = limit.filter(|limit| listing.tasks.len() > *limit) {
            listing.tasks.truncate(limit);
            listing.more = true;
        }
    }
    Ok(listing)
}

/// Tasks that are equal stay in the order of the list.
fn order(tasks: &mut [TaskView], by: Sort) {
    match by {
        Sort::Task => tasks.sort_by(|a, b| a.task.cmp(&b.task)),
        Sort::Since => tasks.sort_by_key(|view| Reverse(view.since)),
        Sort::State => tasks.sort_by_key(|view| view.state),
        Sort::Worker => tasks.sort_by(|a, b| (a.worker.is_none(), &a.worker).cmp(&(b.worker.is_none(), &b.worker))),
        Sort::Priority => tasks.sort_by_key(|view| Reverse(view.priority)),
        Sort::Name => tasks.sort_by(|a, b| (a.name.is_none(), &a.name).cmp(&(b.name.is_none(), &b.name))),
    }
}

fn show(ctx: &Context, listing: &Listing) {
    match ctx.printer.output {
        Output::Json => ctx.printer.json_list(&Versioned::new(listing), listing.tasks.iter().map(Versioned::new)),
        Output::Name => listing.tasks.iter().for_each(|view| ctx.printer.line(view.task.as_str())),
        Output::Table if listing.tasks.is_empty() => ctx.printer.note("no tasks"),
        Output::Table => print(ctx, &listing.tasks),
    }
    if listing.more {
        ctx.printer.note(&format!("there are more than these {}; see all with --limit 0", listing.tasks.len()));
    }
}

const COLUMNS: [&str; 5] = ["TASK", "STATE", "WORKER", "SINCE", "WHAT"];
const WIDE: [&str; 10] = ["TASK", "STATE", "WORKER", "SINCE", "ATTEMPT", "PRIORITY", "NAME", "LABELS", "SUBMITTER", "WHAT"];

fn print(ctx: &Context, tasks: &[TaskView]) {
    let now = now();
    let wide = ctx.printer.wide;
    let mut table = Table::new(if wide { &WIDE } else { &COLUMNS }, &ctx.printer);
    for view in tasks {
        let what = match &view.result {
            Some(result) if view.dead_letter => format!("{}, dead letter", result.why()),
            Some(result) => result.why(),
            None if wide => or_dash(view.command.as_ref()),
            None => view.name.clone().or_else(|| view.command.clone()).unwrap_or_else(|| "-".to_owned()),
        };
        let what = match &view.array {
            Some(array) if view.result.is_none() => format!("{}: {what}", super::array::in_short(array)),
            Some(_) | None => what,
        };
        let what = view.not_before.map_or(what.clone(), |at| format!("{}: {what}", ahead(at, now)));
        let mut cells = vec![view.task.to_string(), view.state.to_string(), or_dash(view.worker.as_ref()), ago(view.since, now)];
        if wide {
            let (name, submitter) = (or_dash(view.name.as_ref()), or_dash(view.submitter.as_ref()));
            cells.extend([view.attempt.to_string(), or_dash(view.priority), name, pairs(&view.labels), submitter]);
        }
        cells.push(what);
        table.row(cells);
    }
    table.print(&ctx.printer);
}
