//! A secured cluster: a password for each role, configurations that know them, and sessions as each of them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bellwether_common::access::digest_identity;
use bellwether_common::config::Secret;
use bellwether_core::protocol::acl::Role;
use tokio::runtime::Runtime;
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission};

use crate::cli::CliOutput;
use crate::cluster::{Builder, Cluster};
use crate::process::Process;

/// What must not be seen: a part of every password.
pub const CANARY: &str = "yellow-canary-4402";

/// A cluster whose nodes are closed to whoever is none of its roles.
#[derive(Debug)]
pub struct Secured {
    /// Its services are started with [`coordinator`](Self::coordinator) and [`worker`](Self::worker). The tree of the harness has no
    /// rights in it.
    pub cluster: Cluster,
}

/// `user:password` of this role.
#[must_use]
pub fn secret_of(role: Role) -> String {
    format!("{0}:{CANARY}-{0}", role.as_str())
}

/// What `[acl]` says of this role.
#[must_use]
pub fn identity_of(role: Role) -> String {
    digest_identity(&Secret::new(secret_of(role).into_bytes())).map(|identity| identity.to_string()).unwrap_or_default()
}

impl Secured {
    /// Without any service, layout or root yet.
    ///
    /// # Panics
    /// Its files cannot be written.
    #[must_use]
    #[track_caller]
    pub fn start(mut builder: Builder) -> Self {
        for role in Role::ALL {
            builder = builder.setting(&format!("acl.{}", role.as_str()), &format!("{:?}", identity_of(role)));
        }
        let cluster = builder.setting("zookeeper.acl", "\"secured\"").setting("zookeeper.auth_scheme", "\"digest\"").start();
        let secured = Self { cluster };
        for role in Role::ALL {
            secured.write(&format!("{}-secret", role.as_str()), &secret_of(role));
            let identities = Role::ALL.map(|role| format!("{} = {:?}\n", role.as_str(), identity_of(role))).concat();
            let secret = secured.secret_file(role);
            let config = format!(
                "[zookeeper]\nacl = \"secured\"\nauth_scheme = \"digest\"\nauth_file = {:?}\n[acl]\n{identities}",
                secret.display().to_string()
            );
            secured.write(&format!("{}-command.toml", role.as_str()), &config);
        }
        secured
    }

    /// A file that only its owner may read.
    ///
    /// # Panics
    /// It cannot be written.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.cluster.dir().join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("only its owner's");
        path
    }

    fn secret_file(&self, role: Role) -> PathBuf {
        self.cluster.dir().join(format!("{}-secret", role.as_str()))
    }

    /// A coordinator that knows its password.
    #[must_use]
    #[track_caller]
    pub fn coordinator(&self, name: &str) -> Process {
        self.cluster.coordinator_with(name, &[("zookeeper.auth_file", &quoted(&self.secret_file(Role::Coordinator)))])
    }

    /// A worker that knows its password.
    #[must_use]
    #[track_caller]
    pub fn worker(&self, name: &str, slots: usize) -> Process {
        self.worker_knowing(name, slots, &self.secret_file(Role::Worker))
    }

    /// A worker that knows what stands in this file.
    #[must_use]
    #[track_caller]
    pub fn worker_knowing(&self, name: &str, slots: usize, secret: &Path) -> Process {
        self.cluster.worker_with(name, slots, &[("zookeeper.auth_file", &quoted(secret))])
    }

    /// Runs `bellwether` as this role.
    #[track_caller]
    pub fn cli_as(&self, role: Role, args: &[&str]) -> CliOutput {
        let config = self.cluster.dir().join(format!("{}-command.toml", role.as_str())).display().to_string();
        self.cluster.cli(&[&["--config", &config][..], args].concat())
    }

    /// A session of this role, or of somebody who is none.
    #[must_use]
    #[track_caller]
    pub fn session(&self, role: Option<Role>) -> Hands {
        Hands::connect(&self.cluster, role)
    }
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// One operation that needs one right on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Needs READ.
    Get(String),
    /// Needs WRITE.
    Set(String),
    /// Needs CREATE on the parent.
    Create(String),
    /// Needs DELETE on the parent.
    Delete(String),
    /// Needs ADMIN.
    Grant(String),
}

/// A session, to try what it may. It changes nothing that is not undone but what it is told to.
pub struct Hands {
    client: Client,
    runtime: Runtime,
}

impl std::fmt::Debug for Hands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hands").finish_non_exhaustive()
    }
}

impl Hands {
    #[track_caller]
    fn connect(cluster: &Cluster, role: Option<Role>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let client = runtime.block_on(async {
            let connector = Client::connector();
            let connector = match role {
                Some(role) => connector.with_auth("digest", secret_of(role).as_bytes()),
                None => connector,
            };
            connector.connect(&cluster.connect_string()).await.expect("a session")
        });
        Self { client, runtime }
    }

    /// Does it; says whether it was allowed. What is created is open to everybody.
    ///
    /// # Panics
    /// It fails for another reason than a missing right.
    #[track_caller]
    pub fn may(&self, deed: &Deed) -> bool {
        let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let client = &self.client;
        let done: Result<(), Error> = self.runtime.block_on(async {
            match deed {
                Deed::Get(path) => client.get_data(path).await.map(drop),
                Deed::Set(path) => client.set_data(path, b"1", None).await.map(drop),
                Deed::Create(path) => client.create(path, b"1", &open).await.map(drop),
                Deed::Delete(path) => client.delete(path, None).await,
                Deed::Grant(path) => {
                    let (list, _) = client.get_acl(path).await?;
                    client.set_acl(path, &list, None).await.map(drop)
                }
            }
        });
        match done {
            Ok(()) => true,
            Err(Error::NoAuth) => false,
            Err(error) => panic!("{deed:?}: {error}"),
        }
    }

    /// Names of the children of a node.
    ///
    /// # Panics
    /// They cannot be read.
    #[must_use]
    #[track_caller]
    pub fn children(&self, path: &str) -> Vec<String> {
        match self.runtime.block_on(self.client.list_children(path)) {
            Ok(names) => names,
            Err(Error::NoNode) => Vec::new(),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Gives everybody every right on a node.
    ///
    /// # Panics
    /// It cannot.
    #[track_caller]
    pub fn open(&self, path: &str) {
        let anyone = [Acl::new(Permission::ALL, AuthId::anyone())];
        self.runtime.block_on(self.client.set_acl(path, &anyone, None)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}
