//! A worker inside somebody's program: what it is told, and its life.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::thread;
use std::time::Duration;

use bellwether_common::boot::{self, Asker, EmbedError, Shutdown};
use bellwether_common::config::{OnDoubt, Role, Settings, Sources};
use bellwether_common::exit::Exit;
use bellwether_core::protocol::payload::check_kind;
use bellwether_core::typed::Task;
use futures::future::{Either, select};
use tokio::sync::oneshot;
use tower::{Layer, Service};
use tracing::info;

use crate::handlers::{BoxError, Handlers, TaskContext, TaskError, TaskRequest, TaskService, wrap};
use crate::order::NOOP;
use crate::supervisor::{Ended, Equipment, run_equipped};
use crate::{crew, guardian};

/// The service's port is the service's.
const ANY_PORT: &str = "127.0.0.1:0";

/// A worker to be run by this program, beside whatever else it does. [`Worker::builder`] makes one.
///
/// ```no_run
/// use bellwether_worker::{Task, TaskContext, TaskError, Worker};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize {
///     path: String,
///     width: u32,
/// }
///
/// impl Task for Resize {
///     const KIND: &'static str = "resize";
///     type Output = u64;
/// }
///
/// async fn resize(ctx: TaskContext, task: Resize) -> Result<u64, TaskError> {
///     ctx.print(format!("attempt {} at {}", ctx.attempt(), task.path));
///     let image = tokio::fs::read(&task.path).await?; // another attempt may find it
///     Ok(image.len() as u64)
/// }
///
/// # async fn example() -> Result<(), bellwether_worker::WorkerError> {
/// let stop = async { drop(tokio::signal::ctrl_c().await) };
/// Worker::builder("zk1:2181,zk2:2181/prod").slots(4).label("zone", "eu-1").handler(resize).run_until(stop).await
/// # }
/// ```
///
/// It registers with the cluster under a name, as the program `bellwether-worker` does, and is given the tasks that it has handlers for.
/// It runs no commands unless [`WorkerBuilder::shell`] says so. Several in one process need different names.
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    equipment: Equipment,
    needs_guardian: bool,
}

/// What a worker is told before it runs. Whatever is not said is as `bellwether-worker` has it by default.
pub struct WorkerBuilder {
    settings: Settings,
    handlers: Handlers,
    layers: Vec<Wrap>,
    commands: bool,
    output_dir: Option<PathBuf>,
    wrong: Vec<String>,
}

/// A layer whose types are forgotten.
type Wrap = Box<dyn FnOnce(TaskService) -> TaskService + Send>;

/// Why a worker did not run, or ended before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// What it was told makes no sense, or does not fit the cluster or this machine. Mend it: the text says what.
    #[error("the worker cannot run: {0}")]
    Settings(String),
    /// ZooKeeper could not be reached for as long as [`WorkerBuilder::give_up_after`] says. Try again later.
    #[error("the worker had no session with zookeeper for too long: {0}")]
    Unreachable(String),
    /// ZooKeeper denies a right. Look at the ACLs and the credentials.
    #[error("zookeeper denies the worker a right: {0}")]
    Denied(String),
    /// Something that should not occur. Its tasks go to other workers.
    #[error("the worker ended: {0}")]
    Broken(String),
}

impl Worker {
    /// A worker of the cluster at `connect`, `host:port,host:port/root`.
    #[must_use]
    pub fn builder(connect: impl Into<String>) -> WorkerBuilder {
        let mut settings = Settings::default();
        settings.zookeeper.connect = connect.into();
        settings.http.listen = ANY_PORT.to_owned();
        let (handlers, layers, wrong) = (Handlers::default(), Vec::new(), Vec::new());
        WorkerBuilder { settings, handlers, layers, commands: false, output_dir: None, wrong }
    }

    /// A worker as files for `bellwether-worker` say, later ones over earlier ones, and the environment (`BELLWETHER__SECTION__KEY`) over
    /// both: so it finds a cluster that is secured or reached by TLS, and what it lets commands do is decided by who operates it. The
    /// builder's methods change what they name. It looks at the files once: there is no reload.
    ///
    /// # Errors
    /// [`WorkerError::Settings`], with all that is wrong.
    pub fn configured<P: Into<PathBuf>>(files: impl IntoIterator<Item = P>) -> Result<WorkerBuilder, WorkerError> {
        let sources = Sources { files: files.into_iter().map(Into::into).collect(), ..Sources::default() };
        let mut settings = Settings::load(&sources).map_err(|error| WorkerError::Settings(error.to_string()))?;
        if settings.http.listen.is_empty() {
            settings.http.listen = ANY_PORT.to_owned();
        }
        let output_dir = Some(&settings.worker.output_dir).filter(|directory| !directory.is_empty()).map(PathBuf::from);
        let (handlers, layers, wrong) = (Handlers::default(), Vec::new(), Vec::new());
        Ok(WorkerBuilder { settings, handlers, layers, commands: false, output_dir, wrong })
    }

