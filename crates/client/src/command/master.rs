//! `bellwether master`: who rules, and whether anything is assigned.

use bellwether_client::{Asked, Handover, Master, Overview, Paused, StepDownError};
use bellwether_common::config::Output;
use bellwether_core::protocol::record::CoordinatorRecord;
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::MasterCommand;
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::{Table, ago, or_dash};
use bellwether_common::clock::wall as now;

#[derive(Serialize, JsonSchema)]
pub(super) struct Office<'a> {
    master: &'a Option<Master>,
    standbys: &'a [CoordinatorRecord],
    paused: &'a Option<Paused>,
    dead_letters: u32,
}

/// One of them.
pub(crate) async fn run(ctx: &Context, command: MasterCommand) -> Result<u8, Failure> {
    match command {
        MasterCommand::Status => status(ctx).await,
        MasterCommand::History => super::history::office(ctx).await,
        MasterCommand::Pause { reason } => pause(ctx, reason.as_deref()).await,
        MasterCommand::Resume => resume(ctx).await,
        MasterCommand::StepDown { reason, force } => step_down(ctx, reason.as_deref(), force).await,
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Wanted {
    paused: bool,
    /// Whether it was otherwise before.
    changed: bool,
}

fn wanted(ctx: &Context, paused: bool, changed: bool) {
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Wanted { paused, changed }));
    }
}

async fn pause(ctx: &Context, reason: Option<&str>) -> Result<u8, Failure> {
    let asked = ctx.client().await?.pause(reason).await?;
    wanted(ctx, true, asked == Asked::Now);
    let before = if asked == Asked::Now { "" } else { " already" };
    ctx.printer
        .note(&format!("nothing is assigned any more{before}, whoever rules; what runs goes on; undo it with: bellwether master resume"));
    Ok(0)
}

async fn resume(ctx: &Context) -> Result<u8, Failure> {
    let changed = ctx.client().await?.resume().await?;
    wanted(ctx, false, changed);
    ctx.printer.note(if changed { "tasks are assigned again" } else { "nobody had paused it: tasks are assigned" });
    Ok(0)
}

async fn step_down(ctx: &Context, reason: Option<&str>, force: bool) -> Result<u8, Failure> {
    let Handover { before, after } = ctx.client().await?.step_down(reason, force).await?;
    let called = |master: &Master| (or_dash(master.name.as_ref()), or_dash(master.epoch));
    let ((old, ended), (new, begun)) = (called(&before), called(&after));
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Handover { before, after })),
        Output::Name => ctx.printer.line(&new),
        Output::Table => ctx.printer.line(&format!("{old} stepped down, epoch {ended}; {new} rules, epoch {begun}")),
    }
    Ok(0)
}

impl From<StepDownError> for Failure {
    fn from(error: StepDownError) -> Self {
        let message = error.to_string();
        match error {
            StepDownError::NobodyRules => Self::error("nobody-rules", message).hint("see who is there with: bellwether master status"),
            StepDownError::Foreign => Self::error("foreign-master", message).hint("stop it where it runs"),
            StepDownError::NoStandby => Self::error("no-standby", message).hint("start another coordinator first, or add --force"),
            StepDownError::Pending { .. } => {
                Self::error("pending", message).hint("the wish holds for that epoch alone; see who rules with: bellwether master status")
            }
            StepDownError::Unasked(error) => error.into(),
        }
    }
}

/// The master and its standbys. That nobody rules is an answer, too.
pub(crate) async fn status(ctx: &Context) -> Result<u8, Failure> {
    let overview = ctx.client().await?.overview().await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Office {
            master: &overview.master,
            standbys: &overview.standbys,
            paused: &overview.paused,
            dead_letters: overview.queue.dead,
        })),
        Output::Name => {
            let name = overview.master.as_ref().and_then(|master| master.name.as_ref());
            name.into_iter().for_each(|name| ctx.printer.line(name));
        }
        Output::Table => print(ctx, &overview),
    }
    if let Some(paused) = &overview.paused {
        ctx.printer.note(&format!("nothing is assigned: paused {}; undo it with: bellwether master resume", how_paused(paused)));
    }
    if overview.queue.dead > 0 {
        ctx.printer.note(&format!("{} dead letters wait for somebody: bellwether dead list", overview.queue.dead));
    }
    if overview.master.is_none() {
        ctx.printer.note(&format!("nobody rules; start a coordinator with: bellwether-coordinator {}", overview.zookeeper));
    }
    Ok(0)
}

fn print(ctx: &Context, overview: &Overview) {
    let now = now();
    let mut table = Table::new(&["COORDINATOR", "ROLE", "EPOCH", "HOST", "PID", "HTTP", "SINCE"], &ctx.printer);
    if let Some(master) = &overview.master {
        table.row([
            or_dash(master.name.as_ref()),
            if master.foreign { "master (foreign)".to_owned() } else { "master".to_owned() },
            or_dash(master.epoch),
            or_dash(master.host.as_ref()),
            or_dash(master.pid),
            or_dash(master.http.as_ref()),
            ago(master.since, now),
        ]);
    }
    for standby in &overview.standbys {
        let (host, pid, http) = (standby.host.clone(), standby.pid.to_string(), standby.http.clone());
        table.row([standby.name.clone(), "standby".to_owned(), "-".to_owned(), host, pid, http, "-".to_owned()]);
    }
    if overview.master.is_some() || !overview.standbys.is_empty() {
        table.print(&ctx.printer);
    }
}

/// Since when, by whom and why.
pub(crate) fn how_paused(paused: &Paused) -> String {
    let by = paused.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let reason = paused.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("since {}{by}{reason}", ago(paused.since, now()))
}

/// For the overview.
pub(crate) fn in_one_line(overview: &Overview) -> String {
    match &overview.master {
        None => "nobody".to_owned(),
        Some(master) if master.foreign => format!("a foreign one, since {}", ago(master.since, now())),
        Some(master) => {
            let (name, host) = (or_dash(master.name.as_ref()), or_dash(master.host.as_ref()));
            format!("{name} on {host}, epoch {}, since {}", or_dash(master.epoch), ago(master.since, now()))
        }
    }
}
