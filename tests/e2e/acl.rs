//! A secured cluster: what the table of rights forbids is forbidden, what a role needs is allowed, and who is nobody is told so.

use std::time::{Duration, Instant};

use bellwether_core::protocol::acl::{self, Rights, Role};
use bellwether_tests::history::Promise;
use bellwether_tests::secured::{CANARY, Deed, Hands, Secured};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};

fn ready(service: &Process) -> bool {
    service.get("/health/ready").is_ok_and(|(code, _)| code == 200)
}

/// A node of each row, under the name `x` where any name will do.
fn sample(row: &acl::Row) -> Option<String> {
    (row.pattern != "…").then(|| row.pattern.replace('*', "x"))
}

/// A tree with a node of each row, made by the admin.
fn furnished() -> Secured {
    use Promise::{AssignedToTheLiving, OnePlace, OneStatus, OnlyTheMasterWrites, PayloadKept};
    // What is in it was done by nobody's rules.
    let lawless = [OnlyTheMasterWrites, OnePlace, OneStatus, AssignedToTheLiving, PayloadKept];
    let secured = Secured::start(Cluster::builder().unaudited(&lawless));
    drop(secured.cli_as(Role::Admin, &["acl", "apply"]).success());
    let admin = secured.session(Some(Role::Admin));
    for path in acl::TABLE.iter().filter_map(sample) {
        let (parent, name) = path.rsplit_once('/').expect("absolute");
        let parent = if parent.is_empty() { "/" } else { parent };
        if !name.is_empty() && !admin.children(parent).iter().any(|child| child == name) {
            assert!(admin.may(&Deed::Create(path)));
        }
    }
    let differing = secured.cli_as(Role::Admin, &["-o", "name", "acl", "check"]).code(1);
    assert!(differing.lines().contains(&"/assign/x/x") && !differing.lines().contains(&"/assign"), "{differing:?}");
    drop(secured.cli_as(Role::Admin, &["acl", "apply"]).success());
    drop(secured.cli_as(Role::Admin, &["acl", "check"]).success());
    secured
}

/// Tries each right of one session on one node, and compares with what it should have.
fn try_all(path: &str, hands: &Hands, admin: &Hands, expected: Rights, who: &str) {
    let child = |name: &str| format!("{}/{name}-{who}", path.trim_end_matches('/'));
    let (created, doomed) = (child("created"), child("doomed"));
    assert!(admin.may(&Deed::Create(doomed.clone())));
    for (right, deed) in [
        (Rights::READ, Deed::Get(path.to_owned())),
        (Rights::WRITE, Deed::Set(path.to_owned())),
        (Rights::CREATE, Deed::Create(created.clone())),
        (Rights::DELETE, Deed::Delete(doomed.clone())),
        (Rights::ADMIN, Deed::Grant(path.to_owned())),
    ] {
        assert_eq!(hands.may(&deed), expected.has(right), "{who}: {deed:?}");
    }
    for (path, there) in [(created, expected.has(Rights::CREATE)), (doomed, !expected.has(Rights::DELETE))] {
        assert!(!there || admin.may(&Deed::Delete(path)));
    }
}

#[test]
fn what_the_table_forbids_zookeeper_refuses_and_what_it_allows_is_allowed() {
    let secured = furnished();
    let admin = secured.session(Some(Role::Admin));
    for role in [Some(Role::Coordinator), Some(Role::Worker), Some(Role::Client), None] {
        let hands = secured.session(role);
        let who = role.map_or("nobody", Role::as_str);
        for row in acl::TABLE {
            let Some(path) = sample(row) else { continue };
            try_all(&path, &hands, &admin, role.map_or(Rights::NONE, |role| row.of(role)), who);
        }
    }
    attacks(&secured);
    one_wrong_node(&secured, &admin);
}

