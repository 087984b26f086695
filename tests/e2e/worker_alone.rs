//! A worker whose master is the test: it takes the office, assigns by hand, and sees what the worker makes of it.

use std::fs;
use std::time::Duration;

use bellwether_core::protocol::result::{Status, TaskOutcome, TaskResult, decode_result, decode_status};
use bellwether_core::protocol::{Multi, TaskName, WorkerId, path};
use bellwether_tests::history::Promise;
use bellwether_tests::{Builder, Cluster, Process, Scenario, Zookeeper, eventually, is};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// Each command tells its process and waits to be let go, or killed.
const WAITS: &str = "echo $$ >$BELLWETHER_TASK.pid; until [ -e $BELLWETHER_TASK.go ]; do sleep 0.02; done; echo over";

/// Here the test itself plays the master, with plain writes: without the fence, and without looking whether the worker is there.
fn by_hand() -> Builder {
    Cluster::builder().unaudited(&[Promise::P2, Promise::P3, Promise::P5])
}

/// A cluster in which the test is in office.
struct World {
    cluster: Cluster,
}

impl World {
    fn new() -> Self {
        Self::of(by_hand().start())
    }

    fn of(cluster: Cluster) -> Self {
        let tree = cluster.tree();
        tree.create_all(path::EPOCH);
        tree.create_ephemeral(path::MASTER, "");
        tree.set(path::EPOCH, "");
        Self { cluster }
    }

    fn registered(&self) -> Option<WorkerId> {
        self.cluster.tree().children(path::WORKERS).first().map(|name| WorkerId::listed(name))
    }

    /// A worker and its incarnation, once it is registered.
    #[track_caller]
    fn worker(&self, slots: usize, settings: &[(&str, &str)]) -> (Process, WorkerId) {
        let process = self.cluster.worker_with("w", slots, settings);
        let me = eventually(SOON, "the worker to register", || self.registered());
        (process, me)
    }

    #[track_caller]
    fn assign(&self, worker: &WorkerId, task: &str, payload: &str) {
        self.cluster.tree().create(&path::assignment(worker, &TaskName::listed(task)), payload);
    }

    #[track_caller]
    fn status(&self, task: &str) -> String {
        let path = path::status(&TaskName::listed(task));
        eventually(SOON, &format!("a status of {task}"), || self.cluster.tree().text(&path))
    }

    /// The details of a plain task.
    #[track_caller]
    fn details(&self, task: &str) -> TaskResult {
        let data = self.cluster.tree().get(&path::plain_result(&TaskName::listed(task))).expect("details beside the status");
        decode_result(&data).expect("a result")
    }

    /// The process of a task that [`WAITS`].
    #[track_caller]
    fn pid(&self, task: &str) -> i32 {
        let file = self.cluster.dir().join(format!("{task}.pid"));
        eventually(SOON, &format!("{task} to run"), || fs::read_to_string(&file).ok()?.trim().parse().ok())
    }

    fn runs(&self, task: &str) -> bool {
        self.cluster.dir().join(format!("{task}.pid")).exists()
    }

    fn let_go(&self, task: &str) {
        fs::write(self.cluster.dir().join(format!("{task}.go")), "").expect("written");
    }

    fn is_pending(&self, task: &str, payload: &str) -> Result<Option<String>, String> {
        is(self.cluster.tree().text(&path::task(&TaskName::listed(task))), &Some(payload.to_owned()))
    }
}

