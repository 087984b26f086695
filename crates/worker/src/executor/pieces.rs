//! The files of one output: its first half for good, and behind it the last pieces, of which the oldest goes when another is begun.
//! So an output of any length takes at most `worker.output_max`, and both its ends can be read, byte for byte.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use bellwether_common::output::Piece;

/// How many pieces are kept behind the first: together as long as that. The newest of them is being filled, so that of the last half at
/// least three quarters are there.
const LAST_PIECES: u64 = 4;

/// The files of one output.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) directory: PathBuf,
    first: Piece,
    max: u64,
    open: Option<Open>,
    /// Where the pieces behind the first begin.
    last: VecDeque<u64>,
    /// Whether there is, or was, a file: none for no output.
    pub(super) begun: bool,
    pub(super) failed: Option<Failed>,
}

#[derive(Debug)]
struct Open {
    file: File,
    room: u64,
}

/// Nothing was written from here on.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) at: u64,
    why: String,
}

impl Pieces {
    /// Nothing is written yet.
    pub(super) fn planned(directory: PathBuf, first: Piece, max: u64) -> Self {
        Self { directory, first, max, open: None, last: VecDeque::new(), begun: false, failed: None }
    }

    /// The file of the piece that begins there.
    pub(super) fn path(&self, start: u64) -> PathBuf {
        self.directory.join(Piece { start, ..self.first }.to_string())
    }

    /// What of an output of `total` bytes is not in the files, for people.
    pub(super) fn problem(&self, total: u64) -> Option<String> {
        let Failed { at, why } = self.failed.as_ref()?;
        let missing = total - at;
        Some(format!(
            "{}: {missing} bytes from offset {at} on could not be written to {}: {why}",
            self.first.stream,
            self.directory.display()
        ))
    }

    /// Writes what comes at this offset. After an error nothing more is tried.
    pub(super) fn write(&mut self, at: u64, chunk: &[u8]) -> io::Result<()> {
        if self.failed.is_some() {
            return Ok(());
        }
        let written = self.write_all(at, chunk);
        if let Err(error) = &written {
            self.failed = Some(Failed { at, why: error.to_string() });
            self.open = None;
        }
        written
    }

    fn write_all(&mut self, mut at: u64, mut chunk: &[u8]) -> io::Result<()> {
        while !chunk.is_empty() && self.max > 0 {
            let open = match self.open.take().filter(|open| open.room > 0) {
                Some(open) => self.open.insert(open),
                None => {
                    let next = self.begin(at)?;
                    self.open.insert(next)
                }
            };
            let now = chunk.len().min(usize::try_from(open.room).unwrap_or(usize::MAX));
            open.file.write_all(&chunk[..now])?;
            open.room -= now as u64;
            at += now as u64;
            chunk = &chunk[now..];
        }
        Ok(())
    }

    fn begin(&mut self, at: u64) -> io::Result<Open> {
        if !self.begun {
            fs::create_dir_all(&self.directory)?;
        }
        self.begun = true;
        let room = if at == 0 { self.max.div_ceil(2) } else { (self.max / (2 * LAST_PIECES)).max(1) };
        if at > 0 {
            self.last.push_back(at);
            if self.last.len() as u64 > LAST_PIECES
                && let Some(oldest) = self.last.pop_front()
            {
                // Whoever reads it has it open. One that cannot be removed takes room, no more.
                let _ = fs::remove_file(self.path(oldest));
            }
        }
        Ok(Open { file: File::create(self.path(at))?, room })
    }
}

#[cfg(test)]
mod tests {
    use bellwether_common::output::StreamName;

    use super::*;

    fn pieces(directory: &std::path::Path, max: u64) -> Pieces {
        Pieces::planned(directory.join("task"), Piece { attempt: 1, czxid: 10, stream: StreamName::Stdout, start: 0 }, max)
    }

    fn write(pieces: &mut Pieces, whole: &[u8], chunk: usize) {
        for (n, bytes) in whole.chunks(chunk).enumerate() {
            pieces.write((n * chunk) as u64, bytes).expect("written");
        }
    }

    fn files(pieces: &Pieces) -> Vec<(u64, Vec<u8>)> {
        let names = fs::read_dir(&pieces.directory).into_iter().flatten().flatten();
        let mut files: Vec<_> = names
            .map(|entry| {
                (Piece::parse(entry.file_name().to_str().expect("text")).expect("a piece").start, fs::read(entry.path()).expect("it"))
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn both_ends_stay_whatever_the_chunks_and_never_more_than_the_limit() {
        let whole: Vec<u8> = (0..=255).cycle().take(1007).collect();
        for max in [1, 2, 7, 8, 100, 101, 500, 1007, 2014] {
            for chunk in [1, 13, 100, 1007] {
                let directory = tempfile::tempdir().expect("a directory");
                let mut pieces = pieces(directory.path(), max);
                write(&mut pieces, &whole, chunk);
                let files = files(&pieces);
                let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
                assert!(bytes as u64 <= max.max(8), "{bytes} of {max}");
                assert_eq!(files[0].0, 0);
                for (start, bytes) in &files {
                    let start = *start as usize;
                    assert_eq!(bytes[..], whole[start..start + bytes.len()], "the piece at {start} with a limit of {max}");
                }
                let end = files.last().map(|(start, bytes)| *start as usize + bytes.len());
                assert_eq!(end, Some(whole.len()), "the end is there with a limit of {max}");
                if max as usize >= 2 * whole.len() {
                    assert_eq!(files.len(), 1);
                } else if max >= 100 {
                    let last: usize = files[1..].iter().map(|(_, bytes)| bytes.len()).sum();
                    assert!(last as u64 >= max / 2 * 3 / 4 - 4 || bytes == whole.len(), "{last} of the last with a limit of {max}");
                }
            }
        }
    }

    #[test]
    fn no_output_and_no_room_are_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut pieces = pieces(directory.path(), 0);
        pieces.write(0, b"abc").expect("nothing to do");
        assert!(!pieces.begun);
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
    }

    #[test]
    fn what_cannot_be_written_is_said_and_not_tried_again() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("task"), "in the way").expect("written");
        let mut pieces = pieces(directory.path(), 100);
        assert!(pieces.write(0, b"abc").is_err());
        assert!(pieces.write(3, b"def").is_ok(), "told once");
        let problem = pieces.problem(6).expect("a problem");
        assert!(
            problem.starts_with("stdout: 6 bytes from offset 0 on could not be written to ") && problem.contains("exists"),
            "{problem}"
        );
    }
}
