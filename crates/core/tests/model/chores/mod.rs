//! What a master does beside tasks, model-checked: the real [`Timetable`](bellwether_core::timetable::Timetable) of two masters, of which
//! one may follow the other at any moment, and the real [`Janitor`](bellwether_core::janitor::Janitor) beside a client that waits.
//!
//! The toy ZooKeeper of either knows the few nodes that matter. The fence is taken for granted: it has a model of its own.

mod janitor;
mod schedule;

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::report::{Kind, Report, Run};

/// What must never be found.
const KEPT: &str = "every promise is kept";

/// Most steps that a run may take.
const STEPS_MAX: usize = 3_000_000;

fn explore<M>(name: &str, model: M, finish: HasDiscoveries) -> Report
where
    M: Model + Sync + Send + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Sync + Send + 'static,
    M::Action: Clone + Debug + PartialEq + Sync + Send,
{
    let began = Instant::now();
    let checker = model.checker().finish_when(finish).target_state_count(STEPS_MAX).spawn_bfs().join();
    let mut report = Report::new(name, checker.unique_state_count(), checker.max_depth(), began.elapsed());
    report.unfinished = checker.state_count() >= STEPS_MAX;
    if let Some(path) = checker.discovery(KEPT) {
        let steps = path.into_actions();
        report.found = Some((steps.len(), KEPT.replace("is kept", "is not kept"), format!("{steps:?}")));
    }
    let others = checker.model().properties().into_iter().map(|property| property.name).filter(|name| *name != KEPT);
    report.vacuous = others.filter(|_| report.found.is_none()).find(|name| checker.discovery(name).is_none());
    report
}

fn run<M>(name: &'static str, kind: Kind, model: fn() -> M) -> Run
where
    M: Model + Sync + Send + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Sync + Send + 'static,
    M::Action: Clone + Debug + PartialEq + Sync + Send,
{
    let finish = move || match kind {
        Kind::Holds => HasDiscoveries::AnyFailures,
        Kind::Hole { .. } | Kind::Spare { .. } => HasDiscoveries::AnyOf([KEPT].into()),
    };
    Run { name, kind, job: Box::new(move || explore(name, model(), finish())) }
}

/// All runs of these models.
pub(crate) fn runs() -> Vec<Run> {
    let mut runs = schedule::runs();
    runs.extend(janitor::runs());
    runs
}
