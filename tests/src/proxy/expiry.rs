//! Ending a session behind its owner's back, as its expiry would: everybody who knows id and password may close it.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use super::relay::{read_frame, write_frame};
use super::wire::{self, Session};

/// What the second connection asks for. The session keeps it for the moment that it still lives.
const TIMEOUT_MS: i32 = 10_000;
/// How long ZooKeeper may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Closes a session. `true`: ZooKeeper knows of no such session any more.
pub(super) async fn close(server: TcpStream, session: &Session) -> io::Result<bool> {
    tokio::time::timeout(ANSWER_WITHIN, converse(server, session)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn converse(mut server: TcpStream, session: &Session) -> io::Result<bool> {
    const XID: i32 = 1;
    write_frame(&mut server, &session.connect_request(TIMEOUT_MS)).await?;
    if Session::decode(&read_frame(&mut server).await?).is_none() {
        return Ok(true);
    }
    write_frame(&mut server, &wire::close_request(XID)).await?;
    // ZooKeeper answers and hangs up. Whether it hung up for another reason is seen by whoever asks again.
    while read_frame(&mut server).await.is_ok_and(|frame| wire::reply_xid(&frame) != Some(XID)) {}
    Ok(false)
}
