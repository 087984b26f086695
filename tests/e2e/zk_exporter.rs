//! ZooKeeper's own figures, from real servers.

use std::time::{Duration, Instant};

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Zookeeper, eventually, is};

use crate::metrics::promtool;

#[test]
fn a_server_is_told_by_the_names_of_its_official_provider() {
    let cluster = Cluster::new();
    let exporter = cluster.exporter(&[]);
    let _ = cluster.tree();
    let _ = exporter.http();
    let metrics = eventually(SOON, "the server's figures", || {
        let metrics = exporter.metrics()?;
        anyhow::ensure!(metrics.value("bellwether_zookeeper_up", &[]) == 1.0);
        Ok::<_, anyhow::Error>(metrics)
    });
    let server = cluster.zookeeper().connect_string();
    let of = |name: &str| metrics.value(name, &[("server", server), ("cluster", "default")]);
    assert!(of("znode_count") > 4.0 && of("num_alive_connections") >= 1.0 && of("packets_received") > 0.0);
    assert!(of("fsynctime_count") >= 0.0 && of("uptime") > 0.0 && of("watch_count") >= 0.0 && of("outstanding_requests") >= 0.0);
    assert!(metrics.get("readlatency", &[("quantile", "0.99")]).is_some());
    assert_eq!(metrics.value("bellwether_zookeeper_server_state", &[("state", "standalone")]), 1.0);
    assert_eq!(metrics.value("bellwether_zookeeper_server_state", &[]), 1.0);

    let (_, page) = exporter.get("/metrics").expect("a scrape");
    assert!(page.contains("# TYPE znode_count gauge\n") && page.contains("# TYPE commit_count counter\n"), "{page}");
    let untyped: Vec<&str> = page.lines().filter(|line| line.ends_with(" untyped")).collect();
    assert!(untyped.is_empty(), "names that we know no type of: {untyped:?}");
    // ZooKeeper's names do not follow Prometheus' conventions, and stay; ours do.
    let findings = promtool(&page);
    assert!(!findings.lines().any(|line| line.starts_with("bellwether_") || line.starts_with("process_")), "{findings}");
    assert!(
        findings.lines().all(|line| [
            "should have \"_total\" suffix",
            "should not have \"_count\" suffix",
            "should not contain abbreviated units"
        ]
        .iter()
        .any(|known| line.contains(known))),
        "findings that docs/reference/zk-exporter.md does not list:\n{findings}"
    );
    assert_eq!(exporter.get("/health/ready").expect("an answer").0, 200);
    assert_eq!(exporter.terminate(SOON), 0);
}

#[test]
fn of_three_servers_one_that_is_down_or_frozen_is_0_and_the_others_still_show() {
    let cluster = Cluster::builder().zookeeper(Zookeeper::ensemble(3)).start();
    let exporter = cluster.exporter(&[]);
    let _ = exporter.http();
    let sum = |name: &str, labels: &[(&str, &str)]| exporter.metrics().map(|metrics| metrics.value(name, labels)).ok();
    eventually(SOON, "three servers", || is(sum("bellwether_zookeeper_up", &[]), &Some(3.0)));
    eventually(SOON, "one leader", || is(sum("bellwether_zookeeper_server_state", &[("state", "leader")]), &Some(1.0)));
    assert_eq!(sum("bellwether_zookeeper_server_state", &[("state", "follower")]), Some(2.0));
    assert_eq!(sum("synced_followers", &[]), Some(2.0));

    let follower = (0..3).find(|i| Some(*i) != cluster.zookeeper().leader()).expect("a follower");
    let connect = cluster.zookeeper().connect_string().to_owned();
    let name = connect.split(',').nth(follower).expect("its address");
    cluster.zookeeper().pause(follower);
    eventually(SOON, "the frozen one is 0", || is(sum("bellwether_zookeeper_up", &[("server", name)]), &Some(0.0)));
    let begun = Instant::now();
    let metrics = exporter.metrics().expect("a scrape");
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert_eq!(metrics.value("bellwether_zookeeper_up", &[]), 2.0);
    assert!(metrics.get("znode_count", &[("server", name)]).is_none());
    let log = exporter.log();
    assert_eq!(log.matches("no figures of this server").count(), 1, "said once: {log}");
    cluster.zookeeper().resume(follower);
    cluster.zookeeper().kill9(follower);
    eventually(SOON, "the dead one is 0", || {
        let metrics = exporter.metrics()?;
        anyhow::ensure!(metrics.value("bellwether_zookeeper_up", &[]) == 2.0 && exporter.log().contains("refused"));
        Ok::<_, anyhow::Error>(())
    });
    cluster.zookeeper().start_all();
    eventually(SOON, "three servers again", || is(sum("bellwether_zookeeper_up", &[]), &Some(3.0)));
}
