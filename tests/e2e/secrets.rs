//! Secrets: the password for ZooKeeper, the token for outputs, the key that signs. They open what is closed, and are seen nowhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};
use serde_json::json;
use zookeeper_client::{Acls, Client, CreateMode};

/// What must not be seen.
const CANARY: &str = "yellow-canary-7731";
const TOKEN: &str = "green-canary-7732-and-more";

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
fn no_secret_is_in_a_log_an_argument_a_page_a_task_a_metric_or_a_znode() {
    let cluster = Cluster::builder().variable("RUST_LOG", "trace").setting("log.level", "\"trace\"").start();
    let (connect, file) = (format!("{:?}", closed_root(&cluster)), quoted(secret(cluster.dir())));
    let (token, key) = (cluster.dir().join("token"), cluster.dir().join("key").display().to_string());
    fs::write(&token, format!("{TOKEN}\n")).expect("written");
    fs::set_permissions(&token, Permissions::from_mode(0o400)).expect("a mode");
    let public = cluster.cli(&["key", "new", &key]).success().lines()[0].to_owned();
    let signing = fs::read_to_string(&key).expect("the key").split(' ').nth(1).expect("digits").trim().to_owned();
    let settings =
        [("zookeeper.connect", connect.as_str()), ("zookeeper.auth_scheme", "\"digest\""), ("zookeeper.auth_file", file.as_str())];
    let (token, trusted) = (quoted(&token), format!("[{public:?}]"));
    let own = [("http.token_file", token.as_str()), ("worker.require_signature", "true"), ("worker.trusted_keys", &trusted)];
    let services = [cluster.coordinator_with("c1", &settings), cluster.worker_with("w1", 1, &[&settings[..], &own].concat())];
    for service in &services {
        eventually(SOON, "it is ready behind the password", || ready(service));
    }
    let mut seen = Vec::new();
    let sets: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={}", value.trim_matches('"'))).collect();
    let shown = format!("http.token_file={}", token.trim_matches('"'));
    let secrets = ["--set", &sets[1], "--set", &sets[2], "--set", &shown, "--sign-key", &key];
    let client = [&["--set", "zookeeper.root=/here/closed", "-vv"], &secrets[..]].concat();
    for command in [
        &["run", "--", "sh", "-c", "env; cat /proc/$PPID/cmdline /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"][..],
        &["-o", "json", "list"],
        &["key", "show", &key],
        &["-o", "json", "config", "show", "--origin"],
        &["config", "show"],
        &["status"],
    ] {
        let output = cluster.cli(&[&client[..], command].concat()).success();
        seen.push((command.join(" "), output.stdout + &output.stderr));
    }
    for service in &services {
        let (name, proc) = (service.name(), PathBuf::from(format!("/proc/{}", service.pid())));
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(proc.join(file)).expect("our own process");
            seen.push((format!("{file} of {name}"), String::from_utf8_lossy(&bytes).into_owned()));
        }
        for page in ["/metrics", "/health/ready", "/health/live", "/v1/tasks"] {
            seen.push((format!("{page} of {name}"), service.get(page).expect("a page").1));
        }
        assert_eq!(service.terminate(SOON), 0);
        seen.push((format!("log of {name}"), service.log()));
    }
    for (place, text) in &seen {
        assert!(!text.is_empty(), "{place} says nothing at all");
    }
    // All that ever stood in a znode stands there.
    let written = files_below(&cluster.zookeeper().data_dirs());
    assert!(written.iter().any(|bytes| contains(bytes, b"/here/closed")), "the log was found");
    for secret in [CANARY, TOKEN, &signing] {
        for (place, text) in &seen {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
        assert!(!written.iter().any(|bytes| contains(bytes, secret.as_bytes())), "a secret is in ZooKeeper's transaction log");
    }
}

