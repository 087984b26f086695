//! What a task costs in requests, of whoever takes part in it: counted, and held to bounds, so that nobody asks once more than needed
//! without being seen. That the cost does not grow with what waits is in `faults_backlog`.

use std::time::Duration;

use bellwether_core::protocol::record::{WorkerRecord, encode};
use bellwether_core::protocol::{Multi, PROTOCOL_VERSION};
use bellwether_tests::proxy::{Operation, Proxy};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Tree, eventually};

/// A cluster of which every part goes through a proxy of its own, so that its requests are counted.
struct Counted {
    proxies: [Proxy; 3],
    cluster: Cluster,
    _services: [Process; 3],
    _crowd: Vec<Tree>,
}

/// Requests for each task: of the client, of the master, of both workers.
type Costs = [f64; 3];

impl Counted {
    /// `crowd`: so many more workers are registered, and take nothing.
    fn new(crowd: usize) -> Self {
        let cluster = Cluster::builder().unsampled().setting("coordinator.lookahead", "64").start();
        let proxies = [cluster.proxy(), cluster.proxy(), cluster.proxy()];
        let master = cluster.coordinator_with("c1", &[("zookeeper.connect", &cluster.through(&proxies[1]))]);
        let _ = cluster.ruler();
        let crowd = (0..crowd).map(|i| bystander(&cluster, &format!("bystander{i}"))).collect();
        let through = cluster.through(&proxies[2]);
        let workers = ["w1", "w2"].map(|name| cluster.worker_with(name, 4, &[("zookeeper.connect", &through)]));
        let _ = (cluster.registered("w1"), cluster.registered("w2"));
        let [first, second] = workers;
        Self { proxies, cluster, _services: [master, first, second], _crowd: crowd }
    }

    fn client(&self, count: usize, batch: usize) -> Process {
        let connect = format!("{}{}", self.proxies[0].address(), self.cluster.root());
        self.cluster.example("rig", &["noop", &connect, &count.to_string(), &batch.to_string()])
    }

    fn cost(&self, count: usize, batch: usize) -> Costs {
        let asked = || self.proxies.each_ref().map(|proxy| proxy.seen(Operation::Any) - proxy.seen(Operation::Ping));
        let before = asked();
        let client = self.client(count, batch);
        assert_eq!(client.exit_code(SOON * 4), 0);
        assert!(client.log().contains(&format!("ended {count} in")), "{}", client.log());
        let after = asked();
        std::array::from_fn(|who| (after[who] - before[who]) as f64 / count as f64)
    }
}

/// A worker that is registered and has no slot.
fn bystander(cluster: &Cluster, name: &str) -> Tree {
    let tree = cluster.zookeeper().tree(cluster.root());
    let record = WorkerRecord {
        bellwether: PROTOCOL_VERSION,
        name: name.to_owned(),
        host: "nowhere".to_owned(),
        pid: 1,
        slots: 0,
        labels: Default::default(),
        resources: Default::default(),
        kinds: Default::default(),
        commands: true,
        http: String::new(),
        version: String::new(),
        replaces: None,
        since: None,
    };
    let me = format!("{name}-{:016x}", tree.session());
    tree.commit(&Multi::new().create(format!("/assign/{me}"), "").create_ephemeral(format!("/workers/{me}"), encode(&record)));
    tree
}

#[test]
fn a_task_costs_few_requests_however_it_is_submitted_and_however_many_workers_stand_by() {
    let mut all = Vec::new();
    for crowd in [0, 48] {
        let counted = Counted::new(crowd);
        for batch in [1, 50] {
            let costs = counted.cost(1500, batch);
            println!(
                "{crowd} bystanders, {batch} at a time: client {:.2}, master {:.2}, workers {:.2} requests per task",
                costs[0], costs[1], costs[2]
            );
            all.push(costs);
        }
    }
    for [client, master, workers] in &all {
        // A watch for each status; all else is shared by several tasks.
        assert!(*client < 2.5, "the client: {all:?}");
        // What is left to count: the janitor's looks at each result, when they fall into this time.
        assert!(*master < 3.5, "the master: {all:?}");
        assert!(*workers < 1.5, "the workers: {all:?}");
    }
}

#[test]
fn a_client_that_waits_for_more_than_it_may_watch_survives_a_break_of_its_connection() {
    let counted = Counted::new(0);
    // More than there are watches. Nothing is run before the break.
    counted.cluster.tree().create_all("/bellwether/paused");
    let client = counted.client(5000, 50);
    let waiting = || counted.cluster.tree().stat("/tasks").map_or(0, |stat| stat.num_children);
    eventually(SOON * 2, "all to be submitted", || if waiting() == 5000 { Ok(()) } else { Err(waiting()) });
    counted.proxies[0].cut();
    counted.cluster.tree().delete("/bellwether/paused");
    eventually(SOON, "some to end", || counted.cluster.tree().stat("/status").filter(|stat| stat.num_children > 500));
    counted.proxies[0].cut();
    assert_eq!(client.exit_code(Duration::from_secs(120)), 0);
    assert!(client.log().contains("ended 5000 in"), "{}", client.log());
}
