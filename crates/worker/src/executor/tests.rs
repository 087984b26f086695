//! Real processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, System};
use bellwether_common::config::Together;
use bellwether_core::protocol::TaskName;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::*;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"));

const LONG: Duration = Duration::from_secs(30);

/// Where this machine has them. It moves this process, for good.
static CGROUPS: LazyLock<Option<Arc<Cgroups>>> = LazyLock::new(|| match Cgroups::establish(Together::default()) {
    Ok(cgroups) => Some(Arc::new(cgroups)),
    Err(why) => {
        println!("no cgroups here: {why}");
        None
    }
});

struct Ear(mpsc::UnboundedSender<Report>);

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<Report> for Ear {
    type Result = ();

    fn handle(&mut self, report: Report, _: &mut Self::Context) {
        let _ = self.0.send(report);
    }
}

/// An executor whose reports are collected.
struct World {
    executor: Addr<Executor>,
    killer: Killer,
    reports: mpsc::UnboundedReceiver<Report>,
    output: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn nested(cgroups: Arc<Cgroups>) -> Self {
        Self::of(|_| {}, |executor| executor.with_cgroups(cgroups))
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(change, |executor| executor)
    }

    fn of(change: impl FnOnce(&mut Settings), furnish: impl FnOnce(Executor) -> Executor) -> Self {
        let output = tempfile::tempdir().expect("a directory");
        let mut settings =
            Settings { output_dir: Some(output.path().join("output")), kill_grace: Duration::from_millis(300), ..Settings::default() };
        change(&mut settings);
        let (tell, reports) = mpsc::unbounded_channel();
        let ear = Ear(tell).start();
        let executor = furnish(Executor::new(settings, GuardianMode::None, RUNTIME.handle().clone(), ear.recipient()));
        Self { killer: executor.killer(), executor: executor.start(), reports, output }
    }

    fn start(&self, run: Run) {
        self.executor.do_send(Start(run));
    }

    async fn started(&mut self) -> RunStarted {
        match self.next().await {
            Report::Started(started) => started,
            Report::Ended(ended) => panic!("ended without a start: {ended:?}"),
            Report::PieceEnded(run, _) => panic!("nobody started a piece: {run:?}"),
        }
    }

    async fn ended(&mut self) -> RunEnded {
        loop {
            if let Report::Ended(ended) = self.next().await {
                return *ended;
            }
        }
    }

    async fn run(&mut self, run: Run) -> RunEnded {
        self.start(run);
        self.ended().await
    }

    async fn sh(&mut self, line: &str) -> RunEnded {
        self.run(shell(line)).await
    }

    async fn next(&mut self) -> Report {
        tokio::time::timeout(LONG, self.reports.recv()).await.expect("in time").expect("the ear listens")
    }
}

fn in_system(test: impl AsyncFnOnce()) {
    System::new().block_on(test());
}

fn run(program: Program) -> Run {
    static CZXID: AtomicU64 = AtomicU64::new(1);
    let czxid = CZXID.fetch_add(1, Ordering::Relaxed).cast_signed();
    let env = [("BELLWETHER_TASK", format!("t{czxid}")), ("BELLWETHER_ATTEMPT", "1".to_owned()), ("BELLWETHER_WORKER", "w-1".to_owned())];
    Run {
        id: RunId { task: TaskName::listed(&format!("t{czxid}")), czxid },
        attempt: 1,
        program,
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        cwd: None,
        stdin: None,
        timeout: None,
    }
}

fn shell(line: &str) -> Run {
    run(Program::Shell(line.to_owned()))
}

fn argv(words: &[&str]) -> Run {
    run(Program::Argv(words.iter().map(|word| (*word).to_owned()).collect()))
}

fn text(tail: &Tail) -> String {
    String::from_utf8_lossy(&tail.kept).into_owned()
}

fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat[stat.rfind(')').unwrap_or(0)..].starts_with(") Z"))
}

async fn gone(pid: i32) {
    soon(&format!("process {pid} to be gone, and reaped"), || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())).await;
}

/// What [`eventually`](bellwether_common::wait::eventually) is elsewhere, without stopping the thread that serves the executor.
async fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn not_started(ended: &RunEnded) -> &str {
    match &ended.how {
        Ending::NotStarted { why, .. } => why,
        how => panic!("it started: {how:?}"),
    }
}

