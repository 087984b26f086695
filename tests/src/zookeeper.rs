//! ZooKeeper for tests: one server for all tests of a binary, each with a root of its own, or servers of a test's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bellwether_common::local_zookeeper::{LocalZookeeper, Options};

use crate::detour::Detour;
use crate::mount::Mount;
use crate::place::{self, Dir};
use crate::tree::Tree;

/// Running servers.
///
/// [`shared`](Self::shared) ones belong to the test binary and must not be harmed. [`own`](Self::own) ones belong to a test that
/// does: those tests run one after another, since each needs the machine to itself for its timing to mean something. A test must
/// not hold two of its own.
#[derive(Debug)]
pub struct Zookeeper {
    servers: Arc<Mutex<LocalZookeeper>>,
    connect: String,
    own: Option<Own>,
}

/// In the order in which they are let go: disk, directory, then turn.
#[derive(Debug)]
struct Own {
    disk: Option<Mount>,
    /// By the pair of servers: from, to.
    detours: BTreeMap<(usize, usize), Detour>,
    /// What servers had that were wiped: see [`Zookeeper::wipe_but_keep_log`].
    kept: Mutex<Vec<PathBuf>>,
    _dir: Dir,
    _turn: MutexGuard<'static, ()>,
}

impl Own {
    fn new(disk: Option<Mount>, dir: Dir, turn: MutexGuard<'static, ()>) -> Self {
        Self { disk, detours: BTreeMap::new(), kept: Mutex::default(), _dir: dir, _turn: turn }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Zookeeper {
    /// The server that all tests of this binary share. It is started by the first and ends with the process.
    #[must_use]
    pub fn shared() -> Self {
        static SHARED: OnceLock<Arc<Mutex<LocalZookeeper>>> = OnceLock::new();
        let servers = SHARED.get_or_init(|| {
            // Its directory is never dropped: the next run clears it away.
            let dir = std::mem::ManuallyDrop::new(Dir::new("zookeeper"));
            Arc::new(Mutex::new(start(dir.path(), 1)))
        });
        Self::with(servers.clone(), None)
    }

    /// One server of this test's own.
    #[must_use]
    pub fn own() -> Self {
        Self::ensemble(1)
    }

    /// One server of this test's own that is configured otherwise; what it needs may be written into the directory.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn configured(change: impl FnOnce(&Path, &mut Options)) -> Self {
        let (turn, dir) = Self::turn();
        let mut options = Options::new(dir.path());
        options.force_sync = false;
        change(dir.path(), &mut options);
        let server = LocalZookeeper::start(&options).unwrap_or_else(|error| panic!("{error}"));
        Self::with(Arc::new(Mutex::new(server)), Some(Own::new(None, dir, turn)))
    }

    /// An ensemble of this test's own.
    #[must_use]
    pub fn ensemble(count: usize) -> Self {
        let (turn, dir) = Self::turn();
        let servers = start(dir.path(), count);
        Self::with(Arc::new(Mutex::new(servers)), Some(Own::new(None, dir, turn)))
    }

    /// One server of this test's own whose data lie on a disk of `mib` MiB.
    ///
    /// # Errors
    /// Why this machine cannot do it.
    pub fn on_small_disk(mib: u32) -> Result<Self, String> {
        let (turn, dir) = Self::turn();
        let disk = Mount::tmpfs(&dir.path().join("zookeeper-1"), mib)?;
        let servers = start(dir.path(), 1);
        Ok(Self::with(Arc::new(Mutex::new(servers)), Some(Own::new(Some(disk), dir, turn))))
    }

    /// An ensemble of this test's own whose followers reach their leader by detours: see [`cut_off`](Self::cut_off).
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn with_detours(count: usize) -> Self {
        let mut zookeeper = Self::ensemble(count);
        (0..count).for_each(|i| zookeeper.stop(i));
        let mut detours = BTreeMap::new();
        for from in 0..count {
            // Written at the first start alone.
            let config = zookeeper.data_dir(from).with_extension("cfg");
            let text = std::fs::read_to_string(&config).expect("its configuration");
            let lines = text.lines().map(|line| by_detour(line, from, &mut detours)).collect::<Vec<_>>();
            std::fs::write(&config, lines.join("\n") + "\n").expect("written");
        }
        zookeeper.own.iter_mut().for_each(|own| own.detours.append(&mut detours));
        zookeeper.start_all();
        zookeeper
    }

    /// Server `i` can follow nobody any more, and is not told. It goes on answering its clients for `syncLimit`.
    pub fn cut_off(&self, i: usize) {
        self.detours_of(i).for_each(Detour::cut);
    }

    /// It can again.
    pub fn heal(&self, i: usize) {
        self.detours_of(i).for_each(Detour::heal);
    }

    fn detours_of(&self, i: usize) -> impl Iterator<Item = &Detour> {
        self.own.iter().flat_map(|own| &own.detours).filter(move |((from, _), _)| *from == i).map(|(_, detour)| detour)
    }

    /// What clients of server `i` alone connect to.
    #[must_use]
    pub fn address(&self, i: usize) -> String {
        self.servers().address(i)
    }

    fn turn() -> (MutexGuard<'static, ()>, Dir) {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        (turn, Dir::new(&format!("{}-zookeeper", place::test_name())))
    }

    /// The small disk of [`on_small_disk`](Self::on_small_disk).
    #[must_use]
    pub fn disk(&self) -> Option<&Mount> {
        self.own.as_ref().and_then(|own| own.disk.as_ref())
    }

    fn with(servers: Arc<Mutex<LocalZookeeper>>, own: Option<Own>) -> Self {
        let connect = servers.lock().unwrap_or_else(PoisonError::into_inner).connect_string();
        Self { servers, connect, own }
    }

    fn servers(&self) -> MutexGuard<'_, LocalZookeeper> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers, to be harmed.
    ///
    /// # Panics
    /// They are shared.
    #[track_caller]
    fn harm(&self) -> MutexGuard<'_, LocalZookeeper> {
        assert!(self.own.is_some(), "a test that harms ZooKeeper needs its own");
        self.servers()
    }

