//! A whole cluster under load and under the eyes of a Prometheus: what dashboards and rules are tried on.
//!
//! What lives here: the cluster, what is done to it, and how long nobody ruled, by ZooKeeper's log and by the dashboard. What does
//! not: Prometheus itself ([`crate::prometheus`]), and what dashboards ask ([`crate::dashboard`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bellwether_core::protocol::{Multi, TaskName};

use crate::dashboard::{self, Dashboard, Target, Variables};
use crate::prometheus::{Endpoint, Found, Prometheus, SCRAPE_INTERVAL};
use crate::tasks::SOON;
use crate::tree::Tree;
use crate::{Cluster, Process, Proxy, txnlog};
use bellwether_common::wait::eventually;

/// What services call the cluster unless they are told otherwise.
pub const CLUSTER: &str = "default";
const COORDINATORS: &str = "bellwether-coordinator";
const WORKERS: &str = "bellwether-worker";
const EXPORTERS: &str = "bellwether-zk-exporter";
const EXPORTER: &str = "exporter";
const SLOTS: usize = 4;
/// One task in so much time: a master that is alive writes as often.
const EVERY: Duration = Duration::from_millis(100);

/// Two coordinators and workers, of which the last is behind a proxy; tasks that keep coming; an exporter, and a Prometheus.
#[derive(Debug)]
pub struct Watched {
    services: Vec<(&'static str, Process)>,
    /// Scrapes all of it.
    pub prometheus: Prometheus,
    /// In front of the last worker's ZooKeeper.
    pub proxy: Proxy,
    last_worker: String,
    load: Load,
    /// The cluster.
    pub cluster: Cluster,
}

/// A vacancy, by ZooKeeper's log, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vacancy {
    /// The last write of the master before.
    pub last_write_ms: i64,
    /// Its `/master` went.
    pub vacated_ms: i64,
    /// The next one's `/master` came.
    pub taken_ms: i64,
}

impl Watched {
    /// Starts everything, and waits until all of it is scraped, somebody rules, and all workers are registered.
    #[must_use]
    #[track_caller]
    pub fn start(workers: usize) -> Self {
        let (cluster, prometheus) = (Cluster::new(), Prometheus::start(&[]));
        let proxy = cluster.proxy();
        let last_worker = format!("w{workers}");
        let load = Load::start(&cluster);
        let mut watched = Self { services: Vec::new(), prometheus, proxy, last_worker, load, cluster };
        let coordinators = (1..=2).map(|number| format!("c{number}"));
        let names = coordinators.chain((1..=workers).map(|number| format!("w{number}"))).chain([EXPORTER.to_owned()]);
        names.for_each(|name| watched.start_service(&name));
        watched.scrape();
        watched.prometheus.await_scrapes(&watched.endpoints());
        let _ = watched.cluster.ruler();
        for worker in 1..=workers {
            let _ = watched.cluster.registered(&format!("w{worker}"));
        }
        watched
    }

    fn start_service(&mut self, name: &str) {
        let through = self.cluster.through(&self.proxy);
        let (job, process) = match name {
            name if name == self.last_worker => {
                (WORKERS, self.cluster.worker_with(name, SLOTS, &[("zookeeper.connect", through.as_str())]))
            }
            EXPORTER => (EXPORTERS, self.cluster.exporter(&[])),
            name if name.starts_with('w') => (WORKERS, self.cluster.worker(name, SLOTS)),
            name => (COORDINATORS, self.cluster.coordinator(name)),
        };
        self.services.retain(|(_, service)| service.name() != name);
        self.services.push((job, process));
    }

    /// A service that was killed or asked to stop, once more under its name. Waits until it is scraped.
    #[track_caller]
    pub fn start_again(&mut self, name: &str) {
        self.start_service(name);
        self.scrape();
        self.prometheus.await_scrapes(&self.endpoints());
    }

    /// One of the services.
    ///
    /// # Panics
    /// There is none of this name.
    #[must_use]
    #[track_caller]
    pub fn service(&self, name: &str) -> &Process {
        let found = self.services.iter().find(|(_, service)| service.name() == name);
        &found.unwrap_or_else(|| panic!("no service {name}")).1
    }

    /// Waits until somebody stands by, then kills the master, or asks it to stop, and waits for the next. The name of the old one.
    #[track_caller]
    pub fn fail_over(&self, kill: bool) -> String {
        eventually(SOON, "a standby", || !self.cluster.tree().children("/bellwether/standbys").is_empty());
        let ruler = self.cluster.ruler();
        let master = self.service(&ruler);
        if kill {
            master.kill9();
        } else {
            assert_eq!(master.terminate(SOON), 0, "{ruler} was asked to stop");
        }
        let _ = self.cluster.ruler_after(&ruler);
        ruler
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.services.iter().map(|(job, process)| Endpoint::of(job, process)).collect()
    }

