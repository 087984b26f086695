//! How a process is asked to stop.

use std::future::pending;
use std::io;
use std::process;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

/// Resolves when somebody asks the process to stop. All clones are one.
#[derive(Debug, Clone)]
pub struct Shutdown {
    asked: watch::Receiver<bool>,
}

/// Asks: for tests, and for programs that embed a service.
#[derive(Debug)]
pub struct Asker {
    asked: watch::Sender<bool>,
}

impl Shutdown {
    /// A notification, and what triggers it. If the asker is dropped, nobody will ever ask.
    #[must_use]
    pub fn channel() -> (Asker, Self) {
        let (sender, receiver) = watch::channel(false);
        (Asker { asked: sender }, Self { asked: receiver })
    }

    /// Waits until it is asked for; at once if it was.
    pub async fn asked(&self) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }
}

impl Asker {
    /// Asks the process to stop.
    pub fn ask(&self) {
        self.asked.send_replace(true);
    }
}

/// The first SIGTERM or SIGINT asks to stop, the second ends the process at once with 143 or 130. Served by `runtime`, which no
/// actor can keep busy.
pub(super) fn on_signals(runtime: &Handle) -> io::Result<Shutdown> {
    let _inside = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (asker, shutdown) = Shutdown::channel();
    runtime.spawn(async move {
        let (name, _) = next(&mut terminate, &mut interrupt).await;
        info!(signal = name, "asked to stop");
        asker.ask();
        let (name, code) = next(&mut terminate, &mut interrupt).await;
        warn!(signal = name, code, "asked again, ending at once");
        process::exit(code);
    });
    Ok(shutdown)
}

/// The next signal and the exit code of a process that dies of it.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", 143),
        _ = interrupt.recv() => ("SIGINT", 130),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn every_clone_hears_of_it_early_or_late() {
        let (asker, shutdown) = Shutdown::channel();
        let early = shutdown.clone();
        let mut waiting = Box::pin(early.asked());
        assert!(waiting.as_mut().now_or_never().is_none());
        asker.ask();
        assert!(waiting.now_or_never().is_some());
        assert!(shutdown.asked().now_or_never().is_some() && shutdown.is_asked());
    }

    #[test]
    fn nobody_asks_after_the_asker_is_gone() {
        let (asker, shutdown) = Shutdown::channel();
        drop(asker);
        assert!(shutdown.asked().now_or_never().is_none() && !shutdown.is_asked());
    }
}
