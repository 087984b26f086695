//! What of Bellwether is measured: private clusters, as an operator would configure them.

use std::time::{Duration, Instant};

use bellwether_common::wait::eventually;
use serde_json::Value;

use super::figure::Unit;
use super::{Group, Measured, Plan, Side, peers, retention};
use crate::history::Step;
use crate::tasks::SOON;
use crate::{Cluster, Process, Zookeeper, proc};

/// Groups that are not measured unless they are named, or `LONG=1`.
pub(super) const LONG: [&str; 2] = ["million", "retention"];

/// How long a measurement may take.
pub(super) const LIMIT: Duration = Duration::from_secs(900);
/// How many tasks are measured while many more wait.
const SAMPLE: usize = 5_000;
/// How long services are left alone.
const IDLE: Duration = Duration::from_secs(20);
/// How often one server is measured: Java's compilers need half a core in the first round, a quarter in the second, nothing in the fifth.
const UNTIL_WARM: &str = "5";
/// A task for the handler that does nothing, as the client writes it.
const NOOP: &str = r#"{"bellwether":1,"kind":"noop","input":null}"#;

const CONFIGURATION: &str = "one ZooKeeper with forceSync, one coordinator, two workers, one client: a process each";
/// Slots of each worker.
const TWO_WORKERS: &[usize] = &[4, 4];
/// As a machine with two cores has it by itself, and as many at a time as the others that run commands beside it.
const ONE_WORKER: &[usize] = &[2];

/// All that can be measured.
pub(super) fn groups(plan: &Plan) -> Vec<Group> {
    let few = |tasks: usize| (tasks / plan.divisor).max(40);
    let group = |name, title, sides| Group { name, title, rounds_max: usize::MAX, sides };
    let brief = |name, title, sides| Group { name, title, rounds_max: 3, sides };
    let (noop, commands, waiting) = (few(20_000), few(10_000), few(100_000));
    let mut all = vec![
        group("noop", "tasks that do nothing", {
            let ours = Side::new("Bellwether", &format!("{CONFIGURATION}; 4 slots each; {noop} tasks for the handler noop"), move || {
                rates(&["store", "tasks"], noop, &["--kind", "noop"], TWO_WORKERS)
            });
            [vec![ours], peers::noop(few(4_000))].concat_sides()
        }),
        group("true", "commands: /bin/true", {
            let services = "one ZooKeeper with forceSync, one coordinator, one worker with two slots, one client: a process each";
            let ours = Side::new("Bellwether", &format!("{services}; {commands} tasks"), move || {
                rates(&["tasks"], commands, &["--", "/bin/true"], ONE_WORKER)
            });
            let array = Side::new("An array of Bellwether's", &format!("the same; one array of {commands} elements"), move || {
                rates(&["array"], commands, &["--", "/bin/true"], ONE_WORKER)
            });
            [vec![ours, array], peers::commands(plan.divisor)].concat_sides()
        }),
        group("arrays", "elements of one array that do nothing", {
            let elements = few(200_000);
            let configuration = format!("{CONFIGURATION}; 4 slots each; one array of {elements} elements for the handler noop");
            vec![Side::new("Bellwether", &configuration, move || rates(&["array"], elements, &["--kind", "noop"], TWO_WORKERS))]
        }),
        group("latency", "one task after another, nothing else to do: submit until result", {
            let ours = Side::new("Bellwether", &format!("{CONFIGURATION}; tasks for the handler noop"), || {
                rates(&["latency"], 1_000, &["--kind", "noop"], &[1, 1])
            });
            [vec![ours], peers::latency()].concat_sides()
        }),
        brief("backlog", "cost of a task while many wait", vec![backlog(few(1_000), few(SAMPLE)), backlog(waiting, few(SAMPLE))]),
        group(
            "takeover",
            "a master is killed while many wait",
            vec![Side::new("Bellwether", &format!("two coordinators with sessions of 4 s, two workers; {waiting} tasks"), move || {
                takeover(waiting)
            })],
        ),
        brief("workers", "many workers: the same tasks", [2, 20, 200].map(|workers| fleet(workers, noop)).into()),
        group(
            "ensemble",
            "three ZooKeeper servers on the same machine",
            vec![Side::new(
                "Bellwether",
                &format!("three ZooKeepers with forceSync, one coordinator, two workers with 4 slots each; {noop} tasks for noop"),
                move || on(&servers(3), &["store", "tasks"], noop, &["--kind", "noop"], TWO_WORKERS),
            )],
        ),
        brief(
            "idle",
            "what services use while nothing happens",
            vec![Side::new("Bellwether", "a master, a standby and a worker", || Ok(idle()))],
        ),
    ];
    let length = plan.length.unwrap_or(retention::LENGTH);
    all.push(Group {
        rounds_max: 1,
        ..brief("retention", "few results are kept, and somebody waits for all of them", vec![retention::side(length, &plan.dir)])
    });
    if plan.long || plan.groups.iter().any(|name| name == "million") {
        let million = few(1_000_000);
        all.push(Group {
            rounds_max: 1,
            ..brief("million", "cost of a task while a million wait", vec![backlog(few(1_000), few(SAMPLE)), backlog(million, few(SAMPLE))])
        });
    }
    all
}

