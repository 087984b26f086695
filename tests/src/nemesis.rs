//! The nemesis: a whole cluster under a steady load, with everything done to it that a seed draws, and a verdict.
//!
//! What lives here: one run from begin to end. Its parts: the [`schedule`] is a pure function of the seed; the [`house`] suffers and is
//! healed; the [`load`] submits and counts executions; the [`verdict`] is pure again.

pub mod house;
pub mod load;
pub mod schedule;
pub mod verdict;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_common::audit;

use crate::{Cluster, Zookeeper};
use house::{House, Struck};
use load::Submitted;
pub use schedule::Schedule;
use verdict::Facts;
pub use verdict::Verdict;

/// The load goes on for so long when everything is healed: progress is seen by it.
const AFTERMATH: Duration = Duration::from_secs(3);
/// How long it may take until all tasks have ended.
const RESTS_WITHIN: Duration = Duration::from_secs(60);

/// What a run ends with.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was done, and when it really was.
    pub struck: Vec<Struck>,
    /// What came of it.
    pub verdict: Verdict,
}

/// A cluster for a run: an ensemble of three. Tasks do not end for having lost many workers.
#[must_use]
pub fn cluster() -> Cluster {
    Cluster::builder()
        .zookeeper(Zookeeper::ensemble(schedule::SERVERS))
        .coordinator_session(schedule::COORDINATOR_SESSION)
        .worker_session(schedule::WORKER_SESSION)
        .setting("coordinator.max_worker_losses", "1000")
        // As it is in production: other tests wait for what waits in the tree.
        .setting("coordinator.lookahead", "1")
        // Offices are deleted under masters that are cut off.
        .news_within(schedule::COORDINATOR_SESSION / 2 + Duration::from_millis(500))
        .start()
}

/// Starts all services, does and heals what is scheduled while tasks are submitted, waits until all have ended, and judges.
///
/// # Panics
/// The cluster cannot be started, a server of ZooKeeper does not come back, or the logs cannot be read.
#[must_use]
pub fn run(cluster: &Cluster, schedule: &Schedule) -> Report {
    let mut house = House::start(cluster);
    let (struck, submitted) = under_load(cluster, || {
        let struck = house.suffer(schedule);
        // A real duration: the load goes on for so long after the last heal, and progress is judged in it.
        std::thread::sleep(AFTERMATH);
        struck
    });
    let rest = come_to_rest(&house);
    house.inspect();
    let mut complaints = std::mem::take(&mut house.complaints);
    complaints.extend(rest.err());
    complaints.extend(submitted.failed.iter().cloned());
    complaints.extend(audited(cluster));
    let executions = load::executions(cluster).unwrap_or_else(|error| {
        complaints.push(error);
        Vec::new()
    });
    let facts = Facts { submitted, executions, struck, history: cluster.history(), complaints };
    Report { verdict: verdict::judge(&facts), struck: facts.struck }
}

/// Submits tasks from another thread while something is done on this one.
fn under_load<T>(cluster: &Cluster, doing: impl FnOnce() -> T) -> (T, Submitted) {
    /// Whatever becomes of this thread, the other one must end.
    struct Stops<'a>(&'a AtomicBool);
    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let submitting = scope.spawn(|| load::submit_until(cluster, &stop));
        let stops = Stops(&stop);
        let done = doing();
        drop(stops);
        (done, submitting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn come_to_rest(house: &House<'_>) -> Result<(), String> {
    let deadline = Instant::now() + RESTS_WITHIN;
    loop {
        match house.is_at_rest() {
            Err(missing) if Instant::now() >= deadline => return Err(format!("{RESTS_WITHIN:?} after the last task: {missing}")),
            // Not `eventually`: what is missing is a verdict here, not a panic.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
            Ok(()) => return Ok(()),
        }
    }
}

/// What `bellwether audit` finds in the logs of all servers.
fn audited(cluster: &Cluster) -> Vec<String> {
    match audit::run(&cluster.zookeeper().data_dirs(), cluster.root()) {
        Ok(report) if report.verdict == audit::Verdict::Unusable => vec![format!("not all logs can be read: {:?}", report.log)],
        Ok(report) => report.violations.iter().map(|broken| format!("{broken:?}")).collect(),
        Err(error) => vec![format!("the logs cannot be audited: {error}")],
    }
}
