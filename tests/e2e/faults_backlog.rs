//! Many tasks that wait: at a takeover, without a worker, and when all workers are gone. The sizes are those of the rows in
//! `make faults`, and smaller ones in `make test`.

use std::time::{Duration, Instant};

use bellwether_tests::dummy::dummy;
use bellwether_tests::faults::sized;
use bellwether_tests::history::{History, Step};
use bellwether_tests::proxy::Operation;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Proxy, Scenario, Zookeeper, eventually, is, proc};

use crate::faults::{becomes, coordinator, metric};

/// A hundred thousand tasks take a while to put there, and to read, on a busy machine above all.
const PATIENCE: Duration = Duration::from_secs(600);
const ACTIVE: &str = "bellwether_master_is_active";
const STATE: &str = "bellwether_coordinator_state";
const REQUESTS: &str = "bellwether_zk_requests_total";
/// Tasks in the window in which the cost of one is measured.
const WINDOW: usize = 500;

/// What one look of the janitor at one result takes, request and answer: two heads, a path and a stat.
const LOOK_BYTES: u64 = 130;

/// What a takeover with a backlog came to.
struct Taken {
    first_assignment_ms: i64,
    peak_mib: u64,
    /// For each task that ends, when the whole backlog has been read.
    requests: f64,
    bytes: f64,
    /// Milliseconds of a processor that the master uses for it, and ZooKeeper: what throughput is made of, whatever else the machine does.
    cpu_ms: [f64; 2],
    /// Tasks in a second, for people: of a busy machine it says little.
    rate: f64,
}

/// A backlog, a master that is killed, and one that takes over.
fn take_over(backlog: usize) -> Taken {
    // The slow comparison reads all names once a minute, however many tasks end in it: that is no cost of a task.
    let builder = Cluster::builder().zookeeper(Zookeeper::own()).setting("coordinator.assign_batch", "1");
    let cluster = builder.setting("coordinator.reconcile_interval", "\"1h\"").start();
    // In the first round nobody assigns anything: there is no worker.
    let first = cluster.coordinator("c1");
    becomes(&first, ACTIVE, &[], 1.0);
    let proxy = cluster.proxy();
    let second = coordinator(&cluster, "c2", &proxy);
    becomes(&second, STATE, &[("state", "standby")], 1.0);
    let _ = cluster.put_many("n-", (0..backlog).map(|_| "true".to_owned()));
    let _worker = cluster.worker("w1", 8);
    let _ = cluster.registered("w1");
    first.kill9();
    let _ = cluster.ruler_after("c1");
    // It knows all names at once, and reads payloads after that: when as many were read as waited, nothing is left to learn
    // but what is new.
    let reads = u64::try_from(backlog).expect("a small number");
    eventually(PATIENCE, "all to be read", || match (proxy.named(Operation::GetData), ended(&cluster)) {
        (read, done) if read >= reads && done > 20 => Ok(()),
        (read, done) => Err(format!("{read} of {reads} read, {done} done")),
    });
    // What was asked for last is answered, too, before anything is counted.
    let done = ended(&cluster);
    eventually(PATIENCE, "the answers", || Some(ended(&cluster)).filter(|now| *now >= done + 50));
    let (requests, bytes, cpu_ms, rate) = window(&cluster, &proxy, &second);
    let history = cluster.history();
    let first_assignment_ms = first_assignment(&history).expect("it assigns");
    Taken { first_assignment_ms, peak_mib: proc::peak_kib(second.pid()) / 1024, requests, bytes, cpu_ms, rate }
}

fn ended(cluster: &Cluster) -> usize {
    cluster.tree().stat("/status").map_or(0, |stat| usize::try_from(stat.num_children).unwrap_or(0))
}

/// The janitor looks at each result once, at many together, soon after a takeover and then once a minute. That does not depend on what waits,
/// but a lump of it in one of two windows would hide what is compared.
fn without_janitor(proxy: &Proxy) -> u64 {
    proxy.seen(Operation::Any) - proxy.seen(Operation::Exists) - proxy.seen(Operation::Ping)
}

