//! `make dashboard-figures`: what the Failover dashboard says of five failovers, beside what ZooKeeper's log says.
//! `make pictures` runs it with a directory: a few minutes of a cluster's life, and what Prometheus answers each panel, as JSON to be
//! drawn by `dashboards/src/draw.ts`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use bellwether_tests::dashboard::{self, Dashboard, Variables};
use bellwether_tests::prometheus::{Found, SCRAPE_INTERVAL};
use bellwether_tests::tasks::SOON;
use bellwether_tests::watched::{CLUSTER, Watched, milliseconds};
use bellwether_tests::{eventually, is};
use serde_json::{Value, json};

const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    match std::env::args_os().nth(1) {
        None => figures(),
        Some(directory) => record(&PathBuf::from(directory)),
    }
}

fn figures() -> anyhow::Result<()> {
    println!(
        "Seconds without a master, of five failovers by kill -9 under load, at a scrape interval of {} s:\n",
        SCRAPE_INTERVAL.as_secs()
    );
    println!(
        "{:>15} {:>34} {:>26} {:>38} {:>15}",
        "the dashboard", "the log: last write → /master", "the difference", "the log: closeSession → /master", "missed scrapes"
    );
    let mut watched = Watched::start(2);
    for _ in 0..ROUNDS {
        let from = SystemTime::now();
        let killed = watched.fail_over(true);
        one_master(&watched);
        let shown = watched.seconds_without_master(from)?;
        let ruler = watched.cluster.ruler();
        let missed = watched.failed_scrapes(&ruler, from)?;
        let vacancies = watched.vacancies()?;
        let vacancy = vacancies.last().context("no vacancy in the log")?;
        let logged = (vacancy.taken_ms - vacancy.last_write_ms) as f64 / 1000.0;
        let vacant = (vacancy.taken_ms - vacancy.vacated_ms) as f64 / 1000.0;
        println!("{shown:>13.1} s {logged:>32.2} s {:>24.2} s {vacant:>36.3} s {missed:>15}", shown - logged);
        watched.start_again(&killed);
    }
    Ok(())
}

/// Waits until Prometheus has seen one master for a few scrapes.
fn one_master(watched: &Watched) {
    let expr = format!("min_over_time(sum(bellwether_master_is_active{{cluster={CLUSTER:?}}})[3s:500ms])");
    eventually(SOON, "one master on the dashboard", || {
        watched.prometheus.number(&expr).map_err(|error| error.to_string()).and_then(|masters| is(masters, &1.0))
    });
}

/// A life with everything that the dashboards mark in it. The pauses are what the pictures show, not a wait for anything.
fn record(directory: &Path) -> anyhow::Result<()> {
    let pause = |seconds: u64| std::thread::sleep(Duration::from_secs(seconds));
    let mut watched = Watched::start(3);
    let from = SystemTime::now();
    pause(30);
    println!("the master is asked to stop, and hands over");
    let stopped = watched.fail_over(false);
    pause(5);
    watched.start_again(&stopped);
    println!("somebody submits what ends badly");
    let endless: Vec<String> = (0..3).map(|_| watched.cluster.put("sleep 300")).collect();
    let _ = watched.cluster.cli(&["submit", "--timeout", "3s", "--", "sleep", "300"]).success();
    let _ = watched.cluster.put("[1, 2]");
    pause(8);
    for task in &endless {
        let _ = watched.cluster.cli(&["cancel", task]).success();
    }
    pause(15);
    println!("the master is killed");
    let killed = watched.fail_over(true);
    pause(10);
    watched.start_again(&killed);
    pause(15);
    println!("a worker is killed; another one loses its connection for 3 s");
    watched.service("w2").kill9();
    watched.proxy.cut_off();
    pause(3);
    watched.proxy.heal();
    pause(12);
    watched.start_again("w2");
    pause(15);
    println!("a worker is frozen for longer than its session, and wakes up");
    watched.service("w1").pause();
    pause(11);
    watched.service("w1").resume();
    pause(20);
    println!("so is the master");
    let frozen = watched.cluster.ruler();
    watched.service(&frozen).pause();
    let _ = watched.cluster.ruler_after(&frozen);
    pause(4);
    watched.service(&frozen).resume();
    pause(25);
    for dashboard in dashboard::all()? {
        let path = directory.join(format!("{}.json", dashboard.name));
        let recorded = answers(&watched, &dashboard, from).with_context(|| dashboard.name.clone())?;
        std::fs::write(&path, recorded.to_string()).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn answers(watched: &Watched, dashboard: &Dashboard, from: SystemTime) -> anyhow::Result<Value> {
    let mut panels = serde_json::Map::new();
    for target in dashboard.targets() {
        let answer = json!({ "refId": target.id, "series": series(&watched.ask(&target, from)?) });
        let answers = panels.entry(target.panel.to_string()).or_insert_with(|| json!([]));
        answers.as_array_mut().context("a list")?.push(answer);
    }
    let now = SystemTime::now();
    let variables = Variables::all_of(CLUSTER, SCRAPE_INTERVAL, SCRAPE_INTERVAL, SCRAPE_INTERVAL);
    let mark = |annotation: dashboard::Annotation<'_>| {
        let found = watched.prometheus.query_range(&variables.fill_in(annotation.expr), from, now, SCRAPE_INTERVAL)?;
        anyhow::Ok(json!({ "name": annotation.name, "series": series(&found) }))
    };
    let annotations: Vec<Value> = dashboard.annotations().map(mark).collect::<anyhow::Result<_>>()?;
    Ok(json!({
        "dashboard": dashboard.name,
        "from": milliseconds(from) as f64 / 1000.0,
        "to": milliseconds(now) as f64 / 1000.0,
        "step": SCRAPE_INTERVAL.as_secs_f64(),
        "panels": panels,
        "annotations": annotations,
    }))
}

/// What is no number becomes null.
fn series(found: &[Found]) -> Value {
    found.iter().map(|series| json!({ "labels": series.labels, "samples": series.samples })).collect()
}
