//! Why a task does not run: every reason that can be seen from outside, and for each worker what excludes it.
//!
//! The judgement is a pure function of what was read, so that each reason is tested without a cluster.

use bellwether_core::planner::{Amount, Exclusion, Offer, Requirement, Skills};
use bellwether_core::protocol::admission::Label;
use bellwether_core::protocol::{TaskName, WorkerId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::overview::{Overview, WorkerView};
use crate::task::{TaskState, TaskView};

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

/// What was read about the task, beyond the task itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// What keeps its znode from being moved.
    pub(crate) obstacle: Option<String>,
    /// What is assigned: it takes the slots and resources of its workers.
    pub(crate) assigned: Vec<TaskView>,
}

/// Judges. Everything was read behind one `sync` or a little later: a reason may have gone meanwhile.
pub(crate) fn explain(view: &TaskView, overview: &Overview, around: &Surroundings) -> Explanation {
    let mut reasons = Vec::new();
    if let Some(result) = &view.result {
        let how = if view.dead_letter { " and has a dead letter" } else { "" };
        let hint = Some(format!("see its output with: bellwether result {0}; run it again with: bellwether retry {0}", view.task));
        reasons.push(Reason { code: "ended", text: format!("it has ended: {}{how}", result.why()), hint });
    } else {
        unended(view, overview, around, &mut reasons);
    }
    let workers = match view.state {
        TaskState::Pending | TaskState::Held => overview.workers.iter().map(|worker| verdict(view, worker, around)).collect(),
        _ => Vec::new(),
    };
    Explanation { task: view.task.clone(), state: view.state, reasons, workers }
}

fn unended(view: &TaskView, overview: &Overview, around: &Surroundings, reasons: &mut Vec<Reason>) {
    let mut because = |code, text: String, hint: Option<String>| reasons.push(Reason { code, text, hint });
    if let Some(obstacle) = &around.obstacle {
        because("obstructed", format!("it cannot be moved: {obstacle}"), Some("with zkCli.sh: deleteall of what is below it".to_owned()));
    }
    if view.state == TaskState::Assigned {
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
    for (label, pace) in overview.rates.iter().filter(|(label, _)| Label::parse(label).is_some_and(|label| label.is_of(&view.labels))) {
        let text = format!("tasks with {label} are assigned no faster than {}, and it waits for its turn among them", pace.rate);
        because("rate", text, Some("change coordinator.rate, and reload the coordinators".to_owned()));
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
    if matches!(view.state, TaskState::Pending | TaskState::Held) {
        waits_for_a_worker(view, overview, around, reasons);
    }
}

fn waits_for_a_worker(view: &TaskView, overview: &Overview, around: &Surroundings, reasons: &mut Vec<Reason>) {
    let mut because = |code, text: String, hint: Option<String>| reasons.push(Reason { code, text, hint });
    let verdicts: Vec<Verdict> = overview.workers.iter().map(|worker| verdict(view, worker, around)).collect();
    let able = overview.workers.iter().filter(|worker| !unfit(view, worker, around)).count();
    if verdicts.is_empty() {
        let start = format!("start one with: bellwether-worker {}", overview.zookeeper);
        because("no-worker", "no worker is registered".to_owned(), Some(start));
    } else if able == 0 {
        let hint = Some("see what they offer with: bellwether worker list".to_owned());
        because("no-worker-fits", format!("none of the {} registered workers may run it", verdicts.len()), hint);
    } else if verdicts.iter().all(|verdict| !verdict.excluded.is_empty()) {
        let pending = overview.queue.pending;
        let text = format!("the {able} workers that may run it have no room for it now; {pending} tasks are pending in all");
        because("no-free-slot", text, None);
    } else if view.state == TaskState::Pending {
        let hint = Some("ask again, or see what the master does in its log".to_owned());
        because("on-its-way", "a worker has a free slot for it: the master is about to assign it".to_owned(), hint);
    }
}

/// Whether a worker can never run it as both are now.
fn unfit(view: &TaskView, worker: &WorkerView, around: &Surroundings) -> bool {
    worker.foreign || exclusions(view, worker, around).iter().any(|exclusion| !exclusion.passes())
}

/// What the master's planner says of the worker.
fn exclusions(view: &TaskView, worker: &WorkerView, around: &Surroundings) -> Vec<Exclusion> {
    let others: Vec<&TaskView> = around.assigned.iter().filter(|other| other.worker.as_ref() == Some(&worker.worker)).collect();
    let skills = Skills { commands: worker.commands, kinds: worker.kinds.clone() };
    let offer = Offer {
        worker: &worker.worker,
        skills: &skills,
        labels: &worker.labels,
        has: Amount { slots: worker.slots, resources: worker.resources.clone() },
        taken: others.iter().fold(Amount::default(), |mut sum, other| {
            sum.add(&amount(other));
            sum
        }),
        tasks: worker.assigned,
        lookahead: 0,
        reserved: false,
        draining: worker.drain.is_some(),
    };
    let (kind, labels) = (view.kind.clone(), view.require.clone());
    offer.exclusions(&Requirement { kind, labels, amount: amount(view), ..Requirement::default() })
}

fn amount(view: &TaskView) -> Amount {
    Amount { slots: view.slots.unwrap_or(1), resources: view.resources.clone() }
}

fn verdict(view: &TaskView, worker: &WorkerView, around: &Surroundings) -> Verdict {
    let excluded = match worker.foreign {
        true => vec![Why { code: "foreign", text: "it is a foreign worker".to_owned() }],
        false => exclusions(view, worker, around).iter().map(|why| Why { code: why.word(), text: why.to_string() }).collect(),
    };
    Verdict { worker: worker.worker.clone(), excluded }
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::request::{DrainMode, DrainRequest};
    use jiff::Timestamp;

    use super::*;
    use crate::overview::{Master, Paused};

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
        assert_eq!(codes(&view, &foreign), ["foreign-master", "on-its-way"]);
        let held =
            |payload: &str| TaskView::living(TaskName::listed("t"), TaskState::Held, None, payload.as_bytes(), Timestamp::UNIX_EPOCH);
        let free = cluster(vec![worker(1, 0, None)]);
        assert_eq!(codes(&held(r#"{"bellwether":1,"shell":"x","delay_ms":5}"#), &free), ["delayed"]);
        assert_eq!(codes(&held(r#"{"bellwether":1,"shell":"x","delay_ms":5,"failures":1}"#), &free), ["resting"]);
        let cancelling = TaskView { cancelling: true, ..pending("echo") };
        assert_eq!(codes(&cancelling, &free), ["cancelling", "on-its-way"]);
    }

    #[test]
    fn a_rate_is_named_to_those_whose_label_it_is() {
        let mut overview = cluster(vec![worker(1, 0, None)]);
        overview
            .rates
            .insert("team=blue".to_owned(), bellwether_core::protocol::admission::PaceRecord { rate: "1/m".to_owned(), spent_us: 0 });
        assert_eq!(codes(&pending(r#"{"bellwether":1,"shell":"x","labels":{"team":"blue"}}"#), &overview), ["rate", "on-its-way"]);
        assert_eq!(codes(&pending(r#"{"bellwether":1,"shell":"x","labels":{"team":"red"}}"#), &overview), ["on-its-way"]);
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
