//! Stand-ins for the three programs of O'Reilly's *ZooKeeper*: its master, its worker and its client, written anew from what they do
//! to the tree, with their defects as switches.
//!
//! What lives here: what they have in common. What they do is in `master`, `worker` and `client`. They look where the originals
//! watch: nobody else can tell the difference.

mod client;
mod master;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bellwether_core::protocol::Multi;

use crate::tree::Tree;

pub use client::BookClient;
pub use master::{BookMaster, MasterDefects};
pub use worker::{BookWorker, WorkerDefects};

/// How often a role looks at the tree.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A thread with a session of its own. Its session is closed, so that its ephemerals go, when it dies of a defect or is dropped.
#[derive(Debug)]
struct Role {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Whether a role goes on after one look at the tree.
enum Next {
    Goes,
    Dies,
}

impl Role {
    fn start(tree: Tree, mut look: impl FnMut(&Tree) -> Next + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) && matches!(look(&tree), Next::Goes) {
                // The pace of a role that runs until it is told to stop; no test waits here.
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { stop, thread: Some(thread) }
    }

    /// Whether it died of a defect.
    fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a role of the book panicked");
        }
    }
}

/// Creates a node; whether that was possible. The originals only log what is refused.
fn create(tree: &Tree, path: &str, data: impl Into<Vec<u8>>) -> bool {
    tree.try_commit(&Multi::new().create(path, data)).is_ok()
}

fn create_ephemeral(tree: &Tree, path: &str, data: impl Into<Vec<u8>>) -> bool {
    tree.try_commit(&Multi::new().create_ephemeral(path, data)).is_ok()
}

fn delete(tree: &Tree, path: &str) -> bool {
    tree.try_commit(&Multi::new().delete(path, None)).is_ok()
}

/// What the original calls its server id: a short hexadecimal number, here the end of its session's id.
fn server_id(tree: &Tree) -> String {
    format!("{:x}", tree.session() & 0xff_ffff)
}
