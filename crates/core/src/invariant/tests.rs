//! Each promise, kept and broken.

mod arrays;

use super::*;
use crate::protocol::path;

const MASTER: i64 = 7;
const WORKER: i64 = 8;
const CLIENT: i64 = 1;
/// A name of our form for [`WORKER`].
const OURS: &str = "w-0000000000000008";

fn node(path: &str, ephemeral: bool, data: Option<&str>) -> Committed {
    Committed::Create { path: path.into(), ephemeral, data: data.map(|data| data.as_bytes().to_vec()) }
}

fn create(path: &str) -> Committed {
    node(path, false, None)
}

fn holding(path: &str, data: &str) -> Committed {
    node(path, false, Some(data))
}

fn ephemeral(path: &str) -> Committed {
    node(path, true, None)
}

fn delete(path: &str) -> Committed {
    Committed::Delete { path: path.into() }
}

fn check(path: &str) -> Committed {
    Committed::Check { path: path.into(), version: 1 }
}

fn epoch(version: i32) -> Committed {
    Committed::Set { path: path::EPOCH.into(), version, data: None }
}

/// What a master of ours writes: behind the fence.
fn fenced(changes: impl IntoIterator<Item = Committed>) -> Vec<Committed> {
    [check(path::EPOCH), check(path::MASTER)].into_iter().chain(changes).collect()
}

struct Log {
    ledger: Ledger,
    zxid: i64,
}

impl Log {
    fn of(ledger: Ledger) -> Self {
        Self { ledger, zxid: 0 }
    }

    /// A root with a master and the workers `w` (out of the book) and [`OURS`], in which nobody tells of checks.
    fn cluster() -> Self {
        Self::started(Ledger::new())
    }

    /// The same, in which checks are told of.
    fn checked() -> Self {
        Self::started(Ledger::new().with_checks())
    }

    fn started(ledger: Ledger) -> Self {
        let mut log = Self::of(ledger);
        log.ok(MASTER, vec![ephemeral("/master"), epoch(5)]);
        for worker in ["w", OURS] {
            log.ok(WORKER, vec![create(&format!("/assign/{worker}")), ephemeral(&format!("/workers/{worker}"))]);
        }
        log
    }

    fn commit(&mut self, session: i64, changes: Vec<Committed>) -> Vec<Promise> {
        self.zxid += 1;
        let broken = self.ledger.examine(&Transaction { zxid: self.zxid, session, changes });
        broken.into_iter().map(|violation| violation.promise).collect()
    }

    #[track_caller]
    fn ok(&mut self, session: i64, changes: Vec<Committed>) {
        assert_eq!(self.commit(session, changes), []);
    }

    fn with_a_task(mut self) -> Self {
        self.ok(CLIENT, vec![holding("/tasks/t", "true")]);
        self
    }

    fn with_an_assigned_task(self) -> Self {
        let mut log = self.with_a_task();
        log.ok(MASTER, fenced([check("/workers/w"), holding("/assign/w/t", "true"), delete("/tasks/t")]));
        log
    }
}

#[test]
fn a_task_that_runs_once_breaks_nothing() {
    let mut log = Log::cluster().with_a_task();
    log.ok(MASTER, vec![create("/assign/w/t"), delete("/tasks/t")]);
    assert_eq!(log.ledger.unfinished().count(), 1);
    log.ok(WORKER, vec![delete("/assign/w/t"), create("/status/t")]);
    assert_eq!((log.ledger.ended().len(), log.ledger.unfinished().count()), (1, 0));
}

#[test]
fn an_epoch_that_does_not_grow_is_seen() {
    let mut log = Log::cluster();
    assert_eq!(log.commit(9, vec![epoch(5)]), [Promise::P1]);
    log.ok(9, vec![delete(path::EPOCH)]);
    log.ok(9, vec![create(path::EPOCH), epoch(1)]);
}

