//! The reference of all metrics, as Markdown, from the one table.

use std::fmt::Write as _;

use super::{Kind, METRICS, Metric, label};
use crate::config::Role;

/// What stands in `docs/reference/metrics.md`: written by `make fix`, compared by a test.
#[must_use]
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let sections = [
        ("Coordinator and worker", None),
        ("Coordinator", Some(Role::Coordinator)),
        ("Worker", Some(Role::Worker)),
        ("ZooKeeper exporter", Some(Role::Exporter)),
    ];
    for (title, role) in sections {
        let metrics: Vec<&Metric> = METRICS.iter().filter(|metric| metric.role == role).collect();
        section(&mut page, title, &metrics);
    }
    page.push_str(BUCKETS);
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
        let bounds: Vec<String> = metric.buckets().iter().map(f64::to_string).collect();
        // Writing to a String does not fail.
        let _ = writeln!(page, "| `{}` | {} |", metric.name, bounds.join(" "));
    }
    page
}

const INTRODUCTION: &str = "\
# Metrics

<!-- Written from crates/common/src/metrics.rs by `make fix`. Edit the table there, not this page. -->

Coordinators and workers serve these at `/metrics` of `http.listen`, `bellwether zk-exporter` those of its section. Every series also
carries `cluster`, the name in the configuration; Prometheus adds `job` and `instance`. No task, no worker incarnation and no free
text is a label. All series whose labels are known exist from the start, counters at 0, so that `increase()` sees the first event.

- The gauges of a master are 0 on every coordinator that is not in office, from the moment its session is suspended or its proof of
  office is older than half a session timeout, even if the process was frozen in between: a scrape looks at the clock itself.
- Seconds without a master: `sum(increase(bellwether_failover_duration_seconds_sum{phase=\"election\"}[$__range]))`. The new master
  counts from the moment at which it heard that `/master` was gone to its own election, or, if nobody stood by then, from its first
  look at the vacant office. `bellwether audit` reads the exact times from ZooKeeper's log.
- `bellwether_task_queue_duration_seconds` and `bellwether_oldest_pending_task_age_seconds` are measured in ZooKeeper's time: from the
  creation of the task's znode, by its submission or when it was given back, to now, where now is the time of the master's election by
  ZooKeeper's clock plus what has passed since. Of a task that had rested in `held` only the time after its rest counts.
- `bellwether_task_end_to_end_duration_seconds` counts from the submission as the task's name says it, which is the clock of the
  submitting host, to the recorded result, by the clock of the worker's host: clocks that disagree show here. Tasks that were named by
  other programs say no time, and are left out.
- A `kind` beyond the first 32 that a worker meets is counted as `other`.
- `process_cpu_seconds_total` counts whole seconds.
- ZooKeeper's own figures, which the exporter adds, are described in [zk-exporter.md](zk-exporter.md).
";

const BUCKETS: &str = "
## Buckets

Histograms have fixed upper bounds, and `+Inf`. There are no summaries.

| histogram | upper bounds |
|---|---|
";

fn section(page: &mut String, title: &str, metrics: &[&Metric]) {
    let _ = write!(page, "\n## {title}\n\n| metric | type | unit | labels and values | meaning |\n|---|---|---|---|---|\n");
    for metric in metrics {
        let Metric { name, help, .. } = metric;
        let _ = writeln!(page, "| `{name}` | {} | {} | {} | {help} |", kind(metric.kind), unit(metric), labels(metric));
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn unit(metric: &Metric) -> &'static str {
    let name = metric.name.trim_end_matches("_total");
    if name.ends_with("timestamp_seconds") || name.ends_with("start_time_seconds") {
        "Unix time"
    } else if name.ends_with("_seconds") {
        "seconds"
    } else if name.ends_with("_bytes") {
        "bytes"
    } else {
        ""
    }
}

fn labels(metric: &Metric) -> String {
    let one = |(name, values): &(&str, &[&str])| match (*name, *values) {
        (label::SERVER, []) => format!("`{name}`: as configured"),
        (name, []) => format!("`{name}`: of the build"),
        (name, values) => format!("`{name}`: {}", values.join(", ")),
    };
    metric.labels.iter().map(one).collect::<Vec<_>>().join("<br>")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn committed() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
        fs::read_to_string(path).expect("the reference")
    }

    #[test]
    fn the_reference_is_what_the_table_says() {
        assert_eq!(committed(), markdown(), "run `make fix` and commit docs/reference/metrics.md");
    }

    #[test]
    fn the_reference_names_every_metric_once_and_no_other() {
        let page = committed();
        let rows = page.split("\n## Buckets").next().unwrap_or_default().lines().filter_map(|line| line.strip_prefix("| `"));
        let named: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        let known: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(named.len(), known.len());
        assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), known);
    }
}
