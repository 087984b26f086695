//! ZooKeeper's data is lost under running services: of one server, of most, of all.

use std::time::{Duration, Instant};

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Scenario, Tree, Zookeeper, eventually};

use crate::faults::{ENDS, attempts, becomes, let_go, lives, metric, put_running};

const EVENTS: &str = "bellwether_zk_session_events_total";
const BACKWARDS: [(&str, &str); 1] = [("event", "state_went_backwards")];
/// The longest session timeout of the house.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Two coordinators, two workers, a task that has ended and one that runs.
struct House {
    cluster: Cluster,
    services: Vec<Process>,
    running: (String, crate::faults::Attempt),
}

impl House {
    fn new(servers: usize) -> Self {
        let cluster = Cluster::builder().zookeeper(Zookeeper::ensemble(servers)).worker_session(TIMEOUT).start();
        let services = vec![cluster.coordinator("c1"), cluster.coordinator("c2"), cluster.worker("w1", 1), cluster.worker("w2", 1)];
        let _ = (cluster.registered("w1"), cluster.registered("w2"));
        assert_eq!(cluster.status_of(&cluster.put(ENDS)), "done");
        let running = put_running(&cluster);
        Self { cluster, services, running }
    }

    /// Everybody says loudly that it happened, has killed what ran, and serves again; how long that took since `begun`.
    #[track_caller]
    fn starts_over(&self, begun: Instant) -> Duration {
        let (task, attempt) = &self.running;
        // The hands of the test are refused like everybody else's, until their session is over: they take a new one.
        let tree = eventually(SOON, "a session below the root", || Some(self.cluster.zookeeper().tree(self.cluster.root())));
        let again = submit(&tree);
        eventually(SOON, "a task of the new history to end", || tree.text(&format!("/status/{again}")).filter(|status| status == "done"));
        let served = begun.elapsed();
        assert!(!lives(attempt.pid), "what ran was killed");
        assert!(!tree.exists(&format!("/status/{task}")), "nothing of the old history is recorded in the new one");
        eventually(SOON, "both workers", || tree.children("/workers").len() == 2);
        for service in &self.services {
            becomes(service, EVENTS, &BACKWARDS, 1.0);
            assert!(service.log().contains("zookeeper state went backwards"), "{}", service.log());
            assert!(service.is_running());
        }
        for path in ["/tasks", "/assign", "/bellwether/held", "/bellwether/standbys", "/bellwether/epoch"] {
            assert!(tree.exists(path), "{path}");
        }
        assert_eq!(tree.children("/bellwether/standbys").len(), 1, "one rules, one stands by");
        served
    }
}

fn submit(tree: &Tree) -> String {
    tree.create_all("/tasks");
    let path = tree.create_sequential("/tasks/task-", "true");
    path.rsplit('/').next().unwrap_or(&path).to_owned()
}

#[test]
fn all_state_is_wiped_under_running_services() {
    let scenario = Scenario::of("F17");
    let house = House::new(1);
    house.cluster.assert_promises();
    house.cluster.zookeeper().wipe(0);
    let begun = Instant::now();
    house.cluster.zookeeper().start_all();
    let served = house.starts_over(begun);
    assert!(served < 3 * TIMEOUT, "{served:?}");
    scenario.saw(format!("serving again {:.1} s after the wipe with T = 4 s and 6 s; all four services counted it", served.as_secs_f64()));
}

#[test]
fn the_state_of_two_of_three_servers_is_wiped() {
    let scenario = Scenario::of("F18");
    let house = House::new(3);
    let zookeeper = house.cluster.zookeeper();
    house.cluster.assert_promises();
    (0..3).for_each(|i| zookeeper.kill9(i));
    zookeeper.wipe(0);
    zookeeper.wipe(1);
    let begun = Instant::now();
    // The two agree on the empty state before the third, which knows better, can be asked.
    zookeeper.start_some(&[0, 1]);
    let served = house.starts_over(begun);
    assert!(served < 3 * TIMEOUT, "{served:?}");
    scenario.saw(format!("two of three wiped: serving again after {:.1} s, all four services counted it", served.as_secs_f64()));
    // Its history is another one: whoever looks at the logs is to see one.
    zookeeper.wipe(2);
    zookeeper.start_all();
}

#[test]
fn the_state_of_one_follower_is_wiped() {
    let scenario = Scenario::of("F18");
    let house = House::new(3);
    let zookeeper = house.cluster.zookeeper();
    let leader = zookeeper.leader().expect("a leader");
    let follower = (0..3).find(|i| *i != leader).expect("a follower");
    zookeeper.wipe(follower);
    zookeeper.start_all();
    assert_eq!(house.cluster.status_of(&house.cluster.put(ENDS)), "done");
    let_go(&house.cluster);
    assert_eq!(house.cluster.status_of(&house.running.0), "done");
    assert_eq!(attempts(&house.cluster).len(), 3, "every task ran once");
    let history = house.cluster.history();
    assert_eq!((history.terms.len(), history.workers.len()), (1, 2));
    for service in &house.services {
        assert_eq!(metric(service, EVENTS, &BACKWARDS), Some(0.0));
        assert_eq!(metric(service, EVENTS, &[("event", "lost")]), Some(0.0), "{}", service.name());
    }
    scenario.saw("one follower wiped: same sessions, one term, nothing ran twice");
}