#[test]
fn two_masters_with_one_epoch_are_seen_unless_the_first_has_ended() {
    let start_over = |first_ended: bool| {
        let mut log = Log::checked();
        let ended = if first_ended { Committed::SessionEnded } else { delete(path::MASTER) };
        log.ok(MASTER, vec![ended]);
        log.ok(CLIENT, vec![delete(path::EPOCH), create(path::EPOCH)]);
        log.commit(9, vec![ephemeral("/master"), epoch(5)])
    };
    assert_eq!(start_over(false), [Promise::P1]);
    assert_eq!(start_over(true), []);
}

#[test]
fn whoever_is_not_in_office_moves_nothing() {
    let mut log = Log::cluster().with_an_assigned_task();
    log.ok(WORKER, vec![delete("/assign/w/t"), create("/tasks/t")]);
    log.ok(MASTER, vec![delete("/master")]);
    log.ok(9, vec![ephemeral("/master"), epoch(6)]);
    assert_eq!(log.commit(MASTER, vec![create("/assign/w/t"), delete("/tasks/t")]), [Promise::P2]);
    assert_eq!(log.commit(MASTER, vec![delete("/assign/w/t"), create("/tasks/t")]), [Promise::P2]);
}

#[test]
fn a_task_is_ended_by_who_rules_or_by_the_worker_that_has_it() {
    let mut log = Log::cluster().with_an_assigned_task();
    assert_eq!(log.commit(CLIENT, vec![delete("/assign/w/t"), create("/status/t")]), [Promise::P2]);
    let mut log = Log::cluster().with_an_assigned_task();
    log.ok(WORKER, vec![delete("/workers/w")]);
    assert_eq!(log.commit(WORKER, vec![delete("/assign/w/t"), create("/status/t")]), [Promise::P2], "a dead worker");
    let mut log = Log::cluster().with_an_assigned_task();
    log.ok(WORKER, vec![Committed::SessionEnded]);
    assert_eq!(log.commit(WORKER, vec![delete("/assign/w/t"), create("/status/t")]), [Promise::P2], "a dead session");
    let mut log = Log::cluster().with_an_assigned_task();
    log.ok(MASTER, vec![delete("/assign/w/t"), create("/status/t")]);
}

#[test]
fn a_master_without_its_fence_is_seen_where_checks_are_told() {
    let moves = || vec![check("/workers/w"), create("/assign/w/t"), delete("/tasks/t")];
    Log::cluster().with_a_task().ok(MASTER, moves());
    assert_eq!(Log::checked().with_a_task().commit(MASTER, moves()), [Promise::P2]);
    for half in [path::EPOCH, path::MASTER] {
        let changes = std::iter::once(check(half)).chain(moves()).collect();
        assert_eq!(Log::checked().with_a_task().commit(MASTER, changes), [Promise::P2], "{half} alone");
    }
    Log::checked().with_a_task().ok(MASTER, fenced(moves()));
    let mut late = moves();
    late.extend(fenced([]));
    assert_eq!(Log::checked().with_a_task().commit(MASTER, late), [Promise::P2], "the fence stands in front");
    for changes in [vec![delete("/assign/w/t"), holding("/tasks/t", "true")], vec![delete("/assign/w/t"), create("/status/t")]] {
        assert_eq!(Log::checked().with_an_assigned_task().commit(MASTER, changes), [Promise::P2]);
    }
    assert_eq!(Log::checked().with_a_task().commit(MASTER, vec![delete("/tasks/t"), create("/status/t")]), [Promise::P2]);
}

#[test]
fn a_worker_of_ours_proves_that_it_is_registered() {
    let (boxed, registration) = (format!("/assign/{OURS}/t"), format!("/workers/{OURS}"));
    let assigned = || {
        let mut log = Log::checked().with_a_task();
        log.ok(MASTER, fenced([check(&registration), create(&boxed), delete("/tasks/t")]));
        log
    };
    assigned().ok(WORKER, vec![check(&registration), delete(&boxed), create("/status/t")]);
    assert_eq!(assigned().commit(WORKER, vec![delete(&boxed), create("/status/t")]), [Promise::P2]);
    Log::checked().with_an_assigned_task().ok(WORKER, vec![delete("/assign/w/t"), create("/status/t")]);
}

