//! `make bench`: how fast Bellwether is, beside its ZooKeeper alone and beside other systems that do this job, in the same minutes on the
//! same machine.
//!
//! What is compared makes a group; each of its sides is measured in turn, on servers of its own that are started for it and stopped after
//! it, for some rounds: every other round in the opposite order, so that a machine that becomes slower meanwhile slows all of them. Other
//! systems are programs of `tests/peers`, each with its configuration stated at its top. Every cluster of Bellwether's is audited at its
//! end; a broken promise ends the measurement.

mod figure;
mod goals;
mod peers;
mod plot;
mod report;
mod retention;
mod sides;
mod timeline;

use std::path::PathBuf;
use std::time::Duration;

pub use figure::{Figure, Unit};
use report::Report;

/// What one measurement of a side gave.
pub type Measured = Vec<(String, Unit, f64)>;

/// One of several things that are compared.
pub struct Side {
    /// What it is called.
    name: String,
    /// How it is configured, in a line.
    configuration: String,
    /// Measures it once.
    measure: Box<dyn Fn() -> anyhow::Result<Measured>>,
    /// Why it cannot be measured here.
    missing: Option<String>,
}

impl Side {
    fn new(name: &str, configuration: &str, measure: impl Fn() -> anyhow::Result<Measured> + 'static) -> Self {
        Self { name: name.to_owned(), configuration: configuration.to_owned(), measure: Box::new(measure), missing: None }
    }
}

/// What is compared.
pub struct Group {
    /// As it is asked for.
    name: &'static str,
    /// What it is about.
    title: &'static str,
    /// Fewer rounds than others, where one takes minutes.
    rounds_max: usize,
    sides: Vec<Side>,
}

/// How much is measured, and where the report goes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often each side.
    pub rounds: usize,
    /// Which groups; none: all but those of `long`.
    pub groups: Vec<String>,
    /// Divides the number of tasks: 1 for figures, more to see that it works.
    pub divisor: usize,
    /// With the groups that take long.
    pub long: bool,
    /// How long the group takes that takes minutes.
    pub length: Option<Duration>,
    /// For the report.
    pub dir: PathBuf,
}

/// Measures, prints the table, and writes `report.json`, `report.md` and a drawing for each group.
///
/// # Errors
/// A group is unknown, a report cannot be written, or nothing could be measured.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let all = sides::groups(plan);
    if let Some(unknown) = plan.groups.iter().find(|name| all.iter().all(|group| group.name != name.as_str())) {
        let names: Vec<&str> = all.iter().map(|group| group.name).collect();
        anyhow::bail!("there is no group {unknown}; there are: {}", names.join(" "));
    }
    std::fs::create_dir_all(&plan.dir)?;
    let mut report = Report::new(plan);
    for group in all.into_iter().filter(|group| wanted(group, plan)) {
        measure(&group, plan, &mut report);
        // What was measured is kept, whatever comes.
        report.write(&plan.dir)?;
    }
    report.print();
    anyhow::ensure!(report.failures() == 0, "{} sides failed: see above", report.failures());
    Ok(())
}

fn wanted(group: &Group, plan: &Plan) -> bool {
    if plan.groups.is_empty() { plan.long || !sides::LONG.contains(&group.name) } else { plan.groups.iter().any(|name| name == group.name) }
}

fn measure(group: &Group, plan: &Plan, report: &mut Report) {
    eprintln!("{}: {}", group.name, group.title);
    report.begin(group);
    for round in 0..plan.rounds.min(group.rounds_max) {
        let mut order: Vec<&Side> = group.sides.iter().filter(|side| side.missing.is_none()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for side in order {
            match (side.measure)() {
                Ok(measured) => {
                    let said: Vec<String> = measured.iter().map(|(what, unit, value)| format!("{what} {}", unit.show(*value))).collect();
                    eprintln!("  {}. {}: {}", round + 1, side.name, said.join(", "));
                    report.add(group, side, measured);
                }
                Err(error) => {
                    eprintln!("  {}. {}: failed: {error:#}", round + 1, side.name);
                    report.failed(group, side, &format!("{error:#}"));
                }
            }
        }
    }
}
