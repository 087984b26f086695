//! The schema: every section and key with its default. What values are possible stands in `rules.rs`, every key with an explanation
//! for operators in `config/reference.toml`; a test holds the two together.

mod choices;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_core::protocol::acl::{self, BadIdentity, Identities};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{ByteSize, Secret, duration};

pub use choices::{AclMode, ClassicWorkers, Exec, Format, Inherited, LogFormat, LogLevel, OnDoubt, Output, WorkDir};

/// Everything that can be configured. Each role reads its own sections and those that all share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The cluster's name, a label of every series.
    pub cluster: String,
    /// How to reach ZooKeeper.
    pub zookeeper: Zookeeper,
    /// Who is who in a secured cluster.
    pub acl: Acl,
    /// Read by coordinators.
    pub coordinator: Coordinator,
    /// Read by workers.
    pub worker: Worker,
    /// What holds for tasks that do not say otherwise.
    pub task: Task,
    /// Metrics and health pages of the services.
    pub http: Http,
    /// What is logged.
    pub log: Log,
    /// Read by the command and the client library.
    pub client: Client,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: "default".into(),
            zookeeper: Zookeeper::default(),
            acl: Acl::default(),
            coordinator: Coordinator::default(),
            worker: Worker::default(),
            task: Task::default(),
            http: Http::default(),
            log: Log::default(),
            client: Client::default(),
        }
    }
}

/// How to reach ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Zookeeper {
    /// `host:port,host:port/chroot`; the chroot comes before [`root`](Self::root).
    pub connect: String,
    /// The znode under which the cluster lives.
    pub root: String,
    /// How long the servers keep a silent session. They may grant another time.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub session_timeout: Duration,
    /// `digest`, or what else the servers know; empty for no authentication by it.
    pub auth_scheme: String,
    /// The file that holds the secret, for `digest` and for SASL a line `user:password`.
    pub auth_file: String,
    /// Who may do what with the nodes of the cluster.
    pub acl: AclMode,
    /// Whether connections are encrypted, and the servers prove who they are.
    pub tls: bool,
    /// The file with the certificates of those who vouch for the servers.
    pub ca_file: String,
    /// The file with the certificate that this process shows to the servers; empty for none.
    pub cert_file: String,
    /// The file with the key of that certificate.
    pub key_file: String,
    /// `digest-md5`; empty for no SASL.
    pub sasl: String,
    /// How long to go on without a session before the process ends with exit code 69.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub give_up_after: Duration,
    /// What stood in [`auth_file`](Self::auth_file) when the settings were loaded.
    #[serde(skip)]
    pub secret: Option<Secret>,
}

impl Default for Zookeeper {
    fn default() -> Self {
        Self {
            connect: "127.0.0.1:2181".into(),
            root: "/".into(),
            session_timeout: Duration::from_secs(10),
            auth_scheme: String::new(),
            auth_file: String::new(),
            acl: AclMode::Open,
            tls: false,
            ca_file: String::new(),
            cert_file: String::new(),
            key_file: String::new(),
            sasl: String::new(),
            give_up_after: Duration::from_secs(5 * 60),
            secret: None,
        }
    }
}

impl Zookeeper {
    /// Scheme and secret, if the session shall authenticate itself by a scheme.
    #[must_use]
    pub fn auth(&self) -> Option<(String, Vec<u8>)> {
        let secret = self.secret.as_ref().filter(|_| !self.auth_scheme.is_empty())?;
        Some((self.auth_scheme.clone(), secret.reveal().to_vec()))
    }

    /// User and password, if connections shall authenticate themselves by SASL.
    #[must_use]
    pub fn sasl(&self) -> Option<(String, Secret)> {
        let secret = self.secret.as_ref().filter(|_| !self.sasl.is_empty())?;
        let text = String::from_utf8_lossy(secret.reveal());
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), Secret::new(password.as_bytes().to_vec())))
    }
}

