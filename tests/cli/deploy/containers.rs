//! The Dockerfile, the compose file with its configuration, and what Prometheus and Grafana are given in it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};
use serde_json::Value;

use super::{patience_is_enough, port, repository, settings, text, understood, variable_is_known, yaml};

const COMPOSE: &str = "deploy/compose/compose.yaml";

/// Which program an image of ours starts, by its name.
fn program(image: &str) -> Option<&'static str> {
    match image {
        "bellwether-coordinator" => Some("bellwether-coordinator"),
        "bellwether-worker" => Some("bellwether-worker"),
        "bellwether" => Some("bellwether"),
        _ => None,
    }
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn services() -> BTreeMap<String, Value> {
    let compose = yaml(COMPOSE).remove(0);
    compose["services"].as_object().expect("services").clone().into_iter().collect()
}

/// Where a file of a container lies in the repository.
fn on_the_host(service: &Value, inside: &str) -> Option<String> {
    words(&service["volumes"]).iter().find_map(|volume| {
        let mut parts = volume.split(':');
        let (host, target) = (parts.next()?, parts.next()?);
        (target == inside).then(|| format!("deploy/compose/{}", host.trim_start_matches("./")))
    })
}

#[test]
fn the_compose_file_starts_what_there_is() {
    let mut ours = 0;
    for (name, service) in services() {
        for volume in words(&service["volumes"]).iter().filter(|volume| volume.starts_with('.')) {
            let host = volume.split(':').next().unwrap_or_default();
            assert!(repository().join("deploy/compose").join(host).exists(), "{name} mounts {host}, which is not there");
        }
        for variable in service["environment"].as_object().into_iter().flatten() {
            variable_is_known(variable.0);
        }
        let Some(program) = service["image"].as_str().and_then(program) else { continue };
        ours += 1;
        let Some(inside) = understood(program, &words(&service["command"])).pop() else { continue };
        let file = on_the_host(&service, &inside).unwrap_or_else(|| panic!("{name} does not mount {inside}"));
        let (settings, test) = (settings(&file), words(&service["healthcheck"]["test"]));
        assert_eq!(test[..2], ["CMD", "healthcheck"], "{name}");
        assert_eq!(test[2], port(&settings).to_string(), "{name} asks another port whether it is healthy");
        if program == "bellwether-worker" {
            let patience = service["stop_grace_period"].as_str().and_then(|text| text.strip_suffix('s')?.parse().ok());
            patience_is_enough(&settings, Duration::from_secs(patience.expect("a grace period")));
        }
        for server in settings.zookeeper.connect.split(',') {
            let host = server.split(':').next().unwrap_or_default();
            assert!(services().contains_key(host), "{name} looks for ZooKeeper on {host}");
        }
    }
    assert!(ours >= 6, "two coordinators, two workers, the exporter and the command");
}

#[test]
fn prometheus_scrapes_every_service_and_grafana_asks_it() {
    let prometheus = yaml("deploy/prometheus/prometheus.yml").remove(0);
    let mut scraped = BTreeSet::new();
    for job in prometheus["scrape_configs"].as_array().expect("jobs") {
        let targets = job["static_configs"].as_array().into_iter().flatten().flat_map(|targets| words(&targets["targets"]));
        scraped.extend(targets.map(|target| (job["job_name"].as_str().unwrap_or_default().to_owned(), target)));
    }
    let mut expected = BTreeSet::new();
    for (name, service) in services() {
        let Some(program) = service["image"].as_str().and_then(program) else { continue };
        let Some(inside) = understood(program, &words(&service["command"])).pop() else { continue };
        let port = port(&settings(&on_the_host(&service, &inside).expect("its file")));
        let job = if program == "bellwether" { "bellwether-zk-exporter" } else { program };
        expected.insert((job.to_owned(), format!("{name}:{port}")));
    }
    assert_eq!(scraped, expected);

    let source = yaml("deploy/grafana/provisioning/datasources/prometheus.yaml").remove(0);
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    assert_eq!(source["datasources"][0]["jsonData"]["timeInterval"], prometheus["global"]["scrape_interval"]);
    let provider = yaml("deploy/grafana/provisioning/dashboards/bellwether.yaml").remove(0);
    let directory = provider["providers"][0]["options"]["path"].as_str().expect("a path").to_owned();
    let mounted = words(&services()["grafana"]["volumes"]);
    let shown: Vec<&String> = mounted.iter().filter(|volume| volume.contains(&format!(":{directory}/"))).collect();
    for entry in std::fs::read_dir(repository().join("dashboards")).expect("dashboards").map(|entry| entry.expect("an entry").path()) {
        let is_dashboard = std::fs::read_to_string(&entry).is_ok_and(|text| text.contains("\"panels\""));
        if entry.extension().is_some_and(|extension| extension == "json") && is_dashboard {
            let name = entry.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            let expected = format!("../../dashboards/{name}:{directory}/{name}:ro");
            assert!(shown.contains(&&expected), "grafana in {COMPOSE} does not show {name}: add {expected}");
        }
    }
}

#[test]
fn the_dockerfile_builds_what_there_is() {
    let dockerfile = text("deploy/container/Dockerfile");
    let ports: Vec<&str> = dockerfile.lines().filter_map(|line| line.strip_prefix("EXPOSE ")).collect();
    assert_eq!(ports, ["9641", "9642"], "the roles' own ports");
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("ENTRYPOINT [\"")) {
        assert!(program(line.trim_end_matches("\"]")).is_some(), "{line}");
    }
    for service in services().values() {
        let Some(target) = service["build"]["target"].as_str() else { continue };
        assert!(dockerfile.contains(&format!(" AS {target}\n")), "there is no stage {target}");
    }
    let ignored = text("deploy/container/Dockerfile.dockerignore");
    for kept in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(repository().join(kept).exists(), "{kept} is kept, but not there");
    }
}

#[test]
fn the_health_check_of_the_images_tells_ready_from_not() {
    let check = |address: std::net::SocketAddr| {
        let script = repository().join("deploy/container/healthcheck");
        Command::new(script).arg(address.port().to_string()).output().expect("it runs").status.success()
    };
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator("c1");
    let ready = coordinator.http();
    eventually(SOON, "it is healthy", || check(ready));
    let nowhere = Cluster::builder().setting("zookeeper.connect", "\"127.0.0.1:1\"").start();
    let lost = nowhere.coordinator("c1");
    assert!(!check(lost.http()), "it has no session");
    drop(coordinator);
    assert!(!check(ready), "nobody answers");
}
