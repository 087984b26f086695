//! Cgroups (version 2), where the kernel has them and this process may make some: one for each run, so that nothing that a task starts
//! can leave it, whatever it does to its session, its group and its environment.
//!
//! Moving a process into a cgroup costs some milliseconds; but a thread that moves itself does so in microseconds, and what it starts
//! is born where it stands. So the worker has a cgroup of its own, below the one that it was started in, and each run a *threaded* one
//! below that, into which the starting thread steps for the moment of the start. A threaded cgroup cannot be killed by one write
//! (`cgroup.kill`): its members are read and killed until there are none. Those that are empty again are used again, which halves the
//! price.
//!
//! What all processes of a task may use together (`worker.limits`) is kept by controllers, as far as threaded cgroups have them: those of
//! processes and of processors. Memory is none of them: a limit of it would be one of the worker with all its tasks, which its unit can have.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bellwether_common::clock;
use bellwether_common::config::Together;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::{debug, warn};

/// What the cgroups of workers are called, before a number of their own.
const PREFIX: &str = "bellwether-worker-";
/// How many empty ones are kept at most.
const KEPT: usize = 64;
/// How long killed processes may take to leave before that is worth a warning.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there are none; an ordinary thing.
#[derive(Debug, thiserror::Error)]
pub enum NoCgroups {
    /// The kernel has none of version 2, or they are not mounted.
    #[error("no cgroup2 file system is mounted")]
    NotMounted,
    /// This process may not, or where it stands nobody can.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Refused {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Nobody has let this process use what would keep a limit.
    #[error(
        "the controller {controller} is not there for {path}, which has {there:?}; under systemd the unit needs Delegate=yes, elsewhere somebody must \
         enable it above (cgroup.subtree_control)",
        path = path.display()
    )]
    NoController {
        /// Which.
        controller: &'static str,
        /// Where this process stands.
        path: PathBuf,
        /// Those that are there.
        there: String,
    },
}

/// The controllers that keep these limits.
fn controllers(together: &Together) -> Vec<&'static str> {
    let asked = [("pids", together.processes.is_some()), ("cpu", together.cpu.is_some())];
    asked.into_iter().filter_map(|(controller, asked)| asked.then_some(controller)).collect()
}

