//! One log file: a header (`ZKLG`, version 2, a database id), then records: Adler-32 checksum, length, body, the letter `B`.
//! Zeros follow, because files grow ahead of their contents; a server that was killed leaves its last record unfinished.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::checksum::adler32;
use super::{Damage, LogError, Record, decode};

const HEADER: u64 = 16;
/// Checksum and length in front of a body, and the mark behind it.
const FRAME: u64 = 12 + 1;
/// A body cannot be shorter: it has a header of five fields.
const BODY_MIN: usize = 32;
/// ZooKeeper takes requests of 1 MiB unless told otherwise; nobody tells it a hundred times more.
const BODY_MAX: usize = 128 << 20;
const MARK: u8 = b'B';
const BUFFER: usize = 256 * 1024;

/// Reads a file to its end, once.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    input: BufReader<File>,
    offset: u64,
    body: Vec<u8>,
    records: u64,
    last_zxid: Option<i64>,
    ended: bool,
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Next {
    Record(Record),
    /// Ask again: what follows may be readable.
    Damaged(Damage),
    End(Ending),
}

/// How a file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// With zeros, or where the last record does.
    Clean,
    /// In the middle of a record, with zeros instead of the rest: a write that never became whole.
    Torn(Damage),
    /// In the middle of a record, with nothing after it: so does a file that was cut off.
    Cut(Damage),
}

enum Frame {
    Body(u64),
    Zeros,
    /// Wrong, and whether the file ends before it should.
    Wrong(&'static str, bool),
}

impl LogFile {
    /// Opens it and looks at its header. `None`: nothing was written to it yet.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, LogError> {
        let unreadable = |error| LogError::Unreadable { path: path.to_owned(), error };
        let mut input = BufReader::with_capacity(BUFFER, File::open(path).map_err(unreadable)?);
        let mut header = Vec::new();
        input.by_ref().take(HEADER).read_to_end(&mut header).map_err(unreadable)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !header.starts_with(b"ZKLG\0\0\0\x02") || header.len() < HEADER as usize {
            let found = format!("{:?} instead of \"ZKLG\" and version 2", String::from_utf8_lossy(&header[..header.len().min(8)]));
            return Err(LogError::Foreign { path: path.to_owned(), found });
        }
        Ok(Some(Self { path: path.to_owned(), input, offset: HEADER, body: Vec::new(), records: 0, last_zxid: None, ended: false }))
    }

    pub(super) fn next(&mut self) -> Result<Next, LogError> {
        if self.ended {
            return Ok(Next::End(Ending::Clean));
        }
        self.read_next().map_err(|error| LogError::Unreadable { path: self.path.clone(), error })
    }

    fn read_next(&mut self) -> io::Result<Next> {
        let mut frame = self.frame()?;
        if !matches!(frame, Frame::Body(_)) {
            // A running server may have written on since the buffer was filled.
            self.input.seek(SeekFrom::Start(self.offset))?;
            frame = self.frame()?;
        }
        let at = self.offset;
        let found = match frame {
            Frame::Body(next) => return Ok(self.take(next)),
            Frame::Zeros => self.after_zeros(),
            Frame::Wrong(what, cut) => self.after_wrong(what, cut),
        }?;
        if matches!(found, Next::Damaged(_)) {
            // What follows may have been written since by a running server, and then what stands here was written before it.
            let behind = std::mem::replace(&mut self.offset, at);
            self.input.seek(SeekFrom::Start(at))?;
            if let Frame::Body(next) = self.frame()? {
                self.ended = false;
                return Ok(self.take(next));
            }
            self.offset = behind;
            self.input.seek(SeekFrom::Start(behind))?;
        }
        Ok(found)
    }

    /// The record whose body was read; `next` is where it ends.
    fn take(&mut self, next: u64) -> Next {
        let at = std::mem::replace(&mut self.offset, next);
        match decode::record(&self.body) {
            Ok(record) => {
                self.records += 1;
                self.last_zxid = Some(record.zxid);
                Next::Record(record)
            }
            Err(error) => Next::Damaged(self.damage(at, error.to_string(), Some(next))),
        }
    }

