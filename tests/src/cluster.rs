//! A whole cluster for one test: a root in ZooKeeper, and services with configuration files of their own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cli::{CliOutput, CliRun};
use crate::faults::{self, report::Audited};
use crate::history::{self, Promise};
use crate::place::{self, Dir};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::sampler::{self, Sampled, Sampler};
use crate::tree::Tree;
use crate::txnlog;
use crate::zookeeper::Zookeeper;

/// How long a command may take.
const CLI_LIMIT: Duration = Duration::from_secs(60);

/// What a cluster is made of. Made by [`Cluster::builder`].
#[derive(Debug)]
pub struct Builder {
    zookeeper: Option<Zookeeper>,
    coordinator_session: Duration,
    worker_session: Duration,
    news: Duration,
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    unaudited: Vec<Promise>,
    is_sampled: bool,
}

impl Builder {
    /// A variable in the environment of every service; none of Bellwether's own.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs on these servers instead of the shared one.
    #[must_use]
    pub fn zookeeper(mut self, zookeeper: Zookeeper) -> Self {
        self.zookeeper = Some(zookeeper);
        self
    }

    /// Session timeout of coordinators.
    #[must_use]
    pub fn coordinator_session(mut self, timeout: Duration) -> Self {
        self.coordinator_session = timeout;
        self
    }

    /// Session timeout of workers.
    #[must_use]
    pub fn worker_session(mut self, timeout: Duration) -> Self {
        self.worker_session = timeout;
        self
    }

    /// How long a coordinator whose office somebody deleted by hand may go on showing it. By default for a moment; for half of its
    /// session more where it may be cut off just then, so that it cannot hear of it.
    #[must_use]
    pub fn news_within(mut self, news: Duration) -> Self {
        self.news = news;
        self
    }

    /// A configuration key of every service, with its value as TOML: `("worker.on_doubt", "\"keep\"")`.
    #[must_use]
    pub fn setting(mut self, key: &str, toml: &str) -> Self {
        self.settings.push((key.to_owned(), toml.to_owned()));
        self
    }

    /// This test breaks a promise itself, say by writing as somebody else: it is not checked at the end.
    #[must_use]
    pub fn unaudited(mut self, promises: &[Promise]) -> Self {
        self.unaudited.extend(promises);
        self
    }

    /// Its coordinators are not scraped all the time: for what measures how little they do.
    #[must_use]
    pub fn unsampled(mut self) -> Self {
        self.is_sampled = false;
        self
    }

    /// Services log and look ahead as they do where nobody says otherwise.
    #[must_use]
    pub fn as_installed(mut self) -> Self {
        self.settings.retain(|(key, _)| key != "coordinator.lookahead");
        self.setting("log.level", "\"info\"")
    }

    /// The cluster, without any service yet.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Cluster {
        let zookeeper = self.zookeeper.unwrap_or_else(Zookeeper::shared);
        let root = zookeeper.new_root();
        Cluster {
            tree: OnceLock::new(),
            sampler: OnceLock::new(),
            dir: Arc::new(Dir::new(&place::test_name())),
            coordinator_session: self.coordinator_session,
            worker_session: self.worker_session,
            news: self.news,
            settings: self.settings,
            variables: self.variables,
            unaudited: self.unaudited,
            is_sampled: self.is_sampled,
            root,
            zookeeper,
        }
    }
}

/// A cluster. When it goes, and the test did not fail before, ZooKeeper's log is searched for broken promises: see
/// [`Cluster::assert_promises`]. Its coordinators were scraped all the time: no two of them may have shown leadership at once.
#[derive(Debug)]
pub struct Cluster {
    tree: OnceLock<Tree>,
    sampler: OnceLock<Sampler>,
    dir: Arc<Dir>,
    coordinator_session: Duration,
    worker_session: Duration,
    news: Duration,
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    unaudited: Vec<Promise>,
    is_sampled: bool,
    root: String,
    zookeeper: Zookeeper,
}