#[test]
fn exit_codes_and_signals() {
    in_system(async || {
        let mut world = World::new();
        assert_eq!(world.run(argv(&["true"])).await.how, Ending::Exited(0));
        assert_eq!(world.run(argv(&["false"])).await.how, Ending::Exited(1));
        assert_eq!(world.run(run(Program::Noop)).await.how, Ending::Exited(0));
        assert_eq!(world.sh("exit 42").await.how, Ending::Exited(42));
        assert_eq!(world.sh("kill -SEGV $$").await.how, Ending::Signalled(11));
        assert_eq!(world.sh("kill -9 $$").await.how, Ending::Signalled(9));
    });
}

#[test]
fn not_found_is_127_and_not_executable_126_from_a_shell() {
    in_system(async || {
        let mut world = World::new();
        for line in ["no-such-program-here 1", "no-such-program-here | cat; no-such-program-here"] {
            let ended = world.sh(line).await;
            assert_eq!(ended.how, Ending::Exited(127));
            assert!(text(&ended.stderr).contains("no-such-program-here: not found"), "{}", text(&ended.stderr));
        }
        let file = world.output.path().join("file");
        fs::write(&file, "exit 7\n").expect("written");
        let ended = world.sh(&file.display().to_string()).await;
        assert_eq!(ended.how, Ending::Exited(126));
        assert!(text(&ended.stderr).contains("ermission denied"), "{}", text(&ended.stderr));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("allowed");
        assert_eq!(world.sh(&file.display().to_string()).await.how, Ending::Exited(7), "a shell runs a script without an interpreter");
    });
}

#[test]
fn what_cannot_start_says_why() {
    in_system(async || {
        let mut world = World::new();
        assert_eq!(not_started(&world.run(argv(&["no-such-program-here"])).await), "no such program: no-such-program-here");
        assert_eq!(not_started(&world.run(argv(&["/etc/passwd"])).await), "not executable: /etc/passwd");
        assert_eq!(not_started(&world.run(argv(&[])).await), "empty command");
        assert_eq!(not_started(&world.sh(" \n").await), "empty command");
        let nowhere = Run { cwd: Some("/no/such/place".into()), ..argv(&["true"]) };
        assert_eq!(not_started(&world.run(nowhere).await), "no such directory: /no/such/place");
        let (long, zero) = ("x".repeat(128 * 1024), "a\0b");
        assert!(not_started(&world.run(argv(&["echo", &long])).await).contains("131072 bytes"));
        assert!(not_started(&world.run(argv(&["echo", zero])).await).contains("nul byte"));
        let many: Vec<&str> = std::iter::once("true").chain(std::iter::repeat_n(&long[1..], 64)).collect();
        assert!(not_started(&world.run(argv(&many)).await).contains("too long for the kernel"));
        let mut odd = World::with(|settings| settings.shell = "/no/shell".into());
        assert!(not_started(&odd.sh("echo | cat").await).contains("/no/shell"));
    });
}

#[test]
fn a_line_longer_than_an_argument_reaches_the_shell() {
    in_system(async || {
        let mut world = World::new();
        let line = format!(": {}\ncat; exit 5", "x".repeat(300 * 1024));
        let ended = world.run(Run { stdin: Some(b"input".to_vec()), ..shell(&line) }).await;
        assert_eq!((ended.how, text(&ended.stdout)), (Ending::Exited(5), "input".into()), "{}", text(&ended.stderr));
        assert_eq!(world.sh("-x; exit 3").await.how, Ending::Exited(3), "a sign is no option");
    });
}

#[test]
fn big_output_is_capped_and_its_tail_is_right() {
    in_system(async || {
        let mut world = World::with(|settings| settings.output_max = 1 << 20);
        let begun = Instant::now();
        let ended = world.sh("head -c 104857600 /dev/zero; echo the end").await;
        println!("100 MB of output took {:?}", begun.elapsed());
        assert_eq!(ended.how, Ending::Exited(0));
        assert_eq!((ended.stdout.total, ended.stdout.truncated, ended.stdout.kept.len()), (104_857_608, true, 16 * 1024));
        assert!(ended.stdout.kept.ends_with(b"\0the end\n"));
        let file = ended.stdout.file.expect("a file");
        let files: Vec<_> =
            fs::read_dir(file.parent().expect("a directory")).expect("readable").flatten().map(|entry| entry.path()).collect();
        let bytes: u64 = files.iter().map(|path| fs::metadata(path).expect("a file").len()).sum();
        assert!((1 << 19..=1 << 20).contains(&bytes), "{bytes}");
        assert!(files.iter().any(|path| fs::read(path).expect("readable").ends_with(b"the end\n")), "its end is kept, too: {files:?}");
        assert!(begun.elapsed() < LONG);
    });
}

