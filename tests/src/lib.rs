//! What the end-to-end tests stand on: real ZooKeeper servers, the services as processes, hands in the tree, and the
//! transaction log as the witness.
//!
//! What lives here: the harness and its own unit tests. What does not: scenarios, which are modules of the two test binaries
//! `e2e` and `cli`.

pub mod bench;
pub mod book;
pub mod cancelling;
pub mod certificates;
pub mod cli;
pub mod cluster;
pub mod costs;
pub mod dashboard;
pub mod detour;
pub mod dummy;
pub mod faults;
pub mod fuzz;
pub mod history;
pub mod metrics;
pub mod mount;
pub mod nemesis;
pub mod netns;
pub mod outputs;
pub mod place;
pub mod placement;
pub mod proc;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod published;
pub mod sampler;
pub mod scrapes;
pub mod secured;
pub mod sizing;
pub mod synthetic;
pub mod tasks;
pub mod terminal;
pub mod ticks;
pub mod tree;
pub mod txnlog;
pub mod watched;
pub mod zookeeper;

pub use bellwether_common::wait::{eventually, is};
pub use cli::{CliOutput, CliRun};
pub use cluster::{Builder, Cluster};
pub use faults::Scenario;
pub use process::Process;
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use tree::Tree;
pub use watched::Watched;
pub use zookeeper::Zookeeper;
