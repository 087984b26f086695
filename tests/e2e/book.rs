//! The programs of O'Reilly's *ZooKeeper* in one cluster with ours: served, repaired, never broken by us.

use std::time::Duration;

use bellwether_tests::book::{BookClient, BookMaster, BookWorker, MasterDefects, WorkerDefects};
use bellwether_tests::faults::Scenario;
use bellwether_tests::history::Promise;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Builder, Cluster, Tree, eventually, is};

fn session(cluster: &Cluster) -> Tree {
    cluster.zookeeper().tree(cluster.root())
}

/// A cluster in which workers of the book are given work, and beliefs are compared every second.
fn allowing() -> Builder {
    Cluster::builder().setting("coordinator.classic_workers", "\"allow\"").setting("coordinator.reconcile_interval", "\"1s\"")
}

#[test]
fn the_books_client_and_a_bare_create_are_served_by_ours() {
    let scenario = Scenario::of("F34");
    let cluster = Cluster::new();
    let (_coordinator, _worker) = (cluster.coordinator("c1"), cluster.worker("w1", 2));
    let client = BookClient::new(session(&cluster));
    for (command, succeeds) in [("true", true), ("exit 3", false), ("kill -9 $$", false), ("[\"true\"]", true), ("", false)] {
        let task = client.submit(command);
        assert_eq!(client.wait(&task), succeeds, "{command:?}");
        assert!(!cluster.tree().exists(&format!("/tasks/{task}")), "{task} is over");
    }
    let file = cluster.dir().join("ran");
    let bare = cluster.put(&format!("echo $BELLWETHER_TASK > {}", file.display()));
    assert_eq!(cluster.status_of(&bare), "done");
    assert_eq!(cluster.lines("ran"), [bare]);
    scenario.saw("6 tasks of the book's client and of a bare create served");
}

#[test]
fn a_worker_of_the_book_is_given_nothing_unless_it_is_allowed() {
    let scenario = Scenario::of("F34");
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let book = BookWorker::start(session(&cluster), WorkerDefects::default());
    let task = cluster.put("echo $BELLWETHER_WORKER >> ran");
    eventually(SOON, "the master says why", || coordinator.log().contains("set coordinator.classic_workers"));
    let _worker = cluster.worker("w1", 1);
    assert_eq!(cluster.status_of(&task), "done");
    assert!(cluster.lines("ran")[0].starts_with("w1-"));
    assert_eq!(cluster.assigned_to(book.name()), Vec::<String>::new());
    let shown = cluster.cli(&["worker", "list"]).success();
    assert!(shown.stdout.contains(book.name()) && shown.stdout.contains("foreign"), "{shown:#?}");
    scenario.saw("denied: nothing was given to it, and the log says which key allows it");
}

#[test]
fn a_worker_of_the_book_is_given_a_hundred_tasks_at_most_and_ends_them() {
    let scenario = Scenario::of("F34");
    let cluster = allowing().start();
    let _coordinator = cluster.coordinator("c1");
    let book = BookWorker::start_idle(session(&cluster));
    let tasks = cluster.put_many("printed-", (0..150).map(|i| format!("print {i}")));
    eventually(SOON, "a hundred tasks in its box", || is(cluster.assigned_to(book.name()).len(), &100));
    // Two comparisons later it still has no more: they are counted by the questions about its box.
    let _ours = cluster.put_many("more-", (0..50).map(|i| format!("print {i}")));
    eventually(SOON, "the other tasks wait", || is(cluster.tree().children("/tasks").len(), &100));
    assert_eq!(cluster.assigned_to(book.name()).len(), 100);
    book.go();
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    eventually(SOON, "nothing waits", || is(cluster.tree().children("/tasks").len(), &0));
    scenario.saw("200 tasks, 100 at a time");
}