/// Hands controllers down to the cgroups below this one. Threaded ones may be, although there are processes in it.
fn hand_down(path: &Path, controllers: &[&'static str]) -> Result<(), NoCgroups> {
    let there = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers {
        if !there.split_whitespace().any(|it| it == *controller) {
            return Err(NoCgroups::NoController { controller, path: path.to_owned(), there: there.trim().to_owned() });
        }
        let refused = |source| NoCgroups::Refused { what: "hand down a controller in", path: path.to_owned(), source };
        fs::write(path.join("cgroup.subtree_control"), format!("+{controller}")).map_err(refused)?;
    }
    Ok(())
}

/// How long the spans are of which a task gets its share, in microseconds: the kernel's own.
const SPAN: u64 = 100_000;

/// Limits what is in this cgroup.
fn limit(path: &Path, together: &Together) -> io::Result<()> {
    if let Some(most) = together.processes {
        fs::write(path.join("pids.max"), most.to_string())?;
    }
    if let Some(hundredths) = together.cpu {
        fs::write(path.join("cpu.max"), format!("{} {SPAN}", hundredths * (SPAN / 100)))?;
    }
    Ok(())
}

/// The cgroup of this process, and those of its runs below it.
#[derive(Debug)]
pub struct Cgroups {
    home: PathBuf,
    /// What those of runs are limited to.
    together: Together,
    /// Those that are empty, and their number so far.
    free: Mutex<(Vec<Nest>, u64)>,
    /// Said once: what goes wrong for one run goes wrong for all.
    warned: AtomicBool,
}

impl Cgroups {
    /// Moves this process into a cgroup of its own: all its threads, at the price of some milliseconds. Removes those that dead workers
    /// left behind, if they are empty.
    ///
    /// # Errors
    /// [`NoCgroups`]: go on without, if there are no limits.
    pub fn establish(together: Together) -> Result<Self, NoCgroups> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let standing = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let base = standing_in(&mounts, &standing).ok_or(NoCgroups::NotMounted)?;
        remove_abandoned(&base);
        let controllers = controllers(&together);
        // Before there is anybody below.
        hand_down(&base, &controllers)?;
        let home = base.join(format!("{PREFIX}{}-{}", std::process::id(), clock::kernel().as_nanos()));
        let refused = |what, source| NoCgroups::Refused { what, path: home.clone(), source };
        fs::create_dir(&home).map_err(|error| refused("create", error))?;
        if let Err(error) = hand_down(&home, &controllers) {
            drop(fs::remove_dir(&home));
            return Err(error);
        }
        let cgroups = Self { home: home.clone(), together, free: Mutex::default(), warned: AtomicBool::new(false) };
        let moved = fs::write(home.join("cgroup.procs"), std::process::id().to_string()).map_err(|error| refused("enter", error));
        // Whether a thread may step into one of its own, too, is seen at once rather than by the first task.
        match moved.and_then(|()| cgroups.enter().map_err(|error| refused("divide", error))) {
            Ok(nest) => {
                cgroups.step_back();
                cgroups.keep(nest);
                Ok(cgroups)
            }
            Err(error) => {
                cgroups.leave();
                Err(error)
            }
        }
    }

    /// Where the runs have theirs.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Leaves the cgroup and removes it: the end. Nothing must run any more.
    pub fn leave(&self) {
        self.free().0.clear();
        if let Some(base) = self.home.parent() {
            let left = fs::write(base.join("cgroup.procs"), std::process::id().to_string()).and_then(|()| fs::remove_dir(&self.home));
            if let Err(error) = left {
                debug!(%error, path = %self.home.display(), "a cgroup is left behind; the next worker here removes it");
            }
        }
    }

    /// Runs `start` so that the processes that it starts are born in a cgroup of their own. If there cannot be one it runs all the same,
    /// unless it would be without its limits.
    ///
    /// # Errors
    /// It was not run.
    pub(super) fn inside<T>(&self, start: impl FnOnce() -> T) -> io::Result<(Option<Nest>, T)> {
        let nest = self.enter();
        if let Err(error) = &nest
            && !self.together.is_empty()
        {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        let started = start();
        if nest.is_ok() {
            self.step_back();
        } else if let Err(error) = &nest
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            warn!(%error, home = %self.home.display(), "no cgroup for a task: what escapes from its group is only found by its marks");
        }
        Ok((nest.ok(), started))
    }

    /// The run has ended: whatever is left in its cgroup is killed. Whether there was anything; then it is not used again.
    pub(super) async fn clear(&self, nest: Nest) -> bool {
        let found = nest.empty().await;
        if !found {
            self.keep(nest);
        }
        found
    }

    fn free(&self) -> MutexGuard<'_, (Vec<Nest>, u64)> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, nest: Nest) {
        let mut free = self.free();
        if free.0.len() < KEPT {
            free.0.push(nest);
        }
    }

    /// An empty one, with the calling thread in it.
    fn enter(&self) -> io::Result<Nest> {
        let kept = self.free().0.pop();
        let nest = kept.map_or_else(|| self.create(), Ok)?;
        fs::write(nest.path.join("cgroup.threads"), "0")?;
        Ok(nest)
    }

    fn create(&self) -> io::Result<Nest> {
        let number = {
            let mut free = self.free();
            free.1 += 1;
            free.1
        };
        let nest = Nest { path: self.home.join(format!("run-{number}")) };
        fs::create_dir(&nest.path)?;
        fs::write(nest.path.join("cgroup.type"), "threaded")?;
        limit(&nest.path, &self.together)?;
        Ok(nest)
    }

    fn step_back(&self) {
        if let Err(error) = fs::write(self.home.join("cgroup.threads"), "0") {
            // Its members are killed one by one, and never those of this process.
            warn!(%error, "a thread of this worker could not leave the cgroup of a task");
        }
    }
}

/// The cgroup of one run. Removed with this handle, if it is empty.
#[derive(Debug)]
pub(super) struct Nest {
    path: PathBuf,
}

