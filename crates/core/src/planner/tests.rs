//! Plans, and what must hold of all of them.

use proptest::prelude::*;

use super::*;
use crate::protocol::TaskName;

fn ticket(priority: i32, czxid: i64) -> Ticket {
    Ticket::new(priority, czxid, czxid, Entry::pending(TaskName::listed(&format!("t{czxid}"))))
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn placed(plan: &[Placement]) -> Vec<(String, String)> {
    plan.iter().map(|p| (p.entry.task.to_string(), p.worker.to_string())).collect()
}

fn offer<'a>(worker: &'a WorkerId, labels: &'a BTreeMap<String, String>, capacity: u32, load: u32) -> Offer<'a> {
    let amount = |slots| Amount { slots, ..Amount::default() };
    let (skills, has, taken) = (Skills::COMMANDS, amount(capacity), amount(load));
    Offer { worker, skills, labels, has, taken, tasks: load, lookahead: 0, brisk: false, reserved: false, draining: false }
}

#[test]
fn higher_priority_first_then_age_and_the_least_loaded_worker() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let mut queue = Queue::default();
    for ticket in [ticket(0, 1), ticket(5, 2), ticket(0, 3)] {
        queue.insert(Requirement::default(), ticket);
    }
    let plan = solve(&queue, vec![offer(&a, &none, 4, 2), offer(&b, &none, 4, 1)], 10);
    assert_eq!(placed(&plan), [("t2", "b"), ("t1", "a"), ("t3", "b")].map(|(t, w)| (t.to_owned(), w.to_owned())));
}

#[test]
fn of_many_that_wait_each_worker_is_given_all_that_it_takes_and_of_few_each_gets_some() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let plan = |waiting: i64, limit| {
        let mut queue = Queue::default();
        (1..=waiting).for_each(|czxid| drop(queue.insert(Requirement::default(), ticket(0, czxid))));
        let ahead = |worker, load| Offer { lookahead: 2, ..offer(worker, &none, 3, load) };
        let plan = solve(&queue, vec![ahead(&a, 1), ahead(&b, 0)], limit);
        plan.iter().map(|placement| placement.worker.to_string()).collect::<String>()
    };
    assert_eq!(plan(4, 9), "baba", "the last slot stays free: the load is spread");
    assert_eq!(plan(5, 9), "bbbaa");
    assert_eq!(plan(8, 9), "bbbaaaba", "all slots first; of what waits there, less than there is room for");
    assert_eq!(plan(9, 9), "bbbaaaabb");
    assert_eq!(plan(9, 2), "bb", "the others follow with the next transaction");
}

#[test]
fn of_few_that_end_quickly_each_worker_is_given_what_fits_into_its_slots() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let plan = |waiting: i64, brisk: [bool; 2]| {
        let mut queue = Queue::default();
        (1..=waiting).for_each(|czxid| drop(queue.insert(Requirement::default(), ticket(0, czxid))));
        let ahead = |worker, load, brisk| Offer { lookahead: 2, brisk, ..offer(worker, &none, 3, load) };
        let plan = solve(&queue, vec![ahead(&a, 1, brisk[0]), ahead(&b, 0, brisk[1])], 9);
        plan.iter().map(|placement| placement.worker.to_string()).collect::<String>()
    };
    assert_eq!(plan(4, [true, true]), "bbba", "the least loaded first");
    assert_eq!(plan(4, [true, false]), "baab", "only where tasks are known to be short");
    assert_eq!(plan(7, [true, true]), "bbbaaab", "what would wait is spread");
    // Who was given something that only it can run is not filled with what others can.
    let skills = Skills { commands: true, kinds: ["resize".to_owned()].into() };
    let mut queue = Queue::default();
    queue.insert(Requirement { kind: Some("resize".to_owned()), ..Requirement::default() }, ticket(0, 1));
    (2..4).for_each(|czxid| drop(queue.insert(Requirement::default(), ticket(0, czxid))));
    let able = Offer { brisk: true, skills: &skills, ..offer(&a, &none, 4, 0) };
    let plan = solve(&queue, vec![able, offer(&b, &none, 4, 0)], 9);
    assert_eq!(placed(&plan), [("t1", "a"), ("t2", "b"), ("t3", "a")].map(|(t, w)| (t.to_owned(), w.to_owned())));
}

