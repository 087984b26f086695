//! Services that cannot start say why, and end with the code that says whether a restart may help.

use std::time::Duration;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Scenario, eventually};
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission};

#[test]
fn zookeeper_that_cannot_be_reached_is_tried_for_a_while() {
    let cluster = Cluster::builder()
        .setting("zookeeper.connect", "\"127.0.0.1:1\"")
        .setting("zookeeper.session_timeout", "\"1s\"")
        .setting("zookeeper.give_up_after", "\"3s\"")
        .start();
    let services = [cluster.coordinator("c1"), cluster.worker("w1", 1)];
    for service in &services {
        eventually(SOON, "it says so", || service.log().contains("127.0.0.1:1"));
        let (code, text) = service.get("/health/ready").expect("it answers while it tries");
        assert_eq!(code, 503, "{text}");
    }
    for service in &services {
        assert_eq!(service.exit_code(SOON), 69, "{}", service.log());
        assert!(service.log().contains("give_up_after"), "{}", service.log());
    }
}

#[test]
fn a_wrong_configuration_names_what_and_where() {
    let refused = |key: &str, value: &str, expected: &[&str]| {
        let cluster = Cluster::builder().setting(key, value).start();
        for service in [cluster.coordinator("c1"), cluster.worker("w1", 1)] {
            assert_eq!(service.exit_code(SOON), 78, "{}", service.log());
            for words in expected {
                assert!(service.log().contains(words), "{words:?} in: {}", service.log());
            }
        }
    };
    refused("worker.slotz", "1", &["worker.slotz", ".toml", "slots"]);
    refused("zookeeper.session_timeout", "\"soon\"", &["zookeeper.session_timeout", "soon"]);
    refused("coordinator.assign_batch", "0", &["coordinator.assign_batch"]);
}

#[test]
fn a_worker_that_could_run_nothing_or_keep_nothing_does_not_start() {
    let refused = |key: &str, value: &str, expected: &[&str]| {
        let cluster = Cluster::new();
        let worker = cluster.worker_with("w1", 1, &[(key, &format!("{value:?}"))]);
        assert_eq!(worker.exit_code(SOON), 78, "{}", worker.log());
        for words in expected.iter().chain(&[key, value]) {
            assert!(worker.log().contains(words), "{words:?} in: {}", worker.log());
        }
    };
    refused("worker.output_dir", "/dev/null/outputs", &["Not a directory"]);
    refused("worker.output_dir", "/proc/outputs", &["No such file or directory"]);
    refused("worker.shell", "/no/such/shell", &["No such file or directory"]);
    refused("worker.shell", "/etc/passwd", &["not executable"]);
    refused("worker.shell", "/usr", &["not a file"]);
}

#[test]
fn a_root_without_rights_is_named() {
    let _scenario = Scenario::of("F24");
    let cluster = Cluster::new();
    cluster.tree().create_all("/here");
    let readable = Acl::new(Permission::READ, AuthId::anyone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(&cluster.connect_string()).await.expect("a session");
        let options = CreateMode::Persistent.with_acls(Acls::from(std::slice::from_ref(&readable)));
        client.create("/here/closed", b"", &options).await.expect("a root");
    });
    let services: Vec<Process> = {
        let closed = format!("\"{}/here/closed\"", cluster.connect_string());
        let settings = [("zookeeper.connect", closed.as_str())];
        vec![cluster.worker_with("w1", 1, &settings)]
    };
    for service in &services {
        assert_eq!(service.exit_code(Duration::from_secs(10)), 77, "{}", service.log());
        assert!(service.log().contains("closed"), "it names the path: {}", service.log());
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let cluster = Cluster::builder().setting("http.listen", &format!("{address:?}")).start();
    let coordinator = cluster.coordinator("c1");
    assert_eq!(coordinator.exit_code(SOON), 78);
    assert!(coordinator.log().contains(&address) && coordinator.log().contains("http.listen"), "{}", coordinator.log());
}