#[test]
fn binary_output_is_kept_as_it_is_in_memory_and_in_the_file() {
    in_system(async || {
        let mut world = World::new();
        let ended = world.sh("printf '\\000\\377\\376x'; printf 'oh\\n' >&2").await;
        assert_eq!((ended.stdout.kept.as_slice(), ended.stderr.kept.as_slice()), (b"\0\xff\xfex".as_slice(), b"oh\n".as_slice()));
        let file = ended.stdout.file.expect("a file");
        assert_eq!(fs::read(&file).expect("readable"), b"\0\xff\xfex");
        assert_eq!(file, world.output.path().join(format!("output/{}/1-{:x}.stdout", ended.id.task, ended.id.czxid)));
        let silent = world.run(argv(&["true"])).await;
        assert_eq!(silent.stdout, Tail::default());
        assert!(!world.output.path().join(format!("output/{}", silent.id.task)).exists(), "no file for no output");
    });
}

#[test]
fn unwritable_directory_costs_only_the_file() {
    in_system(async || {
        let mut world = World::with(|settings| settings.output_dir = Some("/proc/no/such".into()));
        let ended = world.sh("printf kept").await;
        assert_eq!((ended.how, text(&ended.stdout), ended.stdout.file), (Ending::Exited(0), "kept".into(), None));
        let problem = ended.stdout.problem.expect("it says so");
        assert!(problem.starts_with("stdout: 4 bytes from offset 0 on could not be written to /proc/no/such/"), "{problem}");
    });
}

#[test]
fn closed_outputs_end_nothing() {
    in_system(async || {
        let mut world = World::new();
        let ended = world.sh("printf before; exec >&- 2>&-; sleep 0.2; exit 9").await;
        assert_eq!((ended.how, text(&ended.stdout)), (Ending::Exited(9), "before".into()));
        assert!(ended.took >= Duration::from_millis(200));
    });
}

#[test]
fn a_timeout_takes_term_then_kill_and_keeps_the_output() {
    in_system(async || {
        let mut world = World::new();
        let late = |line| Run { timeout: Some(Duration::from_millis(200)), ..shell(line) };
        let ended = world.run(late("echo here; sleep 60; echo there")).await;
        assert_eq!((ended.how, text(&ended.stdout)), (Ending::TimedOut, "here\n".into()));
        assert!(ended.took < Duration::from_millis(450), "TERM was enough: {:?}", ended.took);
        let ended = world.run(late("trap '' TERM; echo deaf; while :; do sleep 1; done")).await;
        assert_eq!((ended.how, text(&ended.stdout)), (Ending::TimedOut, "deaf\n".into()));
        assert!(ended.took >= Duration::from_millis(500), "the grace was given: {:?}", ended.took);
        let ended = world.run(late("trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done")).await;
        assert_eq!((ended.how, text(&ended.stdout)), (Ending::TimedOut, "bye\n".into()));
        assert_eq!(world.run(Run { timeout: Some(Duration::MAX), ..argv(&["true"]) }).await.how, Ending::Exited(0));
    });
}

#[test]
fn orders_to_stop() {
    in_system(async || {
        let mut world = World::new();
        let grace = Duration::from_millis(100);
        let deaf = "trap '' TERM; echo ready; while :; do sleep 1; done";
        for (line, signal) in [
            ("sleep 60", Signalling::Terminate { grace: LONG }),
            ("sleep 60", Signalling::Kill),
            (deaf, Signalling::Terminate { grace }),
            (deaf, Signalling::Kill),
        ] {
            world.start(shell(line));
            let RunStarted { id, pid } = world.started().await;
            world.executor.do_send(Stop { id: id.clone(), signal });
            let ended = world.ended().await;
            assert_eq!((&ended.id, ended.how), (&id, Ending::Killed), "{line} {signal:?}");
            assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it is dead and reaped when it is reported");
            world.executor.do_send(Stop { id, signal });
        }
        world.start(shell(deaf));
        let id = world.started().await.id;
        world.executor.do_send(Stop { id: id.clone(), signal: Signalling::Terminate { grace: LONG } });
        world.executor.do_send(Stop { id, signal: Signalling::Kill });
        assert_eq!(world.ended().await.how, Ending::Killed, "a kill does not wait for the grace of an earlier order");
    });
}