    /// Reads checksum, length, body and mark.
    fn frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 12];
        match fill(&mut self.input, &mut head)? {
            0 => return Ok(Frame::Zeros),
            12 => {}
            read => return Ok(if head[..read].iter().all(|byte| *byte == 0) { Frame::Zeros } else { Frame::Wrong(CUT, true) }),
        }
        let (checksum, length) = head.split_at(8);
        let checksum = u64::from_be_bytes(checksum.try_into().unwrap_or_default());
        let length = i32::from_be_bytes(length.try_into().unwrap_or_default());
        if (checksum, length) == (0, 0) {
            return Ok(Frame::Zeros);
        }
        let Some(length) = usize::try_from(length).ok().filter(|length| (BODY_MIN..=BODY_MAX).contains(length)) else {
            return Ok(Frame::Wrong("a record has an impossible length", false));
        };
        self.body.clear();
        let whole = self.input.by_ref().take(length as u64).read_to_end(&mut self.body)? == length;
        let mut mark = [0];
        if !whole || fill(&mut self.input, &mut mark)? == 0 {
            return Ok(Frame::Wrong(CUT, true));
        }
        match (u64::from(adler32(&self.body)) == checksum, mark[0]) {
            (true, MARK) => Ok(Frame::Body(self.offset + FRAME + length as u64)),
            (false, MARK) => Ok(Frame::Wrong(CHECKSUM, false)),
            (_, 0) => Ok(Frame::Wrong(UNFINISHED, false)),
            _ => Ok(Frame::Wrong("a record does not end with its mark", false)),
        }
    }

    /// Nothing was written from here on, unless something follows.
    fn after_zeros(&mut self) -> io::Result<Next> {
        self.input.seek(SeekFrom::Start(self.offset))?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = self.input.read(&mut buffer)?;
            if read == 0 {
                self.ended = true;
                return Ok(Next::End(Ending::Clean));
            }
            if buffer[..read].iter().any(|byte| *byte != 0) {
                return self.after_wrong("zeros stand in front of what follows", false);
            }
        }
    }

    /// If records follow, this place is damaged. If none do, it may be the end of a write that never became whole.
    fn after_wrong(&mut self, what: &str, cut: bool) -> io::Result<Next> {
        let at = self.offset;
        self.input.seek(SeekFrom::Start(at + 1))?;
        let mut rest = Vec::new();
        self.input.read_to_end(&mut rest)?;
        if let Some(index) = (0..rest.len()).find(|index| begins_record(&rest[*index..])) {
            let next = at + 1 + index as u64;
            self.offset = next;
            self.input.seek(SeekFrom::Start(next))?;
            return Ok(Next::Damaged(self.damage(at, what.to_owned(), Some(next))));
        }
        self.ended = true;
        let damage = self.damage(at, what.to_owned(), None);
        Ok(match what {
            CHECKSUM => Next::Damaged(damage),
            _ if cut => Next::End(Ending::Cut(damage)),
            _ if rest.last().is_none_or(|byte| *byte == 0) => Next::End(Ending::Torn(damage)),
            _ => Next::Damaged(damage),
        })
    }

    fn damage(&self, offset: u64, what: String, resumes_at: Option<u64>) -> Damage {
        Damage { path: self.path.clone(), offset, what, records: self.records, last_zxid: self.last_zxid, resumes_at }
    }
}

const CUT: &str = "the file ends in the middle of a record";
const CHECKSUM: &str = "the checksum of a record is wrong";
const UNFINISHED: &str = "a record is not finished";

fn begins_record(bytes: &[u8]) -> bool {
    // The upper half of a checksum is never used: this rules out nearly every place at once.
    let Some(([0, 0, 0, 0, checksum @ .., l0, l1, l2, l3], rest)) = bytes.split_first_chunk::<12>() else { return false };
    let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize;
    let framed = (BODY_MIN..=BODY_MAX).contains(&length) && rest.get(length) == Some(&MARK);
    framed && adler32(&rest[..length]).to_be_bytes() == *checksum
}

/// Fills the buffer as far as the file goes.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
