//! What came of it: counts, and everything that must not have happened. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bellwether_core::protocol::result::{Status, TaskOutcome, decode_status};

use super::house::Struck;
use super::load::{Execution, Submitted};
use super::schedule::{Target, WORKER_SESSION};
use crate::history::{History, Step};

/// For so long after it was healed a fault may still cost a worker what it runs: a session ends, a back-off is waited for.
const LINGERS: Duration = WORKER_SESSION.saturating_mul(2);

/// All that was seen.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What was asked for.
    pub submitted: Submitted,
    /// What ran, by task and time.
    pub executions: Vec<Execution>,
    /// What was done, in the order of the schedule.
    pub struck: Vec<Struck>,
    /// From the logs of ZooKeeper.
    pub history: History,
    /// What was seen to be wrong on the way, and what the audit found.
    pub complaints: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Submissions that were tried.
    pub tried: usize,
    /// Tasks that were accepted, by ZooKeeper's log.
    pub tasks: usize,
    /// Faults that were injected.
    pub faults: usize,
    /// Executions that began.
    pub executions: usize,
    /// Results that were recorded.
    pub results: usize,
    /// Terms of mastership.
    pub terms: usize,
    /// Incarnations of workers.
    pub incarnations: usize,
    /// After the last healing, the longest time until the next result, in milliseconds.
    pub longest_gap_ms: i64,
    /// Everything that must not have happened.
    pub violations: Vec<String>,
}

impl Verdict {
    /// Whether nothing happened that must not.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>8}  submissions tried", self.tried)?;
        writeln!(f, "{:>8}  tasks accepted", self.tasks)?;
        writeln!(f, "{:>8}  faults injected", self.faults)?;
        writeln!(f, "{:>8}  terms of mastership", self.terms)?;
        writeln!(f, "{:>8}  incarnations of workers", self.incarnations)?;
        writeln!(f, "{:>8}  executions, {} beyond one per task", self.executions, self.executions.saturating_sub(self.tasks))?;
        writeln!(f, "{:>8}  results", self.results)?;
        writeln!(f, "{:>8}  ms without progress at most after the last healing", self.longest_gap_ms)?;
        writeln!(f, "{:>8}  violations", self.violations.len())?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "          {violation}"))
    }
}

/// Judges.
#[must_use]
pub fn judge(facts: &Facts) -> Verdict {
    let history = &facts.history;
    let mut violations = facts.complaints.clone();
    violations.extend(lost(facts));
    violations.extend(history.tasks.iter().flat_map(|(task, steps)| wrong_results(task, steps)));
    violations.extend(doubled_attempts(facts));
    violations.extend(unexcused(facts));
    Verdict {
        tried: facts.submitted.tried,
        tasks: history.tasks.len(),
        faults: facts.struck.len(),
        executions: facts.executions.len(),
        results: ends(history).count(),
        terms: history.terms.len(),
        incarnations: history.workers.len(),
        longest_gap_ms: longest_gap_ms(facts),
        violations,
    }
}

/// Accepted, but nobody has seen it; accepted, and never run; or there without having been asked for.
fn lost(facts: &Facts) -> Vec<String> {
    let ran: BTreeSet<&str> = facts.executions.iter().map(|execution| execution.task.as_str()).collect();
    let known = &facts.history.tasks;
    let vanished = facts.submitted.accepted.iter().filter(|task| !known.contains_key(*task));
    let vanished = vanished.map(|task| format!("{task} was accepted, but ZooKeeper's log does not know it"));
    let idle = known.keys().filter(|task| !ran.contains(task.as_str())).map(|task| format!("{task} never ran"));
    let unknown = ran.iter().filter(|task| !known.contains_key(**task)).map(|task| format!("{task} ran, but was never submitted"));
    let surplus = known.len().checked_sub(facts.submitted.tried).filter(|surplus| *surplus > 0);
    let surplus = surplus.map(|surplus| format!("there are {surplus} more tasks than submissions"));
    vanished.chain(idle).chain(unknown).chain(surplus).collect()
}

