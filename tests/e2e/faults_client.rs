//! A proxy between the `bellwether` command and ZooKeeper: lost replies, a session that ends.

use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Scenario, eventually};

use crate::faults::{let_go, put_running};

fn creating_a_task() -> Rule {
    Rule::on(Operation::Multi).with(Operation::Create, "/tasks/")
}

#[test]
fn a_submission_whose_reply_or_request_is_lost_is_made_once() {
    let _scenario = Scenario::of("F9");
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Cut] {
        let cluster = Cluster::new();
        let _ = cluster.cli(&["submit", "true"]).success();
        let proxy = cluster.proxy();
        let created = proxy.rule(creating_a_task().then(fault));
        let output = cluster.cli_start_through(&proxy, &["submit", "true"]).finish(SOON).success();
        assert_eq!(created.struck(), 1);
        assert!(created.matched() > 1, "{fault:?}: it was repeated");
        assert_eq!(cluster.tree().children("/tasks").len(), 2, "{fault:?}: one task, not two");
        assert!(cluster.tree().exists(&format!("/tasks/{}", output.lines()[0])), "{fault:?}");
    }
}

#[test]
fn a_submission_whose_reply_is_lost_with_the_session_is_made_once() {
    let _scenario = Scenario::of("F9");
    let cluster = Cluster::new();
    let _ = cluster.cli(&["submit", "true"]).success();
    let proxy = cluster.proxy();
    let created = proxy.rule(creating_a_task().then(Fault::FreezeAfter));
    let submit = cluster.cli_start_through(&proxy, &["submit", "true"]);
    created.strikes(1);
    eventually(SOON, "the submission", || cluster.tree().children("/tasks").len() == 2);
    proxy.expire_session();
    proxy.heal();
    let output = submit.finish(SOON).success();
    assert!(created.matched() > 1, "it was repeated in another session");
    assert_eq!(cluster.tree().children("/tasks").len(), 2, "one task, not two");
    assert!(cluster.tree().exists(&format!("/tasks/{}", output.lines()[0])));
}

#[test]
fn the_session_of_whoever_waits_ends() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let (task, _) = put_running(&cluster);
    let proxy = cluster.proxy();
    let looks = proxy.rule(Rule::on(Operation::Exists).below(&format!("/status/{task}")));
    let wait = cluster.cli_start_through(&proxy, &["wait", &task]);
    eventually(SOON, "it waits", || looks.matched() > 0);
    let old = proxy.session();
    proxy.expire_session();
    eventually(SOON, "another session", || proxy.session() != old);
    let_go(&cluster);
    let output = wait.finish(SOON).success();
    assert!(output.stdout.contains(&task), "{output:#?}");
}
