//! The rules, model-checked. Three models: who rules and what the fence holds back (`election`), what becomes of tasks (`life`), and what a
//! master does beside (`chores`).
//!
//! Each run explores every history of a small world within its budgets. With the rules as they are nothing may be found; with one rule
//! taken out, the hole must be. The checker has no harness of its own: what was explored is printed at the end, as a table.
//!
//! `cargo test -p bellwether-core --test model -- WORDS` runs those whose name contains one of the words. With `MODEL_MORE=1` every
//! fault of a life may happen once more than written: for one run at a time, over night.

mod chores;
mod election;
mod life;
mod report;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use report::{Kind, Report, Run};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut runs = election::runs();
    runs.extend(life::runs::runs());
    runs.extend(chores::runs());
    runs.retain(|run| words.is_empty() || words.iter().any(|word| run.title().contains(word.as_str())));
    let began = Instant::now();
    let reports = explore(&runs);
    let holds = runs.iter().zip(&reports).filter(|(run, _)| run.kind == Kind::Holds);
    println!("\nThe rules as they are:");
    holds.for_each(|(_, report)| println!("  {}", report.line()));
    println!("\nWithout a rule:");
    for (run, report) in runs.iter().zip(&reports) {
        run.line_of_hole(report).into_iter().for_each(|line| println!("  {line}"));
    }
    report::NOT_HERE.iter().for_each(|(rule, why)| println!("  {rule:<22} {why}"));
    let states: usize = reports.iter().map(|report| report.states).sum();
    let deepest = reports.iter().map(|report| report.depth).max().unwrap_or_default();
    println!("\nmodel: {} runs, {states} states, deepest {deepest}, {:.1} s\n", runs.len(), began.elapsed().as_secs_f64());
    let complaints: Vec<String> = runs.iter().zip(&reports).filter_map(|(run, report)| run.complaint(report)).collect();
    complaints.iter().for_each(|complaint| eprintln!("FAILED {complaint}"));
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs them on all cores, each on one.
fn explore(runs: &[Run]) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<Option<Report>>> = Mutex::new(runs.iter().map(|_| None).collect());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((index, run)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, runs.get(index)?)))
                {
                    let report = (run.job)();
                    if std::env::var_os("MODEL_PROGRESS").is_some() {
                        eprintln!("{}", report.line());
                    }
                    reports.lock().expect("no run panics while it holds the lock")[index] = Some(report);
                }
            });
        }
    });
    reports.into_inner().expect("nobody is left").into_iter().flatten().collect()
}
