//! From a [`Run`] to a process: which program, through a shell or not, with which environment.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::process::Child;

use super::policy::{Policy, Workplace};
use super::split::split;
use super::{Program, Run};
use crate::stub;

/// The kernel's limit for one argument, with its terminating zero (`MAX_ARG_STRLEN`).
const ARGUMENT_MAX: usize = 128 * 1024;

/// What systemd tells a service by its environment.
const MANAGERS: [&str; 8] = [
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "STATE_DIRECTORY",
    "SYSTEMD_EXEC_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// The environment that every run starts from.
#[derive(Debug, Clone)]
pub(super) struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// This process's environment without what is Bellwether's own, and without what a service manager meant for the worker alone: a
    /// command must not speak to it in the worker's name.
    pub(super) fn scrubbed(policy: &Policy) -> Self {
        Self::scrub(std::env::vars_os(), policy)
    }

    fn scrub(all: impl Iterator<Item = (OsString, OsString)>, policy: &Policy) -> Self {
        let own = |name: &OsStr| name.as_bytes().starts_with(b"BELLWETHER") || MANAGERS.iter().any(|manager| name == *manager);
        let told = policy.identity_variables();
        let replaced = |name: &OsStr| told.iter().any(|(told, _)| name == *told);
        let kept = all.filter(|(name, _)| !own(name) && !replaced(name) && policy.passes(name.as_bytes()));
        let mut environment: Vec<_> = kept.collect();
        environment.extend(told.into_iter().map(|(name, value)| (name.into(), value.into_os_string())));
        Self(environment)
    }

    fn get<'a>(&'a self, run: &'a Run, name: &str) -> Option<&'a OsStr> {
        let own = run.env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| OsStr::new(value));
        own.or_else(|| self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str()))
    }

    // Either replaces what a shell does with a plain line.
    fn changes_the_shell(&self, run: &Run) -> bool {
        let telling = |name: &[u8]| name == b"BASH_ENV" || name.starts_with(b"BASH_FUNC_");
        self.0.iter().any(|(name, _)| telling(name.as_bytes())) || run.env.iter().any(|(name, _)| telling(name.as_bytes()))
    }
}

/// A process and what must live as long as it does.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) child: Child,
    /// The script that a shell may still be reading.
    pub(super) script: Option<OwnedFd>,
}

/// Who must change something before a run can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The submitter: it fails in the same way on every worker that looks like this one.
    Task,
    /// This worker: it ran out of processes, descriptors or memory, or has no shell. Another may manage.
    Worker,
}

/// Why a run cannot start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CannotStart {
    pub(super) why: String,
    /// What a shell would exit with.
    pub(super) exit: i32,
    pub(super) blame: Blame,
}

impl CannotStart {
    fn task(why: impl Into<String>) -> Self {
        Self { why: why.into(), exit: 125, blame: Blame::Task }
    }

    pub(super) fn worker(why: impl Into<String>) -> Self {
        Self { why: why.into(), exit: 125, blame: Blame::Worker }
    }

    fn exit(self, exit: i32) -> Self {
        Self { exit, ..self }
    }
}

/// What every run of a worker starts from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) shell: &'a str,
    pub(super) environment: &'a Environment,
    pub(super) policy: &'a Policy,
    /// Where it runs unless it says so itself.
    pub(super) workplace: Option<&'a Workplace>,
}

/// Starts the process of `run`, in a process group of its own, both outputs and (if there is input) the input as pipes.
///
/// Called on a runtime; blocks until the program is executed: some hundred microseconds. `None`: there is nothing to run.
pub(super) fn spawn(run: &Run, ground: Ground<'_>) -> Result<Option<Spawned>, CannotStart> {
    if let Some(cwd) = &run.cwd
        && !fs::metadata(cwd).is_ok_and(|it| it.is_dir())
    {
        return Err(CannotStart::task(format!("no such directory: {cwd}")));
    }
    match &run.program {
        // Handlers have a run of their own.
        Program::Noop | Program::Typed(_) => Ok(None),
        Program::Argv(words) => {
            let child = run_argv(words, run, ground)?;
            Ok(Some(Spawned { child, script: None }))
        }
        Program::Shell(line) => run_line(line, run, ground).map(Some),
    }
}

