//! `bellwether list`: tasks in columns.

use bellwether_client::{Filter, TaskView};
use bellwether_common::config::Output;

use super::arguments::ListArgs;
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::{Table, ago, ahead, or_dash};
use bellwether_common::clock::wall as now;

pub(crate) async fn run(ctx: &Context, asked: ListArgs) -> Result<u8, Failure> {
    let limit = (asked.limit > 0).then_some(asked.limit);
    let filter = Filter { states: asked.state, labels: asked.label.into_iter().collect(), limit };
    let listing = ctx.client().await?.list(filter).await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(&listing)),
        Output::Name => listing.tasks.iter().for_each(|view| ctx.printer.line(view.task.as_str())),
        Output::Table if listing.tasks.is_empty() => ctx.printer.note("no tasks"),
        Output::Table => print(ctx, &listing.tasks),
    }
    if listing.more {
        ctx.printer.note(&format!("there are more than these {}; see all with --limit 0", listing.tasks.len()));
    }
    Ok(0)
}

fn print(ctx: &Context, tasks: &[TaskView]) {
    let now = now();
    let mut table = Table::new(&["TASK", "STATE", "WORKER", "SINCE", "WHAT"], &ctx.printer);
    for view in tasks {
        let what = match &view.result {
            Some(result) if view.dead_letter => format!("{}, dead letter", result.why()),
            Some(result) => result.why(),
            None => view.name.clone().or_else(|| view.command.clone()).unwrap_or_else(|| "-".to_owned()),
        };
        let what = view.not_before.map_or(what.clone(), |at| format!("{}: {what}", ahead(at, now)));
        let worker = or_dash(view.worker.as_ref());
        table.row([view.task.to_string(), view.state.to_string(), worker, ago(view.since, now), what]);
    }
    table.print(&ctx.printer);
}
