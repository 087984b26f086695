//! The wish that a master steps down, and what becomes of it.

use std::time::Duration;

use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::record::encode;
use bellwether_core::protocol::request::StepDownRequest;
use bellwether_core::protocol::{PROTOCOL_VERSION, path};
use schemars::JsonSchema;
use serde::Serialize;

use crate::client::Client;
use crate::error::Error;
use crate::overview::{self, Master, Overview};
use crate::requests;

/// How often it is looked who rules now.
const LOOK: Duration = Duration::from_millis(20);

/// Who ruled, and who rules instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Handover {
    /// The master that was asked.
    pub before: Master,
    /// The one that follows.
    pub after: Master,
}

/// Why a master was not asked to step down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepDownError {
    /// There is none.
    #[error("nobody rules: there is no master that could step down")]
    NobodyRules,
    /// It knows nothing of such wishes.
    #[error("a master of another kind rules, which cannot be asked to step down")]
    Foreign,
    /// Nobody would follow. Nothing was asked.
    #[error("no other coordinator stands by: nobody would rule in its place but itself, after reading everything anew")]
    NoStandby,
    /// It was asked, and nobody else was seen in office in time. The wish holds for this term alone.
    #[error("epoch {epoch} was asked to end, and no other began within {}", humantime::format_duration(*within))]
    Pending {
        /// The term.
        epoch: i32,
        /// How long it was waited for.
        within: Duration,
    },
    /// It could not be asked.
    #[error(transparent)]
    Unasked(#[from] Error),
}

impl Client {
    /// Asks the master in office to leave it to a standby, and waits until the next one rules. The wish names its term, so that it ends no
    /// other. `alone`: also if nobody else stands by; then the same one rules again.
    ///
    /// # Errors
    /// [`StepDownError`]
    pub async fn step_down(&self, reason: Option<&str>, alone: bool) -> Result<Handover, StepDownError> {
        let Overview { master, standbys, .. } = self.overview().await?;
        let before = master.ok_or(StepDownError::NobodyRules)?;
        let epoch = before.epoch.ok_or(StepDownError::Foreign)?;
        if standbys.is_empty() && !alone {
            return Err(StepDownError::NoStandby);
        }
        let by = Some(self.settings().submitter.clone());
        let request = encode(&StepDownRequest { bellwether: PROTOCOL_VERSION, epoch, reason: reason.map(str::to_owned), by });
        let asked = self.ask_again(move |store| requests::put(store, path::STEP_DOWN.to_owned(), request.clone())).await?;
        asked?;
        match self.ruler_after(epoch).await? {
            Some(after) => Ok(Handover { before, after }),
            None => Err(StepDownError::Pending { epoch, within: self.settings().request_timeout }),
        }
    }

    /// The master of another term than this one, as soon as there is one within the request timeout.
    async fn ruler_after(&self, epoch: i32) -> Result<Option<Master>, Error> {
        let patience = self.settings().request_timeout;
        let looking = self.ask_again(move |store| async move {
            let over = tokio::time::Instant::now() + patience.mul_f32(0.9);
            loop {
                match another(&store, epoch).await? {
                    Some(master) => return Ok(Some(master)),
                    None if tokio::time::Instant::now() >= over => return Ok(None),
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        });
        match looking.await {
            Err(Error::Late { .. }) => Ok(None),
            looked => looked,
        }
    }
}

async fn another(store: &Store, epoch: i32) -> Result<Option<Master>, ReadError> {
    store.sync().await?;
    let office = store.get(path::MASTER).await?;
    Ok(office.map(|node| overview::master_of(&node)).filter(|master| master.epoch != Some(epoch)))
}
