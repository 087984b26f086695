//! The guardian's side: a process that reads a pipe, and kills at its end or when a deadline is over. No async, no logging, no
//! configuration: it must not fail.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_common::clock;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;

use super::{ARGUMENT, READY};
use crate::executor::cgroup;
use crate::{processes, stub};

/// How long to let lines gather: a wake-up for each of them would cost as much as the tasks.
const GATHER: Duration = Duration::from_millis(10);
/// How often to look for marked processes again. Those that are found are dead by the next round.
const ROUNDS: usize = 100;
/// How long the dead may take to die before nobody waits for them any more.
const BURIAL: Duration = Duration::from_secs(2);
const BETWEEN_KILLS: Duration = Duration::from_millis(2);
/// How often to look after a deadline is over, and how far apart: what was just being started shows its mark a moment later.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Whether this process would act as a guardian if it were started as one.
static ASKS: AtomicBool = AtomicBool::new(false);

/// Whether `main` has called [`run_if_asked`].
pub(crate) fn may_be_asked() -> bool {
    ASKS.load(Ordering::SeqCst)
}

/// Acts as a guardian, and ends the process, if that is what it was started for; or puts limits on itself and becomes the command of a
/// task. The first thing that `main` calls, before there are threads.
///
/// ```no_run
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     bellwether_worker::guardian::run_if_asked();
///     let worker = bellwether_worker::Worker::builder("zk1:2181").shell();
///     tokio::runtime::Runtime::new()?.block_on(worker.run_until(std::future::pending()))?;
///     Ok(())
/// }
/// ```
pub fn run_if_asked() {
    ASKS.store(true, Ordering::SeqCst);
    stub::become_if_asked();
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == ARGUMENT) && arguments.next().is_none() {
        guard();
        std::process::exit(0);
    }
}

fn guard() {
    // Blocked, not ignored: it has the same effect and needs no handler. We end when the worker does, not when it is asked to.
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE] {
        signals.add(signal);
    }
    let _ = signals.thread_block();
    if io::stdout().write_all(READY).and_then(|()| io::stdout().flush()).is_err() {
        return;
    }
    // A worker that does not listen, because it is frozen, must not hold us up.
    let _ = fcntl(io::stdout(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
    let mut book = Book::default();
    let mut pipe = io::stdin().lock();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // What waits in the pipe comes first: a later deadline may be among it, if it was us who were frozen.
        if !is_readable(&pipe, book.patience(clock::kernel())) {
            book.strike_if_over(clock::kernel(), || is_readable(&pipe, Some(Duration::ZERO)));
            continue;
        }
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                book.read(&buffer[..n]);
                if n < buffer.len() {
                    book.strike_if_over(clock::kernel(), || is_readable(&pipe, Some(Duration::ZERO)));
                }
                std::thread::sleep(GATHER.min(book.patience(clock::kernel()).unwrap_or(GATHER)));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    book.close();
}

fn is_readable(pipe: &impl AsFd, patience: Option<Duration>) -> bool {
    // Rounded up: no use in waking a moment too early.
    let timeout = patience
        .map_or(PollTimeout::NONE, |patience| PollTimeout::try_from(patience + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX));
    let mut looks = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut looks, timeout).is_ok_and(|ready| ready > 0)
}

/// What runs, and until when it may.
#[derive(Debug, Default, PartialEq, Eq)]
struct Book {
    groups: HashSet<i32>,
    marks: BTreeSet<Vec<u8>>,
    /// By the kernel's monotonic clock.
    deadline: Option<Duration>,
    /// Groups that were killed when a deadline was over, until the worker crosses them out.
    struck: HashSet<i32>,
    /// How often it was looked since the deadline was over.
    looks: u32,
    /// Below which each run has a cgroup of its own.
    home: Option<PathBuf>,
    /// The beginning of a line whose end has not arrived.
    rest: Vec<u8>,
}

impl Book {
    fn read(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        for line in lines.split(|byte| *byte == b'\n') {
            self.note(line);
        }
    }

