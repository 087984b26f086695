//! What tasks may do on a worker that was told: each way out of it is tried, by whoever may submit.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bellwether_tests::tasks::SOON;
use bellwether_tests::{CliOutput, Cluster, Process, eventually};

/// Nobody of this machine, with a number that nothing else uses.
const STRANGER: &str = "64913:64913";

fn started(settings: &[(&str, &str)]) -> (Cluster, Process, Process) {
    let cluster = Cluster::new();
    let (coordinator, worker) = (cluster.coordinator("c1"), cluster.worker_with("w1", 2, settings));
    (cluster, coordinator, worker)
}

fn run(cluster: &Cluster, words: &[&str]) -> CliOutput {
    cluster.cli(&[&["run"][..], words].concat())
}

/// It was not run, for that reason.
#[track_caller]
fn refused(output: &CliOutput, why: &str) {
    assert_eq!(output.code, 125, "{:?}: {} {}", output.args, output.stdout, output.stderr);
    assert!(output.stderr.contains("not-allowed") && output.stderr.contains(why), "{:?}: {}", output.args, output.stderr);
}

#[test]
fn no_line_reaches_a_shell_of_a_worker_that_runs_programs_alone() {
    let (cluster, _coordinator, _worker) = started(&[("worker.exec", "\"argv\"")]);
    let mark = cluster.dir().join("mark").display().to_string();
    refused(&run(&cluster, &["--shell", "--", &format!("touch {mark}")]), "line for a shell");
    assert_eq!(cluster.status_of(&cluster.put(&format!("touch {mark}"))), "failed rejected: not-allowed");
    let literal = run(&cluster, &["--", "echo", &format!("$(touch {mark})"), ";", "touch", &mark]).success();
    assert_eq!(literal.stdout, format!("$(touch {mark}) ; touch {mark}\n"));
    assert!(!Path::new(&mark).exists(), "nothing of it was run");
}

#[test]
fn only_listed_commands_run_and_their_values_stay_what_they_are() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("in")).expect("made");
    fs::write(root.path().join("in/file"), "inside\n").expect("written");
    fs::write(root.path().join("secret"), "outside\n").expect("written");
    std::os::unix::fs::symlink("../secret", root.path().join("in/link")).expect("linked");
    let place = root.path().join("in").display().to_string();
    let (show, say) = (format!("\"/bin/cat {{path:{place}}}\""), "\"/bin/echo {text:[^x]+} {int:1..9} {choice:a|b}\"");
    let (cluster, _coordinator, _worker) =
        started(&[("worker.exec", "\"allowlist\""), ("worker.allow.show", &show), ("worker.allow.say", say)]);
    assert_eq!(run(&cluster, &["--", "show", "file"]).success().stdout, "inside\n");
    assert_eq!(run(&cluster, &["--", "say", "$HOME; id", "07", "b"]).success().stdout, "$HOME; id 7 b\n");
    for (words, why) in [
        (&["--", "/bin/cat", "/etc/passwd"][..], "none of its commands"),
        (&["--", "sh", "-c", "id"], "none of its commands"),
        (&["--shell", "--", "show file"], "line for a shell"),
        (&["--", "show", "../secret"], "must be a path below"),
        (&["--", "show", "link"], "must be a path below"),
        (&["--", "show", "/etc/passwd"], "must be a path below"),
        (&["--", "show", "file", "file"], "takes 1 values"),
        (&["--", "say", "--version", "1", "a"], "must be text"),
        (&["--", "say", "yxy", "1", "a"], "must be text"),
        (&["--", "say", "y", "10", "a"], "between 1 and 9"),
        (&["--", "say", "y", "1", "a b"], "one of a, b"),
        (&["--env", "LD_PRELOAD=/tmp/evil.so", "--", "show", "file"], "LD_PRELOAD"),
        (&["--env", "PATH=/tmp", "--", "show", "file"], "PATH"),
        (&["--cwd", "/", "--", "show", "file"], "working directory"),
    ] {
        refused(&run(&cluster, words), why);
    }
}

#[test]
fn an_impossible_policy_is_named_at_the_start() {
    let cluster = Cluster::new();
    let listed = ("worker.exec", "\"allowlist\"");
    for (settings, told) in [
        (&[listed, ("worker.allow.x", "\"/no/such/program\"")][..], "worker.allow.x = \"/no/such/program\" cannot be run"),
        (&[listed, ("worker.allow.x", "\"cat\"")], "must begin with the absolute path"),
        (&[listed], "worker.exec"),
        (&[("worker.run_as", "\"no-such-user\"")], "there is no such user"),
        (&[("worker.limits.disk", "\"1GiB\"")], "is no limit"),
        (&[("worker.limits.memory", "\"lots\"")], "must be a size"),
        (&[("worker.limits.task_cpu", "\"all\"")], "must be a number of processors"),
    ] {
        let worker = cluster.worker_with("w1", 1, settings);
        assert_eq!(worker.exit_code(SOON), 78, "{settings:?}: {}", worker.log());
        assert!(worker.log().contains(told), "{settings:?}: {}", worker.log());
    }
}