#[test]
fn what_nobody_can_take_holds_up_nothing_else() {
    let (a, gpu) = (WorkerId::listed("a"), labels(&[("gpu", "yes")]));
    let none = BTreeMap::new();
    let mut queue = Queue::default();
    queue.insert(Requirement { labels: gpu, ..Requirement::default() }, ticket(9, 1));
    queue.insert(Requirement::default(), ticket(0, 2));
    let plan = solve(&queue, vec![offer(&a, &none, 1, 0)], 10);
    assert_eq!(placed(&plan), [("t2".to_owned(), "a".to_owned())]);
}

#[test]
fn what_a_rate_holds_back_holds_up_nothing_else() {
    let (a, none) = (WorkerId::listed("a"), BTreeMap::new());
    let blue = Label::parse("team=blue").expect("a label");
    let mut queue = Queue::default();
    let limited = Requirement { limited: Some(vec![blue.clone()].into()), ..Requirement::default() };
    (1..4).for_each(|czxid| drop(queue.insert(limited.clone(), ticket(9, czxid))));
    queue.insert(Requirement { limited: limited.limited, ..wide(8, &[]) }, ticket(10, 9));
    queue.insert(Requirement::default(), ticket(0, 4));
    let plan = |most| {
        let mut allowances = Allowances::default();
        allowances.allow(blue.clone(), most);
        let plan = solve_within(&queue, vec![offer(&a, &none, 4, 0)], 10, &mut allowances);
        (placed(&plan).into_iter().map(|(task, _)| task).collect::<Vec<_>>(), allowances.left(&blue))
    };
    assert_eq!(plan(0), (vec!["t4".to_owned()], Some(0)));
    assert_eq!(plan(2), (["t1", "t2", "t4"].map(str::to_owned).to_vec(), Some(0)));
    assert!(queue.has(&blue) && !Queue::default().has(&blue));
}

#[test]
fn a_task_that_must_be_alone_gets_an_idle_worker_for_itself() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let mut queue = Queue::default();
    queue.insert(Requirement { alone: true, ..Requirement::default() }, ticket(0, 1));
    queue.insert(Requirement::default(), ticket(0, 2));
    let plan = solve(&queue, vec![offer(&a, &none, 8, 1), offer(&b, &none, 8, 0)], 10);
    assert_eq!(placed(&plan), [("t1", "b"), ("t2", "a")].map(|(t, w)| (t.to_owned(), w.to_owned())));
}

#[test]
fn a_worker_is_kept_free_for_the_oldest_task_if_that_must_be_alone() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let mut queue = Queue::default();
    queue.insert(Requirement { alone: true, ..Requirement::default() }, ticket(0, 1));
    for czxid in 2..9 {
        queue.insert(Requirement::default(), ticket(0, czxid));
    }
    let plan = solve(&queue, vec![offer(&a, &none, 4, 1), offer(&b, &none, 4, 2)], 10);
    assert_eq!(placed(&plan), [("t2", "b"), ("t3", "b")].map(|(t, w)| (t.to_owned(), w.to_owned())), "a is left to become idle");
    let plan = solve(&queue, vec![offer(&a, &none, 4, 0), offer(&b, &none, 4, 4)], 10);
    assert_eq!(placed(&plan), [("t1".to_owned(), "a".to_owned())]);
}

#[test]
fn who_waits_behind_kept_room_is_told_for_whom_it_is_kept() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let mut queue = Queue::default();
    queue.insert(wide(4, &[]), ticket(0, 1));
    queue.insert(Requirement::default(), ticket(0, 2));
    let offers = [offer(&a, &none, 4, 2), offer(&b, &none, 1, 1)];
    let told = |requirement: &Requirement, ticket: Option<&Ticket>, allowances: &Allowances| -> Vec<Vec<&str>> {
        let all = prospects(&queue, &offers, allowances, requirement, ticket);
        all.iter().map(|why| why.iter().map(Exclusion::word).collect()).collect()
    };
    let free = Allowances::default();
    assert_eq!(told(&Requirement::default(), Some(&ticket(0, 2)), &free), [vec!["kept"], vec!["full"]]);
    assert_eq!(told(&Requirement::default(), None, &free), [vec!["kept"], vec!["full"]], "not submitted yet");
    assert_eq!(told(&wide(4, &[]), Some(&ticket(0, 1)), &free), [vec!["full"], vec!["slots"]], "it is its own room");
    let why = prospects(&queue, &offers, &free, &Requirement::default(), None);
    assert_eq!(why[0][0].to_string(), "what is free of it is kept for t1, which goes before and needs more");
    assert!(solve(&queue, offers.to_vec(), 10).is_empty(), "as the plan does");
    // What a rate holds back keeps no room.
    let blue = Label::parse("team=blue").expect("a label");
    let mut queue = Queue::default();
    let limited = Requirement { limited: Some(vec![blue.clone()].into()), ..wide(4, &[]) };
    queue.insert(limited, ticket(0, 1));
    let mut none_left = Allowances::default();
    none_left.allow(blue.clone(), 0);
    assert_eq!(prospects(&queue, &offers, &none_left, &Requirement::default(), None)[0], []);
    assert_eq!((queue.ahead(&blue, &ticket(0, 2)), queue.ahead(&blue, &ticket(0, 1))), (1, 0));
}

