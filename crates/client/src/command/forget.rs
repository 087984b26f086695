//! `bellwether forget`: removes results by hand.

use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Versioned};
use super::failure::Failure;
use super::selector::{self, Scope, SelectorArgs};

/// After so many it is said what became of them.
const TOLD_TOGETHER: usize = 1000;

#[derive(Serialize, JsonSchema)]
pub(super) struct Forgotten {
    forgotten: Vec<TaskName>,
}

/// Each of them, whatever becomes of the others; the last failure is the command's.
pub(crate) async fn run(ctx: &Context, which: &SelectorArgs) -> Result<u8, Failure> {
    let tasks = selector::resolve(ctx, which, Scope::Ended).await?;
    let client = ctx.client().await?;
    let (mut forgotten, mut failed) = (Vec::new(), None);
    for lot in tasks.chunks(TOLD_TOGETHER) {
        for (task, outcome) in lot.iter().zip(client.forget_all(lot).await) {
            match outcome {
                Ok(()) => {
                    if ctx.printer.output != Output::Json {
                        ctx.printer.line(task.as_str());
                    }
                    forgotten.push(task.clone());
                }
                Err(error) => {
                    if let Some(earlier) = failed.replace(Failure::from(error)) {
                        ctx.printer.failure(&earlier);
                    }
                }
            }
        }
    }
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Forgotten { forgotten }));
    }
    failed.map_or(Ok(0), Err)
}
