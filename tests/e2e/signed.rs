//! Signed tasks: a worker that asks for signatures runs what a trusted key has signed, and nothing else, whoever can write to ZooKeeper.

use std::path::PathBuf;

use bellwether_tests::history::Promise;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Builder, Cluster, Process, eventually};
use serde_json::{Value, json};

/// A cluster with one key that its worker trusts, and one that nobody does.
struct World {
    cluster: Cluster,
    key: String,
    other: String,
    public: String,
    _coordinator: Process,
    worker: Process,
}

impl World {
    fn new(builder: Builder) -> Self {
        let cluster = builder.start();
        let file = |name: &str| cluster.dir().join(name).display().to_string();
        let (key, other) = (file("key"), file("other"));
        let public = cluster.cli(&["key", "new", &key, "--comment", "ann"]).success().lines()[0].to_owned();
        let _ = cluster.cli(&["key", "new", &other]).success();
        let coordinator = cluster.coordinator("c1");
        let worker =
            cluster.worker_with("w1", 2, &[("worker.require_signature", "true"), ("worker.trusted_keys", &format!("[{public:?}]"))]);
        Self { cluster, key, other, public, _coordinator: coordinator, worker }
    }

    fn submit(&self, options: &[&str], command: &[&str]) -> String {
        let line = [&["submit"][..], options, &["--"], command].concat();
        self.cluster.cli(&line).success().lines()[0].to_owned()
    }

    /// How a task ended: `succeeded`, or the reason.
    fn end_of(&self, task: &str) -> String {
        let status = self.cluster.status_of(task);
        let Ok(result) = serde_json::from_str::<Value>(&status) else { return status };
        match result["outcome"].as_str() {
            Some("rejected") => format!("rejected: {}", result["reason"].as_str().unwrap_or_default()),
            outcome => outcome.unwrap_or_default().to_owned(),
        }
    }

    /// A file into which tasks write that they ran.
    fn ledger(&self, name: &str) -> PathBuf {
        self.cluster.dir().join(name)
    }
}

fn lines(file: &PathBuf) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

#[test]
fn only_what_a_trusted_key_has_signed_is_run() {
    let world = World::new(Cluster::builder());
    let ran = world.ledger("ran");
    let line = format!("echo $BELLWETHER_TASK >> {}", ran.display());
    let signed = world.submit(&["--sign-key", &world.key, "--shell"], &[&line]);
    assert_eq!(world.end_of(&signed), "succeeded");
    let refused = [
        (world.submit(&["--shell"], &[&line]), "rejected: unsigned: "),
        (world.submit(&["--sign-key", &world.other, "--shell"], &[&line]), "rejected: unknown-key: "),
        (world.cluster.put(&line), "failed rejected: unsigned"),
    ];
    for (task, word) in &refused {
        assert!(world.end_of(task).starts_with(word), "{task}: {}", world.end_of(task));
    }
    assert_eq!(lines(&ran), 1, "only the signed one ran");
    // The same key, a second later than allowed.
    let held = ["--sign-key", &world.key, "--set", "client.sign_for=1s", "--delay", "2500ms", "--shell"];
    let late = world.submit(&held, &[&line]);
    assert!(world.end_of(&late).starts_with("rejected: expired: "), "{}", world.end_of(&late));
    let again = world.cluster.cli(&["retry", &late, "--sign-key", &world.key]).success().lines()[0].to_owned();
    assert_eq!(world.end_of(&again), "succeeded", "signed anew under its new name");
    assert_eq!(lines(&ran), 2);
    assert!(world.worker.log().contains("a task was not run"), "the worker says so");
    assert!(world.cluster.cli(&["key", "show", &world.key]).success().stdout.starts_with(&world.public));
}

