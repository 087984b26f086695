//! The session actor: opens a session, follows its state, opens the next one when it is lost, closes it when asked.
//!
//! It holds the only lasting reference to ZooKeeper's client. What a suspended or a lost session means for a role is decided by
//! its listener; what is read and written goes through the [`Store`] that it hands out.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, ResponseActFuture, WeakAddr, WrapFuture};
use bellwether_core::rewind::{Begin, Landmarks};
use metrics::{counter, histogram};
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};
use zookeeper_client::{Client, SessionState, StateWatcher};

use crate::metrics as names;
use crate::store::Store;
use crate::zk_runtime;

mod opening;
mod settings;

use opening::{Attempt, Certificates, Place};
pub use settings::{Needs, SessionSettings};

/// First pause between two attempts to open a session; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long a close waits for ZooKeeper's word. Without it the ephemerals go when the session times out.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

static SERIALS: AtomicU64 = AtomicU64::new(0);

/// What happened to the session. Of one session the listener sees, in this order and each with its serial: `Opened`, any number of
/// `Suspended` and `Resumed` in turn, then `Lost` or `Closed`. The others come while there is none.
#[derive(Debug, Clone)]
pub enum SessionEvent {
    /// There is a session; its watches and ephemerals are yet to be made.
    Opened(Store),
    /// The connection is gone. Nothing can be sent; the session may live, or be lost already. All watches are gone.
    Suspended {
        /// Which session.
        serial: u64,
    },
    /// The same session is connected again.
    Resumed {
        /// Which session.
        serial: u64,
    },
    /// The session is over, and its ephemerals go; the next one is being opened.
    Lost {
        /// Which session.
        serial: u64,
        /// Why, for people.
        why: String,
    },
    /// The session was closed as asked, and no other follows.
    Closed {
        /// Which session.
        serial: u64,
    },
    /// An attempt failed; another follows.
    Unreachable {
        /// Time without a session so far.
        for_: Duration,
        /// Why this attempt failed.
        why: String,
    },
    /// No session within the time that was granted, and no attempt follows.
    GaveUp {
        /// Time without a session.
        after: Duration,
        /// Why the last attempt failed.
        why: String,
    },
    /// The credentials or their rights do not suffice, and no attempt follows.
    Denied {
        /// Absolute path of the node, chroot and root included.
        path: String,
        /// What is missing there, in ZooKeeper's word.
        right: &'static str,
        /// What to look at.
        why: String,
    },
    /// The settings can lead to no session, and no attempt follows.
    BadSettings(String),
}

impl Message for SessionEvent {
    type Result = ();
}

impl SessionEvent {
    /// The event as a label.
    fn label(&self) -> &'static str {
        match self {
            SessionEvent::Opened(_) => "opened",
            SessionEvent::Suspended { .. } => "suspended",
            SessionEvent::Resumed { .. } => "resumed",
            SessionEvent::Lost { .. } => "lost",
            SessionEvent::Closed { .. } => "closed",
            SessionEvent::Unreachable { .. } => "unreachable",
            SessionEvent::GaveUp { .. } => "gave_up",
            SessionEvent::Denied { .. } | SessionEvent::BadSettings(_) => "denied",
        }
    }
}

/// Close the session and open no other. Answered when ZooKeeper has acknowledged, with `true`, or with `false` after two seconds:
/// then the ephemerals may stay for a session timeout. Without a session the answer is `true` at once.
#[derive(Debug, Clone, Copy)]
pub struct Close;

impl Message for Close {
    type Result = bool;
}

/// Give the session up and open a new one. The listener hears `Lost` first. After `GaveUp`, `Denied` or `BadSettings`: try again.
/// While a session is being opened already, and after [`Close`], there is nothing to do.
#[derive(Debug, Clone, Copy)]
pub struct Reopen;

impl Message for Reopen {
    type Result = ();
}

/// Opens sessions and follows them, one at a time.
#[derive(Debug)]
pub struct SessionActor {
    settings: Arc<SessionSettings>,
    listener: Recipient<SessionEvent>,
    state: State,
    /// Since when there is no session.
    without_since: Instant,
    /// The highest transaction that any session so far saw.
    highest: Arc<AtomicI64>,
    landmarks: Landmarks,
}

