//! The threads on which the actors of embedded workers live: as many as there are processors, however many workers a program has.
//!
//! A worker's actors only ever wait for messages. With a thread for each of two hundred workers, each message wakes a thread up; on a few
//! threads, what has come meanwhile for others is handled by one that is awake. Each worker has a set of local tasks of its own, so that
//! nothing of it is left on the thread when it has ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use bellwether_common::boot;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// A worker, made where it is going to live.
type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

struct Crew {
    threads: Vec<mpsc::UnboundedSender<Job>>,
    next: AtomicUsize,
}

static CREW: OnceLock<Crew> = OnceLock::new();
static RUNS: OnceLock<Runtime> = OnceLock::new();

/// Runs a worker on one of the threads, and waits for its end; `None` if it panicked.
pub(crate) fn run<F, T>(worker: impl FnOnce() -> F + Send + 'static) -> io::Result<Option<T>>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let (tell, ended) = oneshot::channel();
    let job: Job = Box::new(move || {
        Box::pin(async move {
            let result = LocalSet::new().run_until(worker()).await;
            // Whoever waited may be gone.
            let _ = tell.send(result);
        })
    });
    let crew = crew()?;
    let next = crew.next.fetch_add(1, Ordering::Relaxed) % crew.threads.len();
    // Bounded by the workers of this program. Its receiver lives as long as the process.
    let _ = crew.threads[next].send(job);
    Ok(ended.blocking_recv().ok())
}

fn crew() -> io::Result<&'static Crew> {
    if let Some(crew) = CREW.get() {
        return Ok(crew);
    }
    let count = thread::available_parallelism().map_or(1, usize::from);
    let threads = (0..count).map(|_| member()).collect::<io::Result<_>>()?;
    Ok(CREW.get_or_init(|| Crew { threads, next: AtomicUsize::new(0) }))
}

/// One of the threads. It ends when nobody can send it anything: when another thread was quicker to make a crew.
fn member() -> io::Result<mpsc::UnboundedSender<Job>> {
    let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
    let live = move || {
        boot::mark_thread();
        actix::System::new().block_on(async move {
            while let Some(job) = jobs.recv().await {
                actix::spawn(job());
            }
        });
    };
    thread::Builder::new().name("workers".to_owned()).spawn(live)?;
    Ok(sender)
}

/// One thread starts a process while the other reads outputs.
const RUN_THREADS: usize = 2;

/// The threads that serve what a worker runs.
pub(crate) enum RunThreads {
    /// Its own: what starts processes takes its time.
    Own(Runtime),
    /// Those of all workers that run handlers alone.
    Shared(&'static Runtime),
}

impl RunThreads {
    pub(crate) fn own() -> io::Result<Self> {
        start_runs().map(Self::Own)
    }

    pub(crate) fn shared() -> io::Result<Self> {
        if RUNS.get().is_none() {
            let runs = start_runs()?;
            // Another worker was quicker. Not dropped here, where no thread may block.
            if let Err(late) = RUNS.set(runs) {
                late.shutdown_background();
            }
        }
        RUNS.get().map(Self::Shared).ok_or_else(|| io::Error::other("they were just started"))
    }

    pub(crate) fn handle(&self) -> Handle {
        match self {
            Self::Own(runs) => runs.handle().clone(),
            Self::Shared(runs) => runs.handle().clone(),
        }
    }

    /// What they served was killed before.
    pub(crate) fn end(self) {
        match self {
            // Not dropped where no thread may block.
            Self::Own(runs) => runs.shutdown_background(),
            Self::Shared(_) => {}
        }
    }
}

fn start_runs() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(RUN_THREADS).thread_name("runs").on_thread_start(boot::mark_thread).enable_all().build()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;

    struct Telling(Sender<()>);

    impl Drop for Telling {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn many_workers_live_on_as_many_threads_as_there_are_processors_and_leave_nothing_behind() {
        const WORKERS: usize = 20;
        let (sender, dropped) = channel();
        let live = || {
            let behind = Telling(sender.clone());
            run(move || async move {
                // As an actor does that nobody stops.
                actix::spawn(async move {
                    let _behind = behind;
                    std::future::pending::<()>().await
                });
                tokio::task::yield_now().await;
                (thread::current().id(), thread::current().name().map(str::to_owned))
            })
        };
        let homes: HashSet<_> = (0..WORKERS).map(|_| live().expect("there are threads").expect("it does not panic")).collect();
        assert!(homes.iter().all(|(_, name)| name.as_deref() == Some("workers")), "{homes:?}");
        assert!(homes.len() <= thread::available_parallelism().map_or(1, usize::from), "{homes:?}");
        (0..WORKERS).for_each(|_| dropped.recv_timeout(Duration::from_secs(10)).expect("what was left is dropped"));
    }

    #[test]
    fn one_that_waits_keeps_up_nobody_else_on_its_thread() {
        let (stop, stopped) = oneshot::channel::<()>();
        let waits = thread::spawn(move || run(move || async move { stopped.await.is_ok() }));
        // At least one of these has the same thread.
        let others = thread::available_parallelism().map_or(1, usize::from) * 2;
        (0..others).for_each(|_| assert!(matches!(run(|| async { 7 }), Ok(Some(7)))));
        stop.send(()).expect("it waits");
        assert!(matches!(waits.join().expect("no panic"), Ok(Some(true))));
    }
}
