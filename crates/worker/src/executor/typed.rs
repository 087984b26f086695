//! One run of a handler from its start to its end: the executor's counterpart of a process.
//!
//! Each attempt has a thread of its own, which drives the handler's future; sockets and timers are served by the handlers' runtime. So a
//! handler that blocks keeps nobody up: neither other handlers, nor the actors, nor the session. It is stopped in three steps: it is told
//! (its context is cancelled), it is polled once more and dropped, and if it does not let go of its thread, nothing but the end of the
//! process can stop it. Then its task ends as [`Ending::Stuck`] if its time is over, and the process ends if somebody else may be given it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bellwether_common::boot::UserCode;
use bellwether_common::output::StreamName;
use bellwether_core::lifecycle::PANICKED;
use jiff::Timestamp;
use serde_json::Value;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tracing::{error, warn};

use super::capture::Capture;
use super::control::{Control, Signalling};
use super::serve::Workshop;
use super::shelf::{Shelf, TaskProgress};
use super::ship::ship;
use super::{Ending, Report, Run, RunEnded, RunId, Tail, TypedCall};
use crate::guardian::GuardianMode;
use crate::handlers::{Desk, Facts, Phase, TaskContext, TaskError, TaskRequest, TaskService, call, shortened};

/// Threads that serve sockets and timers of handlers, and what these spawn.
const DRIVERS: usize = 2;
/// How many threads beyond the attempts' own handlers may use with `spawn_blocking`.
const BLOCKING_BESIDE: usize = 512;
/// How long after the last order a handler may hold its thread before that is told.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// What runs handlers: the service, and the threads.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    service: TaskService,
    runtime: Arc<Threads>,
}

/// Stopped without waiting: a handler that blocks would keep the end of the worker up.
#[derive(Debug)]
struct Threads(Option<tokio::runtime::Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Stage {
    /// Room for `slots` attempts at once.
    pub(crate) fn new(service: TaskService, slots: usize) -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(DRIVERS).max_blocking_threads(slots * 2 + BLOCKING_BESIDE).thread_name("handlers");
        Ok(Self { service, runtime: Arc::new(Threads(Some(builder.enable_all().build()?))) })
    }

    fn handle(&self) -> Option<&Handle> {
        self.runtime.0.as_ref().map(tokio::runtime::Runtime::handle)
    }
}

/// What a handler does.
type Doing = Pin<Box<dyn Future<Output = Result<Value, TaskError>> + Send>>;

/// How a handler's future ended; nothing if it was dropped.
type Outcome = Option<Result<Value, Failure>>;

#[derive(Debug)]
enum Failure {
    Said(TaskError),
    Panicked(String),
}

/// Runs `run`, which is a call, and reports about it.
pub(super) async fn serve(shop: Arc<Workshop>, run: Run, call: TypedCall, control: Arc<Control>, report: impl Fn(Report)) {
    let started = (Timestamp::now(), Instant::now());
    let [stdout, stderr] = shop.shelf.begin(&run.id, run.attempt, started.0);
    let papers = Papers::new(shop.capture(&run, StreamName::Stdout, stdout), shop.capture(&run, StreamName::Stderr, stderr));
    let desk = Arc::new(RunDesk { id: run.id.clone(), attempt: run.attempt, shelf: shop.shelf.clone(), papers: papers.clone() });
    let ended = |how: Ending, tails: (Tail, Tail), shipped| {
        let (started, took) = (started.0, started.1.elapsed());
        let (id, ended) = (run.id.clone(), Timestamp::now());
        let (stdout, stderr) = tails;
        Report::Ended(Box::new(RunEnded { id, how, stdout, stderr, shipped, started, ended, took, dead_at: None }))
    };
    let mut was_stuck = false;
    let stuck = || {
        was_stuck = true;
        warn!(task = %run.id.task, "a handler ran longer than it may and holds its thread; its slot stays taken until it lets go");
        control.give_up();
        report(ended(Ending::Stuck, papers.finish(), None));
    };
    let how = attend(&shop, &run, call, desk, &control, stuck).await;
    // Also of one that was never begun.
    control.let_go();
    if was_stuck {
        shop.shelf.end(&run.id, run.attempt);
        return report(ended(how, (Tail::default(), Tail::default()), None));
    }
    let tails = papers.finish();
    shop.shelf.end(&run.id, run.attempt);
    let shipped = ship(&shop, &run.id, run.attempt, &how, &control, tails.0.file.as_ref().or(tails.1.file.as_ref())).await;
    report(ended(how, tails, shipped));
}