/// Exactly one result, and it is success: no task of ours fails, and its budget of workers is not to be spent.
fn wrong_results(task: &str, steps: &[(crate::history::Moment, Step)]) -> Vec<String> {
    let results = steps.iter().filter_map(|(_, step)| if let Step::Ended(status) = step { Some(decode_status(status)) } else { None });
    let (mut wrong, mut count) = (Vec::new(), 0);
    for result in results {
        count += 1;
        match result {
            Status::Plain { succeeded: true, .. } => {}
            Status::Full(result) if result.outcome == TaskOutcome::Succeeded => {}
            Status::Plain { words, .. } => wrong.push(format!("{task} ended as {words:?}")),
            Status::Full(result) => wrong.push(format!("{task} ended as {}: {:?}", result.outcome, result.reason)),
        }
    }
    if count != 1 {
        wrong.push(format!("{task} has {count} results; its steps: {:?}", steps.iter().map(|(_, step)| step).collect::<Vec<_>>()));
    }
    wrong
}

/// One incarnation runs one assignment once. What it gives back, because it could not prove that it lives, counts as no attempt: it may
/// be given the same attempt again, by another assignment.
fn doubled_attempts(facts: &Facts) -> Vec<String> {
    let mut runs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    facts.executions.iter().for_each(|it| *runs.entry((&it.task, &it.worker)).or_default() += 1);
    let assigned = |task: &str, worker: &str| {
        let steps = facts.history.tasks.get(task).into_iter().flatten();
        steps.filter(|(_, step)| matches!(step, Step::Assigned(to) if to == worker)).count()
    };
    let counted = runs.into_iter().map(|((task, worker), runs)| (task, worker, runs, assigned(task, worker)));
    let doubled = counted.filter(|(_, _, runs, assigned)| runs > assigned);
    doubled.map(|(task, worker, runs, assigned)| format!("{worker} ran {task} {runs} times, and was given it {assigned} times")).collect()
}

/// A task runs again only if something was done to the worker that ran it before, or to ZooKeeper, between the two executions.
fn unexcused(facts: &Facts) -> Vec<String> {
    let again = facts.executions.windows(2).filter(|pair| pair[0].task == pair[1].task);
    let guilty = again.filter(|pair| !facts.struck.iter().any(|struck| excuses(struck, &pair[0], &pair[1])));
    let words = |pair: &[Execution]| {
        let (first, second) = (&pair[0], &pair[1]);
        let after = second.begun_ms - first.begun_ms;
        let Execution { task, worker, attempt, begun_ms } = first;
        format!(
            "{task} ran on {worker} (attempt {attempt}, at {begun_ms}) and {after} ms later on {}, though nothing was done",
            second.worker
        )
    };
    guilty.map(words).collect()
}

fn excuses(struck: &Struck, first: &Execution, second: &Execution) -> bool {
    let lingers = i64::try_from(LINGERS.as_millis()).unwrap_or(i64::MAX);
    let meanwhile = struck.done_ms <= second.begun_ms && struck.healed_ms.saturating_add(lingers) >= first.begun_ms;
    meanwhile && struck.stroke.target.concerns_worker(first.worker_name())
}

fn ends(history: &History) -> impl Iterator<Item = i64> {
    history.tasks.values().flatten().filter(|(_, step)| matches!(step, Step::Ended(_))).map(|(at, _)| at.time_ms)
}

