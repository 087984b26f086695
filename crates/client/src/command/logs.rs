//! `bellwether logs`: what a task wrote, the whole of it, from the worker that keeps it.

use std::time::Duration;

use bellwether_client::{Awaited, Client, Error, OutputError, TaskState, TaskView};
use bellwether_common::output::store::StoreError;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::result::TaskResult;

use super::arguments::LogsArgs;
use super::context::Context;
use super::failure::Failure;
use super::printer::Printer;
use super::pursuit::Pursuit;
use super::selector::{self, Scope};
use super::wait;

pub(crate) async fn run(ctx: &Context, options: &LogsArgs) -> Result<u8, Failure> {
    let tasks = selector::resolve(ctx, &options.select, Scope::Any).await?;
    match tasks.as_slice() {
        [task] if options.follow => follow(ctx, task, options).await,
        tasks if options.follow => {
            let failure = Failure::usage(format!("--follow is for one task, and not for {}", tasks.len()));
            Err(failure.hint("leave it out, or start one `bellwether logs -f` for each"))
        }
        tasks => {
            for task in tasks {
                if tasks.len() > 1 {
                    ctx.printer.note(&format!("==> {task} <=="));
                }
                show(ctx, task, options).await?;
            }
            Ok(0)
        }
    }
}

fn pursuit<'a>(ctx: &'a Context, client: &'a Client, task: &TaskName, options: &LogsArgs) -> Pursuit<'a> {
    let pursuit = Pursuit::new(ctx, client, task).tail(options.tail);
    if options.stderr { pursuit.only_stderr() } else { pursuit }
}

async fn follow(ctx: &Context, task: &TaskName, options: &LogsArgs) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    ctx.watching(task);
    let mut pursuit = pursuit(ctx, client, task, options);
    let view = client.status(task).await?;
    if view.array.is_some() {
        return Err(is_array(&view));
    }
    if view.array_of.is_some() {
        return follow_element(ctx, client, pursuit, options).await;
    }
    let awaited = tokio::select! {
        awaited = wait::while_watching(ctx, task, &mut pursuit) => awaited?,
        () = Printer::unread() => return Ok(0),
    };
    let Awaited::Ended(result) = awaited else { return Err(Error::NoSuchTask(task.clone()).into()) };
    pursuit.finish(&result).await;
    ctx.printer.note(&how_it_ended(&result));
    Ok(0)
}

