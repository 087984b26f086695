//! What the tests of sessions, stores, watches and pens stand on: a real ZooKeeper, sessions on it, and what their listeners hear.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler};
use bellwether_core::protocol::Change;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{SessionActor, SessionEvent, SessionSettings};
use crate::local_zookeeper::{LocalZookeeper, Options};
use crate::store::Store;
use crate::watch::ChangesSeen;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server and its directory, which goes with it.
pub(crate) struct Server {
    pub(crate) zookeeper: LocalZookeeper,
    _dir: TempDir,
}

impl Server {
    /// A server of one's own, to be killed and frozen.
    pub(crate) fn own() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let zookeeper = LocalZookeeper::start(&Options::new(dir.path())).expect("ZooKeeper starts");
        Self { zookeeper, _dir: dir }
    }

    /// The server that all tests share that do it no harm; it lives as long as one of them does.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::own());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// Settings for a session below a root that nobody else uses.
    pub(crate) fn settings(&self, session_timeout: Duration) -> SessionSettings {
        static ROOTS: AtomicU32 = AtomicU32::new(0);
        SessionSettings {
            connect: self.zookeeper.connect_string(),
            root: format!("/tests/{}", ROOTS.fetch_add(1, Ordering::Relaxed)),
            session_timeout,
            give_up_after: PATIENCE,
            ..SessionSettings::default()
        }
    }
}

/// Runs a test inside an actor system.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    actix::System::new().block_on(test)
}

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}

/// A session actor and what its listener heard.
pub(crate) struct Opened {
    pub(crate) actor: Addr<SessionActor>,
    events: mpsc::UnboundedReceiver<SessionEvent>,
}

impl Opened {
    pub(crate) fn start(settings: SessionSettings) -> Self {
        let (heard, events) = mpsc::unbounded_channel();
        let listener = Listener { heard }.start();
        Self { actor: SessionActor::new(settings, listener.recipient()).start(), events }
    }

    /// A session that is open already.
    pub(crate) async fn session(settings: SessionSettings) -> (Self, Store) {
        let mut opened = Self::start(settings);
        let store = opened.opened().await;
        (opened, store)
    }

    pub(crate) async fn next(&mut self) -> SessionEvent {
        soon("an event of the session", self.events.recv()).await.expect("the listener lives")
    }

    /// The next event, which must be `Opened`.
    pub(crate) async fn opened(&mut self) -> Store {
        match self.next().await {
            SessionEvent::Opened(store) => store,
            event => panic!("expected the session to open: {event:?}"),
        }
    }

    /// Whether nothing was heard that was not asked for.
    pub(crate) fn silent(&mut self) -> bool {
        self.events.try_recv().is_err()
    }
}

struct Listener {
    heard: mpsc::UnboundedSender<SessionEvent>,
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<SessionEvent> for Listener {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, _: &mut Self::Context) {
        // The test may have ended.
        let _ = self.heard.send(event);
    }
}

/// What a watch delivered.
pub(crate) struct Seen {
    pub(crate) sink: Addr<Sink>,
    changes: mpsc::UnboundedReceiver<ChangesSeen>,
}

impl Seen {
    pub(crate) fn new() -> Self {
        let (seen, changes) = mpsc::unbounded_channel();
        Self { sink: Sink { seen }.start(), changes }
    }

    /// Waits until `count` changes came; no more may have come.
    pub(crate) async fn changes(&mut self, serial: u64, count: usize) -> Vec<Change> {
        let mut all = Vec::new();
        while all.len() < count {
            let batch = soon("changes", self.changes.recv()).await.expect("the sink lives");
            assert_eq!(batch.serial, serial);
            assert!(!batch.changes.is_empty());
            all.extend(batch.changes);
        }
        assert_eq!(all.len(), count, "{all:?}");
        all
    }
}

pub(crate) struct Sink {
    seen: mpsc::UnboundedSender<ChangesSeen>,
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<ChangesSeen> for Sink {
    type Result = ();

    fn handle(&mut self, changes: ChangesSeen, _: &mut Self::Context) {
        // The test may have ended.
        let _ = self.seen.send(changes);
    }
}
