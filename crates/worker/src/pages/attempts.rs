//! Which attempts there are: those on the shelf, and those whose files are still there, of this process or of one before it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use bellwether_common::output::{Piece, StreamName, escape};
use bellwether_core::protocol::TaskName;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Refusal;
use crate::executor::shelf::{Progress, Shelf, Shelved};

/// An attempt whose output can be asked for.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) task: TaskName,
    pub(super) attempt: u32,
    pub(super) czxid: i64,
    pub(super) shelved: Option<Shelved>,
    /// Of one that is not on the shelf: how long its outputs are, as far as files tell.
    lengths: [u64; 2],
}

impl Attempt {
    /// One that is on the shelf.
    pub(super) fn shelved(shelved: &Shelved) -> Self {
        let (task, czxid) = (shelved.id.task.clone(), shelved.id.czxid);
        Self { task, attempt: shelved.attempt, czxid, shelved: Some(shelved.clone()), lengths: [0; 2] }
    }

    /// How far it is, and who tells when it is further.
    pub(super) fn progress(&self, stream: StreamName) -> (Progress, Option<watch::Receiver<Progress>>) {
        if let Some(shelved) = &self.shelved {
            let live = shelved.output(stream);
            let progress = *live.borrow();
            return (progress, Some(live));
        }
        let length = self.lengths[stream as usize];
        (Progress { total: length, stored: length, ended: true }, None)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.shelved.as_ref().is_none_or(Shelved::has_ended)
    }

    /// What its handler said last; of a command, nothing.
    fn told(&self) -> Option<Value> {
        let told = self.shelved.as_ref()?.told.as_ref()?;
        Some(json!({"done": told.done, "total": told.total, "note": told.note, "at": told.at}))
    }

    /// As it is shown: no payload is.
    pub(super) fn json(&self) -> Value {
        let bytes = |stream| json!({"bytes": self.progress(stream).0.total});
        json!({
            "task": self.task,
            "attempt": self.attempt,
            "state": if self.has_ended() { "ended" } else { "running" },
            "started": self.shelved.as_ref().map(|shelved| shelved.started),
            "stdout": bytes(StreamName::Stdout),
            "stderr": bytes(StreamName::Stderr),
            "progress": self.told(),
        })
    }
}

/// All attempts of a task, by number; of two of one number, the later.
pub(super) async fn of(shelf: &Shelf, task: &TaskName) -> Result<Vec<Attempt>, Refusal> {
    let mut found = BTreeMap::new();
    for attempt in on_disk(shelf, task).await? {
        found.insert(attempt.attempt, attempt);
    }
    for shelved in shelf.all().iter().filter(|shelved| shelved.id.task == *task) {
        found.insert(shelved.attempt, Attempt::shelved(shelved));
    }
    Ok(found.into_values().collect())
}

/// One of them.
pub(super) async fn find(shelf: &Shelf, task: &TaskName, attempt: u32) -> Result<Option<Attempt>, Refusal> {
    if let Some(shelved) = shelf.find(task, attempt) {
        return Ok(Some(Attempt::shelved(&shelved)));
    }
    Ok(on_disk(shelf, task).await?.into_iter().rfind(|found| found.attempt == attempt))
}

/// Those with files, by number and then by age.
async fn on_disk(shelf: &Shelf, task: &TaskName) -> Result<Vec<Attempt>, Refusal> {
    let Some(directory) = directory(shelf, task) else { return Ok(Vec::new()) };
    let pieces = tokio::task::spawn_blocking(move || pieces(&directory)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let pieces = pieces.map_err(|error| unreadable(&error))?;
    let mut attempts: BTreeMap<(u32, i64), Attempt> = BTreeMap::new();
    for (piece, length) in pieces {
        let new = || Attempt { task: task.clone(), attempt: piece.attempt, czxid: piece.czxid, shelved: None, lengths: [0; 2] };
        let lengths = &mut attempts.entry((piece.attempt, piece.czxid)).or_insert_with(new).lengths;
        let end = &mut lengths[piece.stream as usize];
        *end = (*end).max(piece.start + length);
    }
    Ok(attempts.into_values().collect())
}

/// The directory of a task's outputs.
pub(super) fn directory(shelf: &Shelf, task: &TaskName) -> Option<PathBuf> {
    shelf.root().map(|root| root.join(escape(task.as_str())))
}

/// What lies in the directory of a task, with its lengths, by attempt, assignment, stream and offset; nothing if there is none.
pub(super) fn pieces(directory: &Path) -> io::Result<Vec<(Piece, u64)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut pieces = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(piece) = entry.file_name().to_str().and_then(Piece::parse)
            && let Ok(metadata) = entry.metadata()
        {
            pieces.push((piece, metadata.len()));
        }
    }
    pieces.sort_unstable();
    Ok(pieces)
}

/// The files are there, and cannot be read.
pub(super) fn unreadable(error: &io::Error) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", format!("the files of this output cannot be read: {error}"))
}
