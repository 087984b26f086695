//! Workers and masters come and go, again and again: whoever stays must not grow, and nothing may be left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_tests::faults::sized;
use bellwether_tests::nemesis::load;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Scenario, Zookeeper, eventually, is, proc};

use crate::faults::metric;

/// Enough for one step forward of a fleet that is held up by a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// By how much a process may have grown in the end.
const GROWTH_KIB: u64 = 24 * 1024;
/// How many workers a task may cost by default.
const BUDGET: usize = 3;
/// Connections, pipes of what runs.
const DESCRIPTORS: usize = 12;

/// Those who stay, and those who come and go.
struct House {
    cluster: Cluster,
    staying: Vec<Process>,
    masters: Vec<Process>,
    workers: Vec<Process>,
}

/// What can leak.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Weight {
    /// Nodes of ZooKeeper but for what tasks leave behind on purpose.
    nodes: usize,
    watches: usize,
    /// Of each process that stays.
    descriptors: Vec<usize>,
    rss_kib: Vec<u64>,
}

impl House {
    fn new() -> Self {
        let cluster = Cluster::builder()
            .zookeeper(Zookeeper::own())
            .coordinator_session(Duration::from_secs(2))
            .worker_session(Duration::from_secs(2))
            .start();
        let staying = vec![cluster.coordinator("stays"), cluster.worker("stayer", 2)];
        let masters = (0..2).map(|i| cluster.coordinator(&format!("c{i}"))).collect();
        let workers = (0..3).map(|i| cluster.worker(&format!("w{i}"), 2)).collect();
        Self { cluster, staying, masters, workers }
    }

    /// Everybody is there, and nothing is left to do.
    #[track_caller]
    fn rests(&self) -> Weight {
        let tree = self.cluster.tree();
        let _ = self.cluster.ruler();
        // However many have piled up meanwhile, their number falls.
        let mut left = usize::MAX;
        while left > 0 {
            left = eventually(PATIENCE, "more tasks to end", || match self.cluster.history().unended().len() {
                rest if rest < left => Ok(rest),
                rest => Err(format!("{rest} are left")),
            });
        }
        for (what, path, count) in [("workers", "/workers", 4), ("boxes", "/assign", 4), ("standbys", "/bellwether/standbys", 2)] {
            eventually(PATIENCE, what, || is(tree.children(path).len(), &count));
        }
        let count = |path: &str| tree.children(path).len();
        let of_tasks = count("/status") + count("/bellwether/results") + count("/bellwether/submitted") + count("/bellwether/dead");
        let server = |key: &str| {
            let answer = self.cluster.zookeeper().four_letter(0, "mntr").expect("an answer");
            let value = answer.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<usize>().ok());
            value.expect("a figure")
        };
        let pids: Vec<i32> = self.staying.iter().map(Process::pid).collect();
        Weight {
            nodes: server("zk_znode_count") - of_tasks,
            watches: server("zk_watch_count"),
            descriptors: pids.iter().map(|pid| proc::descriptors(*pid)).collect(),
            rss_kib: pids.iter().map(|pid| proc::rss_kib(*pid)).collect(),
        }
    }

    /// Flaps while tasks come at a steady pace; how many rounds there were.
    #[track_caller]
    fn flaps_for(&mut self, first_task: u32, lasts: Duration) -> usize {
        let stop = AtomicBool::new(false);
        let begun = Instant::now();
        let mut rounds = 0;
        // The load has hands of its own, so that this thread may have the house.
        let (cluster, stop) = (&self.cluster, &stop);
        let (staying, masters, workers) = (&self.staying, &mut self.masters, &mut self.workers);
        let submitted = std::thread::scope(|scope| {
            let submitting = scope.spawn(|| load::submit_from(first_task, cluster, stop));
            while begun.elapsed() < lasts {
                flap(cluster, masters, workers, rounds);
                rounds += 1;
                assert!(staying.iter().all(Process::is_running));
            }
            stop.store(true, Ordering::Release);
            submitting.join().expect("it submits")
        });
        assert_eq!(submitted.failed, Vec::<String>::new());
        rounds
    }
}

/// One round: the master and a worker go, by turns with and without a word, and come back. The coordinator that stays loses its office
/// to a hand instead.
fn flap(cluster: &Cluster, masters: &mut [Process], workers: &mut [Process], round: usize) {
    let (ruler, worker) = (cluster.ruler(), round % workers.len());
    let gone = masters.iter().position(|master| master.name() == ruler);
    if round.is_multiple_of(2) {
        gone.iter().for_each(|master| masters[*master].kill9());
        workers[worker].kill9();
    } else {
        let _ = gone.map(|master| masters[master].terminate(SOON));
        let _ = workers[worker].terminate(SOON);
    }
    match gone {
        Some(master) => masters[master] = cluster.coordinator(&ruler),
        None => drop(cluster.tree().delete("/master")),
    }
    workers[worker] = cluster.worker(&format!("w{worker}"), 2);
    let resyncs = || metric(&workers[worker], "bellwether_resyncs_total", &[]).filter(|resyncs| *resyncs > 0.0);
    let _ = eventually(SOON, "the worker", resyncs);
}

#[test]
fn workers_and_masters_come_and_go() {
    let scenario = Scenario::of("F28");
    let lasts = sized("FLAP_SECONDS", 16, 300);
    let mut house = House::new();
    // What is allocated once is allocated by then.
    let _ = house.flaps_for(1, Duration::from_secs(4));
    let before = house.rests();
    let rounds = house.flaps_for(100_001, Duration::from_secs(lasts as u64));
    let after = house.rests();

    // The history of terms is one node, farewells another: nothing grows with the number of rounds.
    assert!(after.nodes <= before.nodes + 2, "nodes: {before:?} then {after:?}");
    assert!(after.watches <= before.watches + 6, "watches: {before:?} then {after:?}");
    for (i, process) in house.staying.iter().enumerate() {
        let name = process.name();
        assert!(after.descriptors[i] <= before.descriptors[i] + DESCRIPTORS, "descriptors of {name}: {before:?} then {after:?}");
        assert!(after.rss_kib[i] <= before.rss_kib[i] + GROWTH_KIB, "memory of {name}: {before:?} then {after:?}");
    }
    let history = house.cluster.history();
    let dead = house.cluster.tree().children("/bellwether/dead");
    let early: Vec<&String> = dead.iter().filter(|task| history.assignments(task) < BUDGET).collect();
    assert_eq!(early, Vec::<&String>::new(), "dead letters before their budget was spent");
    let most = history.tasks.keys().map(|task| history.assignments(task)).max().unwrap_or(0);
    scenario.saw(format!(
        "{rounds} rounds in {lasts} s, {} terms, {} incarnations, {} tasks (one was assigned {most} times): {} nodes then {}, {} watches then {}, {:?} descriptors then {:?}, {:?} KiB then {:?}, {} dead letters, each after {BUDGET} workers",
        history.terms.len(),
        history.workers.len(),
        history.tasks.len(),
        before.nodes,
        after.nodes,
        before.watches,
        after.watches,
        before.descriptors,
        after.descriptors,
        before.rss_kib,
        after.rss_kib,
        dead.len()
    ));
}
