//! `bellwether audit`: histories that break a promise, written by hand on a real server, one for each; and logs that say nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bellwether_core::invariant::Promise;
use bellwether_core::protocol::payload::decode;
use bellwether_core::protocol::{Multi, WorkerId, layout, path};
use bellwether_tests::{CliOutput, Cluster, Tree, Zookeeper, eventually};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// A master, a worker and a client, played by hand: each with a session of its own.
struct Stage {
    cluster: Cluster,
    master: Tree,
    worker: Tree,
    me: WorkerId,
}

impl Stage {
    /// The master rules by epoch 1, the worker is registered, `/tasks/t` waits.
    fn set() -> Self {
        Self::set_on(Cluster::builder().unaudited(&Promise::ALL))
    }

    fn set_on(builder: bellwether_tests::Builder) -> Self {
        let cluster = builder.start();
        let hand = || cluster.zookeeper().tree(cluster.root());
        let (master, worker) = (hand(), hand());
        layout::NODES.into_iter().for_each(|node| cluster.tree().create(node, ""));
        cluster.tree().create(path::EPOCH, "");
        elect(&master, 0);
        let me = WorkerId::incarnation("w", worker.session());
        worker.commit(&Multi::new().create(path::assign_box(&me), "").create_ephemeral(path::worker(&me), "{}"));
        cluster.tree().create("/tasks/t", "true");
        Self { cluster, master, worker, me }
    }

    fn client(&self) -> &Tree {
        self.cluster.tree()
    }

    fn boxed(&self) -> String {
        format!("/assign/{}/t", self.me)
    }

    /// The master's move, behind fence and check.
    fn assigning(&self, payload: &str) -> Multi {
        Multi::new().check_exists(path::worker(&self.me)).create(self.boxed(), payload).delete("/tasks/t", Some(0))
    }

    fn assign(&self) {
        self.master.commit(&fence().and(self.assigning("true")));
    }

    /// The worker's result, behind its check.
    fn result(&self) -> Multi {
        Multi::new().check_exists(path::worker(&self.me)).delete(self.boxed(), Some(0)).create("/status/t", "done")
    }

    fn audit(&self) -> CliOutput {
        self.audit_of(&self.cluster.zookeeper().data_dirs(), "json")
    }

    fn audit_of(&self, dirs: &[PathBuf], output: &str) -> CliOutput {
        let mut arguments = vec!["audit", "--root", self.cluster.root(), "-o", output];
        arguments.extend(dirs.iter().map(|dir| dir.to_str().expect("UTF-8")));
        self.cluster.cli(&arguments)
    }
}

fn elect(tree: &Tree, epoch_before: i32) {
    let take = Multi::new().create_ephemeral(path::MASTER, "{}").set(path::MASTER, "{}", Some(0));
    tree.commit(&take.set(path::EPOCH, "", Some(epoch_before)));
}

fn fence() -> Multi {
    Multi::new().check(path::EPOCH, 1).check(path::MASTER, 1)
}

fn broken(output: CliOutput) -> Vec<(String, String)> {
    let json = output.code(1).json();
    assert_eq!(json["verdict"], "violated");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = json["violations"].as_array().expect("an array");
    all.iter().for_each(|broken| assert!(text(&broken["zxid"]).starts_with("0x") && text(&broken["time"]).starts_with("20"), "{broken}"));
    all.iter().map(|broken| (text(&broken["promise"]), text(&broken["path"]))).collect()
}

/// Writes a history, and expects it to be convicted of these promises, at these nodes.
#[track_caller]
fn convicted(write: impl FnOnce(&Stage), expected: &[(&str, &str)]) {
    let stage = Stage::set();
    write(&stage);
    let boxed = stage.boxed();
    let expected: Vec<(String, String)> =
        expected.iter().map(|(promise, path)| ((*promise).to_owned(), path.replace("BOXED", &boxed))).collect();
    assert_eq!(broken(stage.audit()), expected);
}