#[derive(Debug)]
enum State {
    /// Attempts are being made.
    Opening { attempts: zk_runtime::Bound },
    /// There is a session, suspended or not.
    Open(Session),
    /// The session is being given up. A new one follows, unless somebody who waits here asked to close.
    Ending { closers: Vec<oneshot::Sender<bool>> },
    /// Nothing follows unless somebody asks for it.
    Idle,
    /// Nothing follows.
    Closed,
}

#[derive(Debug)]
struct Session {
    client: Arc<Client>,
    store: Store,
    suspended_since: Option<Instant>,
}

impl SessionActor {
    /// An actor that starts to open a session as soon as it is started.
    #[must_use]
    pub fn new(settings: SessionSettings, listener: Recipient<SessionEvent>) -> Self {
        let (highest, landmarks) = (Arc::default(), Landmarks::default());
        Self { settings: Arc::new(settings), listener, state: State::Idle, without_since: Instant::now(), highest, landmarks }
    }

    /// Not bounded by the mailbox's capacity: sessions change state a few times per second at most, and no event may be lost.
    fn tell(&self, event: SessionEvent) {
        counter!(names::ZK_SESSION_EVENTS_TOTAL, "event" => event.label()).increment(1);
        self.listener.do_send(event);
    }

    fn open(&mut self, ctx: &mut Context<Self>) {
        let place = match Place::of(&self.settings) {
            Ok(place) => place,
            Err(why) => {
                self.state = State::Idle;
                show("lost");
                return self.tell(SessionEvent::BadSettings(why));
            }
        };
        show("connecting");
        let attempts = make_attempts(Arc::clone(&self.settings), place, self.without_since, ctx.address().downgrade());
        self.state = State::Opening { attempts: zk_runtime::spawn_bound(attempts) };
    }

    fn lose(&mut self, session: Session, why: String, ctx: &mut Context<Self>) {
        let serial = session.store.serial();
        warn!(serial, session = format!("{:#x}", session.store.session_id()), why, "session lost");
        count_outage(session.suspended_since, "lost");
        self.without_since = Instant::now();
        self.tell(SessionEvent::Lost { serial, why });
        drop(session);
        self.open(ctx);
    }

    /// Nothing of an earlier session is left when a session begins, whatever became of ZooKeeper's state: there is nothing to do
    /// but to say it.
    fn look_back(&mut self, begin: Begin) {
        let seen = self.highest.load(Ordering::Relaxed);
        let rewound = self.landmarks.begin(begin, seen);
        if let Some(rewound) = rewound {
            error!(
                %rewound,
                "zookeeper state went backwards: it was wiped, or replaced by an older copy; what was submitted since may be lost; starting over with what is there"
            );
            counter!(names::ZK_SESSION_EVENTS_TOTAL, "event" => "state_went_backwards").increment(1);
            // Another history: its numbers begin anew.
            self.highest = Arc::default();
        }
        self.highest.fetch_max(begin.written.unwrap_or(0), Ordering::Relaxed);
    }

    /// A session that was given up is closed: opens the next one, unless somebody wants none.
    fn ended(&mut self, acknowledged: bool, ctx: &mut Context<Self>) {
        let State::Ending { closers } = std::mem::replace(&mut self.state, State::Closed) else { return };
        if closers.is_empty() {
            return self.open(ctx);
        }
        for closer in closers {
            // Nobody may be left to hear it.
            let _ = closer.send(acknowledged);
        }
    }

    /// Lets go of the client, and gives the future of ZooKeeper's acknowledgement.
    fn end(session: Session) -> impl Future<Output = bool> + use<> {
        session.store.refuse_requests();
        count_outage(session.suspended_since, "lost");
        let states = session.client.state_watcher();
        drop(session);
        let closed = zk_runtime::spawn(async move { tokio::time::timeout(CLOSE_PATIENCE, closed(states)).await.is_ok() });
        async move { closed.await.unwrap_or(false) }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.without_since = Instant::now();
        if self.settings.is_exposed() {
            warn!(
                connect = self.settings.connect,
                "zookeeper is not on this machine and zookeeper.acl is \"open\": whoever reaches it can run commands on the workers"
            );
        }
        self.open(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if matches!(self.state, State::Opening { .. }) {
            self.state = State::Idle;
        }
    }
}

/// What an attempt led to.
enum Attempted {
    Open { client: Arc<Client>, states: StateWatcher, begin: Begin, certificates: Option<Box<Certificates>> },
    Failed { why: String },
    Ended(SessionEvent),
}

impl Message for Attempted {
    type Result = ();
}

impl Handler<Attempted> for SessionActor {
    type Result = ();

