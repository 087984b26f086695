//! What a cluster takes: how fast its ZooKeeper is by itself, and what tasks cost on top of that, measured by the same client in the same
//! minutes, so that one can be held against the other.
//!
//! What is measured is what everybody uses: the same connection, the same submissions, the same waiting. What a part leaves behind it
//! removes; what is left of one that was interrupted is removed by the next.

mod store;
mod tasks;

use std::time::Duration;

use bellwether_common::zk_runtime;
use schemars::JsonSchema;
use serde::Serialize;

use crate::client::Client;
use crate::error::{ClosedBecause, Error, SubmitError};
use crate::link;
use crate::task::NewTask;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// ZooKeeper alone.
    Store,
    /// One task after another, while nothing else is to do.
    Latency,
    /// Many tasks, submitted one by one and many at a time.
    Tasks,
    /// As many elements of a single array.
    Array,
}

/// How much is measured, and with what.
#[derive(Debug, Clone)]
pub struct Load {
    /// How many tasks, and how many nodes; five times as many of those that tasks are compared with.
    pub count: usize,
    /// How many tasks are submitted at a time, where many are.
    pub batch: usize,
    /// How many submissions may be on their way.
    pub window: usize,
    /// What each task is.
    pub task: NewTask,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Measured {
    /// Of which part it is.
    pub part: Part,
    /// What was measured.
    pub what: String,
    /// Of the value: `/s` or `ms`.
    pub unit: &'static str,
    /// How much.
    pub value: f64,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// ZooKeeper, or the connection to it.
    #[error(transparent)]
    Asked(#[from] Error),
    /// A task was not submitted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A task ended as it should not, which makes the figures worthless.
    #[error("task {task} did not succeed ({outcome}); measure with a command that does: bellwether bench -- COMMAND")]
    Failed {
        /// Which.
        task: String,
        /// How it ended.
        outcome: String,
    },
    /// Nothing was heard of a task for so long.
    #[error("{left} of {count} tasks have not ended, and none did for {}; is there a worker that may run them? see: bellwether explain {example}", humantime::format_duration(*after))]
    Stalled {
        /// How many are left.
        left: usize,
        /// Of how many.
        count: usize,
        /// One of them.
        example: String,
        /// How long nothing happened.
        after: Duration,
    },
}

impl From<ClosedBecause> for BenchError {
    fn from(because: ClosedBecause) -> Self {
        Self::Asked(because.into())
    }
}

impl Client {
    /// Measures one part, once. `other` is a second client of the same cluster: what one writes, the other hears of.
    ///
    /// # Errors
    /// [`BenchError`]. What was made is removed all the same where that is possible.
    pub async fn bench(&self, other: &Client, part: Part, load: &Load) -> Result<Vec<Measured>, BenchError> {
        match part {
            Part::Store => {
                let (own, others) = (link::connected(&mut self.links()).await?, link::connected(&mut other.links()).await?);
                let count = load.count;
                zk_runtime::spawn(async move { store::measure(&own, &others, count).await }).await.map_err(panicked)?.map_err(Into::into)
            }
            Part::Latency => {
                let (own, others) = (link::connected(&mut self.links()).await?, link::connected(&mut other.links()).await?);
                let trips = zk_runtime::spawn(async move { store::trips(&own, &others).await }).await.map_err(panicked)??;
                tasks::latency(self, load, &trips).await
            }
            Part::Tasks => tasks::throughput(self, load).await,
            Part::Array => tasks::array(self, load).await,
        }
    }
}

fn panicked(error: zk_runtime::Panicked) -> BenchError {
    ClosedBecause::Thread(error.to_string()).into()
}

fn per_second(part: Part, what: impl Into<String>, count: usize, took: Duration) -> Measured {
    #[allow(clippy::cast_precision_loss, reason = "no bench counts to 2^52")]
    let value = count as f64 / took.as_secs_f64().max(f64::EPSILON);
    Measured { part, what: what.into(), unit: "/s", value }
}

/// One percentile of many durations.
fn percentile(part: Part, what: impl Into<String>, times: &[Duration], percentile: usize) -> Measured {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let found = sorted.get((sorted.len() * percentile / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default();
    Measured { part, what: what.into(), unit: "ms", value: found.as_secs_f64() * 1000.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_rates() {
        let times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        let half = percentile(Part::Latency, "half", &times, 50).value;
        assert!((half - 51.0).abs() < 1e-9, "{half}");
        let most = percentile(Part::Latency, "most", &times, 100).value;
        assert!((most - 100.0).abs() < 1e-9, "{most}");
        assert!(percentile(Part::Latency, "none", &[], 50).value.abs() < 1e-9);
        let rate = per_second(Part::Tasks, "rate", 500, Duration::from_millis(250)).value;
        assert!((rate - 2000.0).abs() < 1e-6, "{rate}");
    }
}
