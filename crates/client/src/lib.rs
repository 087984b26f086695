//! The client library: submit commands and typed tasks, wait for their results, look at the cluster.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use bellwether_client::{Awaited, Client, NewTask};
//!
//! let client = Client::connect("zk1:2181,zk2:2181/prod").await?;
//! let tasks = client.submit(vec![NewTask::argv(["make", "test"]), NewTask::shell("sleep 1 | wc -c")]).await?;
//! let mut waiter = client.wait(tasks).await;
//! while let Some((task, awaited)) = waiter.next().await {
//!     if let Awaited::Ended(result) = awaited {
//!         println!("{task}: {}", result.outcome);
//!     }
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Tasks for the handlers of other programs are values, and so is what comes back: see [`Client::task`].
//!
//! A [`Client`] is a handle. Behind it lives a thread of its own with an actix system: the family tree of its actors stands in
//! `supervisor.rs`. The methods are futures that any executor can run, and all of them survive lost connections and lost sessions:
//! what was asked is asked again, a submission is repeated behind its guard and never doubled.
//!
//! What lives here: the actors around the core's `submission` and `waiting`, and what is read of the cluster. What does not: the
//! `bellwether` command, which uses this library as any program would.

#![deny(missing_docs)]

mod access;
mod admission;
mod array_view;
mod arrays;
mod asking;
mod batch;
pub mod bench;
mod client;
mod diagnosing;
mod error;
mod explaining;
mod finding;
mod follow;
mod forgetting;
mod groups;
mod history;
mod letters;
mod lines;
mod link;
mod listing;
mod names;
mod output;
mod overview;
mod reading;
mod requests;
mod schedules;
mod settings;
mod signing;
mod stepping_down;
mod submissions;
mod supervisor;
mod task;
mod typed;
mod typed_array;
mod waiting;

pub use access::{AclApplied, AclDifference, AclRefusal, AclReport};
pub use array_view::{ArrayProgress, ArrayView, Element, PieceView};
pub use arrays::NewArray;
pub use batch::{NewElement, NewGroup};
pub use bellwether_common::config::Secret;
pub use bellwether_common::output::StreamName;
pub use bellwether_common::session::SessionSettings;
pub use bellwether_common::signing::SecretKey;
pub use bellwether_core::protocol::admission::{AdmissionRecord, Closure, Excess, PaceRecord};
pub use bellwether_core::protocol::array::{ArraySummary, ElementEnd, Span, Tally};
pub use bellwether_core::protocol::group::GroupState;
pub use bellwether_core::protocol::key::BadKey;
pub use bellwether_core::protocol::name::BadName;
pub use bellwether_core::protocol::payload::{AfterFailure, Command, Envelope, Rejection};
pub use bellwether_core::protocol::record::CoordinatorRecord;
pub use bellwether_core::protocol::request::{DrainMode, DrainRequest};
pub use bellwether_core::protocol::result::{AttemptRecord, Stream, TaskOutcome, TaskResult};
pub use bellwether_core::protocol::schedule::{BadSchedule, Missed, Overlap, ScheduleRecord};
pub use bellwether_core::protocol::trace::TraceParent;
pub use bellwether_core::protocol::{ScheduleName, TaskName, WorkerId};
pub use bellwether_core::submission::Failure;
pub use bellwether_core::typed::Task;
pub use client::{Cancel, CancelOptions, Client, Foresight, Prospect, Rehearsed};
pub use diagnosing::{Finding, Fix, Severity};
pub use error::{ClosedBecause, Error, SubmitError};
pub use explaining::{Explanation, Reason, Verdict, Why};
pub use follow::{Follow, Happening};
pub use groups::{Group, Progress};
pub use history::{OfficeHistory, Step, TaskHistory, TermView};
pub use letters::Letter;
pub use listing::{Filter, Listing};
pub use output::{OpenOutput, OutputError, OutputId, OutputReader, ReadFrom, TaskProgress};
pub use overview::{Master, Overview, Paused, Queue, WorkerView};
pub use requests::Asked;
pub use schedules::{ScheduleView, Scheduled};
pub use settings::ClientSettings;
pub use signing::Signer;
pub use stepping_down::{Handover, StepDownError};
pub use task::{NewTask, TaskState, TaskView};
pub use typed::{Handle, ProgressError, TypedTask, WaitError};
pub use typed_array::{ArrayHandle, TypedArray};
pub use waiting::{Awaited, Waiter};
