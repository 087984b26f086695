//! `bellwether cancel`: wants tasks cancelled.

use bellwether_client::{Cancel, CancelOptions, Client, Error};
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::group::GroupState;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Versioned};
use super::dead::Failures;
use super::failure::Failure;

#[derive(Serialize, JsonSchema)]
pub(super) struct Wishes {
    tasks: Vec<Wish>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Wish {
    /// The task, or the group.
    task: TaskName,
    /// `asked`, `obstructed` if the master cannot do it yet, or how it had ended; `ended` of a group.
    cancel: String,
}

/// Each of them, whatever becomes of the others; the last failure is the command's. A group is cancelled as one.
pub(crate) async fn run(ctx: &Context, ids: &[TaskName], options: &CancelOptions) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let groups = client.groups_among(ids).await?;
    let (mut wishes, mut failures) = (Vec::new(), Failures::default());
    for id in ids {
        let wished = match groups.contains_key(id) {
            true => cancel_group(ctx, client, id, options).await,
            false => cancel_task(ctx, client, id, options).await,
        };
        match wished {
            Ok(cancel) => wishes.push(Wish { task: id.clone(), cancel }),
            Err(error) => failures.add(ctx, error),
        }
    }
    let asked: Vec<&str> = wishes.iter().filter(|wish| wish.cancel == ASKED).map(|wish| wish.task.as_str()).collect();
    if !asked.is_empty() {
        ctx.printer.note(&format!("the master cancels it; see when with: bellwether wait {}", asked.join(" ")));
    }
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Wishes { tasks: wishes }));
    }
    failures.end()
}

const ASKED: &str = "asked";

async fn cancel_group(ctx: &Context, client: &Client, id: &TaskName, options: &CancelOptions) -> Result<String, Error> {
    let group = client.cancel_group_with(id, options).await?;
    match group.state {
        GroupState::Ended => {
            ctx.printer.note(&format!("all {} tasks of {id} had ended already", group.size));
            Ok(super::group::word(group.state).to_owned())
        }
        GroupState::Cancelled | GroupState::Open | GroupState::Submitted => {
            print(ctx, id);
            Ok(ASKED.to_owned())
        }
    }
}

async fn cancel_task(ctx: &Context, client: &Client, task: &TaskName, options: &CancelOptions) -> Result<String, Error> {
    match client.cancel_with(task, options).await? {
        Cancel::Ended(result) => {
            ctx.printer.note(&format!("{task} had ended already: {}", result.outcome));
            Ok(result.outcome.to_string())
        }
        Cancel::Asked | Cancel::AskedBefore => {
            print(ctx, task);
            match client.obstacle(task).await {
                Ok(Some(obstacle)) => {
                    ctx.printer.note(&format!("the wish is kept, but {obstacle}; with zkCli.sh: deleteall of what is below it"));
                    Ok("obstructed".to_owned())
                }
                Ok(None) | Err(_) => Ok(ASKED.to_owned()),
            }
        }
    }
}

fn print(ctx: &Context, id: &TaskName) {
    if ctx.printer.output != Output::Json {
        ctx.printer.line(id.as_str());
    }
}
