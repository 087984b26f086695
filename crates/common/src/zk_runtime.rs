//! The thread that ZooKeeper's clients live on, apart from all actors.
//!
//! A client's task runs on the runtime that called `connect`: were that an actor's thread, one slow handler would let the session
//! expire, and a stopped arbiter would leave a client that believes for ever that it is connected. So there is one thread for all
//! sessions of the process; it is started at the first use and never ends.
//!
//! ZooKeeper's client reads its sockets by `async-io`. On a runtime of another kind each reply wakes up three threads that sleep, one
//! after the other: `async-io`'s, which sees that the socket has something, the client's, and whoever waits for the answer. Here the
//! thread that waits for the sockets is the one that serves them and hands the answers on. As long as it does, `async-io`'s own looks
//! now and then whether anybody waits: a dozen times after each event, which a process that has nothing to do would mostly be busy with. So
//! when little happens, that thread waits, and wakes up this one.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_executor::{StaticExecutor, Task};
use tokio::runtime::{Builder, Handle, Runtime};

/// Events that come sooner than this after the last one come quickly.
const QUICKLY: Duration = Duration::from_millis(5);
/// After so many that come quickly this thread waits for the sockets: more than a ping and its answer are.
const QUICK: u32 = 3;

static EXECUTOR: StaticExecutor = StaticExecutor::new();
/// Keeps the time of deadlines, and the sockets of whoever uses tokio's.
static DEADLINES: OnceLock<Runtime> = OnceLock::new();

/// A future panicked, and gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was asked of ZooKeeper's thread panicked")]
pub struct Panicked;

/// What was given to the thread: it runs to its end, whether or not anybody awaits it.
#[derive(Debug)]
pub struct Spawned<T>(Option<Task<T>>);

impl<T> Future for Spawned<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken away by the drop alone.
        let Some(task) = &mut self.0 else { return Poll::Pending };
        // The task hands a panic on to whoever awaits it.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(task).poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

impl<T> Drop for Spawned<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

/// A future of this thread that ends when this is dropped.
#[must_use = "it ends when its handle is dropped"]
#[derive(Debug)]
pub struct Bound(#[expect(dead_code, reason = "held for its drop")] Task<()>);

/// Runs a future on the thread, whether or not anybody awaits the handle.
pub fn spawn<F>(future: F) -> Spawned<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    handle();
    Spawned(Some(EXECUTOR.spawn(future)))
}

/// Runs a future on the thread for as long as the handle is kept.
pub fn spawn_bound<F>(future: F) -> Bound
where
    F: Future<Output = ()> + Send + 'static,
{
    handle();
    Bound(EXECUTOR.spawn(future))
}

/// The clock by which deadlines are kept: entered by whoever makes one.
///
/// # Panics
/// If the process cannot start a thread: there is nothing that it could do instead.
pub fn handle() -> &'static Handle {
    DEADLINES
        .get_or_init(|| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("deadlines")
                .on_thread_start(crate::boot::mark_thread)
                .enable_all()
                .build()
                .expect("cannot start the thread that keeps deadlines");
            let deadlines = runtime.handle().clone();
            std::thread::Builder::new().name("zookeeper".to_owned()).spawn(move || serve(&deadlines)).expect("cannot start a thread");
            runtime
        })
        .handle()
}

/// The thread's whole life.
fn serve(deadlines: &Handle) {
    crate::boot::mark_thread();
    let _entered = deadlines.enter();
    // What a client spawns for itself while it connects.
    let _scope = spawns_core::enter(&Sessions);
    let mut run = std::pin::pin!(EXECUTOR.run(std::future::pending::<()>()));
    loop {
        futures::executor::block_on(polled_until(run.as_mut(), |quick| quick >= QUICK));
        async_io::block_on(polled_until(run.as_mut(), |quick| quick == 0));
    }
}

/// Runs a future until there is something to say about how many times in a row it was quickly woken up again.
async fn polled_until(mut run: Pin<&mut impl Future>, is_over: impl Fn(u32) -> bool) {
    let mut quick = 0_u32;
    let mut last: Option<Instant> = None;
    std::future::poll_fn(|context| {
        quick = if last.is_some_and(|last| last.elapsed() >= QUICKLY) { 0 } else { quick.saturating_add(1) };
        let _ = run.as_mut().poll(context);
        last = Some(Instant::now());
        if is_over(quick) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

struct Sessions;

impl spawns_core::Spawn for Sessions {
    fn spawn(&self, task: spawns_core::Task) {
        EXECUTOR.spawn(Box::into_pin(task.future)).detach();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn runs_on_a_thread_of_its_own() {
        let name = futures::executor::block_on(super::spawn(async { std::thread::current().name().map(str::to_owned) }));
        assert_eq!(name, Ok(Some("zookeeper".to_owned())));
    }

    #[test]
    fn deadlines_pass_there() {
        let late = async { tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>()).await };
        assert!(futures::executor::block_on(super::spawn(late)).is_ok_and(|late| late.is_err()));
    }

    #[test]
    fn a_panic_ends_nothing_else() {
        let bad = super::spawn(async { panic!("expected by this test") });
        assert_eq!(futures::executor::block_on(bad), Err::<(), _>(super::Panicked));
        assert_eq!(futures::executor::block_on(super::spawn(async { 7 })), Ok(7));
    }

    #[test]
    fn what_nobody_awaits_runs_to_its_end_and_what_is_bound_ends_with_its_handle() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let told = sender.clone();
        drop(super::spawn(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            told.send("detached")
        }));
        let bound = super::spawn_bound(async move {
            let _sender = sender;
            std::future::pending().await
        });
        assert_eq!(receiver.recv(), Ok("detached"));
        drop(bound);
        assert!(receiver.recv().is_err());
    }
}
