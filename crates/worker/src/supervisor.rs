//! The family tree of a worker's process.
//!
//! ```text
//! Supervisor            as long as the process
//! ├── SessionActor      as long as the process; opens one session after the other
//! ├── AgentActor        as long as the process; one incarnation per session
//! └── Executor          as long as the process; its runs live on other threads
//! guardian              a process of its own, which outlives this one by the moment that it takes to kill what ran, and kills what
//!                       runs while this one is frozen
//! ```
//!
//! | the session is | AgentActor | Executor |
//! |---|---|---|
//! | suspended | starts nothing and holds results; its timers go on: half a session timeout after the last proof of life it kills | runs on |
//! | resumed | proves, watches and reads again, then reports | runs on |
//! | lost | drops the incarnation with all its results | kills everything at once |
//! | closed by us | has drained before, or was out of time | was told to kill what is left before |
//!
//! | the process ends with | because |
//! |---|---|
//! | 0 | somebody asked, and the agent has nothing left to run or to report |
//! | 69 | there was no session for `zookeeper.give_up_after` |
//! | 70 | something panicked: nothing is restarted, the ephemerals and the guardian do the rest |
//! | 77 | ZooKeeper denies a right |
//! | 78 | there is no shell, outputs cannot be written, what tasks may do cannot be had, this process is root and was not told to be, the settings lead to no session, the cluster speaks another protocol, or there is no guardian |

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};
use bellwether_common::boot;
use bellwether_common::config::{Settings, Together};
use bellwether_common::exit::Exit;
use bellwether_common::http::Health;
use bellwether_common::session::{Close, Needs, Reopen, SessionActor, SessionEvent, SessionSettings};
use bellwether_core::planner::Skills;
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::agent::{AgentActor, Configured, Hands, StopRequested};
use crate::crew::RunThreads;
use crate::executor::typed::Stage;
use crate::executor::{self, Cgroups, Executor, Killer, Policy};
use crate::guardian::{Guardian, GuardianError, GuardianMode};
use crate::handlers::TaskService;
use crate::order::NOOP;
use crate::preflight::Fitted;
use crate::{pages, preflight};

/// Runs a worker until it is asked to stop, or cannot go on. The program's `main` must have called
/// [`guardian::run_if_asked`](crate::guardian::run_if_asked) first.
pub async fn run(context: boot::Context) -> Exit {
    run_equipped(context, Equipment::default()).await.exit
}

/// How a worker ended, and why in words.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) why: String,
}

impl Ended {
    /// It could not begin. Told in the log, too, which is all that operators see.
    fn unfit(why: impl ToString) -> Self {
        let why = why.to_string();
        error!("{why}");
        Self { exit: Exit::Config, why }
    }
}

/// What a worker can do beyond what is configured.
#[derive(Debug)]
pub(crate) struct Equipment {
    /// Whether it runs commands. Otherwise it needs no shell, no guardian and no cgroups.
    pub(crate) commands: bool,
    /// The kinds that it has handlers for, besides those that every worker knows.
    pub(crate) kinds: BTreeSet<String>,
    /// What handles them.
    pub(crate) service: Option<TaskService>,
    /// Where whole outputs are kept; nowhere if `None`.
    pub(crate) output_dir: Option<PathBuf>,
    /// Whether outputs are kept where the settings say.
    pub(crate) configured_output: bool,
}

impl Default for Equipment {
    fn default() -> Self {
        Self { commands: true, kinds: BTreeSet::new(), service: None, output_dir: None, configured_output: true }
    }
}

impl Equipment {
    fn skills(&self) -> Skills {
        let mut kinds = self.kinds.clone();
        kinds.insert(NOOP.to_owned());
        Skills { commands: self.commands, kinds }
    }

    fn executor_settings(&self, settings: &Settings) -> executor::Settings {
        let configured = executor_settings(settings);
        let output_dir = if self.configured_output { configured.output_dir } else { self.output_dir.clone() };
        executor::Settings { commands: self.commands, output_dir, ..configured }
    }

    /// Who kills commands when we cannot.
    fn guardian(&self) -> Result<GuardianMode, String> {
        if !self.commands {
            return Ok(GuardianMode::handlers());
        }
        let why = |error: GuardianError| format!("without a guardian, tasks would outlive a worker that is killed: {error}");
        Guardian::spawn().map(GuardianMode::Process).map_err(why)
    }

    fn stage(&self, slots: usize) -> Result<Option<Stage>, String> {
        let why = |error: std::io::Error| format!("the threads of handlers cannot be started: {error}");
        self.service.clone().map(|service| Stage::new(service, slots).map_err(why)).transpose()
    }
}

