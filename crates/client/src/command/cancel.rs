//! `bellwether cancel`: wants tasks cancelled.

use bellwether_client::Cancel;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Versioned};
use super::failure::Failure;

#[derive(Serialize, JsonSchema)]
pub(super) struct Wishes {
    tasks: Vec<Wish>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Wish {
    task: TaskName,
    /// `asked`, `obstructed` if the master cannot do it yet, or how it had ended.
    cancel: String,
}

/// Each of them, whatever becomes of the others; the last failure is the command's.
pub(crate) async fn run(ctx: &Context, tasks: &[TaskName], reason: Option<&str>) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let mut wishes = Vec::new();
    let mut failed = None;
    for task in tasks {
        let cancel = match client.cancel(task, reason).await {
            Ok(Cancel::Ended(result)) => {
                ctx.printer.note(&format!("{task} had ended already: {}", result.outcome));
                result.outcome.to_string()
            }
            Ok(Cancel::Asked | Cancel::AskedBefore) => {
                if ctx.printer.output != Output::Json {
                    ctx.printer.line(task.as_str());
                }
                match client.obstacle(task).await {
                    Ok(Some(obstacle)) => {
                        ctx.printer.note(&format!("the wish is kept, but {obstacle}; with zkCli.sh: deleteall of what is below it"));
                        "obstructed".to_owned()
                    }
                    Ok(None) | Err(_) => "asked".to_owned(),
                }
            }
            Err(error) => {
                if let Some(earlier) = failed.replace(Failure::from(error)) {
                    ctx.printer.failure(&earlier);
                }
                continue;
            }
        };
        wishes.push(Wish { task: task.clone(), cancel });
    }
    if wishes.iter().any(|wish| wish.cancel == "asked") {
        let names: Vec<&str> = wishes.iter().filter(|wish| wish.cancel == "asked").map(|wish| wish.task.as_str()).collect();
        ctx.printer.note(&format!("the master cancels it; see when with: bellwether wait {}", names.join(" ")));
    }
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Wishes { tasks: wishes }));
    }
    failed.map_or(Ok(0), Err)
}
