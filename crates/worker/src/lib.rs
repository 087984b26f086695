//! The worker: a process that registers with the cluster, runs the commands that the master assigns to it, and records how they
//! ended.
//!
//! Its rules are `bellwether_core::agent`; here are the actors around them, and what runs commands. The family tree of the process,
//! with what a suspended or lost session means for each, stands at the head of `supervisor`.
//!
//! * [`run`]: a whole worker, from its settings to its exit code
//! * [`executor`]: commands as processes, without any knowledge of ZooKeeper
//! * [`guardian`]: the process that kills what a worker ran when the worker itself was killed

mod agent;
pub mod executor;
pub mod guardian;
mod observe;
mod order;
mod pages;
mod preflight;
mod processes;
mod stub;
mod supervisor;
mod trust;

pub use supervisor::run;
