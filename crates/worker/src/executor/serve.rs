//! One run from its start to its end: a tokio task of its own, so that no actor polls it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_common::clock;
use bellwether_common::output::store::OutputStore;
use bellwether_common::output::{Piece, StreamName, escape};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::watch;
use tracing::warn;

use super::capture::{Capture, Limits, pump};
use super::cgroup::Cgroups;
use super::command::{Blame, CannotStart, Environment, Ground, spawn};
use super::control::{Control, FAMILY, Signalling};
use super::policy::Workplace;
use super::shelf::{Progress, Shelf};
use super::ship::ship;
use super::stray::Sweeper;
use super::typed::Stage;
use super::{Ending, Program, Report, Run, RunEnded, RunId, RunStarted, Settings};
use crate::guardian::GuardianMode;
use bellwether_core::protocol::payload::Rejection;

/// How long what the dead group wrote may take to arrive.
const DRAIN: Duration = Duration::from_millis(20);
/// How long to read on after the sweep, from a pipe that somebody still holds open.
const LAST_DRAIN: Duration = Duration::from_millis(200);

/// What all runs of one executor share.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) settings: Settings,
    pub(super) environment: Environment,
    pub(super) guardian: GuardianMode,
    pub(super) sweeper: Option<Sweeper>,
    pub(super) cgroups: Option<Arc<Cgroups>>,
    pub(super) shelf: Shelf,
    pub(super) store: Option<OutputStore>,
    pub(super) stage: Option<Stage>,
}

impl Workshop {
    pub(super) fn capture(&self, run: &Run, stream: StreamName, progress: watch::Sender<Progress>) -> Capture {
        let limits = Limits { tail: self.settings.output_tail, files: self.settings.output_max };
        let first = Piece { attempt: run.attempt, czxid: run.id.czxid, stream, start: 0 };
        let files = self.settings.output_dir.as_ref().map(|root| (root.join(escape(run.id.task.as_str())), first));
        Capture::new(limits, files, progress)
    }
}

/// Runs `run` and reports about it.
pub(super) async fn serve(shop: Arc<Workshop>, run: Run, control: Arc<Control>, serial: u64, report: impl Fn(Report)) {
    let started = (Timestamp::now(), Instant::now());
    let (id, attempt) = (run.id.clone(), run.attempt);
    let [stdout, stderr] = shop.shelf.begin(&id, attempt, started.0);
    let mut captures = (shop.capture(&run, StreamName::Stdout, stdout), shop.capture(&run, StreamName::Stderr, stderr));
    let mut dead_at = None;
    let how = execute(&shop, run, &control, serial, &mut captures, &mut dead_at, &report).await;
    FAMILY.leave(serial);
    let (stdout, stderr) = (captures.0.finish(), captures.1.finish());
    shop.shelf.end(&id, attempt);
    let shipped = ship(&shop, &id, attempt, &how, &control, stdout.file.as_ref().or(stderr.file.as_ref())).await;
    report(Report::Ended(Box::new(RunEnded {
        id,
        how,
        stdout,
        stderr,
        shipped,
        started: started.0,
        ended: Timestamp::now(),
        took: started.1.elapsed(),
        dead_at,
    })));
}

async fn execute(
    shop: &Workshop,
    mut run: Run,
    control: &Control,
    serial: u64,
    captures: &mut (Capture, Capture),
    dead_at: &mut Option<Duration>,
    report: &impl Fn(Report),
) -> Ending {
    // Decided in time, but not begun in time: what starts now would be killed at once.
    if control.ordered().is_some() || shop.guardian.is_over() {
        return Ending::Killed;
    }
    match shop.settings.policy.permit(&run) {
        Ok(program) => run.program = program,
        Err(why) => return Ending::Rejected(Rejection::NotAllowed(why)),
    }
    let workplace = match shop.settings.policy.workplace() {
        Ok(workplace) => workplace,
        Err(error) => return not_started(&run.id, CannotStart::worker(format!("no directory for the task: {error}"))),
    };
    let how = attempt(shop, run, control, serial, captures, dead_at, workplace.as_ref(), report).await;
    if let Some(workplace) = workplace {
        workplace.clear().await;
    }
    how
}