proptest! {
    #[test]
    fn nobody_is_overloaded_nothing_is_placed_twice_and_no_slot_stays_free_while_its_task_waits(
        waiting in proptest::collection::vec((-3..3i32, 0..3u8), 0..40),
        workers in proptest::collection::vec((0..5u32, 0..5u32, 0..3u8), 0..6), brisk in 0..64u8,
    ) {
        let zone = |n: u8| if n == 0 { BTreeMap::new() } else { labels(&[("zone", &n.to_string())]) };
        let mut queue = Queue::default();
        for (czxid, (priority, wants)) in waiting.iter().enumerate() {
            queue.insert(Requirement { labels: zone(*wants), ..Requirement::default() }, ticket(*priority, czxid as i64));
        }
        let named: Vec<_> = workers.iter().enumerate().map(|(i, (c, l, z))| (WorkerId::listed(&format!("w{i}")), zone(*z), *c, *l)).collect();
        let offers = named.iter().enumerate().map(|(i, (w, z, c, l))| Offer { brisk: brisk & (1 << i) != 0, ..offer(w, z, *c, *l) }).collect();
        let plan = solve(&queue, offers, usize::MAX);
        let tasks: BTreeSet<_> = plan.iter().map(|p| p.entry.task.clone()).collect();
        prop_assert_eq!(tasks.len(), plan.len());
        for (worker, has, capacity, load) in &named {
            let given = plan.iter().filter(|p| p.worker == *worker).count() as u32;
            prop_assert!(given == 0 || load + given <= *capacity);
            let left = waiting.iter().enumerate().any(|(i, (_, wants))| {
                let fits = zone(*wants).iter().all(|(k, v)| has.get(k) == Some(v));
                fits && !tasks.contains(&TaskName::listed(&format!("t{i}")))
            });
            prop_assert!(!left || load + given >= *capacity, "{} has room and a task for it waits", worker);
        }
    }
}

fn wide(slots: u32, resources: &[(&str, u32)]) -> Requirement {
    let resources = resources.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    Requirement { amount: Amount { slots, resources }, ..Requirement::default() }
}

fn pairs(plan: &[Placement]) -> Vec<String> {
    plan.iter().map(|p| format!("{} {}", p.entry.task, p.worker)).collect()
}

#[test]
fn a_task_takes_its_slots_and_its_resources() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let mut queue = Queue::default();
    queue.insert(wide(2, &[("gpu", 1)]), ticket(0, 1));
    queue.insert(wide(2, &[("gpu", 1)]), ticket(0, 2));
    queue.insert(wide(3, &[]), ticket(0, 3));
    queue.insert(Requirement::default(), ticket(0, 4));
    let mut with_gpu = offer(&b, &none, 4, 0);
    with_gpu.has.resources.insert("gpu".to_owned(), 1);
    assert_eq!(pairs(&solve(&queue, vec![offer(&a, &none, 4, 0), with_gpu], 10)), ["t1 b", "t3 a", "t4 b"], "one gpu, one task");
}

#[test]
fn room_is_kept_for_a_wide_task_where_the_least_is_missing() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let mut queue = Queue::default();
    queue.insert(wide(5, &[]), ticket(9, 1));
    queue.insert(wide(4, &[]), ticket(0, 2));
    (3..9).for_each(|czxid| drop(queue.insert(Requirement::default(), ticket(0, czxid))));
    let plan = solve(&queue, vec![offer(&a, &none, 4, 3), offer(&b, &none, 4, 2)], 10);
    assert_eq!(pairs(&plan), ["t3 a"], "b is left to become free; that nobody can ever run the first is no reason to keep anything");
    let plan = solve(&queue, vec![offer(&a, &none, 4, 4), offer(&b, &none, 4, 0)], 10);
    assert_eq!(pairs(&plan), ["t2 b"]);
}

