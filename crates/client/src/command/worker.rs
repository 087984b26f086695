//! `bellwether worker`: who works.

use bellwether_client::WorkerView;
use bellwether_common::config::Output;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::{Table, ago, or_dash, pairs};
use bellwether_common::clock::wall as now;

#[derive(Serialize, JsonSchema)]
pub(super) struct Workers<'a> {
    workers: &'a [WorkerView],
}

/// The registered ones.
pub(crate) async fn list(ctx: &Context) -> Result<u8, Failure> {
    let overview = ctx.client().await?.overview().await?;
    match ctx.printer.output {
        Output::Json => {
            ctx.printer.json_list(&Versioned::new(Workers { workers: &overview.workers }), overview.workers.iter().map(Versioned::new))
        }
        Output::Name => overview.workers.iter().for_each(|worker| ctx.printer.line(worker.worker.as_str())),
        Output::Table if overview.workers.is_empty() => {
            ctx.printer.note(&format!("no worker is registered; start one with: bellwether-worker {}", overview.zookeeper));
        }
        Output::Table => print(ctx, &overview.workers),
    }
    Ok(0)
}

/// In columns.
pub(crate) fn print(ctx: &Context, workers: &[WorkerView]) {
    let now = now();
    let wide = ctx.printer.wide;
    let mut header = vec!["WORKER", "STATE", "SLOTS", "ASSIGNED", "HOST", "HTTP", "SINCE", "LABELS"];
    header.extend(["NAME", "PID"].into_iter().filter(|_| wide));
    let mut table = Table::new(&header, &ctx.printer);
    for worker in workers {
        let more = [or_dash(worker.name.as_ref()), or_dash(worker.pid)];
        let cells = [
            worker.worker.to_string(),
            state(worker).to_owned(),
            worker.slots.to_string(),
            worker.assigned.to_string(),
            or_dash(worker.host.as_ref()),
            or_dash(worker.http.as_ref()),
            ago(worker.since, now),
            pairs(&worker.labels),
        ];
        table.row(cells.into_iter().chain(more.into_iter().filter(|_| wide)));
    }
    table.print(&ctx.printer);
}

fn state(worker: &WorkerView) -> &'static str {
    match (worker.foreign, worker.slots, worker.assigned) {
        (true, ..) => "foreign",
        (false, 0, _) => "draining",
        (false, _, 0) => "idle",
        (false, ..) => "busy",
    }
}