    /// Runs until `shutdown` resolves, and then for as long as its tasks need, at most the drain timeout: it takes nothing more, gives
    /// back what it has not started, waits for what runs, and closes its session, so that nobody has to wait for that to expire.
    ///
    /// May be awaited on any executor: the worker lives on threads that are not the program's; those that run handlers alone share a few.
    /// When the future is dropped, the worker is asked to stop, and nobody waits for it.
    ///
    /// # Errors
    /// [`WorkerError`]: why it ended of its own accord, or never began.
    ///
    /// # Process
    /// There are two cases in which a worker ends the whole process, with code 70, because whatever else it did could break a promise:
    /// one of its own threads panics (a panic in a handler is a failed attempt and nothing more); or its session is lost or in doubt, and
    /// a handler does not come to an `.await` for a quarter of the session timeout, so that it cannot be stopped before somebody else may
    /// be given its task.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
        if self.needs_guardian && !guardian::may_be_asked() {
            let remedy = "call bellwether_worker::guardian::run_if_asked() as the first thing in main";
            return Err(WorkerError::Settings(format!("shell() needs a guardian, which is this program itself: {remedy}")));
        }
        let (asker, asked) = Shutdown::channel();
        let asker = AskWhenDropped(asker);
        let (tell, ended) = oneshot::channel();
        let live = move || drop(tell.send(live(self, asked)));
        let thread = thread::Builder::new().name("bellwether-worker".to_owned()).spawn(live);
        thread.map_err(|error| WorkerError::Broken(format!("no thread for it: {error}")))?;
        let told = match select(pin!(shutdown), ended).await {
            Either::Right((told, _)) => told,
            Either::Left(((), ended)) => {
                drop(asker);
                ended.await
            }
        };
        told.unwrap_or_else(|_| Err(WorkerError::Broken("its thread is gone".to_owned())))
    }
}

/// Nobody can wait for it any more: then it shall not go on.
struct AskWhenDropped(Asker);

impl Drop for AskWhenDropped {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// The whole life of a worker, on the thread that its actors share.
fn live(worker: Worker, asked: Shutdown) -> Result<(), WorkerError> {
    let Worker { settings, equipment, .. } = worker;
    let listen = settings.http_listen(Role::Worker);
    let (context, below) = boot::embed(settings, Role::Worker, listen, asked).map_err(|error| match error {
        EmbedError::Config(_) | EmbedError::Http(_) => WorkerError::Settings(error.to_string()),
        EmbedError::Runtime(_) => WorkerError::Broken(error.to_string()),
    })?;
    let name = context.settings.worker_name();
    info!(worker = name, http = %context.http_address, version = env!("CARGO_PKG_VERSION"), "listening on {}", context.http_address);
    let ended = match equipment.commands {
        // What starts and ends with commands takes its time, and nobody else's.
        true => Ok(Some(actix::System::new().block_on(run_equipped(context, equipment)))),
        false => crew::run(move || run_equipped(context, equipment)),
    };
    below.stop();
    let ended = ended.map_err(|error| WorkerError::Broken(format!("no threads for it: {error}")))?;
    let Ended { exit, why } = ended.ok_or_else(|| WorkerError::Broken("it panicked".to_owned()))?;
    match exit {
        Exit::Asked => Ok(()),
        Exit::Unreachable => Err(WorkerError::Unreachable(why)),
        Exit::Denied => Err(WorkerError::Denied(why)),
        Exit::Config | Exit::Usage => Err(WorkerError::Settings(why)),
        Exit::Panic => Err(WorkerError::Broken(why)),
    }
}

impl WorkerBuilder {
    /// What it is called; the host's name unless told otherwise. It says where tasks run, and operators drain it by this name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.worker.name = name.into();
        self
    }

