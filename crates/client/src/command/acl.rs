//! `bellwether acl`: who may do what with the nodes of a secured cluster.

use std::path::Path;

use bellwether_client::{AclApplied, AclDifference, AclReport};
use bellwether_common::access;
use bellwether_common::config::{AclMode, Output, read_secret};
use bellwether_core::protocol::acl::{Role, TABLE};
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::AclCommand;
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::Table;

/// Who somebody is to ZooKeeper.
#[derive(Serialize, JsonSchema)]
pub(super) struct Identified {
    /// What `[acl]` needs.
    identity: String,
}

/// The table of rights.
#[derive(Serialize, JsonSchema)]
pub(super) struct Rights {
    rows: Vec<RightsRow>,
}

/// One row of it: letters of r (read), w (set), c (create children), d (delete children), a (change rights).
#[derive(Serialize, JsonSchema)]
pub(super) struct RightsRow {
    /// Which nodes: `*` stands for one name, `…` for every other path.
    nodes: String,
    /// What coordinators may.
    coordinator: String,
    /// What workers may.
    worker: String,
    /// What clients may.
    client: String,
    /// What the admin may.
    admin: String,
}

/// Runs one of them.
pub(crate) async fn run(ctx: &Context, command: &AclCommand) -> Result<u8, Failure> {
    match command {
        AclCommand::Id(asked) => identify(ctx, &asked.file),
        AclCommand::Show => Ok(show(ctx)),
        AclCommand::Check => check(ctx).await,
        AclCommand::Apply(asked) if asked.dry_run => check(ctx).await.map(|_| 0),
        AclCommand::Apply(_) => apply(ctx).await,
    }
}

fn identify(ctx: &Context, file: &Path) -> Result<u8, Failure> {
    let bad = |why: String| Failure::configuration(format!("{}: {why}", file.display()));
    let secret = read_secret(file).map_err(bad)?;
    let identity = access::digest_identity(&secret).map_err(|error| bad(error.to_string()))?.to_string();
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Identified { identity })),
        Output::Table | Output::Name => ctx.printer.line(&identity),
    }
    Ok(0)
}

fn rows() -> Vec<RightsRow> {
    let of = |row: &bellwether_core::protocol::acl::Row, role| row.of(role).to_string();
    let row = |row| RightsRow {
        nodes: row_name(row),
        coordinator: of(row, Role::Coordinator),
        worker: of(row, Role::Worker),
        client: of(row, Role::Client),
        admin: of(row, Role::Admin),
    };
    TABLE.iter().map(row).collect()
}

fn row_name(row: &bellwether_core::protocol::acl::Row) -> String {
    row.pattern.to_owned()
}

fn show(ctx: &Context) -> u8 {
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Rights { rows: rows() })),
        Output::Name => rows().iter().for_each(|row| ctx.printer.line(&row.nodes)),
        Output::Table => {
            let mut table = Table::new(&["NODES", "COORDINATOR", "WORKER", "CLIENT", "ADMIN"], &ctx.printer);
            rows().into_iter().for_each(|row| table.row([row.nodes, row.coordinator, row.worker, row.client, row.admin]));
            table.print(&ctx.printer);
        }
    }
    0
}

/// Without a table there is nothing to compare with.
fn secured(ctx: &Context) -> Result<(), Failure> {
    match ctx.settings.zookeeper.acl {
        AclMode::Secured => Ok(()),
        AclMode::Open => Err(Failure::configuration("zookeeper.acl is \"open\": there is no table to compare with")
            .hint("set zookeeper.acl = \"secured\" and the identities in [acl], see docs/operations/securing-zookeeper.md")),
    }
}

async fn check(ctx: &Context) -> Result<u8, Failure> {
    secured(ctx)?;
    let report = ctx.client().await?.check_acls().await?;
    let (nodes, differing, masked) = (report.nodes, report.differences.len(), report.masked);
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(&report)),
        Output::Name => report.differences.iter().for_each(|difference| ctx.printer.line(&difference.path)),
        Output::Table => {
            if differing > 0 {
                differences(ctx, &report);
            }
            ctx.printer.note(&format!("{nodes} nodes, {differing} with other rights than the table says"));
            if report.missing > 0 {
                ctx.printer
                    .note(&format!("{} nodes of the layout are not there yet; create them with: bellwether acl apply", report.missing));
            }
            if masked > 0 {
                ctx.printer.note(&format!("of {masked} nodes only names were seen, no hashes: ask as the admin to see all"));
            }
        }
    }
    Ok(u8::from(differing > 0))
}

fn differences(ctx: &Context, report: &AclReport) {
    let mut table = Table::new(&["NODE", "WANTED", "FOUND"], &ctx.printer);
    for AclDifference { path, wanted, found, open } in &report.differences {
        let found = found.as_ref().map_or_else(|| "not to be seen by this session".to_owned(), |found| found.join(" "));
        let found = if *open { format!("{found} (open)") } else { found };
        table.row([path.clone(), wanted.join(" "), found]);
    }
    table.print(&ctx.printer);
}

async fn apply(ctx: &Context) -> Result<u8, Failure> {
    secured(ctx)?;
    let applied = ctx.client().await?.apply_acls().await?;
    let refused = !applied.refused.is_empty();
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(&applied)),
        Output::Name => applied.set.iter().for_each(|path| ctx.printer.line(path)),
        Output::Table => tell(ctx, &applied),
    }
    Ok(u8::from(refused))
}

fn tell(ctx: &Context, applied: &AclApplied) {
    for refusal in &applied.refused {
        ctx.printer.line(&format!("{}: refused: {}", refusal.path, refusal.why));
    }
    let (nodes, set, refused) = (applied.nodes, applied.set.len(), applied.refused.len());
    let created = if applied.created > 0 { format!(", {} of them created", applied.created) } else { String::new() };
    ctx.printer.note(&format!("{nodes} nodes{created}, rights of {set} set, {refused} refused"));
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::fs;

    use super::*;

    /// The table as it stands in the documentation.
    fn page() -> String {
        let mut text = String::from("| nodes | coordinator | worker | client | admin |\n|---|---|---|---|---|\n");
        for RightsRow { nodes, coordinator, worker, client, admin } in rows() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "| `{nodes}` | {coordinator} | {worker} | {client} | {admin} |");
        }
        text
    }

    #[test]
    fn the_documentation_shows_this_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/securing-zookeeper.md");
        let text = fs::read_to_string(&path).expect("the page");
        let (before, rest) = text.split_once("<!-- the table: written by make fix -->\n").expect("where it begins");
        let (shown, after) = rest.split_once("<!-- its end -->").expect("where it ends");
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            let text = format!("{before}<!-- the table: written by make fix -->\n{}<!-- its end -->{after}", page());
            fs::write(&path, text).expect("the page can be written");
            return;
        }
        assert!(shown == page(), "docs/operations/securing-zookeeper.md shows another table: run `make fix`; it must be\n{}", page());
    }
}
