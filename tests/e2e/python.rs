//! The client in `examples/python/` speaks the protocol with a real cluster: what stands in `docs/protocol.md` is enough to write one.

use std::path::Path;
use std::process::{Command, Output};

use bellwether_core::protocol::acl::Role;
use bellwether_tests::proxy::{Fault, Operation, Rule};
use bellwether_tests::secured::{Secured, identity_of, secret_of};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually};

/// Runs the example against these servers. Debian's interpreter, because Debian's kazoo is for that one.
fn python(connect: &str, args: &[&str]) -> Output {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python/bellwether.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(example).args(["-z", connect]).args(args);
    command.output().expect("Debian's python3 runs; `make deps` installs it, with kazoo")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[test]
fn the_python_client_runs_waits_and_cancels() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 2);
    let incarnation = cluster.registered("w1");
    let connect = cluster.connect_string();

    let ran = python(&connect, &["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.status.code(), text(&ran.stdout), text(&ran.stderr)), (Some(7), "out".into(), "err".into()));

    let task = text(&python(&connect, &["submit", "--", "sleep", "600"]).stdout);
    eventually(SOON, &format!("{task} is assigned"), || cluster.assigned_to(&incarnation).contains(&task));
    let waits = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| python(&connect, &["wait", &task]).status.code());
        // It says so while it waits, and what for.
        eventually(SOON, "it says that it waits", || {
            let said = cluster.tree().children("/bellwether/waiters").into_iter().map(|node| format!("/bellwether/waiters/{node}"));
            said.filter_map(|node| cluster.tree().text(&node)).any(|said| said.contains(&task))
        });
        assert!(python(&connect, &["cancel", &task]).status.success());
        waiting.join().expect("it returns")
    });
    assert_eq!(waits, Some(126), "cancelled");
    eventually(SOON, "it waits no more", || cluster.tree().children("/bellwether/waiters").is_empty());

    // An array is somewhere else while it goes on.
    let array = cluster.cli(&["submit", "--count", "3", "--", "sh", "-c", "sleep 1"]).success().lines()[0].to_owned();
    eventually(SOON, "it is an array", || cluster.tree().exists(&format!("/bellwether/arrays/{array}/todo")));
    assert_eq!(python(&connect, &["wait", &array]).status.code(), Some(0));

    let nothing = python(&connect, &["wait", "no-such-task"]);
    assert_eq!((nothing.status.code(), text(&nothing.stderr)), (Some(125), "there is no task no-such-task".into()));
}

#[test]
fn the_python_client_submits_once_when_the_answer_is_lost() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _worker = cluster.worker("w1", 1);
    let _ = cluster.registered("w1");
    let proxy = cluster.proxy();
    let lost = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/bellwether/submitted/").then(Fault::LoseReply));
    let marker = cluster.dir().join("ran");
    let line = format!("echo ran >> {}", marker.display());
    let ran = python(&format!("{}{}", proxy.address(), cluster.root()), &["run", "--", "sh", "-c", &line]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    lost.strikes(1);
    assert_eq!(std::fs::read_to_string(marker).expect("it ran"), "ran\n", "it ran once");
}

#[test]
fn the_python_client_works_in_a_secured_cluster_and_leaves_nothing_open() {
    let secured = Secured::start(Cluster::builder());
    let (_coordinator, worker) = (secured.coordinator("c1"), secured.worker("w1", 1));
    eventually(SOON, "it has registered", || worker.log().contains(" registered ").then_some(()));
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python");
    let who = |role| identity_of(role).replacen("digest:", "", 1);
    let readers = [Role::Coordinator, Role::Worker, Role::Client].map(who);
    let program = format!(
        r#"
import sys
sys.path.insert(0, {:?})
from kazoo.security import ACL, Id, Permissions
from bellwether import Bellwether, output
readers = [ACL(Permissions.READ, Id("digest", who)) for who in {readers:?}]
admin = ACL(Permissions.ALL, Id("digest", {:?}))
with Bellwether({:?}, auth_data=[("digest", {:?})], default_acl=[*readers, admin]) as bellwether:
    task = bellwether.submit(["echo", "hello"])
    print(output(bellwether.wait(task), "stdout").decode().strip())
    waits = bellwether.submit(["true"], delay_ms=3600_000)
    bellwether.cancel(waits)
    print(bellwether.wait(waits)["outcome"])
    bellwether.submit(["true"], delay_ms=3600_000)
"#,
        place.display().to_string(),
        who(Role::Admin),
        secured.cluster.connect_string(),
        secret_of(Role::Client),
    );
    let ran = Command::new("/usr/bin/python3").args(["-B", "-c", &program]).output().expect("Debian's python3 runs");
    assert_eq!(text(&ran.stdout), "hello\ncancelled", "{}", text(&ran.stderr));
    drop(secured.cli_as(Role::Admin, &["acl", "check"]).success());
}
