//! A proxy between the master and ZooKeeper: outages, lost requests and replies, sessions that end.

use std::time::{Duration, Instant};

use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Proxy, Scenario, eventually};

use crate::faults::{Attempt, ENDS, attempts, becomes, coordinator, let_go, metric, put_running};

/// Session timeout of coordinators, as the harness gives it.
const TIMEOUT: Duration = Duration::from_secs(4);
const ACTIVE: &str = "bellwether_master_is_active";
const STATE: &str = "bellwether_coordinator_state";

/// A master behind a proxy, a standby, and a worker that runs something.
struct House {
    cluster: Cluster,
    proxy: Proxy,
    master: Process,
    standby: Process,
    _worker: Process,
    running: (String, Attempt),
}

impl House {
    fn new() -> Self {
        let cluster = Cluster::new();
        let proxy = cluster.proxy();
        let master = coordinator(&cluster, "c1", &proxy);
        assert_eq!(cluster.ruler(), "c1");
        let standby = cluster.coordinator("c2");
        let worker = cluster.worker("w1", 4);
        let running = put_running(&cluster);
        becomes(&standby, STATE, &[("state", "standby")], 1.0);
        becomes(&master, ACTIVE, &[], 1.0);
        Self { cluster, proxy, master, standby, _worker: worker, running }
    }

    /// New tasks are served, and what ran was left alone.
    #[track_caller]
    fn goes_on(&self) {
        assert_eq!(self.cluster.status_of(&self.cluster.put(ENDS)), "done");
        let_go(&self.cluster);
        assert_eq!(self.cluster.status_of(&self.running.0), "done");
        assert_eq!(self.cluster.history().assignments(&self.running.0), 1, "a task of a living worker is not assigned again");
        assert_eq!(attempts(&self.cluster).len(), 2, "every task ran once");
    }
}

/// A master that hears nothing for longer than its session.
fn shows_no_leadership_before_another_leads(cut_off: fn(&Proxy)) {
    let house = House::new();
    let begun = Instant::now();
    cut_off(&house.proxy);
    becomes(&house.master, ACTIVE, &[], 0.0);
    let shown = begun.elapsed();
    assert_eq!(house.cluster.ruler_now().as_deref(), Some("c1"), "its session still lives");
    assert!(shown < TIMEOUT * 3 / 4, "half a session timeout after the last proof, but it took {shown:?}");

    assert_eq!(house.cluster.ruler_after("c1"), "c2");
    becomes(&house.standby, ACTIVE, &[], 1.0);
    assert_eq!(metric(&house.master, ACTIVE, &[]), Some(0.0));
    house.proxy.heal();
    becomes(&house.master, STATE, &[("state", "standby")], 1.0);
    assert_eq!(metric(&house.master, ACTIVE, &[]), Some(0.0));
    house.goes_on();
    assert_eq!(house.cluster.ruler(), "c2");
}

#[test]
fn a_master_cut_off_beyond_its_session_shows_no_leadership_before_another_leads() {
    let _scenario = Scenario::of("F4");
    shows_no_leadership_before_another_leads(Proxy::black_hole);
}

#[test]
fn a_master_that_is_heard_and_hears_nothing_shows_no_leadership_before_another_leads() {
    let _scenario = Scenario::of("F4");
    shows_no_leadership_before_another_leads(Proxy::black_hole_replies);
}

#[test]
fn a_short_cut_changes_nothing() {
    let _scenario = Scenario::of("F5");
    let house = House::new();
    let office = house.cluster.tree().stat("/master").expect("an office");
    let queue = house.cluster.tree().children("/bellwether/standbys");
    house.proxy.cut_off();
    becomes(&house.master, ACTIVE, &[], 0.0);
    house.proxy.heal();
    becomes(&house.master, ACTIVE, &[], 1.0);
    house.goes_on();
    let after = house.cluster.tree().stat("/master").expect("an office");
    assert_eq!((after.czxid, after.ephemeral_owner), (office.czxid, office.ephemeral_owner), "the same session goes on");
    assert_eq!(house.cluster.tree().children("/bellwether/standbys"), queue);
    assert_eq!(house.cluster.history().terms.len(), 1, "nobody was elected");
    assert_eq!(metric(&house.master, "bellwether_leadership_lost_total", &[]), Some(0.0));
}

/// A coordinator whose candidacy meets a fault rules all the same, by one election.
fn elected_once(fault: Fault) -> Process {
    let cluster = Cluster::new();
    let proxy = cluster.proxy();
    let ballot = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/master").then(fault));
    let master = coordinator(&cluster, "c1", &proxy);
    let _worker = cluster.worker("w1", 1);
    assert_eq!(cluster.status_of(&cluster.put(ENDS)), "done");
    assert_eq!(ballot.struck(), 1);
    assert_eq!(cluster.history().terms.len(), 1, "{:?}", cluster.history().terms);
    assert_eq!(metric(&master, "bellwether_elections_total", &[("result", "won")]), Some(1.0));
    master
}

#[test]
fn the_reply_to_a_candidacy_is_lost() {
    let _scenario = Scenario::of("F6");
    let master = elected_once(Fault::LoseReply);
    assert_eq!(metric(&master, "bellwether_elections_total", &[("result", "unknown")]), Some(1.0));
}

#[test]
fn the_request_of_a_candidacy_is_lost() {
    let _scenario = Scenario::of("F7");
    let master = elected_once(Fault::LoseRequest);
    assert_eq!(metric(&master, "bellwether_elections_total", &[("result", "unknown")]), Some(0.0));
}

