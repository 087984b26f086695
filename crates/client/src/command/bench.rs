//! `bellwether bench`: how fast a cluster is, beside how fast its ZooKeeper is alone.

use std::collections::BTreeMap;
use std::time::Instant;

use bellwether_client::bench::{BenchError, Load, Measured, Part};
use bellwether_client::{Client, ClientSettings, NewTask};
use bellwether_common::config::Output;
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::{BenchArgs, BenchPart};
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::question;
use super::table::Table;

/// One figure over all rounds.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Figure {
    /// Of which part it is.
    part: Part,
    /// What was measured.
    what: String,
    /// Of the values: `/s`, `ms`, or `x` for a ratio.
    unit: &'static str,
    /// The smallest, the middle and the largest value.
    min: f64,
    median: f64,
    max: f64,
    /// All of them, in the order of the rounds.
    rounds: Vec<f64>,
}

/// What was measured.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Benched {
    /// Servers and root.
    zookeeper: String,
    /// Of this program.
    version: &'static str,
    /// How many workers were registered, with how many slots in all.
    workers: usize,
    slots: u32,
    /// How many tasks, or nodes, each time; in transactions of 32 five times as many.
    count: u32,
    figures: Vec<Figure>,
}

/// Measures by turns, so that a machine that becomes slower meanwhile slows all parts.
pub(crate) async fn run(ctx: &Context, args: BenchArgs) -> Result<u8, Failure> {
    let parts = wanted(&args.parts);
    let client = ctx.client().await?;
    let overview = client.overview().await?;
    let slots = overview.workers.iter().map(|worker| worker.slots).sum();
    if parts != [Part::Store] && overview.workers.is_empty() {
        return Err(Failure::error("no-worker", "no worker is registered, so that no task would end".to_owned())
            .hint("start one, or measure ZooKeeper alone: bellwether bench store"));
    }
    ask(ctx, &args, overview.queue.pending + overview.queue.held + overview.queue.assigned).await?;
    let other = Client::connect(ClientSettings::of(&ctx.settings, ctx.request_timeout)).await?;
    let load = load(ctx, &args);
    let mut rounds: BTreeMap<Part, Vec<Vec<Measured>>> = BTreeMap::new();
    for round in 1..=args.rounds {
        for part in &parts {
            let begun = Instant::now();
            rounds.entry(*part).or_default().push(client.bench(&other, *part, &load).await?);
            ctx.printer.note(&format!("round {round} of {}: {part:?} in {:.1} s", args.rounds, begun.elapsed().as_secs_f64()));
        }
    }
    other.close().await;
    let mut figures: Vec<Figure> = rounds.into_values().flat_map(figures).collect();
    figures.extend(share_of_the_store(&figures));
    let benched = Benched {
        zookeeper: ctx.address(),
        version: env!("CARGO_PKG_VERSION"),
        workers: overview.workers.len(),
        slots,
        count: args.count,
        figures,
    };
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(benched)),
        Output::Name | Output::Table => print(ctx, &benched),
    }
    Ok(0)
}

fn wanted(parts: &[BenchPart]) -> Vec<Part> {
    let mut parts: Vec<Part> = parts.iter().copied().map(Part::from).collect();
    if parts.is_empty() {
        parts = vec![Part::Store, Part::Latency, Part::Tasks, Part::Array];
    }
    parts.sort_unstable();
    parts.dedup();
    parts
}

fn load(ctx: &Context, args: &BenchArgs) -> Load {
    let task = match &args.kind {
        Some(kind) => NewTask::typed(kind, serde_json::Value::Null),
        None if args.command.is_empty() => NewTask::argv(["true"]),
        None => NewTask::argv(args.command.clone()),
    };
    Load {
        count: args.count as usize,
        batch: args.batch as usize,
        window: usize::try_from(ctx.settings.client.submit_window).unwrap_or(usize::MAX),
        task: task.name("bench"),
    }
}

/// Whoever uses the cluster would feel it.
async fn ask(ctx: &Context, args: &BenchArgs, tasks: u32) -> Result<(), Failure> {
    if tasks == 0 || args.yes {
        return Ok(());
    }
    let what = format!("this cluster is in use: {tasks} tasks wait or run. Measure all the same");
    match question::agreed(ctx, &what, "bench asks before it measures a cluster that is in use").await? {
        true => Ok(()),
        false => Err(Failure::error("not-measured", "nothing was measured".to_owned())),
    }
}

