//! What a run writes: its last bytes in memory, the whole of it in files.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_common::output::Piece;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tracing::warn;

use super::Tail;
use super::pieces::Pieces;
use super::shelf::Progress;

const CHUNK: usize = 64 * 1024;

/// Limits of what is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes in memory.
    pub(super) tail: usize,
    /// Bytes in files.
    pub(super) files: u64,
}

/// One output of one run.
#[derive(Debug)]
pub(super) struct Capture {
    limits: Limits,
    kept: Vec<u8>,
    total: u64,
    files: Option<Pieces>,
    progress: watch::Sender<Progress>,
}

// One warning is enough: a full disk would otherwise be reported by every task.
static WARNED: AtomicBool = AtomicBool::new(false);

impl Capture {
    /// `files`: the directory, and what the first piece is called.
    pub(super) fn new(limits: Limits, files: Option<(PathBuf, Piece)>, progress: watch::Sender<Progress>) -> Self {
        let files = files.map(|(directory, first)| Pieces::planned(directory, first, limits.files));
        Self { limits, kept: Vec::new(), total: 0, files, progress }
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, chunk: &[u8]) {
        self.keep(chunk);
        if let Some(files) = &mut self.files
            && let Err(error) = files.write(self.total, chunk)
            && !WARNED.swap(true, Ordering::Relaxed)
        {
            warn!(directory = %files.directory.display(), %error, "output is not written to files, only its end is kept; told once");
        }
        self.total += chunk.len() as u64;
        self.publish(false);
    }

    fn publish(&self, ended: bool) {
        let stored = self.files.as_ref().map_or(0, |files| files.failed.as_ref().map_or(self.total, |failed| failed.at));
        self.progress.send_replace(Progress { total: self.total, stored, ended });
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

    /// What is left in memory of it.
    pub(super) fn finish(mut self) -> Tail {
        let surplus = self.kept.len().saturating_sub(self.limits.tail);
        self.kept.drain(..surplus);
        self.publish(true);
        let problem = self.files.as_ref().and_then(|files| files.problem(self.total));
        let file = self.files.filter(|files| files.begun).map(|files| files.path(0));
        Tail { truncated: self.total > self.kept.len() as u64, kept: self.kept, total: self.total, file, problem }
    }
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

    fn capture(tail: usize) -> Capture {
        Capture::new(Limits { tail, files: 0 }, None, watch::Sender::default())
    }

    #[test]
    fn the_tail_is_the_end_whatever_the_chunks() {
        let whole: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for chunk in [1, 7, 99, 100, 101, 4999, 5000] {
            let mut capture = capture(100);
            whole.chunks(chunk).for_each(|bytes| capture.take(bytes));
            let tail = capture.finish();
            assert_eq!(tail.kept, whole[4900..], "chunks of {chunk}");
            assert_eq!((tail.total, tail.truncated, tail.file), (5000, true, None));
        }
    }

    #[test]
    fn a_tail_of_nothing_keeps_nothing() {
        let mut capture = capture(0);
        capture.take(b"abc");
        assert_eq!(capture.finish(), Tail { total: 3, truncated: true, ..Tail::default() });
    }

    #[test]
    fn readers_hear_how_far_it_is_and_when_it_has_ended() {
        let progress = watch::Sender::default();
        let heard = progress.subscribe();
        let mut capture = Capture::new(Limits { tail: 10, files: 0 }, None, progress);
        capture.take(b"abc");
        assert_eq!(*heard.borrow(), Progress { total: 3, stored: 0, ended: false });
        let _ = capture.finish();
        assert_eq!(*heard.borrow(), Progress { total: 3, stored: 0, ended: true });
    }
}
