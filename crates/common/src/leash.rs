//! A child process that cannot outlive this one.
//!
//! What lives here: starting a program so that it is killed when its handle is dropped *and* when this process ends in whatever
//! way, `kill -9` included. Used for a private ZooKeeper, for the services of a local cluster, and by the tests. What does not:
//! how a worker runs tasks.
//!
//! Linux could do this with `PR_SET_PDEATHSIG`, but that has to be set between fork and exec, which takes unsafe code, and it
//! is tied to the *thread* that started the child. So a shell starts first: it leaves behind a watchdog that holds one end of a
//! pipe, and then becomes the program. The kernel closes our end whatever becomes of us, and the watchdog kills the program.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// `$1` stdin, `$2` stdout, `$3` stderr, then the program and its arguments; the pipe to the owner is the shell's stdin.
///
/// The watchdog is orphaned by its parent's end, so that the program, which inherits this process, finds no child that it never
/// started. A line on the pipe says that the program is gone and its process id may belong to somebody else. It is not the
/// program that runs in the background, because a shell without job control makes such processes deaf to SIGINT.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
(
    (
        trap '' HUP TERM
        read -r _ <&3 || kill -9 "$$"
    ) &
)
input=$1 output=$2 errors=$3
shift 3
exec "$@" <"$input" >>"$output" 2>>"$errors" 3<&-
"#;

/// Where the program's standard streams go. All paths must be absolute.
#[derive(Debug, Clone)]
pub struct Streams {
    /// What it reads.
    pub input: PathBuf,
    /// What it prints is appended here.
    pub output: PathBuf,
    /// Its errors are appended here; may be the same file as `output`.
    pub errors: PathBuf,
}

impl Streams {
    /// Nothing to read, and one log for everything it says.
    #[must_use]
    pub fn log(path: &Path) -> Self {
        Self { input: PathBuf::from("/dev/null"), output: path.to_owned(), errors: path.to_owned() }
    }
}

/// A running program that dies with this handle and with this process. It has a process group of its own, so that Ctrl-C in a
/// terminal reaches us alone and we end the others in good order.
#[derive(Debug)]
pub struct Leash {
    pid: Pid,
    child: Mutex<Watched>,
}

#[derive(Debug)]
struct Watched {
    child: Child,
    pipe: Option<ChildStdin>,
    exit: Option<i32>,
}

impl Leash {
    /// Starts `command`: its program, arguments, added and removed environment and directory. Its own streams and `env_clear`
    /// are not looked at.
    ///
    /// # Errors
    /// There is no shell or no process could be started. A program that does not exist is started all the same, and ends with
    /// code 127 and a line in its errors, as in a shell.
    pub fn spawn(command: &Command, streams: &Streams) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "leash"]).args([&streams.input, &streams.output, &streams.errors]);
        shell.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            set_or_remove(&mut shell, key, value);
        }
        if let Some(dir) = command.get_current_dir() {
            shell.current_dir(dir);
        }
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = shell.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let pipe = child.stdin.take();
        Ok(Self { pid: Pid::from_raw(pid), child: Mutex::new(Watched { child, pipe, exit: None }) })
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a signal; does nothing if the program has ended.
    pub fn signal(&self, signal: Signal) {
        if self.exit_code().is_none() {
            // It may end at this very moment: then there is nobody left to tell.
            let _ = signal::kill(self.pid, signal);
        }
    }

    /// SIGSTOP, and waits until it stands still: the kernel stops one thread after the other, and one that still ran could answer once
    /// more. Not for longer than a second: a thread that waits for a disk stops when that has answered.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let begun = Instant::now();
        while self.exit_code().is_none() && !self.stands_still() && begun.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stands_still(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else { return true };
        let stopped = |stat: &str| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
        // A thread that is gone stands still, too.
        threads
            .flatten()
            .all(|thread| std::fs::read_to_string(thread.path().join("stat")).is_ok_and(|stat| stopped(&stat)) || !thread.path().exists())
    }

    /// Its exit code, or 128 + the signal that ended it; `None` while it runs.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.child().poll()
    }

    /// Whether it has not ended yet. A stopped program is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.exit_code().is_none()
    }

    /// Waits until it has ended, at most `limit`. Blocks the calling thread.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        loop {
            let code = self.exit_code();
            if code.is_some() || Instant::now() >= deadline {
                return code;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        let _ = self.wait(Duration::from_secs(10));
    }

    /// SIGTERM, and waits for its exit code; SIGKILL when `grace` is over.
    pub fn stop(&self, grace: Duration) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        let code = self.wait(grace);
        if code.is_none() {
            self.kill();
        }
        code
    }

    fn child(&self) -> MutexGuard<'_, Watched> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn poll(&mut self) -> Option<i32> {
        if self.exit.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            if let Some(mut pipe) = self.pipe.take() {
                // A watchdog that is gone needs not be told.
                let _ = pipe.write_all(b"\n");
            }
            self.exit = Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        self.exit
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.kill();
    }
}