#[test]
fn an_assignment_whose_reply_or_request_is_lost_is_made_once_and_costs_no_slot() {
    let _scenario = Scenario::of("F8");
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Cut] {
        let cluster = Cluster::new();
        let proxy = cluster.proxy();
        let master = coordinator(&cluster, "c1", &proxy);
        let _worker = cluster.worker("w1", 1);
        let me = cluster.registered("w1");
        let assigning = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/assign/w1").then(fault));
        let (first, _) = put_running(&cluster);
        assert_eq!(assigning.struck(), 1);
        let read = proxy.rule(Rule::on(Operation::GetData).below("/tasks/second"));
        let second = cluster.put_many("second-", [ENDS.to_owned()].into_iter()).remove(0);
        eventually(SOON, "the master to know of it", || read.matched() > 0);
        assert_eq!(cluster.assigned_to(&me), [first.as_str()], "the slot is taken");
        let_go(&cluster);
        assert_eq!((cluster.status_of(&first), cluster.status_of(&second)), ("done".to_owned(), "done".to_owned()), "{fault:?}");
        let history = cluster.history();
        assert_eq!((history.assignments(&first), history.assignments(&second)), (1, 1), "{fault:?}");
        assert_eq!((attempts(&cluster).len(), history.terms.len()), (2, 1), "{fault:?}");
        // Told by what was read afterwards. A cut may come before the request or after it.
        let resolved = |labels: &[(&str, &str)]| metric(&master, "bellwether_zk_unknown_outcomes_total", labels);
        assert_eq!(resolved(&[("resolution", "unresolved")]), Some(0.0), "{fault:?}");
        assert_eq!(resolved(&[("op", "assign")]), Some(1.0), "{fault:?}");
        let as_it_was = if fault == Fault::LoseReply { "applied" } else { "not_applied" };
        assert!(fault == Fault::Cut || resolved(&[("resolution", as_it_was)]) == Some(1.0), "{fault:?}");
    }
}

#[test]
fn the_session_of_the_master_ends() {
    let house = House::new();
    let old = house.proxy.session();
    house.proxy.expire_session();
    assert_eq!(house.cluster.ruler_after("c1"), "c2");
    becomes(&house.master, STATE, &[("state", "standby")], 1.0);
    assert_eq!(metric(&house.master, ACTIVE, &[]), Some(0.0));
    assert_eq!(metric(&house.master, "bellwether_leadership_lost_total", &[("reason", "session_lost")]), Some(1.0));
    assert_ne!(house.proxy.session(), old);
    house.goes_on();
    // The queue works: it rules again when the other leaves.
    assert_eq!(house.standby.terminate(SOON), 0);
    assert_eq!(house.cluster.ruler_after("c2"), "c1");
}

#[test]
fn the_session_of_a_standby_ends() {
    let cluster = Cluster::new();
    let master = cluster.coordinator("c1");
    assert_eq!(cluster.ruler(), "c1");
    let proxy = cluster.proxy();
    let standby = coordinator(&cluster, "c2", &proxy);
    becomes(&standby, STATE, &[("state", "standby")], 1.0);
    let before = cluster.tree().children("/bellwether/standbys");
    proxy.expire_session();
    let after = eventually(SOON, "another place in the queue", || {
        Some(cluster.tree().children("/bellwether/standbys")).filter(|queue| queue.len() == 1 && *queue != before)
    });
    assert!(after[0].contains(&format!("{:016x}", proxy.session().expect("a session"))), "{after:?}");
    assert_eq!(cluster.history().terms.len(), 1);
    assert_eq!(master.terminate(SOON), 0);
    assert_eq!(cluster.ruler_after("c1"), "c2");
}

/// The n-th multi of a term: the candidacy is the first, and all others carry the fence.
fn nth_of_a_term(n: u64, fault: Fault) -> Rule {
    Rule::on(Operation::Multi).below("/master").nth(n).then(fault)
}

#[test]
fn a_master_killed_before_or_after_each_of_its_first_multis_is_followed() {
    let _scenario = Scenario::of("F27");
    const MULTIS: u64 = 20;
    let cluster = Cluster::builder().setting("coordinator.assign_batch", "1").start();
    let _worker = cluster.worker("w1", 4);
    let _ = cluster.registered("w1");
    let mut tasks = Vec::new();
    let mut killed = Vec::new();
    for (n, fault) in (1..=MULTIS).flat_map(|n| [(n, Fault::FreezeBefore), (n, Fault::FreezeAfter)]) {
        // Enough to write: one multi for each, besides proofs.
        tasks.extend(cluster.put_many(&format!("{n}-{fault:?}-"), (0..n).map(|_| ENDS.to_owned())));
        let proxy = cluster.proxy();
        let multis = proxy.rule(nth_of_a_term(n, fault));
        let master = coordinator(&cluster, &format!("c{}", killed.len()), &proxy);
        multis.strikes(1);
        // One that is to be carried out was answered by then.
        eventually(SOON, "silence", || proxy.is_frozen());
        master.kill9();
        proxy.expire_session();
        killed.push(master);
    }
    let _last = cluster.coordinator("last");
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done", "{task}");
    }
    let history = cluster.history();
    assert_eq!(history.unended(), Vec::<&str>::new());
    // The very first died before its candidacy was carried out, and the last one lives.
    assert_eq!(history.terms.len(), killed.len());
    let twice: Vec<&String> = tasks.iter().filter(|task| history.assignments(task) != 1).collect();
    assert_eq!(twice, Vec::<&String>::new(), "no worker was lost, so that each is assigned once");
    assert_eq!(attempts(&cluster).len(), tasks.len());
}