/// Runs a worker with what it was given.
pub(crate) async fn run_equipped(context: boot::Context, equipment: Equipment) -> Ended {
    let settings = equipment.executor_settings(&context.settings);
    let fitted = match preflight::fit(&context.settings, &settings) {
        Ok(fitted) => fitted,
        Err(unfit) => return Ended::unfit(unfit),
    };
    let guardian = match equipment.guardian() {
        Ok(guardian) => guardian,
        Err(why) => return Ended::unfit(why),
    };
    let together = fitted.policy.limits.together;
    let cgroups = match if equipment.commands { establish(&guardian, together) } else { Ok(None) } {
        Ok(cgroups) => cgroups,
        Err(why) => return Ended::unfit(why),
    };
    let stage = match equipment.stage(context.settings.worker_slots()) {
        Ok(stage) => stage,
        Err(why) => return Ended::unfit(why),
    };
    let runs = match if equipment.commands { RunThreads::own() } else { RunThreads::shared() } {
        Ok(runs) => runs,
        Err(error) => return Ended::unfit(format!("the threads that serve commands cannot be started: {error}")),
    };
    let private = fitted.policy.private.clone();
    let (exit, ended) = oneshot::channel();
    let shutdown = context.shutdown.clone();
    let mut reloads = context.reloads.clone();
    let furniture = Furniture { settings, skills: equipment.skills(), cgroups: cgroups.clone(), fitted, stage };
    let supervisor = Supervisor::start(context, guardian, furniture, runs.handle(), exit);
    let configured = supervisor.clone();
    actix::spawn(async move {
        loop {
            // One per SIGHUP.
            configured.do_send(Configured(reloads.next().await));
        }
    });
    actix::spawn(async move {
        shutdown.asked().await;
        // Once in the life of a process: a full mailbox is no reason not to hear it.
        supervisor.do_send(StopRequested);
    });
    // The channel is dropped unanswered only if the supervisor is: then there is nothing left that could run.
    let ended = ended.await.unwrap_or_else(|_| Ended { exit: Exit::Panic, why: "its supervisor is gone".to_owned() });
    runs.end();
    if let Some(cgroups) = cgroups {
        cgroups.leave();
    }
    if let Some(error) = private.and_then(|private| std::fs::remove_dir_all(private).err()) {
        warn!(%error, "the directories of tasks could not be removed");
    }
    ended
}

/// The kernel's own means to find what a task started, where it lets us; and to limit it: a limit that cannot be kept is no limit.
fn establish(guardian: &GuardianMode, together: Together) -> Result<Option<Arc<Cgroups>>, String> {
    match Cgroups::establish(together) {
        Ok(cgroups) => {
            let (processes, cpu_hundredths) = (together.processes, together.cpu);
            info!(home = %cgroups.home().display(), processes, cpu_hundredths, "each task gets a cgroup of its own");
            guardian.set_cgroups(cgroups.home());
            Ok(Some(Arc::new(cgroups)))
        }
        Err(why) if !together.is_empty() => {
            let remedy = "leave them out of worker.limits, or let this worker use cgroups";
            Err(format!("worker.limits.task_processes and task_cpu cannot be kept: {why}; {remedy}"))
        }
        Err(why) => {
            info!(%why, "tasks get no cgroups: what leaves its group is found by its marks alone");
            Ok(None)
        }
    }
}

/// What a worker may have, or not.
struct Furniture {
    settings: executor::Settings,
    skills: Skills,
    cgroups: Option<Arc<Cgroups>>,
    fitted: Fitted,
    stage: Option<Stage>,
}

struct Supervisor {
    session: Addr<SessionActor>,
    agent: Addr<AgentActor>,
    killer: Killer,
    health: Health,
    leaving: bool,
    exit: Option<oneshot::Sender<Ended>>,
}

