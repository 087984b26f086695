//! `make figures`: how long takeovers, reassignments and one short task take, on this machine, from ZooKeeper's own log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellwether_tests::history::Step;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};
use zookeeper_client::{Acls, Client, CreateMode};

const ROUNDS: usize = 5;
/// How an office ends.
const HOW: [&str; 3] = ["kill -9", "SIGTERM", "step-down"];
const TASKS: usize = 300;
/// How long a unit of work takes in the measurement of placement.
const UNIT: Duration = Duration::from_millis(50);

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("scrapes") => return bellwether_tests::scrapes::print(),
        Some("sizing") => return bellwether_tests::sizing::print(),
        Some("cancel") => return bellwether_tests::cancelling::print(),
        Some("costs") => return bellwether_tests::costs::print(),
        Some("placement") => return bellwether_tests::placement::print(UNIT),
        Some(_) | None => {}
    }
    println!("Session timeouts: coordinators 4 s, workers 6 s; ZooKeeper's tick 200 ms; one ZooKeeper with forceSync; debug build unless");
    println!("run from target/release.\n");
    takeovers();
    reassignment();
    idle_latency();
    println!();
    bellwether_tests::cancelling::print();
    println!();
    bellwether_tests::sizing::print();
    println!();
    bellwether_tests::scrapes::print();
    println!();
    bellwether_tests::costs::print();
    println!();
    bellwether_tests::placement::print(UNIT);
}

fn takeovers() {
    let cluster = Cluster::new();
    let mut coordinators = vec![cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 2);
    println!("{:<10} {:>34} {:>28}", "signal", "closeSession/delete → next /master", "signal → next /master");
    for round in 0..3 * ROUNDS {
        let how = HOW[round / ROUNDS];
        eventually(SOON, "a standby", || !cluster.tree().children("/bellwether/standbys").is_empty());
        let ruler = cluster.ruler();
        let index = coordinators.iter().position(|c| c.name() == ruler).expect("one of ours");
        let master: Process = coordinators.remove(index);
        let terms = cluster.history().terms.len();
        let signalled = now_ms();
        match how {
            "kill -9" => master.kill9(),
            "SIGTERM" => assert_eq!(master.terminate(SOON), 0),
            _ => drop(cluster.cli(&["master", "step-down"]).code(0)),
        }
        let _ = cluster.ruler_after(&ruler);
        let history = cluster.history();
        let (old, new) = (&history.terms[terms - 1], &history.terms[terms]);
        let gap = old.vacated.map_or(-1, |vacated| new.taken.time_ms - vacated.time_ms);
        println!("{how:<10} {:>31} ms {:>25} ms", gap, new.taken.time_ms - signalled);
        coordinators.push(if how == "step-down" { master } else { cluster.coordinator(&ruler) });
    }
    println!();
}

fn reassignment() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    println!("{:<46} {:>10}", "worker's end in the log → its tasks reassigned", "tasks");
    for round in 0..ROUNDS {
        let name = format!("doomed{round}");
        let doomed = cluster.worker(&name, 4);
        let incarnation = cluster.registered(&name);
        let tasks: Vec<String> = (0..4).map(|_| cluster.put("sleep 1")).collect();
        for task in &tasks {
            assert_eq!(cluster.assignee(task), incarnation);
        }
        let heir = cluster.worker(&format!("heir{round}"), 4);
        let _ = cluster.registered(&format!("heir{round}"));
        doomed.kill9();
        for task in &tasks {
            let _ = cluster.status_of(task);
        }
        let history = cluster.history();
        let gone = history.workers.iter().find(|life| life.name == incarnation).and_then(|life| life.gone).expect("it is gone");
        let again = |task: &String| {
            let steps = history.tasks.get(task).into_iter().flatten();
            steps.filter(|(_, step)| matches!(step, Step::Assigned(_))).map(|(moment, _)| moment.time_ms).max()
        };
        let last = tasks.iter().filter_map(again).max().unwrap_or_default();
        println!("{:>43} ms {:>10}", last - gone.time_ms, tasks.len());
        assert_eq!(heir.terminate(SOON), 0);
    }
    println!();
}

