//! `make faults`: runs every end-to-end test that proves a fault, in its long form, and prints the table: scenario, expected, seen,
//! the audit's verdict.
//!
//! Takes the names of rows as arguments; without any it runs all. `--table` only prints what the last run of any tests left, and
//! `--markdown` the table of `docs/faults.md`. Ends with 0 only if every row is proven.

use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use bellwether_tests::faults::claims::{self, Claim};
use bellwether_tests::faults::report;
use bellwether_tests::faults::rows::{self, ROWS};
use bellwether_tests::faults::table::{self, Outcome};

/// Wide enough for five columns; a terminal may be narrower.
const WIDTH: u16 = 190;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> =
        std::env::args().skip(1).flat_map(|words| words.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>()).collect();
    let (flags, wanted): (Vec<String>, Vec<String>) =
        arguments.into_iter().filter(|word| !word.is_empty()).partition(|word| word.starts_with("--"));
    for name in &wanted {
        ensure!(ROWS.iter().any(|row| row.name == name), "there is no fault {name:?}: name F1 to F{}", ROWS.len());
    }
    if flags.iter().any(|flag| flag == "--markdown") {
        print!("{}", rows::markdown());
        return Ok(ExitCode::SUCCESS);
    }
    let mut claims = claims::all();
    claims.retain(|claim| wanted.is_empty() || wanted.contains(&claim.row));
    if !flags.iter().any(|flag| flag == "--table") {
        report::clear()?;
        for binary in ["e2e", "cli"] {
            run(binary, &claims)?;
        }
    }
    let lines = table::lines(&wanted, &claims, &report::read_all()?);
    println!("{}", table::render(&lines, WIDTH));
    let count = |outcome| lines.iter().filter(|line| line.outcome == outcome).count();
    let (proven, skipped, red) = (count(Outcome::Proven), count(Outcome::Skipped), count(Outcome::Red));
    println!("{proven} faults survived, {skipped} not tried on this machine, {red} red");
    Ok(if skipped + red == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the claimed tests of a binary. That one fails is said by its report.
fn run(binary: &str, claims: &[Claim]) -> anyhow::Result<()> {
    let mut tests: Vec<&str> = claims.iter().filter(|claim| claim.binary == binary).map(|claim| claim.test.as_str()).collect();
    tests.sort_unstable();
    tests.dedup();
    if tests.is_empty() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let threads = std::env::var("TEST_THREADS").unwrap_or_else(|_| "2".to_owned());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "--package", "bellwether-tests", "--test", binary, "--", "--exact"]).args(&tests);
    command.arg(format!("--test-threads={threads}")).env("BELLWETHER_FAULTS_LONG", "1");
    let _ = command.status().context("cargo cannot be started")?;
    Ok(())
}
