//! Programs that embed a worker or a client: handlers that succeed, fail and misbehave, and the examples.
//!
//! The worker is `examples/rig.rs`; what it is asked, and what it answers, is read and written here as any ZooKeeper client would.

use std::fs;
use std::time::Duration;

use bellwether_core::protocol::acl::Role;
use bellwether_core::protocol::result::{TaskResult, decode_result};
use bellwether_tests::secured::Secured;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually, is};
use serde_json::{Value, json};

/// A cluster with a coordinator and an embedded worker.
struct World {
    cluster: Cluster,
    coordinator: Process,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::new();
        let coordinator = cluster.coordinator("c1");
        Self { cluster, coordinator }
    }

    fn rig(&self, name: &str, slots: u32) -> Process {
        self.rig_at(&self.cluster.connect_string(), name, slots)
    }

    fn rig_at(&self, connect: &str, name: &str, slots: u32) -> Process {
        self.rig_as("worker", connect, name, slots)
    }

    fn rig_as(&self, what: &str, connect: &str, name: &str, slots: u32) -> Process {
        let rig = self.cluster.example("rig", &[what, connect, name, &slots.to_string(), "6000"]);
        let _ = self.cluster.registered(name);
        rig
    }

    /// Submits a task for a handler; its name.
    fn put(&self, kind: &str, input: Value, more: Value) -> String {
        let mut envelope = json!({"bellwether": 1, "kind": kind, "input": input});
        envelope.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.cluster.put(&envelope.to_string())
    }

    fn result(&self, task: &str) -> TaskResult {
        decode_result(self.cluster.status_of(task).as_bytes()).expect("a result")
    }

    /// A directory for a handler's files.
    fn place(&self, name: &str) -> std::path::PathBuf {
        let place = self.cluster.dir().join(name);
        fs::create_dir(&place).expect("a directory");
        place
    }
}

fn whys(result: &TaskResult) -> Vec<&str> {
    result.attempts.iter().map(|attempt| attempt.why.as_str()).collect()
}

#[test]
fn handlers_return_fail_and_panic_and_their_worker_lives() {
    let world = World::new();
    let rig = world.rig("rig", 2);
    let more = json!({"retries": 2, "backoff_ms": 0, "backoff_max_ms": 0});
    let fail = |until: u32, how: &str| world.put("fail", json!({"until": until, "how": how}), more.clone());
    let (double, later, fatal, panics) = (world.put("double", json!(21), json!({})), fail(3, "error"), fail(3, "fatal"), fail(2, "panic"));
    let (hopeless, wrong) = (fail(9, "panic"), world.put("double", json!({"number": 21}), more.clone()));

    let double = world.result(&double);
    assert_eq!((double.value, double.exit), (Some(json!(42)), Some(0)));
    assert_eq!(double.stdout.map(|stdout| stdout.tail).as_deref(), Some("21 in attempt 1\n"));
    let later = world.result(&later);
    assert_eq!((later.value.clone(), whys(&later)), (Some(json!(3)), vec!["exit=1", "exit=1", "exit=0"]));
    let fatal = world.result(&fatal);
    assert_eq!((fatal.reason.as_deref(), whys(&fatal)), (Some("there is no such image"), vec!["exit=1"]));
    let panics = world.result(&panics);
    assert_eq!((panics.value.clone(), whys(&panics)), (Some(json!(2)), vec!["exit=101", "exit=0"]));
    let hopeless = world.result(&hopeless);
    assert_eq!((hopeless.reason.as_deref(), whys(&hopeless)), (Some("panicked: index out of bounds"), vec!["exit=101"; 3]));
    let wrong = world.result(&wrong);
    assert!(wrong.reason.as_deref().is_some_and(|why| why.contains("invalid type: map, expected u64")), "{wrong:?}");
    assert_eq!(whys(&wrong), ["exit=1"]);

    // The same process, with the same registration, goes on: counted by kind, seen by the layer.
    assert!(rig.is_running() && rig.log().contains("observed double true") && rig.log().contains("observed fail false"));
    let metrics = rig.metrics().expect("a scrape");
    assert_eq!(metrics.value("bellwether_tasks_completed_total", &[("kind", "double"), ("result", "succeeded")]), 1.0);
    for (reason, count) in [("error", 2.0), ("panic", 3.0), ("exit", 0.0)] {
        assert_eq!(metrics.value("bellwether_task_retries_total", &[("reason", reason)]), count, "{reason}");
    }
    assert_eq!(rig.terminate(SOON), 0);
}

