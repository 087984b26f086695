//! The handle of one session: reads, writes, and the one place where ZooKeeper's errors are sorted into what is known.
//!
//! Watches are in [`watch`](crate::watch), bulk reads in [`reader`](crate::reader), ordered and fenced writes in [`pen`](crate::pen).
//! Opening and closing is the session actor's affair: a store holds the client weakly, so that closing needs nobody's cooperation.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bellwether_core::protocol::multi::MULTI_BYTES_MAX;
use bellwether_core::protocol::{Applied, Multi, Node, Op, Outcome, Refusal, Stat, Why};
use futures::FutureExt;
use futures::future::BoxFuture;
use zookeeper_client::{
    Acl, Acls, Client, CreateMode, Error, MultiReadResult, MultiWriteError, MultiWriteResult, MultiWriter, SessionState,
};

use bellwether_core::protocol::acl::Entry;

use crate::access::{self, Access};
use crate::reader::Answers;
use crate::zk_runtime;

mod layout;
mod request;

pub use layout::LayoutError;
pub(crate) use request::Reply;

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This session may not read there. Show it: somebody must grant the right, or configure the right password.
    #[error("no right to read {path}")]
    NoAuth {
        /// Path from the root.
        path: String,
    },
    /// The connection broke, the deadline passed or the session ended: nothing is known. Read again after the next
    /// `Resumed` or `Opened`.
    #[error("interrupted: the session was suspended or ended, or the answer was late")]
    Interrupted,
    /// This can be no path of a znode: a defect of the caller, or a name that was not checked.
    #[error("{path:?} is no path of a znode: {why}")]
    BadPath {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// How setting rights ended. It may be done again, whatever the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AclOutcome {
    /// They are set.
    Set,
    /// They are not.
    Refused(Why),
    /// Nobody knows.
    Unknown,
}

/// Resolves once: when the watched node changed, or when the session was suspended or ended. Either way: read again.
/// Dropping it removes the watch.
pub type Changed = BoxFuture<'static, ()>;

/// The handle of one session, cheap to clone, usable from any thread and any runtime.
///
/// A request is sent when the method is called, not when its future is polled, and requests of one thread reach ZooKeeper in the
/// order of the calls. Each has one session timeout to be answered; dropping the future abandons the answer, not the request.
#[derive(Clone)]
pub struct Store {
    session: Arc<Session>,
}

struct Session {
    serial: u64,
    id: i64,
    timeout: Duration,
    client: Weak<Client>,
    closing: AtomicBool,
    /// The highest transaction that any session of this process saw.
    highest: Arc<AtomicI64>,
    /// What nodes are created with.
    access: Access,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("serial", &self.serial()).field("session", &format_args!("{:#x}", self.session_id())).finish()
    }
}

impl Store {
    pub(crate) fn new(serial: u64, client: &Arc<Client>, highest: &Arc<AtomicI64>, access: &Access) -> Self {
        let session = Session {
            serial,
            id: client.session_id().0,
            timeout: client.session_timeout(),
            client: Arc::downgrade(client),
            closing: AtomicBool::new(false),
            highest: Arc::clone(highest),
            access: access.clone(),
        };
        Self { session: Arc::new(session) }
    }

