//! `bellwether forget`: results that somebody removes by hand.

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
