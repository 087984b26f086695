//! How good placement is: tasks of mixed length on workers of mixed size, the time until the last one has ended beside the least possible.
//!
//! Simulated with the planner itself, to the second and the same each time, and measured on a real cluster.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_core::planner::{self, Amount, Holder, Offer, Queue, Requirement, Skills, Ticket};
use bellwether_core::protocol::{TaskName, WorkerId};
use bellwether_core::view::Entry;

use crate::Cluster;
use crate::history::Step;

/// How many tasks.
pub const TASKS: usize = 1000;
/// Slots of each worker.
const WORKERS: [u32; 8] = [1, 1, 2, 2, 4, 4, 8, 16];

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// Until the last task had ended.
    pub makespan: u64,
    /// All work, spread evenly over all slots; or the longest task, if that takes longer.
    pub least: u64,
    /// As if every slot were busy until the last and longest task begins: nobody who does not know lengths can promise less.
    pub most: u64,
}

/// Lengths of which most are short and few are long, in units of time: the same each time.
#[must_use]
pub fn lengths(tasks: usize) -> Vec<u64> {
    let mut chance = 7_u64;
    let mut draw = |most: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % most
    };
    let length = |_| match draw(100) {
        0..80 => 1 + draw(10),
        80..96 => 10 + draw(50),
        _ => 100 + draw(100),
    };
    (0..tasks).map(length).collect()
}

/// What is the least and the most that these may take.
#[must_use]
pub fn bounds(lengths: &[u64]) -> (u64, u64) {
    let (work, longest) = (lengths.iter().sum::<u64>(), lengths.iter().copied().max().unwrap_or(0));
    let even = work.div_ceil(u64::from(WORKERS.iter().sum::<u32>()));
    (even.max(longest), even + longest)
}

struct Site {
    worker: WorkerId,
    slots: u32,
    running: Vec<u64>,
    waiting: VecDeque<TaskName>,
}

/// Runs them all, as the planner decides. `recall`: whether work that waits at a worker is asked back for one that is idle.
#[must_use]
pub fn simulate(lengths: &[u64], lookahead: u32, recall: bool) -> Quality {
    let of: BTreeMap<TaskName, u64> =
        lengths.iter().enumerate().map(|(i, length)| (TaskName::listed(&format!("t{i:05}")), *length)).collect();
    let site = |(i, slots): (usize, &u32)| Site {
        worker: WorkerId::listed(&format!("w{i}")),
        slots: *slots,
        running: vec![],
        waiting: VecDeque::new(),
    };
    let mut sites: Vec<Site> = WORKERS.iter().enumerate().map(site).collect();
    let mut queue = Queue::default();
    let ticket = |task: &TaskName, czxid| Ticket::new(0, 0, czxid, Entry::pending(task.clone()));
    let mut tickets: BTreeMap<TaskName, Ticket> = of.keys().enumerate().map(|(i, task)| (task.clone(), ticket(task, i as i64))).collect();
    tickets.values().for_each(|ticket| drop(queue.insert(Requirement::default(), ticket.clone())));
    let (mut now, mut makespan, mut back) = (0, 0, of.len() as i64);
    loop {
        for placement in planner::solve(&queue, offers(&sites, lookahead), usize::MAX) {
            queue.remove(&Requirement::default(), &tickets[&placement.entry.task]);
            let site = sites.iter_mut().find(|site| site.worker == placement.worker).expect("one of them");
            site.waiting.push_back(placement.entry.task);
        }
        for site in &mut sites {
            while (site.running.len() as u32) < site.slots
                && let Some(task) = site.waiting.pop_front()
            {
                site.running.push(now + of[&task]);
                makespan = makespan.max(now + of[&task]);
            }
        }
        if recall
            && give_back(&mut sites, lookahead, &mut |task| {
                back += 1;
                tickets.insert(task.clone(), ticket(&task, back));
                queue.insert(Requirement::default(), tickets[&task].clone());
            })
        {
            continue;
        }
        let Some(next) = sites.iter().flat_map(|site| &site.running).min().copied() else { break };
        now = next;
        sites.iter_mut().for_each(|site| site.running.retain(|end| *end > now));
    }
    let (least, most) = bounds(lengths);
    Quality { makespan, least, most }
}

fn offer(site: &Site, lookahead: u32) -> Offer<'_> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    let Site { worker, slots, .. } = site;
    let tasks = site.tasks();
    let amount = |slots| Amount { slots, ..Amount::default() };
    let (skills, labels, has, taken) = (Skills::COMMANDS, &NONE, amount(*slots), amount(tasks));
    Offer { worker, skills, labels, has, taken, tasks, lookahead, brisk: false, reserved: false, draining: false }
}

fn offers(sites: &[Site], lookahead: u32) -> Vec<Offer<'_>> {
    sites.iter().map(|site| offer(site, lookahead)).collect()
}

impl Site {
    fn tasks(&self) -> u32 {
        (self.running.len() + self.waiting.len()) as u32
    }