/// The same, with all that it may have.
#[expect(clippy::too_many_arguments, reason = "one run, seen from all sides; a struct would only be taken apart again")]
async fn attempt(
    shop: &Workshop,
    mut run: Run,
    control: &Control,
    serial: u64,
    captures: &mut (Capture, Capture),
    dead_at: &mut Option<Duration>,
    workplace: Option<&Workplace>,
    report: &impl Fn(Report),
) -> Ending {
    let ground = Ground { shell: &shop.settings.shell, environment: &shop.environment, policy: &shop.settings.policy, workplace };
    let start = || spawn(&run, ground);
    let (nest, spawned) = match shop.cgroups.as_ref().filter(|_| run.program != Program::Noop) {
        Some(cgroups) => match cgroups.inside(start) {
            Ok(started) => started,
            Err(error) => return not_started(&run.id, CannotStart::worker(format!("no cgroup with its limits for the task: {error}"))),
        },
        None => (None, start()),
    };
    let spawned = match spawned {
        Ok(Some(spawned)) => spawned,
        Ok(None) => return Ending::Exited(0),
        Err(cannot) => return not_started(&run.id, cannot),
    };
    let _script = spawned.script;
    let mut leader = spawned.child;
    let Some(group) = leader.id().map(|pid| Pid::from_raw(pid.cast_signed())) else { return Ending::Killed };
    control.started(group);
    shop.guardian.add(group);
    report(Report::Started(RunStarted { id: run.id.clone(), pid: group.as_raw() }));

    let stdin = leader.stdin.take().zip(run.stdin.take());
    let pipes = (leader.stdout.take(), leader.stderr.take());
    let output = async {
        tokio::join!(pump(pipes.0, &mut captures.0), pump(pipes.1, &mut captures.1));
    };
    tokio::pin!(output);
    let limits = Patience { timeout: run.timeout, grace: shop.settings.kill_grace };
    let exit = control.exit(group, leader.wait());
    let mut closed = false;
    let (status, timed_out) = watch(exit, control, limits, stdin, output.as_mut(), &mut closed).await;
    let killed = shop.guardian.take_killed(group);
    *dead_at = killed.and_then(|killed| killed.dead_at).map(clock::from_kernel);
    let mut others = bury(group, &run.id).await;
    if let Some((cgroups, nest)) = shop.cgroups.as_ref().zip(nest) {
        others |= cgroups.clear(nest).await;
    }
    shop.guardian.remove(group);

    // From here on its marks are no longer those of a run that goes on: a sweep may kill what bears them.
    FAMILY.leave(serial);
    closed = closed || tokio::time::timeout(DRAIN, output.as_mut()).await.is_ok();
    let how = judge(status, timed_out, control.ordered().is_some() || killed.is_some());
    if let Some(sweeper) = &shop.sweeper {
        // Where something is likely to have escaped, the run has not ended before it is found.
        if closed && !others && matches!(how, Ending::Exited(_)) { sweeper.sweep_later() } else { sweeper.sweep().await }
    }
    if !closed {
        let _ = tokio::time::timeout(LAST_DRAIN, output.as_mut()).await;
    }
    how
}

fn not_started(id: &RunId, CannotStart { why, exit, blame }: CannotStart) -> Ending {
    if blame == Blame::Worker {
        warn!(task = %id.task, why, "this worker could not start a command");
    }
    Ending::NotStarted { exit, why }
}

fn judge(status: io::Result<ExitStatus>, timed_out: bool, ordered: bool) -> Ending {
    match status {
        _ if ordered => Ending::Killed,
        _ if timed_out => Ending::TimedOut,
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, signal) => Ending::Signalled(signal.unwrap_or_default()),
        },
        Err(error) => Ending::NotStarted { exit: 125, why: format!("this worker lost track of the process: {error}") },
    }
}

#[derive(Debug, Clone, Copy)]
struct Patience {
    timeout: Option<Duration>,
    grace: Duration,
}

// Until the leader has exited; by then its group is killed, not necessarily dead. The second value: whether it took too long.
async fn watch(
    exit: impl Future<Output = io::Result<ExitStatus>>,
    control: &Control,
    limits: Patience,
    stdin: Option<(ChildStdin, Vec<u8>)>,
    mut output: Pin<&mut impl Future<Output = ()>>,
    closed: &mut bool,
) -> (io::Result<ExitStatus>, bool) {
    tokio::pin!(exit);
    let input = feed(stdin);
    tokio::pin!(input);
    let (mut fed, mut timed_out) = (false, false);
    let mut timeout_at = limits.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut kill_at = None;
    loop {
        let alarm = kill_at.or(timeout_at);
        tokio::select! {
            status = exit.as_mut() => return (status, timed_out),
            () = output.as_mut(), if !*closed => *closed = true,
            () = input.as_mut(), if !fed => fed = true,
            () = control.wait_for_order() => {
                if let Some(Signalling::Terminate { grace }) = control.ordered() {
                    // Once: many programs take a second one for an order to end at once. The time that they have may change.
                    if kill_at.is_none() {
                        control.signal(Signal::SIGTERM);
                    }
                    kill_at = Instant::now().checked_add(grace);
                    timeout_at = None;
                }
            }
            () = tokio::time::sleep_until(alarm.unwrap_or_else(Instant::now).into()), if alarm.is_some() => {
                if kill_at.take().is_some() {
                    control.signal(Signal::SIGKILL);
                } else {
                    control.signal(Signal::SIGTERM);
                    kill_at = Instant::now().checked_add(limits.grace);
                    timed_out = true;
                }
                timeout_at = None;
            }
        }
    }
}

async fn feed(stdin: Option<(ChildStdin, Vec<u8>)>) {
    if let Some((mut pipe, bytes)) = stdin {
        // Nobody is obliged to read: an early end is no error.
        let _ = pipe.write_all(&bytes).await;
    }
}

// Waits until the killed group is dead, and reaps what of it was adopted. Says whether there was anybody besides the leader.
//
// Whoever of the group has lost his parent is our child: as long as one is not reaped the group's number stays ours.
async fn bury(group: Pid, id: &RunId) -> bool {
    let (begun, mut pause, mut found, mut warned) = (Instant::now(), Duration::from_millis(1), false, false);
    loop {
        match waitpid(Pid::from_raw(-group.as_raw()), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                found = true;
                let _ = killpg(group, Signal::SIGKILL);
                if !warned && begun.elapsed() > Duration::from_secs(5) {
                    warned = true;
                    warn!(task = %id.task, group = group.as_raw(), "a killed process does not die, its slot stays taken");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            Ok(_) => found = true,
            Err(Errno::EINTR) => {}
            Err(_) => return found,
        }
    }
}
