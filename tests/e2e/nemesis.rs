//! A short visit of the nemesis: always the same faults.

use std::time::Duration;

use bellwether_tests::nemesis::{self, Schedule, verdict};

#[test]
fn a_short_visit_of_the_nemesis_breaks_nothing() {
    let schedule = Schedule::draw(1, Duration::from_secs(14));
    let cluster = nemesis::cluster();
    let report = nemesis::run(&cluster, &schedule);
    let (timeline, verdict) = (verdict::timeline(&report.struck), &report.verdict);
    assert!(verdict.is_sound(), "{timeline}\n{verdict}");
    assert!(verdict.faults >= 8 && verdict.tasks >= 40, "hardly a visit:\n{timeline}\n{verdict}");
}