    /// Which session of this process: grows with each one, and tells messages of an earlier session from those of this.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.session.serial
    }

    /// ZooKeeper's id of the session: the `ephemeral_owner` of what it creates.
    #[must_use]
    pub fn session_id(&self) -> i64 {
        self.session.id
    }

    /// The session timeout that ZooKeeper granted.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.session.timeout
    }

    /// From now on nothing is sent any more: the session is being closed.
    pub(crate) fn refuse_requests(&self) {
        self.session.closing.store(true, Ordering::Release);
    }

    fn seen(&self, stat: &zookeeper_client::Stat) -> Stat {
        self.session.highest.fetch_max(stat.czxid.max(stat.mzxid), Ordering::Relaxed);
        stat_of(stat)
    }

    fn noted(&self, outcome: Outcome) -> Outcome {
        if let Outcome::Applied(applied) = &outcome {
            let written = applied.sets.iter().map(|(_, _, zxid)| *zxid).max();
            self.session.highest.fetch_max(written.unwrap_or(0), Ordering::Relaxed);
        }
        outcome
    }

    /// The client, if a request can be sent at all. While it is disconnected requests would queue without bound and run after
    /// the reconnect, long after the decision that led to them.
    fn client(&self) -> Option<Arc<Client>> {
        let client = self.session.client.upgrade()?;
        let open = !self.session.closing.load(Ordering::Acquire) && client.state() == SessionState::SyncConnected;
        open.then_some(client)
    }

    /// Data and state of a node; `None` if there is no such node.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn get(&self, path: &str) -> impl Future<Output = Result<Option<Node>, ReadError>> + Send + use<> {
        let path: Arc<str> = path.into();
        let asked = Arc::clone(&path);
        let reply = self.request("get", move |client| async move {
            let reply = client.get_data(&path);
            drop(client);
            reply.await
        });
        let own = self.clone();
        async move {
            let found = or_absent(reply.await.read(&asked))?;
            Ok(found.map(|(data, stat)| Node { data, stat: own.seen(&stat) }))
        }
    }

    /// Data and state of several nodes, by one request: each as [`get`](Self::get) answers, in the order of `paths`. For many small ones:
    /// the reply holds all of them. A path that can be none spoils the whole question.
    ///
    /// # Errors
    /// [`ReadError`]: why there is no answer at all.
    pub fn get_together(&self, paths: Vec<String>) -> impl Future<Output = Result<Answers<Node>, ReadError>> + Send + use<> {
        let asked = paths.clone();
        let reply = self.request("get", move |client| async move {
            let mut reader = client.new_multi_reader();
            for path in &paths {
                reader.add_get_data(path)?;
            }
            let commit = reader.commit();
            commit.await
        });
        let own = self.clone();
        async move {
            let found = reply.await.read("/").map_err(ReadError::from)?;
            let one = |(path, found): (String, MultiReadResult)| {
                let answer = match found {
                    MultiReadResult::Data { data, stat } => Ok(Some(Node { data, stat: own.seen(&stat) })),
                    MultiReadResult::Error { err } => or_absent(Reply::<Node>::Answer(Err(err)).read(&path)),
                    _ => Err(ReadError::Interrupted),
                };
                (path, answer)
            };
            Ok(asked.into_iter().zip(found).map(one).collect())
        }
    }

    /// Names of a node's children, in no order; `None` if there is no such node.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn children(&self, path: &str) -> impl Future<Output = Result<Option<Vec<String>>, ReadError>> + Send + use<> {
        let path: Arc<str> = path.into();
        let asked = Arc::clone(&path);
        let reply = self.request("children", move |client| async move {
            let reply = client.get_children(&path);
            drop(client);
            reply.await
        });
        async move { Ok(or_absent(reply.await.read(&asked))?.map(|(names, _)| names)) }
    }

    /// State of a node; `None` if there is no such node. Needs no right.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn stat(&self, path: &str) -> impl Future<Output = Result<Option<Stat>, ReadError>> + Send + use<> {
        let path: Arc<str> = path.into();
        let asked = Arc::clone(&path);
        let reply = self.request("stat", move |client| async move {
            let reply = client.check_stat(&path);
            drop(client);
            reply.await
        });
        let own = self.clone();
        async move { Ok(or_absent(reply.await.read(&asked))?.flatten().as_ref().map(|stat| own.seen(stat))) }
    }

    /// State of a node, and a future that resolves at its next change (creation, deletion or set) or when the session is
    /// suspended or ends. Arm at most a few thousand per session, and none on a path that has a watch of another kind.
    ///
    /// # Errors
    /// [`ReadError`]; then nothing is armed.
    pub fn exists_once(&self, path: &str) -> impl Future<Output = Result<(Option<Stat>, Changed), ReadError>> + Send + use<> {
        let path: Arc<str> = path.into();
        let asked = Arc::clone(&path);
        let reply = self.request("stat", move |client| async move {
            // Before the request, so that no suspension falls between the answer and the wait for it.
            let mut states = client.state_watcher();
            let (stat, watcher) = client.check_and_watch_stat(&path).await?;
            drop(client);
            let changed = async move {
                tokio::select! {
                    _ = watcher.changed() => {}
                    _ = states.changed() => {}
                }
            };
            Ok((stat, changed.boxed()))
        });
        let own = self.clone();
        async move {
            let (stat, changed) = reply.await.read(&asked)?;
            Ok((stat.as_ref().map(|stat| own.seen(stat)), changed))
        }
    }

    /// Rights and state of a node; `None` if there is no such node. A session without ADMIN is shown no hashes.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn acl(&self, path: &str) -> impl Future<Output = Result<Option<(Vec<Entry>, Stat)>, ReadError>> + Send + use<> {
        let path: Arc<str> = path.into();
        let asked = Arc::clone(&path);
        let reply = self.request("acl", move |client| async move { client.get_acl(&path).await });
        let own = self.clone();
        async move { Ok(or_absent(reply.await.read(&asked))?.map(|(list, stat)| (access::from_client(&list), own.seen(&stat)))) }
    }

    /// Sets the rights of a node, whatever they were.
    pub(crate) fn set_acl(&self, path: &str, list: Vec<Acl>) -> impl Future<Output = AclOutcome> + Send + use<> {
        let path: Arc<str> = path.into();
        let reply = self.request("acl", move |client| async move { client.set_acl(&path, &list, None).await });
        async move {
            match reply.await {
                Reply::Answer(Ok(_)) => AclOutcome::Set,
                Reply::Answer(Err(error)) => definite(&error).map_or(AclOutcome::Unknown, AclOutcome::Refused),
                Reply::NotSent | Reply::Late => AclOutcome::Unknown,
            }
        }
    }

    /// What nodes are created with.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.session.access
    }

    /// Waits until this session's server has caught up with ZooKeeper's leader: a read after it is not older than the call.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn sync(&self) -> impl Future<Output = Result<(), ReadError>> + Send + use<> {
        let reply = self.request("sync", |client| async move { client.sync("/").await });
        async move { Ok(reply.await.read("/")?) }
    }

    /// Sends a transaction. An empty one is refused: it would be answered without asking ZooKeeper.
    pub fn commit(&self, multi: Multi) -> impl Future<Output = Outcome> + Send + use<> {
        let fault = match (multi.is_empty(), multi.bytes() > MULTI_BYTES_MAX) {
            (true, _) => Some(Why::BadArguments),
            (_, true) => Some(Why::TooLarge),
            (false, false) => None,
        };
        let access = self.session.access.clone();
        let reply = fault.is_none().then(|| self.request("multi", move |client| send_multi(client, multi, access)));
        let own = self.clone();
        async move {
            match (reply, fault) {
                (Some(reply), _) => own.noted(outcome_of_multi(reply.await)),
                (None, fault) => Outcome::Refused(Refusal::Whole(fault.unwrap_or(Why::BadArguments))),
            }
        }
    }

    /// Creates a node that goes with the session and whose name ZooKeeper completes with ten growing digits. Gives the name,
    /// without the path. After [`Outcome::Unknown`] it is found by what is unique in the prefix.
    pub fn enqueue_ephemeral(&self, prefix_path: &str, data: Vec<u8>) -> impl Future<Output = (Outcome, Option<String>)> + Send + use<> {
        let path = prefix_path.to_owned();
        let prefix = prefix_path.rsplit('/').next().unwrap_or_default().to_owned();
        let access = self.session.access.clone();
        let reply = self.request("create", move |client| async move {
            let options = CreateMode::EphemeralSequential.with_acls(Acls::new(access.list_of(&path)));
            client.create(&path, &data, &options).await.map(|(_, sequence)| sequence)
        });
        async move {
            match reply.await {
                Reply::Answer(Ok(sequence)) => (Outcome::applied(), Some(format!("{prefix}{sequence}"))),
                Reply::Answer(Err(error)) => (definite(&error).map_or(Outcome::Unknown, |why| Outcome::refused(0, why)), None),
                Reply::NotSent => (Outcome::Refused(Refusal::Whole(Why::NotSent)), None),
                Reply::Late => (Outcome::Unknown, None),
            }
        }
    }
}