trait Sides {
    fn concat_sides(self) -> Vec<Side>;
}

impl<const N: usize> Sides for [Vec<Side>; N] {
    fn concat_sides(self) -> Vec<Side> {
        self.into_iter().flatten().collect()
    }
}

/// Servers of this measurement's own, as they are on a machine of an operator's.
fn servers(count: usize) -> Cluster {
    let zookeeper = Zookeeper::configured(|_, options| {
        options.force_sync = true;
        options.ensemble = count;
        options.heap = "3g".to_owned();
        // Both compilers, as Java has them by itself: the tests' servers are flagged for a quick start.
        options.java_options.push("-XX:TieredStopAtLevel=4".to_owned());
    });
    Cluster::builder().zookeeper(zookeeper).unsampled().as_installed().start()
}

fn rates(parts: &[&str], count: usize, what: &[&str], slots: &[usize]) -> anyhow::Result<Measured> {
    on(&servers(1), parts, count, what, slots)
}

/// What `bellwether bench` finds cold, first of all, and warm, when Java compiles no more: a server goes on for months.
fn on(cluster: &Cluster, parts: &[&str], count: usize, what: &[&str], slots: &[usize]) -> anyhow::Result<Measured> {
    let _coordinator = cluster.coordinator("c1");
    let workers = slots.iter().zip(1..).map(|(slots, n)| cluster.worker(&format!("w{n}"), *slots));
    let workers: Vec<Process> = workers.collect();
    let _ = cluster.ruler();
    workers.iter().for_each(|worker| drop(cluster.registered(worker.name())));
    let count = count.to_string();
    let args = [&["bench"], parts, &["--rounds", UNTIL_WARM, "--yes", "-o", "json", "--count", count.as_str()], what].concat();
    let said = cluster.cli_start(&args).finish(LIMIT);
    anyhow::ensure!(said.code == 0, "bellwether bench: {}", said.stderr);
    let json: Value = serde_json::from_str(&said.stdout)?;
    let figures = json["figures"].as_array().ok_or_else(|| anyhow::anyhow!("no figures in {json}"))?;
    let mut measured = Measured::new();
    for figure in figures {
        let unit = match figure["unit"].as_str() {
            Some("/s") => Unit::PerSecond,
            Some("ms") => Unit::Milliseconds,
            Some("x") => Unit::Ratio,
            other => anyhow::bail!("an unknown unit: {other:?}"),
        };
        let (what, rounds) = (figure["what"].as_str().unwrap_or_default(), figure["rounds"].as_array().cloned().unwrap_or_default());
        for (when, value) in [("cold", rounds.first()), ("warm", rounds.last())] {
            let value = value.and_then(Value::as_f64).ok_or_else(|| anyhow::anyhow!("{what} was not measured: {figure}"))?;
            measured.push((format!("{what}, {when}"), unit, value));
        }
    }
    Ok(measured)
}

