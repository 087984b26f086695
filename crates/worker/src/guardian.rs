//! The guardian: a small process that kills what a worker runs when the worker is gone, `kill -9` included, or frozen for too long.
//!
//! It is the worker's own executable, started with a hidden first argument, and learns over a pipe what runs, and until when that may
//! go on: a moment of the kernel's monotonic clock, which both read alike, so that no delay on the way counts as life. When the pipe
//! closes, or the moment is over, it sends SIGKILL to every group that is registered, then to every process that bears the worker's
//! incarnation in its environment, and to every process in a run's cgroup, where runs have cgroups. At the end of the pipe it exits.
//! When a moment was over it goes on, and says over a second pipe what it killed before it does, and when it was dead: a worker that
//! wakes up must not take that for the end of its task. Without cgroups, what changes its session *and* clears its environment
//! escapes.
//!
//! A program whose `main` does not call [`run_if_asked`] cannot have one: [`GuardianMode::None`] then means that its tasks go on
//! when it is killed.

mod watch;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bellwether_common::clock;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;
use tracing::{error, warn};

use crate::executor::FAMILY;

pub(crate) use watch::may_be_asked;
pub use watch::run_if_asked;

const ARGUMENT: &str = "--guardian";
const READY: &[u8] = b"ready\n";
/// How long a new guardian may take to say that it is one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before another attempt to start one.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait before listening again to one that has said something.
const GLANCE: Duration = Duration::from_millis(10);

/// Whether somebody kills the tasks of a worker that was killed itself.
#[derive(Debug, Clone)]
pub enum GuardianMode {
    /// A guardian does.
    Process(Arc<Guardian>),
    /// Nobody: for programs that embed a worker and whose `main` does not call [`run_if_asked`]. When such a program is killed
    /// with SIGKILL its tasks go on, and may then run twice at the same time.
    None,
    /// There is nothing but handlers, which end with the process: the moment until which they may go on is all that is kept.
    Handlers(Arc<AtomicU64>),
}

