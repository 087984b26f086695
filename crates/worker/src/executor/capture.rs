//! What a run writes: its last bytes in memory, the whole of it in a file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::warn;

use super::Tail;

const CHUNK: usize = 64 * 1024;

/// Limits of what is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes in memory.
    pub(super) tail: usize,
    /// Bytes in the file.
    pub(super) file: u64,
}

/// One output of one run.
#[derive(Debug)]
pub(super) struct Capture {
    limits: Limits,
    kept: Vec<u8>,
    total: u64,
    file: Destination,
}

#[derive(Debug)]
enum Destination {
    /// Nothing was written yet: no file for no output.
    Planned(PathBuf),
    Open(File, PathBuf),
    /// The file is complete as far as it goes.
    Full(PathBuf),
    None,
}

// One warning is enough: a full disk would otherwise be reported by every task.
static WARNED: AtomicBool = AtomicBool::new(false);

impl Capture {
    pub(super) fn new(limits: Limits, file: Option<PathBuf>) -> Self {
        let file = file.map_or(Destination::None, Destination::Planned);
        Self { limits, kept: Vec::new(), total: 0, file }
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, chunk: &[u8]) {
        self.keep(chunk);
        if let Err((path, error)) = self.store(chunk)
            && !WARNED.swap(true, Ordering::Relaxed)
        {
            warn!(path = %path.display(), %error, "output is not written to files, only its end is kept; told once");
        }
        self.total += chunk.len() as u64;
    }

    fn keep(&mut self, chunk: &[u8]) {
        let limit = self.limits.tail;
        if chunk.len() >= limit {
            self.kept.clear();
            self.kept.extend_from_slice(&chunk[chunk.len() - limit..]);
            return;
        }
        // Twice the limit before the front goes: each byte is moved once on average.
        if self.kept.len() + chunk.len() > 2 * limit {
            self.kept.drain(..self.kept.len() + chunk.len() - limit);
        }
        self.kept.extend_from_slice(chunk);
    }

    fn store(&mut self, chunk: &[u8]) -> Result<(), (PathBuf, io::Error)> {
        if let Destination::Planned(path) = &self.file {
            let path = path.clone();
            self.file = Destination::None;
            let file = open(&path).map_err(|error| (path.clone(), error))?;
            self.file = Destination::Open(file, path);
        }
        let Destination::Open(file, path) = &mut self.file else { return Ok(()) };
        let room = usize::try_from(self.limits.file.saturating_sub(self.total)).unwrap_or(usize::MAX);
        let path = path.clone();
        let written = if chunk.len() <= room { file.write_all(chunk) } else { cut(file, &chunk[..room], self.limits.file) };
        if chunk.len() > room || written.is_err() {
            self.file = Destination::Full(path.clone());
        }
        written.map_err(|error| (path, error))
    }

    /// What is left in memory of it.
    pub(super) fn finish(mut self) -> Tail {
        let surplus = self.kept.len().saturating_sub(self.limits.tail);
        self.kept.drain(..surplus);
        let file = match self.file {
            Destination::Open(_, path) | Destination::Full(path) => Some(path),
            Destination::Planned(_) | Destination::None => None,
        };
        Tail { truncated: self.total > self.kept.len() as u64, kept: self.kept, total: self.total, file }
    }
}

fn open(path: &std::path::Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    File::create(path)
}

fn cut(file: &mut File, last: &[u8], limit: u64) -> io::Result<()> {
    file.write_all(last)?;
    writeln!(file, "\n[bellwether: cut here, at {limit} bytes]")
}

/// Reads until the last writer is gone. Dropping the future loses nothing that was read.
pub(super) async fn pump(pipe: Option<impl AsyncRead + Unpin>, capture: &mut Capture) {
    let Some(mut pipe) = pipe else { return };
    // Most commands are silent or brief: the large buffer is for the others.
    let mut first = [0; 512];
    loop {
        match pipe.read(&mut first).await {
            Ok(0) | Err(_) => return,
            Ok(n) => capture.take(&first[..n]),
        }
        if capture.total >= 4096 {
            break;
        }
    }
    let mut buffer = vec![0; CHUNK];
    while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
        capture.take(&buffer[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(tail: usize, file: u64, path: Option<PathBuf>) -> Capture {
        Capture::new(Limits { tail, file }, path)
    }

    #[test]
    fn the_tail_is_the_end_whatever_the_chunks() {
        let whole: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for chunk in [1, 7, 99, 100, 101, 4999, 5000] {
            let mut capture = capture(100, 0, None);
            whole.chunks(chunk).for_each(|bytes| capture.take(bytes));
            let tail = capture.finish();
            assert_eq!(tail.kept, whole[4900..], "chunks of {chunk}");
            assert_eq!((tail.total, tail.truncated, tail.file), (5000, true, None));
        }
    }

    #[test]
    fn a_tail_of_nothing_keeps_nothing() {
        let mut capture = capture(0, 0, None);
        capture.take(b"abc");
        assert_eq!(capture.finish(), Tail { kept: Vec::new(), total: 3, truncated: true, file: None });
    }

    #[test]
    fn the_file_is_cut_at_its_limit_and_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("task/1.stdout");
        let mut capture = capture(10, 8, Some(path.clone()));
        for chunk in [b"01234".as_slice(), b"56789", b"abc"] {
            capture.take(chunk);
        }
        let tail = capture.finish();
        assert_eq!(tail.kept, b"3456789abc");
        assert_eq!(fs::read(&path).expect("the file"), b"01234567\n[bellwether: cut here, at 8 bytes]\n");
        assert_eq!(tail.file, Some(path));
    }

    #[test]
    fn no_output_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let tail = capture(10, 8, Some(directory.path().join("task/1.stdout"))).finish();
        assert_eq!(tail, Tail::default());
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
    }
}
