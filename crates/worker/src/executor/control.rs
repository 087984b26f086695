//! Who runs, and how it is stopped: the part of a run that any thread may touch.
//!
//! A process group is signalled only while its leader is known to be unreaped, under the lock that reaping takes: a number that
//! the kernel has given to somebody else is never signalled. Nothing here waits for anything.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::sync::{Notify, watch};

use super::stray::Marker;
use crate::handlers::Phase;

/// How a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signalling {
    /// SIGTERM, and SIGKILL when `grace` is over.
    Terminate {
        /// How long the task may take to end.
        grace: Duration,
    },
    /// SIGKILL.
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leader {
    Starting,
    Alive(Pid),
    Gone,
}

#[derive(Debug)]
struct State {
    leader: Leader,
    order: Option<Signalling>,
}

/// One run, as seen from outside.
#[derive(Debug)]
pub(super) struct Control {
    state: Mutex<State>,
    ordered: Notify,
    marker: Marker,
    since: Instant,
    /// Of a handler: how far its stopping is.
    phase: watch::Sender<Phase>,
    /// Of a handler: whether it is dropped now. Said after the phase, so that who hears of this one finds that everybody heard of that.
    dropped: watch::Sender<bool>,
    /// Of a handler: whether it holds its thread.
    hold: Mutex<Hold>,
    let_go: Condvar,
}

/// What a handler has of its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It is no handler, or has ended.
    No,
    /// It runs.
    Yes,
    /// It runs, and the process ends unless it ends soon.
    LastResort,
}

impl Control {
    pub(super) fn new(marker: Marker) -> Self {
        let state = Mutex::new(State { leader: Leader::Starting, order: None });
        let (phase, dropped, hold) = (watch::Sender::new(Phase::Running), watch::Sender::new(false), Mutex::new(Hold::No));
        Self { state, ordered: Notify::new(), marker, since: Instant::now(), phase, dropped, hold, let_go: Condvar::new() }
    }

    /// That of a handler.
    pub(super) fn of_handler(marker: Marker) -> Self {
        Self { hold: Mutex::new(Hold::Yes), ..Self::new(marker) }
    }

    /// How far the stopping of a handler is.
    pub(super) fn phase(&self) -> watch::Sender<Phase> {
        self.phase.clone()
    }

    /// The handler is polled once more and dropped.
    pub(super) fn drop_handler(&self) {
        self.phase.send_replace(Phase::Dropped);
        self.dropped.send_replace(true);
    }

    /// Hears when the handler is to be dropped.
    pub(super) fn dropping(&self) -> watch::Receiver<bool> {
        self.dropped.subscribe()
    }

    /// The handler holds no thread any more.
    pub(super) fn let_go(&self) {
        *lock(&self.hold) = Hold::No;
        self.let_go.notify_all();
    }

    /// The handler's task has ended for good without it: nobody else is given that, and so it may go on.
    pub(super) fn give_up(&self) {
        self.let_go();
    }

    /// Whether a handler holds a thread, of which nobody has asked before: somebody must see to its end.
    pub(super) fn is_last_resort_due(&self) -> bool {
        let mut hold = lock(&self.hold);
        let due = *hold == Hold::Yes;
        if due {
            *hold = Hold::LastResort;
        }
        due
    }

    /// Blocks until the handler has let go of its thread; says whether it did in time.
    pub(super) fn wait_until_let_go(&self, within: Duration) -> bool {
        let held = self.let_go.wait_timeout_while(lock(&self.hold), within, |hold| *hold != Hold::No);
        held.is_ok_and(|(hold, _)| *hold == Hold::No)
    }

    /// Orders the run to stop; the last order counts, but nothing takes back a SIGKILL. That one is sent before this returns,
    /// or, if the process is just being started, as soon as it has a number.
    pub(super) fn order(&self, order: Signalling) {
        let mut state = lock(&self.state);
        if state.order != Some(Signalling::Kill) {
            state.order = Some(order);
        }
        if order == Signalling::Kill {
            state.signal(Signal::SIGKILL);
            self.drop_handler();
        }
        drop(state);
        self.ordered.notify_one();
    }

    /// What was ordered so far.
    pub(super) fn ordered(&self) -> Option<Signalling> {
        lock(&self.state).order
    }

    /// Waits until something new may have been ordered.
    pub(super) async fn wait_for_order(&self) {
        self.ordered.notified().await;
    }

