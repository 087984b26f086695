//! `bellwether master`: who rules.

use bellwether_client::{Master, Overview};
use bellwether_common::config::Output;
use bellwether_core::protocol::record::CoordinatorRecord;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::{Table, ago, or_dash};
use bellwether_common::clock::wall as now;

#[derive(Serialize, JsonSchema)]
pub(super) struct Office<'a> {
    master: &'a Option<Master>,
    standbys: &'a [CoordinatorRecord],
    dead_letters: u32,
}

/// The master and its standbys. That nobody rules is an answer, too.
pub(crate) async fn status(ctx: &Context) -> Result<u8, Failure> {
    let overview = ctx.client().await?.overview().await?;
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Office {
            master: &overview.master,
            standbys: &overview.standbys,
            dead_letters: overview.queue.dead,
        })),
        Output::Name => {
            let name = overview.master.as_ref().and_then(|master| master.name.as_ref());
            name.into_iter().for_each(|name| ctx.printer.line(name));
        }
        Output::Table => print(ctx, &overview),
    }
    if overview.queue.dead > 0 {
        ctx.printer.note(&format!("{} dead letters wait for somebody: bellwether dead list", overview.queue.dead));
    }
    if overview.master.is_none() {
        ctx.printer.note(&format!("nobody rules; start a coordinator with: bellwether-coordinator {}", overview.zookeeper));
    }
    Ok(0)
}

fn print(ctx: &Context, overview: &Overview) {
    let now = now();
    let mut table = Table::new(&["COORDINATOR", "ROLE", "EPOCH", "HOST", "PID", "HTTP", "SINCE"], &ctx.printer);
    if let Some(master) = &overview.master {
        table.row([
            or_dash(master.name.as_ref()),
            if master.foreign { "master (foreign)".to_owned() } else { "master".to_owned() },
            or_dash(master.epoch),
            or_dash(master.host.as_ref()),
            or_dash(master.pid),
            or_dash(master.http.as_ref()),
            ago(master.since, now),
        ]);
    }
    for standby in &overview.standbys {
        let (host, pid, http) = (standby.host.clone(), standby.pid.to_string(), standby.http.clone());
        table.row([standby.name.clone(), "standby".to_owned(), "-".to_owned(), host, pid, http, "-".to_owned()]);
    }
    if overview.master.is_some() || !overview.standbys.is_empty() {
        table.print(&ctx.printer);
    }
}

/// For the overview.
pub(crate) fn in_one_line(overview: &Overview) -> String {
    match &overview.master {
        None => "nobody".to_owned(),
        Some(master) if master.foreign => format!("a foreign one, since {}", ago(master.since, now())),
        Some(master) => {
            let (name, host) = (or_dash(master.name.as_ref()), or_dash(master.host.as_ref()));
            format!("{name} on {host}, epoch {}, since {}", or_dash(master.epoch), ago(master.since, now()))
        }
    }
}