/// Who is who in a secured cluster: `digest:user:hash`, `x509:CN=…` or `sasl:user`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Acl {
    /// Who coordinators are.
    pub coordinator: String,
    /// Who workers are.
    pub worker: String,
    /// Who those are that submit.
    pub client: String,
    /// Who may change who may do what.
    pub admin: String,
}

impl Acl {
    /// All of them.
    ///
    /// # Errors
    /// Which are wrong, and why.
    pub fn identities(&self) -> Result<Identities, Vec<(acl::Role, BadIdentity)>> {
        Identities::parse(&self.coordinator, &self.worker, &self.client, &self.admin)
    }
}

/// Read by coordinators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Coordinator {
    /// What operators call it; empty for the host's name.
    pub name: String,
    /// Most assignments in one transaction.
    pub assign_batch: u32,
    /// For how many slots more than it has a worker may be given tasks, so that a slot does not wait for the master.
    pub lookahead: u32,
    /// How many tasks may wait before no more come in.
    pub max_pending: u32,
    /// How many tasks may wait that have a label, as `team=blue`, before no more of them come in.
    pub quota: BTreeMap<String, u32>,
    /// How fast tasks are assigned that have a label, as `10/s`.
    pub rate: BTreeMap<String, String>,
    /// How many workers a task may take down with it before it is dead.
    pub max_worker_losses: u32,
    /// How long a worker may say nothing of a task that should be over before the master ends it.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub silence_timeout: Duration,
    /// How long results are kept.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub status_retention: Duration,
    /// How many results are kept.
    pub status_max: u32,
    /// How many bytes of results are kept.
    pub status_bytes: ByteSize,
    /// How long the guards of submissions are kept.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub key_retention: Duration,
    /// How often everything is compared with ZooKeeper without a cause.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub reconcile_interval: Duration,
    /// How long the second standby leaves a vacancy to the first.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub standby_delay: Duration,
    /// Whether workers of the book's example get work, which they only print.
    pub classic_workers: ClassicWorkers,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self {
            name: String::new(),
            assign_batch: 128,
            lookahead: 1,
            max_pending: 1_000_000,
            quota: BTreeMap::new(),
            rate: BTreeMap::new(),
            max_worker_losses: 3,
            silence_timeout: Duration::from_secs(600),
            status_retention: Duration::from_secs(7 * 24 * 3600),
            status_max: 200_000,
            status_bytes: ByteSize::mib(256),
            key_retention: Duration::from_secs(7 * 24 * 3600),
            reconcile_interval: Duration::from_secs(60),
            standby_delay: Duration::from_millis(300),
            classic_workers: ClassicWorkers::Deny,
        }
    }
}