/// What the agent asks of its supervisor. At most one of each per session or change of state.
#[derive(Debug)]
pub(crate) enum Request {
    /// Close this session and open another.
    Reopen,
    /// Close the session and end the process.
    Leave,
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
    fn start(
        context: boot::Context,
        guardian: GuardianMode,
        furniture: Furniture,
        runs: Handle,
        exit: oneshot::Sender<Ended>,
    ) -> Addr<Self> {
        Self::create(|own: &mut Context<Self>| {
            // First the addresses, then what runs: nobody speaks to somebody who is not there yet.
            let address = own.address();
            let place = Context::<AgentActor>::new();
            let Fitted { policy, store, trust } = furniture.fitted;
            let settings = executor::Settings { policy, ..furniture.settings };
            let executor = Executor::new(settings, guardian.clone(), runs, place.address().recipient());
            let executor = match furniture.cgroups {
                Some(cgroups) => executor.with_cgroups(cgroups),
                None => executor,
            };
            let executor = match store {
                Some(store) => executor.with_store(store),
                None => executor,
            };
            let executor = match furniture.stage {
                Some(stage) => executor.with_stage(stage),
                None => executor,
            };
            let http = &context.settings.http;
            context.pages.add(pages::pages(&context.settings.worker_name(), executor.shelf(), http, context.http_address));
            let killer = executor.killer();
            let hands = Hands { executor: executor.start(), killer: killer.clone(), guardian, skills: furniture.skills };
            let agent = AgentActor::new(&context, hands, address.clone().recipient(), trust);
            let agent = place.run(agent);
            let settings = SessionSettings::of(&context.settings, Needs::Worker);
            context.health.set_ready(false, "opening a session");
            let session = SessionActor::new(settings, address.clone().recipient()).start();
            context.health.set_probe(Arc::new(move || {
                let answer = address.send(Alive);
                async move { answer.await.unwrap_or(false) }.boxed()
            }));
            Self { session, agent, killer, health: context.health, leaving: false, exit: Some(exit) }
        })
    }

    fn finish(&mut self, exit: Exit, why: String, context: &mut Context<Self>) {
        self.killer.kill_all();
        if let Some(sender) = self.exit.take() {
            // Nobody waits any more only if the process ends already.
            let _ = sender.send(Ended { exit, why });
        }
        context.stop();
    }

    /// What is left is killed before the ephemeral goes, and with it the claim to it. The process must not end before ZooKeeper has
    /// heard of it: otherwise the ephemeral stays for a session timeout.
    fn leave(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        let killed = self.killer.kill_all();
        if killed > 0 {
            warn!(killed, "commands were left when the time to drain was over");
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

/// But for what tasks may do, which is decided once.
pub(crate) fn executor_settings(settings: &Settings) -> executor::Settings {
    let worker = &settings.worker;
    executor::Settings {
        shell: worker.shell.clone(),
        kill_grace: worker.kill_grace,
        output_tail: worker.output_tail.as_usize(),
        output_max: worker.output_max.bytes(),
        output_dir: Some(settings.output_dir()),
        output_retention: worker.output_retention,
        output_total: worker.output_total.bytes(),
        adopt_orphans: true,
        policy: Policy::default(),
        commands: true,
        // Doubt strikes half a session timeout after the last proof of life: what is left is another half.
        last_resort: settings.zookeeper.session_timeout / 4,
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<SessionEvent> for Supervisor {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, context: &mut Context<Self>) {
        match event {
            SessionEvent::Opened(_) | SessionEvent::Suspended { .. } | SessionEvent::Resumed { .. } | SessionEvent::Lost { .. } => {
                // A handful per session.
                self.agent.do_send(event);
            }
            SessionEvent::Closed { .. } => {}
            SessionEvent::Unreachable { why, .. } => self.health.set_ready(false, format!("zookeeper cannot be reached: {why}")),
            SessionEvent::GaveUp { after, why } => {
                error!(after_seconds = after.as_secs_f64(), why, "zookeeper could not be reached within zookeeper.give_up_after");
                self.finish(Exit::Unreachable, why, context);
            }
            SessionEvent::Denied { path, right, why } => {
                error!(path, right, why, "zookeeper denies this worker a right");
                self.finish(Exit::Denied, format!("{right} on {path}: {why}"), context);
            }
            SessionEvent::BadSettings(why) => {
                error!(why, "cannot take part in the cluster");
                self.finish(Exit::Config, why, context);
            }
        }
    }
}

impl Handler<StopRequested> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: StopRequested, _: &mut Context<Self>) {
        info!("draining: nothing new is started, what was not started is given back");
        self.agent.do_send(message);
    }
}

impl Handler<Configured> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: Configured, _: &mut Context<Self>) {
        self.agent.do_send(message);
    }
}

impl Handler<Request> for Supervisor {
    type Result = ();

    fn handle(&mut self, request: Request, context: &mut Context<Self>) {
        match request {
            Request::Reopen => self.session.do_send(Reopen),
            Request::Leave => self.leave(context),
            Request::Ready(ready, text) => self.health.set_ready(ready, text),
        }
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
        self.finish(Exit::Asked, "somebody asked it to stop".to_owned(), context);
    }
}

impl Handler<Alive> for Supervisor {
    type Result = MessageResult<Alive>;

    fn handle(&mut self, _: Alive, _: &mut Context<Self>) -> Self::Result {
        MessageResult(true)
    }
}
