//! The worker: a process that registers with the cluster, runs the commands that the master assigns to it, and records how they
//! ended.
//!
//! Its rules are `bellwether_core::agent`; here are the actors around them, and what runs commands. The family tree of the process,
//! with what a suspended or lost session means for each, stands at the head of `supervisor`.
//!
//! * [`Worker`]: a worker inside one's own program, with handlers for typed tasks
//! * [`layers`]: what can be put around handlers
//! * [`run`]: a whole worker, from its settings to its exit code
//! * [`guardian`]: the process that kills what a worker ran when the worker itself was killed

#![deny(missing_docs)]

mod agent;
mod crew;
// Public for the tests of this crate alone; it may change at any time.
#[doc(hidden)]
pub mod executor;
pub mod guardian;
mod handlers;
mod observe;
mod order;
mod pages;
mod preflight;
mod processes;
mod stub;
mod supervisor;
mod trust;
mod worker;

pub use bellwether_core::protocol::trace::TraceParent;
pub use bellwether_core::protocol::{TaskName, WorkerId};
pub use bellwether_core::typed::Task;
pub use handlers::{BoxError, TaskContext, TaskError, TaskRequest, TaskService, layers};
pub use supervisor::run;
pub use worker::{Worker, WorkerBuilder, WorkerError};