    /// How many tasks it runs at once; one for each core unless told otherwise.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.settings.worker.slots = slots;
        self
    }

    /// A label that tasks can require.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.worker.labels.insert(name.into(), value.into());
        self
    }

    /// How much it has of something that tasks take while they run, beside slots.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, amount: u32) -> Self {
        self.settings.worker.resources.insert(name.into(), amount);
        self
    }

    /// Runs commands, too, as `bellwether-worker` does. The program's `main` must begin with
    /// [`guardian::run_if_asked`](crate::guardian::run_if_asked): a second process of this very program kills the commands when this one
    /// is killed. Sets the process's umask to 022, and makes it the parent of what its commands leave behind.
    #[must_use]
    pub fn shell(mut self) -> Self {
        self.commands = true;
        self
    }

    /// Lets commands run as root, if this program does, although ZooKeeper is on another machine: whoever can submit is root here then.
    #[must_use]
    pub fn allow_root(mut self) -> Self {
        self.settings.worker.allow_root = true;
        self
    }

    /// Runs only what one of these keys has signed: commands and typed tasks alike, whoever may write to ZooKeeper. A key is a line of
    /// `bellwether key show`. What was started is remembered in a file in `remembered_in`, which this user may write, so that no attempt
    /// is started twice, also after a restart.
    #[must_use]
    pub fn require_signature<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>, remembered_in: impl Into<PathBuf>) -> Self {
        self.settings.worker.require_signature = true;
        self.settings.worker.trusted_keys = keys.into_iter().map(Into::into).collect();
        self.settings.worker.output_dir = remembered_in.into().display().to_string();
        self
    }

    /// Handles tasks of the kind `T::KIND` with a function. Each call has a thread of its own, so that it may also compute, or block;
    /// but only at an `.await` can it be stopped.
    ///
    /// `?` in it is a failed attempt, which is made again as often as the task says; [`TaskError::Fatal`] is not made again; a panic is a
    /// failed attempt. A task may be run more than once: after a crash, nobody knows how far it was.
    #[must_use]
    pub fn handler<T, F, Fut>(mut self, handler: F) -> Self
    where
        T: Task,
        F: Fn(TaskContext, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Output, TaskError>> + Send + 'static,
    {
        self.wrong.extend(check_kind(T::KIND).err().map(|why| why.to_string()));
        if T::KIND == NOOP {
            self.wrong.push(format!("kind: {NOOP} is one that every worker knows"));
        }
        if let Err(kind) = self.handlers.add(handler) {
            self.wrong.push(format!("kind: there are two handlers of {kind}"));
        }
        self
    }

    /// Puts a [`tower::Layer`] around all handlers; the first one is the outermost, as with `tower::ServiceBuilder`. Some are ready in
    /// [`layers`](crate::layers). An error of a layer's own is a failed attempt, as with `?`.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<TaskService> + Send + 'static,
        L::Service: Service<TaskRequest, Response = serde_json::Value> + Clone + Send + Sync + 'static,
        <L::Service as Service<TaskRequest>>::Error: Into<BoxError>,
        <L::Service as Service<TaskRequest>>::Future: Send + 'static,
    {
        self.layers.push(Box::new(move |inner| wrap(&layer, inner)));
        self
    }

    /// How long running tasks may take to end after it was asked to stop; a minute unless told otherwise.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.worker.drain_timeout = timeout;
        self
    }

    /// How long a task that is cancelled, or took too long, may take to end; ten seconds unless told otherwise.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.settings.worker.kill_grace = grace;
        self
    }

    /// How long ZooKeeper waits for a sign of life before it gives the tasks to others; ten seconds unless told otherwise.
    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.zookeeper.session_timeout = timeout;
        self
    }

    /// How long it goes on without a session before it ends; five minutes unless told otherwise.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.settings.zookeeper.give_up_after = time;
        self
    }

    /// Lets tasks run on while nobody knows whether the session lives, at the price that somebody else may run them at the same time.
    /// Only one of both results counts.
    #[must_use]
    pub fn keep_on_doubt(mut self) -> Self {
        self.settings.worker.on_doubt = OnDoubt::Keep;
        self
    }

    /// Where its pages are served (metrics, health, outputs, progress), `address:port`; on a free port of loopback unless told otherwise.
    #[must_use]
    pub fn http(mut self, listen: impl Into<String>) -> Self {
        self.settings.http.listen = listen.into();
        self
    }

    /// Keeps whole outputs here. Otherwise only their ends are kept, in the results.
    #[must_use]
    pub fn output_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.output_dir = Some(directory.into());
        self
    }

    /// The worker, if what was said can be.
    ///
    /// # Errors
    /// [`WorkerError::Settings`]
    pub fn build(self) -> Result<Worker, WorkerError> {
        let Self { settings, handlers, layers, commands, output_dir, mut wrong } = self;
        let kinds = handlers.kinds();
        if kinds.is_empty() && !commands {
            wrong.push("it has no handler and runs no commands, so that there is nothing for it to do".to_owned());
        }
        wrong.extend(settings.validate().err().map(|error| error.to_string()));
        if !wrong.is_empty() {
            return Err(WorkerError::Settings(wrong.join("; ")));
        }
        // The last layer is the innermost.
        let service = layers.into_iter().rev().fold(handlers.into_service(), |service, wrap| wrap(service));
        let service = (!kinds.is_empty()).then_some(service);
        let equipment = Equipment { commands, kinds, service, output_dir, configured_output: false };
        Ok(Worker { settings, equipment, needs_guardian: commands })
    }

    /// Builds it and [runs](Worker::run_until) it.
    ///
    /// # Errors
    /// [`WorkerError`]
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
        self.build()?.run_until(shutdown).await
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: &BTreeMap<String, String> = &self.settings.worker.labels;
        f.debug_struct("WorkerBuilder")
            .field("connect", &self.settings.zookeeper.connect)
            .field("handlers", &self.handlers)
            .field("layers", &self.layers.len())
            .field("labels", labels)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Odd;

    impl Task for Odd {
        const KIND: &'static str = "an odd kind";
        type Output = ();
    }

    #[derive(Serialize, Deserialize)]
    struct Fine;

    impl Task for Fine {
        const KIND: &'static str = "fine";
        type Output = ();
    }

    async fn odd(_: TaskContext, _: Odd) -> Result<(), TaskError> {
        Ok(())
    }

    async fn fine(_: TaskContext, _: Fine) -> Result<(), TaskError> {
        Ok(())
    }

    #[track_caller]
    fn refused(builder: WorkerBuilder) -> String {
        builder.build().expect_err("it cannot be").to_string()
    }

    #[test]
    fn what_cannot_be_is_told_before_anything_begins() {
        assert!(refused(Worker::builder("zk:1")).contains("nothing for it to do"));
        assert!(refused(Worker::builder("zk:1").handler(odd)).contains("\"an odd kind\" is no name of a kind"));
        assert!(refused(Worker::builder("zk:1").handler(fine).handler(fine)).contains("two handlers of fine"));
        assert!(refused(Worker::builder("zk:1").handler(fine).label("Zone", "eu")).contains("label"));
        assert!(Worker::builder("zk:1").handler(fine).label("zone", "eu").build().is_ok());
    }

    #[test]
    fn a_call_goes_through_the_layers_in_the_order_in_which_they_were_named() {
        let passed = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let layer = |name: &'static str| {
            let passed = std::sync::Arc::clone(&passed);
            tower::layer::layer_fn(move |inner: TaskService| {
                let passed = std::sync::Arc::clone(&passed);
                tower::ServiceExt::<TaskRequest>::map_request(inner, move |request: TaskRequest| {
                    passed.lock().expect("unpoisoned").push(name);
                    request
                })
            })
        };
        let builder = Worker::builder("zk:1").layer(layer("first")).layer(layer("second")).handler(fine).layer(layer("third"));
        let service = builder.build().expect("it makes sense").equipment.service.expect("it has a handler");
        let request = crate::handlers::tests::request("fine", serde_json::Value::Null);
        let called = futures::executor::block_on(crate::handlers::call(service, request));
        assert!(called.is_ok(), "{called:?}");
        assert_eq!(*passed.lock().expect("unpoisoned"), ["first", "second", "third"]);
    }

    #[test]
    fn an_embedded_worker_is_told_by_files_what_a_service_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("worker.toml");
        std::fs::write(&file, "[zookeeper]\nconnect = \"zk:1/prod\"\n[worker]\nname = \"w\"\nslots = 3\n").expect("written");
        let worker = Worker::configured([&file]).expect("read").slots(5).handler(fine).build().expect("it makes sense");
        let settings = &worker.settings;
        assert_eq!((settings.zookeeper.connect.as_str(), settings.worker_name().as_str(), settings.worker.slots), ("zk:1/prod", "w", 5));
        assert_eq!((settings.http.listen.as_str(), worker.equipment.output_dir), ("127.0.0.1:0", None), "not the service's");
        std::fs::write(&file, "[worker]\nslot = 3\n").expect("written");
        assert!(Worker::configured([&file]).expect_err("a wrong key").to_string().contains("worker.slot"));
    }

    #[test]
    fn signatures_are_asked_for_with_keys_that_are_keys() {
        let builder = |keys: &[&str]| Worker::builder("zk:1").handler(fine).require_signature(keys.iter().copied(), "/tmp");
        let key = bellwether_common::signing::SecretKey::generate("me").expect("a key").public().to_string();
        assert!(builder(&[&key]).build().is_ok());
        for keys in [&[][..], &["ed25519 12"]] {
            assert!(refused(builder(keys)).contains("worker.trusted_keys"), "{keys:?}");
        }
    }

    #[test]
    fn commands_need_a_main_that_can_be_a_guardian() {
        let worker = Worker::builder("zk:1").shell().build().expect("it makes sense");
        let refused = futures::executor::block_on(worker.run_until(std::future::pending())).expect_err("no guardian");
        assert!(refused.to_string().contains("run_if_asked"), "{refused}");
    }
}