/// What was measured in each round, by what it is.
fn figures(rounds: Vec<Vec<Measured>>) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    for measured in rounds.into_iter().flatten() {
        match figures.iter_mut().find(|figure| figure.what == measured.what) {
            Some(figure) => figure.rounds.push(measured.value),
            None => figures.push(Figure::new(measured.part, measured.what, measured.unit, vec![measured.value])),
        }
    }
    figures.iter_mut().for_each(Figure::sort_out);
    figures
}

/// Five nodes are written for a task: ZooKeeper could do no more tasks than a fifth of the nodes that it creates in transactions of 32.
fn share_of_the_store(figures: &[Figure]) -> Option<Figure> {
    let store = figures.iter().find(|figure| figure.part == Part::Store && figure.what.contains("32 in a transaction"))?;
    let tasks = figures.iter().rfind(|figure| figure.part == Part::Tasks)?;
    let shares = tasks.rounds.iter().zip(&store.rounds).map(|(tasks, nodes)| tasks / (nodes / 5.0).max(f64::EPSILON));
    let what = "the last over a fifth of the nodes created 32 in a transaction".to_owned();
    let mut share = Figure::new(Part::Tasks, what, "x", shares.collect());
    share.sort_out();
    Some(share)
}

impl Figure {
    fn new(part: Part, what: String, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self { part, what, unit, min: 0.0, median: 0.0, max: 0.0, rounds }
    }

    fn sort_out(&mut self) {
        let mut sorted = self.rounds.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        (self.min, self.median, self.max) = (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)));
    }
}

fn print(ctx: &Context, benched: &Benched) {
    let mut table = Table::new(&["PART", "WHAT", "MIN", "MEDIAN", "MAX", ""], &ctx.printer);
    for figure in &benched.figures {
        let digits = if figure.unit == "/s" { 0 } else { 2 };
        let number = |value: f64| format!("{value:.digits$}");
        let part = format!("{:?}", figure.part).to_lowercase();
        table.row([part, figure.what.clone(), number(figure.min), number(figure.median), number(figure.max), figure.unit.to_owned()]);
    }
    table.print(&ctx.printer);
    let workers = format!("{} workers with {} slots", benched.workers, benched.slots);
    ctx.printer.note(&format!("{} at a time, {workers}, {}", benched.count, benched.zookeeper));
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Asked(error) => error.into(),
            BenchError::Submit(error) => error.into(),
            other => Self::error("not-measured", other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(what: &str, part: Part, value: f64) -> Measured {
        Measured { part, what: what.to_owned(), unit: "/s", value }
    }

    #[test]
    fn rounds_become_figures() {
        let rounds = [3.0, 1.0, 2.0].map(|value| vec![measured("a", Part::Store, value), measured("b", Part::Store, value * 10.0)]);
        let figures = figures(rounds.to_vec());
        let of = |figure: &Figure| [figure.min, figure.median, figure.max];
        assert_eq!(figures.iter().map(of).collect::<Vec<_>>(), [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]);
        assert_eq!(figures[0].rounds, [3.0, 1.0, 2.0]);
    }

    #[test]
    fn tasks_are_held_against_the_store_round_by_round() {
        let store = vec![vec![measured("nodes created, 32 in a transaction", Part::Store, 100.0)]];
        let tasks = vec![vec![measured("one by one", Part::Tasks, 4.0), measured("many", Part::Tasks, 10.0)]];
        let mut all = figures(store);
        all.extend(figures(tasks));
        assert_eq!(share_of_the_store(&all).expect("both were measured").rounds, [0.5]);
        assert!(share_of_the_store(&all[1..]).is_none(), "nothing to hold it against");
    }

    #[test]
    fn parts_are_named_once_and_none_means_all() {
        assert_eq!(wanted(&[]), [Part::Store, Part::Latency, Part::Tasks, Part::Array]);
        assert_eq!(wanted(&[BenchPart::Tasks, BenchPart::Store, BenchPart::Tasks]), [Part::Store, Part::Tasks]);
    }
}
