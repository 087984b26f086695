//! The runtime that ZooKeeper's clients live on, apart from all actors.
//!
//! A client's task runs on the runtime that called `connect`: were that an actor's thread, one slow handler would let the session
//! expire, and a stopped arbiter would leave a client that believes for ever that it is connected. So there is one runtime for all
//! sessions of the process; it is created at the first use and never dropped.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// One thread serves sockets while the other is busy with a large reply.
const THREADS: usize = 2;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime's handle, for what is not just a future to run.
///
/// # Panics
/// If the process cannot start a thread: there is nothing that it could do instead.
pub fn handle() -> &'static Handle {
    RUNTIME
        .get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(THREADS)
                .thread_name("zookeeper")
                .on_thread_start(crate::boot::mark_thread)
                .enable_all()
                .build()
                .expect("cannot start the threads of the ZooKeeper runtime")
        })
        .handle()
}

/// Runs a future on this runtime, whether or not anybody awaits the handle.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    handle().spawn(future)
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs_on_its_own_threads() {
        let name = futures::executor::block_on(super::spawn(async { std::thread::current().name().map(str::to_owned) }));
        assert_eq!(name.expect("the task does not panic").as_deref(), Some("zookeeper"));
    }
}
