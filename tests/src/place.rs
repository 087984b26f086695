//! Where things are on disk: the binaries under test, and a directory for each test.
//!
//! Logs and data stay below `target/test-runs/<binary>-<pid>/` for as long as the test binary runs, and after a failure until the
//! next run.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The directory of the profile that this test binary was built with: `target/debug`.
fn profile_dir() -> PathBuf {
    let mut dir = std::env::current_exe().expect("the path of this program");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir
}

/// A binary of this workspace, from the profile that this test binary was built with.
///
/// # Panics
/// It was not built: cargo builds no binaries for the tests of another package.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let path = profile_dir().join(name);
    assert!(path.is_file(), "{} is missing: run `make build` (or `cargo build --workspace --bins`) first", path.display());
    path
}

/// An example of this workspace, likewise.
///
/// # Panics
/// It was not built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let path = profile_dir().join("examples").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build -p bellwether-examples --examples` first", path.display());
    path
}

/// Where cargo builds: `target`.
#[must_use]
pub fn target_dir() -> PathBuf {
    profile_dir().parent().map_or_else(std::env::temp_dir, Path::to_owned)
}

/// The name of the test that runs on this thread, with its module, as `cargo test` knows it.
#[must_use]
pub fn full_test_name() -> String {
    std::thread::current().name().unwrap_or("test").to_owned()
}

/// The name of the test that runs on this thread, fit for a znode and a file.
#[must_use]
pub fn test_name() -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("test").rsplit("::").next().unwrap_or("test");
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// A new number, unique in this process.
pub(crate) fn serial() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A directory that is removed with its handle, unless the test fails: then it is kept, and named.
#[derive(Debug)]
pub struct Dir(PathBuf);

impl Dir {
    /// A new one. Its name begins with `name`.
    ///
    /// # Panics
    /// It cannot be created.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let path = run_dir().join(format!("{name}-{}", serial()));
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        Self(path)
    }

    /// Where it is: absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept: {}", self.0.display());
        } else {
            // What cannot be removed now goes with the next run.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The directory of this process. The first call clears away what processes that are gone have left.
fn run_dir() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let exe = std::env::current_exe().expect("the path of this program");
        let binary = exe.file_stem().and_then(|name| name.to_str()).and_then(|name| name.split('-').next()).unwrap_or("test");
        let runs = target_dir().join("test-runs");
        clear_away(&runs);
        runs.join(format!("{binary}-{}", std::process::id()))
    })
}

fn clear_away(runs: &Path) {
    for entry in std::fs::read_dir(runs).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.rsplit('-').next()).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