/// Read by workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// What operators call it; empty for the host's name.
    pub name: String,
    /// How many tasks run at once; 0 for one per core.
    pub slots: u32,
    /// What tasks may require of their worker.
    pub labels: BTreeMap<String, String>,
    /// How much there is of what tasks take while they run, beside slots.
    pub resources: BTreeMap<String, u32>,
    /// What runs shell lines, with `-c` and the line.
    pub shell: String,
    /// What a task may ask for.
    pub exec: Exec,
    /// The commands that tasks may ask for by name, if `exec` is `allowlist`: a program and its arguments, some in braces.
    pub allow: BTreeMap<String, String>,
    /// As whom commands run, if not as the worker: a user, or `uid:gid`.
    pub run_as: String,
    /// Whether commands may run as root.
    pub allow_root: bool,
    /// Whether commands are kept from gaining rights by set-user-id programs.
    pub no_new_privileges: bool,
    /// Which variables of the worker commands see.
    pub environment: Inherited,
    /// Where commands run that do not say so.
    pub work_dir: WorkDir,
    /// What one command may use: `memory`, `cpu`, `files`, `processes`, `file_size`; `task_processes` and `task_cpu` for all of it together.
    pub limits: BTreeMap<String, String>,
    /// Whether only tasks run that a trusted key has signed.
    pub require_signature: bool,
    /// The keys that sign tasks for this worker, as `bellwether key show` prints them.
    pub trusted_keys: Vec<String>,
    /// What happens to running tasks when the session may have ended unnoticed.
    pub on_doubt: OnDoubt,
    /// How long running tasks may take to end when the worker is asked to stop.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub drain_timeout: Duration,
    /// Time between SIGTERM and SIGKILL.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub kill_grace: Duration,
    /// Where whole outputs are kept; empty for the state directory.
    pub output_dir: String,
    /// How much of the end of each output goes into the result.
    pub output_tail: ByteSize,
    /// Where the file of an output is cut off.
    pub output_max: ByteSize,
    /// Where outputs are shipped to when an attempt has ended, as a URL; empty for nowhere.
    pub output_store: String,
    /// How long the files of outputs are kept.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub output_retention: Duration,
    /// How much of them is kept in all.
    pub output_total: ByteSize,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            name: String::new(),
            slots: 0,
            labels: BTreeMap::new(),
            resources: BTreeMap::new(),
            shell: "/bin/sh".into(),
            exec: Exec::Shell,
            allow: BTreeMap::new(),
            run_as: String::new(),
            allow_root: false,
            no_new_privileges: true,
            environment: Inherited::Inherit,
            work_dir: WorkDir::Shared,
            limits: BTreeMap::new(),
            require_signature: false,
            trusted_keys: Vec::new(),
            on_doubt: OnDoubt::Kill,
            drain_timeout: Duration::from_secs(60),
            kill_grace: Duration::from_secs(10),
            output_dir: String::new(),
            output_tail: ByteSize::kib(16),
            output_max: ByteSize::mib(64),
            output_store: String::new(),
            output_retention: Duration::from_secs(7 * 24 * 3600),
            output_total: ByteSize::mib(10 * 1024),
        }
    }
}

/// What holds for tasks that do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Task {
    /// How long an attempt may run; zero for as long as it likes.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub timeout: Duration,
    /// How long a task may wait for its turn; zero for as long as it takes.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub queue_timeout: Duration,
    /// How long a task that was assigned may wait for its worker to start it; zero for as long as it takes.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub start_timeout: Duration,
    /// How many attempts more are made after one that failed.
    pub retries: u32,
    /// The shortest time before another attempt.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub backoff: Duration,
    /// The longest time before another attempt.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub backoff_max: Duration,
    /// Exit codes after which another attempt is made; after any failure if there is none.
    pub retry_on: Vec<i32>,
    /// Longest payload that is accepted.
    pub payload_max: ByteSize,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            timeout: Duration::ZERO,
            queue_timeout: Duration::ZERO,
            start_timeout: Duration::from_secs(60),
            retries: 0,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            retry_on: Vec::new(),
            payload_max: ByteSize::kib(512),
        }
    }
}

/// Metrics, health and output pages of the services, and what the command shows to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// `address:port` to listen on; empty for the role's port on loopback.
    pub listen: String,
    /// `host:port` under which others reach it; empty for what it listens on.
    pub advertise: String,
    /// The file with the token that readers of outputs must show; empty for none.
    pub token_file: String,
    /// What stood in [`token_file`](Self::token_file) when the settings were loaded.
    #[serde(skip)]
    pub token: Option<Secret>,
}

/// What is logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important lines that are still written.
    pub level: LogLevel,
    /// What a line looks like.
    pub format: LogFormat,
}

/// Read by the command and the client library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// What the command prints.
    pub output: Format,
    /// Most submissions in flight at once.
    pub submit_window: u32,
    /// Most bytes of lines of one array (`submit --each-line`).
    pub lines_max: ByteSize,
    /// The file with the key that signs what is submitted; empty for none.
    pub sign_key: String,
    /// For how long a signature is good.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Spelled")]
    pub sign_for: Duration,
    /// What stood in [`sign_key`](Self::sign_key) when the settings were loaded.
    #[serde(skip)]
    pub key: Option<Secret>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            output: Format::Table,
            submit_window: 256,
            lines_max: ByteSize::mib(64),
            sign_key: String::new(),
            sign_for: Duration::from_secs(24 * 3600),
            key: None,
        }
    }
}
