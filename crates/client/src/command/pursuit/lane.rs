//! One output of a task, and how far it was shown.

use std::io::{self, IsTerminal};
use std::time::Duration;

use bellwether_client::{OpenOutput, OutputError, OutputId, OutputReader, ReadFrom};
use bellwether_common::output::store::{OutputStore, StoreError};
use bellwether_common::output::{Piece, StreamName};
use bellwether_core::protocol::TaskName;

use crate::command::context::Context;
use crate::command::printer::Printer;
use crate::command::screen::Screen;

/// How long to wait before an output is opened again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often in a row it may fail.
const TRIES: u32 = 5;
/// In how much of the end of an output lines are looked for at first, and at most: whoever writes longer ones gets fewer.
const SPAN: u64 = 64 * 1024;
const SPAN_MAX: u64 = 16 * 1024 * 1024;

/// Where it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    Stdout,
    Stderr,
}

/// Where an attempt is read.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) reader: &'a OutputReader,
    pub(crate) address: &'a str,
    pub(crate) task: &'a TaskName,
    pub(crate) attempt: u32,
}

impl Source<'_> {
    async fn open(&self, stream: StreamName, from: ReadFrom, follow: bool) -> Result<OpenOutput, OutputError> {
        let id = OutputId { task: self.task.clone(), attempt: self.attempt, stream };
        self.reader.open(self.address, &id, from, follow).await
    }
}

/// One output.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: StreamName,
    sink: Sink,
    screen: Screen,
    /// Up to where it was shown.
    at: u64,
}

impl Lane {
    /// Nothing was shown.
    pub(crate) fn new(name: StreamName, sink: Sink) -> Self {
        Self { name, sink, screen: sink.screen(), at: 0 }
    }

    /// Nothing was shown of what comes now.
    pub(crate) fn start_over(&mut self, ctx: &Context) {
        self.end(ctx);
        self.at = 0;
    }

    /// What a screen held back is shown: there is no more.
    pub(crate) fn end(&mut self, ctx: &Context) {
        let left = self.screen.end();
        self.sink.print(ctx, &left);
    }

    fn show(&mut self, ctx: &Context, bytes: &[u8]) {
        let shown = self.screen.show(bytes);
        self.sink.print(ctx, &shown);
        self.at += bytes.len() as u64;
    }

    /// Goes on behind what is not kept any more.
    pub(crate) fn jump(&mut self, ctx: &Context, to: u64) {
        if to > self.at {
            ctx.printer.note(&format!("{}: {} bytes are missing here: they were not kept (worker.output_max)", self.name, to - self.at));
            self.at = to;
        }
    }

    /// Whether nobody would see it.
    pub(crate) fn is_unread(&self) -> bool {
        self.sink == Sink::Stdout && Printer::is_unread()
    }

    /// Shows what is written until the attempt has ended. What nobody reads any more is not asked for, either: then this never ends.
    pub(crate) async fn follow(&mut self, source: Source<'_>, tail: Option<u64>) -> Result<(), OutputError> {
        let to_stdout = self.sink == Sink::Stdout;
        tokio::select! {
            shown = self.keep_up(source, tail) => shown,
            () = Printer::unread(), if to_stdout => std::future::pending().await,
        }
    }

