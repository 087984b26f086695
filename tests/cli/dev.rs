//! `bellwether dev`: a whole cluster by one command, which leaves nothing behind.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_tests::place::Dir;
use bellwether_tests::{CliRun, Cluster, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SOON: Duration = Duration::from_secs(60);

fn json_of(run: &CliRun) -> serde_json::Value {
    eventually(SOON, "a cluster that is ready", || {
        serde_json::from_str(&run.stdout()).map_err(|_| format!("stdout: {:?}, stderr: {:?}", run.stdout(), run.stderr()))
    })
}

fn pids(shown: &serde_json::Value) -> Vec<i32> {
    let services = shown["services"].as_array().expect("services").iter().map(|service| &service["pid"]);
    let pids = services.chain(shown["zookeeper_pids"].as_array().expect("servers"));
    pids.map(|pid| i32::try_from(pid.as_i64().expect("a number")).expect("a pid")).collect()
}

#[test]
fn a_cluster_with_its_own_zookeeper_runs_tasks_and_leaves_nothing() {
    let dir = Arc::new(Dir::new("dev"));
    let args = ["dev", "-o", "json", "--coordinators", "1", "--workers", "2", "--slots", "1"];
    let dev = CliRun::start(&args, &[("BELLWETHER_ZOOKEEPER", "127.0.0.1:1")], None, dir.clone());
    let shown = json_of(&dev);
    let zookeeper = shown["zookeeper"].as_str().expect("an address");
    let run = CliRun::start(&["run", "--", "echo", "hello"], &[("BELLWETHER_ZOOKEEPER", zookeeper)], None, dir).finish(SOON).success();
    assert_eq!(run.stdout, "hello\n");
    let services = shown["services"].as_array().expect("services");
    assert_eq!(services.len(), 3);
    assert!(
        services.iter().all(|service| service["http"].is_string() && Path::new(service["log"].as_str().expect("a path")).is_file()),
        "{shown}"
    );

    let worker = services.iter().find(|service| service["name"] == "w2").expect("w2")["pid"].as_i64().expect("a pid");
    kill(Pid::from_raw(i32::try_from(worker).expect("a pid")), Signal::SIGKILL).expect("killed");
    eventually(SOON, "a word about the worker", || {
        dev.stderr().contains(&format!("worker w2 (pid {worker}) was killed by signal 9; it is not restarted"))
    });
    dev.signal(Signal::SIGINT);
    let output = dev.finish(SOON).success();
    assert!(output.stderr.ends_with("ended; nothing is left behind\n"), "{output:#?}");
    assert!(!Path::new(shown["directory"].as_str().expect("a path")).exists());
    assert!(pids(&shown).into_iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "{shown}");
}

#[test]
fn on_a_zookeeper_that_was_named_it_starts_services_only() {
    let cluster = Cluster::new();
    let kept = cluster.dir().join("kept");
    let dev = cluster.cli_start(&["dev", "--coordinators", "1", "--workers", "1", "--keep", kept.to_str().expect("a path")]);
    eventually(SOON, "what to type next", || dev.stdout().contains(&format!("export BELLWETHER_ZOOKEEPER={}\n", cluster.connect_string())));
    let printed = dev.stdout();
    assert!(printed.contains("not for production") && printed.contains("c1") && printed.contains("w1.log"), "{printed}");
    let _ = cluster.cli(&["run", "true"]).success();
    dev.signal(Signal::SIGTERM);
    let output = dev.finish(SOON).success();
    assert!(output.stderr.contains(&format!("data and logs are kept in {}", kept.display())), "{output:#?}");
    assert!(kept.join("w1.log").is_file() && kept.join("c1.toml").is_file());
    assert_eq!(cluster.tree().children("/workers"), Vec::<String>::new(), "it left in order");
    assert!(!cluster.tree().exists("/master"));
}

#[test]
fn without_zookeeper_on_the_machine_it_says_what_to_do() {
    let dir = Arc::new(Dir::new("no-zookeeper"));
    let home = dir.path().display().to_string();
    let output = CliRun::start(&["dev"], &[("ZOOKEEPER_HOME", &home)], None, dir).finish(SOON).code(125);
    assert!(output.stderr.contains("bellwether: no-zookeeper: ZOOKEEPER_HOME=") && output.stderr.contains("-z host:port"), "{output:#?}");
}
