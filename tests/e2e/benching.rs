//! The benchmark, in a form so short that its figures mean nothing: it measures what it says, beside somebody else, and reports it.

use bellwether_tests::bench::{self, Plan};
use bellwether_tests::place::Dir;

fn plan(dir: &Dir, groups: &[&str]) -> Plan {
    let groups = groups.iter().map(|name| (*name).to_owned()).collect();
    Plan { rounds: 2, groups, divisor: 100, long: false, dir: dir.path().to_owned() }
}

#[test]
fn sides_are_measured_by_turns_and_reported_with_their_ratio() {
    let dir = Dir::new("bench");
    bench::run(&plan(&dir, &["true"])).expect("nothing fails");
    let text = std::fs::read_to_string(dir.path().join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rounds = |side: &str, what: &str| {
        let figures = report["figures"].as_array().expect("figures").iter();
        let mut found = figures.filter(|figure| figure["side"] == side && figure["what"].as_str().is_some_and(|text| text.contains(what)));
        found.next().and_then(|figure| figure["rounds"].as_array().map(Vec::len))
    };
    assert_eq!(rounds("Bellwether", "one by one, until the last result, warm"), Some(2), "{text}");
    assert_eq!(rounds("xargs -P2", "cold"), Some(2), "{text}");
    let goals = report["goals"].as_array().expect("goals");
    assert!(goals.iter().any(|goal| goal["goal"] == "/bin/true over xargs -P2" && goal["reached"].as_f64() > Some(0.0)), "{text}");
    // Whoever is not here is named with what is missing.
    let sides = report["groups"][0]["sides"].as_array().expect("sides").iter();
    let unexplained = sides.filter(|side| rounds(side["side"].as_str().unwrap(), "cold").is_none() && side["skipped"].is_null());
    assert_eq!(unexplained.count(), 0, "{text}");
    assert!(std::fs::read_to_string(dir.path().join("true.svg")).expect("a drawing").contains("xargs -P2"));
    let markdown = std::fs::read_to_string(dir.path().join("report.md")).expect("a table");
    assert!(markdown.contains("| xargs -P2 |") && markdown.contains("debug build"), "{markdown}");
}

#[test]
fn what_is_measured_of_takeovers_and_backlogs_is_there() {
    let dir = Dir::new("bench");
    let plan = Plan { rounds: 1, ..plan(&dir, &["takeover", "backlog"]) };
    bench::run(&plan).expect("nothing fails");
    let markdown = std::fs::read_to_string(dir.path().join("report.md")).expect("a table");
    for figure in ["election until its first assignment", "requests to ZooKeeper per task", "the master's memory per waiting task"] {
        assert!(markdown.contains(figure), "{markdown}");
    }
    let unknown = bench::run(&Plan { groups: vec!["nonsense".to_owned()], ..plan }).expect_err("there is no such group");
    assert!(unknown.to_string().contains("there are: noop true arrays latency"), "{unknown}");
}
