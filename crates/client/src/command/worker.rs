//! `bellwether worker`: who works, and who shall work no more.

use std::time::Duration;

use bellwether_client::{Asked, Client, Filter, Overview, TaskState, WorkerView};
use bellwether_common::config::Output;
use bellwether_core::protocol::request::{DrainMode, DrainRequest};
use bellwether_core::protocol::{TaskName, WorkerId};
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::{DrainArgs, WorkerCommand};
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::{Table, ago, or_dash, pairs};
use bellwether_common::clock::wall as now;

/// How often it is looked how far a worker is.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Serialize, JsonSchema)]
pub(super) struct Workers<'a> {
    workers: &'a [WorkerView],
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Info<'a> {
    #[serde(flatten)]
    worker: &'a WorkerView,
    state: &'static str,
    tasks: Vec<TaskName>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Wanted<'a> {
    worker: &'a str,
    drain: Option<DrainMode>,
    /// Whether it was otherwise before.
    changed: bool,
}

/// One of them.
pub(crate) async fn run(ctx: &Context, command: WorkerCommand) -> Result<u8, Failure> {
    match command {
        WorkerCommand::List => list(ctx).await,
        WorkerCommand::Info { worker } => info(ctx, &worker).await,
        WorkerCommand::Drain(drain) => self::drain(ctx, drain).await,
        WorkerCommand::Undrain { worker } => undrain(ctx, &worker).await,
        WorkerCommand::Wait { what } => match what.parse() {
            Ok(number) => wait_for_number(ctx, number).await,
            Err(_) => wait_until_idle(ctx, name_of(&what)).await,
        },
    }
}

/// The registered ones.
async fn list(ctx: &Context) -> Result<u8, Failure> {
    let overview = ctx.client().await?.overview().await?;
    match ctx.printer.output {
        Output::Json => {
            ctx.printer.json_list(&Versioned::new(Workers { workers: &overview.workers }), overview.workers.iter().map(Versioned::new))
        }
        Output::Name => overview.workers.iter().for_each(|worker| ctx.printer.line(worker.worker.as_str())),
        Output::Table if overview.workers.is_empty() => {
            ctx.printer.note(&format!("no worker is registered; start one with: bellwether-worker {}", overview.zookeeper));
        }
        Output::Table => print(ctx, &overview.workers),
    }
    Ok(0)
}

/// In columns.
pub(crate) fn print(ctx: &Context, workers: &[WorkerView]) {
    let now = now();
    let wide = ctx.printer.wide;
    let mut header = vec!["WORKER", "STATE", "SLOTS", "ASSIGNED", "HOST", "HTTP", "SINCE", "LABELS"];
    header.extend(["NAME", "PID"].into_iter().filter(|_| wide));
    let mut table = Table::new(&header, &ctx.printer);
    for worker in workers {
        let more = [or_dash(worker.name.as_ref()), or_dash(worker.pid)];
        let cells = [
            worker.worker.to_string(),
            state(worker).to_owned(),
            worker.slots.to_string(),
            worker.assigned.to_string(),
            or_dash(worker.host.as_ref()),
            or_dash(worker.http.as_ref()),
            ago(worker.since, now),
            pairs(&worker.labels),
        ];
        table.row(cells.into_iter().chain(more.into_iter().filter(|_| wide)));
    }
    table.print(&ctx.printer);
}

pub(super) fn state(worker: &WorkerView) -> &'static str {
    match (worker.foreign, worker.slots, &worker.drain, worker.assigned) {
        (true, ..) => "foreign",
        (false, 0, ..) => "draining",
        (false, _, Some(_), 0) => "drained",
        (false, _, Some(_), _) => "draining",
        (false, _, None, 0) => "idle",
        (false, _, None, _) => "busy",
    }
}

/// What the operator called it, of a name or of an incarnation.
fn name_of(text: &str) -> &str {
    let Some((name, _)) = text.rsplit_once('-').filter(|_| WorkerId::listed(text).operator_name().is_some()) else { return text };
    name
}

fn called<'a>(overview: &'a Overview, name: &str) -> Option<&'a WorkerView> {
    overview.workers.iter().find(|worker| worker.name.as_deref() == Some(name) || worker.worker.as_str() == name)
}

fn unknown(overview: &Overview, name: &str) -> Failure {
    let names: Vec<&str> = overview.workers.iter().filter_map(|worker| worker.name.as_deref()).collect();
    let hint = match names.is_empty() {
        true => format!("no worker is registered; start one with: bellwether-worker {}", overview.zookeeper),
        false => format!("registered are {}; see: bellwether worker list", names.join(", ")),
    };
    Failure::error("no-such-worker", format!("no worker is registered that is called {name:?}")).hint(hint)
}

async fn info(ctx: &Context, name: &str) -> Result<u8, Failure> {
    let name = name_of(name);
    let client = ctx.client().await?;
    let overview = client.overview().await?;
    let worker = called(&overview, name).ok_or_else(|| unknown(&overview, name))?;
    let tasks = tasks_of(client, worker).await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Info { worker, state: state(worker), tasks })),
        Output::Name => ctx.printer.line(worker.worker.as_str()),
        Output::Table => print_info(ctx, worker, &tasks),
    }
    Ok(0)
}

