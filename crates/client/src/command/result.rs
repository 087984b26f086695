//! `bellwether result`: how a task ended, with the end of its output.

use bellwether_client::TaskState;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::result::TaskResult;

use super::context::Context;
use super::failure::Failure;
use super::run::truncated;
use super::table::{Table, ahead, or_dash};
use bellwether_common::clock::wall as now;

pub(crate) async fn run(ctx: &Context, task: &TaskName) -> Result<u8, Failure> {
    let view = ctx.client().await?.status(task).await?;
    let Some(result) = view.result else {
        let whose = view.worker.map(|worker| format!(" to {worker}")).unwrap_or_default();
        let when = view.not_before.map(|at| format!(", attempt {} comes {}", view.attempt, ahead(at, now()))).unwrap_or_default();
        let failure = Failure::error("not-ended", format!("{task} has not ended: it is {}{whose}{when}", view.state));
        return Err(failure.hint(format!("wait for it with: bellwether wait {task}")));
    };
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&result),
        Output::Name => ctx.printer.line(task.as_str()),
        Output::Table => print(ctx, &result),
    }
    Ok(0)
}

/// What of it failed: of an array those elements, one by one; of a task by itself its result, if it failed.
pub(crate) async fn failed(ctx: &Context, task: &TaskName) -> Result<u8, Failure> {
    let view = ctx.client().await?.status(task).await?;
    match (&view.array, view.state) {
        (Some(_), _) => super::array::print_failed(ctx, task).await,
        (None, TaskState::Succeeded) => Ok(0),
        (None, _) => run(ctx, task).await,
    }
}

fn print(ctx: &Context, result: &TaskResult) {
    let mut table = Table::new(&[], &ctx.printer);
    let mut row = |key: &str, value: String| table.row([key.to_owned(), value]);
    row("task", result.task.to_string());
    row("outcome", result.outcome.to_string());
    row("why", result.why());
    row("attempt", result.attempt.to_string());
    row("worker", or_dash(result.worker.as_ref()));
    row("epoch", or_dash(result.epoch));
    row("submitter", or_dash(result.submitter.as_ref()));
    row("started", or_dash(result.started));
    row("ended", result.ended.to_string());
    if let Some(summary) = &result.array {
        super::array::summary_rows(summary, &mut row);
    }
    if let Some(value) = &result.value {
        row("value", value.to_string());
    }
    let output = result.output.clone().unwrap_or_default();
    for (key, value) in [
        ("reason", &result.reason),
        ("output", &output.path),
        ("served at", &output.http),
        ("shipped to", &output.store),
        ("not kept", &output.problem),
    ] {
        if let Some(value) = value {
            row(key, value.clone());
        }
    }
    for attempt in &result.attempts {
        row("", format!("attempt {} on {}: {}", attempt.attempt, attempt.worker, attempt.why));
    }
    table.print(&ctx.printer);
    for (name, stream) in [("stdout", &result.stdout), ("stderr", &result.stderr)] {
        let Some(stream) = stream.as_ref().filter(|stream| stream.bytes > 0) else { continue };
        ctx.printer.line(&format!("\n{}", truncated(name, stream, result).unwrap_or_else(|| name.to_owned())));
        let mut tail = stream.tail_bytes();
        if !tail.ends_with(b"\n") {
            tail.push(b'\n');
        }
        ctx.printer.bytes(&tail);
    }
}