#[test]
fn a_background_child_does_not_survive() {
    in_system(async || {
        let mut world = World::new();
        let ended = world.sh("sleep 1000 & echo $!; exit 3").await;
        assert_eq!(ended.how, Ending::Exited(3));
        let child: i32 = text(&ended.stdout).trim().parse().expect("a number");
        assert!(!is_running(child), "the group is dead when the end is reported");
        gone(child).await;
        assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
    });
}

#[test]
fn a_daemon_does_not_survive_and_nobody_waits_for_it() {
    in_system(async || {
        let mut world = World::new();
        for line in [
            // Holds the pipes open: found before the end is reported.
            "setsid sleep 1000 & sleep 0.1; echo $!",
            // Holds nothing: found soon after.
            "setsid sh -c 'sleep 1000 & echo $$ $!; exec sleep 1000' >{pids} 2>&1 </dev/null & while ! test -s {pids}; do sleep 0.01; done; cat {pids}",
            // Without the marks: found when no run is left that it may belong to.
            "setsid env -i /bin/sleep 1000 >/dev/null 2>&1 </dev/null & sleep 0.1; echo $!",
        ] {
            let pids = world.output.path().join("pids");
            let ended = world.sh(&line.replace("{pids}", &pids.display().to_string())).await;
            assert_eq!(ended.how, Ending::Exited(0), "{}", text(&ended.stderr));
            assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
            let pids: Vec<i32> = text(&ended.stdout).split_whitespace().map(|pid| pid.parse().expect("a number")).collect();
            assert!(!pids.is_empty());
            for pid in pids {
                // Other tests run things meanwhile; only the unmarked one has to wait for them.
                if line.contains("env -i") {
                    let deadline = Instant::now() + LONG;
                    while is_running(pid) {
                        assert!(Instant::now() < deadline, "{line}");
                        world.run(argv(&["true"])).await;
                    }
                } else {
                    gone(pid).await;
                }
            }
        }
    });
}

#[test]
fn a_daemon_of_a_run_that_goes_on_is_left_alone() {
    in_system(async || {
        let mut world = World::new();
        world.start(shell(
            "setsid sh -c 'exec sleep 1000' </dev/null >/dev/null 2>&1 & sleep 0.1; (setsid sleep 1000 & echo $!) ; sleep 60",
        ));
        let id = world.started().await.id;
        let file = world.output.path().join(format!("output/{}/1-{:x}.stdout", id.task, id.czxid));
        let said = || fs::read_to_string(&file).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
        let daemon: i32 = soon("the daemon's number", said).await;
        for _ in 0..3 {
            // Waits for a sweep.
            world.start(argv(&["sleep", "60"]));
            let other = world.started().await.id;
            world.executor.do_send(Stop { id: other, signal: Signalling::Kill });
            assert_eq!(world.ended().await.how, Ending::Killed);
        }
        assert!(is_running(daemon));
        world.executor.do_send(Stop { id, signal: Signalling::Kill });
        world.ended().await;
        gone(daemon).await;
    });
}

#[test]
fn input_is_given_and_its_early_end_is_no_error() {
    in_system(async || {
        let mut world = World::new();
        let big = vec![b'x'; 500_000];
        let ended = world.run(Run { stdin: Some(big.clone()), ..argv(&["wc", "-c"]) }).await;
        assert_eq!(text(&ended.stdout).trim(), "500000");
        assert_eq!(world.run(Run { stdin: Some(big), ..argv(&["true"]) }).await.how, Ending::Exited(0));
        assert_eq!(text(&world.sh("readlink /proc/self/fd/0").await.stdout), "/dev/null\n");
    });
}

