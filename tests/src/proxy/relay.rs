//! How frames travel: one task per connection, two directions in it, and what happens to both.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::expiry;
use super::rule::{Armed, Fault, Hits, Rule};
use super::wire::{self, Operation, Request, Session};

/// No frame of a healthy client or server is longer.
const FRAME_MAX: usize = 256 * 1024 * 1024;
/// How long to look whether a client that tried to connect meanwhile is still there.
const GLANCE: Duration = Duration::from_millis(20);

/// What gets lost now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Holes {
    requests: bool,
    replies: bool,
}

/// What all connections of a proxy have in common.
#[derive(Debug)]
pub(super) struct Shared {
    servers: Vec<String>,
    root: String,
    state: Mutex<State>,
    holes: watch::Sender<Holes>,
    cuts: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Armed>,
    seen: HashMap<Operation, u64>,
    /// How many nodes they named.
    named: HashMap<Operation, u64>,
    session: Option<Session>,
    bytes: u64,
    delay: Duration,
}

impl Shared {
    pub(super) fn new(servers: Vec<String>, root: &str) -> Self {
        let (holes, cuts) = (watch::Sender::new(Holes::default()), watch::Sender::new(0));
        Self { servers, root: root.trim_end_matches('/').to_owned(), state: Mutex::default(), holes, cuts }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, rule: Rule) -> Hits {
        let (armed, hits) = Armed::new(rule);
        self.state().rules.push(armed);
        hits
    }

    pub(super) fn seen(&self, operation: Operation) -> u64 {
        let state = self.state();
        state.seen.iter().filter(|(kind, _)| operation.includes(**kind)).map(|(_, count)| count).sum()
    }

    pub(super) fn named(&self, operation: Operation) -> u64 {
        let state = self.state();
        state.named.iter().filter(|(kind, _)| operation.includes(**kind)).map(|(_, count)| count).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    fn passes(&self, frame: &[u8]) {
        self.state().bytes += frame.len() as u64;
    }

    pub(super) fn hole(&self, requests: bool, replies: bool) {
        self.holes.send_replace(Holes { requests, replies });
    }

    pub(super) fn is_frozen(&self) -> bool {
        *self.holes.borrow() == Holes { requests: true, replies: true }
    }

    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(super) fn slow_down(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub(super) fn session(&self) -> Option<Session> {
        self.state().session.clone()
    }

    pub(super) async fn expire_session(&self) -> io::Result<()> {
        let session = self.session().ok_or_else(|| io::Error::other("no session was opened yet"))?;
        // The client is kept out meanwhile: ZooKeeper hangs up on a session's connection when it comes on another one, and whoever
        // comes last keeps it.
        let before = self.holes.send_replace(Holes { requests: true, replies: true });
        self.cut();
        let mut closed = Ok(false);
        while let Ok(false) = closed {
            closed = match self.connect().await {
                Ok(server) => expiry::close(server, &session).await,
                Err(error) => Err(error),
            };
        }
        self.holes.send_replace(before);
        closed.map(drop)
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("there are no servers");
        for server in &self.servers {
            match TcpStream::connect(server).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Counts a request, and says what happens to it.
    fn judge(&self, request: &Request) -> Fault {
        let mut state = self.state();
        *state.seen.entry(request.operation).or_default() += 1;
        *state.named.entry(request.operation).or_default() += request.parts.len() as u64;
        let faults: Vec<Fault> = state.rules.iter_mut().filter_map(|rule| rule.judge(request, &self.root)).collect();
        faults.into_iter().find(|fault| *fault != Fault::Nothing).unwrap_or(Fault::Nothing)
    }

    async fn until(&self, open: impl FnMut(&Holes) -> bool) {
        // The sender lives in `self`: it cannot be gone.
        let _ = self.holes.subscribe().wait_for(open).await;
    }
}

/// Serves every client that comes.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(serve(shared.clone(), client));
    }
}

/// Serves one connection until either side hangs up, or it is cut. What went wrong is nobody's affair: both sides see the end.
async fn serve(shared: Arc<Shared>, client: TcpStream) {
    let mut cuts = shared.cuts.subscribe();
    tokio::select! {
        _ = relay(&shared, client) => {}
        _ = cuts.changed() => {}
    }
}

async fn relay(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    shared.until(|holes| !holes.requests && !holes.replies).await;
    if is_gone(&client).await {
        return Ok(());
    }
    let server = shared.connect().await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let link = Link { shared, expected: Mutex::default() };
    tokio::select! {
        ended = link.requests(from_client, to_server) => ended,
        ended = link.replies(from_server, to_client) => ended,
    }
}

/// Whether a client that was kept waiting has hung up.
async fn is_gone(client: &TcpStream) -> bool {
    match tokio::time::timeout(GLANCE, client.ready(Interest::READABLE)).await {
        Ok(Ok(ready)) => ready.is_read_closed(),
        Ok(Err(_)) => true,
        // It has not even sent its request.
        Err(_) => false,
    }
}

/// One connection.
struct Link<'a> {
    shared: &'a Arc<Shared>,
    /// What happens to the replies to requests that are under way; several pings have the same number.
    expected: Mutex<HashMap<i32, VecDeque<Fault>>>,
}

/// What is written to the client, when, and what happens to it.
type Reply = (Instant, Vec<u8>, Fault);

impl Link<'_> {
    async fn requests(&self, mut client: OwnedReadHalf, mut server: OwnedWriteHalf) -> io::Result<()> {
        let connect = read_frame(&mut client).await?;
        write_frame(&mut server, &connect).await?;
        loop {
            let frame = read_frame(&mut client).await?;
            let request = Request::decode(&frame);
            let fault = request.as_ref().map_or(Fault::Nothing, |request| self.shared.judge(request));
            match fault {
                Fault::LoseRequest => return Ok(()),
                Fault::ExpireSession => {
                    // By somebody who is not cut off with this connection.
                    let shared = self.shared.clone();
                    tokio::spawn(async move { shared.expire_session().await });
                    return std::future::pending().await;
                }
                Fault::FreezeBefore => self.shared.hole(true, true),
                Fault::Nothing | Fault::LoseReply | Fault::Cut | Fault::Delay(_) | Fault::FreezeAfter => {}
            }
            self.shared.until(|holes| !holes.requests).await;
            if let Some(request) = request {
                self.expected().entry(request.xid).or_default().push_back(fault);
            }
            self.shared.passes(&frame);
            write_frame(&mut server, &frame).await?;
            match fault {
                Fault::Cut => return Ok(()),
                // What follows must not be carried out; the replies to what came before get through.
                Fault::FreezeAfter => self.shared.hole(true, false),
                _ => {}
            }
        }
    }

