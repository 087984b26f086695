//! Three servers of ZooKeeper that die, are restarted, or lose their majority, under a steady load.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_tests::faults::is_long;
use bellwether_tests::history::{History, Step};
use bellwether_tests::nemesis::house::now_ms;
use bellwether_tests::nemesis::load;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Scenario, Tree, Zookeeper, eventually, is, proc};

use crate::faults::{Attempt, attempts, becomes, let_go, lives, metric, put_running};

const EVENTS: &str = "bellwether_zk_session_events_total";
const ACTIVE: &str = "bellwether_master_is_active";
const STATE: &str = "bellwether_coordinator_state";
const KILLS: &str = "bellwether_task_kills_total";
/// What a service may use of a processor while there is nothing that it can do.
const IDLE: f64 = 0.05;
/// By how much the memory of a service may grow in an outage.
const GROWTH_KIB: u64 = 16 * 1024;

struct House {
    cluster: Cluster,
    services: Vec<Process>,
}

impl House {
    fn new(session: Option<Duration>, settings: &[(&str, &str)]) -> Self {
        let mut builder = Cluster::builder().zookeeper(Zookeeper::ensemble(3));
        if let Some(session) = session {
            builder = builder.coordinator_session(session).worker_session(session);
        }
        for (key, value) in settings {
            builder = builder.setting(key, value);
        }
        let cluster = builder.start();
        let services = vec![cluster.coordinator("c1"), cluster.coordinator("c2"), cluster.worker("w1", 4), cluster.worker("w2", 4)];
        let _ = (cluster.ruler(), cluster.registered("w1"), cluster.registered("w2"));
        Self { cluster, services }
    }

    /// Tasks come at a steady pace while something is done; then each of them ends after one run, and nobody has lost a session.
    #[track_caller]
    fn serves_all_the_while(&self, doing: impl FnOnce()) -> History {
        let stop = AtomicBool::new(false);
        let submitted = std::thread::scope(|scope| {
            let submitting = scope.spawn(|| load::submit_until(&self.cluster, &stop));
            eventually(SOON, "some results", || self.cluster.tree().children("/status").len() > 3);
            doing();
            let ended = self.cluster.tree().children("/status").len();
            eventually(SOON, "more results", || self.cluster.tree().children("/status").len() > ended + 3);
            stop.store(true, Ordering::Release);
            submitting.join().expect("it submits")
        });
        assert_eq!(submitted.failed, Vec::<String>::new());
        eventually(SOON, "all to end", || match self.cluster.history().unended() {
            rest if rest.is_empty() => Ok(()),
            rest => Err(format!("{rest:?}")),
        });
        let history = self.cluster.history();
        let lost: Vec<&String> = submitted.accepted.iter().filter(|task| !history.tasks.contains_key(*task)).collect();
        assert_eq!(lost, Vec::<&String>::new(), "accepted and lost");
        let mut runs: BTreeMap<&str, usize> = history.tasks.keys().map(|task| (task.as_str(), 0)).collect();
        let executions = load::executions(&self.cluster).expect("lines of ours");
        executions.iter().for_each(|execution| *runs.entry(&execution.task).or_default() += 1);
        let odd: Vec<(&&str, &usize)> = runs.iter().filter(|(_, runs)| **runs != 1).collect();
        assert_eq!(odd, Vec::<(&&str, &usize)>::new(), "every task runs once");
        self.same_sessions();
        assert_eq!((history.terms.len(), history.workers.len()), (1, 2), "the same master, the same workers");
        history
    }

    #[track_caller]
    fn same_sessions(&self) {
        for service in &self.services {
            assert_eq!(metric(service, EVENTS, &[("event", "lost")]), Some(0.0), "{}", service.name());
        }
    }
}