/// Where this process may use the controllers, limits hold for a task as a whole; elsewhere a worker that is asked for them does not start.
#[test]
fn limits_of_a_whole_task_are_kept_or_the_worker_does_not_start() {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let settings = [("worker.limits.task_processes", "\"8\""), ("worker.limits.task_cpu", "\"0.5\"")];
    let worker = cluster.worker_with("w1", 1, &settings);
    let started = eventually(SOON, "it has registered or ended", || match worker.is_running() {
        false => Some(false),
        true => cluster.tree().children("/workers").first().map(|_| true),
    });
    if !started {
        assert_eq!(worker.exit_code(SOON), 78, "{}", worker.log());
        let log = worker.log();
        assert!(log.contains("worker.limits.task_processes and task_cpu cannot be kept: ") && log.contains("leave them out"), "{log}");
        println!("skipped in part: this process may not use the cgroup controllers that keep the limits");
        return;
    }
    assert!(worker.log().contains("processes=8"), "it says what is in force: {}", worker.log());
    let bomb = run(&cluster, &["--shell", "--", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 30 & done; echo survived"]);
    assert!(bomb.stderr.to_lowercase().contains("fork") || bomb.code != 0, "{}: {}", bomb.code, bomb.stderr);
    assert_eq!(run(&cluster, &["--", "true"]).code, 0, "the next one has its own");
}

/// As another user, in a directory of its own, with limits and a clean environment. Needs root, as that user does.
#[test]
fn a_confined_task_is_somebody_else_somewhere_else_and_stays_within_its_limits() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can run tasks as somebody else");
        return;
    }
    let cluster = Cluster::builder().variable("WORKERS_OWN", "secret").start();
    let _coordinator = cluster.coordinator("c1");
    let user = format!("{STRANGER:?}");
    let worker = cluster.worker_with(
        "w1",
        2,
        &[
            ("worker.run_as", &user),
            ("worker.work_dir", "\"private\""),
            ("worker.environment", "\"clean\""),
            ("worker.limits.memory", "\"256MiB\""),
            ("worker.limits.processes", "\"12\""),
            ("worker.limits.files", "\"40\""),
            ("worker.limits.file_size", "\"64KiB\""),
            ("worker.limits.cpu", "\"1s\""),
        ],
    );
    let sh = |line: &str| run(&cluster, &["--shell", "--", line]);
    let out = |line: &str| sh(line).success().stdout;

    assert_eq!(out("id -u; id -g; id -G; umask"), "64913\n64913\n64913\n0022\n");
    assert_eq!(out("grep NoNewPrivs /proc/self/status").split_whitespace().last(), Some("1"));
    assert_eq!(out("echo \"$WORKERS_OWN$HOME\""), "/\n", "nothing of the worker's own");

    // A place of its own, which goes.
    let place = out("pwd; echo x > file; stat -c %a:%u .; echo $TMPDIR");
    let place: Vec<&str> = place.lines().collect();
    assert_eq!((place[1], place[0]), ("700:64913", place[2]));
    assert_ne!(out("pwd; ls").lines().collect::<Vec<_>>(), [place[0]], "the next one is elsewhere");
    assert_eq!(out("ls -A"), "", "and finds nothing");
    eventually(SOON, "it is gone with its task", || !Path::new(place[0]).exists());
    let mine = cluster.dir().join("mine");
    fs::write(&mine, "root's\n").expect("written");
    let denied = sh(&format!("echo x > {}", mine.display()));
    assert!(denied.code != 0 && denied.stderr.to_lowercase().contains("denied"), "{} {}", denied.code, denied.stderr);

    // A hog of memory, a large file, open files, time.
    let hog = sh("head -c 400m /dev/zero | tail -c 399m | wc -c");
    assert!(hog.stdout.trim() != "418381824", "{}: {}", hog.stdout, hog.stderr);
    let large = sh("head -c 100000 /dev/zero > large; wc -c < large");
    assert_eq!(large.stdout.trim(), "65536", "{}", large.stderr);
    assert_eq!(out("ulimit -n").trim(), "40");
    let busy = run(&cluster, &["--timeout", "60s", "--shell", "--", "while :; do :; done"]);
    assert!([128 + 9, 128 + 24].contains(&busy.code), "killed for its time: {}", busy.code);

    // A bomb: the kernel gives it no more processes than it may have, and none of them outlives it.
    let bomb = sh("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do setsid sleep 300 & done; sleep 1; echo survived");
    assert!(bomb.stderr.to_lowercase().contains("fork") || bomb.code != 0, "{}: {}", bomb.code, bomb.stderr);
    eventually(SOON, "nothing of the bomb is left", || processes_of(64913) == 0);

    // What a task sets in its environment does not work before its limits do, nor as root.
    let preload = run(&cluster, &["--env", "LD_PRELOAD=/no/such/thing.so", "--", "sh", "-c", "ulimit -n; echo $LD_PRELOAD"]).success();
    assert_eq!(preload.stdout, "40\n/no/such/thing.so\n");
    let missing = run(&cluster, &["--", "no-such-program"]);
    assert_eq!(missing.code, 127, "{}", missing.stderr);

    assert_eq!(worker.terminate(Duration::from_secs(30)), 0);
    let root = Path::new(place[0]).parent().expect("below a root");
    assert!(!root.exists(), "the worker leaves nothing at {}", root.display());
}

/// How many processes that user has.
fn processes_of(uid: u32) -> usize {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let numbered = entries.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()));
    numbered.filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == uid)).count()
}