    async fn keep_up(&mut self, source: Source<'_>, mut tail: Option<u64>) -> Result<(), OutputError> {
        let mut failures = 0;
        loop {
            let before = self.at;
            let tried = match tail.filter(|_| before == 0) {
                Some(lines) => self.last_lines(source, lines).await.map(|()| {
                    tail = None;
                    false
                }),
                None => self.pass(source, true, u64::MAX).await,
            };
            match tried {
                Ok(true) => return Ok(()),
                Ok(false) => failures = 0,
                Err(error) if failures >= TRIES => return Err(error),
                // It has come further: the worker is there.
                Err(_) => failures = if self.at > before { 0 } else { failures + 1 },
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Shows what there is, at most up to `until`.
    pub(crate) async fn fetch(&mut self, source: Source<'_>, tail: Option<u64>, until: u64) -> Result<(), OutputError> {
        if let Some(lines) = tail.filter(|_| self.at == 0) {
            return self.last_lines(source, lines).await;
        }
        loop {
            let before = self.at;
            let ended = self.pass(source, false, until).await?;
            if ended || self.at == before {
                return Ok(());
            }
        }
    }

    /// Opens it once, and shows what comes. Says whether that was all, or all up to `until`.
    async fn pass(&mut self, source: Source<'_>, follow: bool, until: u64) -> Result<bool, OutputError> {
        let mut open = source.open(self.name, ReadFrom::Offset(self.at), follow).await?;
        self.jump(source.ctx, open.offset.min(until));
        while let Some(bytes) = open.next().await? {
            let room = usize::try_from(until - self.at).unwrap_or(usize::MAX);
            self.show(source.ctx, &bytes[..bytes.len().min(room)]);
            if self.at >= until {
                return Ok(true);
            }
        }
        Ok(open.ended && open.offset >= open.total)
    }

    /// Shows the last lines of what there is now.
    async fn last_lines(&mut self, source: Source<'_>, lines: u64) -> Result<(), OutputError> {
        let mut span = SPAN;
        loop {
            let mut open = source.open(self.name, ReadFrom::End(span), false).await?;
            let (mut begin, total) = (open.offset, open.total);
            let mut bytes = collect(&mut open).await?;
            if begin + (bytes.len() as u64) < total {
                // There is a gap between: what lies behind it is the end.
                open = source.open(self.name, ReadFrom::Offset(begin + bytes.len() as u64), false).await?;
                begin = open.offset;
                bytes = collect(&mut open).await?;
            }
            let last = start_of_last(&bytes, lines);
            if last > 0 || begin == 0 || span >= SPAN_MAX || (bytes.len() as u64) < span {
                self.at = begin + last as u64;
                self.show(source.ctx, &bytes[last..]);
                return Ok(());
            }
            span *= 4;
        }
    }

    /// Shows what lies in a store of an output of `total` bytes of which these are the last.
    pub(crate) async fn read_store(
        &mut self,
        ctx: &Context,
        store: &OutputStore,
        attempt: u32,
        tail: Option<u64>,
        total: u64,
        kept: &[u8],
    ) -> Result<(), StoreError> {
        let pieces = store.pieces(attempt, self.name).await?;
        if let Some(lines) = tail.filter(|_| self.at == 0) {
            let last = last_of_store(store, &pieces, lines).await?;
            self.at = total - (last.len() as u64).min(total);
            self.show(ctx, &last);
            return Ok(());
        }
        for (piece, length) in pieces {
            self.jump(ctx, piece.start);
            while self.at < piece.start + length {
                let bytes = store.read(piece, length, self.at - piece.start).await?;
                self.show(ctx, &bytes);
            }
        }
        if total < u64::MAX {
            self.jump(ctx, total - (kept.len() as u64).min(total));
            self.show_kept(ctx, kept, total);
        }
        Ok(())
    }

    /// Shows the rest of `total` bytes of which these are the last, if they suffice, and says so.
    pub(crate) fn show_end(&mut self, ctx: &Context, kept: &[u8], total: u64, tail: Option<u64>) -> bool {
        if let Some(lines) = tail.filter(|_| self.at == 0) {
            let last = start_of_last(kept, lines);
            if last == 0 && kept.len() as u64 != total && lines > 0 {
                return false;
            }
            self.at = total - (kept.len() - last) as u64;
        }
        if self.missing_before(kept, total) > 0 {
            return false;
        }
        self.show_kept(ctx, kept, total);
        true
    }

    /// How much lies between what was shown and these last bytes.
    pub(crate) fn missing_before(&self, kept: &[u8], total: u64) -> u64 {
        (total - (kept.len() as u64).min(total)).saturating_sub(self.at)
    }

    /// Shows of these last bytes what was not shown.
    pub(crate) fn show_kept(&mut self, ctx: &Context, kept: &[u8], total: u64) {
        let left = usize::try_from(total.saturating_sub(self.at)).unwrap_or(usize::MAX).min(kept.len());
        self.show(ctx, &kept[kept.len() - left..]);
        self.at = total;
    }
}

/// The last lines of what lies in a store, as far as they lie in one piece, or in those that touch it.
async fn last_of_store(store: &OutputStore, pieces: &[(Piece, u64)], lines: u64) -> Result<Vec<u8>, StoreError> {
    let mut last = Vec::new();
    let mut begin = None;
    for (piece, length) in pieces.iter().rev() {
        if begin.is_some_and(|begin| piece.start + length != begin) || last.len() as u64 >= SPAN_MAX {
            break;
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < *length {
            bytes.extend(store.read(*piece, *length, bytes.len() as u64).await?);
        }
        bytes.append(&mut last);
        last = bytes;
        begin = Some(piece.start);
        let at = start_of_last(&last, lines);
        if at > 0 || lines == 0 {
            return Ok(last.split_off(at));
        }
    }
    Ok(last)
}

async fn collect(open: &mut OpenOutput) -> Result<Vec<u8>, OutputError> {
    let mut all = Vec::new();
    while let Some(bytes) = open.next().await? {
        all.extend_from_slice(bytes);
    }
    Ok(all)
}

/// Where the last so many lines begin; 0 if there are not more.
fn start_of_last(bytes: &[u8], lines: u64) -> usize {
    if lines == 0 {
        return bytes.len();
    }
    // The end of the last line begins none.
    let inner = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let breaks = inner.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    let before = usize::try_from(lines - 1).unwrap_or(usize::MAX);
    breaks.map(|(at, _)| at + 1).nth(before).unwrap_or(0)
}

impl Sink {
    fn screen(self) -> Screen {
        Screen::new(match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        })
    }

    fn print(self, ctx: &Context, bytes: &[u8]) {
        match self {
            _ if bytes.is_empty() => {}
            Self::Stdout => ctx.printer.bytes(bytes),
            Self::Stderr => ctx.printer.error_bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", 1, "c\n"),
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\nc", 1, "c"),
            ("a\n\n", 1, "\n"),
            ("abc", 0, ""),
            ("", 3, ""),
        ] {
            assert_eq!(&text[start_of_last(text.as_bytes(), lines)..], expected, "{lines} of {text:?}");
        }
    }
}
