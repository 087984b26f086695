//! The benchmark, in a form so short that its figures mean nothing: it measures what it says, beside somebody else, and reports it.

use bellwether_tests::bench::{self, Plan};
use bellwether_tests::place::Dir;

fn plan(dir: &Dir, groups: &[&str]) -> Plan {
    let groups = groups.iter().map(|name| (*name).to_owned()).collect();
    Plan { rounds: 2, groups, divisor: 100, long: false, length: None, dir: dir.path().to_owned() }
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

#[test]
fn nobody_who_waits_loses_a_result_while_few_are_kept_and_nothing_grows() {
    let dir = Dir::new("bench");
    let length = Some(std::time::Duration::from_secs(20));
    bench::run(&Plan { rounds: 1, length, ..plan(&dir, &["retention"]) }).expect("nobody loses a result");
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.path().join("report.json")).expect("a report")).expect("JSON");
    let of = |what: &str| {
        let mut figures = report["figures"].as_array().expect("figures").iter();
        figures
            .find(|figure| figure["what"] == what)
            .and_then(|figure| figure["median"].as_f64())
            .unwrap_or_else(|| panic!("{what}: {report}"))
    };
    let (all, kept) = (of("results in all"), of("results kept, at most"));
    println!("{all} results in all, {kept} kept at most, work was kept out {} times", of("times that work was kept out"));
    // Three thousand and a tenth may be kept, a thousand are on their way, and what ended in the last seconds is kept for whoever waits: how
    // many that are depends on how fast this machine is.
    let seconds = 4.0;
    let most = 3_300.0 + 1_000.0 + seconds * all / 20.0;
    assert!(kept < most && all >= kept, "hardly anything was removed: {kept} of {all}");
    assert!(of("nodes, the last third over the second") > 0.0, "{report}");
    let drawing = std::fs::read_to_string(dir.path().join("retention.svg")).expect("a drawing");
    assert!(drawing.contains("results kept"), "{drawing}");
    assert!(dir.path().join("retention.csv").is_file());
}
