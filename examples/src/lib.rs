//! What the examples share: where the cluster is, and a worker beside them.

use std::error::Error;
use std::future::Future;

use bellwether_worker::{WorkerBuilder, WorkerError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What an example ends with.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Where the cluster is: the line that `bellwether dev` prints sets it.
///
/// # Errors
/// Nobody said.
pub fn connect_string() -> Outcome<String> {
    std::env::var("BELLWETHER_ZOOKEEPER")
        .map_err(|_| "start a cluster with `bellwether dev`, and do as it says: export BELLWETHER_ZOOKEEPER=127.0.0.1:PORT".into())
}

/// Runs `work` beside a worker, which ends with it.
///
/// # Errors
/// What is wrong with either.
pub async fn beside<T>(worker: WorkerBuilder, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let (done, asked) = oneshot::channel::<()>();
    let mut worker: JoinHandle<Result<(), WorkerError>> = tokio::spawn(worker.run_until(async { drop(asked.await) }));
    tokio::select! {
        worked = work => {
            let _ = done.send(());
            worker.await??;
            worked
        }
        ended = &mut worker => {
            ended??;
            Err("the worker ended before the work was done".into())
        }
    }
}

/// The programs of the guide: compiled, so that they stay what the libraries are.
#[cfg(doctest)]
#[doc = include_str!("../../docs/library.md")]
pub struct Guide;
