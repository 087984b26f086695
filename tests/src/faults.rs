//! The faults that Bellwether survives, each with the tests that prove it, and what these saw.
//!
//! What lives here: the handle by which an end-to-end test claims a row and reports what it saw. The rows are in [`rows`]; which
//! test claims which is read from the sources by [`claims`]; `make faults` runs those, and prints the [`table`]. What does not: the
//! scenarios, which are tests of `e2e` and `cli`.
//!
//! ```no_run
//! # use bellwether_tests::{Cluster, faults::Scenario};
//! #[test]
//! fn a_killed_master_is_followed() {
//!     let scenario = Scenario::of("F1"); // first of all: it is dropped last, after the cluster and its audit
//!     let cluster = Cluster::new();
//!     // …
//!     scenario.saw("the next master 37 ms after the end of the session");
//! }
//! ```

pub mod claims;
pub mod report;
pub mod rows;
pub mod table;

use std::cell::RefCell;
use std::time::Instant;

use crate::place;
use crate::sampler::Sampled;
use report::{Audited, Report};

/// How long the long forms take and how large they are is said by `make faults`; `make test` runs short ones.
const LONG: &str = "BELLWETHER_FAULTS_LONG";

/// Whether this run is to be a long one: `make faults`.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os(LONG).is_some()
}

/// A number that `make faults` may set; `short` in an ordinary run.
///
/// # Panics
/// It is set to something else.
#[must_use]
#[track_caller]
pub fn sized(variable: &str, short: usize, long: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is no number")),
        Err(_) => {
            if is_long() {
                long
            } else {
                short
            }
        }
    }
}

thread_local! {
    /// What the audits of this thread's test found so far: clusters tell, scenarios ask.
    static AUDITS: RefCell<Vec<Audited>> = const { RefCell::new(Vec::new()) };
    /// What the metrics of its coordinators showed.
    static SAMPLES: RefCell<Vec<Sampled>> = const { RefCell::new(Vec::new()) };
}

/// The coordinators of a cluster that this thread's test made were scraped.
pub(crate) fn sampled(sampled: Sampled) {
    SAMPLES.with_borrow_mut(|samples| samples.push(sampled));
}

/// A cluster that this thread's test made was audited.
pub(crate) fn audited(verdict: Audited) {
    AUDITS.with_borrow_mut(|audits| audits.push(verdict));
}

/// One test of one row. What it saw is written down when it is dropped, with whether the test passed: take it first of all, in the
/// test function itself, so that it goes after the cluster.
#[derive(Debug)]
pub struct Scenario {
    row: &'static str,
    begun: Instant,
    seen: RefCell<Vec<String>>,
    skipped: RefCell<Option<String>>,
}

impl Scenario {
    /// Claims a row, `F1` to `F37`.
    ///
    /// # Panics
    /// There is none of this name.
    #[must_use]
    #[track_caller]
    pub fn of(row: &str) -> Self {
        let known = rows::ROWS.iter().find(|known| known.name == row).unwrap_or_else(|| panic!("there is no fault {row}"));
        Self { row: known.name, begun: Instant::now(), seen: RefCell::default(), skipped: RefCell::default() }
    }

    /// What was seen: a short text with figures.
    pub fn saw(&self, what: impl Into<String>) {
        self.seen.borrow_mut().push(what.into());
    }

    /// This machine cannot do it: why, for people. The test ends then, and proves nothing.
    pub fn skip(&self, why: impl Into<String>) {
        let why = why.into();
        println!("skipped: {}: {why}", self.row);
        *self.skipped.borrow_mut() = Some(why);
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        let report = Report {
            row: self.row.to_owned(),
            test: place::full_test_name(),
            passed: !std::thread::panicking(),
            skipped: self.skipped.take(),
            seen: self.seen.take(),
            audit: AUDITS.with_borrow(Clone::clone),
            sampled: SAMPLES.with_borrow(Clone::clone),
            seconds: self.begun.elapsed().as_secs_f64(),
        };
        if let Err(error) = report.write() {
            // A test that passed is not failed by a full disk; the table will miss its report.
            eprintln!("the report on {} cannot be written: {error}", self.row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "there is no fault F38")]
    fn a_row_that_is_not_there_cannot_be_claimed() {
        let _ = Scenario::of("F38");
    }

    #[test]
    fn numbers_come_from_the_environment_or_from_the_form() {
        assert_eq!(sized("BELLWETHER_NO_SUCH_NUMBER", 3, 4), if is_long() { 4 } else { 3 });
    }
}
