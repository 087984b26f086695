//! The table of `make faults`: every row with what its tests saw. A pure function of rows, claims and reports.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::claims::Claim;
use super::report::{Audited, Report};
use super::rows::{ROWS, Row};

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every test of it passed.
    Proven,
    /// No test failed, but none was run: this machine cannot.
    Skipped,
    /// A test failed, or did not report, or there is none.
    Red,
}

/// A row with all that was said of it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which row.
    pub row: Row,
    /// What became of it.
    pub outcome: Outcome,
    /// What was seen, a paragraph per test.
    pub seen: String,
    /// What the audits found.
    pub audit: String,
}

/// A line for each of the rows that are `wanted`; none means all.
#[must_use]
pub fn lines(wanted: &[String], claims: &[Claim], reports: &[Report]) -> Vec<Line> {
    let is_wanted = |row: &&Row| wanted.is_empty() || wanted.iter().any(|name| name == row.name);
    ROWS.iter().filter(is_wanted).map(|row| line(row, claims, reports)).collect()
}

fn line(row: &Row, claims: &[Claim], reports: &[Report]) -> Line {
    let all = reports;
    let claims: Vec<&Claim> = claims.iter().filter(|claim| claim.row == row.name).collect();
    let reports: Vec<&Report> = reports.iter().filter(|report| report.row == row.name).collect();
    let missing: Vec<&&Claim> = claims.iter().filter(|claim| !reports.iter().any(|report| report.test == claim.test)).collect();
    let mut seen: Vec<String> = reports.iter().map(|report| paragraph(report)).collect();
    seen.extend(missing.iter().map(|claim| format!("NOT RUN, or not compiled in: {}", claim.test)));
    if claims.is_empty() {
        seen.push("NO TEST".to_owned());
    }
    if row.name == "F33" {
        seen.push(through_all(all));
    }
    let failed = reports.iter().any(|report| !report.passed);
    let proven = reports.iter().any(|report| report.passed && report.skipped.is_none());
    let outcome = match (claims.is_empty() || failed || !missing.is_empty(), proven) {
        (true, _) => Outcome::Red,
        (false, true) => Outcome::Proven,
        (false, false) => Outcome::Skipped,
    };
    let audits: Vec<&Audited> = reports.iter().flat_map(|report| &report.audit).collect();
    Line { row: *row, outcome, seen: seen.join("\n"), audit: verdict(&audits) }
}

/// What the metrics showed through all rows.
fn through_all(reports: &[Report]) -> String {
    let mut tests: Vec<&Report> = reports.iter().filter(|report| !report.sampled.is_empty()).collect();
    tests.sort_by_key(|report| &report.test);
    // A test of two rows has made its scrapes once.
    tests.dedup_by_key(|report| &report.test);
    let scrapes: u64 = tests.iter().flat_map(|report| &report.sampled).map(|sampled| sampled.scrapes).sum();
    let slowest = tests.iter().flat_map(|report| &report.sampled).map(|sampled| sampled.slowest_ms).max().unwrap_or(0);
    format!("through {} tests of all rows: {scrapes} scrapes, never two masters, the slowest {slowest} ms", tests.len())
}

fn paragraph(report: &Report) -> String {
    let name = report.test.rsplit("::").next().unwrap_or(&report.test).replace('_', " ");
    match (&report.skipped, report.passed) {
        (Some(why), _) => format!("skipped: {why}"),
        (None, false) => format!("FAILED: {name}"),
        (None, true) if report.seen.is_empty() => format!("as expected: {name}"),
        (None, true) => report.seen.join("; "),
    }
}

fn verdict(audits: &[&Audited]) -> String {
    let Some(broken) = (!audits.is_empty()).then(|| audits.iter().filter(|audited| !audited.clean).count()) else {
        return "no cluster".to_owned();
    };
    let records: u64 = audits.iter().map(|audited| audited.records).sum();
    let mut excepted: Vec<&str> = audits.iter().flat_map(|audited| &audited.excepted).map(String::as_str).collect();
    excepted.sort_unstable();
    excepted.dedup();
    let without = if excepted.is_empty() { String::new() } else { format!(", {} broken by the test itself", excepted.join(" ")) };
    let word = if broken == 0 { "clean".to_owned() } else { format!("VIOLATED in {broken}") };
    format!("{word} ({} clusters, {records} records{without})", audits.len())
}

/// The table, as wide as a terminal is or `width`.
#[must_use]
pub fn render(lines: &[Line], width: u16) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(["", "scenario", "expected", "seen", "audit"]);
    for line in lines {
        let mark = match line.outcome {
            Outcome::Proven => "ok",
            Outcome::Skipped => "skipped",
            Outcome::Red => "RED",
        };
        let first = format!("{}\n{mark}", line.row.name);
        let cells = [first.as_str(), line.row.scenario, line.row.expected, &line.seen, &line.audit];
        table.add_row(cells.map(Cell::new));
    }
    for (column, percentage) in table.column_iter_mut().zip([6, 20, 25, 36, 13]) {
        column.set_constraint(ColumnConstraint::Absolute(Width::Percentage(percentage)));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(row: &str, test: &str) -> Claim {
        Claim { row: row.to_owned(), binary: "e2e".to_owned(), test: test.to_owned() }
    }

    fn report(row: &str, test: &str, passed: bool) -> Report {
        let audit = vec![Audited { clean: true, excepted: Vec::new(), records: 7 }];
        let (row, test) = (row.to_owned(), test.to_owned());
        Report { row, test, passed, skipped: None, seen: vec!["37 ms".to_owned()], audit, sampled: Vec::new(), seconds: 1.0 }
    }

    fn outcome(claims: &[Claim], reports: &[Report]) -> Outcome {
        lines(&["F1".to_owned()], claims, reports)[0].outcome
    }

    #[test]
    fn a_row_is_proven_when_all_its_tests_passed() {
        let claims = [claim("F1", "m::a"), claim("F1", "m::b")];
        let passed = [report("F1", "m::a", true), report("F1", "m::b", true)];
        assert_eq!(outcome(&claims, &passed), Outcome::Proven);
        assert_eq!(outcome(&claims, &passed[..1]), Outcome::Red, "one did not report");
        assert_eq!(outcome(&claims, &[report("F1", "m::a", true), report("F1", "m::b", false)]), Outcome::Red);
        assert_eq!(outcome(&[], &[]), Outcome::Red, "nobody claims it");
        let skipped = Report { skipped: Some("no root".to_owned()), ..report("F1", "m::a", true) };
        assert_eq!(outcome(&claims[..1], std::slice::from_ref(&skipped)), Outcome::Skipped);
        assert_eq!(outcome(&claims, &[skipped, report("F1", "m::b", true)]), Outcome::Proven);
    }

    #[test]
    fn the_table_has_a_line_for_every_row_and_says_what_was_seen() {
        let claims = [claim("F1", "m::a")];
        let all = lines(&[], &claims, &[report("F1", "m::a", true)]);
        assert_eq!(all.len(), ROWS.len());
        let text = render(&all, 160);
        assert!(text.contains("37 ms") && text.contains("NO TEST") && text.contains("clean (1"), "{text}");
    }
}