/// Requests, bytes and milliseconds of a processor per task, and tasks per second, over so many tasks.
fn window(cluster: &Cluster, proxy: &Proxy, master: &Process) -> (f64, f64, [f64; 2], f64) {
    let cpu = || [proc::cpu(master.pid()), cluster.zookeeper().pids().into_iter().map(proc::cpu).sum::<Duration>()];
    let (begun, done, used) = (Instant::now(), ended(cluster), cpu());
    let (requests, bytes) = (without_janitor(proxy), proxy.bytes());
    let looks = proxy.seen(Operation::Exists);
    let now = eventually(PATIENCE, "more tasks to end", || Some(ended(cluster)).filter(|now| *now >= done + WINDOW));
    let per = |count: u64| count as f64 / (now - done) as f64;
    let looks = proxy.seen(Operation::Exists) - looks;
    let (requests, bytes) = (per(without_janitor(proxy) - requests), per((proxy.bytes() - bytes).saturating_sub(looks * LOOK_BYTES)));
    let later = cpu();
    let cpu_ms = [0, 1].map(|who| (later[who] - used[who]).as_secs_f64() * 1000.0 / (now - done) as f64);
    (requests, bytes, cpu_ms, (now - done) as f64 / begun.elapsed().as_secs_f64())
}

/// Milliseconds from the second term's begin to its first assignment.
fn first_assignment(history: &History) -> Option<i64> {
    let term = history.terms.get(1)?;
    let assigned = history.tasks.values().flatten().filter(|(_, step)| matches!(step, Step::Assigned(_)));
    assigned.map(|(at, _)| *at).filter(|at| at.zxid > term.taken.zxid).map(|at| at.time_ms - term.taken.time_ms).min()
}

#[test]
fn a_master_takes_over_a_backlog() {
    let scenario = Scenario::of("F25");
    let backlog = sized("BELLWETHER_BACKLOG", 10_000, 100_000);
    let (small, large) = (take_over(1000), take_over(backlog));
    scenario.saw(format!(
        "{backlog} waiting: first assignment {} ms after the election, {} MiB at most; {:.2} requests, {:.0} bytes, {:.2} ms of the master and {:.2} ms of ZooKeeper per task at {:.0} tasks/s; with 1000 waiting {:.2}, {:.0}, {:.2}, {:.2} and {:.0} (debug build unless said otherwise)",
        large.first_assignment_ms, large.peak_mib, large.requests,
        large.bytes,
        large.cpu_ms[0],
        large.cpu_ms[1],
        large.rate,
        small.requests,
        small.bytes,
        small.cpu_ms[0],
        small.cpu_ms[1],
        small.rate
    ));
    assert!(large.first_assignment_ms < 2000, "{} ms to the first assignment", large.first_assignment_ms);
    assert!(large.peak_mib < 200, "{} MiB", large.peak_mib);
    for (what, small, large) in [("requests", small.requests, large.requests), ("bytes", small.bytes, large.bytes)] {
        assert!((large - small).abs() <= small / 10.0, "{what} per task: {small:.2} with 1000 waiting, {large:.2} with {backlog}");
    }
    let [large, small] = [large.cpu_ms, small.cpu_ms];
    assert!(large[0] < small[0] * 2.0, "{:.2} ms of the master per task with {backlog} waiting, {:.2} with 1000", large[0], small[0]);
}

fn assigned(cluster: &Cluster) -> usize {
    let boxes = cluster.tree().children("/assign");
    let stats = boxes.iter().filter_map(|worker| cluster.tree().stat(&format!("/assign/{worker}")));
    stats.map(|stat| usize::try_from(stat.num_children).unwrap_or(0)).sum()
}

/// What a master asks for, and uses, in three seconds in which nothing happens.
fn idles(master: &Process) -> (f64, f64) {
    let (asked, used, begun) = (metric(master, REQUESTS, &[]).expect("a scrape"), proc::cpu(master.pid()), Instant::now());
    eventually(SOON, "three seconds", || begun.elapsed() > Duration::from_secs(3));
    let asked = metric(master, REQUESTS, &[]).expect("a scrape") - asked;
    (asked, (proc::cpu(master.pid()) - used).as_secs_f64() / begun.elapsed().as_secs_f64())
}