#[test]
fn a_task_waits_for_a_worker_that_can_run_it_and_explain_says_so() {
    let world = World::new();
    let rig = world.rig("rig", 1);
    let command = world.cluster.put("true");
    let explained = |task: &str, words: &str| {
        eventually(SOON, words, || {
            let said = world.cluster.cli(&["explain", task]);
            if said.stdout.contains(words) { Ok(()) } else { Err(said.stdout) }
        });
    };
    explained(&command, "it runs no commands");
    let worker = world.cluster.worker("w", 1);
    assert_eq!(world.cluster.status_of(&command), "done");
    assert_eq!(rig.terminate(SOON), 0);
    let typed = world.put("double", json!(1), json!({}));
    explained(&typed, "it has no handler for tasks of kind double");
    // Every worker knows the kind that does nothing.
    let noop = world.put("noop", Value::Null, json!({}));
    assert_eq!(world.result(&noop).exit, Some(0));
    let _rig = world.rig("rig", 1);
    assert_eq!(world.result(&typed).value, Some(json!(2)));
    assert_eq!(worker.terminate(SOON), 0);
}

#[test]
fn an_embedded_worker_that_was_told_to_runs_commands_too_and_they_die_with_it() {
    let world = World::new();
    let rig = world.rig_as("shell", &world.cluster.connect_string(), "rig", 2);
    let place = world.cluster.dir().display().to_string();
    let command = world.cluster.cli(&["run", "--shell", "--", "echo $BELLWETHER_TASK; exit 3"]);
    assert_eq!((command.code, command.stdout.starts_with("task-")), (3, true), "{}", command.stderr);
    assert_eq!(world.result(&world.put("double", json!(4), json!({}))).value, Some(json!(8)));
    let line = format!("echo $$ > {place}/pid; exec sleep 300");
    let long = world.cluster.cli(&["submit", "--max-worker-losses", "1", "--shell", "--", &line]).success().lines()[0].to_owned();
    let pid =
        eventually(SOON, "it runs", || fs::read_to_string(format!("{place}/pid")).ok().and_then(|text| text.trim().parse::<i32>().ok()));
    rig.kill9();
    eventually(SOON, "its guardian kills what it ran", || !fs::exists(format!("/proc/{pid}")).unwrap_or(true));
    assert_eq!(world.result(&long).why(), "worker-lost");
}

#[test]
fn a_handler_hears_that_it_is_cancelled_and_that_its_worker_drains() {
    let world = World::new();
    let rig = world.rig("rig", 2);
    let place = world.place("first");
    let task = world.put("linger", json!({"place": place}), json!({}));
    eventually(SOON, "it started", || place.join("started").exists());
    let status = world.cluster.cli(&["status", &task]);
    assert!(status.stdout.contains("1 of 3: lingering"), "{}", status.stdout);
    assert_eq!(world.cluster.cli(&["cancel", &task]).code, 0);
    eventually(SOON, "it heard of it", || place.join("cancelled").exists());
    assert_eq!(world.result(&task).why(), "cancelled");

    let place = world.place("second");
    let task = world.put("linger", json!({"place": place}), json!({}));
    eventually(SOON, "it started", || place.join("started").exists());
    assert_eq!(rig.terminate(SOON), 0);
    assert!(place.join("cancelled").exists(), "it had the drain timeout, and was told then");
    eventually(SOON, "it was given back", || is(world.cluster.tree().exists(&format!("/tasks/{task}")), &true));
}