/// Tasks go on being submitted after the last healing: there is always something to do.
fn longest_gap_ms(facts: &Facts) -> i64 {
    let healed_ms = facts.struck.iter().map(|struck| struck.healed_ms).max().unwrap_or(i64::MAX);
    let mut moments: Vec<i64> = ends(&facts.history).filter(|end| *end > healed_ms).chain([healed_ms]).collect();
    moments.sort_unstable();
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

/// The timeline of what was done.
#[must_use]
pub fn timeline(struck: &[Struck]) -> String {
    let begun_ms = struck.first().map_or(0, |first| first.done_ms - i64::try_from(first.stroke.at.as_millis()).unwrap_or(0));
    let seconds = |at: i64| Duration::from_millis(u64::try_from(at - begun_ms).unwrap_or(0)).as_secs_f64();
    let line = |it: &Struck| {
        let (done, healed) = (seconds(it.done_ms), seconds(it.healed_ms));
        let Struck { stroke, note, .. } = it;
        let what = format!("{} {}", stroke.harm, stroke.target);
        let passes = matches!(stroke.target, Target::Office | Target::Epoch | Target::Registration(_)) || stroke.lasts.is_zero();
        let healed = if passes { String::new() } else { format!("healed at {healed:.3} s") };
        format!("{done:>8.3} s  {what:<28} {healed:<20} {note}").trim_end().to_owned() + "\n"
    };
    struck.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::schedule::{Harm, Stroke};
    use super::*;
    use crate::history::Moment;

    const HEALED_MS: i64 = 2000;

    /// One task on w1 that ran and ended, while a fault came and went elsewhere.
    fn honest() -> Facts {
        let history = History { tasks: BTreeMap::from([("t".to_owned(), steps(vec![ended(2300, "done")]))]), ..History::default() };
        Facts {
            submitted: Submitted { tried: 1, accepted: BTreeSet::from(["t".to_owned()]), failed: Vec::new() },
            executions: vec![execution("w1-1", "1", 1500)],
            struck: vec![struck(Target::Coordinator(0))],
            history,
            complaints: Vec::new(),
        }
    }

    fn execution(worker: &str, attempt: &str, begun_ms: i64) -> Execution {
        Execution { task: "t".to_owned(), begun_ms, attempt: attempt.to_owned(), worker: worker.to_owned() }
    }

    fn struck(target: Target) -> Struck {
        let stroke = Stroke { at: Duration::from_secs(1), lasts: Duration::from_secs(1), harm: Harm::Kill, target };
        Struck { stroke, done_ms: 1000, healed_ms: HEALED_MS, note: String::new() }
    }

    fn ended(time_ms: i64, status: &str) -> (Moment, Step) {
        (Moment { zxid: time_ms, time_ms }, Step::Ended(status.into()))
    }

    /// Given to w1 and to w2, and ended so.
    fn steps(ends: Vec<(Moment, Step)>) -> Vec<(Moment, Step)> {
        let given = ["w1-1", "w2-2"].map(|worker| (Moment { zxid: 1, time_ms: 1400 }, Step::Assigned(worker.to_owned())));
        given.into_iter().chain(ends).collect()
    }

    fn violations(facts: &Facts) -> Vec<String> {
        judge(facts).violations
    }

    #[test]
    fn an_honest_run_is_sound() {
        let verdict = judge(&honest());
        assert_eq!(verdict.violations, Vec::<String>::new());
        assert_eq!((verdict.tasks, verdict.executions, verdict.results, verdict.longest_gap_ms), (1, 1, 1, 300));
        assert!(verdict.is_sound());
    }

    #[test]
    fn what_is_lost_doubled_or_failed_is_told() {
        let mut facts = honest();
        facts.submitted.tried = 0;
        assert_eq!(violations(&facts), ["there are 1 more tasks than submissions"]);
        facts = honest();
        facts.submitted.accepted.insert("u".to_owned());
        assert_eq!(violations(&facts), ["u was accepted, but ZooKeeper's log does not know it"]);
        facts = honest();
        facts.executions.clear();
        assert_eq!(violations(&facts), ["t never ran"]);
        facts = honest();
        facts.history.tasks.insert("t".to_owned(), steps(vec![ended(2300, "failed exit=1")]));
        assert_eq!(violations(&facts), ["t ended as \"failed exit=1\""]);
        for results in [vec![], vec![ended(2300, "done"), ended(2400, "done")]] {
            facts.history.tasks.insert("t".to_owned(), steps(results));
            assert_eq!(violations(&facts).len(), 1);
        }
    }

    #[test]
    fn a_second_execution_needs_an_excuse() {
        let mut facts = honest();
        facts.executions.push(execution("w2-2", "2", 1900));
        assert_eq!(violations(&facts).len(), 1, "what is done to a coordinator is none");
        facts.struck = vec![struck(Target::Worker(1))];
        assert_eq!(violations(&facts).len(), 1, "nor is what is done to another worker");
        for target in [Target::Worker(0), Target::Registration(0), Target::Server(2)] {
            facts.struck = vec![struck(target)];
            assert_eq!(violations(&facts), Vec::<String>::new(), "{target}");
        }
        let late = HEALED_MS + i64::try_from(LINGERS.as_millis()).expect("short") + 1;
        facts.executions = vec![execution("w1-1", "1", late), execution("w2-2", "2", late + 400)];
        assert_eq!(violations(&facts).len(), 1, "it was healed long ago");
    }

    #[test]
    fn no_incarnation_runs_an_assignment_twice() {
        let mut facts = honest();
        facts.struck = vec![struck(Target::Server(0))];
        facts.executions.push(execution("w1-1", "1", 1900));
        assert_eq!(violations(&facts), ["w1-1 ran t 2 times, and was given it 1 times"]);
        // It gave it back, which counts as no attempt, and was given it again.
        let again = (Moment { zxid: 2, time_ms: 1800 }, Step::Assigned("w1-1".to_owned()));
        facts.history.tasks.entry("t".to_owned()).or_default().insert(2, again);
        assert_eq!(violations(&facts), Vec::<String>::new());
    }
}
