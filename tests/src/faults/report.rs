//! What a test says of a row, as one line of JSON in a file of its own below `target/faults/`.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::place;
use crate::sampler::Sampled;

/// What the audit of a cluster found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Whether no promise was broken but those that the test breaks itself.
    pub clean: bool,
    /// Promises that were not looked at, because the test breaks them itself.
    pub excepted: Vec<String>,
    /// Transactions of the log.
    pub records: u64,
}

/// What one test of one row came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which row.
    pub row: String,
    /// Which test, with its module.
    pub test: String,
    /// Whether it passed.
    pub passed: bool,
    /// Why it was not run, if this machine cannot do it.
    pub skipped: Option<String>,
    /// What was seen.
    pub seen: Vec<String>,
    /// What the audits found, one per cluster.
    pub audit: Vec<Audited>,
    /// What the metrics of the coordinators showed, one per cluster.
    pub sampled: Vec<Sampled>,
    /// How long it took.
    pub seconds: f64,
}

/// Where reports lie.
#[must_use]
pub fn dir() -> PathBuf {
    place::target_dir().join("faults")
}

impl Report {
    /// Writes it; an older one of the same row and test is overwritten.
    ///
    /// # Errors
    /// The file system says no.
    pub fn write(&self) -> io::Result<()> {
        let dir = dir();
        std::fs::create_dir_all(&dir)?;
        let line = serde_json::to_string(self).map_err(io::Error::other)?;
        std::fs::write(dir.join(format!("{}.{}.json", self.row, self.test.replace("::", "."))), line + "\n")
    }
}

/// All reports that lie there.
///
/// # Errors
/// One cannot be read: the text names it.
pub fn read_all() -> io::Result<Vec<Report>> {
    let mut reports = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir()) else { return Ok(reports) };
    for entry in entries {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let report = serde_json::from_str(&text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        reports.push(report);
    }
    Ok(reports)
}

/// Removes all reports, so that what is read afterwards was written afterwards.
///
/// # Errors
/// The file system says no.
pub fn clear() -> io::Result<()> {
    match std::fs::remove_dir_all(dir()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
