//! The store to which outputs are shipped, so that they survive their worker: a directory that others mount, too, or, with the
//! feature `s3`, a bucket. Below its address each task has a place of its own, and there lie the pieces of its attempts, as on the worker.

#[cfg(feature = "s3")]
mod bucket;
mod directory;

use std::fmt;
use std::path::Path;

use bellwether_core::protocol::TaskName;

use super::{Piece, StreamName, escape};
#[cfg(feature = "s3")]
use bucket::Bucket;
use directory::Directory;

/// How much of a piece is read at a time.
const BLOCK: u64 = 1024 * 1024;

/// Why there is no store, or why it does not do what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct StoreError {
    /// The address.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

/// A store, or the part of it that belongs to a task.
#[derive(Debug, Clone)]
pub struct OutputStore {
    place: String,
    backend: Backend,
}

#[derive(Debug, Clone)]
enum Backend {
    Directory(Directory),
    #[cfg(feature = "s3")]
    Bucket(Bucket),
}

/// Whether this can be the address of a store.
///
/// # Errors
/// What it must look like.
pub fn check(place: &str) -> Result<(), String> {
    if place.strip_prefix("s3://").is_some_and(|rest| rest.split('/').next().unwrap_or_default().contains('@')) {
        return Err("must not hold credentials: everybody sees it; put them into the environment (AWS_ACCESS_KEY_ID and so on)".to_owned());
    }
    let directory = place.strip_prefix("file://").is_some_and(|path| path.starts_with('/'));
    let bucket = place.strip_prefix("s3://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    match (directory, bucket) {
        (true, _) => Ok(()),
        (_, true) if cfg!(feature = "s3") => Ok(()),
        (_, true) => Err(
            "this program was built without the feature s3: name a directory, as \"file:///srv/outputs\", or build it with --features s3"
                .to_owned(),
        ),
        (false, false) => {
            Err("must be the address of a directory or a bucket, as \"file:///srv/outputs\" or \"s3://bucket/prefix\"".to_owned())
        }
    }
}

impl OutputStore {
    /// The store at this address. Rights to a bucket come from the environment (`AWS_ACCESS_KEY_ID` and so on).
    ///
    /// # Errors
    /// The address is none.
    pub fn open(place: &str) -> Result<Self, StoreError> {
        let place = place.trim_end_matches('/').to_owned();
        let error = |why: String| StoreError { place: place.clone(), why };
        check(&place).map_err(error)?;
        let backend = match place.strip_prefix("file://") {
            Some(path) => Backend::Directory(Directory::new(path)),
            #[cfg(feature = "s3")]
            None => Backend::Bucket(Bucket::open(&place).map_err(error)?),
            #[cfg(not(feature = "s3"))]
            None => return Err(error("it is no directory".to_owned())),
        };
        Ok(Self { place, backend })
    }

    /// Where outputs of a task lie in it.
    #[must_use]
    pub fn place_of(&self, task: &TaskName) -> String {
        format!("{}/{}", self.place, escape(task.as_str()))
    }

    /// Copies the pieces of an attempt from the directory of its task. What lies there of the same name is replaced.
    ///
    /// # Errors
    /// [`StoreError`]: some may have been copied.
    pub async fn ship(&self, directory: &Path, task: &TaskName, attempt: u32, czxid: i64) -> Result<(), StoreError> {
        let home = escape(task.as_str());
        let mut entries = tokio::fs::read_dir(directory).await.map_err(|error| self.error(error))?;
        while let Some(entry) = entries.next_entry().await.map_err(|error| self.error(error))? {
            let piece = entry.file_name().to_str().and_then(Piece::parse);
            let Some(piece) = piece.filter(|piece| (piece.attempt, piece.czxid) == (attempt, czxid)) else { continue };
            match &self.backend {
                Backend::Directory(to) => to.put(&home, piece, &entry.path()).await.map_err(|error| self.error(error))?,
                #[cfg(feature = "s3")]
                Backend::Bucket(to) => to.put(&home, piece, &entry.path()).await.map_err(|error| self.error(error))?,
            }
        }
        Ok(())
    }