/// Payloads and results lie in ZooKeeper, for whoever may read there; nobody else is told of them.
#[test]
fn no_page_and_no_log_tells_what_a_task_was_given_or_said() {
    const WORD: &str = "pink-canary-5513";
    let cluster = Cluster::builder().variable("RUST_LOG", "trace").setting("log.level", "\"trace\"").start();
    let token = cluster.dir().join("token");
    fs::write(&token, format!("{TOKEN}\n")).expect("written");
    fs::set_permissions(&token, Permissions::from_mode(0o400)).expect("a mode");
    let listed = [("worker.exec", "\"allowlist\""), ("worker.allow.say", "\"/bin/echo {int:1..2}\""), ("worker.labels.listed", "\"yes\"")];
    let services = [
        cluster.coordinator("c1"),
        cluster.worker_with("w1", 2, &[("http.token_file", &quoted(&token)), ("worker.labels.listed", "\"no\"")]),
        cluster.worker_with("w2", 1, &listed),
    ];
    let (own, input) = (format!("OWN={WORD}"), cluster.dir().join("input"));
    fs::write(&input, WORD).expect("written");
    let given = ["--require", "listed=no", "--env", &own, "--stdin", &input.display().to_string()];
    let submit = |command: &[&str]| {
        cluster.cli(&[&["submit"][..], &given, &["--retries", "1", "--retry-backoff", "10ms", "--"], command].concat()).success().lines()[0]
            .to_owned()
    };
    for (command, outcome) in
        [(&["sh", "-c", "cat; env", WORD][..], "succeeded"), (&["sh", "-c", "cat >&2; exit 3", WORD], "failed"), (&[WORD], "failed")]
    {
        let status = cluster.status_of(&submit(command));
        assert!(status.contains(WORD) && status.contains(outcome), "it is where it belongs: {status}");
    }
    let refused = cluster.cli(&["submit", "--require", "listed=yes", "--", "say", WORD]).success().lines()[0].to_owned();
    assert!(cluster.status_of(&refused).contains("not-allowed"));
    let plain = cluster.status_of(&cluster.put(&format!("echo {WORD}")));
    assert!(["done", "failed rejected: not-allowed"].contains(&plain.as_str()), "{plain}");
    assert_eq!(cluster.status_of(&cluster.put(&json!([WORD, 5]).to_string())), "failed rejected: not-argv");
    for service in &services {
        for page in ["/metrics", "/health/ready", "/health/live", "/v1/tasks"] {
            assert!(!service.get(page).expect("a page").1.contains(WORD), "{page} of {}", service.name());
        }
        assert_eq!(service.terminate(SOON), 0);
        let (name, log) = (service.name(), service.log());
        assert!(!log.contains(WORD), "{name}: {:?}", log.lines().find(|line| line.contains(WORD)));
    }
}

/// Rights to a bucket are in the worker's environment: no task sees them that has a clean one, and nothing tells of them.
#[test]
fn the_credentials_of_a_store_are_handed_to_no_task_and_told_nowhere() {
    let variables = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].into_iter();
    let builder = variables.fold(Cluster::builder().variable("RUST_LOG", "trace"), |builder, name| builder.variable(name, CANARY));
    let cluster = builder.setting("log.level", "\"trace\"").start();
    let store = format!("\"file://{}\"", cluster.dir().join("store").display());
    let _coordinator = cluster.coordinator("c1");
    let worker = cluster.worker_with("w1", 1, &[("worker.environment", "\"clean\""), ("worker.output_store", &store)]);
    let task = cluster.cli(&["submit", "--wait", "--shell", "--", "env"]).success().lines()[0].to_owned();
    let said = cluster.cli(&["logs", &task]).success().stdout;
    assert!(said.contains("PATH=") && !said.contains("AWS_"), "{said}");
    let mut seen = vec![said, cluster.cli(&["-o", "json", "result", &task]).success().stdout];
    seen.push(cluster.cli(&["config", "show", "--origin"]).success().stdout);
    seen.extend(["/metrics", "/health/ready", "/v1/tasks"].map(|page| worker.get(page).expect("a page").1));
    let cmdline = fs::read(format!("/proc/{}/cmdline", worker.pid())).expect("our own process");
    seen.push(String::from_utf8_lossy(&cmdline).into_owned());
    assert_eq!(worker.terminate(SOON), 0);
    seen.push(worker.log());
    assert!(seen.iter().all(|text| !text.contains(CANARY)), "a secret is seen");
    for directory in [cluster.zookeeper().data_dirs(), vec![cluster.dir().join("store")]] {
        let written = files_below(&directory);
        assert!(!written.is_empty() && !written.iter().any(|bytes| contains(bytes, CANARY.as_bytes())), "a secret is in {directory:?}");
    }
    // Nor is there another place for them.
    let address = ("worker.output_store", "\"s3://key:hunter2@bucket/outputs\"");
    let refused = cluster.worker_with("w2", 1, &[address]);
    assert_eq!(refused.exit_code(SOON), 78, "{}", refused.log());
    assert!(refused.log().contains("must not hold credentials") && !refused.log().contains("hunter2"), "{}", refused.log());
}

fn files_below(directories: &[PathBuf]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for directory in directories {
        for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => found.extend(files_below(&[path])),
                false => found.extend(fs::read(path)),
            }
        }
    }
    found
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
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
