//! `bellwether events`: what happened of late, as far as ZooKeeper keeps it, and with `-f` what happens.

use bellwether_client::{Client, Filter, Happening};
use bellwether_common::clock::wall as now;
use bellwether_common::config::Output;

use super::arguments::EventsArgs;
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::printer::Printer;
use super::table::{ago, printable};

pub(crate) async fn run(ctx: &Context, asked: &EventsArgs) -> Result<u8, Failure> {
    let client = ctx.client().await?;
    if !asked.follow {
        let past = past(client, asked.limit).await?;
        past.iter().for_each(|happening| show(ctx, happening));
        if past.is_empty() {
            ctx.printer.note("nothing has happened yet that ZooKeeper keeps; see what happens with: bellwether events -f");
        }
        return Ok(0);
    }
    let mut follow = client.follow();
    while let Some(happening) = follow.next().await {
        show(ctx, &happening);
        if Printer::is_unread() {
            return Ok(0);
        }
    }
    Err(Failure::error("error", "the client ended, and nothing is heard any more"))
}

fn show(ctx: &Context, happening: &Happening) {
    match ctx.printer.output {
        // One by one, whatever form of JSON: a stream has no end at which a whole could be closed.
        Output::Json => ctx.printer.json_line(&Versioned::new(happening)),
        Output::Name => ctx.printer.line(happening.what),
        Output::Table => ctx.printer.line(&line(happening)),
    }
}

/// One event in one line.
pub(super) fn line(happening: &Happening) -> String {
    let mut words = vec![format!("{:<9}", ago(happening.at, now())), format!("{:<14}", happening.what)];
    words.extend(happening.task.as_ref().map(ToString::to_string));
    words.extend(happening.worker.as_ref().map(ToString::to_string));
    words.extend(happening.detail.clone());
    words.extend(happening.epoch.map(|epoch| format!("epoch {epoch}")));
    printable(words.join("  ").trim_end())
}

/// The last ones that can be known: terms, workers that are there, and the latest tasks.
async fn past(client: &Client, limit: usize) -> Result<Vec<Happening>, Failure> {
    let (terms, overview) = (client.terms().await?.terms, client.overview().await?);
    let listing = client.list(Filter { limit: Some(limit), ..Filter::default() }).await?;
    let blank = |what, at| Happening { at, what, task: None, worker: None, epoch: None, detail: None };
    let elections =
        terms.into_iter().map(|term| Happening { epoch: Some(term.epoch), detail: Some(term.name), ..blank("master-elected", term.since) });
    let workers =
        overview.workers.into_iter().map(|worker| Happening { worker: Some(worker.worker), ..blank("worker-joined", worker.since) });
    let tasks = listing.tasks.into_iter().map(|view| {
        let what = if view.state.is_final() { "ended" } else { view.state.as_str() };
        let detail = view.result.as_ref().map(|result| result.why());
        Happening { task: Some(view.task), worker: view.worker, detail, ..blank(what, view.since) }
    });
    let mut all: Vec<Happening> = elections.chain(workers).chain(tasks).collect();
    all.sort_by_key(|happening| happening.at);
    all.drain(..all.len().saturating_sub(limit));
    Ok(all)
}
