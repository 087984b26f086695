//! `bellwether list` where much has ended.

use std::time::Instant;

use bellwether_core::protocol::Multi;
use bellwether_tests::Cluster;
use bellwether_tests::faults::sized;
use bellwether_tests::history::Promise;

/// Statuses as workers write them, every hundredth of them a failure.
fn fill(cluster: &Cluster, number: usize) {
    cluster.tree().create_all("/status");
    let numbers: Vec<usize> = (0..number).collect();
    for portion in numbers.chunks(100) {
        let multi = portion.iter().fold(Multi::new(), |multi, number| {
            let outcome = if number % 100 == 0 { "failed" } else { "succeeded" };
            let status = format!(
                r#"{{"bellwether":1,"task":"t{number:06}","outcome":"{outcome}","exit":{},"attempt":1,"ended":"2026-11-21T00:00:00Z","stdout":{{"tail":"\"outcome\":\"failed\"","encoding":"utf-8","bytes":18,"truncated":false}},"labels":{{"job":"a"}},"request":{{"bellwether":1,"shell":"true"}}}}"#,
                number % 100 == 0
            );
            multi.create(format!("/status/t{number:06}"), status.replace("\"exit\":true", "\"exit\":1").replace("\"exit\":false", "\"exit\":0"))
        });
        cluster.tree().commit(&multi);
    }
}

#[test]
fn what_failed_is_found_among_many() {
    // Somebody else writes the results.
    let cluster = Cluster::builder().unaudited(&[Promise::P2, Promise::P3]).start();
    let number = sized("BELLWETHER_LISTED", 3_000, 100_000);
    fill(&cluster, number);
    let begun = Instant::now();
    let failed = cluster.cli(&["list", "--state", "failed", "--limit", "0", "-o", "name"]).success();
    println!("{} of {number} ended tasks listed in {:.1} s", failed.lines().len(), begun.elapsed().as_secs_f64());
    assert_eq!((failed.lines().len(), failed.lines().last().copied()), (number / 100, Some("t000000")));
    let all = cluster.cli(&["list", "--limit", "0", "-o", "name", "-l", "job=a"]).success();
    assert_eq!(all.lines().len(), number);
    let few = cluster.cli(&["list", "--state", "succeeded", "--limit", "3"]).success();
    assert!(few.lines().len() == 4 && few.stderr.contains("there are more than these 3"), "{few:#?}");
}