    fn handle(&mut self, attempted: Attempted, ctx: &mut Self::Context) {
        if !matches!(self.state, State::Opening { .. }) {
            // Closed meanwhile: dropping the client closes what was just opened.
            return;
        }
        match attempted {
            Attempted::Open { client, states, begin, certificates } => {
                self.look_back(begin);
                let serial = SERIALS.fetch_add(1, Ordering::Relaxed) + 1;
                let store = Store::new(serial, &client, &self.highest, &self.settings.access);
                info!(serial, session = %client.session_id(), timeout = ?store.timeout(), "session opened");
                show("connected");
                zk_runtime::spawn(follow(states, serial, ctx.address().downgrade(), certificates));
                self.state = State::Open(Session { client, store: store.clone(), suspended_since: None });
                self.tell(SessionEvent::Opened(store));
            }
            Attempted::Failed { why } => {
                let without = self.without_since.elapsed();
                warn!(connect = self.settings.connect, why, "zookeeper is not reachable");
                self.tell(SessionEvent::Unreachable { for_: without, why });
            }
            Attempted::Ended(event) => {
                show("lost");
                self.state = State::Idle;
                self.tell(event);
            }
        }
    }
}

/// The state of a session changed.
struct Turned {
    serial: u64,
    turn: Turn,
}

impl Message for Turned {
    type Result = ();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Suspended,
    Resumed,
    Ended(SessionState),
}

impl Handler<Turned> for SessionActor {
    type Result = ();

    fn handle(&mut self, Turned { serial, turn }: Turned, ctx: &mut Self::Context) {
        let session = match &mut self.state {
            State::Open(session) if session.store.serial() == serial => session,
            _ => return debug!(serial, ?turn, "a session that was given up changed its state"),
        };
        match turn {
            Turn::Suspended => {
                warn!(serial, "session suspended");
                session.suspended_since = Some(Instant::now());
                show("suspended");
                self.tell(SessionEvent::Suspended { serial });
            }
            Turn::Resumed => {
                info!(serial, "session resumed");
                count_outage(session.suspended_since.take(), "resumed");
                show("connected");
                self.tell(SessionEvent::Resumed { serial });
            }
            Turn::Ended(state) => {
                let State::Open(session) = std::mem::replace(&mut self.state, State::Idle) else { return };
                self.lose(session, why_ended(state), ctx);
            }
        }
    }
}

impl Handler<Close> for SessionActor {
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, _: Close, _: &mut Self::Context) -> Self::Result {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Open(session) => {
                let serial = session.store.serial();
                let acknowledged = Self::end(session).into_actor(self);
                Box::pin(acknowledged.map(move |acknowledged, actor: &mut Self, _| {
                    info!(serial, acknowledged, "session closed");
                    show("lost");
                    actor.tell(SessionEvent::Closed { serial });
                    acknowledged
                }))
            }
            State::Opening { attempts } => {
                drop(attempts);
                show("lost");
                Box::pin(actix::fut::ready(true))
            }
            State::Ending { mut closers } => {
                let (closer, ended) = oneshot::channel();
                closers.push(closer);
                self.state = State::Ending { closers };
                Box::pin(async move { ended.await.unwrap_or(false) }.into_actor(self))
            }
            State::Idle | State::Closed => Box::pin(actix::fut::ready(true)),
        }
    }
}

impl Handler<Reopen> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Reopen, ctx: &mut Self::Context) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Open(session) => {
                let serial = session.store.serial();
                info!(serial, "session given up by this process");
                self.without_since = Instant::now();
                self.tell(SessionEvent::Lost { serial, why: "given up by this process".to_owned() });
                show("lost");
                self.state = State::Ending { closers: Vec::new() };
                let ended = Self::end(session).into_actor(self);
                ctx.spawn(ended.map(|acknowledged, actor: &mut Self, ctx| actor.ended(acknowledged, ctx)));
            }
            State::Idle => {
                self.without_since = Instant::now();
                self.open(ctx);
            }
            state @ (State::Opening { .. } | State::Ending { .. } | State::Closed) => self.state = state,
        }
    }
}