/// The errors after which it is certain that nothing was applied, nor will be. Every other one leaves a write unknown: a lost
/// connection has many faces, and requests that "failed" so were seen to be applied later.
fn definite(error: &Error) -> Option<Why> {
    Some(match error {
        Error::NoNode => Why::NoNode,
        Error::NodeExists => Why::NodeExists,
        Error::BadVersion => Why::BadVersion,
        Error::NotEmpty => Why::NotEmpty,
        Error::NoAuth => Why::NoAuth,
        Error::NoChildrenForEphemerals => Why::NoChildrenForEphemerals,
        Error::InvalidAcl | Error::BadArguments(_) | Error::QuotaExceeded => Why::BadArguments,
        _ => return None,
    })
}

async fn send_multi(client: Arc<Client>, multi: Multi, access: Access) -> Result<Vec<MultiWriteResult>, MultiWriteError> {
    let mut writer = client.new_multi_writer();
    for (index, op) in multi.ops.iter().enumerate() {
        add_operation(&mut writer, op, &access).map_err(|source| MultiWriteError::OperationFailed { index, source })?;
    }
    let commit = writer.commit();
    drop(multi);
    commit.await
}

fn add_operation(writer: &mut MultiWriter<'_>, op: &Op, access: &Access) -> Result<(), Error> {
    match op {
        Op::Check { path, version } => writer.add_check_version(path, version.unwrap_or(-1)),
        Op::Create { path, data, ephemeral } => {
            let mode = if *ephemeral { CreateMode::Ephemeral } else { CreateMode::Persistent };
            writer.add_create(path, data, &mode.with_acls(Acls::new(access.list_of(path))))
        }
        Op::Set { path, data, version } => writer.add_set_data(path, data, *version),
        Op::Delete { path, version } => writer.add_delete(path, *version),
    }
}

