//! The test's own hands in ZooKeeper's tree: blocking calls over a session of its own.

use std::fmt::Debug;
use std::time::Duration;

use bellwether_core::protocol::{Multi, Op};
use tokio::runtime::Runtime;
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission, Stat};

/// Long enough for a server that is restarted meanwhile.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one operation may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A session, seen from a root. Every call blocks, and panics with the path and the reason when ZooKeeper refuses: a test that
/// expects a refusal asks first or uses [`Tree::try_commit`].
///
/// What reads is asked again when the connection is lost meanwhile. What writes is not, because nobody knows whether it happened: a
/// test that kills servers waits until they serve, or writes by [`Tree::try_commit`] and looks.
///
/// Must not be used inside an async runtime.
pub struct Tree {
    client: Option<Client>,
    runtime: Runtime,
}

impl Tree {
    /// Opens a session. `root` is created if it is missing; all paths are below it.
    ///
    /// # Panics
    /// ZooKeeper cannot be reached.
    #[must_use]
    #[track_caller]
    pub fn connect(servers: &str, root: &str) -> Self {
        // The client lives on this runtime's own thread: it must go on while the test does something else.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("tree").enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(limited(async {
            let client = Client::connector().with_session_timeout(SESSION_TIMEOUT).connect(servers).await?;
            if root != "/" {
                client.mkdir(root, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await?;
            }
            Ok(client)
        }));
        let client = expect(client, "connect", servers).chroot(root.to_owned());
        Self { client: Some(client.expect("a valid root")), runtime }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("present until it is dropped")
    }

    #[track_caller]
    fn run<T>(&self, what: &str, path: &str, future: impl Future<Output = Result<T, Error>>) -> T {
        expect(self.runtime.block_on(limited(future)), what, path)
    }

    #[track_caller]
    fn read<T, F: Future<Output = Result<T, Error>>>(&self, what: &str, path: &str, request: impl Fn() -> F) -> Option<T> {
        let answer = async {
            loop {
                match request().await {
                    Ok(value) => return Ok(Some(value)),
                    Err(Error::NoNode) => return Ok(None),
                    Err(error @ (Error::NoAuth | Error::BadArguments(_) | Error::SessionExpired)) => return Err(error),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        self.run(what, path, answer)
    }

    /// The id of this session.
    #[must_use]
    pub fn session(&self) -> i64 {
        self.client().session_id().0
    }

    /// The data of a node; `None` if there is none.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.read("get", path, || self.client().get_data(path)).map(|(data, _)| data)
    }

    /// The data of a node as text; `None` if there is none.
    #[must_use]
    #[track_caller]
    pub fn text(&self, path: &str) -> Option<String> {
        self.get(path).map(|data| String::from_utf8_lossy(&data).into_owned())
    }

    /// The stat of a node; `None` if there is none.
    #[must_use]
    #[track_caller]
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.read("stat", path, || self.client().check_stat(path)).flatten()
    }

    /// Whether there is a node.
    #[must_use]
    #[track_caller]
    pub fn exists(&self, path: &str) -> bool {
        self.stat(path).is_some()
    }

    /// The names of a node's children, sorted; none if there is no such node.
    #[must_use]
    #[track_caller]
    pub fn children(&self, path: &str) -> Vec<String> {
        let names = self.read("list", path, || self.client().list_children(path));
        let mut names = names.unwrap_or_default();
        names.sort();
        names
    }

    /// Sets the data of a node that exists.
    #[track_caller]
    pub fn set(&self, path: &str, data: impl AsRef<[u8]>) {
        self.run("set", path, self.client().set_data(path, data.as_ref(), None));
    }

    /// Creates a persistent node.
    #[track_caller]
    pub fn create(&self, path: &str, data: impl AsRef<[u8]>) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.run("create", path, self.client().create(path, data.as_ref(), &options));
    }

    /// Creates a node that goes with this session.
    #[track_caller]
    pub fn create_ephemeral(&self, path: &str, data: impl AsRef<[u8]>) {
        let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        self.run("create", path, self.client().create(path, data.as_ref(), &options));
    }

    /// Creates a persistent node with ZooKeeper's number after `prefix`, as anybody's `create -s` does: returns its path.
    #[track_caller]
    pub fn create_sequential(&self, prefix: &str, data: impl AsRef<[u8]>) -> String {
        let options = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
        let (_, sequence) = self.run("create", prefix, self.client().create(prefix, data.as_ref(), &options));
        format!("{prefix}{sequence}")
    }

    /// Creates a persistent node, and those above it that are missing; keeps what exists.
    #[track_caller]
    pub fn create_all(&self, path: &str) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.run("create", path, self.client().mkdir(path, &options));
    }

    /// Deletes a node; says whether there was one.
    #[track_caller]
    pub fn delete(&self, path: &str) -> bool {
        let deleted = async {
            match self.client().delete(path, None).await {
                Err(Error::NoNode) => Ok(false),
                other => other.map(|()| true),
            }
        };
        self.run("delete", path, deleted)
    }

    /// Deletes a node with all that is below it; says whether there was one. What others create meanwhile is deleted, too.
    #[track_caller]
    pub fn delete_all(&self, path: &str) -> bool {
        loop {
            for child in self.children(path) {
                self.delete_all(&format!("{path}/{child}"));
            }
            match self.runtime.block_on(limited(async { self.client().delete(path, None).await })) {
                Ok(()) => return true,
                Err(_) if !self.exists(path) => return false,
                Err(_) => {}
            }
        }
    }

    /// From now on nobody has this right on a node; everybody has the others.
    #[track_caller]
    pub fn deny(&self, path: &str, right: Permission) {
        let all = [Permission::READ, Permission::WRITE, Permission::CREATE, Permission::DELETE, Permission::ADMIN];
        let rest = all.into_iter().filter(|other| *other != right).fold(Permission::NONE, |rest, other| rest | other);
        self.run("deny", path, self.client().set_acl(path, &[Acl::new(rest, AuthId::anyone())], None));
    }

    /// From now on everybody has every right on a node.
    #[track_caller]
    pub fn allow(&self, path: &str) {
        self.run("allow", path, self.client().set_acl(path, &[Acl::new(Permission::ALL, AuthId::anyone())], None));
    }

    /// All or nothing.
    #[track_caller]
    pub fn commit(&self, multi: &Multi) {
        let committed = self.try_commit(multi);
        committed.unwrap_or_else(|error| panic!("{multi:?}: {error}"));
    }

    /// All or nothing.
    ///
    /// # Errors
    /// What ZooKeeper refused, and why.
    pub fn try_commit(&self, multi: &Multi) -> Result<(), String> {
        let client = self.client();
        let committed = async {
            let mut writer = client.new_multi_writer();
            for op in &multi.ops {
                let mode = |ephemeral| if ephemeral { CreateMode::Ephemeral } else { CreateMode::Persistent };
                match op {
                    Op::Check { path, version } => writer.add_check_version(path, version.unwrap_or(-1)),
                    Op::Create { path, data, ephemeral } => writer.add_create(path, data, &mode(*ephemeral).with_acls(Acls::anyone_all())),
                    Op::Set { path, data, version } => writer.add_set_data(path, data, *version),
                    Op::Delete { path, version } => writer.add_delete(path, *version),
                }
                .map_err(|error| format!("{op:?}: {error}"))?;
            }
            writer.commit().await.map(drop).map_err(|error| error.to_string())
        };
        self.runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, committed).await.map_err(|_| "no answer".to_owned())? })
    }

    /// A barrier: what was committed before it is seen by what is read after it.
    #[track_caller]
    pub fn sync(&self) {
        self.read("sync", "/", || self.client().sync("/"));
    }
}

impl Drop for Tree {
    /// Waits until the session is closed, so that its ephemerals are gone.
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let mut watcher = client.state_watcher();
        drop(client);
        self.runtime.block_on(async {
            let closed = async { while !watcher.changed().await.is_terminated() {} };
            // A server that is away cannot close it; it will expire.
            let _ = tokio::time::timeout(Duration::from_secs(1), closed).await;
        });
    }
}

impl Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("root", &self.client().path()).finish_non_exhaustive()
    }
}

async fn limited<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_WITHIN, future).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {ANSWER_WITHIN:?}")),
    }
}

#[track_caller]
fn expect<T>(result: Result<T, String>, what: &str, path: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what} {path}: {error}"))
}
