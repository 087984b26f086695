//! The process's recorder of metrics: installed once, rendered at each scrape.
//!
//! A counter that is first seen at 1 adds nothing to PromQL's `increase()`. So [`install`] touches every series whose label values
//! are known, and a failover that happens once is a failover that is counted.

use std::fmt;
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use metrics::{Label, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{BUCKETS, BUILD_INFO, CONFIG_LAST_RELOAD_SUCCESSFUL, FAST_BUCKETS, Kind, METRICS, Metric, label};
use crate::config::Role;

/// Reads the process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct MetricsHandle {
    pub(super) prometheus: PrometheusHandle,
    pub(super) more: Option<More>,
}

/// Series that are asked for at each scrape, in Prometheus' text format: those of somebody else.
pub type More = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// The process has a recorder of metrics already.
#[derive(Debug, thiserror::Error)]
#[error("metrics are installed already")]
pub struct AlreadyInstalled;

/// Installs the recorder of this process and brings every known series of `role` into being. Call it once, before anything counts.
///
/// # Errors
/// [`AlreadyInstalled`]: a library user has a recorder of its own; go on without ours.
pub fn install(cluster: &str, role: Role) -> Result<MetricsHandle, AlreadyInstalled> {
    let prometheus = builder(cluster).install_recorder().map_err(|_| AlreadyInstalled)?;
    describe(role);
    Ok(MetricsHandle { prometheus, more: None })
}

/// The recorder that the services of an embedding program share, as long as the program has none of its own.
static SHARED: OnceLock<MetricsHandle> = OnceLock::new();

/// Installs a recorder for a service that somebody else's program embeds, or takes the one that another such service has installed.
/// Where the program has a recorder of its own, that one counts, and the handle shows nothing but the process.
#[must_use]
pub fn install_or_share(cluster: &str, role: Role) -> MetricsHandle {
    let installed = SHARED.get_or_init(|| {
        let recorder = builder(cluster).build_recorder();
        let handle = MetricsHandle { prometheus: recorder.handle(), more: None };
        // The program's own recorder stays: ours is then one that nobody writes to.
        drop(metrics::set_global_recorder(recorder));
        handle
    });
    describe(role);
    installed.clone()
}

/// What is true only until a moment cannot wait for an actor to notice that the moment is over: this is run before each scrape, on
/// the scrape's thread. The process has one; a second one is not taken.
pub fn before_each_scrape(refresh: impl Fn() + Send + Sync + 'static) {
    // One service per process calls this once.
    let _ = REFRESH.set(Box::new(refresh));
}

static REFRESH: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Sets the series of `gauge` whose `label` is `current` to 1 and those of the other `values` to 0.
pub fn set_one(gauge: &'static str, label: &'static str, values: &[&'static str], current: &'static str) {
    debug_assert!(values.contains(&current), "{current:?} is no known {label} of {gauge}");
    for value in values {
        gauge!(gauge, label => *value).set(f64::from(u8::from(*value == current)));
    }
}

/// The metric that a series in PromQL belongs to: its own name, or a histogram's with `_bucket`, `_sum` or `_count`.
#[must_use]
pub fn find(series: &str) -> Option<&'static Metric> {
    let whole = METRICS.iter().find(|metric| metric.name == series && metric.kind != Kind::Histogram);
    whole.or_else(|| {
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| series.strip_suffix(suffix))?;
        METRICS.iter().find(|metric| metric.name == name && metric.kind == Kind::Histogram)
    })
}

impl MetricsHandle {
    /// With more series behind our own.
    #[must_use]
    pub fn with_more(self, more: More) -> Self {
        Self { more: Some(more), ..self }
    }

    /// What a scrape is answered: our own series, and what was added to them. The additions are asked for first, so that what is
    /// learned on the way shows in our own.
    pub async fn scrape(&self) -> String {
        let more = match &self.more {
            Some(more) => more().await,
            None => String::new(),
        };
        self.render() + &more
    }

