//! The connection to ZooKeeper as everybody in the client sees it: published by the supervisor, read by whoever asks something.

use bellwether_common::store::Store;
use tokio::sync::watch;

use crate::error::ClosedBecause;

/// The connection as it is now.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// A session is being opened; why the last attempt failed, if there was one.
    Opening(Option<String>),
    /// Requests can be sent.
    Connected(Store),
    /// The session may live, but there is no connection.
    Suspended,
    /// There will be none.
    Over(ClosedBecause),
}

/// How to follow it.
pub(crate) type Links = watch::Receiver<Link>;

impl Link {
    /// What is wrong with it, for people.
    pub(crate) fn outage(&self) -> Option<String> {
        match self {
            Self::Connected(_) => None,
            Self::Opening(None) => Some("no server has answered yet".to_owned()),
            Self::Opening(Some(why)) => Some(why.clone()),
            Self::Suspended => Some("the connection is lost".to_owned()),
            Self::Over(because) => Some(because.to_string()),
        }
    }
}

/// Waits until requests can be sent.
pub(crate) async fn connected(links: &mut Links) -> Result<Store, ClosedBecause> {
    let gone = || ClosedBecause::Thread("it ended".to_owned());
    let link = links.wait_for(|link| matches!(link, Link::Connected(_) | Link::Over(_))).await.map_err(|_| gone())?;
    match &*link {
        Link::Connected(store) => Ok(store.clone()),
        Link::Over(because) => Err(because.clone()),
        Link::Opening(_) | Link::Suspended => Err(gone()),
    }
}

/// What is wrong with the connection right now, or `otherwise`.
pub(crate) fn reason(links: &Links, otherwise: &str) -> String {
    links.borrow().outage().unwrap_or_else(|| otherwise.to_owned())
}