    async fn replies(&self, mut server: OwnedReadHalf, client: OwnedWriteHalf) -> io::Result<()> {
        let connected = read_frame(&mut server).await?;
        if let Some(session) = Session::decode(&connected) {
            self.shared.state().session = Some(session);
        }
        let (queue, queued) = mpsc::unbounded_channel();
        // When the server hangs up, what it has said is still delivered.
        let reading = async move {
            let mut next = Ok(connected);
            loop {
                let reply: Vec<u8> = next?;
                let fault = self.fault_of(&reply);
                let delay = self.shared.state().delay + if let Fault::Delay(delay) = fault { delay } else { Duration::ZERO };
                if queue.send((Instant::now() + delay, reply, fault)).is_err() {
                    return Ok(());
                }
                next = read_frame(&mut server).await;
            }
        };
        let mut delivering = std::pin::pin!(self.deliver(queued, client));
        let read: io::Result<()> = tokio::select! {
            read = reading => read,
            delivered = &mut delivering => return delivered,
        };
        delivering.await.and(read)
    }

    fn fault_of(&self, reply: &[u8]) -> Fault {
        let expected = wire::reply_xid(reply).and_then(|xid| self.expected().get_mut(&xid)?.pop_front());
        expected.unwrap_or(Fault::Nothing)
    }

    /// In their order: one that takes longer holds up those behind it.
    async fn deliver(&self, mut queued: mpsc::UnboundedReceiver<Reply>, mut client: OwnedWriteHalf) -> io::Result<()> {
        while let Some((at, reply, fault)) = queued.recv().await {
            tokio::time::sleep_until(at).await;
            match fault {
                Fault::LoseReply => return Ok(()),
                Fault::FreezeAfter => self.shared.hole(true, true),
                Fault::Nothing | Fault::LoseRequest | Fault::Cut | Fault::Delay(_) | Fault::FreezeBefore | Fault::ExpireSession => {}
            }
            self.shared.until(|holes| !holes.replies).await;
            self.shared.passes(&reply);
            write_frame(&mut client, &reply).await?;
        }
        Ok(())
    }

    fn expected(&self) -> MutexGuard<'_, HashMap<i32, VecDeque<Fault>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a frame, without its length.
pub(super) async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await?).ok().filter(|length| *length <= FRAME_MAX);
    let mut frame = vec![0; length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Writes a frame behind its length, in one piece.
pub(super) async fn write_frame(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_be_bytes(), frame].concat()).await
}
