//! `bellwether submit --every` and `--cron`, and `bellwether schedule`.

use bellwether_tests::Cluster;

#[test]
fn a_schedule_is_made_shown_and_deleted() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let nightly = ["submit", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--name", "nightly", "--overlap", "skip", "--", "make"];
    let submitted = cluster.cli(&nightly).success();
    assert!(submitted.lines() == ["nightly"] && submitted.stderr.contains("bellwether schedule show nightly"), "{submitted:#?}");
    let show = cluster.cli(&["schedule", "show", "nightly", "-o", "json"]).success().json();
    assert_eq!((&show["cron"], &show["timezone"], &show["overlap"]), (&"30 2 * * *".into(), &"Europe/Berlin".into(), &"skip".into()));
    assert!(show["next"].as_str().is_some_and(|next| next.ends_with(":30:00Z")), "{show}");
    let text = cluster.cli(&["schedule", "show", "nightly"]).success();
    assert!(text.stdout.contains("30 2 * * * (Europe/Berlin)") && text.stdout.contains("make"), "{text:#?}");
    let list = cluster.cli(&["schedule", "list"]).success();
    assert!(list.stdout.contains("nightly") && list.stdout.contains("NEXT"), "{list:#?}");

    let again = cluster.cli(&nightly).success();
    assert!(again.stderr.contains("was there already, and asks for the same"), "{again:#?}");
    let other = cluster.cli(&["submit", "--every", "5m", "--name", "nightly", "--", "make"]).code(2);
    assert!(
        other.stderr.contains("there is a schedule nightly already") && other.stderr.contains("bellwether schedule show nightly"),
        "{other:#?}"
    );

    let unnamed = cluster.cli(&["submit", "--every", "1h", "--", "true"]).success().lines()[0].to_owned();
    assert!(unnamed.starts_with("schedule-"), "{unnamed}");
    let _ = cluster.cli(&["schedule", "pause", "nightly", &unnamed]).success();
    assert!(cluster.cli(&["schedule", "list"]).success().stdout.contains("paused"));
    let json = cluster.cli(&["schedule", "delete", "nightly", &unnamed, "-o", "json"]).success().json();
    assert_eq!(json["schedules"], serde_json::json!(["nightly", unnamed]));
    assert!(cluster.cli(&["schedule", "list"]).success().stderr.contains("no schedules"));
}

#[test]
fn what_can_be_no_schedule_is_refused_with_the_reason() {
    let cluster = Cluster::new();
    let refused = |arguments: &[&str], why: &str| {
        let said = cluster.cli(&[&["submit"], arguments, &["--", "true"]].concat()).code(2);
        assert!(said.stderr.contains(why), "{arguments:?}: {said:#?}");
    };
    refused(&["--every", "0"], "--every");
    refused(&["--every", "0s"], "a millisecond or more");
    refused(&["--every", "-5m"], "--every");
    refused(&["--every", "1ns"], "a millisecond or more");
    refused(&["--every", "1500ms"], "whole seconds");
    refused(&["--every", "9999999999d"], "--every");
    refused(&["--every", "5m", "--cron", "@daily"], "cannot be used with");
    refused(&["--every", "5m", "--wait"], "cannot be used with");
    refused(&["--every", "5m", "--delay", "5m"], "cannot be used with");
    refused(&["--timezone", "UTC"], "--cron");
    refused(&["--missed", "all"], "says something of schedules alone");
    refused(&["--every", "5m", "--missed", "all", "--overlap", "skip"], "cannot each be made up for");
    refused(&["--cron", "garbage"], "five fields");
    refused(&["--cron", "61 * * * *"], "minute: \"61\"");
    refused(&["--cron", "0 0 31 2 *"], "it never fires");
    refused(&["--cron", "@daily", "--timezone", "Mars/Olympus"], "there is no time zone \"Mars/Olympus\"");
    refused(&["--every", "5m", "--name", "a/b"], "must not contain '/'");
    refused(&["--every", "5m", "--name", &"x".repeat(190)], "must not be longer");
    for action in ["show", "pause", "resume", "delete"] {
        let said = cluster.cli(&["schedule", action, "nope"]).code(125);
        assert!(said.stderr.contains("there is no schedule nope") && said.stderr.contains("bellwether schedule list"), "{said:#?}");
    }
    assert_eq!(cluster.tree().children("/bellwether/schedules"), Vec::<String>::new());
}
