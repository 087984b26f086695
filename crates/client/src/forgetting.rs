//! Results that somebody removes by hand.

use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};

use crate::error::Error;
use crate::finding;

/// Removes a result with its details, in one transaction. Asked again after an unknown outcome: then it may be gone already.
pub(crate) async fn forget(store: &Store, task: &TaskName) -> Result<Result<(), Error>, ReadError> {
    store.sync().await?;
    let (status, details) = (path::status(task), path::plain_result(task));
    let (status_there, details_there) = (store.stat(&status), store.stat(&details));
    let Some(stat) = status_there.await? else {
        return Ok(Err(match finding::find(store, task).await? {
            Some(view) if view.array_of.is_some() => Error::ElementAlone(task.clone()),
            Some(view) if !view.state.is_final() => Error::NotEnded(task.clone()),
            Some(_) | None => Error::NoSuchTask(task.clone()),
        }));
    };
    // A worker of the book may have left one below.
    let below = if stat.children > 0 { Multi::new().delete(path::status_below_status(task), None) } else { Multi::new() };
    let mut multi = below.delete(status, None);
    if details_there.await?.is_some() {
        multi = multi.delete(details, None);
    }
    match store.commit(multi).await {
        Outcome::Applied(_) => Ok(Ok(())),
        // Somebody else was quicker with one of them: what is there is looked at again.
        Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => Err(ReadError::Interrupted),
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => Err(ReadError::Interrupted),
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => Ok(Err(Error::Denied { what: format!("delete below {}", path::STATUS) })),
        Outcome::Refused(refusal) => Ok(Err(Error::Refused(format!("to forget {task}, at {refusal}")))),
    }
}