/// Who does what to which node.
type Attack = (Role, fn(String) -> Deed, &'static str);

/// What must never be possible, whatever the table says: each would hand over the cluster or a part of it.
fn attacks(secured: &Secured) {
    let (set, create, delete, grant) = (Deed::Set as fn(String) -> Deed, Deed::Create as _, Deed::Delete as _, Deed::Grant as _);
    let forbidden: [Attack; 28] = [
        (Role::Client, create, "/assign/x/evil"),
        (Role::Client, create, "/assign/evil"),
        (Role::Client, create, "/workers/evil"),
        (Role::Client, create, "/status/evil"),
        (Role::Client, create, "/master-evil"),
        (Role::Client, create, "/bellwether/paused-evil"),
        (Role::Client, create, "/bellwether/workers/evil"),
        (Role::Client, delete, "/tasks/x"),
        (Role::Client, delete, "/master"),
        (Role::Client, delete, "/workers/x"),
        (Role::Client, delete, "/assign/x/x"),
        (Role::Client, delete, "/bellwether/epoch"),
        (Role::Client, delete, "/bellwether/keys/x"),
        (Role::Client, delete, "/bellwether/held/x"),
        (Role::Client, set, "/tasks/x"),
        (Role::Client, set, "/status/x"),
        (Role::Client, set, "/bellwether/epoch"),
        (Role::Client, set, "/bellwether/version"),
        (Role::Client, grant, "/tasks"),
        (Role::Worker, create, "/master-evil"),
        (Role::Worker, create, "/assign/x/evil"),
        (Role::Worker, delete, "/master"),
        (Role::Worker, delete, "/workers/x"),
        (Role::Worker, delete, "/tasks/x"),
        (Role::Worker, delete, "/status/x"),
        (Role::Worker, set, "/bellwether/epoch"),
        (Role::Coordinator, set, "/tasks/x"),
        (Role::Coordinator, create, "/workers/evil"),
    ];
    for (role, deed, path) in forbidden {
        let deed = deed(path.to_owned());
        assert!(!secured.session(Some(role)).may(&deed), "{role:?}: {deed:?}");
    }
}

fn one_wrong_node(secured: &Secured, admin: &Hands) {
    admin.open("/tasks/x");
    let found = secured.cli_as(Role::Admin, &["-o", "json", "acl", "check"]).code(1).json();
    let differences = found["differences"].as_array().expect("a list");
    assert_eq!(differences.len(), 1, "{found}");
    let found = &differences[0];
    assert_eq!((found["path"].as_str(), found["open"].as_bool()), (Some("/tasks/x"), Some(true)), "{found}");
    assert_eq!(found["found"], serde_json::json!(["world:anyone=rwcda"]));
    assert!(found["wanted"].to_string().contains("digest:client=r\""), "{found}");
    // Who is not the admin sees it, too, but may not mend it.
    let told = secured.cli_as(Role::Client, &["acl", "check"]).code(1);
    assert!(told.stdout.contains("/tasks/x") && told.stderr.contains("ask as the admin"), "{told:?}");
    let refused = secured.cli_as(Role::Client, &["acl", "apply"]).code(125);
    assert!(refused.stderr.contains("digest:admin"), "{refused:?}");
    drop(secured.cli_as(Role::Admin, &["acl", "apply", "--dry-run"]).success());
    assert_eq!(secured.cli_as(Role::Admin, &["-o", "name", "acl", "apply"]).success().lines(), ["/tasks/x"]);
    drop(secured.cli_as(Role::Admin, &["acl", "check"]).success());
}

#[test]
fn a_secured_cluster_does_all_that_an_open_one_does() {
    let builder = Cluster::builder().setting("coordinator.status_max", "3");
    let builder =
        builder.setting("coordinator.rate", "{ \"team=red\" = \"100/s\" }").setting("coordinator.quota", "{ \"team=green\" = 1 }");
    let secured = Secured::start(builder);
    // First the worker: it waits for the layout, which it may not create.
    let workers = [secured.worker("w1", 2), secured.worker("w2", 2)];
    eventually(SOON, "it says what it waits for", || workers[0].log().contains("a coordinator creates it"));
    let mut masters = vec![secured.coordinator("c1"), secured.coordinator("c2")];
    for service in masters.iter().chain(&workers) {
        eventually(SOON, "it is ready", || ready(service));
    }
    let client = |args: &[&str]| secured.cli_as(Role::Client, args);
    drop(client(&["run", "--", "true"]).success());
    drop(client(&["run", "--retries", "1", "--retry-backoff", "100ms..100ms", "--", "false"]).code(1));
    drop(client(&["run", "--delay", "1s", "--", "true"]).success());
    drop(client(&["run", "--key", "k", "--", "true"]).success());
    drop(client(&["dead", "retry", "all"]).success());
    let parent = client(&["submit", "--", "true"]).success().stdout;
    drop(client(&["submit", "--wait", "--after", parent.trim(), "--", "true"]).success());
    let lines = secured.write("tasks.jsonl", "{\"argv\":[\"true\"]}\n{\"argv\":[\"true\"]}\n");
    drop(client(&["submit", "-f", &lines.display().to_string(), "--wait"]).success());
    let schedule = client(&["submit", "--every", "1s", "--name", "tick", "--", "true"]).success().stdout;
    eventually(SOON, "a tick has run", || client(&["list"]).success().stdout.contains("tick-"));
    drop(client(&["schedule", "pause", schedule.trim()]).success());
    drop(client(&["schedule", "delete", schedule.trim()]).success());
    commands(&secured);
    let long = client(&["submit", "--", "sleep", "100"]).success().stdout;
    eventually(SOON, "it is assigned", || client(&["status", long.trim()]).success().stdout.contains("assigned"));
    // A master is gone, and then a worker with what it ran.
    let ruler = client(&["-o", "json", "master", "status"]).success().json()["master"]["name"].as_str().expect("a name").to_owned();
    masters.iter().filter(|master| master.name() == ruler).for_each(Process::kill9);
    masters.retain(|master| master.name() != ruler);
    drop(client(&["run", "--", "true"]).success());
    let at = eventually(SOON, "where it runs", || {
        let status = client(&["-o", "json", "status", long.trim()]).success().json();
        status["worker"].as_str().map(|worker| worker[..2].to_owned())
    });
    workers.iter().filter(|worker| worker.name() == at).for_each(Process::kill9);
    let other = if at == "w1" { "w2" } else { "w1" };
    eventually(SOON, "another one has it", || {
        client(&["-o", "json", "status", long.trim()]).success().json()["worker"].as_str().is_some_and(|worker| worker.starts_with(other))
    });
    drop(client(&["cancel", long.trim()]).success());
    drop(client(&["wait", long.trim()]).code(126));
    drop(client(&["forget", long.trim()]).success());
    operators(&secured, other);
    eventually(SOON, "the oldest results have gone", || secured.session(Some(Role::Client)).children("/status").len() <= 3);
    drop(secured.cli_as(Role::Admin, &["acl", "check"]).success());
    for service in masters.iter().chain(workers.iter().filter(|worker| worker.name() == other)) {
        assert_eq!(service.terminate(SOON), 0, "{}", service.log());
    }
    for service in masters.iter().chain(&workers) {
        let log = service.log();
        assert!(!log.contains(CANARY) && !log.contains("NoAuth") && !log.contains("no right"), "{log}");
    }
}

/// The rest of the commands, each as who is to type it.
fn commands(secured: &Secured) {
    let as_role = |role: Role, args: &[&str]| secured.cli_as(role, args);
    let client = |args: &[&str]| as_role(Role::Client, args);
    let done = client(&["submit", "--wait", "--label", "team=blue", "--", "true"]).success().lines()[0].to_owned();
    for args in [
        &["explain", &done][..],
        &["history", &done],
        &["result", &done],
        &["list", "-l", "team=blue"],
        &["worker", "list"],
        &["master", "history"],
        &["dead", "list"],
        &["schedule", "list"],
    ] {
        drop(client(args).success());
    }
    // A group of which some fail, and dead letters of it.
    let lines = secured.write("more.jsonl", "{\"argv\":[\"false\"]}\n{\"argv\":[\"sleep\",\"300\"]}\n");
    let group = client(&["submit", "-f", &lines.display().to_string()]).success().lines()[0].to_owned();
    drop(client(&["cancel", &group]).success());
    drop(client(&["wait", &group]));
    drop(client(&["submit", "--wait", "--retries", "1", "--retry-backoff", "0s..0s", "--", "false"]));
    drop(client(&["dead", "purge", "all"]).success());
    // Rates and quotas are the master's to write: the second of a label waits for its turn.
    drop(client(&["run", "--label", "team=red", "--", "true"]).success());
    eventually(SOON, "how far the rate is spent", || {
        secured.session(Some(Role::Client)).children("/bellwether").contains(&"rates".to_owned())
    });
    let blue = |args: &[&str]| client(&[&["submit", "--label", "team=green", "--delay", "1h"], args].concat());
    let first = blue(&["--", "true"]).success().lines()[0].to_owned();
    eventually(SOON, "the quota is used up", || {
        secured.session(Some(Role::Client)).children("/bellwether").contains(&"admission".to_owned())
    });
    let refused = blue(&["--", "true"]).code(125);
    assert!(refused.stderr.contains("its quota is 1"), "{refused:?}");
    drop(client(&["cancel", &first]).success());
    // Measuring writes where only the admin may; asking the master to go is his, too.
    for args in [&["bench", "store", "--rounds", "1", "--count", "4", "--yes"][..], &["master", "step-down"]] {
        assert_ne!(client(args).code, 0, "{args:?}");
        drop(as_role(Role::Admin, args).success());
    }
    drop(as_role(Role::Admin, &["run", "--", "true"]).success());
}

/// What only the admin may.
fn operators(secured: &Secured, worker: &str) {
    for args in [&["worker", "drain", worker][..], &["master", "pause"]] {
        let refused = secured.cli_as(Role::Client, args).code(125);
        assert!(refused.stderr.contains("no right"), "{refused:?}");
    }
    drop(secured.cli_as(Role::Admin, &["worker", "drain", worker]).success());
    let drained = || secured.cli_as(Role::Client, &["worker", "list"]).success().stdout.contains("drain");
    eventually(SOON, "it drains", drained);
    drop(secured.cli_as(Role::Admin, &["worker", "undrain", worker]).success());
    drop(secured.cli_as(Role::Admin, &["master", "pause"]).success());
    drop(secured.cli_as(Role::Admin, &["master", "resume"]).success());
    drop(secured.cli_as(Role::Client, &["run", "--", "true"]).success());
}

#[test]
fn who_comes_before_the_layout_is_told_who_makes_it_and_makes_no_part_of_it() {
    let secured = Secured::start(Cluster::builder());
    let client = |args: &[&str]| secured.cli_as(Role::Client, args);
    let lines = secured.write("lines", "a\nb\n").display().to_string();
    for args in [
        &["run", "--", "true"][..],
        &["submit", "--key", "k", "--", "true"],
        &["submit", "--each-line", &lines, "--", "true"],
        &["submit", "--every", "1h", "--name", "tick", "--", "true"],
    ] {
        let refused = client(args).code(125);
        let told = "bellwether: not-laid-out: no coordinator has laid out this cluster yet: /";
        assert!(refused.stderr.contains(told) && refused.stderr.contains("acl apply"), "{args:?}: {refused:?}");
        assert!(!refused.stderr.contains("no right"), "{args:?}: {refused:?}");
    }
    assert_eq!(secured.session(Some(Role::Client)).children("/"), Vec::<String>::new());
    let doctor = client(&["-o", "json", "doctor"]).code(1).stdout;
    assert!(doctor.contains("nodes of the layout are missing") && doctor.contains("the admin may (bellwether acl apply)"), "{doctor}");
    let missing = secured.cli_as(Role::Admin, &["acl", "apply", "--dry-run"]).success().stderr;
    assert!(missing.contains("nodes of the layout are not there yet"), "{missing}");
    let applied = secured.cli_as(Role::Admin, &["acl", "apply"]).success().stderr;
    assert!(applied.contains("of them created"), "{applied}");
    drop(client(&["submit", "--", "true"]).success());
}

#[test]
fn a_service_does_not_start_where_everybody_may_change_a_node() {
    let secured = Secured::start(Cluster::builder());
    drop(secured.cli_as(Role::Admin, &["acl", "apply"]).success());
    let (admin, client) = (secured.session(Some(Role::Admin)), secured.session(Some(Role::Client)));
    // A task that somebody put there who knows the client's password and nothing of the table.
    assert!(client.may(&Deed::Create("/tasks/open".to_owned())));
    for mended in [false, true] {
        if mended {
            admin.open("/bellwether/held");
        }
        let named = if mended { "/bellwether/held" } else { "/tasks/open" };
        for service in [secured.coordinator("c1"), secured.worker("w1", 1)] {
            assert_eq!(service.exit_code(SOON), 77, "{}", service.log());
            let log = service.log();
            assert!(log.contains(&format!("{}{named}", secured.cluster.root())) && log.contains("acl apply"), "{log}");
        }
        drop(secured.cli_as(Role::Admin, &["acl", "apply"]).success());
    }
    let coordinator = secured.coordinator("c2");
    eventually(SOON, "it is ready", || ready(&coordinator));
}

#[test]
fn a_wrong_password_is_named_and_not_shown() {
    let secured = Secured::start(Cluster::builder());
    let coordinator = secured.coordinator("c1");
    eventually(SOON, "it is ready", || ready(&coordinator));
    let wrong = secured.write("wrong", &format!("worker:{CANARY}-mistyped"));
    let other = secured.write("other", &format!("client:{CANARY}-client"));
    for (file, told) in [(&wrong, "wrong password"), (&other, "wrong identity")] {
        let begun = Instant::now();
        let worker = secured.worker_knowing("w1", 1, file);
        assert_eq!(worker.exit_code(SOON), 77, "{}", worker.log());
        assert!(begun.elapsed() < Duration::from_secs(10));
        let log = worker.log();
        assert!(log.contains(told) && log.contains("acl.worker") && !log.contains(CANARY), "{log}");
    }
    // One that fits the configuration and not the tree: somebody changed the password and did not apply it.
    let identity = secured.cli_as(Role::Client, &["acl", "id", &wrong.display().to_string()]).success().stdout;
    let settings =
        [("zookeeper.auth_file", format!("{:?}", wrong.display().to_string())), ("acl.worker", format!("{:?}", identity.trim()))];
    let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
    let worker = secured.cluster.worker_with("w2", 1, &settings);
    assert_eq!(worker.exit_code(SOON), 77, "{}", worker.log());
    let log = worker.log();
    assert!(log.contains("READ") && log.contains(secured.cluster.root()) && !log.contains(CANARY), "{log}");
    // And the command.
    std::fs::write(secured.cluster.dir().join("client-secret"), format!("client:{CANARY}-mistyped")).expect("written");
    let refused = secured.cli_as(Role::Client, &["status"]).code(125);
    assert!(refused.stderr.contains("wrong password") && !refused.stderr.contains(CANARY), "{refused:?}");
}