#[test]
fn a_handler_that_blocks_its_thread_harms_nobody_else_and_its_task_times_out() {
    let world = World::new();
    let rig = world.rig("rig", 2);
    let go = world.cluster.dir().join("go");
    let blocked = world.put("block", json!({"until": go}), json!({"timeout_ms": 300, "retries": 3}));
    let result = world.result(&blocked);
    assert_eq!((result.why().as_str(), result.attempt), ("timeout", 1));
    assert!(result.reason.as_deref().is_some_and(|why| why.contains("blocks its thread")), "{result:?}");
    // Its slot stays taken, the other one works, and the session lives.
    let in_use = |slots: f64| {
        eventually(SOON, "slots", || {
            is(rig.metrics().ok().and_then(|metrics| metrics.get("bellwether_worker_slots_in_use", &[])), &Some(slots))
        });
    };
    in_use(1.0);
    let double = world.put("double", json!(2), json!({}));
    assert_eq!(world.result(&double).value, Some(json!(4)));
    fs::write(&go, "").expect("written");
    in_use(0.0);
    assert_eq!(rig.terminate(SOON), 0);
}

#[test]
fn a_handler_hears_that_the_session_is_lost_and_one_that_does_not_ends_the_process() {
    let world = World::new();
    let proxy = world.cluster.proxy();
    let through = format!("{}{}", proxy.address(), world.cluster.root());
    let rig = world.rig_at(&through, "rig", 2);
    let place = world.place("lost");
    let task = world.put("linger", json!({"place": place}), json!({}));
    eventually(SOON, "it started", || place.join("started").exists());
    proxy.expire_session();
    eventually(SOON, "it heard of it", || place.join("cancelled").exists());
    eventually(SOON, "it is run again", || is(fs::read_to_string(place.join("started")).ok(), &Some("2".to_owned())));
    assert_eq!(world.cluster.cli(&["cancel", &task]).code, 0);
    assert_eq!(world.result(&task).why(), "cancelled");

    let blocked = world.put("block", json!({"until": "/no/such/file"}), json!({"max_worker_losses": 1}));
    let _ = world.cluster.assignee(&blocked);
    eventually(SOON, "it runs", || {
        is(rig.metrics().ok().and_then(|metrics| metrics.get("bellwether_worker_slots_in_use", &[])), &Some(1.0))
    });
    proxy.black_hole();
    assert_eq!(rig.exit_code(SOON), 70, "nothing else ends a thread");
    assert!(rig.log().contains("a handler holds its thread"), "{}", rig.log());
    assert_eq!(world.result(&blocked).why(), "worker-lost");
}

#[test]
fn typed_tasks_are_submitted_as_a_stream_and_awaited_across_a_failover() {
    let world = World::new();
    assert_eq!(world.cluster.ruler(), "c1");
    let _standby = world.cluster.coordinator("c2");
    let _rig = world.rig("rig", 4);
    let client = world.cluster.example("rig", &["client", &world.cluster.connect_string(), "600"]);
    eventually(SOON, "all are submitted", || client.log().contains("submitted 600"));
    world.coordinator.kill9();
    assert_eq!(client.exit_code(SOON * 4), 0, "{}", client.log());
    let said = client.log();
    assert!(said.contains("sum 359400\n") && said.contains("heard resumed"), "{said}");
}

#[test]
fn typed_tasks_are_one_array_and_their_outputs_come_back_with_their_numbers() {
    let world = World::new();
    let _rig = world.rig("rig", 4);
    let client = world.cluster.example("rig", &["array", &world.cluster.connect_string(), "500"]);
    assert_eq!(client.exit_code(SOON), 0, "{}", client.log());
    let said = client.log();
    for line in ["submitted 500", "sum 249500 of 500", "failed 2", "0: the disk is on fire", "1: there is no such image"] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
}