    fn note(&mut self, line: &[u8]) {
        let group = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<i32>().ok().filter(|group| *group > 1);
        match line {
            [b'+', digits @ ..] => {
                if let Some(group) = group(digits) {
                    self.groups.insert(group);
                    self.struck.remove(&group);
                }
            }
            [b'-', digits @ ..] => {
                if let Some(group) = group(digits) {
                    self.groups.remove(&group);
                    self.struck.remove(&group);
                }
            }
            [b'!', digits @ ..] => {
                let nanos = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                self.deadline = nanos.map(Duration::from_nanos).or(self.deadline);
                self.looks = 0;
            }
            _ => {
                if let Some(worker) = line.strip_prefix(b"worker ").filter(|worker| !worker.is_empty()) {
                    self.marks.insert([b"BELLWETHER_WORKER=", worker].concat());
                } else if let Some(home) = line.strip_prefix(b"cgroup /") {
                    self.home = Some(Path::new("/").join(OsStr::from_bytes(home)));
                    step_out(self.home.as_deref());
                }
            }
        }
    }

    /// How long nothing needs to be done; `None` for as long as nothing is said.
    fn patience(&self, now: Duration) -> Option<Duration> {
        let deadline = self.deadline?;
        if now < deadline {
            Some(deadline - now)
        } else if self.has_targets() {
            Some(Duration::ZERO)
        } else {
            (self.looks < LOOKS).then_some(BETWEEN_LOOKS)
        }
    }

    fn has_targets(&self) -> bool {
        self.groups.iter().any(|group| !self.struck.contains(group))
    }

    fn strike_if_over(&mut self, now: Duration, has_news: impl Fn() -> bool) {
        let over = self.deadline.is_some_and(|deadline| deadline <= now);
        if over && (self.has_targets() || self.looks < LOOKS) {
            self.looks = self.looks.saturating_add(1);
            self.strike(has_news);
        }
    }

    /// Kills what is registered, and whatever else bears a mark, and says what died when. It is said first: whoever sees a process
    /// dead by our hand can know it.
    fn strike(&mut self, has_news: impl Fn() -> bool) {
        let targets: Vec<i32> = self.groups.difference(&self.struck).copied().collect();
        say(targets.iter().map(|group| format!("killing {group}\n")).collect());
        for group in &targets {
            let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
        }
        self.kill_strays(has_news);
        self.struck.extend(&targets);
        await_death(targets);
    }

    /// What left its group, told by its cgroup or by its marks.
    fn strays(&self) -> Vec<i32> {
        // The worker may be frozen with a thread in one of the cgroups.
        let worker = std::os::unix::process::parent_id();
        let nested = self.home.iter().flat_map(|home| cgroup::nests(home)).flat_map(|nest| cgroup::strangers_in(&nest, worker));
        nested.chain(marked_processes(&self.marks)).collect()
    }

