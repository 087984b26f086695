//! `bellwether retry`: ended tasks once more, each as a new task.

use bellwether_common::config::Output;

use super::context::{Context, Versioned};
use super::dead::{Failures, Retries, Retry};
use super::failure::Failure;
use super::selector::{self, Scope, SelectorArgs};

/// Each of them, whatever becomes of the others; the last failure is the command's.
pub(crate) async fn run(ctx: &Context, which: &SelectorArgs) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    let (mut retries, mut failures) = (Vec::new(), Failures::default());
    for ended in selector::resolve(ctx, which, Scope::Unsuccessful).await? {
        match client.retry(&ended).await {
            Ok(task) => {
                if ctx.printer.output != Output::Json {
                    ctx.printer.id(task.as_str());
                }
                retries.push(Retry { dead: ended, task });
            }
            Err(error) => failures.add(ctx, error),
        }
    }
    let names: Vec<_> = retries.iter().map(|retry| retry.task.clone()).collect();
    if let Some(last) = names.last() {
        super::memory::remember(&ctx.address(), &names);
        ctx.printer.note(&format!("see how it ends with: bellwether wait {last}"));
    }
    if ctx.printer.output == Output::Json {
        ctx.printer.json(&Versioned::new(Retries { retries }));
    }
    failures.end()
}