#[test]
fn an_honest_history_is_clean() {
    let stage = Stage::set();
    stage.assign();
    stage.worker.commit(&stage.result());
    let json = stage.audit().success().json();
    assert_eq!((&json["bellwether"], &json["verdict"], &json["violated"]), (&1.into(), &"clean".into(), &0.into()));
    assert_eq!((&json["root"], &json["log"]["begins"]["at"]), (&stage.cluster.root().into(), &"first".into()));
    assert_eq!((&json["tasks"]["submitted"], &json["tasks"]["ended"]["succeeded"]), (&1.into(), &1.into()));
    assert_eq!((&json["terms"][0]["epoch"], &json["terms"][0]["until"]), (&1.into(), &Value::Null));
    assert_eq!((&json["timings"]["run"]["count"], &json["timings"]["writes_per_task"]), (&1.into(), &3.0.into()));
    let table = stage.audit_of(&stage.cluster.zookeeper().data_dirs(), "table").success();
    assert_eq!(table.lines().last(), Some(&format!("clean: no promise was broken below {}", stage.cluster.root()).as_str()));
    assert_eq!(stage.audit_of(&stage.cluster.zookeeper().data_dirs(), "name").success().stdout, "clean\n");
}

#[test]
fn p1_two_masters_by_one_epoch() {
    let start_over = |stage: &Stage| {
        let client = stage.client();
        client.commit(&Multi::new().delete(path::MASTER, None).delete(path::EPOCH, None));
        client.create(path::EPOCH, "");
        elect(&stage.worker, 0);
    };
    convicted(start_over, &[("P1", "/bellwether/epoch")]);
}

#[test]
fn p2_a_past_master_writes() {
    let assign_late = |stage: &Stage| {
        stage.client().delete(path::MASTER);
        elect(&stage.worker, 1);
        stage.master.commit(&stage.assigning("true"));
    };
    convicted(assign_late, &[("P2", "BOXED")]);
}

#[test]
fn p2_a_master_writes_without_its_fence() {
    convicted(|stage| stage.master.commit(&stage.assigning("true")), &[("P2", "BOXED")]);
    convicted(|stage| stage.master.commit(&Multi::new().check(path::EPOCH, 1).and(stage.assigning("true"))), &[("P2", "BOXED")]);
}

#[test]
fn p2_a_worker_that_is_dead_or_does_not_check_records_a_result() {
    let dead = |stage: &Stage| {
        stage.assign();
        stage.client().delete(&path::worker(&stage.me));
        stage.worker.commit(&Multi::new().delete(stage.boxed(), None).create("/status/t", "done"));
    };
    convicted(dead, &[("P2", "/status/t")]);
    let unchecked = |stage: &Stage| {
        stage.assign();
        stage.worker.commit(&Multi::new().delete(stage.boxed(), None).create("/status/t", "done"));
    };
    convicted(unchecked, &[("P2", "/status/t")]);
}

#[test]
fn p2_somebody_else_ends_a_task() {
    convicted(|stage| stage.client().commit(&Multi::new().delete("/tasks/t", None).create("/status/t", "done")), &[("P2", "/status/t")]);
}

#[test]
fn p3_a_task_in_two_places() {
    let twice = |stage: &Stage| {
        let half = Multi::new().check_exists(path::worker(&stage.me)).create(stage.boxed(), "true");
        stage.master.commit(&fence().and(half));
    };
    convicted(twice, &[("P3", "BOXED")]);
}

#[test]
fn p3_a_task_that_is_lost() {
    convicted(|stage| stage.master.commit(&fence().delete("/tasks/t", None)), &[("P3", "/tasks/t")]);
    convicted(|stage| assert!(stage.client().delete("/tasks/t")), &[("P3", "/tasks/t")]);
}

#[test]
fn p4_a_status_that_is_rewritten_or_given_twice() {
    let rewritten = |stage: &Stage| {
        stage.assign();
        stage.worker.commit(&stage.result());
        stage.worker.set("/status/t", "failed exit=1");
    };
    convicted(rewritten, &[("P4", "/status/t")]);
    let twice = |stage: &Stage| {
        stage.assign();
        stage.worker.commit(&stage.result());
        stage.client().delete("/status/t");
        stage.master.commit(&fence().create("/status/t", "done"));
    };
    convicted(twice, &[("P4", "/status/t")]);
}