#[test]
fn a_task_in_two_places_or_in_none_is_seen() {
    let mut log = Log::cluster();
    log.ok(CLIENT, vec![create("/tasks/t"), create("/tasks/u"), create("/tasks/v")]);
    assert_eq!(log.commit(MASTER, vec![create("/assign/w/t")]), [Promise::P3]);
    assert_eq!(log.commit(MASTER, vec![delete("/tasks/u"), create("/elsewhere")]), [Promise::P3]);
    assert_eq!(log.commit(CLIENT, vec![delete("/tasks/v")]), [Promise::P3], "also by a single operation");
    assert_eq!(Log::cluster().commit(MASTER, vec![create("/assign/w/t")]), [Promise::P3], "out of nowhere");
    let mut log = Log::cluster().with_a_task();
    log.ok(MASTER, vec![create(&format!("/assign/{OURS}/t")), delete("/tasks/t")]);
    assert_eq!(log.commit(WORKER, vec![create("/status/t")]), [Promise::P3], "the assignment is there still");
}

#[test]
fn a_worker_out_of_the_book_ends_in_two_writes_and_may_die_between_them() {
    let mut log = Log::checked().with_an_assigned_task();
    log.ok(WORKER, vec![create("/status/t")]);
    log.ok(WORKER, vec![delete("/assign/w/t")]);
    assert_eq!(log.ledger.unfinished().count(), 0);
    let mut log = Log::checked().with_an_assigned_task();
    log.ok(WORKER, vec![create("/status/t")]);
    log.ok(WORKER, vec![Committed::SessionEnded]);
    log.ok(MASTER, fenced([check("/status/t"), delete("/assign/w/t")]));
    assert_eq!(log.ledger.unfinished().count(), 0);
    // The other order: between its writes it is nowhere.
    let mut log = Log::checked().with_an_assigned_task();
    assert_eq!(log.commit(WORKER, vec![delete("/assign/w/t")]), [Promise::P3]);
    // Only its own: a second status is one whoever writes it.
    let mut log = Log::checked().with_an_assigned_task();
    log.ok(WORKER, vec![create("/status/t")]);
    assert_eq!(log.commit(MASTER, fenced([create("/tasks/t")])), [Promise::P3], "in three places");
}

#[test]
fn what_a_master_out_of_the_book_left_beside_its_status_may_be_run_again() {
    let mut log = Log::cluster();
    log.ok(CLIENT, vec![create("/tasks/t")]);
    log.ok(MASTER, vec![delete("/master")]);
    log.ok(9, vec![ephemeral("/master")]);
    log.ok(9, vec![create(&format!("/assign/{OURS}/t"))]);
    log.ok(WORKER, vec![delete(&format!("/assign/{OURS}/t")), create("/status/t")]);
    // It died between its two writes, and nobody of ours reads statuses: the worker finds the status and keeps it.
    log.ok(9, vec![delete("/master"), Committed::SessionEnded]);
    log.ok(10, vec![ephemeral("/master"), epoch(6)]);
    log.ok(10, vec![create(&format!("/assign/{OURS}/t")), delete("/tasks/t")]);
    log.ok(WORKER, vec![delete(&format!("/assign/{OURS}/t"))]);
    assert!(log.ledger.unfinished().next().is_none());
}

