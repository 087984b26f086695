//! A client that submits and waits as fast as it can, for minutes, while few results may be kept: whether all that grows stops growing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bellwether_common::wait::eventually;
use serde_json::Value;

use super::figure::Unit;
use super::sides::{LIMIT, counted, done, float};
use super::{Measured, Side, timeline};
use crate::{Cluster, Process, Zookeeper, proc};

/// How long it takes unless it is said otherwise.
pub(super) const LENGTH: Duration = Duration::from_secs(600);
/// How many tasks the client has on their way.
const WINDOW: usize = 1_000;
/// Java's heap: a small part of what goes through it in ten minutes.
const HEAP: &str = "1g";
/// How many times is looked: every ten seconds in ten minutes.
const LOOKS: u32 = 60;
/// Shorter measurements than this keep fewer results, so that something is removed at all.
const BRIEF: Duration = Duration::from_secs(120);

/// What was seen at a time.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    seconds: f64,
    /// Results that the client got so far.
    done: f64,
    /// Results that are kept.
    kept: f64,
    nodes: f64,
    /// Of all nodes, in MiB, as ZooKeeper estimates it.
    data: f64,
    /// Java's heap behind the last collections, in MiB; the smallest since the look before.
    heap: f64,
    /// What the kernel says the processes occupy, in MiB.
    server: f64,
    master: f64,
    client: f64,
}

/// One of the values that were seen.
type Seen = fn(&Look) -> f64;

/// Measures for so long, and leaves `retention.svg` and `retention.csv` in `dir`.
pub(super) fn side(length: Duration, dir: &Path) -> Side {
    let limit = limit(length);
    let configuration = format!(
        "one ZooKeeper with forceSync and a heap of {HEAP}, one coordinator that keeps {limit} results, two workers with 4 slots each, one client \
         that has {WINDOW} tasks for noop on their way and waits for each, for {} s",
        length.as_secs()
    );
    let dir = dir.to_owned();
    Side::new("Bellwether", &configuration, move || measure(length, &dir))
}

fn limit(length: Duration) -> usize {
    if length < BRIEF { 3_000 } else { 20_000 }
}

fn measure(length: Duration, dir: &Path) -> anyhow::Result<Measured> {
    let mut collections = PathBuf::new();
    let zookeeper = Zookeeper::configured(|dir, options| {
        options.force_sync = true;
        options.heap = HEAP.to_owned();
        collections = dir.join("gc.log");
        options.java_options.push("-XX:TieredStopAtLevel=4".to_owned());
        options.java_options.push(format!("-Xlog:gc:file={}", collections.display()));
    });
    let limit = limit(length);
    let cluster = Cluster::builder().zookeeper(zookeeper).unsampled().as_installed().setting("coordinator.status_max", &limit.to_string());
    let cluster = cluster.start();
    let coordinator = cluster.coordinator("c1");
    let _workers = [cluster.worker("w1", 4), cluster.worker("w2", 4)];
    let _ = (cluster.ruler(), cluster.registered("w1"), cluster.registered("w2"));
    let early = cluster.cli(&["submit", "--kind", "noop"]).success().lines().concat();
    let _ = cluster.cli(&["wait", &early]).success();
    let client = cluster.example("steady", &[&length.as_secs().to_string(), &WINDOW.to_string()]);
    let looks = watch(&cluster, &coordinator, &client, &collections, length);
    let code = client.exit_code(LIMIT);
    let said = last_line(&client.log());
    anyhow::ensure!(code == 0 && said["over"] == true, "the client ended with {code}: {}", client.log());
    anyhow::ensure!(said["lost"] == 0 && said["submitted"] == said["succeeded"], "who waited lost a result: {said}");
    report(dir, &looks)?;
    // A tenth more may lie there for a minute.
    eventually(LIMIT, "no more results than may be kept", || done(&cluster) <= limit + limit / 10);
    // Whoever comes too late is told so; on a machine so slow that nothing had to go, nobody does.
    if said["succeeded"].as_u64() > u64::try_from(limit).ok() {
        let late = cluster.cli_start(&["wait", &early]).finish(LIMIT);
        let answer = late.code != 0 && late.stderr.contains("its result was removed");
        anyhow::ensure!(answer, "whoever waits for {early}, of which the result is gone, hears: {} {}", late.code, late.stderr);
    }
    judge(&looks, &said)
}

/// Looks at everything until the client has ended.
fn watch(cluster: &Cluster, coordinator: &Process, client: &Process, collections: &Path, length: Duration) -> Vec<Look> {
    let every = length / LOOKS;
    let (begun, mut looks) = (Instant::now(), Vec::<Look>::new());
    let server = cluster.zookeeper().pids().first().copied().unwrap_or_default();
    let occupied = |pid: i32| float(usize::try_from(proc::rss_kib(pid)).unwrap_or(0)) / 1024.0;
    let mut read = 0;
    while client.is_running() && begun.elapsed() < length {
        // A real duration: how much grows in it is what is measured.
        std::thread::sleep(every.min(length.saturating_sub(begun.elapsed())));
        let text = std::fs::read_to_string(collections).unwrap_or_default();
        let heap = text.get(read..).and_then(least_heap).or(looks.last().map(|look| look.heap)).unwrap_or_default();
        read = text.len();
        looks.push(Look {
            seconds: begun.elapsed().as_secs_f64(),
            done: last_line(&client.log())["succeeded"].as_f64().unwrap_or_default(),
            kept: float(done(cluster)),
            nodes: counted(cluster, "zk_znode_count"),
            data: counted(cluster, "zk_approximate_data_size") / 1_048_576.0,
            heap,
            server: occupied(server),
            master: occupied(coordinator.pid()),
            client: occupied(client.pid()),
        });
    }
    looks
}

