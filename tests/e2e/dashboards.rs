//! The dashboards on a real Prometheus that scrapes a real cluster while its master dies.

use std::time::{Duration, SystemTime};

use bellwether_common::metrics::FAILOVER_PHASES;
use bellwether_tests::dashboard::{self, Target, Variables};
use bellwether_tests::eventually;
use bellwether_tests::prometheus::{Found, SCRAPE_INTERVAL};
use bellwether_tests::tasks::SOON;
use bellwether_tests::watched::{CLUSTER, Vacancy, Watched, failover, milliseconds};

/// From an election in the log to the master's own time stamp of it, on a busy machine.
const STAMPED_WITHIN_MS: i64 = 2000;

#[test]
fn every_panel_answers_while_the_master_dies_and_says_how_long_nobody_ruled() {
    let watched = Watched::start(2);
    let begun = SystemTime::now();
    let killed = watched.fail_over(true);
    // An outage that ends well, for the panels that show outages.
    watched.proxy.cut();
    every_variable_has_values(&watched);
    every_panel_answers(&watched, begun);
    every_phase_was_measured(&watched, begun);
    let vacancies = watched.vacancies().expect("the log");
    let vacancy = vacancies.last().expect("a vacancy");
    the_failover_is_marked(&watched, begun, vacancy, &killed);
    the_panel_agrees_with_the_log(&watched, begun, vacancy, &killed);
}

/// What Grafana asks for to offer choices: the cluster, each of its jobs, each of its processes.
#[track_caller]
fn every_variable_has_values(watched: &Watched) {
    let variables = Variables::all_of(CLUSTER, SCRAPE_INTERVAL, SCRAPE_INTERVAL, SCRAPE_INTERVAL);
    for dashboard in dashboard::all().expect("dashboards") {
        let values = |(selector, label): (&str, &str)| {
            let path = format!("/api/v1/label/{label}/values");
            let found = watched.prometheus.api(&path, &[("match[]", &variables.fill_in(selector))]).expect("an answer");
            found.as_array().map_or(0, Vec::len)
        };
        let counts: Vec<usize> = dashboard.label_queries().map(values).collect();
        assert_eq!(counts, [1, 3, 5], "clusters, jobs and processes to choose from in {}", dashboard.name);
    }
}

#[track_caller]
fn every_panel_answers(watched: &Watched, begun: SystemTime) {
    let variables = Variables::all_of(CLUSTER, SCRAPE_INTERVAL, SCRAPE_INTERVAL, SCRAPE_INTERVAL);
    for dashboard in dashboard::all().expect("dashboards") {
        for target in dashboard.targets() {
            let what = format!("an answer for {:?} of {}", target.title, dashboard.name);
            eventually(SOON, &what, || answers(watched, &target, begun));
        }
        for annotation in dashboard.annotations() {
            let answer = watched.prometheus.query(&variables.fill_in(annotation.expr), None);
            assert!(answer.is_ok(), "{}: {answer:?}", annotation.name);
        }
    }
}

/// It has a number to show.
fn answers(watched: &Watched, target: &Target<'_>, begun: SystemTime) -> anyhow::Result<()> {
    let found = watched.ask(target, begun)?;
    let numbers = found.iter().flat_map(|series| &series.samples).filter(|(_, value)| value.is_finite()).count();
    anyhow::ensure!(numbers > 0, "{} has {} series, and no number", target.expr, found.len());
    Ok(())
}

/// The takeover has a duration in each of its phases.
#[track_caller]
fn every_phase_was_measured(watched: &Watched, begun: SystemTime) {
    let dashboard = failover().expect("the dashboard");
    let found = watched.ask(&dashboard.target("Takeover duration by phase, in range"), begun).expect("an answer");
    let measured = |series: &&Found| series.samples.iter().any(|(_, seconds)| seconds.is_finite());
    let phases: Vec<&String> = found.iter().filter(measured).map(|series| &series.labels["phase"]).collect();
    assert_eq!(phases.len(), FAILOVER_PHASES.len(), "only {phases:?}");
}

/// Where the log says that the next master took office, the annotation has its line, and it names the master.
#[track_caller]
fn the_failover_is_marked(watched: &Watched, begun: SystemTime, vacancy: &Vacancy, killed: &str) {
    let dashboard = failover().expect("the dashboard");
    let mark = dashboard.annotations().find(|annotation| annotation.name == "Failover").expect("its annotation");
    let expr = Variables::all_of(CLUSTER, SCRAPE_INTERVAL, SCRAPE_INTERVAL, SCRAPE_INTERVAL).fill_in(mark.expr);
    assert!(mark.value_is_time);
    let at = |found: &Found| found.samples.iter().map(|(_, value)| *value as i64).collect::<Vec<i64>>();
    let found = watched.prometheus.query_range(&expr, begun, SystemTime::now(), SCRAPE_INTERVAL).expect("an answer");
    let [series] = found.as_slice() else { panic!("{} processes took over: {found:?}", found.len()) };
    assert_ne!(series.labels["instance"], killed);
    let moments = at(series);
    assert!(moments.iter().all(|moment| (0..STAMPED_WITHIN_MS).contains(&(moment - vacancy.taken_ms))), "{moments:?}, but {vacancy:?}");
}

/// From the last write of the killed master to the next one's election, to one scrape interval. Scrapes that failed because this
/// machine is busy look like a master that is gone, so each of them adds one.
#[track_caller]
fn the_panel_agrees_with_the_log(watched: &Watched, begun: SystemTime, vacancy: &Vacancy, killed: &str) {
    let ruler = watched.cluster.ruler();
    assert_ne!(ruler, killed);
    assert!(vacancy.last_write_ms >= milliseconds(begun) - 1000, "under load the master writes all the time");
    let logged = Duration::from_millis((vacancy.taken_ms - vacancy.last_write_ms).unsigned_abs()).as_secs_f64();
    let shown = watched.seconds_without_master(begun).expect("a value");
    let missed = watched.failed_scrapes(&ruler, begun).expect("an answer");
    // The panel's resolution, and a master's usual distance between two writes, come on top.
    let slack = SCRAPE_INTERVAL.as_secs_f64() * (1 + missed) as f64 + 0.5;
    assert!((shown - logged).abs() <= slack, "the panel says {shown:.1} s, the log {logged:.1} s, with {missed} missed scrapes");
}
