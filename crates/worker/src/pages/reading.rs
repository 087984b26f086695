//! Reading one output from its pieces, while it is written or after. A reader keeps nothing but its offset: however slow it is, it
//! costs one block, and what is dropped before it comes is a gap to it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use bellwether_common::output::{Piece, StreamName, gap_mark};
use futures::Stream;
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Refusal;
use super::attempts::{Attempt, directory, pieces, unreadable};
use super::question::{AtGap, From, Question};
use crate::executor::shelf::{Progress, Shelf};

/// How much is read at a time.
const BLOCK: usize = 128 * 1024;

/// One answer that is being sent.
#[derive(Debug)]
pub(super) struct Reading {
    directory: PathBuf,
    first: Piece,
    live: Option<watch::Receiver<Progress>>,
    known: Progress,
    at: u64,
    /// Where to end in any case.
    until: u64,
    follow: bool,
    gap: AtGap,
}

/// What lies at an offset.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Bytes(Vec<u8>),
    /// Nothing was kept up to there.
    Gap(u64),
}

impl Reading {
    /// Looks where to begin, and whether there is anything to begin with.
    pub(super) async fn begin(shelf: &Shelf, attempt: Attempt, stream: StreamName, question: Question) -> Result<Self, Refusal> {
        let (known, live) = attempt.progress(stream);
        let at = match question.from {
            From::Offset(offset) => offset,
            From::End(bytes) => known.total.saturating_sub(bytes),
        };
        if at > known.total {
            let message = format!("offset {at} lies behind the end: there are {} bytes so far", known.total);
            return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "beyond-the-end", message));
        }
        let Some(directory) = directory(shelf, &attempt.task) else {
            return Err(Refusal::not_here("this worker keeps no outputs".to_owned()));
        };
        let first = Piece { attempt: attempt.attempt, czxid: attempt.czxid, stream, start: 0 };
        // What comes later is for followers.
        let end = if question.follow { u64::MAX } else { known.total };
        let mut reading = Self { directory, first, live, known, at, until: end, follow: question.follow, gap: question.gap };
        if reading.gap == AtGap::Stop
            && at < known.total
            && let Found::Gap(behind) = reading.look().await.map_err(|error| unreadable(&error))?
        {
            reading.at = behind;
        }
        reading.until = question.limit.map_or(end, |limit| end.min(reading.at.saturating_add(limit)));
        Ok(reading)
    }

    /// Where the answer begins.
    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    /// How much there is so far.
    pub(super) fn total(&self) -> u64 {
        self.known.total
    }

    /// Whether there will be no more.
    pub(super) fn has_ended(&self) -> bool {
        self.known.ended
    }

    /// The answer. It holds the permit for as long as it lasts.
    pub(super) fn into_stream(self, permit: OwnedSemaphorePermit) -> impl Stream<Item = io::Result<Vec<u8>>> {
        stream::try_unfold((self, permit), async |(mut reading, permit)| Ok(reading.next().await?.map(|bytes| (bytes, (reading, permit)))))
    }

    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.at >= self.until {
                return Ok(None);
            }
            if self.at < self.known.total.min(self.until) {
                return match (self.look().await?, self.gap) {
                    (Found::Bytes(bytes), _) => {
                        self.at += bytes.len() as u64;
                        Ok(Some(bytes))
                    }
                    (Found::Gap(_), AtGap::Stop) => Ok(None),
                    (Found::Gap(behind), AtGap::Mark) => {
                        let mark = gap_mark(self.at, behind);
                        self.at = behind;
                        Ok(Some(mark.into_bytes()))
                    }
                };
            }
            if self.known.ended || !self.follow || !self.wait().await {
                return Ok(None);
            }
        }
    }

    /// Waits for more; says whether there may be.
    async fn wait(&mut self) -> bool {
        let Some(live) = &mut self.live else { return false };
        // A writer that is gone without a word writes no more.
        let changed = live.changed().await.is_ok();
        self.known = *live.borrow_and_update();
        self.known.ended |= !changed;
        true
    }

    async fn look(&self) -> io::Result<Found> {
        let (directory, first, at) = (self.directory.clone(), self.first, self.at);
        // Behind `stored` a file may hold half of what is being written.
        let end = self.known.stored.min(self.until);
        let total = self.known.total;
        if at >= end {
            return Ok(Found::Gap(total));
        }
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(BLOCK);
        let looked = tokio::task::spawn_blocking(move || look(&directory, first, at, most)).await;
        let found = looked.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(found.unwrap_or(Found::Gap(total)))
    }
}

/// What lies at this offset, or `None` if nothing does from there on. A piece may be dropped while it is looked for: then it is looked
/// for again.
fn look(directory: &Path, first: Piece, at: u64, most: usize) -> io::Result<Option<Found>> {
    loop {
        let all = pieces(directory)?;
        let of_this = |(piece, _): &&(Piece, u64)| *piece == Piece { start: piece.start, ..first };
        let Some((piece, length)) = all.iter().filter(of_this).find(|(piece, length)| piece.start + length > at) else {
            return Ok(None);
        };
        if piece.start > at {
            return Ok(Some(Found::Gap(piece.start)));
        }
        let most = most.min(usize::try_from(piece.start + length - at).unwrap_or(usize::MAX));
        match read(&directory.join(piece.to_string()), at - piece.start, most) {
            Ok(bytes) => return Ok(Some(Found::Bytes(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn read(path: &Path, at: u64, most: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = vec![0; most];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}