#[test]
fn what_waits_for_a_resource_keeps_nobody_from_slots_that_it_does_not_need() {
    let (a, none) = (WorkerId::listed("a"), BTreeMap::new());
    let mut queue = Queue::default();
    queue.insert(wide(1, &[("gpu", 1)]), ticket(0, 1));
    (2..9).for_each(|czxid| drop(queue.insert(Requirement::default(), ticket(0, czxid))));
    let mut busy = offer(&a, &none, 4, 1);
    busy.has.resources.insert("gpu".to_owned(), 1);
    busy.taken.resources.insert("gpu".to_owned(), 1);
    assert_eq!(pairs(&solve(&queue, vec![busy], 10)), ["t2 a", "t3 a"], "of three free slots one is kept");
}

#[test]
fn only_what_takes_one_slot_waits_at_a_worker_and_only_where_nobody_starts_it() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let ahead = |worker, load| Offer { lookahead: 1, ..offer(worker, &none, 2, load) };
    let mut queue = Queue::default();
    (1..9).for_each(|czxid| drop(queue.insert(Requirement::default(), ticket(0, czxid))));
    assert_eq!(pairs(&solve(&queue, vec![ahead(&a, 1), ahead(&b, 0)], 10)), ["t1 b", "t2 b", "t3 a", "t4 a", "t5 b"]);
    let mut queue = Queue::default();
    queue.insert(wide(2, &[]), ticket(0, 1));
    assert_eq!(pairs(&solve(&queue, vec![ahead(&a, 2)], 10)), [""; 0]);
}

#[test]
fn every_exclusion_says_what_is_in_the_way() {
    let (a, zone) = (WorkerId::listed("a"), labels(&[("zone", "eu")]));
    let says =
        |offer: &Offer<'_>, requirement: &Requirement| offer.exclusions(requirement).iter().map(ToString::to_string).collect::<Vec<_>>();
    let busy = Offer { lookahead: 1, ..offer(&a, &zone, 4, 3) };
    let far = Requirement { labels: labels(&[("zone", "us"), ("disk", "ssd")]), ..wide(5, &[("gpu", 1)]) };
    let expected = [
        "it has no label disk, the task requires disk=ssd",
        "it has zone=eu, the task requires zone=us",
        "it has 4 slots in all, the task needs 5",
        "it has gpu=0 in all, the task needs gpu=1",
    ];
    assert_eq!(says(&busy, &far), expected);
    assert_eq!(says(&busy, &wide(2, &[])), ["1 of its slots are free, the task needs 2"]);
    assert_eq!(says(&busy, &Requirement { alone: true, ..Requirement::default() }), ["the task must run alone, and it has 3 others"]);
    assert_eq!(says(&Offer { reserved: true, ..busy.clone() }, &Requirement::default()), ["it has a task that must run alone"]);
    assert_eq!(says(&Offer { draining: true, ..busy.clone() }, &Requirement::default()), ["it is draining"]);
    let typed = Requirement { kind: Some("resize".to_owned()), ..wide(5, &[]) };
    let expected = ["it has no handler for tasks of kind resize", "it has 4 slots in all, the task needs 5"];
    assert_eq!(says(&busy, &typed), expected);
    let skills = Skills { commands: false, kinds: ["resize".to_owned()].into() };
    let embedded = Offer { skills: &skills, ..offer(&a, &zone, 8, 0) };
    assert_eq!(says(&embedded, &Requirement::default()), ["it runs no commands"]);
    assert!(!Exclusion::Kind(None).passes() && says(&embedded, &typed).is_empty());
    assert_eq!(says(&busy, &Requirement::default()), [""; 0]);
}