fn is_alive(pid: i32) -> bool {
    // A zombie is dead.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

#[track_caller]
fn dies(pid: i32) {
    eventually(SOON, &format!("the end of process {pid}"), || !is_alive(pid));
}

#[track_caller]
fn is_ready(process: &Process, expected: &str) {
    eventually(SOON, expected, || {
        let (_, text) = process.get("/health/ready").map_err(|error| error.to_string())?;
        if text.contains(expected) { Ok(()) } else { Err(text) }
    });
}

#[track_caller]
fn counted(process: &Process, name: &str, labels: &[(&str, &str)], expected: f64) {
    eventually(SOON, name, || is(process.metrics().ok().and_then(|metrics| metrics.get(name, labels)), &Some(expected)));
}

#[test]
fn what_it_says_of_itself() {
    let world = World::new();
    let (process, me) = world.worker(3, &[("worker.labels", "{ zone = \"a\" }")]);
    let tree = world.cluster.tree();
    assert_eq!(me.operator_name(), Some("w"));
    assert_eq!(tree.text(&path::assign_box(&me)).as_deref(), Some(""));
    let record: Value = serde_json::from_slice(&tree.get(&path::worker(&me)).expect("a record")).expect("json");
    let http = process.http().to_string();
    assert_eq!((&record["slots"], &record["labels"], &record["http"]), (&json!(3), &json!({"zone": "a"}), &json!(http)));
    assert_eq!(record["pid"], json!(process.pid()));
    is_ready(&process, &format!("ready: worker {me} registered, 0/3 slots"));
    assert_eq!(process.get("/health/live").expect("an answer").0, 200);
    assert_eq!(process.metrics().expect("a scrape").value("bellwether_worker_slots", &[]), 3.0);
    assert_eq!(process.metrics().expect("a scrape").value("bellwether_resyncs_total", &[("cause", "start")]), 1.0);
}

#[test]
fn plain_tasks_are_answered_in_words_with_details_beside_them() {
    let world = World::new();
    let (process, me) = world.worker(2, &[]);
    world.assign(&me, "good", "env | grep ^BELLWETHER | sort; umask");
    world.assign(&me, "bad", "echo out; echo oops >&2; exit 3");
    world.assign(&me, "argv", r#"["printf","%s","a b"]"#);
    world.assign(&me, "killed", "kill -9 $$");
    world.assign(&me, "garbage", "[1]");
    let statuses: Vec<String> = ["good", "bad", "argv", "killed", "garbage"].map(|task| world.status(task)).into();
    assert_eq!(statuses, ["done", "failed exit=3", "done", "failed signal=9", "failed rejected: not-argv"]);

    let good = world.details("good");
    let expected = format!("BELLWETHER_ATTEMPT=1\nBELLWETHER_EPOCH=1\nBELLWETHER_TASK=good\nBELLWETHER_WORKER={me}\n0022\n");
    assert_eq!(good.stdout.as_ref().map(|stdout| stdout.tail.as_str()), Some(expected.as_str()));
    assert_eq!((good.worker.as_ref(), good.epoch, good.attempt), (Some(&me), Some(1), 1));
    let bad = world.details("bad");
    assert_eq!((bad.exit, bad.stderr.map(|stderr| stderr.tail)), (Some(3), Some("oops\n".to_owned())));
    assert_eq!(world.details("argv").stdout.map(|stdout| stdout.tail).as_deref(), Some("a b"));
    let output = good.output.expect("where the whole output is");
    let files: Vec<_> = fs::read_dir(output.path.expect("a directory")).expect("a directory").flatten().map(|file| file.path()).collect();
    assert_eq!(files.iter().map(|file| fs::read_to_string(file).expect("text")).collect::<Vec<_>>(), [expected]);

    assert_eq!(world.cluster.tree().children(&path::assign_box(&me)), Vec::<String>::new());
    let completed = "bellwether_tasks_completed_total";
    counted(&process, completed, &[("kind", "shell"), ("result", "succeeded")], 1.0);
    counted(&process, completed, &[("kind", "argv"), ("result", "succeeded")], 1.0);
    counted(&process, completed, &[("result", "failed")], 2.0);
    counted(&process, completed, &[("result", "rejected")], 1.0);
    counted(&process, "bellwether_task_run_duration_seconds_count", &[], 4.0);
}

#[test]
fn an_envelope_is_answered_in_json() {
    let world = World::new();
    let (process, me) = world.worker(1, &[]);
    fs::create_dir(world.cluster.dir().join("there")).expect("a directory");
    let there = world.cluster.dir().join("there").display().to_string();
    let envelope = json!({"bellwether": 1, "shell": "pwd; echo $A; cat", "env": {"A": "1"}, "cwd": there, "stdin": "in", "losses": 1});
    world.assign(&me, "t", &envelope.to_string());
    world.assign(&me, "slow", &json!({"bellwether": 1, "argv": ["sleep", "100"], "timeout_ms": 50}).to_string());
    let result = |task| match decode_status(world.status(task).as_bytes()) {
        Status::Full(result) => *result,
        Status::Plain { words, .. } => panic!("no result: {words}"),
    };
    let done = result("t");
    assert_eq!((done.outcome, done.attempt), (TaskOutcome::Succeeded, 2));
    assert_eq!(done.stdout.map(|stdout| stdout.tail), Some(format!("{there}\n1\nin")));
    assert_eq!(result("slow").outcome, TaskOutcome::TimedOut);
    counted(&process, "bellwether_task_kills_total", &[("reason", "timeout")], 1.0);
}

#[test]
fn no_more_runs_than_slots() {
    let world = World::new();
    let (process, me) = world.worker(2, &[]);
    world.assign(&me, "a", WAITS);
    world.pid("a");
    world.assign(&me, "b", WAITS);
    world.pid("b");
    is_ready(&process, "2/2 slots");
    world.assign(&me, "c", WAITS);
    // The epoch and three assignments were read: it knows of the third.
    counted(&process, "bellwether_zk_requests_total", &[("op", "get"), ("result", "ok")], 4.0);
    assert!(!world.runs("c"));
    ["a", "b", "c"].into_iter().for_each(|task| world.let_go(task));
    assert_eq!(["a", "b", "c"].map(|task| world.status(task)), ["done", "done", "done"]);
    counted(&process, "bellwether_worker_slots_in_use", &[], 0.0);
}

#[test]
fn what_runs_dies_with_a_worker_that_is_killed() {
    let _scenario = Scenario::of("F10");
    let world = World::new();
    let (process, me) = world.worker(2, &[]);
    world.assign(&me, "a", WAITS);
    world.assign(&me, "b", &format!("trap '' TERM HUP; setsid sh -c 'echo $$ >daemon.pid; exec sleep 1000' & {WAITS}"));
    let pids = [world.pid("a"), world.pid("b"), world.pid("daemon")];
    process.kill9();
    pids.into_iter().for_each(dies);
}

#[test]
fn asked_to_stop_it_ends_what_runs_and_gives_back_the_rest() {
    let world = World::new();
    let (process, me) = world.worker(1, &[]);
    world.assign(&me, "a", WAITS);
    world.pid("a");
    let waiting = [("b", "echo  as-it-was"), ("c", r#"{"bellwether":1,"argv":["true"]}"#)];
    waiting.into_iter().for_each(|(task, payload)| world.assign(&me, task, payload));
    process.signal(nix::sys::signal::Signal::SIGTERM);
    for (task, payload) in waiting {
        eventually(SOON, "what waits to be given back", || world.is_pending(task, payload));
    }
    let record = world.cluster.tree().get(&path::worker(&me)).expect("still registered");
    let record: Value = serde_json::from_slice(&record).expect("json");
    assert_eq!(record["slots"], json!(0));
    is_ready(&process, "not ready: worker");
    // What comes now is sent back as well.
    world.assign(&me, "late", "true");
    eventually(SOON, "what comes late to be given back", || world.is_pending("late", "true"));
    assert!(process.is_running());
    world.let_go("a");
    assert_eq!(world.status("a"), "done");
    assert_eq!(process.exit_code(SOON), 0);
    assert_eq!(world.registered(), None, "the session was closed before the end");
}

#[test]
fn what_does_not_end_in_time_is_killed_and_given_back() {
    let world = World::new();
    let (process, me) = world.worker(1, &[("worker.drain_timeout", "\"200ms\""), ("worker.kill_grace", "\"200ms\"")]);
    let deaf = format!("trap '' TERM; {WAITS}");
    world.assign(&me, "a", &deaf);
    let pid = world.pid("a");
    assert_eq!(process.terminate(SOON), 0);
    assert!(!is_alive(pid));
    assert!(world.is_pending("a", &deaf).is_ok());
}

#[test]
fn an_assignment_that_disappears_is_the_order_to_stop() {
    let world = World::new();
    let (process, me) = world.worker(1, &[]);
    world.assign(&me, "a", WAITS);
    let pid = world.pid("a");
    let name = TaskName::listed("a");
    world.cluster.tree().commit(&Multi::new().delete(path::assignment(&me, &name), None).create(path::status(&name), "failed cancelled"));
    dies(pid);
    counted(&process, "bellwether_task_kills_total", &[("reason", "cancelled")], 1.0);
    // The slot is free again.
    world.assign(&me, "b", "true");
    assert_eq!((world.status("b"), world.status("a")), ("done".to_owned(), "failed cancelled".to_owned()));
}

#[test]
fn the_result_of_an_attempt_that_was_replaced_during_a_cut_is_refused() {
    let scenario = Scenario::of("F37");
    let world = World::new();
    let proxy = world.cluster.proxy();
    let (process, me) = world.worker(1, &[("zookeeper.connect", &world.cluster.through(&proxy))]);
    let payload = format!("{WAITS}; cat second");
    world.assign(&me, "a", &payload);
    world.pid("a");
    proxy.cut_off();
    world.let_go("a");
    counted(&process, "bellwether_worker_slots_in_use", &[], 0.0);
    fs::write(world.cluster.dir().join("second"), "second").expect("written");
    // The same name, to the same incarnation, at the same version: only the transaction tells the two apart.
    let assignment = path::assignment(&me, &TaskName::listed("a"));
    world.cluster.tree().commit(&Multi::new().delete(assignment.clone(), None).create(assignment, payload));
    proxy.heal();
    assert_eq!(world.status("a"), "done", "attempt 1 failed");
    assert_eq!(world.details("a").stdout.map(|stdout| stdout.tail).as_deref(), Some("over\nsecond"));
    counted(&process, "bellwether_stale_results_total", &[], 1.0);
    assert_eq!(world.registered(), Some(me), "the same incarnation");
    scenario.saw("attempt 1's result was dropped and counted, attempt 2's recorded, both by one incarnation");
}

#[test]
fn a_registration_that_is_deleted_ends_the_incarnation() {
    let world = World::new();
    let (process, me) = world.worker(1, &[]);
    world.assign(&me, "a", WAITS);
    let pid = world.pid("a");
    assert!(world.cluster.tree().delete(&path::worker(&me)));
    dies(pid);
    let next = eventually(SOON, "a new incarnation", || world.registered());
    assert_ne!(next, me);
    let record = world.cluster.tree().get(&path::worker(&next)).expect("a record");
    assert_eq!(serde_json::from_slice::<Value>(&record).expect("json")["replaces"], json!(me.as_str()));
    world.assign(&next, "b", "true");
    assert_eq!(world.status("b"), "done");
    assert!(process.is_running() && world.cluster.tree().exists(&path::assignment(&me, &TaskName::listed("a"))));
}

#[test]
fn a_part_of_the_layout_that_is_missing_is_mended() {
    let world = World::new();
    let (_process, me) = world.worker(1, &[]);
    let tree = world.cluster.tree();
    assert!(tree.delete(path::STATUS) && tree.delete(path::RESULTS));
    world.assign(&me, "a", "true");
    assert_eq!(world.status("a"), "done");
    assert_eq!(world.details("a").exit, Some(0));
}

#[test]
fn it_goes_on_after_zookeeper_was_restarted() {
    let world = World::of(by_hand().zookeeper(Zookeeper::own()).start());
    let (process, me) = world.worker(2, &[]);
    world.assign(&me, "before", WAITS);
    world.pid("before");
    world.cluster.zookeeper().kill9(0);
    world.let_go("before");
    world.cluster.zookeeper().restart(0);
    assert_eq!(world.status("before"), "done");
    world.assign(&me, "after", "true");
    assert_eq!(world.status("after"), "done", "watches work on the new connection");
    is_ready(&process, &format!("ready: worker {me} registered"));
    counted(&process, "bellwether_tasks_completed_total", &[("result", "succeeded")], 2.0);
}

#[test]
fn in_doubt_it_kills_and_gives_back() {
    let world = World::of(by_hand().zookeeper(Zookeeper::own()).start());
    let (process, me) = world.worker(1, &[]);
    world.assign(&me, "a", WAITS);
    let pid = world.pid("a");
    world.cluster.zookeeper().pause(0);
    dies(pid);
    world.cluster.zookeeper().resume(0);
    eventually(SOON, "the task to be given back", || world.is_pending("a", WAITS));
    assert_eq!(world.registered(), Some(me), "the session outlived the doubt");
    counted(&process, "bellwether_task_kills_total", &[("reason", "doubt")], 1.0);
}

#[test]
fn frozen_beyond_its_session_it_comes_back_as_another() {
    let world = World::new();
    let (process, me) = world.worker(1, &[]);
    world.assign(&me, "a", WAITS);
    let pid = world.pid("a");
    process.pause();
    eventually(SOON, "the session to end", || !world.cluster.tree().exists(&path::worker(&me)));
    world.let_go("a");
    process.resume();
    let next = eventually(SOON, "a new incarnation", || world.registered());
    assert_ne!(next, me);
    dies(pid);
    // Whatever became of the attempt, it is not recorded in the name of a dead incarnation.
    world.assign(&next, "b", "true");
    assert_eq!(world.status("b"), "done");
    assert!(!world.cluster.tree().exists(&path::status(&TaskName::listed("a"))));
}

#[test]
fn without_zookeeper_it_gives_up_in_time() {
    let cluster = Cluster::new();
    let nowhere = [("zookeeper.connect", "\"127.0.0.1:1\""), ("zookeeper.give_up_after", "\"1s\"")];
    let process = cluster.worker_with("w", 1, &nowhere);
    assert_eq!(process.exit_code(SOON), 69);
    assert!(process.log().contains("zookeeper.give_up_after"), "{}", process.log());
    // Asked to stop, it does not wait for a session.
    let patient = cluster.worker_with("w", 1, &nowhere[..1]);
    let _ = patient.http();
    assert_eq!(patient.terminate(SOON), 0);
    let shell = cluster.worker_with("w", 1, &[("worker.shel", "\"/bin/sh\"")]);
    assert_eq!(shell.exit_code(SOON), 78);
    assert!(shell.log().contains("worker.shel"), "{}", shell.log());
}
