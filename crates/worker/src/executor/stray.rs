//! Processes that left their group (`setsid`, daemons) and outlive their run.
//!
//! We are a child subreaper: when their parents are gone they become our children, and our zombies. A sweep finds children that
//! nobody started on purpose, tells by the marks in their environment which run they came from, leaves them alone while that run
//! goes on, and kills and reaps the others. Children in our own process group belong to whoever embeds us and are not touched.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpgrp};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::control::{FAMILY, Portrait};
use crate::processes::{self, Process};

/// A sweep that nobody waits for: how long after its cause, so that it does not delay the result, and serves several.
const LATER: Duration = Duration::from_millis(20);
/// Such sweeps take at most one part in so many of a core.
const DUTY: u32 = 50;
/// How often to look while something runs for long.
const PERIOD: Duration = Duration::from_secs(10);
/// What a killed stray leaves behind is found in the next round; a fork bomb is not raced for ever.
const ROUNDS: usize = 40;

/// What tells the processes of one run from others: the marks that the caller put into its environment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Marker(BTreeSet<Vec<u8>>);

impl Marker {
    const NAMES: [&'static str; 4] = ["BELLWETHER_TASK", "BELLWETHER_ATTEMPT", "BELLWETHER_WORKER", "BELLWETHER_ELEMENT"];

    pub(super) fn of_run(env: &[(String, String)]) -> Self {
        let marks = env.iter().filter(|(name, _)| Self::NAMES.contains(&name.as_str()));
        Self(marks.map(|(name, value)| format!("{name}={value}").into_bytes()).collect())
    }

    fn of_process(pid: &str) -> Self {
        let is_mark = |entry: &Vec<u8>| {
            let name = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
            Self::NAMES.iter().any(|mark| mark.as_bytes() == name)
        };
        Self(processes::environment(pid).into_iter().filter(is_mark).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// Between `fork` and `exec` a new leader still shows our own environment.
static OWN: LazyLock<Marker> = LazyLock::new(|| Marker::of_process("self"));

/// Asks for sweeps.
#[derive(Debug, Clone)]
pub(super) struct Sweeper {
    requests: mpsc::UnboundedSender<Option<oneshot::Sender<()>>>,
    asked: Arc<AtomicBool>,
}

impl Sweeper {
    /// Starts sweeping on `runtime`, until the last handle is dropped.
    pub(super) fn start(runtime: &tokio::runtime::Handle) -> Self {
        // Bounded by design: one request per run that ends badly, and one of those nobody waits for.
        let (requests, inbox) = mpsc::unbounded_channel();
        let asked = Arc::new(AtomicBool::new(false));
        runtime.spawn(serve(inbox, Arc::clone(&asked)));
        Self { requests, asked }
    }

    /// Sweeps when there is time.
    pub(super) fn sweep_later(&self) {
        if !self.asked.swap(true, Ordering::Relaxed) {
            let _ = self.requests.send(None);
        }
    }

    /// Sweeps at once and waits for the end of it.
    pub(super) async fn sweep(&self) {
        let (done, answer) = oneshot::channel();
        if self.requests.send(Some(done)).is_ok() {
            let _ = answer.await;
        }
    }
}

async fn serve(mut inbox: mpsc::UnboundedReceiver<Option<oneshot::Sender<()>>>, asked: Arc<AtomicBool>) {
    let mut broom = Broom::default();
    let mut next = Instant::now();
    loop {
        let mut waiting = Vec::new();
        match tokio::time::timeout(PERIOD, inbox.recv()).await {
            Ok(Some(Some(done))) => waiting.push(done),
            Ok(Some(None)) => waiting.extend(wait_for_urgency(&mut inbox, next.max(Instant::now() + LATER)).await),
            Ok(None) => return,
            Err(_) if FAMILY.is_idle() => continue,
            Err(_) => {}
        }
        while let Ok(request) = inbox.try_recv() {
            waiting.extend(request);
        }
        // Before looking: what ends from now on asks again.
        asked.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        let swept = tokio::task::spawn_blocking(move || {
            broom.sweep();
            broom
        });
        let Ok(back) = swept.await else { return };
        broom = back;
        next = Instant::now() + begun.elapsed() * DUTY;
        for done in waiting {
            let _ = done.send(());
        }
    }
}

async fn wait_for_urgency(inbox: &mut mpsc::UnboundedReceiver<Option<oneshot::Sender<()>>>, until: Instant) -> Option<oneshot::Sender<()>> {
    loop {
        match tokio::time::timeout_at(until.into(), inbox.recv()).await {
            Ok(Some(Some(done))) => return Some(done),
            Ok(Some(None)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Sweeps, and remembers what it could not judge yet.
#[derive(Debug, Default)]
struct Broom {
    /// Processes without marks: they may belong to any run that was going on when they were first seen.
    unmarked: HashMap<i32, Instant>,
}

impl Broom {
    fn sweep(&mut self) {
        let mut killed = 0;
        for round in 0..ROUNDS {
            let adopted = adopted_candidates();
            let portrait = FAMILY.portrait();
            let adopted: Vec<_> = adopted.into_iter().filter(|it| !portrait.known.contains(&it.pid)).collect();
            self.unmarked.retain(|pid, _| adopted.iter().any(|it| it.pid == *pid));
            let found = adopted.iter().filter(|it| self.judge(**it, &portrait)).count();
            if found == 0 {
                break;
            }
            killed += found;
            std::thread::sleep(Duration::from_millis(if round < 10 { 1 } else { 5 }));
        }
        if killed > 0 {
            info!(signals = killed, "killed processes that outlived their task");
        }
    }

    // Says whether the process was killed.
    fn judge(&mut self, it: Process, portrait: &Portrait) -> bool {
        let pid = Pid::from_raw(it.pid);
        if it.zombie {
            // One that is just being started is reaped by whoever started it.
            if !portrait.starting {
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            return false;
        }
        if portrait.known.contains(&it.group) {
            return false;
        }
        let marker = Marker::of_process(&it.pid.to_string());
        let stray = if marker.is_empty() || marker == *OWN {
            let seen = *self.unmarked.entry(it.pid).or_insert_with(Instant::now);
            portrait.oldest.is_none_or(|oldest| oldest > seen)
        } else {
            !portrait.markers.contains(&marker)
        };
        stray && kill(pid, Signal::SIGKILL).is_ok()
    }
}

// Our children that are not in our own group.
fn adopted_candidates() -> Vec<Process> {
    let (us, group) = (std::process::id().cast_signed(), getpgrp().as_raw());
    processes::all().into_iter().filter(|it| it.parent == us && it.group != group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_apart_by_their_marks() {
        let env =
            |attempt: &str| vec![("BELLWETHER_TASK".to_owned(), "t".to_owned()), ("BELLWETHER_ATTEMPT".to_owned(), attempt.to_owned())];
        assert_ne!(Marker::of_run(&env("1")), Marker::of_run(&env("2")));
        let mut more = env("1");
        more.insert(0, ("HOME".to_owned(), "/".to_owned()));
        assert_eq!(Marker::of_run(&env("1")), Marker::of_run(&more));
        assert!(Marker::of_run(&[]).is_empty());
    }
}
