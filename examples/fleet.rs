//! Many workers in one process, for `make bench`. Nothing to learn from here.
//!
//! `fleet WORKERS SLOTS`

use bellwether_examples::{Outcome, connect_string};
use bellwether_worker::{Task, TaskContext, TaskError, Worker};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A worker wants something to do. What `bellwether bench --kind noop` submits, every worker knows by itself.
#[derive(Debug, Serialize, Deserialize)]
struct Nothing;

impl Task for Nothing {
    const KIND: &'static str = "nothing";
    type Output = ();
}

async fn nothing(_: TaskContext, _: Nothing) -> Result<(), TaskError> {
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let mut words = std::env::args().skip(1).map(|word| word.parse::<u32>());
    let (Some(workers), Some(slots)) = (words.next().transpose()?, words.next().transpose()?) else {
        return Err("usage: fleet WORKERS SLOTS".into());
    };
    let connect = connect_string()?;
    let (stop, stopped) = watch::channel(false);
    let mut fleet = JoinSet::new();
    for index in 0..workers {
        let mut stopped = stopped.clone();
        let until = async move {
            // Whoever could say so is gone: that is an order, too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        fleet.spawn(Worker::builder(&connect).name(format!("fleet{index}")).slots(slots).handler(nothing).run_until(until));
    }
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        ended = fleet.join_next() => ended.transpose()?.transpose()?.unwrap_or_default(),
    }
    let _ = stop.send(true);
    while let Some(ended) = fleet.join_next().await {
        ended??;
    }
    Ok(())
}