/// Runs an example as its reader would; what it printed.
fn run(world: &World, example: &str) -> Vec<String> {
    let process = world.cluster.example(example, &[]);
    assert_eq!(process.exit_code(SOON), 0, "{}", process.log());
    process.log().lines().map(str::to_owned).collect()
}

#[test]
fn the_examples_do_what_they_say() {
    let world = World::new();
    let expected = ["wide.ppm -> wide.small.ppm 64x16", "tall.ppm -> tall.small.ppm 64x213", "square.ppm -> square.small.ppm 64x64"];
    let thumbnails = run(&world, "thumbnailer");
    assert_eq!(thumbnails[..3], expected);
    assert!(thumbnails[3].starts_with("missing.ppm failed: No such file or directory"), "{thumbnails:?}");
    assert_eq!(run(&world, "crawler"), ["fetched 10 pages of 2 hosts, 2 missing; at most 1 request at a time to each"]);
    let nightly = ["scheduled at 30 2 * * * UTC: nightly-batch {\"parts\":3}", "report: 1000 1001 1002"];
    assert_eq!(run(&world, "nightly"), nightly);
    let progress = run(&world, "progress");
    assert_eq!(progress.last().map(String::as_str), Some("14 words"));
    assert!(progress.iter().any(|line| line.contains(" of 3 done, now ")), "{progress:?}");
}

#[test]
fn an_embedded_worker_whose_zookeeper_is_nowhere_says_so_within_its_time() {
    let cluster = Cluster::new();
    let rig = cluster.example("rig", &["worker", "not a connect string", "rig", "1", "6000"]);
    assert_eq!(rig.exit_code(Duration::from_secs(30)), 1);
    assert!(rig.log().contains("connect"), "{}", rig.log());
}

/// Told by files, as the services are: its password, its identities, and whose signatures it trusts.
#[test]
fn programs_work_in_a_secured_cluster_and_run_what_is_signed() {
    let secured = Secured::start(Cluster::builder());
    let cluster = &secured.cluster;
    let _coordinator = secured.coordinator("c1");
    let file = |name: &str| cluster.dir().join(name).display().to_string();
    let public = cluster.cli(&["key", "new", &file("key")]).success().lines()[0].to_owned();
    let connect = format!("[zookeeper]\nconnect = {:?}\n", cluster.connect_string());
    let worker = format!(
        "{connect}session_timeout = \"6s\"\n[worker]\nname = \"rig\"\nslots = 2\nrequire_signature = true\ntrusted_keys = [{public:?}]\noutput_dir = {:?}\n",
        file("kept")
    );
    fs::write(file("worker.toml"), worker).expect("written");
    fs::write(file("client.toml"), &connect).expect("written");
    fs::write(file("signing.toml"), format!("{connect}[client]\nsign_key = {:?}\n", file("key"))).expect("written");
    let rig = cluster.example("rig", &["configured", &file("worker-command.toml"), &file("worker.toml")]);
    eventually(SOON, "it has registered", || rig.log().contains(" registered ").then_some(()));
    let asks = |own: &str| {
        let asking = cluster.example("rig", &["ask", &file("client-command.toml"), &file(own)]);
        (asking.exit_code(SOON), asking.log())
    };
    assert_eq!(asks("signing.toml"), (0, "42\n".to_owned()));
    let (code, said) = asks("client.toml");
    assert!(code == 1 && said.contains("unsigned"), "{code}: {said}");
    let run = |options: &[&str]| secured.cli_as(Role::Client, &[&["run"][..], options, &["--", "echo", "here"]].concat());
    assert_eq!(run(&["--sign-key", &file("key")]).success().stdout, "here\n");
    assert!(run(&[]).code(125).stderr.contains("unsigned"));
}
