//! A steady load: tasks that write down that they run, submitted as anybody does and as our own client does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_core::protocol::Multi;

use crate::cli::CliRun;
use crate::{CliOutput, Cluster};

/// Where tasks write; the workers run in the cluster's directory.
const FILE: &str = "runs";
/// One task in so much time.
const EVERY: Duration = Duration::from_millis(150);
/// One in so many is submitted by the command.
const BY_COMMAND: u32 = 8;
/// The command gives up after 30 s by itself.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// What was submitted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submitted {
    /// How many submissions were tried.
    pub tried: usize,
    /// The names of those that were accepted for certain. Of the others the log knows.
    pub accepted: BTreeSet<String>,
    /// Commands that failed, with what they said.
    pub failed: Vec<String>,
}

/// One execution, as it told itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Execution {
    /// Which task.
    pub task: String,
    /// When it began, in milliseconds since 1970.
    pub begun_ms: i64,
    /// Which attempt it was told to be.
    pub attempt: String,
    /// On which incarnation.
    pub worker: String,
}

impl Execution {
    /// What the configuration calls the worker.
    #[must_use]
    pub fn worker_name(&self) -> &str {
        self.worker.rsplit_once('-').map_or(&self.worker, |(name, _)| name)
    }

    fn parse(line: &str) -> Option<Self> {
        let [task, attempt, worker, begun] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some(Self { task: task.to_owned(), begun_ms: begun.parse().ok()?, attempt: attempt.to_owned(), worker: worker.to_owned() })
    }
}

/// A shell line. Tasks take 0.1 to 1.3 s: five of the eight slots are busy, and faults meet what runs.
fn line(number: u32) -> String {
    let seconds = f64::from(number % 5).mul_add(0.3, 0.1);
    format!("echo $BELLWETHER_TASK $BELLWETHER_ATTEMPT $BELLWETHER_WORKER $(date +%s%3N) >> {FILE}; sleep {seconds:.1}")
}

/// Submits at a steady pace until it is told to stop. What cannot be submitted at its time is not made up for.
#[must_use]
pub fn submit_until(cluster: &Cluster, stop: &AtomicBool) -> Submitted {
    submit_from(1, cluster, stop)
}

/// The same, with names that are counted from `first`: a second load must not use the names of an earlier one.
#[must_use]
pub fn submit_from(first: u32, cluster: &Cluster, stop: &AtomicBool) -> Submitted {
    let (mut submitted, mut commands) = (Submitted::default(), Vec::new());
    cluster.tree().create_all("/tasks");
    for number in first.. {
        let next = Instant::now() + EVERY;
        if stop.load(Ordering::Acquire) {
            break;
        }
        submitted.tried += 1;
        if number % BY_COMMAND == 0 {
            commands.push(by_command(cluster, &line(number)));
        } else {
            let name = format!("n-{number:06}");
            // Not repeated when its outcome is unknown: the same name a second time would be another task.
            if cluster.tree().try_commit(&Multi::new().create(format!("/tasks/{name}"), line(number).as_str())).is_ok() {
                submitted.accepted.insert(name);
            }
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for output in commands.into_iter().map(|command| command.finish(COMMAND_WITHIN)) {
        match accepted_by(&output) {
            Some(task) => drop(submitted.accepted.insert(task)),
            None => submitted.failed.push(format!("bellwether submit ended with {}: {}", output.code, output.stderr.trim())),
        }
    }
    submitted
}

fn by_command(cluster: &Cluster, line: &str) -> CliRun {
    cluster.cli_start(&["submit", "--max-worker-losses", "1000", "--", "sh", "-c", line])
}

fn accepted_by(output: &CliOutput) -> Option<String> {
    output.lines().first().filter(|_| output.code == 0).map(|task| (*task).to_owned())
}

/// All executions so far, by task and time.
///
/// # Errors
/// A line that no task of ours writes.
pub fn executions(cluster: &Cluster) -> Result<Vec<Execution>, String> {
    let parse = |line: String| Execution::parse(&line).ok_or_else(|| format!("{FILE} has the line {line:?}"));
    let mut executions = cluster.lines(FILE).into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    executions.sort();
    Ok(executions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let read = Execution::parse("n-000007 2 w1-00000000000000ff 1763000000123").expect("it is ours");
        assert_eq!(
            (read.task.as_str(), read.attempt.as_str(), read.worker_name(), read.begun_ms),
            ("n-000007", "2", "w1", 1_763_000_000_123)
        );
        assert_eq!(Execution::parse("n-000007 2 w1-00000000000000ff"), None);
        assert!(line(4).ends_with("sleep 1.3"));
    }
}
