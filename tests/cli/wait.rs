//! `bellwether wait`: one task's code, or a verdict about several.

use super::working;

#[test]
fn several_tasks_have_one_verdict() {
    let (cluster, _coordinator, _worker) = working(2);
    let submit = |code: &str| cluster.cli(&["submit", "--", "sh", "-c", &format!("exit {code}")]).success().lines()[0].to_owned();
    let (good, fine, bad) = (submit("0"), submit("0"), submit("3"));
    let output = cluster.cli(&["wait", "-o", "name", &good, &fine]).success();
    let mut names = output.lines();
    names.sort_unstable();
    let mut expected = [good.as_str(), fine.as_str()];
    expected.sort_unstable();
    assert_eq!(names, expected);
    let output = cluster.cli(&["wait", "-o", "json", &good, &bad]).code(1).json();
    assert_eq!(output["results"].as_array().map(Vec::len), Some(2), "{output}");
    assert_eq!(cluster.cli(&["wait", &bad]).code, 3);
    let missing = cluster.cli(&["wait", &good, "task-nope"]).code(1);
    assert!(missing.stderr.contains("there is no task task-nope"), "{missing:#?}");
}

#[test]
fn any_is_enough_if_asked_so() {
    let (cluster, _coordinator, _worker) = working(2);
    let submit = |seconds: &str| cluster.cli(&["submit", "--", "sleep", seconds]).success().lines()[0].to_owned();
    let (long, short) = (submit("60"), submit("0.2"));
    let output = cluster.cli(&["wait", "--any", &long, &short]).success();
    assert!(output.lines().len() == 1 && output.lines()[0].starts_with(&short), "{output:#?}");
    let _ = cluster.cli(&["cancel", &long]).success();
}
