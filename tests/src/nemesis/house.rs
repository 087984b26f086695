//! The cluster under attack: who does harm to it and heals it again, and keeps the timeline.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellwether_core::protocol::Multi;
use nix::sys::signal::Signal;

use super::schedule::{COORDINATORS, Harm, Schedule, Stroke, Target, WORKERS, coordinator_name, worker_name};
use crate::proxy::{Fault, Operation, Proxy, Rule};
use crate::{Cluster, Process};

/// How long a service may take to end when it is asked to, whatever is done to ZooKeeper meanwhile.
const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// Tasks that a worker runs at once.
const SLOTS: usize = 2;

/// A stroke that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// What was meant.
    pub stroke: Stroke,
    /// When it was done, in milliseconds since 1970.
    pub done_ms: i64,
    /// When it was healed.
    pub healed_ms: i64,
    /// What it came to, where that cannot be told beforehand.
    pub note: String,
}

/// All services, and the proxies of those that are behind one.
#[derive(Debug)]
pub struct House<'a> {
    cluster: &'a Cluster,
    coordinators: Vec<Process>,
    workers: Vec<Process>,
    coordinator_proxy: Proxy,
    worker_proxy: Proxy,
    /// What must not happen, and did: services that ended by themselves, or did not end when they were asked to.
    pub complaints: Vec<String>,
}

impl<'a> House<'a> {
    /// Starts everybody, and waits until all serve.
    ///
    /// # Panics
    /// They do not.
    #[must_use]
    #[track_caller]
    pub fn start(cluster: &'a Cluster) -> Self {
        let (coordinator_proxy, worker_proxy) = (cluster.proxy(), cluster.proxy());
        let complaints = Vec::new();
        let mut house = Self { cluster, coordinators: Vec::new(), workers: Vec::new(), coordinator_proxy, worker_proxy, complaints };
        house.coordinators = (0..COORDINATORS).map(|i| house.coordinator(i)).collect();
        house.workers = (0..WORKERS).map(|i| house.worker(i)).collect();
        let _ = cluster.ruler();
        for i in 0..WORKERS {
            let _ = cluster.registered(&worker_name(i));
        }
        house
    }

    fn coordinator(&self, i: usize) -> Process {
        let through = self.cluster.through(&self.coordinator_proxy);
        let settings = [("zookeeper.connect", through.as_str())];
        self.cluster.coordinator_with(&coordinator_name(i), if i == 0 { &settings } else { &[] })
    }

    fn worker(&self, i: usize) -> Process {
        let through = self.cluster.through(&self.worker_proxy);
        let settings = [("zookeeper.connect", through.as_str())];
        self.cluster.worker_with(&worker_name(i), SLOTS, if i == 0 { &settings } else { &[] })
    }

