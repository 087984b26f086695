//! Handlers that misbehave, and a client that counts: what the end-to-end tests of the library run. Nothing to learn from here.
//!
//! `rig worker|shell CONNECT NAME SLOTS SESSION_MS`, `rig client CONNECT COUNT`, `rig noop|true CONNECT COUNT BATCH`,
//! `rig array CONNECT COUNT`, `rig configured FILE FILE`, `rig ask FILE FILE`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bellwether_client::{Awaited, Client, ClientSettings, NewTask, Task};
use bellwether_examples::Outcome;
use bellwether_worker::layers::ObserveLayer;
use bellwether_worker::{TaskContext, TaskError, Worker, WorkerBuilder, guardian};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

/// Twice as much.
#[derive(Debug, Serialize, Deserialize)]
struct Double(u64);

impl Task for Double {
    const KIND: &'static str = "double";
    type Output = u64;
}

async fn double(ctx: TaskContext, Double(number): Double) -> Result<u64, TaskError> {
    ctx.print(format!("{number} in attempt {}", ctx.attempt()));
    Ok(number * 2)
}

/// Fails in some way until this attempt.
#[derive(Debug, Serialize, Deserialize)]
struct Fail {
    until: u32,
    how: String,
}

impl Task for Fail {
    const KIND: &'static str = "fail";
    type Output = u32;
}

async fn fail(ctx: TaskContext, task: Fail) -> Result<u32, TaskError> {
    if ctx.attempt() >= task.until {
        return Ok(ctx.attempt());
    }
    match task.how.as_str() {
        "error" => Err(std::io::Error::other("the disk is on fire"))?,
        "fatal" => Err(TaskError::fatal("there is no such image")),
        _ => panic!("index out of bounds"),
    }
}

/// Leaves files in a directory: `started`, with its attempt, and `cancelled` when it hears of it.
#[derive(Debug, Serialize, Deserialize)]
struct Linger {
    place: PathBuf,
}

impl Task for Linger {
    const KIND: &'static str = "linger";
    type Output = ();
}

async fn linger(ctx: TaskContext, task: Linger) -> Result<(), TaskError> {
    ctx.progress(1, 3, "lingering");
    // Without an `.await` between: whoever sees the file may stop us at once, and we shall have heard of it.
    std::fs::write(task.place.join("started"), ctx.attempt().to_string())?;
    ctx.cancelled().await;
    std::fs::write(task.place.join("cancelled"), "")?;
    Ok(())
}

/// Holds its thread until there is a file, whatever anybody says.
#[derive(Debug, Serialize, Deserialize)]
struct Block {
    until: PathBuf,
}

impl Task for Block {
    const KIND: &'static str = "block";
    type Output = ();
}

async fn block(_: TaskContext, task: Block) -> Result<(), TaskError> {
    while !task.until.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn main() -> Outcome {
    // This program is also the guardian of its commands: first of all, before there are threads.
    guardian::run_if_asked();
    tokio::runtime::Runtime::new()?.block_on(do_as_told())
}

async fn do_as_told() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [how @ ("worker" | "shell"), connect, name, slots, session_ms] => {
            work(connect, name, slots.parse()?, session_ms.parse()?, how == "shell").await
        }
        ["configured", base, own] => serve(Worker::configured([base, own])?.shell()).await,
        ["ask", base, own] => ask(ClientSettings::configured([base, own])?).await,
        ["client", connect, count] => count_to(connect, count.parse()?).await,
        ["noop", connect, count, batch] => {
            many(connect, NewTask::typed("noop", serde_json::Value::Null), count.parse()?, batch.parse()?).await
        }
        ["true", connect, count, batch] => many(connect, NewTask::argv(["/bin/true"]), count.parse()?, batch.parse()?).await,
        ["array", connect, count] => array_of(connect, count.parse()?).await,
        _ => Err(
            "usage: rig worker|shell CONNECT NAME SLOTS SESSION_MS | rig client|array CONNECT COUNT | rig noop|true CONNECT COUNT BATCH \
                 | rig configured|ask FILE FILE"
                .into(),
        ),
    }
}

