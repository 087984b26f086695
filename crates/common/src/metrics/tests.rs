//! What a scrape of each role contains.

use std::collections::HashSet;

use metrics::{gauge, histogram};

use super::recorder::{builder, describe};
use super::*;

/// What `act` leaves in a fresh recorder after the role's description.
fn scrape(role: Role, act: impl FnOnce()) -> String {
    let recorder = builder("blue").build_recorder();
    let handle = MetricsHandle { prometheus: recorder.handle(), more: None };
    metrics::with_local_recorder(&recorder, || {
        describe(role);
        act();
        handle.run_upkeep();
        handle.render()
    })
}

fn value_of(scrape: &str, series: &str) -> Option<f64> {
    scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn counters_stand_at_zero_before_anything_happened() {
    let scrape = scrape(Role::Coordinator, || {});
    assert_eq!(value_of(&scrape, r#"bellwether_tasks_assigned_total{cluster="blue"}"#), Some(0.0), "{scrape}");
    assert_eq!(value_of(&scrape, r#"bellwether_elections_total{cluster="blue",result="won"}"#), Some(0.0));
    assert_eq!(value_of(&scrape, r#"bellwether_zk_requests_total{cluster="blue",op="multi",result="unknown"}"#), Some(0.0));
    assert_eq!(value_of(&scrape, r#"bellwether_failover_duration_seconds_count{cluster="blue",phase="recovery"}"#), Some(0.0));
    assert_eq!(value_of(&scrape, r#"bellwether_master_is_active{cluster="blue"}"#), Some(0.0));
}

#[test]
fn every_series_carries_the_cluster_and_every_metric_its_help() {
    let scrape = scrape(Role::Worker, || {});
    for line in scrape.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(line.contains(r#"cluster="blue""#), "{line}");
    }
    for metric in METRICS.iter().filter(|metric| metric.is_of(Role::Worker)) {
        assert!(scrape.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{} is not rendered", metric.name);
    }
}

#[test]
fn a_role_has_no_metrics_of_another() {
    assert!(!scrape(Role::Worker, || {}).contains("bellwether_master_is_active"));
    assert!(!scrape(Role::Coordinator, || {}).contains("bellwether_worker_slots"));
}

#[test]
fn no_histogram_is_exported_as_a_summary() {
    for role in [Role::Coordinator, Role::Worker, Role::Client, Role::Exporter] {
        let scrape = scrape(role, || {
            for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
                histogram!(metric.name).record(0.3);
            }
            histogram!("bellwether_named_by_nobody").record(1.0);
        });
        assert!(!scrape.contains(" summary"), "{scrape}");
        assert!(!scrape.contains("quantile="), "{scrape}");
    }
}

#[test]
fn buckets_fit_what_is_measured() {
    let scrape = scrape(Role::Coordinator, || {
        histogram!(ZK_REQUEST_DURATION_SECONDS, label::OP => "get").record(0.002);
        histogram!(TASK_QUEUE_DURATION_SECONDS).record(4000.0);
        histogram!(TASK_ASSIGN_DURATION_SECONDS).record(0.0005);
        histogram!(FAILOVER_DURATION_SECONDS, label::PHASE => "election").record(12.0);
        histogram!(ZK_MULTI_OPS).record(100.0);
        histogram!(ATTEMPT_OVERLAP_SECONDS).record(0.0);
        histogram!(ATTEMPT_OVERLAP_SECONDS).record(0.001);
    });
    let counted = [
        (r#"bellwether_zk_request_duration_seconds_bucket{cluster="blue",op="get",le="0.001"}"#, 0.0),
        (r#"bellwether_zk_request_duration_seconds_bucket{cluster="blue",op="get",le="0.0025"}"#, 1.0),
        (r#"bellwether_task_queue_duration_seconds_bucket{cluster="blue",le="7200"}"#, 1.0),
        (r#"bellwether_task_queue_duration_seconds_bucket{cluster="blue",le="86400"}"#, 1.0),
        (r#"bellwether_task_assign_duration_seconds_bucket{cluster="blue",le="0.001"}"#, 1.0),
        (r#"bellwether_failover_duration_seconds_bucket{cluster="blue",phase="election",le="15"}"#, 1.0),
        (r#"bellwether_zk_multi_ops_bucket{cluster="blue",le="128"}"#, 1.0),
        (r#"bellwether_attempt_overlap_seconds_bucket{cluster="blue",le="0"}"#, 1.0),
        (r#"bellwether_attempt_overlap_seconds_bucket{cluster="blue",le="0.01"}"#, 2.0),
    ];
    for (series, count) in counted {
        assert_eq!(value_of(&scrape, series), Some(count), "{series}\n{scrape}");
    }
}

#[test]
fn of_several_states_one_is_current() {
    let scrape = scrape(Role::Worker, || {
        set_one(ZK_SESSION_STATE, label::STATE, &SESSION_STATES, "connected");
        set_one(ZK_SESSION_STATE, label::STATE, &SESSION_STATES, "suspended");
    });
    let state = |state: &str| value_of(&scrape, &format!(r#"bellwether_zk_session_state{{cluster="blue",state="{state}"}}"#));
    assert_eq!(SESSION_STATES.map(state), [Some(0.0), Some(0.0), Some(1.0), Some(0.0)]);
}

#[test]
fn the_build_and_the_process_are_described() {
    let scrape = scrape(Role::Worker, || {});
    let version = env!("CARGO_PKG_VERSION");
    let build = format!(r#"bellwether_build_info{{cluster="blue",version="{version}",role="worker"}}"#);
    assert_eq!(value_of(&scrape, &build), Some(1.0), "{scrape}");
    assert!(value_of(&scrape, r#"process_resident_memory_bytes{cluster="blue"}"#) > Some(1_000_000.0));
    assert!(value_of(&scrape, r#"process_threads{cluster="blue"}"#) >= Some(1.0));
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let mut seen = HashSet::new();
    for metric in METRICS {
        assert!(seen.insert(metric.name), "{} stands twice in the table", metric.name);
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn series_are_found_by_the_names_that_queries_use() {
    assert_eq!(find("bellwether_elections_total").map(|metric| metric.name), Some(ELECTIONS_TOTAL));
    assert_eq!(find("bellwether_zk_multi_ops_bucket").map(|metric| metric.name), Some(ZK_MULTI_OPS));
    assert!(find("bellwether_zk_multi_ops").is_none(), "a histogram has no series of its bare name");
    assert!(find("bellwether_elections_total_count").is_none());
    assert!(find("bellwether_electoins_total").is_none());
}

#[test]
fn every_histogram_is_rendered_with_the_bounds_that_the_reference_names() {
    let scrape = scrape(Role::Worker, || {});
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram && metric.is_of(Role::Worker)) {
        for bound in metric.buckets() {
            let series = |line: &str| line.starts_with(&format!("{}_bucket", metric.name)) && line.contains(&format!("le=\"{bound}\""));
            assert!(scrape.lines().any(series), "{} has no bucket {bound}", metric.name);
        }
    }
}

#[test]
fn a_configuration_that_was_read_is_in_force() {
    let scrape = scrape(Role::Worker, || {});
    assert_eq!(value_of(&scrape, r#"bellwether_config_last_reload_successful{cluster="blue"}"#), Some(1.0));
}

#[test]
fn the_exporter_has_no_session_and_says_nothing_of_one() {
    let scrape = scrape(Role::Exporter, || gauge!(ZOOKEEPER_UP, label::SERVER => "a:1").set(1.0));
    assert!(!scrape.contains("bellwether_zk_session_state"), "{scrape}");
    assert_eq!(value_of(&scrape, r#"bellwether_zookeeper_up{cluster="blue",server="a:1"}"#), Some(1.0));
    assert!(scrape.contains("process_open_fds"));
}
