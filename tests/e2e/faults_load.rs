//! Two hundred tasks over a bad network: replies that take long, connections that break at random.

use std::time::Duration;

use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::{Cluster, Process, Proxy, Scenario, eventually};

use crate::faults::{ENDS, attempts, coordinator, metric, worker};

const TASKS: usize = 200;
const WITHIN: Duration = Duration::from_secs(90);

/// A cluster of which everybody is behind a proxy of his own.
struct House {
    cluster: Cluster,
    proxies: Vec<Proxy>,
    services: Vec<Process>,
}

impl House {
    fn new() -> Self {
        let cluster = Cluster::new();
        let proxies: Vec<Proxy> = (0..4).map(|_| cluster.proxy()).collect();
        let mut services = vec![coordinator(&cluster, "c1", &proxies[0]), coordinator(&cluster, "c2", &proxies[1])];
        services.extend(["w1", "w2"].into_iter().zip(&proxies[2..]).map(|(name, proxy)| worker(&cluster, name, 16, proxy)));
        let _ = (cluster.ruler(), cluster.registered("w1"), cluster.registered("w2"));
        Self { cluster, proxies, services }
    }

    /// All tasks end, each after one run; no session was lost, nobody else was elected, nothing was assigned twice.
    #[track_caller]
    fn serves(&self) {
        let _ = self.cluster.put_many("n-", (0..TASKS).map(|_| ENDS.to_owned()));
        eventually(WITHIN, "all is done", || match self.cluster.tree().children("/status").len() {
            TASKS => Ok(()),
            some => Err(format!("{some} of {TASKS}")),
        });
        let history = self.cluster.history();
        assert_eq!((history.unended(), history.terms.len(), history.workers.len()), (Vec::new(), 1, 2));
        let twice: Vec<&String> = history.tasks.keys().filter(|task| history.assignments(task) != 1).collect();
        assert_eq!(twice, Vec::<&String>::new(), "assigned more than once");
        assert_eq!(attempts(&self.cluster).len(), TASKS, "every task ran once");
        for service in &self.services {
            let lost = metric(service, "bellwether_zk_session_events_total", &[("event", "lost")]);
            assert_eq!(lost, Some(0.0), "sessions of {}", service.name());
        }
        for worker in &self.services[2..] {
            assert_eq!(metric(worker, "bellwether_stale_results_total", &[]), Some(0.0), "{}", worker.name());
        }
    }
}

#[test]
fn replies_that_take_long_only_take_long() {
    let _scenario = Scenario::of("F31");
    let house = House::new();
    house.proxies.iter().for_each(|proxy| proxy.slow_down(Duration::from_millis(700)));
    house.serves();
    for service in &house.services {
        assert_eq!(metric(service, "bellwether_zk_session_events_total", &[("event", "suspended")]), Some(0.0), "{}", service.name());
    }
}

#[test]
fn connections_that_break_at_random_lose_nothing_and_double_nothing() {
    let _scenario = Scenario::of("F31");
    let house = House::new();
    let mut broken = Vec::new();
    for (seed, proxy) in (1..).zip(&house.proxies) {
        for (fault, count) in [(Fault::LoseRequest, 60), (Fault::LoseReply, 40), (Fault::Cut, 80)] {
            broken.push(proxy.rule(Rule::on(Operation::Any).one_in(count, seed).then(fault)));
        }
        broken.push(proxy.rule(Rule::on(Operation::Multi).one_in(10, seed).then(Fault::LoseReply)));
    }
    house.serves();
    let struck: u64 = broken.iter().map(|hits| hits.struck()).sum();
    assert!(struck >= 10, "only {struck} connections were broken");
}