/// What a server of ZooKeeper has counted, by its own figure.
pub(super) fn counted(cluster: &Cluster, figure: &str) -> f64 {
    let mntr = cluster.zookeeper().four_letter(0, "mntr").unwrap_or_default();
    let value = mntr.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix('\t')?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("ZooKeeper says nothing of {figure}: {mntr}"))
}

pub(super) fn done(cluster: &Cluster) -> usize {
    cluster.tree().stat("/status").map_or(0, |stat| usize::try_from(stat.num_children).unwrap_or(0))
}

#[expect(clippy::cast_precision_loss, reason = "a few millions")]
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

/// Lets `sample` tasks through while `waiting` more wait behind them.
fn backlog(waiting: usize, sample: usize) -> Side {
    let configuration = format!("{CONFIGURATION}; 4 slots each; {sample} tasks of those that wait are measured");
    Side::new(&format!("Bellwether, {waiting} waiting"), &configuration, move || {
        let cluster = servers(1);
        let coordinator = cluster.coordinator("c1");
        let _ = cluster.ruler();
        let before = proc::rss_kib(coordinator.pid());
        let _ = cluster.cli(&["master", "pause"]).success();
        let _ = cluster.put_many("wait-", (0..waiting + sample).map(|_| NOOP.to_owned()));
        let pending = || coordinator.metrics().map(|metrics| metrics.value("bellwether_tasks", &[("state", "pending")])).ok();
        eventually(LIMIT, "all of them wait", || pending().is_some_and(|pending| pending >= float(waiting + sample)));
        let memory = proc::rss_kib(coordinator.pid()).saturating_sub(before) * 1024;
        let _workers = [cluster.worker("w1", 4), cluster.worker("w2", 4)];
        let _ = (cluster.registered("w1"), cluster.registered("w2"));
        let counters = ["zk_packets_received", "zk_bytes_received_count"];
        let before = counters.map(|counter| counted(&cluster, counter));
        let begun = Instant::now();
        let _ = cluster.cli(&["master", "resume"]).success();
        eventually(LIMIT, "the sample to end", || done(&cluster) >= sample);
        let (took, ended) = (begun.elapsed().as_secs_f64(), done(&cluster));
        let [requests, bytes] = [0, 1].map(|index| (counted(&cluster, counters[index]) - before[index]) / float(ended));
        let status = cluster.tree().text(&format!("/status/wait-{:06}", 0)).unwrap_or_default();
        anyhow::ensure!(status.contains("\"succeeded\""), "the first of them: {status}");
        Ok(vec![
            ("tasks until their results".to_owned(), Unit::PerSecond, float(ended) / took),
            ("requests to ZooKeeper per task".to_owned(), Unit::Count, requests),
            ("bytes to ZooKeeper per task".to_owned(), Unit::Bytes, bytes),
            ("the master's memory per waiting task".to_owned(), Unit::Bytes, float(usize::try_from(memory)?) / float(waiting + sample)),
            ("the master's memory".to_owned(), Unit::Mebibytes, float(usize::try_from(proc::rss_kib(coordinator.pid()))?) / 1024.0),
        ])
    })
}

