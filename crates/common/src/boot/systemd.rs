//! What a service manager is told, in systemd's words: ready, what it does, reloading, stopping, and that it still lives.
//!
//! Nothing is said unless `NOTIFY_SOCKET` is set. The watchdog is fed only while the supervisor actor answers: all actors of a process
//! share its thread, so that one that hangs starves it, and the service manager ends a process that would do nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::Shutdown;
use crate::http::Health;

/// More would be a defect: there are two for each reload, and these come one after another.
const WORDS: usize = 4;

/// Tells the service manager about a service, as long as it is kept.
#[derive(Debug, Clone)]
pub struct Systemd {
    words: mpsc::Sender<Word>,
}

#[derive(Debug, Clone, Copy)]
enum Word {
    Reloading,
    Reloaded,
}

impl Systemd {
    /// From now on the service manager hears what `health` says, and that the process stops when it was asked to.
    #[must_use]
    pub fn start(runtime: &Handle, health: &Health, shutdown: &Shutdown) -> Self {
        let (words, heard) = mpsc::channel(WORDS);
        runtime.spawn(tell(health.clone(), shutdown.clone(), heard));
        if let Some(limit) = sd_notify::watchdog_enabled() {
            runtime.spawn(feed(health.clone(), limit));
        }
        Self { words }
    }

    /// Says that the process stops, before anything else happens.
    pub fn stopping(&self) {
        say(&[NotifyState::Stopping]);
    }

    pub(super) async fn reloading(&self) {
        // The other end lives as long as the runtime.
        let _ = self.words.send(Word::Reloading).await;
    }

    pub(super) async fn reloaded(&self) {
        let _ = self.words.send(Word::Reloaded).await;
    }
}

async fn tell(health: Health, shutdown: Shutdown, mut words: mpsc::Receiver<Word>) {
    let mut news = health.news();
    let (mut started, mut stopping) = (false, false);
    let mut said = String::new();
    loop {
        let (ready, line) = health.ready();
        if said != line {
            said.clone_from(&line);
            say(&[NotifyState::Status(&line)]);
        }
        if ready && !std::mem::replace(&mut started, true) {
            say(&[NotifyState::Ready]);
        }
        tokio::select! {
            // Fails only without the health that is held here.
            _ = news.changed() => {}
            word = words.recv() => match word {
                // Who is not ready yet must not say so because it was told to reload.
                Some(_) if !started => {}
                Some(Word::Reloading) => say_reloading(),
                Some(Word::Reloaded) => say(&[NotifyState::Ready]),
                None => return,
            },
            () = shutdown.asked(), if !stopping => {
                stopping = true;
                say(&[NotifyState::Stopping]);
            }
        }
    }
}

fn say_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(_) => say(&[NotifyState::Reloading]),
    }
}

/// Feeds the watchdog three times as often as it must be, while the supervisor answers.
async fn feed(health: Health, limit: Duration) {
    let mut ticks = interval(limit / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match health.live().await {
            (true, _) => say(&[NotifyState::Watchdog]),
            (false, line) => warn!(line, limit_seconds = limit.as_secs_f64(), "the watchdog of the service manager is not fed"),
        }
    }
}

fn say(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        debug!(%error, "the service manager cannot be told");
    }
}