    /// Does and heals everything at its time, or as soon after it as what was before allows. The hands in the tree are another
    /// thread's: they may have to wait for a frozen server, which is to be woken meanwhile.
    pub fn suffer(&mut self, schedule: &Schedule) -> Vec<Struck> {
        let begun = Instant::now();
        let (by_hand, others): (Vec<Stroke>, Vec<Stroke>) = schedule.strokes.iter().partition(|stroke| stroke.harm == Harm::Delete);
        let cluster = self.cluster;
        let mut struck = std::thread::scope(|scope| {
            let hands =
                scope.spawn(|| carry_out(begun, by_hand, |stroke, heals| if heals { String::new() } else { delete(cluster, stroke) }));
            let mut struck = carry_out(begun, others, |stroke, heals| if heals { self.heal(stroke) } else { self.strike(stroke) });
            struck.extend(hands.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            struck
        });
        struck.sort_by_key(|struck| struck.stroke.at);
        struck
    }

    fn strike(&mut self, stroke: &Stroke) -> String {
        match stroke.target {
            Target::Coordinator(_) | Target::Worker(_) => self.strike_service(stroke),
            Target::Server(i) => self.strike_server(stroke.harm, i),
            Target::Office | Target::Epoch | Target::Registration(_) => unreachable!("this is done by hand"),
        }
    }

    fn strike_service(&mut self, stroke: &Stroke) -> String {
        let process = self.process(stroke.target);
        if !process.is_running() {
            let complaint = format!("{} has ended by itself with {}", process.name(), process.exit_code(Duration::ZERO));
            self.complaints.push(complaint);
            return "it had ended; ".to_owned();
        }
        let note = if is_active(process) { "it ruled; " } else { "" };
        let proxy = self.proxy(stroke.target);
        match stroke.harm {
            Harm::Kill => process.kill9(),
            Harm::Stop => process.signal(Signal::SIGTERM),
            Harm::Freeze => process.pause(),
            Harm::Cut => proxy.cut(),
            Harm::LoseReply => drop(proxy.rule(Rule::on(Operation::Multi).then(Fault::LoseReply))),
            Harm::BlackHole => proxy.black_hole(),
            Harm::Wipe | Harm::Delete => unreachable!("services have nothing to delete"),
        }
        note.to_owned()
    }

    fn strike_server(&self, harm: Harm, i: usize) -> String {
        let zookeeper = self.cluster.zookeeper();
        let note = if zookeeper.leader() == Some(i) { "it led; " } else { "" };
        match harm {
            Harm::Kill => zookeeper.kill9(i),
            Harm::Stop => zookeeper.stop(i),
            Harm::Freeze => zookeeper.pause(i),
            // What only it and one other have would be lost if the third were elected with its vote.
            Harm::Wipe if zookeeper.leader() == Some(i) => {
                zookeeper.kill9(i);
                return "it led, and was only killed; ".to_owned();
            }
            Harm::Wipe => zookeeper.wipe_but_keep_log(i),
            Harm::Cut | Harm::LoseReply | Harm::BlackHole | Harm::Delete => unreachable!("no proxy is in front of one server"),
        }
        note.to_owned()
    }

    fn heal(&mut self, stroke: &Stroke) -> String {
        match (stroke.harm, stroke.target) {
            (Harm::Kill | Harm::Stop | Harm::Wipe, Target::Server(i)) => self.cluster.zookeeper().restart(i),
            (Harm::Freeze, Target::Server(i)) => self.cluster.zookeeper().resume(i),
            (Harm::Kill, target) => self.start_again(target),
            (Harm::Stop, target) => return self.await_end_and_start_again(target),
            (Harm::Freeze, target) => self.process(target).resume(),
            (Harm::BlackHole, target) => self.proxy(target).heal(),
            (Harm::Cut | Harm::LoseReply | Harm::Wipe | Harm::Delete, _) => {}
        }
        String::new()
    }

    fn await_end_and_start_again(&mut self, target: Target) -> String {
        let process = self.process(target);
        let deadline = Instant::now() + STOPS_WITHIN;
        while process.is_running() && Instant::now() < deadline {
            // Not `eventually`: one that does not stop is a complaint of the report, and the attack goes on.
            std::thread::sleep(Duration::from_millis(10));
        }
        let note = if process.is_running() {
            let complaint = format!("{target} was asked to stop, and still ran {STOPS_WITHIN:?} after it should have been started again");
            process.kill9();
            self.complaints.push(complaint.clone());
            complaint
        } else {
            format!("it ended with {}", process.exit_code(Duration::ZERO))
        };
        self.start_again(target);
        note
    }

    fn start_again(&mut self, target: Target) {
        match target {
            Target::Coordinator(i) => self.coordinators[i] = self.coordinator(i),
            Target::Worker(i) => self.workers[i] = self.worker(i),
            Target::Server(_) | Target::Office | Target::Epoch | Target::Registration(_) => unreachable!("no process of ours"),
        }
    }

    fn process(&self, target: Target) -> &Process {
        match target {
            Target::Coordinator(i) => &self.coordinators[i],
            Target::Worker(i) => &self.workers[i],
            Target::Server(_) | Target::Office | Target::Epoch | Target::Registration(_) => unreachable!("no process of ours"),
        }
    }

    fn proxy(&self, target: Target) -> &Proxy {
        if matches!(target, Target::Coordinator(_)) { &self.coordinator_proxy } else { &self.worker_proxy }
    }

    /// Whether everybody is at his place and nothing is left to do.
    ///
    /// # Errors
    /// Who or what is missing.
    pub fn is_at_rest(&self) -> Result<(), String> {
        let tree = self.cluster.tree();
        if self.cluster.ruler_now().is_none() {
            return Err("nobody rules".to_owned());
        }
        if let Some(missing) = (0..WORKERS).map(worker_name).find(|name| self.cluster.incarnation(name).is_none()) {
            return Err(format!("{missing} is not registered"));
        }
        let assigned: usize = tree.children("/assign").iter().map(|worker| self.cluster.assigned_to(worker).len()).sum();
        let (pending, held) = (tree.children("/tasks").len(), tree.children("/bellwether/held").len());
        let left = pending + held + assigned;
        if left == 0 { Ok(()) } else { Err(format!("{pending} tasks are pending, {held} held, {assigned} assigned")) }
    }

    /// Looks whether anybody has ended by himself, and at what they all said.
    pub fn inspect(&mut self) {
        let ended = self.coordinators.iter().chain(&self.workers).filter(|process| !process.is_running());
        let ended = ended.map(|process| format!("{} has ended by itself with {}", process.name(), process.exit_code(Duration::ZERO)));
        self.complaints.extend(ended);
        for entry in std::fs::read_dir(self.cluster.dir()).into_iter().flatten().flatten() {
            let path = entry.path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            if path.extension().is_some_and(|extension| extension == "log") && text.contains("panicked at") {
                self.complaints.push(format!("there was a panic: see {}", path.display()));
            }
        }
    }
}

/// Whether a coordinator says of itself that it rules. Not asked of ZooKeeper, which may be what is frozen.
fn is_active(process: &Process) -> bool {
    process.metrics().is_ok_and(|metrics| metrics.get("bellwether_master_is_active", &[]) == Some(1.0))
}

/// The connection may break meanwhile: then nobody knows whether it was done, and nobody needs to.
fn delete(cluster: &Cluster, stroke: &Stroke) -> String {
    let path = match stroke.target {
        Target::Office => "/master".to_owned(),
        Target::Epoch => "/bellwether/epoch".to_owned(),
        Target::Registration(i) => match cluster.incarnation(&worker_name(i)) {
            Some(incarnation) => format!("/workers/{incarnation}"),
            None => return "it is not registered".to_owned(),
        },
        Target::Coordinator(_) | Target::Worker(_) | Target::Server(_) => unreachable!("no node"),
    };
    cluster.tree().try_commit(&Multi::new().delete(path, None)).err().unwrap_or_default()
}

/// Does what is to do (`false`) and heals it (`true`), in the order of the times, and writes down when.
fn carry_out(begun: Instant, strokes: Vec<Stroke>, mut act: impl FnMut(&Stroke, bool) -> String) -> Vec<Struck> {
    let steps = steps(&strokes);
    let untouched = |stroke| Struck { stroke, done_ms: 0, healed_ms: 0, note: String::new() };
    let mut struck: Vec<Struck> = strokes.into_iter().map(untouched).collect();
    for (at, i, heals) in steps {
        std::thread::sleep((begun + at).saturating_duration_since(Instant::now()));
        // The window is not to be narrower than the harm.
        if !heals {
            struck[i].done_ms = now_ms();
        }
        let note = act(&struck[i].stroke, heals);
        struck[i].note.push_str(&note);
        if heals {
            struck[i].healed_ms = now_ms();
        }
    }
    struck
}

/// All that is to do, in its order: when, which stroke, whether it is the healing.
fn steps(strokes: &[Stroke]) -> Vec<(Duration, usize, bool)> {
    let both = |(i, stroke): (usize, &Stroke)| [(stroke.at, i, false), (stroke.at + stroke.lasts, i, true)];
    let mut steps: Vec<(Duration, usize, bool)> = strokes.iter().enumerate().flat_map(both).collect();
    // Stable: what lasts no time is healed after it was done.
    steps.sort_by_key(|(at, _, _)| *at);
    steps
}

/// The wall clock, in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