/// Kills the master in the middle of many tasks. By ZooKeeper's log.
fn takeover(waiting: usize) -> anyhow::Result<Measured> {
    let cluster = servers(1);
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _workers = [cluster.worker("w1", 4), cluster.worker("w2", 4)];
    let _ = (cluster.ruler(), cluster.registered("w1"), cluster.registered("w2"));
    eventually(SOON, "a standby", || !cluster.tree().children("/bellwether/standbys").is_empty());
    let _ = cluster.put_many("wait-", (0..waiting).map(|_| NOOP.to_owned()));
    let ruler = cluster.ruler();
    let ended = done(&cluster);
    coordinators.iter().filter(|coordinator| coordinator.name() == ruler).for_each(Process::kill9);
    let _ = cluster.ruler_after(&ruler);
    eventually(LIMIT, "all to end", || done(&cluster) >= waiting);
    let history = cluster.history();
    anyhow::ensure!(history.terms.len() == 2, "{} terms", history.terms.len());
    let (old, new) = (&history.terms[0], &history.terms[1]);
    let vacated = old.vacated.ok_or_else(|| anyhow::anyhow!("the first term has no end"))?;
    let steps = history.tasks.values().flatten();
    let after = steps.filter(|(moment, step)| matches!(step, Step::Assigned(_)) && moment.zxid > new.taken.zxid);
    let first = after.map(|(moment, _)| moment.time_ms).min().ok_or_else(|| anyhow::anyhow!("nothing was assigned afterwards"))?;
    let ms = |from: i64, to: i64| float(usize::try_from(to - from).unwrap_or(0));
    Ok(vec![
        ("end of the old session until the next master".to_owned(), Unit::Milliseconds, ms(vacated.time_ms, new.taken.time_ms)),
        ("election until its first assignment".to_owned(), Unit::Milliseconds, ms(new.taken.time_ms, first)),
        ("tasks that waited then".to_owned(), Unit::Count, float(waiting.saturating_sub(ended))),
    ])
}

/// Workers of one process, with handlers in it.
fn fleet(workers: usize, tasks: usize) -> Side {
    let configuration = format!(
        "one ZooKeeper with forceSync, one coordinator, {workers} workers with 4 slots each in one process; {tasks} tasks for noop"
    );
    Side::new(&format!("Bellwether, {workers} workers"), &configuration, move || {
        let cluster = servers(1);
        let _coordinator = cluster.coordinator("c1");
        let _ = cluster.ruler();
        let fleet = cluster.example("fleet", &[&workers.to_string(), "4"]);
        eventually(LIMIT, "all of them", || !fleet.is_running() || cluster.tree().children("/workers").len() == workers);
        anyhow::ensure!(fleet.is_running(), "the fleet has ended: {}", fleet.log());
        let count = tasks.to_string();
        let said = cluster.cli_start(&["bench", "tasks", "--rounds", "2", "--yes", "-o", "json", "--count", &count, "--kind", "noop"]);
        let said = said.finish(LIMIT);
        anyhow::ensure!(said.code == 0, "bellwether bench: {}", said.stderr);
        let json: Value = serde_json::from_str(&said.stdout)?;
        let rates = json["figures"].as_array().into_iter().flatten().filter_map(|figure| figure["max"].as_f64());
        Ok(vec![("tasks until the last result".to_owned(), Unit::PerSecond, rates.fold(0.0, f64::max))])
    })
}

fn idle() -> Measured {
    let cluster = servers(1);
    let master = cluster.coordinator("c1");
    // Before anybody else may rule.
    let _ = cluster.ruler();
    let (standby, worker) = (cluster.coordinator("c2"), cluster.worker("w1", 2));
    let _ = cluster.registered("w1");
    let services = [("the master", &master), ("a standby", &standby), ("a worker", &worker)];
    // Two real durations: nothing happens that could be waited for. In the first, what comes once soon after the start goes by; in the second
    // it is counted what services do while nothing happens.
    std::thread::sleep(Duration::from_secs(3));
    let before = services.map(|(_, service)| proc::cpu(service.pid()));
    let requests = counted(&cluster, "zk_packets_received");
    std::thread::sleep(IDLE);
    let requests = counted(&cluster, "zk_packets_received") - requests;
    let mut measured = vec![("requests and pings of all".to_owned(), Unit::PerSecond, requests / IDLE.as_secs_f64())];
    for ((name, service), before) in services.into_iter().zip(before) {
        let share = (proc::cpu(service.pid()) - before).as_secs_f64() / IDLE.as_secs_f64();
        measured.push((format!("{name}'s processor time"), Unit::Core, share * 100.0));
        let kib = usize::try_from(proc::rss_kib(service.pid())).unwrap_or(0);
        measured.push((format!("{name}'s memory"), Unit::Mebibytes, float(kib) / 1024.0));
    }
    measured
}
