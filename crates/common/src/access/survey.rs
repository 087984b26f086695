//! A walk through a whole tree that compares the rights of each node with the table, and sets them right.

use bellwether_core::protocol::acl::{self, Entry, Identities};
use bellwether_core::protocol::{Multi, Outcome, Refusal, Why};
use futures::StreamExt;
use futures::stream;

use super::Access;
use crate::store::{AclOutcome, ReadError, Store};

/// How many questions are on their way at once.
const WINDOW: usize = 256;

/// A node that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Path from the root.
    pub path: String,
    /// Its rights; `None` if this session may not see them.
    pub found: Option<Vec<Entry>>,
    /// How many children it had.
    pub children: i32,
}

impl Seen {
    /// Whether anybody at all may change something there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.found.iter().flatten().any(Entry::opens)
    }

    /// How its rights are, compared with the table.
    #[must_use]
    pub fn compare(&self, identities: &Identities) -> Comparison {
        let wanted = acl::entries(identities, acl::row_of(&self.path));
        match &self.found {
            None => Comparison::Hidden,
            Some(found) if acl::agree(&wanted, found) => Comparison::Same,
            Some(found) if acl::may_agree(&wanted, found) => Comparison::Masked,
            Some(_) => Comparison::Different,
        }
    }
}

/// How rights are, compared with the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// As they should be.
    Same,
    /// As they should be, as far as a session without ADMIN is told: it sees no hashes.
    Masked,
    /// Otherwise.
    Different,
    /// This session may not see them.
    Hidden,
}

/// Looks at the root and all that is below it, level by level, at `most` nodes, and gives each to `visit`. What ZooKeeper keeps for
/// itself is left out. What goes meanwhile is passed over; what comes meanwhile may be.
///
/// # Errors
/// [`ReadError`]
pub async fn walk(store: &Store, most: usize, mut visit: impl FnMut(Seen)) -> Result<(), ReadError> {
    let mut level = vec!["/".to_owned()];
    let mut left = most;
    while !level.is_empty() && left > 0 {
        level.truncate(left);
        left -= level.len();
        let looks = stream::iter(std::mem::take(&mut level)).map(|path| look(store, path)).buffered(WINDOW);
        let mut parents = Vec::new();
        let mut looks = std::pin::pin!(looks);
        while let Some(look) = looks.next().await {
            let Some(seen) = look? else { continue };
            if seen.children > 0 {
                parents.push(seen.path.clone());
            }
            visit(seen);
        }
        let lists = stream::iter(parents).map(|path| children(store, path)).buffered(WINDOW);
        let mut lists = std::pin::pin!(lists);
        while let Some(list) = lists.next().await {
            level.extend(list?);
        }
    }
    Ok(())
}

async fn look(store: &Store, path: String) -> Result<Option<Seen>, ReadError> {
    match store.acl(&path).await {
        Ok(Some((found, stat))) => Ok(Some(Seen { path, found: Some(found), children: stat.children })),
        Ok(None) => Ok(None),
        Err(ReadError::NoAuth { .. }) => Ok(Some(Seen { path, found: None, children: 0 })),
        Err(error) => Err(error),
    }
}

async fn children(store: &Store, parent: String) -> Result<Vec<String>, ReadError> {
    let names = match store.children(&parent).await {
        Ok(names) => names.unwrap_or_default(),
        // It may be seen who may read it, and that is not us.
        Err(ReadError::NoAuth { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let prefix = parent.trim_end_matches('/');
    let paths = names.iter().map(|name| format!("{prefix}/{name}"));
    Ok(paths.filter(|path| path != "/zookeeper").collect())
}

/// What became of setting the rights of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set {
    /// They are as the table says.
    Done,
    /// It is gone.
    Gone,
    /// ZooKeeper refused.
    Refused(Why),
}

/// Gives these nodes the rights of their rows, in their order, many at a time.
///
/// # Errors
/// [`ReadError`]: some may have been set; setting them again does no harm.
pub async fn set(store: &Store, access: &Access, paths: Vec<String>) -> Result<Vec<(String, Set)>, ReadError> {
    let settings = stream::iter(paths).map(|path| async move {
        let done = match store.set_acl(&path, access.list_of(&path).to_vec()).await {
            AclOutcome::Set => Set::Done,
            AclOutcome::Refused(Why::NoNode) => Set::Gone,
            AclOutcome::Refused(why) => Set::Refused(why),
            AclOutcome::Unknown => return Err(ReadError::Interrupted),
        };
        Ok((path, done))
    });
    let settings: Vec<Result<(String, Set), ReadError>> = settings.buffered(WINDOW).collect().await;
    settings.into_iter().collect()
}

/// Whether this session is the admin of the table, proven with a node of its own that only the admin may touch and that goes with the
/// session: who is not would lock himself out.
///
/// # Errors
/// [`ReadError`]
pub async fn is_admin(store: &Store, identities: &Identities) -> Result<bool, ReadError> {
    let node = format!("/.admin-{:016x}", store.session_id());
    let row = acl::row_of(&node);
    let alone: Vec<Entry> = acl::entries(identities, row).into_iter().filter(|entry| entry.rights == acl::Rights::ALL).collect();
    let list = super::to_client(&alone);
    match store.commit(Multi::new().create_ephemeral(&node, Vec::new())).await {
        Outcome::Applied(_) | Outcome::Refused(Refusal::At { why: Why::NodeExists, .. }) => {}
        Outcome::Refused(Refusal::At { why: Why::NoAuth | Why::BadArguments, .. }) => return Ok(false),
        Outcome::Refused(_) | Outcome::Unknown => return Err(ReadError::Interrupted),
    }
    let set = store.set_acl(&node, list).await;
    // Whatever happens: it goes with the session.
    drop(store.commit(Multi::new().delete(&node, None)).await);
    match set {
        AclOutcome::Set => Ok(true),
        AclOutcome::Refused(_) => Ok(false),
        AclOutcome::Unknown => Err(ReadError::Interrupted),
    }
}
