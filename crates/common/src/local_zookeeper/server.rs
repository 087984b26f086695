//! One server: its files, its ports and its process.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Error, Installation, Options, io};
use crate::leash::{Leash, Streams};

/// Answers that a fault test needs. `ruok` alone does not mean that requests are served.
const FOUR_LETTER_WORDS: &str = "ruok,srvr,mntr,stat,wchp,cons";
/// How long an answer to one of them may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A server that was prepared: it may run or not.
#[derive(Debug)]
pub(super) struct Server {
    java: PathBuf,
    arguments: Vec<std::ffi::OsString>,
    address: SocketAddr,
    data: PathBuf,
    log: PathBuf,
    process: Option<Leash>,
}

/// Writes the files of all servers. Nothing is started.
pub(super) fn prepare(installation: &Installation, options: &Options) -> Result<Vec<Server>, Error> {
    let count = options.ensemble.max(1);
    let ports = free_ports(count * 3).map_err(|source| io("find free ports on 127.0.0.1", source))?;
    let client_port = |i: usize| if i == 0 { options.port.unwrap_or(ports[0]) } else { ports[i] };
    let mut peers = String::new();
    if count > 1 {
        for i in 0..count {
            // Writing to a String does not fail.
            let _ = writeln!(peers, "server.{}=127.0.0.1:{}:{}", i + 1, ports[count + i], ports[2 * count + i]);
        }
    }
    (0..count).map(|i| prepare_one(installation, options, i, client_port(i), &peers)).collect()
}

fn prepare_one(installation: &Installation, options: &Options, i: usize, port: u16, peers: &str) -> Result<Server, Error> {
    let name = format!("zookeeper-{}", i + 1);
    let data = options.dir.join(&name);
    let config = options.dir.join(format!("{name}.cfg"));
    std::fs::create_dir_all(&data).map_err(|source| io(format!("create {}", data.display()), source))?;
    let write = |path: &Path, text: &str| std::fs::write(path, text).map_err(|source| io(format!("write {}", path.display()), source));
    write(&data.join("myid"), &format!("{}\n", i + 1))?;
    write(&config, &config_text(options, &data, port, peers))?;
    Ok(Server {
        java: installation.java.clone(),
        arguments: arguments(installation, options, &config),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        data,
        log: options.dir.join(format!("{name}.log")),
        process: None,
    })
}

/// `syncLimit` bounds how long a follower that was cut off goes on answering; `initLimit` is generous, because a busy machine
/// may be slow to start three servers at once.
fn config_text(options: &Options, data: &Path, port: u16, peers: &str) -> String {
    let (tick, data) = (options.tick_ms, data.display());
    let min_session = 2 * tick;
    let threads = threads();
    let more = options.more_config.iter().map(|line| format!("{line}\n")).collect::<String>();
    format!(
        "# Written at every start: changes are lost.\n\
         tickTime={tick}\ninitLimit=100\nsyncLimit=10\n\
         dataDir={data}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
         minSessionTimeout={min_session}\nmaxSessionTimeout=60000\n\
         autopurge.purgeInterval=0\nadmin.enableServer=false\n4lw.commands.whitelist={FOUR_LETTER_WORDS}\n{threads}{more}{peers}"
    )
}

/// On few cores a connection is served by the thread that watches it: to hand each request to another costs as much as many a request.
fn threads() -> &'static str {
    let few = std::thread::available_parallelism().is_ok_and(|cores| cores.get() <= 2);
    if few { "nio.numWorkerThreads=0\n" } else { "" }
}

/// Flags for a quick start on few cores: the simple collector, the first compiler only, the shared class archive.
fn arguments(installation: &Installation, options: &Options, config: &Path) -> Vec<std::ffi::OsString> {
    let force_sync = if options.force_sync { "yes" } else { "no" };
    let mut arguments: Vec<std::ffi::OsString> = [
        "-XX:+UseSerialGC".to_owned(),
        "-XX:TieredStopAtLevel=1".to_owned(),
        "-Xshare:auto".to_owned(),
        "-XX:-UsePerfData".to_owned(),
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
        format!("-Xmx{}", options.heap),
        format!("-Dzookeeper.forceSync={force_sync}"),
        "-Dzookeeper.root.logger=INFO,CONSOLE".to_owned(),
        "-Dorg.slf4j.simpleLogger.showDateTime=true".to_owned(),
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS".to_owned(),
        "-Dorg.slf4j.simpleLogger.showShortLogName=true".to_owned(),
        "-cp".to_owned(),
    ]
    .map(Into::into)
    .into();
    let more = options.java_options.iter().map(Into::into);
    arguments.splice(arguments.len() - 1..arguments.len() - 1, more);
    arguments.extend([
        installation.class_path.clone(),
        "org.apache.zookeeper.server.quorum.QuorumPeerMain".into(),
        config.as_os_str().to_owned(),
    ]);
    arguments
}

impl Server {
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.process.as_ref().filter(|process| process.is_running()).map(Leash::pid)
    }

    pub(super) fn spawn(&mut self) -> Result<(), Error> {
        let mut command = Command::new(&self.java);
        command.args(&self.arguments).current_dir(&self.data);
        let process = Leash::spawn(&command, &Streams::log(&self.log));
        self.process = Some(process.map_err(|source| io(format!("start {}", self.java.display()), source))?);
        Ok(())
    }

    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    pub(super) fn stop(&mut self, grace: Duration) {
        if let Some(process) = self.process.take() {
            process.stop(grace);
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    pub(super) fn pause(&self) {
        if let Some(process) = &self.process {
            process.pause();
        }
    }

    pub(super) fn wait_until_serving(&self, deadline: Instant) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            // An answer proves nothing if our own process is gone: somebody else may be listening there.
            if let Some(code) = self.process.as_ref().map_or(Some(0), Leash::exit_code) {
                return Err(Error::Died { code, log: self.log.clone(), tail: self.log_tail() });
            }
            if self.four_letter("srvr").is_ok_and(|answer| answer.contains("Mode: ")) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::NotServing { waited: begun.elapsed(), log: self.log.clone() });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn four_letter(&self, word: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Different ports that nobody listens on, below the range from which the kernel takes the local ports of outgoing connections:
/// a server that is restarted on a port of that range may find it taken, and a client that tries to reconnect to it meanwhile
/// may even connect to itself.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    const FIRST: u16 = 10_000;
    const ATTEMPTS: usize = 10_000;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let below: u16 = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    let width = u64::from(below.max(FIRST + 10_000) - FIRST);
    let mut held: Vec<TcpListener> = Vec::new();
    for _ in 0..ATTEMPTS {
        if held.len() == count {
            break;
        }
        let offset = u16::try_from(RandomState::new().build_hasher().finish() % width).unwrap_or_default();
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)));
    }
    if held.len() < count {
        return Err(std::io::ErrorKind::AddrInUse.into());
    }
    held.iter().map(|listener| listener.local_addr().map(|address| address.port())).collect()
}
