//! The moment between the worker and a command that is limited: this very program, started in the command's place, puts the limits on
//! itself and becomes the command. No async, no logging, no configuration.
//!
//! What the task sets in its environment arrives under other names, so that nothing of it (as `LD_PRELOAD`) works before the limits do.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use bellwether_common::config::Limits;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The first argument that asks for it.
const ARGUMENT: &str = "--become";
/// What the names of variables begin with that are the command's.
const PASSED: &[u8] = b"BELLWETHER_PASSED_";
/// What a shell would exit with that could not start a program.
const NOT_STARTED: i32 = 126;

const RESOURCES: [(&str, Resource); 5] = [
    ("memory", Resource::RLIMIT_AS),
    ("cpu", Resource::RLIMIT_CPU),
    ("files", Resource::RLIMIT_NOFILE),
    ("processes", Resource::RLIMIT_NPROC),
    ("file_size", Resource::RLIMIT_FSIZE),
];

/// The arguments before the program's path, its name and its own arguments.
pub(crate) fn arguments(limits: &Limits) -> [String; 2] {
    let cpu = limits.cpu.map(|cpu| cpu.as_secs());
    let values = [limits.memory, cpu, limits.files, limits.processes, limits.file_size];
    let set = RESOURCES.iter().zip(values).filter_map(|((name, _), value)| Some(format!("{name}={}", value?)));
    [ARGUMENT.to_owned(), set.collect::<Vec<_>>().join(",")]
}

/// Under which name a variable is passed. Ours keep theirs: by them a run is recognised.
pub(crate) fn passed(name: &OsStr) -> OsString {
    match name.as_bytes().starts_with(b"BELLWETHER") {
        true => name.to_owned(),
        false => OsString::from_vec([PASSED, name.as_bytes()].concat()),
    }
}

/// Becomes the command, and does not return, if that is what this process was started for.
pub(crate) fn become_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ARGUMENT) {
        return;
    }
    let why = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(limits), Some(program), Some(name)) => {
            let limited = limit(&limits.to_string_lossy());
            limited.err().unwrap_or_else(|| format!("{}: {}", name.to_string_lossy(), execute(&program, &name, arguments)))
        }
        _ => "a command that is limited is started by a worker alone".to_owned(),
    };
    // Nobody is obliged to read it.
    let _ = writeln!(io::stderr(), "bellwether-worker: {why}");
    std::process::exit(NOT_STARTED);
}

fn limit(limits: &str) -> Result<(), String> {
    for entry in limits.split(',').filter(|entry| !entry.is_empty()) {
        let known = entry.split_once('=').and_then(|(name, value)| {
            let (_, resource) = RESOURCES.iter().find(|(known, _)| *known == name)?;
            Some((*resource, value.parse::<u64>().ok()?))
        });
        let (resource, value) = known.ok_or_else(|| format!("{entry}: is no limit"))?;
        let failed = |error| format!("the limit {entry} cannot be set: {error}");
        let (_, most) = getrlimit(resource).map_err(failed)?;
        setrlimit(resource, value.min(most), value.min(most)).map_err(failed)?;
    }
    Ok(())
}

/// Only comes back if it cannot.
fn execute(program: &OsStr, name: &OsStr, arguments: impl Iterator<Item = OsString>) -> io::Error {
    let variables = std::env::vars_os().map(|(name, value)| match name.as_bytes().strip_prefix(PASSED) {
        Some(theirs) => (OsStr::from_bytes(theirs).to_owned(), value),
        None => (name, value),
    });
    let variables: Vec<_> = variables.collect();
    Command::new(program).arg0(name).args(arguments).env_clear().envs(variables).exec()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn limits_are_told_in_one_word() {
        let limits = Limits { memory: Some(1024), cpu: Some(Duration::from_secs(2)), processes: Some(5), ..Limits::default() };
        assert_eq!(arguments(&limits), ["--become".to_owned(), "memory=1024,cpu=2,processes=5".to_owned()]);
        assert!(limit("disk=1").is_err() && limit("memory").is_err());
    }

    #[test]
    fn variables_of_a_task_mean_nothing_on_the_way() {
        assert_eq!(passed(OsStr::new("LD_PRELOAD")), "BELLWETHER_PASSED_LD_PRELOAD");
        assert_eq!(passed(OsStr::new("BELLWETHER_TASK")), "BELLWETHER_TASK");
    }
}
