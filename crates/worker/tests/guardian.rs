//! A worker that is killed with SIGKILL takes its tasks along; one that is frozen has them killed when its time is over. The "worker" is this test program, started again as a helper.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler, System};
use bellwether_common::clock;
use bellwether_common::wait::eventually;
use bellwether_core::protocol::TaskName;
use bellwether_worker::executor::{Executor, Program, Report, Run, RunId, Settings, Start};
use bellwether_worker::guardian::{Guardian, GuardianError, GuardianMode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PLACE: &str = "HELPER_PLACE";
const WORKER_PROGRAM: &str = env!("CARGO_BIN_EXE_bellwether-worker");
const LONG: Duration = Duration::from_secs(30);

/// How long the helper promises to live, again and again.
const PROMISE: Duration = Duration::from_secs(2);

/// Writes down how each task ended.
struct Clerk {
    place: String,
}

impl Actor for Clerk {
    type Context = Context<Self>;
}

impl Handler<Report> for Clerk {
    type Result = ();

    fn handle(&mut self, report: Report, _: &mut Self::Context) {
        if let Report::Ended(ended) = report {
            fs::write(format!("{}/{}.ended", self.place, ended.id.task), format!("{:?}", ended.how)).expect("written");
        }
    }
}

/// Each writes the numbers of its processes into a file called as itself.
const TASKS: [(&str, &str); 3] = [
    ("plain", "sleep 1000 & echo $$ $! >$FILE; wait"),
    ("deaf", "trap '' TERM HUP INT; sleep 1000 & echo $$ $! >$FILE; while :; do sleep 1; done"),
    ("daemon", "setsid sh -c 'sleep 1000 & echo $$ $! >$FILE; exec sleep 1000' </dev/null >/dev/null 2>&1 & wait"),
];

// Not a test of its own: what `Helper` starts.
#[test]
fn helper() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    System::new().block_on(async {
        let guardian = Guardian::spawn_from(WORKER_PROGRAM).expect("a guardian");
        let worker = format!("worker-{}", std::process::id());
        guardian.set_worker(&worker);
        fs::write(format!("{place}/guardian"), guardian.pid().to_string()).expect("written");
        let reports = Clerk { place: place.clone() }.start().recipient();
        let mode = GuardianMode::Process(guardian.clone());
        let executor = Executor::new(Settings::default(), mode, runtime.handle().clone(), reports).start();
        for (czxid, (name, line)) in (1..).zip(TASKS) {
            let env = [
                ("BELLWETHER_TASK", name),
                ("BELLWETHER_ATTEMPT", "1"),
                ("BELLWETHER_WORKER", &worker),
                ("FILE", &format!("{place}/{name}")),
            ];
            executor.do_send(Start(Run {
                id: RunId { task: TaskName::listed(name), czxid },
                attempt: 1,
                program: Program::Shell(line.to_owned()),
                env: env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                cwd: None,
                stdin: None,
                timeout: None,
            }));
        }
        loop {
            guardian.set_deadline(clock::kernel() + PROMISE);
            let _ = fs::write(format!("{place}/guardian"), guardian.pid().to_string());
            // Not a wait: this is the worker's part, which renews its promise now and then until it is killed.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

struct Helper {
    process: Child,
    place: tempfile::TempDir,
}

impl Helper {
    fn start() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(std::env::current_exe().expect("ourselves"));
        command.args(["--exact", "helper", "--nocapture"]).env(PLACE, place.path());
        let process = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a helper");
        Self { process, place }
    }

    fn numbers(&self, name: &str) -> Vec<i32> {
        let text = fs::read_to_string(self.place.path().join(name)).unwrap_or_default();
        text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    }

    fn tasks(&self) -> Vec<i32> {
        TASKS.iter().flat_map(|(name, _)| self.numbers(name)).collect()
    }

    fn guardian(&self) -> Option<i32> {
        self.numbers("guardian").first().copied()
    }

    fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("dead");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for pid in self.tasks() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat[stat.rfind(')').unwrap_or(0)..].starts_with(") Z"))
}

fn expect_all_dead(helper: &Helper, tasks: &[i32], guardian: i32) {
    let begun = Instant::now();
    eventually(Duration::from_secs(1), "the tasks are dead", || !tasks.iter().any(|pid| is_running(*pid)));
    println!("all tasks dead {:?} after their worker", begun.elapsed());
    eventually(LONG, "the guardian has ended", || !is_running(guardian));
    assert!(helper.place.path().exists());
}

#[test]
fn tasks_die_with_a_killed_worker() {
    let mut helper = Helper::start();
    eventually(LONG, "all tasks run", || helper.tasks().len() == 6 && helper.guardian().is_some());
    let (tasks, guardian) = (helper.tasks(), helper.guardian().expect("a guardian"));
    assert!(tasks.iter().all(|pid| is_running(*pid)) && is_running(guardian));
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        kill(Pid::from_raw(guardian), signal).expect("sent");
    }
    helper.kill();
    expect_all_dead(&helper, &tasks, guardian);
}

#[test]
fn a_killed_guardian_is_replaced_and_told_everything() {
    let mut helper = Helper::start();
    eventually(LONG, "all tasks run", || helper.tasks().len() == 6 && helper.guardian().is_some());
    let (tasks, first) = (helper.tasks(), helper.guardian().expect("a guardian"));
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("sent");
    eventually(LONG, "another guardian", || helper.guardian().is_some_and(|guardian| guardian != first && is_running(guardian)));
    assert!(tasks.iter().all(|pid| is_running(*pid)), "a dead guardian harms no task");
    helper.kill();
    let guardian = helper.guardian().expect("a guardian");
    expect_all_dead(&helper, &tasks, guardian);
}

#[test]
fn what_is_no_guardian_is_not_taken_for_one() {
    for program in ["/bin/true", "/bin/cat", "/bin/echo"] {
        assert!(matches!(Guardian::spawn_from(program), Err(GuardianError::NotOne(path)) if path == Path::new(program)));
    }
    assert!(matches!(Guardian::spawn_from("/no/such/program"), Err(GuardianError::Start(_))));
}

#[test]
fn tasks_of_a_frozen_worker_are_dead_when_its_time_is_over_and_it_knows_why_when_it_wakes() {
    let helper = Helper::start();
    eventually(LONG, "all tasks run", || helper.tasks().len() == 6 && helper.guardian().is_some());
    let (tasks, guardian) = (helper.tasks(), helper.guardian().expect("a guardian"));
    // As long as it promises again in time, nothing happens.
    let begun = Instant::now();
    eventually(LONG, "more than one promise's time", || begun.elapsed() > PROMISE * 3 / 2);
    assert!(tasks.iter().all(|pid| is_running(*pid)));
    let worker = Pid::from_raw(helper.process.id().cast_signed());
    kill(worker, Signal::SIGSTOP).expect("frozen");
    let frozen = Instant::now();
    eventually(PROMISE + Duration::from_secs(2), "the tasks are dead", || !tasks.iter().any(|pid| is_running(*pid)));
    println!("all tasks dead {:?} after their worker froze, of {PROMISE:?} that it had promised", frozen.elapsed());
    assert!(frozen.elapsed() > PROMISE / 2, "it had promised more than that");
    assert!(is_running(guardian), "it goes on");
    kill(worker, Signal::SIGCONT).expect("woken");
    let ended = |name| fs::read_to_string(helper.place.path().join(format!("{name}.ended"))).unwrap_or_default();
    for (name, _) in TASKS {
        eventually(LONG, "the worker to notice", || !ended(name).is_empty());
        assert_eq!(ended(name), "Killed", "{name}: no end of the task's own");
    }
}
