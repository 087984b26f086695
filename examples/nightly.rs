//! A nightly batch: what depends on what, and when it begins.
//!
//! One task extracts, three transform what was extracted, one reports when all of them have succeeded. The batch is submitted as a whole
//! and runs without this program: each task waits in ZooKeeper for those that it comes after. Every night a schedule makes a task whose
//! handler submits the batch. Here nobody waits for the night: the same handler is asked at once.
//!
//! `cargo run --example nightly`, against `bellwether dev`.

use std::sync::Arc;

use bellwether_client::{AfterFailure, Client, Handle, NewTask, ScheduleRecord, Task, TaskName};
use bellwether_examples::{Outcome, beside, connect_string};
use bellwether_worker::{TaskContext, TaskError, Worker};
use serde::{Deserialize, Serialize};

/// Submits the batch of a day; gives the id of its report.
#[derive(Debug, Serialize, Deserialize)]
struct Batch {
    parts: u32,
}

impl Task for Batch {
    const KIND: &'static str = "nightly-batch";
    type Output = TaskName;
}

#[derive(Debug, Serialize, Deserialize)]
struct Extract;

impl Task for Extract {
    const KIND: &'static str = "nightly-extract";
    type Output = u32;
}

#[derive(Debug, Serialize, Deserialize)]
struct Transform {
    part: u32,
    of: TaskName,
}

impl Task for Transform {
    const KIND: &'static str = "nightly-transform";
    type Output = u32;
}

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    parts: Vec<TaskName>,
}

impl Task for Report {
    const KIND: &'static str = "nightly-report";
    type Output = String;
}

/// Run twice, it submits the same tasks under the same keys, and so submits them once.
async fn batch(client: Arc<Client>, ctx: TaskContext, batch: Batch) -> Result<TaskName, TaskError> {
    let key = |what: &str| format!("{}/{what}", ctx.task());
    let extract = client.task(Extract).retries(3).key(key("extract")).submit().await?;
    let mut parts = Vec::new();
    for part in 0..batch.parts {
        let transform = client.task(Transform { part, of: extract.id().clone() }).retries(3).key(key(&part.to_string()));
        parts.push(transform.after([extract.id().clone()], AfterFailure::Skip).submit().await?.id().clone());
    }
    let report = client.task(Report { parts: parts.clone() }).key(key("report")).after(parts, AfterFailure::Skip);
    Ok(report.submit().await?.id().clone())
}

async fn extract(_: TaskContext, _: Extract) -> Result<u32, TaskError> {
    Ok(1000)
}

/// What it comes after has ended, and its output can be asked for.
async fn transform(client: Arc<Client>, _: TaskContext, task: Transform) -> Result<u32, TaskError> {
    let extracted = client.handle::<Extract>(task.of).wait().await?;
    Ok(extracted + task.part)
}

async fn report(client: Arc<Client>, _: TaskContext, task: Report) -> Result<String, TaskError> {
    let mut lines = Vec::new();
    for part in task.parts {
        lines.push(client.handle::<Transform>(part).wait().await?.to_string());
    }
    Ok(lines.join(" "))
}

#[tokio::main]
async fn main() -> Outcome {
    let connect = connect_string()?;
    let client = Arc::new(Client::connect(&connect).await?);
    // What a handler needs besides its task comes in with it.
    let with = |client: &Arc<Client>| Arc::clone(client);
    let (for_batch, for_transform, for_report) = (with(&client), with(&client), with(&client));
    let worker = Worker::builder(&connect)
        .name("nightly")
        .slots(4)
        .handler(move |ctx, task: Batch| batch(with(&for_batch), ctx, task))
        .handler(extract)
        .handler(move |ctx, task: Transform| transform(Arc::clone(&for_transform), ctx, task))
        .handler(move |ctx, task: Report| report(Arc::clone(&for_report), ctx, task));
    beside(worker, tonight_and_now(&client)).await?;
    client.close().await;
    Ok(())
}

async fn tonight_and_now(client: &Client) -> Outcome {
    let nightly: NewTask = client.task(Batch { parts: 3 }).into_new()?;
    let name = client.new_schedule_name();
    let record = ScheduleRecord::cron("30 2 * * *");
    client.make_schedule(&name, nightly, record).await?;
    let schedule = client.schedule(&name).await?;
    println!("scheduled at {} UTC: {}", schedule.cron.unwrap_or_default(), schedule.command.unwrap_or_default());
    client.delete_schedule(&name).await?;

    let batch: Handle<Batch> = client.task(Batch { parts: 3 }).submit().await?;
    let report = client.handle::<Report>(batch.wait().await?);
    println!("report: {}", report.wait().await?);
    Ok(())
}
