//! What a task costs in requests, of whoever takes part in it: counted, and held to bounds, so that nobody asks once more than needed
//! without being seen. That the cost does not grow with what waits is in `faults_backlog`.

use std::time::Duration;

use bellwether_tests::costs::Counted;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually, proc};

#[test]
fn a_task_costs_few_requests_however_it_is_submitted_and_however_many_workers_stand_by() {
    const CLIENT: usize = 0;
    const MASTER: usize = 1;
    const WORKERS: usize = 2;
    for crowd in [0, 48] {
        let counted = Counted::new(crowd);
        for batch in [1, 50] {
            let costs = counted.cost(1500, batch);
            println!("{crowd} bystanders, {batch} at a time: {costs:?}");
            // Here it is a tenth of that or less, because what comes together travels together. A slow machine shares less: at worst a
            // submission, a watch and a read when it goes off; an assignment and a read; a read and a result. Of a task that had ended
            // before it was looked for the watch is taken back, which is a request, too.
            assert!(costs.all[CLIENT] < if batch > 1 { 3.3 } else { 4.3 }, "{costs:?}");
            assert!(costs.syncs[CLIENT] < 0.2, "who has submitted a task need not look for it: {costs:?}");
            assert!(costs.all[MASTER] < 2.3, "{costs:?}");
            assert!(costs.looks[MASTER] < 0.2, "the janitor looks at many results by one request: {costs:?}");
            assert!(costs.all[WORKERS] < 2.5, "{costs:?}");
            if batch > 1 {
                assert!(costs.reads[MASTER] < 0.5, "what comes together is read together: {costs:?}");
            }
        }
    }
}

#[test]
fn commands_cost_few_requests_too_although_each_takes_a_while() {
    let counted = Counted::new(0);
    // At first nothing ends for a while, so that all may be watched.
    let _ = counted.cost_of_commands(300);
    let costs = counted.cost_of_commands(2000);
    println!("{costs:?}");
    let [client, master, workers] = costs.all;
    assert!(client < 0.8, "they are read, and not watched one by one: {costs:?}");
    assert!(master < 0.8, "{costs:?}");
    assert!(workers < 0.8, "{costs:?}");
}

#[test]
fn services_that_have_nothing_to_do_are_hardly_woken_up() {
    const WATCHED: Duration = Duration::from_secs(5);
    // A session's clock ticks twenty times in its timeout, here of four and of six seconds; each tick wakes up the thread that waits for the
    // sockets and the one that serves them: eighteen a second. If the latter waited for the sockets, the former would look a dozen times after
    // each tick, and it would be forty and more.
    const EACH_SECOND: u64 = 30;
    let cluster = Cluster::builder().unsampled().as_installed().start();
    let _master = cluster.coordinator("c1");
    let _ = cluster.ruler();
    let (standby, worker) = (cluster.coordinator("c2"), cluster.worker("w1", 2));
    let _ = cluster.registered("w1");
    // Two real durations: what comes once soon after the start, and then what comes all the time.
    std::thread::sleep(Duration::from_secs(3));
    let pids = [standby.pid(), worker.pid()];
    let before = pids.map(proc::wakeups);
    std::thread::sleep(WATCHED);
    let each_second = [0, 1].map(|service| proc::wakeups(pids[service]).saturating_sub(before[service]) / WATCHED.as_secs());
    println!("wake-ups a second of a standby and of a worker: {each_second:?}");
    assert!(each_second.iter().all(|wakeups| (1..EACH_SECOND).contains(wakeups)), "{each_second:?} wake-ups a second");
}

#[test]
fn a_client_that_waits_for_more_than_it_may_watch_survives_a_break_of_its_connection() {
    let counted = Counted::new(0);
    // More than there are watches. Nothing is run before the break.
    counted.cluster.tree().create_all("/bellwether/paused");
    let client = counted.client(5000, 50);
    let waiting = || counted.cluster.tree().stat("/tasks").map_or(0, |stat| stat.num_children);
    eventually(SOON * 2, "all to be submitted", || if waiting() == 5000 { Ok(()) } else { Err(waiting()) });
    counted.proxies[0].cut();
    counted.cluster.tree().delete("/bellwether/paused");
    eventually(SOON, "some to end", || counted.cluster.tree().stat("/status").filter(|stat| stat.num_children > 500));
    counted.proxies[0].cut();
    assert_eq!(client.exit_code(Duration::from_secs(120)), 0);
    assert!(client.log().contains("ended 5000 in"), "{}", client.log());
}