#[test]
fn a_task_for_a_handler_goes_where_there_is_one_and_a_command_where_commands_are_run() {
    let (a, b, none) = (WorkerId::listed("a"), WorkerId::listed("b"), BTreeMap::new());
    let skills = Skills { commands: false, kinds: ["resize".to_owned()].into() };
    let offers = || vec![offer(&a, &none, 1, 0), Offer { skills: &skills, ..offer(&b, &none, 4, 0) }];
    let typed = |kind: &str| Requirement { kind: Some(kind.to_owned()), ..Requirement::default() };
    let mut queue = Queue::default();
    queue.insert(typed("crawl"), ticket(0, 1));
    queue.insert(typed("resize"), ticket(0, 2));
    queue.insert(Requirement::default(), ticket(0, 3));
    queue.insert(typed("resize"), ticket(0, 4));
    queue.insert(Requirement::default(), ticket(0, 5));
    assert_eq!(placed(&solve(&queue, offers(), 10)), [("t2", "b"), ("t3", "a"), ("t4", "b")].map(|(t, w)| (t.to_owned(), w.to_owned())));
}

/// A little world of one queue: tasks arrive and end as they like, and each plan is carried out.
fn overtaken(priorities: &[i32], arrivals: usize, slots: u32) -> Vec<(i64, i32, i64)> {
    let (a, none) = (WorkerId::listed("a"), BTreeMap::new());
    let (mut queue, mut running, mut placed) = (Queue::default(), 0, Vec::new());
    // Half a minute between two of them, twice as many as can be run.
    for minute_half in 0..arrivals as i64 {
        for twice in 0..2 {
            let (czxid, priority) = (minute_half * 2 + twice, priorities[(minute_half as usize * 2 + twice as usize) % priorities.len()]);
            let entry = Entry::pending(TaskName::listed(&format!("{priority} {minute_half}")));
            queue.insert(Requirement::default(), Ticket::new(priority, minute_half * 30_000, czxid, entry));
        }
        running = u32::min(running, slots - 1);
        for placement in solve(&queue, vec![offer(&a, &none, slots, running)], 1) {
            let ticket =
                queue.queues[&Requirement::default()].iter().find(|ticket| ticket.entry == placement.entry).cloned().expect("it waits");
            queue.remove(&Requirement::default(), &ticket);
            let name = ticket.entry.task.to_string();
            let (priority, created) = name.split_once(' ').expect("both");
            placed.push((minute_half * 30_000, priority.parse().expect("a number"), created.parse::<i64>().expect("a number") * 30_000));
            running += 1;
        }
    }
    placed
}

proptest! {
    /// The bound: whatever is placed before an older task of lower priority was created at most as many minutes after it as its priority
    /// is higher; however much arrives, and although twice as much arrives as can be run.
    #[test]
    fn nothing_is_overtaken_by_what_was_created_later_than_its_priority_is_worth(
        priorities in proptest::collection::vec(-5..5i32, 1..8), slots in 1..3u32,
    ) {
        let placed = overtaken(&priorities, 300, slots);
        for (index, (_, priority, created)) in placed.iter().enumerate() {
            for (_, before, younger) in &placed[..index] {
                let worth = i64::from(before - priority) * PRIORITY_STEP_MS;
                prop_assert!(younger - created <= worth.max(0), "{} of {} overtook {} of {}", before, younger, priority, created);
            }
        }
    }

    #[test]
    fn who_is_excluded_is_told_why_and_nobody_else(
        has in (0..4u32, 0..3u32), taken in (0..6u32, 0..3u32), wants in (1..5u32, 0..3u32),
        flags in proptest::bits::u8::masked(0b1_1111), lookahead in 0..2u32, tasks in 0..3u32,
    ) {
        let (a, zone, none) = (WorkerId::listed("a"), labels(&[("zone", "eu")]), BTreeMap::new());
        let amount = |(slots, gpu): (u32, u32)| Amount { slots, resources: if gpu > 0 { [("gpu".to_owned(), gpu)].into() } else { BTreeMap::new() } };
        let flag = |bit: u8| flags & (1 << bit) != 0;
        let labels = if flag(0) { &zone } else { &none };
        let skills = Skills { commands: flag(5), kinds: ["resize".to_owned()].into() };
        let (has, taken, reserved, draining) = (amount(has), amount(taken), flag(1), flag(2));
        let offer = Offer { worker: &a, skills: &skills, labels, has, taken, tasks, lookahead, brisk: false, reserved, draining };
        let labels = if flag(3) { zone.clone() } else { BTreeMap::new() };
        let requirement = Requirement { kind: flag(6).then(|| "resize".to_owned()), labels, alone: flag(4), amount: amount(wants), limited: None };
        prop_assert_eq!(offer.takes(&requirement), offer.exclusions(&requirement).is_empty());
    }
}
