//! Whether work may come in, as a client finds out before it submits.
//!
//! `/bellwether/admission` is there while something may not. That it is not there is asked once, and believed until a watch says that it
//! changed: a client that lives long asks once, and a submission costs no question. A closure that comes in between is not seen in time, which
//! does no harm: limits are soft.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bellwether_common::store::{Changed, ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::protocol::admission::AdmissionRecord;
use bellwether_core::protocol::{path, payload};
use bellwether_core::submission::Submittal;
use futures::FutureExt;

use crate::client::Client;
use crate::error::{Error, SubmitError};

/// How long to wait at most before it is looked again, although no watch has told of anything.
const LOOK_ANYHOW: Duration = Duration::from_secs(1);

/// What is known: while the future in it has not resolved, everything may come in.
#[derive(Default)]
pub(crate) struct Door {
    open_until: Mutex<Option<Changed>>,
    /// Whoever looks: the others wait for what he finds.
    looking: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

impl Door {
    /// Whether it was open when it was asked last, and nothing has changed since.
    fn is_open(&self) -> bool {
        let mut open = self.open_until.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut changed) = open.take() else { return false };
        let unchanged = (&mut changed).now_or_never().is_none();
        *open = unchanged.then_some(changed);
        unchanged
    }

    fn opened(&self, until: Changed) {
        *self.open_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// What the node says, and when that changes.
async fn look(store: Store) -> Result<(Option<AdmissionRecord>, Changed), ReadError> {
    let (stat, changed) = store.exists_once(path::ADMISSION).await?;
    if stat.is_none() {
        return Ok((None, changed));
    }
    let node = store.get(path::ADMISSION).await?;
    Ok((node.map(|node| AdmissionRecord::decode(&node.data)), changed))
}

impl Client {
    /// What may not come in at this moment, and why; `None` if everything may.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn admission(&self) -> Result<Option<AdmissionRecord>, Error> {
        Ok(self.look_at_door().await?.map(|(record, _)| record).filter(|record| !record.closed.is_empty()))
    }

    /// Waits until a task with these labels may come in.
    ///
    /// # Errors
    /// [`SubmitError::NotAdmitted`] if that takes longer than `patience`, or why there is no answer.
    pub async fn admitted(&self, labels: &BTreeMap<String, String>, patience: Duration) -> Result<(), SubmitError> {
        let begun = Instant::now();
        loop {
            let Some((record, changed)) = self.look_at_door().await? else { return Ok(()) };
            let Some(closure) = record.refuses(labels) else { return Ok(()) };
            self.kept_out();
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(SubmitError::NotAdmitted(closure.clone()));
            }
            // Whatever happens first: it is looked again.
            drop(zk_runtime::spawn(async move { tokio::time::timeout(left.min(LOOK_ANYHOW), changed).await }).await);
        }
    }

    /// Whether these may come in. One that nobody can read is let in: it is rejected for what it is.
    pub(crate) async fn admit(&self, tasks: &[Submittal]) -> Result<(), SubmitError> {
        if self.door().is_open() {
            return Ok(());
        }
        let _looking = self.door().looking.lock().await;
        if self.door().is_open() {
            return Ok(());
        }
        let Some((record, _)) = self.look_at_door().await? else { return Ok(()) };
        for task in tasks {
            let labels = payload::decode(&task.payload).map(|task| task.envelope.labels).unwrap_or_default();
            if let Some(closure) = record.refuses(&labels) {
                self.kept_out();
                return Err(SubmitError::NotAdmitted(closure.clone()));
            }
        }
        Ok(())
    }

    /// What the node says; `None` if everything may come in, which is remembered.
    async fn look_at_door(&self) -> Result<Option<(AdmissionRecord, Changed)>, Error> {
        match self.ask_again(look).await {
            Ok((Some(record), changed)) => Ok(Some((record, changed))),
            Ok((None, changed)) => {
                self.door().opened(changed);
                Ok(None)
            }
            // Who may not read it is kept out by nothing.
            Err(Error::Denied { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