    /// All series in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        collect_process();
        if let Some(refresh) = REFRESH.get() {
            refresh();
        }
        self.prometheus.render()
    }

    /// A reader of a recorder that is not this process's, with everything at zero: for tests of what serves it.
    #[cfg(test)]
    pub(crate) fn detached(cluster: &str) -> Self {
        let recorder = builder(cluster).build_recorder();
        metrics::with_local_recorder(&recorder, || describe(Role::Coordinator));
        Self { prometheus: recorder.handle(), more: None }
    }

    /// Empties the histograms' buffers. Call it every few seconds: without scrapes they would grow without bound.
    pub fn run_upkeep(&self) {
        self.prometheus.run_upkeep();
    }
}

impl fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Buckets for everything, by suffix and by default: a histogram without buckets would be exported as a summary, which cannot be
/// added up over processes.
pub(super) fn builder(cluster: &str) -> PrometheusBuilder {
    let plain = PrometheusBuilder::new().add_global_label(label::CLUSTER, cluster);
    let everything = plain.set_buckets(&FAST_BUCKETS).expect("there are buckets");
    BUCKETS.into_iter().fold(everything, |builder, (suffix, buckets)| {
        builder.set_buckets_for_metric(Matcher::Suffix(suffix.into()), buckets).expect("there are buckets")
    })
}

/// Describes every metric of `role` and touches its known series.
pub(super) fn describe(role: Role) {
    for metric in METRICS.iter().filter(|metric| metric.is_of(role)) {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
        for labels in known_series(metric) {
            touch(metric, labels);
        }
    }
    gauge!(BUILD_INFO, label::VERSION => env!("CARGO_PKG_VERSION"), label::ROLE => role.as_str()).set(1.0);
    if METRICS.iter().any(|metric| metric.name == CONFIG_LAST_RELOAD_SUCCESSFUL && metric.is_of(role)) {
        // Whoever gets here has read a configuration that was right.
        gauge!(CONFIG_LAST_RELOAD_SUCCESSFUL).set(1.0);
    }
}

fn touch(metric: &Metric, labels: Vec<Label>) {
    match metric.kind {
        Kind::Counter => counter!(metric.name, labels).increment(0),
        Kind::Gauge => gauge!(metric.name, labels).set(0.0),
        // To register it is enough: an empty histogram is rendered with zeros.
        Kind::Histogram => drop(histogram!(metric.name, labels)),
    }
}

/// Every combination of the metric's label values; none if it has a label whose values only the producer knows.
fn known_series(metric: &Metric) -> Vec<Vec<Label>> {
    metric.labels.iter().fold(vec![Vec::new()], |series, (name, values)| {
        let with = |labels: &Vec<Label>| -> Vec<Vec<Label>> {
            values.iter().map(|value| [labels.as_slice(), &[Label::from_static_parts(name, value)]].concat()).collect()
        };
        series.iter().flat_map(with).collect()
    })
}

/// Reads `/proc`; what cannot be read keeps its old value.
fn collect_process() {
    let process = metrics_process::collector::collect();
    if let Some(seconds) = process.cpu_seconds_total {
        // Counters are whole numbers: a second is fine enough for a rate over a minute.
        counter!("process_cpu_seconds_total").absolute(seconds as u64);
    }
    let gauges = [
        ("process_open_fds", process.open_fds),
        ("process_max_fds", process.max_fds),
        ("process_virtual_memory_bytes", process.virtual_memory_bytes),
        ("process_virtual_memory_max_bytes", process.virtual_memory_max_bytes),
        ("process_resident_memory_bytes", process.resident_memory_bytes),
        ("process_start_time_seconds", process.start_time_seconds),
        ("process_threads", process.threads),
    ];
    for (name, value) in gauges {
        if let Some(value) = value {
            gauge!(name).set(value as f64);
        }
    }
}
