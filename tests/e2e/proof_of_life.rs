//! What ZooKeeper and its client really do while a server is cut off from the leader: whether anybody hears of it in time.
//!
//! The finding on which the proof of life rests. A follower whose leader is frozen answers pings as if nothing were wrong, for as long
//! as `syncLimit` ticks: an answered ping proves nothing. A `sync` is not answered meanwhile, and holds back the replies to the pings
//! that follow it on its session, so that the client notices the silence, too. A read holds nothing back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether_tests::faults::Scenario;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Zookeeper, eventually};
use zookeeper_client::{Client, SessionState};

/// The client calls a silence of two fifths of it a lost connection; the follower gives up its leader after two seconds.
const TIMEOUT: Duration = Duration::from_secs(3);
const SYNC: i32 = 9;
const GET_DATA: i32 = 4;
const PING: i32 = -2;

/// What went by on the wire since it was last cleared.
#[derive(Debug, Default)]
struct Counts {
    pings: AtomicU64,
    pongs: AtomicU64,
    /// The number of the last `sync` or read; 0 for none, negative when it was answered.
    asked: AtomicI64,
}

impl Counts {
    fn clear(&self) {
        self.pings.store(0, Ordering::SeqCst);
        self.pongs.store(0, Ordering::SeqCst);
        self.asked.store(0, Ordering::SeqCst);
    }

    fn request(&self, xid: i32, code: i32) {
        match (xid, code) {
            (PING, _) => drop(self.pings.fetch_add(1, Ordering::SeqCst)),
            (_, SYNC | GET_DATA) => self.asked.store(i64::from(xid), Ordering::SeqCst),
            _ => {}
        }
    }

    fn reply(&self, xid: i32) {
        if xid == PING {
            self.pongs.fetch_add(1, Ordering::SeqCst);
        }
        let _ = self.asked.compare_exchange(i64::from(xid), -1, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// A wire between a client and one server, that is listened to.
fn tap(server: SocketAddr) -> (SocketAddr, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, counts) = (listener.local_addr().expect("its address"), Arc::new(Counts::default()));
    let counting = Arc::clone(&counts);
    // Ends with the test process, at the latest.
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let Ok(server) = TcpStream::connect(server) else { continue };
            let (back, there) = (Arc::clone(&counting), Arc::clone(&counting));
            let ends = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            std::thread::spawn(move || relay(client, server, |xid, code| there.request(xid, code)));
            std::thread::spawn(move || relay(ends.1, ends.0, |xid, _| back.reply(xid)));
        }
    });
    (address, counts)
}

/// Frames in one direction: the first, which opens the session, unread; of the others the first two numbers.
fn relay(mut from: TcpStream, mut to: TcpStream, hear: impl Fn(i32, i32)) {
    let mut first = true;
    let mut next = || -> io::Result<()> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        from.read_exact(&mut frame)?;
        let number = |at: usize| frame.get(at..at + 4).map_or(0, |bytes| i32::from_be_bytes(bytes.try_into().expect("four")));
        if !std::mem::take(&mut first) {
            hear(number(0), number(4));
        }
        to.write_all(&[length.as_slice(), &frame].concat())
    };
    while next().is_ok() {}
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Nothing,
    Read,
    Sync,
}

#[derive(Debug)]
struct Seen {
    pings: u64,
    pongs: u64,
    answered: bool,
    /// From the freeze until the client said that it had lost its connection.
    noticed: Duration,
}

/// Freezes the leader under a client of a follower, and looks what it hears from there, until its client gives the connection up.
fn freeze(zookeeper: &Zookeeper, ask: Ask) -> Seen {
    zookeeper.start_all();
    let leader = eventually(SOON, "a leader", || zookeeper.leader());
    let servers: Vec<SocketAddr> = zookeeper.connect_string().split(',').map(|server| server.parse().expect("an address")).collect();
    let (address, counts) = tap(servers[(leader + 1) % servers.len()]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let seen = runtime.block_on(async {
        let connector = Client::connector().with_session_timeout(TIMEOUT);
        let client = connector.connect(&address.to_string()).await.expect("a session on the follower");
        let mut states = client.state_watcher();
        eventually(SOON, "a ping to be answered", || counts.pongs.load(Ordering::SeqCst) > 0);
        zookeeper.pause(leader);
        let frozen = Instant::now();
        counts.clear();
        // Of no interest: what they hold back is.
        let asking = client.clone();
        match ask {
            Ask::Nothing => {}
            Ask::Read => drop(tokio::spawn(async move { asking.get_data("/").await.map(drop) })),
            Ask::Sync => drop(tokio::spawn(async move { asking.sync("/").await })),
        }
        while states.changed().await == SessionState::SyncConnected {}
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let answered = counts.asked.load(Ordering::SeqCst) < 0;
        Seen { pings: count(&counts.pings), pongs: count(&counts.pongs), answered, noticed: frozen.elapsed() }
    });
    zookeeper.resume(leader);
    seen
}

#[test]
fn a_sync_that_waits_for_the_leader_holds_back_the_pings_behind_it_and_a_read_does_not() {
    let scenario = Scenario::of("F4");
    let zookeeper = Zookeeper::ensemble(3);
    let [nothing, read, sync] = [Ask::Nothing, Ask::Read, Ask::Sync].map(|ask| freeze(&zookeeper, ask));
    println!(
        "leader frozen under a follower's client, T = {TIMEOUT:?}\nasked nothing: {nothing:?}\nasked to read: {read:?}\nasked to sync: {sync:?}"
    );
    assert!(nothing.pongs > 1 && nothing.pongs + 1 >= nothing.pings, "a follower without a leader answers pings: {nothing:?}");
    assert!(read.answered && read.pongs > 1, "and reads: {read:?}");
    assert!(!sync.answered, "but no sync: {sync:?}");
    assert!(sync.noticed < nothing.noticed, "so that the client notices sooner: {sync:?}, {nothing:?}");
    assert!(sync.pings > 0 && sync.pongs == 0, "nor the pings behind it: {sync:?}");
    scenario.saw(format!(
        "a follower whose leader is frozen answered {} of {} pings, and with a sync before them {} of {}: noticed after {:.1?}, not {:.1?}",
        nothing.pongs, nothing.pings, sync.pongs, sync.pings, sync.noticed, nothing.noticed
    ));
}
