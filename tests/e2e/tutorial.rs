//! The tutorial's script: submit, queue up a bunch of sleeps, add workers, kill a worker, kill the master.

use bellwether_tests::Cluster;

#[test]
fn the_tutorials_script() {
    let cluster = Cluster::new();
    let first = cluster.coordinator("c1");
    let _second = cluster.coordinator("c2");
    let worker = cluster.worker("w1", 2);
    assert_eq!(cluster.status_of(&cluster.put("sleep 1")), "done");
    assert_eq!(cluster.status_of(&cluster.put("exit 3")), "failed exit=3");

    let bunch: Vec<String> = (0..8).map(|_| cluster.put("sleep 1")).collect();
    let _more = [cluster.worker("w2", 2), cluster.worker("w3", 2)];
    let long = cluster.put("sleep 4");
    let ruler = cluster.ruler();
    worker.kill9();
    let (ruling, standing_by) = if ruler == "c1" { (&first, "c2") } else { (&_second, "c1") };
    ruling.kill9();
    assert_eq!(cluster.ruler_after(&ruler), standing_by);
    for task in bunch.iter().chain([&long]) {
        assert_eq!(cluster.status_of(task), "done", "{task}");
    }
    assert_eq!(cluster.history().unended(), Vec::<&str>::new());
}

#[test]
fn tasks_wait_for_the_first_worker() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let tasks: Vec<String> = (0..5).map(|_| cluster.put("true")).collect();
    let _ = cluster.ruler();
    assert_eq!(cluster.tree().children("/tasks").len(), 5, "nobody takes them");
    let _worker = cluster.worker("w1", 2);
    for task in &tasks {
        assert_eq!(cluster.status_of(task), "done");
    }
    assert_eq!(cluster.tree().children("/tasks").len(), 0);
}
