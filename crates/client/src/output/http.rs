//! A GET in HTTP/1.0: the body ends with the connection, and is nothing but bytes. That a connection broke need not be told from its
//! end, because the worker says how much there is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use bellwether_common::config::Secret;
use bellwether_common::output::{BYTES, ENDED, OFFSET};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::OutputError;

/// How long the connection, and how long the head of an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of a head, and of what is shown of a refusal.
const HEAD_MAX: u64 = 16 * 1024;
const BLOCK: usize = 64 * 1024;

/// An answer whose body is read as it comes.
#[derive(Debug)]
pub(super) struct Answer {
    address: String,
    headers: HashMap<String, String>,
    body: BufReader<TcpStream>,
    block: Vec<u8>,
}

/// Asks for a page.
pub(super) async fn get(address: &str, path: &str, token: Option<&Secret>) -> Result<Answer, OutputError> {
    let unreachable = |why: String| OutputError::Unreachable { address: address.to_owned(), why };
    let asked = timeout(PATIENCE, ask(address, path, token)).await;
    let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(PATIENCE))));
    let (status, headers, body) = asked.map_err(unreachable)?;
    if status == 200 {
        return Ok(Answer { address: address.to_owned(), headers, body, block: vec![0; BLOCK] });
    }
    let mut text = Vec::new();
    // As much as there is: the status says enough.
    let _ = timeout(PATIENCE, body.take(HEAD_MAX).read_to_end(&mut text)).await;
    Err(refusal(status, address, &text))
}

type Asked = (u16, HashMap<String, String>, BufReader<TcpStream>);

async fn ask(address: &str, path: &str, token: Option<&Secret>) -> Result<Asked, String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let mut request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n").into_bytes();
    if let Some(token) = token {
        request.extend_from_slice(&[b"Authorization: Bearer ", token.reveal(), b"\r\n"].concat());
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(|error| error.to_string())?;
    let mut stream = BufReader::with_capacity(BLOCK, stream);
    let (mut head, mut left) = (Vec::new(), HEAD_MAX);
    loop {
        let mut line = String::new();
        let count = (&mut stream).take(left).read_line(&mut line).await.map_err(|error| error.to_string())?;
        if !line.ends_with('\n') {
            return Err("it does not speak HTTP".to_owned());
        }
        left -= count as u64;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let status = head.first().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
    let headers = head.iter().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Ok((status.ok_or("it does not speak HTTP")?, headers, stream))
}

fn refusal(status: u16, address: &str, text: &[u8]) -> OutputError {
    let said: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
    let word = |key: &str| said["error"][key].as_str().map(str::to_owned);
    let message = word("message").unwrap_or_else(|| format!("{address} answers {status}, and is no worker that serves outputs"));
    OutputError::Refused { status, message, hint: word("hint") }
}

impl Answer {
    /// Where the body begins in the output, how much there is of it, and whether that is all.
    pub(super) fn place(&self) -> Option<(u64, u64, bool)> {
        let number = |name: &str| self.headers.get(name)?.parse().ok();
        Some((number(OFFSET)?, number(BYTES)?, self.headers.get(ENDED)? == "true"))
    }

    /// The next bytes of the body; none at its end.
    pub(super) async fn more(&mut self) -> Result<&[u8], OutputError> {
        let unreachable = |error: std::io::Error| OutputError::Unreachable { address: self.address.clone(), why: error.to_string() };
        let count = self.body.read(&mut self.block).await.map_err(unreachable)?;
        Ok(&self.block[..count])
    }
}

/// A name as one part of a path.
pub(super) fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => out.push(char::from(byte)),
            // Also dots: `..` means something to whatever stands between.
            _ => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_part_of_a_path() {
        assert_eq!(encode("task-01"), "task-01");
        assert_eq!(encode("../a b?ü"), "%2E%2E%2Fa%20b%3F%C3%BC");
    }

    #[tokio::test]
    async fn what_is_no_worker_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        for (answer, told) in [
            ("SSH-2.0-x\r\n", "does not speak HTTP"),
            ("", "does not speak HTTP"),
            ("HTTP/1.1 404 Not Found\r\n\r\nnothing", "answers 404, and is no worker"),
            ("HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\":{\"message\":\"show it\"}}", "show it"),
        ] {
            let served = async {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let _ = stream.read(&mut [0; 512]).await.expect("the question");
                stream.write_all(answer.as_bytes()).await.expect("answered");
            };
            let ((), got) = tokio::join!(served, get(&address, "/x", None));
            let error = got.expect_err("no answer").to_string();
            assert!(error.contains(told), "{answer:?}: {error}");
        }
    }
}