    /// What clients connect to, without a root.
    #[must_use]
    pub fn connect_string(&self) -> &str {
        &self.connect
    }

    /// A root that no other test uses, `/t-<test>-<n>`. It is not created.
    #[must_use]
    pub fn new_root(&self) -> String {
        format!("/t-{}-{}", place::test_name(), place::serial())
    }

    /// A session of the test's own, below `root`, which is created if it is missing.
    #[must_use]
    #[track_caller]
    pub fn tree(&self, root: &str) -> Tree {
        Tree::connect(&self.connect, root)
    }

    /// Where server `i` keeps its transaction logs.
    #[must_use]
    pub fn data_dir(&self, i: usize) -> PathBuf {
        self.servers().data_dir(i).to_owned()
    }

    /// Where each server keeps its transaction logs, and where those lie that were kept of wiped ones.
    #[must_use]
    pub fn data_dirs(&self) -> Vec<PathBuf> {
        let servers = self.servers();
        let kept = self.own.iter().flat_map(|own| own.kept().clone());
        (0..servers.len()).map(|i| servers.data_dir(i).to_owned()).chain(kept).collect()
    }

    /// Asks server `i` one of `ruok srvr mntr stat wchp cons`.
    ///
    /// # Errors
    /// It does not run, or does not answer.
    pub fn four_letter(&self, i: usize, word: &str) -> std::io::Result<String> {
        self.servers().four_letter(i, word)
    }

    /// The server that leads, if any does.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.servers().leader()
    }

    /// Process ids of the servers that run.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.servers().pids()
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill9(&self, i: usize) {
        self.harm().kill9(i);
    }

    /// SIGTERM.
    #[track_caller]
    pub fn stop(&self, i: usize) {
        self.harm().stop(i);
    }

    /// SIGSTOP.
    #[track_caller]
    pub fn pause(&self, i: usize) {
        self.harm().pause(i);
    }

    /// SIGCONT.
    #[track_caller]
    pub fn resume(&self, i: usize) {
        self.harm().resume(i);
    }

    /// Kills server `i` if it runs, starts it again, waits until it serves.
    #[track_caller]
    pub fn restart(&self, i: usize) {
        let restarted = self.harm().restart(i);
        restarted.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Kills server `i` if it runs, and deletes all its data.
    #[track_caller]
    pub fn wipe(&self, i: usize) {
        let wiped = self.harm().wipe(i);
        wiped.unwrap_or_else(|error| panic!("{error}"));
    }

    /// As [`wipe`](Self::wipe), but what it had is put aside, as an operator keeps logs elsewhere: when every server is wiped once, one
    /// after the other, they would remember nothing of the beginning. Only where the others keep the state: otherwise there are two
    /// histories, and whoever looks at both sees a broken one.
    #[track_caller]
    pub fn wipe_but_keep_log(&self, i: usize) {
        self.kill9(i);
        let data = self.data_dir(i);
        let aside = data.with_extension(format!("wiped-{}", place::serial()));
        std::fs::create_dir(&aside).unwrap_or_else(|error| panic!("{}: {error}", aside.display()));
        std::fs::rename(data.join("version-2"), aside.join("version-2")).unwrap_or_else(|error| panic!("{}: {error}", data.display()));
        self.own.iter().for_each(|own| own.kept().push(aside.clone()));
    }

    /// Starts those of these servers that do not run, then waits until these serve.
    #[track_caller]
    pub fn start_some(&self, which: &[usize]) {
        let started = self.harm().start_some(which);
        started.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts every server that does not run, then waits until all serve.
    #[track_caller]
    pub fn start_all(&self) {
        let started = self.harm().start_all();
        started.unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Zookeeper {
    fn drop(&mut self) {
        if std::thread::panicking() && self.own.is_some() {
            let servers = self.servers();
            for i in 0..servers.len() {
                eprintln!("log of ZooKeeper's server {i}: {}", servers.log(i).display());
            }
        }
    }
}

/// A line of the configuration of server `from`: where it names another one's port to follow it, a detour to that.
fn by_detour(line: &str, from: usize, detours: &mut BTreeMap<(usize, usize), Detour>) -> String {
    let mut parse = || {
        let (number, place) = line.strip_prefix("server.")?.split_once('=')?;
        let [host, quorum, election] = place.split(':').collect::<Vec<_>>().try_into().ok()?;
        let to = number.parse::<usize>().ok()?.checked_sub(1).filter(|to| *to != from)?;
        let detour = Detour::to(quorum.parse().ok()?);
        let line = format!("server.{number}={host}:{}:{election}", detour.port());
        detours.insert((from, to), detour);
        Some(line)
    };
    parse().unwrap_or_else(|| line.to_owned())
}

/// Data need not survive a power cut, only `kill -9`.
fn start(dir: &Path, count: usize) -> LocalZookeeper {
    let mut options = Options::new(dir).ensemble(count);
    options.force_sync = false;
    LocalZookeeper::start(&options).unwrap_or_else(|error| panic!("{error}"))
}
