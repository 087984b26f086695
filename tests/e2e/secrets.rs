//! The password for ZooKeeper: it opens what is closed, and is seen nowhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};
use zookeeper_client::{Acls, Client, CreateMode};

/// What must not be seen.
const CANARY: &str = "yellow-canary-7731";

/// A file that holds the password and is as closed as it should be.
fn secret(directory: &Path) -> PathBuf {
    let file = directory.join("zookeeper-auth");
    fs::write(&file, format!("bellwether:{CANARY}\n")).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o400)).expect("a mode");
    file
}

/// A root that only whoever knows the password may enter, as a connect string.
fn closed_root(cluster: &Cluster) -> String {
    cluster.tree().create_all("/here");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let connector = Client::connector().with_auth("digest", format!("bellwether:{CANARY}").as_bytes());
        let client = connector.connect(&cluster.connect_string()).await.expect("a session");
        client.create("/here/closed", b"", &CreateMode::Persistent.with_acls(Acls::creator_all())).await.expect("a root");
    });
    format!("{}/here/closed", cluster.connect_string())
}

fn quoted(text: impl AsRef<Path>) -> String {
    format!("{:?}", text.as_ref().display().to_string())
}

fn ready(service: &Process) -> bool {
    service.get("/health/ready").is_ok_and(|(code, _)| code == 200)
}

#[test]
fn the_password_is_in_no_log_no_argument_no_page_and_no_task() {
    let cluster = Cluster::builder().variable("RUST_LOG", "trace").setting("log.level", "\"trace\"").start();
    let (connect, file) = (format!("{:?}", closed_root(&cluster)), quoted(secret(cluster.dir())));
    let settings =
        [("zookeeper.connect", connect.as_str()), ("zookeeper.auth_scheme", "\"digest\""), ("zookeeper.auth_file", file.as_str())];
    let services = [cluster.coordinator_with("c1", &settings), cluster.worker_with("w1", 1, &settings)];
    for service in &services {
        eventually(SOON, "it is ready behind the password", || ready(service));
    }
    let mut seen = Vec::new();
    let sets: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={}", value.trim_matches('"'))).collect();
    let client = ["--set", "zookeeper.root=/here/closed", "--set", &sets[1], "--set", &sets[2], "-vv"];
    for command in [&["run", "--", "env"][..], &["-o", "json", "config", "show", "--origin"], &["config", "show"], &["status"]] {
        let output = cluster.cli(&[&client[..], command].concat()).success();
        seen.push((command.join(" "), output.stdout + &output.stderr));
    }
    for service in &services {
        let (name, proc) = (service.name(), PathBuf::from(format!("/proc/{}", service.pid())));
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(proc.join(file)).expect("our own process");
            seen.push((format!("{file} of {name}"), String::from_utf8_lossy(&bytes).into_owned()));
        }
        for page in ["/metrics", "/health/ready", "/health/live"] {
            seen.push((format!("{page} of {name}"), service.get(page).expect("a page").1));
        }
        assert_eq!(service.terminate(SOON), 0);
        seen.push((format!("log of {name}"), service.log()));
    }
    for (place, text) in seen {
        assert!(!text.is_empty(), "{place} says nothing at all");
        assert!(!text.contains(CANARY), "the password is in the {place}");
    }
}

#[test]
fn a_credential_of_systemd_opens_what_is_closed() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let credential = secret(directory.path());
    let path = directory.path().display().to_string();
    let cluster = Cluster::builder().variable("CREDENTIALS_DIRECTORY", &path).start();
    let connect = format!("{:?}", closed_root(&cluster));
    let settings = [("zookeeper.connect", connect.as_str()), ("zookeeper.auth_scheme", "\"digest\"")];
    let coordinator = cluster.coordinator_with("c1", &settings);
    eventually(SOON, "it is ready behind the password", || ready(&coordinator));
    drop(coordinator);
    fs::remove_file(credential).expect("removed");
    let without = cluster.coordinator_with("c2", &settings);
    assert_eq!(without.exit_code(SOON), 78, "{}", without.log());
    assert!(without.log().contains("systemd gave no credential"), "{}", without.log());
}
