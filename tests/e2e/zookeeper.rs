//! ZooKeeper restarted under everybody: sessions go on, and watches work afterwards.

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Scenario, Zookeeper, eventually};

#[test]
fn a_restart_of_zookeeper_changes_nothing() {
    let cluster = Cluster::builder().zookeeper(Zookeeper::own()).start();
    let coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let _worker = cluster.worker("w1", 2);
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    let (ruler, incarnation) = (cluster.ruler(), cluster.registered("w1"));
    let running = cluster.put("sleep 3");
    let _ = cluster.assignee(&running);

    cluster.zookeeper().kill9(0);
    cluster.zookeeper().restart(0);

    assert_eq!(cluster.status_of(&running), "done");
    assert_eq!(cluster.history().assignments(&running), 1);
    // Everything that is told by a watch: a new task, a new worker, a free slot, and a vacancy.
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    let _late = cluster.worker("w2", 1);
    let tasks: Vec<String> = (0..6).map(|_| cluster.put("sleep 0.2")).collect();
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    assert_eq!(cluster.incarnation("w1"), Some(incarnation), "the same session goes on");
    assert_eq!(cluster.ruler(), ruler, "the same master rules");
    let master = coordinators.iter().find(|c| c.name() == ruler).expect("one of ours");
    let metrics = master.metrics().expect("a scrape");
    assert_eq!(metrics.value("bellwether_resync_differences_total", &[]), 0.0);
    master.kill9();
    let next = cluster.ruler_after(&ruler);
    assert_eq!(cluster.status_of(&cluster.put("true")), "done", "{next} rules");
}

#[test]
fn an_outage_as_long_as_a_session_is_survived() {
    let _scenario = Scenario::of("F15");
    let cluster = Cluster::builder().zookeeper(Zookeeper::own()).start();
    let _coordinators = [cluster.coordinator("c1"), cluster.coordinator("c2")];
    let worker = cluster.worker("w1", 2);
    let running = cluster.put("if [ -e been-here ]; then true; else touch been-here; sleep 100; fi");
    eventually(SOON, "it runs", || cluster.dir().join("been-here").exists());
    cluster.zookeeper().pause(0);
    // Half of the worker's session without proof: it kills what it runs.
    eventually(SOON, "the worker kills in doubt", || {
        let metrics = worker.metrics()?;
        let kills = metrics.value("bellwether_task_kills_total", &[("reason", "doubt")]);
        if kills == 1.0 { Ok(()) } else { Err(anyhow::anyhow!("kills = {kills}")) }
    });
    cluster.zookeeper().resume(0);
    assert_eq!(cluster.status_of(&running), "done");
    assert_eq!(cluster.status_of(&cluster.put("true")), "done");
    assert_eq!(cluster.history().unended(), Vec::<&str>::new());
}
