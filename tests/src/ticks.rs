//! Ticks of schedules, counted in ZooKeeper's log: each made one task, whoever ruled.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::history::{History, Step};
use crate::tasks::SOON;
use crate::{Cluster, Process, eventually};

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// How many ticks had a task.
    pub ticks: usize,
    /// How many terms there were.
    pub terms: usize,
    /// Tasks that were created more than once.
    pub doubled: Vec<String>,
    /// Ticks between the first and the last of their schedule that made no task.
    pub missing: Vec<String>,
}

/// Makes `schedules` that tick every second, kills `failovers` masters, each when so many more ticks have fired, and counts.
///
/// # Panics
/// Nobody rules in time, or nothing fires.
#[must_use]
#[track_caller]
pub fn run(cluster: &Cluster, schedules: usize, failovers: usize, ticks: usize) -> Counted {
    let mut coordinators: Vec<Process> = ["a", "b", "c"].iter().map(|name| cluster.coordinator(name)).collect();
    for index in 0..schedules {
        let name = format!("s{index:03}");
        let _ = cluster.cli(&["submit", "--every", "1s", "--missed", "all", "--name", &name, "--", "true"]).success();
    }
    for failover in 1..=failovers + 1 {
        let goal = ticks * failover / (failovers + 1);
        eventually(SOON * 10, &format!("{goal} ticks"), || cluster.tree().children("/tasks").len() >= goal);
        if failover <= failovers {
            let ruler = cluster.ruler();
            let place = coordinators.iter().position(|coordinator| coordinator.name() == ruler).expect("one of ours");
            coordinators.remove(place).kill9();
            coordinators.push(cluster.coordinator(&format!("n{failover}")));
        }
    }
    for index in 0..schedules {
        let _ = cluster.cli(&["schedule", "pause", &format!("s{index:03}")]).success();
    }
    count(&cluster.history())
}

/// What the log says of every task that is called by a schedule and a second.
#[must_use]
pub fn count(history: &History) -> Counted {
    let mut fired: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut doubled = Vec::new();
    for (task, steps) in &history.tasks {
        let Some((schedule, tick)) = task.rsplit_once('-') else { continue };
        let Ok(second) = tick.parse::<Timestamp>().map(|at| at.as_second()) else { continue };
        fired.entry(schedule).or_default().push(second);
        if steps.iter().filter(|(_, step)| *step == Step::Pending).count() != 1 {
            doubled.push(task.clone());
        }
    }
    let mut missing = Vec::new();
    for (schedule, seconds) in &mut fired {
        seconds.sort_unstable();
        for pair in seconds.windows(2) {
            missing.extend((pair[0] + 1..pair[1]).map(|second| format!("{schedule} at {second}")));
        }
    }
    Counted { ticks: fired.values().map(Vec::len).sum(), terms: history.terms.len(), doubled, missing }
}