    /// Kills strays until there are none. A deadline is renewed before anything is started on the strength of it: so whoever was seen
    /// before a look that found nothing new in the pipe was started under the old one. Nobody else may be killed, for nobody else is told.
    fn kill_strays(&self, has_news: impl Fn() -> bool) {
        let begun = Instant::now();
        while begun.elapsed() < BURIAL {
            let strays = self.strays();
            if strays.is_empty() || has_news() {
                return;
            }
            for pid in strays {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(BETWEEN_KILLS);
        }
    }

    fn close(self) {
        for group in &self.groups {
            let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
        }
        for _ in 0..ROUNDS {
            let nests = self.home.iter().flat_map(|home| cgroup::nests(home));
            // If the worker is gone, this is the number of somebody who is in none of them.
            let worker = std::os::unix::process::parent_id();
            let nested: usize = nests.map(|nest| cgroup::kill_members(&nest, worker)).sum();
            let marked = marked_processes(&self.marks);
            let killed = marked.into_iter().filter(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok()).count();
            // An orderly worker removes its cgroup itself, and may still be in it now; a dead one leaves it a moment after its pipe.
            if nested + killed == 0 && self.home.as_ref().is_none_or(|home| !home.exists() || cgroup::remove(home)) {
                return;
            }
            std::thread::sleep(GATHER);
        }
    }
}

/// Waits until nobody of these groups lives, and says since when.
fn await_death(mut groups: Vec<i32>) {
    let begun = Instant::now();
    while !groups.is_empty() && begun.elapsed() < BURIAL {
        let living: HashSet<i32> = processes::all().into_iter().filter(|it| !it.zombie).map(|it| it.group).collect();
        // Read after they were looked at: never too early.
        let now = clock::kernel().as_nanos();
        let (dying, dead): (Vec<i32>, Vec<i32>) = groups.into_iter().partition(|group| living.contains(group));
        say(dead.iter().map(|group| format!("dead {group} {now}\n")).collect());
        groups = dying;
        if !groups.is_empty() {
            std::thread::sleep(BETWEEN_KILLS);
        }
    }
}

/// A guardian that was started later stands where its worker stands, and could not clean up behind it.
fn step_out(home: Option<&Path>) {
    let standing = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let inside = home.and_then(Path::file_name).and_then(OsStr::to_str).is_some_and(|name| standing.contains(name));
    if let Some(base) = home.and_then(Path::parent).filter(|_| inside) {
        let _ = std::fs::write(base.join("cgroup.procs"), std::process::id().to_string());
    }
}

/// To a worker that may be frozen: what does not fit into the pipe is lost, and the worker relies on its own eyes then.
fn say(lines: String) {
    let mut voice = io::stdout().lock();
    let _ = voice.write_all(lines.as_bytes()).and_then(|()| voice.flush());
}

fn marked_processes(marks: &BTreeSet<Vec<u8>>) -> Vec<i32> {
    let us = std::process::id().cast_signed();
    let marked = |pid: i32| processes::environment(&pid.to_string()).iter().any(|entry| marks.contains(entry));
    processes::all().into_iter().filter(|it| !it.zombie && it.pid != us && marked(it.pid)).map(|it| it.pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_book_takes_lines_in_any_pieces() {
        let text = b"worker w-1\n+10\n+11\n-10\nnonsense\n!7000000000\n!x\n+0\n+-5\nworker \n+12\n+13";
        let expected = Book {
            groups: HashSet::from([11, 12]),
            marks: BTreeSet::from([b"BELLWETHER_WORKER=w-1".to_vec()]),
            deadline: Some(seconds(7)),
            rest: b"+13".to_vec(),
            ..Book::default()
        };
        for size in [1, 2, 3, 7, 100] {
            let mut book = Book::default();
            text.chunks(size).for_each(|piece| book.read(piece));
            assert_eq!(book, expected, "pieces of {size}");
        }
    }

    #[test]
    fn patience_ends_with_the_deadline_and_a_later_one_renews_it() {
        let mut book = Book::default();
        book.read(b"+10\n");
        assert_eq!(book.patience(seconds(100)), None, "nobody named a deadline");
        book.read(b"!7000000000\n");
        assert_eq!(book.patience(seconds(5)), Some(seconds(2)));
        assert_eq!(book.patience(seconds(7)), Some(Duration::ZERO));
        book.read(b"!9000000000\n");
        assert_eq!(book.patience(seconds(7)), Some(seconds(2)));
    }

    #[test]
    fn nobody_is_killed_who_may_have_been_started_on_a_renewed_deadline() {
        let mark = format!("BELLWETHER_WORKER=watch-test-{}", std::process::id());
        let (name, value) = mark.split_once('=').expect("both");
        let mut child = std::process::Command::new("sleep").arg("1000").env(name, value).spawn().expect("a process");
        let book = Book { marks: BTreeSet::from([mark.clone().into_bytes()]), ..Book::default() };
        let begun = Instant::now();
        while book.strays().is_empty() {
            assert!(begun.elapsed() < seconds(30), "its mark is not seen");
        }
        book.kill_strays(|| true);
        assert!(matches!(child.try_wait(), Ok(None)), "there was news: it may be a new one");
        book.kill_strays(|| false);
        assert_eq!(child.wait().expect("an end").code(), None, "it was of the old time");
    }

    #[test]
    fn what_is_started_after_the_deadline_is_a_target_at_once_and_what_was_struck_is_none() {
        let mut book = Book { deadline: Some(seconds(7)), looks: LOOKS, ..Book::default() };
        assert_eq!(book.patience(seconds(8)), None, "there is nothing to do");
        book.read(b"+10\n");
        assert_eq!(book.patience(seconds(8)), Some(Duration::ZERO));
        book.struck.insert(10);
        assert_eq!(book.patience(seconds(8)), None);
        book.read(b"-10\n+10\n");
        assert_eq!(book.patience(seconds(8)), Some(Duration::ZERO), "another group of the same number");
    }
}