fn idle_latency() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 2);
    let _ = cluster.registered("w1");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (tasks, trips) = runtime.block_on(async {
        let client = Client::connect(&cluster.connect_string()).await.expect("a session");
        let other = Client::connect(&cluster.connect_string()).await.expect("a second session");
        (submit_and_wait(&client).await, round_trips(&client, &other).await)
    });
    println!(
        "submit → result of `true`, one at a time, idle: p50 {:.2} ms, p99 {:.2} ms over {TASKS} tasks",
        ms(&tasks, 50),
        ms(&tasks, 99)
    );
    let sum = 3.0 * ms(&trips.multi, 50) + 3.0 * ms(&trips.get, 50) + 3.0 * (ms(&trips.event, 50) - ms(&trips.multi, 50)).max(0.0);
    let spawn = ms(&spawns(), 50);
    println!(
        "its round trips in the same run, p50: write {:.2} ms, read {:.2} ms, write → event elsewhere {:.2} ms",
        ms(&trips.multi, 50),
        ms(&trips.get, 50),
        ms(&trips.event, 50)
    );
    println!(
        "sum of 3 writes, 3 reads and 3 events on top of their writes: {sum:.2} ms; a process of `true`: {spawn:.2} ms; ratio {:.2}",
        ms(&tasks, 50) / (sum + spawn)
    );
}

async fn submit_and_wait(client: &Client) -> Vec<Duration> {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let mut times = Vec::with_capacity(TASKS);
    for i in 0..TASKS {
        let (task, status) = (format!("/tasks/figure-{i:05}"), format!("/status/figure-{i:05}"));
        let began = Instant::now();
        let created = client.create(&task, br#"["true"]"#, &options);
        let (stat, watcher) = client.check_and_watch_stat(&status).await.expect("a watch");
        created.await.expect("a task");
        if stat.is_none() {
            watcher.changed().await;
        }
        let (data, _) = client.get_data(&status).await.expect("its status");
        times.push(began.elapsed());
        assert_eq!(data, b"done");
    }
    times
}

struct Trips {
    multi: Vec<Duration>,
    get: Vec<Duration>,
    event: Vec<Duration>,
}

/// What a write, a read, and a write until somebody else hears of it take.
async fn round_trips(client: &Client, other: &Client) -> Trips {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let mut trips = Trips { multi: Vec::new(), get: Vec::new(), event: Vec::new() };
    client.create("/figures", b"", &options).await.expect("a place");
    for i in 0..TASKS {
        let (path, heard) = (format!("/figures/{i}"), format!("/figures/heard-{i}"));
        let began = Instant::now();
        let mut multi = client.new_multi_writer();
        multi.add_create(&path, b"0123456789", &options).expect("an operation");
        multi.add_check_version("/figures", 0).expect("an operation");
        multi.commit().await.expect("a transaction");
        trips.multi.push(began.elapsed());
        let began = Instant::now();
        client.get_data(&path).await.expect("a read");
        trips.get.push(began.elapsed());
        let (_, watcher) = other.check_and_watch_stat(&heard).await.expect("a watch");
        let began = Instant::now();
        let created = client.create(&heard, b"", &options);
        watcher.changed().await;
        trips.event.push(began.elapsed());
        created.await.expect("a node");
    }
    trips
}

fn spawns() -> Vec<Duration> {
    let once = |_| {
        let began = Instant::now();
        assert!(std::process::Command::new("true").status().expect("a process").success());
        began.elapsed()
    };
    (0..TASKS).map(once).collect()
}

/// The given percentile in milliseconds.
fn ms(times: &[Duration], percentile: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[(sorted.len() * percentile / 100).min(sorted.len() - 1)].as_secs_f64() * 1000.0
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
