//! The `bellwether` command as a user runs it, with an end to his patience.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_common::leash::{Leash, Streams};
use nix::sys::signal::Signal;

use crate::place::{self, Dir};
use crate::process;
use crate::published;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliOutput {
    /// What was typed after its name.
    pub args: Vec<String>,
    /// Its exit code; 128 + N if signal N ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said about it.
    pub stderr: String,
    /// How long it took.
    pub elapsed: Duration,
}

impl CliOutput {
    /// Itself, if it succeeded.
    ///
    /// # Panics
    /// Its code is not 0; the text has all it said.
    #[must_use]
    #[track_caller]
    pub fn success(self) -> Self {
        self.code(0)
    }

    /// Itself, if it ended with this code.
    ///
    /// # Panics
    /// It did not; the text has all it said.
    #[must_use]
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "the exit code of {self:#?}");
        self
    }

    /// The lines of its output.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// Its output as JSON.
    ///
    /// # Panics
    /// It is not JSON, or not what the published schema says of this command.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        self.checked(&self.stdout)
    }

    /// Each line of its output as JSON.
    ///
    /// # Panics
    /// As [`json`](Self::json).
    #[must_use]
    #[track_caller]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| self.checked(line)).collect()
    }

    /// Its error as JSON.
    ///
    /// # Panics
    /// It is not JSON, or not what the published schema says of errors.
    #[must_use]
    #[track_caller]
    pub fn error(&self) -> serde_json::Value {
        let json = serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("not JSON ({error}): {self:#?}"));
        published::check_as("error", &json);
        json
    }

    #[track_caller]
    fn checked(&self, printed: &str) -> serde_json::Value {
        let json = serde_json::from_str(printed).unwrap_or_else(|error| panic!("not JSON ({error}): {self:#?}"));
        published::check(&self.args, &json);
        json
    }
}

/// A command that runs. It is killed with this handle.
#[derive(Debug)]
pub struct CliRun {
    args: Vec<String>,
    leash: Leash,
    begun: Instant,
    stdout: PathBuf,
    stderr: PathBuf,
    _dir: Arc<Dir>,
}

impl CliRun {
    /// Starts `bellwether` with these arguments and nothing of Bellwether's in its environment but `variables`.
    ///
    /// # Panics
    /// It was not built, or cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start<S: AsRef<OsStr>>(args: &[S], variables: &[(&str, &str)], stdin: Option<&[u8]>, dir: Arc<Dir>) -> Self {
        Self::start_program(&place::binary("bellwether"), args, variables, stdin, dir)
    }

    #[track_caller]
    fn start_program<S: AsRef<OsStr>>(program: &Path, args: &[S], variables: &[(&str, &str)], stdin: Option<&[u8]>, dir: Arc<Dir>) -> Self {
        let serial = place::serial();
        let file = |kind: &str| dir.path().join(format!("cli-{serial}.{kind}"));
        let (input, stdout, stderr) = (file("in"), file("out"), file("err"));
        let input = stdin.map_or(PathBuf::from("/dev/null"), |bytes| {
            std::fs::write(&input, bytes).expect("stdin's file");
            input
        });
        let mut command = Command::new(program);
        command.args(args).current_dir(dir.path());
        process::scrub(&mut command);
        // What was submitted last is remembered there.
        command.env("XDG_STATE_HOME", dir.path());
        command.envs(variables.iter().copied());
        let begun = Instant::now();
        let streams = Streams { input, output: stdout.clone(), errors: stderr.clone() };
        let leash = Leash::spawn(&command, &streams).unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let args = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
        Self { args, leash, begun, stdout, stderr, _dir: dir }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.leash.pid()
    }

    /// What it printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it said about it so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Any signal; SIGINT is what Ctrl-C sends.
    pub fn signal(&self, signal: Signal) {
        self.leash.signal(signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It takes longer than `limit`; the text has all it said.
    #[must_use]
    #[track_caller]
    pub fn finish(self, limit: Duration) -> CliOutput {
        let Some(code) = self.leash.wait(limit) else {
            panic!("not ended after {limit:?}; stdout: {:?}; stderr: {:?}", self.stdout(), self.stderr())
        };
        CliOutput { code, stdout: self.stdout(), stderr: self.stderr(), elapsed: self.begun.elapsed(), args: self.args }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str, stdin: Option<&[u8]>) -> CliRun {
        let dir = Arc::new(Dir::new("cli"));
        CliRun::start_program(Path::new("/bin/sh"), &["-c", script], &[("BELLWETHER_X", "given")], stdin, dir)
    }

    #[test]
    fn everything_a_command_says_comes_back() {
        let output = shell("cat; echo $BELLWETHER_X; echo oops >&2; exit 3", Some(b"typed ")).finish(LIMIT).code(3);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("typed given\n", "oops\n"));
    }

    #[test]
    fn a_command_can_be_interrupted() {
        let run = shell("echo ready; exec sleep 60", None);
        bellwether_common::wait::eventually(LIMIT, "the first line", || bellwether_common::wait::is(run.stdout(), &"ready\n".to_owned()));
        run.signal(Signal::SIGINT);
        assert_eq!(run.finish(LIMIT).code, 128 + 2);
    }

    #[test]
    #[should_panic(expected = "stdout: \"so far\\n\"")]
    fn patience_ends_with_what_was_said_so_far() {
        let run = shell("echo so far; exec sleep 60", None);
        bellwether_common::wait::eventually(LIMIT, "the first line", || !run.stdout().is_empty());
        let _ = run.finish(Duration::from_millis(50));
    }
}
