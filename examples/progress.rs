//! A task that says how far it is, and whoever wants to know.
//!
//! Progress costs no write to ZooKeeper: it is asked of the worker that runs the task. `bellwether status ID` shows it, too, and
//! `bellwether logs -f ID` what the handler prints.
//!
//! `cargo run --example progress`, against `bellwether dev`.

use std::time::Duration;

use bellwether_client::{Client, Task};
use bellwether_examples::{Outcome, beside, connect_string};
use bellwether_worker::{TaskContext, TaskError, Worker};
use serde::{Deserialize, Serialize};

/// Counts words, slowly.
#[derive(Debug, Serialize, Deserialize)]
struct Count {
    chapters: Vec<String>,
}

impl Task for Count {
    const KIND: &'static str = "count-words";
    type Output = usize;
}

async fn count(ctx: TaskContext, task: Count) -> Result<usize, TaskError> {
    let (mut words, all) = (0, task.chapters.len() as u64);
    for (done, chapter) in task.chapters.iter().enumerate() {
        let title = chapter.split(' ').next().unwrap_or_default();
        ctx.progress(done as u64, all, title);
        ctx.print(format!("reading {title}"));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(400)) => words += chapter.split_whitespace().count(),
            () = ctx.cancelled() => return Err(TaskError::retry("stopped while reading")),
        }
    }
    Ok(words)
}

#[tokio::main]
async fn main() -> Outcome {
    let connect = connect_string()?;
    let worker = Worker::builder(&connect).name("reader").slots(1).handler(count);
    beside(worker, read(&connect)).await
}

async fn read(connect: &str) -> Outcome {
    let client = Client::connect(connect).await?;
    let chapters = ["Loomings call me Ishmael", "Carpet-Bag I stuffed a shirt", "Spouter-Inn entering that gable-ended inn"];
    let handle = client.task(Count { chapters: chapters.map(str::to_owned).to_vec() }).submit().await?;
    let mut told = String::new();
    let words = loop {
        tokio::select! {
            words = handle.wait() => break words?,
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                // A worker that is just ending the task has nothing to say.
                if let Ok(Some(progress)) = handle.progress().await && progress.note != told {
                    println!("{} of {} done, now {}", progress.done, progress.total.unwrap_or_default(), progress.note);
                    told = progress.note;
                }
            }
        }
    };
    println!("{words} words");
    client.close().await;
    Ok(())
}