impl GuardianMode {
    /// For a worker that runs no commands.
    #[must_use]
    pub fn handlers() -> Self {
        Self::Handlers(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

/// Why there is no guardian.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardianError {
    /// The process could not be started.
    #[error("the guardian cannot be started: {0}")]
    Start(#[from] io::Error),
    /// The executable does something else: its `main` does not call [`run_if_asked`] first.
    #[error("{0} does not act as a guardian when it is asked to")]
    NotOne(PathBuf),
}

/// A running guardian, replaced when it dies.
#[derive(Debug)]
pub struct Guardian {
    program: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    child: Child,
    /// Taken when we let go.
    pipe: Option<ChildStdin>,
    /// Says what it kills, and closes when it dies.
    voice: ChildStdout,
    /// The beginning of a line whose end was not heard yet.
    murmur: Vec<u8>,
    groups: HashSet<i32>,
    workers: BTreeSet<String>,
    /// By the kernel's monotonic clock.
    deadline: Option<Duration>,
    /// Below which each run has a cgroup of its own.
    home: Option<PathBuf>,
    /// What it killed because a deadline was over.
    killed: HashMap<i32, Killed>,
}

/// A group that the guardian killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Killed {
    /// From when on it was dead for certain, on the kernel's monotonic clock.
    pub(crate) dead_at: Option<Duration>,
}

impl Guardian {
    /// Starts a guardian from this process's own executable, even if the file was replaced since. Waits until it is ready: some
    /// milliseconds.
    ///
    /// # Errors
    /// [`GuardianError`]: run without, as [`GuardianMode::None`], or not at all.
    pub fn spawn() -> Result<Arc<Self>, GuardianError> {
        Self::spawn_from("/proc/self/exe")
    }

    /// Starts a guardian from another executable, whose `main` calls [`run_if_asked`] first.
    ///
    /// # Errors
    /// As [`Guardian::spawn`].
    pub fn spawn_from(program: impl AsRef<Path>) -> Result<Arc<Self>, GuardianError> {
        let program = program.as_ref().to_owned();
        let (child, pipe, voice) = start(&program)?;
        let state = State {
            child,
            pipe: Some(pipe),
            voice,
            murmur: Vec::new(),
            groups: HashSet::new(),
            workers: BTreeSet::new(),
            deadline: None,
            home: None,
            killed: HashMap::new(),
        };
        Ok(Arc::new(Self { program, state: Mutex::new(state) }))
    }

    /// Tells by which incarnation's mark (`BELLWETHER_WORKER`) tasks are recognised. An earlier one stays valid.
    pub fn set_worker(&self, incarnation: &str) {
        let mut state = self.lock();
        state.workers.insert(incarnation.to_owned());
        self.tell(&mut state, &format!("worker {incarnation}\n"));
    }

    /// Tells below which cgroup each run has one of its own: all that is in those is killed, too.
    pub fn set_cgroups(&self, home: &Path) {
        let mut state = self.lock();
        state.home = Some(home.to_owned());
        self.tell(&mut state, &home_line(home));
    }

    /// Tells until when what runs may go on, on the [kernel's monotonic clock](clock::kernel). A later call replaces it; without any,
    /// there is no end. What is started after it is killed as soon as it is seen.
    pub fn set_deadline(&self, at: Duration) {
        let mut state = self.lock();
        state.deadline = Some(at);
        self.tell(&mut state, &deadline_line(at));
    }

    /// The process, which changes when it is replaced.
    pub fn pid(&self) -> u32 {
        self.lock().child.id()
    }

    fn add(&self, group: i32) {
        let mut state = self.lock();
        state.groups.insert(group);
        // One of the same number, long ago.
        state.killed.remove(&group);
        self.tell(&mut state, &format!("+{group}\n"));
    }

    fn remove(&self, group: i32) {
        let mut state = self.lock();
        state.groups.remove(&group);
        self.tell(&mut state, &format!("-{group}\n"));
    }

    fn is_over(&self) -> bool {
        self.lock().deadline.is_some_and(|deadline| deadline <= clock::kernel())
    }

    /// Whether it killed this group. Asked when the group's leader is dead: by then it has said so.
    fn take_killed(&self, group: i32) -> Option<Killed> {
        let mut state = self.lock();
        state.listen();
        state.killed.remove(&group)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A line is shorter than PIPE_BUF: it is written whole or not at all. A pipe that is full or broken means that nobody reads it.
    fn tell(&self, state: &mut State, line: &str) {
        if let Err(error) = state.write(line) {
            warn!(%error, "the guardian does not listen");
            self.replace(state);
        }
    }

    fn replace(&self, state: &mut State) {
        let _ = state.child.kill();
        let _ = state.child.wait();
        FAMILY.other_ended(state.child.id());
        // Its last words.
        state.listen();
        match start(&self.program) {
            Ok((child, pipe, voice)) => {
                warn!(pid = child.id(), "the guardian was replaced");
                (state.child, state.pipe, state.voice) = (child, Some(pipe), voice);
                state.murmur.clear();
                let deadline = state.deadline.map(deadline_line).into_iter().chain(state.home.as_deref().map(home_line));
                let workers = state.workers.iter().map(|worker| format!("worker {worker}\n"));
                let all: String = workers.chain(deadline).chain(state.groups.iter().map(|group| format!("+{group}\n"))).collect();
                if let Err(error) = state.write(&all) {
                    error!(%error, "the new guardian does not listen either");
                }
            }
            Err(error) => error!(%error, "no guardian: tasks would outlive a killed worker"),
        }
    }

    /// Whether it had to be replaced.
    fn replace_if_dead(&self) -> bool {
        let mut state = self.lock();
        state.listen();
        let dead = !matches!(state.child.try_wait(), Ok(None));
        if dead {
            self.replace(&mut state);
        }
        dead
    }

    /// Something that becomes readable when it says something, or dies.
    fn ear(&self) -> io::Result<OwnedFd> {
        self.lock().voice.as_fd().try_clone_to_owned()
    }
}

impl State {
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.pipe.as_mut().map_or(Ok(()), |pipe| pipe.write_all(text.as_bytes()))
    }

    /// Takes in all that was said so far; waits for nothing.
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = self.voice.read(&mut buffer) {
            self.murmur.extend_from_slice(&buffer[..n]);
        }
        let Some(end) = self.murmur.iter().rposition(|byte| *byte == b'\n') else { return };
        let said: Vec<u8> = self.murmur.drain(..=end).collect();
        String::from_utf8_lossy(&said).lines().for_each(|line| self.hear(line));
    }

    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (verb, group) = (words.next(), words.next().and_then(|word| word.parse().ok()));
        match (verb, group) {
            (Some("killing"), Some(group)) => {
                self.killed.insert(group, Killed::default());
            }
            (Some("dead"), Some(group)) => {
                let at = words.next().and_then(|word| word.parse().ok()).map(Duration::from_nanos);
                if let Some(killed) = self.killed.get_mut(&group) {
                    killed.dead_at = at;
                }
            }
            _ => {}
        }
    }
}

fn home_line(home: &Path) -> String {
    format!("cgroup {}\n", home.display())
}

