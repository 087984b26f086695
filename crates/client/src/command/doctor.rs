//! `bellwether doctor`: what is wrong with a cluster, and how to mend it. With `--fix`, mends what is safe to mend.

use bellwether_client::{Finding, Severity};
use bellwether_common::config::Output;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Versioned};
use super::failure::Failure;
use super::question;
use super::table::printable;

mod servers;
mod services;

/// What was found.
#[derive(Serialize, JsonSchema)]
pub(super) struct Diagnosis {
    /// Whether nothing is broken.
    healthy: bool,
    /// What was looked at, in the order of the looks.
    findings: Vec<Finding>,
}

/// The exit code says whether something is broken that was not mended.
pub(crate) async fn run(ctx: &Context, fix: bool, yes: bool) -> Result<u8, Failure> {
    let mut findings = servers::look(&ctx.settings.zookeeper.connect).await;
    // Without a session the findings about the servers are all there is, and they say why.
    match ctx.client().await {
        Ok(client) => {
            findings.extend(client.diagnose().await?);
            findings.extend(services::look(&client.overview().await?).await);
        }
        Err(failure) => findings.push(Finding::broken("session", failure.message, failure.hint.unwrap_or_default())),
    }
    if ctx.printer.output == Output::Table {
        findings.iter().for_each(|finding| ctx.printer.line(&line(finding)));
    }
    if fix {
        mend(ctx, &mut findings, yes).await?;
    }
    let healthy = findings.iter().all(|finding| finding.severity != Severity::Broken);
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(Diagnosis { healthy, findings })),
        Output::Name => {
            findings.iter().filter(|finding| finding.severity != Severity::Fine).for_each(|finding| ctx.printer.line(finding.check))
        }
        Output::Table => ctx.printer.note(&summary(&findings)),
    }
    Ok(u8::from(!healthy))
}

fn line(finding: &Finding) -> String {
    let word = match finding.severity {
        Severity::Fine => "ok     ",
        Severity::Odd => "odd    ",
        Severity::Broken => "BROKEN ",
    };
    let mend = if finding.mend.is_empty() { String::new() } else { format!("\n         mend it: {}", printable(&finding.mend)) };
    format!("{word}  {}: {}{mend}", finding.check, printable(&finding.text))
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let fixable = findings.iter().filter(|finding| finding.fix.is_some()).count();
    let more = if fixable > 0 { format!("; {fixable} can be mended with: bellwether doctor --fix") } else { String::new() };
    format!("{} looks, {} broken, {} odd{more}", findings.len(), count(Severity::Broken), count(Severity::Odd))
}

/// Asks before each, and notes what was mended.
async fn mend(ctx: &Context, findings: &mut [Finding], yes: bool) -> Result<(), Failure> {
    for finding in findings.iter_mut() {
        let Some(fix) = &finding.fix else { continue };
        if !yes && !question::agreed(ctx, &finding.mend, "--fix asks before it mends anything").await? {
            continue;
        }
        ctx.client().await?.mend(fix).await?;
        ctx.printer.note(&format!("mended: {}", finding.mend));
        (finding.severity, finding.fix) = (Severity::Fine, None);
    }
    Ok(())
}