fn run_argv(words: &[String], run: &Run, ground: Ground<'_>) -> Result<Child, CannotStart> {
    let Some(name) = words.first().filter(|name| !name.is_empty()) else {
        return Err(CannotStart::task("empty command"));
    };
    if let Some(long) = words.iter().find(|word| word.len() >= ARGUMENT_MAX) {
        return Err(CannotStart::task(format!("an argument of {} bytes: the kernel takes less than {ARGUMENT_MAX}", long.len())));
    }
    let program = match find(name, run, ground) {
        Lookup::Found(path) => path,
        Lookup::NotExecutable(path) => return Err(CannotStart::task(format!("not executable: {}", path.display())).exit(126)),
        Lookup::Nowhere => return Err(CannotStart::task(format!("no such program: {name}")).exit(127)),
    };
    launch(&program, name, &words[1..], run, ground).map_err(|error| explain(&error, name))
}

fn run_line(line: &str, run: &Run, ground: Ground<'_>) -> Result<Spawned, CannotStart> {
    if line.trim().is_empty() {
        return Err(CannotStart::task("empty command"));
    }
    if let Some(child) = run_directly(line, run, ground) {
        return Ok(Spawned { child, script: None });
    }
    let shell = ground.shell;
    let shell_error = |error: io::Error| {
        let cannot = explain(&error, shell);
        let missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
        if missing { CannotStart { blame: Blame::Worker, ..cannot } } else { cannot }
    };
    if line.len() >= ARGUMENT_MAX {
        if ground.policy.identity.is_some() {
            let why = format!("a line of {} bytes: a worker with run_as takes less than {ARGUMENT_MAX}; put it into a file", line.len());
            return Err(CannotStart::task(why));
        }
        let script = in_memory(line).map_err(|error| explain(&error, "the script"))?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), script.as_raw_fd());
        let child = launch(Path::new(shell), shell, &[path], run, ground).map_err(shell_error)?;
        return Ok(Spawned { child, script: Some(script) });
    }
    // A line that starts with a sign would be taken for an option of the shell.
    let line = if line.starts_with(['-', '+']) { format!(" {line}") } else { line.to_owned() };
    let child = launch(Path::new(shell), shell, &["-c".to_owned(), line], run, ground).map_err(shell_error)?;
    Ok(Spawned { child, script: None })
}

// Whatever goes wrong on the short way, the shell is asked: it knows the message and the exit code (126, 127).
fn run_directly(line: &str, run: &Run, ground: Ground<'_>) -> Option<Child> {
    let words = split(line, ground.shell).filter(|words| words.iter().all(|word| word.len() < ARGUMENT_MAX))?;
    if ground.environment.changes_the_shell(run) {
        return None;
    }
    let Lookup::Found(program) = find(&words[0], run, ground) else { return None };
    launch(&program, &words[0], &words[1..], run, ground).ok()
}

enum Lookup {
    Found(PathBuf),
    NotExecutable(PathBuf),
    Nowhere,
}

// Done here rather than by `execvp`, because the standard library forks (and copies our page tables) instead of calling
// `posix_spawn` when it has to look up a program in an environment that was changed.
fn find(name: &str, run: &Run, ground: Ground<'_>) -> Lookup {
    let from = |path: &Path| place(run, ground).map_or_else(|| path.to_owned(), |cwd| cwd.join(path));
    if name.contains('/') {
        return judge(absolute(from(Path::new(name))));
    }
    let path = ground.environment.get(run, "PATH").unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    let mut refused = None;
    for directory in std::env::split_paths(path) {
        match judge(absolute(from(&directory.join(name)))) {
            Lookup::Found(path) => return Lookup::Found(path),
            Lookup::NotExecutable(path) => refused = refused.or(Some(path)),
            Lookup::Nowhere => {}
        }
    }
    refused.map_or(Lookup::Nowhere, Lookup::NotExecutable)
}