fn last_line(log: &str) -> Value {
    log.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

/// The least that lines such as `GC(7) Pause Young (Normal) (G1 Evacuation Pause) 614M->45M(1024M) 5.1ms` leave behind, in MiB.
fn least_heap(log: &str) -> Option<f64> {
    let left = |line: &str| {
        let (_, after) = line.split_once("->").filter(|_| line.contains("Pause"))?;
        after.split_once('M')?.0.parse::<f64>().ok()
    };
    log.lines().filter_map(left).min_by(f64::total_cmp)
}

/// The figures, and that what may not grow has not.
fn judge(looks: &[Look], said: &Value) -> anyhow::Result<Measured> {
    anyhow::ensure!(looks.len() >= 6, "it was looked {} times only", looks.len());
    let thirds = |of: Seen| {
        let third = looks.len() / 3;
        let median = |looks: &[Look]| {
            let mut values: Vec<f64> = looks.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        (median(&looks[third..2 * third]), median(&looks[2 * third..]))
    };
    let seconds = said["seconds"].as_f64().unwrap_or_default().max(f64::EPSILON);
    let most = |of: Seen| looks.iter().map(of).fold(0.0, f64::max);
    let mut measured = vec![
        ("tasks that somebody waited for".to_owned(), Unit::PerSecond, said["succeeded"].as_f64().unwrap_or_default() / seconds),
        ("results in all".to_owned(), Unit::Count, said["succeeded"].as_f64().unwrap_or_default()),
        ("results that were lost".to_owned(), Unit::Count, said["lost"].as_f64().unwrap_or_default()),
        ("times that work was kept out".to_owned(), Unit::Count, said["kept_out"].as_f64().unwrap_or_default()),
        ("results kept, at most".to_owned(), Unit::Count, most(|look| look.kept)),
    ];
    let grown: [(&str, Unit, Seen); 6] = [
        ("nodes", Unit::Count, |look| look.nodes),
        ("data in ZooKeeper", Unit::Mebibytes, |look| look.data),
        ("ZooKeeper's heap behind its collections", Unit::Mebibytes, |look| look.heap),
        ("ZooKeeper's memory", Unit::Mebibytes, |look| look.server),
        ("the master's memory", Unit::Mebibytes, |look| look.master),
        ("the client's memory", Unit::Mebibytes, |look| look.client),
    ];
    for (what, unit, of) in grown {
        let (second, last) = thirds(of);
        measured.push((format!("{what}, the last third's median"), unit, last));
        measured.push((format!("{what}, the last third over the second"), Unit::Ratio, last / second.max(f64::EPSILON)));
    }
    Ok(measured)
}

/// What was seen, for people and for programs.
fn report(dir: &Path, looks: &[Look]) -> anyhow::Result<()> {
    let mut csv =
        "seconds,done,results,nodes,data_mib,heap_after_collection_mib,zookeeper_rss_mib,master_rss_mib,client_rss_mib\n".to_owned();
    for look in looks {
        let Look { seconds, done, kept, nodes, data, heap, server, master, client } = look;
        let _ = writeln!(csv, "{seconds:.1},{done},{kept},{nodes},{data:.2},{heap},{server:.1},{master:.1},{client:.1}");
    }
    std::fs::write(dir.join("retention.csv"), csv)?;
    let line = |name: &str, unit: Unit, of: Seen| timeline::Line {
        name: name.to_owned(),
        unit,
        points: looks.iter().map(|look| (look.seconds, of(look))).collect(),
    };
    let lines = [
        line("results that the client got", Unit::Whole, |look| look.done),
        line("results kept", Unit::Whole, |look| look.kept),
        line("nodes in ZooKeeper", Unit::Whole, |look| look.nodes),
        line("ZooKeeper's heap behind its collections", Unit::Mebibytes, |look| look.heap),
        line("ZooKeeper's memory", Unit::Mebibytes, |look| look.server),
        line("the master's memory", Unit::Mebibytes, |look| look.master),
        line("the client's memory", Unit::Mebibytes, |look| look.client),
    ];
    if let Some(svg) = timeline::draw("a client that submits and waits all the time", &lines) {
        std::fs::write(dir.join("retention.svg"), svg)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_is_what_a_collection_leaves() {
        let log = "[0.1s][info][gc] Using G1\n\
                   [1.2s][info][gc] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 614M->45M(1024M) 5.123ms\n\
                   [1.9s][info][gc] GC(1) Concurrent Mark Cycle 12.0ms\n\
                   [2.2s][info][gc] GC(1) Pause Remark 80M->44M(1024M) 1.0ms\n";
        assert_eq!(least_heap(log), Some(44.0));
        assert_eq!(least_heap("[0.1s][info][gc] Using G1\n"), None);
    }

    #[test]
    fn what_grows_is_seen_by_its_last_third() {
        let looks: Vec<Look> = (0..30_u32).map(|i| Look { nodes: 100.0 + f64::from(i) * 10.0, heap: 50.0, ..Look::default() }).collect();
        let said = serde_json::json!({ "seconds": 10.0, "succeeded": 5000, "lost": 0, "kept_out": 0 });
        let measured = judge(&looks, &said).expect("enough was seen");
        let find = |what: &str| measured.iter().find(|(name, ..)| name == what).map(|(.., value)| *value);
        assert_eq!(find("tasks that somebody waited for"), Some(500.0));
        assert_eq!(find("nodes, the last third over the second"), Some(350.0 / 250.0));
        assert_eq!(find("ZooKeeper's heap behind its collections, the last third over the second"), Some(1.0));
        assert!(judge(&looks[..5], &said).is_err());
    }
}