/// Starts the handler on a thread, and waits for its end through timeouts and orders.
async fn attend(
    shop: &Workshop,
    run: &Run,
    call: TypedCall,
    desk: Arc<RunDesk>,
    control: &Arc<Control>,
    mut stuck: impl FnMut(),
) -> Ending {
    if control.ordered().is_some() || shop.guardian.is_over() {
        return Ending::Killed;
    }
    let Some(stage) = shop.stage.as_ref() else {
        return Ending::NotStarted { exit: 125, why: "this worker has no handlers".to_owned() };
    };
    let phase = control.phase();
    let mut timeout_at = run.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let request = request(run, call, &phase, desk, timeout_at);
    let Some(mut over) = begin(stage, request, &shop.guardian, control) else { return Ending::Killed };
    let (mut kill_at, mut stuck_at, mut timed_out) = (None, None, false);
    let outcome = loop {
        let alarm = stuck_at.or(kill_at).or(timeout_at);
        tokio::select! {
            outcome = &mut over => break outcome.ok().flatten(),
            () = control.wait_for_order() => match control.ordered() {
                Some(Signalling::Terminate { grace }) => {
                    phase.send_if_modified(|phase| advance(phase, Phase::Cancelled));
                    (timeout_at, kill_at) = (None, Instant::now().checked_add(grace));
                }
                // It is dropped already.
                Some(Signalling::Kill) | None => {}
            },
            () = tokio::time::sleep_until(alarm.unwrap_or_else(Instant::now).into()), if alarm.is_some() => {
                if stuck_at.take().is_some() {
                    if timed_out && control.ordered().is_none() {
                        stuck();
                    }
                } else if kill_at.take().is_some() {
                    control.drop_handler();
                    stuck_at = Instant::now().checked_add(STUCK_AFTER);
                } else {
                    phase.send_if_modified(|phase| advance(phase, Phase::Cancelled));
                    (kill_at, timed_out) = (Instant::now().checked_add(shop.settings.kill_grace), true);
                }
                timeout_at = None;
            }
        }
    };
    judge(outcome, timed_out, control.ordered().is_some())
}

/// Whether it was news.
fn advance(phase: &mut Phase, to: Phase) -> bool {
    let news = *phase < to;
    *phase = to.max(*phase);
    news
}

fn request(run: &Run, call: TypedCall, phase: &watch::Sender<Phase>, desk: Arc<RunDesk>, deadline: Option<Instant>) -> TaskRequest {
    let TypedCall { kind, input, worker, epoch, trace, element } = call;
    let facts = Facts { task: run.id.task.clone(), kind, attempt: run.attempt, worker, epoch, trace, element, deadline };
    TaskRequest { context: TaskContext::new(facts, phase.subscribe(), desk), input }
}

