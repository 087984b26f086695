//! The `bellwether` command, as a user types it: one module per command.
//!
//! Every test runs the real binary through [`bellwether_tests::Cluster::cli`], and looks at its exit code, at what it printed on
//! stdout, and at what it said on stderr.

mod arrays;
mod arrays_run;
mod audit;
mod bad_input;
mod bench;
mod by_hand;
mod cancel;
mod config;
mod dead;
mod deploy;
mod dev;
mod documents;
mod forget;
mod interrupted;
mod lists;
mod logs;
mod look;
mod outage;
mod run;
mod schedule;
mod selectors;
mod shipped;
mod snapshots;
mod submit;
mod supply;
mod terminal;
mod threats;
mod top;
mod wait;

use bellwether_tests::{Cluster, Process};

/// A cluster with one coordinator and one worker; both end with their handles.
fn working(slots: usize) -> (Cluster, Process, Process) {
    let cluster = Cluster::new();
    let (coordinator, worker) = (cluster.coordinator("c1"), cluster.worker("w1", slots));
    (cluster, coordinator, worker)
}
