//! The options of `audit`, and what it says about itself.

use std::path::PathBuf;

use clap::Args;

use super::values::absolute;

pub(super) const AUDIT: &str = "\
Reads only; ZooKeeper may be running. Give the directories of all servers where you can: they are merged.
Promises: P1 epochs only grow · P2 nothing is written by who is not in office, or dead · P3 a task is in one place
  P4 a task has one status · P5 a task is assigned to registered workers only · P7 a task keeps payload and counts
  P11 no master removes a result that somebody waits for
Exit codes: 0 clean · 1 violated · 2 unusable: the logs are damaged, incomplete, or of something else

With -o json, one object. Times are RFC 3339, zxids are text in hex, durations end in _ms:
  bellwether  version of this format      verdict  clean, violated or unusable      root  the cluster's path
  log         servers, begins {at: first|snapshot|midway, zxid, path}, first and last {zxid, time}, records, skipped,
              duplicates, seconds, missing [{after, before}], disagreements [zxid], never_committed [zxid],
              damages and unfinished [{path, offset, what, records}]
  terms       [{epoch, name, session, since {zxid, time}, until, ended, vacant_ms: nobody ruled before}]
  workers     incarnations that registered
  tasks       submitted, ended {outcome: count}, lost, attempts_lost, waiting, assigned, stranded (with a dead worker)
  timings     vacancy, reassignment (worker gone to next assignment), queue, run, whole: each {count, p50_ms, p99_ms, max_ms};
              writes_per_task
  violated    how many promises were broken
  violations  [{promise, promised, zxid, time, path, what}], at most 10000";

/// Whose logs to read.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Data directories of ZooKeeper's servers (dataDir or dataLogDir), their version-2, or single log files
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// Where the cluster lies in ZooKeeper: the path at the end of its connect string
    #[arg(long, default_value = "/", value_name = "PATH", value_parser = absolute)]
    pub(crate) root: String,
}
