//! Masters that are killed, leave or freeze, with figures from ZooKeeper's own log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellwether_tests::history::{History, Step, Term};
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Scenario, eventually};

use crate::faults::{ENDS, becomes, coordinator, metric};

const WAITING: usize = 1000;
const ACTIVE: &str = "bellwether_master_is_active";
const STATE: &str = "bellwether_coordinator_state";
const ELECTIONS: &str = "bellwether_elections_total";
const WATCHED: &str = "bellwether_zk_watch_events_total";
/// What ZooKeeper may take from the end of a session to the next master, at most.
const GAP_MS: i64 = 200;

/// Coordinators of which the first rules, a worker, and many tasks that wait.
struct House {
    cluster: Cluster,
    coordinators: Vec<Process>,
    _worker: Process,
}

impl House {
    fn new(coordinators: usize, waiting: usize) -> Self {
        let cluster = Cluster::new();
        let mut house = Vec::new();
        for i in 0..coordinators {
            house.push(cluster.coordinator(&format!("c{i}")));
            let (key, state) = if i == 0 { (ACTIVE, None) } else { (STATE, Some(("state", "standby"))) };
            becomes(&house[i], key, state.as_slice(), 1.0);
        }
        let worker = cluster.worker("w1", 4);
        let _ = cluster.registered("w1");
        if waiting > 0 {
            let tasks = cluster.put_many("n-", (0..waiting).map(|_| "sleep 0.3".to_owned()));
            let _ = cluster.status_of(&tasks[0]);
        }
        Self { cluster, coordinators: house, _worker: worker }
    }

    /// The history once the successor has assigned something.
    #[track_caller]
    fn after_takeover(&self) -> (History, Term, Term) {
        let _ = self.cluster.ruler_after("c0");
        let history = eventually(SOON, "an assignment by the successor", || {
            let history = self.cluster.history();
            first_assignment(&history, history.terms.last()?).is_some().then_some(history)
        });
        let (old, new) = (history.terms[0].clone(), history.terms[1].clone());
        assert_eq!(history.terms.len(), 2, "one takeover, one election");
        (history, old, new)
    }
}

/// Milliseconds from a term's begin to its first assignment.
fn first_assignment(history: &History, term: &Term) -> Option<i64> {
    let assigned = history.tasks.values().flatten().filter(|(_, step)| matches!(step, Step::Assigned(_)));
    assigned.map(|(at, _)| *at).filter(|at| at.zxid > term.taken.zxid).map(|at| at.time_ms - term.taken.time_ms).min()
}

