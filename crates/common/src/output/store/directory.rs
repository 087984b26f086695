//! A store that is a directory.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::output::Piece;

/// The directory of a store, or of a task in it.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: &str) -> Self {
        Self(PathBuf::from(path))
    }

    /// Copies a file to the place of a task. It is there as a whole or not at all.
    pub(super) async fn put(&self, home: &str, piece: Piece, file: &Path) -> io::Result<()> {
        let home = self.0.join(home);
        tokio::fs::create_dir_all(&home).await?;
        let target = home.join(piece.to_string());
        let unfinished = home.join(format!(".{piece}"));
        tokio::fs::copy(file, &unfinished).await?;
        tokio::fs::rename(unfinished, target).await
    }

    /// What lies in the place of a task, with its lengths; nothing if there is none.
    pub(super) async fn list(&self) -> io::Result<Vec<(Piece, u64)>> {
        let directory = self.0.clone();
        let listed = tokio::task::spawn_blocking(move || list(&directory)).await;
        listed.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Some bytes of a piece.
    pub(super) async fn read(&self, piece: Piece, range: Range<u64>) -> io::Result<Vec<u8>> {
        let path = self.0.join(piece.to_string());
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
            File::open(path)?.read_exact_at(&mut bytes, range.start).map(|()| bytes)
        });
        read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

fn list(directory: &Path) -> io::Result<Vec<(Piece, u64)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut pieces = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(piece) = entry.file_name().to_str().and_then(Piece::parse) {
            pieces.push((piece, entry.metadata()?.len()));
        }
    }
    Ok(pieces)
}