impl Cluster {
    /// The defaults: the shared ZooKeeper, sessions of 4 s for coordinators and of 6 s for workers.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            zookeeper: None,
            coordinator_session: Duration::from_secs(4),
            worker_session: Duration::from_secs(6),
            news: sampler::NEWS,
            // What waits for a slot waits in the tree, where tests look for it; those of lookahead say so.
            settings: vec![("coordinator.lookahead".to_owned(), "0".to_owned())],
            variables: Vec::new(),
            unaudited: Vec::new(),
            is_sampled: true,
        }
    }

    /// A cluster with the defaults.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::builder().start()
    }

    /// What the metrics of its coordinators showed so far.
    #[must_use]
    pub fn sampled(&self) -> Sampled {
        self.sampler.get().map(Sampler::seen).unwrap_or_default()
    }

    /// Its ZooKeeper.
    #[must_use]
    pub fn zookeeper(&self) -> &Zookeeper {
        &self.zookeeper
    }

    /// Its root in ZooKeeper.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// What its services and clients connect to: servers and root.
    #[must_use]
    pub fn connect_string(&self) -> String {
        format!("{}{}", self.zookeeper.connect_string(), self.root)
    }

    /// A proxy in front of its ZooKeeper; paths in its rules are below the cluster's root.
    #[must_use]
    #[track_caller]
    pub fn proxy(&self) -> Proxy {
        Proxy::below(&self.zookeeper, &self.root)
    }

    /// `zookeeper.connect` of a service behind a proxy, as TOML: `("zookeeper.connect", &cluster.through(&proxy))`.
    #[must_use]
    pub fn through(&self, proxy: &Proxy) -> String {
        quoted(&format!("{}{}", proxy.address(), self.root))
    }

    /// Its directory: configuration, logs, output; a test may put its own files there.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The test's own session, below the cluster's root.
    #[must_use]
    #[track_caller]
    pub fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| self.zookeeper.tree(&self.root))
    }

    /// Starts a coordinator. It may be started again under the same name.
    #[must_use]
    #[track_caller]
    pub fn coordinator(&self, name: &str) -> Process {
        self.coordinator_with(name, &[])
    }

    /// Starts a coordinator with configuration of its own, as in [`Builder::setting`].
    #[must_use]
    #[track_caller]
    pub fn coordinator_with(&self, name: &str, settings: &[(&str, &str)]) -> Process {
        self.coordinator_inside(&[], name, settings)
    }

    /// Starts a coordinator behind a command that becomes it: [`Namespace::wrapper`](crate::netns::Namespace::wrapper).
    #[must_use]
    #[track_caller]
    pub fn coordinator_inside(&self, wrapper: &[String], name: &str, settings: &[(&str, &str)]) -> Process {
        let own = [("coordinator.name", quoted(name))];
        let coordinator = self.service("bellwether-coordinator", wrapper, name, self.coordinator_session, &own, settings);
        if self.is_sampled {
            self.sampler.get_or_init(|| Sampler::start(self.news)).watch(name, coordinator.pid(), coordinator.log_path());
        }
        coordinator
    }

    /// Starts a worker. It may be started again under the same name.
    #[must_use]
    #[track_caller]
    pub fn worker(&self, name: &str, slots: usize) -> Process {
        self.worker_with(name, slots, &[])
    }

    /// Starts a worker with configuration of its own, as in [`Builder::setting`].
    #[must_use]
    #[track_caller]
    pub fn worker_with(&self, name: &str, slots: usize, settings: &[(&str, &str)]) -> Process {
        self.worker_inside(&[], name, slots, settings)
    }

    /// Starts a worker behind a command that becomes it: [`Namespace::wrapper`](crate::netns::Namespace::wrapper).
    #[must_use]
    #[track_caller]
    pub fn worker_inside(&self, wrapper: &[String], name: &str, slots: usize, settings: &[(&str, &str)]) -> Process {
        let output = self.dir().join(format!("{name}-output")).display().to_string();
        let own = [
            ("worker.name", quoted(name)),
            ("worker.slots", slots.to_string()),
            ("worker.output_dir", quoted(&output)),
            ("worker.allow_root", "true".to_owned()),
        ];
        self.service("bellwether-worker", wrapper, name, self.worker_session, &own, settings)
    }

    /// Starts `bellwether zk-exporter` for the cluster's ZooKeeper.
    #[must_use]
    #[track_caller]
    pub fn exporter(&self, settings: &[(&str, &str)]) -> Process {
        self.service("bellwether zk-exporter", &[], "exporter", self.coordinator_session, &[], settings)
    }

    /// `binary`: its name, and the subcommand if it needs one.
    #[track_caller]
    fn service(
        &self,
        binary: &str,
        wrapper: &[String],
        name: &str,
        session: Duration,
        own: &[(&str, String)],
        last: &[(&str, &str)],
    ) -> Process {
        let file = format!("{name}-{}", place::serial());
        let mut settings = vec![
            ("zookeeper.connect", quoted(&self.connect_string())),
            ("zookeeper.session_timeout", quoted(&format!("{}ms", session.as_millis()))),
            ("http.listen", quoted("127.0.0.1:0")),
            ("log.level", quoted("debug")),
        ];
        settings.extend(own.iter().map(|(key, value)| (*key, value.clone())));
        settings.extend(self.settings.iter().map(|(key, value)| (key.as_str(), value.clone())));
        settings.extend(last.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let config = self.dir().join(format!("{file}.toml"));
        std::fs::write(&config, toml(&settings)).unwrap_or_else(|error| panic!("cannot write {}: {error}", config.display()));
        let (binary, subcommand) = binary.split_once(' ').unwrap_or((binary, ""));
        let mut words: Vec<std::ffi::OsString> = wrapper.iter().map(Into::into).collect();
        words.push(place::binary(binary).into());
        words.extend((!subcommand.is_empty()).then(|| subcommand.into()));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("--config").arg(&config).current_dir(self.dir());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Process::start(name, command, self.dir().join(format!("{file}.log")), self.dir.clone())
    }

    /// Starts a program of `examples/`, which finds the cluster in its environment.
    #[must_use]
    #[track_caller]
    pub fn example(&self, name: &str, args: &[&str]) -> Process {
        let mut command = Command::new(place::example(name));
        command.args(args).current_dir(self.dir());
        Process::start_at(
            name,
            command,
            &self.connect_string(),
            self.dir().join(format!("{name}-{}.log", place::serial())),
            self.dir.clone(),
        )
    }

    /// Runs `bellwether` with `-z` for this cluster and these arguments to its end.
    ///
    /// # Panics
    /// It takes longer than a minute.
    #[track_caller]
    pub fn cli<S: AsRef<OsStr>>(&self, args: &[S]) -> CliOutput {
        self.cli_start(args).finish(CLI_LIMIT)
    }

    /// The same with something to read on stdin.
    ///
    /// # Panics
    /// It takes longer than a minute.
    #[track_caller]
    pub fn cli_with_stdin<S: AsRef<OsStr>>(&self, args: &[S], stdin: &[u8]) -> CliOutput {
        CliRun::start(&self.cli_args(args), &[], Some(stdin), self.dir.clone()).finish(CLI_LIMIT)
    }

    /// Starts `bellwether` in the background.
    #[must_use]
    #[track_caller]
    pub fn cli_start<S: AsRef<OsStr>>(&self, args: &[S]) -> CliRun {
        CliRun::start(&self.cli_args(args), &[], None, self.dir.clone())
    }

    /// Runs `bellwether` with these variables in its environment to its end.
    ///
    /// # Panics
    /// It takes longer than a minute.
    #[track_caller]
    pub fn cli_under<S: AsRef<OsStr>>(&self, variables: &[(&str, &str)], args: &[S]) -> CliOutput {
        CliRun::start(&self.cli_args(args), variables, None, self.dir.clone()).finish(CLI_LIMIT)
    }

    /// Starts `bellwether` in the background, behind a proxy.
    #[must_use]
    #[track_caller]
    pub fn cli_start_through<S: AsRef<OsStr>>(&self, proxy: &Proxy, args: &[S]) -> CliRun {
        let mut all = vec!["-z".into(), format!("{}{}", proxy.address(), self.root).into()];
        all.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        CliRun::start::<std::ffi::OsString>(&all, &[], None, self.dir.clone())
    }

    fn cli_args<S: AsRef<OsStr>>(&self, args: &[S]) -> Vec<std::ffi::OsString> {
        let mut all = vec!["-z".into(), self.connect_string().into()];
        all.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        all
    }

    /// What ZooKeeper's log says about this cluster so far.
    ///
    /// # Panics
    /// The log cannot be read.
    #[must_use]
    #[track_caller]
    pub fn history(&self) -> history::History {
        let records = txnlog::read_dirs(&self.zookeeper.data_dirs()).expect("readable transaction logs");
        history::History::replay(&records, &self.root)
    }

    /// No promise was broken so far, as far as ZooKeeper's own log can tell: what `bellwether audit` finds. Also done when the
    /// cluster goes.
    ///
    /// # Panics
    /// One was; the text says which, by which transaction.
    #[track_caller]
    pub fn assert_promises(&self) {
        history::assert_promises_except(&self.zookeeper.data_dirs(), &self.root, &self.unaudited);
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let sampled = self.sampler.take().map(Sampler::finish).unwrap_or_default();
        assert_eq!(sampled.two_masters, Vec::<String>::new(), "they showed leadership at once");
        faults::sampled(sampled);
        let Some((records, broken)) = history::audit_except(&self.zookeeper.data_dirs(), &self.root, &self.unaudited) else { return };
        let excepted = self.unaudited.iter().map(|promise| format!("{promise:?}")).collect();
        faults::audited(Audited { clean: broken.is_empty(), excepted, records });
        assert!(broken.is_empty(), "ZooKeeper's log shows broken promises:\n{}", broken.join("\n"));
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Settings as a file: later ones win.
fn toml(settings: &[(&str, String)]) -> String {
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (key, value) in settings {
        let (section, key) = key.split_once('.').unwrap_or(("", key));
        sections.entry(section).or_default().insert(key, value);
    }
    let mut text = String::new();
    for (section, values) in sections {
        if !section.is_empty() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "[{section}]");
        }
        for (key, value) in values {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_settings_win_and_top_level_keys_come_first() {
        let settings = [
            ("worker.name", quoted("w \"1\"")),
            ("cluster", quoted("test")),
            ("worker.slots", "1".to_owned()),
            ("worker.slots", "2".to_owned()),
        ];
        assert_eq!(toml(&settings), "cluster = \"test\"\n[worker]\nname = \"w \\\"1\\\"\"\nslots = 2\n");
    }
}
