//! Dead letters: payloads of tasks that cost too many workers, or that failed with all their retries spent.

use std::collections::BTreeMap;

use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::payload;
use bellwether_core::protocol::result::AttemptRecord;
use bellwether_core::protocol::{Multi, Node, Outcome, Refusal, TaskName, Why, path};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::finding::created;

/// How much of a command is shown.
const COMMAND_WIDTH: usize = 200;

/// A dead letter as it is shown: its JSON is what `bellwether dead list` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Letter {
    /// The task that it is of.
    pub task: TaskName,
    /// Why the last attempt ended; unknown if the letter says nothing of attempts.
    pub why: Option<String>,
    /// How many attempts failed.
    pub failures: u32,
    /// How many attempts were lost with their worker.
    pub losses: u32,
    /// What people call it.
    pub name: Option<String>,
    /// What it runs, in one line.
    pub command: Option<String>,
    /// Who submitted it.
    pub submitter: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was put aside, by ZooKeeper's clock.
    pub since: Timestamp,
    /// What became of its attempts.
    pub attempts: Vec<AttemptRecord>,
}

impl Letter {
    fn of(task: TaskName, node: &Node) -> Self {
        let since = created(node);
        let decoded = payload::decode_assigned(&node.data).ok();
        let command = decoded.as_ref().map(|task| task.command.display(COMMAND_WIDTH));
        let Some(envelope) = decoded.map(|task| task.envelope) else {
            let (labels, attempts) = (BTreeMap::new(), Vec::new());
            return Self { task, why: None, failures: 0, losses: 0, name: None, command, submitter: None, labels, since, attempts };
        };
        Self {
            task,
            why: envelope.attempts.last().map(|attempt| attempt.why.clone()),
            failures: envelope.failures,
            losses: envelope.losses,
            name: envelope.name,
            command,
            submitter: envelope.submitter,
            labels: envelope.labels,
            since,
            attempts: envelope.attempts,
        }
    }
}

/// All of them, by name.
pub(crate) async fn list(store: &Store) -> Result<Vec<Letter>, ReadError> {
    store.sync().await?;
    let mut names = store.children(path::DEAD).await?.unwrap_or_default();
    names.sort();
    let tasks: Vec<TaskName> = names.iter().map(|name| TaskName::listed(name)).collect();
    let nodes = reader::read_nodes(store, tasks.iter().map(path::dead).collect()).await;
    let mut letters = Vec::with_capacity(tasks.len());
    for (task, (_, answer)) in tasks.into_iter().zip(nodes) {
        match answer {
            Ok(Some(node)) => letters.push(Letter::of(task, &node)),
            // It was purged or retried meanwhile, or its owner lets nobody read it.
            Ok(None) | Err(ReadError::NoAuth { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(letters)
}

/// The payload of a new task that does what the dead one was to do, from the beginning. `None`: there is no such letter.
pub(crate) async fn again(store: &Store, task: &TaskName) -> Result<Option<Result<Vec<u8>, Error>>, ReadError> {
    store.sync().await?;
    let Some(node) = store.get(&path::dead(task)).await? else { return Ok(None) };
    Ok(Some(match payload::decode_assigned(&node.data) {
        Ok(mut letter) => {
            letter.envelope.start_over();
            letter.envelope.retry_of = Some(task.clone());
            Ok(letter.encode())
        }
        Err(why) => Err(Error::Refused(format!("the dead letter of {task} is no task: {why}"))),
    }))
}

/// Deletes a letter; says whether there was one. Asked again after an unknown outcome.
pub(crate) async fn purge(store: &Store, task: &TaskName) -> Result<Result<bool, Error>, ReadError> {
    let letter = path::dead(task);
    store.sync().await?;
    if store.stat(&letter).await?.is_none() {
        return Ok(Ok(false));
    }
    match store.commit(Multi::new().delete(letter, None)).await {
        // Somebody else was quicker.
        Outcome::Applied(_) | Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => Ok(Ok(true)),
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => Err(ReadError::Interrupted),
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => Ok(Err(Error::Denied { what: format!("delete below {}", path::DEAD) })),
        Outcome::Refused(refusal) => Ok(Err(Error::Refused(format!("the deletion of the dead letter of {task}, at {refusal}")))),
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::Stat;

    use super::*;

    #[test]
    fn a_letter_says_what_it_was_and_why_it_is_dead() {
        let data = br#"{"bellwether":1,"argv":["make","all"],"retries":1,"failures":2,"name":"n",
            "attempts":[{"attempt":2,"worker":"w-1","ended":"1970-01-01T00:00:00Z","why":"exit=2"}]}"#;
        let letter = Letter::of(TaskName::listed("t"), &Node { data: data.to_vec(), stat: Stat::default() });
        assert_eq!((letter.why.as_deref(), letter.failures, letter.command.as_deref()), (Some("exit=2"), 2, Some("make all")));
        let garbage = Letter::of(TaskName::listed("t"), &Node { data: b"\xff".to_vec(), stat: Stat::default() });
        assert_eq!((garbage.why, garbage.command), (None, None));
    }
}