#[test]
fn p5_an_assignment_to_who_is_gone() {
    let gone = |stage: &Stage| {
        stage.client().delete(&path::worker(&stage.me));
        stage.master.commit(&fence().create(stage.boxed(), "true").delete("/tasks/t", None));
    };
    convicted(gone, &[("P5", "BOXED")]);
}

#[test]
fn p7_a_payload_or_a_count_that_is_lost_on_the_way() {
    convicted(|stage| stage.master.commit(&fence().and(stage.assigning("false"))), &[("P7", "BOXED")]);
    let taken_back = |stage: &Stage, payload: &[u8]| {
        stage.assign();
        stage.client().delete(&path::worker(&stage.me));
        stage.master.commit(&fence().delete(stage.boxed(), None).create("/tasks/t", payload));
    };
    convicted(|stage| taken_back(stage, b"true"), &[("P7", "BOXED")]);
    let mut wrapped = decode(b"false").expect("a shell line");
    wrapped.envelope.losses = 1;
    convicted(|stage| taken_back(stage, &wrapped.encode()), &[("P7", "BOXED")]);
    let dead = |stage: &Stage| {
        stage.assign();
        stage.client().delete(&path::worker(&stage.me));
        stage.master.commit(&fence().delete(stage.boxed(), None).create("/status/t", "failed worker-lost"));
    };
    convicted(dead, &[("P7", "/status/t")]);
}

/// A copy of the only log of the stage's server, changed.
fn changed(stage: &Stage, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let log = stage.cluster.zookeeper().data_dir(0).join("version-2");
    let first = std::fs::read_dir(&log).expect("a directory").map(|entry| entry.expect("an entry").path());
    let first = first.filter(|path| path.to_string_lossy().contains("log.")).min().expect("a log");
    let mut bytes = std::fs::read(&first).expect("a readable log");
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).expect("records") + 1);
    change(&mut bytes);
    static COPIES: AtomicUsize = AtomicUsize::new(0);
    let dir = stage.cluster.dir().join(format!("copy-{}", COPIES.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join(first.file_name().expect("a name")), bytes).expect("a copy");
    dir
}

fn unusable(stage: &Stage, dir: &Path) -> String {
    let output = stage.audit_of(&[dir.to_owned()], "table").code(2);
    output.stdout + &output.stderr
}

