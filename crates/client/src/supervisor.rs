//! The family tree of a client: who lives when, and what becomes of whom when the session is suspended, lost or closed.
//!
//! ```text
//! thread "client": an actix system
//! └── Supervisor          for as long as the client
//!     ├── SessionActor    opens sessions one after the other; gives up after `give_up_after` without one
//!     ├── Submissions     survives sessions: what was not answered is sent again behind its guard
//!     └── Waiting         survives sessions: every status is looked for again
//! ```
//!
//! A suspended session pauses both; a lost one is the same to them, only longer. What ends the client for good (gave up, denied,
//! bad settings, closed) is told to both, and they tell whoever waits. The thread ends when the last handle is dropped.

use std::thread;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseActFuture, System, WrapFuture};
use bellwether_common::session::{Close, SessionActor, SessionEvent};
use bellwether_common::store::Store;
use tokio::sync::{oneshot, watch};
use tracing::{debug, info};

use crate::error::ClosedBecause;
use crate::link::{Link, Links};
use crate::settings::ClientSettings;
use crate::submissions::{Finish, Submissions};
use crate::waiting::Waiting;

/// What the connection does, as the supervisor tells its children.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    /// Requests can be sent, in this session.
    Connected(Store),
    /// They cannot.
    Disconnected,
    /// They never will be.
    Over(ClosedBecause),
}

impl Message for Turn {
    type Result = ();
}

/// Close the session, after what is needed no more was cleared away. The answer: whether ZooKeeper has acknowledged it.
#[derive(Debug)]
pub(crate) struct Leave;

impl Message for Leave {
    type Result = bool;
}

/// The whole family, as the client's handle knows it. When this is dropped, the thread ends, and the session with it.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) supervisor: Addr<Supervisor>,
    pub(crate) submissions: Addr<Submissions>,
    pub(crate) waiting: Addr<Waiting>,
    pub(crate) links: Links,
    _alive: oneshot::Sender<()>,
}

/// Starts the thread and everybody on it.
pub(crate) fn start(settings: ClientSettings) -> Result<Family, ClosedBecause> {
    let (alive, over) = oneshot::channel::<()>();
    let (born, birth) = std::sync::mpsc::sync_channel(1);
    let life = move || {
        System::new().block_on(async move {
            // Nobody to receive it: the start was given up, and `over` resolves at once.
            let _ = born.send(Supervisor::start_family(settings));
            let _ = over.await;
        });
    };
    thread::Builder::new().name("client".to_owned()).spawn(life).map_err(|error| ClosedBecause::Thread(error.to_string()))?;
    let (supervisor, submissions, waiting, links) = birth.recv().map_err(|_| ClosedBecause::Thread("it ended".to_owned()))?;
    Ok(Family { supervisor, submissions, waiting, links, _alive: alive })
}

/// Owns all other actors of the client.
#[derive(Debug)]
pub(crate) struct Supervisor {
    address: String,
    session: Addr<SessionActor>,
    submissions: Addr<Submissions>,
    waiting: Addr<Waiting>,
    store: Option<Store>,
    link: watch::Sender<Link>,
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Supervisor {
    fn start_family(settings: ClientSettings) -> (Addr<Self>, Addr<Submissions>, Addr<Waiting>, Links) {
        let (link, links) = watch::channel(Link::Opening(None));
        let submissions = Submissions::new(settings.submit_window).start();
        let waiting = Waiting::new(links.clone(), settings.request_timeout, settings.submitter.clone()).start();
        let children = (submissions.clone(), waiting.clone());
        let supervisor = Self::create(|ctx| {
            let session = SessionActor::new(settings.session.clone(), ctx.address().recipient()).start();
            Self { address: settings.address(), session, submissions: children.0, waiting: children.1, store: None, link }
        });
        (supervisor, submissions, waiting, links)
    }

    fn turn(&self, link: Link, turn: Turn) {
        self.link.send_replace(link);
        // As few as the events of the session, and none may be lost.
        self.submissions.do_send(turn.clone());
        self.waiting.do_send(turn);
    }

    fn over(&self, because: ClosedBecause) {
        self.turn(Link::Over(because.clone()), Turn::Over(because));
    }
}

impl Handler<SessionEvent> for Supervisor {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, _: &mut Self::Context) {
        match event {
            SessionEvent::Opened(store) => {
                self.store = Some(store.clone());
                self.turn(Link::Connected(store.clone()), Turn::Connected(store));
            }
            SessionEvent::Resumed { serial } => {
                if let Some(store) = self.store.clone().filter(|store| store.serial() == serial) {
                    self.turn(Link::Connected(store.clone()), Turn::Connected(store));
                }
            }
            SessionEvent::Suspended { .. } => self.turn(Link::Suspended, Turn::Disconnected),
            SessionEvent::Lost { why, .. } => {
                self.store = None;
                self.turn(Link::Opening(Some(format!("the session was lost: {why}"))), Turn::Disconnected);
            }
            SessionEvent::Unreachable { why, .. } => drop(self.link.send_replace(Link::Opening(Some(why)))),
            SessionEvent::GaveUp { after, why } => {
                self.over(ClosedBecause::Unreachable { connect: self.address.clone(), after, why });
            }
            SessionEvent::Denied { path, right, why } => self.over(ClosedBecause::Denied { path, right, why }),
            SessionEvent::BadSettings(why) => self.over(ClosedBecause::BadSettings(why)),
            SessionEvent::Closed { serial } => debug!(serial, "session closed"),
        }
    }
}

impl Handler<Leave> for Supervisor {
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, _: Leave, _: &mut Self::Context) -> Self::Result {
        let (submissions, session) = (self.submissions.clone(), self.session.clone());
        let leaving = async move {
            // A mailbox that is closed has nothing left to clear away or to close.
            let _ = submissions.send(Finish).await;
            session.send(Close).await.unwrap_or(true)
        };
        Box::pin(leaving.into_actor(self).map(|acknowledged, actor: &mut Self, _| {
            info!(acknowledged, "client closed");
            actor.over(ClosedBecause::Asked);
            acknowledged
        }))
    }
}