#[test]
fn what_is_altered_renamed_or_replayed_by_a_writer_of_zookeeper_is_not_run() {
    // The test writes into boxes as nobody may.
    let world = World::new(Cluster::builder().unaudited(&[Promise::P1, Promise::P2, Promise::P3, Promise::P4, Promise::P5, Promise::P7]));
    let (cluster, ran) = (&world.cluster, world.ledger("ran"));
    let line = format!("echo ran >> {}", ran.display());
    // Held for long, so that its payload can be read and used.
    let task = world.submit(&["--sign-key", &world.key, "--delay", "1h", "--shell"], &[&line]);
    let payload = cluster.tree().text(&format!("/bellwether/held/{task}")).expect("held");
    let me = cluster.registered("w1");
    let assign = |name: &str, payload: &str| {
        cluster.tree().create(&format!("/assign/{me}/{name}"), payload);
        world.end_of(name)
    };
    let altered = payload.replace("echo ran", "echo bad");
    assert_ne!(altered, payload);
    assert!(assign("another-name", &payload).starts_with("rejected: bad-signature"));
    assert!(assign("altered", &altered).starts_with("rejected: bad-signature"));
    // Whoever can write may put the task forward: when is not signed.
    assert_eq!(assign(&task, &payload), "succeeded");
    assert_eq!(lines(&ran), 1);
    // Without its status it could be assigned once more; this worker has started it before, also after a restart.
    let forget = || cluster.tree().delete(&format!("/status/{task}"));
    forget();
    assert!(assign(&task, &payload).starts_with("rejected: replayed"));
    assert_eq!(world.worker.terminate(SOON), 0);
    let trusted = format!("[{:?}]", world.public);
    let worker = cluster.worker_with("w1", 2, &[("worker.require_signature", "true"), ("worker.trusted_keys", &trusted)]);
    let me = eventually(SOON, "the next incarnation", || cluster.tree().children("/workers").first().filter(|id| **id != me).cloned());
    forget();
    cluster.tree().create(&format!("/assign/{me}/{task}"), payload.as_str());
    assert!(world.end_of(&task).starts_with("rejected: replayed"));
    forget();
    let raised = payload.replacen('{', "{\"failures\":7,", 1);
    cluster.tree().create(&format!("/assign/{me}/{task}"), raised.as_str());
    assert!(world.end_of(&task).starts_with("rejected: replayed"), "more attempts than were signed");
    assert_eq!(lines(&ran), 1, "it ran once");
    drop(worker);
}

