//! The executor: runs commands, stops them, and reports how they ended. It knows nothing of ZooKeeper.
//!
//! [`Executor`] is the actor; the processes and their pipes are served by one tokio task per run, on a runtime that the
//! caller names, because starting a process blocks its thread for some hundred microseconds.
//!
//! A run has ended when its process group is dead, and its cgroup, where it has one. Without, processes that escape from their group are
//! hunted down, before the end is reported where something hints at them, otherwise some tens of milliseconds after it. When the whole worker is killed,
//! its [guardian](crate::guardian) kills what runs.

mod capture;
pub(crate) mod cgroup;
mod command;
mod control;
mod expiry;
mod piece;
mod pieces;
pub(crate) mod policy;
mod run;
mod serve;
pub(crate) mod shelf;
mod ship;
mod split;
mod stray;
#[cfg(test)]
mod tests;
pub(crate) mod typed;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, Recipient};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::stat::{Mode, umask};
use tracing::warn;

use crate::guardian::GuardianMode;
use bellwether_common::output::store::OutputStore;
use control::Control;
use serve::{Workshop, serve};
use shelf::Shelf;
use stray::{Marker, Sweeper};

pub use bellwether_common::output::escape;
pub use cgroup::{Cgroups, NoCgroups};
pub(crate) use control::FAMILY;
pub use control::Signalling;
pub(crate) use piece::{ElementRun, LinesRead, StartPiece};
pub use policy::{Identity, Policy};
pub use run::{Element, Ending, Program, Report, Run, RunEnded, RunId, RunStarted, Tail, TypedCall};

/// How commands are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The shell for [`Program::Shell`], an absolute path.
    pub shell: String,
    /// What a task that takes too long gets between SIGTERM and SIGKILL.
    pub kill_grace: Duration,
    /// Bytes of each output that are reported.
    pub output_tail: usize,
    /// Bytes of each output that are kept in files: what is longer loses its middle.
    pub output_max: u64,
    /// Where outputs are written, in a directory for each task, as [pieces](bellwether_common::output::Piece); nowhere if `None`.
    pub output_dir: Option<PathBuf>,
    /// How long outputs are kept after they were written last, …
    pub output_retention: Duration,
    /// … and how many bytes of them in all.
    pub output_total: u64,
    /// Whether processes that escape from their run are adopted and killed. It makes this process a child subreaper, which reaps
    /// and kills children that it does not know, except those in its own process group. Without it, daemons outlive their task
    /// and end with the worker (through the guardian).
    pub adopt_orphans: bool,
    /// What tasks may do.
    pub policy: Policy,
    /// Whether commands are run at all. Without them nothing of this process is changed for their sake.
    pub commands: bool,
    /// How long a handler may hold its thread after the session was lost or in doubt, before the process ends.
    pub last_resort: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shell: "/bin/sh".to_owned(),
            kill_grace: Duration::from_secs(10),
            output_tail: 16 * 1024,
            output_max: 64 * 1024 * 1024,
            output_dir: None,
            output_retention: Duration::from_secs(7 * 24 * 3600),
            output_total: 10 * 1024 * 1024 * 1024,
            adopt_orphans: true,
            policy: Policy::default(),
            commands: true,
            last_resort: Duration::from_secs(2),
        }
    }
}

type Runs = Arc<Mutex<HashMap<RunId, Arc<Control>>>>;

/// The actor.
#[derive(Debug)]
pub struct Executor {
    shop: Arc<Workshop>,
    runs: Runs,
    runtime: tokio::runtime::Handle,
    reports: Recipient<Report>,
}

/// Kills without a mailbox between: from any thread, whatever the actor is doing.
#[derive(Debug, Clone)]
pub struct Killer {
    runs: Runs,
    last_resort: Duration,
}

impl Killer {
    /// Sends SIGKILL to the group of every run before it returns, and waits for nothing. A run that is just being started is
    /// killed as soon as it has a number. How many there were; each is reported as [`Ending::Killed`].
    ///
    /// A handler is dropped at its next `.await`. If it comes to none in time, the process ends: see [`Settings::last_resort`].
    pub fn kill_all(&self) -> usize {
        let runs = locked(&self.runs);
        for (id, control) in runs.iter() {
            control.order(Signalling::Kill);
            if control.is_last_resort_due() {
                typed::end_unless_it_lets_go(id, Arc::clone(control), self.last_resort);
            }
        }
        runs.len()
    }
}

impl Executor {
    /// An executor whose runs are served by `runtime`, which should have several threads.
    ///
    /// If it runs commands, sets this process's umask to 022 (they inherit it), and makes it a child subreaper if the settings say so. At least
    /// one message per run reaches `reports` for each [`Start`], in order: [`Report::Started`] if there is a process, and
    /// [`Report::Ended`].
    #[must_use]
    pub fn new(settings: Settings, guardian: GuardianMode, runtime: tokio::runtime::Handle, reports: Recipient<Report>) -> Self {
        let mut sweeper = None;
        if settings.commands {
            umask(Mode::from_bits_truncate(0o022));
        }
        if settings.commands && settings.adopt_orphans {
            match set_child_subreaper(true) {
                Ok(()) => sweeper = Some(Sweeper::start(&runtime)),
                Err(error) => warn!(%error, "orphans cannot be adopted: daemons outlive their task"),
            }
        }
        guardian.keep_alive(&runtime);
        let runs = Runs::default();
        if let Some(root) = settings.output_dir.clone() {
            let limits = expiry::Limits { age: settings.output_retention, bytes: settings.output_total };
            runtime.spawn(expiry::expire_regularly(root, limits, Arc::downgrade(&runs)));
        }
        let shelf = Shelf::new(settings.output_dir.clone());
        let environment = command::Environment::scrubbed(&settings.policy);
        let shop = Workshop { settings, environment, guardian, sweeper, cgroups: None, shelf, store: None, stage: None };
        Self { shop: Arc::new(shop), runs, runtime, reports }
    }

