//! Why a task does not run: every reason that can be seen from outside, and for each worker what excludes it.
//!
//! The judgement is a pure function of what was read, so that each reason is tested without a cluster. What workers are in for is judged by
//! the core's planner (`contest`).

mod contest;

use std::time::Duration;

use bellwether_core::protocol::{TaskName, WorkerId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::overview::Overview;
use crate::task::{TaskState, TaskView};
pub(crate) use contest::Surroundings;
use contest::{Chance, Contest};

/// Why a task is where it is. Its JSON is what `bellwether explain` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The task.
    pub task: TaskName,
    /// Where it is in its life.
    pub state: TaskState,
    /// Every reason that holds, the decisive one first. Never empty.
    pub reasons: Vec<Reason>,
    /// Of a task that waits: each registered worker, and what excludes it.
    pub workers: Vec<Verdict>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reason {
    /// The reason in a word, for programs: the list grows, words stay.
    pub code: &'static str,
    /// The reason for people.
    pub text: String,
    /// What can be done about it.
    pub hint: Option<String>,
}

/// Whether a worker could be given the task now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verdict {
    /// The worker.
    pub worker: WorkerId,
    /// What excludes it; nothing if it could be given the task.
    pub excluded: Vec<Why>,
}

/// What excludes a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Why {
    /// In a word, for programs.
    pub code: &'static str,
    /// For people.
    pub text: String,
}

/// Judges. Everything was read behind one `sync` or a little later: a reason may have gone meanwhile.
pub(crate) fn explain(view: &TaskView, overview: &Overview, around: &Surroundings) -> Explanation {
    let mut reasons = Vec::new();
    if let Some(result) = &view.result {
        let how = if view.dead_letter { " and has a dead letter" } else { "" };
        let hint = Some(format!("see its output with: bellwether result {0}; run it again with: bellwether retry {0}", view.task));
        reasons.push(Reason { code: "ended", text: format!("it has ended: {}{how}", result.why()), hint });
        return Explanation { task: view.task.clone(), state: view.state, reasons, workers: Vec::new() };
    }
    let contest = Contest::of(view, overview, around);
    unended(view, overview, around, &mut reasons);
    let mut workers = Vec::new();
    let elements_wait = view.array.as_ref().is_some_and(|array| array.waiting > 0);
    if elements_wait || matches!(view.state, TaskState::Pending | TaskState::Held) {
        waits_its_turn(&contest, &mut reasons);
        let chances = contest.chances();
        waits_for_a_worker(view, overview, &chances, &mut reasons);
        workers = chances.into_iter().map(|chance| chance.verdict).collect();
    }
    Explanation { task: view.task.clone(), state: view.state, reasons, workers }
}

fn unended(view: &TaskView, overview: &Overview, around: &Surroundings, reasons: &mut Vec<Reason>) {
    let mut because = |code, text: String, hint: Option<String>| reasons.push(Reason { code, text, hint });
    if let Some(obstacle) = &around.obstacle {
        because("obstructed", format!("it cannot be moved: {obstacle}"), Some("with zkCli.sh: deleteall of what is below it".to_owned()));
    }
    if let Some(array) = view.array.as_deref().filter(|_| view.state == TaskState::Assigned) {
        let of = array.summary.count;
        let text = format!("of its {of} elements {} are with workers, {} wait, {} have ended", array.running, array.waiting, array.done());
        because("given-out", text, Some(format!("see who runs which with: bellwether status {}", view.task)));
    } else if view.state == TaskState::Assigned {
        let whose = view.worker.as_ref().map_or("nobody", WorkerId::as_str);
        let registered = overview.workers.iter().any(|worker| Some(&worker.worker) == view.worker.as_ref());
        match registered {
            true => because("assigned", format!("{whose} has it: it runs there, or starts when a slot is free"), None),
            false => because("worker-gone", format!("its worker {whose} is gone; the master gives it to another one"), None),
        }
    }
    if view.cancelling {
        because("cancelling", "somebody wants it cancelled, and the master has not done it yet".to_owned(), None);
    }
    match &overview.master {
        None => {
            let start = format!("start a coordinator with: bellwether-coordinator {}", overview.zookeeper);
            because("nobody-rules", "nobody rules: nothing is assigned".to_owned(), Some(start));
        }
        Some(master) if master.foreign => {
            because("foreign-master", "a foreign master rules, and ours stand by: it decides".to_owned(), None);
        }
        Some(_) => {}
    }
    if let Some(paused) = &overview.paused {
        let why = paused.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let resume = Some("let tasks be assigned again with: bellwether master resume".to_owned());
        because("paused", format!("nothing is assigned since {}, because somebody paused it{why}", paused.since), resume);
    }
    if let Some(first) = view.after.first() {
        let parents: Vec<&str> = view.after.iter().map(TaskName::as_str).collect();
        let hint = Some(format!("see how far they are with: bellwether status {first}"));
        because("after-others", format!("it waits until all of these have succeeded: {}", parents.join(" ")), hint);
    }
    if let (TaskState::Held, Some(at)) = (view.state, view.not_before) {
        let (code, why) = if view.failures > 0 {
            ("resting", format!("it rests after attempt {} that failed; the next one may begin at {at}", view.attempt.saturating_sub(1)))
        } else {
            ("delayed", format!("it is to be run at {at} or later"))
        };
        because(code, why, None);
    }
}