/// In a refused transaction ZooKeeper gives 0 to the operations before the refused one and "runtime inconsistency" to those after
/// it; the client skips the zeros, so that its index is that of the operation that was really refused.
fn outcome_of_multi(reply: Reply<Vec<MultiWriteResult>, MultiWriteError>) -> Outcome {
    match reply {
        Reply::Answer(Ok(results)) => Outcome::Applied(Applied { sets: sets_of(&results) }),
        Reply::Answer(Err(MultiWriteError::OperationFailed { index, source })) => match definite(&source) {
            Some(why) => Outcome::refused(index, why),
            None => Outcome::Unknown,
        },
        Reply::Answer(Err(MultiWriteError::RequestFailed { source })) => match definite(&source) {
            Some(why) => Outcome::Refused(Refusal::Whole(why)),
            None => Outcome::Unknown,
        },
        Reply::NotSent => Outcome::Refused(Refusal::Whole(Why::NotSent)),
        Reply::Late => Outcome::Unknown,
    }
}

fn sets_of(results: &[MultiWriteResult]) -> Vec<(usize, i32, i64)> {
    let sets = results.iter().enumerate().filter_map(|(index, result)| match result {
        MultiWriteResult::SetData { stat } => Some((index, stat.version, stat.mzxid)),
        _ => None,
    });
    sets.collect()
}

fn stat_of(stat: &zookeeper_client::Stat) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        version: stat.version,
        ephemeral_owner: stat.ephemeral_owner,
        children: stat.num_children,
        bytes: stat.data_length,
        ctime_ms: stat.ctime,
        mtime_ms: stat.mtime,
    }
}

/// Tells "there is no such node" from the other reasons for having no answer.
fn or_absent<T>(answer: Result<T, request::NoAnswer>) -> Result<Option<T>, ReadError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(request::NoAnswer::NoNode) => Ok(None),
        Err(request::NoAnswer::Because(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;
