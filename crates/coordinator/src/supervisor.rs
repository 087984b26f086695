//! The family tree of a coordinator's process.
//!
//! ```text
//! Supervisor            as long as the process
//! ├── SessionActor      as long as the process; opens one session after the other
//! └── Office            as long as the process; the election
//!     └── MasterActor   as long as a term
//!         ├── TimetableActor   as long: makes tasks of schedules
//!         └── JanitorActor     as long: removes results that nobody needs
//! ```
//!
//! | the session is | Office | MasterActor, TimetableActor, JanitorActor |
//! |---|---|---|
//! | suspended | shows no leadership, proves nothing | stops writing, keeps its view |
//! | resumed | proves the office | watches and reads again, then writes |
//! | lost | starts over as a candidate in the next session | is dropped with all it believes |
//! | closed by us | said farewell before | is dropped before |
//!
//! Nothing is restarted after a panic: the process ends, its ephemerals go, and a standby takes over.

use std::sync::Arc;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};
use bellwether_common::boot;
use bellwether_common::exit::Exit;
use bellwether_common::http::Health;
use bellwether_common::session::{Close, Needs, Reopen, SessionActor, SessionEvent, SessionSettings};
use futures::FutureExt;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::office::{Configured, Office, StopRequested};

/// Runs a coordinator until it is asked to stop, or cannot go on.
pub async fn run(context: boot::Context) -> Exit {
    let (exit, ended) = oneshot::channel();
    let shutdown = context.shutdown.clone();
    let mut reloads = context.reloads.clone();
    let supervisor = Supervisor::start(context, exit);
    let address = supervisor.clone();
    actix::spawn(async move {
        loop {
            // One per SIGHUP.
            supervisor.do_send(Configured(reloads.next().await));
        }
    });
    actix::spawn(async move {
        shutdown.asked().await;
        // Two in the life of a process: a full mailbox is no reason not to hear it.
        address.do_send(StopRequested);
    });
    // The channel is dropped unanswered only if the supervisor is: then there is nothing left that could run.
    ended.await.unwrap_or(Exit::Panic)
}

struct Supervisor {
    session: Addr<SessionActor>,
    office: Addr<Office>,
    health: Health,
    exit: Option<oneshot::Sender<Exit>>,
    leaving: bool,
}

/// What the office asks of its supervisor. At most one of each per session or change of state.
#[derive(Debug)]
pub(crate) enum Request {
    /// Close this session and open another.
    Reopen,
    /// Close the session and end the process.
    Leave,
    /// End the process at once: `/master` is not ours to take.
    Refuse,
    /// Whether the service is ready, and what it does.
    Ready(bool, String),
}

impl Message for Request {
    type Result = ();
}

/// Answered while the supervisor's mailbox is served: what "live" means.
struct Alive;

impl Message for Alive {
    type Result = bool;
}

impl Supervisor {
    fn start(context: boot::Context, exit: oneshot::Sender<Exit>) -> Addr<Self> {
        Self::create(|own: &mut Context<Self>| {
            let address = own.address();
            let settings = SessionSettings::of(&context.settings, Needs::Coordinator);
            // First the addresses, then what runs: nobody speaks to somebody who is not there yet.
            let office = Office::new(&context, address.clone().recipient()).start();
            let session = SessionActor::new(settings, address.clone().recipient()).start();
            context.health.set_ready(false, "opening a session");
            context.health.set_probe(Arc::new(move || {
                let answer = address.send(Alive);
                async move { answer.await.unwrap_or(false) }.boxed()
            }));
            Self { session, office, health: context.health, exit: Some(exit), leaving: false }
        })
    }

    fn finish(&mut self, exit: Exit, context: &mut Context<Self>) {
        if let Some(sender) = self.exit.take() {
            // Nobody waits any more only if the process ends already.
            let _ = sender.send(exit);
        }
        context.stop();
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<SessionEvent> for Supervisor {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, context: &mut Context<Self>) {
        match &event {
            // The session says so in the log.
            SessionEvent::Unreachable { why, .. } => {
                self.health.set_ready(false, format!("zookeeper cannot be reached: {why}"));
            }
            SessionEvent::GaveUp { after, why } => {
                error!(after_seconds = after.as_secs_f64(), why, "zookeeper could not be reached within zookeeper.give_up_after");
                self.finish(Exit::Unreachable, context);
            }
            SessionEvent::Denied { path, right, why } => {
                error!(path, right, why, "zookeeper denies this coordinator a right");
                self.finish(Exit::Denied, context);
            }
            SessionEvent::BadSettings(why) => {
                error!(why, "cannot take part in the cluster");
                self.finish(Exit::Config, context);
            }
            SessionEvent::Opened(_)
            | SessionEvent::Suspended { .. }
            | SessionEvent::Resumed { .. }
            | SessionEvent::Lost { .. }
            | SessionEvent::Closed { .. } => {}
        }
        // A handful per session.
        self.office.do_send(event);
    }
}

impl Handler<StopRequested> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: StopRequested, _: &mut Context<Self>) {
        info!("asked to stop");
        self.health.set_ready(false, "stopping");
        self.office.do_send(message);
    }
}

impl Handler<Configured> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: Configured, _: &mut Context<Self>) {
        self.office.do_send(message);
    }
}

impl Handler<Request> for Supervisor {
    type Result = ();

    fn handle(&mut self, request: Request, context: &mut Context<Self>) {
        match request {
            Request::Reopen => self.session.do_send(Reopen),
            Request::Leave => self.leave(context),
            Request::Refuse => self.finish(Exit::Config, context),
            Request::Ready(ready, text) => self.health.set_ready(ready, text),
        }
    }
}

impl Supervisor {
    /// The process must not end before ZooKeeper has heard of it: otherwise its ephemerals stay for a session timeout.
    fn leave(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        let closed = self.session.send(Close);
        let own = context.address();
        let close = async move {
            if !closed.await.unwrap_or(false) {
                warn!("the session was not closed in time; what it owns goes with its timeout");
            }
            own.do_send(Left);
        };
        context.spawn(close.into_actor(self));
    }
}

/// The session is closed.
struct Left;

impl Message for Left {
    type Result = ();
}

impl Handler<Left> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Left, context: &mut Context<Self>) {
        self.finish(Exit::Asked, context);
    }
}

impl Handler<Alive> for Supervisor {
    type Result = MessageResult<Alive>;

    fn handle(&mut self, _: Alive, _: &mut Context<Self>) -> Self::Result {
        MessageResult(true)
    }
}