    fn scrape(&self) {
        self.prometheus.scrape(&self.endpoints());
    }

    /// No more tasks are submitted.
    pub fn stop_load(&mut self) {
        self.load.stop();
    }

    /// Every vacancy so far.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn vacancies(&self) -> anyhow::Result<Vec<Vacancy>> {
        let records = txnlog::read_dirs(&self.cluster.zookeeper().data_dirs())?;
        let terms = self.cluster.history().terms;
        let between = terms.iter().zip(terms.iter().skip(1)).filter_map(|(old, new)| {
            let vacated = old.vacated?;
            let own = records.iter().filter(|record| record.session == old.session && record.zxid < vacated.zxid);
            let last_write_ms = own.map(|record| record.time_ms).max()?;
            Some(Vacancy { last_write_ms, vacated_ms: vacated.time_ms, taken_ms: new.taken.time_ms })
        });
        Ok(between.collect())
    }

    /// What a panel asks, of all processes, as Grafana would ask it for the time since `from`: for one moment, or with a point per
    /// second.
    ///
    /// # Errors
    /// Prometheus refuses it.
    pub fn ask(&self, target: &Target<'_>, from: SystemTime) -> anyhow::Result<Vec<Found>> {
        let now = SystemTime::now();
        let range = now.duration_since(from)?;
        let interval = target.interval.unwrap_or(SCRAPE_INTERVAL);
        // Grafana's: four times the scrape interval, or the interval that the question asks for.
        let rate_interval = interval.max(SCRAPE_INTERVAL) * 4;
        let expr = Variables::all_of(CLUSTER, range, interval, rate_interval).fill_in(target.expr);
        if target.instant {
            self.prometheus.query(&expr, Some(now))
        } else {
            self.prometheus.query_range(&expr, from, now, SCRAPE_INTERVAL)
        }
    }

    /// For how long nobody ruled since `from`, as the Failover dashboard's panel shows it.
    ///
    /// # Errors
    /// It shows nothing.
    pub fn seconds_without_master(&self, from: SystemTime) -> anyhow::Result<f64> {
        let target = failover()?;
        let found = self.ask(&target.target("Seconds without a master"), from)?;
        let first = found.first().context("the panel shows nothing")?;
        first.samples.last().map(|(_, seconds)| *seconds).context("the panel has no value")
    }

    /// Scrapes of a service that failed since `from`: a machine that is too busy answers too late.
    ///
    /// # Errors
    /// Prometheus does not answer.
    pub fn failed_scrapes(&self, service: &str, from: SystemTime) -> anyhow::Result<usize> {
        let since = SystemTime::now().duration_since(from)?;
        let found = self.prometheus.query(&format!("up{{instance={service:?}}}[{}ms]", since.as_millis()), None)?;
        Ok(found.iter().flat_map(|series| &series.samples).filter(|(_, up)| *up == 0.0).count())
    }
}

/// The Failover dashboard.
///
/// # Errors
/// It cannot be read.
pub fn failover() -> anyhow::Result<Dashboard> {
    dashboard::all()?.into_iter().find(|dashboard| dashboard.name == "failover").context("no failover dashboard")
}

/// Milliseconds since 1970.
#[must_use]
pub fn milliseconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// Submits tasks at a steady pace.
#[derive(Debug)]
struct Load {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let (servers, root) = (cluster.zookeeper().connect_string().to_owned(), cluster.root().to_owned());
        cluster.tree().create_all("/tasks");
        let stop = stopped.clone();
        let thread = std::thread::spawn(move || submit_until(&stop, &Tree::connect(&servers, &root)));
        Self { stopped, thread: Some(thread) }
    }

    fn stop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the load could not be submitted");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // What went wrong is told by who stops it in time.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn submit_until(stop: &AtomicBool, tree: &Tree) {
    for number in 0_u32.. {
        let next = Instant::now() + EVERY;
        if stop.load(Ordering::Acquire) {
            return;
        }
        // A name as our own clients make them says when the task was submitted.
        let name = TaskName::generate(milliseconds(SystemTime::now()).unsigned_abs(), u64::from(number));
        tree.commit(&Multi::new().create(format!("/tasks/{name}"), line(number).as_str()));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Tasks of 0.1 to 1.3 s in both dialects, of which one in twenty fails.
fn line(number: u32) -> String {
    let seconds = f64::from(number % 5).mul_add(0.3, 0.1);
    match number % 20 {
        7 => format!("sleep {seconds:.1}; exit 3"),
        even if even % 2 == 0 => format!("[\"sleep\",\"{seconds:.1}\"]"),
        _ => format!("sleep {seconds:.1}"),
    }
}