async fn tasks_of(client: &Client, worker: &WorkerView) -> Result<Vec<TaskName>, Failure> {
    let listing = client.list(Filter { states: vec![TaskState::Assigned], ..Filter::default() }).await?;
    Ok(listing.tasks.into_iter().filter(|task| task.worker.as_ref() == Some(&worker.worker)).map(|task| task.task).collect())
}

/// What it can run.
fn handles(worker: &WorkerView) -> String {
    let commands = worker.commands.then_some("commands").into_iter();
    commands.chain(worker.kinds.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

fn print_info(ctx: &Context, worker: &WorkerView, tasks: &[TaskName]) {
    let mut table = Table::new(&[], &ctx.printer);
    let mut row = |key: &str, value: String| table.row([key.to_owned(), value]);
    row("worker", worker.worker.to_string());
    row("state", state(worker).to_owned());
    if let Some(drain) = &worker.drain {
        let by = drain.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let reason = drain.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        row("drain", format!("{}{by}{reason}", drain.mode.as_str()));
    }
    row("host", or_dash(worker.host.as_ref()));
    row("pid", or_dash(worker.pid));
    row("http", or_dash(worker.http.as_ref()));
    row("slots", worker.slots.to_string());
    row("resources", pairs(&worker.resources));
    row("handles", handles(worker));
    row("labels", pairs(&worker.labels));
    row("since", format!("{} ({})", ago(worker.since, now()), worker.since));
    let names: Vec<&str> = tasks.iter().map(TaskName::as_str).collect();
    row("tasks", if names.is_empty() { "none".to_owned() } else { names.join(" ") });
    table.print(&ctx.printer);
}

async fn drain(ctx: &Context, options: DrainArgs) -> Result<u8, Failure> {
    let name = name_of(&options.worker);
    if options.deadline.is_some() && options.mode != DrainMode::Graceful {
        let why = format!("--deadline says how long a graceful drain may take; --mode {} waits for nothing", options.mode.as_str());
        return Err(Failure::usage(why));
    }
    let client = ctx.client().await?;
    let overview = client.overview().await?;
    // One that is gone and still drains may be told otherwise.
    if called(&overview, name).is_none() && !overview.drains.contains_key(name) {
        return Err(unknown(&overview, name));
    }
    let deadline_ms = options.deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
    let request = DrainRequest { deadline_ms, reason: options.reason, ..DrainRequest::new(options.mode) };
    let asked = client.drain(name, request).await?;
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Wanted { worker: name, drain: Some(options.mode), changed: asked != Asked::Before }));
    }
    let how = options.mode.as_str();
    let says = match asked {
        Asked::Now => format!("{name} drains ({how})"),
        Asked::Otherwise => format!("{name} was draining already; now {how}"),
        Asked::Before => format!("{name} was draining already, as you ask ({how})"),
    };
    ctx.printer.note(&format!("{says}; it stays so, also when it is started again, until: bellwether worker undrain {name}"));
    if options.monitor { wait_until_idle(ctx, name).await } else { Ok(0) }
}

async fn undrain(ctx: &Context, name: &str) -> Result<u8, Failure> {
    let name = name_of(name);
    let client = ctx.client().await?;
    let overview = client.overview().await?;
    let changed = client.undrain(name).await?;
    if !changed && called(&overview, name).is_none() {
        return Err(unknown(&overview, name));
    }
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Wanted { worker: name, drain: None, changed }));
    }
    ctx.printer.note(&if changed { format!("{name} may be given work again") } else { format!("{name} was not draining") });
    Ok(0)
}

/// Until it has nothing left: then it may be stopped, and nobody loses anything.
async fn wait_until_idle(ctx: &Context, name: &str) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let mut said = None;
    loop {
        let overview = client.overview().await?;
        let Some(worker) = called(&overview, name) else {
            return if said.is_some() || overview.drains.contains_key(name) { gone(ctx, name) } else { Err(unknown(&overview, name)) };
        };
        if worker.assigned == 0 {
            ctx.printer.note(&format!("{name} has nothing left"));
            return Ok(0);
        }
        if said.replace(worker.assigned) != Some(worker.assigned) {
            ctx.printer.note(&format!("{name} is {}, {} tasks left", state(worker), worker.assigned));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn gone(ctx: &Context, name: &str) -> Result<u8, Failure> {
    ctx.printer.note(&format!("{name} is gone"));
    Ok(0)
}

async fn wait_for_number(ctx: &Context, number: usize) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let mut said = None;
    loop {
        let overview = client.overview().await?;
        let ready = overview.workers.iter().filter(|worker| matches!(state(worker), "idle" | "busy")).count();
        if ready >= number {
            return Ok(0);
        }
        if said.replace(ready) != Some(ready) {
            ctx.printer.note(&format!("{ready} of {number} workers may be given work"));
        }
        tokio::time::sleep(LOOK).await;
    }
}