    fn holder(&self) -> Holder<'_> {
        let tasks = self.waiting.iter().map(|task| (task, Arc::default())).collect();
        Holder { worker: &self.worker, excess: self.tasks().saturating_sub(self.slots), tasks }
    }
}

/// Whether anything was given back.
fn give_back(sites: &mut [Site], lookahead: u32, again: &mut dyn FnMut(TaskName)) -> bool {
    let holders = sites.iter().map(Site::holder).collect();
    let asked = planner::recalls(&Queue::default(), offers(sites, lookahead), holders, 0);
    for recall in &asked {
        let site = sites.iter_mut().find(|site| site.worker == recall.worker).expect("one of them");
        (0..recall.most).filter_map(|_| site.waiting.pop_back()).for_each(&mut *again);
    }
    !asked.is_empty()
}

/// Prints the simulation, and then a real cluster beside it, in which a unit takes so long.
pub fn print(unit: Duration) {
    let lengths = lengths(TASKS);
    let (least, most) = bounds(&lengths);
    println!(
        "{TASKS} tasks, {} units of work, on {} workers with {} slots",
        lengths.iter().sum::<u64>(),
        WORKERS.len(),
        WORKERS.iter().sum::<u32>()
    );
    println!("at least {least} units; whoever does not know lengths can promise {most}");
    for (lookahead, recall) in [(0, true), (1, true), (1, false), (8, true), (8, false)] {
        let Quality { makespan, .. } = simulate(&lengths, lookahead, recall);
        let (how, share) = (if recall { "" } else { ", nothing recalled" }, makespan * 100 / least);
        println!("  planned, lookahead {lookahead}{how}: {makespan} units, {share} % of the least");
    }
    for lookahead in [0, 1] {
        let took = measure(&lengths, lookahead, unit).as_secs_f64() / unit.as_secs_f64();
        println!("  measured, lookahead {lookahead}: {took:.0} units of {unit:?}, {:.0} % of the least", took * 100.0 / least as f64);
    }
    let shares = balance(TASKS, unit);
    println!("{TASKS} tasks of {unit:?} over {} workers with four slots each: {shares:?} tasks", shares.len());
}

/// Runs so many tasks of the same length on two workers of the same size; how many each was given, by ZooKeeper's log.
///
/// # Panics
/// Something does not happen in time.
#[must_use]
pub fn balance(tasks: usize, length: Duration) -> Vec<usize> {
    let cluster = Cluster::new();
    let _coordinator = cluster.coordinator("c1");
    let _workers = ["w1", "w2"].map(|name| cluster.worker(name, 4));
    let workers = ["w1", "w2"].map(|name| cluster.registered(name));
    let tasks = cluster.put_many("even-", (0..tasks).map(|_| format!("exec sleep {}", length.as_secs_f64())));
    tasks.iter().for_each(|task| assert_eq!(cluster.status_of(task), "done"));
    let history = cluster.history();
    let last = |task: &String| {
        let steps = history.tasks.get(task).into_iter().flatten().rev();
        steps.into_iter().find_map(|(_, step)| if let Step::Assigned(worker) = step { Some(worker.clone()) } else { None })
    };
    let given: Vec<String> = tasks.iter().filter_map(last).collect();
    workers.iter().map(|worker| given.iter().filter(|to| *to == worker).count()).collect()
}

fn measure(lengths: &[u64], lookahead: u32, unit: Duration) -> Duration {
    let cluster = Cluster::builder().setting("coordinator.lookahead", &lookahead.to_string()).start();
    let _coordinator = cluster.coordinator("c1");
    let _workers: Vec<_> = WORKERS.iter().enumerate().map(|(i, slots)| cluster.worker(&format!("w{i}"), *slots as usize)).collect();
    (0..WORKERS.len()).for_each(|i| drop(cluster.registered(&format!("w{i}"))));
    let began = Instant::now();
    let lines = lengths.iter().map(|length| format!("exec sleep {}", *length as f64 * unit.as_secs_f64()));
    let tasks = cluster.put_many("placed-", lines);
    tasks.iter().for_each(|task| assert_eq!(cluster.status_of(task), "done"));
    began.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_slot_is_idle_while_anything_waits_however_much_is_given_ahead() {
        let lengths = lengths(TASKS);
        for lookahead in [0, 1, 8] {
            let Quality { makespan, least, most } = simulate(&lengths, lookahead, true);
            println!("lookahead {lookahead}: {makespan}, least {least}, most {most}");
            assert!(makespan <= most, "{makespan} of {least} to {most}");
        }
        // The end of a long day: what waits behind long tasks moves to idle slots, or it makes the day longer.
        let long: Vec<u64> = lengths.iter().copied().filter(|length| *length > 9).collect();
        let days = |recall| -> u64 { (50..90).step_by(5).map(|few| simulate(&long[..few], 8, recall).makespan).sum() };
        let (kept, moved) = (days(false), days(true));
        assert!(kept > moved, "{kept} without asking anything back, {moved} with it");
    }
}