    /// The same, with a cgroup for each run, which nothing that it starts can leave. Without, what changes its session *and* clears its
    /// environment may outlive its run for as long as others go on.
    #[must_use]
    pub fn with_cgroups(self, cgroups: Arc<Cgroups>) -> Self {
        let shop = Workshop { cgroups: Some(cgroups), ..Workshop::clone(&self.shop) };
        Self { shop: Arc::new(shop), ..self }
    }

    /// The same, with a store to which the outputs of a run are shipped before its end is reported.
    #[must_use]
    pub fn with_store(self, store: OutputStore) -> Self {
        let shop = Workshop { store: Some(store), ..Workshop::clone(&self.shop) };
        Self { shop: Arc::new(shop), ..self }
    }

    /// The same, with handlers for what is no command.
    #[must_use]
    pub(crate) fn with_stage(self, stage: typed::Stage) -> Self {
        let shop = Workshop { stage: Some(stage), ..Workshop::clone(&self.shop) };
        Self { shop: Arc::new(shop), ..self }
    }

    /// Where outputs are, and how far they have come, for those who read them.
    #[must_use]
    pub(crate) fn shelf(&self) -> Shelf {
        self.shop.shelf.clone()
    }

    /// A handle that kills from any thread.
    #[must_use]
    pub fn killer(&self) -> Killer {
        Killer { runs: Arc::clone(&self.runs), last_resort: self.shop.settings.last_resort }
    }

    fn begin(&self, run: Run) {
        let (control, call) = control_of(&run);
        let mut runs = locked(&self.runs);
        if runs.contains_key(&run.id) {
            drop(runs);
            warn!(task = %run.id.task, czxid = run.id.czxid, "told to start what runs already");
            return;
        }
        runs.insert(run.id.clone(), Arc::clone(&control));
        drop(runs);
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (reports, runs) = (self.reports.clone(), Arc::clone(&self.runs));
        let report = move |report: Report| {
            // One that is stuck goes on.
            if let Report::Ended(ended) = &report
                && ended.how != Ending::Stuck
            {
                locked(&runs).remove(&ended.id);
            }
            // Bounded by the number of runs: two messages each.
            reports.do_send(report);
        };
        if let Some(call) = call {
            self.runtime.spawn(typed::serve(Arc::clone(&self.shop), run, call, control, report));
            return;
        }
        FAMILY.join(serial, Arc::clone(&control));
        self.runtime.spawn(serve(Arc::clone(&self.shop), run, control, serial, report));
    }
}

/// By what a run is stopped, and what of it is called if it is a handler's.
fn control_of(run: &Run) -> (Arc<Control>, Option<TypedCall>) {
    let marker = Marker::of_run(&run.env);
    match &run.program {
        Program::Typed(call) => (Arc::new(Control::of_handler(marker)), Some(call.clone())),
        Program::Argv(_) | Program::Shell(_) | Program::Noop => (Arc::new(Control::new(marker)), None),
    }
}

fn locked(runs: &Runs) -> std::sync::MutexGuard<'_, HashMap<RunId, Arc<Control>>> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Actor for Executor {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.killer().kill_all();
    }
}

/// Start a run. Told twice, the second is ignored.
#[derive(Debug, Clone)]
pub struct Start(pub Run);

impl Message for Start {
    type Result = ();
}

impl Handler<Start> for Executor {
    type Result = ();

    fn handle(&mut self, Start(run): Start, _: &mut Self::Context) {
        self.begin(run);
    }
}

/// Stop a run. Its end is reported as [`Ending::Killed`]; nothing happens if it has ended.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Which one.
    pub id: RunId,
    /// How; a later order replaces an earlier one, but for SIGKILL.
    pub signal: Signalling,
}

impl Message for Stop {
    type Result = ();
}

impl Handler<Stop> for Executor {
    type Result = ();

    fn handle(&mut self, stop: Stop, _: &mut Self::Context) {
        if let Some(control) = locked(&self.runs).get(&stop.id) {
            control.order(stop.signal);
        }
    }
}

/// From now on runs are started with these settings; what runs keeps its own. Whether orphans are adopted and what tasks may do
/// stays as it is.
#[derive(Debug, Clone)]
pub struct Configure(pub Settings);

impl Message for Configure {
    type Result = ();
}

impl Handler<Configure> for Executor {
    type Result = ();

    fn handle(&mut self, Configure(settings): Configure, _: &mut Self::Context) {
        let settings = Settings { policy: self.shop.settings.policy.clone(), ..settings };
        self.shop = Arc::new(Workshop { settings, ..Workshop::clone(&self.shop) });
    }
}

/// Kill every run with SIGKILL, as [`Killer::kill_all`] does. Answers how many there were.
#[derive(Debug, Clone, Copy)]
pub struct KillAll;

impl Message for KillAll {
    type Result = usize;
}

impl Handler<KillAll> for Executor {
    type Result = usize;

    fn handle(&mut self, KillAll: KillAll, _: &mut Self::Context) -> usize {
        self.killer().kill_all()
    }
}