#[test]
fn all_workers_die_with_all_tasks_assigned() {
    let scenario = Scenario::of("F26");
    let count = sized("BELLWETHER_ASSIGNED", 2000, 10_000);
    let cluster = Cluster::builder().zookeeper(Zookeeper::own()).start();
    let proxy = cluster.proxy();
    let master = coordinator(&cluster, "c1", &proxy);
    becomes(&master, ACTIVE, &[], 1.0);
    let _ = cluster.put_many("n-", (0..count).map(|i| format!("echo {i} >> runs")));
    eventually(PATIENCE, "the master to know all", || {
        is(metric(&master, "bellwether_tasks", &[("state", "pending")]), &Some(count as f64))
    });
    eventually(PATIENCE, "the master to have read all", || match proxy.named(Operation::GetData) {
        read if read >= u64::try_from(count).expect("small") => Ok(()),
        read => Err(format!("{read} of {count}")),
    });
    let (asked, used) = idles(&master);
    assert!(asked < 60.0 && used < 0.05, "{asked} requests and {used} of a processor while there is no worker");

    let slots = u32::try_from(count / 2).expect("small");
    let workers = [dummy(&cluster, "d1", slots, None), dummy(&cluster, "d2", slots, None)];
    eventually(PATIENCE, "all to be assigned", || is(assigned(&cluster), &count));
    let begun = Instant::now();
    drop(workers);
    eventually(PATIENCE, "all to come back", || is(cluster.tree().children("/tasks").len(), &count));
    let took = begun.elapsed().as_secs_f64();
    // One of them does it all, or enough of it to see that the payloads are what they were.
    let _worker = cluster.worker("w1", 8);
    eventually(PATIENCE, "some to run", || cluster.lines("runs").len() > 200);
    let history = cluster.history();
    assert_eq!((history.tasks.len(), history.violations.len()), (count, 0));
    scenario.saw(format!(
        "{count} waiting without a worker: {asked} requests in 3 s, {:.1} % of a processor; assigned to two workers that die: all back after {took:.1} s",
        used * 100.0
    ));
}

#[test]
fn the_regular_comparison_of_many_that_wait_stalls_nothing() {
    let waiting = sized("BELLWETHER_COMPARED", 10_000, 50_000);
    let cluster = Cluster::builder().setting("coordinator.reconcile_interval", "\"1s\"").start();
    let (master, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let _ = (cluster.ruler(), cluster.registered("w1"));
    let nowhere = r#"{"bellwether":1,"argv":["true"],"require":{"zone":"nowhere"}}"#;
    let _ = cluster.put_many("n-", (0..waiting).map(|_| nowhere.to_owned()));
    eventually(PATIENCE, "the master to know all", || {
        is(metric(&master, "bellwether_tasks", &[("state", "pending")]), &Some(waiting as f64))
    });
    let compared = || metric(&master, "bellwether_resyncs_total", &[("cause", "periodic")]).unwrap_or_default();
    let (before, mut put) = (compared(), Vec::new());
    // One after the other, through three comparisons.
    while compared() < before + 3.0 {
        put.push(cluster.put(r#"{"bellwether":1,"kind":"noop","input":null}"#));
        let _ = cluster.status_of(put.last().expect("the one that was put"));
    }
    let history = cluster.history();
    let waited = |task: &String| {
        let at = |wanted: fn(&Step) -> bool| history.tasks[task].iter().find(|(_, step)| wanted(step)).map_or(0, |(at, _)| at.time_ms);
        at(|step| matches!(step, Step::Assigned(_))) - at(|step| matches!(step, Step::Pending))
    };
    let longest = put.iter().map(waited).max().unwrap_or_default();
    println!("{waiting} waiting: of {} tasks during three comparisons none waited longer than {longest} ms for its worker", put.len());
    assert!(put.len() >= 3 && longest < 1000, "{longest} ms until it was assigned, {} tasks", put.len());
}