/// Says that the handler has let go of its thread, however it did.
struct Leaving(Arc<Control>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// The thread. `None` if there are no threads any more.
fn begin(stage: &Stage, request: TaskRequest, guardian: &GuardianMode, control: &Arc<Control>) -> Option<oneshot::Receiver<Outcome>> {
    let handle = stage.handle()?.clone();
    let (service, mut dropping, guardian) = (stage.service.clone(), control.dropping(), guardian.clone());
    let (tell, over) = oneshot::channel();
    let leaving = Leaving(Arc::clone(control));
    handle.clone().spawn_blocking(move || {
        let _leaving = leaving;
        let mut attempt = Attempt { handler: Some(Box::pin(call(service, request))), guardian };
        let outcome = handle.block_on(async {
            tokio::select! {
                biased;
                outcome = &mut attempt => outcome,
                () = dropped(&mut dropping) => attempt.last_word(),
            }
        });
        attempt.drop_handler();
        // Nobody hears it if the worker has ended.
        let _ = tell.send(outcome);
    });
    Some(over)
}

async fn dropped(dropping: &mut watch::Receiver<bool>) {
    // What it hands out locks out the next order: it is let go of at once.
    let _ = dropping.wait_for(|dropped| *dropped).await;
}

/// A handler's future, whose panics are caught.
struct Attempt {
    handler: Option<Doing>,
    guardian: GuardianMode,
}

impl Attempt {
    fn poll_handler(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        let Some(handler) = &mut self.handler else { return Poll::Ready(None) };
        let polled = {
            let _user_code = UserCode::enter();
            catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context)))
        };
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(said)) => Poll::Ready(Some(said.map_err(Failure::Said))),
            Err(panic) => Poll::Ready(Some(Err(Failure::Panicked(words(&*panic))))),
        }
    }

    /// What it says when it is polled once more, so that it sees that it was cancelled.
    fn last_word(&mut self) -> Outcome {
        match self.poll_handler(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => None,
        }
    }

    /// What it holds may panic when it is dropped, too.
    fn drop_handler(&mut self) {
        let handler = self.handler.take();
        let _user_code = UserCode::enter();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(handler)));
    }
}

impl Future for Attempt {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        // We were frozen for so long that somebody else may run it: not one step more.
        if self.guardian.is_over() {
            return Poll::Ready(None);
        }
        self.poll_handler(context)
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    shortened(format!("panicked: {}", text.as_deref().unwrap_or("with a value that is no text")))
}

fn judge(outcome: Outcome, timed_out: bool, ordered: bool) -> Ending {
    match outcome {
        _ if ordered => Ending::Killed,
        _ if timed_out => Ending::TimedOut,
        None => Ending::Killed,
        Some(Ok(value)) => Ending::Returned(value),
        Some(Err(Failure::Said(error))) => Ending::Errored { exit: 1, why: error.text(), fatal: error.is_fatal() },
        Some(Err(Failure::Panicked(why))) => Ending::Errored { exit: PANICKED, why, fatal: false },
    }
}

/// Waits on a thread of its own until a handler that was dropped for the session's sake has let go of its thread. It must, before
/// somebody else can be given the task; otherwise the process ends, because a thread cannot be killed.
pub(super) fn end_unless_it_lets_go(id: &RunId, control: Arc<Control>, within: Duration) {
    let task = id.task.clone();
    let watch = move || {
        if !control.wait_until_let_go(within) {
            error!(
                %task,
                within_seconds = within.as_secs_f64(),
                "a handler holds its thread although the session is lost or in doubt: the process ends, because somebody else may run the task now"
            );
            std::process::exit(i32::from(bellwether_common::exit::Exit::Panic.code()));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("last-resort".to_owned()).spawn(watch) {
        warn!(%error, "nobody watches whether a handler ends");
    }
}

/// What an attempt writes, until it is over: what is written later goes nowhere.
#[derive(Debug, Clone)]
struct Papers(Arc<Mutex<Option<(Capture, Capture)>>>);

impl Papers {
    fn new(stdout: Capture, stderr: Capture) -> Self {
        Self(Arc::new(Mutex::new(Some((stdout, stderr)))))
    }

    fn finish(&self) -> (Tail, Tail) {
        let captures = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        captures.map(|(stdout, stderr)| (stdout.finish(), stderr.finish())).unwrap_or_default()
    }
}

#[derive(Debug)]
struct RunDesk {
    id: RunId,
    attempt: u32,
    shelf: Shelf,
    papers: Papers,
}

impl Desk for RunDesk {
    fn write(&self, bytes: &[u8]) {
        if let Some((stdout, _)) = &mut *self.papers.0.lock().unwrap_or_else(PoisonError::into_inner) {
            stdout.take(bytes);
        }
    }

    fn progress(&self, done: u64, total: Option<u64>, note: &str) {
        let progress = TaskProgress { done, total, note: shortened(note.to_owned()), at: Timestamp::now() };
        self.shelf.note(&self.id, self.attempt, progress);
    }
}