fn deadline_line(at: Duration) -> String {
    format!("!{}\n", at.as_nanos())
}

impl Drop for Guardian {
    // An orderly end: the pipe closes, the guardian kills what is left and exits by itself. It is reaped here, or left to init.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.pipe = None;
        let deadline = Instant::now() + PAUSE;
        while matches!(state.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        FAMILY.other_ended(state.child.id());
    }
}

impl GuardianMode {
    /// Tells by which incarnation's mark tasks are recognised.
    pub fn set_worker(&self, incarnation: &str) {
        if let Self::Process(guardian) = self {
            guardian.set_worker(incarnation);
        }
    }

    /// Tells below which cgroup each run has one of its own.
    pub fn set_cgroups(&self, home: &Path) {
        if let Self::Process(guardian) = self {
            guardian.set_cgroups(home);
        }
    }

    /// Tells until when what runs may go on, on the [kernel's monotonic clock](clock::kernel).
    pub fn set_deadline(&self, at: Duration) {
        match self {
            Self::Process(guardian) => guardian.set_deadline(at),
            Self::Handlers(until) => until.store(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst),
            Self::None => {}
        }
    }

    /// Whether nothing may run any more.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Process(guardian) => guardian.is_over(),
            Self::Handlers(until) => clock::kernel().as_nanos() >= u128::from(until.load(Ordering::SeqCst)),
            Self::None => false,
        }
    }

    /// Whether the guardian killed a group whose leader is dead.
    pub(crate) fn take_killed(&self, group: Pid) -> Option<Killed> {
        match self {
            Self::Process(guardian) => guardian.take_killed(group.as_raw()),
            Self::None | Self::Handlers(_) => None,
        }
    }

    pub(crate) fn add(&self, group: Pid) {
        if let Self::Process(guardian) = self {
            guardian.add(group.as_raw());
        }
    }

    pub(crate) fn remove(&self, group: Pid) {
        if let Self::Process(guardian) = self {
            guardian.remove(group.as_raw());
        }
    }

    /// Replaces the guardian whenever it dies, as long as it has an owner.
    pub(crate) fn keep_alive(&self, runtime: &tokio::runtime::Handle) {
        let Self::Process(guardian) = self else { return };
        let guardian = Arc::downgrade(guardian);
        runtime.spawn(async move {
            loop {
                // Not its owner while we wait: it must be able to end.
                let Some(ear) = guardian.upgrade().map(|guardian| guardian.ear()) else { return };
                if let Some(pipe) = ear.ok().and_then(|ear| Receiver::from_owned_fd(ear).ok()) {
                    let _ = pipe.readable().await;
                }
                let Some(guardian) = guardian.upgrade() else { return };
                match tokio::task::spawn_blocking(move || guardian.replace_if_dead()).await {
                    // One that dies again and again must not keep us busy.
                    Ok(true) => tokio::time::sleep(PAUSE).await,
                    Ok(false) => tokio::time::sleep(GLANCE).await,
                    Err(_) => return,
                }
            }
        });
    }
}

fn start(program: &Path) -> Result<(Child, ChildStdin, ChildStdout), GuardianError> {
    let named = || std::env::current_exe().ok().filter(|_| program.starts_with("/proc/self")).unwrap_or_else(|| program.to_owned());
    // A program that ignores its arguments and starts a guardian, and so on without end.
    if std::env::args_os().nth(1).is_some_and(|first| first == ARGUMENT) {
        return Err(GuardianError::NotOne(named()));
    }
    let name = std::env::args_os().next().unwrap_or_else(|| OsString::from("bellwether-worker"));
    let mut command = Command::new(program);
    command.arg0(name).arg(ARGUMENT).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = FAMILY.start_other(|| command.spawn())?;
    if let (Some(pipe), Some(voice)) = (child.stdin.take(), child.stdout.take().and_then(hear)) {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        fcntl(&voice, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        return Ok((child, pipe, voice));
    }
    let _ = child.kill();
    let _ = child.wait();
    FAMILY.other_ended(child.id());
    Err(GuardianError::NotOne(named()))
}

// Whether it says the right word in time.
fn hear(mut voice: ChildStdout) -> Option<ChildStdout> {
    let (heard, answer) = mpsc::channel();
    let listener = std::thread::Builder::new().name("guardian-start".to_owned()).spawn(move || {
        let mut word = [0; READY.len()];
        let right = voice.read_exact(&mut word).is_ok() && word == READY;
        let _ = heard.send(right.then_some(voice));
    });
    listener.ok().and_then(|_| answer.recv_timeout(PATIENCE).ok().flatten())
}
