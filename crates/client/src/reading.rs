//! Reading how a task ended, in whichever dialect it was answered.

use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::result::{Status, TaskResult, decode_result, decode_status, result_of_words};
use bellwether_core::protocol::{Node, TaskName, path};
use jiff::Timestamp;

/// The result of a task; `None` if it has not ended.
pub(crate) async fn result(store: &Store, task: &TaskName) -> Result<Option<TaskResult>, ReadError> {
    match store.get(&path::status(task)).await? {
        Some(node) => Ok(Some(of_status(store, task, &node).await?)),
        None => Ok(None),
    }
}

/// What a status says, with the details of a plain one if they are there still and may be read.
pub(crate) async fn of_status(store: &Store, task: &TaskName, node: &Node) -> Result<TaskResult, ReadError> {
    let words = match decode_status(&node.data) {
        Status::Full(result) => return Ok(*result),
        Status::Plain { words, .. } => words,
    };
    let details = match store.get(&path::plain_result(task)).await {
        Ok(details) => details.and_then(|details| decode_result(&details.data)),
        Err(ReadError::NoAuth { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(details.unwrap_or_else(|| of_words(task, &words, node)))
}

/// What a plain status alone says.
pub(crate) fn of_words(task: &TaskName, words: &str, node: &Node) -> TaskResult {
    let ended = Timestamp::from_millisecond(node.stat.ctime_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    result_of_words(task.clone(), words, ended)
}