#[test]
fn arrays_are_run_as_they_were_signed_with_their_lines_and_each_element_once() {
    let world = World::new(Cluster::builder().unaudited(&[Promise::P1, Promise::P2, Promise::P3, Promise::P4, Promise::P5, Promise::P7]));
    let (cluster, ran) = (&world.cluster, world.ledger("ran"));
    let tally = |array: &str, how: &str| {
        let result: Value = serde_json::from_str(&cluster.status_of(array)).expect("a JSON result");
        result["array"][how].as_u64().unwrap_or_default()
    };
    let signed = ["--sign-key", &world.key];
    // Only the first attempts are quick.
    let line = format!("echo $BELLWETHER_TASK >> {}; test $BELLWETHER_ATTEMPT = 1 || sleep 0.8", ran.display());
    let counted = world.submit(&[&signed[..], &["--retries", "1", "--count", "20", "--shell"]].concat(), &[&line]);
    assert_eq!((tally(&counted, "succeeded"), lines(&ran)), (20, 20));
    let unsigned = world.submit(&["--count", "3", "--shell"], &[&line]);
    assert_eq!((tally(&unsigned, "rejected"), lines(&ran)), (3, 20));

    // Lines, as they were signed and then as somebody else would have them.
    let file = cluster.dir().join("lines");
    std::fs::write(&file, "a\nb\nc\n").expect("written");
    let lined = |pause: bool| {
        let command = format!("echo $BELLWETHER_LINE >> {}", ran.display());
        let options = [&signed[..], &["--each-line", file.to_str().expect("text"), "--shell"]].concat();
        let master = |order: &str| drop(cluster.cli(&["master", order]).success());
        if pause {
            master("pause");
        }
        let array = world.submit(&options, &[&command]);
        if pause {
            let chunk = format!("/bellwether/arrays/{array}/lines/0");
            assert_eq!(cluster.tree().text(&chunk).as_deref(), Some(r#"["a","b","c"]"#));
            cluster.tree().set(&chunk, r#"["a","evil","c"]"#);
            master("resume");
        }
        array
    };
    assert_eq!((tally(&lined(false), "succeeded"), lines(&ran)), (3, 23));
    assert_eq!((tally(&lined(true), "rejected"), lines(&ran)), (3, 23));

    // Whoever can write gives the elements out once more: those that ran, and others than were signed.
    let node = format!("/bellwether/arrays/{counted}");
    let czxid = cluster.tree().stat(&node).expect("it is kept for a while").czxid;
    let again = |(number, from, to, failures): (u32, u32, u32, u32)| {
        let piece = format!("{from}-{to}.{number}");
        let order = json!({"array": counted, "czxid": czxid, "from": from, "to": to, "number": number, "failures": failures});
        let me = cluster.registered("w1");
        cluster.tree().create(&format!("/assign/{me}/{counted}.{piece}"), json!({"bellwether": 1, "piece": order}).to_string());
        let record = eventually(SOON, "its record", || cluster.tree().text(&format!("{node}/{piece}")));
        serde_json::from_str::<Value>(&record).expect("JSON")["runs"].clone()
    };
    for (number, from, to, failures) in [(91, 0, 19, 0), (92, 7, 7, 0), (93, 18, 25, 1), (94, 0, 4, 7)] {
        assert_eq!(again((number, from, to, failures)), json!([["rejected", to - from + 1]]), "{from}-{to}");
    }
    assert_eq!(lines(&ran), 23, "none of it ran");
    // As many attempts as were signed; what was cut off, because a piece took long, was not started, and may be.
    assert_eq!(again((95, 0, 3, 1)), json!([[0, 3]]));
    assert_eq!(again((96, 2, 3, 1)), json!([["rejected", 2]]));
    assert_eq!(again((97, 3, 3, 1)), json!([[0, 1]]));
    assert_eq!(lines(&ran), 27);
}

#[test]
fn a_signed_schedule_vouches_for_its_tasks() {
    let world = World::new(Cluster::builder());
    let ran = world.ledger("ran");
    let line = format!("echo $BELLWETHER_TASK >> {}", ran.display());
    let _ = world.cluster.cli(&["submit", "--every", "1s", "--name", "tick", "--sign-key", &world.key, "--shell", "--", &line]).success();
    eventually(SOON, "two ticks", || (lines(&ran) >= 2).then_some(()));
}

#[test]
fn a_key_is_revoked_without_a_restart() {
    let world = World::new(Cluster::builder());
    let signed = |key: &str| world.submit(&["--sign-key", key], &["true"]);
    let runs = world.submit(&["--sign-key", &world.key], &["sleep", "300"]);
    let _ = world.cluster.assignee(&runs);
    assert!(world.end_of(&signed(&world.other)).starts_with("rejected: unknown-key: "));
    let other = world.cluster.cli(&["key", "show", &world.other]).success().lines()[0].to_owned();
    let file = world.worker.log_path().with_extension("toml");
    let text = std::fs::read_to_string(&file).expect("its file");
    assert!(text.contains(&world.public), "{text}");
    std::fs::write(&file, text.replace(&world.public, &other)).expect("its file");
    world.worker.signal(nix::sys::signal::Signal::SIGHUP);
    eventually(SOON, "it says so", || world.worker.log().contains("other keys are trusted from now on"));
    assert!(world.end_of(&signed(&world.key)).starts_with("rejected: unknown-key: "), "revoked");
    assert_eq!(world.end_of(&signed(&world.other)), "succeeded");
    // What it had started goes on until somebody stops it.
    assert!(world.cluster.cli(&["status", &runs]).success().stdout.contains("assigned"));
    drop(world.cluster.cli(&["cancel", &runs]).success());
    assert_eq!(world.end_of(&runs), "cancelled");
}

#[test]
fn a_worker_without_keys_or_with_bad_ones_does_not_start() {
    let cluster = Cluster::new();
    let none = cluster.worker_with("w1", 1, &[("worker.require_signature", "true")]);
    assert_eq!(none.exit_code(SOON), 78);
    assert!(none.log().contains("name the keys of those who submit as worker.trusted_keys"), "{}", none.log());
    let bad = cluster.worker_with("w2", 1, &[("worker.require_signature", "true"), ("worker.trusted_keys", "[\"ed25519 12\"]")]);
    assert_eq!(bad.exit_code(SOON), 78);
    assert!(bad.log().contains("worker.trusted_keys"), "{}", bad.log());
}

#[test]
fn a_key_that_others_can_read_signs_nothing_and_none_is_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::new();
    let file = cluster.dir().join("key");
    let path = file.display().to_string();
    let _ = cluster.cli(&["key", "new", &path]).success();
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).expect("read");
    let again = cluster.cli(&["key", "new", &path]);
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert!(again.stderr.contains("never overwritten"), "{}", again.stderr);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    for command in [&["key", "show", &path][..], &["submit", "--sign-key", &path, "--", "true"]] {
        let refused = cluster.cli(command);
        assert_ne!(refused.code, 0);
        assert!(refused.stderr.contains("mode 644"), "{}", refused.stderr);
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let public = cluster.cli(&["key", "show", &path]).success();
    assert!(!public.stdout.contains(secret.split(' ').nth(1).expect("digits")), "the secret is not shown");
    std::fs::write(&file, public.stdout).expect("written");
    let refused = cluster.cli(&["submit", "--sign-key", &path, "--", "true"]);
    assert!(refused.code == 78 && refused.stderr.contains("it is no secret key"), "{}", refused.stderr);
}
