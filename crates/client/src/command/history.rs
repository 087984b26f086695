//! `bellwether history` and `bellwether master history`: what happened, step by step.

use std::time::Duration;

use bellwether_client::{OfficeHistory, Step, TaskHistory};
use bellwether_common::clock::wall as now;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::array::Span;

use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::{Table, ago, or_dash, short};

/// The steps of a task.
pub(crate) async fn task(ctx: &Context, task: &TaskName) -> Result<u8, Failure> {
    let history = ctx.client().await?.history(task).await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json_list(&Versioned::new(&history), history.steps.iter().map(Versioned::new)),
        Output::Name => history.steps.iter().for_each(|step| ctx.printer.line(step.what)),
        Output::Table => print_steps(ctx, &history),
    }
    Ok(0)
}

fn print_steps(ctx: &Context, history: &TaskHistory) {
    let now = now();
    let mut table = Table::new(&["WHEN", "WHAT", "ATTEMPT", "WORKER", "EPOCH", "WHY", "ZXID"], &ctx.printer);
    for step in &history.steps {
        table.row([
            step.at.map_or_else(|| "-".to_owned(), |at| ago(at, now)),
            what(step),
            or_dash(step.attempt),
            or_dash(step.worker.as_ref()),
            or_dash(step.epoch),
            or_dash(why(step)),
            or_dash(step.zxid.as_ref()),
        ]);
    }
    table.print(&ctx.printer);
}

fn what(step: &Step) -> String {
    match step.elements {
        Some(Span { from, to }) if from == to => format!("{} {from}", step.what),
        Some(Span { from, to }) => format!("{} {from}-{to}", step.what),
        None => step.what.to_owned(),
    }
}

/// With how long it took, where that is known.
fn why(step: &Step) -> Option<String> {
    let took = step.at.zip(step.until).and_then(|(at, until)| Duration::try_from(until.duration_since(at)).ok());
    match (&step.why, took) {
        (Some(why), Some(took)) => Some(format!("{why}, in {}", short(took))),
        (why, _) => why.clone(),
    }
}

/// The terms of mastership.
pub(crate) async fn office(ctx: &Context) -> Result<u8, Failure> {
    let history = ctx.client().await?.terms().await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json_list(&Versioned::new(&history), history.terms.iter().map(Versioned::new)),
        Output::Name => history.terms.iter().for_each(|term| ctx.printer.line(&term.epoch.to_string())),
        Output::Table if history.terms.is_empty() => {
            ctx.printer.note("nobody has ruled yet; start a coordinator with: bellwether-coordinator")
        }
        Output::Table => print_terms(ctx, &history),
    }
    Ok(0)
}

fn print_terms(ctx: &Context, history: &OfficeHistory) {
    let now = now();
    let mut table = Table::new(&["EPOCH", "MASTER", "HOST", "SINCE", "NOBODY BEFORE", "ENDED"], &ctx.printer);
    for term in &history.terms {
        let ended = match (&term.ended, term.rules) {
            (Some(why), _) => why.clone(),
            (None, true) => "rules".to_owned(),
            (None, false) => "it rules no more".to_owned(),
        };
        let vacant = term.vacant_ms.map(|ms| short(Duration::from_millis(ms)));
        table.row([term.epoch.to_string(), term.name.clone(), term.host.clone(), ago(term.since, now), or_dash(vacant), ended]);
    }
    table.print(&ctx.printer);
}
