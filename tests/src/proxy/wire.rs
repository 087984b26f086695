//! What frames of ZooKeeper's protocol say: as much as rules ask for. What cannot be read is let through.

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Of any kind of node.
    Create,
    /// `delete`
    Delete,
    /// `setData`
    SetData,
    /// `check`, inside of multis only.
    Check,
    /// `getData`, of one node or of several by one request.
    GetData,
    /// `exists`
    Exists,
    /// `getChildren`, with or without the node's stat.
    GetChildren,
    /// `sync`
    Sync,
    /// Several of these, all or nothing.
    Multi,
    /// `addWatch`
    AddWatch,
    /// `ping`, which has no path.
    Ping,
    /// `closeSession`, which has no path.
    CloseSession,
    /// Any of these, and all others.
    Any,
}

impl Operation {
    fn of(code: i32) -> Self {
        match code {
            1 | 15 | 19 | 21 => Operation::Create,
            2 => Operation::Delete,
            3 => Operation::Exists,
            // 22: a multi that reads.
            4 | 22 => Operation::GetData,
            5 => Operation::SetData,
            8 | 12 => Operation::GetChildren,
            9 => Operation::Sync,
            11 => Operation::Ping,
            13 => Operation::Check,
            14 => Operation::Multi,
            106 => Operation::AddWatch,
            -11 => Operation::CloseSession,
            _ => Operation::Any,
        }
    }

    /// Whether a request of kind `other` is meant by this.
    pub(super) fn includes(self, other: Self) -> bool {
        self == Operation::Any || self == other
    }
}

/// A request: its number, its kind, and each path with what is done to it. Of a multi these are its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) xid: i32,
    pub(super) operation: Operation,
    pub(super) parts: Vec<(Operation, String)>,
}

impl Request {
    /// Reads a frame without its length.
    pub(super) fn decode(frame: &[u8]) -> Option<Self> {
        let mut reader = Reader(frame);
        let (xid, code) = (reader.int()?, reader.int()?);
        let operation = Operation::of(code);
        let parts = match operation {
            Operation::GetData if code == 22 => multi(&mut reader).unwrap_or_default(),
            Operation::Multi => multi(&mut reader).unwrap_or_default(),
            Operation::Ping | Operation::CloseSession => Vec::new(),
            other => reader.string().map(|path| (other, path)).into_iter().collect(),
        };
        Some(Self { xid, operation, parts })
    }
}

fn multi(reader: &mut Reader<'_>) -> Option<Vec<(Operation, String)>> {
    let mut parts = Vec::new();
    loop {
        let (code, done, _error) = (reader.int()?, reader.byte()?, reader.int()?);
        if done != 0 {
            return Some(parts);
        }
        let operation = Operation::of(code);
        parts.push((operation, reader.string()?));
        match operation {
            Operation::Create => {
                reader.buffer()?;
                for _ in 0..reader.int()? {
                    let _ = (reader.int()?, reader.string()?, reader.string()?);
                }
                reader.int()?;
                if code == 21 {
                    reader.take(8)?;
                }
            }
            Operation::SetData => {
                reader.buffer()?;
                reader.int()?;
            }
            Operation::Delete | Operation::Check => drop(reader.int()?),
            // A multi that reads: its parts end with a flag.
            Operation::GetData | Operation::GetChildren => drop(reader.byte()?),
            _ => return None,
        }
    }
}

/// The number that a reply answers to; negative for events and pings.
pub(super) fn reply_xid(frame: &[u8]) -> Option<i32> {
    Reader(frame).int()
}

/// A session and what proves that it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: i64,
    pub(super) password: Vec<u8>,
}

impl Session {
    /// Reads the reply to a connect request; `None` if the session asked for is over.
    pub(super) fn decode(frame: &[u8]) -> Option<Self> {
        let mut reader = Reader(frame);
        let (_version, timeout) = (reader.int()?, reader.int()?);
        let id = i64::from_be_bytes(reader.take(8)?.try_into().ok()?);
        let password = reader.buffer()?.to_vec();
        (timeout > 0 && id != 0).then_some(Self { id, password })
    }

    /// The connect request that resumes it, without its length.
    pub(super) fn connect_request(&self, timeout_ms: i32) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend(0_i32.to_be_bytes());
        frame.extend(0_i64.to_be_bytes());
        frame.extend(timeout_ms.to_be_bytes());
        frame.extend(self.id.to_be_bytes());
        frame.extend(i32::try_from(self.password.len()).unwrap_or(0).to_be_bytes());
        frame.extend(&self.password);
        frame.push(0);
        frame
    }
}

/// The request that closes a session, without its length.
pub(super) fn close_request(xid: i32) -> Vec<u8> {
    [xid.to_be_bytes(), (-11_i32).to_be_bytes()].concat()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A length of -1 stands for no bytes at all.
    fn buffer(&mut self) -> Option<&'a [u8]> {
        let length = self.int()?.max(0);
        self.take(usize::try_from(length).ok()?)
    }

    fn string(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.buffer()?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Vec<u8> {
        [&i32::try_from(text.len()).expect("short").to_be_bytes()[..], text.as_bytes()].concat()
    }

    fn header(code: i32, done: bool) -> Vec<u8> {
        [&code.to_be_bytes()[..], &[u8::from(done)], &(-1_i32).to_be_bytes()].concat()
    }

    #[test]
    fn a_multi_is_the_list_of_its_parts() {
        let int = |number: i32| number.to_be_bytes().to_vec();
        let acl = [int(1), int(31), string("world"), string("anyone")].concat();
        let frame = [
            [int(7), int(14)].concat(),
            [header(13, false), string("/master"), int(1)].concat(),
            [header(15, false), string("/status/t"), string("done"), acl, int(0)].concat(),
            [header(5, false), string("/a"), int(-1), int(3)].concat(),
            [header(2, false), string("/b"), int(0)].concat(),
            header(-1, true),
        ];
        let request = Request::decode(&frame.concat()).expect("a request");
        assert_eq!((request.xid, request.operation), (7, Operation::Multi));
        let parts: Vec<(Operation, &str)> = request.parts.iter().map(|(operation, path)| (*operation, path.as_str())).collect();
        let expected =
            [(Operation::Check, "/master"), (Operation::Create, "/status/t"), (Operation::SetData, "/a"), (Operation::Delete, "/b")];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_read_of_several_nodes_is_a_read_that_names_each() {
        let int = |number: i32| number.to_be_bytes().to_vec();
        let read = |path: &str| [header(4, false), string(path), vec![0]].concat();
        let frame = [[int(7), int(22)].concat(), read("/a"), read("/b"), header(-1, true)].concat();
        let request = Request::decode(&frame).expect("a request");
        let named = ["/a", "/b"].map(|path| (Operation::GetData, path.to_owned()));
        assert_eq!((request.operation, request.parts), (Operation::GetData, named.to_vec()));
    }

    #[test]
    fn what_is_cut_short_has_no_parts() {
        let frame = [7_i32.to_be_bytes(), 14_i32.to_be_bytes()].concat();
        let request = Request::decode(&[frame, header(13, false)].concat()).expect("a header");
        assert_eq!(request.parts, []);
        assert_eq!(Request::decode(&[0, 0]), None);
    }

    #[test]
    fn a_refused_session_is_none() {
        let refused = [0_i32.to_be_bytes().to_vec(), 0_i32.to_be_bytes().to_vec(), 0_i64.to_be_bytes().to_vec(), string("")].concat();
        assert_eq!(Session::decode(&refused), None);
    }
}
