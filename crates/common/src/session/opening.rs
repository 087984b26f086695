//! One attempt to open a session: connect, make the root, prove the rights. Who tries again, and when, is the actor's affair. How to
//! connect stands in `connecting`, what is asked of rights in `rights`.

use std::sync::Arc;

use bellwether_core::protocol::version::{self, Admission};
use bellwether_core::protocol::{Multi, Outcome, Refusal, Why, path};
use bellwether_core::rewind::{Anchor, Begin};
use zookeeper_client::{Client, SessionState, StateWatcher};

use super::{Needs, SessionSettings};
use crate::store::{LayoutError, ReadError, Store};

mod connecting;
mod rights;

pub(super) use connecting::Certificates;

/// Where a session is to be opened, read out of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Comma-separated servers, without a chroot.
    pub(super) servers: String,
    /// Absolute path of the root.
    pub(super) root: String,
}

/// How an attempt ended.
pub(super) enum Attempt {
    /// The session is open, its root exists, and what was asked of it is allowed.
    Open { client: Arc<Client>, states: StateWatcher, begin: Begin, certificates: Option<Box<Certificates>> },
    /// Not now.
    Retry(String),
    /// Not with these rights.
    Denied { path: String, right: &'static str, why: String },
    /// Not with these settings.
    BadSettings(String),
}

impl Place {
    /// Splits the connect string and joins its chroot with the configured root.
    pub(super) fn of(settings: &SessionSettings) -> Result<Self, String> {
        let connect = settings.connect.trim();
        let last = connect.rfind(',').map_or(0, |comma| comma + 1);
        let host = last + connect[last..].find("://").map_or(0, |scheme| scheme + "://".len());
        let (servers, chroot) = match connect[host..].find('/') {
            Some(slash) => connect.split_at(host + slash),
            None => (connect, ""),
        };
        check_servers(servers)?;
        let root = format!("{}{}", chroot.trim_end_matches('/'), settings.root.trim_end_matches('/'));
        check_root(&root)?;
        Ok(Self { servers: servers.to_owned(), root: if root.is_empty() { "/".to_owned() } else { root } })
    }

    fn absolute(&self, path: &str) -> String {
        match (self.root.as_str(), path) {
            ("/", path) => path.to_owned(),
            (root, "/") => root.to_owned(),
            (root, path) => format!("{root}{path}"),
        }
    }
}

fn check_servers(servers: &str) -> Result<(), String> {
    for server in servers.split(',') {
        if server.trim().is_empty() {
            return Err(format!("the connect string {servers:?} names no server, or has a stray comma: write host:port,host:port/root"));
        }
        let port = server.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']') && !port.starts_with("//"));
        if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err(format!("the server {server:?} in the connect string has no valid port: write host:port"));
        }
    }
    Ok(())
}

fn check_root(root: &str) -> Result<(), String> {
    if root.is_empty() {
        return Ok(());
    }
    let bad = |why| Err(format!("the root {root:?} is no path of a znode: {why}"));
    let Some(rest) = root.strip_prefix('/') else { return bad("it must start with /") };
    for part in rest.split('/') {
        match part {
            "" => return bad("it has an empty part"),
            "." | ".." => return bad("it must not be relative"),
            part if part.chars().any(char::is_control) => return bad("it has a control character"),
            _ => {}
        }
    }
    if rest == "zookeeper" || rest.starts_with("zookeeper/") {
        return bad("ZooKeeper keeps that one for itself");
    }
    Ok(())
}

/// Tries once.
pub(super) async fn attempt(settings: &SessionSettings, place: &Place) -> Attempt {
    match try_once(settings, place).await {
        Ok(open) => open,
        Err(attempt) => attempt,
    }
}

async fn try_once(settings: &SessionSettings, place: &Place) -> Result<Attempt, Attempt> {
    rights::own_identity(settings, place)?;
    let (unrooted, certificates) = connecting::connect(settings, place).await?;
    let unrooted = Arc::new(unrooted);
    let mut states = unrooted.state_watcher();
    // What this attempt sees is compared with what was seen before: it must not be counted as that.
    let apart = Arc::default();
    make_root(&Store::new(0, &unrooted, &apart, &settings.access.of_root()), &place.root).await?;
    let rooted = Client::clone(&unrooted).chroot(place.root.as_str());
    let client = Arc::new(rooted.map_err(|_| Attempt::BadSettings(format!("{:?} cannot be a root", place.root)))?);
    drop(unrooted);
    let store = Store::new(0, &client, &apart, &settings.access);
    // Before anything is written: a cluster that speaks otherwise is none of our business.
    let unsaid = !admitted(&store, place).await?;
    let lays_out = match settings.access.identities() {
        None => settings.needs.is_service(),
        Some(_) => settings.needs == Needs::Coordinator,
    };
    if lays_out {
        store.ensure_layout().await.map_err(|error| of_layout(error, place))?;
    }
    rights::look(&store, settings, place).await?;
    if unsaid && lays_out {
        say_version(&store, place).await?;
    }
    let begin = begin(&store, settings.needs).await?;
    match states.state() {
        SessionState::SyncConnected => Ok(Attempt::Open { client, states, begin, certificates }),
        state => Err(Attempt::Retry(format!("the new session became {state} at once"))),
    }
}