// The directory is changed before the program is executed: a relative path would then be looked up elsewhere.
fn absolute(path: PathBuf) -> PathBuf {
    if path.is_absolute() { path } else { std::path::absolute(&path).unwrap_or(path) }
}

fn judge(path: PathBuf) -> Lookup {
    match fs::metadata(&path) {
        Ok(it) if it.is_file() && it.permissions().mode() & 0o111 != 0 => Lookup::Found(path),
        Ok(it) if it.is_file() => Lookup::NotExecutable(path),
        _ => Lookup::Nowhere,
    }
}

/// Where it runs, if not where the worker does.
fn place<'a>(run: &'a Run, ground: Ground<'a>) -> Option<&'a Path> {
    run.cwd.as_deref().map(Path::new).or_else(|| ground.workplace.map(Workplace::path))
}

fn launch(program: &Path, name: &str, arguments: &[String], run: &Run, ground: Ground<'_>) -> io::Result<Child> {
    let policy = ground.policy;
    let mut command = if policy.limits.is_empty() {
        let mut command = Command::new(program);
        command.arg0(name);
        command
    } else {
        // This program, even if its file was replaced since.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("bellwether-worker").args(stub::arguments(&policy.limits)).arg(program).arg(name);
        command
    };
    command.args(arguments).process_group(0).env_clear();
    if let Some(identity) = &policy.identity {
        // Of other groups it is in none: the standard library sees to that where root changes the user.
        command.uid(identity.uid).gid(identity.gid);
    }
    let mut variable = |name: &OsStr, value: &OsStr| {
        let name = if policy.limits.is_empty() { name.to_owned() } else { stub::passed(name) };
        command.env(name, value);
    };
    ground.environment.0.iter().for_each(|(name, value)| variable(name, value));
    if let Some(workplace) = ground.workplace {
        variable(OsStr::new("TMPDIR"), workplace.path().as_os_str());
    }
    if let Some(cwd) = place(run, ground) {
        // What a shell would correct: our own PWD is not the task's.
        variable(OsStr::new("PWD"), cwd.as_os_str());
    }
    run.env.iter().for_each(|(name, value)| variable(OsStr::new(name), OsStr::new(value)));
    if let Some(cwd) = place(run, ground) {
        command.current_dir(cwd);
    }
    let stdin = if run.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::process::Command::from(command).spawn()
}

// A file without a name: nothing is left behind, whatever happens to us, and no directory must be writable.
fn in_memory(line: &str) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("bellwether-script", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(line.as_bytes())?;
    Ok(file.into())
}

fn explain(error: &io::Error, what: &str) -> CannotStart {
    let Some(code) = error.raw_os_error() else { return CannotStart::task(format!("{what}: {error}")) };
    match Errno::from_raw(code) {
        Errno::E2BIG => CannotStart::task("the arguments and the environment together are too long for the kernel"),
        Errno::ENOENT => CannotStart::task(format!("no such program, or its interpreter is missing: {what}")),
        Errno::ENOEXEC => CannotStart::task(format!("neither a binary for this machine nor a script with an interpreter: {what}")),
        Errno::EACCES => CannotStart::task(format!("not executable: {what}")),
        errno @ (Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE) => {
            CannotStart { why: format!("this worker cannot start a process: {}", errno.desc()), exit: 125, blame: Blame::Worker }
        }
        errno => CannotStart::task(format!("{what}: {}", errno.desc())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_not_handed_on() {
        let all = ["BELLWETHER_ZOOKEEPER", "BELLWETHER__WORKER__SLOTS", "BELLWETHER", "NOTIFY_SOCKET", "PATH", "MY_BELLWETHER"]
            .map(|name| (name.into(), "x".into()));
        let names: Vec<OsString> = Environment::scrub(all.into_iter(), &Policy::default()).0.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "MY_BELLWETHER"]);
    }
}