#[test]
fn damaged_cut_and_foreign_files_are_unusable_and_the_offset_is_told() {
    let stage = Stage::set();
    let whole = changed(&stage, |_| {});
    assert_eq!(stage.audit_of(&[whole], "name").success().stdout, "clean\n");
    let mut at = 0;
    let flipped = changed(&stage, |bytes| {
        at = bytes.len() / 2;
        bytes[at] ^= 4;
    });
    let said = unusable(&stage, &flipped);
    assert!(said.contains("DAMAGED: ") && said.contains("log.1 at offset ") && said.contains("readable, up to zxid 0x"), "{said}");
    assert!(said.contains("MISSING: what lies between zxid 0x"), "{said}");
    let cut = changed(&stage, |bytes| bytes.truncate(bytes.len() - 7));
    assert!(unusable(&stage, &cut).contains("the file ends in the middle of a record"), "{}", unusable(&stage, &cut));
    let foreign = changed(&stage, |bytes| *bytes = b"2026-01-01 INFO started\n".to_vec());
    let said = unusable(&stage, &foreign);
    assert!(said.contains("is no transaction log of ZooKeeper: at offset 0 there is \"2026-01-\""), "{said}");
    let output = stage.audit_of(&[stage.cluster.dir().to_owned()], "json").code(2);
    assert!(output.stderr.contains(r#""code":"unusable""#) && output.stderr.contains("there are no transaction logs"), "{output:#?}");
    let missing = stage.audit_of(&[PathBuf::from("/nowhere")], "table").code(2);
    assert!(missing.stderr.contains("cannot read /nowhere: No such file"), "{missing:#?}");
}

#[test]
fn a_root_without_a_cluster_is_named() {
    let stage = Stage::set();
    let data = stage.cluster.zookeeper().data_dir(0);
    let data = data.to_str().expect("UTF-8");
    let output = stage.cluster.cli(&["audit", data, "--root", "/elsewhere"]).code(2);
    assert!(
        output.stderr.contains("nothing of Bellwether happens below /elsewhere in these logs; there is a cluster below /"),
        "{output:#?}"
    );
    assert!(output.stderr.contains("name the cluster's path with --root"), "{output:#?}");
    let output = stage.cluster.cli(&["audit", data, "--root", "relative"]).code(2);
    assert!(output.stderr.contains("must begin with /"), "{output:#?}");
}

#[test]
fn a_cluster_at_work_is_audited_while_it_works() {
    let (cluster, _coordinator, worker) = super::working(2);
    let tasks = cluster.put_many("audited-", (0..40).map(|_| "true".to_owned()));
    let doomed = cluster.put("sleep 60");
    let _ = cluster.assignee(&doomed);
    let arguments = ["audit", "--root", cluster.root(), "-o", "json", "-v"];
    let dirs: Vec<String> = cluster.zookeeper().data_dirs().iter().map(|dir| dir.display().to_string()).collect();
    let audit = || cluster.cli(&arguments.into_iter().chain(dirs.iter().map(String::as_str)).collect::<Vec<_>>()).success();
    let _ = audit();
    worker.kill9();
    let _heir = cluster.worker("heir", 2);
    for task in &tasks {
        let _ = cluster.status_of(task);
    }
    let report = eventually(SOON, "the lost task is assigned anew", || {
        let output = audit();
        (output.json()["timings"]["reassignment"]["count"] == 1).then_some(output)
    });
    assert!(report.stderr.contains(" records in ") && report.stderr.contains(" a second"), "{report:#?}");
    let report = report.json();
    assert_eq!((&report["tasks"]["submitted"], &report["tasks"]["ended"]["succeeded"]), (&41.into(), &40.into()));
    assert_eq!((&report["tasks"]["attempts_lost"], &report["tasks"]["assigned"], &report["workers"]), (&1.into(), &1.into(), &2.into()));
    assert_eq!(report["terms"][0]["name"], "c1");
}

#[test]
fn purged_logs_are_audited_from_a_snapshot_or_from_the_middle() {
    let stage = Stage::set_on(Cluster::builder().zookeeper(Zookeeper::own()).unaudited(&Promise::ALL));
    let zookeeper = stage.cluster.zookeeper();
    let files = |prefix: &str| {
        let all = std::fs::read_dir(zookeeper.data_dir(0).join("version-2")).expect("a directory");
        let mut named: Vec<PathBuf> = all.map(|entry| entry.expect("an entry").path()).collect();
        named.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        named
    };
    let old = files("log.");
    // A server that starts writes a snapshot, and then a new log.
    zookeeper.kill9(0);
    zookeeper.restart(0);
    assert!(stage.master.exists(path::MASTER));
    stage.assign();
    stage.worker.commit(&stage.result());
    old.iter().for_each(|log| std::fs::remove_file(log).expect("purged"));
    let report = stage.audit().success().json();
    assert_eq!((&report["log"]["begins"]["at"], &report["verdict"]), (&"snapshot".into(), &"clean".into()));
    assert_eq!((&report["tasks"]["ended"]["succeeded"], &report["tasks"]["waiting"]), (&1.into(), &0.into()));
    files("snapshot.").iter().for_each(|snapshot| std::fs::remove_file(snapshot).expect("purged"));
    let output = stage.audit_of(&zookeeper.data_dirs(), "table").success();
    assert!(output.stdout.contains("no readable snapshot fits: begins at zxid 0x"), "{output:#?}");
    stage.worker.set("/status/t", "failed exit=1");
    assert_eq!(broken(stage.audit()), [("P4".to_owned(), "/status/t".to_owned())]);
}

#[test]
fn servers_of_an_ensemble_are_one_history() {
    let stage = Stage::set_on(Cluster::builder().zookeeper(Zookeeper::ensemble(3)).unaudited(&Promise::ALL));
    let zookeeper = stage.cluster.zookeeper();
    stage.assign();
    let leader = zookeeper.leader().expect("a leader");
    zookeeper.kill9(leader);
    eventually(SOON, "the result is recorded without the leader", || {
        let recorded = stage.worker.try_commit(&stage.result());
        if stage.worker.exists("/status/t") { Ok(()) } else { recorded }
    });
    let report = stage.audit().success().json();
    assert_eq!((&report["log"]["servers"], &report["verdict"]), (&3.into(), &"clean".into()));
    assert_eq!(report["tasks"]["ended"]["succeeded"], 1);
    assert!(report["log"]["duplicates"].as_u64().is_some_and(|duplicates| duplicates > 0), "{report}");
    zookeeper.start_all();
}

#[test]
fn p1_an_epoch_that_is_ruled_by_again_while_its_master_lives() {
    let again = |stage: &Stage| {
        let client = stage.client();
        client.delete(path::MASTER);
        elect(&stage.worker, 1);
        client.commit(&Multi::new().delete(path::MASTER, None).delete(path::EPOCH, None));
        client.create(path::EPOCH, "");
        client.set(path::EPOCH, "");
        elect(&stage.master, 1);
    };
    convicted(again, &[("P1", "/bellwether/epoch")]);
}

#[test]
fn p2_every_write_of_a_master_needs_both_checks() {
    // Only the other one of the two, and in each of its three writes.
    convicted(|stage| stage.master.commit(&Multi::new().check(path::MASTER, 1).and(stage.assigning("true"))), &[("P2", "BOXED")]);
    let backwards = |stage: &Stage| {
        stage.master.commit(&Multi::new().check(path::MASTER, 1).check(path::EPOCH, 1).and(stage.assigning("true")));
    };
    convicted(backwards, &[("P2", "BOXED")]);
    let ends = |stage: &Stage| stage.master.commit(&Multi::new().delete("/tasks/t", None).create("/status/t", "failed cancelled"));
    convicted(ends, &[("P2", "/status/t")]);
    let takes_back = |stage: &Stage| {
        stage.assign();
        stage.client().delete(&path::worker(&stage.me));
        let mut lost = decode(b"true").expect("a shell line");
        lost.envelope.losses = 1;
        stage.master.commit(&Multi::new().delete(stage.boxed(), None).create("/tasks/t", lost.encode()));
    };
    convicted(takes_back, &[("P2", "BOXED")]);
}

#[test]
fn p2_somebody_else_moves_a_task() {
    convicted(|stage| stage.client().commit(&stage.assigning("true")), &[("P2", "BOXED")]);
    let taken = |stage: &Stage| {
        stage.assign();
        stage.client().commit(&Multi::new().delete(stage.boxed(), None).create("/tasks/t", "true"));
    };
    convicted(taken, &[("P2", "BOXED")]);
    let given_back = |stage: &Stage| {
        stage.assign();
        stage.worker.commit(&Multi::new().delete(stage.boxed(), None).create("/tasks/t", "true"));
    };
    convicted(given_back, &[("P2", "BOXED")]);
}

#[test]
fn p3_a_task_that_ended_and_is_assigned_still_or_is_with_two_workers() {
    let half = |stage: &Stage| {
        stage.assign();
        stage.worker.commit(&Multi::new().check_exists(path::worker(&stage.me)).create("/status/t", "done"));
    };
    convicted(half, &[("P3", "/status/t")]);
    let two = |stage: &Stage| {
        stage.assign();
        let other = WorkerId::incarnation("v", stage.client().session());
        stage.client().commit(&Multi::new().create(path::assign_box(&other), "").create_ephemeral(path::worker(&other), "{}"));
        let again = Multi::new().check_exists(path::worker(&other)).create(format!("/assign/{other}/t"), "true");
        stage.master.commit(&fence().and(again));
    };
    let stage = Stage::set();
    two(&stage);
    let found = broken(stage.audit());
    assert!(matches!(&found[..], [(promise, path)] if promise == "P3" && path.starts_with("/assign/v-")), "{found:?}");
}

#[test]
fn p3_an_assignment_that_is_deleted_and_leaves_nothing() {
    let by_its_worker = |stage: &Stage| {
        stage.assign();
        stage.worker.commit(&Multi::new().check_exists(path::worker(&stage.me)).delete(stage.boxed(), None));
    };
    convicted(by_its_worker, &[("P3", "BOXED")]);
    let by_the_master = |stage: &Stage| {
        stage.assign();
        stage.master.commit(&fence().delete(stage.boxed(), None));
    };
    convicted(by_the_master, &[("P3", "BOXED")]);
}

#[test]
fn p4_a_task_that_is_brought_back_after_it_ended() {
    let back = |stage: &Stage| {
        stage.assign();
        stage.worker.commit(&stage.result());
        stage.master.commit(&fence().create("/tasks/t", "true"));
    };
    convicted(back, &[("P4", "/tasks/t")]);
}

#[test]
fn p5_an_assignment_without_the_check_of_its_worker() {
    let unchecked = |stage: &Stage| stage.master.commit(&fence().create(stage.boxed(), "true").delete("/tasks/t", None));
    convicted(unchecked, &[("P5", "BOXED")]);
    // A node that goes with no session is no registration.
    let stage = Stage::set();
    stage.client().create("/assign/nobody", "");
    stage.client().create("/workers/nobody", "{}");
    let to_nobody = Multi::new().check_exists("/workers/nobody").create("/assign/nobody/t", "true").delete("/tasks/t", None);
    stage.master.commit(&fence().and(to_nobody));
    assert_eq!(broken(stage.audit()), [("P5".to_owned(), "/assign/nobody/t".to_owned())]);
}

#[test]
fn p7_counts_that_are_raised_without_a_loss_and_letters_that_say_something_else() {
    let mut raised = decode(b"true").expect("a shell line");
    raised.envelope.losses = 2;
    let by_two = |stage: &Stage| {
        stage.assign();
        stage.client().delete(&path::worker(&stage.me));
        stage.master.commit(&fence().delete(stage.boxed(), None).create("/tasks/t", raised.encode()));
    };
    convicted(by_two, &[("P7", "BOXED")]);
    let given_back = |stage: &Stage| {
        stage.assign();
        let check = Multi::new().check_exists(path::worker(&stage.me));
        stage.worker.commit(&check.delete(stage.boxed(), None).create("/tasks/t", raised.encode()));
    };
    convicted(given_back, &[("P7", "BOXED")]);
    let letter = |stage: &Stage| {
        stage.assign();
        stage.client().delete(&path::worker(&stage.me));
        let ended = fence().delete(stage.boxed(), None).create("/status/t", "failed worker-lost");
        stage.master.commit(&ended.create("/bellwether/dead/t", "something else"));
    };
    convicted(letter, &[("P7", "/status/t")]);
}

#[test]
fn json_and_table_have_every_timing() {
    let stage = Stage::set();
    stage.assign();
    stage.worker.commit(&stage.result());
    let json = stage.audit().success().json();
    for phase in ["vacancy", "reassignment", "queue", "run", "whole"] {
        for figure in ["count", "p50_ms", "p99_ms", "max_ms"] {
            assert!(json["timings"][phase][figure].is_number(), "{phase}.{figure} in {json}");
        }
    }
    assert!(json["timings"]["writes_per_task"].is_number());
    let table = stage.audit_of(&stage.cluster.zookeeper().data_dirs(), "table").success().stdout;
    for words in ["P50", "P99", "transactions for each task that ended"] {
        assert!(table.contains(words), "{words:?} in {table}");
    }
}

#[test]
fn a_result_that_somebody_waits_for_and_the_master_removed_is_convicted() {
    let removed = |stage: &Stage| {
        stage.client().create_ephemeral("/bellwether/waiters/somebody", "{}");
        stage.assign();
        stage.worker.commit(&stage.result());
        stage.master.commit(&fence().delete("/status/t", None));
    };
    convicted(removed, &[("P11", "/status/t")]);
}
