//! What a task costs: requests of whoever takes part in it, and processor time. For a test that holds them to bounds, and for a section of
//! `make figures`.

use std::time::Duration;

use crate::dummy::dummy;
use crate::proxy::{Operation, Proxy};
use crate::tasks::SOON;
use crate::{Cluster, Process, Tree, Zookeeper, proc};

/// How many tasks are averaged over in figures.
const TASKS: usize = 20_000;
/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A cluster of which every part goes through a proxy of its own, so that its requests are counted.
#[derive(Debug)]
pub struct Counted {
    /// Of the client, of the master, of both workers.
    pub proxies: [Proxy; 3],
    /// The cluster.
    pub cluster: Cluster,
    _services: [Process; 3],
    _crowd: Vec<Tree>,
}

/// Requests for each task, of each kind: of the client, of the master, of both workers.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Of every kind but pings.
    pub all: [f64; 3],
    /// `getData`, of one node or of several.
    pub reads: [f64; 3],
    /// `exists`.
    pub looks: [f64; 3],
    /// `sync`.
    pub syncs: [f64; 3],
}

impl Counted {
    /// `crowd`: so many more workers are registered, and take nothing.
    ///
    /// # Panics
    /// They do not start.
    #[must_use]
    pub fn new(crowd: usize) -> Self {
        let cluster = Cluster::builder().unsampled().setting("coordinator.lookahead", "64").start();
        let proxies = [cluster.proxy(), cluster.proxy(), cluster.proxy()];
        let master = cluster.coordinator_with("c1", &[("zookeeper.connect", &cluster.through(&proxies[1]))]);
        let _ = cluster.ruler();
        let crowd = (0..crowd).map(|i| dummy(&cluster, &format!("bystander{i}"), 0, None)).collect();
        let through = cluster.through(&proxies[2]);
        let workers = ["w1", "w2"].map(|name| cluster.worker_with(name, 4, &[("zookeeper.connect", &through)]));
        let _ = (cluster.registered("w1"), cluster.registered("w2"));
        let [first, second] = workers;
        Self { proxies, cluster, _services: [master, first, second], _crowd: crowd }
    }

    /// Starts a client that submits so many tasks that do nothing, so many at a time, and waits for all.
    #[must_use]
    pub fn client(&self, count: usize, batch: usize) -> Process {
        self.client_of("noop", count, batch)
    }

    /// Likewise, of `noop` or of `true`, which is a command.
    fn client_of(&self, what: &str, count: usize, batch: usize) -> Process {
        let connect = format!("{}{}", self.proxies[0].address(), self.cluster.root());
        self.cluster.example("rig", &[what, &connect, &count.to_string(), &batch.to_string()])
    }

    /// Has so many tasks that do nothing run, and counts.
    ///
    /// # Panics
    /// They do not end.
    #[must_use]
    pub fn cost(&self, count: usize, batch: usize) -> Costs {
        self.cost_of("noop", count, batch)
    }

    /// The same with commands, submitted one by one.
    ///
    /// # Panics
    /// They do not end.
    #[must_use]
    pub fn cost_of_commands(&self, count: usize) -> Costs {
        self.cost_of("true", count, 1)
    }

    fn cost_of(&self, what: &str, count: usize, batch: usize) -> Costs {
        let asked = || {
            let kinds = [Operation::Any, Operation::Ping, Operation::GetData, Operation::Exists, Operation::Sync];
            self.proxies.each_ref().map(|proxy| kinds.map(|kind| proxy.seen(kind)))
        };
        let before = asked();
        let client = self.client_of(what, count, batch);
        assert_eq!(client.exit_code(SOON * 4), 0);
        assert!(client.log().contains(&format!("ended {count} in")), "{}", client.log());
        let after = asked();
        let of = |kind: usize| std::array::from_fn(|who| per_task(after[who][kind] - before[who][kind], count));
        let (every, pings): ([f64; 3], [f64; 3]) = (of(0), of(1));
        Costs { all: std::array::from_fn(|who| every[who] - pings[who]), reads: of(2), looks: of(3), syncs: of(4) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^52")]
fn per_task(requests: u64, tasks: usize) -> f64 {
    requests as f64 / tasks as f64
}

/// Prints requests and milliseconds of a processor per task, tasks submitted singly and many at a time.
///
/// # Panics
/// Tasks do not end in time.
pub fn print() {
    println!("{:<44} {:>8} {:>8} {:>8}", "requests per task that does nothing", "client", "master", "workers");
    let counted = Counted::new(0);
    for batch in [1, 50] {
        let [client, master, workers] = counted.cost(TASKS, batch).all;
        println!("{:<44} {client:>8.2} {master:>8.2} {workers:>8.2}", submitted(batch));
    }
    let [client, master, workers] = counted.cost_of_commands(TASKS / 5).all;
    println!("{:<44} {client:>8.2} {master:>8.2} {workers:>8.2}", "commands, submitted one by one");
    drop(counted);
    println!();
    println!(
        "{:<44} {:>8} {:>8} {:>8} {:>10} {:>8}",
        "milliseconds of a processor per task", "client", "master", "workers", "ZooKeeper", "tasks/s"
    );
    for batch in [1, 50] {
        let builder = Cluster::builder().zookeeper(Zookeeper::configured(|_, options| options.force_sync = true)).unsampled();
        let cluster = builder.setting("coordinator.lookahead", "1").setting("log.level", "\"info\"").start();
        let services = [cluster.coordinator("c1"), cluster.worker("w1", 4), cluster.worker("w2", 4)];
        let _ = (cluster.ruler(), cluster.registered("w1"), cluster.registered("w2"));
        let used = || {
            let [master, first, second] = services.each_ref().map(|service| proc::cpu(service.pid()));
            [master, first + second, cluster.zookeeper().pids().into_iter().map(proc::cpu).sum()]
        };
        let before = used();
        let client = cluster.example("rig", &["noop", &cluster.connect_string(), &TASKS.to_string(), &batch.to_string()]);
        assert_eq!(client.exit_code(PATIENCE), 0);
        let after = used();
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let per = |used: f64| used * 1000.0 / TASKS as f64;
        let [master, workers, zookeeper] = std::array::from_fn(|who| per((after[who] - before[who]).as_secs_f64()));
        let said = client.log();
        let number = |before: &str| {
            let rest = said.split(before).nth(1).and_then(|rest| rest.split_whitespace().next());
            rest.and_then(|number| number.parse::<f64>().ok()).unwrap_or_default()
        };
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let rate = TASKS as f64 / number(" in ").max(f64::EPSILON);
        println!("{:<44} {:>8.3} {master:>8.3} {workers:>8.3} {zookeeper:>10.3} {rate:>8.0}", submitted(batch), per(number("used ")));
    }
}

fn submitted(batch: usize) -> String {
    if batch == 1 { "submitted one by one".to_owned() } else { format!("submitted {batch} at a time") }
}