/// Where ZooKeeper's history is now. A service writes for it, and nothing but what was there: the number of that transaction is
/// above all that were before.
async fn begin(store: &Store, needs: Needs) -> Result<Begin, Attempt> {
    let writing = needs.is_service().then(|| store.commit(Multi::new().set(path::BELLWETHER, Vec::new(), None)));
    let anchor = store.stat(path::BELLWETHER);
    let written = match writing {
        Some(writing) => match writing.await {
            Outcome::Applied(applied) => applied.sets.first().map(|(_, _, zxid)| *zxid),
            // Without the right to set it, the anchor has to do.
            Outcome::Refused(_) => None,
            Outcome::Unknown => return Err(Attempt::Retry("the connection broke while the session began".to_owned())),
        },
        None => None,
    };
    let anchor = anchor.await.map_err(retry)?.map(|stat| Anchor { czxid: stat.czxid, ctime_ms: stat.ctime_ms });
    Ok(Begin { written, anchor })
}

/// Creates the root and its parents where they are missing.
async fn make_root(store: &Store, root: &str) -> Result<(), Attempt> {
    let ends = root.char_indices().skip(1).filter(|(_, character)| *character == '/').map(|(index, _)| index);
    for end in ends.chain([root.len()]).filter(|end| *end > 1) {
        let part = &root[..end];
        if store.stat(part).await.map_err(retry)?.is_some() {
            continue;
        }
        match store.commit(Multi::new().create(part, Vec::new())).await {
            Outcome::Applied(_) | Outcome::Refused(Refusal::At { why: Why::NodeExists, .. }) => {}
            Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => {
                return Err(denied(part.to_owned(), "CREATE", "the root does not exist, and this session may not create it"));
            }
            Outcome::Refused(refusal) => return Err(Attempt::Retry(format!("cannot create the root {part}: {refusal}"))),
            Outcome::Unknown => return Err(Attempt::Retry(format!("the connection broke while creating the root {part}"))),
        }
    }
    Ok(())
}

/// Whether the cluster says that it speaks a protocol of ours; false if it says nothing.
async fn admitted(store: &Store, place: &Place) -> Result<bool, Attempt> {
    let node = match store.get(path::VERSION).await {
        Err(ReadError::NoAuth { .. }) => {
            return Err(denied(place.absolute(path::VERSION), "READ", "this session may not see which protocol the cluster speaks"));
        }
        read => read.map_err(retry)?,
    };
    match version::admission(node.as_ref().map(|node| node.data.as_slice())) {
        Admission::Welcome => Ok(true),
        Admission::Unsaid => Ok(false),
        Admission::Refused(mismatch) => Err(Attempt::BadSettings(mismatch.to_string())),
    }
}

async fn say_version(store: &Store, place: &Place) -> Result<(), Attempt> {
    match store.commit(Multi::new().create(path::VERSION, version::data())).await {
        Outcome::Applied(_) => Ok(()),
        // Somebody was quicker: it is theirs that counts.
        Outcome::Refused(_) | Outcome::Unknown => match admitted(store, place).await? {
            true => Ok(()),
            false => Err(Attempt::Retry(format!("cannot say in {} which protocol this cluster speaks", path::VERSION))),
        },
    }
}

fn retry(error: ReadError) -> Attempt {
    Attempt::Retry(error.to_string())
}

fn denied(path: String, right: &'static str, what: &str) -> Attempt {
    let why = format!("{what}; look at zookeeper.auth_scheme and zookeeper.auth_file, and at the node's ACL");
    Attempt::Denied { path, right, why }
}

fn of_layout(error: LayoutError, place: &Place) -> Attempt {
    match error {
        LayoutError::Denied { path, .. } | LayoutError::NotLaidOut { path } => {
            denied(place.absolute(&path), "CREATE", "a node of the layout is missing, and this session may not create it")
        }
        LayoutError::Refused { .. } | LayoutError::Read(_) => Attempt::Retry(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(connect: &str, root: &str) -> Result<Place, String> {
        Place::of(&SessionSettings { connect: connect.into(), root: root.into(), ..SessionSettings::default() })
    }

    fn expect(servers: &str, root: &str) -> Result<Place, String> {
        Ok(Place { servers: servers.into(), root: root.into() })
    }

    #[test]
    fn the_chroot_of_the_connect_string_comes_before_the_root() {
        assert_eq!(place("a:1,b:2", "/"), expect("a:1,b:2", "/"));
        assert_eq!(place("a:1,b:2/prod", "/"), expect("a:1,b:2", "/prod"));
        assert_eq!(place("a:1,b:2/prod/", "/x/"), expect("a:1,b:2", "/prod/x"));
        assert_eq!(place("tcp://a:1/prod", ""), expect("tcp://a:1", "/prod"));
        assert_eq!(place("[::1]:2181", "/r"), expect("[::1]:2181", "/r"));
        assert_eq!(place("a", "/r"), expect("a", "/r"));
    }

    #[test]
    fn what_cannot_be_a_place_is_named() {
        for (connect, root, named) in
            [("", "/", "names no server"), ("a:1,,b:2", "/", "stray comma"), ("a:x", "/", "valid port"), ("a:0", "/", "valid port")]
        {
            let error = place(connect, root).expect_err("not a place");
            assert!(error.contains(named), "{connect}: {error}");
        }
        for root in ["r", "/a//b", "/a/../b", "/zookeeper"] {
            assert!(place("a:1", root).expect_err("not a root").contains("no path of a znode"), "{root}");
        }
    }
}