#[test]
fn a_worker_of_the_book_that_dies_between_its_two_writes_has_ended_its_task() {
    let scenario = Scenario::of("F34");
    let cluster = allowing().start();
    let _coordinator = cluster.coordinator("c1");
    let book = BookWorker::start(session(&cluster), WorkerDefects { dies_between_its_writes: true, ..WorkerDefects::default() });
    let task = cluster.put("print this");
    eventually(SOON, "it dies", || book.is_dead());
    let assignment = format!("/assign/{}/{task}", book.name());
    eventually(SOON, "the assignment is removed", || !cluster.tree().exists(&assignment));
    assert_eq!(cluster.tree().text(&format!("/status/{task}")).as_deref(), Some("done"));
    assert!(!cluster.tree().exists(&format!("/tasks/{task}")), "what has ended does not run again");
    assert_eq!(cluster.history().assignments(&task), 1);
    scenario.saw("dead between status and deletion: the status stands, the assignment went, nothing ran again");
}

#[test]
fn an_assignment_that_is_left_beside_its_status_is_removed() {
    let scenario = Scenario::of("F34");
    let cluster = allowing().start();
    let _coordinator = cluster.coordinator("c1");
    let book = BookWorker::start(session(&cluster), WorkerDefects { loses_its_second_write: true, ..WorkerDefects::default() });
    let tasks = cluster.put_many("left-", (0..5).map(|i| format!("print {i}")));
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    eventually(SOON, "its box is empty", || is(cluster.assigned_to(book.name()).len(), &0));
    assert!(!book.is_dead());
    scenario.saw("5 assignments whose deletion was lost were removed by the slow comparison");
}

#[test]
fn a_status_below_a_status_hides_nothing() {
    let scenario = Scenario::of("F34");
    let cluster = allowing().start();
    let _coordinator = cluster.coordinator("c1");
    let defects = WorkerDefects { creates_a_status_below_the_status: true, ..WorkerDefects::default() };
    let _book = BookWorker::start(session(&cluster), defects);
    let task = cluster.put("print this");
    assert_eq!(cluster.status_of(&task), "done");
    eventually(SOON, "the status below", || cluster.tree().exists(&format!("/status/{task}/status")));
    assert_eq!(cluster.cli(&["wait", &task]).code, 0);
    assert_eq!(cluster.cli(&["result", &task, "-o", "json"]).success().json()["outcome"], "succeeded");
    let listed = cluster.cli(&["list", "-o", "name"]).success();
    assert_eq!(listed.lines(), [task.as_str()]);
    let _ = cluster.cli(&["forget", &task]).success();
    assert!(!cluster.tree().exists(&format!("/status/{task}")));
    scenario.saw("/status/<task>/status: the result is read, shown, waited for and forgotten");
}

#[test]
fn a_status_below_a_status_goes_with_it_when_it_is_old() {
    let scenario = Scenario::of("F34");
    // With so few, one result more is reason enough for the janitor to list them anew.
    let cluster = allowing().setting("coordinator.status_retention", "\"5s\"").setting("coordinator.status_max", "10").start();
    let _coordinator = cluster.coordinator("c1");
    let defects = WorkerDefects { creates_a_status_below_the_status: true, ..WorkerDefects::default() };
    let _book = BookWorker::start(session(&cluster), defects);
    let task = cluster.put("print this");
    eventually(SOON, "the status below", || cluster.tree().exists(&format!("/status/{task}/status")));
    eventually(SOON, "it is removed when it is old", || !cluster.tree().exists(&format!("/status/{task}")));
    scenario.saw("/status/<task>/status is removed with the result when that is old");
}

