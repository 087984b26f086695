//! `bellwether dev`: a whole cluster on this machine, for trying things out. Real ZooKeeper, real services, free ports.
//!
//! What lives here: the order of things from start to end. What is started stands in `plan`, one process in `service`, what is
//! printed in `show`.

mod plan;
mod service;
pub(super) mod show;

use std::time::{Duration, Instant};

use bellwether_client::{Client, ClientSettings, Overview};
use bellwether_common::local_zookeeper::LocalZookeeper;
use tokio::task::spawn_blocking;

use super::arguments::DevArgs;
use super::context::Context;
use super::failure::Failure;
use plan::Plan;
use service::Service;

/// How long it may take until somebody rules and everybody is registered.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// How long services may take to end in order.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Everything that was started. Dropping it kills everything, also when this process is killed.
struct Cluster {
    /// In the order in which they are ended: workers, then coordinators.
    workers: Vec<Service>,
    coordinators: Vec<Service>,
    /// None if it is somebody else's.
    zookeeper: Option<LocalZookeeper>,
}

/// Starts everything, waits for Ctrl-C, ends everything.
pub(crate) async fn run(ctx: &Context, options: &DevArgs) -> Result<u8, Failure> {
    let mut plan = Plan::new(ctx, options)?;
    let mut cluster = start(&mut plan).await?;
    let ready = tokio::select! {
        ready = until_ready(ctx, &plan, &mut cluster) => Some(ready),
        _ = ctx.interrupts.next() => None,
    };
    match ready {
        Some(Ok(())) => {
            show::cluster(ctx, &plan, &cluster);
            watch(ctx, &mut cluster).await;
        }
        Some(Err(failure)) => {
            end(ctx, cluster).await?;
            return Err(failure);
        }
        None => {}
    }
    end(ctx, cluster).await?;
    let left = plan.kept().map_or("nothing is left behind".to_owned(), |dir| format!("data and logs are kept in {}", dir.display()));
    ctx.printer.note(&format!("ended; {left}"));
    Ok(0)
}

/// ZooKeeper first, and when it serves, everybody else at once.
async fn start(plan: &mut Plan) -> Result<Cluster, Failure> {
    let zookeeper = match plan.zookeeper.clone() {
        None => None,
        Some(options) => Some(blocking(move || LocalZookeeper::start(&options)).await?.map_err(|error| no_zookeeper(&error))?),
    };
    if let Some(zookeeper) = &zookeeper {
        plan.connect = zookeeper.connect_string();
    }
    let start = |specs: &[plan::Spec]| specs.iter().map(|spec| Service::start(plan, spec)).collect::<Result<Vec<_>, _>>();
    Ok(Cluster { coordinators: start(&plan.coordinators)?, workers: start(&plan.workers)?, zookeeper })
}

fn no_zookeeper(error: &bellwether_common::local_zookeeper::Error) -> Failure {
    Failure::error("no-zookeeper", error.to_string()).hint("or use one that runs already, with -z host:port")
}

/// Until a master rules, each worker that was started is registered, and everybody has said where it listens.
async fn until_ready(ctx: &Context, plan: &Plan, cluster: &mut Cluster) -> Result<(), Failure> {
    let mut settings = ClientSettings::of(&ctx.settings, READY_WITHIN);
    settings.session.connect.clone_from(&plan.connect);
    settings.session.root.clone_from(&plan.root);
    let client = Client::start(settings)?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        for service in cluster.services() {
            service.look();
            if let Some(code) = service.ended() {
                return Err(service.failed_to_start(code));
            }
        }
        let overview = client.overview().await?;
        if cluster.is_ready(&overview) {
            client.close().await;
            return Ok(());
        }
        if Instant::now() > deadline {
            let missing = cluster.missing(&overview);
            return Err(Failure::error(
                "not-ready",
                format!("the cluster is not ready after {}: {missing}", humantime::format_duration(READY_WITHIN)),
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Says who ends before it is asked to, until somebody asks.
async fn watch(ctx: &Context, cluster: &mut Cluster) {
    let mut servers = cluster.zookeeper.as_ref().map_or(0, |zookeeper| zookeeper.pids().len());
    while !ctx.interrupts.came() {
        for service in cluster.services() {
            if let Some(code) = service.ended_just_now() {
                ctx.printer.note(&service.ended_text(code));
            }
        }
        let running = cluster.zookeeper.as_ref().map_or(0, |zookeeper| zookeeper.pids().len());
        if running < servers {
            ctx.printer.note(&format!("{} of {servers} zookeeper servers ended; they are not restarted", servers - running));
            servers = running;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = ctx.interrupts.next() => return,
        }
    }
}

/// Workers give back what they have not started, the master says farewell, and ZooKeeper goes last.
async fn end(ctx: &Context, cluster: Cluster) -> Result<(), Failure> {
    ctx.printer.note("ending workers, coordinators and zookeeper, in this order; Ctrl-C again ends all at once");
    let Cluster { workers, coordinators, zookeeper } = cluster;
    let printer = ctx.printer;
    blocking(move || {
        for services in [workers, coordinators] {
            for killed in service::end_all(&services, END_WITHIN) {
                printer.note(&format!("{killed} did not end within {} and was killed", humantime::format_duration(END_WITHIN)));
            }
        }
        if let Some(mut zookeeper) = zookeeper {
            (0..zookeeper.len()).for_each(|server| zookeeper.stop(server));
        }
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|error| Failure::error("error", error.to_string()))
}

impl Cluster {
    fn services(&mut self) -> impl Iterator<Item = &mut Service> {
        self.coordinators.iter_mut().chain(&mut self.workers)
    }

    fn is_ready(&self, overview: &Overview) -> bool {
        self.missing(overview).is_empty()
    }

    /// What it still waits for, for people.
    fn missing(&self, overview: &Overview) -> String {
        let mut missing = Vec::new();
        if overview.master.is_none() {
            missing.push("nobody rules".to_owned());
        }
        let is_registered = |service: &&Service| overview.workers.iter().any(|worker| worker.pid == Some(service.pid()));
        for worker in self.workers.iter().filter(|worker| !is_registered(worker)) {
            missing.push(format!("{} is not registered", worker.name()));
        }
        for service in self.coordinators.iter().chain(&self.workers).filter(|service| service.http().is_none()) {
            missing.push(format!("{} does not listen, see {}", service.name(), service.log().display()));
        }
        missing.join(", ")
    }
}
