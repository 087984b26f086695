//! The rows: what can happen, and what Bellwether does then. `docs/faults.md` shows the same to operators.

use std::fmt::Write as _;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// `F1` to `F37`.
    pub name: &'static str,
    /// What happens.
    pub scenario: &'static str,
    /// What Bellwether does. T is the session timeout of whom it hits.
    pub expected: &'static str,
}

const fn row(name: &'static str, scenario: &'static str, expected: &'static str) -> Row {
    Row { name, scenario, expected }
}

/// All of them.
pub const ROWS: [Row; 37] = [
    row(
        "F1",
        "the master is killed with -9 while others stand by",
        "another rules within 200 ms of the end of the dead one's session; with 1,000 tasks waiting it assigns within a second; one standby stands, two wake at most; tasks of living workers stay where they are",
    ),
    row("F2", "the master is asked to stop", "it steps down and ends with 0; another rules within 200 ms"),
    row(
        "F3",
        "the master freezes for longer than its session and wakes up",
        "nothing it writes afterwards is accepted; a second after it woke it shows no leadership; it stands by in a new session",
    ),
    row(
        "F4",
        "the master is cut off from ZooKeeper, or sits on a server that is itself cut off from ZooKeeper's leader",
        "it stops assigning; it shows no leadership T/2 after its last proof of office, before another rules; healed, it stands by",
    ),
    row("F5", "a cut shorter than T/2", "the same sessions go on: no election, no registration anew, no task assigned again"),
    row("F6", "the reply to a candidacy is lost", "the candidate finds that it was elected, and rules once"),
    row("F7", "a candidacy is lost on its way", "it stands again, and is elected once"),
    row("F8", "the reply to an assignment is lost", "the master recognises its own write: one assignment, and the slot is counted once"),
    row("F9", "the reply to a submission is lost", "the client finds out and prints the name: one task, not two"),
    row(
        "F10",
        "a worker is killed with -9 while it runs something",
        "its commands die with it; its tasks run elsewhere within T + 1 s, with payload and attempt",
    ),
    row(
        "F11",
        "a worker freezes for longer than its session while it runs something, and wakes up",
        "its commands are dead before the task is given to another; its result does not count; it comes back as a new incarnation",
    ),
    row(
        "F12",
        "a worker is cut off for less than T/2, between T/2 and T, or told to keep its commands in doubt",
        "a result is recorded afterwards and nothing runs twice; or it kills in time, and gives the task back itself; told to keep, the first",
    ),
    row(
        "F13",
        "a worker is started again at once under its name",
        "it registers at once as a new incarnation, the old one's tasks follow when its session ends, and it stays registered",
    ),
    row(
        "F14",
        "ZooKeeper's leader, of three servers, is killed",
        "the same sessions and the same master; writes pause for about a second; nothing is assigned again",
    ),
    row(
        "F15",
        "ZooKeeper has no majority for less than T/2, and for longer",
        "no crash, under 5 % of a processor, bounded memory; then all goes on: what runs is untouched, or after T/2 killed and run again",
    ),
    row("F16", "ZooKeeper's servers are restarted one after another under load", "nothing is lost, nothing runs twice, no session ends"),
    row(
        "F17",
        "all of ZooKeeper's data is wiped under running services",
        "they say loudly that ZooKeeper's state went backwards and count it, kill what runs, lay everything out anew, and serve again within 3 T",
    ),
    row("F18", "one of three servers is wiped; two are", "the first is not noticed; the second is as if all was wiped"),
    row(
        "F19",
        "ZooKeeper's disk is full",
        "everybody waits, commands end with an error in time; all is well again when there is room and ZooKeeper is restarted",
    ),
    row("F20", "a wall clock jumps an hour ahead or two hours back", "no negative figure, no premature end, no storm of requests"),
    row(
        "F21",
        "payloads of 2 MB, empty ones, ones that are no text, with NUL, with a line of 1 MB, with deep JSON",
        "our command refuses them with a clear error; foreign ones end as `failed rejected: …`; the master goes on",
    ),
    row(
        "F22",
        "garbage among assignments and workers, and as the office",
        "it is ignored or rejected and counted, and given nothing; a persistent office is reported",
    ),
    row(
        "F23",
        "foreign names, children below tasks, parts of the layout deleted",
        "served, rejected once, or made anew; no storm of requests, and no name escapes into the file system",
    ),
    row(
        "F24",
        "an ACL forbids one task, or everything; a wrong password",
        "one is rejected and the others go on; a start without rights fails within 5 s and names path and right",
    ),
    row(
        "F25",
        "100,000 tasks wait when a master takes over",
        "it assigns within 2 s, in under 200 MB; a task costs the same as with 1,000 waiting",
    ),
    row(
        "F26",
        "there is no worker, then one; all workers die with 10,000 tasks assigned",
        "tasks wait without a stir; all come back with their payload",
    ),
    row(
        "F27",
        "the master, or a worker, dies before or after each of its first twenty transactions",
        "whoever follows finishes what was begun",
    ),
    row(
        "F28",
        "workers and masters come and go for five minutes",
        "no znodes, watches, descriptors or memory leak; no task dies beyond its budget",
    ),
    row(
        "F29",
        "a task kills each worker that runs it",
        "it is a dead letter when its budget is spent, with the reason; no other task is affected",
    ),
    row(
        "F30",
        "a cancellation or a timeout meets a task that just ends; a drain meets a failover",
        "one result, whichever wins; the whole process group is dead; the drain holds",
    ),
    row(
        "F31",
        "a fifth of all packets is lost, or one direction; replies take 700 ms; connections are reset",
        "no session ends while pings get through; nothing runs twice; it only takes longer",
    ),
    row(
        "F32",
        "a task prints 1 GB, forks without end, ignores SIGTERM, closes its output and becomes a daemon",
        "its output is capped, it is killed at its timeout, and no process of it is left when it has ended",
    ),
    row(
        "F33",
        "any of these, seen through the metrics",
        "never do two coordinators show leadership at once; a scrape is answered within a second while ZooKeeper is away",
    ),
    row(
        "F34",
        "the book's master, worker or client, or a bare `create -s`, in the cluster",
        "they are served and repaired, and never broken by us",
    ),
    row(
        "F35",
        "`/master`, the epoch, all of `/bellwether`, a registration, a box or an assignment is deleted by hand",
        "the office is given up and taken anew, the worker comes back as a new incarnation, nobody writes in between",
    ),
    row(
        "F36",
        "a write lands after its sender reconnected; a read comes from a server that lags; an event comes before its answer",
        "no double submission, no phantom, no slot is lost",
    ),
    row(
        "F37",
        "attempt 1 is held by a worker that is cut off when the same incarnation is given attempt 2",
        "attempt 1's result is refused",
    ),
];

/// The table for operators, as it stands in `docs/faults.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| | what happens | what Bellwether does |\n|---|---|---|\n".to_owned();
    for row in &ROWS {
        // Writing to a String does not fail.
        let _ = writeln!(text, "| {} | {} | {} |", row.name, row.scenario, row.expected);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered() {
        for (number, row) in (1..).zip(&ROWS) {
            assert_eq!(row.name, format!("F{number}"));
        }
    }

    #[test]
    fn the_page_for_operators_says_the_same() {
        let page = include_str!("../../../docs/faults.md");
        assert!(page.contains(&markdown()), "docs/faults.md should contain this table:\n{}", markdown());
    }
}
