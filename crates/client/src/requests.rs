//! What people ask of workers and of the master: nodes that are made, changed and removed, each of which may be asked for again.

use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_core::protocol::record::encode;
use bellwether_core::protocol::request::{DrainRequest, PauseRecord};
use bellwether_core::protocol::{Multi, Outcome, PROTOCOL_VERSION, Refusal, Why, path};

use crate::client::Client;
use crate::error::Error;

/// What became of a request that people make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was not made before.
    Now,
    /// Something else was asked before.
    Otherwise,
    /// The same was asked before.
    Before,
}

impl Client {
    /// Wants the worker that the operator calls `name` to take nothing more, in this way, until [`undrain`](Self::undrain); also when it
    /// comes back under that name. Whether there is such a worker is not asked.
    ///
    /// # Errors
    /// [`Error::Denied`], or why there is no answer.
    pub async fn drain(&self, name: &str, mut request: DrainRequest) -> Result<Asked, Error> {
        request.by.get_or_insert_with(|| self.settings().submitter.clone());
        let (path, data) = (path::worker_request(name), encode(&request));
        self.ask_again(move |store| put(store, path.clone(), data.clone())).await?
    }

    /// Wants that no more; says whether anybody wanted it.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn undrain(&self, name: &str) -> Result<bool, Error> {
        let path = path::worker_request(name);
        self.ask_again(move |store| remove(store, path.clone())).await?
    }

    /// Wants nothing to be assigned until [`resume`](Self::resume), whoever rules. What runs goes on.
    ///
    /// # Errors
    /// [`Error::Denied`], or why there is no answer.
    pub async fn pause(&self, reason: Option<&str>) -> Result<Asked, Error> {
        let by = Some(self.settings().submitter.clone());
        let data = encode(&PauseRecord { bellwether: PROTOCOL_VERSION, reason: reason.map(str::to_owned), by });
        self.ask_again(move |store| put(store, path::PAUSED.to_owned(), data.clone())).await?
    }

    /// Wants that no more; says whether anybody wanted it.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<bool, Error> {
        self.ask_again(move |store| remove(store, path::PAUSED.to_owned())).await?
    }
}

pub(crate) async fn put(store: Store, path: String, data: Vec<u8>) -> Result<Result<Asked, Error>, ReadError> {
    store.sync().await?;
    let multi = match store.get(&path).await? {
        Some(node) if node.data == data => return Ok(Ok(Asked::Before)),
        Some(node) => Multi::new().set(&path, data, Some(node.stat.version)),
        None => Multi::new().create(&path, data),
    };
    let asked = if matches!(multi.ops.first(), Some(bellwether_core::protocol::Op::Set { .. })) { Asked::Otherwise } else { Asked::Now };
    Ok(commit(&store, multi, &path).await?.map(|_| asked))
}

async fn remove(store: Store, path: String) -> Result<Result<bool, Error>, ReadError> {
    store.sync().await?;
    if store.stat(&path).await?.is_none() {
        return Ok(Ok(false));
    }
    commit(&store, Multi::new().delete(&path, None), &path).await
}

/// `true`: it was applied. What somebody else did meanwhile is looked at again.
async fn commit(store: &Store, multi: Multi, path: &str) -> Result<Result<bool, Error>, ReadError> {
    let denied = |what: String| Ok(Err(Error::Denied { what }));
    match store.commit(multi).await {
        Outcome::Applied(_) => Ok(Ok(true)),
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => Err(ReadError::Interrupted),
        Outcome::Refused(Refusal::At { why: Why::NodeExists | Why::BadVersion, .. }) => Err(ReadError::Interrupted),
        Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => match store.ensure_layout().await {
            Ok(()) | Err(LayoutError::Read(_)) => Err(ReadError::Interrupted),
            Err(error) => Ok(Err(Error::of_layout(error, &format!("write {path}")))),
        },
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => denied(format!("write {path}")),
        Outcome::Refused(refusal) => Ok(Err(Error::Refused(format!("{path}, at {refusal}")))),
    }
}