/// Tries until a session is open, the time is over or trying makes no sense, and reports each result.
async fn make_attempts(settings: Arc<SessionSettings>, place: Place, without_since: Instant, actor: WeakAddr<SessionActor>) {
    let over = tokio::time::Instant::from_std(without_since + settings.give_up_after);
    let mut pause = BACKOFF_MIN;
    let mut last = "no server answered in time".to_owned();
    loop {
        let report = match tokio::time::timeout_at(over, opening::attempt(&settings, &place)).await {
            Ok(Attempt::Open { client, states, begin, certificates }) => Attempted::Open { client, states, begin, certificates },
            Ok(Attempt::Denied { path, right, why }) => Attempted::Ended(SessionEvent::Denied { path, right, why }),
            Ok(Attempt::BadSettings(why)) => Attempted::Ended(SessionEvent::BadSettings(why)),
            Ok(Attempt::Retry(why)) => {
                last.clone_from(&why);
                Attempted::Failed { why }
            }
            Err(_) => Attempted::Ended(SessionEvent::GaveUp { after: without_since.elapsed(), why: last.clone() }),
        };
        let again = matches!(report, Attempted::Failed { .. });
        if !report_to(&actor, report).await || !again {
            return;
        }
        tokio::time::sleep_until(over.min(tokio::time::Instant::now() + pause + jitter(pause))).await;
        pause = (pause * 2).min(BACKOFF_MAX);
    }
}

/// Up to a quarter of the pause, so that the processes of a fleet do not all come back at once.
fn jitter(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let share = (nanos ^ std::process::id().wrapping_mul(2_654_435_761)) % 1000;
    pause / 4 * share / 1000
}

/// Turns the states of one session into turns, and reports them in order.
async fn follow(mut states: StateWatcher, serial: u64, actor: WeakAddr<SessionActor>, mut certificates: Option<Box<Certificates>>) {
    let mut connected = true;
    loop {
        let fresh = async {
            match &mut certificates {
                Some(certificates) if !connected => certificates.keep_fresh().await,
                Some(_) | None => std::future::pending().await,
            }
        };
        let state = tokio::select! {
            // Not polled again after a final state: it would wait for ever.
            state = states.changed() => state,
            // The runtime ends.
            () = fresh => return,
        };
        let turns: &[Turn] = match (connected, state) {
            // The watcher tells only the latest state: connected twice in a row means that a suspension went by unseen.
            (true, SessionState::SyncConnected) => &[Turn::Suspended, Turn::Resumed],
            (false, SessionState::SyncConnected) => &[Turn::Resumed],
            (true, SessionState::Disconnected | SessionState::ConnectedReadOnly) => &[Turn::Suspended],
            (false, SessionState::Disconnected | SessionState::ConnectedReadOnly) => &[],
            (_, SessionState::Expired | SessionState::AuthFailed | SessionState::Closed) => &[Turn::Ended(state)],
        };
        connected = state == SessionState::SyncConnected;
        for turn in turns {
            if !report_to(&actor, Turned { serial, turn: *turn }).await || state.is_terminated() {
                return;
            }
        }
    }
}

/// Weakly, so that an actor that nobody wants any more stops, and closes its session. `false`: it has.
async fn report_to<M>(actor: &WeakAddr<SessionActor>, report: M) -> bool
where
    M: Message<Result = ()> + Send + 'static,
    SessionActor: Handler<M>,
{
    let Some(actor) = actor.upgrade() else { return false };
    let handled = actor.send(report);
    handled.await.is_ok()
}

async fn closed(mut states: StateWatcher) {
    let mut state = states.peek_state();
    while !state.is_terminated() {
        state = states.changed().await;
    }
}

fn why_ended(state: SessionState) -> String {
    let why = match state {
        SessionState::Expired => "it expired",
        SessionState::AuthFailed => "zookeeper refused the credentials",
        _ => "zookeeper's client ended it",
    };
    why.to_owned()
}

fn count_outage(since: Option<Instant>, outcome: &'static str) {
    if let Some(since) = since {
        histogram!(names::ZK_DISCONNECTED_DURATION_SECONDS, "outcome" => outcome).record(since.elapsed().as_secs_f64());
    }
}

fn show(state: &'static str) {
    names::set_one(names::ZK_SESSION_STATE, names::label::STATE, &names::SESSION_STATES, state);
}

#[cfg(test)]
pub(crate) mod ground;
#[cfg(test)]
mod tests;
