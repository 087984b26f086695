//! Outputs of tasks that ended long ago: removed by the worker that wrote them, when they are too old or too large in all.
//!
//! Each task has a directory, which goes as a whole, with the outputs of all its attempts; never one of a task that runs. Files know the
//! time by the wall clock alone: one that was set costs an output its time, or gives it more, and nothing else.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use tracing::{debug, info, warn};

use super::{RunId, escape};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long outputs are kept, and how much of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) age: Duration,
    pub(super) bytes: u64,
}

/// The output of one task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// When something was written last.
    written: SystemTime,
    directory: PathBuf,
    bytes: u64,
}

/// Looks again and again, for as long as there are runs to speak of.
pub(super) async fn expire_regularly<T: Send + 'static>(
    root: PathBuf,
    limits: Limits,
    runs: Weak<Mutex<std::collections::HashMap<RunId, T>>>,
) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let Some(runs) = runs.upgrade() else { return };
        let running = move || -> HashSet<String> {
            let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.keys().map(|run| escape(run.task.as_str())).collect()
        };
        let root = root.clone();
        let looked = tokio::task::spawn_blocking(move || expire(&root, limits, running, SystemTime::now())).await;
        match looked {
            Ok(Ok((0, _))) | Err(_) => {}
            Ok(Ok((outputs, bytes))) => info!(outputs, bytes, "old outputs were removed"),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => debug!("there are no outputs yet"),
            Ok(Err(error)) => warn!(%error, "outputs cannot be listed, so that old ones stay"),
        }
    }
}

/// Removes what is too old, and the oldest of what is too much. How many, and how many bytes.
fn expire(root: &Path, limits: Limits, running: impl Fn() -> HashSet<String>, now: SystemTime) -> io::Result<(usize, u64)> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(root)? {
        // What goes meanwhile, or may not be read, is not ours to remove.
        kept.extend(entry.ok().and_then(|entry| look(entry.path()).ok()));
    }
    kept.sort();
    let mut all: u64 = kept.iter().map(|kept| kept.bytes).sum();
    let (mut outputs, mut bytes) = (0, 0);
    for old in kept {
        let age = now.duration_since(old.written).unwrap_or_default();
        if age <= limits.age && all <= limits.bytes {
            break;
        }
        let name = old.directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Looked at as late as possible: a task may be given to this worker again.
        if !running().contains(&name) && fs::remove_dir_all(&old.directory).is_ok() {
            (outputs, bytes, all) = (outputs + 1, bytes + old.bytes, all.saturating_sub(old.bytes));
        }
    }
    Ok((outputs, bytes))
}

fn look(directory: PathBuf) -> io::Result<Kept> {
    if !fs::symlink_metadata(&directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let mut kept = Kept { written: fs::metadata(&directory)?.modified()?, directory, bytes: 0 };
    for file in fs::read_dir(&kept.directory)? {
        let metadata = file?.metadata()?;
        kept.written = kept.written.max(metadata.modified()?);
        kept.bytes += metadata.len();
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Outputs of ten bytes each, written so many days ago.
    fn outputs(days: &[(&str, u32)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (task, days) in days {
            let directory = root.path().join(task);
            fs::create_dir(&directory).expect("created");
            fs::write(directory.join("1-2.stdout"), "0123456789").expect("written");
            let written = SystemTime::now() - DAY * *days;
            for path in [directory.join("1-2.stdout"), directory] {
                fs::File::open(path).and_then(|file| file.set_modified(written)).expect("set");
            }
        }
        root
    }

    fn left(root: &tempfile::TempDir, limits: Limits, running: &[&str]) -> Vec<String> {
        let running = || running.iter().map(|task| (*task).to_owned()).collect();
        expire(root.path(), limits, running, SystemTime::now()).expect("listed");
        let mut left: Vec<String> = fs::read_dir(root.path())
            .expect("listed")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect();
        left.sort();
        left
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_the_oldest_first() {
        let days = [("a", 9), ("b", 5), ("c", 3), ("d", 1)];
        let week = Limits { age: DAY * 7, bytes: 1000 };
        assert_eq!(left(&outputs(&days), week, &[]), ["b", "c", "d"]);
        assert_eq!(left(&outputs(&days), Limits { bytes: 25, ..week }, &[]), ["c", "d"]);
        assert_eq!(left(&outputs(&days), Limits { bytes: 0, ..week }, &["b"]), ["b"], "it runs");
        assert_eq!(left(&outputs(&days), Limits { age: Duration::ZERO, bytes: 1000 }, &["a", "c"]), ["a", "c"]);
    }

    #[test]
    fn what_is_no_output_of_a_task_stays() {
        let root = outputs(&[("a", 9)]);
        fs::write(root.path().join("notes"), "somebody's").expect("written");
        std::os::unix::fs::symlink("/", root.path().join("link")).expect("linked");
        assert_eq!(left(&root, Limits { age: Duration::ZERO, bytes: 0 }, &[]), ["link", "notes"]);
        assert!(expire(Path::new("/no/such/place"), Limits { age: DAY, bytes: 0 }, HashSet::new, SystemTime::now()).is_err());
    }
}
