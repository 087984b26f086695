//! Ctrl-C and SIGTERM: the first asks, the second ends the process at once, unless the first was acknowledged.

use std::process;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::failure::Failure;

/// A signal that asked this process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Interrupt {
    /// The exit code of a process that ends because of it.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Signals of this process. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Interrupts {
    seen: Arc<watch::Sender<Option<Interrupt>>>,
}

impl Interrupts {
    /// From now on signals do not end the process; the second one does.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::error("error", format!("cannot listen to signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let seen = Arc::new(watch::Sender::new(None));
        let sender = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    _ = interrupt.recv() => Interrupt::Interrupted,
                    _ = terminate.recv() => Interrupt::Terminated,
                };
                if sender.send_replace(Some(signal)).is_some() {
                    process::exit(i32::from(signal.code()));
                }
            }
        });
        Ok(Self { seen })
    }

    /// Waits for the first one; at once if it came.
    pub(crate) async fn next(&self) -> Interrupt {
        let mut seen = self.seen.subscribe();
        let first = seen.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
        match first {
            Some(signal) => signal,
            // We hold the sender.
            None => std::future::pending().await,
        }
    }

    /// Whether one came.
    pub(crate) fn came(&self) -> bool {
        self.seen.borrow().is_some()
    }

    /// What came is being dealt with: the next one is the first again.
    pub(crate) fn acknowledge(&self) {
        self.seen.send_replace(None);
    }
}