#[test]
fn while_the_books_master_rules_ours_stand_by_and_our_workers_serve_it() {
    let scenario = Scenario::of("F34");
    let cluster = Cluster::new();
    let book = BookMaster::start(session(&cluster), MasterDefects { dies_between_the_writes_of: Some(6), ..MasterDefects::default() });
    let foreign = eventually(SOON, "it rules", || cluster.tree().text("/master"));
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 4);
    let _ = cluster.registered("w1");
    for coordinator in &coordinators {
        eventually(SOON, "it says so", || coordinator.log().contains("a master of another kind rules"));
        let (code, text) = coordinator.get("/health/ready").expect("an answer");
        assert!(code == 200 && text.contains("behind a master of another kind"), "{code} {text}");
    }
    assert!(cluster.cli(&["status"]).success().stdout.contains("a foreign one"));
    let client = BookClient::new(session(&cluster));
    for _ in 0..5 {
        assert!(client.wait(&client.submit("true")));
    }
    assert_eq!(cluster.tree().text("/master"), Some(foreign), "it still rules");
    let torn = cluster.put("echo $$ >> runs; sleep 3");
    eventually(SOON, "it dies between its two writes", || book.is_dead());
    let _ = cluster.ruler();
    eventually(SOON, "the copy is removed", || !cluster.tree().exists(&format!("/tasks/{torn}")));
    assert!(cluster.assignee(&torn).starts_with("w1-"), "what is assigned stands");
    assert_eq!(cluster.status_of(&torn), "done");
    assert_eq!((cluster.history().assignments(&torn), cluster.lines("runs").len()), (1, 1));
    assert!(client.wait(&client.submit("true")), "ours serve its client");
    scenario.saw("5 tasks served under the book's master; it died between its two writes: the copy went, the task ran once");
}

#[test]
fn what_the_books_master_empties_ends_as_rejected_and_what_it_gave_to_the_dead_is_run() {
    let scenario = Scenario::of("F34");
    let cluster = Cluster::new();
    let doomed = cluster.worker("w1", 1);
    let incarnation = cluster.registered("w1");
    let first = BookMaster::start(session(&cluster), MasterDefects::default());
    let emptied = cluster.put("sleep 60");
    eventually(SOON, "it is assigned", || is(cluster.assigned_to(&incarnation).len(), &1));
    drop(first);
    doomed.kill9();
    eventually(SOON, "the worker is gone", || !cluster.tree().exists(&format!("/workers/{incarnation}")));
    let second = BookMaster::start(session(&cluster), MasterDefects { empties_payloads: true, ..MasterDefects::default() });
    let _worker = cluster.worker("w2", 1);
    assert_eq!(cluster.status_of(&emptied), "failed rejected: empty");
    drop(second);
    // The next one gives to whoever has a box, the dead one's first.
    cluster.tree().create_all("/assign/dead");
    let third = BookMaster::start(session(&cluster), MasterDefects { assigns_to_the_dead: true, ..MasterDefects::default() });
    let tasks = cluster.put_many("given-", (0..6).map(|_| "true".to_owned()));
    eventually(SOON, "some are in the box of the dead", || !cluster.assigned_to("dead").is_empty());
    eventually(SOON, "all are assigned", || is(cluster.tree().children("/tasks").len(), &0));
    drop(third);
    let _coordinator = cluster.coordinator("c1");
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    scenario.saw("emptied on failover: failed rejected: empty; given to the dead: taken back and run");
}

#[test]
fn what_the_books_master_loses_is_lost_by_it_and_whoever_waits_is_told() {
    let scenario = Scenario::of("F34");
    let cluster = Cluster::builder().unaudited(&[Promise::P3]).start();
    let doomed = cluster.worker("w1", 1);
    let incarnation = cluster.registered("w1");
    let master = BookMaster::start(session(&cluster), MasterDefects { loses_tasks: true, ..MasterDefects::default() });
    let task = cluster.put("sleep 60");
    eventually(SOON, "it is assigned", || is(cluster.assigned_to(&incarnation).len(), &1));
    let waits = cluster.cli_start(&["wait", &task]);
    doomed.kill9();
    eventually(SOON, "the assignment is gone", || !cluster.tree().exists(&format!("/assign/{incarnation}/{task}")));
    let told = waits.finish(Duration::from_secs(60));
    assert!(told.code == 125 && told.stderr.contains(&task), "{told:#?}");
    drop(master);
    scenario.saw("a task that the book's master forgets: who waits for it is told that it is nowhere");
}
