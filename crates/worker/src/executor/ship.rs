//! Shipping the output of a run that has ended, before its end is reported, so that the result says where it lies. A store that fails
//! costs the copy, never the result.

use std::path::PathBuf;
use std::time::Duration;

use tracing::warn;

use super::control::Control;
use super::serve::Workshop;
use super::{Ending, RunId};

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Copies what lies beside `file`, of this run, to the store. Where to, or why not; nothing where there is no store, no output, or no
/// result that could say so.
pub(super) async fn ship(
    shop: &Workshop,
    id: &RunId,
    attempt: u32,
    how: &Ending,
    control: &Control,
    file: Option<&PathBuf>,
) -> Option<Result<String, String>> {
    let (store, directory) = (shop.store.as_ref()?, file?.parent()?);
    if *how == Ending::Killed {
        return None;
    }
    let shipped = tokio::select! {
        shipped = tokio::time::timeout(WITHIN, store.ship(directory, &id.task, attempt, id.czxid)) => shipped,
        // Nobody waits for this result any more: the slot is free at once.
        () = control.wait_for_order() => return Some(Err("not shipped: the worker was ordered to stop".to_owned())),
    };
    let why = match shipped {
        Ok(Ok(())) => return Some(Ok(store.place_of(&id.task))),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {} s", WITHIN.as_secs()),
    };
    warn!(task = %id.task, why, "an output was not shipped");
    Some(Err(format!("not shipped to worker.output_store: {why}")))
}
