//! Snapshots: the tree as it was about when a file was begun, for logs whose beginning was purged.
//!
//! A snapshot is fuzzy: it is written while the server goes on, so that it may contain what later transactions did, and lack what
//! they deleted. What it holds is handed out with the zxids that tell. Layout: `ZKSN`, version 2, a database id; sessions; ACLs;
//! nodes until the path `/`; a checksum over all of it. Compressed ones, which servers can be told to write, are not read.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::LogError;
use super::checksum::Adler32;

/// ZooKeeper's own limit for data and paths, generously.
const FIELD_MAX: usize = 128 << 20;

/// One node of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its absolute path; empty for the root.
    pub path: String,
    /// Its data.
    pub data: Vec<u8>,
    /// The transaction that created it.
    pub czxid: i64,
    /// The transaction that set it last.
    pub mzxid: i64,
    /// How often its data was set.
    pub version: i32,
    /// The session that it goes with; 0 for none. Containers and nodes with a lifetime have numbers below 0 here.
    pub owner: i64,
}

/// Reads the nodes of a snapshot, one after the other. The checksum is verified at the end: believe none before all were read.
#[derive(Debug)]
pub struct Snapshot<R = BufReader<File>> {
    input: Summed<R>,
    ended: bool,
}

#[derive(Debug)]
struct Summed<R> {
    input: R,
    sum: Adler32,
}

impl Snapshot {
    /// Opens it, and skips what is no node.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let unreadable = |error| LogError::Unreadable { path: path.to_owned(), error };
        let file = File::open(path).map_err(unreadable)?;
        Self::read(BufReader::with_capacity(256 * 1024, file)).map_err(unreadable)
    }
}

impl<R: Read> Snapshot<R> {
    fn read(input: R) -> io::Result<Self> {
        let mut input = Summed { input, sum: Adler32::new() };
        let header: [u8; 16] = input.array()?;
        if header[..8] != *b"ZKSN\0\0\0\x02" {
            return Err(wrong("it is no snapshot of ZooKeeper"));
        }
        for _ in 0..input.i32()? {
            let (_session, _timeout) = (input.i64()?, input.i32()?);
        }
        for _ in 0..input.i32()? {
            let (_index, entries) = (input.i64()?, input.i32()?);
            for _ in 0..entries {
                let (_permissions, _scheme, _id) = (input.i32()?, input.bytes()?, input.bytes()?);
            }
        }
        Ok(Self { input, ended: false })
    }

    fn node(&mut self) -> io::Result<Option<Node>> {
        let input = &mut self.input;
        let path = String::from_utf8(input.bytes()?).map_err(|_| wrong("a path is not UTF-8"))?;
        if path == "/" {
            let sum = u64::from(input.sum.sum());
            return if input.i64()?.cast_unsigned() == sum { Ok(None) } else { Err(wrong("its checksum is wrong")) };
        }
        let (data, _acl) = (input.bytes()?, input.i64()?);
        let (czxid, mzxid, _ctime, _mtime) = (input.i64()?, input.i64()?, input.i64()?, input.i64()?);
        let (version, _cversion, _aversion) = (input.i32()?, input.i32()?, input.i32()?);
        let (owner, _pzxid) = (input.i64()?, input.i64()?);
        Ok(Some(Node { path, data, czxid, mzxid, version, owner }))
    }
}

impl<R: Read> Iterator for Snapshot<R> {
    type Item = io::Result<Node>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let node = self.node().transpose();
        self.ended = !matches!(node, Some(Ok(_)));
        node
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: Read> Summed<R> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.sum.add(&bytes);
        Ok(bytes)
    }

    fn i32(&mut self) -> io::Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> io::Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.i32()?.max(0)).unwrap_or_default();
        if length > FIELD_MAX {
            return Err(wrong("a field has an impossible length"));
        }
        let mut bytes = Vec::new();
        self.input.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.sum.add(&bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::tests::Writer;
    use super::*;

    fn written() -> Vec<u8> {
        let header = Writer(b"ZKSN\0\0\0\x02".to_vec()).i64(1);
        let sessions = header.i32(2).i64(0x51).i32(4_000).i64(0x52).i32(6_000);
        let acls = sessions.i32(1).i64(1).i32(1).i32(31).bytes(b"world").bytes(b"anyone");
        let node = |to: Writer, path: &str, owner| {
            let stat = to.bytes(path.as_bytes()).bytes(b"data").i64(1).i64(3).i64(4).i64(1_000).i64(1_001);
            stat.i32(2).i32(0).i32(0).i64(owner).i64(3)
        };
        let nodes = node(node(node(acls, "", 0), "/kept", 0), "/mine", 0x51).bytes(b"/");
        let sum = super::super::checksum::adler32(&nodes.0);
        nodes.i64(sum.into()).bytes(b"/").0
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<Node>> {
        Snapshot::read(bytes)?.collect()
    }

    #[test]
    fn nodes_are_read_with_their_owners_and_their_past() {
        let nodes = read(&written()).expect("it is whole");
        assert_eq!(nodes.iter().map(|node| node.path.as_str()).collect::<Vec<_>>(), ["", "/kept", "/mine"]);
        let mine = Node { path: "/mine".into(), data: b"data".into(), czxid: 3, mzxid: 4, version: 2, owner: 0x51 };
        assert_eq!(nodes[2], mine);
    }

    #[test]
    fn a_changed_byte_or_a_missing_end_is_noticed() {
        let good = written();
        // The mark behind the checksum says nothing.
        for at in 0..good.len() - 5 {
            let mut bytes = good.clone();
            bytes[at] ^= 0x20;
            assert!(read(&bytes).is_err(), "byte {at}");
            assert!(read(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