async fn work(connect: &str, name: &str, slots: u32, session_ms: u64, commands: bool) -> Outcome {
    let observed = ObserveLayer::new(|seen| println!("observed {} {}", seen.kind, seen.succeeded));
    let worker = Worker::builder(connect).name(name).slots(slots).session_timeout(Duration::from_millis(session_ms));
    let worker = worker.kill_grace(Duration::from_millis(200)).drain_timeout(Duration::from_secs(1)).layer(observed);
    serve(if commands { worker.shell() } else { worker }).await
}

/// Until SIGTERM.
async fn serve(worker: WorkerBuilder) -> Outcome {
    tracing_subscriber::fmt().with_ansi(false).init();
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        terminate.recv().await;
    };
    Ok(worker.handler(double).handler(fail).handler(linger).handler(block).run_until(stop).await?)
}

/// Has one number doubled.
async fn ask(settings: ClientSettings) -> Outcome {
    let client = Client::connect(settings).await?;
    println!("{}", client.task(Double(21)).submit().await?.wait().await?);
    client.close().await;
    Ok(())
}

/// Submits so many tasks as a stream, says so, waits for all of them, and prints the sum.
async fn count_to(connect: &str, count: u64) -> Outcome {
    let client = Client::connect(connect).await?;
    let mut events = client.events();
    let tasks = stream::iter(0..count).map(|number| client.task(Double(number)).retries(1));
    let handles: Vec<_> = client.submit_many(tasks).try_collect().await?;
    println!("submitted {}", handles.len());
    let mut sum = 0;
    for handle in &handles {
        sum += handle.wait().await?;
    }
    println!("sum {sum}");
    // A break of the connection is told as an event, so that there is always something to hear.
    println!("heard {}", events.next().await.map_or("nothing", |event| event.what));
    client.close().await;
    Ok(())
}

/// Submits so many tasks that do nothing, so many at a time, and waits for all of them while it does.
async fn many(connect: &str, task: NewTask, count: usize, batch: usize) -> Outcome {
    let client = Client::connect(connect).await?;
    let begun = Instant::now();
    let sizes = (0..count).step_by(batch).map(|start| batch.min(count - start));
    let submitted = stream::iter(sizes).map(|size| client.submit(vec![task.clone(); size])).buffer_unordered((2048 / batch).max(4));
    let lots = submitted.try_ready_chunks((256 / batch).max(1)).map_err(|error| error.1);
    let waited = lots.map_ok(|lot| {
        let client = &client;
        async move {
            let mut waiter = client.wait(lot.concat()).await;
            let mut ended = 0;
            while let Some((task, awaited)) = waiter.next().await {
                match awaited {
                    Awaited::Ended(_) => ended += 1,
                    other => println!("{task}: {other:?}"),
                }
            }
            Ok(ended)
        }
    });
    let ended: Vec<usize> = waited.try_buffer_unordered(usize::MAX).try_collect().await?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("ended {} in {seconds:.3} s, used {:.2} s of processors", ended.iter().sum::<usize>(), processors());
    client.close().await;
    Ok(())
}

/// Seconds of processors that this process has used.
fn processors() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // In hundredths, on every Linux.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Submits so many tasks as one array, and two that fail; waits for their end, and prints the sum of what came back under its own number.
async fn array_of(connect: &str, count: u64) -> Outcome {
    let client = Client::connect(connect).await?;
    let array = client.array((0..count).map(Double)).each(|task| task.retries(1)).submit().await?;
    println!("submitted {}", array.count());
    let mut done = 0;
    while done < array.count() {
        let now = array.progress().await?.done();
        assert!(now >= done, "{now} after {done}");
        done = now;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let summary = array.wait().await?;
    let (mut outputs, mut sum) = (Box::pin(array.outputs()), 0);
    while let Some((index, output)) = outputs.try_next().await? {
        sum += output.ok().filter(|output| *output == u64::from(index) * 2).unwrap_or_default();
    }
    println!("sum {sum} of {}", summary.tally.succeeded);
    let bad = ["error", "fatal"].map(|how| Fail { until: 9, how: how.to_owned() });
    let bad = client.array(bad).submit().await?;
    println!("failed {}", bad.wait().await?.tally.failed);
    let mut outputs = Box::pin(bad.outputs());
    while let Some((index, output)) = outputs.try_next().await? {
        println!("{index}: {}", output.err().and_then(|element| element.reason).unwrap_or_default());
    }
    client.close().await;
    Ok(())
}
