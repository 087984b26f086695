//! `make demo`: the tutorial's script on a whole local cluster, with real commands and real crashes.
//!
//! Ends with 0 only if every task got exactly one result and ZooKeeper's own log shows no broken promise.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether_core::protocol::result::{Status, decode_status};
use bellwether_tests::history::{History, Step};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, eventually};

struct Demo {
    cluster: Cluster,
    submitted: Vec<(String, String)>,
    takeovers: Vec<Takeover>,
}

struct Takeover {
    how: &'static str,
    signalled_ms: i64,
}

fn main() -> ExitCode {
    println!("Bellwether demo: a private ZooKeeper, two coordinators, workers that come and go. Nothing of it outlives this command.\n");
    let mut demo = Demo { cluster: Cluster::new(), submitted: Vec::new(), takeovers: Vec::new() };
    let succeeded = demo.play();
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Demo {
    fn play(&mut self) -> bool {
        step("Two coordinators: one is elected, the other stands by. One worker with two slots.");
        let coordinators = [self.start_coordinator("c1"), self.start_coordinator("c2")];
        let ruler = self.cluster.ruler();
        let first = self.start_worker("w1");
        self.command(&["status"]);

        step("Submit a command and wait for it; run another and get its exit code.");
        let task = self.submit("sleep 1");
        self.command(&["wait", &task]);
        self.command(&["run", "--", "sh", "-c", "echo hello from $BELLWETHER_WORKER"]);

        step("Anybody may submit: this one is created by a plain ZooKeeper client, and answered in /status.");
        let plain = self.cluster.put("date +%Y");
        self.submitted.push((plain.clone(), "date +%Y".to_owned()));
        println!("  zkCli> create -s /tasks/task- \"date +%Y\"\n  created /tasks/{plain}");
        println!("  zkCli> get /status/{plain}\n  {}\n", self.cluster.status_of(&plain));

        step("Queue up a bunch of sleeps, then add workers: they take over part of the queue.");
        for _ in 0..12 {
            let _ = self.submit("sleep 2");
        }
        let _more = [self.start_worker("w2"), self.start_worker("w3")];
        self.command(&["worker", "list"]);

        step("Kill a worker with -9 in the middle of its work: its tasks go to the others when its session ends.");
        let busy = self.cluster.registered("w1");
        eventually(SOON, "w1 has work", || !self.cluster.assigned_to(&busy).is_empty());
        println!("  $ kill -9 {}   # w1, which runs {:?}\n", first.pid(), self.cluster.assigned_to(&busy));
        first.kill9();

        step("Kill the master with -9: the standby takes over when the master's session ends.");
        let master = coordinators.iter().find(|c| c.name() == ruler).expect("it is one of ours");
        println!("  $ kill -9 {}   # {ruler}", master.pid());
        self.takeovers.push(Takeover { how: "kill -9", signalled_ms: now_ms() });
        master.kill9();
        let next = self.cluster.ruler_after(&ruler);
        println!("  {next} rules\n");

        step("Start the killed coordinator again, and ask the new master to stop: it hands over at once.");
        let _again = self.start_coordinator(&ruler);
        eventually(SOON, "a standby", || !self.cluster.tree().children("/bellwether/standbys").is_empty());
        let leaving = coordinators.iter().find(|c| c.name() == next).expect("it is one of ours");
        println!("  $ kill -TERM {}   # {next}", leaving.pid());
        self.takeovers.push(Takeover { how: "SIGTERM", signalled_ms: now_ms() });
        let code = leaving.terminate(Duration::from_secs(10));
        println!("  {next} ended with {code}; {} rules\n", self.cluster.ruler_after(&next));

        step("Wait for everything.");
        let all: Vec<String> = self.submitted.iter().map(|(task, _)| task.clone()).collect();
        let arguments: Vec<&str> = ["wait"].into_iter().chain(all.iter().map(String::as_str)).collect();
        let waited = self.cluster.cli(&arguments);
        println!("  $ bellwether wait (all {} tasks)   # exit {}\n", all.len(), waited.code);
        self.command(&["list"]);
        self.report()
    }

    fn start_coordinator(&self, name: &str) -> Process {
        let process = self.cluster.coordinator(name);
        println!("  $ bellwether-coordinator --config {name}.toml &   # pid {}", process.pid());
        process
    }

    fn start_worker(&self, name: &str) -> Process {
        let process = self.cluster.worker(name, 2);
        println!("  $ bellwether-worker --config {name}.toml &   # pid {}", process.pid());
        let _ = self.cluster.registered(name);
        process
    }

    fn submit(&mut self, line: &str) -> String {
        let arguments: Vec<&str> = ["submit", "--"].into_iter().chain(line.split(' ')).collect();
        let output = self.cluster.cli(&arguments).success();
        let task = output.lines().first().map(|task| (*task).to_owned()).expect("submit prints the task's id");
        println!("  $ bellwether submit -- {line}\n  {task}");
        self.submitted.push((task.clone(), line.to_owned()));
        task
    }

    fn command(&self, arguments: &[&str]) {
        let output = self.cluster.cli(arguments);
        let quoted = |word: &&str| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() };
        println!("  $ bellwether {}", arguments.iter().map(quoted).collect::<Vec<_>>().join(" "));
        for line in output.stdout.lines().chain(output.stderr.lines()) {
            println!("  {line}");
        }
        println!("  # exit {}\n", output.code);
    }

    /// What happened to every task, how long each takeover took, and whether all is well.
    fn report(&self) -> bool {
        let history = self.cluster.history();
        println!("What happened to every task, from ZooKeeper's own transaction log:\n");
        let mut sound = true;
        for (task, line) in &self.submitted {
            let steps: Vec<&Step> = history.tasks.get(task).into_iter().flatten().map(|(_, step)| step).collect();
            let statuses = steps.iter().filter(|step| matches!(step, Step::Ended(_))).count();
            sound &= statuses == 1;
            println!("  {task:<22} {line:<10} {}", steps.into_iter().map(words).collect::<Vec<_>>().join(" → "));
        }
        println!("\nTakeovers:\n");
        for takeover in &self.takeovers {
            println!("  {}", takeover.words(&history));
        }
        for violation in &history.violations {
            println!("  BROKEN PROMISE: {violation}");
        }
        sound &= history.violations.is_empty() && history.unended().is_empty();
        let verdict = if sound { "every task got exactly one result, and no promise was broken" } else { "something went WRONG" };
        println!("\n{} tasks: {verdict}.", self.submitted.len());
        sound
    }
}

impl Takeover {
    fn words(&self, history: &History) -> String {
        let mut pairs = history.terms.iter().zip(history.terms.iter().skip(1));
        let followed = pairs.find_map(|(old, new)| {
            let vacated = old.vacated.filter(|moment| moment.time_ms >= self.signalled_ms - 1)?;
            Some((new.taken.time_ms - vacated.time_ms, new.taken.time_ms - self.signalled_ms))
        });
        match followed {
            Some((gap, since)) => format!("{:<8} office vacant for {gap} ms; {since} ms from the signal to the next master", self.how),
            None => format!("{:<8} nobody followed", self.how),
        }
    }
}

fn words(step: &Step) -> String {
    match step {
        Step::Pending => "pending".to_owned(),
        Step::Held => "held".to_owned(),
        Step::Assigned(worker) => format!("assigned to {}", worker.rsplit_once('-').map_or(worker.as_str(), |(name, _)| name)),
        Step::Ended(status) => match decode_status(status) {
            Status::Full(result) => result.outcome.to_string(),
            Status::Plain { words, .. } => words,
        },
        Step::Forgotten => "forgotten".to_owned(),
    }
}

fn step(title: &str) {
    println!("── {title}\n");
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