#[test]
fn a_master_out_of_the_book_moves_in_two_writes() {
    let mut log = Log::checked().with_a_task();
    log.ok(CLIENT, vec![create("/tasks/u")]);
    log.ok(MASTER, vec![Committed::SessionEnded]);
    log.ok(9, vec![ephemeral("/master")]);
    log.ok(9, vec![create("/assign/w/t")]);
    log.ok(9, vec![delete("/tasks/t")]);
    log.ok(9, vec![create("/assign/w/u")]);
    log.ok(9, vec![Committed::SessionEnded]);
    log.ok(MASTER, vec![ephemeral("/master"), epoch(6)]);
    log.ok(WORKER, vec![delete("/assign/w/u"), create("/status/u")]);
    log.ok(MASTER, fenced([check("/status/u"), delete("/tasks/u")]));
}

#[test]
fn a_second_status_is_seen() {
    let mut log = Log::cluster().with_an_assigned_task();
    log.ok(WORKER, vec![delete("/assign/w/t"), create("/status/t")]);
    assert_eq!(log.commit(CLIENT, vec![Committed::Set { path: "/status/t".into(), version: 1, data: None }]), [Promise::P4]);
    log.ok(CLIENT, vec![delete("/status/t")]);
    assert_eq!(log.commit(MASTER, vec![create("/status/t")]), [Promise::P4], "the first was removed, its life is over");
    let mut log = Log::cluster().with_an_assigned_task();
    log.ok(WORKER, vec![delete("/assign/w/t"), create("/status/t")]);
    assert_eq!(log.commit(MASTER, fenced([create("/tasks/t")])), [Promise::P4], "brought back");
}

#[test]
fn a_name_has_as_many_lives_as_it_is_submitted() {
    let mut log = Log::cluster().with_an_assigned_task();
    log.ok(WORKER, vec![delete("/assign/w/t"), create("/status/t")]);
    let mut log = log.with_a_task();
    log.ok(MASTER, fenced([check("/status/t"), delete("/tasks/t")]));
    log.ok(CLIENT, vec![delete("/status/t")]);
    let mut log = log.with_an_assigned_task();
    log.ok(WORKER, vec![delete("/assign/w/t"), create("/status/t")]);
}

#[test]
fn an_assignment_to_the_dead_is_seen() {
    let assign = || vec![create("/assign/w/t"), delete("/tasks/t")];
    let mut log = Log::cluster().with_a_task();
    log.ok(WORKER, vec![delete("/workers/w")]);
    assert_eq!(log.commit(MASTER, assign()), [Promise::P5]);
    log.ok(CLIENT, vec![create("/workers/w"), create("/tasks/u")]);
    assert_eq!(log.commit(MASTER, vec![create("/assign/w/u"), delete("/tasks/u")]), [Promise::P5], "a node that stays is no registration");
    assert_eq!(Log::checked().with_a_task().commit(MASTER, fenced(assign())), [Promise::P5], "nobody checked");
}

fn wrapped(losses: u32, line: &str) -> String {
    let mut task = crate::protocol::payload::decode(line.as_bytes()).expect("a shell line");
    task.envelope.losses = losses;
    String::from_utf8(task.encode()).expect("JSON")
}

#[test]
fn a_payload_that_is_lost_on_the_way_is_seen() {
    let mut log = Log::cluster().with_a_task();
    assert_eq!(log.commit(MASTER, vec![holding("/assign/w/t", "false"), delete("/tasks/t")]), [Promise::P7]);
    let mut log = Log::cluster().with_a_task();
    log.ok(CLIENT, vec![Committed::Set { path: "/tasks/t".into(), version: 1, data: None }]);
    log.ok(MASTER, vec![holding("/assign/w/t", "false"), delete("/tasks/t")]);
}

