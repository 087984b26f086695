//! Submits tasks that do nothing as fast as they end and waits for every result, for `make bench`. Nothing to learn from here.
//!
//! `steady SECONDS WINDOW` prints a line of JSON each second, and one at its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether_client::{Awaited, Client, NewTask, SubmitError, TaskOutcome};
use bellwether_examples::{Outcome, connect_string};
use futures::stream::{self, StreamExt};

/// How long work may be kept out.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
struct Counts {
    submitted: AtomicU64,
    /// Results that were waited for and came.
    succeeded: AtomicU64,
    /// Whatever else was said of a task that was waited for.
    lost: AtomicU64,
    /// How often work was kept out.
    kept_out: AtomicU64,
}

impl Counts {
    fn print(&self, seconds: f64, is_over: bool) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (submitted, succeeded) = (of(&self.submitted), of(&self.succeeded));
        let (lost, kept_out) = (of(&self.lost), of(&self.kept_out));
        println!(
            "{}",
            serde_json::json!({ "seconds": seconds, "submitted": submitted, "succeeded": succeeded, "lost": lost, "kept_out": kept_out, "over": is_over })
        );
    }
}

async fn one(client: &Client, counts: &Counts) -> Outcome {
    let names = loop {
        match client.submit(vec![NewTask::typed("noop", serde_json::Value::Null)]).await {
            Ok(names) => break names,
            Err(SubmitError::NotAdmitted(_)) => {
                counts.kept_out.fetch_add(1, Ordering::Relaxed);
                client.admitted(&BTreeMap::new(), PATIENCE).await?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    counts.submitted.fetch_add(1, Ordering::Relaxed);
    match client.wait(names).await.next().await {
        Some((_, Awaited::Ended(result))) if result.outcome == TaskOutcome::Succeeded => counts.succeeded.fetch_add(1, Ordering::Relaxed),
        other => {
            eprintln!("lost: {other:?}");
            counts.lost.fetch_add(1, Ordering::Relaxed)
        }
    };
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let words: Vec<u64> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [seconds, window] = words[..] else { return Err("usage: steady SECONDS WINDOW".into()) };
    let client = Client::connect(connect_string()?.as_str()).await?;
    client.expect().await;
    let (counts, begun) = (Counts::default(), Instant::now());
    let is_early = || begun.elapsed() < Duration::from_secs(seconds);
    let tasks = stream::iter(0_u64..).take_while(|_| std::future::ready(is_early())).map(|_| one(&client, &counts));
    let mut tasks = std::pin::pin!(tasks.buffer_unordered(usize::try_from(window)?));
    let mut told = 0;
    while let Some(ended) = tasks.next().await {
        ended?;
        let now = begun.elapsed();
        if now.as_secs() > told {
            told = now.as_secs();
            counts.print(now.as_secs_f64(), false);
        }
    }
    counts.print(begun.elapsed().as_secs_f64(), true);
    client.close().await;
    Ok(())
}
