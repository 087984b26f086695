//! The way from one server of an ensemble to another, by which it follows that one as its leader: it leads through this process, and
//! can be cut. Elections go their own way: a server that is cut off knows who leads, and cannot follow.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a way that is cut looks whether it was healed.
const GLANCE: Duration = Duration::from_millis(20);

/// A way to a port of this machine. It is closed with its handle, and with all that goes through it.
#[derive(Debug)]
pub struct Detour {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    closed: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Detour {
    /// A new way to `port`.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let own = listener.local_addr().expect("an address").port();
        let state = Arc::<State>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.closed.load(Ordering::Acquire) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(&shared, client, port));
            }
        });
        Self { port: own, state }
    }

    /// Where it begins.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing gets through any more, and nobody is told.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::Release);
    }

    /// New connections get through again; old ones are closed.
    pub fn heal(&self) {
        self.state.hang_up();
        self.state.cut.store(false, Ordering::Release);
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Release);
        self.state.hang_up();
        // Wakes whoever waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn hang_up(&self) {
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn keep(&self, stream: &TcpStream) {
        if let Ok(stream) = stream.try_clone() {
            self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
    }

    /// Waits until it is healed; `false`: it is closed instead.
    fn is_open(&self) -> bool {
        while self.cut.load(Ordering::Acquire) && !self.closed.load(Ordering::Acquire) {
            // A relay that is cut off has nothing to do until somebody heals it, which may be never: no deadline.
            std::thread::sleep(GLANCE);
        }
        !self.closed.load(Ordering::Acquire)
    }
}

fn serve(state: &Arc<State>, client: TcpStream, port: u16) {
    state.keep(&client);
    if !state.is_open() {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        // Whoever came is told by the end of its connection.
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    state.keep(&server);
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    let shared = state.clone();
    std::thread::spawn(move || pump(&shared, from, to));
    pump(state, server, client);
}

fn pump(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 16 * 1024];
    while let Ok(count) = from.read(&mut piece) {
        if count == 0 || !state.is_open() || to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_common::wait::eventually;

    #[test]
    fn what_is_cut_gets_through_no_more_until_it_is_healed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut piece = [0; 8];
                    while let Ok(count @ 1..) = stream.read(&mut piece) {
                        let _ = stream.write_all(&piece[..count]);
                    }
                });
            }
        });
        let detour = Detour::to(port);
        let connect = || {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, detour.port())).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            stream
        };
        let echo = |stream: &mut TcpStream| stream.write_all(b"x").is_ok() && stream.read(&mut [0; 8]).is_ok_and(|count| count == 1);
        let mut stream = connect();
        eventually(Duration::from_secs(5), "an echo", || echo(&mut stream));
        detour.cut();
        assert!(!echo(&mut stream));
        assert!(!echo(&mut connect()), "nor does a new one");
        detour.heal();
        eventually(Duration::from_secs(5), "an echo", || echo(&mut connect()));
    }
}
