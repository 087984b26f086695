//! `bellwether audit DIR…`: whether every promise was kept, from ZooKeeper's own logs. What it means to keep one stands in the core.

use std::time::Duration;

use bellwether_common::audit::{self, AuditError, Begin, LogFound, Quantiles, Report, Term, Verdict};
use bellwether_common::config::Output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::arguments::{AuditArgs, Global};
use super::context::Versioned;
use super::failure::{Failure, USAGE};
use super::printer::Printer;
use super::table::{Table, or_dash};

/// A promise was broken.
const VIOLATED: u8 = 1;
/// Nothing can be proved: the same number as for a wrong command line.
const UNUSABLE: u8 = USAGE;
/// How many lines a table shows at most; JSON has all.
const LINES: usize = 25;

pub(super) fn run(options: &AuditArgs, global: &Global) -> Result<u8, Failure> {
    let printer = Printer::early(global);
    let bar = progress(&printer);
    let report = audit::run_telling(&options.dirs, &options.root, |records| bar.set_position(records));
    bar.finish_and_clear();
    let report = report.map_err(unusable)?;
    match printer.output {
        Output::Json => printer.json(&Versioned::new(&report)),
        Output::Name => printer.line(word(report.verdict)),
        Output::Table => print(&report, &printer),
    }
    if global.verbose > 0 {
        let LogFound { records, seconds, .. } = report.log;
        printer.note(&format!("{records} records in {seconds:.2} s: {:.0} a second", records as f64 / seconds.max(1e-6)));
    }
    Ok(match report.verdict {
        Verdict::Clean => 0,
        Verdict::Violated => VIOLATED,
        Verdict::Unusable => UNUSABLE,
    })
}

/// How far it is: a log of a busy cluster has millions of transactions. Drawn on a terminal only.
fn progress(printer: &Printer) -> ProgressBar {
    if printer.quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} transactions read, {per_sec}, {elapsed}");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

fn unusable(error: AuditError) -> Failure {
    let hint = match &error {
        AuditError::NoCluster { .. } => "name the cluster's path with --root",
        AuditError::Log(_) => "give the dataDir (or dataLogDir) of ZooKeeper's servers",
    };
    Failure { code: UNUSABLE, ..Failure::error("unusable", error.to_string()).hint(hint) }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "clean",
        Verdict::Violated => "violated",
        Verdict::Unusable => "unusable",
    }
}

fn print(report: &Report, printer: &Printer) {
    read(&report.log, printer);
    printer.line("");
    terms(&report.terms, printer);
    printer.line("");
    tasks(report, printer);
    printer.line("");
    timings(report, printer);
    if !report.violations.is_empty() {
        printer.line("");
        violations(report, printer);
    }
    printer.line("");
    printer.line(&verdict(report));
}

fn verdict(report: &Report) -> String {
    match report.verdict {
        Verdict::Clean => format!("clean: no promise was broken below {}", report.root),
        Verdict::Violated => format!("violated: {} times a promise was broken below {}", report.violated, report.root),
        Verdict::Unusable => "unusable: no promise was broken in what can be read, but not everything can".to_owned(),
    }
}

fn read(log: &LogFound, printer: &Printer) {
    let servers = if log.servers == 1 { "1 server".to_owned() } else { format!("{} servers", log.servers) };
    let span = match (&log.first, &log.last) {
        (Some(first), Some(last)) => {
            format!(", zxid {:#x} to {:#x}, {} to {}", first.zxid, last.zxid, seconds(first.time), seconds(last.time))
        }
        _ => String::new(),
    };
    printer.line(&format!("{} transactions in the logs of {servers}{span}", log.records));
    match &log.begins {
        Begin::First => {}
        Begin::Snapshot { zxid, path } => printer.line(&format!(
            "older logs were purged: begins with the snapshot {}, behind zxid {zxid:#x} ({} transactions before it skipped)",
            path.display(),
            log.skipped
        )),
        Begin::Midway { zxid } => printer.line(&format!(
            "older logs were purged, and no readable snapshot fits: begins at zxid {zxid:#x}; what was there before is not known, so that \
             it is neither convicted nor proved (a snapshot of that time beside the logs would tell)"
        )),
    }
    for missing in &log.missing {
        printer.line(&format!(
            "MISSING: what lies between zxid {:#x} and {:#x}; give the directories of the other servers, too",
            missing.after, missing.before
        ));
    }
    log.damages.iter().for_each(|damage| printer.line(&format!("DAMAGED: {}", damage.text)));
    log.unfinished.iter().for_each(|torn| printer.line(&format!("ends unfinished (a server that runs, or was killed): {}", torn.text)));
    for zxid in &log.disagreements {
        printer.line(&format!("DISAGREE: the servers have different transactions with zxid {zxid:#x}"));
    }
    if let Some(first) = log.never_committed.first() {
        let others = log.never_committed.len() - 1;
        printer.line(&format!("never committed, left out: zxid {first:#x} and {others} others, which other servers went on without"));
    }
}

fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

fn terms(terms: &[Term], printer: &Printer) {
    let earlier = terms.len().saturating_sub(LINES);
    let mut table = Table::new(&["EPOCH", "MASTER", "SINCE", "UNTIL", "VACANT BEFORE", "ENDED"], printer);
    for term in &terms[earlier..] {
        table.row([
            or_dash(term.epoch),
            term.name.clone().unwrap_or_else(|| format!("session {:#x}", term.session)),
            seconds(term.since.time),
            or_dash(term.until.map(|until| seconds(until.time))),
            or_dash(term.vacant_ms.map(milliseconds)),
            or_dash(term.ended.as_deref()),
        ]);
    }
    match terms.len() {
        0 => printer.line("nobody took the office"),
        _ => table.print(printer),
    }
    if earlier > 0 {
        printer.line(&format!("({earlier} earlier terms: see -o json)"));
    }
}

fn tasks(report: &Report, printer: &Printer) {
    let tasks = &report.tasks;
    let mut table = Table::new(&[], printer);
    table.row(["tasks submitted".to_owned(), tasks.submitted.to_string()]);
    for (outcome, count) in &tasks.ended {
        table.row([format!("  {outcome}"), count.to_string()]);
    }
    let rest = [
        ("  lost", tasks.lost),
        ("  waiting", tasks.waiting),
        ("  with a worker", tasks.assigned),
        ("  with a worker that is gone", tasks.stranded),
        ("attempts lost with a worker", tasks.attempts_lost),
        ("workers registered", report.workers),
    ];
    for (what, count) in rest.into_iter().filter(|(what, count)| *count > 0 || !what.starts_with(' ')) {
        table.row([what.to_owned(), count.to_string()]);
    }
    table.print(printer);
}

fn timings(report: &Report, printer: &Printer) {
    let timings = &report.timings;
    let mut table = Table::new(&["TIME", "COUNT", "P50", "P99", "MAX"], printer);
    let rows = [
        ("nobody in office", timings.vacancy),
        ("worker gone → assigned anew", timings.reassignment),
        ("queued → assigned", timings.queue),
        ("assigned → result", timings.run),
        ("submitted → result", timings.whole),
    ];
    for (what, Quantiles { count, p50_ms, p99_ms, max_ms }) in rows {
        let shown = |ms| if count == 0 { "-".to_owned() } else { milliseconds(ms) };
        table.row([what.to_owned(), count.to_string(), shown(p50_ms), shown(p99_ms), shown(max_ms)]);
    }
    table.print(printer);
    printer.line(&format!("{:.2} transactions for each task that ended", timings.writes_per_task));
}

/// Exact below ten seconds: these are figures to compare.
fn milliseconds(ms: i64) -> String {
    match u64::try_from(ms) {
        Ok(ms) if ms >= 10_000 => super::table::short(Duration::from_millis(ms)),
        _ => format!("{ms}ms"),
    }
}

fn violations(report: &Report, printer: &Printer) {
    let mut table = Table::new(&["BROKEN", "ZXID", "TIME", "PATH", "WHAT"], printer);
    for broken in report.violations.iter().take(LINES) {
        let (zxid, time) = (format!("{:#x}", broken.at.zxid), format!("{:.3}", broken.at.time));
        table.row([broken.promise.to_owned(), zxid, time, broken.path.clone(), broken.what.clone()]);
    }
    table.print(printer);
    if report.violated > LINES as u64 {
        printer.line(&format!("({} more: see -o json)", report.violated - LINES as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_exact() {
        assert_eq!([0, 9_999, 10_000, -3].map(milliseconds), ["0ms", "9999ms", "10s", "-3ms"]);
    }

    #[test]
    fn logs_that_say_nothing_are_unusable() {
        let failure = unusable(AuditError::NoCluster { root: "/".into(), others: vec!["/prod".into()] });
        assert_eq!(failure.code, 2);
        let text = "bellwether: unusable: nothing of Bellwether happens below / in these logs; there is a cluster below /prod; \
                    name the cluster's path with --root";
        assert_eq!(failure.text(), text);
    }
}