/// That it is held back by the rate of a label.
fn waits_its_turn(contest: &Contest<'_>, reasons: &mut Vec<Reason>) {
    for (label, turn) in contest.turns() {
        let ahead = match turn.ahead {
            0 => "it is the next of them".to_owned(),
            1 => "one of them goes before it".to_owned(),
            ahead => format!("{ahead} of them go before it"),
        };
        let wait = turn.wait.map(|wait| format!(", for {} at least", humantime::format_duration(whole(wait)))).unwrap_or_default();
        let text = format!("tasks with {label} are assigned no faster than {}, and it waits for its turn: {ahead}{wait}", turn.rate);
        let hint = Some("change coordinator.rate, and reload the coordinators".to_owned());
        reasons.push(Reason { code: "rate", text, hint });
    }
}

/// What people say: seconds, but for what is shorter.
fn whole(wait: Duration) -> Duration {
    if wait < Duration::from_secs(1) { Duration::from_millis(u64::from(wait.subsec_millis())) } else { Duration::from_secs(wait.as_secs()) }
}

fn waits_for_a_worker(view: &TaskView, overview: &Overview, chances: &[Chance], reasons: &mut Vec<Reason>) {
    let nothing_else = reasons.is_empty();
    let mut because = |code, text: String, hint: Option<String>| reasons.push(Reason { code, text, hint });
    let able: Vec<&Chance> = chances.iter().filter(|chance| chance.fit).collect();
    let kept = |chance: &&Chance| chance.verdict.excluded.iter().any(|why| why.code == "kept");
    if chances.is_empty() {
        let start = format!("start one with: bellwether-worker {}", overview.zookeeper);
        because("no-worker", "no worker is registered".to_owned(), Some(start));
    } else if able.is_empty() {
        let hint = Some("see what they offer with: bellwether worker list".to_owned());
        because("no-worker-fits", format!("none of the {} registered workers may run it", chances.len()), hint);
    } else if chances.iter().any(|chance| chance.verdict.excluded.is_empty()) {
        // Nobody is about to do it while something else is in the way.
        if view.state == TaskState::Pending && nothing_else {
            let hint = Some("ask again, or see what the master does in its log".to_owned());
            because("on-its-way", "a worker has a free slot for it: the master is about to assign it".to_owned(), hint);
        }
    } else {
        let pending = overview.queue.pending;
        if let Some(chance) = able.iter().copied().find(kept) {
            let why: Vec<&str> = chance.verdict.excluded.iter().map(|why| why.text.as_str()).collect();
            because("kept-room", format!("{} has room, but {}", chance.verdict.worker, why.join("; ")), None);
        }
        let text = format!("the {} workers that may run it have no room for it now; {pending} tasks are pending in all", able.len());
        because("no-free-slot", text, None);
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::request::{DrainMode, DrainRequest};
    use jiff::Timestamp;

    use super::*;
    use crate::overview::{Master, Paused, WorkerView};

    fn pending(payload: &str) -> TaskView {
        TaskView::living(TaskName::listed("t"), TaskState::Pending, None, payload.as_bytes(), Timestamp::UNIX_EPOCH)
    }

    fn cluster(workers: Vec<WorkerView>) -> Overview {
        let master = Master {
            name: None,
            host: None,
            pid: None,
            http: None,
            version: None,
            epoch: Some(1),
            since: Timestamp::UNIX_EPOCH,
            foreign: false,
        };
        Overview { workers, master: Some(master), ..Overview::empty("zk:1".to_owned()) }
    }

    fn worker(slots: u32, assigned: u32, zone: Option<&str>) -> WorkerView {
        let labels = zone.into_iter().map(|zone| ("zone".to_owned(), zone.to_owned())).collect();
        WorkerView { slots, assigned, labels, foreign: false, ..WorkerView::foreign(WorkerId::listed("w"), Timestamp::UNIX_EPOCH) }
    }

    #[track_caller]
    fn codes(view: &TaskView, overview: &Overview) -> Vec<&'static str> {
        let explanation = explain(view, overview, &Surroundings::default());
        assert!(!explanation.reasons.is_empty());
        explanation.reasons.into_iter().map(|reason| reason.code).collect()
    }

    #[test]
    fn a_pause_a_drain_and_others_that_come_first_are_named() {
        let mut overview = cluster(vec![worker(1, 0, None)]);
        overview.workers[0].drain = Some(DrainRequest::new(DrainMode::Graceful));
        assert_eq!(codes(&pending("true"), &overview), ["no-worker-fits"]);
        assert_eq!(explain(&pending("true"), &overview, &Surroundings::default()).workers[0].excluded[0].code, "draining");
        overview.workers[0].drain = None;
        overview.paused = Some(Paused { since: Timestamp::UNIX_EPOCH, reason: Some("new disks".to_owned()), by: None });
        assert_eq!(codes(&pending("true"), &overview), ["paused"], "a worker is free, and nobody is about to assign it");
        let mut waiting = pending("true");
        (waiting.state, waiting.after) = (TaskState::Held, vec![TaskName::listed("first")]);
        assert_eq!(codes(&waiting, &overview)[..2], ["paused", "after-others"]);
    }

    #[test]
    fn each_worker_is_excluded_by_its_own_filter() {
        let view = pending(r#"{"bellwether":1,"shell":"x","require":{"zone":"eu"}}"#);
        let foreign = WorkerView::foreign(WorkerId::listed("w"), Timestamp::UNIX_EPOCH);
        let workers = vec![foreign, worker(0, 0, None), worker(1, 0, None), worker(1, 0, Some("us")), worker(2, 0, Some("eu"))];
        let busy = TaskView { worker: Some(WorkerId::listed("w")), slots: Some(2), ..pending("echo") };
        let around = Surroundings { assigned: vec![busy], ..Surroundings::default() };
        let explanation = explain(&view, &cluster(workers), &around);
        let last = |verdict: &Verdict| verdict.excluded.last().map_or("", |why| why.code);
        assert_eq!(explanation.workers.iter().map(|verdict| verdict.excluded[0].code).collect::<Vec<_>>()[..2], ["foreign", "draining"]);
        assert!(explanation.workers[2].excluded.iter().any(|why| why.text.contains("the task requires zone=eu")), "{explanation:?}");
        assert_eq!((last(&explanation.workers[4]), explanation.workers[4].excluded.len()), ("full", 1), "{explanation:?}");
        assert_eq!(explanation.reasons[0].code, "no-free-slot");
    }

    #[test]
    fn every_reason_is_named() {
        let view = pending("echo");
        assert_eq!(codes(&view, &cluster(vec![worker(1, 0, None)])), ["on-its-way"]);
        assert_eq!(codes(&view, &cluster(vec![])), ["no-worker"]);
        assert_eq!(codes(&view, &cluster(vec![worker(0, 0, None)])), ["no-worker-fits"]);
        let vacant = Overview { master: None, ..cluster(vec![]) };
        assert_eq!(codes(&view, &vacant), ["nobody-rules", "no-worker"]);
        let mut foreign = cluster(vec![worker(1, 0, None)]);
        foreign.master.as_mut().expect("a master").foreign = true;
        assert_eq!(codes(&view, &foreign), ["foreign-master"]);
        let held =
            |payload: &str| TaskView::living(TaskName::listed("t"), TaskState::Held, None, payload.as_bytes(), Timestamp::UNIX_EPOCH);
        let free = cluster(vec![worker(1, 0, None)]);
        assert_eq!(codes(&held(r#"{"bellwether":1,"shell":"x","delay_ms":5}"#), &free), ["delayed"]);
        assert_eq!(codes(&held(r#"{"bellwether":1,"shell":"x","delay_ms":5,"failures":1}"#), &free), ["resting"]);
        let cancelling = TaskView { cancelling: true, ..pending("echo") };
        assert_eq!(codes(&cancelling, &free), ["cancelling"]);
    }

    #[test]
    fn a_rate_is_named_to_those_whose_label_it_is() {
        let mut overview = cluster(vec![worker(1, 0, None)]);
        overview
            .rates
            .insert("team=blue".to_owned(), bellwether_core::protocol::admission::PaceRecord { rate: "1/m".to_owned(), spent_us: 0 });
        assert_eq!(codes(&pending(r#"{"bellwether":1,"shell":"x","labels":{"team":"blue"}}"#), &overview), ["rate"]);
        assert_eq!(codes(&pending(r#"{"bellwether":1,"shell":"x","labels":{"team":"red"}}"#), &overview), ["on-its-way"]);
        let blue =
            |name: &str| TaskView { task: TaskName::listed(name), ..pending(r#"{"bellwether":1,"shell":"x","labels":{"team":"blue"}}"#) };
        let known = Surroundings { waiting: vec![blue("s"), blue("t")], now: Some(Timestamp::UNIX_EPOCH), ..Surroundings::default() };
        let told = |task: &TaskView| explain(task, &overview, &known).reasons[0].clone();
        assert_eq!(told(&blue("s")).code, "on-its-way", "it is let go at once");
        let text = told(&blue("t")).text;
        assert!(text.ends_with("it waits for its turn: one of them goes before it, for 59s at least"), "{text}");
    }

    #[test]
    fn for_whom_room_is_kept_is_named() {
        let overview = cluster(vec![worker(2, 1, None)]);
        let busy = TaskView { worker: Some(WorkerId::listed("w")), ..pending("echo") };
        let wide = TaskView { task: TaskName::listed("a"), ..pending(r#"{"bellwether":1,"shell":"x","slots":2}"#) };
        let resting = TaskView { task: TaskName::listed("0"), state: TaskState::Held, not_before: Some(Timestamp::MAX), ..wide.clone() };
        let view = pending("echo");
        let around = |waiting: &[&TaskView]| {
            let waiting = waiting.iter().copied().chain([&view]).cloned().collect();
            Surroundings { assigned: vec![busy.clone()], waiting, ..Surroundings::default() }
        };
        let explanation = explain(&view, &overview, &around(&[&wide]));
        let codes: Vec<&str> = explanation.reasons.iter().map(|reason| reason.code).collect();
        assert_eq!((codes.as_slice(), explanation.workers[0].excluded[0].code), (&["kept-room", "no-free-slot"][..], "kept"));
        let why = "w has room, but what is free of it is kept for a, which goes before and needs more";
        assert_eq!(explanation.reasons[0].text, why);
        assert_eq!(explain(&view, &overview, &around(&[])).reasons[0].code, "on-its-way");
        assert_eq!(explain(&view, &overview, &around(&[&resting])).reasons[0].code, "on-its-way", "what rests keeps no room");
    }

    #[test]
    fn what_is_assigned_runs_unless_its_worker_is_gone() {
        let mut view = pending("echo");
        (view.state, view.worker) = (TaskState::Assigned, Some(WorkerId::listed("w")));
        assert_eq!(codes(&view, &cluster(vec![worker(1, 0, None)])), ["assigned"]);
        assert_eq!(codes(&view, &cluster(vec![])), ["worker-gone"]);
        let obstructed = Surroundings { obstacle: Some("it has 1 children".to_owned()), ..Surroundings::default() };
        assert_eq!(explain(&view, &cluster(vec![]), &obstructed).reasons[0].code, "obstructed");
    }
}