    /// The pieces of one output that lie here, in their order; this is the part of a store that belongs to a task. Of two runs of one
    /// attempt, the later.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn pieces(&self, attempt: u32, stream: StreamName) -> Result<Vec<(Piece, u64)>, StoreError> {
        let mut pieces = match &self.backend {
            Backend::Directory(directory) => directory.list().await.map_err(|error| self.error(error))?,
            #[cfg(feature = "s3")]
            Backend::Bucket(bucket) => bucket.list().await.map_err(|error| self.error(error))?,
        };
        let last = pieces.iter().map(|(piece, _)| piece).filter(|piece| piece.attempt == attempt).map(|piece| piece.czxid).max();
        pieces.retain(|(piece, _)| piece.attempt == attempt && Some(piece.czxid) == last && piece.stream == stream);
        pieces.sort_unstable();
        Ok(pieces)
    }

    /// Some bytes of a piece of `length`, from this offset in it on; none at its end.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn read(&self, piece: Piece, length: u64, from: u64) -> Result<Vec<u8>, StoreError> {
        let until = length.min(from.saturating_add(BLOCK));
        if from >= until {
            return Ok(Vec::new());
        }
        match &self.backend {
            Backend::Directory(directory) => directory.read(piece, from..until).await.map_err(|error| self.error(error)),
            #[cfg(feature = "s3")]
            Backend::Bucket(bucket) => bucket.read(piece, from..until).await.map_err(|error| self.error(error)),
        }
    }

    fn error(&self, error: impl fmt::Display) -> StoreError {
        StoreError { place: self.place.clone(), why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_was_shipped_is_read_back_whatever_the_task_is_called() {
        let (from, to) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let piece = |czxid, stream, start| Piece { attempt: 1, czxid, stream, start };
        let pieces = [
            (piece(7, StreamName::Stdout, 0), b"first".to_vec()),
            (piece(9, StreamName::Stdout, 0), vec![b'x'; 3 * 1024 * 1024 + 5]),
            (piece(9, StreamName::Stdout, 99_999_999), b"\0\xff".to_vec()),
            (piece(9, StreamName::Stderr, 0), b"oops".to_vec()),
        ];
        for (piece, bytes) in &pieces {
            fs::write(from.path().join(piece.to_string()), bytes).expect("written");
        }
        fs::write(from.path().join("something"), "else").expect("written");
        for name in ["task-1", "../a b%2Fü"] {
            let task = TaskName::listed(name);
            let store = OutputStore::open(&format!("file://{}/", to.path().display())).expect("a store");
            for czxid in [7, 9] {
                store.ship(from.path(), &task, 1, czxid).await.expect("shipped");
            }
            let place = store.place_of(&task);
            let found = OutputStore::open(&place).expect("a store");
            let stdout = found.pieces(1, StreamName::Stdout).await.expect("pieces");
            assert_eq!(stdout, [(pieces[1].0, pieces[1].1.len() as u64), (pieces[2].0, 2)], "{place}");
            let mut read = Vec::new();
            while let Ok(bytes @ [_, ..]) = found.read(stdout[0].0, stdout[0].1, read.len() as u64).await.as_deref() {
                read.extend_from_slice(bytes);
            }
            assert!(read == pieces[1].1, "{} bytes", read.len());
            assert_eq!(found.read(stdout[1].0, 2, 0).await, Ok(b"\0\xff".to_vec()));
            assert_eq!(found.pieces(2, StreamName::Stdout).await, Ok(Vec::new()));
        }
        let made: Vec<_> = fs::read_dir(to.path()).expect("readable").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(made.len(), 2, "{made:?}");
    }

    #[test]
    fn an_address_is_a_directory_or_a_bucket() {
        assert_eq!(check("file:///srv/outputs"), Ok(()));
        for bad in ["", "/srv", "file://srv", "http://x/y", "s3://", "s3:///x", "file:"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check("s3://bucket/prefix").is_ok(), cfg!(feature = "s3"));
    }
}
