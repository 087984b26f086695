//! What is printed of a local cluster that is ready.

use bellwether_common::config::Output;
use schemars::JsonSchema;
use serde::Serialize;

use super::Cluster;
use super::plan::Plan;
use super::service::Service;
use crate::command::context::{Context, Versioned};
use crate::command::table::{Table, or_dash};

#[derive(Serialize, JsonSchema)]
pub(crate) struct Shown<'a> {
    zookeeper: String,
    zookeeper_pids: Vec<i32>,
    directory: &'a std::path::Path,
    services: Vec<ShownService<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ShownService<'a> {
    name: &'a str,
    role: &'a str,
    pid: u32,
    http: Option<&'a str>,
    log: &'a std::path::Path,
}

const BOX: &str = "\
┌──────────────────────────────────────────────────────────────────┐
│ A cluster to try things out, not for production: one machine, no │
│ passwords, and everything ends with this command.                │
└──────────────────────────────────────────────────────────────────┘";

/// Where everything is.
pub(super) fn cluster(ctx: &Context, plan: &Plan, cluster: &Cluster) {
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(shown(plan, cluster))),
        Output::Name => ctx.printer.line(&plan.address()),
        Output::Table => print(ctx, plan, cluster),
    }
}

fn services(cluster: &Cluster) -> impl Iterator<Item = &Service> {
    cluster.coordinators.iter().chain(&cluster.workers)
}

fn shown<'a>(plan: &'a Plan, cluster: &'a Cluster) -> Shown<'a> {
    let service = |service: &'a Service| ShownService {
        name: service.name(),
        role: service.role(),
        pid: service.pid(),
        http: service.http(),
        log: service.log(),
    };
    Shown {
        zookeeper: plan.address(),
        zookeeper_pids: cluster.zookeeper.as_ref().map(|zookeeper| zookeeper.pids()).unwrap_or_default(),
        directory: plan.dir(),
        services: services(cluster).map(service).collect(),
    }
}

fn print(ctx: &Context, plan: &Plan, cluster: &Cluster) {
    let mut table = Table::new(&["NAME", "ROLE", "PID", "ADDRESS", "LOG"], &ctx.printer);
    match &cluster.zookeeper {
        None => table.row(["-".to_owned(), "zookeeper".to_owned(), "-".to_owned(), plan.address(), "-".to_owned()]),
        Some(zookeeper) => {
            for (server, pid) in zookeeper.pids().into_iter().enumerate() {
                let log = zookeeper.log(server).display().to_string();
                table.row([format!("zookeeper-{}", server + 1), "zookeeper".to_owned(), pid.to_string(), zookeeper.address(server), log]);
            }
        }
    }
    for service in services(cluster) {
        let http = or_dash(service.http().map(|http| format!("http://{http}")));
        table.row([
            service.name().to_owned(),
            service.role().to_owned(),
            service.pid().to_string(),
            http,
            service.log().display().to_string(),
        ]);
    }
    ctx.printer.line(BOX);
    table.print(&ctx.printer);
    let address = plan.address();
    ctx.printer.line(&format!("\nIn another terminal:\n  export BELLWETHER_ZOOKEEPER={address}\n  bellwether run -- echo hello\n"));
    ctx.printer.note("Ctrl-C ends everything");
}