    /// The process exists.
    pub(super) fn started(&self, pid: Pid) {
        let mut state = lock(&self.state);
        state.leader = Leader::Alive(pid);
        if state.order == Some(Signalling::Kill) {
            state.signal(Signal::SIGKILL);
        }
    }

    /// Signals the group, if its leader still pins its number.
    pub(super) fn signal(&self, signal: Signal) {
        lock(&self.state).signal(signal);
    }

    /// Waits for the leader with `wait`, which reaps it, and kills what it left in its group, before its number can become free.
    pub(super) async fn exit(&self, leader: Pid, wait: impl Future<Output = io::Result<ExitStatus>>) -> io::Result<ExitStatus> {
        let mut wait = pin!(wait);
        poll_fn(|context| {
            let mut state = lock(&self.state);
            let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            if waitid(Id::Pid(leader), look).is_ok_and(|status| status != WaitStatus::StillAlive) {
                state.signal(Signal::SIGKILL);
            }
            let exit = wait.as_mut().poll(context);
            if exit.is_ready() {
                state.leader = Leader::Gone;
            }
            exit
        })
        .await
    }
}

impl State {
    fn signal(&self, signal: Signal) {
        if let Leader::Alive(pid) = self.leader {
            // ESRCH cannot be (the leader is not reaped), EPERM only if all of the group changed its user: nothing to do.
            let _ = killpg(pid, signal);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All processes that this process has started on purpose, whichever executor it was: what else is our child was adopted.
#[derive(Debug, Default)]
pub(crate) struct Family {
    runs: Mutex<HashMap<u64, Arc<Control>>>,
    others: Mutex<HashSet<i32>>,
}

/// The one family of this process: the kernel knows only one, too.
pub(crate) static FAMILY: LazyLock<Family> = LazyLock::new(Family::default);

/// What the family looked like at one moment.
#[derive(Debug)]
pub(super) struct Portrait {
    /// Leaders that are not reaped, and other processes of ours.
    pub(super) known: HashSet<i32>,
    /// Markers of the runs that go on.
    pub(super) markers: HashSet<Marker>,
    /// Whether some process exists whose number is not known yet.
    pub(super) starting: bool,
    /// Since when the oldest run goes on.
    pub(super) oldest: Option<Instant>,
}

impl Family {
    pub(super) fn join(&self, serial: u64, control: Arc<Control>) {
        lock(&self.runs).insert(serial, control);
    }

    pub(super) fn leave(&self, serial: u64) {
        lock(&self.runs).remove(&serial);
    }

    pub(super) fn is_idle(&self) -> bool {
        lock(&self.runs).is_empty()
    }

    /// Starts a process that is no run: nobody sees it before it is known.
    pub(crate) fn start_other(&self, start: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
        let mut others = lock(&self.others);
        let child = start()?;
        others.insert(child.id().cast_signed());
        Ok(child)
    }

    /// That process is reaped.
    pub(crate) fn other_ended(&self, pid: u32) {
        lock(&self.others).remove(&pid.cast_signed());
    }

    pub(super) fn portrait(&self) -> Portrait {
        let mut known = lock(&self.others).clone();
        let (mut markers, mut starting, mut oldest) = (HashSet::new(), false, None::<Instant>);
        for control in lock(&self.runs).values() {
            match lock(&control.state).leader {
                Leader::Starting => starting = true,
                Leader::Alive(pid) => {
                    known.insert(pid.as_raw());
                }
                Leader::Gone => {}
            }
            markers.insert(control.marker.clone());
            oldest = Some(oldest.map_or(control.since, |oldest| oldest.min(control.since)));
        }
        Portrait { known, markers, starting, oldest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hears_that_a_handler_is_dropped_finds_that_it_was_told() {
        let control = Arc::new(Control::of_handler(Marker::of_run(&[])));
        let (phase, dropping) = (control.phase().subscribe(), control.dropping());
        // Nobody can say the second as long as this is looked at.
        let unheard = dropping.borrow();
        let dropper = Arc::clone(&control);
        let drops = std::thread::spawn(move || dropper.drop_handler());
        let until = Instant::now() + Duration::from_secs(10);
        while *phase.borrow() != Phase::Dropped {
            assert!(Instant::now() < until, "the handler was not told first");
            std::thread::yield_now();
        }
        drop(unheard);
        drops.join().expect("it ends");
        assert!(*dropping.borrow());
    }
}
