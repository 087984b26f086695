//! `bellwether forget`: results that somebody removes by hand.

use bellwether_common::wait::eventually;
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::tasks::SOON;

use super::working;

#[test]
fn a_result_is_forgotten_with_its_details_and_what_lives_is_not() {
    let (cluster, _coordinator, _worker) = working(1);
    let plain = cluster.put("true");
    assert_eq!(cluster.status_of(&plain), "done");
    let enveloped = cluster.cli(&["submit", "--wait", "-o", "name", "--", "true"]).success().lines()[0].to_owned();
    let held = cluster.cli(&["submit", "--delay", "1h", "--", "true"]).success().lines()[0].to_owned();
    let said = cluster.cli(&["forget", &plain, &enveloped, &held, "task-nope"]).code(125);
    assert_eq!(said.lines(), [plain.as_str(), enveloped.as_str()]);
    assert!(said.stderr.contains(&format!("{held} has not ended")) && said.stderr.contains("bellwether cancel"), "{said:#?}");
    assert!(said.stderr.contains("there is no task task-nope"), "{said:#?}");
    for gone in [format!("/status/{plain}"), format!("/bellwether/results/{plain}"), format!("/status/{enveloped}")] {
        assert!(!cluster.tree().exists(&gone), "{gone}");
    }
    assert!(cluster.cli(&["wait", &plain]).code(125).stderr.contains("its result was removed"));
    let json = cluster.cli(&["run", "-o", "json", "--", "true"]).success().json();
    let ended = json["task"].as_str().expect("an id");
    assert_eq!(cluster.cli(&["forget", "-o", "json", ended]).success().json()["forgotten"], serde_json::json!([ended]));
}

#[test]
fn many_are_forgotten_by_a_few_transactions_and_one_whose_answer_is_lost_is_no_failure() {
    const MANY: usize = 300;
    let (cluster, _coordinator, _worker) = working(4);
    let proxy = cluster.proxy();
    let names = cluster.put_many("old-", (0..MANY).map(|_| "true".to_owned()));
    eventually(SOON, "all to end", || cluster.tree().children("/status").len() == MANY);
    // One of them spoils its transaction.
    cluster.tree().create("/status/old-000100/theirs", "");
    cluster.tree().create("/status/old-000100/theirs-too", "");
    let lost = proxy.rule(Rule::on(Operation::Multi).with(Operation::Delete, "/status/old-000200").then(Fault::LoseReply));
    let mut args = vec!["forget", "old-000000"];
    args.extend(names.iter().map(String::as_str));
    let said = cluster.cli_start_through(&proxy, &args).finish(SOON);
    assert_eq!(said.code, 125, "{said:#?}");
    assert_eq!(lost.struck(), 1, "the transaction was sent");
    assert_eq!(cluster.tree().children("/status"), ["old-000100"]);
    assert!(said.stderr.contains("old-000100") && !said.stderr.contains("there is no task"), "{said:#?}");
    assert_eq!(said.lines().len(), MANY - 1, "one was named twice, and one is left: {said:#?}");
    let transactions = proxy.seen(Operation::Multi);
    assert!(transactions < 90, "{transactions} transactions: as many as one by one");
}
