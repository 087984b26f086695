//! One record: header and body of a transaction, as ZooKeeper's serialiser (jute) writes them.

use super::{Change, Record};

/// ZooKeeper's numbers for operations, `org.apache.zookeeper.ZooDefs.OpCode`.
mod code {
    pub(super) const CREATE: i32 = 1;
    pub(super) const DELETE: i32 = 2;
    pub(super) const SET_DATA: i32 = 5;
    pub(super) const SET_ACL: i32 = 7;
    pub(super) const CHECK: i32 = 13;
    pub(super) const MULTI: i32 = 14;
    pub(super) const CREATE2: i32 = 15;
    pub(super) const RECONFIG: i32 = 16;
    pub(super) const CREATE_CONTAINER: i32 = 19;
    pub(super) const DELETE_CONTAINER: i32 = 20;
    pub(super) const CREATE_TTL: i32 = 21;
    pub(super) const CREATE_SESSION: i32 = -10;
    pub(super) const CLOSE_SESSION: i32 = -11;
    pub(super) const ERROR: i32 = -1;
}

/// What stands in a refused multi for an operation behind the refused one: "inconsistent". What stands for one before it depends on
/// the server: each overwrites the operation's kind in memory while it may still be on its way to the log, so that the operation is
/// there as it was, or as an error whose code is the begin of its body, a length. Errors proper are negative.
const BEHIND_THE_REFUSED: i32 = -2;

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fields do not fit into the record.
    #[error("a record is shorter than its fields")]
    Short,
    /// A length below −1.
    #[error("a field has the length {0}")]
    Length(i32),
    /// A path is no text.
    #[error("a path is not UTF-8")]
    Text,
    /// None of the operations of ZooKeeper 3.5 to 3.9.
    #[error("an unknown kind of transaction: {0}")]
    Kind(i32),
}

/// Reads one record. What follows the fields that matter (rights, counters, digests) is not looked at.
///
/// # Errors
/// [`DecodeError`]: it is no record.
pub fn record(bytes: &[u8]) -> Result<Record, DecodeError> {
    let mut fields = Fields(bytes);
    let (session, _cxid, zxid, time_ms, kind) = (fields.i64()?, fields.i32()?, fields.i64()?, fields.i64()?, fields.i32()?);
    let changes = if kind == code::MULTI { multi(&mut fields)? } else { vec![change(kind, &mut fields)?] };
    Ok(Record { zxid, time_ms, session, changes })
}

fn multi(fields: &mut Fields<'_>) -> Result<Vec<Change>, DecodeError> {
    let mut changes = Vec::new();
    for _ in 0..fields.i32()? {
        let kind = fields.i32()?;
        changes.push(change(kind, &mut Fields(fields.bytes()?))?);
    }
    let refused = |change: &Change| matches!(change, Change::Refused { code } if *code < 0 && *code != BEHIND_THE_REFUSED);
    if let Some(at) = changes.iter().position(refused) {
        return Ok(vec![changes.swap_remove(at)]);
    }
    Ok(changes)
}

fn change(kind: i32, fields: &mut Fields<'_>) -> Result<Change, DecodeError> {
    Ok(match kind {
        code::CREATE | code::CREATE2 => {
            let (path, data) = (fields.text()?, fields.bytes()?.to_owned());
            fields.skip_acl()?;
            Change::Create { path, data, ephemeral: fields.u8()? != 0 }
        }
        code::CREATE_CONTAINER | code::CREATE_TTL => {
            Change::Create { path: fields.text()?, data: fields.bytes()?.to_owned(), ephemeral: false }
        }
        code::DELETE | code::DELETE_CONTAINER => Change::Delete { path: fields.text()? },
        code::SET_DATA | code::RECONFIG => Change::Set { path: fields.text()?, data: fields.bytes()?.to_owned(), version: fields.i32()? },
        code::SET_ACL => Change::SetAcl { path: fields.text()? },
        // ZooKeeper writes the version that a set would have led to.
        code::CHECK => Change::Check { path: fields.text()?, version: fields.i32()?.wrapping_sub(1) },
        code::CREATE_SESSION => Change::CreateSession { timeout_ms: fields.i32()? },
        code::CLOSE_SESSION => Change::CloseSession { paths: fields.paths_if_any() },
        code::ERROR => Change::Refused { code: fields.i32()? },
        other => return Err(DecodeError::Kind(other)),
    })
}

/// Big-endian fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A length and that many bytes; −1 stands for none.
    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        match self.i32()? {
            -1 => Ok(&[]),
            length => self.take(usize::try_from(length).map_err(|_| DecodeError::Length(length))?),
        }
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| DecodeError::Text)
    }

    /// Servers before 3.6, and those told not to, write none: then the record ends here, or a digest stands in their place.
    fn paths_if_any(&mut self) -> Vec<String> {
        let mut read = || -> Result<Vec<String>, DecodeError> { (0..self.i32()?).map(|_| self.text()).collect() };
        read().ok().filter(|paths| paths.iter().all(|path| path.starts_with('/'))).unwrap_or_default()
    }

    fn skip_acl(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.i32()? {
            let (_permissions, _scheme, _id) = (self.i32()?, self.bytes()?, self.bytes()?);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
