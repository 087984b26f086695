//! One question to ZooKeeper, asked again for as long as connections break, within the request timeout.

use std::time::Duration;

use bellwether_common::store::{ReadError, Store};
use bellwether_common::zk_runtime;

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
