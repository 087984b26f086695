//! What tasks cost, submitted and waited for by the client that everybody uses.

use std::time::{Duration, Instant};

use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::result::TaskOutcome;
use futures::StreamExt as _;
use futures::stream::{self, TryStreamExt as _};

use super::store::Trips;
use super::{BenchError, Load, Measured, Part, per_second, percentile};
use crate::arrays::NewArray;
use crate::client::Client;
use crate::error::Error;
use crate::waiting::Awaited;

/// How many tasks one after another.
const ONE_BY_ONE: usize = 200;
/// For how long nothing may end.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// How many tasks one waiter is asked about.
const LOT: usize = 500;

/// One task after another, and the sum of the steps of which its way consists: three writes, three reads, and three times until somebody
/// hears of a write.
pub(super) async fn latency(client: &Client, load: &Load, trips: &Trips) -> Result<Vec<Measured>, BenchError> {
    let count = load.count.min(ONE_BY_ONE);
    let (mut times, mut names) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for _ in 0..count {
        let begun = Instant::now();
        let name = client.submit(vec![load.task.clone()]).await?;
        ended(client, name.clone(), count).await?;
        times.push(begun.elapsed());
        names.extend(name);
    }
    forget(client, names).await?;
    let [write, read, event] = [&trips.write, &trips.read, &trips.event].map(|times| percentile(Part::Latency, "", times, 50).value);
    let sum = 3.0 * write + 3.0 * read + 3.0 * (event - write).max(0.0);
    let half = percentile(Part::Latency, "submit until result, idle, p50", &times, 50);
    let ratio = half.value / sum.max(f64::EPSILON);
    Ok(vec![
        half,
        percentile(Part::Latency, "submit until result, idle, p99", &times, 99),
        Measured { part: Part::Latency, what: "its round trips to ZooKeeper, p50 each, summed".to_owned(), unit: "ms", value: sum },
        percentile(Part::Latency, "a single write to ZooKeeper, p99", &trips.write, 99),
        Measured { part: Part::Latency, what: "the first over their sum".to_owned(), unit: "x", value: ratio },
    ])
}

/// Many tasks: one submission each, and many in each.
pub(super) async fn throughput(client: &Client, load: &Load) -> Result<Vec<Measured>, BenchError> {
    let mut all = Vec::new();
    for (what, batch) in [
        ("tasks submitted one by one, until the last result".to_owned(), 1),
        (format!("tasks submitted {} at a time, until the last result", load.batch), load.batch),
    ] {
        let begun = Instant::now();
        let names = through(client, load, batch).await?;
        all.push(per_second(Part::Tasks, what, names.len(), begun.elapsed()));
        forget(client, names).await?;
    }
    Ok(all)
}

/// The elements of one array.
pub(super) async fn array(client: &Client, load: &Load) -> Result<Vec<Measured>, BenchError> {
    let count = u32::try_from(load.count).unwrap_or(u32::MAX);
    let begun = Instant::now();
    client.expect().await;
    let name = client.submit_array(NewArray::count(load.task.clone(), count)).await?;
    ended(client, vec![name.clone()], 1).await?;
    let measured = per_second(Part::Array, "elements of one array, until its result", load.count, begun.elapsed());
    forget(client, vec![name]).await?;
    Ok(vec![measured])
}

/// Submits them and waits for all, a lot at a time: while the last are submitted the first are waited for.
async fn through(client: &Client, load: &Load, batch: usize) -> Result<Vec<TaskName>, BenchError> {
    client.expect().await;
    let sizes: Vec<usize> = (0..load.count).step_by(batch).map(|start| batch.min(load.count - start)).collect();
    let submitted = stream::iter(sizes)
        .map(|size| client.submit(vec![load.task.clone(); size]))
        .buffer_unordered((load.window / batch).max(2))
        .map_err(BenchError::from);
    let lots = submitted.try_ready_chunks((LOT / batch).max(1)).map_err(|error| error.1);
    let ended = lots.map_ok(|lot| {
        let names = lot.concat();
        async move { ended(client, names.clone(), load.count).await.map(|()| names) }
    });
    let names: Vec<Vec<TaskName>> = ended.try_buffer_unordered(usize::MAX).try_collect().await?;
    Ok(names.concat())
}

/// Waits until all of them have succeeded.
async fn ended(client: &Client, names: Vec<TaskName>, count: usize) -> Result<(), BenchError> {
    let (mut left, example) = (names.len(), names.first().map(ToString::to_string).unwrap_or_default());
    let mut waiter = client.wait(names).await;
    loop {
        match tokio::time::timeout(STALLED_AFTER, waiter.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some((task, Awaited::Ended(result)))) if result.outcome != TaskOutcome::Succeeded => {
                return Err(BenchError::Failed { task: task.to_string(), outcome: result.outcome.to_string() });
            }
            Ok(Some((_, Awaited::Ended(_)))) => left -= 1,
            Ok(Some((task, Awaited::Nowhere))) => return Err(Error::NoSuchTask(task).into()),
            Ok(Some((_, Awaited::Failed(error)))) => return Err(error.into()),
            Err(_) => return Err(BenchError::Stalled { left, count, example, after: STALLED_AFTER }),
        }
    }
}

/// Nobody will ask for these results.
async fn forget(client: &Client, names: Vec<TaskName>) -> Result<(), BenchError> {
    client.forget_all(&names).await.into_iter().collect::<Result<(), Error>>().map_err(Into::into)
}
