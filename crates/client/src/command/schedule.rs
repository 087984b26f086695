//! `bellwether schedule`, and `submit` with a period or a cron expression.

use std::time::Duration;

use bellwether_client::{Client, Error, NewTask, ScheduleView, Scheduled};
use bellwether_common::clock::wall as now;
use bellwether_common::config::Output;
use bellwether_core::protocol::ScheduleName;
use bellwether_core::protocol::schedule::ScheduleRecord;
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::{RhythmArgs, ScheduleCommand, SchedulesArgs};
use super::context::{Context, Versioned};
use super::dry_run;
use super::failure::Failure;
use super::table::{Table, ago, ahead, or_dash};

#[derive(Serialize, JsonSchema)]
pub(super) struct Schedules<T> {
    schedules: Vec<T>,
}

impl RhythmArgs {
    /// Whether a schedule is wanted.
    pub(crate) fn is_given(&self) -> bool {
        self.every.is_some() || self.cron.is_some()
    }

    /// What says something of schedules alone.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let stray = if self.missed.is_some() { Some("--missed") } else { self.overlap.map(|_| "--overlap") };
        match stray.filter(|_| !self.is_given()) {
            Some(stray) => Err(Failure::usage(format!("{stray} says something of schedules alone")).hint("add --every or --cron")),
            None => Ok(()),
        }
    }
}

/// Makes a schedule, and prints its name.
pub(crate) async fn make(ctx: &Context, task: NewTask, rhythm: RhythmArgs, dry_run: bool) -> Result<u8, Failure> {
    let client = if dry_run { ctx.started_client()? } else { ctx.client().await? };
    let name = match &task.envelope.name {
        Some(name) => ScheduleName::parse(name).map_err(|bad| Failure::usage(format!("--name {name:?}: {bad}")))?,
        None => client.new_schedule_name(),
    };
    let mut record = ScheduleRecord::new(task.envelope.clone());
    record.every_s = rhythm.every.map(|every| every.as_secs());
    (record.cron, record.timezone) = (rhythm.cron, rhythm.timezone);
    record.missed = rhythm.missed.map(Into::into).unwrap_or_default();
    record.overlap = rhythm.overlap.map(Into::into).unwrap_or_default();
    if dry_run {
        return dry_run::schedule(ctx, name, task, record).await;
    }
    match client.make_schedule(&name, task, record).await? {
        Scheduled::Made => ctx.printer.note(&format!("see what it does with: bellwether schedule show {name}")),
        Scheduled::WasThere => ctx.printer.note(&format!("schedule {name} was there already, and asks for the same")),
    }
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Schedules { schedules: vec![&name] })),
        _ => ctx.printer.line(name.as_str()),
    }
    Ok(0)
}

pub(crate) async fn run(ctx: &Context, command: ScheduleCommand) -> Result<u8, Failure> {
    match command {
        ScheduleCommand::List => list(ctx).await,
        ScheduleCommand::Show { schedule } => show(ctx, &schedule).await,
        ScheduleCommand::Pause(which) => each(ctx, which, async |client, name| client.pause_schedule(name).await).await,
        ScheduleCommand::Resume(which) => each(ctx, which, async |client, name| client.resume_schedule(name).await).await,
        ScheduleCommand::Delete(which) => each(ctx, which, async |client, name| client.delete_schedule(name).await).await,
    }
}

async fn list(ctx: &Context) -> Result<u8, Failure> {
    let schedules = ctx.client().await?.schedules().await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Schedules { schedules })),
        Output::Name => schedules.iter().for_each(|view| ctx.printer.line(view.schedule.as_str())),
        _ if schedules.is_empty() => ctx.printer.note("no schedules; make one with: bellwether submit --every 5m -- COMMAND"),
        _ => print(ctx, &schedules),
    }
    Ok(0)
}

fn print(ctx: &Context, schedules: &[ScheduleView]) {
    let now = now();
    let mut table = Table::new(&["SCHEDULE", "WHEN", "NEXT", "LAST", "WHAT"], &ctx.printer);
    for view in schedules {
        let last = view.last_tick.map(|tick| ago(tick, now));
        let what = view.broken.as_ref().map(|why| format!("never fires: {why}")).or_else(|| view.command.clone());
        table.row([view.schedule.to_string(), rhythm(view), due(view), or_dash(last), or_dash(what)]);
    }
    table.print(&ctx.printer);
}

fn rhythm(view: &ScheduleView) -> String {
    let every = view.every_seconds.map(|seconds| format!("every {}", humantime::format_duration(Duration::from_secs(seconds))));
    let cron = || view.cron.as_ref().map(|cron| format!("{cron} ({})", or_dash(view.timezone.as_ref())));
    or_dash(every.or_else(cron))
}

fn due(view: &ScheduleView) -> String {
    if view.paused { "paused".to_owned() } else { or_dash(view.next.map(|next| ahead(next, now()))) }
}

async fn show(ctx: &Context, schedule: &ScheduleName) -> Result<u8, Failure> {
    let view = ctx.client().await?.schedule(schedule).await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(&view)),
        Output::Name => ctx.printer.line(view.schedule.as_str()),
        _ => describe(ctx, &view),
    }
    Ok(0)
}

fn describe(ctx: &Context, view: &ScheduleView) {
    let line = |what: &str, value: String| ctx.printer.line(&format!("{what:<10} {}", super::table::printable(&value)));
    line("schedule", view.schedule.to_string());
    if let Some(why) = &view.broken {
        return line("broken", format!("it never fires: {why}"));
    }
    line("when", rhythm(view));
    line("next", view.next.filter(|_| !view.paused).map_or_else(|| due(view), |next| format!("{next} ({})", due(view))));
    line("missed", spelled(&view.missed));
    line("overlap", spelled(&view.overlap));
    line("command", or_dash(view.command.as_ref()));
    line("last task", or_dash(view.last_task.as_ref()));
    line("made by", or_dash(view.submitter.as_ref()));
    line("since", view.since.to_string());
}

fn spelled<T: Serialize>(word: &T) -> String {
    serde_json::to_value(word).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Each of them, whatever becomes of the others; the last failure is the command's.
async fn each(ctx: &Context, which: SchedulesArgs, act: impl AsyncFn(&Client, &ScheduleName) -> Result<(), Error>) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let (mut done, mut failed) = (Vec::new(), None);
    for schedule in which.schedules {
        match act(client, &schedule).await {
            Ok(()) => {
                if ctx.printer.output != Output::Json {
                    ctx.printer.line(schedule.as_str());
                }
                done.push(schedule);
            }
            Err(error) => {
                if let Some(earlier) = failed.replace(Failure::from(error)) {
                    ctx.printer.failure(&earlier);
                }
            }
        }
    }
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Schedules { schedules: done }));
    }
    failed.map_or(Ok(0), Err)
}
