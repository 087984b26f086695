//! Reading outputs from a worker's pages, as `curl` would: bytes, headers, and streams that go on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a read waits for the next byte.
const NEXT_BYTE_WITHIN: Duration = Duration::from_secs(30);

/// An answer whose body is read as it comes.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    body: BufReader<TcpStream>,
}

impl Answer {
    /// GET of a path, with more headers, each as `Name: value`.
    ///
    /// # Panics
    /// There is no answer, or it is not HTTP.
    #[must_use]
    #[track_caller]
    pub fn get(address: SocketAddr, path: &str, more: &[&str]) -> Self {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(NEXT_BYTE_WITHIN)).expect("a deadline");
        let more: String = more.iter().map(|header| format!("{header}\r\n")).collect();
        // 1.0: the body ends with the connection, and is not in chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{more}\r\n").expect("sent");
        let mut body = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            body.read_line(&mut line).expect("a line of the head");
            line.trim_end().to_owned()
        };
        let first = line();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {first:?}"));
        let mut headers = BTreeMap::new();
        while let Some((name, value)) = line().split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        Self { status, headers, body }
    }

    /// A header of ours as a number.
    ///
    /// # Panics
    /// It is not there, or no number.
    #[must_use]
    #[track_caller]
    pub fn number(&self, header: &str) -> u64 {
        self.headers.get(header).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{header} in {:?}", self.headers))
    }

    /// The next line of the body.
    ///
    /// # Panics
    /// None comes in time.
    #[must_use]
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.body.read_line(&mut line).expect("a line");
        line
    }

    /// At most so many bytes of the body, in one read; none at its end.
    ///
    /// # Panics
    /// None come in time.
    #[must_use]
    #[track_caller]
    pub fn some(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let count = self.body.read(&mut bytes).expect("bytes");
        bytes.truncate(count);
        bytes
    }

    /// The rest of the body.
    ///
    /// # Panics
    /// It does not end in time.
    #[must_use]
    #[track_caller]
    pub fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes).expect("the body");
        bytes
    }

    /// The rest of the body as text.
    ///
    /// # Panics
    /// As [`rest`](Self::rest); or it is none.
    #[must_use]
    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.rest()).expect("text")
    }
}
