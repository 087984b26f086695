//! What somebody deletes by hand under live services.

use bellwether_tests::history::Promise;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Scenario, eventually, is};

use crate::faults::{becomes, let_go, lives, put_running};

#[test]
fn all_of_bellwether_deleted_is_made_anew_and_the_office_with_it() {
    let scenario = Scenario::of("F35");
    let cluster = Cluster::new();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 2);
    let (task, _) = put_running(&cluster);
    let ruler = cluster.ruler();
    let before = cluster.tree().stat("/master").expect("an office").czxid;
    assert!(cluster.tree().delete_all("/bellwether"));
    // What was made anew while the hand was still at work may have been deleted again.
    eventually(SOON, "a new office", || {
        let office = cluster.tree().stat("/master").filter(|stat| stat.czxid > before && stat.ephemeral_owner != 0);
        office.filter(|_| cluster.tree().exists("/bellwether/epoch"))
    });
    assert_eq!(cluster.status_of(&cluster.put_many("after-", ["true".to_owned()].into_iter())[0]), "done");
    let_go(&cluster);
    assert_eq!(cluster.status_of(&task), "done");
    assert_eq!((cluster.history().assignments(&task), cluster.lines("runs").len()), (1, 1), "what ran was left alone");
    // The queue of standbys is whole again, too: whoever stands by follows.
    eventually(SOON, "the other one stands by", || is(cluster.tree().children("/bellwether/standbys").len(), &1));
    let now = cluster.ruler();
    let master = coordinators.iter().find(|c| c.name() == now).expect("one of ours");
    master.kill9();
    let _ = cluster.ruler_after(&now);
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    scenario.saw(format!("all of /bellwether deleted: {ruler} gave up its office, {now} took it anew; one run; the queue works"));
}

#[test]
fn a_box_deleted_with_all_in_it_ends_that_incarnation() {
    let scenario = Scenario::of("F35");
    let cluster = Cluster::builder().unaudited(&[Promise::P3]).start();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let (task, attempt) = put_running(&cluster);
    assert!(cluster.tree().delete_all(&format!("/assign/{}", attempt.worker)));
    let again = eventually(SOON, "a new incarnation", || cluster.incarnation("w1").filter(|name| *name != attempt.worker));
    eventually(SOON, "what ran is dead", || !lives(attempt.pid));
    eventually(SOON, "only one is registered", || is(cluster.tree().children("/workers"), &vec![again.clone()]));
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    assert!(!cluster.tree().exists(&format!("/status/{task}")), "its deletion was the hand's doing");
    scenario.saw("a box deleted with what ran: killed, registered anew as another incarnation, nobody half registered");
}

#[test]
fn an_empty_box_deleted_ends_that_incarnation_and_what_waits_goes_to_the_next() {
    let scenario = Scenario::of("F35");
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let worker = cluster.worker("w1", 1);
    let first = cluster.registered("w1");
    let _ = cluster.ruler();
    assert!(cluster.tree().delete(&format!("/assign/{first}")));
    let tasks: Vec<String> = (0..5).map(|_| cluster.put("true")).collect();
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    assert_ne!(cluster.registered("w1"), first);
    becomes(&coordinator, "bellwether_workers", &[("state", "active")], 1.0);
    assert!(worker.is_running());
    scenario.saw("an empty box deleted: a new incarnation served what waited");
}
