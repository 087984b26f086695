//! One question to ZooKeeper, asked again for as long as connections break, within the request timeout.

use std::time::Duration;

use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::protocol::{Multi, Outcome, Refusal, Why};
use jiff::Timestamp;

use crate::error::{ClosedBecause, Error};
use crate::link::{self, Links};

/// Between two attempts: a break that the session actor has not heard of would answer the second like the first.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer, or `patience` is over. The question may be asked several times: it must do no harm twice.
///
/// Runs on the ZooKeeper runtime, so that the future may be awaited on any executor.
pub(crate) async fn ask<T, F, Q>(links: Links, patience: Duration, question: Q) -> Result<T, Error>
where
    T: Send + 'static,
    Q: Fn(Store) -> F + Send + 'static,
    F: Future<Output = Result<T, ReadError>> + Send + 'static,
{
    let mut followed = links.clone();
    let asked = zk_runtime::spawn(async move { tokio::time::timeout(patience, until_answered(&mut followed, question)).await });
    match asked.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Error::Late { after: patience, why: link::reason(&links, "the session was suspended again and again") }),
        Err(panic) => Err(ClosedBecause::Thread(panic.to_string()).into()),
    }
}

async fn until_answered<T, F, Q>(links: &mut Links, question: Q) -> Result<T, Error>
where
    Q: Fn(Store) -> F,
    F: Future<Output = Result<T, ReadError>>,
{
    loop {
        let store = link::connected(links).await?;
        match question(store).await {
            Ok(answer) => return Ok(answer),
            Err(ReadError::Interrupted) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// ZooKeeper's time: that at which it creates an ephemeral node, which is deleted again at once.
pub(crate) async fn time_by(store: &Store, node: String) -> Result<Result<Timestamp, Error>, ReadError> {
    match store.commit(Multi::new().create_ephemeral(&node, Vec::new())).await {
        Outcome::Applied(_) | Outcome::Refused(Refusal::At { why: Why::NodeExists, .. }) => {}
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => return Err(ReadError::Interrupted),
        Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => {
            return match store.ensure_layout().await {
                Ok(()) | Err(LayoutError::Read(_)) => Err(ReadError::Interrupted),
                Err(error) => Ok(Err(Error::of_layout(error, "ask for the time"))),
            };
        }
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => return Ok(Err(Error::Denied { what: format!("create {node}") })),
        Outcome::Refused(refusal) => return Ok(Err(Error::Refused(format!("{node}, at {refusal}")))),
    }
    let stat = store.stat(&node);
    // If it stays, it goes with the session.
    let deleted = store.commit(Multi::new().delete(&node, None));
    let stat = stat.await?.ok_or(ReadError::Interrupted)?;
    drop(deleted.await);
    Ok(Timestamp::from_millisecond(stat.ctime_ms).map_err(|error| Error::Refused(format!("the time of {node}: {error}"))))
}
