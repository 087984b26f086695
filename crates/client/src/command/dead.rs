//! `bellwether dead`: letters of tasks that are dead, until somebody retries or purges them.

use bellwether_client::Letter;
use bellwether_common::clock::wall as now;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::{DeadCommand, DeadListArgs};
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::selector::{self, Scope, SelectorArgs};
use super::table::{Table, ago, or_dash};

#[derive(Serialize, JsonSchema)]
pub(super) struct Letters<'a> {
    letters: &'a [Letter],
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Retries {
    pub(super) retries: Vec<Retry>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Retry {
    /// The one that had ended.
    pub(super) dead: TaskName,
    /// The new one.
    pub(super) task: TaskName,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Purged {
    purged: Vec<TaskName>,
}

pub(crate) async fn run(ctx: &Context, command: &DeadCommand) -> Result<u8, Failure> {
    match command {
        DeadCommand::List(asked) => list(ctx, asked).await,
        DeadCommand::Retry(which) => retry(ctx, which).await,
        DeadCommand::Purge(which) => purge(ctx, which).await,
    }
}

async fn list(ctx: &Context, asked: &DeadListArgs) -> Result<u8, Failure> {
    let letters = labelled(ctx.client().await?.dead_letters().await?, &asked.label);
    match ctx.printer.output {
        Output::Json => ctx.printer.json_list(&Versioned::new(Letters { letters: &letters }), letters.iter().map(Versioned::new)),
        Output::Name => letters.iter().for_each(|letter| ctx.printer.line(letter.task.as_str())),
        Output::Table if letters.is_empty() => ctx.printer.note("no dead letters"),
        Output::Table => print(ctx, &letters),
    }
    Ok(0)
}

fn print(ctx: &Context, letters: &[Letter]) {
    let now = now();
    let mut table = Table::new(&["TASK", "SINCE", "WHY", "FAILED", "LOST", "WHAT"], &ctx.printer);
    for letter in letters {
        let (why, what) = (or_dash(letter.why.as_ref()), or_dash(letter.name.as_ref().or(letter.command.as_ref())));
        table.row([letter.task.to_string(), ago(letter.since, now), why, letter.failures.to_string(), letter.losses.to_string(), what]);
    }
    table.print(&ctx.printer);
    ctx.printer.note("run one again with: bellwether dead retry ID; remove it with: bellwether dead purge ID");
}

fn labelled(mut letters: Vec<Letter>, labels: &[(String, String)]) -> Vec<Letter> {
    letters.retain(|letter| labels.iter().all(|(label, value)| letter.labels.get(label) == Some(value)));
    letters
}

/// Each of them, whatever becomes of the others; the last failure is the command's.
async fn retry(ctx: &Context, which: &SelectorArgs) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let (mut retries, mut failures) = (Vec::new(), Failures::default());
    for dead in selector::resolve(ctx, which, Scope::Letters).await? {
        match client.retry_dead(&dead).await {
            Ok(task) => {
                if ctx.printer.output != Output::Json {
                    ctx.printer.id(task.as_str());
                }
                retries.push(Retry { dead, task });
            }
            Err(error) => failures.add(ctx, error),
        }
    }
    if let Some(last) = retries.last() {
        ctx.printer.note(&format!("see how it ends with: bellwether wait {}", last.task));
    }
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Retries { retries }));
    }
    failures.end()
}

async fn purge(ctx: &Context, which: &SelectorArgs) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let (mut purged, mut failures) = (Vec::new(), Failures::default());
    for dead in selector::resolve(ctx, which, Scope::Letters).await? {
        match client.purge_dead(&dead).await {
            Ok(()) => {
                if ctx.printer.output != Output::Json {
                    ctx.printer.line(dead.as_str());
                }
                purged.push(dead);
            }
            Err(error) => failures.add(ctx, error),
        }
    }
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Purged { purged }));
    }
    failures.end()
}

/// What went wrong with some of several: told as it comes, but for the last one, which ends the command.
#[derive(Default)]
pub(super) struct Failures(Option<Failure>);

impl Failures {
    pub(super) fn add(&mut self, ctx: &Context, failure: impl Into<Failure>) {
        if let Some(earlier) = self.0.replace(failure.into()) {
            ctx.printer.failure(&earlier);
        }
    }

    pub(super) fn end(self) -> Result<u8, Failure> {
        self.0.map_or(Ok(0), Err)
    }
}
