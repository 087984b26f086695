//! What the fault scenarios have in common: services behind proxies, tasks that wait to be let go, and looks at metrics.

pub(crate) use bellwether_tests::proc::lives;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Proxy, eventually, is};

/// A line that tells its process, its worker and its attempt, and then waits to be let go, or killed.
pub(crate) const WAITS: &str =
    "echo $$ $BELLWETHER_WORKER $BELLWETHER_ATTEMPT $BELLWETHER_TASK >> runs; until [ -e go ]; do sleep 0.02; done";
/// A line that tells the same and ends.
pub(crate) const ENDS: &str = "echo $$ $BELLWETHER_WORKER $BELLWETHER_ATTEMPT $BELLWETHER_TASK >> runs";

/// One attempt of a task, as it told itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) pid: i32,
    pub(crate) worker: String,
    pub(crate) number: String,
    pub(crate) task: String,
}

/// All attempts so far.
pub(crate) fn attempts(cluster: &Cluster) -> Vec<Attempt> {
    let parse = |line: String| {
        let mut words = line.split(' ').map(str::to_owned);
        let (pid, worker, number, task) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Attempt { pid: pid.parse().ok()?, worker, number, task })
    };
    cluster.lines("runs").into_iter().filter_map(parse).collect()
}

/// A task that runs, and its attempt.
#[track_caller]
pub(crate) fn put_running(cluster: &Cluster) -> (String, Attempt) {
    let task = cluster.put(WAITS);
    let attempt = eventually(SOON, "the task to run", || attempts(cluster).into_iter().find(|attempt| attempt.task == task));
    (task, attempt)
}

/// Lets go of all tasks that [`WAITS`].
pub(crate) fn let_go(cluster: &Cluster) {
    std::fs::write(cluster.dir().join("go"), "").expect("written");
}

/// A metric now; `None` if it cannot be scraped.
pub(crate) fn metric(process: &Process, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    process.metrics().ok()?.get(name, labels)
}

/// Waits until a metric has this value.
#[track_caller]
pub(crate) fn becomes(process: &Process, name: &str, labels: &[(&str, &str)], value: f64) {
    let what = format!("{name}{labels:?} of {}", process.name());
    eventually(SOON, &what, || is(metric(process, name, labels), &Some(value)));
}

/// A coordinator behind a proxy.
#[track_caller]
pub(crate) fn coordinator(cluster: &Cluster, name: &str, proxy: &Proxy) -> Process {
    cluster.coordinator_with(name, &[("zookeeper.connect", &cluster.through(proxy))])
}

/// A worker behind a proxy.
#[track_caller]
pub(crate) fn worker(cluster: &Cluster, name: &str, slots: usize, proxy: &Proxy) -> Process {
    cluster.worker_with(name, slots, &[("zookeeper.connect", &cluster.through(proxy))])
}