impl Nest {
    /// Kills everything in it and waits until it is gone. Whether there was anything.
    async fn empty(&self) -> bool {
        let (begun, mut pause, mut found, mut warned) = (Instant::now(), Duration::from_millis(1), false, false);
        while kill_members(&self.path, std::process::id()) > 0 {
            found = true;
            if !warned && begun.elapsed() > PATIENCE {
                warned = true;
                warn!(path = %self.path.display(), "killed processes do not die, their slot stays taken");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        found
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        // One that is busy for a moment longer is left for the end.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Sends SIGKILL to all processes in a cgroup but the worker, of which a thread may just be passing through. How many there were.
///
/// Whatever is in it is frozen before, so that it cannot fork faster than it is killed. It never thaws, and must not be used again: a
/// thread that stepped into it would be frozen, too.
pub(crate) fn kill_members(path: &Path, worker: u32) -> usize {
    let (workers, strangers) = told_apart(path, worker);
    if strangers.is_empty() {
        return 0;
    }
    if workers.is_empty() {
        // Where it cannot be frozen, it is killed again and again.
        let _ = fs::write(path.join("cgroup.freeze"), "1");
    }
    strangers_in(path, worker).into_iter().filter(|thread| kill(Pid::from_raw(*thread), Signal::SIGKILL).is_ok()).count()
}

/// Threads in a cgroup that are not the worker's. The number of any of them stands for its whole process.
pub(crate) fn strangers_in(path: &Path, worker: u32) -> Vec<i32> {
    told_apart(path, worker).1
}

fn told_apart(path: &Path, worker: u32) -> (Vec<i32>, Vec<i32>) {
    members(path).into_iter().partition(|thread| Path::new(&format!("/proc/{worker}/task/{thread}")).exists())
}

fn members(path: &Path) -> Vec<i32> {
    let threads = fs::read_to_string(path.join("cgroup.threads")).unwrap_or_default();
    threads.lines().filter_map(|thread| thread.parse().ok()).filter(|thread| *thread > 1).collect()
}

/// The cgroups of the runs below a worker's.
pub(crate) fn nests(home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("run-"))).map(|entry| entry.path()).collect()
}

/// Removes a worker's cgroup with those below it, if nothing is in it any more.
pub(crate) fn remove(home: &Path) -> bool {
    nests(home).iter().for_each(|nest| drop(fs::remove_dir(nest)));
    fs::remove_dir(home).is_ok()
}

fn remove_abandoned(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let events = || fs::read_to_string(entry.path().join("cgroup.events")).unwrap_or_default();
        // A worker that lives is in its own.
        if is_ours && events().lines().any(|line| line == "populated 0") && remove(&entry.path()) {
            debug!(path = %entry.path().display(), "removed the cgroup of a dead worker");
        }
    }
}

/// The directory of the cgroup that a process stands in, from its `mountinfo` and its `cgroup`.
fn standing_in(mounts: &str, standing: &str) -> Option<PathBuf> {
    let path = standing.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // `… root mount-point options … - type source options`
    let mount = mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let words: Vec<&str> = head.split(' ').collect();
        tail.starts_with("cgroup2 ").then_some((*words.get(3)?, *words.get(4)?))
    });
    let (root, point) = mount?;
    let below = Path::new(path).strip_prefix(root.trim_start_matches('/')).unwrap_or(Path::new(path));
    Some(Path::new(point).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In ordinary directories: which files are written, and what into them.
    #[test]
    fn controllers_are_handed_down_and_limits_written_and_what_is_missing_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let both = Together { processes: Some(64), cpu: Some(150) };
        fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").expect("written");
        assert!(hand_down(dir.path(), &controllers(&both)).is_ok());
        assert_eq!(read("cgroup.subtree_control"), "+cpu", "one after the other, so that the kernel names the one that it refuses");
        limit(dir.path(), &both).expect("written");
        assert_eq!((read("pids.max").as_str(), read("cpu.max").as_str()), ("64", "150000 100000"));
        fs::write(dir.path().join("cgroup.controllers"), "hugetlb cpu\n").expect("written");
        let missing = hand_down(dir.path(), &controllers(&both)).expect_err("no pids").to_string();
        assert!(missing.starts_with("the controller pids is not there for /") && missing.contains("Delegate=yes"), "{missing}");
        assert!(hand_down(dir.path(), &controllers(&Together::default())).is_ok(), "nothing is asked for");
    }

    #[test]
    fn the_own_cgroup_is_found_in_a_hybrid_in_a_unified_and_in_no_hierarchy() {
        let hybrid = "40 32 0:35 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n41 32 0:36 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let container = "30 23 0:26 /kube/pod /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let found = |mounts, standing| standing_in(mounts, standing).map(|path| path.display().to_string());
        assert_eq!(found(hybrid, "9:name=systemd:/x\n0::/\n").as_deref(), Some("/sys/fs/cgroup/unified/"));
        assert_eq!(found(unified, "0::/system.slice/w.service\n").as_deref(), Some("/sys/fs/cgroup/system.slice/w.service"));
        assert_eq!(found(container, "0::/kube/pod/a\n").as_deref(), Some("/sys/fs/cgroup/a"));
        assert_eq!(found("41 32 0:36 / /sys/fs/cgroup rw - cgroup cgroup rw\n", "0::/\n"), None);
        assert_eq!(found(unified, "9:cpu:/\n"), None);
    }
}
