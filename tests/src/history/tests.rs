//! Invented logs: an honest one, and one for each way of breaking a promise.

use bellwether_core::protocol::payload::decode;

use super::*;

const MASTER: i64 = 1;
const WORKER: i64 = 2;
const CLIENT: i64 = 3;

/// A log that grows by transactions.
#[derive(Default)]
struct Log(Vec<Record>);

impl Log {
    /// A cluster with a master in epoch 7 and the worker `w`.
    fn cluster() -> Self {
        let mut log = Self::default();
        log.commit(MASTER, [create("/bellwether/epoch", "")]);
        log.commit(MASTER, [ephemeral("/master"), set("/bellwether/epoch", 7)]);
        log.commit(WORKER, [create("/assign/w", ""), ephemeral("/workers/w")]);
        log
    }

    fn commit(&mut self, session: i64, changes: impl IntoIterator<Item = Change>) -> &mut Self {
        let zxid = self.0.last().map_or(1, |last| last.zxid + 1);
        self.0.push(Record { zxid, time_ms: 1_000 + 10 * zxid, session, changes: changes.into_iter().collect() });
        self
    }

    /// What a master of ours writes: behind the fence.
    fn fenced(&mut self, session: i64, changes: impl IntoIterator<Item = Change>) -> &mut Self {
        self.commit(session, [check("/bellwether/epoch"), check("/master")].into_iter().chain(changes))
    }

    fn submit(&mut self) -> &mut Self {
        self.commit(CLIENT, [create("/tasks/t", "true")])
    }

    fn assign(&mut self) -> &mut Self {
        self.fenced(MASTER, [check("/workers/w"), delete("/tasks/t"), create("/assign/w/t", "true")])
    }

    fn finish(&mut self) -> &mut Self {
        self.commit(WORKER, [delete("/assign/w/t"), create("/status/t", "done")])
    }

    fn history(&self) -> History {
        History::replay(&self.0, "/r")
    }

    fn broken(&self) -> Vec<Promise> {
        self.history().violations.into_iter().map(|violation| violation.promise).collect()
    }
}

fn at(path: &str) -> String {
    format!("/r{path}")
}

fn create(path: &str, data: &str) -> Change {
    Change::Create { path: at(path), data: data.into(), ephemeral: false }
}

fn ephemeral(path: &str) -> Change {
    Change::Create { path: at(path), data: Vec::new(), ephemeral: true }
}

fn delete(path: &str) -> Change {
    Change::Delete { path: at(path) }
}

fn set(path: &str, version: i32) -> Change {
    Change::Set { path: at(path), data: Vec::new(), version }
}

fn check(path: &str) -> Change {
    Change::Check { path: at(path), version: 1 }
}

fn close() -> Change {
    Change::CloseSession { paths: Vec::new() }
}

#[test]
fn an_honest_life_breaks_nothing_and_is_told_step_by_step() {
    let mut log = Log::cluster();
    log.submit().assign().finish();
    let history = log.history();
    assert_eq!(history.violations, []);
    let steps: Vec<&Step> = history.tasks["t"].iter().map(|(_, step)| step).collect();
    assert_eq!(steps, [&Step::Pending, &Step::Assigned("w".into()), &Step::Ended(b"done".into())]);
    assert_eq!((history.assignments("t"), history.unended()), (1, vec![]));
    assert_eq!(history.terms[0].epoch, Some(7));
}

#[test]
fn a_worker_lost_and_a_master_replaced_break_nothing() {
    const SUCCESSOR: i64 = 4;
    let mut log = Log::cluster();
    log.submit().assign().commit(WORKER, [close()]).commit(MASTER, [close()]);
    log.commit(SUCCESSOR, [ephemeral("/master"), set("/bellwether/epoch", 8)]);
    let mut task = decode(b"true").expect("a shell line");
    task.envelope.losses = 1;
    let counted = String::from_utf8(task.encode()).expect("JSON");
    log.fenced(SUCCESSOR, [delete("/assign/w/t"), create("/tasks/t", &counted)]);
    let history = log.history();
    assert_eq!(history.violations, []);
    assert_eq!(history.unended(), ["t"]);
    assert_eq!(history.vacancies_ms(), [10]);
    assert_eq!(history.workers[0].gone, Some(Moment { zxid: 6, time_ms: 1_060 }));
}

#[test]
fn a_second_status_in_one_life_is_caught_and_one_in_a_second_life_is_not() {
    let mut log = Log::cluster();
    log.submit().assign().finish().commit(CLIENT, [delete("/status/t")]);
    log.submit().assign().finish();
    assert_eq!(log.broken(), []);
    log.commit(CLIENT, [delete("/status/t")]).fenced(MASTER, [create("/status/t", "done")]);
    assert_eq!(log.broken(), [Promise::P4]);
    log.commit(WORKER, [set("/status/t", 1)]);
    assert_eq!(log.broken(), [Promise::P4, Promise::P4]);
}

#[test]
fn a_task_in_two_places_or_in_none_is_caught() {
    let mut log = Log::cluster();
    log.submit().fenced(MASTER, [check("/workers/w"), create("/assign/w/t", "true")]);
    assert_eq!(log.broken(), [Promise::P3]);

    let mut log = Log::cluster();
    log.submit().commit(MASTER, [delete("/tasks/t")]);
    assert_eq!(log.broken(), [Promise::P3]);

    let mut log = Log::cluster();
    log.submit().assign().fenced(MASTER, [create("/status/t", "failed cancelled")]);
    assert_eq!(log.broken(), [Promise::P3], "the assignment is still there");
}

#[test]
fn a_name_used_again_while_its_old_status_stands_is_the_users_doing() {
    let mut log = Log::cluster();
    log.submit().assign().finish().submit().commit(MASTER, [delete("/tasks/t")]);
    assert_eq!(log.broken(), []);
}

#[test]
fn an_assignment_to_who_is_not_registered_is_caught() {
    let mut log = Log::cluster();
    log.submit().commit(WORKER, [close()]).assign();
    assert_eq!(log.broken(), [Promise::P5]);

    let mut log = Log::cluster();
    log.commit(CLIENT, [create("/workers/x", ""), create("/assign/x", "")]);
    log.submit().fenced(MASTER, [check("/workers/x"), delete("/tasks/t"), create("/assign/x/t", "true")]);
    assert_eq!(log.broken(), [Promise::P5], "a persistent node is no registration");
}

#[test]
fn writes_of_a_past_master_and_of_a_dead_worker_are_caught() {
    const SUCCESSOR: i64 = 4;
    let mut log = Log::cluster();
    log.submit().commit(MASTER, [delete("/master")]);
    log.commit(SUCCESSOR, [ephemeral("/master"), set("/bellwether/epoch", 8)]).assign();
    assert_eq!(log.broken(), [Promise::P2]);

    let mut log = Log::cluster();
    log.submit().assign().commit(WORKER, [delete("/workers/w")]).finish();
    assert_eq!(log.broken(), [Promise::P2]);
}

#[test]
fn an_epoch_that_does_not_grow_is_caught() {
    let mut log = Log::cluster();
    log.commit(MASTER, [delete("/master")]).commit(CLIENT, [ephemeral("/master"), set("/bellwether/epoch", 7)]);
    assert_eq!(log.broken(), [Promise::P1]);
}

#[test]
fn other_roots_are_not_looked_at() {
    let mut log = Log::cluster();
    log.commit(CLIENT, [Change::Set { path: "/raw/status/t".into(), data: Vec::new(), version: 1 }, create("x/status/t", "")]);
    assert_eq!(log.broken(), []);
}
