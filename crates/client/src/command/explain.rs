//! `bellwether explain`: why a task does not run.

use bellwether_client::Explanation;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;

use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::Table;

pub(crate) async fn run(ctx: &Context, task: &TaskName) -> Result<u8, Failure> {
    let explanation = ctx.client().await?.explain(task).await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(&explanation)),
        Output::Name => explanation.reasons.iter().for_each(|reason| ctx.printer.line(reason.code)),
        Output::Table => print(ctx, &explanation),
    }
    Ok(0)
}

fn print(ctx: &Context, explanation: &Explanation) {
    ctx.printer.line(&format!("{} is {}:", explanation.task, explanation.state));
    for reason in &explanation.reasons {
        ctx.printer.line(&format!("  {}", reason.text));
    }
    if !explanation.workers.is_empty() {
        let mut table = Table::new(&["WORKER", "WHY NOT"], &ctx.printer);
        for verdict in &explanation.workers {
            let why: Vec<&str> = verdict.excluded.iter().map(|why| why.text.as_str()).collect();
            let why = if why.is_empty() { "it could be given the task".to_owned() } else { why.join("; ") };
            table.row([verdict.worker.to_string(), why]);
        }
        ctx.printer.line("");
        table.print(&ctx.printer);
    }
    for hint in explanation.reasons.iter().filter_map(|reason| reason.hint.as_ref()) {
        ctx.printer.note(hint);
    }
}
