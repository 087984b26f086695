//! Results that somebody removes by hand.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};
use futures::future::{join, join_all};

use crate::error::Error;
use crate::finding;

/// How many results go in one transaction, and how many such transactions are on their way.
pub(crate) const TOGETHER: (usize, usize) = (64, 4);

/// Those of whose results one was there when it was looked for: if it is not when that is asked again, the transaction whose outcome is
/// unknown took it away.
pub(crate) type Seen = Mutex<BTreeSet<TaskName>>;

/// Removes in one transaction, with their details, the results that are there; says of each task whether it has none any more that it had.
pub(crate) async fn remove(store: &Store, tasks: &[TaskName], seen: &Seen) -> Result<Result<Vec<bool>, Error>, ReadError> {
    store.sync().await?;
    // A transaction with one node twice would be refused.
    let once: BTreeSet<&TaskName> = tasks.iter().collect();
    let looks = once.iter().map(|task| join(store.stat(&path::status(task)), store.stat(&path::plain_result(task))));
    let found = join_all(looks).await;
    let mut multi = Multi::new();
    for (task, (status, details)) in once.into_iter().zip(found) {
        let (Some(stat), details) = (status?, details?) else { continue };
        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(task.clone());
        // A worker of the book may have left one below.
        let below = path::status_below_status(task);
        if stat.children > 0 && store.stat(&below).await?.is_some() {
            multi = multi.delete(below, None);
        }
        multi = multi.delete(path::status(task), None);
        if details.is_some() {
            multi = multi.delete(path::plain_result(task), None);
        }
    }
    let outcome = if multi.is_empty() { Outcome::applied() } else { store.commit(multi).await };
    match outcome {
        Outcome::Applied(_) => {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Ok(tasks.iter().map(|task| seen.contains(task)).collect()))
        }
        // Somebody else was quicker with one of them, or nobody knows: what is there is looked at again.
        Outcome::Unknown | Outcome::Refused(Refusal::At { why: Why::NoNode, .. } | Refusal::Whole(Why::NotSent)) => {
            Err(ReadError::Interrupted)
        }
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => Ok(Err(Error::Denied { what: format!("delete below {}", path::STATUS) })),
        Outcome::Refused(refusal) => {
            let first = tasks.first().map_or_else(String::new, ToString::to_string);
            Ok(Err(Error::Refused(format!("to forget {first}, at {refusal}"))))
        }
    }
}

/// Why there was no result of a task to remove.
pub(crate) async fn why_not(store: &Store, task: &TaskName) -> Result<Error, ReadError> {
    Ok(match finding::find(store, task).await? {
        Some(view) if view.array_of.is_some() => Error::ElementAlone(task.clone()),
        Some(view) if !view.state.is_final() => Error::NotEnded(task.clone()),
        Some(_) | None => Error::NoSuchTask(task.clone()),
    })
}
