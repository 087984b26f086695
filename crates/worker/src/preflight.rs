//! What a worker looks at before it asks for work: could it run a command, and keep an output? Otherwise the first tasks would find
//! out, and each of them would fail.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bellwether_common::output::store::{OutputStore, StoreError};

use crate::executor::Settings;

/// What is missing. The text names the key, its value and a way out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// Shell lines could not be run.
    #[error("worker.shell = {shell:?} cannot run commands: {why}; name the absolute path of a shell, as \"/bin/sh\"")]
    Shell {
        /// What was configured.
        shell: String,
        /// What is wrong with it.
        why: String,
    },
    /// Outputs could not be kept.
    #[error(
        "outputs cannot be written to {}: {source}; make it writable for this user, or name another directory as worker.output_dir",
        directory.display()
    )]
    OutputDir {
        /// Where they would go.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Outputs could not be shipped.
    #[error("worker.output_store cannot be used: {0}")]
    OutputStore(#[from] StoreError),
}

/// The store for outputs, if one is configured. Whether it can be written, the first attempt shows: a store that is away for a while is
/// no reason not to work.
pub(crate) fn open_store(place: &str) -> Result<Option<OutputStore>, Unfit> {
    if place.is_empty() { Ok(None) } else { Ok(Some(OutputStore::open(place)?)) }
}

/// Looks at the shell, and writes a file into the directory for outputs, which is made if it is missing.
pub(crate) fn check(settings: &Settings) -> Result<(), Unfit> {
    check_shell(&settings.shell).map_err(|why| Unfit::Shell { shell: settings.shell.clone(), why })?;
    let Some(directory) = &settings.output_dir else { return Ok(()) };
    check_directory(directory).map_err(|source| Unfit::OutputDir { directory: directory.clone(), source })
}

fn check_shell(shell: &str) -> Result<(), String> {
    let metadata = fs::metadata(shell).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        Err("it is not a file".to_owned())
    } else if metadata.permissions().mode() & 0o111 == 0 {
        Err("it is not executable".to_owned())
    } else {
        Ok(())
    }
}

fn check_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    fs::write(&probe, b"can this be written?\n")?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Settings)) -> Result<(), String> {
        let mut settings = Settings::default();
        change(&mut settings);
        check(&settings).map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn a_directory_is_made_and_left_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let outputs = dir.path().join("a/b");
        assert_eq!(with(|settings| settings.output_dir = Some(outputs.clone())), Ok(()));
        assert_eq!(fs::read_dir(&outputs).expect("made").count(), 0, "the probe is gone");
    }

    #[test]
    fn what_is_missing_is_named_with_its_key() {
        let file = with(|settings| settings.output_dir = Some("/dev/null/x".into())).expect_err("a file is no directory");
        assert!(file.contains("/dev/null/x") && file.contains("worker.output_dir"), "{file}");
        let shell = with(|settings| settings.shell = "/no/shell".into()).expect_err("no shell");
        assert!(shell.starts_with("worker.shell = \"/no/shell\" cannot run commands: "), "{shell}");
        assert!(with(|settings| settings.shell = "/etc/passwd".into()).expect_err("no program").contains("not executable"));
    }
}