#[test]
fn the_environment_is_ours_without_our_own() {
    in_system(async || {
        let mut world = World::new();
        let mut it = Run { cwd: Some("/usr".into()), ..shell("env; echo; umask; pwd") };
        it.env.push(("GREETING".into(), "hello world".into()));
        let ended = world.run(it).await;
        let said = text(&ended.stdout);
        assert!(said.contains("\nGREETING=hello world\n") || said.starts_with("GREETING"), "{said}");
        assert!(said.contains("PWD=/usr\n") && said.ends_with("0022\n/usr\n"), "{said}");
        let ours: Vec<&str> = said.lines().filter(|line| line.starts_with("BELLWETHER")).collect();
        assert_eq!(ours.len(), 3, "{ours:?}");
        let ended = world.run(Run { cwd: Some("/usr".into()), ..argv(&["bin/printenv", "PWD"]) }).await;
        assert_eq!((ended.how, text(&ended.stdout)), (Ending::Exited(0), "/usr\n".into()));
        let mut lost = argv(&["printenv"]);
        lost.env.push(("PATH".into(), "/nowhere".into()));
        assert_eq!(not_started(&world.run(lost).await), "no such program: printenv", "the task's own PATH counts");
    });
}

#[test]
fn the_same_run_is_not_started_twice() {
    in_system(async || {
        let mut world = World::new();
        let it = shell("sleep 0.2; echo once");
        world.start(it.clone());
        world.start(it.clone());
        assert_eq!(text(&world.ended().await.stdout), "once\n");
        assert_eq!(world.sh("echo next").await.how, Ending::Exited(0));
        assert_eq!(text(&world.run(it).await.stdout), "once\n", "after its end it may run again");
    });
}

#[test]
fn kill_all_is_immediate() {
    in_system(async || {
        let mut world = World::new();
        const RUNS: usize = 50;
        for _ in 0..RUNS {
            world.start(shell("trap '' TERM; sleep 1000 & wait; sleep 1000"));
        }
        let mut pids = Vec::new();
        while pids.len() < RUNS {
            pids.push(world.started().await.pid);
        }
        let begun = Instant::now();
        assert_eq!(world.killer.kill_all(), RUNS);
        let sent = begun.elapsed();
        while pids.iter().any(|pid| is_running(*pid)) {
            assert!(begun.elapsed() < LONG);
        }
        println!("SIGKILL to {RUNS} groups: sent in {sent:?}, leaders dead after {:?}", begun.elapsed());
        for _ in 0..RUNS {
            assert_eq!(world.ended().await.how, Ending::Killed);
        }
        // What is not started yet is killed, too.
        for _ in 0..RUNS {
            world.start(argv(&["sleep", "1000"]));
        }
        let killed = world.executor.send(KillAll).await.expect("alive");
        assert_eq!(killed, RUNS);
        for _ in 0..RUNS {
            assert_eq!(world.ended().await.how, Ending::Killed);
        }
        assert_eq!(world.killer.kill_all(), 0);
    });
}

#[test]
fn what_clears_its_environment_does_not_survive_beside_a_run_that_goes_on() {
    let Some(cgroups) = CGROUPS.clone() else { return };
    in_system(async || {
        let mut world = World::nested(cgroups.clone());
        let long = shell("sleep 1000");
        world.start(long.clone());
        world.started().await;
        let file = world.output.path().join("escaped");
        let escape = format!(
            "setsid env -i /bin/sh -c 'echo $$ >{0}; exec /bin/sleep 1000' </dev/null >/dev/null 2>&1 & until [ -s {0} ]; do sleep 0.01; done",
            file.display()
        );
        let ended = world.sh(&escape).await;
        assert_eq!(ended.how, Ending::Exited(0));
        let pid: i32 = fs::read_to_string(&file).expect("it ran").trim().parse().expect("a number");
        assert!(!is_running(pid), "dead before the end was told");
        world.executor.do_send(Stop { id: long.id, signal: Signalling::Kill });
        assert_eq!(world.ended().await.how, Ending::Killed);
    });
}

#[test]
fn five_hundred_in_a_row_and_four_at_a_time() {
    in_system(async || many_in_a_row(World::new(), "without a cgroup").await);
    if let Some(cgroups) = CGROUPS.clone() {
        in_system(async || many_in_a_row(World::nested(cgroups), "in a cgroup each").await);
    }
}

async fn many_in_a_row(mut world: World, how: &str) {
    const RUNS: u32 = 500;
    for window in [1, 4] {
        let begun = Instant::now();
        (0..window).for_each(|_| world.start(argv(&["true"])));
        for ended in 1..=RUNS {
            assert_eq!(world.ended().await.how, Ending::Exited(0));
            if ended + window <= RUNS {
                world.start(argv(&["true"]));
            }
        }
        println!("{RUNS} × true {how}, {window} at a time: {:.0} per second", f64::from(RUNS) / begun.elapsed().as_secs_f64());
    }
}
