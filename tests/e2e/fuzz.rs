//! Every decoder is given harmed and invented inputs: the short form of `make fuzz`.

use std::io::Write as _;

use bellwether_tests::fuzz::{Budget, run};
use bellwether_tests::{Cluster, Scenario};

/// How many inputs in all, unless `PROPTEST_CASES` says otherwise.
const INPUTS: u64 = 100_000;

#[test]
fn every_decoder_reads_or_refuses_whatever_it_is_given() {
    let scenario = Scenario::of("F21");
    let cluster = Cluster::new();
    let _ = cluster.put_many("logged-", (0..5).map(|i| format!("echo {i}")));
    let inputs = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(INPUTS);
    let ran = run(1, Budget::Inputs(inputs), cluster.dir(), &cluster.zookeeper().data_dir(0));
    // Not by a macro: a test that passes shows nothing of what these print.
    let told: String = ran.iter().map(|ran| format!("fuzz: {ran}\n")).collect();
    let _ = std::io::stderr().write_all(told.as_bytes());
    for ran in &ran {
        assert!(ran.read > 0 && ran.read < ran.inputs, "it sees good inputs and bad ones: {ran}");
    }
    scenario.saw(format!("{} inputs to {} decoders", ran.iter().map(|ran| ran.inputs).sum::<u64>(), ran.len()));
}