#[test]
fn counts_grow_by_one_with_each_worker_that_is_lost_and_by_nothing_else() {
    let lost = || {
        let mut log = Log::cluster().with_an_assigned_task();
        log.ok(WORKER, vec![Committed::SessionEnded]);
        log
    };
    let back = |payload: &str| vec![delete("/assign/w/t"), holding("/tasks/t", payload)];
    lost().ok(MASTER, back(&wrapped(1, "true")));
    assert_eq!(lost().commit(MASTER, back("true")), [Promise::P7], "not counted");
    assert_eq!(lost().commit(MASTER, back(&wrapped(2, "true"))), [Promise::P7], "counted twice");
    assert_eq!(lost().commit(MASTER, back(&wrapped(1, "false"))), [Promise::P7], "another command");
    Log::cluster().with_an_assigned_task().ok(WORKER, back("true"));
    let given_back = Log::cluster().with_an_assigned_task().commit(WORKER, back(&wrapped(1, "true")));
    assert_eq!(given_back, [Promise::P7], "what is given back counts nothing");
}

fn failed(failures: u32, line: &str) -> String {
    let mut task = crate::protocol::payload::decode(line.as_bytes()).expect("a shell line");
    (task.envelope.failures, task.envelope.delay_ms) = (failures, 1000);
    String::from_utf8(task.encode()).expect("JSON")
}

#[test]
fn a_failure_is_counted_by_whoever_lays_the_task_to_rest_and_by_nobody_else() {
    let rest = |payload: &str| vec![delete("/assign/w/t"), holding("/bellwether/held/t", payload)];
    let resting = || {
        let mut log = Log::cluster().with_an_assigned_task();
        log.ok(WORKER, rest(&failed(1, "true")));
        log
    };
    assert_eq!(resting().ledger.unfinished_counts(), (1, 0, 0), "it waits");
    let assigned = |payload: &str| fenced([check("/workers/w"), holding("/assign/w/t", payload), delete("/bellwether/held/t")]);
    resting().ok(MASTER, assigned(&failed(1, "true")));
    assert_eq!(resting().commit(MASTER, assigned(&failed(2, "true"))), [Promise::P7], "the master counts none");
    assert_eq!(resting().commit(MASTER, assigned("true")), [Promise::P7], "forgotten");
    assert_eq!(resting().commit(MASTER, vec![holding("/assign/w/t", &failed(1, "true"))]), [Promise::P3], "in two places");
    let lays = |payload: &str| Log::cluster().with_an_assigned_task().commit(WORKER, rest(payload));
    assert_eq!(lays("true"), [Promise::P7], "not counted");
    assert_eq!(lays(&failed(2, "true")), [Promise::P7], "counted twice");
    assert_eq!(lays(&failed(1, "false")), [Promise::P7], "another command");
    assert_eq!(Log::checked().with_an_assigned_task().commit(9, rest(&failed(1, "true"))), [Promise::P2, Promise::P7], "by nobody");
    let mut log = Log::cluster().with_an_assigned_task();
    log.ok(WORKER, vec![delete("/assign/w/t"), create("/status/t"), holding("/bellwether/dead/t", &failed(2, "true"))]);
}

#[test]
fn a_dead_task_leaves_its_payload() {
    let dead = |letter: Option<&str>| {
        let mut log = Log::cluster().with_an_assigned_task();
        log.ok(WORKER, vec![Committed::SessionEnded]);
        let letter = letter.map(|letter| holding("/bellwether/dead/t", letter));
        let end = [delete("/assign/w/t"), holding("/status/t", "failed worker-lost")];
        log.commit(MASTER, end.into_iter().chain(letter).collect())
    };
    assert_eq!(dead(Some(&wrapped(3, "true"))), []);
    assert_eq!(dead(None), [Promise::P7]);
    assert_eq!(dead(Some("false")), [Promise::P7]);
}

