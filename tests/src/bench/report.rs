//! What was measured, on which machine, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use super::figure::{Figure, Unit};
use super::goals::{Goal, goals};
use super::{Group, Measured, Plan, Side, plot};

#[derive(Debug, Serialize)]
struct Compared {
    group: &'static str,
    title: &'static str,
    sides: Vec<Described>,
}

#[derive(Debug, Serialize)]
struct Described {
    side: String,
    configuration: String,
    /// Why it was not measured.
    skipped: Option<String>,
    /// What went wrong in some round.
    failed: Vec<String>,
}

/// Grows with each measurement.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Processors, memory, kernel, versions.
    machine: Vec<String>,
    rounds: usize,
    divisor: usize,
    groups: Vec<Compared>,
    goals: Vec<Goal>,
    figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { machine: machine(), rounds: plan.rounds, divisor: plan.divisor, groups: Vec::new(), goals: Vec::new(), figures: Vec::new() }
    }

    pub(super) fn begin(&mut self, group: &Group) {
        let described = |side: &Side| Described {
            side: side.name.clone(),
            configuration: side.configuration.clone(),
            skipped: side.missing.clone(),
            failed: Vec::new(),
        };
        for side in group.sides.iter().filter(|side| side.missing.is_some()) {
            eprintln!("  skipped: {}: {}", side.name, side.missing.as_deref().unwrap_or_default());
        }
        self.groups.push(Compared { group: group.name, title: group.title, sides: group.sides.iter().map(described).collect() });
    }

    pub(super) fn add(&mut self, group: &Group, side: &Side, measured: Measured) {
        for (what, unit, value) in measured {
            let known = self.figures.iter_mut().find(|known| known.group == group.name && known.side == side.name && known.what == what);
            match known {
                Some(figure) => figure.add(value),
                None => {
                    let mut figure = Figure::new(group.name, &side.name, &what, unit);
                    figure.add(value);
                    self.figures.push(figure);
                }
            }
        }
        self.goals = goals(&self.figures);
    }

    pub(super) fn failed(&mut self, group: &Group, side: &Side, why: &str) {
        let sides = self.groups.iter_mut().filter(|known| known.group == group.name).flat_map(|known| &mut known.sides);
        sides.filter(|known| known.side == side.name).for_each(|known| known.failed.push(why.to_owned()));
    }

    pub(super) fn failures(&self) -> usize {
        self.groups.iter().flat_map(|group| &group.sides).filter(|side| !side.failed.is_empty()).count()
    }

    pub(super) fn print(&self) {
        println!("{}", self.markdown());
    }

    /// `report.json`, `report.md`, and a drawing for each group.
    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        std::fs::write(dir.join("report.json"), serde_json::to_string_pretty(self)? + "\n")?;
        std::fs::write(dir.join("report.md"), self.markdown())?;
        for group in &self.groups {
            let all: Vec<&Figure> = self.of(group.group).filter(|figure| drawable(figure)).collect();
            // Only what is of one kind can be compared: how many, if that was measured.
            let unit = if all.iter().any(|figure| figure.unit == Unit::PerSecond) { Unit::PerSecond } else { Unit::Milliseconds };
            let drawn: Vec<&Figure> = all.into_iter().filter(|figure| figure.unit == unit).collect();
            if let Some(svg) = plot::draw(group.title, &drawn) {
                std::fs::write(dir.join(format!("{}.svg", group.group)), svg)?;
            }
        }
        Ok(())
    }

    fn of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Figure> + 'a {
        self.figures.iter().filter(move |figure| figure.group == group)
    }

    fn markdown(&self) -> String {
        let mut text = self.machine.iter().fold(String::new(), |text, line| text + "- " + line + "\n");
        text.push_str("\n| goal | | reached | |\n|---|---:|---:|---|\n");
        for goal in &self.goals {
            let (sign, verdict) = (if goal.at_least { "≥" } else { "≤" }, if goal.is_reached() { "yes" } else { "**no**" });
            let (target, reached) = (goal.unit.show(goal.target), goal.unit.show(goal.reached));
            let _ = writeln!(text, "| {} | {sign} {target} | {reached} | {verdict} |", goal.goal);
        }
        for group in &self.groups {
            let _ =
                writeln!(text, "\n### {}: {}\n\n| side | what | min | median | max |\n|---|---|---:|---:|---:|", group.group, group.title);
            for figure in self.of(group.group) {
                let [min, median, max] = [figure.min, figure.median, figure.max].map(|value| figure.unit.show(value));
                let _ = writeln!(text, "| {} | {} | {min} | {median} | {max} |", figure.side, figure.what);
            }
            text.push('\n');
            for side in &group.sides {
                let _ = writeln!(text, "- {}: {}", side.side, side.configuration);
                side.skipped.iter().for_each(|why| text.push_str(&format!("  - skipped: {why}\n")));
                side.failed.iter().for_each(|why| text.push_str(&format!("  - **failed**: {why}\n")));
            }
        }
        text
    }
}

/// What a drawing compares: whole tasks, not what the store does beside them.
fn drawable(figure: &Figure) -> bool {
    match figure.unit {
        Unit::PerSecond => figure.what.contains("result") && !figure.what.contains("cold"),
        Unit::Milliseconds => figure.what.contains("p50") && figure.what.contains("warm"),
        Unit::Microseconds | Unit::Seconds | Unit::Mebibytes | Unit::Bytes | Unit::Core | Unit::Ratio | Unit::Count | Unit::Whole => false,
    }
}

/// What the figures depend on.
fn machine() -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim_matches([' ', '\t', ':']).to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let processor = after(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = after(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let profile = if cfg!(debug_assertions) { "debug build: these figures mean nothing" } else { "release build" };
    vec![
        format!("{cores} cores ({processor}), {memory}, Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("Bellwether {} ({profile}), {}", env!("CARGO_PKG_VERSION"), said("rustc", &["--version"])),
        format!("ZooKeeper {}, {}", said("dpkg-query", &["-W", "-f", "${Version}", "zookeeper"]), said("java", &["-version"])),
        format!("measured at {}", today()),
    ]
}

/// The day, in UTC.
fn today() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "an unknown day".to_owned(), |now| now.strftime("%Y-%m-%d").to_string())
}

/// The first line that a program says.
fn said(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else { return format!("{program}: not here") };
    let all = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&all).lines().next().unwrap_or_default().to_owned()
}