fn gap_ms(old: &Term, new: &Term) -> i64 {
    new.taken.time_ms - old.vacated.expect("it is over").time_ms
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn counts(coordinators: &[Process], name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    coordinators.iter().map(|coordinator| metric(coordinator, name, labels).expect("a scrape")).collect()
}

#[test]
fn a_killed_master_is_followed_at_once_though_a_thousand_wait() {
    let scenario = Scenario::of("F1");
    let house = House::new(4, WAITING);
    let survivors = &house.coordinators[1..];
    let (stood, woken) = (counts(survivors, ELECTIONS, &[]), counts(survivors, WATCHED, &[("tree", "master")]));
    let killed = now_ms();
    house.coordinators[0].kill9();
    let (history, old, new) = house.after_takeover();
    let waiting = house.cluster.tree().children("/tasks").len();
    let (gap, first) = (gap_ms(&old, &new), first_assignment(&history, &new).expect("seen before"));
    assert!(gap < GAP_MS, "{gap} ms from the end of the session to the next master");
    assert!(first < 1000, "{first} ms from the election to the first assignment");
    assert!(waiting > WAITING / 2, "hardly anything waited: {waiting}");
    let twice: Vec<&String> = history.tasks.keys().filter(|task| history.assignments(task) > 1).collect();
    assert_eq!(twice, Vec::<&String>::new(), "tasks of a living worker are not assigned again");

    let candidacies: f64 = counts(survivors, ELECTIONS, &[]).iter().zip(&stood).map(|(after, before)| after - before).sum();
    assert_eq!(candidacies, 1.0, "one of three standbys stands");
    let roused = counts(survivors, WATCHED, &[("tree", "master")]).iter().zip(&woken).filter(|(after, before)| after > before).count();
    assert!(roused <= 2, "{roused} standbys woke");
    scenario.saw(format!(
        "{gap} ms from closeSession to the next /master ({:.1} s after the kill, T = 4 s); first assignment {first} ms later with {waiting} waiting; {candidacies} of 3 standbys stood, {roused} woke",
        seconds(new.taken.time_ms - killed)
    ));
}

#[test]
fn a_master_that_leaves_is_followed_at_once() {
    let scenario = Scenario::of("F2");
    let house = House::new(2, 100);
    assert_eq!(house.coordinators[0].terminate(SOON), 0);
    let exited = now_ms();
    let (_, old, new) = house.after_takeover();
    let gap = gap_ms(&old, &new);
    assert!(gap < GAP_MS, "{gap} ms from the office's end to the next master");
    let vacated = old.vacated.expect("it is over").time_ms;
    assert!(vacated <= exited, "the office was given up before the process ended, not {} ms after, with the session", vacated - exited);
    scenario.saw(format!("{gap} ms without a master, exit code 0"));
}

#[test]
fn a_master_that_froze_finds_its_office_taken() {
    let scenario = Scenario::of("F3");
    let house = House::new(2, 100);
    let old = &house.coordinators[0];
    let opened = metric(old, "bellwether_zk_session_events_total", &[("event", "opened")]).expect("a scrape");
    old.pause();
    let (_, first, second) = house.after_takeover();
    old.resume();
    let woken = Instant::now();
    eventually(Duration::from_secs(1), "no leadership", || metric(old, ACTIVE, &[]) == Some(0.0));
    let zeroed = woken.elapsed();
    becomes(old, STATE, &[("state", "standby")], 1.0);
    let reopened = metric(old, "bellwether_zk_session_events_total", &[("event", "opened")]).expect("a scrape");
    assert_eq!(reopened, opened + 1.0, "in a new session");
    let history = house.cluster.history();
    assert_eq!((history.terms.len(), history.violations.as_slice()), (2, [].as_slice()), "nothing of it was accepted");
    let ms = zeroed.as_millis();
    scenario
        .saw(format!("gap {} ms; woken, it shows no leadership after {ms} ms, and stands by in a new session", gap_ms(&first, &second)));
}

/// Frozen, a master writes nothing; but what it has sent may be carried out when it rules no more.
#[test]
fn what_a_master_sent_before_it_lost_its_office_is_refused_afterwards() {
    let scenario = Scenario::of("F3");
    // Long enough that nobody notices the silence: the session lives, and only the fence is in the way.
    let cluster = Cluster::builder().coordinator_session(Duration::from_secs(30)).start();
    let proxy = cluster.proxy();
    let old = coordinator(&cluster, "c0", &proxy);
    becomes(&old, ACTIVE, &[], 1.0);
    let new = cluster.coordinator("c1");
    becomes(&new, STATE, &[("state", "standby")], 1.0);
    let worker = cluster.worker("w1", 1);
    let _ = cluster.registered("w1");
    let late = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/assign/").then(Fault::FreezeBefore));
    let task = cluster.put(ENDS);
    late.strikes(1);
    assert!(cluster.tree().delete("/master"));
    assert_eq!(cluster.ruler_after("c0"), "c1");
    assert_eq!(cluster.status_of(&task), "done", "the new one assigns it");
    proxy.heal();
    becomes(&old, "bellwether_fenced_writes_total", &[("op", "assign")], 1.0);
    becomes(&old, STATE, &[("state", "standby")], 1.0);
    assert_eq!(metric(&old, "bellwether_leadership_lost_total", &[("reason", "fenced")]), Some(1.0));
    let history = cluster.history();
    assert_eq!((history.terms.len(), history.assignments(&task)), (2, 1));
    assert!(worker.is_running());
    scenario.saw("an assignment that was under way when another took the office: refused by the fence, counted, once assigned");
}

fn seconds(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}