/// The longest time between two results after `since`, in milliseconds by the clock of ZooKeeper's leader.
fn longest_pause_ms(history: &History) -> i64 {
    let ends = history.tasks.values().flatten().filter(|(_, step)| matches!(step, Step::Ended(_)));
    let mut times: Vec<i64> = ends.map(|(at, _)| at.time_ms).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

#[test]
fn zookeepers_leader_is_killed() {
    let scenario = Scenario::of("F14");
    let house = House::new(None, &[]);
    let zookeeper = house.cluster.zookeeper();
    let history = house.serves_all_the_while(|| {
        let leader = zookeeper.leader().expect("a leader");
        zookeeper.kill9(leader);
        let _ = eventually(SOON, "another leader", || zookeeper.leader());
        zookeeper.start_all();
    });
    let pause = longest_pause_ms(&history);
    assert!(pause < 4000, "shorter than the shortest session: {pause} ms");
    scenario.saw(format!("{} tasks, each run once; same sessions, one term; {pause} ms between two results at most", history.tasks.len()));
}

#[test]
fn all_servers_are_restarted_one_after_another() {
    let scenario = Scenario::of("F16");
    let house = House::new(None, &[]);
    let zookeeper = house.cluster.zookeeper();
    let history = house.serves_all_the_while(|| {
        for i in 0..3 {
            zookeeper.stop(i);
            zookeeper.start_all();
            let ended = house.cluster.tree().children("/status").len();
            eventually(SOON, "a result between two restarts", || house.cluster.tree().children("/status").len() > ended);
        }
    });
    let pause = longest_pause_ms(&history);
    scenario
        .saw(format!("{} tasks, each run once; no session lost, one term; {pause} ms between two results at most", history.tasks.len()));
}

/// What a service used while ZooKeeper was away.
struct Used {
    /// Of one processor.
    share: f64,
    growth_kib: u64,
    /// The slowest scrape, in milliseconds.
    scrape_ms: u128,
}

/// An outage of the majority for so long, and what each service used meanwhile.
fn outage(house: &House, lasts: Duration) -> Vec<Used> {
    let zookeeper = house.cluster.zookeeper();
    let leader = zookeeper.leader().expect("a leader");
    let begun = Instant::now();
    for i in (0..3).filter(|i| *i != leader) {
        zookeeper.kill9(i);
    }
    // What the cut itself costs is no idling.
    for service in &house.services {
        becomes(service, "bellwether_zk_session_state", &[("state", "suspended")], 1.0);
    }
    let before: Vec<(Duration, u64)> = house.services.iter().map(|it| (proc::cpu(it.pid()), proc::rss_kib(it.pid()))).collect();
    let measured = Instant::now();
    let mut scrapes = vec![0; house.services.len()];
    while begun.elapsed() < lasts {
        for (slowest, service) in scrapes.iter_mut().zip(&house.services) {
            let asked = Instant::now();
            service.metrics().expect("a scrape is answered while ZooKeeper is away");
            *slowest = asked.elapsed().as_millis().max(*slowest);
        }
        // A real duration: what is measured is what they do while nothing happens, and more frequent scrapes would be the most of it.
        std::thread::sleep(Duration::from_millis(500));
    }
    let seconds = measured.elapsed().as_secs_f64();
    let used = |((service, before), scrape_ms): ((&Process, &(Duration, u64)), u128)| Used {
        share: (proc::cpu(service.pid()) - before.0).as_secs_f64() / seconds,
        growth_kib: proc::rss_kib(service.pid()).saturating_sub(before.1),
        scrape_ms,
    };
    let all = house.services.iter().zip(&before).zip(scrapes).map(used).collect();
    zookeeper.start_all();
    all
}

/// Nobody was busy, and nobody hoarded; in words.
#[track_caller]
fn is_quiet(used: &[Used]) -> String {
    let share = used.iter().map(|used| used.share).fold(0.0, f64::max);
    let growth = used.iter().map(|used| used.growth_kib).max().unwrap_or(0);
    let scrape = used.iter().map(|used| used.scrape_ms).max().unwrap_or(0);
    assert!(share < IDLE, "{share} of a processor while ZooKeeper was away");
    assert!(growth < GROWTH_KIB, "{growth} KiB more while ZooKeeper was away");
    assert!(scrape < 1000, "a scrape took {scrape} ms while ZooKeeper was away");
    format!("{:.1} % of a processor and {growth} KiB more at most, scrapes in {scrape} ms", share * 100.0)
}

/// A task that runs, and an outage; whether the command that ran before still runs after it.
fn runs_through(timeout: u64, lasts: u64, on_doubt: &str) -> (House, (String, Attempt), String, bool) {
    let (timeout, lasts) = (Duration::from_secs(timeout), Duration::from_secs(lasts));
    let house = House::new(Some(timeout), &[("worker.on_doubt", &format!("{on_doubt:?}"))]);
    let running = put_running(&house.cluster);
    let quiet = is_quiet(&outage(&house, lasts));
    let lives = lives(running.1.pid);
    for service in &house.services {
        becomes(service, "bellwether_zk_session_state", &[("state", "connected")], 1.0);
    }
    (house, running, quiet, lives)
}

#[test]
fn no_majority_for_less_than_half_a_session_changes_nothing() {
    let scenario = Scenario::of("F15");
    let _also = Scenario::of("F33");
    let (house, (task, attempt), quiet, lives) = runs_through(16, 3, "kill");
    assert!(lives && crate::faults::lives(attempt.pid), "it runs on");
    let_go(&house.cluster);
    assert_eq!(house.cluster.status_of(&task), "done");
    assert_eq!((attempts(&house.cluster).len(), house.cluster.history().terms.len()), (1, 1));
    house.same_sessions();
    scenario.saw(format!("3 s without a majority, T = 16 s: {quiet}; what ran goes on"));
}

#[test]
fn no_majority_for_most_of_a_session_costs_what_runs() {
    let scenario = Scenario::of("F15");
    let also = Scenario::of("F33");
    let (house, (task, first), quiet, lives) = runs_through(10, 8, "kill");
    assert!(!lives, "it was killed in doubt");
    let_go(&house.cluster);
    assert_eq!(house.cluster.status_of(&task), "done");
    let runs = attempts(&house.cluster);
    assert_eq!((runs.len(), runs[1].number.as_str()), (2, "1"), "it was given back and run again, and nothing counts: {first:?}");
    let kills: f64 = house.services[2..].iter().filter_map(|worker| metric(worker, KILLS, &[("reason", "doubt")])).sum();
    assert_eq!(kills, 1.0);
    assert_eq!(house.cluster.history().workers.len(), 2, "the sessions survived");
    scenario.saw(format!("8 s without a majority: {quiet}; what ran was killed and run again"));
    also.saw(format!("8 s without a majority: {quiet}"));
}

#[test]
fn no_majority_for_most_of_a_session_is_survived_by_what_is_kept() {
    let scenario = Scenario::of("F15");
    if !is_long() {
        return scenario.skip("it takes long: make faults");
    }
    let (house, (task, _), _, lives) = runs_through(10, 8, "keep");
    assert!(lives, "it was told to keep it");
    let_go(&house.cluster);
    assert_eq!(house.cluster.status_of(&task), "done");
    assert_eq!(attempts(&house.cluster).len(), 1);
    scenario.saw("8 s, on_doubt = keep: what ran goes on");
}

/// Pings prove nothing here: the follower answers them for two seconds, and the office is over sooner.
#[test]
fn a_master_on_a_follower_that_is_cut_off_shows_no_leadership_before_another_leads() {
    let scenario = Scenario::of("F4");
    let also = Scenario::of("F33");
    let session = Duration::from_secs(3);
    let cluster = Cluster::builder().zookeeper(Zookeeper::with_detours(3)).coordinator_session(session).start();
    let zookeeper = cluster.zookeeper();
    let leader = zookeeper.leader().expect("a leader");
    let follower = (0..3).find(|i| *i != leader).expect("a follower");
    let others: Vec<String> = (0..3).filter(|i| *i != follower).map(|i| zookeeper.address(i)).collect();
    let at = |servers: &str| format!("\"{servers}{}\"", cluster.root());
    let master = cluster.coordinator_with("c1", &[("zookeeper.connect", &at(&zookeeper.address(follower)))]);
    becomes(&master, ACTIVE, &[], 1.0);
    let standby = cluster.coordinator_with("c2", &[("zookeeper.connect", &at(&others.join(",")))]);
    becomes(&standby, STATE, &[("state", "standby")], 1.0);

    // Not by the session of the cluster, which may be the follower's, too.
    let tree = Tree::connect(&others.join(","), cluster.root());
    let ruler = || tree.text("/master").filter(|record| !record.is_empty());
    let before = ruler().expect("an office");
    zookeeper.cut_off(follower);
    let cut = Instant::now();
    eventually(SOON, "no leadership", || is(metric(&master, ACTIVE, &[]), &Some(0.0)));
    let (zeroed, zeroed_ms) = (cut.elapsed(), now_ms());
    let connected = metric(&master, "bellwether_zk_session_state", &[("state", "connected")]);
    eventually(SOON, "another master", || ruler().filter(|now| *now != before));
    let followed = cut.elapsed();
    becomes(&standby, ACTIVE, &[], 1.0);
    assert_eq!(metric(&master, ACTIVE, &[]), Some(0.0));
    zookeeper.heal(follower);
    becomes(&master, STATE, &[("state", "standby")], 1.0);
    let terms = cluster.history().terms;
    assert!(terms.len() == 2 && zeroed_ms < terms[1].taken.time_ms, "no leadership since {zeroed_ms}, before another leads: {terms:?}");
    let text = format!(
        "on a follower that is cut off, T = 3 s: no leadership after {:.1} s (the session {}), another leads after {:.1} s",
        zeroed.as_secs_f64(),
        if connected == Some(1.0) { "still looks connected" } else { "is suspended" },
        followed.as_secs_f64()
    );
    also.saw(text.clone());
    scenario.saw(text);
}