fn set_or_remove(command: &mut Command, key: &OsStr, value: Option<&OsStr>) {
    match value {
        Some(value) => command.env(key, value),
        None => command.env_remove(key),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{eventually, is};

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn alive(pid: i32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn exit_codes_signals_and_output_come_through() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        let mut command = shell("echo out; echo err >&2; echo $GREETING; exit 7");
        command.env("GREETING", "hello there");
        let leash = Leash::spawn(&command, &Streams::log(&log)).expect("started");
        assert_eq!(leash.wait(Duration::from_secs(10)), Some(7));
        assert_eq!(std::fs::read_to_string(&log).expect("the log"), "out\nerr\nhello there\n");

        let leash = Leash::spawn(&shell("sleep 60"), &Streams::log(&log)).expect("started");
        assert!(leash.is_running());
        assert_eq!(leash.stop(Duration::from_secs(10)), Some(128 + 15));
    }

    #[test]
    fn it_hears_every_signal_and_has_no_child_of_ours() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        let command = shell("cat /proc/$$/task/$$/children; grep SigIgn /proc/$$/status; kill -INT $$; sleep 60");
        let leash = Leash::spawn(&command, &Streams::log(&log)).expect("started");
        assert_eq!(leash.wait(Duration::from_secs(10)), Some(128 + 2));
        let said = std::fs::read_to_string(&log).expect("the log");
        let (children, ignored) = said.split_once("SigIgn:\t").expect("two answers");
        // The only child is the `cat` that looks.
        assert_eq!(children.split_whitespace().count(), 1, "{said}");
        let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a mask");
        let asked_for = 1 << (Signal::SIGINT as i32 - 1) | 1 << (Signal::SIGTERM as i32 - 1) | 1 << (Signal::SIGQUIT as i32 - 1);
        assert_eq!(ignored & asked_for, 0, "{said}");
    }

    #[test]
    fn a_program_that_ignores_term_is_killed_after_its_grace() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        let command = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done");
        let leash = Leash::spawn(&command, &Streams::log(&log)).expect("started");
        eventually(SOON, "it is ready", || is(std::fs::read_to_string(&log).unwrap_or_default(), &"ready\n".to_owned()));
        assert_eq!(leash.stop(Duration::from_millis(200)), None);
        assert_eq!(leash.exit_code(), Some(128 + 9));
    }

    #[test]
    fn dropping_the_handle_ends_it_even_when_it_is_stopped() {
        let dir = tempfile::tempdir().expect("a directory");
        let leash = Leash::spawn(&shell("exec sleep 60"), &Streams::log(&dir.path().join("log"))).expect("started");
        let pid = leash.pid();
        leash.pause();
        assert!(leash.stands_still());
        assert!(alive(pid));
        drop(leash);
        assert!(!alive(pid));
    }

    #[test]
    fn closing_the_pipe_as_the_kernel_does_for_a_killed_owner_ends_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let leash = Leash::spawn(&shell("exec sleep 60"), &Streams::log(&dir.path().join("log"))).expect("started");
        leash.child().pipe = None;
        assert_eq!(leash.wait(Duration::from_secs(10)), Some(128 + 9));
    }

    /// Started by the test below as a process of its own; in an ordinary run it has nothing to do.
    #[test]
    fn owner_that_is_killed() {
        let Some(log) = std::env::var_os("LEASH_TEST_LOG") else { return };
        let leash = Leash::spawn(&shell("echo $$; exec sleep 60"), &Streams::log(Path::new(&log))).expect("started");
        let _ = leash.wait(Duration::from_secs(60));
    }

    #[test]
    fn kill_9_of_the_owner_ends_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        let mut owner = Command::new(std::env::current_exe().expect("this program"));
        owner.args(["--exact", "leash::tests::owner_that_is_killed"]).env("LEASH_TEST_LOG", &log).stdout(Stdio::null());
        let mut owner = owner.spawn().expect("the owner");
        let said = || std::fs::read_to_string(&log).unwrap_or_default().strip_suffix('\n')?.parse().ok();
        let pid: i32 = eventually(SOON, "the program's process id", said);
        assert!(alive(pid));
        owner.kill().expect("killed");
        owner.wait().expect("reaped");
        eventually(SOON, "its end after its owner's", || !alive(pid));
    }
}