#[test]
fn what_was_not_seen_is_possible_but_what_is_seen_must_fit() {
    let mut log = Log::of(Ledger::midway().with_checks());
    let registration = format!("/workers/{OURS}");
    log.ok(WORKER, vec![check(&registration), delete(&format!("/assign/{OURS}/a")), create("/status/a")]);
    log.ok(MASTER, fenced([check(&registration), create(&format!("/assign/{OURS}/b")), delete("/tasks/b")]));
    log.ok(MASTER, fenced([check("/status/c"), delete("/tasks/c")]));
    log.ok(CLIENT, vec![delete("/status/d")]);
    assert_eq!(log.commit(9, fenced([check("/workers/w"), create("/assign/w/e"), delete("/tasks/e")])), [Promise::P2], "two masters");
    assert_eq!(log.commit(MASTER, fenced([delete("/tasks/f")])), [Promise::P3]);
    assert_eq!(log.commit(9, vec![create("/status/a"), create("/x")]), [Promise::P2, Promise::P4]);
    log.ledger.lose_track();
    log.ok(9, fenced([check(&registration), create(&format!("/assign/{OURS}/g")), delete("/tasks/g")]));
}

#[test]
fn a_snapshot_says_what_was_there_before() {
    let found = |with: &[(&str, i64, i32)]| {
        let mut ledger = Ledger::midway().with_checks();
        with.iter().for_each(|(path, owner, version)| ledger.found(path, *owner, *version, Some(b"true")));
        Log::of(ledger)
    };
    let mut log = found(&[("/master", MASTER, 1), ("/bellwether/epoch", 0, 5), ("/tasks/t", 0, 0), ("/workers/w", WORKER, 0)]);
    assert_eq!(log.ledger.unfinished_counts(), (1, 0, 0));
    assert_eq!(log.commit(9, vec![create("/assign/w/t"), delete("/tasks/t")]), [Promise::P2]);
    let mut log = found(&[("/tasks/t", 0, 0), ("/status/t", 0, 0), ("/master", 9, 0), ("/assign/w/u", 0, 0), ("/bellwether/dead/v", 0, 0)]);
    assert_eq!(log.ledger.unfinished_counts(), (1, 0, 1));
    log.ok(9, vec![delete("/tasks/t")]);
    assert_eq!(log.commit(9, vec![create("/tasks/u"), epoch(3)]), [], "the book's master");
}

#[test]
fn a_violation_says_which_promise_when_and_where() {
    let mut log = Log::cluster();
    log.zxid = 0x1f;
    let violation = log.ledger.commit(&Transaction { zxid: 0x20, session: 9, changes: vec![epoch(5)] }).expect_err("it does not grow");
    let text = "P1: epochs only grow (transaction 0x20, /bellwether/epoch): epoch 5 follows epoch 5";
    assert_eq!(violation.to_string(), text);
    assert_eq!(Promise::ALL.map(Promise::number), ["P1", "P2", "P3", "P4", "P5", "P7", "P11"]);
}

fn waiter(node: &str) -> String {
    format!("{}/{node}", path::WAITERS)
}

/// A cluster in which `t` ended, and somebody waited before that or came after it.
fn awaited(before: bool) -> Log {
    let mut log = Log::checked().with_an_assigned_task();
    let come = |log: &mut Log| log.ok(CLIENT, vec![ephemeral(&waiter("x"))]);
    if before {
        come(&mut log);
    }
    log.ok(WORKER, vec![check("/workers/w"), delete("/assign/w/t"), create("/status/t")]);
    if !before {
        come(&mut log);
    }
    log
}

#[test]
fn a_result_that_somebody_waits_for_is_removed_by_no_master() {
    let removal = || fenced([delete("/status/t")]);
    assert_eq!(awaited(true).commit(MASTER, removal()), [Promise::P11]);
    assert_eq!(awaited(false).commit(MASTER, removal()), [], "it had ended before he came");
    assert_eq!(awaited(true).commit(CLIENT, vec![delete("/status/t")]), [], "by hand");
    for leaving in [vec![delete(&waiter("x"))], vec![Committed::SessionEnded]] {
        let mut log = awaited(true);
        log.ok(CLIENT, leaving);
        assert_eq!(log.commit(MASTER, removal()), [], "he has gone");
    }
    let mut log = awaited(true);
    log.ok(CLIENT, vec![delete("/tasks"), create("/tasks")]);
    assert_eq!(log.commit(MASTER, removal()), [], "it is in the way of what counts anew");
}