/// An element of an array: there is nothing that could be watched for its end.
async fn follow_element(ctx: &Context, client: &Client, mut pursuit: Pursuit<'_>, options: &LogsArgs) -> Result<u8, Failure> {
    let task = pursuit.task().clone();
    let ended = async {
        loop {
            let view = client.status(&task).await?;
            if view.result.is_some() {
                return Ok::<TaskView, Failure>(view);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let view = tokio::select! {
        view = ended => view?,
        never = pursuit.chase() => match never {},
        () = Printer::unread() => return Ok(0),
    };
    if let Some(result) = &view.result {
        show_ended(ctx, client, &mut pursuit, (&view, result), options.attempt).await?;
        ctx.printer.note(&how_it_ended(result));
    }
    Ok(0)
}

/// How often it is looked whether an element has ended.
const LOOK: Duration = Duration::from_millis(500);

fn is_array(view: &TaskView) -> Failure {
    let (task, first) = (&view.task, view.array.as_ref().map_or(0, |array| array.summary.first));
    let failure = Failure::usage(format!("{task} is an array: each of its elements writes for itself"));
    failure.hint(format!("name one: bellwether logs {}", task.element(first)))
}

/// One line for people.
fn how_it_ended(result: &TaskResult) -> String {
    let (task, outcome) = (&result.task, result.outcome);
    let why = result.why();
    let why = if why == "done" { String::new() } else { format!(": {why}") };
    let who = result.worker.as_ref().map(|worker| format!(", attempt {} on {worker}", result.attempt)).unwrap_or_default();
    format!("{task} {outcome}{why}{who}")
}

async fn show(ctx: &Context, task: &TaskName, options: &LogsArgs) -> Result<(), Failure> {
    let client = ctx.client().await?;
    let view = client.status(task).await?;
    if view.array.is_some() {
        return Err(is_array(&view));
    }
    let mut pursuit = pursuit(ctx, client, task, options);
    match (&view.result, options.attempt) {
        (Some(result), attempt) if lies_with_its_worker(&view, result) || attempt.is_none_or(|attempt| attempt == result.attempt) => {
            show_ended(ctx, client, &mut pursuit, (&view, result), attempt).await
        }
        (_, attempt) => {
            let attempt = attempt.unwrap_or(view.attempt);
            if attempt > view.attempt || (attempt == view.attempt && view.state != TaskState::Assigned) {
                return Err(not_begun(&view, attempt));
            }
            search(client, &mut pursuit, &view, attempt).await
        }
    }
}

/// What the record of its piece does not hold of an element lies with its worker, if it wrote anything.
fn lies_with_its_worker(view: &TaskView, result: &TaskResult) -> bool {
    view.array_of.is_some() && result.stdout.is_none() && result.output.is_some()
}

/// What was written of an attempt that has ended, as far as it was not shown.
async fn show_ended(
    ctx: &Context,
    client: &Client,
    pursuit: &mut Pursuit<'_>,
    (view, result): (&TaskView, &TaskResult),
    attempt: Option<u32>,
) -> Result<(), Failure> {
    if lies_with_its_worker(view, result) {
        return search(client, pursuit, view, attempt.unwrap_or(result.attempt)).await;
    }
    if result.stdout.is_none() && view.array_of.is_some() && result.worker.is_some() {
        ctx.printer.note(&format!("{}: it wrote nothing", how_it_ended(result)));
    } else if result.stdout.is_none() {
        ctx.printer.note(&format!("{}: nothing was run to its end, so that there is no output", how_it_ended(result)));
    }
    pursuit.finish(result).await;
    Ok(())
}

fn not_begun(view: &TaskView, attempt: u32) -> Failure {
    let (task, state) = (&view.task, view.state);
    let failure = Failure::error("not-started", format!("{task} is {state}: attempt {attempt} has not begun"));
    if state.is_final() { failure } else { failure.hint(format!("wait for it with: bellwether logs -f {task}")) }
}

/// Asks the worker that has it, or had it; if nobody knows who that was, all of them.
async fn search(client: &Client, pursuit: &mut Pursuit<'_>, view: &TaskView, attempt: u32) -> Result<(), Failure> {
    let earlier = view.result.iter().flat_map(|result| &result.attempts).find(|record| record.attempt == attempt);
    let worker = match earlier {
        Some(record) => Some(&record.worker),
        None => view.worker.as_ref().filter(|_| attempt == view.attempt),
    };
    let places: Vec<String> = match worker {
        Some(worker) => client.pages_of(worker).await?.into_iter().collect(),
        None => client.overview().await?.workers.into_iter().filter_map(|worker| worker.http).collect(),
    };
    let mut why = None;
    for place in &places {
        match pursuit.fetch(place, attempt).await {
            Ok(()) => return Ok(()),
            Err(error @ OutputError::Refused { status: 404, .. }) => why = why.or(Some(error)),
            // More telling than that another worker does not know it.
            Err(error) => why = Some(error),
        }
    }
    if let Some(place) = view.result.as_ref().and_then(|result| result.output.as_ref()?.store.as_ref()) {
        let failed = |error: StoreError| Failure::error("unreachable", format!("the store cannot be read: {error}"));
        return pursuit.fetch_shipped(place, attempt).await.map_err(failed);
    }
    Err(why.map_or_else(|| gone(view, attempt), Failure::from))
}

fn gone(view: &TaskView, attempt: u32) -> Failure {
    let message = format!("no worker is registered that could have the output of attempt {attempt} of {}", view.task);
    Failure::error("no-such-output", message).hint("see who is with: bellwether worker list")
}
